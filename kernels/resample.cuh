// Averages of windows, and interpolation at half-pixel centres, of channels-last images along both axes; and their
// transposes. With the rows a[oh] and b[ow] of either axis (cpu/resample_axis.hpp):
//   forward    y (N, OH, OW, C) = the sum over i, j of a[oh][i] b[ow][j] x[n, i, j, c]; averages divide it by the count
//   backward   dx (N, H, W, C) = the sum over oh, ow of a[oh][i] b[ow][j] g[n, oh, ow, c], or of its share of the count
// Views of any strides; an image axis of stride 0 broadcasts. A thread has a pack of channels at one position. Weights
// are made where they are used, from exact fractions, whose divisors the host prepares. Backward is a gather as well:
// each element looks at the results that it may be part of. Sums in float for 16-bit types, rounded once: along columns
// first, then over them, in order. A window is the sum of one thread, however large it is.
#pragma once

#include "ergo/cpu/resample_axis.hpp"
#include "ergo/kernels/pool.cuh"

namespace ergo::inline ERGO_BUILD::cuda {

using cpu::ResampleAxis;
using cpu::Resampling;

// Division of numbers that are not negative, by a multiplication.
template <class Index>
struct DivideBy {
  Divisor<Index> by;
  __device__ __forceinline__ std::int64_t operator()(std::int64_t n) const { return std::int64_t(by.divide(Index(n))); }
};
// An axis in device code: of result `o` its row, of element `i` its users.
template <Resampling Kind, class Index>
struct DeviceAxis {
  ResampleAxis a;
  DivideBy<Index> forward, backward;  // by out and in, for interpolation by twice of that

