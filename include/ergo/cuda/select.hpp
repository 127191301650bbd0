// The first k of sorted rows, and single ranks, of tensors of a device, by kernels/select.cuh.
#pragma once

#include "ergo/cuda/views.hpp"
#include "ergo/kernels/select.cuh"

namespace ergo::inline ERGO_BUILD::cuda {

// As cpu::top_places: x (..., n) to (..., k).
template <class T, class I>
Ref<Array> top_places(const Array& x, bool descending, std::int64_t k) {
  const Work w(x.device);
  const Ref<Array> from = as_rows(x);
  Ref<Array> y = w.make(dtype_of<I>, x.shape.first(x.shape.rank() - 1) + Shape{k});
  if (y->numel() == 0) return y;
  const std::int64_t rows = from->shape[0], n = from->shape[1];
  const Workspace scratch(w, topk_workspace<T>(rows, n, k));
  launch_topk<T, I>(w.stream(), w.operand<T, 2>(*from), row_major(reinterpret_cast<I*>(y->data), {rows, k}), descending,
                    scratch.data());
  return y;
}

// As cpu::rank_places: x (..., n) to (..., count).
template <class T, class I>
Ref<Array> rank_places(const char* name, const Array& x, std::int64_t rank, int count) {
  const Work w(x.device);
  const Ref<Array> from = as_rows(x);
  Ref<Array> y = w.make(dtype_of<I>, x.shape.first(x.shape.rank() - 1) + Shape{count});
  if (y->numel() == 0) return y;
  const std::int64_t rows = from->shape[0], n = from->shape[1];
  const Workspace scratch(w, ranks_workspace<T>(rows, n, count));
  launch_ranks<T, I>(w.stream(), name, w.operand<T, 2>(*from), row_major(reinterpret_cast<I*>(y->data), {rows, count}),
                     rank, scratch.data());
  return y;
}

}  // namespace ergo::inline ERGO_BUILD::cuda
