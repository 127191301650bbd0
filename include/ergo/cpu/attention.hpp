// Attention on arrays of the CPU, forward and backward, tile by tile (attention_passes.hpp): the weights of all queries
// and keys are never in memory. Forward runs in parallel over blocks of queries of every head. Backward runs over the
// heads of keys, each of which also gathers its queries' gradients; where there are few heads it takes two passes, over
// blocks of keys and over blocks of queries, that make the weights twice. Which it is depends on the shape alone, and
// whatever is summed is summed by one task in order, so no bit depends on the number of threads.
#pragma once

#include "ergo/core/parallel.hpp"
#include "ergo/cpu/attention_passes.hpp"
#include "ergo/cpu/scratch.hpp"
#include "ergo/cpu/storage.hpp"

namespace ergo::inline ERGO_BUILD {

namespace detail {

// What attention is asked for beside its operands.
struct AttentionRule {
  double scale;
  std::int64_t window;  // 0: none; at most queries + keys
  bool causal;
};
// q (..., B, T, H, D), k (..., B, S, K, D), v (..., B, S, K, M); null where absent: bias and mask, which broadcast to
// (..., B, H, T, S), lengths (..., B).
struct AttentionOperands {
  const Array *q, *k, *v, *bias = nullptr, *mask = nullptr, *lengths = nullptr;
};
// Leading axes broadcast, and the extents.
struct AttentionExtents {
  Shape lead;
  std::int64_t batch, queries, keys, heads, key_heads, n, m;
  explicit AttentionExtents(const AttentionOperands& x) {
    const auto merge = [&](const Array* a, int own) {
      if (a) broadcast(lead, a->shape.first(a->shape.rank() - own));
    };
    merge(x.q, 4);
    merge(x.k, 4);
    merge(x.v, 4);
    merge(x.bias, 4);
    merge(x.mask, 4);
    merge(x.lengths, 1);
    batch = x.q->shape[-4];
    queries = x.q->shape[-3];
    heads = x.q->shape[-2];
    n = x.q->shape[-1];
    keys = x.k->shape[-3];
    key_heads = x.k->shape[-2];
    m = x.v->shape[-1];
  }
  std::int64_t group() const { return key_heads ? heads / key_heads : 0; }
};

}  // namespace detail

namespace cpu {

namespace detail {

using namespace ergo::detail;

// An operand whose leading axes broadcast to `lead`, and of whose own axes those of extent 1 repeat.
template <class T, int Own>
class Placed {
 public:
  Placed(const Array* x, const Shape& lead) : x_(x), lead_(&lead) {
    for (int d = 0; x && d < Own; ++d) {
      const int axis = x->shape.rank() - Own + d;
      stride[d] = x->shape[axis] == 1 ? 0 : x->stride[axis] / std::int64_t(sizeof(T));
    }
  }
  const T* at(std::int64_t lead) const {
    if (!x_) return nullptr;
    std::int64_t offset = 0;
    const int gained = lead_->rank() - (x_->shape.rank() - Own);
    for (int d = lead_->rank() - 1; d >= 0; --d) {
      if (d >= gained && x_->shape[d - gained] != 1) offset += lead % (*lead_)[d] * x_->stride[d - gained];
      lead /= (*lead_)[d];
    }
    return reinterpret_cast<const T*>(x_->data + offset);
  }
  std::int64_t stride[Own] = {};

 private:
  const Array* x_;
  const Shape* lead_;
};

template <class T>
class AttentionTask {
 public:
  AttentionTask(const AttentionOperands& x, const AttentionExtents& e, const AttentionRule& rule,
                const Array* g = nullptr)
      : e_(e),
        rule_(rule),
        q_(x.q, e.lead),
        k_(x.k, e.lead),
        v_(x.v, e.lead),
        g_(g, e.lead),
        bias_(x.bias, e.lead),
        mask_(x.mask, e.lead),
        lengths_(x.lengths, e.lead) {}
  // Of query head h of batch b.
  AttentionHead<T> head(std::int64_t lead, std::int64_t b, std::int64_t h) const {
    const std::int64_t kh = h / e_.group();
    AttentionHead<T> r;
    r.q = rows(q_, lead, b, h);
    r.k = rows(k_, lead, b, kh);
    r.v = rows(v_, lead, b, kh);
    r.g = rows(g_, lead, b, h);
    r.n = e_.n;
    r.m = e_.m;
    r.scale = T(rule_.scale);
    const std::int64_t* const length = lengths_.at(lead);
    const std::int64_t visible = length ? length[b * lengths_.stride[0]] : e_.keys;
    r.seen = {e_.queries,      e_.keys,         visible < 0 ? 0 : visible < e_.keys ? visible : e_.keys,
              rule_.window,    rule_.causal,    corner(bias_, lead, b, h),
              bias_.stride[2], bias_.stride[3], corner(mask_, lead, b, h),
              mask_.stride[2], mask_.stride[3]};
    return r;
  }

