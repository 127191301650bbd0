// models: the perceptron and the deep linear network: shapes, values, starts, training, errors.
#include <doctest/doctest.h>

#include <cmath>

#include "ergo/autograd/check_grads.hpp"
#include "ergo/models/linear_net.hpp"
#include "ergo/optim/sgd.hpp"
#include "support/matrices.hpp"
#include "support/message.hpp"

namespace models_models_test {

using namespace ergo;

TEST_CASE("Mlp: layers, activation between them only, gradients") {
  Fresh fresh;
  const auto model = models::mlp<double>(Key{test_seed()}, {3, 5, 4, 2}, Activation::tanh);
  CHECK(model.layers.size() == 3);
  CHECK(tree::numel(model) == 3 * 5 + 5 + 5 * 4 + 4 + 4 * 2 + 2);
  const Tensor<double> x = fresh.tensor<double>({6, 3});
  Matrix h = matrix_of(x);
  for (std::size_t l = 0; l < 3; ++l) {
    h = product(h, matrix_of(model.layers[l].weight));
    for (double& e : h.at) e = l < 2 ? std::tanh(e) : e;
  }
  CHECK(distance(h, matrix_of(model(x))) <= 1e-14);
  CHECK(model(x[0]).shape() == Shape{2});
  check_grads([&](const models::Mlp<double>& m) { return m(x); }, model);
  CHECK(tree::cast<float>(model).activation == Activation::tanh);
  CHECK_FALSE(models::mlp(Key{1}, std::vector<std::size_t>{3, 2}, Activation::relu, {.bias = false}).layers[0].bias);
}

TEST_CASE("Mlp: relu keeps the mean square of its activations") {
  const auto model = models::mlp<double>(Key{test_seed()}, {400, 400, 400, 400, 400}, Activation::relu);
  const Tensor<double> x = normal<double>(Key{test_seed() + 1}, {50, 400});
  double square = 0;
  for (double e : model(x).to_vector()) square += e * e / 20000;
  CHECK(square > 0.6);  // 1 in the mean: hidden layers keep 2/in E relu^2, the last 1/in; five layers of 400 spread it by 0.1
  CHECK(square < 1.6);
}

TEST_CASE("LinearNet: a chain of matrices; orthogonal and Gaussian starts; gain and activation") {
  Fresh fresh(1);
  const auto net = models::linear_net<double>(Key{test_seed()}, {6, 6, 6, 4});
  const Tensor<double> x = fresh.tensor<double>({5, 6});
  const Matrix chain =
      product(product(matrix_of(net.weights[0]), matrix_of(net.weights[1])), matrix_of(net.weights[2]));
  CHECK(distance(product(matrix_of(x), chain), matrix_of(net(x))) <= 1e-14);
  CHECK(skewness(chain) <= 1e-13);
  const auto scaled = models::linear_net<double>(Key{test_seed()}, {6, 6}, {.scale = 0.01});
  CHECK(scaled.weights[0].at({2, 3}) == doctest::Approx(0.01 * net.weights[0].at({2, 3})));
  const auto bent =
      models::linear_net<double>(Key{test_seed()}, {6, 6, 6}, {.activation = Activation::tanh, .gain = 1.5});
  Matrix h = product(matrix_of(x), matrix_of(bent.weights[0]));
  for (double& e : h.at) e = std::tanh(1.5 * e);
  h = product(h, matrix_of(bent.weights[1]));
  for (double& e : h.at) e *= 1.5;
  CHECK(distance(h, matrix_of(bent(x))) <= 1e-14);
  const auto gaussian =
      models::linear_net<double>(Key{test_seed()}, {300, 200}, {.start = models::Start::gaussian, .scale = 2});
  double square = 0;
  for (double e : gaussian.weights[0].to_vector()) square += e * e / 60000;
  CHECK(square == doctest::Approx(4.0 / 300).epsilon(0.05));
  check_grads([&](const models::LinearNet<double>& n) { return n(x); }, bent);
}

TEST_CASE("gradient descent on a decoupled pair follows u' = 2 u (s - u)") {
  // One mode of strength s between two layers of one weight, a = b: each step multiplies by 1 + 2 lr (s - u), in first
  // order.
  models::LinearNet<double> net{{full<double>({1, 1}, 0.1), full<double>({1, 1}, 0.1)}};
  optim::Sgd opt{net, {.lr = 1e-3}};
  const double s = 2;
  const auto loss = [&](const models::LinearNet<double>& n) {
    const Tensor<double> off = n(ones<double>({1, 1})) - s;
    return 0.5 * tree::dot(off, off);
  };
  for (int t = 1; t <= 1000; ++t) opt.step(net, grad(loss)(net));
  const double u0 = 0.01, e = std::exp(2 * s * 1.0), theory = s * e / (e - 1 + s / u0);
  CHECK(net(ones<double>({1, 1})).item() == doctest::Approx(theory).epsilon(0.01));
}

TEST_CASE("errors") {
  CHECK(message_of([] { models::mlp(Key{1}, {3}); }) ==
        "[mlp] sizes {3}: input, hidden layers, output; at least two, all positive");
  CHECK(message_of([] {
          models::linear_net(Key{1}, {3, 0, 2});
        }) == "[linear_net] sizes {3, 0, 2}: input, hidden layers, output; at least two, all positive");
  CHECK(message_of([] { models::Mlp<float>{}(ones<float>({2})); }) == "[mlp] a network without layers");
}

}  // namespace models_models_test
