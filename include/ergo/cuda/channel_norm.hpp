// group_norm, batch_norm and their gradients on tensors, by kernels/channel_norm.cuh and kernels/channel_norm_vjp.cuh:
// three launches each, one more where the reduction splits its columns. Shapes of x's own axes come as (examples,
// middle, groups, channels of a group).
#pragma once

#include <tuple>

#include "ergo/cuda/rows.hpp"
#include "ergo/kernels/channel_norm_vjp.cuh"

namespace ergo::inline ERGO_BUILD::cuda {

namespace detail {

inline Shape examples_of(const Shape& lead, int example_axes, const Shape& sizes) {
  return example_axes ? lead + Shape{sizes[0]} : lead;
}
// y and stats; mean and variance where they are not null.
template <class T>
void channel_norm(const char* name, const Work& w, const Shape& lead, const Tensor<T>& x, const Tensor<T>& gamma,
                  const Tensor<T>& beta, int rank, int example_axes, const Shape& sizes, double eps, const Array& y,
                  const Array& stats, T* mean, T* variance) {
  const Shape batch = examples_of(lead, example_axes, sizes);
  const int middle = rank - 1 - example_axes;
  const Ref<Array> from = grouped(x.array(), batch, {middle, 1}), to = grouped(y, batch, {middle, 1}),
                   scale = grouped(gamma.array(), lead, {1}), shift = grouped(beta.array(), lead, {1});
  const View<const T, 3> in = w.operand<T, 3>(*from);
  const Workspace scratch(w, channel_norm_workspace<T>(in));
  launch_channel_norm<T>(w.stream(), name,
                         {in, w.operand<T, 2>(*scale), w.operand<T, 2>(*shift), sizes[2], eps, w.result<T, 3>(*to),
                          ergo::detail::data_of<Compute<T>>(stats), mean, variance},
                         scratch.data());
}
template <class T>
Shape channel_norm_lead(const Tensor<T>& x, const Tensor<T>& gamma, const Tensor<T>& beta, int rank) {
  Shape lead = x.shape().first(x.rank() - rank);
  ergo::detail::broadcast(lead, gamma.shape().first(gamma.rank() - 1));
  ergo::detail::broadcast(lead, beta.shape().first(beta.rank() - 1));
  return lead;
}

}  // namespace detail

template <class T>
std::tuple<Tensor<T>, Tensor<Compute<T>>> group_norm(const Tensor<T>& x, const Tensor<T>& gamma, const Tensor<T>& beta,
                                                     int rank, const Shape& sizes, double eps) {
  const Work w = work_on(x, gamma, beta);
  const Shape lead = detail::channel_norm_lead(x, gamma, beta, rank);
  Ref<Array> y = w.make(dtype_of<T>, lead + x.shape().last(rank)),
             stats = w.make(dtype_of<Compute<T>>, lead + Shape{sizes[0], sizes[2], kLayerNormStats});
  detail::channel_norm<T>("group_norm", w, lead, x, gamma, beta, rank, 1, sizes, eps, *y, *stats, nullptr, nullptr);
  return {Tensor<T>(std::move(y)), Tensor<Compute<T>>(std::move(stats))};
}

// y, mean, variance; stats.
template <class T>
std::tuple<Tensor<T>, Tensor<T>, Tensor<T>, Tensor<Compute<T>>> batch_norm(const Tensor<T>& x, const Tensor<T>& gamma,
                                                                           const Tensor<T>& beta, int rank,
                                                                           const Shape& sizes, double eps) {
  const Work w = work_on(x, gamma, beta);
  const Shape lead = detail::channel_norm_lead(x, gamma, beta, rank), channels = lead + x.shape().last(1);
  Ref<Array> y = w.make(dtype_of<T>, lead + x.shape().last(rank)), mean = w.make(dtype_of<T>, channels),
             variance = w.make(dtype_of<T>, channels),
             stats = w.make(dtype_of<Compute<T>>, lead + Shape{1, sizes[2], kLayerNormStats});
  detail::channel_norm<T>("batch_norm", w, lead, x, gamma, beta, rank, 0, sizes, eps, *y, *stats,
                          reinterpret_cast<T*>(mean->data), reinterpret_cast<T*>(variance->data));
  return {Tensor<T>(std::move(y)), Tensor<T>(std::move(mean)), Tensor<T>(std::move(variance)),
          Tensor<Compute<T>>(std::move(stats))};
}

// dx, dgamma, dbeta; stats (lead..., examples, groups, 3) as forward left them.
template <class T>
std::tuple<Tensor<T>, Tensor<T>, Tensor<T>> channel_norm_vjp(const char* name, const Tensor<T>& g, const Tensor<T>& x,
                                                             const Tensor<Compute<T>>& stats, const Tensor<T>& gamma,
                                                             int rank, int example_axes, const Shape& sizes) {
  const Work w = work_on(g, x);
  Shape lead = g.shape().first(g.rank() - rank);
  ergo::detail::broadcast(lead, x.shape().first(x.rank() - rank));
  ergo::detail::broadcast(lead, stats.shape().first(stats.rank() - 3));
  ergo::detail::broadcast(lead, gamma.shape().first(gamma.rank() - 1));
  const Shape batch = detail::examples_of(lead, example_axes, sizes);
  const int middle = rank - 1 - example_axes;
  Ref<Array> dx = w.make(dtype_of<T>, lead + x.shape().last(rank)),
             dgamma = w.make(dtype_of<T>, lead + x.shape().last(1)),
             dbeta = w.make(dtype_of<T>, lead + x.shape().last(1));
  const Ref<Array> a = grouped(g.array(), batch, {middle, 1}), b = grouped(x.array(), batch, {middle, 1}),
                   kept = ergo::detail::dense(*grouped(stats.array(), lead, {3})),
                   factor = grouped(gamma.array(), lead, {1});
  w.reads(*kept);
  const ChannelNormVjpCall<T> call{w.operand<T, 3>(*a),
                                   w.operand<T, 3>(*b),
                                   ergo::detail::data_of<Compute<T>>(*kept),
                                   w.operand<T, 2>(*factor),
                                   sizes[2],
                                   w.result<T, 3>(*grouped(*dx, batch, {middle, 1})),
                                   w.result<T, 2>(*grouped(*dgamma, lead, {1})),
                                   w.result<T, 2>(*grouped(*dbeta, lead, {1}))};
  const Workspace scratch(w, channel_norm_vjp_workspace(call));
  launch_channel_norm_vjp<T>(w.stream(), name, call, scratch.data());
  return {Tensor<T>(std::move(dx)), Tensor<T>(std::move(dgamma)), Tensor<T>(std::move(dbeta))};
}

}  // namespace ergo::inline ERGO_BUILD::cuda
