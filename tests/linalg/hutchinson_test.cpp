// linalg::hutchinson_trace: mean, standard error, variance, exactness on diagonals, keys, errors.
#include <doctest/doctest.h>

#include "ergo/linalg/hutchinson.hpp"
#include "ergo/ops/arithmetic.hpp"
#include "ergo/ops/matmul.hpp"
#include "support/matrices.hpp"
#include "support/message.hpp"

namespace linalg_hutchinson_test {

using namespace ergo;

TEST_CASE("the trace within its standard error, and the variance of a probe by the formula") {
  Fresh fresh;
  Matrix a = random_matrix(fresh, 8, 8);
  for (std::int64_t i = 0; i < 8; ++i)
    for (std::int64_t j = 0; j < i; ++j) a(i, j) = a(j, i);
  double trace = 0, off = 0;
  for (std::int64_t i = 0; i < 8; ++i)
    for (std::int64_t j = 0; j < 8; ++j) (i == j ? trace : off) += i == j ? a(i, i) : a(i, j) * a(i, j);
  const Tensor<double> x = tensor_of<double>(a);
  const std::int64_t probes = 4000;
  const auto r = linalg::hutchinson_trace(
      Key{test_seed()}, [&](const Tensor<double>& v) { return matmul(x, v); }, zeros<double>({8}), probes);
  CHECK(std::fabs(r.trace - trace) <= 5 * r.standard_error);
  CHECK(r.standard_error * r.standard_error * double(probes) == doctest::Approx(2 * off).epsilon(0.2));
}

TEST_CASE("a diagonal operator is exact for every probe, on trees too") {
  Fresh fresh(1);
  using Tree = std::pair<Tensor<double>, Tensor<float>>;
  const Tree d{tensor<double>({{1, 2}, {3, 4}}), tensor<float>({5, -6})};
  const auto r = linalg::hutchinson_trace(
      Key{1},
      [&](const Tree& v) {
        return Tree{d.first * v.first, d.second * v.second};
      },
      d, 3);
  CHECK(r.trace == 9);
  CHECK(r.standard_error == 0);
}

TEST_CASE("the key decides, and a longer run begins with the shorter one") {
  Fresh fresh(2);
  const Tensor<double> x = tensor_of<double>(random_matrix(fresh, 5, 5)), like = zeros<double>({5});
  const auto op = [&](const Tensor<double>& v) { return matmul(x, v); };
  std::vector<double> first, second;
  const auto keep = [&](std::vector<double>& to) {
    return [&](const Tensor<double>& v) {
      for (double e : v.to_vector()) to.push_back(e);
      return op(v);
    };
  };
  linalg::hutchinson_trace(Key{3}, keep(first), like, 2);
  linalg::hutchinson_trace(Key{3}, keep(second), like, 4);
  CHECK(second.size() == 20);
  CHECK(std::equal(first.begin(), first.end(), second.begin()));
  CHECK(!std::equal(first.begin(), first.end(), second.begin() + 10));
  for (double e : second) CHECK(std::fabs(e) == 1);
  CHECK(std::isnan(linalg::hutchinson_trace(Key{3}, op, like, 1).standard_error));
}

TEST_CASE("errors") {
  const Tensor<double> like = ones<double>({2});
  CHECK(message_of([&] {
          linalg::hutchinson_trace(
              Key{1}, [](const Tensor<double>& v) { return v; }, like, 0);
        }) == "[hutchinson_trace] 0 probes, where at least one is needed");
  CHECK(message_of([&] {
          linalg::hutchinson_trace(
              Key{1}, [](const Tensor<double>& v) { return HUGE_VAL * v; }, like, 3);
        }) == "[hutchinson_trace] the operator gave a NaN or infinity at probe 0");
  CHECK(message_of([&] {
          linalg::hutchinson_trace(
              Key{1}, [](const Tensor<double>&) { return ones<double>({3}); }, like, 3);
        }) == "[hutchinson_trace] (2,) x (3,): leaves of the two trees differ in shape");
}

}  // namespace linalg_hutchinson_test
