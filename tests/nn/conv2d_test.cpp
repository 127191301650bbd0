// nn::Conv2d: values by a plain loop, options, fields, gradients, errors.
#include <doctest/doctest.h>

#include "ergo/autograd/check_grads.hpp"
#include "ergo/nn/conv2d.hpp"
#include "support/fresh.hpp"
#include "support/message.hpp"

namespace nn_conv2d_test {

using namespace ergo;

TEST_CASE("values: stride, padding, groups, bias, activation") {
  Fresh fresh;
  auto layer = nn::conv2d<double>(Key{test_seed()}, 4, 6, {3, 2}, {.stride = 2, .padding = {1, 0}, .groups = 2});
  CHECK(layer.weight.shape() == Shape{3, 2, 2, 6});
  CHECK(layer.bias->to_vector() == std::vector<double>(6, 0));
  layer.bias = fresh.tensor<double>({6});
  const Tensor<double> x = fresh.tensor<double>({2, 5, 6, 4}), y = layer(x), z = layer(x, Activation::relu);
  CHECK(y.shape() == Shape{2, 3, 3, 6});
  double worst = 0, worst_relu = 0;
  for (std::int64_t n = 0; n < 2; ++n)
    for (std::int64_t i = 0; i < 3; ++i)
      for (std::int64_t j = 0; j < 3; ++j)
        for (std::int64_t c = 0; c < 6; ++c) {
          double sum = layer.bias->at({c});
          for (std::int64_t a = 0; a < 3; ++a)
            for (std::int64_t b = 0; b < 2; ++b)
              for (std::int64_t k = 0; k < 2; ++k) {
                const std::int64_t row = 2 * i + a - 1, column = 2 * j + b;
                if (row >= 0 && row < 5) sum += x.at({n, row, column, c / 3 * 2 + k}) * layer.weight.at({a, b, k, c});
              }
          worst = std::max(worst, std::abs(y.at({n, i, j, c}) - sum));
          worst_relu = std::max(worst_relu, std::abs(z.at({n, i, j, c}) - std::max(sum, 0.0)));
        }
  CHECK(worst <= 1e-13);
  CHECK(worst_relu <= 1e-13);
  check_grads([&](const nn::Conv2d<double>& l) { return l(x); }, layer);
}

TEST_CASE("fields, sizes, casts") {
  const auto layer = nn::conv2d(Key{1}, 3, std::size_t(8), 3, {.padding = Padding::same, .bias = false});
  std::vector<std::string> names;
  tree::for_each_named([&](const std::string& name, const auto&) { names.push_back(name); }, layer);
  CHECK(names == std::vector<std::string>{"weight"});
  CHECK(layer(ones<float>({1, 7, 7, 3})).shape() == Shape{1, 7, 7, 8});
  CHECK(tree::zeros_like(layer).weight.shape() == layer.weight.shape());
  double square = 0;
  const auto wide = nn::conv2d<double>(Key{test_seed()}, 64, 64, 3);
  for (double e : wide.weight.to_vector()) square += e * e / double(wide.weight.numel());
  CHECK(square == doctest::Approx(2.0 / 576).epsilon(0.05));
  CHECK(tree::cast<double>(layer).options.padding.rows(7, 3, 1, 1).before == 1);
}

TEST_CASE("errors") {
  CHECK(message_of([] { nn::conv2d(Key{1}, 3, 0, 3); }) ==
        "[nn.conv2d] kernel (3, 3), channels (3, 0): a size is below 1");
  CHECK(message_of([] {
          nn::conv2d(Key{1}, 4, 6, {0, 1});
        }) == "[nn.conv2d] kernel (0, 1), channels (4, 6): a size is below 1");
  CHECK(message_of([] { nn::conv2d(Key{1}, 4, 6, 1, {.groups = 4}); }) ==
        "[nn.conv2d] channels (4, 6): 4 groups do not divide them");
  CHECK_THROWS_AS(nn::conv2d(Key{1}, 4, 6, 1)(ones<float>({1, 2, 2, 3})), Error);
}

}  // namespace nn_conv2d_test
