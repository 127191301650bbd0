// attention: y = softmax(scale q k' + bias) v for every head, without the weights (T, S) in memory: forward and the
// first-order gradients go through tiles of them on both devices and keep one number a row. Higher orders and forward
// mode go through attention_pattern and attention_with, the same in two steps.
#pragma once

#include <optional>

#include "ergo/cpu/attention.hpp"
#include "ergo/ops/comparison.hpp"
#include "ergo/ops/logic.hpp"
#include "ergo/ops/matmul.hpp"
#include "ergo/ops/softmax.hpp"
#if defined(__CUDACC__) || defined(ERGO_EMULATED)
#include "ergo/cuda/attention.hpp"
#endif

namespace ergo::inline ERGO_BUILD {

// Lengths (B) of any integer type.
struct SequenceLengths {
  Tensor<std::int64_t> value;
  SequenceLengths() = default;
  template <Index I>
  SequenceLengths(const Tensor<I>& x) : value(cast<std::int64_t>(x)) {}
};

template <class T>
struct AttentionOptions {
  bool causal = false;               // a query sees keys up to its own place; the last query stands beside the last key
  Tensor<bool> mask = {};            // true takes part; broadcasts to (B, H, T, S)
  Tensor<T> bias = {};               // added to the scaled products; the same
  std::optional<double> scale = {};  // 1 / sqrt(D) if not given
  AnyInteger window = 0;             // keys less than so many places away, the own place counted; 0: all
  SequenceLengths lengths = {};      // (B): keys from there on are padding
};

namespace detail {

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
Tensor<T> each_group_summed(const Tensor<T>& x, std::int64_t group) {
  if (group == 1) return x;
  const Shape lead = x.shape().first(x.rank() - 3), own = x.shape().last(2);
  return sum(in_shape(x, lead + Shape{x.shape()[-3] / group, group} + own), -3);
}
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
    const std::int64_t group = q.shape()[-2] / k.shape()[-2];
    const Tensor<T> keys = each_head_repeated(heads_swapped(k), group);
    Tensor<T> s = matmul(heads_swapped(q), matrices_transposed(keys)) * convert<T>(rule.scale);
    if (bias) s = s + added;
    const Tensor<bool> taken = seen(q.shape()[-3], k.shape()[-3], q.device(), given, length);
    if (taken.defined()) s = pointwise_op(TakesPart{}, taken, s);
    return fused_op(Softmax{true}, s);
  }
  template <class T>
  static Tensor<T> values(const Tensor<T>& weights, const Tensor<T>& v) {
    return heads_swapped(matmul(weights, each_head_repeated(heads_swapped(v), weights.shape()[-3] / v.shape()[-2])));
  }
};

// dq, dk, dv, dbias, with every leading axis; y and lse are what forward gave.
struct AttentionVjp : AttentionForm {
  static constexpr auto name = "attention";
  bool bias_wanted;
  int core_of(int i) const { return i == 6 ? 1 : i == 8 ? 3 : 4; }

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
                   const Tensor<T>& lse) const {
    const AttentionOperands x = operands(q.array(), k.array(), v.array(), b.array(), m.array(), n.array());
    const AttentionExtents e = extents(x, g);
    const auto made = [&](const Shape& s) { return make_tensor<T>(e.lead + s); };
    const auto all = [&](const Tensor<T>& t, int own) {
      return ergo::cpu::detail::Aligned<1>::aligned(t.array(), own, e.lead);
    };
    const Gradients<T> r{made(q.shape().last(4)), made(k.shape().last(4)), made(v.shape().last(4)),
                         made(bias_shape(b))};
    const auto at = [](const Tensor<T>& t) { return data_of<T>(t.array()); };
    const Ref<Array> out = all(y, 4), sums = all(lse, 3);
    ergo::cpu::attention_vjp<T>(x, e, rule, g.array(), data_of<T>(*out), data_of<T>(*sums), at(std::get<0>(r)),
                                at(std::get<1>(r)), at(std::get<2>(r)),
                                bias && bias_wanted ? at(std::get<3>(r)) : nullptr, bias_shape(b));
    return r;
  }
#if defined(__CUDACC__) || defined(ERGO_EMULATED)
  template <class T>
  Gradients<T> cuda(const Tensor<T>& g, const Tensor<T>& q, const Tensor<T>& k, const Tensor<T>& v, const Tensor<T>& b,
                    const Tensor<bool>& m, const Tensor<std::int64_t>& n, const Tensor<T>& y,
                    const Tensor<T>& lse) const {
    const AttentionOperands x = operands(q.array(), k.array(), v.array(), b.array(), m.array(), n.array());
    return ergo::cuda::attention_vjp<T>(x, extents(x, g), rule, g.array(), y.array(), lse.array(), bias_shape(b));
  }
