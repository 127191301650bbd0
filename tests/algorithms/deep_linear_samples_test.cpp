// Deep linear networks on data: second moments of labelled samples against loops, training on eigenvalues and on
// samples against training on moments, and the nonlinear network that learns later.
#include "ergo/algorithms/deep_linear_samples.hpp"

#include <doctest/doctest.h>

#include <cmath>
#include <cstdio>

#include "ergo/algorithms/deep_linear_depth.hpp"
#include "ergo/data/hierarchy.hpp"
#include "support/message.hpp"
#include "support/seed.hpp"

namespace algorithms_deep_linear_samples_test {

using namespace ergo;
namespace dl = ergo::deep_linear;

namespace {
Key fresh_key(int salt) { return fold_in(Key{test_seed()}, salt); }
}  // namespace

TEST_CASE("moments of labelled samples are centred sums") {
  const std::int64_t n = 9001, height = 2, width = 3, features = height * width;  // more than one block
  const int classes = 4;
  const auto x = uniform<float>(fresh_key(1), {n, height, width});
  const auto labels = randint<std::int32_t>(fresh_key(2), {n}, 0, classes);
  const auto m = dl::class_moments(x, labels, classes);
  const auto v = x.to_vector();
  const auto l = labels.to_vector();
  std::vector<double> mean(std::size_t(features), 0), share(std::size_t(classes), 0);
  for (std::int64_t i = 0; i < n; ++i) {
    for (std::int64_t k = 0; k < features; ++k)
      mean[std::size_t(k)] += double(v[std::size_t(i * features + k)]) / double(n);
    share[std::size_t(l[std::size_t(i)])] += 1 / double(n);
  }
  double worst = 0;
  for (std::int64_t a = 0; a < features; ++a) {
    const auto centred = [&](std::int64_t i, std::int64_t k) {
      return double(v[std::size_t(i * features + k)]) - mean[std::size_t(k)];
    };
    for (std::int64_t b = 0; b < features; ++b) {
      double sum = 0;
      for (std::int64_t i = 0; i < n; ++i) sum += centred(i, a) * centred(i, b);
      worst = std::max(worst, std::abs(m.sigma11.at({a, b}) - sum));
    }
    for (int c = 0; c < classes; ++c) {
      double sum = 0;
      for (std::int64_t i = 0; i < n; ++i) sum += ((l[std::size_t(i)] == c) - share[std::size_t(c)]) * centred(i, a);
      worst = std::max(worst, std::abs(m.sigma31.at({c, a}) - sum));
    }
  }
  std::printf("largest difference of the moments: %.3g\n", worst);
  CHECK(worst < 1e-8);
}

TEST_CASE("the eigenbasis changes no learning time") {
  const std::int64_t in = 7, out = 3;
  const auto x = normal<double>(fresh_key(3), {40, in}) * linspace<double>(0.3, 1, in);
  const auto y = normal<double>(fresh_key(4), {40, out});
  const dl::Moments m{matmul(transpose(x), x) / 40.0, matmul(transpose(y), x) / 40.0}, e = dl::in_eigenbasis(m);
  CHECK(e.sigma11.shape() == Shape{in});
  CHECK(allclose(e.sigma11, linalg::eigvalsh(m.sigma11), {.rtol = 1e-12, .atol = 1e-12}));
  CHECK(allclose(dl::modes(e.sigma31).s, dl::modes(m.sigma31).s, {.rtol = 1e-10, .atol = 1e-12}));
  const auto eigen = linalg::eigh(m.sigma11);
  const auto net = models::linear_net<double>(fresh_key(5), {in, in, out});
  auto turned = net;
  turned.weights[0] = matmul(transpose(eigen.vectors), net.weights[0]);
  const std::vector<double> rates{0.5, 0.2, 0.1};
  const auto straight = dl::fastest(net, m.sigma11, m.sigma31, rates, {.threshold = 0.3, .max_steps = 3000});
  const auto other = dl::fastest(turned, e.sigma11, e.sigma31, rates, {.threshold = 0.3, .max_steps = 3000});
  CHECK(straight.steps > 0);
  CHECK(straight.steps == other.steps);
  CHECK(straight.lr == other.lr);
}

TEST_CASE("training on samples equals training on moments for linear networks; tanh learns later") {
  const std::int64_t items = 8, features = 40, hidden = 8;
  const auto x = eye<double>(items);
  const auto y = data::synthetic::hierarchy(fresh_key(6), 3, features) / double(items);
  models::LinearNet<double> a;
  a.weights = {normal<double>(fresh_key(7), {items, hidden}, 0, 1e-2),
               normal<double>(fresh_key(8), {hidden, features}, 0, 1e-2)};
  auto b = a, c = a;
  c.activation = Activation::tanh;
  const dl::TrainOptions options{.lr = 0.02, .steps = 2000, .record_every = 10};
  const auto moments = dl::train(a, x, transpose(y), options), samples = dl::train_on_samples(b, x, y, options),
             bent = dl::train_on_samples(c, x, y, options);
  CHECK(allclose(moments.strength, samples.strength, {.rtol = 1e-9, .atol = 1e-9}));
  CHECK(allclose(a.weights[0], b.weights[0], {.rtol = 1e-9, .atol = 1e-9}));
  const double half = dl::modes(transpose(y)).s.at({0}) / 2;
  CHECK(moments.time_of(0, half) > 0);
  CHECK(bent.time_of(0, half) > moments.time_of(0, half));
  CHECK(samples.loss.back() < 0.1 * samples.loss.front());
}

TEST_CASE("bad input is an Error that names the shapes") {
  const auto x = ones<float>({5, 3});
  CHECK(message_of([&] { return dl::class_moments(x, zeros<std::int32_t>({4}), 2); }) ==
        "[deep_linear.class_moments] samples (5, 3) and labels (4,): (N, ...) and (N,), N > 0, are expected");
  models::LinearNet<float> net = models::linear_net<float>(fresh_key(9), {3, 2});
  CHECK(message_of([&] {
          return dl::train_on_samples(net, x, ones<float>({4, 2}), {});
        }) == "[deep_linear.train_on_samples] inputs (5, 3) and targets (4, 2): (N, in) and (N, out) are expected");
  CHECK(message_of([&] {
          return dl::in_eigenbasis({tensor<double>({-1, 1}), ones<double>({1, 2})});
        }) == "[deep_linear.in_eigenbasis] (2,) and (1, 2): Sigma11 has a negative eigenvalue");
}

}  // namespace algorithms_deep_linear_samples_test
