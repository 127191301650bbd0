// linalg::svd and svdvals: residual, orthogonality, order, signs, known spectra, small singular values, batches,
// errors.
#include <doctest/doctest.h>

#include "ergo/autograd/transforms.hpp"
#include "ergo/linalg/svd.hpp"
#include "support/matrices.hpp"
#include "support/message.hpp"

namespace linalg_svd_test {

using namespace ergo;

namespace {
template <class T>
std::vector<double> check(const Matrix& a, double tolerance) {
  CAPTURE(a.rows);
  CAPTURE(a.columns);
  const Tensor<T> x = tensor_of<T>(a);
  const auto [ut, st, vt] = linalg::svd(x);
  const Matrix u = matrix_of(ut), v = matrix_of(vt);
  std::vector<double> s;
  for (T e : st.to_vector()) s.push_back(double(e));
  CHECK(distance(a, product(u, v, s)) <= tolerance);
  CHECK(skewness(u) <= tolerance);
  CHECK(skewness(v.transposed()) <= tolerance);
  bool descends = s.empty() || s.back() >= 0, up = true;
  for (std::size_t i = 1; i < s.size(); ++i) descends = descends && s[i - 1] >= s[i];
  for (std::int64_t j = 0; j < u.columns; ++j) {
    double largest = 0;
    for (std::int64_t i = 0; i < u.rows; ++i)
      if (std::fabs(u(i, j)) > std::fabs(largest)) largest = u(i, j);
    up = up && largest > 0;
  }
  CHECK(descends);
  CHECK(up);
  const auto alone = linalg::svdvals(x).to_vector();
  double off = 0;
  for (std::size_t i = 0; i < s.size(); ++i) off = std::max(off, std::fabs(double(alone[i]) - s[i]));
  CHECK(off <= tolerance * (s.empty() ? 1 : s[0] + 1e-300));
  return s;
}
}  // namespace

TEST_CASE("all aspect ratios, around the size of a block") {
  Fresh fresh;
  for (auto [m, n] : {std::pair{1, 1},
                      {2, 2},
                      {1, 5},
                      {5, 1},
                      {3, 2},
                      {2, 3},
                      {31, 31},
                      {32, 32},
                      {33, 33},
                      {45, 40},
                      {40, 45},
                      {100, 33},
                      {33, 100},
                      {64, 64},
                      {300, 2},
                      {512, 512}})
    check<double>(random_matrix(fresh, m, n), 1e-13);
  Matrix rounded = random_matrix(fresh, 40, 30);
  for (double& x : rounded.at) x = float(x);
  check<float>(rounded, 1e-6);
}

TEST_CASE("closed forms") {
  // [[3, 0], [4, 5]]: singular values sqrt(45) and sqrt(5).
  const auto s = check<double>({2, 2, {3, 0, 4, 5}}, 1e-14);
  CHECK(s[0] == doctest::Approx(std::sqrt(45.0)).epsilon(1e-15));
  CHECK(s[1] == doctest::Approx(std::sqrt(5.0)).epsilon(1e-15));
  // The second difference's factor, upper bidiagonal of 1 and -1: 2 sin((2 j - 1) pi / (4 n + 2)).
  const std::int64_t n = 60;
  Matrix b{n, n, std::vector<double>(std::size_t(n * n))};
  for (std::int64_t i = 0; i < n; ++i) {
    b(i, i) = 1;
    if (i + 1 < n) b(i, i + 1) = -1;
  }
  const auto sines = check<double>(b, 1e-13);
  for (std::int64_t j = 1; j <= n; ++j)
    CHECK(sines[std::size_t(n - j)] ==
          doctest::Approx(2 * std::sin(double(2 * j - 1) * std::acos(-1.0) / double(4 * n + 2))).epsilon(1e-13));
  const auto identity = linalg::svd(eye<double>(5));
  CHECK(array_equal(identity.u, eye<double>(5)));
  CHECK(array_equal(identity.vt, eye<double>(5)));
  CHECK(array_equal(identity.s, ones<double>({5})));
}

TEST_CASE("small singular values keep their digits: a graded bidiagonal matrix") {
  // Diagonal 1, 1e-3, ..., 1e-30 with entries of half the size beside it. The determinant is the product, exactly.
  const std::int64_t n = 11;
  for (bool reversed : {false, true}) {
    Matrix b{n, n, std::vector<double>(std::size_t(n * n))};
    for (std::int64_t i = 0; i < n; ++i) {
      const double size = std::pow(10.0, double(-3 * (reversed ? n - 1 - i : i)));
      b(i, i) = size;
      if (i + 1 < n) b(i, i + 1) = size / 2;
    }
    const auto s = linalg::svdvals(tensor_of<double>(b)).to_vector();
    double log_product = 0;
    for (double x : s) log_product += std::log10(x);
    CHECK(log_product == doctest::Approx(-165).epsilon(1e-13));
    for (std::int64_t i = 0; i < n; ++i) CHECK(std::fabs(std::log10(s[std::size_t(i)]) + 3 * double(i)) < 0.3);
  }
}

TEST_CASE("matrices without full rank, zeros on the diagonal, and at the ends of the range") {
  Fresh fresh(1);
  const auto s = check<double>(product(random_matrix(fresh, 50, 4), random_matrix(fresh, 4, 45)), 1e-13);
  CHECK(s[3] > 1e-3);
  CHECK(s[4] < 1e-12);
  check<double>({4, 3, std::vector<double>(12)}, 1e-15);
  Matrix shift{6, 6, std::vector<double>(36)};  // a zero diagonal
  for (std::int64_t i = 0; i + 1 < 6; ++i) shift(i, i + 1) = double(i + 1);
  const auto t = check<double>(shift, 1e-14);
  for (std::int64_t i = 0; i < 6; ++i) CHECK(t[std::size_t(i)] == doctest::Approx(double(5 - i)).epsilon(1e-14));
  for (double size : {1e-300, 1e300}) {
    Matrix a = random_matrix(fresh, 9, 7);
    const auto plain = linalg::svdvals(tensor_of<double>(a)).to_vector();
    for (double& x : a.at) x *= size;
    const auto scaled = linalg::svdvals(tensor_of<double>(a)).to_vector();
    for (std::size_t i = 0; i < 7; ++i) CHECK(scaled[i] / size == doctest::Approx(plain[i]).epsilon(1e-13));
  }
}

TEST_CASE("orthogonal products have singular values of 1; multiple values do no harm") {
  Fresh fresh(2);
  Matrix a{30, 30, std::vector<double>(900)};
  for (std::int64_t i = 0; i < 30; ++i) a(i, (7 * i + 3) % 30) = i % 2 ? 1 : -1;
  for (double s : check<double>(a, 1e-14)) CHECK(s == 1);
  for (auto& x : a.at) x *= fresh.uniform(1, 2) > 1.5 ? 2 : 1;
  check<double>(a, 1e-13);
}

TEST_CASE("batches, vmap, empty matrices") {
  Fresh fresh(3);
  const Tensor<double> x = fresh.tensor<double>({2, 3, 4, 6});
  const auto all = linalg::svd(x);
  CHECK(all.u.shape() == Shape{2, 3, 4, 4});
  CHECK(all.s.shape() == Shape{2, 3, 4});
  CHECK(all.vt.shape() == Shape{2, 3, 4, 6});
  const auto one = linalg::svd(x[1][2]);
  CHECK(array_equal(all.u[1][2], one.u));
  CHECK(array_equal(all.s[1][2], one.s));
  CHECK(array_equal(all.vt[1][2], one.vt));
  const auto mapped = vmap([](const Tensor<double>& m) { return linalg::svd(m); })(x[0]);
  CHECK(array_equal(mapped.u, all.u[0]));
  CHECK(array_equal(mapped.vt, all.vt[0]));
  const auto empty = linalg::svd(zeros<double>({4, 0}));
  CHECK(empty.u.shape() == Shape{4, 0});
  CHECK(empty.s.shape() == Shape{0});
  CHECK(empty.vt.shape() == Shape{0, 0});
}

TEST_CASE("the bits do not depend on the number of threads") {
  Fresh fresh(4);
  const Tensor<double> x = fresh.tensor<double>({150, 140});
  set_num_threads(1);
  const auto one = linalg::svd(x);
  for (int threads : {2, 8}) {
    set_num_threads(threads);
    const auto many = linalg::svd(x);
    CHECK(array_equal(one.u, many.u));
    CHECK(array_equal(one.s, many.s));
    CHECK(array_equal(one.vt, many.vt));
  }
  set_num_threads(2);
}

TEST_CASE("errors") {
  CHECK(message_of([] { linalg::svd(ones<float>({3})); }) == "[svd] (3,): a matrix has two axes");
  CHECK(message_of([] {
          linalg::svdvals(full<float>({1, 2, 2}, HUGE_VALF));
        }) == "[svdvals] (1, 2, 2): it has a NaN or infinity at (0, 0, 0)");
  CHECK(message_of(
            [] { grad([](const Tensor<double>& a) { return tree::dot(linalg::svd(a).u, a); })(eye<double>(2)); }) ==
        "[svd] (2, 2): it has no derivative yet in this version (stop_gradient(x) makes its argument a constant)");
}

}  // namespace linalg_svd_test
