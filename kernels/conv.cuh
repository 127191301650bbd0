// Two-dimensional convolution (cross-correlation) of channels-last images and its two gradients: any kernel, stride,
// padding, dilation and groups. x is (N, H, W, C_in), weights (KH, KW, C_in / groups, C_out), y (N, OH, OW, C_out), all
// row-major without gaps:
//
//   y[n, i, j, o] = sum over u, v, c of x[n, i stride_h + u dilation_h - top, j stride_w + v dilation_w - left, c]
//                   w[u, v, c, o]
//
// Each is one implicit matrix product (conv_product.cuh) a group, without a copy of the image's patches. Float and
// double by multiply-adds on tiles in shared memory (conv_tiles.cuh), read in packs of 16 bytes where a group's
// channels and all addresses allow, else element by element. 16-bit types accumulate in float and are rounded once. The
// weight gradient sums over N OH OW pixels in ranges, whose number the shape gives, and then over the ranges in order;
// all other sums are in order of taps and channels. So results repeat bit for bit. Zeros stand for pixels outside the
// image: there an infinite or NaN weight gives NaN.
#pragma once

#include "ergo/kernels/conv_tensor.cuh"

namespace ergo::inline ERGO_BUILD::cuda {

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

// Whether packs of V elements divide all runs of channels.
template <int V>
bool conv_in_packs(const Conv2dShape& s, std::initializer_list<const void*> addresses, std::size_t element) {
  if (s.c_in / s.groups % V != 0 || s.c_out / s.groups % V != 0) return false;
  for (const void* p : addresses)
    if (reinterpret_cast<std::uintptr_t>(p) % (V * element) != 0) return false;
  return true;
}

// Rows and columns of a block's tile: the larger one if that leaves enough blocks for a large GPU.
struct ConvTileShape {
  int rows, columns;
};
constexpr std::int64_t conv_tiles(std::int64_t m, std::int64_t n, ConvTileShape t) {
  return (m + t.rows - 1) / t.rows * ((n + t.columns - 1) / t.columns);
}
template <class T>
ConvTileShape conv_tile(std::int64_t m, std::int64_t n, std::int64_t parts) {
  const bool large = sizeof(T) <= 4 && n > 64 && conv_tiles(m, n, {128, 128}) * parts >= 128;
  if (sizeof(T) == 2) return {kTensorRows, large ? 128 : 64};
  return large ? ConvTileShape{128, 128} : ConvTileShape{64, 64};
}

template <class P>
void launch_conv_tiles(Stream& stream, const char* name, const P& product, std::int64_t parts, ConvTileShape tile,
                       std::size_t smem, void (*kernel)(P, unsigned, unsigned)) {
  const std::int64_t tiles_m = blocks_for(product.m, tile.rows), tiles_n = blocks_for(product.n, tile.columns),
                     blocks = tiles_m * tiles_n * parts;
  if (blocks > INT32_MAX) throw_error({"[", name, "] ", blocks, " blocks, and a GPU runs up to 2^31 - 1"});
  launch(stream, name, {unsigned(blocks), unsigned(kConvBlock), smem}, kernel, product, unsigned(tiles_m),
         unsigned(tiles_n));
}
// `packs`: whether the kernel's packs of 16 bytes fit.
template <class P>
void launch_conv_product(Stream& stream, const char* name, const P& product, std::int64_t parts, ConvTileShape tile,
                         bool packs) {
  using T = typename P::Element;
  if constexpr (sizeof(T) == 2) {
    if (!packs)
      launch_conv_tiles(stream, name, product, parts, {64, 64}, 0, conv_tile_kernel<64, 1, P>);
    else if (tile.columns == 128)
      launch_conv_tiles(stream, name, product, parts, tile, TensorShape<128, P>::kBytes, conv_tensor_kernel<128, P>);
    else
      launch_conv_tiles(stream, name, product, parts, tile, TensorShape<64, P>::kBytes, conv_tensor_kernel<64, P>);
    return;
  } else if constexpr (sizeof(T) == 4) {
    if (tile.rows == 128) {
      launch_conv_tiles(stream, name, product, parts, tile, 0,
                        packs ? conv_tile_kernel<128, kPackOf<T>, P> : conv_tile_kernel<128, 1, P>);
      return;
    }
  }
  if constexpr (sizeof(T) > 2)
    launch_conv_tiles(stream, name, product, parts, tile, 0,
                      packs ? conv_tile_kernel<64, kPackOf<T>, P> : conv_tile_kernel<64, 1, P>);
}

// Ranges of pixels whose sums of the weight gradient are taken apart: enough for some 512 blocks, and of 512 pixels at
// least.
struct ConvRanges {
  std::int64_t chunk, count;
};
template <class T>
ConvRanges conv_ranges(const Conv2dShape& s) {
  const std::int64_t m = s.kh * s.kw * (s.c_in / s.groups), n = s.c_out / s.groups, k = s.n * s.out_h() * s.out_w();
  const std::int64_t tiles = std::max<std::int64_t>(conv_tiles(m, n, conv_tile<T>(m, n, s.groups)) * s.groups, 1);
  const std::int64_t wanted = std::max<std::int64_t>(std::min((512 + tiles - 1) / tiles, k / 512), 1);
  const std::int64_t chunk = std::max<std::int64_t>(((k + wanted - 1) / wanted + 31) / 32 * 32, 32);
  return {chunk, std::max<std::int64_t>((k + chunk - 1) / chunk, 1)};
}

}  // namespace detail

