// What attention is made of (ops/attention.hpp): its kernels, forward and for the first-order gradients, and what it is
// in operations that have every derivative, which higher orders, forward mode and attention_pattern go through.
#pragma once

#include "ergo/cpu/attention.hpp"
#include "ergo/ops/comparison.hpp"
#include "ergo/ops/logic.hpp"
#include "ergo/ops/matmul.hpp"
#include "ergo/ops/selection.hpp"
#include "ergo/ops/softmax.hpp"
#if defined(__CUDACC__) || defined(ERGO_EMULATED)
#include "ergo/cuda/attention.hpp"
#endif

namespace ergo::inline ERGO_BUILD::detail {

// (..., A, B, C) as (..., B, A, C).
template <class T>
Tensor<T> heads_swapped(const Tensor<T>& x) {
  std::int8_t order[kMaxRank];
  const int rank = x.rank();
  for (int d = 0; d < rank; ++d) order[d] = std::int8_t(d == rank - 3 ? d + 1 : d == rank - 2 ? d - 1 : d);
  return Tensor<T>(permute(x.ref(), order));
}
template <class T>
Tensor<T> in_shape(const Tensor<T>& x, const Shape& s) {
  return Tensor<T>(reshape(x.ref(), s));
}
// Heads (..., K, S, D) each `group` times, and the sum over each such group.
template <class T>
Tensor<T> each_head_repeated(const Tensor<T>& x, std::int64_t group) {
  if (group == 1) return x;
  const Shape lead = x.shape().first(x.rank() - 3), own = x.shape().last(2);
  const std::int64_t heads = x.shape()[-3];
  const Tensor<T> apart = in_shape(x, lead + Shape{heads, 1} + own);
  return in_shape(Tensor<T>(broadcast_to(apart.ref(), lead + Shape{heads, group} + own)),
                  lead + Shape{heads * group} + own);
}
template <class T>
Tensor<T> each_group_summed(const Tensor<T>& x, std::int64_t group, std::int64_t heads) {
  if (group == 1) return x;
  const Shape lead = x.shape().first(x.rank() - 3), own = x.shape().last(2);
  return sum(in_shape(x, lead + Shape{heads, group} + own), -3);
}
// Heads of queries for each head of keys.
inline std::int64_t heads_of_each(const Shape& q, const Shape& k) { return k[-2] ? q[-2] / k[-2] : 0; }
template <class T>
Tensor<T> matrices_transposed(const Tensor<T>& x) {
  std::int8_t order[kMaxRank];
  const int rank = x.rank();
  for (int d = 0; d < rank; ++d) order[d] = std::int8_t(d == rank - 2 ? d + 1 : d == rank - 1 ? d - 1 : d);
  return Tensor<T>(permute(x.ref(), order));
}

// What attention does, in operations that have every derivative. Which of bias, mask, lengths there are; those that
// there are not have no elements.
struct AttentionForm {
  AttentionRule rule;
  bool bias, mask, lengths;

  AttentionOperands operands(const Array& q, const Array& k, const Array& v, const Array& b, const Array& m,
                             const Array& n) const {
    return {&q, &k, &v, bias ? &b : nullptr, mask ? &m : nullptr, lengths ? &n : nullptr};
  }
  // k or v (..., B, S, K, D) with padding as zeros, since that may hold anything, NaN too.
  template <class T>
  Tensor<T> without_padding(const Tensor<T>& x, const Tensor<std::int64_t>& length) const {
    if (!lengths) return x;
    const Tensor<std::int64_t> key =
        in_shape(arange<std::int64_t>(0, x.shape()[-3], 1, x.device()), Shape{x.shape()[-3], 1, 1});
    return where(key < in_shape(length, length.shape() + Shape{1, 1, 1}), x, T(0));
  }
  // Which keys are seen, or nothing where all are.
  Tensor<bool> seen(std::int64_t queries, std::int64_t keys, Device device, const Tensor<bool>& given,
                    const Tensor<std::int64_t>& length) const {
    Tensor<bool> all;
    const auto also = [&](const Tensor<bool>& x) { all = all.defined() ? logical_and(all, x) : x; };
    const Tensor<std::int64_t> key = arange<std::int64_t>(0, keys, 1, device);
    if (rule.causal || rule.window) {
      const Tensor<std::int64_t> place =
          in_shape(arange<std::int64_t>(keys - queries, keys, 1, device), Shape{queries, 1});
      if (rule.causal) also(key <= place);
      if (rule.window) also(place - key < rule.window);
      if (rule.window && !rule.causal) also(key - place < rule.window);
    }
    if (lengths) also(key < in_shape(length, length.shape() + Shape{1, 1, 1}));
    if (mask) also(given);
    return all;
  }
  // (..., B, H, T, S)
  template <class T>
  Tensor<T> weights(const Tensor<T>& q, const Tensor<T>& k, const Tensor<T>& added, const Tensor<bool>& given,
                    const Tensor<std::int64_t>& length) const {
    const std::int64_t group = heads_of_each(q.shape(), k.shape());
    const Tensor<T> keys = each_head_repeated(heads_swapped(without_padding(k, length)), group);
    Tensor<T> s = matmul(heads_swapped(q), matrices_transposed(keys)) * convert<T>(rule.scale);
    if (bias) s = s + added;
    const Tensor<bool> taken = seen(q.shape()[-3], k.shape()[-3], q.device(), given, length);
    if (taken.defined()) s = pointwise_op(TakesPart{}, taken, s);
    return fused_op(Softmax{true}, s);
  }
  template <class T>
  static Tensor<T> values(const Tensor<T>& weights, const Tensor<T>& v) {
    const Tensor<T> each = heads_swapped(v);
    const std::int64_t group = v.shape()[-2] ? weights.shape()[-3] / v.shape()[-2] : 0;
    return heads_swapped(matmul(weights, each_head_repeated(each, group)));
  }
};

// dq, dk, dv, dbias, with every leading axis; y and kept are what forward gave.
struct AttentionVjp : AttentionForm {
  static constexpr auto name = "attention";
  bool bias_wanted;
  int core_of(int i) const { return i == 6 ? 1 : 4; }

