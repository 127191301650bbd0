// Random streams by vectors. A draw is a kind (uniform, normal, ...) over the blocks of Philox4x32-10 (core/philox.hpp):
// element i depends on the key and i alone, not on threads, instruction set, or how long the draw is. Words and uniforms have
// the same bits for every instruction set; normals, through logarithm and sine, agree within their accuracy of 2 ulp.
//
// Each 64-bit lane carries one block: the two products of a round need no shuffle then, and the halves of a word that are not
// the word are left as they fall, since the next multiplication reads 32 bits only.
#pragma once

#include "ergo/core/parallel.hpp"
#include "ergo/core/philox.hpp"
#include "ergo/cpu/isa.hpp"
#include "ergo/cpu/math_log.hpp"
#include "ergo/cpu/math_trig.hpp"

namespace ergo::inline ERGO_BUILD::cpu {

// Kinds of draw. Each has `value_type` and `write`, which makes the elements of as many blocks as a register has lanes of
// 64 bits.
struct WordDraw;  // raw 32-bit words
template <class T>
struct UniformDraw;  // [low, high), of `bits` random bits; T is float or double
template <class T>
struct NormalDraw;  // mean + deviation z, z standard normal by Box-Muller, a pair from a pair of words
template <class T>
struct LogExponentialDraw;  // log E, E exponential of rate 1: minus a standard Gumbel variate

// `each` elements for each of n keys, one key's after the other's, row-major into y.
template <class Draw>
void draw(const Draw& kind, const std::int64_t* keys, std::int64_t n, std::int64_t each, typename Draw::value_type* y);
// The same for one key, on this thread, beginning with the elements of block `first`.
template <class Draw>
void draw_run(const Draw& kind, std::uint64_t key, std::uint64_t first, typename Draw::value_type* y, std::int64_t n);

namespace detail {

template <int L>
using Words = Pack<std::uint64_t, L>;

// The products of the low 32 bits of each lane.
template <int L>
ERGO_INLINE Words<L> multiply_low(const Words<L>& a, const Words<L>& b) {
#if defined(__x86_64__) && !defined(__clang__)
  Words<L> r;
  if constexpr (L == 2) {
    r.v = (Vector<std::uint64_t, L>)__builtin_ia32_pmuludq128((Vector<std::int32_t, 4>)a.v, (Vector<std::int32_t, 4>)b.v);
  } else {  // g++ would multiply all 64 bits
    asm("vpmuludq %2, %1, %0" : "=v"(r.v) : "v"(a.v), "v"(b.v));
  }
  return r;
#else
  const Words<L> mask(0xffffffffu);
  return (a & mask) * (b & mask);
#endif
}

// Four words of L blocks, the low half of each lane valid. Lane l holds block `first` + order(l): blocks 0, L / 2, 1,
// L / 2 + 1, ..., so that interleaving two vectors within 16 bytes, which is one instruction, gives them in order.
template <int L>
struct Blocks {
  Words<L> word[4];

