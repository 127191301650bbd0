// linalg::eigh and eigvalsh: residual, orthogonality, order, signs, known spectra, batches, errors.
#include <doctest/doctest.h>

#include "ergo/autograd/transforms.hpp"
#include "ergo/linalg/eigh.hpp"
#include "support/matrices.hpp"
#include "support/message.hpp"

namespace linalg_eigh_test {

using namespace ergo;

namespace {
Matrix symmetric(Matrix a) {
  for (std::int64_t i = 0; i < a.rows; ++i)
    for (std::int64_t j = i + 1; j < a.columns; ++j) a(i, j) = a(j, i);
  return a;
}
template <class T>
std::vector<double> check(const Matrix& a, double tolerance) {
  CAPTURE(a.rows);
  const Tensor<T> x = tensor_of<T>(a);
  const auto [values, vectors] = linalg::eigh(x);
  const Matrix v = matrix_of(vectors);
  std::vector<double> w;
  for (T e : values.to_vector()) w.push_back(double(e));
  CHECK(distance(a, product(v, v.transposed(), w)) <= tolerance);
  CHECK(skewness(v) <= tolerance);
  bool ascends = true, up = true;
  double size = 0, off = 0;
  for (std::size_t i = 0; i < w.size(); ++i) {
    ascends = ascends && (i == 0 || w[i - 1] <= w[i]);
    size = std::max(size, std::fabs(w[i]));
  }
  for (std::int64_t j = 0; j < v.columns; ++j) {
    double largest = 0;
    for (std::int64_t i = 0; i < v.rows; ++i)
      if (std::fabs(v(i, j)) > std::fabs(largest)) largest = v(i, j);
    up = up && largest > 0;
  }
  CHECK(ascends);
  CHECK(up);
  const auto alone = linalg::eigvalsh(x).to_vector();
  for (std::size_t i = 0; i < w.size(); ++i) off = std::max(off, std::fabs(double(alone[i]) - w[i]));
  CHECK(off <= tolerance * (size + 1e-300));
  return w;
}
}  // namespace

TEST_CASE("sizes around that of a block") {
  Fresh fresh;
  for (int n : {1, 2, 3, 5, 31, 32, 33, 34, 64, 65, 66, 120, 512})
    check<double>(symmetric(random_matrix(fresh, n, n)), 1e-13);
  Matrix rounded = symmetric(random_matrix(fresh, 40, 40));
  for (double& x : rounded.at) x = float(x);
  check<float>(rounded, 1e-6);
}

TEST_CASE("closed forms") {
  const auto w = check<double>({2, 2, {2, 1, 1, 2}}, 1e-15);
  CHECK(w[0] == doctest::Approx(1).epsilon(1e-15));
  CHECK(w[1] == doctest::Approx(3).epsilon(1e-15));
  const std::int64_t n = 100;  // second differences: 2 - 2 cos(j pi / (n + 1))
  Matrix a{n, n, std::vector<double>(std::size_t(n * n))};
  for (std::int64_t i = 0; i < n; ++i) {
    a(i, i) = 2;
    if (i + 1 < n) a(i, i + 1) = a(i + 1, i) = -1;
  }
  const auto cosines = check<double>(a, 1e-13);
  for (std::int64_t j = 1; j <= n; ++j)
    CHECK(std::fabs(cosines[std::size_t(j - 1)] - (2 - 2 * std::cos(double(j) * std::acos(-1.0) / double(n + 1)))) <=
          1e-14);
  for (std::int64_t i = 0; i < n; ++i) a(i, i) = 0;  // a zero diagonal
  check<double>(a, 1e-13);
  const auto identity = linalg::eigh(eye<double>(40));
  CHECK(array_equal(identity.vectors, eye<double>(40)));
}

TEST_CASE("multiple eigenvalues, low rank, zero, graded, the ends of the range") {
  Fresh fresh(1);
  const Matrix thin = random_matrix(fresh, 60, 3);
  const auto w = check<double>(product(thin, thin.transposed()), 1e-13);
  CHECK(std::fabs(w[0]) < 1e-12);
  CHECK(std::fabs(w[56]) < 1e-12);
  CHECK(w[57] > 1);
  check<double>({7, 7, std::vector<double>(49)}, 1e-15);
  Matrix projection = product(thin, thin.transposed());
  for (std::int64_t i = 0; i < 60; ++i)
    for (std::int64_t j = 0; j < 60; ++j) projection(i, j) = i == j ? 5 : 0;
  for (double x : check<double>(projection, 1e-15)) CHECK(x == 5);
  for (bool reversed : {false, true}) {
    const std::int64_t n = 12;
    Matrix graded{n, n, std::vector<double>(std::size_t(n * n))};
    for (std::int64_t i = 0; i < n; ++i)
      for (std::int64_t j = 0; j < n; ++j) {
        const double size = std::pow(10.0, -double(reversed ? 2 * n - 2 - i - j : i + j));
        graded(i, j) = (i == j ? 2 : 0.5) * size;
      }
    check<double>(graded, 1e-14);
  }
  for (double size : {1e-300, 1e300}) {
    Matrix a = symmetric(random_matrix(fresh, 9, 9));
    const auto plain = linalg::eigvalsh(tensor_of<double>(a)).to_vector();
    for (double& x : a.at) x *= size;
    const auto scaled = linalg::eigvalsh(tensor_of<double>(a)).to_vector();
    for (std::size_t i = 0; i < 9; ++i) CHECK(std::fabs(scaled[i] / size - plain[i]) <= 1e-13);
  }
}

TEST_CASE("the lower triangle is read; batches, vmap, empty") {
  Fresh fresh(2);
  const Matrix full = random_matrix(fresh, 6, 6);
  CHECK(array_equal(linalg::eigvalsh(tensor_of<double>(full)), linalg::eigvalsh(tensor_of<double>(symmetric(full)))));
  const Tensor<double> x = fresh.tensor<double>({3, 4, 4});
  const auto all = linalg::eigh(x);
  for (int i = 0; i < 3; ++i) {
    const auto one = linalg::eigh(x[i]);
    CHECK(array_equal(all.values[i], one.values));
    CHECK(array_equal(all.vectors[i], one.vectors));
  }
  const auto mapped = vmap([](const Tensor<double>& m) { return linalg::eigh(m); })(x);
  CHECK(array_equal(mapped.values, all.values));
  CHECK(array_equal(mapped.vectors, all.vectors));
  CHECK(linalg::eigh(zeros<double>({0, 0})).vectors.shape() == Shape{0, 0});
}

TEST_CASE("the bits do not depend on the number of threads") {
  Fresh fresh(3);
  const Tensor<double> x = fresh.tensor<double>({150, 150});
  set_num_threads(1);
  const auto one = linalg::eigh(x);
  for (int threads : {2, 8}) {
    set_num_threads(threads);
    const auto many = linalg::eigh(x);
    CHECK(array_equal(one.values, many.values));
    CHECK(array_equal(one.vectors, many.vectors));
  }
  set_num_threads(2);
}

TEST_CASE("errors") {
  CHECK(message_of([] { linalg::eigh(ones<float>({2, 3})); }) == "[eigh] (2, 3): the matrix is not square: 2 and 3");
  CHECK(message_of([] { linalg::eigvalsh(Tensor<double>(1)); }) == "[eigvalsh] (): a matrix has two axes");
  CHECK(message_of([] {
          linalg::eigh(full<double>({2, 2}, std::nan("")));
        }) == "[eigh] (2, 2): it has a NaN or infinity at (0, 0)");
  CHECK(message_of([] {
          grad([](const Tensor<double>& a) { return tree::dot(linalg::eigh(a).vectors, a); })(eye<double>(2));
        }) ==
        "[eigh] (2, 2): it has no derivative yet in this version (stop_gradient(x) makes its argument a constant)");
}

}  // namespace linalg_eigh_test
