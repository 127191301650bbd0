// linalg::lanczos: quadrature, orthogonality with and without reorthogonalisation, invariant subspaces, trees, errors.
#include <doctest/doctest.h>

#include <cmath>

#include "ergo/autograd/curvature.hpp"
#include "ergo/linalg/eigh.hpp"
#include "ergo/linalg/lanczos.hpp"
#include "ergo/ops/arithmetic.hpp"
#include "ergo/ops/exponential.hpp"
#include "ergo/ops/tree_norm.hpp"
#include "support/matrices.hpp"
#include "support/message.hpp"

namespace linalg_lanczos_test {

using namespace ergo;

namespace {
Tensor<double> gaussian(Fresh& fresh, std::int64_t n) {
  Tensor<double> x = detail::make_tensor<double>({n});
  for (std::int64_t i = 0; i < n; ++i)
    detail::data_of<double>(x.array())[i] =
        std::sqrt(-2 * std::log(1 - fresh.uniform())) * std::cos(2 * std::acos(-1.0) * fresh.uniform());
  return x;
}
// The largest entry of |V V' - 1| for vectors as rows.
double skewness_of(const std::vector<Tensor<double>>& vectors) {
  Matrix m{std::int64_t(vectors.size()), vectors[0].numel(), {}};
  for (const auto& v : vectors)
    for (double x : v.to_vector()) m.at.push_back(x);
  return skewness(m.transposed());
}
struct Pair {
  Tensor<float> a;
  std::vector<Tensor<double>> b;
  int unused = 0;
  ERGO_FIELDS(Pair, a, b, unused)
};
}  // namespace

TEST_CASE("k steps integrate polynomials of degree 2 k - 1 exactly, and no more") {
  Fresh fresh;
  const std::int64_t n = 500;
  const Tensor<double> d = gaussian(fresh, n), v = gaussian(fresh, n);
  const auto r = linalg::lanczos([&](const Tensor<double>& x) { return d * x; }, v, 5);
  const auto moment = [&](int power) {
    long double sum = 0, size = 0, scale = 0;
    for (std::int64_t i = 0; i < n; ++i) {
      const long double w = (long double)v.at({i}) * v.at({i}), x = std::pow((long double)d.at({i}), power);
      sum += w * x;
      scale += w * std::fabs(x);
      size += w;
    }
    long double quadrature = 0;
    for (std::int64_t j = 0; j < 5; ++j)
      quadrature += r.weights.at({j}) * std::pow((long double)r.values.at({j}), power);
    return double(std::fabs(quadrature - sum / size) / (scale / size));
  };
  for (int power : {1, 2, 5, 9}) CHECK(moment(power) <= 1e-12);
  CHECK(moment(10) > 1e-8);
}

TEST_CASE("both ends of a spectrum, each eigenvalue once; without reorthogonalisation copies appear") {
  Fresh fresh(1);
  Tensor<double> d = gaussian(fresh, 500);
  double* p = detail::data_of<double>(d.array());
  p[0] = 50, p[1] = 80, p[2] = -20;
  const Tensor<double> v = gaussian(fresh, 500);
  const auto op = [&](const Tensor<double>& x) { return d * x; };
  const auto copies = [](const auto& r) {
    int n = 0;
    for (double x : r.values.to_vector()) n += std::fabs(x - 80) <= 1e-6;
    return n;
  };
  const auto r = linalg::lanczos(op, v, 100);
  const auto [values, vectors, alpha, beta] = r;
  CHECK(std::fabs(values.at({-1}) - 80) <= 1e-10);
  CHECK(std::fabs(values.at({-2}) - 50) <= 1e-10);
  CHECK(std::fabs(values.at({0}) + 20) <= 1e-10);
  CHECK(copies(r) == 1);
  CHECK(skewness_of(vectors) <= 1e-13);
  CHECK(alpha.shape() == Shape{100});
  CHECK(beta.shape() == Shape{99});
  for (std::int64_t i : {0, 98, 99}) {  // residuals are what they say, below rounding for the converged ones
    const Tensor<double> y = vectors[std::size_t(i)], off = op(y) - values.at({i}) * y;
    CHECK(std::sqrt(tree::dot(off, off).item()) <= r.residuals.at({i}) + 1e-11);
  }
  const auto short_run = linalg::lanczos(op, v, 8);
  for (std::int64_t i = 0; i < 8; ++i) {
    const Tensor<double> y = short_run.vectors[std::size_t(i)], off = op(y) - short_run.values.at({i}) * y;
    CHECK(std::sqrt(tree::dot(off, off).item()) == doctest::Approx(short_run.residuals.at({i})).epsilon(1e-9));
  }

  const auto loose = linalg::lanczos(op, v, 100, {.reorthogonalize = linalg::Reorthogonalize::none});
  CHECK(copies(loose) >= 5);
  CHECK(skewness_of(loose.vectors) > 0.5);
}

TEST_CASE("an invariant subspace ends it, and says so") {
  Fresh fresh(2);
  Matrix diagonal{6, 6, std::vector<double>(36)};
  for (std::int64_t i = 0; i < 6; ++i) diagonal(i, i) = double(i + 1);
  const Tensor<double> d = tensor<double>({1, 2, 3, 4, 5, 6});
  const auto op = [&](const Tensor<double>& x) { return d * x; };
  const auto r = linalg::lanczos(op, tensor<double>({0, 3, 0, 0, -1, 0}), 5);
  CHECK(r.invariant);
  CHECK(r.steps == 2);
  CHECK(r.values.shape() == Shape{2});
  CHECK(r.values.at({0}) == doctest::Approx(2).epsilon(1e-14));
  CHECK(r.values.at({1}) == doctest::Approx(5).epsilon(1e-14));
  CHECK(r.residuals.at({0}) == 0);
  CHECK(r.weights.at({0}) == doctest::Approx(0.9).epsilon(1e-13));
  const auto whole = linalg::lanczos(op, fresh.tensor<double>({6}), 50);  // at most n steps
  CHECK(whole.steps == 6);
  CHECK(whole.invariant);
  for (std::int64_t i = 0; i < 6; ++i) CHECK(whole.values.at({i}) == doctest::Approx(double(i + 1)).epsilon(1e-12));
  const auto zero = linalg::lanczos([](const Tensor<double>& x) { return 0 * x; }, ones<double>({4}), 3);
  CHECK(zero.steps == 1);
  CHECK(zero.values.item() == 0);
  const auto longer = linalg::lanczos(op, fresh.tensor<double>({6}), 3);
  CHECK_FALSE(longer.invariant);
  CHECK(linalg::lanczos(op, d, 3, {.vectors = false}).vectors.empty());
}

TEST_CASE("trees of several leaves and dtypes: the Hessian of a function") {
  Fresh fresh(3);
  const Pair at{fresh.tensor<float>({2, 3}), {fresh.tensor<double>({4}), fresh.tensor<double>({})}, 7};
  const auto f = [](const Pair& p) {
    const auto x = tree::ravel(p);
    const Tensor<double> size = tree::dot(x, x);
    return exp(0.5 * size) + size * size;  // Hessian: (e + 4 s) I + (e + 8) x x'
  };
  const auto r =
      linalg::lanczos([&](const Pair& v) { return hvp(f)(at, v); },
                      Pair{fresh.tensor<float>({2, 3}), {fresh.tensor<double>({4}), fresh.tensor<double>({})}, 9}, 5);
  const double s = tree::dot(at, at).item(), e = std::exp(0.5 * s);
  CHECK(r.values.at({0}) == doctest::Approx(e + 4 * s).epsilon(1e-5));
  CHECK(r.values.at({-1}) == doctest::Approx(e + 4 * s + (e + 8) * s).epsilon(1e-5));
  CHECK(r.vectors.back().unused == 9);
  CHECK(r.vectors.back().a.shape() == Shape{2, 3});
  CHECK(double(tree::norm(r.vectors.back()).item()) == doctest::Approx(1).epsilon(1e-6));
  const double along = tree::dot(r.vectors.back(), at).item();
  CHECK(along * along == doctest::Approx(s).epsilon(1e-5));
}

TEST_CASE("the bits do not depend on the number of threads") {
  Fresh fresh(4);
  const Tensor<float> d = fresh.tensor<float>({30000}), v = fresh.tensor<float>({30000});
  std::vector<std::vector<double>> values;
  std::vector<std::vector<float>> vectors;
  for (int threads : {1, 2, 5}) {
    set_num_threads(threads);
    const auto r = linalg::lanczos([&](const Tensor<float>& x) { return d * x; }, v, 12);
    values.push_back(r.values.to_vector());
    vectors.push_back(r.vectors[3].to_vector());
  }
  set_num_threads(2);
  CHECK(values[0] == values[1]);
  CHECK(values[0] == values[2]);
  CHECK(vectors[0] == vectors[1]);
  CHECK(vectors[0] == vectors[2]);
}

TEST_CASE("errors") {
  const auto same = [](const Tensor<double>& x) { return x; };
  const Tensor<double> v = ones<double>({3});
  CHECK(message_of([&] { linalg::lanczos(same, v, 0); }) == "[lanczos] 0 steps, where at least one is needed");
  CHECK(message_of([&] { linalg::lanczos(same, zeros<double>({3}), 2); }) == "[lanczos] the start vector is zero");
  CHECK(message_of([&] { linalg::lanczos(same, full<double>({3}, std::nan("")), 2); }) ==
        "[lanczos] the start vector has a NaN or infinity");
  int calls = 0;
  const auto breaks = [&](const Tensor<double>& x) {
    return ++calls == 2 ? full<double>({3}, HUGE_VAL) : tensor<double>({1, 2, 3}) * x;
  };
  CHECK(message_of([&] { linalg::lanczos(breaks, v, 3); }) ==
        "[lanczos] the operator gave a NaN or infinity in step 2");
  CHECK(message_of([&] { linalg::lanczos([](const Tensor<double>&) { return ones<double>({4}); }, v, 2); }) ==
        "[lanczos] (3,) x (4,): leaves of the two trees differ in shape");
  const std::string inside =
      "[lanczos] (3,): it reads values and cannot run inside a transform; stop_gradient(x) outside vmap";
  CHECK(message_of([&] {
          grad([&](const Tensor<double>& x) { return tree::dot(x, linalg::lanczos(same, x, 1).vectors[0]); })(v);
        }) == inside);
  CHECK(message_of([&] {
          grad([&](const Tensor<double>& x) {
            return tree::dot(x, linalg::lanczos([&](const Tensor<double>& y) { return x * y; }, v, 2).vectors[0]);
          })(v);
        }) == inside);
}

TEST_CASE("operators and starts whose squares leave the range") {
  const auto d = tensor<double>({1, 2, 3});
  for (const double size : {1e-200, 1e200}) {
    const auto r = linalg::lanczos([&](const auto& x) { return d * size * x; }, ones<double>({3}), 3);
    for (int i = 0; i < 3; ++i) CHECK(r.values.at({i}) == doctest::Approx((i + 1) * size).epsilon(1e-12).scale(0));
    const auto s = linalg::lanczos([&](const auto& x) { return d * x; }, full<double>({3}, size), 3);
    for (int i = 0; i < 3; ++i) CHECK(s.values.at({i}) == doctest::Approx(i + 1).epsilon(1e-12));
  }
}

}  // namespace linalg_lanczos_test
