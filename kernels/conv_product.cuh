// The three products of a two-dimensional convolution as implicit matrix products: which element of the image, the
// weights or the output's gradient an element of a factor is. Nothing is copied; a factor's element outside its image
// (padding, edges of tiles) is zero. With taps (u, v) of the kernel and channels c, o of one group:
//
//   forward          y (N OH OW, C_out)      = pixels of x (N OH OW, KH KW C_in)        weights (KH KW C_in, C_out)
//   input gradient   dx (N H W, C_in)        = pixels of dy (N H W, taps C_out)         weights (taps C_out, C_in)
//   weight gradient  dw (KH KW C_in, C_out)  = pixels of x (KH KW C_in, N OH OW)        dy (N OH OW, C_out)
//
// The input gradient is made of phases: pixels that agree modulo the stride see the same taps, so each phase is a dense
// convolution with stride 1 of those taps alone.
//
// An element's address is the sum of an offset that its row has and one that its column has, and its pixel the sum of
// two pairs of coordinates: a thread finds the part that its loop does not change once.
#pragma once

#include <algorithm>
#include <numeric>

#include "ergo/core/shape.hpp"
#include "ergo/cpu/conv2d_shape.hpp"
#include "ergo/kernels/common/pack.cuh"
#include "ergo/kernels/common/view.cuh"

namespace ergo::inline ERGO_BUILD::cuda {

using cpu::Conv2dShape;

// What a row or a column of a factor adds to the places of its elements: in images, and in plain matrices.
struct PixelPlace {
  std::int64_t offset;
  int h, w;
  static constexpr int kNoPixel = -(1 << 30);  // plus any valid coordinate: outside
  static __device__ __forceinline__ PixelPlace none() { return {0, kNoPixel, kNoPixel}; }
};
struct MatrixPlace {
  std::int64_t offset;
  static __device__ __forceinline__ MatrixPlace none() { return {-(std::int64_t{1} << 62)}; }
};

// V neighbours of a factor, or zeros.
template <int V, class T>
__device__ __forceinline__ Pack<T, V> load_or_zeros(bool there, const T* p) {
  if (there) return load_pack<V>(p);
  Pack<T, V> zeros;
#pragma unroll
  for (int e = 0; e < V; ++e) zeros[e] = narrow<T>(Compute<T>(0));
  return zeros;
}

// A factor made of images of h by w pixels, zero outside, and one that is a matrix.
template <class T>
struct PixelFactor {
  using Place = PixelPlace;
  const T* data;
  int h, w;
  __device__ __forceinline__ bool holds(const Place& a, const Place& b) const {
    return unsigned(a.h + b.h) < unsigned(h) && unsigned(a.w + b.w) < unsigned(w);
  }
};
template <class T>
struct MatrixFactor {
  using Place = MatrixPlace;
  const T* data;
  __device__ __forceinline__ bool holds(const Place& a, const Place& b) const { return a.offset + b.offset >= 0; }
};

// The pixels of x that an output pixel and a tap meet in.
struct ConvImage {
  int pixels, taps;                   // N OH OW; KH KW C_in of a group
  int h, w, channels;                 // of x
  int stride_h, stride_w, top, left;  // output pixel (i, j) begins at (i stride_h - top, j stride_w - left)
  int dilation_h, dilation_w, out_h;
  FastDivisor by_image, by_row, by_channels, by_kernel_row;  // OH OW, OW, C_in of a group, KW

  static ConvImage of(const Conv2dShape& s) {
    const std::int64_t channels = std::max<std::int64_t>(s.c_in / s.groups, 1);
    return {int(s.n * s.out_h() * s.out_w()),
            int(s.kh * s.kw * (s.c_in / s.groups)),
            int(s.h),
            int(s.w),
            int(s.c_in),
            int(s.stride_h),
            int(s.stride_w),
            int(s.pad_top),
            int(s.pad_left),
            int(s.dilation_h),
            int(s.dilation_w),
            int(s.out_h()),
            FastDivisor::of(s.out_h() * s.out_w()),
            FastDivisor::of(s.out_w()),
            FastDivisor::of(channels),
            FastDivisor::of(s.kw)};
  }
  __device__ __forceinline__ PixelPlace pixel(int i, int end) const {
    if (i >= end) return PixelPlace::none();
    const int image = int(by_image.divide(unsigned(i))), in_image = i - image * int(by_image.divisor);
    const int row = int(by_row.divide(unsigned(in_image))), column = in_image - row * int(by_row.divisor);
    const int y = row * stride_h - top, x = column * stride_w - left;
    return {((std::int64_t{image} * h + y) * w + x) * channels, y, x};
  }
  __device__ __forceinline__ PixelPlace tap(int k) const {
    if (k >= taps) return PixelPlace::none();
    const int at = int(by_channels.divide(unsigned(k))), channel = k - at * int(by_channels.divisor);
    const int u = int(by_kernel_row.divide(unsigned(at))), v = at - u * int(by_kernel_row.divisor);
    const int y = u * dilation_h, x = v * dilation_w;
    return {(std::int64_t{y} * w + x) * channels + channel, y, x};
  }
};

// What the kernels ask of a product y (m, n) = a (m, k) b (k, n): `select(z)` makes it its z-th part (a group, a phase,
// a range of k); then m, n, k_begin, k_end, the factors a and b with the places of their rows (of a: of y too; of b:
// the columns of y) and of k, whether neighbours in memory are neighbours in k, and where y's rows go (below 0:
// nowhere).
template <class T>
struct ForwardProduct {
  using Element = T;
  using Result = T;
  static constexpr bool kAlongKA = true, kAlongKB = false;

