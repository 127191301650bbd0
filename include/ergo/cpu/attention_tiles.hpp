// Tiles of attention: 64 queries by 64 keys, whose scores, weights and cotangents stay in the nearest caches. All five
// products of forward and backward are one loop, C += A B, with A read by two strides (so a tile serves as it is and
// transposed) and B by rows whose length is a multiple of a register. Each element sums its terms in the order of the
// inner index, whichever tile of registers it falls into.
#pragma once

#include "ergo/cpu/isa.hpp"
#include "ergo/cpu/pack.hpp"

namespace ergo::inline ERGO_BUILD::cpu::detail {

inline constexpr std::int64_t kAttentionTile = 64;  // queries, and keys

// Elements of a row with room for whole registers.
template <class T>
constexpr std::int64_t padded_width(std::int64_t n) {
  constexpr std::int64_t each = 64 / std::int64_t(sizeof(T));
  return (n + each - 1) / each * each;
}

// Rows of one head, somewhere in memory.
template <class T>
struct HeadRows {
  const T* data;
  std::int64_t row, column;  // strides in elements
};

// to (count, pitch) = factor * rows [first, first + count) of width n; zeros behind them. The pitch is padded_width.
// Whether all of them are finite.
template <class P, class T>
ERGO_INLINE bool take_rows(T* to, std::int64_t pitch, const HeadRows<T>& x, std::int64_t first, std::int64_t count,
                           std::int64_t n, T factor) {
  const P scale(factor), none;
  P zeros;  // and a NaN where something is not finite
  T rest = 0;
  for (std::int64_t r = 0; r < count; ++r, to += pitch) {
    const T* from = x.data + (first + r) * x.row;
    std::int64_t c = 0;
    if (x.column == 1) {
      for (; c + P::kLanes <= n; c += P::kLanes) {
        const P taken = P::load(from + c) * scale;
        taken.store(to + c);
        zeros = fma(taken, none, zeros);
      }
    }
    for (; c < n; ++c) {
      to[c] = from[c * x.column] * factor;
      rest += to[c] * T(0);
    }
    for (; c < pitch; ++c) to[c] = 0;
  }
  return all(zeros == none) && rest == 0;
}
// to (n, 64) = factor * the transpose of rows [first, first + count); zeros beside them.
template <class T>
ERGO_INLINE void take_columns(T* to, const HeadRows<T>& x, std::int64_t first, std::int64_t count, std::int64_t n,
                              T factor) {
  for (std::int64_t c = 0; c < n; ++c) {
    T* row = to + c * kAttentionTile;
    const T* from = x.data + first * x.row + c * x.column;
    for (std::int64_t r = 0; r < count; ++r) row[r] = from[r * x.row] * factor;
    for (std::int64_t r = count; r < kAttentionTile; ++r) row[r] = 0;
  }
}

template <class P, class T>
ERGO_INLINE void add_row(T* to, const T* x, std::int64_t n) {
  std::int64_t c = 0;
  for (; c + P::kLanes <= n; c += P::kLanes) (P::load(to + c) + P::load(x + c)).store(to + c);
  for (; c < n; ++c) to[c] += x[c];
}

// A matrix read by two strides, and one of rows of whole registers.
template <class T>
struct LeftFactor {
  const T* data;
  std::int64_t row, inner;
};

template <class P, int R, int N, class T>
ERGO_INLINE void product_tile(const LeftFactor<T>& a, const T* b, std::int64_t b_pitch, T* c, std::int64_t c_pitch,
                              std::int64_t inner, bool add) {
  constexpr int kW = P::kLanes;
  using V = Vector<T, kW>;
  using Loose = typename VectorOf<T, kW>::loose;
  V sum[R][N];
#pragma GCC unroll 8
  for (int r = 0; r < R; ++r)
#pragma GCC unroll 8
    for (int j = 0; j < N; ++j) sum[r][j] = add ? V(*reinterpret_cast<const Loose*>(c + r * c_pitch + j * kW)) : V{};
  const T* left = a.data;
  for (std::int64_t k = 0; k < inner; ++k, left += a.inner, b += b_pitch) {
    V right[N];
#pragma GCC unroll 8
    for (int j = 0; j < N; ++j) right[j] = *reinterpret_cast<const Loose*>(b + j * kW);
#pragma GCC unroll 8
    for (int r = 0; r < R; ++r) {
      const V factor = left[r * a.row] - V{};
#pragma GCC unroll 8
      for (int j = 0; j < N; ++j) sum[r][j] = factor * right[j] + sum[r][j];
    }
  }
#pragma GCC unroll 8
  for (int r = 0; r < R; ++r)
#pragma GCC unroll 8
    for (int j = 0; j < N; ++j) *reinterpret_cast<Loose*>(c + r * c_pitch + j * kW) = sum[r][j];
}
template <class P, int N, class T>
ERGO_INLINE void product_columns(LeftFactor<T> a, const T* b, std::int64_t b_pitch, T* c, std::int64_t c_pitch,
                                 std::int64_t rows, std::int64_t inner, bool add) {
  constexpr int kRows = sizeof(typename P::value_type) * P::kLanes == 64 ? 8 : 4;
  std::int64_t r = 0;
  for (; r + kRows <= rows; r += kRows, a.data += kRows * a.row, c += kRows * c_pitch)
    product_tile<P, kRows, N>(a, b, b_pitch, c, c_pitch, inner, add);
  for (; r < rows; ++r, a.data += a.row, c += c_pitch) product_tile<P, 1, N>(a, b, b_pitch, c, c_pitch, inner, add);
}
// c (rows, columns) (+)= a (rows, inner) b (inner, columns); `columns` a multiple of a register.
template <class P, class T>
ERGO_INLINE void product(const LeftFactor<T>& a, const T* b, std::int64_t b_pitch, T* c, std::int64_t c_pitch,
                         std::int64_t rows, std::int64_t columns, std::int64_t inner, bool add) {
  constexpr std::int64_t kW = P::kLanes;
  std::int64_t j = 0;
  for (; j + 2 * kW <= columns; j += 2 * kW) product_columns<P, 2>(a, b + j, b_pitch, c + j, c_pitch, rows, inner, add);
  for (; j < columns; j += kW) product_columns<P, 1>(a, b + j, b_pitch, c + j, c_pitch, rows, inner, add);
}

// c += a b, where a factor of 0 leaves out its row of b, whatever that holds: a key that is hidden from a query, in
// every product of weights. finite: whether all of b is, so that nothing is to be left out. The same sums in the same
// order.
template <class P, class T>
ERGO_INLINE void weighted_product(const LeftFactor<T>& a, const T* b, std::int64_t b_pitch, bool finite, T* c,
                                  std::int64_t c_pitch, std::int64_t rows, std::int64_t columns, std::int64_t inner) {
  if (finite) return product<P>(a, b, b_pitch, c, c_pitch, rows, columns, inner, true);
  for (std::int64_t r = 0; r < rows; ++r)
    for (std::int64_t j = 0; j < columns; j += P::kLanes) {
      P sum = P::load(c + r * c_pitch + j);
      for (std::int64_t k = 0; k < inner; ++k)
        if (const T factor = a.data[r * a.row + k * a.inner]; factor != 0)
          sum = fma(P(factor), P::load(b + k * b_pitch + j), sum);
      sum.store(c + r * c_pitch + j);
    }
}

// Which keys a query sees, and what is added to the scores, of one (batch, head).
template <class T>
struct Seen {
  std::int64_t queries, keys, length;  // keys from `length` on are padding
  std::int64_t window;                 // 0: none; at most queries + keys
  bool causal;
  const T* bias;  // null: none
  std::int64_t bias_row, bias_column;
  const bool* mask;  // null: none
  std::int64_t mask_row, mask_column;