#endif
  template <class T>
  Gradients<T> definition(const Tensor<T>& g, const Tensor<T>& q, const Tensor<T>& k, const Tensor<T>& v,
                          const Tensor<T>& b, const Tensor<bool>& m, const Tensor<std::int64_t>& n, const Tensor<T>&,
                          const Tensor<T>&) const {
    const std::int64_t group = q.shape()[-2] / k.shape()[-2];
    const AttentionOperands x = operands(q.array(), k.array(), v.array(), b.array(), m.array(), n.array());
    const Shape lead = extents(x, g).lead;
    const Tensor<T> back = heads_swapped(Tensor<T>(broadcast_to(g.ref(), lead + g.shape().last(4))));
    const Tensor<T> w = weights(q, k, b, m, n), qs = heads_swapped(q);
    const Tensor<T> keys = each_head_repeated(heads_swapped(k), group),
                    wide = each_head_repeated(heads_swapped(v), group);
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
            heads_swapped(each_group_summed(matmul(matrices_transposed(ds), qs) * scale, group)),
            heads_swapped(each_group_summed(matmul(matrices_transposed(w), back), group)), db};
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
    const Tensor<T> lse = make_tensor<T>(e.lead + Shape{e.batch, e.heads, e.queries});
    ergo::cpu::attention<T>(x, e, rule, data_of<T>(y.array()), data_of<T>(lse.array()));
    return {y, lse};
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
    return values(weights(q, k, b, m, n), v);
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

// The options as attention's operations take them: operands of rank 4, empty ones where there are none.
template <class T>
struct AttentionCall {
  AttentionForm form;
  Tensor<T> bias;
  Tensor<bool> mask;
  Tensor<std::int64_t> lengths;

  // v, if there is one, beside q and k.
  AttentionCall(const char* op, const Tensor<T>& q, const Tensor<T>& k, const Tensor<T>* v,
                const AttentionOptions<T>& options)
      : form{}, bias(options.bias), mask(options.mask), lengths(options.lengths.value) {
    form.bias = bias.defined();
    form.mask = mask.defined();
    form.lengths = lengths.defined();
    Array* in[6] = {&q.array(), &k.array()};
    int count = 2;
    if (v) in[count++] = &v->array();
    if (form.bias) in[count++] = &bias.array();
    if (form.mask) in[count++] = &mask.array();
    if (form.lengths) in[count++] = &lengths.array();
    same_device(op, in, count);
    const auto refuse = [&](const Message& why) { fail(op, in, count, why); };
    if (q.rank() != 4 || k.rank() != 4 || (v && v->rank() != 4))
      refuse("q, k and v are (B, T, H, D): batch, time, heads, width");
    const Shape a = q.shape(), b = k.shape(), c = v ? v->shape() : b;
    if (a[0] != b[0] || a[0] != c[0]) refuse("q, k and v must have one batch");
    if (b[1] != c[1]) refuse({"keys and values have lengths ", b[1], " and ", c[1]});
    if (a[3] != b[3]) refuse({"queries and keys have widths ", a[3], " and ", b[3]});
    if (b[2] != c[2]) refuse({"keys and values have ", b[2], " and ", c[2], " heads"});
    if (b[2] == 0 || a[2] % b[2] != 0 || a[2] == 0)
      refuse({a[2], " heads of queries are no multiple of ", b[2], " heads of keys"});
    const Shape scores{a[0], a[2], a[1], b[1]};
    if (form.bias) bias = beside(bias, scores, refuse, "the bias does not broadcast to (B, H, T, S)");
    if (form.mask) mask = beside(mask, scores, refuse, "the mask does not broadcast to (B, H, T, S)");
    if (form.lengths && lengths.shape() != Shape{a[0]}) refuse("lengths are one for each of the batch, (B)");
    const std::int64_t window = options.window;
    if (window < 0) refuse({"the window ", window, " is negative"});
    const double scale = options.scale ? *options.scale : a[3] ? 1 / std::sqrt(double(a[3])) : 1.0;
    form.rule = {scale, window, options.causal};
    const auto none = [&](DType d, const Shape& s) { return Array::make(d, s, q.device()); };
    if (!form.bias) bias = Tensor<T>(none(dtype_of<T>, Shape{0, 0, 0, 0}));
    if (!form.mask) mask = Tensor<bool>(none(DType::boolean, Shape{0, 0, 0, 0}));
    if (!form.lengths) lengths = Tensor<std::int64_t>(none(DType::int64, Shape{0}));
  }

