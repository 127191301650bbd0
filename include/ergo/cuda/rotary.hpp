// Rotary positions on tensors, by kernels/rotary.cuh: one launch.
#pragma once

#include <cmath>

#include "ergo/cpu/rotary.hpp"
#include "ergo/cuda/views.hpp"
#include "ergo/kernels/rotary.cuh"

namespace ergo::inline ERGO_BUILD::cuda {

// x (..., T, H, D), positions (..., T); leading axes broadcast.
template <class T, class I>
Tensor<T> rotary(const Tensor<T>& x, const Tensor<I>& positions, const ergo::detail::RotaryRule& rule) {
  const Work w = work_on(x);
  Shape lead = x.shape().first(x.rank() - 3);
  ergo::detail::broadcast(lead, positions.shape().first(positions.rank() - 1));
  const Ref<Array> from = grouped(x.array(), lead, {1, 1, 1}), at = grouped(positions.array(), lead, {1});
  Ref<Array> y = w.make(dtype_of<T>, lead + x.shape().last(3));
  const Shape s = x.shape().last(3);
  launch_rotary<T, I>(w.stream(), {w.operand<T, 4>(*from), w.operand<I, 2>(*at),
                                   row_major(ergo::detail::data_of<T>(*y), {lead.product(), s[0], s[1], s[2]}),
                                   rule.dims, std::log2(rule.base), rule.interleaved, rule.inverse});
  return Tensor<T>(std::move(y));
}

}  // namespace ergo::inline ERGO_BUILD::cuda
