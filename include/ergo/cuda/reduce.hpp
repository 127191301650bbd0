// Reductions of arrays on a device over their last axes, by kernels/reduce.cuh and its kin: which axes of any strides
// are one axis to them.
#pragma once

#include "ergo/cuda/views.hpp"
#include "ergo/kernels/reduce.cuh"

namespace ergo::inline ERGO_BUILD::cuda {

// x as (outer, reduced, inner), its last `axes` axes being the reduced ones, in an order of kept elements that is
// row-major; a copy where strides allow no such view.
inline Ref<Array> for_reduction(const Array& x, int axes) {
  const int rank = x.shape.rank(), k = rank - axes;
  if (x.numel() == 0) {  // strides mean nothing
    Ref<Array> r = Array::view(x, Shape{x.shape.first(k).numel(), x.shape.last(axes).numel(), 1});
    r->set_row_major();
    return r;
  }
  ergo::detail::Walk<1> kept, reduced;
  for (int d = 0; d < rank; ++d) {
    const std::int64_t step[1] = {x.stride[d]};
    (d < k ? kept : reduced).add(x.shape[d], step);
  }
  kept.finish();
  reduced.finish();
  if (kept.rank > 2 || reduced.rank > 1) return for_reduction(*ergo::detail::dense(x), axes);
  const bool columns = kept.rank == 1 && kept.stride[0][0] == size_of(x.dtype);
  Ref<Array> r = Array::view(x, Shape{columns ? 1 : kept.extent[0], reduced.extent[0],
                                      kept.rank == 2 ? kept.extent[1]
                                      : columns      ? kept.extent[0]
                                                     : 1});
  r->stride[0] = columns ? 0 : kept.stride[0][0];
  r->stride[1] = reduced.stride[0][0];
  r->stride[2] = kept.rank == 2 ? kept.stride[0][1] : columns ? kept.stride[0][0] : 0;
  r->settle();
  return r;
}

// M over the last `axes` axes of x (depth 0), for floating sums over `divisor`.
template <class M, class T>
Ref<Array> reduce_last(const char* name, const Array& x, int axes, double divisor = 1) {
  const Work w(x.device);
  const Ref<Array> from = for_reduction(x, axes);
  Ref<Array> y = w.make(dtype_of<ReduceResult<M, T>>, x.shape.first(x.shape.rank() - axes));
  const View<const T, 3> v = w.operand<T, 3>(*from);
  const Workspace scratch(w, reduce_workspace<M, T>(v));
  launch_reduce<M, T>(w.stream(), name, v, reinterpret_cast<ReduceResult<M, T>*>(y->data), scratch.data(), divisor);
  return y;
}

}  // namespace ergo::inline ERGO_BUILD::cuda
