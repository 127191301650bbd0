// linalg::conjugate_gradient: dense systems, distinct eigenvalues, trees, operators that are not positive definite,
// errors.
#include <doctest/doctest.h>

#include "ergo/autograd/curvature.hpp"
#include "ergo/linalg/conjugate_gradient.hpp"
#include "ergo/ops/arithmetic.hpp"
#include "ergo/ops/matmul.hpp"
#include "ergo/ops/tree_norm.hpp"
#include "support/matrices.hpp"
#include "support/message.hpp"

namespace linalg_conjugate_gradient_test {

using namespace ergo;

TEST_CASE("the solution of a dense system") {
  Fresh fresh;
  const Matrix root = random_matrix(fresh, 50, 40);
  Matrix a = product(root.transposed(), root);
  for (std::int64_t i = 0; i < 40; ++i) a(i, i) += 5;
  const Tensor<double> x = tensor_of<double>(a), b = fresh.tensor<double>({40});
  const auto r =
      linalg::conjugate_gradient([&](const Tensor<double>& v) { return matmul(x, v); }, b, {.tolerance = 1e-12});
  CHECK(r.converged);
  CHECK(r.residual <= 1e-12);
  const Matrix back = product(a, {40, 1, r.solution.to_vector()});
  CHECK(distance({40, 1, b.to_vector()}, back) <= 2e-12);
}

TEST_CASE("as many iterations as distinct eigenvalues") {
  const Tensor<double> d = tensor<double>({1, 1, 4, 4, 4, 9}), b = tensor<double>({1, 2, 3, 4, 5, 6});
  const auto op = [&](const Tensor<double>& v) { return d * v; };
  const auto r = linalg::conjugate_gradient(op, b);
  CHECK(r.iterations == 3);
  CHECK(r.converged);
  CHECK(allclose(r.solution, b / d, {.rtol = 1e-12}));
  const auto cut = linalg::conjugate_gradient(op, b, {.max_iterations = 2});
  CHECK(cut.iterations == 2);
  CHECK_FALSE(cut.converged);
  CHECK(cut.residual > 1e-6);
  const auto nothing = linalg::conjugate_gradient(op, zeros<double>({6}));
  CHECK(nothing.converged);
  CHECK(nothing.iterations == 0);
  CHECK(nothing.residual == 0);
}

TEST_CASE("trees, float, and a Hessian as operator") {
  Fresh fresh(1);
  using Tree = std::pair<Tensor<float>, std::vector<Tensor<float>>>;
  const Tree b{fresh.tensor<float>({3, 2}), {fresh.tensor<float>({4})}},
      at{fresh.tensor<float>({3, 2}), {fresh.tensor<float>({4})}};
  const auto f = [](const Tree& p) {  // Hessian 2 + 2 x x' + |x|^2
    const auto s = tree::dot(p, p);
    return s + 0.25f * s * s;
  };
  const auto r = linalg::conjugate_gradient([&](const Tree& v) { return hvp(f)(at, v); }, b);
  CHECK(r.converged);
  CHECK(r.iterations <= 3);
  const Tree back = hvp(f)(at, r.solution);
  CHECK(double(tree::norm(tree::sub(back, b)).item()) <= 1e-5 * double(tree::norm(b).item()));
}

TEST_CASE("an operator that is not positive definite stops it") {
  const Tensor<double> d = tensor<double>({1, -2});
  const auto r = linalg::conjugate_gradient([&](const Tensor<double>& v) { return d * v; }, tensor<double>({1, 1}));
  CHECK_FALSE(r.converged);
  CHECK(r.iterations == 1);
}

TEST_CASE("errors") {
  const auto same = [](const Tensor<double>& x) { return x; };
  CHECK(message_of([&] { linalg::conjugate_gradient(same, full<double>({2}, std::nan(""))); }) ==
        "[conjugate_gradient] b has a NaN or infinity");
  CHECK(message_of([&] {
          linalg::conjugate_gradient([](const Tensor<double>& x) { return HUGE_VAL * x; }, ones<double>({2}));
        }) == "[conjugate_gradient] the operator's result has a NaN or infinity");
  CHECK(message_of([&] { linalg::conjugate_gradient(same, ones<double>({2}), {.tolerance = -1}); }) ==
        "[conjugate_gradient] tolerance -1, max_iterations 0: neither may be negative");
  CHECK(message_of([&] {
          linalg::conjugate_gradient([](const Tensor<double>&) { return ones<double>({3}); }, ones<double>({2}));
        }) == "[conjugate_gradient] (2,) x (3,): leaves of the two trees differ in shape");
}

TEST_CASE("right-hand sides whose squares leave the range") {
  for (const float size : {1e-38f, 1e-25f, 1e25f, 1e38f}) {
    const auto r = linalg::conjugate_gradient([](const auto& x) { return 2 * x; }, full<float>({2}, size));
    CHECK(r.converged);
    CHECK(r.solution.at({1}) == doctest::Approx(double(size) / 2).epsilon(1e-6).scale(0));
  }
  CHECK(linalg::conjugate_gradient([](const auto& x) { return 2 * x; }, full<double>({2}, 1e-200)).solution.at({0}) ==
        doctest::Approx(5e-201).epsilon(1e-12).scale(0));
}

}  // namespace linalg_conjugate_gradient_test
