// Rows of descriptive statistics and of products of tensors. References are naive loops in long double.
#include <cmath>

#include "ergo/ops/descriptive.hpp"
#include "ergo/ops/rounding.hpp"
#include "ergo/ops/tensor_product.hpp"
#include "support/cases.hpp"

namespace cases {
namespace {

using namespace ergo;
using Real = long double;
using Row = std::vector<Real>;
using Shapes = std::vector<std::vector<Shape>>;

const Shapes kFilled = {{{7}}, {{}}, {{1}}, {{3, 5}}, {{2, 3, 4}}, {{37}}, {{70, 33}}};
const Shapes kRows = {{{3, 5}}, {{7}}, {{2, 3, 4}}, {{4, 17}}, {{2, 300}}};
const Shapes kObservations = {{{4, 3}}, {{2, 5, 3}}, {{9, 1}}, {{40, 17}}};

// f of each row along the last axis, or of all elements.
template <class F>
Reference of_rows(const Tensor<double>& x, bool all, F f) {
  const auto v = x.to_vector();
  const std::size_t n = all ? v.size() : std::size_t(x.shape()[-1]);
  Reference r{all ? Shape{} : x.shape().first(x.rank() - 1), {}};
  for (std::size_t i = 0; i < v.size(); i += n) r.values.push_back(double(f(Row(v.begin() + long(i), v.begin() + long(i + n)))));
  return r;
}
Real deviation_of(const Row& r, Real correction) {
  Real mean = 0, square = 0;
  for (const Real v : r) mean += v / Real(r.size());
  for (const Real v : r) square += (v - mean) * (v - mean);
  return std::sqrt(square / (Real(r.size()) - correction));
}
Real log_mean_exp_of(const Row& r) {
  Real s = 0;
  for (const Real v : r) s += std::exp(v);
  return std::log(s / Real(r.size()));
}
Real count_of(const Row& r) {
  Real n = 0;
  for (const Real v : r) n += v != 0;
  return n;
}
// Of observations (..., n, d): sums of products of the columns' deviations, over n - correction or over their lengths.
Reference gram(const Tensor<double>& x, Real correction, bool normalise) {
  const auto v = x.to_vector();
  const Shape s = x.shape();
  const std::size_t n = std::size_t(s[-2]), d = std::size_t(s[-1]);
  Reference r{s.first(s.rank() - 2) + Shape{s[-1], s[-1]}, {}};
  for (std::size_t at = 0; at < v.size(); at += n * d) {
    std::vector<Row> c(d, Row(n));
    Row length(d, 1);
    for (std::size_t j = 0; j < d; ++j) {
      Real mean = 0, square = 0;
      for (std::size_t i = 0; i < n; ++i) mean += v[at + i * d + j] / Real(n);
      for (std::size_t i = 0; i < n; ++i) c[j][i] = v[at + i * d + j] - mean, square += c[j][i] * c[j][i];
      if (normalise) length[j] = std::sqrt(square);
    }
    for (std::size_t j = 0; j < d; ++j)
      for (std::size_t k = 0; k < d; ++k) {
        Real sum = 0;
        for (std::size_t i = 0; i < n; ++i) sum += c[j][i] * c[k][i];
        r.values.push_back(double(sum / (normalise ? length[j] * length[k] : Real(n) - correction)));
      }
  }
  return r;
}
Reference cosines(const Doubles& x) {
  const auto a = x[0].to_vector(), b = x[1].to_vector();
  const std::size_t n = std::size_t(x[0].shape()[-1]);
  Reference r{x[0].shape().first(x[0].rank() - 1), {}};
  for (std::size_t i = 0; i < a.size(); i += n) {
    Real ab = 0, aa = 0, bb = 0;
    for (std::size_t k = i; k < i + n; ++k) ab += Real(a[k]) * b[k], aa += Real(a[k]) * a[k], bb += Real(b[k]) * b[k];
    r.values.push_back(double(ab / std::sqrt(aa * bb)));
  }
  return r;
}
// a (left, inner) times b (inner, right), row-major.
Reference product(const Doubles& x, Shape shape, std::int64_t inner) {
  const auto a = x[0].to_vector(), b = x[1].to_vector();
  const std::size_t k = std::size_t(inner), right = b.size() / k;
  Reference r{shape, {}, {}};
  for (std::size_t i = 0; i < a.size() / k; ++i)
    for (std::size_t j = 0; j < right; ++j) {
      Real sum = 0, size = 0;
      for (std::size_t l = 0; l < k; ++l) sum += Real(a[i * k + l]) * b[l * right + j], size += std::abs(a[i * k + l] * b[l * right + j]);
      r.values.push_back(double(sum));
      r.sizes.push_back(double(1 + size));
    }
  return r;
}
Reference kronecker(const Doubles& x) {  // of matrices
  const Shape a = x[0].shape(), b = x[1].shape();
  const auto v = x[0].to_vector(), w = x[1].to_vector();
  Reference r{{a[0] * b[0], a[1] * b[1]}, {}};
  for (std::int64_t i = 0; i < a[0] * b[0]; ++i)
    for (std::int64_t j = 0; j < a[1] * b[1]; ++j)
      r.values.push_back(v[std::size_t(i / b[0] * a[1] + j / b[1])] * w[std::size_t(i % b[0] * b[1] + j % b[1])]);
  return r;
}

#define ROW(title, table, range, ord, expr, ...)                                                                 \
  [] {                                                                                                           \
    Case c;                                                                                                      \
    c.name = title;                                                                                              \
    c.shapes = table;                                                                                            \
    c.ranges = {range};                                                                                          \
    c.f64 = [](const Doubles& v) -> Tensor<double> { const auto &x = v[0], &y = v.back(); (void)y; return expr; }; \
    c.f32 = [](const Floats& v) -> Tensor<float> { const auto &x = v[0], &y = v.back(); (void)y; return expr; };   \
    c.reference = [](const Doubles& v) { return __VA_ARGS__; };                                                  \
    c.order = ord;                                                                                               \
    c.large = {{300, 301}};                                                                                      \
    return c;                                                                                                    \
  }()

const Range kAny{-2, 2};

}  // namespace

std::vector<Case> descriptive_cases() {
  std::vector<Case> all = {
      ROW("stddev", (Shapes{{{7}}, {{3, 5}}, {{2, 3, 4}}, {{70, 33}}}), kAny, 3, stddev(x), of_rows(v[0], true, [](const Row& r) { return deviation_of(r, 0); })),
      ROW("stddev: rows, corrected", kRows, kAny, 3, (stddev(x, -1, {.correction = 1})), of_rows(v[0], false, [](const Row& r) { return deviation_of(r, 1); })),
      ROW("log_mean_exp", kFilled, kAny, 3, log_mean_exp(x), of_rows(v[0], true, log_mean_exp_of)),
      ROW("log_mean_exp: rows", kRows, (Range{-30, 30}), 3, log_mean_exp(x, -1), of_rows(v[0], false, log_mean_exp_of)),
      ROW("count_nonzero", kFilled, kAny, 0, cast<typename std::remove_cvref_t<decltype(x)>::value_type>(count_nonzero(x)), of_rows(v[0], true, count_of)),
      ROW("count_nonzero: rows", kRows, kAny, 0, cast<typename std::remove_cvref_t<decltype(x)>::value_type>(count_nonzero(floor(x), -1)),
          of_rows(v[0], false, [](Row r) { for (Real& e : r) e = std::floor(e); return count_of(r); })),
      ROW("covariance", kObservations, kAny, 3, covariance(x), gram(v[0], 1, false)),
      ROW("covariance: not corrected", kObservations, kAny, 3, (covariance(x, {.correction = 0})), gram(v[0], 0, false)),
      ROW("correlation", kObservations, kAny, 3, correlation(x), gram(v[0], 0, true)),
      ROW("cosine_similarity", (Shapes{{{3, 5}, {3, 5}}, {{7}, {7}}, {{2, 3, 17}, {2, 3, 17}}}), kAny, 3, cosine_similarity(x, y), cosines(v)),
      ROW("outer", (Shapes{{{3}, {4}}, {{1}, {5}}, {{0}, {2}}, {{17}, {33}}}), kAny, 3, outer(x, y), product(v, v[0].shape() + v[1].shape(), 1)),
      ROW("tensordot", (Shapes{{{2, 3, 4}, {3, 4, 5}}, {{3, 4}, {3, 4}}, {{2, 2, 7, 5}, {7, 5}}}), kAny, 3, tensordot(x, y),
          product(v, v[0].shape().first(v[0].rank() - 2) + v[1].shape().last(v[1].rank() - 2), v[0].shape().last(2).numel())),
      ROW("tensordot: no axis", (Shapes{{{2, 3}, {4}}, {{}, {3}}}), kAny, 3, tensordot(x, y, 0), product(v, v[0].shape() + v[1].shape(), 1)),
      ROW("kron", (Shapes{{{2, 3}, {4, 2}}, {{1, 1}, {3, 3}}, {{5, 2}, {1, 7}}}), kAny, 3, kron(x, y), kronecker(v)),
  };
  for (Case& c : all) {
    if (c.name == "cosine_similarity") c.large = {{300, 301}, {300, 301}};
    if (c.name == "outer" || c.name == "tensordot: no axis") c.large = {{600}, {601}};
    if (c.name == "tensordot") c.large = {{200, 10, 20}, {10, 20, 200}};
    if (c.name == "kron") c.large = {{30, 10}, {10, 30}};
  }
  return all;
}
#undef ROW

}  // namespace cases