 private:
  template <class U>
  static const U* corner(const Placed<U, 4>& x, std::int64_t lead, std::int64_t b, std::int64_t h) {
    const U* p = x.at(lead);
    return p ? p + b * x.stride[0] + h * x.stride[1] : nullptr;
  }
  static HeadRows<T> rows(const Placed<T, 4>& x, std::int64_t lead, std::int64_t b, std::int64_t h) {
    const T* p = x.at(lead);
    return {p ? p + b * x.stride[0] + h * x.stride[2] : nullptr, x.stride[1], x.stride[3]};
  }
  const AttentionExtents& e_;
  AttentionRule rule_;
  Placed<T, 4> q_, k_, v_, g_, bias_;
  Placed<bool, 4> mask_;
  Placed<std::int64_t, 1> lengths_;
};

inline std::int64_t tiles_of(std::int64_t n) { return (n + kAttentionTile - 1) / kAttentionTile; }
// How many tasks of about so many multiplications are worth a thread's while at once.
inline std::int64_t attention_grain(std::int64_t products) { return 1 + (1 << 17) / (products + 1); }

}  // namespace detail

// y (lead..., B, T, H, M), and what is kept of each row of scores for going backward (lead..., B, H, T, 2).
template <class T>
void attention(const ergo::detail::AttentionOperands& x, const ergo::detail::AttentionExtents& e,
               const ergo::detail::AttentionRule& rule, T* y, T* kept) {
  using namespace detail;
  const AttentionTask<T> task(x, e, rule);
  const std::int64_t blocks = tiles_of(e.queries), all = e.lead.product() * e.batch * e.heads * blocks;
  if (all == 0) return;
  const std::int64_t products = (e.queries < kAttentionTile ? e.queries : kAttentionTile) * e.keys * (e.n + e.m);
  parallel_for(all, attention_grain(products), [&](std::int64_t begin, std::int64_t end) {
    const Scratch<T> room(attention_room<T>(e.n, e.m));
    for (std::int64_t i = begin; i < end; ++i) {
      const std::int64_t q0 = i % blocks * kAttentionTile, h = i / blocks % e.heads, outer = i / blocks / e.heads;
      const std::int64_t q1 = e.queries - q0 < kAttentionTile ? e.queries : q0 + kAttentionTile;
      const AttentionHead<T> head = task.head(outer / e.batch, outer % e.batch, h);
      for_isa<AttentionForwardBody<T>, const AttentionHead<T>&>(
          head, q0, q1, y + ((outer * e.queries + q0) * e.heads + h) * e.m, e.heads * e.m,
          kept + 2 * ((outer * e.heads + h) * e.queries + q0), room.data());
    }
  });
}

// Gradients, all with every leading axis: dq, dk, dv as q, k, v; dbias, if not null, with the extents `bias_shape` (B,
// H, T, S or 1 each). g is the cotangent, y and kept what forward gave, row-major.
template <class T>
void attention_vjp(const ergo::detail::AttentionOperands& x, const ergo::detail::AttentionExtents& e,
                   const ergo::detail::AttentionRule& rule, const Array& g, const T* y, const T* kept, T* dq, T* dk,
                   T* dv, T* dbias, const Shape& bias_shape) {
  using namespace detail;
  constexpr std::int64_t B = kAttentionTile;
  const AttentionTask<T> task(x, e, rule, &g);
  const std::int64_t outer = e.lead.product() * e.batch, heads = outer * e.heads, group = e.group();
  const std::int64_t nw = padded_width<T>(e.n), mw = padded_width<T>(e.m);
  const Scratch<T> deltas(heads * e.queries + 1);
  T* const delta = deltas.data();
  // The sum over a row of g y, which is what the weights' cotangents sum to.
  parallel_for(heads * e.queries, attention_grain(e.m), [&](std::int64_t begin, std::int64_t end) {
    for (std::int64_t i = begin; i < end; ++i) {
      const std::int64_t t = i % e.queries, h = i / e.queries % e.heads, o = i / e.queries / e.heads;
      const HeadRows<T> rows = task.head(o / e.batch, o % e.batch, h).g;
      const T *from = rows.data + t * rows.row, *with = y + ((o * e.queries + t) * e.heads + h) * e.m;
      T sum[8] = {};
      for (std::int64_t c = 0; c < e.m; ++c) sum[c % 8] += from[c * rows.column] * with[c];
      delta[i] = ((sum[0] + sum[4]) + (sum[2] + sum[6])) + ((sum[1] + sum[5]) + (sum[3] + sum[7]));
    }
  });

  const std::int64_t key_blocks = tiles_of(e.keys), query_blocks = tiles_of(e.queries);
  const bool few = outer * e.key_heads < 16 && key_blocks > 1;  // then each block of keys is a task
  const std::int64_t tasks = outer * e.key_heads * (few ? key_blocks : 1);
  const std::int64_t products = e.queries * group * (e.n + e.m) * (few ? B : e.keys);
  parallel_for(tasks, attention_grain(products), [&](std::int64_t begin, std::int64_t end) {
    const Scratch<T> memory(2 * attention_room<T>(e.n, e.m));
    T *kt = memory.data(), *vt = kt + B * nw, *kr = vt + B * mw, *sk = kr + B * nw, *sv = sk + B * nw,
      *room = sv + B * mw;
    for (std::int64_t i = begin; i < end; ++i) {
      const std::int64_t each = few ? key_blocks : 1, kh = i / each % e.key_heads, o = i / each / e.key_heads;
      const std::int64_t from = few ? i % each : 0, to = few ? from + 1 : key_blocks;
      const auto dq_of = [&](std::int64_t h) { return dq + (o * e.queries * e.heads + h) * e.n; };
      if (!few)
        for (std::int64_t h = kh * group; h < (kh + 1) * group; ++h)
          for (std::int64_t t = 0; t < e.queries; ++t)
            for (std::int64_t c = 0; c < e.n; ++c) dq_of(h)[t * e.heads * e.n + c] = 0;
      for (std::int64_t block = from; block < to; ++block) {
        const std::int64_t k0 = block * B, k1 = e.keys - k0 < B ? e.keys : k0 + B;
        AttentionKeys<T> tile{kt, vt, kr, true};
        for (std::int64_t c = 0; c < B * nw; ++c) sk[c] = 0;
        for (std::int64_t c = 0; c < B * mw; ++c) sv[c] = 0;
        for (std::int64_t h = kh * group; h < (kh + 1) * group; ++h) {
          const AttentionHead<T> head = task.head(o / e.batch, o % e.batch, h);
          if (h == kh * group) {
            take_columns(kt, head.k, k0, k1 - k0, e.n, T(1));
            take_columns(vt, head.v, k0, k1 - k0, e.m, T(1));
            tile.finite = take_rows<Pack<T, 16 / int(sizeof(T))>>(kr, nw, head.k, k0, k1 - k0, e.n, head.scale);
          }
          const std::int64_t row = (o * e.heads + h) * e.queries;
          for_isa<AttentionKeysBody<T>, const AttentionHead<T>&, const T*, const T*, std::int64_t, std::int64_t,
                  const AttentionKeys<T>&>(head, kept + 2 * row, delta + row, k0, k1, tile, sk, sv,
                                           few ? nullptr : dq_of(h), e.heads * e.n, room);
        }
        for (std::int64_t j = k0; j < k1; ++j) {
          const std::int64_t at = (o * e.keys + j) * e.key_heads + kh;
          for (std::int64_t c = 0; c < e.n; ++c) dk[at * e.n + c] = sk[(j - k0) * nw + c];
          for (std::int64_t c = 0; c < e.m; ++c) dv[at * e.m + c] = sv[(j - k0) * mw + c];
        }
      }
    }
  });
  if (few) {
    const std::int64_t some = (e.queries < B ? e.queries : B) * e.keys * (2 * e.n + e.m);
    parallel_for(heads * query_blocks, attention_grain(some), [&](std::int64_t begin, std::int64_t end) {
      const Scratch<T> room(attention_room<T>(e.n, e.m));
      for (std::int64_t i = begin; i < end; ++i) {
        const std::int64_t q0 = i % query_blocks * B, h = i / query_blocks % e.heads, o = i / query_blocks / e.heads;
        const std::int64_t q1 = e.queries - q0 < B ? e.queries : q0 + B, row = (o * e.heads + h) * e.queries;
        const AttentionHead<T> head = task.head(o / e.batch, o % e.batch, h);
        for_isa<AttentionQueriesBody<T>, const AttentionHead<T>&>(head, kept + 2 * row, delta + row, q0, q1,
                                                                  dq + ((o * e.queries + q0) * e.heads + h) * e.n,
                                                                  e.heads * e.n, room.data());
      }
    });
  }
  if (!dbias) return;

  // Each tile of the bias by one task, over all that it was repeated to: batches, heads, queries or keys.
  const std::int64_t bb = bias_shape[0], bh = bias_shape[1], bt = bias_shape[2], bs = bias_shape[3];
  const std::int64_t down = tiles_of(bt), across = tiles_of(bs), repeats_b = bb == 1 ? e.batch : 1;
  const std::int64_t repeats_h = bh == 1 ? e.heads : 1;
  const std::int64_t over = repeats_b * repeats_h * (bt == 1 ? e.queries : B) * (bs == 1 ? e.keys : B) * (e.n + e.m);
  parallel_for(
      e.lead.product() * bb * bh * down * across, attention_grain(over), [&](std::int64_t begin, std::int64_t end) {
        const Scratch<T> room(attention_room<T>(e.n, e.m));
        for (std::int64_t i = begin; i < end; ++i) {
          const std::int64_t ks = i % across, qs = i / across % down, corner = i / across / down;
          const std::int64_t h0 = corner % bh, b0 = corner / bh % bb, lead = corner / bh / bb;
          T* const plane = dbias + corner * bt * bs;
          const auto bound = [](std::int64_t n, std::int64_t at) { return n < at ? n : at; };
          for (std::int64_t t = qs * B; t < bound(bt, (qs + 1) * B); ++t)
            for (std::int64_t s = ks * B; s < bound(bs, (ks + 1) * B); ++s) plane[t * bs + s] = 0;
          const std::int64_t q_from = bt == 1 ? 0 : qs * B, q_to = bt == 1 ? e.queries : bound(bt, (qs + 1) * B);
          const std::int64_t k_from = bs == 1 ? 0 : ks * B, k_to = bs == 1 ? e.keys : bound(bs, (ks + 1) * B);
          for (std::int64_t b = b0; b < b0 + repeats_b; ++b)
            for (std::int64_t h = h0; h < h0 + repeats_h; ++h) {
              const AttentionHead<T> head = task.head(lead, b, h);
              const std::int64_t row = ((lead * e.batch + b) * e.heads + h) * e.queries;
              for (std::int64_t q0 = q_from; q0 < q_to; q0 += B)
                for (std::int64_t k0 = k_from; k0 < k_to; k0 += B) {
                  const std::int64_t q1 = bound(q_to, q0 + B), k1 = bound(k_to, k0 + B);
                  if (head.seen.high(q1) <= k0 || head.seen.low(q0) >= k1) continue;
                  const std::int64_t down_step = bt == 1 ? 0 : bs, across_step = bs == 1 ? 0 : 1;
                  for_isa<AttentionBiasBody<T>, const AttentionHead<T>&>(head, kept + 2 * row, delta + row, q0, q1, k0,
                                                                         k1, plane + q0 * down_step + k0 * across_step,
                                                                         down_step, across_step, room.data());
                }
            }
        }
      });
}

}  // namespace cpu
}  // namespace ergo::inline ERGO_BUILD