  template <class A>
  __device__ __forceinline__ auto row(std::int64_t o) const {
    if constexpr (Kind == Resampling::windows)
      return cpu::window_row(a, o);
    else if constexpr (Kind == Resampling::adaptive)
      return cpu::adaptive_row(a, o, forward);
    else
      return cpu::tap_row<A, cpu::taps_of(Kind)>(a, o, forward);
  }
  __device__ __forceinline__ cpu::Users users(std::int64_t i) const {
    if constexpr (Kind == Resampling::windows) {
      int first, end;
      covering(i, a.kernel, a.stride, a.before, a.out, first, end);
      return {first, end};
    } else if constexpr (Kind == Resampling::adaptive) {
      return cpu::adaptive_users(a, i, backward);
    } else {
      return cpu::tap_users<cpu::taps_of(Kind)>(a, i, backward);
    }
  }
};

template <int V, Resampling Kind, class Index, class T>
__global__ void __launch_bounds__(kPoolBlock, 3)
    resample_kernel(View<const T, 4> x, View<T, 4> y, DeviceAxis<Kind, Index> h, DeviceAxis<Kind, Index> w,
                    PoolGrid<Index> grid) {
  using A = Compute<T>;
  PoolPosition o;
  if (!grid.template locate<V>(o)) return;
  const auto rows = h.template row<A>(o.i), columns = w.template row<A>(o.j);
  const T* from = &x(o.n, rows.first, columns.first, o.c);
  A sum[V];  // from -0, to which nothing is lost
#pragma unroll
  for (int v = 0; v < V; ++v) sum[v] = A(-0.0);
#pragma unroll 1
  for (std::int64_t j = columns.first; j < columns.end; ++j, from += x.stride[2]) {
    A column[V];
#pragma unroll
    for (int v = 0; v < V; ++v) column[v] = A(-0.0);
    const T* at = from;
#pragma unroll 2
    for (std::int64_t i = rows.first; i < rows.end; ++i, at += x.stride[1]) {
      const auto pack = load_pack<V>(at);
      if constexpr (cpu::averages(Kind)) {
#pragma unroll
        for (int v = 0; v < V; ++v) column[v] += widen(pack[v]);
      } else {
        const A weight = rows.weight(i);
#pragma unroll
        for (int v = 0; v < V; ++v) column[v] += widen(pack[v]) * weight;
      }
    }
    if constexpr (cpu::averages(Kind)) {
#pragma unroll
      for (int v = 0; v < V; ++v) sum[v] += column[v];
    } else {
      const A weight = columns.weight(j);
#pragma unroll
      for (int v = 0; v < V; ++v) sum[v] += column[v] * weight;
    }
  }
  Pack<T, V> out;
  if constexpr (cpu::averages(Kind)) {
    const A count = A(rows.count) * A(columns.count);
#pragma unroll
    for (int v = 0; v < V; ++v) out[v] = narrow<T>(sum[v] / count);
  } else {
#pragma unroll
    for (int v = 0; v < V; ++v) out[v] = narrow<T>(sum[v]);
  }
  store_pack<V>(&y(o.n, o.i, o.j, o.c), out);
}

// What element i is worth in a row of results: of an average its share.
template <class A, class Row>
__device__ __forceinline__ A share_of(const Row& row, std::int64_t i) {
  if constexpr (std::is_same_v<Row, cpu::WindowRow>)
    return A(1) / A(row.count);
  else
    return row.weight(i);
}

template <int V, Resampling Kind, class Index, class T>
__global__ void __launch_bounds__(kPoolBlock, 3)
    resample_backward_kernel(View<const T, 4> g, View<T, 4> dx, DeviceAxis<Kind, Index> h, DeviceAxis<Kind, Index> w,
                             PoolGrid<Index> grid) {
  using A = Compute<T>;
  PoolPosition p;
  if (!grid.template locate<V>(p)) return;
  const cpu::Users rows = h.users(p.i), columns = w.users(p.j);
  A sum[V] = {};
#pragma unroll 1
  for (std::int64_t j = columns.first; j < columns.end; ++j) {
    const auto across = w.template row<A>(j);
    if (p.j < across.first || p.j >= across.end) continue;
    const A beside = share_of<A>(across, p.j);
    A column[V] = {};
#pragma unroll 1
    for (std::int64_t i = rows.first; i < rows.end; ++i) {
      const auto down = h.template row<A>(i);
      if (p.i < down.first || p.i >= down.end) continue;
      const A weight = share_of<A>(down, p.i);
      const auto pack = load_pack<V>(&g(p.n, i, j, p.c));
#pragma unroll
      for (int v = 0; v < V; ++v) column[v] += widen(pack[v]) * weight;
    }
#pragma unroll
    for (int v = 0; v < V; ++v) sum[v] += column[v] * beside;
  }
  Pack<T, V> out;
#pragma unroll
  for (int v = 0; v < V; ++v) out[v] = narrow<T>(sum[v]);
  store_pack<V>(&dx(p.n, p.i, p.j, p.c), out);
}

namespace detail {

// Whether all that is divided for this axis is below 2^31.
inline bool resample_fits_32_bits(const ResampleAxis& a) {
  return a.in < (1 << 14) && a.out < (1 << 14) && a.kernel < (1 << 28);
}
template <Resampling Kind, class Index>
DeviceAxis<Kind, Index> device_axis(const ResampleAxis& a) {
  const std::int64_t times = cpu::averages(Kind) ? 1 : 2;
  return {a, {Divisor<Index>::of(times * a.out)}, {Divisor<Index>::of(times * a.in)}};
}
// f(launch shape, grid) for the positions of a view in packs of V channels, in 64 bits if the axes need them.
template <int V, class T, class F>
void on_resample_grid(const View<T, 4>& v, const ResampleAxis& h, const ResampleAxis& w, const F& f) {
  const std::int64_t packs = v.shape[3] / V, total = v.numel() / V;
  const LaunchShape shape{dim3(blocks_for(total, kPoolBlock)), dim3(kPoolBlock)};
  if (fits_32_bits(total) && resample_fits_32_bits(h) && resample_fits_32_bits(w))
    f(shape, PoolGrid<std::uint32_t>{std::uint32_t(total), FastDivisor::of(v.shape[1]), FastDivisor::of(v.shape[2]),
                                     FastDivisor::of(packs)});
  else
    f(shape, PoolGrid<std::uint64_t>{std::uint64_t(total), WideDivisor::of(v.shape[1]), WideDivisor::of(v.shape[2]),
                                     WideDivisor::of(packs)});
}
// with<V>() for the widest packs of channels that both views allow.
template <class T, class F>
void in_channel_packs(const View<const T, 4>& from, const View<T, 4>& to, const F& with) {
  constexpr int V = kPackOf<T>;
  if (channel_packs<V>(from) && channel_packs<V>(to))
    with.template operator()<V>();
  else
    with.template operator()<1>();
}

}  // namespace detail

// Both launchers: axes have at most 2^28 elements and results, planes less than 2^31, no window is empty.
// x (N, h.in, w.in, C), y (N, h.out, w.out, C).
template <Resampling Kind, class T>
void launch_resample(Stream& stream, const char* name, View<const T, 4> x, View<T, 4> y, const ResampleAxis& h,
                     const ResampleAxis& w) {
  if (y.numel() == 0) return;
  detail::in_channel_packs<T>(x, y, [&]<int V>() {
    detail::on_resample_grid<V>(y, h, w, [&](const LaunchShape& shape, const auto& grid) {
      using Index = decltype(detail::index_of(grid));
      launch(stream, name, shape, resample_kernel<V, Kind, Index, T>, x, y, detail::device_axis<Kind, Index>(h),
             detail::device_axis<Kind, Index>(w), grid);
    });
  });
}
// g (N, h.out, w.out, C), dx (N, h.in, w.in, C), which is overwritten.
template <Resampling Kind, class T>
void launch_resample_backward(Stream& stream, const char* name, View<const T, 4> g, View<T, 4> dx,
                              const ResampleAxis& h, const ResampleAxis& w) {
  if (dx.numel() == 0) return;
  detail::in_channel_packs<T>(g, dx, [&]<int V>() {
    detail::on_resample_grid<V>(dx, h, w, [&](const LaunchShape& shape, const auto& grid) {
      using Index = decltype(detail::index_of(grid));
      launch(stream, name, shape, resample_backward_kernel<V, Kind, Index, T>, g, dx,
             detail::device_axis<Kind, Index>(h), detail::device_axis<Kind, Index>(w), grid);
    });
  });
}

}  // namespace ergo::inline ERGO_BUILD::cuda
