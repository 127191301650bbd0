// Corners of cumprod, cummax, cummin, cumlogsumexp and associative_scan that no row drives: zeros, infinities, NaN,
// ties, integers, 16 bits, what stands first of an exclusive scan, long rows, errors. again: cuda
#include <algorithm>
#include <cmath>

#include <doctest/doctest.h>

#include "ergo/autograd/curvature.hpp"
#include "ergo/autograd/transforms.hpp"
#include "ergo/ops/associative_scan.hpp"
#include "ergo/ops/cumulative.hpp"
#include "ergo/ops/comparison.hpp"
#include "ergo/ops/reduction.hpp"
#include "ergo/ops/selection.hpp"
#include "support/message.hpp"

namespace ops_scan_test {

using namespace ergo;
using Floats = std::vector<float>;
using Doubles = std::vector<double>;

namespace {

template <class T>
Tensor<T> of(std::vector<T> v, Shape s = {}) {
  return from_span<T>(v, s.rank() ? s : Shape{std::int64_t(v.size())});
}
const float inf = INFINITY;

}  // namespace

TEST_CASE("exclusive and backwards: what stands first") {
  const auto x = of<float>({2, 3, 5});
  CHECK(cumprod(x).to_vector() == Floats{2, 6, 30});
  CHECK(cumprod(x, 0, {.exclusive = true}).to_vector() == Floats{1, 2, 6});
  CHECK(cumprod(x, -1, {.reverse = true}).to_vector() == Floats{30, 15, 5});
  CHECK(cumprod(x, -1, {.reverse = true, .exclusive = true}).to_vector() == Floats{15, 5, 1});
  CHECK(cummax(x, 0, {.exclusive = true}).to_vector() == Floats{-inf, 2, 3});
  CHECK(cummin(x, 0, {.reverse = true, .exclusive = true}).to_vector() == Floats{3, 5, inf});
  const auto y = cumlogsumexp(x, 0, {.exclusive = true}).to_vector();
  CHECK(y[0] == -inf);
  CHECK(y[1] == 2);
  const auto n = of<std::int32_t>({2, -3, 5});
  CHECK(cumprod(n).to_vector() == std::vector<std::int64_t>{2, -6, -30});
  CHECK(cumprod(cast<bool>(of<std::int32_t>({1, 1, 0, 1}))).to_vector() == std::vector<std::int64_t>{1, 1, 0, 0});
  CHECK(cummax(n, 0, {.exclusive = true}).to_vector() == std::vector<std::int32_t>{INT32_MIN, 2, 2});
  CHECK(cummin(n, 0, {.exclusive = true}).to_vector() == std::vector<std::int32_t>{INT32_MAX, 2, -3});
  CHECK(cummin(of<std::uint8_t>({9, 200}), 0, {.exclusive = true}).to_vector() == std::vector<std::uint8_t>{255, 9});
  CHECK(cummax(zeros<float>({3, 0})).shape() == Shape{3, 0});
  CHECK(grad([](const auto& e) { return sum(cummax(e, 0, {.exclusive = true})) + sum(cumprod(e)); })(zeros<float>({0}))
            .shape() == Shape{0});
}
TEST_CASE("products with zeros: exact at every order") {
  // y = (a, a b, a b c), b = 0: gradients of the last element: products of the others.
  const auto f = [](const auto& x) { return sum(slice(cumprod(x), 0, -1)); };
  CHECK(grad(f)(of<double>({2, 0, 5})).to_vector() == Doubles{0, 10, 0});
  CHECK(grad(f)(of<double>({0, 3, 0})).to_vector() == Doubles{0, 0, 0});
  CHECK(hvp(f)(of<double>({0, 3, 0}), of<double>({1, 1, 1})).to_vector() == Doubles{3, 0, 3});
  CHECK(hvp(f)(of<double>({2, 0, 5}), of<double>({1, 1, 1})).to_vector() == Doubles{5, 7, 2});
  const auto third = [&](const auto& x) { return sum(hvp(f)(x, of<double>({1, 1, 1}))); };
  CHECK(grad(third)(of<double>({0, 0, 0})).to_vector() == Doubles{2, 2, 2});
  const auto all = [](const auto& x) { return sum(cumprod(x, 0, {.reverse = true})); };
  CHECK(grad(all)(of<double>({2, 0, 0})).to_vector() == Doubles{0, 0, 1});
}
TEST_CASE("the log-sum-exp of infinities") {
  const auto f = [](const auto& x) { return sum(cumlogsumexp(x)); };
  const auto low = of<double>({-inf, -inf, -inf});
  CHECK(cumlogsumexp(low).to_vector() == Doubles{-inf, -inf, -inf});
  CHECK(grad(f)(low).to_vector() == Doubles{0, 0, 0});
  CHECK(cumlogsumexp(of<float>({-inf, 3, -inf})).to_vector() == Floats{-inf, 3, 3});
  CHECK(grad(f)(of<float>({-inf, 3, -inf})).to_vector() == Floats{0, 2, 0});
  const auto high = of<double>({1, inf, -inf, inf, 5});
  CHECK(cumlogsumexp(high).to_vector() == Doubles{1, inf, inf, inf, inf});
  CHECK(grad(f)(high).to_vector() == Doubles{1, 3, 0, 1, 0});  // 1 + 1 + 1/2 + 1/2 and 1/2 + 1/2
  CHECK(jvp([](const auto& x) { return cumlogsumexp(x); })(high, of<double>({1, 2, 4, 8, 16})).second.to_vector() ==
        Doubles{1, 2, 2, 5, 5});
  const auto nan = cumlogsumexp(of<float>({1, NAN, 2})).to_vector();
  CHECK(nan[0] == 1);
  CHECK(std::isnan(nan[1]));
  CHECK(std::isnan(nan[2]));
  // Nothing overflows.
  const auto far = cumlogsumexp(of<double>({-1000, 1000, 1000, -1000})).to_vector();
  CHECK(far[0] == -1000);
  CHECK(far[1] == 1000);
  CHECK(far[2] == doctest::Approx(1000.6931471805599).epsilon(1e-15));
  // Shares far below one another keep their relative size: exp(-80) of the first.
  const auto g =
      grad([](const auto& x) { return sum(slice(cumlogsumexp(x), 0, -1)); })(of<float>({-80, 0})).to_vector();
  CHECK(g[0] == doctest::Approx(std::exp(-80.0)).epsilon(1e-6));
}
TEST_CASE("extrema: NaN stays, of equals the first that the scan meets takes the derivative") {
  const auto x = of<float>({1, NAN, 7, 2});
  const auto y = cummax(x).to_vector();
  CHECK(y[0] == 1);
  CHECK(std::isnan(y[1]));
  CHECK(std::isnan(y[3]));
  CHECK(std::isnan(cummin(x, 0, {.reverse = true}).to_vector()[0]));
  CHECK(cummin(x, 0, {.reverse = true}).to_vector()[2] == 2);
  const auto f = [](const auto& a) { return sum(cummax(a)); };
  const auto back = [](const auto& a) { return sum(cummax(a, 0, {.reverse = true})); };
  const auto ties = of<float>({1, 3, 3, 2, 3});
  CHECK(grad(f)(ties).to_vector() == Floats{1, 4, 0, 0, 0});
  CHECK(grad(back)(ties).to_vector() == Floats{0, 0, 0, 0, 5});
  CHECK(grad(f)(x).to_vector() == Floats{1, 3, 0, 0});  // the NaN is what was chosen
  const auto t = of<float>({1, 2, 4, 8, 16});
  CHECK(jvp([](const auto& a) { return cummax(a, 0, {.exclusive = true}); })(ties, t).second.to_vector() ==
        Floats{0, 1, 2, 2, 2});
  CHECK(grad([](const auto& a) { return sum(cummin(a, 0, {.reverse = true, .exclusive = true})); })(ties).to_vector() ==
        Floats{0, 0, 0, 3, 1});
}
TEST_CASE("16 bits: in float, rounded once; derivatives in float too") {
  std::vector<bfloat16> v(300, bfloat16(1.0f));
  v[0] = bfloat16(3.0f);
  v[100] = bfloat16(0.0f);
  const auto x = of<bfloat16>(v);
  const auto y = cumprod(x).to_vector();
  CHECK(float(y[99]) == 3);
  CHECK(float(y[100]) == 0);
  CHECK(float(cummax(x).to_vector()[299]) == 3);
  CHECK(float(cumlogsumexp(zeros<bfloat16>({300})).to_vector()[299]) == float(bfloat16(std::log(300.0f))));
  const auto g = grad([](const auto& a) { return sum(cumprod(a)); })(x).to_vector();
  CHECK(float(g[100]) == 600);  // 3 for each of 200 products, of which all others are 1
  CHECK(float(g[0]) == 100);
  CHECK(float(g[101]) == 0);
  const auto h = grad([](const auto& a) { return sum(cumlogsumexp(a)); })(zeros<half>({400})).to_vector();
  double harmonic = 0;
  for (int k = 1; k <= 400; ++k) harmonic += 1.0 / k;
  CHECK(float(h[0]) == doctest::Approx(harmonic).epsilon(1e-3));
}
TEST_CASE("long rows, in chunks: the same as their pieces") {
  const std::int64_t n = 50000;
  std::vector<double> a(n), b(n);
  for (std::int64_t i = 0; i < n; ++i)
    a[std::size_t(i)] = std::sin(double(i) * 0.37), b[std::size_t(i)] = 1 + 1e-5 * a[std::size_t(i)];
  for (const bool reverse : {false, true}) {
    const auto y = cumlogsumexp(of<double>(a), 0, {.reverse = reverse}).to_vector();
    const auto p = cumprod(of<double>(b), 0, {.reverse = reverse}).to_vector();
    const auto m = cummax(of<double>(a), 0, {.reverse = reverse}).to_vector();
    long double sum = 0, product = 1, most = -2;
    double worst = 0;
    for (std::int64_t k = 0; k < n; ++k) {
      const std::size_t i = std::size_t(reverse ? n - 1 - k : k);
      sum += std::exp(static_cast<long double>(a[i]));
      product *= b[i];
      most = a[i] > most ? static_cast<long double>(a[i]) : most;
      worst = std::max({worst, double(std::abs(y[i] - std::log(sum))), double(std::abs(p[i] - product)),
                        double(std::abs(m[i] - most))});
    }
    CHECK(worst < 1e-12);
  }
}
TEST_CASE("associative scans of any length, axis and function") {
  for (std::int64_t n = 0; n <= 20; ++n) {
    std::vector<double> v;
    for (std::int64_t i = 0; i < 2 * n; ++i) v.push_back(double(i % 7) - 2);
    const auto x = of<double>(v, {n, 2});
    const auto y = associative_scan([](const auto& a, const auto& b) { return a + b; }, x, 0);
    CHECK(y.shape() == x.shape());
    CHECK(y.to_vector() == cumsum(x, 0).to_vector());
    // Not commutative: the later wins where it is not 0.
    const auto z =
        associative_scan([](const auto& a, const auto& b) { return where(b == 0.0, a, b); }, x, -2).to_vector();
    for (std::int64_t c = 0; c < 2; ++c) {
      double held = 0;
      for (std::int64_t k = 0; k < n; ++k) {
        if (v[std::size_t(2 * k + c)] != 0) held = v[std::size_t(2 * k + c)];
        CHECK(z[std::size_t(2 * k + c)] == held);
      }
    }
  }
  using Pair = std::pair<Tensor<float>, Tensor<float>>;
  CHECK(message_of([] {
          associative_scan([](const Pair& a, const Pair&) { return a; }, Pair{zeros<float>({3}), zeros<float>({4})});
        }) == "[associative_scan] (4,): extent 4 where another leaf has 3");
  CHECK(message_of([] { associative_scan([](const auto& a, const auto&) { return a; }, zeros<float>({3}), 1); }) ==
        "[associative_scan] (3,): axis 1 is out of range for rank 1");
}
TEST_CASE("errors") {
  const auto x = zeros<float>({2, 3});
  CHECK(message_of([&] { cumprod(x, 2); }) == "[cumprod] (2, 3): axis 2 is out of range for rank 2");
  CHECK(message_of([&] { cummax(x, -3); }) == "[cummax] (2, 3): axis -3 is out of range for rank 2");
  CHECK(message_of([&] { cummin(x, 5); }) == "[cummin] (2, 3): axis 5 is out of range for rank 2");
  CHECK(message_of([&] { cumlogsumexp(Tensor<float>(1.0f)); }) ==
        "[cumlogsumexp] (): axis -1 is out of range for rank 0");
}

}  // namespace ops_scan_test
