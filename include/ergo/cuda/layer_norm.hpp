// layer_norm, rms_norm and their gradients on tensors, by kernels/norm.cuh and kernels/norm_vjp.cuh: one launch, and
// two.
#pragma once

#include <tuple>

#include "ergo/cuda/rows.hpp"
#include "ergo/kernels/norm.cuh"
#include "ergo/kernels/norm_vjp.cuh"

namespace ergo::inline ERGO_BUILD::cuda {

// y, and three statistics a row. Leading axes broadcast; gamma and beta (n) serve all rows, else each has its own.
template <class T>
std::tuple<Tensor<T>, Tensor<Compute<T>>> layer_norm(const Tensor<T>& x, const Tensor<T>& gamma, const Tensor<T>& beta,
                                                     double eps) {
  const Work w = work_on(x, gamma, beta);
  Shape lead = x.shape().first(x.rank() - 1);
  ergo::detail::broadcast(lead, gamma.shape().first(gamma.rank() - 1));
  ergo::detail::broadcast(lead, beta.shape().first(beta.rank() - 1));
  const std::int64_t n = x.shape()[-1];
  const bool shared = gamma.numel() == n && beta.numel() == n;
  const auto factor = [&](const Tensor<T>& t) {
    return shared ? as_rows(*ergo::detail::dense(t.array()), t.shape().first(t.rank() - 1)) : as_rows(t.array(), lead);
  };
  const Ref<Array> from = as_rows(x.array(), lead), scale = factor(gamma), shift = factor(beta);
  Ref<Array> y = w.make(dtype_of<T>, lead + Shape{n}),
             stats = w.make(dtype_of<Compute<T>>, lead + Shape{kLayerNormStats});
  launch_layer_norm<T>(w.stream(), w.operand<T, 2>(*from), w.operand<T, 2>(*scale), w.operand<T, 2>(*shift), eps,
                       w.result<T, 2>(*as_rows(*y)), ergo::detail::data_of<Compute<T>>(*stats));
  return {Tensor<T>(std::move(y)), Tensor<Compute<T>>(std::move(stats))};
}

// dx, dgamma, dbeta of groups of rows: g, x (lead..., rows..., n), gamma (lead..., n), stats as forward left them.
template <class T>
std::tuple<Tensor<T>, Tensor<T>, Tensor<T>> layer_norm_vjp(const Tensor<T>& g, const Tensor<T>& x,
                                                           const Tensor<Compute<T>>& stats, const Tensor<T>& gamma,
                                                           int rank) {
  const Work w = work_on(g, x);
  Shape lead = g.shape().first(g.rank() - rank);
  ergo::detail::broadcast(lead, x.shape().first(x.rank() - rank));
  ergo::detail::broadcast(lead, stats.shape().first(stats.rank() - rank));
  ergo::detail::broadcast(lead, gamma.shape().first(gamma.rank() - 1));
  const Shape core = g.shape().last(rank), rows = lead + core.first(rank - 1);
  const std::int64_t n = core[rank - 1];
  const auto in_lead = [&](const Array& a, const Shape& own) {  // (lead..., own...) dense where it is not so already
    if (a.shape == lead + own) return ergo::detail::dense(a);
    const Ref<Array> wide = Array::make(a.dtype, lead + own, a.device);
    ergo::detail::assign(*wide, a);
    return wide;
  };
  const Ref<Array> a = as_rows(*in_lead(g.array(), core)), b = as_rows(*in_lead(x.array(), core)),
                   kept = in_lead(stats.array(), core.first(rank - 1) + Shape{kLayerNormStats}),
                   factor = as_rows(*in_lead(gamma.array(), Shape{n}));
  Ref<Array> dx = w.make(dtype_of<T>, rows + Shape{n}), dgamma = w.make(dtype_of<T>, lead + Shape{n}),
             dbeta = w.make(dtype_of<T>, lead + Shape{n});
  const Workspace scratch(w, layer_norm_vjp_workspace<T>(lead.numel(), core.first(rank - 1).numel(), n));
  w.reads(*kept);
  launch_layer_norm_vjp<T>(
      w.stream(),
      {w.operand<T, 2>(*a), w.operand<T, 2>(*b), ergo::detail::data_of<Compute<T>>(*kept), w.operand<T, 2>(*factor),
       w.result<T, 2>(*as_rows(*dx)), w.result<T, 2>(*as_rows(*dgamma)), w.result<T, 2>(*as_rows(*dbeta))},
      scratch.data());
  return {Tensor<T>(std::move(dx)), Tensor<T>(std::move(dgamma)), Tensor<T>(std::move(dbeta))};
}

// The same of rms_norm.
template <class T>
std::tuple<Tensor<T>, Tensor<Compute<T>>> rms_norm(const Tensor<T>& x, const Tensor<T>& gamma, double eps) {
  const Work w = work_on(x, gamma);
  Shape lead = x.shape().first(x.rank() - 1);
  ergo::detail::broadcast(lead, gamma.shape().first(gamma.rank() - 1));
  const std::int64_t n = x.shape()[-1];
  const Ref<Array> from = as_rows(x.array(), lead),
                   scale = gamma.numel() == n
                               ? as_rows(*ergo::detail::dense(gamma.array()), gamma.shape().first(gamma.rank() - 1))
                               : as_rows(gamma.array(), lead);
  Ref<Array> y = w.make(dtype_of<T>, lead + Shape{n}),
             stats = w.make(dtype_of<Compute<T>>, lead + Shape{kLayerNormStats});
  launch_rms_norm<T>(w.stream(), w.operand<T, 2>(*from), w.operand<T, 2>(*scale), eps, w.result<T, 2>(*as_rows(*y)),
                     ergo::detail::data_of<Compute<T>>(*stats));
  return {Tensor<T>(std::move(y)), Tensor<Compute<T>>(std::move(stats))};
}
template <class T>
std::tuple<Tensor<T>, Tensor<T>> rms_norm_vjp(const Tensor<T>& g, const Tensor<T>& x, const Tensor<Compute<T>>& stats,
                                              const Tensor<T>& gamma, int rank) {
  const Work w = work_on(g, x);
  Shape lead = g.shape().first(g.rank() - rank);
  ergo::detail::broadcast(lead, x.shape().first(x.rank() - rank));
  ergo::detail::broadcast(lead, stats.shape().first(stats.rank() - rank));
  ergo::detail::broadcast(lead, gamma.shape().first(gamma.rank() - 1));
  const Shape core = g.shape().last(rank), own = core.first(rank - 1);
  const std::int64_t n = core[rank - 1];
  const Ref<Array> a = grouped(g.array(), lead + own, {1}), b = grouped(x.array(), lead + own, {1}),
                   kept = ergo::detail::dense(*grouped(stats.array(), lead + own, {1})),
                   factor = grouped(gamma.array(), lead, {1});
  Ref<Array> dx = w.make(dtype_of<T>, lead + core), dgamma = w.make(dtype_of<T>, lead + Shape{n});
  const Workspace scratch(w, layer_norm_vjp_workspace<T>(lead.numel(), own.numel(), n));
  w.reads(*kept);
  launch_rms_norm_vjp<T>(w.stream(),
                         {w.operand<T, 2>(*a),
                          w.operand<T, 2>(*b),
                          ergo::detail::data_of<Compute<T>>(*kept),
                          w.operand<T, 2>(*factor),
                          w.result<T, 2>(*as_rows(*dx)),
                          w.result<T, 2>(*as_rows(*dgamma)),
                          {}},
                         scratch.data());
  return {Tensor<T>(std::move(dx)), Tensor<T>(std::move(dgamma))};
}

}  // namespace ergo::inline ERGO_BUILD::cuda
