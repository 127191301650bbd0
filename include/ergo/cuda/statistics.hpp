// Variance, norm, positions and numbers of extrema on tensors along the last axis: one launch each, two for long rows.
#pragma once

#include "ergo/cuda/reduce.hpp"
#include "ergo/kernels/arg_extremum.cuh"
#include "ergo/kernels/moments.cuh"

namespace ergo::inline ERGO_BUILD::cuda {

namespace detail {
// Out (...) from x (..., n): launch(work, x as (outer, n, inner), y).
template <class Out, class T, class Launch>
Tensor<Out> along_last(const Tensor<T>& x, const Launch& launch) {
  const Work w = work_on(x);
  const Ref<Array> from = for_reduction(x.array(), 1);
  Ref<Array> y = w.make(dtype_of<Out>, x.shape().first(x.rank() - 1));
  launch(w, w.operand<T, 3>(*from), reinterpret_cast<Out*>(y->data));
  return Tensor<Out>(std::move(y));
}
}  // namespace detail

template <class T>
Tensor<T> variance(const char* name, const Tensor<T>& x, double correction) {
  return detail::along_last<T>(x, [&](const Work& w, const View<const T, 3>& v, T* y) {
    const Workspace scratch(w, variance_workspace<T>(v));
    launch_variance<T>(w.stream(), name, v, y, scratch.data(), correction);
  });
}
template <class T>
Tensor<T> norm(const char* name, const Tensor<T>& x) {
  return detail::along_last<T>(x, [&](const Work& w, const View<const T, 3>& v, T* y) {
    const Workspace scratch(w, norm_workspace<T>(v));
    launch_norm<T>(w.stream(), name, v, y, scratch.data());
  });
}
template <class M, class Out, class T>
Tensor<Out> arg_extremum(const char* name, const Tensor<T>& x) {
  return detail::along_last<Out>(x, [&](const Work& w, const View<const T, 3>& v, Out* y) {
    const Workspace scratch(w, arg_extremum_workspace<M, T, Out>(v));
    launch_arg_extremum<M, T, Out>(w.stream(), name, v, y, scratch.data());
  });
}
template <class M, class T>
Tensor<Compute<T>> extremum_count(const char* name, const Tensor<T>& x) {
  return detail::along_last<Compute<T>>(x, [&](const Work& w, const View<const T, 3>& v, Compute<T>* y) {
    const Workspace scratch(w, extremum_count_workspace<M, T>(v));
    launch_extremum_count<M, T>(w.stream(), name, v, y, scratch.data());
  });
}

}  // namespace ergo::inline ERGO_BUILD::cuda