  ERGO_INLINE void start(std::uint64_t first) {
    const Words<L> iota = Words<L>::iota();
    word[0] = (iota >> 1) + (iota & Words<L>(1)) * Words<L>(L / 2) + Words<L>(first);
  }
  // Words `First` and `Second` of each block, side by side.
  template <int First, int Second>
  ERGO_INLINE Words<L> pair() const {
    return (word[First] & Words<L>(0xffffffffu)) | (word[Second] << 32);
  }
};

// b[j].word[0] holds block numbers; turns them into the blocks of `key`. N independent chains hide the latency of a round.
template <int N, int L>
ERGO_INLINE void encrypt(Blocks<L> (&b)[N], std::uint64_t key) {
  const Words<L> m0(Philox4x32::kMultiply0), m1(Philox4x32::kMultiply1);
  auto k0 = std::uint32_t(key), k1 = std::uint32_t(key >> 32);
#pragma GCC unroll 4
  for (int j = 0; j < N; ++j) {  // words 2 and 3 are 0: half of the first round
    const Words<L> p = multiply_low(b[j].word[0], m0), high = b[j].word[0] >> 32;
    b[j].word[0] = high ^ Words<L>(k0);
    b[j].word[1] = Words<L>();
    b[j].word[2] = (p >> 32) ^ Words<L>(k1);
    b[j].word[3] = p;
  }
#pragma GCC unroll 10
  for (int round = 1; round < Philox4x32::kRounds; ++round) {
    k0 += Philox4x32::kStep0;
    k1 += Philox4x32::kStep1;
#pragma GCC unroll 4
    for (int j = 0; j < N; ++j) {
      Words<L>* c = b[j].word;
      const Words<L> p0 = multiply_low(c[0], m0), p1 = multiply_low(c[2], m1);
      c[0] = (p1 >> 32) ^ c[1] ^ Words<L>(k0);
      c[1] = p1;
      c[2] = (p0 >> 32) ^ c[3] ^ Words<L>(k1);
      c[3] = p0;
    }
  }
}

// Units of U (1 or 2 lanes, 8 bytes) of a and b alternating, within each 16 bytes: the first of them, or the second.
template <int U, bool Second, class T, int W, int... K>
ERGO_INLINE Pack<T, W> interleave(const Pack<T, W>& a, const Pack<T, W>& b, std::integer_sequence<int, K...>) {
  constexpr int kPerGroup = 16 / int(sizeof(T)), kHalf = Second ? kPerGroup / 2 : 0;
  return shuffle<(K / kPerGroup * kPerGroup + kHalf + K % kPerGroup / (2 * U) * U + K % U + (K / U % 2 ? W : 0))...>(a, b);
}
template <int U = 1, class T, int W>
ERGO_INLINE Pack<T, W> interleave_low(const Pack<T, W>& a, const Pack<T, W>& b) {
  return interleave<U, false>(a, b, std::make_integer_sequence<int, W>{});
}
template <int U = 1, class T, int W>
ERGO_INLINE Pack<T, W> interleave_high(const Pack<T, W>& a, const Pack<T, W>& b) {
  return interleave<U, true>(a, b, std::make_integer_sequence<int, W>{});
}

// The same bytes as lanes of T.
template <class T, class S, int W>
ERGO_INLINE auto lanes_of(const Pack<S, W>& a) {
  Pack<T, W * int(sizeof(S)) / int(sizeof(T))> r;
  r.v = (decltype(r.v))a.v;
  return r;
}

// The words of L blocks in order, as two registers.
template <class T, int L>
struct Ordered {
  decltype(lanes_of<T>(Words<L>())) low, high;
  ERGO_INLINE explicit Ordered(const Blocks<L>& b) {
    const Words<L> first = b.template pair<0, 1>(), second = b.template pair<2, 3>();
    low = lanes_of<T>(interleave_low(first, second));
    high = lanes_of<T>(interleave_high(first, second));
  }
};

// Integers below 2^53 as doubles, exactly: in two halves, each placed into the fraction of a power of two.
template <int W>
ERGO_INLINE Pack<double, W> to_double(const Pack<std::uint64_t, W>& a) {
  using U = Pack<std::uint64_t, W>;
  const auto high = ((a >> 32) | U(0x4530000000000000)).template as<double>();                // 2^84 + 2^32 floor(a / 2^32)
  const auto low = ((a & U(0xffffffffu)) | U(0x4330000000000000)).template as<double>();     // 2^52 + a mod 2^32
  return (high - Pack<double, W>(0x1.00000001p84)) + low;
}

// a as it is: what follows cannot be contracted with the operation that made it, which would depend on the instruction set.
template <class P>
ERGO_INLINE P rounded(P a) {
#if defined(__x86_64__)
  asm("" : "+x"(a.v));
#else
  asm("" : "+m"(a.v));
#endif
  return a;
}

// Minus the logarithm of u in (0, 1]; no special cases.
template <class T, int W>
ERGO_INLINE Pack<T, W> minus_log(const Pack<T, W>& u) {
  using A = Pack<T, W>;
  const auto e = log_parts(u, false);
  return -fma(e.k, A(LogTable<T>::kLn2High), e.f + fma(e.k, A(LogTable<T>::kLn2Low), e.t));
}

// A pair of standard normals: radius sqrt(-2 log u), and an angle in [-pi / 4, pi / 4) that a swap of its sine and cosine and
// a sign take around the circle. `sign` has random sign bits, `swap` is random.
template <class T, int W, class M>
ERGO_INLINE void box_muller(const Pack<T, W>& u, const Pack<T, W>& angle, const Pack<T, W>& sign, const M& swap, Pack<T, W>& x,
                            Pack<T, W>& y) {
  using A = Pack<T, W>;
  const A r = xor_bits(sqrt(A(2) * minus_log(u)), sign_bit(sign));
  const Reduced<A> e{angle, A(), {}};
  const A s = r * sin_reduced(e), c = r * cos_reduced(e);
  x = where(swap, s, c);
  y = where(swap, c, s);
}

template <class Draw>
struct DrawBody {
  template <Isa I>
  static ERGO_INLINE void run(const Draw* kind, std::uint64_t key, std::uint64_t first, typename Draw::value_type* y,
                              std::int64_t n) {
    using T = typename Draw::value_type;
    constexpr int L = kRegisterBytes<I> / 8, kChains = 2, kEach = 16 * L / int(sizeof(T));
    Blocks<L> b[kChains];
    const auto next = [&](T* to) __attribute__((always_inline)) {
      for (int j = 0; j < kChains; ++j) b[j].start(first + std::uint64_t(j * L));
      encrypt(b, key);
      for (int j = 0; j < kChains; ++j) kind->write(b[j], to + j * kEach);
      first += kChains * L;
    };
    for (; n >= kChains * kEach; n -= kChains * kEach, y += kChains * kEach) next(y);
    if (n == 0) return;
    T rest[kChains * kEach];
    next(rest);
    __builtin_memcpy(y, rest, std::size_t(n) * sizeof(T));
  }
};

}  // namespace detail

struct WordDraw {
  using value_type = std::uint32_t;
  template <int L>
  ERGO_INLINE void write(const detail::Blocks<L>& b, std::uint32_t* y) const {
    const detail::Ordered<std::uint32_t, L> w(b);
    w.low.store(y);
    w.high.store(y + 2 * L);
  }
};

template <>
struct UniformDraw<float> {
  using value_type = float;
  float low = 0, high = 1;
  int bits = 24;  // fewer for types with shorter fractions
  template <int L>
  ERGO_INLINE void write(const detail::Blocks<L>& b, float* y) const {
    const detail::Ordered<std::uint32_t, L> w(b);
    scaled(w.low).store(y);
    scaled(w.high).store(y + 2 * L);
  }

