// models::Mlp: dense layers with one activation between them (multi-layer perceptron).
#pragma once

#include "ergo/nn/linear.hpp"

namespace ergo::inline ERGO_BUILD {
namespace models {

template <class T>
struct Mlp {
  std::vector<nn::Linear<T>> layers;
  Activation activation = Activation::relu;  // after every layer but the last
  ERGO_FIELDS(Mlp, layers, activation)

  // x (..., in) to (..., out).
  Tensor<T> operator()(const Tensor<T>& x) const {
    if (layers.empty()) throw_error("[mlp] a network without layers");
    Tensor<T> h = x;
    for (std::size_t i = 0; i + 1 < layers.size(); ++i) h = layers[i](h, activation);
    return layers.back()(h);
  }
};

struct MlpOptions {
  bool bias = true;
};

}  // namespace models

namespace detail {

// The sizes of a chain of layers: at least two, all positive.
template <class Sizes>
std::vector<std::int64_t> chain_sizes(const char* op, const Sizes& sizes) {
  std::vector<std::int64_t> r;
  std::string text;
  bool positive = true;
  for (const auto n : sizes) {
    r.push_back(std::int64_t(n));
    text += (text.empty() ? "" : ", ") + std::to_string(n);
    positive = positive && n > 0;
  }
  if (r.size() < 2 || !positive)
    throw_error({"[", op, "] sizes {", text, "}: input, hidden layers, output; at least two, all positive"});
  return r;
}
// The gain that keeps the mean square of activations: 2 for relu and its kin in the square, else 1 (He et al. 2015).
inline double gain_before(Activation activation) {
  const bool half = activation == Activation::relu || activation == Activation::gelu ||
                    activation == Activation::gelu_tanh || activation == Activation::silu;
  return half ? 1.4142135623730951 : 1;
}

}  // namespace detail

namespace models {

// A network of sizes {in, hidden..., out}: weights N(0, 2 / in) before relu, gelu and silu, N(0, 1 / in) before others
// and at the end. An Error for fewer than two sizes or one that is not positive.
template <Floating T = float, Integer I = int>
Mlp<T> mlp(const Key& key, const std::vector<I>& sizes, Activation activation = Activation::relu,
           MlpOptions options = {}) {
  const auto n = detail::chain_sizes("mlp", sizes);
  Mlp<T> model{{}, activation};
  for (std::size_t i = 0; i + 1 < n.size(); ++i) {
    const double gain = i + 2 < n.size() ? detail::gain_before(activation) : 1;
    model.layers.push_back(nn::linear<T>(fold_in(key, i), n[i], n[i + 1], {.bias = options.bias, .gain = gain}));
  }
  return model;
}
template <Floating T = float, Integer I = int>
Mlp<T> mlp(const Key& key, std::initializer_list<I> sizes, Activation activation = Activation::relu,
           MlpOptions options = {}) {
  return mlp<T>(key, std::vector<I>(sizes), activation, options);
}

}  // namespace models
}  // namespace ergo::inline ERGO_BUILD
