// Depth and isometry in deep linear networks (Saxe, McClelland, Ganguli 2013, sections 3 and 4): how many steps
// networks of many layers need, at which learning rate, from which start; greedy pretraining; and the singular values
// that decide.
#pragma once

#include "ergo/algorithms/deep_linear.hpp"

namespace ergo::inline ERGO_BUILD::deep_linear {

struct DepthOptions {
  double threshold = 0.05;  // of the excess loss of the zero map, which has learned nothing: one bar for all starts
  std::int64_t max_steps = 1500;
};

// The fewest steps until the excess loss falls to the threshold, and the learning rate of that run; steps = -1 if none
// got there.
struct Fastest {
  std::int64_t steps = -1;
  double lr = 0;
};

// Trains copies of one network at many learning rates at once, the rates as one leading axis, until the first reaches
// the threshold: the loss is weighted by the rates, so one `grad` and one Sgd step of rate 1 serve all. A run that
// diverges is not finite and does not disturb the others.
template <Floating T>
Fastest fastest(const models::LinearNet<T>& net, const Tensor<double>& sigma11, const Tensor<double>& sigma31,
                const std::vector<double>& learning_rates, DepthOptions options = {}) {
  detail::check_moments("fastest", sigma11, sigma31);
  detail::check_network("fastest", net, sigma31, modes(sigma31));
  const auto runs = std::int64_t(learning_rates.size());
  if (runs == 0) detail::fail("fastest", "no learning rate is given");
  for (double lr : learning_rates) detail::check_positive("fastest", "learning rate", lr);
  const Tensor<T> s11 = cast<T>(sigma11), s13 = cast<T>(transpose(sigma31));
  const Tensor<T> rates = cast<T>(from_span<double>(learning_rates, {runs}));
  const double least = detail::least_moment_loss(sigma11, sigma31);

  models::LinearNet<T> copies =
      tree::map([&](const Tensor<T>& w) { return broadcast_to(w, Shape{runs} + w.shape()).contiguous(); }, net);
  const auto loss = [&](const models::LinearNet<T>& n) {
    const Tensor<T> each = detail::moment_loss(product(n), s11, s13);  // (runs,)
    return std::pair{sum(each * rates), each};
  };
  optim::Sgd<models::LinearNet<T>> sgd(copies, {.lr = 1});
  const double goal = -least * options.threshold;
  for (std::int64_t step = 0; step <= options.max_steps; ++step) {
    const auto [value, gradient] = value_and_grad(loss)(copies);
    const std::vector<T> each = value.second.to_vector();
    Fastest best;
    double lowest = goal;
    bool alive = false;
    for (std::size_t r = 0; r < each.size(); ++r) {
      const double excess = double(each[r]) - least;
      alive = alive || std::isfinite(excess);
      if (excess <= lowest) {
        lowest = excess;
        best = {step, learning_rates[r]};
      }
    }
    if (best.steps >= 0) return best;
    if (!alive) return {};
    sgd.step(copies, gradient);
  }
  return {};
}

struct PretrainOptions {
  double lr = 0.1;
  std::int64_t steps = 200;
};
template <class T>
struct Pretrained {
  models::LinearNet<T> net;
  std::int64_t steps;  // of all layers together
};

// Greedy layer-wise pretraining: each weight but the last becomes the encoder of a linear autoencoder of the
// activations below it, h -> h W D, trained by gradient descent from the network's own weight and its transpose; xs
// (samples, in).
template <Floating T>
Pretrained<T> pretrain_greedily(models::LinearNet<T> net, const Tensor<T>& xs, PretrainOptions options = {}) {
  if (net.weights.empty() || xs.rank() != 2 || xs.shape()[1] != net.weights[0].shape()[0])
    detail::fail("pretrain_greedily", {"inputs ", xs.shape(), " do not fit the network"});
  std::int64_t steps = 0;
  Tensor<T> moments = matmul(transpose(xs), xs) / T(xs.shape()[0]);  // of the activations, (n, n)
  for (std::size_t l = 0; l + 1 < net.weights.size(); ++l) {
    std::pair<Tensor<T>, Tensor<T>> pair{net.weights[l], transpose(net.weights[l]).contiguous()};
    const Tensor<T> one = eye<T>(moments.shape()[0]);
    const auto loss = [&](const std::pair<Tensor<T>, Tensor<T>>& p) {
      const Tensor<T> rest = one - matmul(p.first, p.second);
      return T(0.5) * sum(matmul(transpose(rest), matmul(moments, rest)) * one);
    };
    optim::Sgd<std::pair<Tensor<T>, Tensor<T>>> sgd(pair, {.lr = options.lr});
    for (std::int64_t i = 0; i < options.steps; ++i, ++steps) {
      const auto [value, gradient] = value_and_grad(loss)(pair);
      if (!std::isfinite(double(value.item())))
        detail::fail("pretrain_greedily",
                     {"the loss of layer ", l, " is not finite at step ", i, " with learning rate ", options.lr});
      sgd.step(pair, gradient);
    }
    net.weights[l] = pair.first;
    moments = matmul(transpose(pair.first), matmul(moments, pair.first));
  }
  return {std::move(net), steps};
}

// The singular values of the network's Jacobian at x (in,), descending: batched forward derivatives, then a
// decomposition.
template <class Net, Floating T>
Tensor<double> jacobian_singular_values(const Net& net, const Tensor<T>& x) {
  if (x.rank() != 1) detail::fail("jacobian_singular_values", {x.shape(), ": one input (in,) is expected"});
  const auto along = vmap([&](const Tensor<T>& direction) { return jvp(net)(x, direction).second; });
  return linalg::svdvals(cast<double>(along(eye<T>(x.shape()[0]))));
}

}  // namespace ergo::inline ERGO_BUILD::deep_linear
