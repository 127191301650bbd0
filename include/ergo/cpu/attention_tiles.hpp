// Tiles of attention: 64 queries by 64 keys, whose scores, weights and cotangents stay in the nearest caches. All five
// products of forward and backward are one loop, C += A B, with A read by two strides (so a tile serves as it is and
// transposed) and B by rows whose length is a multiple of a register. Each element sums its terms in the order of the
// inner index, whichever tile of registers it falls into.
#pragma once

#include <cmath>

#include "ergo/cpu/isa.hpp"
#include "ergo/cpu/math_exp.hpp"
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
template <class P, class T>
ERGO_INLINE void take_rows(T* to, std::int64_t pitch, const HeadRows<T>& x, std::int64_t first, std::int64_t count,
                           std::int64_t n, T factor) {
  const P scale(factor);
  for (std::int64_t r = 0; r < count; ++r, to += pitch) {
    const T* from = x.data + (first + r) * x.row;
    std::int64_t c = 0;
    if (x.column == 1) {
      for (; c + P::kLanes <= n; c += P::kLanes) (P::load(from + c) * scale).store(to + c);
      for (; c < n; ++c) to[c] = from[c] * factor;
    } else {
      for (; c < n; ++c) to[c] = from[c * x.column] * factor;
    }
    for (; c < pitch; ++c) to[c] = 0;
  }
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

// Which keys a query sees, and what is added to the scores, of one (batch, head).
template <class T>
struct Seen {
  std::int64_t queries, keys, length;  // keys from `length` on are padding
  std::int64_t window;                 // 0: none
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
        if (j < from || j >= to || (show && !show[j * mask_column]))
          score = -T(__builtin_inf());
        else if (add)
          score += add[j * bias_column];
      }
    }
  }
};

// What one (batch, head of queries) works on.
template <class T>
struct AttentionHead {
  HeadRows<T> q, k, v, g;  // g: the cotangent, in backward
  std::int64_t n, m;       // width of q and k, of v
  T scale;
  Seen<T> seen;
};

// Room that a task needs, in elements: two tiles, blocks of rows of either width, some numbers a query.
template <class T>
constexpr std::int64_t attention_room(std::int64_t n, std::int64_t m) {
  return kAttentionTile * (2 * kAttentionTile + 5 * padded_width<T>(n) + 4 * padded_width<T>(m) + 6);
}

// y rows [q0, q1) at y[i * y_row], and their log-sum-exp (0 of a query that sees nothing, whose y is 0).
template <class T>
struct AttentionForwardBody {
  template <Isa I>
  static ERGO_INLINE void run(const AttentionHead<T>& h, std::int64_t q0, std::int64_t q1, T* y, std::int64_t y_row,
                              T* lse, T* room) {
    using P = Pack<T, kRegisterBytes<I> / int(sizeof(T))>;
    constexpr std::int64_t B = kAttentionTile, kW = P::kLanes;
    const std::int64_t nw = padded_width<T>(h.n), mw = padded_width<T>(h.m), rows = q1 - q0;
    T *s = room, *qt = s + B * B, *kr = qt + B * nw, *vr = kr + B * nw, *o = vr + B * mw, *top = o + B * mw,
      *total = top + B, *shrink = total + B;
    const P lowest(-T(__builtin_inf()));
    take_columns(qt, h.q, q0, rows, h.n, h.scale);
    for (std::int64_t i = 0; i < B * mw; ++i) o[i] = 0;
    for (std::int64_t i = 0; i < B; ++i) {
      top[i] = -T(__builtin_inf());
      total[i] = 0;
    }
    const std::int64_t high = h.seen.high(q1);
    for (std::int64_t k0 = h.seen.low(q0) / B * B; k0 < high; k0 += B) {
      const std::int64_t k1 = high - k0 < B ? high : k0 + B, keys = k1 - k0;
      take_rows<P>(kr, nw, h.k, k0, keys, h.n, T(1));
      take_rows<P>(vr, mw, h.v, k0, keys, h.m, T(1));
      product<P>(LeftFactor<T>{kr, nw, 1}, qt, B, s, B, keys, B, h.n, false);
      if (!h.seen.plain(q0, q1, k0, k1)) h.seen.finish(s, 1, B, q0, q1, k0, k1);
      bool moved = false;
      for (std::int64_t c = 0; c < B; c += kW) {
        const P before = P::load(top + c);
        P most = before, sum;
        for (std::int64_t j = 0; j < keys; ++j) {
          const P x = P::load(s + j * B + c);
          most = where(most < x, x, most);  // a NaN shows in the sum
        }
        const P base = where(most == lowest, P(), most), factor = exp(before - base);
        for (std::int64_t j = 0; j < keys; ++j) {
          const P p = exp(P::load(s + j * B + c) - base);
          p.store(s + j * B + c);
          sum += p;
        }
        (P::load(total + c) * factor + sum).store(total + c);
        most.store(top + c);
        factor.store(shrink + c);
        moved = moved || any(before < most);
      }
      if (moved)
        for (std::int64_t i = 0; i < rows; ++i) {
          const P factor(shrink[i]);
          for (std::int64_t c = 0; c < mw; c += kW) (P::load(o + i * mw + c) * factor).store(o + i * mw + c);
        }
      product<P>(LeftFactor<T>{s, 1, B}, vr, mw, o, mw, rows, mw, keys, true);
    }
    for (std::int64_t i = 0; i < rows; ++i) {
      const bool empty = total[i] == 0;
      const T share = empty ? T(0) : T(1) / total[i];
      for (std::int64_t c = 0; c < h.m; ++c) y[i * y_row + c] = empty ? T(0) : o[i * mw + c] * share;
      lse[i] = empty ? T(0) : top[i] + std::log(total[i]);
    }
  }
};

