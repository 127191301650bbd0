// Draws of random numbers on the CPU. A draw is a kind (uniform, normal, ...) over the Philox blocks of a key: element
// i depends on the key and i alone, not on threads, instruction set, or how long the draw is. Words and uniforms have
// the same bits for every instruction set; normals, through logarithm and sine, agree within 4 units of the last place.
#pragma once

#include "ergo/core/parallel.hpp"
#include "ergo/cpu/math_log.hpp"
#include "ergo/cpu/math_trig.hpp"
#include "ergo/cpu/random_blocks.hpp"

namespace ergo::inline ERGO_BUILD::cpu {

// Kinds of draw. Each has `value_type` and a `Loop<L>`, made once per run, whose `write` turns L blocks into elements.
struct WordDraw;  // raw 32-bit words
template <class T, int Bits>
struct UniformDraw;  // [low, high) in steps of 2^-Bits of the range; T is float or double
template <class T>
struct NormalDraw;  // mean + deviation z, z standard normal by Box-Muller: two numbers from two words of T's size
template <class T>
struct SignDraw;  // -1 or 1
template <class T>
struct LogExponentialDraw;  // log E, E exponential of rate 1: minus a standard Gumbel variate

// `each` elements for each of n keys, one key's after the other's, into y.
template <class Draw>
void draw(const Draw& kind, const std::int64_t* keys, std::int64_t n, std::int64_t each, typename Draw::value_type* y);
// n elements for one key, on this thread, beginning with those of block `first`.
template <class Draw>
void draw_run(const Draw& kind, std::uint64_t key, std::uint64_t first, typename Draw::value_type* y, std::int64_t n);

namespace detail {

template <class T>
using WordOf = UnsignedOf<T>;
template <class T, int L>
using DrawPack = Pack<T, 8 * L / int(sizeof(T))>;

// x in every lane, from memory: g++ would insert a number that is not known to it lane by lane, in the loop.
template <class A>
ERGO_INLINE A broadcast(typename A::value_type x) {
  typename A::value_type lanes[A::kLanes];
  for (auto& lane : lanes) lane = x;
  return A::load(lanes);
}

// a as it is: what follows cannot be contracted with the operation that made it, which would depend on the instruction
// set. clang contracts within an expression only.
template <class P>
ERGO_INLINE P rounded(P a) {
#if defined(__x86_64__) && !defined(__clang__)
  asm("" : "+x"(a.v));
#elif !defined(__clang__)
  asm("" : "+m"(a.v));
#endif
  return a;
}

// Integers below 2^53 as doubles, exactly: in two halves, each placed into the fraction of a power of two.
template <int W>
ERGO_INLINE Pack<double, W> to_double(const Pack<std::uint64_t, W>& a) {
  using U = Pack<std::uint64_t, W>;
  const auto high = ((a >> 32) | U(0x4530000000000000)).template as<double>();            // 2^84 + 2^32 floor(a / 2^32)
  const auto low = ((a & U(0xffffffffu)) | U(0x4330000000000000)).template as<double>();  // 2^52 + a mod 2^32
  return (high - Pack<double, W>(0x1.00000001p84)) + low;
}

// (0, 1] with the resolution of a word near 0.
template <int W>
ERGO_INLINE Pack<float, W> open_uniform(const Pack<std::uint32_t, W>& w) {
  using A = Pack<float, W>;
  return fma((w >> 1).template as<std::int32_t>().template to<float>(), A(0x1p-31f), A(0x1p-32f));
}
template <int W>
ERGO_INLINE Pack<double, W> open_uniform(const Pack<std::uint64_t, W>& w) {
  return fma(to_double(w >> 11), Pack<double, W>(0x1p-53), Pack<double, W>(0x1p-54));
}

// A pair of normals of the standard deviation given: radius sqrt(-2 log u), and an angle in [-pi / 4, pi / 4) that the
// two top bits of `turn` take around the circle, one as a sign, one by swapping cosine and sine.
template <class T, int W>
ERGO_INLINE void box_muller(const Pack<T, W>& u, const Pack<T, W>& angle, const Pack<SignedOf<T>, W>& turn,
                            const Pack<T, W>& deviation, Pack<T, W>& x, Pack<T, W>& y) {
  using A = Pack<T, W>;
  const auto e = log_parts(u, false);
  const A log_u = fma(e.k, A(LogTable<T>::kLn2High), e.f + fma(e.k, A(LogTable<T>::kLn2Low), e.t));
  const A radius = xor_bits(sqrt(A(-2) * log_u), sign_bit(turn.template as<T>())) * deviation;
  const A z = angle * angle, sine = fma(z * angle, polynomial(z, TrigTable<T>::kSin), angle);
  const A cosine = fma(z * z, polynomial(z, TrigTable<T>::kCos), fma(z, A(-0.5), A(1)));
  const auto swap = (turn << 1) < Pack<SignedOf<T>, W>();
  x = radius * where(swap, sine, cosine);
  y = radius * where(swap, cosine, sine);
}

// f.of(words) for the words of L blocks in order.
template <class F, int L, class T>
ERGO_INLINE void write_each(const F& f, const Blocks<L>& b, T* y) {
  const Ordered<WordOf<T>, L> w(b);
  f.of(w.low).store(y);
  f.of(w.high).store(y + decltype(w.low)::kLanes);
}

template <class Draw>
struct DrawBody {
  template <Isa I>
  static ERGO_INLINE void run(const Draw* kind, std::uint64_t key, std::uint64_t first, typename Draw::value_type* y,
                              std::int64_t n) {
    using T = typename Draw::value_type;
    constexpr int L = kRegisterBytes<I> / 8, kChains = 2, kEach = 16 * L / int(sizeof(T));
    typename Draw::template Loop<L> loop(*kind);
    asm("" : "+m"(loop));  // its packs stay in memory, as the keys do
    const RoundKeys<L> keys(key);
    Words<L> at = Blocks<L>::order() + Words<L>(first);
    const auto next = [&](T* to) __attribute__((always_inline)) {
      Blocks<L> b[kChains];
#pragma GCC unroll 4
      for (int j = 0; j < kChains; ++j, at += Words<L>(L)) b[j].word[0] = at;
      encrypt(b, keys);
#pragma GCC unroll 4
      for (int j = 0; j < kChains; ++j) loop.write(b[j], to + j * kEach);
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
  struct Loop {
    ERGO_INLINE explicit Loop(const WordDraw&) {}
    ERGO_INLINE void write(const detail::Blocks<L>& b, std::uint32_t* y) const { detail::write_each(*this, b, y); }
    template <class P>
    ERGO_INLINE P of(const P& w) const {
      return w;
    }
  };
};

template <class T, int Bits>
struct UniformDraw {
  using value_type = T;
  T low = 0, high = 1;

  template <int L>
  struct Loop {
    using A = detail::DrawPack<T, L>;
    A low, high, span;
    ERGO_INLINE explicit Loop(const UniformDraw& d)
        : low(detail::broadcast<A>(d.low)),
          high(detail::broadcast<A>(d.high)),
          span(detail::broadcast<A>(d.high - d.low)) {}
    ERGO_INLINE void write(const detail::Blocks<L>& b, T* y) const { detail::write_each(*this, b, y); }
    // Where low + span u rounds to high it becomes low: each representable number keeps its share.
    template <class P>
    ERGO_INLINE A of(const P& w) const {
      const A u = number(w >> (8 * int(sizeof(T)) - Bits)) * A(1 / T(std::int64_t(1) << Bits));
      const A x = detail::rounded(u * span) + low;
      return where(x < high, x, low);
    }

   private:
    static ERGO_INLINE auto number(const Pack<std::uint32_t, A::kLanes>& w) {
      return w.template as<std::int32_t>().template to<float>();
    }
    static ERGO_INLINE auto number(const Pack<std::uint64_t, A::kLanes>& w) { return detail::to_double(w); }
  };
};

template <class T>
struct NormalDraw {
  using value_type = T;
  T mean = 0, deviation = 1;

  template <int L>
  struct Loop {
    using A = detail::DrawPack<T, L>;
    A mean, deviation;
    ERGO_INLINE explicit Loop(const NormalDraw& d)
        : mean(detail::broadcast<A>(d.mean)), deviation(detail::broadcast<A>(d.deviation)) {}
    // float: words 0 and 2 of a block are radii, 1 and 3 angles. double: its first half is a radius, its last an angle.
    ERGO_INLINE void write(const detail::Blocks<L>& b, T* y) const {
      A x, z;
      if constexpr (sizeof(T) == 4) {
        const auto turn = detail::lanes_of<std::int32_t>(b.template pair<1, 3>());
        const A angle = (turn << 2).template to<float>() * A(0x1.921fb6p-32f);  // pi / 4 / 2^31
        detail::box_muller(detail::open_uniform(detail::lanes_of<std::uint32_t>(b.template pair<0, 2>())), angle, turn,
                           deviation, x, z);
      } else {
        const auto turn = b.template pair<2, 3>();
        const A angle = (detail::to_double((turn << 2) >> 11) - A(0x1p52)) * A(0x1.921fb54442d18p-53);  // pi / 4 / 2^52
        detail::box_muller(detail::open_uniform(b.template pair<0, 1>()), angle, turn.template as<std::int64_t>(),
                           deviation, x, z);
      }
      (detail::interleave_low(x, z) + mean).store(y);
      (detail::interleave_high(x, z) + mean).store(y + A::kLanes);
    }
  };
};

template <class T>
struct SignDraw {
  using value_type = T;
  template <int L>
  struct Loop {
    ERGO_INLINE explicit Loop(const SignDraw&) {}
    ERGO_INLINE void write(const detail::Blocks<L>& b, T* y) const { detail::write_each(*this, b, y); }
    template <class P>
    ERGO_INLINE auto of(const P& w) const {
      using A = Pack<T, P::kLanes>;
      return detail::or_bits(A(1), detail::sign_bit(w.template as<T>()));
    }
  };
};

template <class T>
struct LogExponentialDraw {
  using value_type = T;
  template <int L>
  struct Loop {
    ERGO_INLINE explicit Loop(const LogExponentialDraw&) {}
    ERGO_INLINE void write(const detail::Blocks<L>& b, T* y) const { detail::write_each(*this, b, y); }
    // E = -log(1 - u): a small E, which wins a race, has the resolution of u near 0.
    template <class P>
    ERGO_INLINE auto of(const P& w) const {
      using A = Pack<T, P::kLanes>;
      return log(-log1p(-minimum(detail::open_uniform(w), A(T(1 - (sizeof(T) == 4 ? 0x1p-24 : 0x1p-53))))));
    }
  };
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
      const std::int64_t lane = i / chunks, from = i % chunks * kChunk;
      const std::int64_t count = each - from < kChunk ? each - from : kChunk;
      draw_run(kind, std::uint64_t(keys[lane]), std::uint64_t(from / kPerBlock), y + lane * each + from, count);
    }
  });
}

}  // namespace ergo::inline ERGO_BUILD::cpu
