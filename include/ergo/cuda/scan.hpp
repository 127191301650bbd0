// Scans on tensors, by kernels/scan.cuh.
#pragma once

#include "ergo/cuda/views.hpp"
#include "ergo/kernels/scan.cuh"

namespace ergo::inline ERGO_BUILD::cuda {

// M along axis `axis` from the front; `second` if M takes two inputs, of one shape.
template <class M, class T>
Tensor<typename M::Out> scan(const char* name, const Tensor<T>& x, int axis, ScanOptions options,
                             const Tensor<T>& second = {}) {
  const Work w = work_on(x);
  const Ref<Array> from = ergo::detail::dense(x.array());
  Ref<Array> y = w.make(dtype_of<typename M::Out>, x.shape()), other;
  w.reads(*from);
  if constexpr (M::kInputs == 2) {
    other = ergo::detail::dense(second.array());
    w.reads(*other);
  }
  const View<const T, 3> v = row_major<const T, 3>(
      ergo::detail::data_of<const T>(*from),
      {x.shape().first(axis).numel(), x.shape()[axis], x.shape().last(x.rank() - 1 - axis).numel()});
  const Workspace scratch(w, scan_workspace<M>(v));
  launch_scan<M>(w.stream(), name, v, other ? ergo::detail::data_of<const T>(*other) : nullptr,
                 ergo::detail::data_of<typename M::Out>(*y), scratch.data(), options);
  return Tensor<typename M::Out>(std::move(y));
}
template <class T>
Tensor<ScanResult<T>> cumsum(const char* name, const Tensor<T>& x, int axis, ScanOptions options) {
  return scan<SumScan<T>>(name, x, axis, options);
}

// As cpu::product_cotangent.
template <class T>
Tensor<T> product_cotangent(const char* name, const Tensor<T>& x, const Tensor<T>& g, int axis, ScanOptions options) {
  const Work w = work_on(x);
  const Ref<Array> from = ergo::detail::dense(x.array()), given = ergo::detail::dense(g.array());
  Ref<Array> y = w.make(dtype_of<T>, x.shape());
  w.reads(*from);
  w.reads(*given);
  const View<const T, 3> v = row_major<const T, 3>(
      ergo::detail::data_of<const T>(*from),
      {x.shape().first(axis).numel(), x.shape()[axis], x.shape().last(x.rank() - 1 - axis).numel()});
  const Workspace scratch(w, product_cotangent_workspace<T>(v));
  launch_product_cotangent(w.stream(), name, v, ergo::detail::data_of<const T>(*given), ergo::detail::data_of<T>(*y),
                           scratch.data(), options);
  return Tensor<T>(std::move(y));
}

}  // namespace ergo::inline ERGO_BUILD::cuda
