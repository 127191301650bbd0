// Deep linear networks (Saxe, McClelland, Ganguli 2013, arXiv 1312.6120): exact learning dynamics, and the experiments
// that hold real networks against them. Closed forms are in deep_linear_theory.hpp, depth and isometry in
// deep_linear_depth.hpp; here the modes of a task, decoupled starts, and training by plain gradient descent.
//
// The paper writes y = W_L ... W_1 x with columns; weights here are (in, out), so its W_l is our weight l transposed,
// and its Sigma31 = sum of y x' is (out, in).
#pragma once

#include "ergo/algorithms/deep_linear_theory.hpp"
#include "ergo/autograd/transforms.hpp"
#include "ergo/linalg/eigh.hpp"
#include "ergo/linalg/svd.hpp"
#include "ergo/models/linear_net.hpp"
#include "ergo/ops/diagonal.hpp"
#include "ergo/ops/extremum.hpp"
#include "ergo/ops/joining.hpp"
#include "ergo/ops/movement.hpp"
#include "ergo/ops/reduction.hpp"
#include "ergo/ops/slicing.hpp"
#include "ergo/optim/sgd.hpp"

namespace ergo::inline ERGO_BUILD::deep_linear {

// Sigma31 = u diag(s) v': what there is to learn. u (out, k), s (k,) descending, v (in, k).
struct Modes {
  Tensor<double> u, s, v;
};

// The modes of the input-output correlations (out, in), those above `cutoff` times the strongest.
inline Modes modes(const Tensor<double>& sigma31, double cutoff = 1e-10) {
  const auto [u, s, vt] = linalg::svd(sigma31);
  const std::vector<double> all = s.to_vector();
  std::int64_t k = 0;
  while (k < std::int64_t(all.size()) && all[std::size_t(k)] > cutoff * all[0]) ++k;
  if (k == 0) detail::fail("modes", "the correlations are zero: nothing to learn");
  return {slice(u, 1, 0, k), slice(s, 0, 0, k), transpose(slice(vt, 0, 0, k))};
}

// The product of all weights, (in, out): the paper's W transposed. Multiplied from the narrower end, so that the chain
// carries the smaller matrix.
template <class T>
Tensor<T> product(const models::LinearNet<T>& net) {
  if (net.weights.empty()) detail::fail("product", "a network without layers");
  const auto& w = net.weights;
  const bool from_front = w.front().shape()[-2] <= w.back().shape()[-1];
  Tensor<T> p = from_front ? w.front() : w.back();
  for (std::size_t l = 1; l < w.size(); ++l) p = from_front ? matmul(p, w[l]) : matmul(w[w.size() - 1 - l], p);
  return p;
}

// How strongly a network's map expresses each mode, diag(U' W V), and the largest entry off that diagonal.
struct Projection {
  Tensor<double> strength;  // (k,)
  double off_diagonal;
};
template <class T>
Projection project(const models::LinearNet<T>& net, const Modes& m) {
  const Tensor<double> p = matmul(matmul(transpose(m.v), cast<double>(product(net))), m.u);  // (k, k): (U' W V)'
  const Tensor<double> strength = diagonal(p);
  return {strength.contiguous(), max(abs(p - diag(strength))).item()};
}

// Weights that couple each mode to one hidden unit direction alone: R_l D R_{l+1}' with R_1 = V, the last R = U, the
// others random orthonormal frames, and D^(layers - 1) = u0. An Error if a layer is narrower than the number of modes.
template <Floating T = double, Integer I = std::int64_t>
models::LinearNet<T> decoupled(const Key& key, const Modes& m, const std::vector<I>& sizes, double u0) {
  const std::int64_t k = m.s.numel();
  const std::size_t layers = sizes.size();
  detail::check_positive("decoupled", "u0", u0);
  if (layers < 3) detail::fail("decoupled", {layers, " sizes: at least input, hidden, output"});
  if (std::int64_t(sizes[0]) != m.v.shape()[0] || std::int64_t(sizes[layers - 1]) != m.u.shape()[0])
    detail::fail("decoupled", {"sizes from ", sizes[0], " to ", sizes[layers - 1], ", the task goes from ",
                               m.v.shape()[0], " to ", m.u.shape()[0]});
  const double d = std::pow(u0, 1 / double(layers - 1));
  models::LinearNet<T> net;
  Tensor<double> left = m.v;
  for (std::size_t l = 0; l + 1 < layers; ++l) {
    const auto width = std::int64_t(sizes[l + 1]);
    if (width < k) detail::fail("decoupled", {"layer ", l + 1, " has ", width, " units for ", k, " modes"});
    const Tensor<double> right = l + 2 == layers ? m.u : nn::init::orthogonal<double>(fold_in(key, l), {width, k});
    net.weights.push_back(cast<T>(d * matmul(left, transpose(right))));
    left = right;
  }
  return net;
}

// a^2 - b^2 of each mode of a three-layer network: a the mode's weights into the hidden layer, b those out of it.
// Gradient flow conserves it; gradient descent moves it by O(lr).
template <class T>
std::vector<double> conserved(const models::LinearNet<T>& net, const Modes& m) {
  if (net.weights.size() != 2) detail::fail("conserved", "the quantity belongs to networks of three layers");
  const Tensor<double> a = matmul(transpose(m.v), cast<double>(net.weights[0])),
                       b = matmul(cast<double>(net.weights[1]), m.u);
  return (sum(square(a), 1) - sum(square(b), 0)).to_vector();
}

struct TrainOptions {
  double lr = 1e-3;
  std::int64_t steps = 1000;
  std::int64_t record_every = 1;
};

// What a run recorded: at each `step` the modes' strengths (records, k) and the loss in excess of the least-squares
// one.
struct Curve {
  std::vector<std::int64_t> step;
  Tensor<double> strength;
  std::vector<double> loss;
  std::string warning;  // not empty: the learning rate exceeds what is stable where the modes are learned

