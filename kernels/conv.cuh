// Two-dimensional convolution (cross-correlation) of channels-last images and its two gradients: any kernel, stride,
// padding, dilation and groups. x is (N, H, W, C_in), weights (KH, KW, C_in / groups, C_out), y (N, OH, OW, C_out), all
// row-major without gaps:
//
//   y[n, i, j, o] = sum over u, v, c of x[n, i stride_h + u dilation_h - top, j stride_w + v dilation_w - left, c]
//                   w[u, v, c, o]
//
// Each is one implicit matrix product (conv_product.cuh) a group, without a copy of the image's patches, but for
// depthwise convolutions (conv_depthwise.cuh). Float and double by multiply-adds on tiles in shared memory
// (conv_tiles.cuh), read in packs of 16 bytes where a group's channels and all addresses allow, else element by
// element. 16-bit types accumulate in float and are rounded once. The weight gradient sums over N OH OW pixels in
// ranges, whose number the shape gives, and then over the ranges in order; all other sums are in order of taps and
// channels. So results repeat bit for bit. Zeros stand for pixels outside the image: there an infinite or NaN weight
// gives NaN.
#pragma once

#include "ergo/kernels/conv_depthwise.cuh"
#include "ergo/kernels/conv_phases.cuh"
#include "ergo/kernels/conv_tensor.cuh"

namespace ergo::inline ERGO_BUILD::cuda {

namespace detail {

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

// Enough for some 512 blocks, and of 512 pixels at least.
template <class T>
ConvRanges conv_ranges(const Conv2dShape& s) {
  const std::int64_t m = s.kh * s.kw * (s.c_in / s.groups), n = s.c_out / s.groups, k = s.n * s.out_h() * s.out_w();
  const std::int64_t tiles = std::max<std::int64_t>(conv_tiles(m, n, conv_tile<T>(m, n, s.groups)) * s.groups, 1);
  return ConvRanges::of(k, std::min((512 + tiles - 1) / tiles, k / 512));
}
// cpu::conv2d's choice as well.
inline bool is_depthwise(const Conv2dShape& s) { return cpu::detail::is_depthwise(s); }

}  // namespace detail

// y from x and the weights. One launch.
template <class T>
void launch_conv2d(Stream& stream, const Conv2dShape& s, const T* x, const T* w, T* y) {
  if (s.n == 0 || s.c_out == 0) return;
  detail::check_conv("conv2d", s);
  if (detail::is_depthwise(s)) return launch_conv_depthwise(stream, s, x, w, y);
  const auto product = ForwardProduct<T>::of(s, x, w, y);
  detail::launch_conv_product(stream, "conv2d", product, s.groups, detail::conv_tile<T>(product.m, product.n, s.groups),
                              detail::conv_in_packs<T>(s.c_in / s.groups, s.c_out / s.groups, {x, w, y}));
}

// dx from the output's gradient and the weights. One launch.
template <class T>
void launch_conv2d_input_gradient(Stream& stream, const Conv2dShape& s, const T* dy, const T* w, T* dx) {
  if (s.n == 0 || s.h == 0 || s.w == 0 || s.c_in == 0) return;
  detail::check_conv("conv2d_input_gradient", s);
  if (detail::is_depthwise(s)) return launch_conv_depthwise_input_gradient(stream, s, dy, w, dx);
  const auto product = InputGradientProduct<T>::of(s, dy, w, dx);
  const std::int64_t parts = s.groups * product.rows.phases * product.columns.phases;
  detail::launch_conv_product(stream, "conv2d_input_gradient", product, parts,
                              detail::conv_tile<T>(product.m, product.n, parts),
                              detail::conv_in_packs<T>(s.c_in / s.groups, s.c_out / s.groups, {dy, w, dx}));
}

// Bytes of device memory that the weight gradient works in, aligned as an allocation is; 0 for few pixels.
template <class T>
std::size_t conv2d_weight_gradient_workspace(const Conv2dShape& s) {
  const std::int64_t count = (detail::is_depthwise(s) ? detail::depthwise_ranges(s) : detail::conv_ranges<T>(s)).count;
  return count == 1 ? 0 : std::size_t(count * s.kh * s.kw * (s.c_in / s.groups) * s.c_out) * sizeof(Compute<T>);
}

// dw from x and the output's gradient. Two launches, or one where there is no workspace to sum.
template <class T>
void launch_conv2d_weight_gradient(Stream& stream, const Conv2dShape& s, const T* x, const T* dy, T* dw,
                                   void* workspace) {
  constexpr const char* name = "conv2d_weight_gradient";
  const std::int64_t in = s.c_in / s.groups, out = s.c_out / s.groups, size = s.kh * s.kw * in * s.c_out;
  if (size == 0) return;
  detail::check_conv(name, s);
  const bool depthwise = detail::is_depthwise(s);
  const auto ranges = depthwise ? detail::depthwise_ranges(s) : detail::conv_ranges<T>(s);
  const auto gradients = [&](auto* result) {
    using R = std::remove_pointer_t<decltype(result)>;
    if (depthwise) return detail::launch_depthwise_weight_gradient(stream, s, x, dy, result, ranges);
    const auto product = WeightGradientProduct<T, R>::of(s, x, dy, result, ranges.chunk);
    detail::launch_conv_product(stream, name, product, s.groups * ranges.count,
                                detail::conv_tile<T>(product.m, product.n, s.groups),
                                detail::conv_in_packs<T>(in, out, {x, dy, dw}));
  };
  if (ranges.count == 1) return gradients(dw);
  auto* const partial = static_cast<Compute<T>*>(workspace);
  gradients(partial);
  constexpr int V = kPackOf<Compute<T>>;
  const bool packs = size % V == 0 && aligned_for<V>(dw);
  launch(stream, name, {blocks_for(size, kConvBlock * (packs ? V : 1)), unsigned(kConvBlock)},
         packs ? conv_sum_kernel<V, T> : conv_sum_kernel<1, T>, partial, dw, size, int(ranges.count));
}

}  // namespace ergo::inline ERGO_BUILD::cuda
