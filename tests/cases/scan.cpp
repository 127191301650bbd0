// Rows of scans, segments and counts. References are naive loops in long double.
#include <cmath>

#include "ergo/ops/associative_scan.hpp"
#include "ergo/ops/cumulative.hpp"
#include "ergo/ops/exponential.hpp"
#include "ergo/ops/segment.hpp"
#include "support/cases.hpp"

namespace cases {
namespace {

using namespace ergo;
using Real = long double;
using Row = std::vector<Real>;

const std::vector<std::vector<Shape>> kRows = {{{3, 5}}, {{7}}, {{1}}, {{2, 3, 4}}, {{4, 0}}, {{4, 17}}, {{2, 300}}};
const std::vector<std::vector<Shape>> kColumns = {{{3, 5}}, {{1, 1}}, {{2, 4, 3}}, {{0, 4}}, {{17, 40}}, {{300, 3}}};

// f of each row along an axis, a row a row.
template <class F>
Reference along(const Tensor<double>& x, int axis, F f) {
  const auto v = x.to_vector();
  const Shape s = x.shape();
  const std::int64_t n = s[axis], inner = s.last(axis < 0 ? -axis - 1 : s.rank() - 1 - axis).numel();
  Reference r{s, std::vector<double>(v.size())};
  for (std::int64_t o = 0; n > 0 && o < s.numel() / n / inner; ++o)
    for (std::int64_t i = 0; i < inner; ++i) {
      Row row;
      for (std::int64_t k = 0; k < n; ++k) row.push_back(v[std::size_t((o * n + k) * inner + i)]);
      const Row y = f(row);
      for (std::int64_t k = 0; k < n; ++k) r.values[std::size_t((o * n + k) * inner + i)] = double(y[std::size_t(k)]);
    }
  return r;
}
// `all` of the elements that stand before k in scanning order, or up to it, for each k.
template <class F>
Row running(const Row& x, bool reverse, bool exclusive, F all) {
  Row y;
  for (std::size_t k = 0; k < x.size(); ++k) {
    Row taken;
    for (std::size_t j = 0; j < x.size(); ++j)
      if (j == k ? !exclusive : (j > k) == reverse) taken.push_back(x[j]);
    y.push_back(all(taken));
  }
  return y;
}
Real product(const Row& x) {
  Real p = 1;
  for (const Real v : x) p *= v;
  return p;
}
Real greatest(const Row& x) {
  Real m = -HUGE_VALL;
  for (const Real v : x) m = v > m ? v : m;
  return m;
}
Real least(const Row& x) {
  Real m = HUGE_VALL;
  for (const Real v : x) m = v < m ? v : m;
  return m;
}
Real log_sum_exp(const Row& x) {
  const Real m = greatest(x);
  if (std::isinf(m)) return m;
  Real s = 0;
  for (const Real v : x) s += std::exp(v - m);
  return m + std::log(s);
}
// Distinct numbers, 5 apart, in no order: what is added keeps the order.
template <class T>
Tensor<T> ramp(const Tensor<T>& x) {
  std::vector<T> v;
  for (std::int64_t i = 0; i < x.numel(); ++i) v.push_back(T(5 * ((i * 37 + 11) % 101)));
  return from_span<T>(v, x.shape());
}
// Rows without their first, or last, element.
Reference without_end(const Reference& r, bool first) {
  const std::int64_t n = r.shape[-1], kept = n > 0 ? n - 1 : 0;
  Reference y{r.shape.first(r.shape.rank() - 1) + Shape{kept}, {}};
  for (std::int64_t i = 0; i < std::int64_t(r.values.size()); ++i)
    if (i % n != (first ? 0 : n - 1)) y.values.push_back(r.values[std::size_t(i)]);
  return y;
}
Reference without_last_row(const Reference& r) {
  const std::int64_t n = r.shape[-2], inner = r.shape[-1], kept = n > 0 ? n - 1 : 0;
  Reference y{r.shape.first(r.shape.rank() - 2) + Shape{kept, inner}, {}};
  for (std::int64_t i = 0; i < std::int64_t(r.values.size()); ++i)
    if (i / inner % n != n - 1) y.values.push_back(r.values[std::size_t(i)]);
  return y;
}
// x with 0 as the second, or the second and the fourth, of each row.
template <class T>
Tensor<T> with_zeros(const Tensor<T>& x, int zeros) {
  std::vector<T> v;
  const std::int64_t n = x.shape()[-1];
  for (std::int64_t i = 0; i < x.numel(); ++i) v.push_back(T((i % n == 1 && zeros > 0) || (i % n == 3 && zeros > 1) ? 0 : 1));
  return x * from_span<T>(v, x.shape());
}

// Ids of m rows: each of n occurs where m allows, several times and in no order.
std::vector<std::int32_t> ids_of(std::int64_t m, std::int64_t n) {
  std::vector<std::int32_t> v;
  for (std::int64_t i = 0; i < m; ++i) v.push_back(std::int32_t((i * 7 + i / n) % n));
  return v;
}
Tensor<std::int32_t> ids(std::int64_t m, std::int64_t n) { return from_span<std::int32_t>(ids_of(m, n), {m}); }
// all(the column's elements with that id), for ids(m, n) of the rows of x.
template <class F>
Reference segments(const Tensor<double>& x, std::int64_t n, F all) {
  const auto v = x.to_vector();
  const std::int64_t m = x.shape()[0], inner = x.shape().last(x.rank() - 1).numel();
  const auto id = ids_of(m, n);
  Reference r{Shape{n} + x.shape().last(x.rank() - 1), {}, {}};
  for (std::int64_t s = 0; s < n; ++s)
    for (std::int64_t c = 0; c < inner; ++c) {
      Row taken;
      Real size = 1;
      for (std::int64_t i = 0; i < m; ++i)
        if (id[std::size_t(i)] == s) taken.push_back(v[std::size_t(i * inner + c)]), size += std::abs(taken.back());
      r.values.push_back(double(all(taken)));
      r.sizes.push_back(double(size));
    }
  return r;
}
Real total(const Row& x) {
  Real s = 0;
  for (const Real v : x) s += v;
  return s;
}
Real average(const Row& x) { return total(x) / Real(x.size()); }
Reference between(const Tensor<double>& x, const std::vector<double>& edges) {
  Reference r{{std::int64_t(edges.size()) - 1}, {}};
  for (std::size_t b = 0; b + 1 < edges.size(); ++b) {
    double count = 0;
    for (const double v : x.to_vector()) count += edges[b] <= v && (v < edges[b + 1] || (v == edges[b + 1] && b + 2 == edges.size()));
    r.values.push_back(count);
  }
  return r;
}
const std::vector<double> kEdges = {-1.5, -0.5, 0.25, 1, 1.75};
template <class T>
Tensor<T> edges() {
  return from_span<T>(std::vector<T>(kEdges.begin(), kEdges.end()), {5});
}
Reference recurrence_reference(const Doubles& in) {  // h[k] = a[k] h[k - 1] + b[k] of rows
  const auto a = in[0].to_vector(), b = in[1].to_vector();
  const std::size_t n = std::size_t(in[0].shape()[-1]);
  Reference r{in[0].shape(), {}};
  Real h = 0;
  for (std::size_t i = 0; i < a.size(); ++i) {
    h = (i % n ? a[i] * h : 0) + b[i];
    r.values.push_back(double(h));
  }
  return r;
}
template <class T>
Tensor<T> recurrence_of(const Tensor<T>& a, const Tensor<T>& b) {
  using Map = std::pair<Tensor<T>, Tensor<T>>;
  return associative_scan([](const Map& f, const Map& g) { return Map{f.first * g.first, g.first * f.second + g.second}; }, Map{a, b}).second;
}
const std::vector<std::vector<Shape>> kSegments = {{{6, 2}}, {{7}}, {{3}}, {{40, 3, 2}}, {{9, 33}}, {{600, 5}}};

#define ROW(title, table, range, ord, expr, ...)                                                \
  [] {                                                                                          \
    Case c;                                                                                     \
    c.name = title;                                                                             \
    c.shapes = table;                                                                           \
    c.ranges = {range};                                                                         \
    c.f64 = [](const Doubles& v) -> Tensor<double> { const auto& x = v[0]; return expr; };      \
    c.f32 = [](const Floats& v) -> Tensor<float> { const auto& x = v[0]; return expr; };        \
    c.reference = [](const Doubles& v) -> Reference { const auto& x = v[0]; return __VA_ARGS__; }; \
    c.order = ord;                                                                              \
    c.large = {{300, 301}};                                                                     \
    return c;                                                                                   \
  }()
#define RUNNING(axis, reverse, exclusive, all) along(x, axis, [](const Row& r) { return running(r, reverse, exclusive, all); })

const Range kAny{-2, 2}, kOne{0.9, 1.1}, kSigned{-1.1, 1.1};

}  // namespace

std::vector<Case> scan_cases() {
  std::vector<Case> all = {
      ROW("cumprod", kRows, kOne, 3, cumprod(x), RUNNING(-1, false, false, product)),
      ROW("cumprod: signs, backwards", kRows, kSigned, 3, (cumprod(x, -1, {.reverse = true})), RUNNING(-1, true, false, product)),
      ROW("cumprod: exclusive", kRows, kSigned, 3, (cumprod(x, -1, {.exclusive = true})), RUNNING(-1, false, true, product)),
      ROW("cumprod: backwards, exclusive", kRows, kOne, 3, (cumprod(x, -1, {.reverse = true, .exclusive = true})), RUNNING(-1, true, true, product)),
      ROW("cumprod: columns", kColumns, kSigned, 3, (cumprod(x, -2)), RUNNING(-2, false, false, product)),
      ROW("cumprod: columns, backwards", kColumns, kSigned, 3, (cumprod(x, -2, {.reverse = true, .exclusive = true})), RUNNING(-2, true, true, product)),
      ROW("cumprod: one zero", kRows, kSigned, 3, cumprod(with_zeros(x, 1)), along(with_zeros(x, 1), -1, [](const Row& r) { return running(r, false, false, product); })),
      ROW("cumprod: two zeros", kRows, kSigned, 3, (cumprod(with_zeros(x, 2), -1, {.exclusive = true})), along(with_zeros(x, 2), -1, [](const Row& r) { return running(r, false, true, product); })),
      ROW("cummax", kRows, kAny, 3, cummax(x + ramp(x)), along(x + ramp(x), -1, [](const Row& r) { return running(r, false, false, greatest); })),
      ROW("cummax: backwards", kRows, kAny, 3, (cummax(x + ramp(x), -1, {.reverse = true})), along(x + ramp(x), -1, [](const Row& r) { return running(r, true, false, greatest); })),
      ROW("cummax: columns", kColumns, kAny, 3, (cummax(x + ramp(x), -2)), along(x + ramp(x), -2, [](const Row& r) { return running(r, false, false, greatest); })),
      ROW("cummax: exclusive", kRows, kAny, 3, (slice(cummax(x + ramp(x), -1, {.exclusive = true}), -1, 1)),
          without_end(along(x + ramp(x), -1, [](const Row& r) { return running(r, false, true, greatest); }), true)),
      ROW("cummin", kRows, kAny, 3, cummin(x - ramp(x)), along(x - ramp(x), -1, [](const Row& r) { return running(r, false, false, least); })),
      ROW("cummin: backwards, exclusive", kRows, kAny, 3, (slice(cummin(x - ramp(x), -1, {.reverse = true, .exclusive = true}), -1, 0, -1)),
          without_end(along(x - ramp(x), -1, [](const Row& r) { return running(r, true, true, least); }), false)),
      ROW("cumlogsumexp", kRows, kAny, 3, cumlogsumexp(x), RUNNING(-1, false, false, log_sum_exp)),
      ROW("cumlogsumexp: far apart, backwards", kRows, (Range{-40, 40}), 2, (cumlogsumexp(x, -1, {.reverse = true})), RUNNING(-1, true, false, log_sum_exp)),
      ROW("cumlogsumexp: columns", kColumns, kAny, 3, (cumlogsumexp(x, -2)), RUNNING(-2, false, false, log_sum_exp)),
      ROW("cumlogsumexp: exclusive", kRows, kAny, 3, (slice(cumlogsumexp(x, -1, {.exclusive = true}), -1, 1)),
          without_end(along(x, -1, [](const Row& r) { return running(r, false, true, log_sum_exp); }), true)),
      ROW("cumlogsumexp: columns, backwards, exclusive", kColumns, kAny, 3, (slice(cumlogsumexp(x, -2, {.reverse = true, .exclusive = true}), -2, 0, -1)),
          without_last_row(along(x, -2, [](const Row& r) { return running(r, true, true, log_sum_exp); }))),
      ROW("associative_scan", kRows, kOne, 3, (associative_scan([](const auto& a, const auto& b) { return a * b; }, x)), RUNNING(-1, false, false, product)),
      ROW("associative_scan: columns", kColumns, kAny, 2, (associative_scan([](const auto& a, const auto& b) { return log_add_exp(a, b); }, x, -2)), RUNNING(-2, false, false, log_sum_exp)),
      ROW("segment_sum", kSegments, kAny, 3, segment_sum(x, ids(x.shape()[0], 3), 3), segments(x, 3, total)),
      ROW("segment_sum: empty ones", kSegments, kAny, 3, segment_sum(x, 2 * ids(x.shape()[0], 3), 6), [&] {
        const Reference r = segments(x, 3, total);
        Reference y{Shape{6} + r.shape.last(r.shape.rank() - 1), std::vector<double>(2 * r.values.size()), std::vector<double>(2 * r.values.size(), 1)};
        const std::size_t n = r.values.size() / 3;
        for (std::size_t i = 0; i < r.values.size(); ++i) y.values[i / n * 2 * n + i % n] = r.values[i], y.sizes[i / n * 2 * n + i % n] = r.sizes[i];
        return y;
      }()),
      ROW("segment_mean", kSegments, kAny, 3, segment_mean(x, ids(x.shape()[0], 3), 3), segments(x, 3, average)),
      ROW("segment_max", kSegments, kAny, 3, segment_max(x + ramp(x), ids(x.shape()[0], 3), 3), segments(x + ramp(x), 3, greatest)),
      ROW("segment_min", kSegments, kAny, 3, segment_min(x - ramp(x), ids(x.shape()[0], 3), 3), segments(x - ramp(x), 3, least)),
      ROW("bincount: weighted", (std::vector<std::vector<Shape>>{{{6}}, {{3}}, {{700}}}), kAny, 3, bincount(ids(x.shape()[0], 3), 3, x), segments(x, 3, total)),
      ROW("bincount", kRows, (Range{0.001, 5.999}), 0, cast<typename std::remove_cvref_t<decltype(x)>::value_type>(bincount(cast<std::int32_t>(x), 7)), [&] {
        Reference r{{7}, std::vector<double>(7)};
        for (const double e : x.to_vector()) r.values[std::size_t(e)] += 1;
        return r;
      }()),
      ROW("histogram", kRows, kAny, 0, cast<typename std::remove_cvref_t<decltype(x)>::value_type>(histogram(x, edges<typename std::remove_cvref_t<decltype(x)>::value_type>())), between(x, kEdges)),
  };
  for (Case& c : all) {
    if (c.name.starts_with("segment")) c.large = {{3000, 40}};
    if (c.name == "bincount: weighted") c.large = {{90000}};
  }
  Case linear;
  linear.name = "associative_scan: a tree";
  linear.shapes = {{{3, 5}, {3, 5}}, {{1}, {1}}, {{2, 17}, {2, 17}}};
  linear.ranges = {kSigned, kAny};
  linear.f64 = [](const Doubles& v) { return recurrence_of(v[0], v[1]); };
  linear.f32 = [](const Floats& v) { return recurrence_of(v[0], v[1]); };
  linear.reference = recurrence_reference;
  linear.large = {{300, 301}, {300, 301}};
  all.push_back(linear);
  return all;
}

}  // namespace cases
