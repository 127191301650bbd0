// The products that a register tile serves badly, because they are short in one direction: y = x B for one row x, which
// is bound by reading B, and products with few columns or rows whose operands are contiguous along K, computed as dot
// products with K on the lanes.
#pragma once

#include <cstdint>

#include "ergo/cpu/isa.hpp"
#include "ergo/cpu/pack.hpp"

namespace ergo::inline ERGO_BUILD::cpu::detail {

// y (columns) = x B, rows of B contiguous and b_row apart, elements of x x_stride apart.
template <class T>
struct RowTimesMatrix {
  std::int64_t k, columns;
  const T* x;
  std::int64_t x_stride;
  const T* b;
  std::int64_t b_row;
  T* y;
};

// Passes over B in its own order, six rows at a time (eight would meet in one set of the cache when rows are 4 KiB
// apart), while y stays in the nearest cache. Each element of y is summed over k in ascending order from zero, as in
// the tile kernel.
struct MultiplyRow {
  template <Isa I, class T>
  static ERGO_INLINE void run(const RowTimesMatrix<T>* arguments) {
    constexpr int kLanes = kRegisterBytes<I> / int(sizeof(T)), kRows = 6;
    using P = Pack<T, kLanes>;
    const RowTimesMatrix<T>& g = *arguments;
    for (std::int64_t j = 0; j < g.columns; ++j) g.y[j] = T(0);
    std::int64_t p = 0;
    for (; p + kRows <= g.k; p += kRows) {
      P x[kRows];
      const T* b[kRows];
#pragma GCC unroll 8
      for (int r = 0; r < kRows; ++r) {
        x[r] = P(g.x[(p + r) * g.x_stride]);
        b[r] = g.b + (p + r) * g.b_row;
      }
      std::int64_t j = 0;
      for (; j + 2 * kLanes <= g.columns; j += 2 * kLanes) {
        P left = P::load(g.y + j), right = P::load(g.y + j + kLanes);
#pragma GCC unroll 8
        for (int r = 0; r < kRows; ++r) {
          left = fma(x[r], P::load(b[r] + j), left);
          right = fma(x[r], P::load(b[r] + j + kLanes), right);
        }
        left.store(g.y + j);
        right.store(g.y + j + kLanes);
      }
      for (; j < g.columns; ++j) {
        T y = g.y[j];
        for (int r = 0; r < kRows; ++r) y = y + g.x[(p + r) * g.x_stride] * b[r][j];
        g.y[j] = y;
      }
    }
    for (; p < g.k; ++p) {
      const T x = g.x[p * g.x_stride];
      const T* b = g.b + p * g.b_row;
      for (std::int64_t j = 0; j < g.columns; ++j) g.y[j] = g.y[j] + x * b[j];
    }
  }
};

// C (rows x columns, any strides) = init + A B, for A with contiguous rows and B with contiguous columns b_column
// apart.
template <class T>
struct DotProducts {
  std::int64_t rows, columns, k;
  const T* a;
  std::int64_t a_row;
  const T* b;
  std::int64_t b_column;
  T* c;
  std::int64_t c_row, c_column;
  const T* init;  // or null
  std::int64_t init_row, init_column;
};

// Four rows by three columns at a time (one column if there is only one). Lane l of an accumulator sums the elements
// l, l + W, ... in ascending order; the lanes are folded by halves, then the last k % W products are added in order.
struct MultiplyDots {
  template <Isa I, class T>
  static ERGO_INLINE void run(const DotProducts<T>* arguments) {
    const DotProducts<T>& g = *arguments;
    for (std::int64_t i = 0; i < g.rows; i += 4) {
      std::int64_t j = 0;
      if constexpr (I != Isa::sse2) {  // where speed no longer matters, compile time does
        for (; g.columns - j > 1; j += 3) multiply<I, 3>(g, i, j);
      }
      for (; j < g.columns; ++j) multiply<I, 1>(g, i, j);
    }
  }

 private:
  template <Isa I, int Columns, class T>
  static ERGO_INLINE void multiply(const DotProducts<T>& g, std::int64_t i, std::int64_t j) {
    constexpr int kLanes = kRegisterBytes<I> / int(sizeof(T)), kRows = 4;
    using V = Vector<T, kLanes>;
    using Loose = typename VectorOf<T, kLanes>::loose;
    const std::int64_t rows = g.rows - i < kRows ? g.rows - i : kRows;
    const std::int64_t columns = g.columns - j < Columns ? g.columns - j : Columns;
    const T* a[kRows];
    const T* b[Columns];
    for (int r = 0; r < kRows; ++r) a[r] = g.a + (i + (r < rows ? r : rows - 1)) * g.a_row;
    for (int q = 0; q < Columns; ++q) b[q] = g.b + (j + (q < columns ? q : columns - 1)) * g.b_column;
    V acc[kRows][Columns] = {};
    std::int64_t p = 0;
    for (; p + kLanes <= g.k; p += kLanes) {
      V y[Columns];
#pragma GCC unroll 4
      for (int q = 0; q < Columns; ++q) y[q] = *reinterpret_cast<const Loose*>(b[q] + p);
#pragma GCC unroll 4
      for (int r = 0; r < kRows; ++r) {
        const V x = *reinterpret_cast<const Loose*>(a[r] + p);
#pragma GCC unroll 4
        for (int q = 0; q < Columns; ++q) acc[r][q] = acc[r][q] + x * y[q];
      }
    }
    T lanes[kRows][Columns][kLanes];
    __builtin_memcpy(lanes, acc, sizeof lanes);
    for (std::int64_t r = 0; r < rows; ++r) {
      for (std::int64_t q = 0; q < columns; ++q) {
        T sum = Pack<T, kLanes>::load(lanes[r][q]).sum();
        for (std::int64_t t = p; t < g.k; ++t) sum = sum + a[r][t] * b[q][t];
        T& c = g.c[(i + r) * g.c_row + (j + q) * g.c_column];
        c = g.init ? g.init[(i + r) * g.init_row + (j + q) * g.init_column] + sum : sum;
      }
    }
  }
};

}  // namespace ergo::inline ERGO_BUILD::cpu::detail
