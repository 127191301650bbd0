// Random numbers: y[k, i] for keys k and elements i, a function of key and i alone. Philox4x32-10 (core/philox.hpp)
// makes 16 bytes of random words from each counter; a thread turns the words of one counter, or of two where elements
// have 16 bits, into a pack of 16 bytes. Words, uniforms and signs have the bits of the CPU; normals are the CPU's
// formula on its tables (cpu/random.hpp, whose kinds are the parameters here), and differ in how products and sums are
// fused. 16-bit results are rounded from float. Nothing is read but the keys.
#pragma once

#include "ergo/cpu/random.hpp"
#include "ergo/kernels/common/pack.cuh"
#include "ergo/kernels/common/view.cuh"

namespace ergo::inline ERGO_BUILD::cuda {

inline constexpr int kDrawBlock = 256;  // threads
inline constexpr int kDrawItems = 4;    // groups of elements a thread makes, one after the other

// Keys in device memory, or one that travels with the launch.
struct Keys {
  const std::int64_t* many;  // null: all are `one`
  std::int64_t one = 0;
  Keys(const std::int64_t* keys) : many(keys) {}
  explicit Keys(std::int64_t key) : many(nullptr), one(key) {}
  Keys operator+(std::int64_t k) const { return many ? Keys(many + k) : *this; }  // from the k-th on
  __device__ __forceinline__ std::uint64_t operator[](std::int64_t k) const {
    return std::uint64_t(many ? many[k] : one);
  }
};

// The elements of each key, cut into groups that a thread makes at once.
struct KeyedGroups {
  std::int64_t each, groups, total;  // elements and groups of a key, groups of all keys
  FastDivisor per_key;               // `groups`, where there are several keys