 private:
  // Where low + (high - low) u rounds to high it becomes low: each representable number keeps its share.
  template <int W>
  ERGO_INLINE Pack<float, W> scaled(const Pack<std::uint32_t, W>& w) const {
    using A = Pack<float, W>;
    const A u = (w >> (32 - bits)).template as<std::int32_t>().template to<float>() * A(1.0f / float(1 << bits));
    const A x = detail::rounded(u * A(high - low)) + A(low);
    return where(x < A(high), x, A(low));
  }
};

template <>
struct UniformDraw<double> {
  using value_type = double;
  double low = 0, high = 1;
  template <int L>
  ERGO_INLINE void write(const detail::Blocks<L>& b, double* y) const {
    const detail::Ordered<std::uint64_t, L> w(b);
    scaled(w.low).store(y);
    scaled(w.high).store(y + L);
  }

 private:
  template <int W>
  ERGO_INLINE Pack<double, W> scaled(const Pack<std::uint64_t, W>& w) const {
    using A = Pack<double, W>;
    const A u = detail::to_double(w >> 11) * A(0x1p-53);
    const A x = detail::rounded(u * A(high - low)) + A(low);
    return where(x < A(high), x, A(low));
  }
};

template <>
struct NormalDraw<float> {
  using value_type = float;
  float mean = 0, deviation = 1;
  // Words 0 and 2 of a block make radii, 1 and 3 angles.
  template <int L>
  ERGO_INLINE void write(const detail::Blocks<L>& b, float* y) const {
    using A = Pack<float, 2 * L>;
    using I = Pack<std::int32_t, 2 * L>;
    const auto radius = detail::lanes_of<std::uint32_t>(b.template pair<0, 2>());
    const I turn = detail::lanes_of<std::int32_t>(b.template pair<1, 3>());
    const A u = ((radius >> 1).template as<std::int32_t>().template to<float>() + A(0.5f)) * A(0x1p-31f);
    const A angle = (turn << 2).template to<float>() * A(0x1.921fb6p-32f);  // pi / 4 / 2^31
    A x, z;
    detail::box_muller(u, angle, turn.template as<float>(), (turn << 1) < I(), x, z);
    scaled(detail::interleave_low(x, z)).store(y);
    scaled(detail::interleave_high(x, z)).store(y + 2 * L);
  }

