// Corners of variance, norm and layer_norm: offsets, extremes of the range, empty and constant rows, mapped parameters.
#include <doctest/doctest.h>

#include <cmath>

#include "ergo/autograd/curvature.hpp"
#include "ergo/ops/normalization.hpp"
#include "ergo/ops/statistics.hpp"
#include "support/fresh.hpp"
#include "support/isas.hpp"
#include "support/message.hpp"

namespace ops_statistics_test {

using namespace ergo;

namespace {

template <class T>
std::vector<T> values(const Tensor<T>& x) {
  return x.to_vector();
}
std::vector<float> normals(Fresh& fresh, std::int64_t n, double offset) {
  std::vector<float> v;
  for (std::int64_t i = 0; i < n; ++i)
    v.push_back(float(offset + std::sqrt(-2 * std::log(fresh.uniform(1e-12, 1))) *
                                   std::cos(6.283185307179586 * fresh.uniform())));
  return v;
}
long double variance_of(const std::vector<float>& v) {
  long double m = 0, s = 0;
  for (float x : v) m += x;
  m /= (long double)(v.size());
  for (float x : v) s += (x - m) * (x - m);
  return s / (long double)(v.size());
}

}  // namespace

TEST_CASE("the variance at an offset") {
  Fresh fresh(1);
  for (const double offset : {0.0, 1e3, 1e6, -1e6})
    for (const std::int64_t n : {2, 9, 100, 100000}) {
      auto v = normals(fresh, n, offset);
      const auto want = double(variance_of(v));
      on_each_isa([&] { CHECK(std::abs(double(variance(from_span<float>(v, {n})).item()) - want) <= 1e-3 * want); });
    }
  // An outlier in front does not hide the rest.
  std::vector<float> v = normals(fresh, 1000, 0);
  v[0] = 1e6f;
  CHECK(double(variance(from_span<float>(v, {1000})).item()) == doctest::Approx(double(variance_of(v))).epsilon(1e-5));
}

TEST_CASE("variance: corrections, nothing, infinities") {
  const auto x = tensor<double>({{1, 2, 4}, {5, 5, 5}});
  CHECK(variance(x, 1, {.correction = 1}).at({0}) == doctest::Approx(7.0 / 3).epsilon(1e-15));
  CHECK(variance(x, 1, {.correction = 1}).at({1}) == 0);
  CHECK(variance(x, {0, 1}, true).shape() == Shape{1, 1});
  CHECK(variance(x, {0, 1}, true, {.correction = 1}).shape() == Shape{1, 1});
  CHECK(std::isnan(variance(zeros<float>({0})).item()));
  CHECK(std::isnan(variance(ones<float>({1}), {.correction = 1}).item()));
  CHECK(variance(ones<float>({1})).item() == 0);
  CHECK(std::isnan(variance(tensor<float>({1, float(INFINITY)})).item()));
  CHECK(float(variance(tensor<half>({half(1.0f), half(3.0f)})).item()) == 1);
  CHECK(message_of([&] { variance(x, 3); }) == "[variance] (2, 3): axis 3 is out of range for rank 2");
}

TEST_CASE("the norm over the range of the dtype") {
  on_each_isa([&] {
    CHECK(norm(full<float>({4}, 1e20f)).item() == doctest::Approx(2e20));
    CHECK(norm(full<float>({4}, 1e-30f)).item() == doctest::Approx(2e-30));
    CHECK(norm(full<float>({4}, 1e-44f)).item() == doctest::Approx(2 * double(1e-44f)));
    CHECK(norm(full<double>({9}, 1e200)).item() == doctest::Approx(3e200));
    CHECK(norm(full<float>({10000000}, 0.1f)).item() == doctest::Approx(double(0.1f) * std::sqrt(1e7)).epsilon(1e-6));
  });
  CHECK(norm(zeros<float>({0})).item() == 0);
  CHECK(norm(zeros<float>({0}), {.ord = HUGE_VAL}).item() == 0);
  CHECK(norm(tensor<float>({1, -float(INFINITY)})).item() == float(INFINITY));
  CHECK(std::isnan(norm(tensor<float>({1, NAN, float(INFINITY)})).item()));
  CHECK(std::isnan(norm(tensor<float>({1, NAN}), {.ord = HUGE_VAL}).item()));
  CHECK(float(norm(full<half>({4}, 30000.0f)).item()) == 60000);
  CHECK(norm(tensor<float>({3, -4}), {.ord = 1}).item() == 7);
  CHECK(norm(tensor<float>({3, -4}), {.ord = HUGE_VAL}).item() == 4);
  CHECK(message_of([] { norm(zeros<float>({2}), {.ord = 3}); }) ==
        "[norm] (2,): .ord = 3: the orders are 1, 2 and infinity");
}

TEST_CASE("the norm at 0 has derivative 0 of every order; at ties of order infinity shares") {
  const auto f = [](const Tensor<double>& x) { return norm(x); };
  const auto zero = zeros<double>({3}), one = ones<double>({3});
  CHECK(values(grad(f)(zero)) == std::vector<double>{0, 0, 0});
  CHECK(jvp(f)(zero, one).second.item() == 0);
  CHECK(values(hessian(f)(zero)) == std::vector<double>(9, 0.0));
  CHECK(values(hvp(f)(zero, one)) == std::vector<double>{0, 0, 0});
  CHECK(values(grad([&](const Tensor<double>& x) { return sum(hvp(f)(x, one)); })(zero)) ==
        std::vector<double>{0, 0, 0});
  CHECK(values(grad([](const Tensor<double>& x) { return norm(x, {.ord = HUGE_VAL}); })(tensor<double>({-2, 2, 1}))) ==
        std::vector<double>{-0.5, 0.5, 0});
  CHECK(values(grad([](const Tensor<double>& x) { return norm(x, {.ord = 1}); })(tensor<double>({-2, 0, 1}))) ==
        std::vector<double>{-1, 0, 1});
  // Rows with and without length beside each other.
  const auto g =
      grad([](const Tensor<double>& x) { return sum(norm(x, 1)); })(tensor<double>({{0, 0}, {3, 4}})).to_vector();
  CHECK(g[0] == 0);
  CHECK(g[2] == doctest::Approx(0.6));
}

TEST_CASE("layer_norm at an offset, of constant rows, of rows of any length") {
  Fresh fresh(2);
  on_each_isa([&] {
    for (const std::int64_t n : {1, 2, 3, 5, 8, 10, 16, 17, 33, 64, 100, 1000, 4099})
      for (const double offset : {0.0, 1e4}) {
        const std::int64_t rows = n < 100 ? fresh.integer(1, 40) : 3;
        const auto v = normals(fresh, rows * n, offset);
        const auto gamma = fresh.tensor<float>({n}, 0.5, 1.5), beta = fresh.tensor<float>({n});
        const auto y = layer_norm(from_span<float>(v, {rows, n}), gamma, beta).to_vector();
        double worst = 0;
        for (std::int64_t r = 0; r < rows; ++r) {
          const std::vector<float> row(v.begin() + r * n, v.begin() + (r + 1) * n);
          long double m = 0;
          for (float x : row) m += x;
          m /= n;
          const long double s = 1 / std::sqrt(variance_of(row) + 1e-5L);
          for (std::int64_t i = 0; i < n; ++i)
            worst = std::max(worst, double(std::abs((row[std::size_t(i)] - m) * s * gamma.at({i}) + beta.at({i}) -
                                                    y[std::size_t(r * n + i)])));
        }
        CAPTURE(n);
        CAPTURE(offset);
        CHECK(worst <= (offset == 0 ? 5e-6 : 1e-3));
      }
  });
  const auto flat = layer_norm(full<float>({2, 5}, 3.0f), ones<float>({5}), full<float>({5}, 0.25f)).to_vector();
  for (float v : flat) CHECK(v == 0.25f);
  const auto g = grad([](const Tensor<float>& x) {
    return sum(layer_norm(x, ones<float>({5}), zeros<float>({5})) * x);
  })(full<float>({2, 5}, 3.0f));
  for (float v : g.to_vector()) CHECK(std::isfinite(v));
  CHECK(layer_norm(zeros<float>({0, 4}), ones<float>({4}), ones<float>({4})).shape() == Shape{0, 4});
}

TEST_CASE("layer_norm's three gradients equal those of the formula, mapped parameters and all") {
  Fresh fresh(3);
  using Three = std::tuple<Tensor<double>, Tensor<double>, Tensor<double>>;
  const auto kernel = [](const Three& p) { return layer_norm(std::get<0>(p), std::get<1>(p), std::get<2>(p)); };
  const auto formula = [](const Three& p) {
    const auto d = std::get<0>(p) - mean(std::get<0>(p), -1, true);
    return d / sqrt(mean(square(d), -1, true) + 1e-5) * std::get<1>(p) + std::get<2>(p);
  };
  const auto agree = [](const Three& a, const Three& b) {
    CHECK(allclose(std::get<0>(a), std::get<0>(b), {.rtol = 1e-10, .atol = 1e-11}));
    CHECK(allclose(std::get<1>(a), std::get<1>(b), {.rtol = 1e-10, .atol = 1e-11}));
    CHECK(allclose(std::get<2>(a), std::get<2>(b), {.rtol = 1e-10, .atol = 1e-11}));
  };
  for (const Shape& s : {Shape{4, 6}, Shape{70, 3}, Shape{300, 33}, Shape{2, 3, 17}, Shape{9}}) {
    const Three x{fresh.tensor<double>(s), fresh.tensor<double>({s[-1]}), fresh.tensor<double>({s[-1]})};
    const auto w = fresh.tensor<double>(s);
    agree(grad([&](const Three& p) { return sum(w * kernel(p)); })(x),
          grad([&](const Three& p) { return sum(w * formula(p)); })(x));
  }
  // One gamma and beta an example.
  const Three many{fresh.tensor<double>({5, 4, 6}), fresh.tensor<double>({5, 6}), fresh.tensor<double>({5, 6})};
  const auto w = fresh.tensor<double>({4, 6});
  const auto through = [&](auto f) { return vmap(grad([&, f](const Three& p) { return sum(w * f(p)); }))(many); };
  agree(through(kernel), through(formula));
  const auto under = [&](auto f) { return grad([&, f](const Three& p) { return sum(vmap(f)(p)); })(many); };
  agree(under([&](const Three& p) { return w * kernel(p); }), under([&](const Three& p) { return w * formula(p); }));
  const auto twice = [&](auto f) {
    return grad([&, f](const Three& p) {
      const auto g = vmap(grad([&, f](const Three& q) { return sum(w * f(q)); }))(p);
      return sum(square(std::get<0>(g))) + sum(square(std::get<1>(g))) + sum(square(std::get<2>(g)));
    })(many);
  };
  agree(twice(kernel), twice(formula));
}

TEST_CASE("what layer_norm refuses") {
  CHECK(message_of([] {
          layer_norm(zeros<float>({2, 3}), ones<float>({2}), ones<float>({3}));
        }) == "[layer_norm] (2, 3) x (2,) x (3,): gamma and beta must have the extent 3 of the last axis");
  CHECK(message_of([] { layer_norm(Tensor<float>(1.0f), ones<float>({1}), ones<float>({1})); }) ==
        "[layer_norm] () x (1,) x (1,): x needs an axis to normalise along");
}

TEST_CASE("an empty list of axes reduces nothing") {
  const auto x = tensor<double>({{3, -4}, {0, 1}});
  CHECK(norm(x, {}).to_vector() == std::vector<double>{3, 4, 0, 1});
  CHECK(variance(x, {}).shape() == Shape{2, 2});
  CHECK(norm(x, {0, 1}).item() == doctest::Approx(std::sqrt(26.0)));
  CHECK(norm(x, {.ord = 1}).item() == 8);
}

}  // namespace ops_statistics_test