  ConvImage image;
  PixelFactor<T> a;
  MatrixFactor<T> b;
  T* y;
  int m, n, k_begin, k_end, c_out, group_in, group_out;

  static ForwardProduct of(const Conv2dShape& s, const T* x, const T* w, T* y) {
    const ConvImage image = ConvImage::of(s);
    const int per_group = int(s.c_out / s.groups);
    return {image,        {x, image.h, image.w},  {w},      y, image.pixels, per_group, 0, image.taps,
            int(s.c_out), int(s.c_in / s.groups), per_group};
  }
  __device__ __forceinline__ void select(int group) {
    a.data += std::int64_t{group} * group_in;
    b.data += std::int64_t{group} * group_out;
    y += std::int64_t{group} * group_out;
  }
  __device__ __forceinline__ PixelPlace row_of_a(int i) const { return image.pixel(i, m); }
  __device__ __forceinline__ PixelPlace k_of_a(int k) const { return image.tap(k); }
  __device__ __forceinline__ MatrixPlace row_of_b(int j) const { return j < n ? MatrixPlace{j} : MatrixPlace::none(); }
  __device__ __forceinline__ MatrixPlace k_of_b(int k) const {
    return k < k_end ? MatrixPlace{std::int64_t{k} * c_out} : MatrixPlace::none();
  }
  __device__ __forceinline__ std::int64_t row_of_y(int i) const { return i < m ? std::int64_t{i} * c_out : -1; }
};

// Partial sums over ranges of `chunk` pixels go to arrays of dw's size, one after another.
template <class T, class R>
struct WeightGradientProduct {
  using Element = T;
  using Result = R;
  static constexpr bool kAlongKA = false, kAlongKB = false;

  ConvImage image;
  PixelFactor<T> a;
  MatrixFactor<T> b;
  R* y;
  int m, n, k_begin, k_end, c_out, group_in, group_out, groups, chunk;

  static WeightGradientProduct of(const Conv2dShape& s, const T* x, const T* dy, R* dw, std::int64_t chunk) {
    const ConvImage image = ConvImage::of(s);
    const int per_group = int(s.c_out / s.groups);
    return {image,
            {x, image.h, image.w},
            {dy},
            dw,
            image.taps,
            per_group,
            0,
            image.pixels,
            int(s.c_out),
            int(s.c_in / s.groups),
            per_group,
            int(s.groups),
            int(chunk)};
  }
  __device__ __forceinline__ void select(int part) {
    const int range = part / groups, group = part - range * groups;
    a.data += std::int64_t{group} * group_in;
    b.data += std::int64_t{group} * group_out;
    y += std::int64_t{range} * m * c_out + std::int64_t{group} * group_out;
    k_begin = range * chunk;
    k_end = ::min(k_end, k_begin + chunk);
  }
  __device__ __forceinline__ PixelPlace row_of_a(int i) const { return image.tap(i); }
  __device__ __forceinline__ PixelPlace k_of_a(int k) const { return image.pixel(k, k_end); }
  __device__ __forceinline__ MatrixPlace row_of_b(int j) const { return j < n ? MatrixPlace{j} : MatrixPlace::none(); }
  __device__ __forceinline__ MatrixPlace k_of_b(int k) const {
    return k < k_end ? MatrixPlace{std::int64_t{k} * c_out} : MatrixPlace::none();
  }
  __device__ __forceinline__ std::int64_t row_of_y(int i) const { return i < m ? std::int64_t{i} * c_out : -1; }
};

namespace detail {

// Places in kernels are 32-bit numbers.
inline void check_conv(const char* name, const Conv2dShape& s) {
  const std::int64_t limit = (std::int64_t{1} << 31) - 512, pixel_limit = std::int64_t{1} << 30;
  const auto most = [](std::int64_t a, std::int64_t b) { return std::max(a, b); };
  const std::int64_t per_image = most(s.h * s.w, s.out_h() * s.out_w());
  const std::int64_t phases = std::min(s.stride_h, s.h) * std::min(s.stride_w, s.w);
  if (most(s.h + s.pad_top + s.pad_bottom, s.w + s.pad_left + s.pad_right) < pixel_limit && per_image < pixel_limit &&
      s.n * per_image < limit && s.kh * s.kw * most(s.c_in, s.c_out) < limit && phases * s.groups < limit)
    return;
  throw_error({"[", name, "] image ", Shape{s.n, s.h, s.w, s.c_in}, ", weight ",
               Shape{s.kh, s.kw, s.c_in / s.groups, s.c_out},
               ": more than 2^31 pixels, or weights of a channel, or 2^30 rows or columns with padding"});
}

// Whether packs of 16 bytes divide runs of `in` and `out` channels.
template <class T>
bool conv_in_packs(std::int64_t in, std::int64_t out, std::initializer_list<const T*> addresses) {
  constexpr int V = kPackOf<T>;
  bool fits = in % V == 0 && out % V == 0;
  for (const T* p : addresses) fits &= aligned_for<V>(p);
  return fits;
}

// Ranges of pixels whose sums of the weight gradient are taken apart, and how many these are.
struct ConvRanges {
  std::int64_t chunk, count;
  // At most `wanted`, of whole 32 pixels.
  static ConvRanges of(std::int64_t pixels, std::int64_t wanted) {
    wanted = std::max<std::int64_t>(wanted, 1);
    const std::int64_t chunk = std::max<std::int64_t>(((pixels + wanted - 1) / wanted + 31) / 32 * 32, 32);
    return {chunk, std::max<std::int64_t>((pixels + chunk - 1) / chunk, 1)};
  }
};

}  // namespace detail

}  // namespace ergo::inline ERGO_BUILD::cuda
