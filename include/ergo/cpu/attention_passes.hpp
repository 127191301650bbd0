// What attention does with tiles (attention_tiles.hpp), compiled for each instruction set: a block of queries forward;
// a block of keys, of queries, of a bias backward.
#pragma once

#include "ergo/cpu/attention_tiles.hpp"
#include "ergo/cpu/math_exp.hpp"

namespace ergo::inline ERGO_BUILD::cpu::detail {

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

// y rows [q0, q1) at y[i * y_row]. Two numbers a row are kept: m and r, with which a weight is exp(score - m) r (r = 0
// of a query that sees nothing, whose y is 0). Not the one logarithm m - log r: a large m would swallow log r.
template <class T>
struct AttentionForwardBody {
  template <Isa I>
  static ERGO_INLINE void run(const AttentionHead<T>& h, std::int64_t q0, std::int64_t q1, T* y, std::int64_t y_row,
                              T* kept, T* room) {
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
      const bool finite = take_rows<P>(vr, mw, h.v, k0, keys, h.m, T(1));
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
      weighted_product<P>(LeftFactor<T>{s, 1, B}, vr, mw, finite, o, mw, rows, mw, keys);
    }
    for (std::int64_t i = 0; i < rows; ++i) {
      const bool empty = total[i] == 0;
      const T share = empty ? T(0) : T(1) / total[i];
      for (std::int64_t c = 0; c < h.m; ++c) y[i * y_row + c] = empty ? T(0) : o[i * mw + c] * share;
      kept[2 * i] = top[i] == -T(__builtin_inf()) ? T(0) : top[i];
      kept[2 * i + 1] = share;
    }
  }
};

// A tile of keys going backward: kt (n, 64) and vt (m, 64) are keys and values transposed, kr (64, padded n) the keys
// scaled, all finite or not.
template <class T>
struct AttentionKeys {
  const T *kt, *vt, *kr;
  bool finite;
};

// Adds to dk (64, padded n) and dv (64, padded m), of keys [k0, k1), what one head's queries give. dq, if there is one,
// gains what these keys give. `kept` is what forward kept. As there the queries are scaled: scores rounded in another
// way would be wrong by far more than a rounding once they are exponents.
template <class T>
struct AttentionKeysBody {
  template <Isa I>
  static ERGO_INLINE void run(const AttentionHead<T>& h, const T* kept, const T* delta, std::int64_t k0,
                              std::int64_t k1, const AttentionKeys<T>& x, T* dk, T* dv, T* dq, std::int64_t dq_row,
                              T* room) {
    using P = Pack<T, kRegisterBytes<I> / int(sizeof(T))>;
    constexpr std::int64_t B = kAttentionTile;
    const std::int64_t nw = padded_width<T>(h.n), mw = padded_width<T>(h.m), keys = k1 - k0;
    T *s = room, *d = s + B * B, *qr = d + B * B, *gr = qr + B * nw, *back = gr + B * mw;
    for (std::int64_t q0 = 0; q0 < h.seen.queries; q0 += B) {
      const std::int64_t q1 = h.seen.queries - q0 < B ? h.seen.queries : q0 + B, rows = q1 - q0;
      if (h.seen.high(q1) <= k0 || h.seen.low(q0) >= k1) continue;
      const bool q_finite = take_rows<P>(qr, nw, h.q, q0, rows, h.n, h.scale);
      const bool g_finite = take_rows<P>(gr, mw, h.g, q0, rows, h.m, T(1));
      score_cotangents<P>(h, qr, gr, x.kt, x.vt, kept, delta, q0, q1, k0, k1, s, d);
      weighted_product<P>(LeftFactor<T>{s, 1, B}, gr, mw, g_finite, dv, mw, keys, mw, rows);
      weighted_product<P>(LeftFactor<T>{d, 1, B}, qr, nw, q_finite, dk, nw, keys, nw, rows);
      if (!dq) continue;
      for (std::int64_t i = 0; i < rows * nw; ++i) back[i] = 0;
      weighted_product<P>(LeftFactor<T>{d, B, 1}, x.kr, nw, x.finite, back, nw, rows, nw, keys);
      for (std::int64_t i = 0; i < rows; ++i) add_row<P>(dq + (q0 + i) * dq_row, back + i * nw, h.n);
    }
  }
  // Weights s and cotangents of scores d, (queries, keys), both 0 where a key is hidden; the rows of q, scaled, and of
  // g are taken.
  template <class P>
  static ERGO_INLINE void score_cotangents(const AttentionHead<T>& h, const T* qr, const T* gr, const T* kt,
                                           const T* vt, const T* kept, const T* delta, std::int64_t q0, std::int64_t q1,
                                           std::int64_t k0, std::int64_t k1, T* s, T* d) {
    constexpr std::int64_t B = kAttentionTile;
    const std::int64_t nw = padded_width<T>(h.n), mw = padded_width<T>(h.m), rows = q1 - q0;
    const P none;
    product<P>(LeftFactor<T>{qr, nw, 1}, kt, B, s, B, rows, B, h.n, false);
    product<P>(LeftFactor<T>{gr, mw, 1}, vt, B, d, B, rows, B, h.m, false);
    if (!h.seen.plain(q0, q1, k0, k1)) h.seen.finish(s, B, 1, q0, q1, k0, k1);
    for (std::int64_t i = 0; i < rows; ++i) {
      const P base(kept[2 * (q0 + i)]), share(kept[2 * (q0 + i) + 1]), level(delta[q0 + i]);
      for (std::int64_t c = i * B; c < (i + 1) * B; c += P::kLanes) {
        const P power = exp(P::load(s + c) - base), p = power * share;
        const auto absent = power == none;
        where(absent, none, p).store(s + c);
        where(absent, none, p * (P::load(d + c) - level)).store(d + c);
      }
    }
  }
};