  // Group `index` < total: its key's number and its number among the key's.
  __device__ __forceinline__ void locate(std::int64_t index, std::int64_t& key, std::int64_t& group) const {
    key = 0;
    if (total != groups) key = per_key.divide(std::uint32_t(index));
    group = index - key * groups;
  }
};

// Stores the first `left` of N elements, in packs where the address allows.
template <int N, class T>
__device__ __forceinline__ void store_group(T* to, const T (&x)[N], std::int64_t left) {
  constexpr int V = N < kPackOf<T> ? N : kPackOf<T>;
  if (left >= N && reinterpret_cast<std::uintptr_t>(to) % (V * sizeof(T)) == 0) {
#pragma unroll
    for (int i = 0; i < N; i += V) {
      Pack<T, V> p;
#pragma unroll
      for (int j = 0; j < V; ++j) p[j] = x[i + j];
      store_pack(to + i, p);
    }
  } else {
#pragma unroll
    for (int i = 0; i < N; ++i)
      if (i < left) to[i] = x[i];
  }
}

__device__ __forceinline__ float fused(float a, float b, float c) { return __fmaf_rn(a, b, c); }
__device__ __forceinline__ double fused(double a, double b, double c) { return __fma_rn(a, b, c); }
__device__ __forceinline__ float product(float a, float b) { return __fmul_rn(a, b); }  // never fused with a sum
__device__ __forceinline__ double product(double a, double b) { return __dmul_rn(a, b); }
__device__ __forceinline__ float root(float x) { return __fsqrt_rn(x); }
__device__ __forceinline__ double root(double x) { return ::sqrt(x); }

// C[0] + C[1] x + C[2] x^2 + ... ; C is a table of the CPU's, its elements become constants of the code.
template <const auto& C, int K>
inline constexpr auto kCoefficient = C[K];
template <const auto& C, class T, int... K>
__device__ __forceinline__ T polynomial(T x, std::integer_sequence<int, K...>) {
  constexpr int kLast = int(sizeof...(K));
  T r = kCoefficient<C, kLast>;
  ((r = fused(r, x, T(kCoefficient<C, kLast - 1 - K>))), ...);
  return r;
}
template <const auto& C, class T>
__device__ __forceinline__ T polynomial(T x) {
  return polynomial<C>(x, std::make_integer_sequence<int, int(std::size(C)) - 1>{});
}

// The words of a counter, as T's elements take them.
template <class T>
__device__ __forceinline__ auto word_of(const Philox4x32::Block& b, int i) {
  if constexpr (sizeof(T) == 4)
    return b.word[i];
  else
    return i == 0 ? b.low() : b.high();
}

// (0, 1] with the resolution of a word near 0.
__device__ __forceinline__ float open_uniform(std::uint32_t w) {
  return fused(float(std::int32_t(w >> 1)), 0x1p-31f, 0x1p-32f);
}
__device__ __forceinline__ double open_uniform(std::uint64_t w) { return fused(double(w >> 11), 0x1p-53, 0x1p-54); }

// log u for positive, normal u: 2^k (1 + f) with 1 + f in [sqrt(1/2), sqrt(2)).
__device__ __forceinline__ float log_of(float u) {
  using Table = cpu::detail::LogTable<float>;
  const std::int32_t from = __float_as_int(u) - Table::kSqrtHalf;
  const float k = float(from >> 23), f = __int_as_float((from & 0x7fffff) + Table::kSqrtHalf) - 1;
  const float t = f * f * fused(f, polynomial<Table::kTail>(f), -0.5f);
  return fused(k, Table::kLn2High, f + fused(k, Table::kLn2Low, t));
}
__device__ __forceinline__ double log_of(double u) {
  using Table = cpu::detail::LogTable<double>;
  const std::int64_t from = __double_as_longlong(u) - Table::kSqrtHalf;
  const double k = double(from >> 52), f = __longlong_as_double((from & 0xfffffffffffff) + Table::kSqrtHalf) - 1;
  const double half_square = 0.5 * f * f, s = f / (2 + f), z = s * s;
  const double t = fused(s, fused(z, polynomial<Table::kTail>(z), half_square), -half_square);
  return fused(k, Table::kLn2High, f + fused(k, Table::kLn2Low, t));
}

// cpu::detail::box_muller: `negative` and `swap` are the two bits that take the angle around the circle.
template <class T>
__device__ __forceinline__ void box_muller(T u, T angle, bool negative, bool swap, T deviation, T& x, T& y) {
  using Table = cpu::detail::TrigTable<T>;
  const T length = root(-2 * log_of(u)), radius = (negative ? -length : length) * deviation, z = angle * angle;
  const T sine = fused(z * angle, polynomial<Table::kSin>(z), angle);
  const T cosine = fused(z * z, polynomial<Table::kCos>(z), fused(z, T(-0.5), T(1)));
  x = product(radius, swap ? sine : cosine);  // a mean is added: in the 16-bit kernel as in the float one
  y = product(radius, swap ? cosine : sine);
}

// Elements of a counter's words, as cpu's kinds make them.
template <class T, class F>
__device__ __forceinline__ void make_each(const Philox4x32::Block& b, T* y, F f) {
#pragma unroll
  for (int i = 0; i < kPackOf<T>; ++i) y[i] = f(word_of<T>(b, i));
}
__device__ __forceinline__ void make(const cpu::WordDraw&, const Philox4x32::Block& b, std::uint32_t* y) {
  make_each(b, y, [](std::uint32_t w) { return w; });
}
template <class T, int Bits>
__device__ __forceinline__ void make(const cpu::UniformDraw<T, Bits>& kind, const Philox4x32::Block& b, T* y) {
  const T span = kind.high - kind.low;
  make_each(b, y, [&](auto w) {
    const T u = T(std::int64_t(w >> (8 * int(sizeof(T)) - Bits))) * (1 / T(std::int64_t(1) << Bits));
    const T x = product(u, span) + kind.low;
    return x < kind.high ? x : kind.low;
  });
}
template <class T>
__device__ __forceinline__ void make(const cpu::SignDraw<T>&, const Philox4x32::Block& b, T* y) {
  make_each(b, y, [](auto w) { return w >> (8 * sizeof(T) - 1) ? T(-1) : T(1); });
}
__device__ __forceinline__ void make(const cpu::LogExponentialDraw<float>&, const Philox4x32::Block& b, float* y) {
  make_each(b, y, [](std::uint32_t w) {
    const float u = open_uniform(w);
    return logf(-log1pf(-(u < 1 - 0x1p-24f ? u : 1 - 0x1p-24f)));
  });
}
__device__ __forceinline__ void make(const cpu::LogExponentialDraw<double>&, const Philox4x32::Block& b, double* y) {
  make_each(b, y, [](std::uint64_t w) {
    const double u = open_uniform(w);
    return ::log(-::log1p(-(u < 1 - 0x1p-53 ? u : 1 - 0x1p-53)));
  });
}
__device__ __forceinline__ void make(const cpu::NormalDraw<float>& kind, const Philox4x32::Block& b, float* y) {
#pragma unroll
  for (int i = 0; i < 4; i += 2) {
    const std::uint32_t turn = b.word[i + 1];
    const float angle = float(std::int32_t(turn << 2)) * 0x1.921fb6p-32f;  // pi / 4 / 2^31
    float x, z;
    box_muller(open_uniform(b.word[i]), angle, (turn >> 31) != 0, (turn >> 30 & 1) != 0, kind.deviation, x, z);
    y[i] = x + kind.mean;
    y[i + 1] = z + kind.mean;
  }
}
__device__ __forceinline__ void make(const cpu::NormalDraw<double>& kind, const Philox4x32::Block& b, double* y) {
  const std::uint64_t turn = b.high();
  const double angle = (double((turn << 2) >> 11) - 0x1p52) * 0x1.921fb54442d18p-53;  // pi / 4 / 2^52
  double x, z;
  box_muller(open_uniform(b.low()), angle, (turn >> 63) != 0, (turn >> 62 & 1) != 0, kind.deviation, x, z);
  y[0] = x + kind.mean;
  y[1] = z + kind.mean;
}

// Elements of a thread's group, and how many a counter gives.
template <class Kind>
inline constexpr int kPerCounter = int(16 / sizeof(typename Kind::value_type));
template <class Kind, class Out>
inline constexpr int kDrawGroup = kPerCounter<Kind>*(sizeof(Out) == 2 ? 2 : 1);

template <class Kind, class Out>
__global__ void __launch_bounds__(kDrawBlock) draw_kernel(Kind kind, Keys keys, Out* y, KeyedGroups shape) {
  using T = typename Kind::value_type;
  constexpr int kGroup = kDrawGroup<Kind, Out>, kEach = kPerCounter<Kind>;
#pragma unroll 1
  for (int k = 0; k < kDrawItems; ++k) {
    const std::int64_t index = (std::int64_t(blockIdx.x) * kDrawItems + k) * kDrawBlock + threadIdx.x;
    if (index >= shape.total) return;
    std::int64_t key, group;
    shape.locate(index, key, group);
    T x[kGroup];
#pragma unroll
    for (int c = 0; c < kGroup; c += kEach)
      make(kind, random_block(keys[key], std::uint64_t((group * kGroup + c) / kEach)), x + c);
    Out out[kGroup];
#pragma unroll
    for (int i = 0; i < kGroup; ++i) {
      if constexpr (sizeof(Out) == 2)
        out[i] = narrow<Out>(x[i]);
      else
        out[i] = Out(x[i]);
    }
    store_group(y + key * shape.each + group * kGroup, out, shape.each - group * kGroup);
  }
}

namespace detail {

// run(first key, shape) for as many keys at once as 32-bit indices of groups allow.
template <class F>
void over_keys(std::int64_t n_keys, std::int64_t each, int group, F run, std::int64_t most = 0x7fffffff) {
  if (n_keys == 0 || each == 0) return;
  const std::int64_t groups = (each + group - 1) / group, at_once = most / groups > 0 ? most / groups : 1;
  for (std::int64_t k = 0; k < n_keys; k += at_once) {
    const std::int64_t n = n_keys - k < at_once ? n_keys - k : at_once;
    run(k, KeyedGroups{each, groups, n * groups, FastDivisor::of(n > 1 ? groups : 1)});
  }
}
inline LaunchShape draw_shape(const KeyedGroups& s) {
  return {blocks_for(s.total, kDrawBlock * kDrawItems), kDrawBlock};
}

}  // namespace detail

// `count` elements of `kind` for each of n_keys keys, dense. Out is the kind's value_type, an
// integer of its size (the same bits), or a 16-bit type that is rounded to. `most` groups are indexed by one launch.
template <class Kind, class Out>
void launch_draw(Stream& stream, const Kind& kind, Keys keys, std::int64_t n_keys, std::int64_t count, Out* y,
                 std::int64_t most = 0x7fffffff) {
  detail::over_keys(
      n_keys, count, kDrawGroup<Kind, Out>,
      [&](std::int64_t k, const KeyedGroups& shape) {
        launch(stream, "random", detail::draw_shape(shape), draw_kernel<Kind, Out>, kind, keys + k, y + k * count,
               shape);
      },
      most);
}

}  // namespace ergo::inline ERGO_BUILD::cuda
