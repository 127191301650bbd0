// Binary search in sorted rows: y (L, m)[l, i] = how many of sorted (L, n)[l, :] come before x (L, m)[l, i], or,
// `right`, do not come behind it. The order is that of sort: -inf < ... < inf < NaN, all NaNs equal, -0 equal to +0.
// Views of any strides; an axis broadcasts by stride 0.
//
// A thread searches for one element: ceil(log2(n + 1)) steps, the same in all threads of a row, so a warp does not
// diverge and its first steps read the same words. Exact.
#pragma once

#include "ergo/kernels/common/divisor.cuh"
#include "ergo/kernels/common/pack.cuh"
#include "ergo/kernels/common/view.cuh"

namespace ergo::inline ERGO_BUILD::cuda {

// Whether a comes before b in the order of sort; `or_equal`: or is its equal.
template <class A>
__device__ __forceinline__ bool comes_before(A a, A b, bool or_equal) {
  if constexpr (std::is_floating_point_v<A>) {
    if (b != b) return or_equal || a == a;
  }
  return or_equal ? a <= b : a < b;
}

template <int Block, class Index, class T, class I>
__global__ void __launch_bounds__(Block) search_sorted_kernel(View<const T, 2> sorted, View<const T, 2> x, View<I, 2> y,
                                                              bool right, Divisor<Index> columns) {
  const Index i = Index(blockIdx.x) * Block + threadIdx.x;
  if (i >= Index(y.numel())) return;
  const Index row = columns.divide(i), column = i - row * columns.divisor;
  const auto wanted = widen(x(row, column));
  const T* const from = &sorted(row, 0);
  const std::int64_t step = sorted.stride[1];
  std::int64_t begin = 0;
  for (std::int64_t left = sorted.shape[1]; left > 0;) {
    const std::int64_t half_width = (left + 1) / 2;
    if (comes_before(widen(from[(begin + half_width - 1) * step]), wanted, right)) begin += half_width;
    left -= half_width;
  }
  y(row, column) = I(begin);
}

// sorted (L, n), x and y (L, m); y of an index type that holds n.
template <class T, class I>
void launch_search_sorted(Stream& stream, View<const T, 2> sorted, View<const T, 2> x, View<I, 2> y, bool right) {
  const std::int64_t total = y.numel();
  if (total == 0) return;
  const LaunchShape shape{dim3(blocks_for(total, 256)), dim3(256)};
  if (fits_32_bits(total))
    launch(stream, "searchsorted", shape, search_sorted_kernel<256, std::uint32_t, T, I>, sorted, x, y, right,
           FastDivisor::of(y.shape[1]));
  else
    launch(stream, "searchsorted", shape, search_sorted_kernel<256, std::uint64_t, T, I>, sorted, x, y, right,
           WideDivisor::of(y.shape[1]));
}

}  // namespace ergo::inline ERGO_BUILD::cuda
