// nn::LayerNorm: rows brought to mean 0 and variance 1, then scaled and shifted (Ba, Kiros & Hinton 2016).
#pragma once

#include "ergo/autograd/tree_walk.hpp"
#include "ergo/ops/normalization.hpp"

namespace ergo::inline ERGO_BUILD::nn {

template <class T>
struct LayerNorm {
  Tensor<T> weight;               // (n,), ones at first
  std::optional<Tensor<T>> bias;  // (n,), zeros at first
  double eps = 1e-5;
  ERGO_FIELDS(LayerNorm, weight, bias, eps)

  // Along the last axis of x (..., n).
  Tensor<T> operator()(const Tensor<T>& x) const {
    return ergo::layer_norm(x, weight, bias ? *bias : zeros_like(weight), {.eps = eps});
  }
};

struct LayerNormOptions {
  bool bias = true;
  double eps = 1e-5;
};

// For rows of n features. An Error if n is below 1 or eps is not above 0.
template <Floating T = float, Integer N>
LayerNorm<T> layer_norm(N n, LayerNormOptions options = {}) {
  const Shape shape{n};
  if (shape[0] < 1) throw_error({"[nn.layer_norm] ", shape[0], " features: the number must be positive"});
  if (!(options.eps > 0)) throw_error({"[nn.layer_norm] eps ", options.eps, " is not above 0"});
  LayerNorm<T> layer{ones<T>(shape), {}, options.eps};
  if (options.bias) layer.bias = zeros<T>(shape);
  return layer;
}

}  // namespace ergo::inline ERGO_BUILD::nn