// y from x and the weights. One launch.
template <class T>
void launch_conv2d(Stream& stream, const Conv2dShape& s, const T* x, const T* w, T* y) {
  if (s.n == 0 || s.c_out == 0) return;
  detail::check_conv("conv2d", s);
  const auto product = ForwardProduct<T>::of(s, x, w, y);
  const bool packs = detail::conv_in_packs<kPackOf<T>>(s, {x, w, y}, sizeof(T));
  detail::launch_conv_product(stream, "conv2d", product, s.groups, detail::conv_tile<T>(product.m, product.n, s.groups),
                              packs);
}

// dx from the output's gradient and the weights. One launch.
template <class T>
void launch_conv2d_input_gradient(Stream& stream, const Conv2dShape& s, const T* dy, const T* w, T* dx) {
  if (s.n == 0 || s.h == 0 || s.w == 0 || s.c_in == 0) return;
  detail::check_conv("conv2d_input_gradient", s);
  const auto product = InputGradientProduct<T>::of(s, dy, w, dx);
  const std::int64_t parts = s.groups * product.rows.phases * product.columns.phases;
  const bool packs = detail::conv_in_packs<kPackOf<T>>(s, {dy, w, dx}, sizeof(T));
  detail::launch_conv_product(stream, "conv2d_input_gradient", product, parts,
                              detail::conv_tile<T>(product.m, product.n, parts), packs);
}

// Bytes of device memory that the weight gradient works in, aligned as an allocation is; 0 for few pixels.
template <class T>
std::size_t conv2d_weight_gradient_workspace(const Conv2dShape& s) {
  const std::int64_t count = detail::conv_ranges<T>(s).count;
  return count == 1 ? 0 : std::size_t(count * s.kh * s.kw * (s.c_in / s.groups) * s.c_out) * sizeof(Compute<T>);
}

// dw from x and the output's gradient. Two launches, or one where there is no workspace to sum.
template <class T>
void launch_conv2d_weight_gradient(Stream& stream, const Conv2dShape& s, const T* x, const T* dy, T* dw,
                                   void* workspace) {
  constexpr const char* name = "conv2d_weight_gradient";
  const std::int64_t size = s.kh * s.kw * (s.c_in / s.groups) * s.c_out;
  if (size == 0) return;
  detail::check_conv(name, s);
  constexpr int V = kPackOf<T>;
  const auto [chunk, count] = detail::conv_ranges<T>(s);
  const std::int64_t parts = s.groups * count;
  if (count == 1) {
    const auto product = WeightGradientProduct<T, T>::of(s, x, dy, dw, chunk);
    const bool packs = detail::conv_in_packs<V>(s, {x, dy, dw}, sizeof(T));
    detail::launch_conv_product(stream, name, product, parts, detail::conv_tile<T>(product.m, product.n, s.groups),
                                packs);
    return;
  }
  auto* const partial = static_cast<Compute<T>*>(workspace);
  const auto product = WeightGradientProduct<T, Compute<T>>::of(s, x, dy, partial, chunk);
  const bool packs = detail::conv_in_packs<V>(s, {x, dy, dw}, sizeof(T));
  detail::launch_conv_product(stream, name, product, parts, detail::conv_tile<T>(product.m, product.n, s.groups),
                              packs);
  constexpr int kSum = kPackOf<Compute<T>>;
  if (packs)
    launch(stream, name, {blocks_for(size, kConvBlock * kSum), unsigned(kConvBlock)}, conv_sum_kernel<kSum, T>, partial,
           dw, size, int(count));
  else
    launch(stream, name, {blocks_for(size, kConvBlock), unsigned(kConvBlock)}, conv_sum_kernel<1, T>, partial, dw, size,
           int(count));
}

}  // namespace ergo::inline ERGO_BUILD::cuda