  // The keys [low, high) that queries [first, last) may see: the last query stands beside the last key.
  std::int64_t low(std::int64_t first) const {
    const std::int64_t at = first + (keys - queries) - window + 1;
    return window && at > 0 ? (at < length ? at : length) : 0;
  }
  std::int64_t high(std::int64_t last) const {
    const std::int64_t ahead = causal ? 1 : window, at = last - 1 + (keys - queries) + ahead;
    return ahead && at < length ? (at > 0 ? at : 0) : length;
  }
  // Whether each of these queries sees each of these keys, and no bias is added.
  bool plain(std::int64_t q0, std::int64_t q1, std::int64_t k0, std::int64_t k1) const {
    return !bias && !mask && low(q1 - 1) <= k0 && k1 <= high(q0 + 1);
  }
  // Scores at s[i * si + j * sj] of query q0 + i and key k0 + j: biased, -infinity where not seen.
  ERGO_INLINE void finish(T* s, std::int64_t si, std::int64_t sj, std::int64_t q0, std::int64_t q1, std::int64_t k0,
                          std::int64_t k1) const {
    for (std::int64_t i = 0; i < q1 - q0; ++i) {
      const std::int64_t from = low(q0 + i) - k0, to = high(q0 + i + 1) - k0;
      const T* add = bias ? bias + (q0 + i) * bias_row + k0 * bias_column : nullptr;
      const bool* show = mask ? mask + (q0 + i) * mask_row + k0 * mask_column : nullptr;
      for (std::int64_t j = 0; j < k1 - k0; ++j) {
        T& score = s[i * si + j * sj];
        const T more = add ? add[j * bias_column] : T(0);
        if (j < from || j >= to || (show && !show[j * mask_column]) || more == -T(__builtin_inf()))
          score = -T(__builtin_inf());  // even if it is NaN
        else
          score += more;
      }
    }
  }
};

}  // namespace ergo::inline ERGO_BUILD::cpu::detail
