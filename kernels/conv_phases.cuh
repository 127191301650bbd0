// The input gradient of a convolution as a product of matrices (conv_product.cuh), by phases of its pixels.
#pragma once

#include "ergo/kernels/conv_product.cuh"

namespace ergo::inline ERGO_BUILD::cuda {

// One axis of a phase. Pixels first, first + stride, ... of dx see taps tap, tap + step, ... (taps of them): pixel l of
// the phase and its t-th tap meet in pixel l + origin - t back of dy.
struct ConvPhaseAxis {
  int extent, stride, padding, dilation, kernel;  // of dx's axis
  int phases, pixels, step, back, most_taps;
  int first, tap, taps, origin;  // of the selected phase

  static ConvPhaseAxis of(std::int64_t extent, std::int64_t stride, std::int64_t padding, std::int64_t dilation,
                          std::int64_t kernel) {
    const std::int64_t common = std::gcd(stride, dilation), step = stride / common;
    return {int(extent),
            int(stride),
            int(padding),
            int(dilation),
            int(kernel),
            int(std::min(stride, extent)),
            int((extent + stride - 1) / stride),
            int(step),
            int(dilation / common),
            int((kernel + step - 1) / step),
            0,
            0,
            0,
            0};
  }
  __device__ __forceinline__ void select(int phase) {
    first = phase;
    const int residue = (first + padding) % stride, end = ::min(step, kernel);
    tap = 0;
    while (tap < end && tap * dilation % stride != residue) ++tap;
    taps = tap < end ? (kernel - tap - 1) / step + 1 : 0;
    origin = (first + padding - tap * dilation) / stride;  // exact if there are taps
  }
};

template <class T>
struct InputGradientProduct {
  using Element = T;
  using Result = T;
  static constexpr bool kAlongKA = true, kAlongKB = true;

  ConvPhaseAxis rows, columns;
  PixelFactor<T> a;
  MatrixFactor<T> b;
  T* y;
  int m, n, k_begin, k_end, first_tap, c_in, c_out, group_in, group_out;
  FastDivisor by_image, by_row, by_channels, by_taps, by_fewer_taps;

  static InputGradientProduct of(const Conv2dShape& s, const T* dy, const T* w, T* dx) {
    const auto rows = ConvPhaseAxis::of(s.h, s.stride_h, s.pad_top, s.dilation_h, s.kh);
    const auto columns = ConvPhaseAxis::of(s.w, s.stride_w, s.pad_left, s.dilation_w, s.kw);
    const std::int64_t per_image = std::int64_t{rows.pixels} * columns.pixels;
    return {rows,
            columns,
            {dy, int(s.out_h()), int(s.out_w())},
            {w},
            dx,
            int(s.n * per_image),
            int(s.c_in / s.groups),
            0,
            0,
            0,
            int(s.c_in),
            int(s.c_out),
            int(s.c_in / s.groups),
            int(s.c_out / s.groups),
            FastDivisor::of(per_image),
            FastDivisor::of(columns.pixels),
            FastDivisor::of(std::max<std::int64_t>(s.c_out / s.groups, 1)),
            FastDivisor::of(columns.most_taps),
            FastDivisor::of(std::max(columns.most_taps - 1, 1))};
  }
  __device__ __forceinline__ void select(int part) {
    const int row = part / columns.phases, group = row / rows.phases;
    columns.select(part - row * columns.phases);
    rows.select(row - group * rows.phases);
    a.data += std::int64_t{group} * group_out;
    b.data += std::int64_t{group} * group_out;
    y += std::int64_t{group} * group_in;
    k_end = rows.taps * columns.taps * group_out;
    first_tap = rows.tap * columns.kernel + columns.tap;
  }
  // A pixel of the phase by its coordinates there; false outside dx.
  __device__ __forceinline__ bool find(int i, int& image, int& row, int& column) const {
    image = int(by_image.divide(unsigned(i)));
    const int in_image = i - image * int(by_image.divisor);
    row = int(by_row.divide(unsigned(in_image)));
    column = in_image - row * int(by_row.divisor);
    return i < m && rows.first + row * rows.stride < rows.extent &&
           columns.first + column * columns.stride < columns.extent;
  }
  __device__ __forceinline__ PixelPlace row_of_a(int i) const {
    int image, row, column;
    if (!find(i, image, row, column)) return PixelPlace::none();
    const int y_of = row + rows.origin, x_of = column + columns.origin;
    return {((std::int64_t{image} * a.h + y_of) * a.w + x_of) * c_out, y_of, x_of};
  }
  __device__ __forceinline__ void find_tap(int k, int& u, int& v, int& channel) const {
    const unsigned at = by_channels.divide(unsigned(k));
    channel = k - int(at * by_channels.divisor);
    u = int(columns.taps == columns.most_taps ? by_taps.divide(at) : by_fewer_taps.divide(at));
    v = int(at) - u * columns.taps;
  }
  __device__ __forceinline__ PixelPlace k_of_a(int k) const {
    if (k >= k_end) return PixelPlace::none();
    int u, v, channel;
    find_tap(k, u, v, channel);
    const int y_of = -u * rows.back, x_of = -v * columns.back;
    return {(std::int64_t{y_of} * a.w + x_of) * c_out + channel, y_of, x_of};
  }
  __device__ __forceinline__ MatrixPlace row_of_b(int j) const {
    return j < n ? MatrixPlace{std::int64_t{j} * c_out} : MatrixPlace::none();
  }
  __device__ __forceinline__ MatrixPlace k_of_b(int k) const {
    if (k >= k_end) return MatrixPlace::none();
    int u, v, channel;
    find_tap(k, u, v, channel);
    const int tap = first_tap + u * rows.step * columns.kernel + v * columns.step;
    return {std::int64_t{tap} * group_in * c_out + channel};
  }
  __device__ __forceinline__ std::int64_t row_of_y(int i) const {
    int image, row, column;
    if (!find(i, image, row, column)) return -1;
    const std::int64_t at = (std::int64_t{image} * rows.extent + rows.first + row * rows.stride) * columns.extent;
    return (at + columns.first + column * columns.stride) * c_in;
  }
};

}  // namespace ergo::inline ERGO_BUILD::cuda