  // The first time, linearly between records, at which mode k reaches `level`; -1 if it does not.
  double time_of(std::int64_t k, double level) const {
    const std::vector<double> u = strength.to_vector();
    const auto modes = std::size_t(strength.shape()[1]);
    for (std::size_t i = 1; i < step.size(); ++i) {
      const double before = u[(i - 1) * modes + std::size_t(k)], now = u[i * modes + std::size_t(k)];
      if (now >= level && before < level)
        return double(step[i - 1]) + double(step[i] - step[i - 1]) * (level - before) / (now - before);
    }
    return -1;
  }
};

namespace detail {

// The loss of the map p (..., in, out) on the second moments: tr(p' S11 p)/2 - tr(S31 p), (...). Up to a constant it is
// half the mean square error's sum, and all that full-batch learning of a linear network sees of the data. In the basis
// of its eigenvectors S11 may be given as its eigenvalues (in,).
template <class T>
Tensor<T> moment_loss(const Tensor<T>& p, const Tensor<T>& sigma11, const Tensor<T>& sigma31_transposed) {
  const Tensor<T> moved = sigma11.rank() == 1 ? expand_dims(sigma11, -1) * p : matmul(sigma11, p);
  return sum((T(0.5) * moved - sigma31_transposed) * p, {-1, -2});
}

// The least value of moment_loss: -|S31 S11^(-1/2)|^2 / 2 over the span of S11.
inline double least_moment_loss(const Tensor<double>& sigma11, const Tensor<double>& sigma31) {
  Tensor<double> values = sigma11, correlations = sigma31;
  if (sigma11.rank() == 2) {
    const auto eigen = linalg::eigh(sigma11);
    values = eigen.values;
    correlations = matmul(sigma31, eigen.vectors);
  }
  const std::vector<double> lambda = values.to_vector(), power = sum(square(correlations), 0).to_vector();
  const double largest = max(values).item();
  double least = 0;
  for (std::size_t i = 0; i < lambda.size(); ++i)
    if (lambda[i] > 1e-10 * largest) least -= power[i] / lambda[i] / 2;
  return least;
}

ERGO_ONCE void check_moments(const char* function, const Tensor<double>& sigma11, const Tensor<double>& sigma31) {
  const std::string shapes = to_string(sigma11.shape()) + " and " + to_string(sigma31.shape());
  const bool diagonal = sigma11.rank() == 1, square = sigma11.rank() == 2 && sigma11.shape()[0] == sigma11.shape()[1];
  if (!(diagonal || square) || sigma31.rank() != 2 || sigma31.shape()[1] != sigma11.shape()[0])
    fail(function, {shapes, ": Sigma11 (in, in), or its eigenvalues (in,), and Sigma31 (out, in) are expected"});
  const double size = max(abs(sigma11)).item();
  if (diagonal && min(sigma11).item() < -1e-8 * size) fail(function, {shapes, ": Sigma11 has a negative eigenvalue"});
  if (diagonal) return;
  if (!(max(abs(sigma11 - transpose(sigma11))).item() <= 1e-8 * size))
    fail(function, {shapes, ": Sigma11 is not symmetric"});
  if (linalg::eigvalsh(sigma11).at({0}) < -1e-8 * size) fail(function, {shapes, ": Sigma11 has a negative eigenvalue"});
}

// The sign of the determinant of a square matrix, 0 if it is singular to working precision.
inline int determinant_sign(const Tensor<double>& matrix) {
  const std::int64_t n = matrix.shape()[0];
  std::vector<double> a = matrix.to_vector();
  const auto at = [&](std::int64_t i, std::int64_t j) -> double& { return a[std::size_t(i * n + j)]; };
  int sign = 1;
  double largest = 0;
  for (double x : a) largest = std::max(largest, std::abs(x));
  for (std::int64_t k = 0; k < n; ++k) {
    std::int64_t p = k;
    for (std::int64_t i = k + 1; i < n; ++i)
      if (std::abs(at(i, k)) > std::abs(at(p, k))) p = i;
    if (!(std::abs(at(p, k)) > 1e-14 * largest)) return 0;
    if (p != k) sign = -sign;
    for (std::int64_t j = 0; j < n && p != k; ++j) std::swap(at(k, j), at(p, j));
    if (at(k, k) < 0) sign = -sign;
    for (std::int64_t i = k + 1; i < n; ++i) {
      const double f = at(i, k) / at(k, k);
      for (std::int64_t j = k + 1; j < n; ++j) at(i, j) -= f * at(k, j);
    }
  }
  return sign;
}

template <class T>
void check_network(const char* function, const models::LinearNet<T>& net, const Tensor<double>& sigma31,
                   const Modes& m) {
  std::int64_t narrowest = m.v.shape()[0];
  bool square = true;
  for (const auto& w : net.weights) {
    narrowest = std::min(narrowest, w.shape()[1]);
    square = square && w.shape()[0] == w.shape()[1];
  }
  if (net.weights.empty() || net.weights.front().shape()[0] != sigma31.shape()[1] ||
      net.weights.back().shape()[1] != sigma31.shape()[0])
    fail(function, {"the network does not map from ", sigma31.shape()[1], " to ", sigma31.shape()[0]});
  if (narrowest < m.s.numel())
    fail(function, {"a task of ", m.s.numel(), " modes for a network whose narrowest layer has ", narrowest, " units"});
  if (square && m.s.numel() == sigma31.shape()[0] && net.weights.size() > 1) {
    const int mine = determinant_sign(cast<double>(product(net))), task = determinant_sign(sigma31);
    if (mine * task < 0)
      fail(function,
           "the determinants of the network's product and of the task have opposite signs: one mode would have to "
           "cross zero; exchange two columns of one weight");
  }
}

}  // namespace detail

// Full-batch gradient descent on the second moments sigma11, (in, in) or its eigenvalues (in,), and sigma31 (out, in),
// in place, by `grad` and
// `optim::Sgd`. A loss that is not finite is an Error that names step and learning rate.
template <Floating T>
Curve train(models::LinearNet<T>& net, const Tensor<double>& sigma11, const Tensor<double>& sigma31,
            TrainOptions options) {
  detail::check_moments("train", sigma11, sigma31);
  if (options.steps < 0 || options.record_every < 1)
    detail::fail("train", "steps must not be negative, record_every at least 1");
  if (net.activation != Activation::none || net.gain != 1)
    detail::fail("train", "second moments suffice for linear networks only");
  const Modes m = modes(sigma31);
  detail::check_network("train", net, sigma31, m);
  const Tensor<T> s11 = cast<T>(sigma11), s13 = cast<T>(transpose(sigma31));
  const double least = detail::least_moment_loss(sigma11, sigma31);
  const auto loss = [&](const models::LinearNet<T>& n) { return detail::moment_loss(product(n), s11, s13); };

  Curve curve;
  const double top = m.s.at({0}), scale = max(abs(sigma11)).item();
  const double stable = 2 * optimal_learning_rate(int(net.weights.size()) + 1, top / scale) / scale;
  if (options.lr > stable)
    curve.warning = "the learning rate " + std::to_string(options.lr) + " exceeds 2 over the top eigenvalue, " +
                    std::to_string(stable);
  std::vector<Tensor<double>> strengths;
  optim::Sgd<models::LinearNet<T>> sgd(net, {.lr = options.lr});
  for (std::int64_t step = 0; step <= options.steps; ++step) {
    const bool record = step % options.record_every == 0 || step == options.steps;
    if (record) {
      curve.step.push_back(step);
      curve.loss.push_back(double(loss(net).item()) - least);
      strengths.push_back(project(net, m).strength);
      if (!std::isfinite(curve.loss.back()))
        detail::fail("train", {"the loss is not finite at step ", step, " with learning rate ", options.lr});
    }
    if (step < options.steps) sgd.step(net, grad(loss)(net));
  }
  curve.strength = stack(strengths);
  return curve;
}

// The off-diagonal Frobenius norm of V' Sigma11 V over the diagonal's: how far the inputs' own directions are from the
// modes'. Greedy pretraining helps where it is small.
inline double consistency(const Tensor<double>& sigma11, const Tensor<double>& v) {
  if (sigma11.rank() != 2 || v.rank() != 2 || sigma11.shape()[0] != sigma11.shape()[1] ||
      sigma11.shape()[0] != v.shape()[0])
    detail::fail("consistency", {sigma11.shape(), " and ", v.shape(), ": (n, n) and (n, k) are expected"});
  const Tensor<double> inner = matmul(matmul(transpose(v), sigma11), v), on = diagonal(inner);
  const double all = sum(square(inner)).item(), diagonal_part = sum(square(on)).item();
  return std::sqrt(std::max(0.0, all - diagonal_part) / diagonal_part);
}

}  // namespace ergo::inline ERGO_BUILD::deep_linear
