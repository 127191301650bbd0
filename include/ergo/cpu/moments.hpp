// The variance and the Euclidean norm of rows. Squares are taken of deviations from the rounded mean and corrected for
// what the rounding left, so that an offset costs no accuracy; a norm whose squares leave the range is scaled by its
// largest element. All sums are on the fixed tree.
#pragma once

#include "ergo/cpu/math.hpp"
#include "ergo/cpu/reduce_run.hpp"
#include "ergo/cpu/rows.hpp"

namespace ergo::inline ERGO_BUILD::cpu {

namespace detail {

// The sums of x - center and of its square.
template <class P, class T>
ERGO_INLINE void deviations(const RowPacks<P>& packs, const T* x, T center, T* sum, T* square) {
  const P shift(center);
  const auto both = packs.template sum<4>([&](std::int64_t i) __attribute__((always_inline)) {
    const P d = P::load(x + i) - shift;
    return PackPair<P>{d, d * d};
  });
  *sum = both.a.sum();
  *square = both.b.sum();
}
template <class T>
T variance_of(T sum, T square, T n, T divisor) {
  const T v = (square - sum * (sum / n)) / divisor;
  return v < 0 ? T(0) : v;
}

template <class T>
struct DeviationBody {
  template <Isa I>
  static ERGO_INLINE void run(const T* x, std::int64_t n, T center, T* sum, T* square) {
    using P = Pack<T, kRegisterBytes<I> / int(sizeof(T))>;
    deviations(RowPacks<P>(n), x, center, sum, square);
  }
};
template <class T>
struct VarianceBody {
  template <Isa I>
  static ERGO_INLINE void run(const T* x, T* y, std::int64_t rows, std::int64_t n, T divisor) {
    using P = Pack<T, kRegisterBytes<I> / int(sizeof(T))>;
    const RowPacks<P> packs(n);
    for (std::int64_t r = 0; r < rows; ++r, x += n) {
      const T mean =
          packs.template sum<4>([&](std::int64_t i) __attribute__((always_inline)) { return P::load(x + i); }).sum() /
          T(n);
      T sum, square;
      deviations(packs, x, mean, &sum, &square);
      y[r] = variance_of(sum, square, T(n), divisor);
    }
  }
};

}  // namespace detail

// The power of two at or below the largest size in a row, and at least the least normal number; 1 if that is 0,
// infinite or NaN.
template <class T>
T unit_of(const T* x, std::int64_t n) {
  T top = 0;
  for (std::int64_t i = 0; i < n; ++i) {
    const T size = x[i] < 0 ? -x[i] : x[i];
    if (size > top) top = size;
  }
  if (top == 0 || top - top != 0) return T(1);
  if (top < detail::FloatBits<T>::kMinNormal) return detail::FloatBits<T>::kMinNormal;
  const auto bits = Pack<T, 1>(top).bits() & Pack<detail::SignedOf<T>, 1>(~detail::FloatBits<T>::kFractionMask);
  return bits.template as<T>()[0];
}

namespace detail {

// The norm where the plain sum of squares is no answer: infinite, so small that squares were lost, or NaN.
template <class T>
[[gnu::noinline, gnu::cold]] T scaled_norm(const T* x, std::int64_t n) {
  bool infinite = false;
  for (std::int64_t i = 0; i < n; ++i) {
    if (x[i] != x[i]) return x[i];
    infinite = infinite || x[i] - x[i] != 0;
  }
  if (infinite) return kInfinity<T>;
  const T unit = unit_of(x, n);
  const Scratch<T> scaled(n);
  for (std::int64_t i = 0; i < n; ++i) scaled.data()[i] = x[i] / unit;
  return sqrt(inner_product(static_cast<const T*>(scaled.data()), static_cast<const T*>(scaled.data()), n)) * unit;
}

}  // namespace detail

// y[r] = the variance of row r of n dense elements, the sum of squares over `divisor`.
template <class T>
void variance_rows(const T* x, T* y, std::int64_t rows, std::int64_t n, T divisor) {
  if (n <= 65536) {
    const T* const in[] = {x};
    T* const out[] = {static_cast<T*>(nullptr)};
    detail::for_rows(in, out, rows, n, [&](const T* const* p, T* const*, std::int64_t first, std::int64_t some) {
      for_isa<detail::VarianceBody<T>>(p[0], y + first, some, n, divisor);
    });
    return;
  }
  const std::int64_t parts = (n + detail::kChunk - 1) / detail::kChunk;
  const Scratch<T> scratch(2 * parts);
  T *sums = scratch.data(), *squares = sums + parts;
  for (std::int64_t r = 0; r < rows; ++r, x += n) {
    const T mean = detail::reduce_run<SumOf, T>(x, n) / T(n);
    parallel_for(n, detail::kChunk, [&](std::int64_t begin, std::int64_t end) {
      const std::int64_t p = begin / detail::kChunk;
      T last[64] = {};  // a chunk shorter than a register
      const T* from = x + begin;
      if (end - begin < 64) from = static_cast<const T*>(std::memcpy(last, from, std::size_t(end - begin) * sizeof(T)));
      for_isa<detail::DeviationBody<T>>(from, end - begin, mean, sums + p, squares + p);
    });
    detail::fold_tree<SumOf>(sums, parts, 1);
    detail::fold_tree<SumOf>(squares, parts, 1);
    y[r] = detail::variance_of(sums[0], squares[0], T(n), divisor);
  }
}

// y[r] = the Euclidean norm of row r of n dense elements.
template <class T>
void norm_rows(const T* x, T* y, std::int64_t rows, std::int64_t n) {
  const T least = sizeof(T) == 4 ? T(0x1p-90) : T(0x1p-900);
  const auto one = [=](std::int64_t r) {
    const T square = inner_product(x + r * n, x + r * n, n);
    y[r] = square >= least && square - square == 0 ? sqrt(square) : detail::scaled_norm(x + r * n, n);
  };
  const std::int64_t grain =
      n > detail::kChunk ? rows : 1 + (detail::kChunk - 1) / (n + 1);  // long runs are parallel in themselves
  parallel_for(rows, grain, [&](std::int64_t begin, std::int64_t end) {
    for (std::int64_t r = begin; r < end; ++r) one(r);
  });
}

}  // namespace ergo::inline ERGO_BUILD::cpu
