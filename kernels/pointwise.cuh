// y[i] = f(x0[i], x1[i], ...) over the broadcast of the operands: the one kernel family under every Pointwise struct,
// its fused first-order rules, and `map`. f is any functor of device scalars (common/scalar.cuh).
//
// The axes of the broadcast arrive collapsed. A thread takes kPacks packs of up to 16 bytes, a block's stride apart, so
// that as many loads are in flight; indices along more than one axis are taken apart once for all operands, by
// multiplication. Packs need an innermost axis along which every operand is dense or constant, and alignment; what is
// left of one axis after whole packs, and every other layout, goes element by element. One launch up to 2^31 packs.
#pragma once

#include <cstring>
#include <utility>

#include "ergo/core/shape.hpp"
#include "ergo/kernels/common/pack.cuh"
#include "ergo/kernels/common/scalar.cuh"
#include "ergo/kernels/common/view.cuh"

namespace ergo::inline ERGO_BUILD::cuda {

inline constexpr int kMapOperands = 10, kMapBlock = 256;

// What a launcher is told: the collapsed axes, outermost first, of a row-major y, and of each operand its byte strides;
// an operand without data is `value`, the bits of one element, everywhere. `self` is the functor's own data, if any.
struct MapCall {
  struct Operand {
    const std::byte* data;
    std::uint64_t value;
    std::int64_t stride[kMaxRank];
  };
  std::byte* y;
  const void* self;
  int rank;
  std::int64_t extent[kMaxRank];
  Operand x[kMapOperands];

  std::int64_t numel() const {
    std::int64_t n = 1;
    for (int d = 0; d < rank; ++d) n *= extent[d];
    return n;
  }
};
using MapLaunch = void (*)(Stream&, const char* name, const MapCall&);

// F::value on device scalars.
template <class F>
struct ValueOf {
  static ValueOf from(const void*) { return {}; }
  template <class... X>
  __device__ __forceinline__ auto operator()(const X&... x) const {
    return F::value(x...);  // constexpr, else nvcc refuses it
  }
};

// The kernel's own view of a call: the innermost axis counted in packs. As its arrays are indexed by numbers that are
// not known when it is compiled, the parameters stay where they are (__grid_constant__), else each thread would copy
// them.
template <int N>
struct MapOperands {
  const std::byte* data[N];
  std::uint64_t value[N];
  std::int64_t stride[N][kMaxRank];  // bytes; of the innermost axis, a pack's
};
struct MapSpace {
  int rank;
  std::uint32_t packs;  // the last may be a part
  std::int64_t count;   // elements
  FastDivisor extent[kMaxRank];
};

template <class T>
__device__ __forceinline__ T element_of(std::uint64_t bits) {
  T x;
  memcpy(&x, &bits, sizeof(T));
  return x;
}

// A thread's packs of one operand.
template <class T, int V, int P>
struct Taken {
  Pack<T, V> at[P];
};

// Whole: all packs of the block exist and are full, which nearly all blocks know; nothing is checked then.
template <bool Whole, int V, int P, class F, class Out, class... In>
struct MapBody {
  static constexpr int N = int(sizeof...(In));

