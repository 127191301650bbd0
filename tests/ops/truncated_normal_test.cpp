// Truncated normals: inverted against the distribution function in long double, from the centre to bounds a million
// deviations out; derivatives against differences.
#include "ergo/ops/truncated_normal.hpp"

#include <doctest/doctest.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <random>
#include <vector>

#include "../support/seed.hpp"
#include "ergo/autograd/transforms.hpp"

namespace ops_truncated_normal_test {

using namespace ergo;

namespace {

const double kInf = std::numeric_limits<double>::infinity();
std::mt19937_64 source(test_seed());

template <class F>
std::string error_of(F f) {
  try {
    f();
  } catch (const Error& e) { return e.what(); }
  return "no error";
}

// log of the upper tail probability: erfc, and beyond its range Laplace's continued fraction.
long double log_upper(long double x) {
  if (x == kInf) return -kInf;
  if (x < 100) return std::log(0.5L * std::erfc(x / std::sqrt(2.0L)));
  long double fraction = x;
  for (int k = 60; k > 0; --k) fraction = x + k / fraction;
  return -x * x / 2 - 0.5L * std::log(2 * 3.14159265358979323846264338327950288L) - std::log(fraction);
}
// The probability of [a, b] over exp(scale), without cancellation between the tails.
long double mass(long double a, long double b, long double scale) {
  if (b <= 0) return mass(-b, -a, scale);
  if (a < 0) return mass(0, -a, scale) + mass(0, b, scale);
  const long double base = log_upper(a);
  return -std::exp(base - scale) * std::expm1(log_upper(b) - base);
}
// The standard normal that the share u of [lo, hi] stands for, by bisection on whichever of the two shares is the
// smaller.
long double exact(long double u, long double lo, long double hi) {
  const long double scale = lo > 0 ? log_upper(lo) : hi < 0 ? log_upper(-hi) : 0, all = mass(lo, hi, scale);
  long double a = std::max(lo, hi < 0 ? hi - 60 : -60.0L), b = std::min(hi, lo > 0 ? lo + 60 : 60.0L);
  for (int i = 0; i < 200; ++i) {
    const long double m = (a + b) / 2;
    const bool low = u < 0.5L ? mass(lo, m, scale) < u * all : mass(m, hi, scale) > (1 - u) * all;
    (low ? a : b) = m;
  }
  return (a + b) / 2;
}

}  // namespace

TEST_CASE("inversion is accurate to double") {
  const std::vector<std::pair<double, double>> bounds = {
      {-kInf, kInf}, {-1, 2},    {0, kInf},    {3, 4},       {-4, -3.5}, {5, kInf},
      {-kInf, -8},   {20, 21},   {-30, -29.9}, {35, kInf},   {36.5, 37}, {-kInf, -37.5},
      {-39, -38},    {100, 101}, {1000, kInf}, {-1e6, -1e5}, {-2.5, 40}, {0.1, 0.1001}};
  std::uniform_real_distribution<double> uniform(0x1p-40, 1);
  double worst = 0;
  for (const auto& bound : bounds) {
    const double lo = bound.first, hi = bound.second;
    const int n = 300;
    std::vector<double> u;
    for (int i = 0; i < n; ++i)
      u.push_back(i < 5    ? std::ldexp(1.0, -10 * (i + 1))
                  : i < 10 ? 1 - std::ldexp(1.0, -5 * (i - 3))
                           : uniform(source));
    const auto z =
        pointwise_op(detail::TruncatedNormal{}, from_span<double>(u, {n}), Tensor<double>(lo), Tensor<double>(hi))
            .to_vector();
    for (std::size_t i = 0; i < u.size(); ++i) {
      REQUIRE(z[i] >= lo);
      REQUIRE(z[i] <= hi);
      const long double reference = exact(u[i], lo, hi);
      // Near 0 an error of u's last bit moves z by more than z's own.
      const long double x = std::max(std::fabs(reference), 0.05L);
      const double error = double(std::fabs(z[i] - reference) / x);
      CHECK_MESSAGE(error < 5e-14,
                    "u " << u[i] << " in [" << lo << ", " << hi << "]: " << z[i] << " for " << double(reference));
      worst = std::max(worst, error);
    }
  }
  std::printf("truncated_normal: relative error at most %.1e\n", worst);
}

TEST_CASE_TEMPLATE("draws follow the distribution and stay within", T, float, double, bfloat16) {
  const Key key{test_seed()};
  const std::int64_t n = 100000;
  for (const auto& [lo, hi] : {std::pair{-2.0, 2.0}, {0.5, 4.0}, {6.0, 8.0}, {-kInf, 0.0}}) {
    const auto z = truncated_normal<T>(key, {n}, lo, hi).to_vector();
    for (double quantile : {0.1, 0.5, 0.8}) {
      const double cut = double(exact(quantile, lo, hi));
      double below = 0;
      bool within = true;
      for (const T x : z) {
        within = within && double(x) >= lo && double(x) <= hi;
        below += double(x) < cut;
      }
      CHECK(within);
      const double coarse = std::is_same_v<T, bfloat16> ? 0.05 : 0;
      CHECK(std::abs(below / double(n) - quantile) < 6 * 0.5 / std::sqrt(double(n)) + coarse);
    }
  }
}

TEST_CASE("bounds are tensors too, with derivatives of any order") {
  const Key key{test_seed()};
  const auto lo = tensor<double>({-1, 0, 2}), hi = tensor<double>({1, 0.5, 9});
  const auto z = truncated_normal<double>(key, {4, 3}, lo, hi);
  for (int i = 0; i < 4; ++i)
    for (int j = 0; j < 3; ++j) {
      CHECK(z.at({i, j}) >= lo.at({j}));
      CHECK(z.at({i, j}) <= hi.at({j}));
    }
  const auto of_lo = [&](const Tensor<double>& a) { return truncated_normal<double>(key, {}, a, 1.5); };
  const auto of_hi = [&](const Tensor<double>& b) { return truncated_normal<double>(key, {}, -0.5, b); };
  const auto difference = [](auto f, double x, double h) {
    return (f(Tensor<double>(x + h)).item() - f(Tensor<double>(x - h)).item()) / (2 * h);
  };
  CHECK(grad(of_lo)(Tensor<double>(-0.7)).item() == doctest::Approx(difference(of_lo, -0.7, 1e-5)).epsilon(1e-7));
  CHECK(grad(of_hi)(Tensor<double>(0.9)).item() == doctest::Approx(difference(of_hi, 0.9, 1e-5)).epsilon(1e-7));
  CHECK(grad(grad(of_hi))(Tensor<double>(0.9)).item() ==
        doctest::Approx(difference(grad(of_hi), 0.9, 1e-5)).epsilon(1e-6));
  CHECK(jvp(grad(of_lo))(Tensor<double>(-0.7), Tensor<double>(1.0)).second.item() ==
        doctest::Approx(difference(grad(of_lo), -0.7, 1e-5)).epsilon(1e-6));
  CHECK(grad([&](const Tensor<double>& b) { return truncated_normal<double>(key, {}, -kInf, b); })(Tensor<double>(0.0))
            .item() > 0);
  const auto mapped = vmap([&](const Key& k, const Tensor<double>& a) {
    return truncated_normal<double>(k, {2}, a, 10);
  })(split(key, 3), lo);
  for (int i = 0; i < 3; ++i) CHECK(array_equal(mapped[i], truncated_normal<double>(split(key, 3)[i], {2}, lo[i], 10)));
}

TEST_CASE("errors") {
  const Key key{1};
  CHECK(error_of([&] { truncated_normal(key, {2}, 1, 1); }) == "[truncated_normal] (): hi - lo is 0, not positive");
  CHECK(error_of([&] { truncated_normal(key, {2}, NAN, 1); }) == "[truncated_normal] (): hi - lo is nan, not positive");
  CHECK(error_of([&] {
          truncated_normal(key, {2}, tensor<float>({0, 3}), 1);
        }) == "[truncated_normal] (2,): hi - lo is -2 at (1,), not positive");
  CHECK(error_of([&] { truncated_normal(Key{}, {2}, 0, 1); }) ==
        "[truncated_normal] this key is empty: make one, Key{seed}");
}

}  // namespace ops_truncated_normal_test
