// models::LinearNet: a chain of weight matrices without biases, the deep linear network of Saxe, McClelland & Ganguli
// (2013), x_{l+1} = gain phi(x_l) W_l in this library's (in, out) convention, phi the identity unless another is
// chosen.
#pragma once

#include "ergo/models/mlp.hpp"

namespace ergo::inline ERGO_BUILD::models {

template <class T>
struct LinearNet {
  std::vector<Tensor<T>> weights;            // (in, out) each
  Activation activation = Activation::none;  // of the hidden layers
  double gain = 1;                           // of every layer
  ERGO_FIELDS(LinearNet, weights, activation, gain)

  // x (..., in) to (..., out).
  Tensor<T> operator()(const Tensor<T>& x) const {
    if (weights.empty()) throw_error("[linear_net] a network without layers");
    Tensor<T> h = x;
    for (std::size_t l = 0; l < weights.size(); ++l) {
      h = ergo::linear(h, weights[l]);
      if (gain != 1) h = gain * std::move(h);
      if (l + 1 < weights.size()) h = activate(std::move(h), activation);
    }
    return h;
  }
};

// How the weights begin: Haar orthogonal (columns or rows orthonormal), or N(0, 1 / in); both times `scale`.
enum class Start { orthogonal, gaussian };

struct LinearNetOptions {
  Activation activation = Activation::none;
  double gain = 1;
  Start start = Start::orthogonal;
  double scale = 1;
};

// A network of sizes {in, hidden..., out}. An Error for fewer than two sizes or one that is not positive.
template <Floating T = float, Integer I = int>
LinearNet<T> linear_net(const Key& key, const std::vector<I>& sizes, LinearNetOptions options = {}) {
  const auto n = detail::chain_sizes("linear_net", sizes);
  LinearNet<T> net{{}, options.activation, options.gain};
  for (std::size_t l = 0; l + 1 < n.size(); ++l) {
    const Shape shape{n[l], n[l + 1]};
    const Key own = fold_in(key, l);
    net.weights.push_back(options.start == Start::orthogonal ? nn::init::orthogonal<T>(own, shape, options.scale)
                                                             : nn::init::scaled_normal<T>(own, shape, options.scale));
  }
  return net;
}
template <Floating T = float, Integer I = int>
LinearNet<T> linear_net(const Key& key, std::initializer_list<I> sizes, LinearNetOptions options = {}) {
  return linear_net<T>(key, std::vector<I>(sizes), options);
}

}  // namespace ergo::inline ERGO_BUILD::models
