// Rotary positions on rows of heads: pairs of channels turned by an angle that grows with the position. A position's
// cosines and sines are made once, in double, for all heads and all batches that share it.
#pragma once

#include <cmath>

#include "ergo/core/parallel.hpp"
#include "ergo/cpu/isa.hpp"
#include "ergo/cpu/pack.hpp"
#include "ergo/cpu/scratch.hpp"

namespace ergo::inline ERGO_BUILD {

namespace detail {
// The first `dims` channels are turned by position / base^(2 i / dims): channels i and i + dims / 2, or 2 i and 2 i +
// 1; back if `inverse`.
struct RotaryRule {
  std::int64_t dims;
  double base;
  bool interleaved, inverse;
};
}  // namespace detail

namespace cpu {
namespace detail {

// y = x cosine + (the partner of x) sine on rows of `width`, of which the first `dims` are turned; the sine carries the
// partner's sign.
template <class T>
struct RotaryBody {
  template <Isa I>
  static ERGO_INLINE void run(const T* x, T* y, const T* cosine, const T* sine, std::int64_t rows, std::int64_t width,
                              std::int64_t dims, bool interleaved) {
    using P = Pack<T, kRegisterBytes<I> / int(sizeof(T))>;
    for (std::int64_t r = 0; r < rows; ++r, x += width, y += width) {
      if (interleaved) {
        for (std::int64_t c = 0; c < dims; c += P::kLanes) {
          const std::int64_t n = dims - c;
          if (n >= P::kLanes) {
            const P a = P::load(x + c);
            fma(a, P::load(cosine + c), swapped(a) * P::load(sine + c)).store(y + c);
          } else {
            const P a = P::load_part(x + c, int(n));
            fma(a, P::load_part(cosine + c, int(n)), swapped(a) * P::load_part(sine + c, int(n)))
                .store_part(y + c, int(n));
          }
        }
      } else {
        const std::int64_t half = dims / 2;
        turn<P>(x, x + half, y, cosine, sine, half);
        turn<P>(x + half, x, y + half, cosine + half, sine + half, half);
      }
      for (std::int64_t c = dims; c < width; ++c) y[c] = x[c];
    }
  }

 private:
  template <class P>
  static ERGO_INLINE void turn(const T* x, const T* partner, T* y, const T* cosine, const T* sine, std::int64_t n) {
    std::int64_t c = 0;
    for (; c + P::kLanes <= n; c += P::kLanes)
      fma(P::load(x + c), P::load(cosine + c), P::load(partner + c) * P::load(sine + c)).store(y + c);
    if (const int some = int(n - c); some > 0)
      fma(P::load_part(x + c, some), P::load_part(cosine + c, some),
          P::load_part(partner + c, some) * P::load_part(sine + c, some))
          .store_part(y + c, some);
  }
  template <class P>
  static ERGO_INLINE P swapped(const P& a) {
    return swapped(a, std::make_integer_sequence<int, P::kLanes>{});
  }
  template <class P, int... K>
  static ERGO_INLINE P swapped(const P& a, std::integer_sequence<int, K...>) {
    return shuffle<(K ^ 1)...>(a, a);
  }
};

}  // namespace detail

// y from x, dense (outer, heads, width); position[place(i)] is that of row i of the `outer`, of `places` in all.
template <class T, class I, class Place>
void rotary(const T* x, T* y, std::int64_t outer, std::int64_t heads, std::int64_t width, const I* position,
            std::int64_t places, const Place& place, const ergo::detail::RotaryRule& rule) {
  const std::int64_t half = rule.dims / 2, grain = 1 + 16384 / (heads * width + 1);
  const Scratch<T> table(2 * places * rule.dims + 1);
  parallel_for(places, 1 + 512 / (half + 1), [&](std::int64_t begin, std::int64_t end) {
    for (std::int64_t p = begin; p < end; ++p) {
      T *cosine = table.data() + 2 * p * rule.dims, *sine = cosine + rule.dims;
      for (std::int64_t i = 0; i < half; ++i) {
        const double angle = double(position[p]) * std::exp2(-2 * double(i) / double(rule.dims) * std::log2(rule.base));
        const T c = T(std::cos(angle)), s = T(rule.inverse ? -std::sin(angle) : std::sin(angle));
        const std::int64_t a = rule.interleaved ? 2 * i : i, b = rule.interleaved ? 2 * i + 1 : i + half;
        cosine[a] = cosine[b] = c;
        sine[a] = -s;
        sine[b] = s;
      }
    }
  });
  parallel_for(outer, grain, [&](std::int64_t begin, std::int64_t end) {
    for (std::int64_t i = begin; i < end; ++i) {
      const T* cosine = table.data() + 2 * place(i) * rule.dims;
      for_isa<detail::RotaryBody<T>>(x + i * heads * width, y + i * heads * width, cosine, cosine + rule.dims, heads,
                                     width, rule.dims, rule.interleaved);
    }
  });
}

}  // namespace cpu
}  // namespace ergo::inline ERGO_BUILD
