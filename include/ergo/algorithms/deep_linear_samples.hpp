// Deep networks of the same theory on data sets (Saxe, McClelland, Ganguli 2013, sections 2 and 3): the second moments
// of labelled samples, which are all that a linear network learns from, and full-batch training on samples for
// networks with a nonlinearity, whose modes can only be watched.
#pragma once

#include "ergo/algorithms/deep_linear.hpp"
#include "ergo/ops/indexing.hpp"

namespace ergo::inline ERGO_BUILD::deep_linear {

// Sums over samples: sigma11 = sum x x', (in, in) or its eigenvalues (in,); sigma31 = sum y x', (out, in).
struct Moments {
  Tensor<double> sigma11, sigma31;
};

// The moments of labelled samples x (N, ...), labels (N,) in [0, classes): features minus their mean, one-hot labels
// minus the frequencies of the classes.
template <Floating T, Index L>
Moments class_moments(const Tensor<T>& samples, const Tensor<L>& labels, int classes) {
  if (samples.rank() < 2 || labels.shape() != samples.shape().first(1) || labels.numel() == 0)
    detail::fail("class_moments", {"samples ", samples.shape(), " and labels ", labels.shape(),
                                   ": (N, ...) and (N,), N > 0, are expected"});
  const std::int64_t n = labels.numel(), features = samples.numel() / n, block = 4096;
  const Tensor<T> rows = reshape(samples, {n, features});
  Tensor<double> s11 = zeros<double>({features, features}), s31 = zeros<double>({classes, features}),
                 total = zeros<double>({1, features}), counts = zeros<double>({1, classes});
  for (std::int64_t at = 0; at < n; at += block) {
    const auto x = cast<double>(slice(rows, 0, at, at + block));
    const auto y = one_hot<double>(slice(labels, 0, at, at + block), classes);
    s11 = s11 + matmul(transpose(x), x);
    s31 = s31 + matmul(transpose(y), x);
    total = total + sum(x, 0, true);
    counts = counts + sum(y, 0, true);
  }
  const double count = double(n);
  return {s11 - matmul(transpose(total), total) / count, s31 - matmul(transpose(counts), total) / count};
}

// The same task with its inputs in the basis of sigma11's eigenvectors, where sigma11 is (in,).
inline Moments in_eigenbasis(const Moments& m) {
  detail::check_moments("in_eigenbasis", m.sigma11, m.sigma31);
  if (m.sigma11.rank() == 1) return m;
  const auto eigen = linalg::eigh(m.sigma11);
  return {maximum(eigen.values, 0.0), matmul(m.sigma31, eigen.vectors)};  // rounding may leave -1e-10
}

// Full-batch gradient descent on half the square error, sum |net(x) - y|^2 / 2, of inputs (N, in) and targets (N, out),
// in place; any activation. The strength of a mode is that of the correlations which the network expresses,
// diag(U' (sum net(x) x') V): for orthonormal inputs and a linear network what `train` records.
template <Floating T>
Curve train_on_samples(models::LinearNet<T>& net, const Tensor<T>& inputs, const Tensor<T>& targets,
                       TrainOptions options) {
  if (inputs.rank() != 2 || targets.rank() != 2 || inputs.shape()[0] != targets.shape()[0])
    detail::fail("train_on_samples",
                 {"inputs ", inputs.shape(), " and targets ", targets.shape(), ": (N, in) and (N, out) are expected"});
  if (options.steps < 0 || options.record_every < 1)
    detail::fail("train_on_samples", "steps must not be negative, record_every at least 1");
  const Modes m = modes(cast<double>(matmul(transpose(targets), inputs)));
  const Tensor<T> u = cast<T>(m.u), seen = matmul(inputs, cast<T>(m.v));  // (out, k), (N, k)
  const auto loss = [&](const models::LinearNet<T>& n) {
    const Tensor<T> y = n(inputs);
    return std::pair{T(0.5) * sum(square(y - targets)), y};
  };
  Curve curve;
  std::vector<Tensor<double>> strengths;
  optim::Sgd<models::LinearNet<T>> sgd(net, {.lr = options.lr});
  for (std::int64_t step = 0; step <= options.steps; ++step) {
    const auto [value, gradient] = value_and_grad(loss)(net);
    if (step % options.record_every == 0 || step == options.steps) {
      curve.step.push_back(step);
      curve.loss.push_back(double(value.first.item()));
      strengths.push_back(cast<double>(sum(matmul(value.second, u) * seen, 0)));
      if (!std::isfinite(curve.loss.back()))
        detail::fail("train_on_samples", {"the loss is not finite at step ", step, " with learning rate ", options.lr});
    }
    if (step < options.steps) sgd.step(net, gradient);
  }
  curve.strength = stack(strengths);
  return curve;
}

}  // namespace ergo::inline ERGO_BUILD::deep_linear
