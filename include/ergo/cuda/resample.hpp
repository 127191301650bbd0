// Averages, interpolation and their transposes on tensors of a device; a launch each.
#pragma once

#include "ergo/cuda/views.hpp"
#include "ergo/kernels/resample.cuh"

namespace ergo::inline ERGO_BUILD::cuda {

// x (..., h.in, w.in, C) to (..., h.out, w.out, C), or transposed the other way round.
template <Resampling Kind, class T>
Tensor<T> resample(const char* name, const ResampleAxis& h, const ResampleAxis& w, bool transposed,
                   const Tensor<T>& x) {
  const Work work(x.device());
  const Shape lead = x.shape().first(x.rank() - 3);
  const std::int64_t to_h = transposed ? h.in : h.out, to_w = transposed ? w.in : w.out, c = x.shape()[-1];
  const Ref<Array> from = grouped(x.array(), lead, {1, 1, 1});
  Ref<Array> y = work.make(dtype_of<T>, lead + Shape{to_h, to_w, c});
  const auto to = row_major(reinterpret_cast<T*>(y->data), {from->shape[0], to_h, to_w, c});
  if (transposed)
    launch_resample_backward<Kind, T>(work.stream(), name, work.operand<T, 4>(*from), to, h, w);
  else
    launch_resample<Kind, T>(work.stream(), name, work.operand<T, 4>(*from), to, h, w);
  return Tensor<T>(std::move(y));
}

}  // namespace ergo::inline ERGO_BUILD::cuda
