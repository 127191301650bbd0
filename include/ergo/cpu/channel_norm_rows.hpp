// Rows of channels-last data (rows, channels) as group_norm and batch_norm go over them, each channel a column:
// moments, scaling, the sums that their first-order rule needs, and its result. A block of rows is summed column by
// column while it stays in the cache.
#pragma once

#include "ergo/cpu/isa.hpp"
#include "ergo/cpu/math.hpp"
#include "ergo/cpu/rows.hpp"

namespace ergo::inline ERGO_BUILD::cpu::detail {

// The sum over rows of term(r, i), a Pack or a PackPair, in four chains.
template <class V, class F>
ERGO_INLINE V sum_down(std::int64_t rows, F&& term) {
  V part[4]{};
  std::int64_t r = 0;
  for (; r + 4 <= rows; r += 4)
    repeat<4>([&](auto k) __attribute__((always_inline)) { part[k] = part[k] + term(r + k); });
  for (; r < rows; ++r) part[0] = part[0] + term(r);
  return fold<4>(
      part, [](const V& a, const V& b) __attribute__((always_inline)) { return a + b; });
}
// Rows that stay in the cache while all their columns are summed.
inline std::int64_t block_rows(std::int64_t n) { return n > 512 ? 8 : n > 64 ? 32 : 64; }

// Adds rows of n channels to the moments of `count` rows: mean, sum of squares about it, relative to `origin`.
template <class T>
struct ChannelMomentsBody {
  template <Isa I>
  static ERGO_INLINE void run(const T* x, std::int64_t rows, std::int64_t n, const T* origin, std::int64_t count,
                              T* mean, T* square) {
    using P = Pack<T, kRegisterBytes<I> / int(sizeof(T))>;
    const RowPacks<P> packs(n);
    for (std::int64_t some = block_rows(n); rows > 0; rows -= some, x += some * n) {
      if (some > rows) some = rows;
      const P share(T(1) / T(some)), weight(T(some) / T(count + some));
      const P both(T(count) * (T(some) / T(count + some)));
      count += some;
      packs.template each<1>([&](auto, std::int64_t i, const auto& valid) __attribute__((always_inline)) {
        const P first = P::load(origin + i);
        const auto element = [&](std::int64_t r) __attribute__((always_inline)) {
          return P::load(x + r * n + i) - first;
        };
        const P center = sum_down<P>(some, element) * share;
        const P squares = sum_down<P>(
            some, [&](std::int64_t r) __attribute__((always_inline)) {
              const P d = element(r) - center;
              return d * d;
            });
        const P old = P::load(mean + i), apart = center - old, about = P::load(square + i);
        where(valid, fma(apart, weight, old), old).store(mean + i);
        // In this order, since 0 rows before count for 0 however far apart they are.
        where(valid, about + squares + apart * (apart * both), about).store(square + i);
      });
    }
  }
};

// y = (x - center) factor + shift, channel by channel.
template <class T>
struct ChannelScaleBody {
  template <Isa I>
  static ERGO_INLINE void run(const T* x, T* y, std::int64_t rows, std::int64_t n, const T* center, const T* factor,
                              const T* shift) {
    using P = Pack<T, kRegisterBytes<I> / int(sizeof(T))>;
    const RowPacks<P> packs(n);
    for (std::int64_t r = 0; r < rows; ++r, x += n, y += n)
      packs.template each<2>([&](auto, std::int64_t i, const auto&) __attribute__((always_inline)) {
        fma(P::load(x + i) - P::load(center + i), P::load(factor + i), P::load(shift + i)).store(y + i);
      });
  }
};

// To sums[0, n) and sums[pitch, pitch + n) the rows' g and g * normalised.
template <class T>
struct ChannelSumsBody {
  template <Isa I>
  static ERGO_INLINE void run(const T* g, const T* x, std::int64_t rows, std::int64_t n, const T* center,
                              const T* scale, const T* rest, T* sums, std::int64_t pitch) {
    using P = Pack<T, kRegisterBytes<I> / int(sizeof(T))>;
    const RowPacks<P> packs(n);
    for (std::int64_t some = block_rows(n); rows > 0; rows -= some, g += some * n, x += some * n) {
      if (some > rows) some = rows;
      packs.template each<1>([&](auto, std::int64_t i, const auto& valid) __attribute__((always_inline)) {
        const P c = P::load(center + i), s = P::load(scale + i), t = P::load(rest + i);
        const auto both = sum_down<PackPair<P>>(
            some, [&](std::int64_t r) __attribute__((always_inline)) {
              const P cotangent = P::load(g + r * n + i);
              return PackPair<P>{cotangent, cotangent * fma(P::load(x + r * n + i) - c, s, t)};
            });
        (P::load(sums + i) + where(valid, both.a, P())).store(sums + i);
        (P::load(sums + pitch + i) + where(valid, both.b, P())).store(sums + pitch + i);
      });
    }
  }
};

// dx = (g weight - ((x - center) slope + level)) scale, channel by channel, of a table of these five, from the center
// on. The scale comes last: a slope times its square overflows where dx is far from it.
template <class T>
struct ChannelVjpBody {
  template <Isa I>
  static ERGO_INLINE void run(const T* g, const T* x, T* dx, std::int64_t rows, std::int64_t n, const T* center,
                              std::int64_t pitch) {
    const T *weight = center + pitch, *slope = weight + pitch, *level = slope + pitch, *scale = level + pitch;
    using P = Pack<T, kRegisterBytes<I> / int(sizeof(T))>;
    const RowPacks<P> packs(n);
    for (std::int64_t r = 0; r < rows; ++r, g += n, x += n, dx += n)
      packs.template each<2>([&](auto, std::int64_t i, const auto&) __attribute__((always_inline)) {
        const P along = fma(P::load(x + i) - P::load(center + i), P::load(slope + i), P::load(level + i));
        ((P::load(g + i) * P::load(weight + i) - along) * P::load(scale + i)).store(dx + i);
      });
  }
};

}  // namespace ergo::inline ERGO_BUILD::cpu::detail
