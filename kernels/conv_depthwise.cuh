// Depthwise convolution, each channel of x (N, H, W, C) with its own kernel w (KH, KW, 1, C), and its two gradients:
// bound by memory, so without matrix products. Threads next to each other have neighbouring channels, in packs of 16
// bytes where they fit. A sum runs over taps in order, taps outside the image left out; the weight gradient's over the
// pixels of a range by a fixed tree, and then over the ranges in order (conv_sum_kernel).
#pragma once

#include "ergo/kernels/conv_phases.cuh"
#include "ergo/kernels/conv_tiles.cuh"

namespace ergo::inline ERGO_BUILD::cuda {

inline constexpr int kDepthwiseStrip = 4;  // neighbouring output pixels of a thread, which share their weights

struct ConvDepthwise {
  int h, w, channels, out_h, out_w, kh, kw;
  int stride_h, stride_w, top, left, dilation_h, dilation_w;

  static ConvDepthwise of(const Conv2dShape& s) {
    return {int(s.h),        int(s.w),          int(s.c_in),      int(s.out_h()),  int(s.out_w()),
            int(s.kh),       int(s.kw),         int(s.stride_h),  int(s.stride_w), int(s.pad_top),
            int(s.pad_left), int(s.dilation_h), int(s.dilation_w)};
  }
};

// An index into (images, rows, columns, packs of channels).
struct DepthwiseIndex {
  unsigned count;
  FastDivisor packs, columns, rows;
  struct At {
    int image, row, column, pack;
  };
  static DepthwiseIndex of(std::int64_t images, std::int64_t rows, std::int64_t columns, std::int64_t packs) {
    return {unsigned(images * rows * columns * packs), FastDivisor::of(packs), FastDivisor::of(columns),
            FastDivisor::of(rows)};
  }
  __device__ __forceinline__ At at(unsigned i) const {
    const unsigned pixel = packs.divide(i), line = columns.divide(pixel), image = rows.divide(line);
    return {int(image), int(line - image * rows.divisor), int(pixel - line * columns.divisor),
            int(i - pixel * packs.divisor)};
  }
};

template <int V, class T>
__device__ __forceinline__ void add_product(Compute<T> (&sum)[V], const Pack<T, V>& a, const Pack<T, V>& b) {
#pragma unroll
  for (int e = 0; e < V; ++e) sum[e] += widen(a[e]) * widen(b[e]);
}
template <int V, class R, class A>
__device__ __forceinline__ void store_sums(R* to, const A (&sum)[V]) {
  constexpr int W = V < kPackOf<R> ? V : kPackOf<R>;
#pragma unroll
  for (int from = 0; from < V; from += W) {
    Pack<R, W> p;
#pragma unroll
    for (int e = 0; e < W; ++e) p[e] = narrow<R>(sum[from + e]);
    store_pack(to + from, p);
  }
}

template <int V, class T>
__global__ void __launch_bounds__(kConvBlock, V == 8 ? 3 : 4)
    conv_depthwise_kernel(ConvDepthwise d, DepthwiseIndex index, const T* x, const T* w, T* y) {
  const unsigned i = blockIdx.x * unsigned(kConvBlock) + threadIdx.x;
  if (i >= index.count) return;
  const auto at = index.at(i);
  const int channel = at.pack * V, first = at.column * kDepthwiseStrip;
  Compute<T> sum[kDepthwiseStrip][V] = {};
  for (int u = 0; u < d.kh; ++u) {
    const int row = at.row * d.stride_h - d.top + u * d.dilation_h;
    if (unsigned(row) >= unsigned(d.h)) continue;
    const std::int64_t line = (std::int64_t{at.image} * d.h + row) * d.w;
    for (int v = 0; v < d.kw; ++v) {
      const auto weights = load_pack<V>(w + std::int64_t{u * d.kw + v} * d.channels + channel);
#pragma unroll
      for (int p = 0; p < kDepthwiseStrip; ++p) {
        const int column = (first + p) * d.stride_w - d.left + v * d.dilation_w;
        if (unsigned(column) < unsigned(d.w))
          add_product(sum[p], load_pack<V>(x + (line + column) * d.channels + channel), weights);
      }
    }
  }
  const std::int64_t line = (std::int64_t{at.image} * d.out_h + at.row) * d.out_w;
#pragma unroll
  for (int p = 0; p < kDepthwiseStrip; ++p)
    if (first + p < d.out_w) store_sums(y + (line + first + p) * d.channels + channel, sum[p]);
}

// A pixel of dx and the taps of its phase (ConvPhaseAxis) a thread.
template <int V, class T>
__global__ void __launch_bounds__(kConvBlock)
    conv_depthwise_input_gradient_kernel(ConvPhaseAxis rows, ConvPhaseAxis columns, int out_h, int out_w,
                                         DepthwiseIndex index, const T* dy, const T* w, T* dx) {
  const unsigned i = blockIdx.x * unsigned(kConvBlock) + threadIdx.x;
  if (i >= index.count) return;
  const auto at = index.at(i);
  const int channels = int(index.packs.divisor) * V, channel = at.pack * V;
  const int row_step = at.row / rows.stride, column_step = at.column / columns.stride;
  rows.select(at.row - row_step * rows.stride);
  columns.select(at.column - column_step * columns.stride);
  Compute<T> sum[V] = {};
  for (int u = 0; u < rows.taps; ++u) {
    const int row = row_step + rows.origin - u * rows.back;
    if (unsigned(row) >= unsigned(out_h)) continue;
    const std::int64_t line = (std::int64_t{at.image} * out_h + row) * out_w;
    const int tap = (rows.tap + u * rows.step) * columns.kernel + columns.tap;
    for (int v = 0; v < columns.taps; ++v) {
      const int column = column_step + columns.origin - v * columns.back;
      if (unsigned(column) < unsigned(out_w))
        add_product(sum, load_pack<V>(dy + (line + column) * channels + channel),
                    load_pack<V>(w + std::int64_t{tap + v * columns.step} * channels + channel));
    }
  }
  store_sums(dx + std::int64_t{i} * V, sum);
}

// A block sums one tap over a range of `chunk` pixels, for `across` packs of channels (a power of two): its threads
// take every (256 / across)-th pixel, and their sums are added in order.
template <int V, class T, class R>
__global__ void __launch_bounds__(kConvBlock)
    conv_depthwise_weight_gradient_kernel(ConvDepthwise d, FastDivisor by_image, FastDivisor by_row, int pixels,
                                          int chunk, int across, int parts, const T* x, const T* dy, R* dw) {
  using A = Compute<T>;
  __shared__ __align__(16) A sums[kConvBlock * V];
  const int taps = d.kh * d.kw, rest = int(blockIdx.x) / parts, part = int(blockIdx.x) - rest * parts;
  const int range = rest / taps, tap = rest - range * taps, u = tap / d.kw, v = tap - u * d.kw;
  const int thread = int(threadIdx.x), lane = thread % across, step = kConvBlock / across;
  const int channel = (part * across + lane) * V;
  const int end = ::min(pixels, range * chunk + chunk);
  A sum[V] = {};
  if (channel < d.channels) {
    for (int i = range * chunk + thread / across; i < end; i += step) {
      const int image = int(by_image.divide(unsigned(i))), in_image = i - image * int(by_image.divisor);
      const int row = int(by_row.divide(unsigned(in_image))), column = in_image - row * int(by_row.divisor);
      const int h = row * d.stride_h - d.top + u * d.dilation_h, w = column * d.stride_w - d.left + v * d.dilation_w;
      if (unsigned(h) >= unsigned(d.h) || unsigned(w) >= unsigned(d.w)) continue;
      const std::int64_t place = (std::int64_t{image} * d.h + h) * d.w + w;
      add_product(sum, load_pack<V>(x + place * d.channels + channel),
                  load_pack<V>(dy + std::int64_t{i} * d.channels + channel));
    }
  }
#pragma unroll
  for (int e = 0; e < V; ++e) sums[e * kConvBlock + thread] = sum[e];
  __syncthreads();
  if (thread >= across || channel >= d.channels) return;
  for (int other = thread + across; other < kConvBlock; other += across)
#pragma unroll
    for (int e = 0; e < V; ++e) sum[e] += sums[e * kConvBlock + other];
  store_sums(dw + (std::int64_t{range} * taps + tap) * d.channels + channel, sum);
}

namespace detail {

// Enough for some 1024 blocks, and of 1024 pixels at least.
inline ConvRanges depthwise_ranges(const Conv2dShape& s) {
  const std::int64_t pixels = s.n * s.out_h() * s.out_w(), blocks = s.kh * s.kw * ((s.c_in + 127) / 128);
  return ConvRanges::of(pixels, std::min((1024 + blocks - 1) / blocks, pixels / 1024));
}
inline DepthwiseIndex depthwise_index(const char* name, std::int64_t images, std::int64_t rows, std::int64_t columns,
                                      std::int64_t packs) {
  const std::int64_t threads = images * rows * columns * packs;
  if (threads > INT32_MAX) throw_error({"[", name, "] ", threads, " packs of channels, up to 2^31 - 1 are possible"});
  return DepthwiseIndex::of(images, rows, columns, packs);
}

// `dw`: ranges.count arrays of dw's size, in its type or the type of sums.
template <class T, class R>
void launch_depthwise_weight_gradient(Stream& stream, const Conv2dShape& s, const T* x, const T* dy, R* dw,
                                      const ConvRanges& ranges) {
  constexpr const char* name = "conv2d_weight_gradient";
  const auto run = [&](auto width, auto kernel) {
    const std::int64_t packs = s.c_in / width;
    int across = 1;
    while (across < 32 && across < packs) across *= 2;
    const std::int64_t parts = (packs + across - 1) / across, blocks = parts * s.kh * s.kw * ranges.count;
    if (blocks > INT32_MAX) throw_error({"[", name, "] ", blocks, " blocks, and a GPU runs up to 2^31 - 1"});
    launch(stream, name, {unsigned(blocks), unsigned(kConvBlock)}, kernel, ConvDepthwise::of(s),
           FastDivisor::of(s.out_h() * s.out_w()), FastDivisor::of(s.out_w()), int(s.n * s.out_h() * s.out_w()),
           int(ranges.chunk), across, int(parts), x, dy, dw);
  };
  constexpr int V = kPackOf<T>;
  if (conv_in_packs<T>(s.c_in, s.c_in, {x, dy}) && aligned_for<kPackOf<R>>(dw))
    run(std::int64_t{V}, conv_depthwise_weight_gradient_kernel<V, T, R>);
  else
    run(std::int64_t{1}, conv_depthwise_weight_gradient_kernel<1, T, R>);
}

}  // namespace detail

// As the launchers of conv.cuh, for s.groups == s.c_in == s.c_out and no empty image.
template <class T>
void launch_conv_depthwise(Stream& stream, const Conv2dShape& s, const T* x, const T* w, T* y) {
  const bool packs = detail::conv_in_packs<T>(s.c_in, s.c_in, {x, w, y});
  const std::int64_t strips = (s.out_w() + kDepthwiseStrip - 1) / kDepthwiseStrip;
  const auto index = detail::depthwise_index("conv2d", s.n, s.out_h(), strips, s.c_in / (packs ? kPackOf<T> : 1));
  launch(stream, "conv2d", {blocks_for(index.count, kConvBlock), unsigned(kConvBlock)},
         packs ? conv_depthwise_kernel<kPackOf<T>, T> : conv_depthwise_kernel<1, T>, ConvDepthwise::of(s), index, x, w,
         y);
}
template <class T>
void launch_conv_depthwise_input_gradient(Stream& stream, const Conv2dShape& s, const T* dy, const T* w, T* dx) {
  constexpr const char* name = "conv2d_input_gradient";
  const bool packs = detail::conv_in_packs<T>(s.c_in, s.c_in, {dy, w, dx});
  const auto index = detail::depthwise_index(name, s.n, s.h, s.w, s.c_in / (packs ? kPackOf<T> : 1));
  launch(stream, name, {blocks_for(index.count, kConvBlock), unsigned(kConvBlock)},
         packs ? conv_depthwise_input_gradient_kernel<kPackOf<T>, T> : conv_depthwise_input_gradient_kernel<1, T>,
         ConvPhaseAxis::of(s.h, s.stride_h, s.pad_top, s.dilation_h, s.kh),
         ConvPhaseAxis::of(s.w, s.stride_w, s.pad_left, s.dilation_w, s.kw), int(s.out_h()), int(s.out_w()), index, dy,
         w, dx);
}

}  // namespace ergo::inline ERGO_BUILD::cuda
