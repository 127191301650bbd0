// Triangles of matrices: y (L, R, C)[l, r, c] = x (L, R, C)[l, r, c] where c - r <= k (lower) or >= k (upper), else 0.
// x of any strides, y row-major. Elements are moved, so kernels know their width alone; a thread has the elements of a
// pack of up to 16 bytes along a row, and reads none that are not kept. Exact.
#pragma once

#include "ergo/kernels/index.cuh"

namespace ergo::inline ERGO_BUILD::cuda {

inline constexpr int kTriangleBlock = 256;

template <int V, class Index, class U>
__global__ void __launch_bounds__(kTriangleBlock)
    triangle_kernel(View<const U, 3> x, U* y, std::int64_t k, bool lower, Divisor<Index> packs, Divisor<Index> rows,
                    Index total) {
  const Index i = Index(blockIdx.x) * kTriangleBlock + threadIdx.x;
  if (i >= total) return;
  const Index at = packs.divide(i), lead = rows.divide(at);
  const auto row = std::int64_t(at - lead * rows.divisor), first = std::int64_t(i - at * packs.divisor) * V;
  const std::int64_t edge = row + k;  // the last column kept below, the first above
  Pack<U, V> out{};
  const U* const from = &x(lead, row, first);
  if (lower ? first + V - 1 <= edge : first >= edge) {
    out = load_pack<V>(from);
  } else {
#pragma unroll
    for (int v = 0; v < V; ++v)
      if (lower ? first + v <= edge : first + v >= edge) out[v] = from[v];  // an inner stride of 1, or V = 1
  }
  store_pack<V>(y + std::int64_t(i) * V, out);
}

namespace detail {
template <int V, class U>
void triangle_packs(Stream& stream, const View<const U, 3>& x, U* y, std::int64_t k, bool lower) {
  const std::int64_t total = x.numel() / V, packs = x.shape[2] / V;
  const LaunchShape shape{dim3(blocks_for(total, kTriangleBlock)), dim3(kTriangleBlock)};
  if (fits_32_bits(total))
    launch(stream, "triangle", shape, triangle_kernel<V, std::uint32_t, U>, x, y, k, lower, FastDivisor::of(packs),
           FastDivisor::of(x.shape[1]), std::uint32_t(total));
  else
    launch(stream, "triangle", shape, triangle_kernel<V, std::uint64_t, U>, x, y, k, lower, WideDivisor::of(packs),
           WideDivisor::of(x.shape[1]), std::uint64_t(total));
}
}  // namespace detail

// U: an unsigned type of the elements' width. -R <= k <= C.
template <class U>
void launch_triangle(Stream& stream, View<const U, 3> x, U* y, std::int64_t k, bool lower) {
  if (x.numel() == 0) return;
  constexpr int V = kPackOf<U>;
  if (detail::unit_bytes(x, row_major(y, {x.shape[0], x.shape[1], x.shape[2]})) == 16)
    detail::triangle_packs<V>(stream, x, y, k, lower);
  else
    detail::triangle_packs<1>(stream, x, y, k, lower);
}

}  // namespace ergo::inline ERGO_BUILD::cuda
