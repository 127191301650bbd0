// grid_sample on the CPU, and its two gradients: lanes are channels, pixels of the result are independent. What is
// added into the image goes by bands of its rows, each of which takes the pixels of the result in order: the bits do
// not depend on the number of threads.
#pragma once

#include <cmath>

#include "ergo/core/parallel.hpp"
#include "ergo/cpu/grid_place.hpp"
#include "ergo/cpu/isa.hpp"
#include "ergo/cpu/pack.hpp"
#include "ergo/cpu/scratch.hpp"

namespace ergo::inline ERGO_BUILD::cpu {

// Images (h, w, c), `pixels` places in each.
struct GridShape {
  std::int64_t h, w, c, pixels;
  GridMode mode;
  GridPadding padding;
};

namespace detail {

struct HostRound {
  template <class A>
  A floor(A x) const {
    return std::floor(x);
  }
  template <class A>
  A nearest(A x) const {
    return std::nearbyint(x);
  }
};

// The pixels that count at a place (x, y): where they are in the image, in row-major order, and for how much.
template <class T>
struct GridCorners {
  int count = 0;
  std::int64_t pixel[4];
  T weight[4], along_x[4], along_y[4];  // the weight's derivatives by the coordinates
  GridCorners() = default;
  GridCorners(const GridShape& s, const T* grid) {
    const auto x = grid_place(s.mode, s.padding, s.w, grid[0], HostRound{}),
               y = grid_place(s.mode, s.padding, s.h, grid[1], HostRound{});
    for (int i = 0; i < 2; ++i)
      for (int j = 0; j < 2; ++j) {
        if (!y.inside[i] || !x.inside[j]) continue;
        pixel[count] = (y.at + i) * s.w + x.at + j;
        weight[count] = y.weight[i] * x.weight[j];
        along_x[count] = (j ? x.slope : -x.slope) * y.weight[i];
        along_y[count++] = (i ? y.slope : -y.slope) * x.weight[j];
      }
  }
};

template <class P, class T>
ERGO_INLINE P load_channels(const T* p, std::int64_t rest) {
  return rest >= P::kLanes ? P::load(p) : P::load_part(p, int(rest));
}
template <class P, class T>
ERGO_INLINE void store_channels(const P& v, T* p, std::int64_t rest) {
  if (rest >= P::kLanes)
    v.store(p);
  else
    v.store_part(p, int(rest));
}

// y (c) = the weighted sum of pixels of x.
template <class T>
struct GridReadBody {
  template <Isa I>
  static ERGO_INLINE void run(const GridShape* s, const GridCorners<T>* corners, std::int64_t n, const T* x, T* y) {
    using P = Pack<T, kRegisterBytes<I> / int(sizeof(T))>;
    for (; n > 0; --n, ++corners, y += s->c)
      for (std::int64_t c = 0; c < s->c; c += P::kLanes) {
        P sum(corners->count ? T(-0.0) : T(0));  // to -0 nothing is lost
        for (int k = 0; k < corners->count; ++k)
          sum = fma(load_channels<P>(x + corners->pixel[k] * s->c + c, s->c - c), P(corners->weight[k]), sum);
        store_channels(sum, y + c, s->c - c);
      }
  }
};
// dx, of rows [first, end) alone, += the weighted cotangents g of n places.
template <class T>
struct GridWriteBody {
  template <Isa I>
  static ERGO_INLINE void run(const GridShape* s, const GridCorners<T>* corners, std::int64_t n, const T* g,
                              std::int64_t first, std::int64_t end, T* dx) {
    using P = Pack<T, kRegisterBytes<I> / int(sizeof(T))>;
    first *= s->w;
    end *= s->w;
    for (; n > 0; --n, ++corners, g += s->c)
      for (int k = 0; k < corners->count; ++k) {
        if (corners->pixel[k] < first || corners->pixel[k] >= end) continue;
        T* const to = dx + corners->pixel[k] * s->c;
        for (std::int64_t c = 0; c < s->c; c += P::kLanes) {
          const std::int64_t rest = s->c - c;
          store_channels(fma(load_channels<P>(g + c, rest), P(corners->weight[k]), load_channels<P>(to + c, rest)),
                         to + c, rest);
        }
      }
  }
};
// dgrid (n, 2): the products of g with the pixels, times the derivatives of their weights.
template <class T>
struct GridSlopeBody {
  template <Isa I>
  static ERGO_INLINE void run(const GridShape* s, const GridCorners<T>* corners, std::int64_t n, const T* g, const T* x,
                              T* dgrid) {
    using P = Pack<T, kRegisterBytes<I> / int(sizeof(T))>;
    for (; n > 0; --n, ++corners, g += s->c, dgrid += 2) {
      T by_x = 0, by_y = 0;
      for (int k = 0; k < corners->count; ++k) {
        P sum;
        for (std::int64_t c = 0; c < s->c; c += P::kLanes)
          sum =
              fma(load_channels<P>(g + c, s->c - c), load_channels<P>(x + corners->pixel[k] * s->c + c, s->c - c), sum);
        const T product = sum.sum();
        by_x += corners->along_x[k] * product;
        by_y += corners->along_y[k] * product;
      }
      dgrid[0] = by_x;
      dgrid[1] = by_y;
    }
  }
};

// f(corners of some places, image, first place, how many) for the places of all images, whose grids begin at grid_of.
inline constexpr std::int64_t kGridPlaces = 64;
template <class T, class GridOf, class F>
void on_places(const GridShape& s, std::int64_t images, const GridOf& grid_of, const F& f) {
  const std::int64_t blocks = (s.pixels + kGridPlaces - 1) / kGridPlaces;
  parallel_for(images * blocks, 1 + 4 / (1 + s.c), [&](std::int64_t begin, std::int64_t end) {
    GridCorners<T> corners[kGridPlaces];
    for (std::int64_t b = begin; b < end; ++b) {
      const std::int64_t image = b / blocks, first = b % blocks * kGridPlaces,
                         n = s.pixels - first < kGridPlaces ? s.pixels - first : kGridPlaces;
      const T* const grid = grid_of(image) + 2 * first;
      for (std::int64_t i = 0; i < n; ++i) corners[i] = GridCorners<T>(s, grid + 2 * i);
      f(static_cast<const GridCorners<T>*>(corners), image, first, n);
    }
  });
}

}  // namespace detail

// Of images whose operands begin at x_of(image), grid_of(image), g_of(image), results one after the other: y (pixels,
// c) of x (h, w, c) at its grid (pixels, 2).
template <class T, class XOf, class GridOf>
void grid_sample(const GridShape& s, std::int64_t images, const XOf& x_of, const GridOf& grid_of, T* y) {
  detail::on_places<T>(s, images, grid_of, [&](auto* corners, std::int64_t image, std::int64_t at, std::int64_t n) {
    for_isa<detail::GridReadBody<T>>(&s, corners, n, x_of(image), y + (image * s.pixels + at) * s.c);
  });
}
// dx (h, w, c) from g (pixels, c); it is overwritten. The corners of some places at a time are kept, of enough images
// at once for all threads; a band takes them in order however they are cut.
template <class T, class GOf, class GridOf>
void grid_scatter(const GridShape& s, std::int64_t images, const GOf& g_of, const GridOf& grid_of, T* dx) {
  constexpr std::int64_t kKept = 1 << 15;
  const auto smaller = [](std::int64_t a, std::int64_t b) { return a < b ? a : b; };
  const std::int64_t most = smaller(s.pixels * s.c / 8192 + 1, 8), rows = (s.h + most - 1) / most,
                     bands = (s.h + rows - 1) / rows;
  const std::int64_t busy = (num_threads() + bands - 1) / bands, whole = s.pixels ? kKept / s.pixels : images;
  const std::int64_t at_once = smaller(busy > whole ? busy : whole, images),
                     share = kKept / at_once < detail::kGridPlaces ? detail::kGridPlaces : kKept / at_once,
                     strip = s.pixels ? smaller(share, s.pixels) : 1;
  const Scratch<detail::GridCorners<T>> memory(at_once * strip);
  detail::GridCorners<T>* const kept = memory.data();
  for (std::int64_t image = 0; image < images; image += at_once)
    for (std::int64_t place = 0; place == 0 || place < s.pixels; place += strip) {
      GridShape part = s;
      part.pixels = smaller(strip, s.pixels - place);
      const std::int64_t some = smaller(at_once, images - image);
      const auto places = [&](std::int64_t i) { return grid_of(image + i) + 2 * place; };
      detail::on_places<T>(part, some, places, [&](auto* corners, std::int64_t i, std::int64_t at, std::int64_t n) {
        for (std::int64_t k = 0; k < n; ++k) kept[i * strip + at + k] = corners[k];
      });
      parallel_for(some * bands, 1, [&](std::int64_t begin, std::int64_t end) {
        for (std::int64_t b = begin; b < end; ++b) {
          const std::int64_t i = b / bands, first = b % bands * rows, last = smaller(first + rows, s.h);
          T* const to = dx + (image + i) * s.h * s.w * s.c;
          if (place == 0)
            for (std::int64_t k = first * s.w * s.c; k < last * s.w * s.c; ++k) to[k] = 0;
          for_isa<detail::GridWriteBody<T>>(&s, static_cast<const detail::GridCorners<T>*>(kept + i * strip),
                                            part.pixels, g_of(image + i) + place * s.c, first, last, to);
        }
      });
    }
}
// dgrid (pixels, 2) from g (pixels, c) and x (h, w, c).
template <class T, class GOf, class XOf, class GridOf>
void grid_slope(const GridShape& s, std::int64_t images, const GOf& g_of, const XOf& x_of, const GridOf& grid_of,
                T* dgrid) {
  detail::on_places<T>(s, images, grid_of, [&](auto* corners, std::int64_t image, std::int64_t at, std::int64_t n) {
    for_isa<detail::GridSlopeBody<T>>(&s, corners, n, g_of(image) + at * s.c, x_of(image),
                                      dgrid + 2 * (image * s.pixels + at));
  });
}

}  // namespace ergo::inline ERGO_BUILD::cpu
