// max_pool2d on tensors of a device: values or choice, and what is linear in the image once the choice is made; a
// launch each.
#pragma once

#include "ergo/cpu/max_pool.hpp"
#include "ergo/cuda/views.hpp"
#include "ergo/kernels/pool.cuh"

namespace ergo::inline ERGO_BUILD::cuda {

inline PoolWindow window_of(const cpu::PoolShape& s) {
  return {s.kh, s.kw, s.stride_h, s.stride_w, s.pad_top, s.pad_left};
}

// Of x (..., H, W, C), to (..., OH, OW, C): the largest elements, or which ones they are.
template <class Out, class T>
Tensor<Out> max_pool(const cpu::PoolShape& s, const Tensor<T>& x) {
  const Work w(x.device());
  const Shape lead = x.shape().first(x.rank() - 3);
  const Ref<Array> from = grouped(x.array(), lead, {1, 1, 1});
  Ref<Array> y = w.make(dtype_of<Out>, lead + Shape{s.out_h, s.out_w, s.c});
  const auto to = row_major(reinterpret_cast<Out*>(y->data), {from->shape[0], s.out_h, s.out_w, s.c});
  if constexpr (std::is_same_v<Out, T>)
    launch_max_pool2d<T>(w.stream(), w.operand<T, 4>(*from), to, window_of(s));
  else
    launch_max_pool2d_choice<T>(w.stream(), w.operand<T, 4>(*from), to, window_of(s));
  return Tensor<Out>(std::move(y));
}

// x (..., H, W, C) at the choice (..., OH, OW, C), or cotangents of that size added at it; leading axes broadcast.
template <class T>
Tensor<T> pool_gather(const Tensor<T>& x, const Tensor<std::int32_t>& choice) {
  const Work w(choice.device());
  Shape lead = x.shape().first(x.rank() - 3);
  ergo::detail::broadcast(lead, choice.shape().first(choice.rank() - 3));
  const Ref<Array> from = grouped(x.array(), lead, {1, 1, 1}), at = grouped(choice.array(), lead, {1, 1, 1});
  Ref<Array> y = w.make(dtype_of<T>, lead + choice.shape().last(3));
  launch_pool_gather<T>(
      w.stream(), w.operand<T, 4>(*from), w.operand<std::int32_t, 4>(*at),
      row_major(reinterpret_cast<T*>(y->data), {at->shape[0], at->shape[1], at->shape[2], at->shape[3]}));
  return Tensor<T>(std::move(y));
}
template <class T>
Tensor<T> pool_scatter(const cpu::PoolShape& s, const Tensor<T>& g, const Tensor<std::int32_t>& choice) {
  const Work w(choice.device());
  Shape lead = g.shape().first(g.rank() - 3);
  ergo::detail::broadcast(lead, choice.shape().first(choice.rank() - 3));
  const Ref<Array> from = grouped(g.array(), lead, {1, 1, 1}), at = grouped(choice.array(), lead, {1, 1, 1});
  Ref<Array> dx = w.make(dtype_of<T>, lead + Shape{s.h, s.w, s.c});
  launch_pool_scatter<T>(w.stream(), w.operand<std::int32_t, 4>(*at), w.operand<T, 4>(*from),
                         row_major(reinterpret_cast<T*>(dx->data), {at->shape[0], s.h, s.w, s.c}), window_of(s));
  return Tensor<T>(std::move(dx));
}

}  // namespace ergo::inline ERGO_BUILD::cuda
