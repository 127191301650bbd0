// The maximum of each window of channels-last images, or which element it is, as an index into the plane. Lanes are
// channels.
#pragma once

#include <type_traits>

#include "ergo/core/parallel.hpp"
#include "ergo/cpu/isa.hpp"
#include "ergo/cpu/pack.hpp"

namespace ergo::inline ERGO_BUILD::cpu {

struct PoolShape {
  std::int64_t h, w, c, kh, kw, stride_h, stride_w, pad_top, pad_left, out_h, out_w;
};

namespace detail {
// One row of outputs: for each of out_w positions and c channels the first largest element, a NaN counting as larger
// than all, or its index h * w + w.
template <class T, class Out>
struct MaxPoolRow {
  template <Isa I>
  static ERGO_INLINE void run(const PoolShape* s, const T* x, std::int64_t row, Out* y) {
    constexpr int W = kRegisterBytes<I> / int(sizeof(T));
    using P = Pack<T, W>;
    using N = Pack<std::int32_t, W>;
    const std::int64_t h0 = row * s->stride_h - s->pad_top, top = h0 < 0 ? 0 : h0,
                       bottom = h0 + s->kh < s->h ? h0 + s->kh : s->h;
    for (std::int64_t o = 0; o < s->out_w; ++o) {
      const std::int64_t w0 = o * s->stride_w - s->pad_left, left = w0 < 0 ? 0 : w0,
                         right = w0 + s->kw < s->w ? w0 + s->kw : s->w;
      for (std::int64_t c = 0; c < s->c; c += W) {
        const int part = s->c - c < W ? int(s->c - c) : W;
        const auto load = [&](std::int64_t at) __attribute__((always_inline)) {
          return part == W ? P::load(x + at * s->c + c) : P::load_part(x + at * s->c + c, part);
        };
        const std::int64_t first = top * s->w + left;
        P best = load(first);
        N where_best = N(std::int32_t(first));
        for (std::int64_t i = top; i < bottom; ++i)
          for (std::int64_t j = left; j < right; ++j) {
            const P v = load(i * s->w + j);
            const auto wins = (v > best) | ((v != v) & (best == best));
            best = where(wins, v, best);
            if constexpr (!std::is_same_v<Out, T>)
              where_best = where(wins.template to<std::int32_t>(), N(std::int32_t(i * s->w + j)), where_best);
          }
        if constexpr (std::is_same_v<Out, T>)
          store(best, y + o * s->c + c, part);
        else
          store(where_best, y + o * s->c + c, part);
      }
    }
  }

 private:
  template <class P>
  static ERGO_INLINE void store(const P& v, Out* y, int part) {
    if (part == P::kLanes)
      v.store(y);
    else
      v.store_part(y, part);
  }
};
}  // namespace detail

// y (images, out_h, out_w, c) of x (images, h, w, c), both row-major; no window is empty. Out: T, the elements, or
// int32, their indices.
template <class T, class Out>
void max_pool(const PoolShape& s, std::int64_t images, const T* x, Out* y) {
  const std::int64_t work = s.out_w * s.c * s.kh * s.kw;
  parallel_for(images * s.out_h, 1 + 16384 / work, [&](std::int64_t begin, std::int64_t end) {
    for (std::int64_t r = begin; r < end; ++r)
      for_isa<detail::MaxPoolRow<T, Out>>(&s, x + r / s.out_h * s.h * s.w * s.c, r % s.out_h, y + r * s.out_w * s.c);
  });
}

}  // namespace ergo::inline ERGO_BUILD::cpu
