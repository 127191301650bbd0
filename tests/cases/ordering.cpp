// Rows of order and of what it selects: the first k, quantiles, binary search, scatters that choose, results whose size
// the data say. Indices follow from the shapes: some repeat, some are not hit.
#include <algorithm>
#include <cmath>

#include "cases/moved_elements.hpp"
#include "ergo/ops/compaction.hpp"
#include "ergo/ops/joining.hpp"
#include "ergo/ops/movement.hpp"
#include "ergo/ops/order_statistics.hpp"
#include "ergo/ops/rounding.hpp"
#include "ergo/ops/scattering.hpp"
#include "ergo/ops/searching.hpp"

namespace cases {
namespace {

using namespace ergo;
using Numbers = std::vector<double>;

Tensor<std::int32_t> indices(std::int64_t m, std::int64_t n) {
  std::vector<std::int32_t> v;
  for (std::int64_t i = 0; i < m; ++i) v.push_back(std::int32_t((i * i * 7 + 3 * i + 1) % n));
  return from_span<std::int32_t>(v, {m});
}
// Distinct numbers, 5 apart, in no order: what is added keeps the order. `other`: between those.
double step(std::int64_t i, bool other = false) { return 5.0 * double((i * 37 + 11) % 101) + (other ? 2.5 : 0); }
template <class T>
Tensor<T> apart(const Tensor<T>& x, bool other = false) {
  std::vector<T> v;
  for (std::int64_t i = 0; i < x.numel(); ++i) v.push_back(T(step(i, other)));
  return x * T(0.5) + from_span<T>(v, x.shape());
}
Numbers apart_numbers(const Tensor<double>& x, bool other = false) {
  Numbers v = x.to_vector();
  for (std::size_t i = 0; i < v.size(); ++i) v[i] = 0.5 * v[i] + step(std::int64_t(i), other);
  return v;
}
// f of each row of the last axis, which gives so many numbers.
Reference by_rows(const Tensor<double>& x, const Numbers& v, std::int64_t each,
                  const std::function<Numbers(Numbers)>& f) {
  const std::int64_t n = x.shape()[-1];
  Reference r{x.shape().first(x.rank() - 1) + Shape{each}, {}};
  for (std::size_t i = 0; i < v.size(); i += std::size_t(n))
    for (const double y : f(Numbers(v.begin() + std::ptrdiff_t(i), v.begin() + std::ptrdiff_t(i) + n)))
      r.values.push_back(y);
  return r;
}
// The places of v in order, by insertion.
std::vector<std::size_t> order_of(const Numbers& v, bool descending) {
  std::vector<std::size_t> places;
  for (std::size_t i = 0; i < v.size(); ++i) {
    std::size_t at = places.size();
    while (at > 0 && (descending ? v[places[at - 1]] < v[i] : v[places[at - 1]] > v[i])) --at;
    places.insert(places.begin() + std::ptrdiff_t(at), i);
  }
  return places;
}
double cubed(double v) { return v * v * v; }
// x with the rows of y put to it one after another, as `meet` says; then the cubes of hundredths.
Reference scattered(const Doubles& in, const std::function<double(double, double)>& meet) {
  const Shape s = in[0].shape();
  const std::int64_t m = in[1].shape()[0], inner = s.last(s.rank() - 1).numel();
  Numbers x = apart_numbers(in[0]);
  const Numbers y = apart_numbers(in[1], true);
  const auto at = indices(m, s[0]).to_vector();
  for (std::int64_t k = 0; k < m; ++k)
    for (std::int64_t c = 0; c < inner; ++c) {
      double& to = x[std::size_t(at[std::size_t(k)] * inner + c)];
      to = meet(to, y[std::size_t(k * inner + c)]);
    }
  Reference r{s, {}};
  for (const double v : x) r.values.push_back(cubed(v / 100));
  return r;
}
Reference quantiles(const Shape& shape, const Numbers& v, std::int64_t n, double q) {
  Reference r{shape, {}};
  for (std::size_t i = 0; i + std::size_t(n) <= v.size() && n > 0; i += std::size_t(n)) {
    Numbers row(v.begin() + std::ptrdiff_t(i), v.begin() + std::ptrdiff_t(i) + n);
    std::sort(row.begin(), row.end());
    const long double at = (long double)q * (long double)(n - 1);
    const auto low = std::size_t(at);
    const long double t = at - (long double)low;
    const long double a = row[low], b = t > 0 ? row[low + 1] : row[low];
    r.values.push_back(cubed(double(((1 - t) * a + t * b) / 100)));
  }
  return r;
}
template <class T>
Tensor<T> hundredths(const Tensor<T>& y) {
  return cube(y * T(0.01));
}
// Ties everywhere.
template <class T>
Tensor<T> coarse(const Tensor<T>& x) {
  return floor(x);
}
Numbers coarse_numbers(const Tensor<double>& x) {
  Numbers v = x.to_vector();
  for (double& e : v) e = std::floor(e);
  return v;
}

const Shapes kRows = {{{3, 5}}, {{1, 1}}, {{7, 4}}, {{40, 70}}, {{0, 4}}, {{2, 2100}}};

template <class F>
Case row(const char* name, const Shapes& shapes, const std::vector<Shape>& large, F,
         Reference (*reference)(const Doubles&)) {
  Case c;
  c.name = name;
  c.shapes = shapes;
  c.large = large;
  c.f64 = [](const Doubles& in) { return F{}(in); };
  c.f32 = [](const Floats& in) { return F{}(in); };
  c.reference = reference;
  return c;
}
template <class F>
Case constant_row(const char* name, const Shapes& shapes, const std::vector<Shape>& large, F f,
                  Reference (*reference)(const Doubles&)) {
  Case c = row(name, shapes, large, f, reference);
  c.order = 0;
  return c;
}
template <class T, class I>
Tensor<T> as(const Tensor<I>& y, const Tensor<T>&) {
  return cast<T>(y);
}

}  // namespace

std::vector<Case> ordering_cases() {
  std::vector<Case> all;
  const auto bare = [&](Tensor<float> (*f)(const Floats&)) { all.back().bare = f; };

  all.push_back(row("topk", kRows, {{1000, 70}}, OP(hundredths(topk(apart(x), x.shape()[-1] < 3 ? 1 : 3).values)),
                    [](const Doubles& in) {
                      const std::int64_t k = in[0].shape()[-1] < 3 ? 1 : 3;
                      return by_rows(in[0], apart_numbers(in[0]), k, [=](Numbers v) {
                        Numbers r;
                        const auto places = order_of(v, true);
                        for (std::int64_t i = 0; i < k; ++i)
                          r.push_back(cubed(v[places[std::size_t(i)]] / 100));
                        return r;
                      });
                    }));
  bare([](const Floats& in) { return topk(in[0], 3).values; });
  all.push_back(constant_row("topk: indices of ties", {{{3, 9}}, {{5, 300}}, {{2, 4100}}, {{0, 7}}}, {{1000, 80}},
                             OP(as(topk<std::int64_t>(coarse(x), 5).indices, x)), [](const Doubles& in) {
                               return by_rows(in[0], coarse_numbers(in[0]), 5, [](Numbers v) {
                                 Numbers r;
                                 const auto places = order_of(v, true);
                                 for (std::size_t i = 0; i < 5; ++i) r.push_back(double(places[i]));
                                 return r;
                               });
                             }));
  bare([](const Floats& in) { return as(topk(in[0], 5).indices, in[0]); });
  all.push_back(row("topk: the smallest, first axis", {{{5, 3}}, {{1, 1}}, {{4, 2, 3}}, {{2500, 2}}}, {{70, 1000}},
                    OP(hundredths(topk(apart(x), (x.shape()[0] + 1) / 2, 0, {.largest = false}).values)),
                    [](const Doubles& in) {
                      const Shape s = in[0].shape();
                      const std::int64_t n = s[0], k = (n + 1) / 2, inner = s.last(s.rank() - 1).numel();
                      const Numbers v = apart_numbers(in[0]);
                      Reference r{Shape{k} + s.last(s.rank() - 1), Numbers(std::size_t(k * inner))};
                      for (std::int64_t c = 0; c < inner; ++c) {
                        Numbers column;
                        for (std::int64_t i = 0; i < n; ++i) column.push_back(v[std::size_t(i * inner + c)]);
                        const auto places = order_of(column, false);
                        for (std::int64_t i = 0; i < k; ++i)
                          r.values[std::size_t(i * inner + c)] = cubed(column[places[std::size_t(i)]] / 100);
                      }
                      return r;
                    }));
  bare([](const Floats& in) { return topk(in[0], 4, 0, {.largest = false}).values; });

  all.push_back(row("median", {{{3, 4}}, {{5}}, {{1}}, {{7, 30}}, {{2101}}}, {{300, 400}},
                    OP(hundredths(median(apart(x)))), [](const Doubles& in) {
                      return quantiles(Shape{}, apart_numbers(in[0]), in[0].numel(), 0.5);
                    }));
  bare([](const Floats& in) { return median(in[0], -1); });
  all.push_back(row("median: ties, along an axis", {{{3, 5}}, {{7, 1}}, {{4, 31}}, {{0, 3}}, {{1, 2049}}}, {{300, 400}},
                    OP(hundredths(median(coarse(x), -1, true) + median(apart(x), -1, true))), [](const Doubles& in) {
                      const Shape s = in[0].shape();
                      const std::int64_t n = s[-1];
                      const Numbers a = coarse_numbers(in[0]), b = apart_numbers(in[0]);
                      Reference r{s.first(s.rank() - 1) + Shape{1}, {}};
                      for (std::size_t i = 0; i < a.size(); i += std::size_t(n)) {
                        double sum = 0;
                        for (const Numbers* v : {&a, &b}) {
                          Numbers row(v->begin() + std::ptrdiff_t(i), v->begin() + std::ptrdiff_t(i) + n);
                          std::sort(row.begin(), row.end());
                          const auto h = std::size_t(n / 2);
                          sum += n % 2 ? row[h] : (row[h - 1] + row[h]) / 2;
                        }
                        r.values.push_back(cubed(sum / 100));
                      }
                      return r;
                    }));
  bare([](const Floats& in) { return median(in[0], -1, true); });
  all.push_back(row("quantile", {{{3, 6}}, {{5}}, {{1}}, {{7, 30}}, {{2101}}}, {{300, 400}},
                    OP(hundredths(quantile(apart(x), 0.3))), [](const Doubles& in) {
                      return quantiles(Shape{}, apart_numbers(in[0]), in[0].numel(), 0.3);
                    }));
  bare([](const Floats& in) { return quantile(in[0], 0.3, -1); });
  all.push_back(row("quantile: its ends, last axes", {{{2, 3, 4}}, {{3, 1, 1}}, {{1, 7, 301}}, {{0, 2, 2}}},
                    {{300, 20, 20}},
                    OP(hundredths(quantile(apart(x), 0, {1, 2}) - 2 * quantile(apart(x), 1, {-1, -2}))),
                    [](const Doubles& in) {
                      const Shape s = in[0].shape();
                      const std::int64_t n = s[1] * s[2];
                      const Numbers v = apart_numbers(in[0]);
                      Reference r{Shape{s[0]}, {}};
                      for (std::size_t i = 0; i < v.size(); i += std::size_t(n)) {
                        const auto [least, most] = std::minmax_element(v.begin() + std::ptrdiff_t(i),
                                                                       v.begin() + std::ptrdiff_t(i) + n);
                        r.values.push_back(cubed((*least - 2 * *most) / 100));
                      }
                      return r;
                    }));
  bare([](const Floats& in) { return quantile(in[0], 1, {1, 2}); });

  all.push_back(constant_row("searchsorted", {{{9}, {3, 4}}, {{1}, {5}}, {{0}, {3}}, {{300}, {7, 40}}, {{4}, {0}}},
                             {{1000}, {300, 300}}, OP(as(searchsorted(sort(coarse(x)), coarse(y)), x)),
                             [](const Doubles& in) {
                               const Numbers sorted = coarse_numbers(in[0]), x = coarse_numbers(in[1]);
                               Reference r{in[1].shape(), {}};
                               for (const double v : x)
                                 r.values.push_back(double(std::count_if(sorted.begin(), sorted.end(),
                                                                         [=](double e) { return e < v; })));
                               return r;
                             }));
  bare([](const Floats& in) { return as(searchsorted(in[0], in[1]), in[0]); });
  all.push_back(constant_row("searchsorted: right, rows", {{{3, 6}, {3, 4}}, {{1, 9}, {1, 1}}, {{5, 70}, {5, 30}}},
                             {{300, 30}, {300, 300}},
                             OP(as(searchsorted<std::int64_t>(sort(coarse(x)), coarse(y), {.right = true}), x)),
                             [](const Doubles& in) {
                               const Numbers sorted = coarse_numbers(in[0]), x = coarse_numbers(in[1]);
                               const std::int64_t n = in[0].shape()[1], m = in[1].shape()[1];
                               Reference r{in[1].shape(), {}};
                               for (std::int64_t i = 0; i < in[1].numel(); ++i) {
                                 double count = 0;
                                 for (std::int64_t j = 0; j < n; ++j)
                                   count += sorted[std::size_t(i / m * n + j)] <= x[std::size_t(i)];
                                 r.values.push_back(count);
                               }
                               return r;
                             }));
  bare([](const Floats& in) { return as(searchsorted(in[0], in[1], {.right = true}), in[0]); });

  const Shapes two = {{{3, 2}, {4, 2}}, {{1}, {6}}, {{5, 3, 2}, {2, 3, 2}}, {{7, 33}, {40, 33}}, {{2, 0}, {3, 0}},
                      {{4, 3}, {0, 3}}};
  const std::vector<Shape> two_large = {{500, 40}, {3000, 40}};
  all.push_back(row("scatter", two, two_large,
                    OP(hundredths(scatter(apart(x), indices(y.shape()[0], x.shape()[0]), apart(y, true)))),
                    [](const Doubles& in) { return scattered(in, [](double, double b) { return b; }); }));
  bare([](const Floats& in) { return scatter(in[0], indices(in[1].shape()[0], in[0].shape()[0]), in[1]); });
  all.push_back(row("scatter: last axis, all of one place", {{{2, 3}, {2, 4}}, {{3, 1}, {3, 9}}, {{5, 40}, {5, 300}}},
                    {{500, 40}, {500, 90}},
                    OP(hundredths(scatter(apart(x), 0 * indices(y.shape()[1], 1), apart(y, true), -1))),
                    [](const Doubles& in) {
                      const std::int64_t n = in[0].shape()[1], m = in[1].shape()[1];
                      Numbers x = apart_numbers(in[0]);
                      const Numbers y = apart_numbers(in[1], true);
                      Reference r{in[0].shape(), {}};
                      for (std::size_t i = 0; i < x.size(); ++i)
                        r.values.push_back(cubed((i % std::size_t(n) == 0
                                                      ? y[i / std::size_t(n) * std::size_t(m) + std::size_t(m) - 1]
                                                      : x[i]) / 100));
                      return r;
                    }));
  bare([](const Floats& in) { return scatter(in[0], 0 * indices(in[1].shape()[1], 1), in[1], -1); });
  all.push_back(row("scatter_max", two, two_large,
                    OP(hundredths(scatter_max(apart(x), indices(y.shape()[0], x.shape()[0]), apart(y, true)))),
                    [](const Doubles& in) { return scattered(in, [](double a, double b) { return a < b ? b : a; }); }));
  bare([](const Floats& in) { return scatter_max(in[0], indices(in[1].shape()[0], in[0].shape()[0]), in[1]); });
  all.push_back(row("scatter_min", two, two_large,
                    OP(hundredths(scatter_min(apart(x), indices(y.shape()[0], x.shape()[0]), apart(y, true)))),
                    [](const Doubles& in) { return scattered(in, [](double a, double b) { return a < b ? a : b; }); }));
  bare([](const Floats& in) { return scatter_min(in[0], indices(in[1].shape()[0], in[0].shape()[0]), in[1]); });

  const auto waits = [&] { all.back().vmaps = false; };  // its shape depends on the data: inside vmap an Error
  all.push_back(row("mask_select", {{{3, 4}}, {{1}}, {{7, 30}}, {{5000}}, {{0, 3}}}, {{300, 300}},
                    OP(cube(mask_select(x, apart(stop_gradient(x)) > 200))), [](const Doubles& in) {
                      const Numbers x = in[0].to_vector(), v = apart_numbers(in[0]);
                      Reference r{Shape{}, {}};
                      for (std::size_t i = 0; i < x.size(); ++i)
                        if (v[i] > 200) r.values.push_back(cubed(x[i]));
                      r.shape = Shape{std::int64_t(r.values.size())};
                      return r;
                    }));
  waits();
  all.push_back(row("mask_select: none, and all", {{{3, 4}}, {{1}}, {{7, 30}}}, {{300, 300}},
                    OP(cube(concatenate({mask_select(x, x != x), mask_select(x, x == x)}))), [](const Doubles& in) {
                      Reference r{Shape{in[0].numel()}, {}};
                      for (const double v : in[0].to_vector()) r.values.push_back(cubed(v));
                      return r;
                    }));
  waits();
  all.push_back(constant_row("nonzero", {{{3, 4}}, {{1}}, {{2, 3, 70}}, {{5000}}, {{0, 3}}}, {{300, 300}},
                             OP(as(nonzero(coarse(x)), x)), [](const Doubles& in) {
                               const Shape s = in[0].shape();
                               Reference r{Shape{}, {}};
                               const Numbers v = coarse_numbers(in[0]);
                               for (std::int64_t i = 0; i < in[0].numel(); ++i) {
                                 if (v[std::size_t(i)] == 0) continue;
                                 std::int64_t behind = s.numel(), left = i;
                                 for (int d = 0; d < s.rank(); ++d) {
                                   behind /= s[d];
                                   r.values.push_back(double(left / behind));
                                   left %= behind;
                                 }
                               }
                               r.shape = Shape{std::int64_t(r.values.size()) / s.rank(), s.rank()};
                               return r;
                             }));
  waits();
  all.push_back(constant_row("unique", {{{3, 4}}, {{1}}, {{70, 30}}, {{5000}}, {{0, 3}}}, {{300, 300}},
                             [](const auto& in) {
                               const auto u = unique(coarse(in[0]));
                               return concatenate({u.values, as(u.counts, in[0]), flatten(as(u.inverse, in[0]))});
                             },
                             [](const Doubles& in) {
                               const Numbers v = coarse_numbers(in[0]);
                               Numbers values = v;
                               std::sort(values.begin(), values.end());
                               values.erase(std::unique(values.begin(), values.end()), values.end());
                               Reference r{Shape{}, values};
                               for (const double u : values)
                                 r.values.push_back(double(std::count(v.begin(), v.end(), u)));
                               for (const double e : v)
                                 r.values.push_back(double(std::find(values.begin(), values.end(), e) - values.begin()));
                               r.shape = Shape{std::int64_t(r.values.size())};
                               return r;
                             }));
  waits();
  return all;
}

}  // namespace cases
