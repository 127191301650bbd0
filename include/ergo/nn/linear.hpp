// nn::Linear: a dense layer, x w + b. Makers are lower-case functions; weights are N(0, gain^2 / in), biases 0.
#pragma once

#include "ergo/nn/init.hpp"
#include "ergo/ops/matmul.hpp"

namespace ergo::inline ERGO_BUILD::nn {

template <class T>
struct Linear {
  Tensor<T> weight;               // (in, out)
  std::optional<Tensor<T>> bias;  // (out,)
  ERGO_FIELDS(Linear, weight, bias)

  // x w + b: x (..., in) gives (..., out).
  Tensor<T> operator()(const Tensor<T>& x) const {
    return bias ? ergo::linear(x, weight, *bias) : ergo::linear(x, weight);
  }
  // activation(x w + b).
  ERGO_INLINE Tensor<T> operator()(const Tensor<T>& x, Activation activation) const {
    return activate((*this)(x), activation);
  }
};

struct LinearOptions {
  bool bias = true;
  double gain = 1;
};

// A layer from `in` to `out` features. An Error if one of them is below 1.
template <Floating T = float, Integer I, Integer O>
Linear<T> linear(const Key& key, I in, O out, LinearOptions options = {}) {
  const Shape shape{in, out};
  if (shape[0] < 1 || shape[1] < 1) throw_error({"[nn.linear] weight ", shape, ": an extent is below 1"});
  Linear<T> layer{init::scaled_normal<T>(key, shape, options.gain), {}};
  if (options.bias) layer.bias = zeros<T>(Shape{out});
  return layer;
}

}  // namespace ergo::inline ERGO_BUILD::nn
