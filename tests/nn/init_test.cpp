// nn::init: moments, bounds, Haar measure, kernels, errors.
#include <doctest/doctest.h>

#include "ergo/nn/init.hpp"
#include "support/matrices.hpp"
#include "support/message.hpp"

namespace nn_init_test {

using namespace ergo;

namespace {
struct Moments {
  double mean = 0, square = 0, largest = 0;
};
template <class T>
Moments moments(const Tensor<T>& x) {
  Moments m;
  for (T e : x.to_vector()) {
    m.mean += double(e) / double(x.numel());
    m.square += double(e) * double(e) / double(x.numel());
    m.largest = std::max(m.largest, std::fabs(double(e)));
  }
  return m;
}
}  // namespace

TEST_CASE("variances by fan") {
  const Key key{test_seed()};
  const Shape dense{400, 300}, kernel{3, 3, 50, 80};
  const auto check = [](const auto& x, double variance) {
    const Moments m = moments(x);
    CHECK(std::fabs(m.mean) <= 6 * std::sqrt(variance / double(x.numel())));
    CHECK(m.square == doctest::Approx(variance).epsilon(0.05));
  };
  check(nn::init::scaled_normal(key, dense), 1.0 / 400);
  check(nn::init::scaled_normal<double>(key, kernel, 3), 9.0 / 450);
  check(nn::init::lecun_normal(key, kernel), 1.0 / 450);
  check(nn::init::he_normal(key, dense), 2.0 / 400);
  check(nn::init::he_normal<double>(key, kernel), 2.0 / 450);
  check(nn::init::glorot_uniform(key, dense), 2.0 / 700);
  check(nn::init::glorot_uniform(key, kernel), 2.0 / (450 + 720));
  CHECK(moments(nn::init::glorot_uniform(key, dense)).largest <= std::sqrt(6.0 / 700));
  CHECK(array_equal(nn::init::he_normal(key, dense), nn::init::he_normal(key, dense)));
}

TEST_CASE("orthogonal: columns of tall, rows of wide matrices, kernels") {
  const Key key{test_seed()};
  CHECK(skewness(matrix_of(nn::init::orthogonal<double>(key, {50, 30}))) <= 1e-13);
  CHECK(skewness(matrix_of(nn::init::orthogonal<double>(key, {30, 50})).transposed()) <= 1e-13);
  CHECK(skewness(matrix_of(nn::init::orthogonal(key, {40, 40}))) <= 1e-6);
  CHECK(skewness(matrix_of(reshape(nn::init::orthogonal<double>(key, {3, 3, 4, 20}), {36, 20}))) <= 1e-13);
  Matrix half = matrix_of(nn::init::orthogonal<double>(key, {6, 6}, 0.5));
  for (double& x : half.at) x *= 2;
  CHECK(skewness(half) <= 1e-14);
}

TEST_CASE("orthogonal matrices are Haar distributed, and without the signs of R they are not") {
  const std::int64_t draws = 2000, n = 8;
  const Key key{test_seed()};
  double trace = 0, fourth = 0, first = 0, unsigned_first = 0;
  for (std::int64_t i = 0; i < draws; ++i) {
    const Matrix o = matrix_of(nn::init::orthogonal<double>(fold_in(key, i), {n, n}));
    double t = 0, f = 0;
    for (std::int64_t j = 0; j < n; ++j) t += o(j, j);
    for (double x : o.at) f += x * x * x * x / double(n * n);
    trace += t * t / double(draws);
    fourth += f / double(draws);
    first += o(0, 0) / double(draws);
    // The plain Householder form: R's first diagonal entry is negative where the Gaussian's first entry is positive.
    unsigned_first += (o(0, 0) > 0 ? -o(0, 0) : o(0, 0)) / double(draws);
  }
  // E (tr O)^2 = 1 with variance about 2; E O_ij^4 = 3 / (n (n + 2)); E O_11 = 0, E O_11^2 = 1 / n. Six deviations.
  CHECK(std::fabs(trace - 1) <= 6 * std::sqrt(2.0 / double(draws)));
  CHECK(fourth == doctest::Approx(3.0 / double(n * (n + 2))).epsilon(0.03));
  CHECK(std::fabs(first) <= 6 / std::sqrt(double(n * draws)));
  CHECK(std::fabs(unsigned_first) > 6 / std::sqrt(double(n * draws)));
}

TEST_CASE("errors") {
  CHECK(message_of([] { nn::init::he_normal(Key{1}, {4}); }) ==
        "[nn.init.he_normal] (4,): weights have at least two axes, (..., in, out)");
  CHECK(message_of([] {
          nn::init::orthogonal(Key{1}, {4, 0});
        }) == "[nn.init.orthogonal] (4, 0): an extent is below 1");
}

}  // namespace nn_init_test