  template <class T>
  using Gradients = std::tuple<Tensor<T>, Tensor<T>, Tensor<T>, Tensor<T>>;
  // Of the bias's gradient: none, if nobody asks for it.
  template <class T>
  Shape bias_shape(const Tensor<T>& b) const {
    return bias && bias_wanted ? b.shape().last(4) : Shape{0, 0, 0, 0};
  }
  template <class T>
  AttentionExtents extents(const AttentionOperands& x, const Tensor<T>& g) const {
    AttentionExtents e(x);
    broadcast(e.lead, g.shape().first(g.rank() - 4));
    return e;
  }
  template <class T>
  Gradients<T> cpu(const Tensor<T>& g, const Tensor<T>& q, const Tensor<T>& k, const Tensor<T>& v, const Tensor<T>& b,
                   const Tensor<bool>& m, const Tensor<std::int64_t>& n, const Tensor<T>& y,
                   const Tensor<T>& kept) const {
    const AttentionOperands x = operands(q.array(), k.array(), v.array(), b.array(), m.array(), n.array());
    const AttentionExtents e = extents(x, g);
    const auto made = [&](const Shape& s) { return make_tensor<T>(e.lead + s); };
    const auto all = [&](const Tensor<T>& t) { return ergo::cpu::detail::Aligned<1>::aligned(t.array(), 4, e.lead); };
    const Gradients<T> r{made(q.shape().last(4)), made(k.shape().last(4)), made(v.shape().last(4)),
                         made(bias_shape(b))};
    const auto at = [](const Tensor<T>& t) { return data_of<T>(t.array()); };
    const Ref<Array> out = all(y), sums = all(kept);
    ergo::cpu::attention_vjp<T>(x, e, rule, g.array(), data_of<T>(*out), data_of<T>(*sums), at(std::get<0>(r)),
                                at(std::get<1>(r)), at(std::get<2>(r)),
                                bias && bias_wanted ? at(std::get<3>(r)) : nullptr, bias_shape(b));
    return r;
  }
#if defined(__CUDACC__) || defined(ERGO_EMULATED)
  template <class T>
  Gradients<T> cuda(const Tensor<T>& g, const Tensor<T>& q, const Tensor<T>& k, const Tensor<T>& v, const Tensor<T>& b,
                    const Tensor<bool>& m, const Tensor<std::int64_t>& n, const Tensor<T>& y,
                    const Tensor<T>& kept) const {
    const AttentionOperands x = operands(q.array(), k.array(), v.array(), b.array(), m.array(), n.array());
    return ergo::cuda::attention_vjp<T>(x, extents(x, g), rule, g.array(), y.array(), kept.array(), bias_shape(b));
  }
#endif
  template <class T>
  Gradients<T> definition(const Tensor<T>& g, const Tensor<T>& q, const Tensor<T>& k, const Tensor<T>& v,
                          const Tensor<T>& b, const Tensor<bool>& m, const Tensor<std::int64_t>& n, const Tensor<T>&,
                          const Tensor<T>&) const {
    const std::int64_t group = heads_of_each(q.shape(), k.shape());
    const AttentionOperands x = operands(q.array(), k.array(), v.array(), b.array(), m.array(), n.array());
    const Shape lead = extents(x, g).lead;
    const Tensor<T> back = heads_swapped(Tensor<T>(broadcast_to(g.ref(), lead + g.shape().last(4))));
    const Tensor<T> w = weights(q, k, b, m, n), qs = heads_swapped(q);
    const Tensor<T> keys = each_head_repeated(heads_swapped(without_padding(k, n)), group),
                    wide = each_head_repeated(heads_swapped(without_padding(v, n)), group);
    const Tensor<T> dw = matmul(back, matrices_transposed(wide)), ds = w * (dw - sum(dw * w, -1, true));
    const T scale = convert<T>(rule.scale);
    Tensor<T> db;
    if (bias && bias_wanted) {
      AxisSet repeated;
      for (int d = 0; d < 4; ++d)
        if (b.shape().last(4)[d] == 1) repeated.mask |= 1u << d;
      db = repeated.mask ? sum_over<false>(ds, Over{4, repeated, true}) : ds;
    } else {
      db = Tensor<T>(Array::make(dtype_of<T>, lead + Shape{0, 0, 0, 0}, q.device()));
    }
    return {heads_swapped(matmul(ds, keys) * scale),
            heads_swapped(each_group_summed(matmul(matrices_transposed(ds), qs) * scale, group, k.shape()[-2])),
            heads_swapped(each_group_summed(matmul(matrices_transposed(w), back), group, k.shape()[-2])), db};
  }
};

struct Attention : AttentionForm {
  static constexpr auto name = "attention";
  static constexpr Uses uses = Uses::all;
  static constexpr bool has_vjp = true;
  int core_of(int i) const { return i == 5 ? 1 : 4; }
  template <class T>
  std::tuple<Tensor<T>, Tensor<T>> cpu(const Tensor<T>& q, const Tensor<T>& k, const Tensor<T>& v, const Tensor<T>& b,
                                       const Tensor<bool>& m, const Tensor<std::int64_t>& n) const {
    const AttentionOperands x = operands(q.array(), k.array(), v.array(), b.array(), m.array(), n.array());
    const AttentionExtents e(x);
    const Tensor<T> y = make_tensor<T>(e.lead + Shape{e.batch, e.queries, e.heads, e.m});
    const Tensor<T> kept = make_tensor<T>(e.lead + Shape{e.batch, e.heads, e.queries, 2});
    ergo::cpu::attention<T>(x, e, rule, data_of<T>(y.array()), data_of<T>(kept.array()));
    return {y, kept};
  }
#if defined(__CUDACC__) || defined(ERGO_EMULATED)
  template <class T>
  std::tuple<Tensor<T>, Tensor<T>> cuda(const Tensor<T>& q, const Tensor<T>& k, const Tensor<T>& v, const Tensor<T>& b,
                                        const Tensor<bool>& m, const Tensor<std::int64_t>& n) const {
    const AttentionOperands x = operands(q.array(), k.array(), v.array(), b.array(), m.array(), n.array());
    return ergo::cuda::attention<T>(x, AttentionExtents(x), rule);
  }
#endif
  template <class T>
  Tensor<T> definition(const Tensor<T>& q, const Tensor<T>& k, const Tensor<T>& v, const Tensor<T>& b,
                       const Tensor<bool>& m, const Tensor<std::int64_t>& n) const {
    return values(weights(q, k, b, m, n), without_padding(v, n));
  }
  template <class T>
  std::tuple<Tensor<T>, Tensor<T>, Tensor<T>, Tensor<T>, int, int> vjp(
      const Tensor<T>& g, const std::tuple<Tensor<T>, Tensor<T>>& y, const Tensor<T>& q, const Tensor<T>& k,
      const Tensor<T>& v, const Tensor<T>& b, const Tensor<bool>& m, const Tensor<std::int64_t>& n,
      const Wanted& wanted) const {
    const AttentionVjp rules{*this, wanted[3]};
    const auto [dq, dk, dv, db] = std::get<1>(y).defined()
                                      ? fused_ops(rules, g, q, k, v, b, m, n, std::get<0>(y), std::get<1>(y))
                                      : rules.definition(g, q, k, v, b, m, n, g, g);
    return {dq, dk, dv, wanted[3] ? db : Tensor<T>(), 0, 0};
  }
};

}  // namespace ergo::inline ERGO_BUILD::detail
