// Attention and its gradients on tensors, by kernels/attention.cuh and kernels/attention_vjp.cuh: one launch, and three
// (four with the gradient of a bias). Operands are read where they lie; a copy is made of one whose leading axes have
// strides that do not merge.
#pragma once

#include <tuple>

#include "ergo/cpu/attention.hpp"
#include "ergo/cuda/views.hpp"
#include "ergo/kernels/attention_vjp.cuh"

namespace ergo::inline ERGO_BUILD::cuda {

// An operand as (L, ...own axes); `held` keeps a copy alive if one was needed.
template <class T, int Own>
View<const T, Own + 1> attention_view(const Work& w, const Array& x, const Shape& lead, Ref<Array>& held) {
  if constexpr (Own == 4)
    held = grouped(x, lead, {1, 1, 1, 1});
  else
    held = grouped(x, lead, {1});
  View<const T, Own + 1> v = w.operand<T, Own + 1>(*held);
  for (int d = 1; d <= Own; ++d)
    if (v.shape[d] == 1) v.stride[d] = 0;
  return v;
}
// A row-major array whose last four axes are its own, as (L, ...).
template <class T>
View<T, 5> attention_result(const Array& x) {
  const Shape s = x.shape.last(4);
  return row_major(ergo::detail::data_of<T>(x), {x.shape.first(x.shape.rank() - 4).product(), s[0], s[1], s[2], s[3]});
}
template <class T>
struct AttentionHeld {
  Ref<Array> array[6];
  View<const T, 5> q, k, v;
  AttentionScores<T> scores{};

  AttentionHeld(const Work& w, const ergo::detail::AttentionOperands& x, const Shape& lead,
                const ergo::detail::AttentionRule& rule)
      : q(attention_view<T, 4>(w, *x.q, lead, array[0])),
        k(attention_view<T, 4>(w, *x.k, lead, array[1])),
        v(attention_view<T, 4>(w, *x.v, lead, array[2])) {
    if (x.bias) scores.bias = attention_view<T, 4>(w, *x.bias, lead, array[3]);
    if (x.mask) scores.mask = attention_view<bool, 4>(w, *x.mask, lead, array[4]);
    if (x.lengths) scores.lengths = attention_view<std::int64_t, 1>(w, *x.lengths, lead, array[5]);
    scores.scale = rule.scale;
    scores.window = rule.window;
    scores.causal = rule.causal;
  }
};

// y (lead..., B, T, H, M), and what is kept of each row of scores (lead..., B, H, T, 2).
template <class T>
std::tuple<Tensor<T>, Tensor<T>> attention(const ergo::detail::AttentionOperands& x,
                                           const ergo::detail::AttentionExtents& e,
                                           const ergo::detail::AttentionRule& rule) {
  const Work w(x.q->device);
  Ref<Array> y = w.make(dtype_of<T>, e.lead + Shape{e.batch, e.queries, e.heads, e.m}),
             kept = w.make(dtype_of<T>, e.lead + Shape{e.batch, e.heads, e.queries, 2});
  const AttentionHeld<T> in(w, x, e.lead, rule);
  launch_attention<T>(w.stream(), in.q, in.k, in.v, in.scores, attention_result<T>(*y),
                      ergo::detail::data_of<T>(*kept));
  return {Tensor<T>(std::move(y)), Tensor<T>(std::move(kept))};
}

// dq, dk, dv and dbias, all with every leading axis; dbias is not computed if it has no elements.
template <class T>
std::tuple<Tensor<T>, Tensor<T>, Tensor<T>, Tensor<T>> attention_vjp(const ergo::detail::AttentionOperands& x,
                                                                     const ergo::detail::AttentionExtents& e,
                                                                     const ergo::detail::AttentionRule& rule,
                                                                     const Array& g, const Array& y, const Array& kept,
                                                                     const Shape& bias_shape) {
  const Work w(x.q->device);
  const auto like = [&](const Array& a) { return w.make(dtype_of<T>, e.lead + a.shape.last(4)); };
  Ref<Array> dq = like(*x.q), dk = like(*x.k), dv = like(*x.v), dbias = w.make(dtype_of<T>, e.lead + bias_shape);
  const std::int64_t rows = e.lead.product() * e.batch * e.heads * e.queries;
  const Workspace delta(w, static_cast<std::size_t>(rows) * sizeof(T));
  const AttentionHeld<T> in(w, x, e.lead, rule);
  Ref<Array> held[3];
  AttentionVjpCall<T> call{attention_view<T, 4>(w, g, e.lead, held[0]),
                           in.q,
                           in.k,
                           in.v,
                           attention_view<T, 4>(w, y, e.lead, held[1]),
                           attention_view<T, 4>(w, kept, e.lead, held[2]),
                           in.scores,
                           attention_result<T>(*dq),
                           attention_result<T>(*dk),
                           attention_result<T>(*dv),
                           bias_shape.product() ? ergo::detail::data_of<T>(*dbias) : nullptr,
                           {}};
  for (int d = 0; d < 4; ++d) call.bias_extent[d] = bias_shape[d];
  launch_attention_vjp<T>(w.stream(), call, reinterpret_cast<T*>(delta.data()));
  return {Tensor<T>(std::move(dq)), Tensor<T>(std::move(dk)), Tensor<T>(std::move(dv)), Tensor<T>(std::move(dbias))};
}

}  // namespace ergo::inline ERGO_BUILD::cuda
