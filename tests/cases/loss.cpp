// Rows of the losses that compare two tensors of one shape. References are naive loops in long double.
#include <cmath>

#include "ergo/ops/pointwise_loss.hpp"
#include "support/cases.hpp"

namespace cases {
namespace {

using namespace ergo;
using Real = long double;

const std::vector<std::vector<Shape>> kPairs = {{{3, 5}, {3, 5}}, {{}, {}}, {{1}, {1}}, {{37}, {37}}, {{70, 33}, {70, 33}}};
const std::vector<std::vector<Shape>> kRowPairs = {{{3, 5}, {3, 5}}, {{7}, {7}}, {{2, 2, 17}, {2, 2, 17}}, {{2, 300}, {2, 300}}};

const Range kLow{-2, -0.1}, kHigh{0.1, 2}, kAny{-2, 2}, kShare{0.1, 0.9};

// Of each pair of elements; their sum over all, or over each of `rows` rows; then divided by `share` or not.
template <class F>
Reference of_pairs(const Doubles& x, bool reduce, bool mean, F f) {
  const auto a = x[0].to_vector(), b = x[1].to_vector();
  Reference r{reduce ? Shape{} : x[0].shape(), {}};
  Real sum = 0;
  for (std::size_t i = 0; i < a.size(); ++i) {
    const Real loss = f(Real(a[i]), Real(b[i]), i);
    sum += loss;
    if (!reduce) r.values.push_back(double(loss));
  }
  if (reduce) r.values.push_back(double(mean ? sum / Real(a.size()) : sum));
  return r;
}

Real absolute(Real x, Real y, std::size_t) { return std::abs(x - y); }
Real huber_of(Real d, Real delta) { return std::abs(d) <= delta ? d * d / 2 : delta * (std::abs(d) - delta / 2); }
Real logistic(Real x, Real t, Real w) {
  const auto soft = [](Real v) { return std::fmax(v, Real(0)) + std::log1p(std::exp(-std::abs(v))); };
  return w * t * soft(-x) + (1 - t) * soft(x);
}
Reference divergences(const Doubles& x, bool mean) {
  const auto a = x[0].to_vector(), b = x[1].to_vector();
  const std::size_t n = std::size_t(x[0].shape()[-1]);
  const auto log_sum = [n](const double* v) {
    Real s = 0;
    for (std::size_t k = 0; k < n; ++k) s += std::exp(Real(v[k]));
    return std::log(s);
  };
  Reference r{mean ? Shape{} : x[0].shape().first(x[0].rank() - 1), {}};
  Real all = 0;
  for (std::size_t i = 0; i < a.size(); i += n) {
    const Real p = log_sum(&a[i]), q = log_sum(&b[i]);
    Real sum = 0;
    for (std::size_t k = 0; k < n; ++k) sum += std::exp(a[i + k] - p) * ((a[i + k] - p) - (b[i + k] - q));
    all += sum;
    if (!mean) r.values.push_back(double(sum));
  }
  if (mean) r.values.push_back(double(all / Real(a.size() / n)));
  return r;
}

template <class T>
Tensor<T> weights_of(const Tensor<T>& x) {
  std::vector<T> v;
  const std::int64_t n = x.rank() ? x.shape()[-1] : 1;
  for (std::int64_t i = 0; i < n; ++i) v.push_back(T(0.5 + 0.25 * double(i % 5)));
  return from_span<T>(v, x.rank() ? Shape{n} : Shape{});
}

#define ROW(title, table, left, right, expr, ...)                                                      \
  [] {                                                                                                 \
    Case c;                                                                                            \
    c.name = title;                                                                                    \
    c.shapes = table;                                                                                  \
    c.ranges = {left, right};                                                                          \
    c.f64 = [](const Doubles& v) -> Tensor<double> { const auto &x = v[0], &y = v[1]; return expr; };  \
    c.f32 = [](const Floats& v) -> Tensor<float> { const auto &x = v[0], &y = v[1]; return expr; };    \
    c.reference = [](const Doubles& v) { return __VA_ARGS__; };                                        \
    c.large = {{300, 301}, {300, 301}};                                                                \
    return c;                                                                                          \
  }()

}  // namespace

std::vector<Case> loss_cases() {
  return {
      ROW("mae", kPairs, kLow, kHigh, mae(x, y), of_pairs(v, true, true, absolute)),
      ROW("mae: sum", kPairs, kHigh, kLow, (mae(x, y, {.reduction = Reduction::sum})), of_pairs(v, true, false, absolute)),
      ROW("mae: unreduced", kPairs, kLow, kHigh, (mae(x, y, {.reduction = Reduction::none})), of_pairs(v, false, false, absolute)),
      ROW("huber", kPairs, (Range{0, 0.4}), (Range{-0.4, 0}), huber(x, y), of_pairs(v, true, true, [](Real a, Real b, std::size_t) { return huber_of(a - b, 1); })),
      ROW("huber: far, sum", kPairs, (Range{-2, -0.3}), (Range{0.3, 2}), (huber(x, y, {.delta = 0.5, .reduction = Reduction::sum})),
          of_pairs(v, true, false, [](Real a, Real b, std::size_t) { return huber_of(a - b, 0.5L); })),
      ROW("huber: unreduced", kPairs, kLow, kHigh, (huber(x, y, {.delta = 0.1, .reduction = Reduction::none})),
          of_pairs(v, false, false, [](Real a, Real b, std::size_t) { return huber_of(a - b, 0.1L); })),
      ROW("binary_cross_entropy", kPairs, kAny, kShare, binary_cross_entropy(x, y), of_pairs(v, true, true, [](Real a, Real t, std::size_t) { return logistic(a, t, 1); })),
      ROW("binary_cross_entropy: far, unreduced", kPairs, (Range{-60, 60}), kShare, (binary_cross_entropy(x, y, {.reduction = Reduction::none})),
          of_pairs(v, false, false, [](Real a, Real t, std::size_t) { return logistic(a, t, 1); })),
      ROW("binary_cross_entropy: weighted, sum", kPairs, kAny, kShare, (binary_cross_entropy(x, y, {.positive_weight = weights_of(x), .reduction = Reduction::sum})),
          of_pairs(v, true, false, [w = weights_of(v[0]).to_vector()](Real a, Real t, std::size_t i) { return logistic(a, t, w[i % w.size()]); })),
      ROW("kl_divergence", kRowPairs, kAny, kAny, kl_divergence(x, y), divergences(v, true)),
      ROW("kl_divergence: unreduced", kRowPairs, kAny, kAny, (kl_divergence(x, y, {.reduction = Reduction::none})), divergences(v, false)),
  };
}
#undef ROW

}  // namespace cases
