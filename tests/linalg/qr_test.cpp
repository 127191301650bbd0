// linalg::qr: residual, orthogonality, triangle, signs, extreme and degenerate matrices, batches, transforms, errors.
#include <doctest/doctest.h>

#include "ergo/autograd/transforms.hpp"
#include "ergo/linalg/qr.hpp"
#include "ergo/ops/arithmetic.hpp"
#include "support/matrices.hpp"
#include "support/message.hpp"

namespace linalg_qr_test {

using namespace ergo;

namespace {
template <class T>
void check(const Matrix& a, double tolerance) {
  CAPTURE(a.rows);
  CAPTURE(a.columns);
  const auto [qt, rt] = linalg::qr(tensor_of<T>(a));
  const Matrix q = matrix_of(qt), r = matrix_of(rt);
  const std::int64_t k = std::min(a.rows, a.columns);
  CHECK(qt.shape() == Shape{a.rows, k});
  CHECK(rt.shape() == Shape{k, a.columns});
  CHECK(distance(a, product(q, r)) <= tolerance);
  CHECK(skewness(q) <= tolerance);
  double below = 0, least = 0;
  for (std::int64_t i = 0; i < k; ++i) {
    least = std::min(least, r(i, i));
    for (std::int64_t j = 0; j < i; ++j) below = std::max(below, std::fabs(r(i, j)));
  }
  CHECK(below == 0);
  CHECK(least >= 0);
}
}  // namespace

TEST_CASE("tall, square and wide matrices, around the size of a block") {
  Fresh fresh;
  for (auto [m, n] : {std::pair{1, 1},
                      {2, 2},
                      {1, 5},
                      {5, 1},
                      {31, 31},
                      {32, 32},
                      {33, 33},
                      {70, 33},
                      {33, 70},
                      {65, 64},
                      {64, 65},
                      {200, 3},
                      {3, 200},
                      {512, 512}})
    check<double>(random_matrix(fresh, m, n), 1e-13);
  Matrix rounded = random_matrix(fresh, 40, 30);
  for (double& x : rounded.at) x = float(x);
  check<float>(rounded, 1e-6);
}

TEST_CASE("matrices without full rank, and at the ends of the range") {
  Fresh fresh(1);
  Matrix zero{5, 3, std::vector<double>(15)};
  check<double>(zero, 1e-15);
  check<double>(product(random_matrix(fresh, 40, 3), random_matrix(fresh, 3, 35)), 1e-13);
  for (double size : {1e-300, 1e300, 1e-160, 1e160, 0x1p-1050}) {
    Matrix a = random_matrix(fresh, 12, 7);
    for (double& x : a.at) x *= size;
    const auto [q, r] = linalg::qr(tensor_of<double>(a));
    CHECK(skewness(matrix_of(q)) <= 1e-13);
    const Matrix back = product(matrix_of(q), matrix_of(r));
    double worst = 0;
    for (std::size_t i = 0; i < a.at.size(); ++i) worst = std::fmax(worst, std::fabs(a.at[i] - back.at[i]) / size);
    CHECK(worst <= 1e-7);  // a subnormal matrix has few digits of its own
  }
  Matrix graded = random_matrix(fresh, 20, 20);
  for (std::int64_t i = 0; i < 20; ++i)
    for (std::int64_t j = 0; j < 20; ++j) graded(i, j) *= std::pow(10.0, double(-9 * j));
  check<double>(graded, 1e-13);
}

TEST_CASE("batches, strided inputs, empty matrices") {
  Fresh fresh(2);
  const Tensor<double> x = fresh.tensor<double>({2, 3, 4, 5});
  const auto all = linalg::qr(x);
  CHECK(all.q.shape() == Shape{2, 3, 4, 4});
  CHECK(all.r.shape() == Shape{2, 3, 4, 5});
  for (int i = 0; i < 2; ++i)
    for (int j = 0; j < 3; ++j) {
      const auto one = linalg::qr(x[i][j]);
      CHECK(array_equal(all.q[i][j], one.q));
      CHECK(array_equal(all.r[i][j], one.r));
    }
  const auto mapped = vmap([](const Tensor<double>& m) { return linalg::qr(m); })(x[1]);
  CHECK(array_equal(mapped.q, all.q[1]));
  CHECK(array_equal(mapped.r, all.r[1]));
  for (const Shape& s : {Shape{0, 3}, Shape{3, 0}, Shape{0, 0}, Shape{0, 2, 2}}) {
    const auto [q, r] = linalg::qr(zeros<double>(s));
    CHECK(q.numel() == 0);
    CHECK(r.shape()[-1] == s[-1]);
  }
}

TEST_CASE("the bits do not depend on the number of threads") {
  Fresh fresh(3);
  const Tensor<double> x = fresh.tensor<double>({150, 140});
  set_num_threads(1);
  const auto one = linalg::qr(x);
  for (int threads : {2, 3, 8}) {
    set_num_threads(threads);
    const auto many = linalg::qr(x);
    CHECK(array_equal(one.q, many.q));
    CHECK(array_equal(one.r, many.r));
  }
  set_num_threads(2);
}

TEST_CASE("errors") {
  Tensor<double> x = eye<double>(3);
  CHECK(message_of([] { linalg::qr(ones<float>({3})); }) == "[qr] (3,): a matrix has two axes");
  Tensor<double> bad = from_span<double>(std::vector<double>{1, 2, 3, 4, std::nan(""), 6}, {2, 3});
  CHECK(message_of([&] { linalg::qr(bad); }) == "[qr] (2, 3): it has a NaN or infinity at (1, 1)");
  const std::string none =
      "[qr] (3, 3): it has no derivative yet in this version (stop_gradient(x) makes its argument a constant)";
  const auto f = [](const Tensor<double>& a) { return tree::dot(linalg::qr(a).r, a); };
  CHECK(message_of([&] { grad(f)(x); }) == none);
  CHECK(message_of([&] { jvp(f)(x, x); }) == none);
  const auto constant = [](const Tensor<double>& a) { return tree::dot(linalg::qr(stop_gradient(a)).r, a); };
  CHECK(allclose(grad(constant)(x), x));
}

}  // namespace linalg_qr_test