// dq rows [q0, q1) at dq[i * dq_row].
template <class T>
struct AttentionQueriesBody {
  template <Isa I>
  static ERGO_INLINE void run(const AttentionHead<T>& h, const T* kept, const T* delta, std::int64_t q0,
                              std::int64_t q1, T* dq, std::int64_t dq_row, T* room) {
    using P = Pack<T, kRegisterBytes<I> / int(sizeof(T))>;
    constexpr std::int64_t B = kAttentionTile, kW = P::kLanes;
    const std::int64_t nw = padded_width<T>(h.n), mw = padded_width<T>(h.m), rows = q1 - q0;
    T *s = room, *d = s + B * B, *qt = d + B * B, *gt = qt + B * nw, *kr = gt + B * mw, *vr = kr + B * nw,
      *sum = vr + B * mw, *base = sum + B * nw, *share = base + B, *level = share + B;
    const P none;
    take_columns(qt, h.q, q0, rows, h.n, h.scale);
    take_columns(gt, h.g, q0, rows, h.m, T(1));
    for (std::int64_t i = 0; i < B; ++i) {
      base[i] = i < rows ? kept[2 * (q0 + i)] : T(0);
      share[i] = i < rows ? kept[2 * (q0 + i) + 1] : T(0);
      level[i] = i < rows ? delta[q0 + i] : T(0);
    }
    for (std::int64_t i = 0; i < B * nw; ++i) sum[i] = 0;
    const std::int64_t high = h.seen.high(q1);
    for (std::int64_t k0 = h.seen.low(q0) / B * B; k0 < high; k0 += B) {
      const std::int64_t k1 = high - k0 < B ? high : k0 + B, keys = k1 - k0;
      const bool finite = take_rows<P>(kr, nw, h.k, k0, keys, h.n, T(1));
      take_rows<P>(vr, mw, h.v, k0, keys, h.m, T(1));
      product<P>(LeftFactor<T>{kr, nw, 1}, qt, B, s, B, keys, B, h.n, false);
      product<P>(LeftFactor<T>{vr, mw, 1}, gt, B, d, B, keys, B, h.m, false);
      if (!h.seen.plain(q0, q1, k0, k1)) h.seen.finish(s, 1, B, q0, q1, k0, k1);
      for (std::int64_t j = 0; j < keys; ++j)
        for (std::int64_t c = 0; c < B; c += kW) {
          const P power = exp(P::load(s + j * B + c) - P::load(base + c));
          const P change = power * P::load(share + c) * (P::load(d + j * B + c) - P::load(level + c));
          where(power == none, none, change).store(d + j * B + c);
        }
      weighted_product<P>(LeftFactor<T>{d, 1, B}, kr, nw, finite, sum, nw, rows, nw, keys);
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
  static ERGO_INLINE void run(const AttentionHead<T>& h, const T* kept, const T* delta, std::int64_t q0,
                              std::int64_t q1, std::int64_t k0, std::int64_t k1, T* db, std::int64_t row,
                              std::int64_t column, T* room) {
    using P = Pack<T, kRegisterBytes<I> / int(sizeof(T))>;
    constexpr std::int64_t B = kAttentionTile;
    const std::int64_t nw = padded_width<T>(h.n), mw = padded_width<T>(h.m);
    T *s = room, *d = s + B * B, *qr = d + B * B, *gr = qr + B * nw, *kt = gr + B * mw, *vt = kt + B * nw;
    take_rows<P>(qr, nw, h.q, q0, q1 - q0, h.n, h.scale);
    take_rows<P>(gr, mw, h.g, q0, q1 - q0, h.m, T(1));
    take_columns(kt, h.k, k0, k1 - k0, h.n, T(1));
    take_columns(vt, h.v, k0, k1 - k0, h.m, T(1));
    AttentionKeysBody<T>::template score_cotangents<P>(h, qr, gr, kt, vt, kept, delta, q0, q1, k0, k1, s, d);
    for (std::int64_t i = 0; i < q1 - q0; ++i)
      for (std::int64_t j = 0; j < k1 - k0; ++j) db[i * row + j * column] += d[i * B + j];
  }
};

}  // namespace ergo::inline ERGO_BUILD::cpu::detail
