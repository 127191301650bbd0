// grid_sample of channels-last images at places (cpu/grid_place.hpp), and its two gradients:
//   read     y (L, P, C) = the sum over the at most four pixels k at grid (L, P, 2) of weight_k x (L, H, W, C)[k]
//   slope    dgrid (L, P, 2) = the sum over them of d weight_k / d grid times the product of g (L, P, C) and x[k]
//   rows     weight_k g, and the pixels they go to, for scatter.cuh, which adds them up in an order that the data
//            alone fix: no atomics, and no long chain however many places share a pixel
//
// Views of any strides; an image axis of stride 0 broadcasts. A thread has a pack of channels at one place; slopes are
// summed by a thread a place, or by the lanes of a warp where there are channels for them. float and double.
#pragma once

#include "ergo/cpu/grid_place.hpp"
#include "ergo/kernels/common/reduce.cuh"
#include "ergo/kernels/pool.cuh"

namespace ergo::inline ERGO_BUILD::cuda {

inline constexpr int kGridBlock = 256;

struct GridRule {
  GridMode mode;
  GridPadding padding;
};
struct DeviceRound {
  __device__ __forceinline__ float floor(float x) const { return ::floorf(x); }
  __device__ __forceinline__ double floor(double x) const { return ::floor(x); }
  __device__ __forceinline__ float nearest(float x) const { return ::rintf(x); }
  __device__ __forceinline__ double nearest(double x) const { return ::rint(x); }
};

// Where a place of the grid lies in both axes of its image.
template <class T>
struct GridPlaces {
  cpu::GridPlace<T> x, y;
  __device__ __forceinline__ GridPlaces(const View<const T, 3>& grid, std::int64_t image, std::int64_t place,
                                        std::int64_t h, std::int64_t w, const GridRule& rule)
      : x(cpu::grid_place(rule.mode, rule.padding, w, grid(image, place, 0), DeviceRound{})),
        y(cpu::grid_place(rule.mode, rule.padding, h, grid(image, place, 1), DeviceRound{})) {}
  // f(pixel's row, its column, i, j) for the pixels inside, in row-major order.
  template <class F>
  __device__ __forceinline__ void each(const F& f) const {
#pragma unroll
    for (int i = 0; i < 2; ++i)
#pragma unroll
      for (int j = 0; j < 2; ++j)
        if (y.inside[i] && x.inside[j]) f(y.at + i, x.at + j, i, j);
  }
};

// Flat positions of (images, places, packs).
template <class Index>
struct GridPositions {
  Index total;
  Divisor<Index> places, packs;
  __device__ __forceinline__ bool locate(std::int64_t& image, std::int64_t& place, std::int64_t& pack) const {
    const Index at = Index(blockIdx.x) * kGridBlock + threadIdx.x;
    if (at >= total) return false;
    const Index row = packs.divide(at), n = places.divide(row);
    image = std::int64_t(n);
    place = std::int64_t(row - n * places.divisor);
    pack = std::int64_t(at - row * packs.divisor);
    return true;
  }
};

template <int V, class Index, class T>
__global__ void __launch_bounds__(kGridBlock, 3)
    grid_read_kernel(View<const T, 4> x, View<const T, 3> grid, View<T, 3> y, GridRule rule,
                     GridPositions<Index> positions) {
  std::int64_t image, place, c;
  if (!positions.locate(image, place, c)) return;
  c *= V;
  const GridPlaces<T> at(grid, image, place, x.shape[1], x.shape[2], rule);
  T sum[V];
  bool none = true;
#pragma unroll
  for (int v = 0; v < V; ++v) sum[v] = T(-0.0);  // to -0 nothing is lost
  at.each([&](std::int64_t row, std::int64_t column, int i, int j) {
    const T weight = at.y.weight[i] * at.x.weight[j];
    const auto pack = load_pack<V>(&x(image, row, column, c));
#pragma unroll
    for (int v = 0; v < V; ++v) sum[v] += pack[v] * weight;
    none = false;
  });
  Pack<T, V> out;
#pragma unroll
  for (int v = 0; v < V; ++v) out[v] = none ? T(0) : sum[v];
  store_pack<V>(&y(image, place, c), out);
}

// rows (L, 4 P, C) and the pixels (L, 4 P) that they go to; -1: nowhere, the row is then left as it is.
template <int V, class Index, class T>
__global__ void __launch_bounds__(kGridBlock, 3)
    grid_rows_kernel(View<const T, 3> g, View<const T, 3> grid, View<T, 3> rows, View<std::int32_t, 2> pixels,
                     std::int64_t h, std::int64_t w, GridRule rule, GridPositions<Index> positions) {
  std::int64_t image, place, c;
  if (!positions.locate(image, place, c)) return;
  const bool first = c == 0;
  c *= V;
  const GridPlaces<T> at(grid, image, place, h, w, rule);
  const auto pack = load_pack<V>(&g(image, place, c));
  if (first) {
#pragma unroll
    for (int k = 0; k < 4; ++k) pixels(image, 4 * place + k) = -1;
  }
  at.each([&](std::int64_t row, std::int64_t column, int i, int j) {
    const T weight = at.y.weight[i] * at.x.weight[j];
    Pack<T, V> out;
#pragma unroll
    for (int v = 0; v < V; ++v) out[v] = pack[v] * weight;
    store_pack<V>(&rows(image, 4 * place + 2 * i + j, c), out);
    if (first) pixels(image, 4 * place + 2 * i + j) = std::int32_t(row * w + column);
  });
}

// positions: of (images, places, lanes), in whole warps.
template <int Lanes, class Index, class T>
__global__ void __launch_bounds__(kGridBlock, 3)
    grid_slope_kernel(View<const T, 3> g, View<const T, 4> x, View<const T, 3> grid, View<T, 3> dgrid, GridRule rule,
                      GridPositions<Index> positions) {
  std::int64_t image = 0, place = 0, lane = 0;
  const bool valid = positions.locate(image, place, lane);
  T by_x = 0, by_y = 0;
  if (valid) {
    const GridPlaces<T> at(grid, image, place, x.shape[1], x.shape[2], rule);
    at.each([&](std::int64_t row, std::int64_t column, int i, int j) {
      T product = 0;
#pragma unroll 1
      for (std::int64_t c = lane; c < x.shape[3]; c += Lanes) product += g(image, place, c) * x(image, row, column, c);
      by_x += (j ? at.x.slope : -at.x.slope) * at.y.weight[i] * product;
      by_y += (i ? at.y.slope : -at.y.slope) * at.x.weight[j] * product;
    });
  }
  by_x = warp_sum<Lanes>(by_x);
  by_y = warp_sum<Lanes>(by_y);
  if (valid && lane == 0) {
    dgrid(image, place, 0) = by_x;
    dgrid(image, place, 1) = by_y;
  }
}

namespace detail {

// f(shape, positions) for `images` times `places` times `packs`.
template <class F>
void on_grid_positions(std::int64_t images, std::int64_t places, std::int64_t packs, const F& f) {
  const std::int64_t total = images * places * packs;
  const LaunchShape shape{dim3(blocks_for(total, kGridBlock)), dim3(kGridBlock)};
  if (fits_32_bits(total))
    f(shape, GridPositions<std::uint32_t>{std::uint32_t(total), FastDivisor::of(places), FastDivisor::of(packs)});
  else
    f(shape, GridPositions<std::uint64_t>{std::uint64_t(total), WideDivisor::of(places), WideDivisor::of(packs)});
}
template <class Index>
Index index_of(const GridPositions<Index>&);

// Whether packs of V of the last axis are aligned.
template <int V, int Rank, class T>
bool last_packs(const View<T, Rank>& v) {
  if (v.stride[Rank - 1] != 1 || v.shape[Rank - 1] % V != 0 || !aligned_for<V>(v.data)) return false;
  for (int d = 0; d + 1 < Rank; ++d)
    if (v.shape[d] > 1 && v.stride[d] % V != 0) return false;
  return true;
}

}  // namespace detail

// All launchers: x (L, H, W, C), not empty planes of less than 2^31, grid (L, P, 2), y and g (L, P, C), dgrid (L, P,
// 2).
template <class T>
void launch_grid_sample(Stream& stream, View<const T, 4> x, View<const T, 3> grid, View<T, 3> y, GridRule rule) {
  if (y.numel() == 0) return;
  const auto with = [&]<int V>() {
    detail::on_grid_positions(y.shape[0], y.shape[1], y.shape[2] / V, [&](const LaunchShape& shape, const auto& at) {
      using Index = decltype(detail::index_of(at));
      launch(stream, "grid_sample", shape, grid_read_kernel<V, Index, T>, x, grid, y, rule, at);
    });
  };
  constexpr int V = kPackOf<T>;
  if (detail::last_packs<V>(x) && detail::last_packs<V>(y))
    with.template operator()<V>();
  else
    with.template operator()<1>();
}
template <class T>
void launch_grid_slope(Stream& stream, View<const T, 3> g, View<const T, 4> x, View<const T, 3> grid, View<T, 3> dgrid,
                       GridRule rule) {
  if (dgrid.numel() == 0) return;
  const auto with = [&]<int Lanes>() {
    detail::on_grid_positions(g.shape[0], g.shape[1], Lanes, [&](const LaunchShape& shape, const auto& at) {
      using Index = decltype(detail::index_of(at));
      launch(stream, "grid_sample", shape, grid_slope_kernel<Lanes, Index, T>, g, x, grid, dgrid, rule, at);
    });
  };
  if (g.shape[2] <= 8)
    with.template operator()<1>();
  else
    with.template operator()<32>();
}
// rows (L, 4 P, C) and pixels (L, 4 P) are overwritten, but for rows of pixel -1, and neither if there are no channels;
// H by W is the plane they go to.
template <class T>
void launch_grid_rows(Stream& stream, View<const T, 3> g, View<const T, 3> grid, View<T, 3> rows,
                      View<std::int32_t, 2> pixels, std::int64_t h, std::int64_t w, GridRule rule) {
  if (rows.numel() == 0) return;
  const auto with = [&]<int V>() {
    detail::on_grid_positions(g.shape[0], g.shape[1], g.shape[2] / V, [&](const LaunchShape& shape, const auto& at) {
      using Index = decltype(detail::index_of(at));
      launch(stream, "grid_sample", shape, grid_rows_kernel<V, Index, T>, g, grid, rows, pixels, h, w, rule, at);
    });
  };
  constexpr int V = kPackOf<T>;
  if (detail::last_packs<V>(g) && detail::last_packs<V>(rows))
    with.template operator()<V>();
  else
    with.template operator()<1>();
}

}  // namespace ergo::inline ERGO_BUILD::cuda