 private:
  template <int W>
  ERGO_INLINE Pack<float, W> scaled(const Pack<float, W>& z) const {
    return fma(z, Pack<float, W>(deviation), Pack<float, W>(mean));
  }
};

template <>
struct NormalDraw<double> {
  using value_type = double;
  double mean = 0, deviation = 1;
  template <int L>
  ERGO_INLINE void write(const detail::Blocks<L>& b, double* y) const {
    using A = Pack<double, L>;
    using I = Pack<std::int64_t, L>;
    const auto radius = b.template pair<0, 1>(), turn = b.template pair<2, 3>();
    const A u = (detail::to_double(radius >> 11) + A(0.5)) * A(0x1p-53);
    const A angle = (detail::to_double((turn << 2) >> 11) - A(0x1p52)) * A(0x1.921fb54442d18p-53);  // pi / 4 / 2^52
    A x, z;
    detail::box_muller(u, angle, turn.template as<double>(), (turn << 1).template as<std::int64_t>() < I(), x, z);
    scaled(detail::interleave_low(x, z)).store(y);
    scaled(detail::interleave_high(x, z)).store(y + L);
  }

 private:
  template <int W>
  ERGO_INLINE Pack<double, W> scaled(const Pack<double, W>& z) const {
    return fma(z, Pack<double, W>(deviation), Pack<double, W>(mean));
  }
};

// E = -log(1 - u): small E, the ones that win a race, have the resolution of u near 0.
template <>
struct LogExponentialDraw<float> {
  using value_type = float;
  template <int L>
  ERGO_INLINE void write(const detail::Blocks<L>& b, float* y) const {
    const detail::Ordered<std::uint32_t, L> w(b);
    of(w.low).store(y);
    of(w.high).store(y + 2 * L);
  }

 private:
  template <int W>
  static ERGO_INLINE Pack<float, W> of(const Pack<std::uint32_t, W>& w) {
    using A = Pack<float, W>;
    const A u = ((w >> 1).template as<std::int32_t>().template to<float>() + A(0.5f)) * A(0x1p-31f);
    return log(-log1p(-minimum(u, A(1 - 0x1p-24f))));
  }
};
template <>
struct LogExponentialDraw<double> {
  using value_type = double;
  template <int L>
  ERGO_INLINE void write(const detail::Blocks<L>& b, double* y) const {
    const detail::Ordered<std::uint64_t, L> w(b);
    of(w.low).store(y);
    of(w.high).store(y + L);
  }

 private:
  template <int W>
  static ERGO_INLINE Pack<double, W> of(const Pack<std::uint64_t, W>& w) {
    using A = Pack<double, W>;
    const A u = (detail::to_double(w >> 11) + A(0.5)) * A(0x1p-53);
    return log(-log1p(-minimum(u, A(1 - 0x1p-53))));
  }
};

template <class Draw>
void draw_run(const Draw& kind, std::uint64_t key, std::uint64_t first, typename Draw::value_type* y, std::int64_t n) {
  for_isa<detail::DrawBody<Draw>>(&kind, key, first, y, n);
}

template <class Draw>
void draw(const Draw& kind, const std::int64_t* keys, std::int64_t n, std::int64_t each, typename Draw::value_type* y) {
  constexpr std::int64_t kChunk = 16384, kPerBlock = 16 / sizeof(typename Draw::value_type);
  const std::int64_t chunks = (each + kChunk - 1) / kChunk;
  parallel_for(n * chunks, 1 + (kChunk - 1) / (each + 1), [&](std::int64_t begin, std::int64_t end) {
    for (std::int64_t i = begin; i < end; ++i) {
      const std::int64_t lane = i / chunks, from = i % chunks * kChunk, count = each - from < kChunk ? each - from : kChunk;
      draw_run(kind, std::uint64_t(keys[lane]), std::uint64_t(from / kPerBlock), y + lane * each + from, count);
    }
  });
}

}  // namespace ergo::inline ERGO_BUILD::cpu
