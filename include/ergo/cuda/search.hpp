// searchsorted on tensors of a device, by kernels/search.cuh.
#pragma once

#include "ergo/cuda/views.hpp"
#include "ergo/kernels/search.cuh"

namespace ergo::inline ERGO_BUILD::cuda {

// sorted (lead..., n), x (lead..., own...), as cpu::search_sorted.
template <class T, class I>
Ref<Array> search_sorted(const Array& sorted, const Array& x, int own, bool right) {
  const Work w(x.device);
  Shape lead = sorted.shape.first(sorted.shape.rank() - 1);
  ergo::detail::broadcast(lead, x.shape.first(x.shape.rank() - own));
  const Ref<Array> rows = grouped(sorted, lead, {1}), from = grouped(x, lead, {own});
  Ref<Array> y = w.make(dtype_of<I>, lead + x.shape.last(own));
  launch_search_sorted<T, I>(w.stream(), w.operand<T, 2>(*rows), w.operand<T, 2>(*from),
                             row_major(reinterpret_cast<I*>(y->data), {from->shape[0], from->shape[1]}), right);
  return y;
}

}  // namespace ergo::inline ERGO_BUILD::cuda
