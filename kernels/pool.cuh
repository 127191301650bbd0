// max_pool2d of channels-last images: each window's first largest element, a NaN counting as larger than all, padding
// never chosen; and what is linear in the image once the choice is made.
//   values     y (N, OH, OW, C) = the largest of x (N, H, W, C) in the window of (oh, ow)
//   choice     k (N, OH, OW, C) = h * W + w of that element, int32
//   gather     y[n, oh, ow, c] = x[n, k[n, oh, ow, c], c]
//   backward   dx[n, h, w, c] = the sum of g[n, oh, ow, c] over the windows that chose (h, w), in order of (oh, ow)
// Views of any strides; an image axis of stride 0 broadcasts. A thread has a pack of channels at one position. Backward
// is a gather: each element looks at the windows that cover it, whose choice is either given or made again from x, so
// nothing but x need be kept. Sums in float for 16-bit types, from 0 and rounded once, in the CPU's order.
#pragma once

#include "ergo/kernels/common/divisor.cuh"
#include "ergo/kernels/common/pack.cuh"

namespace ergo::inline ERGO_BUILD::cuda {

struct PoolWindow {
  std::int64_t kernel_h, kernel_w, stride_h, stride_w, pad_top, pad_left;
};

// Kernels are bound to 3 blocks a multiprocessor, room enough: left alone, ptxas spills a few registers to fit 5.
inline constexpr int kPoolBlock = 256;

// A thread's position: image n, row i, column j, first channel c.
struct PoolPosition {
  std::int64_t n, i, j, c;
};
// Flat positions of (images, rows, columns, packs).
template <class Index>
struct PoolGrid {
  Index total;
  Divisor<Index> rows, columns, packs;
  template <int V>
  __device__ __forceinline__ bool locate(PoolPosition& p) const {
    const Index at = Index(blockIdx.x) * kPoolBlock + threadIdx.x;
    if (at >= total) return false;
    const Index pixel = packs.divide(at), row = columns.divide(pixel), n = rows.divide(row);
    p = {std::int64_t(n), std::int64_t(row - n * rows.divisor), std::int64_t(pixel - row * columns.divisor),
         std::int64_t((at - pixel * packs.divisor) * V)};
    return true;
  }
};

// The first largest of V channels of a window, and where it is in the plane. No window is empty.
template <int V, class T>
struct WindowMaximum {
  Pack<T, V> best;
  int where[V];

