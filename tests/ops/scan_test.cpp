// Corners of cumprod, cummax, cummin, cumlogsumexp and associative_scan that no row drives: zeros, infinities, NaN,
// ties, integers, 16 bits, what stands first of an exclusive scan, long rows, errors.
// again: cuda
#include <algorithm>
#include <cmath>
#include <random>

#include <doctest/doctest.h>

#include "ergo/autograd/curvature.hpp"
#include "ergo/autograd/transforms.hpp"
#include "ergo/ops/associative_scan.hpp"
#include "ergo/ops/cumulative.hpp"
#include "ergo/ops/comparison.hpp"
#include "ergo/ops/reduction.hpp"
#include "ergo/ops/selection.hpp"
#include "support/message.hpp"
#include "support/seed.hpp"

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
// Factors of a walk whose products stay within exp(+-size), while those of parts of a row may be of twice that
// exponent; one of five is that of the element before, and signs are mixed.
template <class T>
void check_walk(const Shape& shape, int axis, double size, ScanOptions options, std::mt19937_64& random) {
  CAPTURE(shape);
  CAPTURE(axis);
  CAPTURE(options.reverse);
  CAPTURE(options.exclusive);
  std::uniform_real_distribution<double> u(-size, size);
  const std::int64_t n = shape[axis], inner = shape.last(shape.rank() - 1 - axis).numel(),
                     outer = shape.first(axis).numel();
  std::vector<T> v(std::size_t(shape.numel()));
  const auto at = [&](std::int64_t o, std::int64_t k, std::int64_t i) {
    return std::size_t((o * n + (options.reverse ? n - 1 - k : k)) * inner + i);
  };
  for (std::int64_t o = 0; o < outer; ++o)
    for (std::int64_t i = 0; i < inner; ++i) {
      double here = 0;
      for (std::int64_t k = 0; k < n; ++k) {
        const double next = random() % 5 == 0 ? here : u(random);
        v[at(o, k, i)] = T((random() % 3 == 0 ? -1 : 1) * std::exp(next - here));
        here = next;
      }
    }
  const auto y = cumprod(of<T>(v, shape), axis, options).to_vector();
  double worst = 0;
  for (std::int64_t o = 0; o < outer; ++o)
    for (std::int64_t i = 0; i < inner; ++i) {
      long double product = 1;
      for (std::int64_t k = 0; k < n; ++k) {
        const long double before = product;
        product *= static_cast<long double>(v[at(o, k, i)]);
        const long double wanted = options.exclusive ? before : product;
        const double error = double(std::abs(static_cast<long double>(y[at(o, k, i)]) / wanted - 1));
        worst = error <= worst ? worst : error;  // a NaN stays
      }
    }
  CHECK(worst <= (std::is_same_v<T, float> ? 0x1.001p-24 : 0) + double(n + 1) * 0x1p-53);
}
TEST_CASE("products of parts of a row may overflow and vanish where those of the row do not") {
  CHECK(cumprod(of<double>({1e300, 1e-200, 1e-200, 1})).to_vector()[2] == doctest::Approx(1e-100).epsilon(1e-14));
  CHECK(cumprod(of<double>({1e300, 1e-200, 1e-200, 1})).to_vector()[3] == doctest::Approx(1e-100).epsilon(1e-14));
  CHECK(cumprod(of<double>({0, 1e200, 1e200, 1})).to_vector() == Doubles{0, 0, 0, 0});
  CHECK(cumprod(of<double>({1e-200, 1e-200, 1e300, 2})).to_vector()[2] == doctest::Approx(1e-100).epsilon(1e-14));
  const auto y = cumprod(of<double>({1e200, -1e200, 1e-200, 1e-320, 0, 3, -inf, 1})).to_vector();
  CHECK(y[1] == -inf);
  CHECK(y[2] == doctest::Approx(-1e200).epsilon(1e-14));
  CHECK(y[3] == doctest::Approx(-9.99988671826831e-121).epsilon(1e-14));
  CHECK(y[4] == 0);
  CHECK(y[5] == 0);
  CHECK(std::isnan(y[6]));
  CHECK(std::isnan(y[7]));
  CHECK(cumprod(of<double>({2, inf, -3, 1e-300})).to_vector() == Doubles{2, inf, -inf, -inf});
  CHECK(cumprod(of<double>({0x1p-1000, 0x1.8p-70, 0x1p-5})).to_vector() == Doubles{0x1p-1000, 0x1.8p-1070, 0x1p-1074});
  std::mt19937_64 random(test_seed());
  for (std::int64_t n : {1, 3, 4, 5, 16, 17, 63, 300, 5000, 40000}) {
    const std::int64_t m = n > 1000 ? 1 : 7;
    for (int o = 0; o < 4; ++o) {
      const ScanOptions options{(o & 1) != 0, (o & 2) != 0};
      check_walk<double>({m, n}, 1, 330, options, random);
      check_walk<float>({m, n}, 1, 40, options, random);
      check_walk<double>({2, n, m == 1 ? 3 : 19}, 1, 330, options, random);
      check_walk<float>({n, m}, 0, 40, options, random);
    }
  }
}
TEST_CASE("slopes of products that vanish or overflow on the way") {
  for (const std::int64_t m : {200, 2500}) {  // in float and in double
    std::vector<float> v(std::size_t(2 * m), 0.5f);
    for (std::int64_t i = m; i < 2 * m; ++i) v[std::size_t(i)] = 2;
    const auto x = of<float>(v), t = full<float>({2 * m}, 1.0f);
    const auto last = [](const auto& a) { return sum(slice(cumprod(a), 0, -1)); };
    CHECK(cumprod(x).to_vector().back() == 1);
    const auto g = grad(last)(x).to_vector();
    std::int64_t wrong = 0;
    for (std::int64_t i = 0; i < 2 * m; ++i) wrong += g[std::size_t(i)] != (i < m ? 2.0f : 0.5f);
    CHECK(wrong == 0);
    CHECK(jvp([](const auto& a) { return cumprod(a); })(x, t).second.to_vector().back() == float(2.5 * double(m)));
    const auto back = [](const auto& a) {
      return sum(slice(cumprod(a, 0, {.reverse = true, .exclusive = true}), 0, 0, 1)) * 3.0f;
    };
    const auto h = grad(back)(x).to_vector();
    CHECK(h[0] == 0);
    CHECK(h[1] == 12);
    CHECK(h[std::size_t(2 * m - 1)] == 3);
    if (m == 200) {  // a second order in double
      const auto second = hvp(last)(x, t).to_vector();
      CHECK(second[0] == doctest::Approx(2 * (2.5 * double(m) - 2)).epsilon(1e-6));
      CHECK(second[300] == doctest::Approx(0.5 * (2.5 * double(m) - 0.5)).epsilon(1e-6));
    }
  }
  const auto first = [](const auto& a) { return sum(slice(cumprod(a), 0, 0, 1)); };
  CHECK(grad(first)(of<float>({1e30f, 1e30f, 1})).to_vector() == Floats{1, 0, 0});
  CHECK(grad(first)(of<double>({1e300, 1e300, 1})).to_vector() == Doubles{1, 0, 0});
  const auto sums = grad([](const auto& a) { return sum(cumprod(a)); })(of<double>({1e-200, 1e-200, 1e300, 4}));
  CHECK(sums.to_vector()[0] == doctest::Approx(1 + 5e100).epsilon(1e-14));
  CHECK(sums.to_vector()[2] == 0);  // 5e-400
  CHECK(sums.to_vector()[3] == doctest::Approx(1e-100).epsilon(1e-14));
  const auto zero = grad([](const auto& a) { return sum(cumprod(a)); })(of<double>({1e200, 0, 1e-200, 1e-200}));
  CHECK(zero.to_vector()[0] == 1);
  CHECK(zero.to_vector()[1] == doctest::Approx(1e200).epsilon(1e-14));
  CHECK(zero.to_vector()[2] == 0);
  // A long row in chunks: 1 / x[k] for each.
  const std::int64_t n = 40000;
  std::mt19937_64 random(test_seed());
  std::vector<double> v;
  for (std::int64_t i = 0; i < n; ++i) v.push_back(i < n / 2 ? 0.25 + double(random() % 512) / 1024 : 0);
  for (std::int64_t i = 0; i < n / 2; ++i) v[std::size_t(n / 2 + i)] = 1 / v[std::size_t(i)];
  const auto g = grad([](const auto& a) { return sum(slice(cumprod(a), 0, -1)); })(of<double>(v)).to_vector();
  double worst = 0;
  for (std::int64_t i = 0; i < n; ++i) {
    const double error = std::abs(g[std::size_t(i)] * v[std::size_t(i)] - 1);
    worst = error <= worst ? worst : error;
  }
  CHECK(worst < 1e-11);
  const auto j = jvp([](const auto& a) { return cumprod(a); })(of<double>(v), of<double>(v)).second.to_vector();
  CHECK(j.back() == doctest::Approx(double(n)).epsilon(1e-11));
}
TEST_CASE("the log-sum-exp of long rows of float: 1e-6, of shares too") {
  const std::int64_t n = 1 << 20;
  const auto share = grad([](const auto& x) { return sum(slice(cumlogsumexp(x), 0, -1)); });
  std::mt19937_64 random(test_seed());
  for (const bool ramp : {false, true}) {
    std::vector<float> v;
    for (std::int64_t i = 0; i < n; ++i)
      v.push_back(ramp ? 1e-5f * float(i) : float(std::int64_t(random() % 4000)) / 1000 - 2);
    long double all = 0;
    double worst = 0;
    const auto y = cumlogsumexp(of<float>(v)).to_vector();
    for (std::int64_t i = 0; i < n; ++i) {
      all += std::exp(static_cast<long double>(v[std::size_t(i)]));
      const double error = std::abs(double(std::log(all)) - double(y[std::size_t(i)])) / (1 + double(std::log(all)));
      worst = error <= worst ? worst : error;
    }
    CHECK(worst < 1e-6);
    const auto g = share(of<float>(v)).to_vector();
    worst = 0;
    for (std::int64_t i = 0; i < n; ++i) {
      const double wanted = double(std::exp(static_cast<long double>(v[std::size_t(i)])) / all),
                   error = std::abs(double(g[std::size_t(i)]) / wanted - 1);
      worst = error <= worst ? worst : error;
    }
    CHECK(worst < 1e-6);
  }
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
  const auto many = from_span<double>(Doubles{1, 2, 3, 4, 5, 6}, {1, 1, 1, 1, 2, 1, 1, 3});  // no axis to spare
  for (int axis : {-1, 4, 0})
    CHECK(associative_scan([](const auto& a, const auto& b) { return a + b; }, many, axis).to_vector() ==
          cumsum(many, axis).to_vector());
  using Pair = std::pair<Tensor<float>, Tensor<float>>;
  using Counted = std::pair<Tensor<float>, Tensor<std::int32_t>>;
  CHECK(message_of([] {
          associative_scan([](const Counted& a, const Counted&) { return a; },
                           Counted{zeros<float>({3}), zeros<std::int32_t>({3})});
        }) == "[associative_scan] (3,): leaf 1 of the tree is not learned (cast<float>(x) first)");
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