// Adds to dk (64, padded n) and dv (64, padded m), of keys [k0, k1), what one head's queries give; kt (n, 64), vt (m,
// 64) and kr (64, padded n) are the keys scaled and transposed, the values transposed, the keys scaled. dq, if there is
// one, gains what these keys give. dk is to be scaled afterwards.
template <class T>
struct AttentionKeysBody {
  template <Isa I>
  static ERGO_INLINE void run(const AttentionHead<T>& h, const T* lse, const T* delta, std::int64_t k0, std::int64_t k1,
                              const T* kt, const T* vt, const T* kr, T* dk, T* dv, T* dq, std::int64_t dq_row,
                              T* room) {
    using P = Pack<T, kRegisterBytes<I> / int(sizeof(T))>;
    constexpr std::int64_t B = kAttentionTile;
    const std::int64_t nw = padded_width<T>(h.n), mw = padded_width<T>(h.m), keys = k1 - k0;
    T *s = room, *d = s + B * B, *qr = d + B * B, *gr = qr + B * nw, *back = gr + B * mw;
    for (std::int64_t q0 = 0; q0 < h.seen.queries; q0 += B) {
      const std::int64_t q1 = h.seen.queries - q0 < B ? h.seen.queries : q0 + B, rows = q1 - q0;
      if (h.seen.high(q1) <= k0 || h.seen.low(q0) >= k1) continue;
      take_rows<P>(qr, nw, h.q, q0, rows, h.n, T(1));
      take_rows<P>(gr, mw, h.g, q0, rows, h.m, T(1));
      score_cotangents<P>(h, qr, gr, kt, vt, lse, delta, q0, q1, k0, k1, s, d);
      product<P>(LeftFactor<T>{s, 1, B}, gr, mw, dv, mw, keys, mw, rows, true);
      product<P>(LeftFactor<T>{d, 1, B}, qr, nw, dk, nw, keys, nw, rows, true);
      if (!dq) continue;
      product<P>(LeftFactor<T>{d, B, 1}, kr, nw, back, nw, rows, nw, keys, false);
      for (std::int64_t i = 0; i < rows; ++i) add_row<P>(dq + (q0 + i) * dq_row, back + i * nw, h.n);
    }
  }
  // Weights s and cotangents of scores d, (queries, keys); the rows of q and g are taken.
  template <class P>
  static ERGO_INLINE void score_cotangents(const AttentionHead<T>& h, const T* qr, const T* gr, const T* kt,
                                           const T* vt, const T* lse, const T* delta, std::int64_t q0, std::int64_t q1,
                                           std::int64_t k0, std::int64_t k1, T* s, T* d) {
    constexpr std::int64_t B = kAttentionTile;
    const std::int64_t nw = padded_width<T>(h.n), mw = padded_width<T>(h.m), rows = q1 - q0;
    product<P>(LeftFactor<T>{qr, nw, 1}, kt, B, s, B, rows, B, h.n, false);
    product<P>(LeftFactor<T>{gr, mw, 1}, vt, B, d, B, rows, B, h.m, false);
    if (!h.seen.plain(q0, q1, k0, k1)) h.seen.finish(s, B, 1, q0, q1, k0, k1);
    for (std::int64_t i = 0; i < rows; ++i) {
      const P base(lse[q0 + i]), level(delta[q0 + i]);
      for (std::int64_t c = i * B; c < (i + 1) * B; c += P::kLanes) {
        const P p = exp(P::load(s + c) - base);
        p.store(s + c);
        (p * (P::load(d + c) - level)).store(d + c);
      }
    }
  }
};

