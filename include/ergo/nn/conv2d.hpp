// nn::Conv2d: a convolution of channels-last images. Weights are N(0, gain^2 / in), in = KH KW C_in / groups, biases 0;
// the default gain, the root of 2, is the one before relu (He et al. 2015).
#pragma once

#include "ergo/nn/init.hpp"
#include "ergo/ops/convolution.hpp"
#include "ergo/ops/matmul.hpp"

namespace ergo::inline ERGO_BUILD {

template <>
inline constexpr bool detail::is_static<Conv2dOptions> = true;

namespace nn {

template <class T>
struct Conv2d {
  Tensor<T> weight;               // (KH, KW, C_in / groups, C_out)
  std::optional<Tensor<T>> bias;  // (C_out,)
  ergo::Conv2dOptions options;    // stride, padding, dilation, groups
  ERGO_FIELDS(Conv2d, weight, bias, options)

  // x * w + b: x (N, H, W, C_in) gives (N, OH, OW, C_out); without N one image.
  Tensor<T> operator()(const Tensor<T>& x) const {
    Tensor<T> y = ergo::conv2d(x, weight, options);
    if (bias) y = std::move(y) + *bias;
    return y;
  }
  // activation(x * w + b).
  ERGO_INLINE Tensor<T> operator()(const Tensor<T>& x, Activation activation) const {
    return activate((*this)(x), activation);
  }
};

struct Conv2dOptions {
  Spatial stride = 1;
  Padding2d padding = 0;  // a number, {rows, columns}, {{top, bottom}, {left, right}}, or Padding::same
  Spatial dilation = 1;
  std::int64_t groups = 1;
  bool bias = true;
  double gain = 1.4142135623730951;
};

// A layer from c_in to c_out channels with a kernel of one size or {rows, columns}. An Error if a size is below 1 or
// the groups do not divide both numbers of channels.
template <Floating T = float, Integer I, Integer O>
Conv2d<T> conv2d(const Key& key, I c_in, O c_out, Spatial kernel, Conv2dOptions options = {}) {
  const Shape channels{c_in, c_out};
  const std::int64_t groups = options.groups;
  if (channels[0] < 1 || channels[1] < 1 || kernel.h < 1 || kernel.w < 1)
    throw_error({"[nn.conv2d] kernel ", Shape{kernel.h, kernel.w}, ", channels ", channels, ": a size is below 1"});
  if (groups < 1 || channels[0] % groups != 0 || channels[1] % groups != 0)
    throw_error({"[nn.conv2d] channels ", channels, ": ", groups, " groups do not divide them"});
  const Shape shape{kernel.h, kernel.w, channels[0] / groups, channels[1]};
  Conv2d<T> layer{init::scaled_normal<T>(key, shape, options.gain),
                  {},
                  {options.stride, options.padding, options.dilation, groups}};
  if (options.bias) layer.bias = zeros<T>(Shape{c_out});
  return layer;
}

}  // namespace nn
}  // namespace ergo::inline ERGO_BUILD
