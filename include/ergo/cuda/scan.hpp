// cumsum on tensors, by kernels/scan.cuh.
#pragma once

#include "ergo/cuda/views.hpp"
#include "ergo/kernels/scan.cuh"

namespace ergo::inline ERGO_BUILD::cuda {

// Along axis `axis` from the front.
template <class T>
Tensor<ScanResult<T>> cumsum(const char* name, const Tensor<T>& x, int axis, ScanOptions options) {
  const Work w = work_on(x);
  const Ref<Array> from = ergo::detail::dense(x.array());
  Ref<Array> y = w.make(dtype_of<ScanResult<T>>, x.shape());
  w.reads(*from);
  const View<const T, 3> v = row_major<const T, 3>(
      ergo::detail::data_of<const T>(*from),
      {x.shape().first(axis).numel(), x.shape()[axis], x.shape().last(x.rank() - 1 - axis).numel()});
  const Workspace scratch(w, cumsum_workspace<T>(v));
  launch_cumsum<T>(w.stream(), name, v, ergo::detail::data_of<ScanResult<T>>(*y), scratch.data(), options);
  return Tensor<ScanResult<T>>(std::move(y));
}

}  // namespace ergo::inline ERGO_BUILD::cuda