// dq rows [q0, q1) at dq[i * dq_row].
template <class T>
struct AttentionQueriesBody {
  template <Isa I>
  static ERGO_INLINE void run(const AttentionHead<T>& h, const T* lse, const T* delta, std::int64_t q0, std::int64_t q1,
                              T* dq, std::int64_t dq_row, T* room) {
    using P = Pack<T, kRegisterBytes<I> / int(sizeof(T))>;
    constexpr std::int64_t B = kAttentionTile, kW = P::kLanes;
    const std::int64_t nw = padded_width<T>(h.n), mw = padded_width<T>(h.m), rows = q1 - q0;
    T *s = room, *d = s + B * B, *qt = d + B * B, *gt = qt + B * nw, *kr = gt + B * mw, *vr = kr + B * nw,
      *sum = vr + B * mw, *base = sum + B * nw, *level = base + B;
    take_columns(qt, h.q, q0, rows, h.n, h.scale);
    take_columns(gt, h.g, q0, rows, h.m, T(1));
    for (std::int64_t i = 0; i < B; ++i) {
      base[i] = i < rows ? lse[q0 + i] : T(0);
      level[i] = i < rows ? delta[q0 + i] : T(0);
    }
    for (std::int64_t i = 0; i < B * nw; ++i) sum[i] = 0;
    const std::int64_t high = h.seen.high(q1);
    for (std::int64_t k0 = h.seen.low(q0) / B * B; k0 < high; k0 += B) {
      const std::int64_t k1 = high - k0 < B ? high : k0 + B, keys = k1 - k0;
      take_rows<P>(kr, nw, h.k, k0, keys, h.n, T(1));
      take_rows<P>(vr, mw, h.v, k0, keys, h.m, T(1));
      product<P>(LeftFactor<T>{kr, nw, 1}, qt, B, s, B, keys, B, h.n, false);
      product<P>(LeftFactor<T>{vr, mw, 1}, gt, B, d, B, keys, B, h.m, false);
      if (!h.seen.plain(q0, q1, k0, k1)) h.seen.finish(s, 1, B, q0, q1, k0, k1);
      for (std::int64_t j = 0; j < keys; ++j)
        for (std::int64_t c = 0; c < B; c += kW) {
          const P p = exp(P::load(s + j * B + c) - P::load(base + c));
          (p * (P::load(d + j * B + c) - P::load(level + c))).store(d + j * B + c);
        }
      product<P>(LeftFactor<T>{d, 1, B}, kr, nw, sum, nw, rows, nw, keys, true);
    }
    for (std::int64_t i = 0; i < rows; ++i)
      for (std::int64_t c = 0; c < h.n; ++c) dq[i * dq_row + c] = sum[i * nw + c] * h.scale;
  }
};

// Adds the cotangents of the scores of queries [q0, q1) and keys [k0, k1) to those of a bias at db[i * row + j *
// column].
template <class T>
struct AttentionBiasBody {
  template <Isa I>
  static ERGO_INLINE void run(const AttentionHead<T>& h, const T* lse, const T* delta, std::int64_t q0, std::int64_t q1,
                              std::int64_t k0, std::int64_t k1, T* db, std::int64_t row, std::int64_t column, T* room) {
    using P = Pack<T, kRegisterBytes<I> / int(sizeof(T))>;
    constexpr std::int64_t B = kAttentionTile;
    const std::int64_t nw = padded_width<T>(h.n), mw = padded_width<T>(h.m);
    T *s = room, *d = s + B * B, *qr = d + B * B, *gr = qr + B * nw, *kt = gr + B * mw, *vt = kt + B * nw;
    take_rows<P>(qr, nw, h.q, q0, q1 - q0, h.n, T(1));
    take_rows<P>(gr, mw, h.g, q0, q1 - q0, h.m, T(1));
    take_columns(kt, h.k, k0, k1 - k0, h.n, h.scale);
    take_columns(vt, h.v, k0, k1 - k0, h.m, T(1));
    AttentionKeysBody<T>::template score_cotangents<P>(h, qr, gr, kt, vt, lse, delta, q0, q1, k0, k1, s, d);
    for (std::int64_t i = 0; i < q1 - q0; ++i)
      for (std::int64_t j = 0; j < k1 - k0; ++j) db[i * row + j * column] += d[i * B + j];
  }
};

}  // namespace ergo::inline ERGO_BUILD::cpu::detail