 private:
  template <class U, class Refuse>
  static Tensor<U> beside(const Tensor<U>& x, const Shape& scores, const Refuse& refuse, const char* why) {
    Shape s = scores;
    if (x.rank() > 4 || !broadcast(s, x.shape()) || s != scores) refuse(why);
    Shape wide;
    for (int d = x.rank(); d < 4; ++d) wide.push(1);
    return x.rank() == 4 ? x : in_shape(x, wide + x.shape());
  }
};

template <class T, class C>
AttentionOptions<C> options_of(const AttentionOptions<T>& o) {
  return {o.causal, o.mask, o.bias.defined() ? cast<C>(o.bias) : Tensor<C>(), o.scale, o.window, o.lengths};
}

}  // namespace detail

// softmax(scale q k' + bias) v of q (B, T, H, D), k (B, S, K, D), v (B, S, K, M), with H a multiple of K: (B, T, H, M).
// A query that sees no key gives 0, with zero gradients; a bias of -infinity hides a key. Products and sums of the
// 16-bit types are in float. On a CUDA device D and M are at most 256.
template <class T>
Tensor<T> attention(const Tensor<T>& q, const Tensor<T>& k, const Tensor<T>& v,
                    const AttentionOptions<std::type_identity_t<T>>& options = {}) {
  static_assert(Floating<T>, "attention: floating elements are needed: cast<float>(x) first");
  if constexpr (!Floating<T>) {
    return q;
  } else if constexpr (!std::is_same_v<T, Compute<T>>) {
    using C = Compute<T>;
    return cast<T>(attention(cast<C>(q), cast<C>(k), cast<C>(v), detail::options_of<T, C>(options)));
  } else {
    const detail::AttentionCall<T> call("attention", q, k, &v, options);
    constexpr std::int64_t kMost = 256;  // of the kernels
    if (!q.device().is_cpu() && (q.shape()[3] > kMost || v.shape()[3] > kMost)) {
      detail::Array* in[] = {&q.array(), &k.array(), &v.array()};
      detail::fail("attention", in, 3, "on a CUDA device heads are at most 256 wide");
    }
    return fused_op(detail::Attention{call.form}, q, k, v, call.bias, call.mask, call.lengths);
  }
}

// The weights softmax(scale q k' + bias) themselves, (B, H, T, S): for analysis, as they fill memory.
template <class T>
Tensor<T> attention_pattern(const Tensor<T>& q, const Tensor<T>& k,
                            const AttentionOptions<std::type_identity_t<T>>& options = {}) {
  static_assert(Floating<T>, "attention_pattern: floating elements are needed: cast<float>(x) first");
  if constexpr (!Floating<T>) {
    return q;
  } else if constexpr (!std::is_same_v<T, Compute<T>>) {
    using C = Compute<T>;
    return cast<T>(attention_pattern(cast<C>(q), cast<C>(k), detail::options_of<T, C>(options)));
  } else {
    const detail::AttentionCall<T> call("attention_pattern", q, k, nullptr, options);
    return call.form.weights(q, k, call.bias, call.mask, call.lengths);
  }
}

// What weights (B, H, T, S) make of values (B, S, K, M): (B, T, H, M).
template <class T>
Tensor<T> attention_with(const Tensor<T>& pattern, const Tensor<T>& v) {
  static_assert(Floating<T>, "attention_with: floating elements are needed: cast<float>(x) first");
  if constexpr (Floating<T>) {
    detail::Array* in[] = {&pattern.array(), &v.array()};
    detail::same_device("attention_with", in, 2);
    const auto refuse = [&](const Message& why) { detail::fail("attention_with", in, 2, why); };
    if (pattern.rank() != 4 || v.rank() != 4) refuse("the pattern is (B, H, T, S) and v (B, S, H, D)");
    const Shape &a = pattern.shape(), &b = v.shape();
    if (a[0] != b[0]) refuse("pattern and v must have one batch");
    if (a[3] != b[1]) refuse({"pattern and v have ", a[3], " and ", b[1], " keys"});
    if (b[2] == 0 || a[1] == 0 || a[1] % b[2] != 0)
      refuse({a[1], " heads of queries are no multiple of ", b[2], " heads of values"});
    return detail::AttentionForm::values(pattern, v);
  } else {
    return v;
  }
}

}  // namespace ergo::inline ERGO_BUILD
