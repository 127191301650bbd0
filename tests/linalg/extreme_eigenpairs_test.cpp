// linalg::extreme_eigenpairs against dense eigenvalues.
#include <doctest/doctest.h>

#include "ergo/linalg/eigh.hpp"
#include "ergo/linalg/extreme_eigenpairs.hpp"
#include "ergo/ops/arithmetic.hpp"
#include "ergo/ops/matmul.hpp"
#include "ergo/ops/tree_norm.hpp"
#include "support/matrices.hpp"
#include "support/message.hpp"

namespace linalg_extreme_eigenpairs_test {

using namespace ergo;

TEST_CASE("either end and both, of a random symmetric matrix") {
  Fresh fresh;
  const std::int64_t n = 120;
  Matrix a = random_matrix(fresh, n, n);
  for (std::int64_t i = 0; i < n; ++i)
    for (std::int64_t j = 0; j < i; ++j) a(i, j) = a(j, i);
  const Tensor<double> x = tensor_of<double>(a), all = linalg::eigvalsh(x), like = zeros<double>({n});
  const auto op = [&](const Tensor<double>& v) { return matmul(x, v); };
  const double size = std::max(std::fabs(all.at({0})), std::fabs(all.at({-1})));
  const auto good = [&](const auto& r, std::int64_t i, std::int64_t which) {
    CHECK(std::fabs(r.values.at({i}) - all.at({which})) <= 1e-11 * size);
    const Tensor<double> v = r.vectors[std::size_t(i)], off = op(v) - r.values.at({i}) * v;
    CHECK(tree::norm(off).item() <= 2e-10 * size);
    CHECK(tree::norm(v).item() == doctest::Approx(1).epsilon(1e-12));
  };
  const auto top = linalg::extreme_eigenpairs(op, like, 3);
  CHECK(top.converged);
  for (std::int64_t i = 0; i < 3; ++i) good(top, i, n - 1 - i);
  const auto bottom = linalg::extreme_eigenpairs(op, like, 2, {.end = linalg::End::bottom});
  for (std::int64_t i = 0; i < 2; ++i) good(bottom, i, i);
  const auto both = linalg::extreme_eigenpairs(op, like, 2, {.end = linalg::End::both, .key = Key{5}});
  CHECK(both.values.shape() == Shape{4});
  for (std::int64_t i = 0; i < 2; ++i) good(both, i, n - 1 - i);
  for (std::int64_t i = 0; i < 2; ++i) good(both, i + 2, i);
  const auto cut = linalg::extreme_eigenpairs(op, like, 1, {.max_steps = 5});
  CHECK_FALSE(cut.converged);
  CHECK(cut.steps == 5);
  CHECK(cut.residuals.item() > 0);
}

TEST_CASE("few distinct eigenvalues: the search goes on behind invariant subspaces") {
  const Tensor<double> d = tensor<double>({2, 2, 2, 7, 7, 1});
  const auto op = [&](const Tensor<double>& v) { return d * v; };
  const auto r = linalg::extreme_eigenpairs(op, d, 6);
  CHECK(r.converged);
  const std::vector<double> expected{7, 7, 2, 2, 2, 1};
  for (std::int64_t i = 0; i < 6; ++i)
    CHECK(r.values.at({i}) == doctest::Approx(expected[std::size_t(i)]).epsilon(1e-12));
}

TEST_CASE("float") {
  Fresh fresh(1);
  const Tensor<float> d = fresh.tensor<float>({2000});
  float largest = -1;
  for (float x : d.to_vector()) largest = std::max(largest, x);
  const auto r = linalg::extreme_eigenpairs([&](const Tensor<float>& v) { return (d + 3.0f * abs(d) * d) * v; }, d, 1);
  CHECK(r.values.item() == doctest::Approx(largest + 3 * largest * largest).epsilon(1e-4));
}

TEST_CASE("errors") {
  const auto same = [](const Tensor<double>& x) { return x; };
  const Tensor<double> v = ones<double>({3});
  CHECK(message_of([&] { linalg::extreme_eigenpairs(same, v, 0); }) ==
        "[extreme_eigenpairs] 0 pairs asked of an operator on 3 elements");
  CHECK(message_of([&] { linalg::extreme_eigenpairs(same, v, 4); }) ==
        "[extreme_eigenpairs] 4 pairs asked of an operator on 3 elements");
  CHECK(message_of([&] { linalg::extreme_eigenpairs(same, v, 1, {.max_steps = 0}); }) ==
        "[extreme_eigenpairs] max_steps 0 is below 1");
}

}  // namespace linalg_extreme_eigenpairs_test
