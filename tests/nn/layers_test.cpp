// nn: dense layers, embeddings, layer norm: values, fields, gradients, errors.
#include <doctest/doctest.h>

#include <cmath>

#include "ergo/autograd/check_grads.hpp"
#include "ergo/nn/embedding.hpp"
#include "ergo/nn/layer_norm.hpp"
#include "ergo/nn/linear.hpp"
#include "support/fresh.hpp"
#include "support/message.hpp"

namespace nn_layers_test {

using namespace ergo;

namespace {
template <class Model>
std::vector<std::string> names_of(const Model& model) {
  std::vector<std::string> names;
  tree::for_each_named([&](const std::string& name, const auto&) { names.push_back(name); }, model);
  return names;
}
}  // namespace

TEST_CASE("Linear") {
  Fresh fresh;
  auto layer = nn::linear<double>(Key{test_seed()}, 3, 2);
  CHECK(names_of(layer) == std::vector<std::string>{"weight", "bias"});
  CHECK(layer.weight.shape() == Shape{3, 2});
  CHECK(layer.bias->to_vector() == std::vector<double>{0, 0});
  layer.bias = fresh.tensor<double>({2});
  const Tensor<double> x = fresh.tensor<double>({4, 5, 3}), y = layer(x), z = layer(x, Activation::tanh);
  CHECK(y.shape() == Shape{4, 5, 2});
  for (std::int64_t i : {0, 3})
    for (std::int64_t j : {0, 1}) {
      double sum = layer.bias->at({j});
      for (std::int64_t k = 0; k < 3; ++k) sum += x.at({i, 2, k}) * layer.weight.at({k, j});
      CHECK(y.at({i, 2, j}) == doctest::Approx(sum).epsilon(1e-14));
      CHECK(z.at({i, 2, j}) == doctest::Approx(std::tanh(sum)).epsilon(1e-14));
    }
  const auto plain = nn::linear(Key{1}, 3, std::size_t(2), {.bias = false});
  CHECK(names_of(plain) == std::vector<std::string>{"weight"});
  CHECK(plain(ones<float>({3})).shape() == Shape{2});
  check_grads([&](const nn::Linear<double>& l) { return l(x, Activation::tanh); }, layer);
  const auto wide = tree::cast<double>(plain);
  CHECK(wide.weight.dtype() == DType::float64);

  CHECK(message_of([] { nn::linear(Key{1}, 0, 2); }) == "[nn.linear] weight (0, 2): an extent is below 1");
  CHECK(message_of([&] {
          layer(ones<double>({4, 5}));
        }) == "[linear] (4, 5) x (3, 2) x (2,): inner sizes 5 and 3 differ");
}

TEST_CASE("Embedding") {
  const auto table = nn::embedding<double>(Key{test_seed()}, 5, 3, {.scale = 2});
  const Tensor<double> y = table(tensor<std::int32_t>({{4, 0}, {1, 4}}));
  CHECK(y.shape() == Shape{2, 2, 3});
  for (std::int64_t k = 0; k < 3; ++k) {
    CHECK(y.at({0, 0, k}) == table.weight.at({4, k}));
    CHECK(y.at({1, 0, k}) == table.weight.at({1, k}));
  }
  const auto g = grad([](const nn::Embedding<double>& e) {
    const Tensor<double> v = e(tensor<std::int32_t>({4, 4, 0}));
    return tree::dot(v, v);
  })(table);
  CHECK(g.weight.at({4, 1}) == doctest::Approx(4 * table.weight.at({4, 1})));
  CHECK(g.weight.at({2, 1}) == 0);
  CHECK(message_of([] { nn::embedding(Key{1}, 5, 0); }) == "[nn.embedding] table (5, 0): an extent is below 1");
  CHECK_THROWS_AS(table(tensor<std::int32_t>({5})), Error);
}

TEST_CASE("LayerNorm") {
  Fresh fresh(1);
  auto norm = nn::layer_norm<double>(4);
  CHECK(names_of(norm) == std::vector<std::string>{"weight", "bias"});
  norm.weight = fresh.tensor<double>({4});
  norm.bias = fresh.tensor<double>({4});
  const Tensor<double> x = fresh.tensor<double>({3, 4}), y = norm(x);
  for (std::int64_t i = 0; i < 3; ++i) {
    double mean = 0, square = 0;
    for (std::int64_t j = 0; j < 4; ++j) mean += x.at({i, j}) / 4;
    for (std::int64_t j = 0; j < 4; ++j) square += (x.at({i, j}) - mean) * (x.at({i, j}) - mean) / 4;
    for (std::int64_t j = 0; j < 4; ++j)
      CHECK(y.at({i, j}) ==
            doctest::Approx((x.at({i, j}) - mean) / std::sqrt(square + 1e-5) * norm.weight.at({j}) + norm.bias->at({j}))
                .epsilon(1e-12));
  }
  check_grads([&](const nn::LayerNorm<double>& l) { return l(x); }, norm);
  const auto plain = nn::layer_norm(4, {.bias = false, .eps = 1});
  CHECK(names_of(plain) == std::vector<std::string>{"weight"});
  CHECK(plain(tensor<float>({1, 1, -1, -1})).to_vector()[0] == doctest::Approx(std::sqrt(0.5)));
  CHECK(message_of([] { nn::layer_norm(0); }) == "[nn.layer_norm] 0 features: the number must be positive");
  CHECK(message_of([] { nn::layer_norm(3, {.eps = 0}); }) == "[nn.layer_norm] eps 0 is not above 0");
}

}  // namespace nn_layers_test
