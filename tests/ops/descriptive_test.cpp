// What rows of the case table cannot say of samples and losses: corners of value and slope.
#include <doctest/doctest.h>

#include <cmath>
#include <limits>

#include "ergo/autograd/transforms.hpp"
#include "ergo/ops/descriptive.hpp"
#include "ergo/ops/joining.hpp"
#include "ergo/ops/pointwise_loss.hpp"
#include "ergo/ops/tensor_product.hpp"

namespace ops_descriptive_test {

using namespace ergo;
using X = Tensor<double>;
constexpr double kInfinity = std::numeric_limits<double>::infinity();

TEST_CASE("a constant sample: deviation and slope 0, no correlation") {
  const X x = full<double>({5}, 3.25);
  CHECK(stddev(x).item() == 0);
  CHECK(grad([](const X& v) { return stddev(v); })(x).to_vector() == std::vector<double>(5, 0.0));
  const X pairs = stack({full<double>({4}, 1.0), arange<double>(4)}, 1);
  const auto c = correlation(pairs).to_vector();
  CHECK(std::isnan(c[0]));
  CHECK(std::isnan(c[1]));
  CHECK(c[3] == doctest::Approx(1).epsilon(1e-15));
  CHECK(std::isnan(covariance(ones<double>({1, 2})).to_vector()[0]));
  CHECK(covariance(ones<double>({1, 2}), {.correction = 0}).to_vector() == std::vector<double>(4, 0.0));
}

TEST_CASE("log_mean_exp neither overflows nor loses its tail") {
  CHECK(log_mean_exp(full<double>({3}, 1e4)).item() == doctest::Approx(1e4).epsilon(1e-15));
  CHECK(log_mean_exp(full<double>({3}, -1e4)).item() == doctest::Approx(-1e4).epsilon(1e-15));
  CHECK(log_mean_exp(full<double>({3}, -kInfinity)).item() == -kInfinity);
  CHECK(std::isnan(log_mean_exp(zeros<double>({0})).item()));
}

TEST_CASE("NaN is not zero") {
  CHECK(count_nonzero(tensor<double>({0, -0.0, std::nan(""), 1})).item() == 2);
  CHECK(count_nonzero(tensor<bool>({true, false, true})).item() == 2);
}

TEST_CASE("cosines with nothing are 0, and so are their slopes") {
  const X zero = zeros<double>({3}), x = tensor<double>({1, 2, 3});
  CHECK(cosine_similarity(zero, x).item() == 0);
  const auto slope = grad([&](const X& v) { return cosine_similarity(x, v); })(zero).to_vector();
  for (const double s : slope) CHECK(std::isfinite(s));
  CHECK(cosine_similarity(x * 1e-200, x * 1e200).item() == doctest::Approx(1).epsilon(1e-15));
}

TEST_CASE("certain targets and logits far out") {
  const X far = tensor<double>({1e4, -1e4, kInfinity, -kInfinity}), right = tensor<double>({1, 0, 1, 0});
  const auto none = BinaryCrossEntropyOptions{.reduction = Reduction::none};
  CHECK(binary_cross_entropy(far, right, none).to_vector() == std::vector<double>(4, 0.0));
  CHECK(binary_cross_entropy(far, 1.0 - right, none).to_vector() ==
        std::vector<double>{1e4, 1e4, kInfinity, kInfinity});
  const auto slope =
      grad([&](const X& z) { return binary_cross_entropy(z, right, {.reduction = Reduction::sum}); })(far);
  CHECK(slope.to_vector() == std::vector<double>(4, 0.0));
}

TEST_CASE("divergence where a probability is 0") {
  const X p = tensor<double>({0, -kInfinity}), q = tensor<double>({0, 0});
  CHECK(kl_divergence(p, q).item() == doctest::Approx(std::log(2.0)).epsilon(1e-15));
  CHECK(kl_divergence(p, p).item() == 0);
  CHECK(kl_divergence(q, p).item() == kInfinity);
}

TEST_CASE("losses of nothing are NaN, sums of nothing 0") {
  const X none = zeros<double>({0});
  CHECK(std::isnan(mae(none, none).item()));
  CHECK(huber(none, none, {.reduction = Reduction::sum}).item() == 0);
}

TEST_CASE("products of different ranks") {
  CHECK(kron(tensor<double>({1, 2}), ones<double>({2, 1})).shape() == Shape{2, 2});
  CHECK(tensordot(ones<double>({2, 3}), ones<double>({2, 3}), 2).item() == 6);
  CHECK(outer(zeros<double>({0}), ones<double>({3})).shape() == Shape{0, 3});
}

}  // namespace ops_descriptive_test
