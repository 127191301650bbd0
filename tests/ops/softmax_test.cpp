// Corners of softmax, log_softmax and logsumexp: infinities, masks, rows of any length on every instruction set, accuracy.
#include <doctest/doctest.h>

#include <cmath>

#include "ergo/autograd/curvature.hpp"
#include "ergo/ops/comparison.hpp"
#include "ergo/ops/softmax.hpp"
#include "support/fresh.hpp"
#include "support/isas.hpp"
#include "support/message.hpp"

namespace ops_softmax_test {

using namespace ergo;

namespace {

const float kInf = INFINITY, kNan = NAN;

template <class T>
std::vector<T> values(const Tensor<T>& x) {
  return x.to_vector();
}
// Tensor<float> as a bool mask.
Tensor<bool> mask(std::initializer_list<int> list) {
  std::vector<std::uint8_t> v(list.begin(), list.end());
  return from_span<std::uint8_t>(v, {v.size()}) != std::uint8_t(0);
}

struct Row {
  long double top = 0, sum = 0;  // of e^(x - top)
};
template <class T>
Row weigh(const std::vector<T>& x, std::size_t begin, std::size_t n) {
  Row r{x[begin], 0};
  for (std::size_t i = 0; i < n; ++i) r.top = std::max<long double>(r.top, x[begin + i]);
  for (std::size_t i = 0; i < n; ++i) r.sum += std::exp(x[begin + i] - r.top);
  return r;
}

// Shares within 1e-6 (1 + (max - x) / 8) relative, logarithms within 2 units of the largest input (and 1e-6 of themselves).
template <class T>
void check_rows(Fresh& fresh, std::int64_t rows, std::int64_t n, double offset, double width) {
  const double unit = sizeof(T) == 4 ? 1.0 : 1e-8;
  const auto x = fresh.tensor<T>({rows, n}, offset - width, offset + width);
  const auto v = x.to_vector(), y = softmax(x).to_vector(), l = log_softmax(x).to_vector(), s = logsumexp(x, -1).to_vector();
  double worst = 0, worst_log = 0, worst_sum = 0;
  for (std::size_t r = 0; r < std::size_t(rows); ++r) {
    const std::size_t at = r * std::size_t(n);
    const Row row = weigh(v, at, std::size_t(n));
    const double ulp = std::abs(double(row.top)) * double(std::numeric_limits<T>::epsilon());
    worst_sum = std::max(worst_sum, double(std::abs(s[r] - (row.top + std::log(row.sum)))) / (2 * ulp + 1e-6 * unit));
    for (std::size_t i = at; i < at + std::size_t(n); ++i) {
      const long double share = std::exp(v[i] - row.top) / row.sum;
      const double far = double(row.top - v[i]);
      const double allowed = double(share) * 1e-6 * unit * (1 + far / 8) + 2 * double(std::numeric_limits<T>::denorm_min());
      worst = std::max(worst, double(std::abs(y[i] - share)) / allowed);
      worst_log = std::max(worst_log, double(std::abs(l[i] - std::log(share))) / (2 * ulp + 1e-6 * unit * (1 + far)));
    }
  }
  CAPTURE(n);
  CAPTURE(offset);
  CHECK(worst <= 1);
  CHECK(worst_log <= 1);
  CHECK(worst_sum <= 1);
}

}  // namespace

TEST_CASE("rows of any length are accurate, near zero and at +-1e4") {
  Fresh fresh(1);
  on_each_isa([&] {
    for (std::int64_t n : {1, 2, 3, 4, 5, 7, 8, 9, 10, 15, 16, 17, 31, 33, 63, 64, 65, 100, 255, 257, 1000, 1024, 1025, 2047, 2048, 2049, 5000}) {
      const std::int64_t rows = n < 100 ? fresh.integer(1, 70) : 3;
      check_rows<float>(fresh, rows, n, 0, 3);
      check_rows<float>(fresh, rows, n, 0, 50);
      check_rows<float>(fresh, rows, n, 1e4, 20);
      check_rows<float>(fresh, rows, n, -1e4, 20);
      check_rows<double>(fresh, rows, n, 0, 50);
      check_rows<double>(fresh, rows, n, -1e4, 300);
    }
    check_rows<float>(fresh, 1, 300000, 0, 10);
    check_rows<float>(fresh, 2, 70000, 5, 60);
  });
}

TEST_CASE("infinities: minus infinity has no share, plus infinity shares, NaN spreads") {
  for (const std::int64_t n : {3, 5, 8, 17, 40, 2100}) {
    const float ninf = -kInf;
    auto row = [&](float a, float b, float c) {
      std::vector<float> v(std::size_t(n), a);
      v[std::size_t(n / 2)] = b;
      v[std::size_t(n - 1)] = c;
      return from_span<float>(v, {n});
    };
    CAPTURE(n);
    on_each_isa([&] {
      CHECK(softmax(row(ninf, 0, 0)).at({-1}) == 0.5f);
      CHECK(softmax(row(ninf, 0, 0)).at({0}) == 0);
      CHECK(softmax(row(0, kInf, kInf)).at({n / 2}) == 0.5f);
      CHECK(softmax(row(0, kInf, kInf)).at({0}) == 0);
      CHECK(std::isnan(softmax(row(ninf, ninf, ninf)).at({0})));
      CHECK(std::isnan(softmax(row(0, kNan, 1)).at({0})));
      CHECK(std::isnan(softmax(row(0, kNan, kInf)).at({-1})));
      CHECK(log_softmax(row(ninf, 0, 0)).at({0}) == ninf);
      CHECK(log_softmax(row(0, kInf, 0)).at({n / 2}) == 0);
      CHECK(log_softmax(row(0, kInf, 0)).at({0}) == ninf);
      CHECK(std::isnan(log_softmax(row(ninf, ninf, ninf)).at({0})));
      CHECK(std::isnan(log_softmax(row(0, kNan, 1)).at({0})));
      CHECK(logsumexp(row(ninf, ninf, ninf)).item() == ninf);
      CHECK(logsumexp(row(0, kInf, 1)).item() == kInf);
      CHECK(logsumexp(row(ninf, 3, ninf)).item() == 3);
      CHECK(std::isnan(logsumexp(row(kInf, kNan, 1)).item()));
      CHECK(std::isnan(logsumexp(row(ninf, kNan, ninf)).item()));
      // The gradient of logsumexp: shares over infinities, nothing in a row without weight; in forward mode too.
      const auto f = [](const Tensor<float>& x) { return logsumexp(x); };
      for (const auto& x : {row(0, kInf, kInf), row(ninf, ninf, ninf), row(ninf, 2, 2)}) {
        const auto g = grad(f)(x).to_vector();
        const float share = logsumexp(x).item() == ninf ? 0.0f : 0.5f;
        CHECK(g[0] == 0);
        CHECK(g[std::size_t(n - 1)] == share);
        const auto forward = jvp(f)(x, ones<float>({n}));
        CHECK((forward.first.item() == f(x).item() || std::abs(forward.first.item() - f(x).item()) < 1e-5f));
        CHECK(forward.second.item() == doctest::Approx(2 * share));
        for (float h : hvp(f)(x, ones<float>({n})).to_vector()) CHECK(std::abs(h) <= 1e-6f);
      }
    });
  }
  CHECK(logsumexp(zeros<float>({0})).item() == -kInf);
  CHECK(values(logsumexp(zeros<double>({2, 0}), 1)) == std::vector<double>{-INFINITY, -INFINITY});
  CHECK(softmax(zeros<float>({0, 3})).shape() == Shape{0, 3});
  CHECK(softmax(zeros<float>({3, 0})).shape() == Shape{3, 0});
}

TEST_CASE("masks: what takes no part gets nothing, an empty row is 0 with gradient 0") {
  const auto x = tensor<double>({{1, 2, 3, 4}, {kInf, NAN, 0, 1}});
  const auto m = mask({1, 0, 1, 0});
  const auto y = softmax(tensor<double>({1, 2, 3, 4}), -1, {.mask = m});
  CHECK(y.at({1}) == 0);
  CHECK(y.at({3}) == 0);
  CHECK(y.at({0}) == doctest::Approx(1 / (1 + std::exp(2.0))));
  CHECK(values(softmax(tensor<double>({{NAN, 0, kInf}}), {.mask = mask({0, 1, 0})})) == std::vector<double>{0, 1, 0});
  const auto none = mask({0, 0, 0, 0});
  CHECK(values(softmax(x, {.mask = none})) == std::vector<double>(8, 0.0));
  for (double v : values(log_softmax(x, {.mask = none}))) CHECK(v == -INFINITY);
  const auto f = [&](const Tensor<double>& z) { return sum(softmax(z, {.mask = none}) * x[0]); };
  CHECK(values(grad(f)(tensor<double>({1, 2, 3, 4}))) == std::vector<double>(4, 0.0));
  CHECK(values(hvp(f)(tensor<double>({1, 2, 3, 4}), ones<double>({4}))) == std::vector<double>(4, 0.0));
  CHECK(message_of([&] { softmax(zeros<float>({2, 3}), 1, {.mask = m}); }) ==
        "[softmax] (2, 3) x (4,): the mask does not broadcast to x");
}

TEST_CASE("16-bit rows are computed in float") {
  const auto x = tensor<half>({half(9.0f), half(10.0f), half(11.0f)});
  const auto y = softmax(x).to_vector();
  const float e = std::exp(1.0f), total = 1 + e + e * e;
  CHECK(float(y[0]) == float(half(1 / total)));
  CHECK(float(y[2]) == float(half(e * e / total)));
  CHECK(float(logsumexp(x).item()) == float(half(9 + std::log(total))));
  CHECK(float(grad([](const Tensor<bfloat16>& z) { return sum(softmax(z, 0) * z); })(cast<bfloat16>(x)).at({0})) < 0);
  CHECK(float(hvp([](const Tensor<bfloat16>& z) { return logsumexp(z); })(cast<bfloat16>(x), ones<bfloat16>({3})).at({0})) ==
        doctest::Approx(0).epsilon(0.01));
}

TEST_CASE("what the softmax family refuses") {
  CHECK(message_of([] { softmax(zeros<float>({2, 3}), 2); }) == "[softmax] (2, 3): axis 2 is out of range for rank 2");
  CHECK(message_of([] { log_softmax(Tensor<float>(1.0f)); }) == "[log_softmax] (): axis -1 is out of range for rank 0");
  CHECK(message_of([] { logsumexp(zeros<float>({2}), {0, 0}); }) == "[logsumexp] (2,): axis 0 is given twice");
}

}  // namespace ops_softmax_test