  template <int K, class T>
  static __device__ __forceinline__ Taken<T, V, P> take(const MapOperands<N>& x, const MapSpace& s,
                                                        const std::uint32_t (&index)[P],
                                                        const std::int64_t (&offset)[P][N]) {
    Taken<T, V, P> r{};
    const std::byte* data = x.data[K];
    if (x.stride[K][s.rank - 1] == 0) {
#pragma unroll
      for (int p = 0; p < P; ++p) {
        T one = element_of<T>(x.value[K]);
        if (data && (Whole || index[p] < s.packs)) one = *reinterpret_cast<const T*>(data + offset[p][K]);
#pragma unroll
        for (int v = 0; v < V; ++v) r.at[p][v] = one;
      }
    } else {
#pragma unroll
      for (int p = 0; p < P; ++p) {
        const T* at = reinterpret_cast<const T*>(data + offset[p][K]);
        if (Whole || std::int64_t(index[p]) * V + V <= s.count) {
          r.at[p] = load_pack<V>(at);
        } else if (index[p] < s.packs) {
#pragma unroll
          for (int v = 0; v < V; ++v) r.at[p][v] = std::int64_t(index[p]) * V + v < s.count ? at[v] : at[0];
        }
      }
    }
    return r;
  }
  static __device__ __forceinline__ void compute(const F& f, Out* y, const MapSpace& s, const std::uint32_t (&index)[P],
                                                 const Taken<In, V, P>&... x) {
#pragma unroll
    for (int p = 0; p < P; ++p) {
      if (!Whole && index[p] >= s.packs) continue;
      Pack<Out, V> r;
#pragma unroll
      for (int v = 0; v < V; ++v) r[v] = narrow<Out>(f(Scalar<Compute<In>>(widen(x.at[p][v]))...).v);
      const std::int64_t first = std::int64_t(index[p]) * V;
      if (Whole || V == 1 || first + V <= s.count) {
        store_pack(y + first, r);
      } else {
#pragma unroll
        for (int v = 0; v < V; ++v)
          if (first + v < s.count) y[first + v] = r[v];
      }
    }
  }
  template <int... K>
  static __device__ __forceinline__ void run(const F& f, Out* y, const MapOperands<N>& x, const MapSpace& s,
                                             std::integer_sequence<int, K...>) {
    std::uint32_t index[P];
    std::int64_t offset[P][N];
#pragma unroll
    for (int p = 0; p < P; ++p) {
      index[p] = blockIdx.x * (kMapBlock * P) + unsigned(p) * kMapBlock + threadIdx.x;
      std::uint32_t rest = index[p];
#pragma unroll
      for (int k = 0; k < N; ++k) offset[p][k] = 0;
      for (int d = s.rank - 1; d > 0; --d) {
        const std::uint32_t q = s.extent[d].divide(rest), c = rest - q * s.extent[d].divisor;
        rest = q;
#pragma unroll
        for (int k = 0; k < N; ++k) offset[p][k] += c * x.stride[k][d];
      }
#pragma unroll
      for (int k = 0; k < N; ++k) offset[p][k] += rest * x.stride[k][0];
    }
    compute(f, y, s, index, take<K, In>(x, s, index, offset)...);
  }
};

template <int V, int P, class F, class Out, class... In>
__global__ void __launch_bounds__(kMapBlock)
    map_kernel(F f, Out* y, const __grid_constant__ MapOperands<int(sizeof...(In))> x,
               const __grid_constant__ MapSpace space) {
  constexpr auto operands = std::make_integer_sequence<int, int(sizeof...(In))>{};
  if ((std::int64_t(blockIdx.x) + 1) * (kMapBlock * P * V) <= space.count)
    MapBody<true, V, P, F, Out, In...>::run(f, y, x, space, operands);
  else
    MapBody<false, V, P, F, Out, In...>::run(f, y, x, space, operands);
}

// What is the same for every functor, compiled once: which kernel a call takes, and its parameters.
struct MapKernels {
  int operands;
  int elements;              // of a pack
  std::size_t out_width;     // bytes of an element
  const std::size_t* width;  // of the operands'
  MapLaunch packed, scattered;
};

// Packs serve: see above.
inline bool packs_fit(const MapCall& c, const MapKernels& k) {
  const int last = c.rank - 1, V = k.elements;
  const auto whole = [](const void* p, std::size_t bytes) { return reinterpret_cast<std::uintptr_t>(p) % bytes == 0; };
  bool fit = whole(c.y, k.out_width * std::size_t(V)) && (c.rank == 1 || c.extent[last] % V == 0);
  for (int i = 0; i < k.operands && fit; ++i) {
    const auto& x = c.x[i];
    if (x.stride[last] == 0) continue;
    const auto pack = std::int64_t(k.width[i]) * V;
    fit = x.stride[last] == std::int64_t(k.width[i]) && whole(x.data, std::size_t(pack));
    for (int d = 0; d < last; ++d) fit = fit && x.stride[d] % pack == 0;
  }
  return fit;
}

inline void launch_map_of(Stream& stream, const char* name, const MapCall& c, const MapKernels& k) {
  const std::int64_t count = c.numel();
  if (count == 0) return;
  constexpr std::int64_t kMost = std::int64_t{1} << 30;  // packs of a launch: indices stay below 2^31
  if (count > kMost) {
    // Half of the outermost axis after the other.
    MapCall half = c;
    const std::int64_t n = c.rank == 1 ? c.extent[0] / 2 / k.elements * k.elements : c.extent[0] / 2;
    half.extent[0] = n;
    launch_map_of(stream, name, half, k);
    half.extent[0] = c.extent[0] - n;
    half.y += count / c.extent[0] * n * std::int64_t(k.out_width);
    for (int i = 0; i < k.operands; ++i)
      if (half.x[i].data) half.x[i].data += n * half.x[i].stride[0];
    return launch_map_of(stream, name, half, k);
  }
  (k.elements > 1 && packs_fit(c, k) ? k.packed : k.scattered)(stream, name, c);
}

inline MapSpace map_space(const MapCall& c, int V) {
  const int last = c.rank - 1;
  const std::int64_t count = c.numel();
  MapSpace s{c.rank, std::uint32_t((count + V - 1) / V), count, {}};
  for (int d = 0; d < c.rank; ++d) s.extent[d] = FastDivisor::of(d == last && d > 0 ? c.extent[d] / V : c.extent[d]);
  return s;
}

template <int N>
MapOperands<N> map_operands(const MapCall& c, int V) {
  MapOperands<N> x;
  for (int k = 0; k < N; ++k) {
    x.data[k] = c.x[k].data;
    x.value[k] = c.x[k].value;
    for (int d = 0; d < c.rank; ++d) x.stride[k][d] = c.x[k].stride[d] * (d == c.rank - 1 ? V : 1);
  }
  return x;
}

template <int V, int P, class F, class Out, class... In>
void launch_map_kernel(Stream& stream, const char* name, const MapCall& c) {
  const MapSpace space = map_space(c, V);
  launch(stream, name, {blocks_for(space.packs, kMapBlock * P), kMapBlock}, map_kernel<V, P, F, Out, In...>,
         F::from(c.self), reinterpret_cast<Out*>(c.y), map_operands<int(sizeof...(In))>(c, V), space);
}

template <class F, class Out, class... In>
void launch_map(Stream& stream, const char* name, const MapCall& c) {
  static constexpr std::size_t widths[] = {sizeof(In)...};
  constexpr int V = [] {
    std::size_t most = sizeof(Out);
    for (std::size_t w : widths) most = w > most ? w : most;
    return int(16 / most);
  }();
  constexpr int P = sizeof...(In) <= 3 ? 2 : 1;
  launch_map_of(stream, name, c,
                {int(sizeof...(In)), V, sizeof(Out), widths, launch_map_kernel<V, P, F, Out, In...>,
                 launch_map_kernel<1, P, F, Out, In...>});
}

}  // namespace ergo::inline ERGO_BUILD::cuda