  __device__ __forceinline__ WindowMaximum(const View<const T, 4>& x, const PoolWindow& s, const PoolPosition& o) {
    const std::int64_t h0 = o.i * s.stride_h - s.pad_top, w0 = o.j * s.stride_w - s.pad_left;
    const int top = h0 < 0 ? 0 : int(h0), left = w0 < 0 ? 0 : int(w0), width = int(x.shape[2]);
    const int bottom = int(h0 + s.kernel_h < x.shape[1] ? h0 + s.kernel_h : x.shape[1]);
    const int right = int(w0 + s.kernel_w < x.shape[2] ? w0 + s.kernel_w : x.shape[2]);
    const T* const plane = &x(o.n, 0, 0, o.c);
    best = load_pack<V>(plane + top * x.stride[1] + left * x.stride[2]);
#pragma unroll
    for (int v = 0; v < V; ++v) where[v] = top * width + left;
#pragma unroll 1
    for (int i = top; i < bottom; ++i) {
      const T* from = plane + i * x.stride[1] + left * x.stride[2];
#pragma unroll 2
      for (int j = left; j < right; ++j, from += x.stride[2]) {
        const auto other = load_pack<V>(from);
#pragma unroll
        for (int v = 0; v < V; ++v) {
          const Compute<T> a = widen(best[v]), b = widen(other[v]);
          if (b > a || (b != b && a == a)) {
            best[v] = other[v];
            where[v] = i * width + j;
          }
        }
      }
    }
  }
};

template <int V, class Index, class T>
__global__ void __launch_bounds__(kPoolBlock, 3)
    max_pool_kernel(View<const T, 4> x, View<T, 4> y, PoolWindow window, PoolGrid<Index> grid) {
  PoolPosition o;
  if (!grid.template locate<V>(o)) return;
  const WindowMaximum<V, T> maximum(x, window, o);
  store_pack<V>(&y(o.n, o.i, o.j, o.c), maximum.best);
}
template <int V, class Index, class T>
__global__ void __launch_bounds__(kPoolBlock, 3)
    max_pool_choice_kernel(View<const T, 4> x, View<std::int32_t, 4> choice, PoolWindow window, PoolGrid<Index> grid) {
  PoolPosition o;
  if (!grid.template locate<V>(o)) return;
  const WindowMaximum<V, T> maximum(x, window, o);
  Pack<std::int32_t, V> out;
#pragma unroll
  for (int v = 0; v < V; ++v) out[v] = maximum.where[v];
  store_pack<V>(&choice(o.n, o.i, o.j, o.c), out);
}
template <int V, class Index, class T>
__global__ void __launch_bounds__(kPoolBlock, 3)
    pool_gather_kernel(View<const T, 4> x, View<const std::int32_t, 4> choice, View<T, 4> y, PoolGrid<Index> grid) {
  PoolPosition o;
  if (!grid.template locate<V>(o)) return;
  const auto k = load_pack<V>(&choice(o.n, o.i, o.j, o.c));
  const int width = int(x.shape[2]);
  const T* const plane = &x(o.n, 0, 0, o.c);
  Pack<T, V> out;
#pragma unroll
  for (int v = 0; v < V; ++v) out[v] = plane[k[v] / width * x.stride[1] + k[v] % width * x.stride[2] + v * x.stride[3]];
  store_pack<V>(&y(o.n, o.i, o.j, o.c), out);
}

// What the windows chose, for backward: as given, or from x.
struct GivenChoice {
  View<const std::int32_t, 4> choice;
  template <int V>
  __device__ __forceinline__ void chosen(const PoolWindow&, const PoolPosition& o, int (&where)[V]) const {
    const auto k = load_pack<V>(&choice(o.n, o.i, o.j, o.c));
#pragma unroll
    for (int v = 0; v < V; ++v) where[v] = k[v];
  }
};
template <class T>
struct ChoiceFrom {
  View<const T, 4> x;
  template <int V>
  __device__ __forceinline__ void chosen(const PoolWindow& s, const PoolPosition& o, int (&where)[V]) const {
    const WindowMaximum<V, T> maximum(x, s, o);
#pragma unroll
    for (int v = 0; v < V; ++v) where[v] = maximum.where[v];
  }
};

// The windows of one axis that cover position i are [first, end).
__device__ __forceinline__ void covering(std::int64_t i, std::int64_t kernel, std::int64_t stride, std::int64_t pad,
                                         std::int64_t windows, int& first, int& end) {
  const auto past = std::uint32_t(i + pad), before = past < kernel ? 0 : std::uint32_t(past - kernel) + 1;
  const auto step = std::uint32_t(stride), last = past / step + 1;
  first = int((before + step - 1) / step);
  end = last < windows ? int(last) : int(windows);
}

template <int V, class Index, class T, class Choice>
__global__ void __launch_bounds__(kPoolBlock, 3)
    max_pool_backward_kernel(Choice choice, View<const T, 4> g, View<T, 4> dx, PoolWindow window,
                             PoolGrid<Index> grid) {
  PoolPosition p;
  if (!grid.template locate<V>(p)) return;
  int top, bottom, left, right;
  covering(p.i, window.kernel_h, window.stride_h, window.pad_top, g.shape[1], top, bottom);
  covering(p.j, window.kernel_w, window.stride_w, window.pad_left, g.shape[2], left, right);
  const int here = int(p.i * dx.shape[2] + p.j);
  Compute<T> sum[V] = {};
#pragma unroll 1
  for (int i = top; i < bottom; ++i)
#pragma unroll 1
    for (int j = left; j < right; ++j) {
      const PoolPosition o{p.n, i, j, p.c};
      int where[V];
      choice.template chosen<V>(window, o, where);
      const auto cotangent = load_pack<V>(&g(o.n, o.i, o.j, o.c));
#pragma unroll
      for (int v = 0; v < V; ++v)
        if (where[v] == here) sum[v] += widen(cotangent[v]);
    }
  Pack<T, V> out;
#pragma unroll
  for (int v = 0; v < V; ++v) out[v] = narrow<T>(sum[v]);
  store_pack<V>(&dx(p.n, p.i, p.j, p.c), out);
}

namespace detail {

// Whether packs of V channels of a view are aligned.
template <int V, class T>
bool channel_packs(const View<T, 4>& v) {
  if (v.stride[3] != 1 || v.shape[3] % V != 0 || !aligned_for<V>(v.data)) return false;
  for (int d = 0; d < 3; ++d)
    if (v.shape[d] > 1 && v.stride[d] % V != 0) return false;
  return true;
}
// f(kernel's grid) for the positions of a view in packs of V channels.
template <int V, class T, class F>
void on_pool_grid(const View<T, 4>& v, const F& f) {
  const std::int64_t packs = v.shape[3] / V, total = v.numel() / V;
  const LaunchShape shape{dim3(blocks_for(total, kPoolBlock)), dim3(kPoolBlock)};
  if (fits_32_bits(total))
    f(shape, PoolGrid<std::uint32_t>{std::uint32_t(total), FastDivisor::of(v.shape[1]), FastDivisor::of(v.shape[2]),
                                     FastDivisor::of(packs)});
  else
    f(shape, PoolGrid<std::uint64_t>{std::uint64_t(total), WideDivisor::of(v.shape[1]), WideDivisor::of(v.shape[2]),
                                     WideDivisor::of(packs)});
}
template <class Index>
Index index_of(const PoolGrid<Index>&);

template <int V, class T, class Choice>
void max_pool_backward(Stream& stream, const Choice& choice, const View<const T, 4>& g, const View<T, 4>& dx,
                       const PoolWindow& window) {
  on_pool_grid<V>(dx, [&](const LaunchShape& shape, const auto& grid) {
    using Index = decltype(index_of(grid));
    launch(stream, "max_pool2d", shape, max_pool_backward_kernel<V, Index, T, Choice>, choice, g, dx, window, grid);
  });
}

// Packs of elements beside packs of as many int32.
template <class T>
inline constexpr int kChoicePack = kPackOf<T> < 4 ? kPackOf<T> : 4;

}  // namespace detail

// All launchers: planes have less than 2^31 elements (H * W), no window is empty, strides and kernels are below 2^30.
// x (N, H, W, C), y (N, OH, OW, C).
template <class T>
void launch_max_pool2d(Stream& stream, View<const T, 4> x, View<T, 4> y, const PoolWindow& window) {
  if (y.numel() == 0) return;
  const auto with = [&]<int V>() {
    detail::on_pool_grid<V>(y, [&](const LaunchShape& shape, const auto& grid) {
      using Index = decltype(detail::index_of(grid));
      launch(stream, "max_pool2d", shape, max_pool_kernel<V, Index, T>, x, y, window, grid);
    });
  };
  constexpr int V = kPackOf<T>;
  if (detail::channel_packs<V>(x) && detail::channel_packs<V>(y))
    with.template operator()<V>();
  else
    with.template operator()<1>();
}
// x (N, H, W, C), choice (N, OH, OW, C).
template <class T>
void launch_max_pool2d_choice(Stream& stream, View<const T, 4> x, View<std::int32_t, 4> choice,
                              const PoolWindow& window) {
  if (choice.numel() == 0) return;
  const auto with = [&]<int V>() {
    detail::on_pool_grid<V>(choice, [&](const LaunchShape& shape, const auto& grid) {
      using Index = decltype(detail::index_of(grid));
      launch(stream, "max_pool2d", shape, max_pool_choice_kernel<V, Index, T>, x, choice, window, grid);
    });
  };
  constexpr int V = detail::kChoicePack<T>;
  if (detail::channel_packs<V>(x) && detail::channel_packs<V>(choice))
    with.template operator()<V>();
  else
    with.template operator()<1>();
}
// x (N, H, W, C), choice and y (N, OH, OW, C).
template <class T>
void launch_pool_gather(Stream& stream, View<const T, 4> x, View<const std::int32_t, 4> choice, View<T, 4> y) {
  if (y.numel() == 0) return;
  const auto with = [&]<int V>() {
    detail::on_pool_grid<V>(y, [&](const LaunchShape& shape, const auto& grid) {
      using Index = decltype(detail::index_of(grid));
      launch(stream, "max_pool2d", shape, pool_gather_kernel<V, Index, T>, x, choice, y, grid);
    });
  };
  constexpr int V = detail::kChoicePack<T>;
  if (detail::channel_packs<V>(choice) && detail::channel_packs<V>(y))
    with.template operator()<V>();
  else
    with.template operator()<1>();
}
// g (N, OH, OW, C), dx (N, H, W, C), the choice from x (N, H, W, C) or as given (N, OH, OW, C). dx is overwritten.
template <class T>
void launch_max_pool2d_backward(Stream& stream, View<const T, 4> x, View<const T, 4> g, View<T, 4> dx,
                                const PoolWindow& window) {
  if (dx.numel() == 0) return;
  constexpr int V = kPackOf<T>;
  if (detail::channel_packs<V>(x) && detail::channel_packs<V>(g) && detail::channel_packs<V>(dx))
    detail::max_pool_backward<V>(stream, ChoiceFrom<T>{x}, g, dx, window);
  else
    detail::max_pool_backward<1>(stream, ChoiceFrom<T>{x}, g, dx, window);
}
template <class T>
void launch_pool_scatter(Stream& stream, View<const std::int32_t, 4> choice, View<const T, 4> g, View<T, 4> dx,
                         const PoolWindow& window) {
  if (dx.numel() == 0) return;
  constexpr int V = detail::kChoicePack<T>;
  if (detail::channel_packs<V>(choice) && detail::channel_packs<V>(g) && detail::channel_packs<V>(dx))
    detail::max_pool_backward<V>(stream, GivenChoice{choice}, g, dx, window);
  else
    detail::max_pool_backward<1>(stream, GivenChoice{choice}, g, dx, window);
}

}  // namespace ergo::inline ERGO_BUILD::cuda
