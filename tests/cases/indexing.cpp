// Rows of indexing and sorting. Indices follow from the shapes: some repeat, some are not hit.
#include <algorithm>

#include "cases/moved_elements.hpp"
#include "ergo/ops/movement.hpp"
#include "ergo/ops/sorting.hpp"

namespace cases {
namespace {

using namespace ergo;

// Indices of a shape into [0, n).
Tensor<std::int32_t> indices(const Shape& s, std::int64_t n) {
  std::vector<std::int32_t> v;
  for (std::int64_t i = 0; i < s.numel(); ++i) v.push_back(std::int32_t((i * i * 7 + 3 * i + 1) % n));
  return from_span<std::int32_t>(v, s);
}
std::int64_t index(const Shape& s, std::int64_t n, const Place& p) {
  return indices(s, n).to_vector()[std::size_t(position(s, p))];
}

// Distinct numbers, 5 apart, in no order: what is added keeps the order.
template <class T>
Tensor<T> ramp(const Tensor<T>& x) {
  std::vector<T> v;
  for (std::int64_t i = 0; i < x.numel(); ++i) v.push_back(T(5 * ((i * 37 + 11) % 101)));
  return from_span<T>(v, x.shape());
}
// f(row, row with the ramp) for each row of the last axis.
Reference by_rows(const Tensor<double>& x, const std::function<std::vector<double>(std::vector<double>)>& f) {
  const auto v = (x + ramp(x)).to_vector();
  const std::int64_t n = x.shape()[-1];
  Reference r{x.shape(), {}};
  for (std::size_t i = 0; i < v.size(); i += std::size_t(n))
    for (double y : f(std::vector<double>(v.begin() + std::ptrdiff_t(i), v.begin() + std::ptrdiff_t(i) + n)))
      r.values.push_back(y);
  return r;
}

const Shapes kRows = {{{3, 5}}, {{1, 1}}, {{7, 4}}, {{70, 33}}, {{4, 0}}};

Reference scattered(const Doubles& in) {  // the rows of y added to those of x
  const Shape s = in[0].shape(), t = in[1].shape();
  auto sum = in[0].to_vector();
  const auto y = in[1].to_vector();
  const std::int64_t inner = s.last(s.rank() - 1).numel();
  for (std::int64_t k = 0; k < t[0]; ++k)
    for (std::int64_t c = 0; c < inner; ++c)
      sum[std::size_t(index({t[0]}, s[0], {k}) * inner + c)] += y[std::size_t(k * inner + c)];
  return cubes(s, [&](const Place& p) { return sum[std::size_t(position(s, p))]; });
}

}  // namespace

std::vector<Case> indexing_cases() {
  std::vector<Case> all = {
      moving_row("take", kRows, {{500, 80}}, OP(take(x, indices({600}, x.shape()[0]))),
                 MOVED((Shape{600, s[1]}), index({600}, s[0], {p[0]}) * s[1] + p[1])),
      moving_row("take: last axis", {{{3, 5}}, {{1, 1}}, {{2, 7, 4}}, {{0, 3}}}, {{4000, 9}},
                 OP(take(x, indices({2, 3}, x.shape()[-1]), -1)),
                 MOVED((s.first(s.rank() - 1) + Shape{2, 3}),
                       position(s.first(s.rank() - 1), Place(p.begin(), p.end() - 2)) * s[-1] +
                           index({2, 3}, s[-1], Place(p.end() - 2, p.end())))),
      moving_row(
          "gather_rows", {{{3, 5, 2}}, {{1}}, {{7, 4}}}, {{500, 80}}, OP(gather_rows(x, indices({900}, x.shape()[0]))),
          MOVED(Shape{900} + s.last(s.rank() - 1), index({900}, s[0], {p[0]}) * s.last(s.rank() - 1).numel() +
                                                     position(s.last(s.rank() - 1), Place(p.begin() + 1, p.end())))),
      moving_row("embedding", kRows, {{500, 80}}, OP(embedding(x, indices({10, 90}, x.shape()[0]))),
                 MOVED((Shape{10, 90, s[1]}), index({10, 90}, s[0], {p[0], p[1]}) * s[1] + p[2])),
      moving_row("take_along_axis", {{{3, 5}}, {{1, 1}}, {{2, 7, 4}}, {{70, 33}}}, {{3000, 33}},
                 OP(take_along_axis(x, indices(x.shape().first(x.rank() - 1) + Shape{6}, x.shape()[-1]))),
                 MOVED(s.first(s.rank() - 1) + Shape{6},
                       position(s.first(s.rank() - 1), Place(p.begin(), p.end() - 1)) * s[-1] +
                           index(s.first(s.rank() - 1) + Shape{6}, s[-1], p))),
      moving_row("scatter_add",
                 {{{3, 2}, {4, 2}}, {{1}, {6}}, {{5, 3, 2}, {2, 3, 2}}, {{7, 33}, {40, 33}}, {{2, 0}, {3, 0}}},
                 {{50, 40}, {3000, 40}}, OP(scatter_add(x, indices({y.shape()[0]}, x.shape()[0]), y)), scattered),
      moving_row("sort", kRows, {{1000, 70}}, OP(sort(x + ramp(x))),
                 [](const Doubles& in) {
                   auto r = by_rows(in[0], [](std::vector<double> v) {
                     std::sort(v.begin(), v.end());
                     return v;
                   });
                   for (double& y : r.values) y = y * y * y;
                   return r;
                 }),
  };
  all.back().bare = [](const Floats& in) { return sort(in[0]); };
  Case order;
  order.name = "argsort";
  order.large = {{1000, 70}};
  order.bare = [](const Floats& in) {
    argsort(in[0]);
    return in[0];
  };
  order.shapes = kRows;
  order.order = 0;
  order.f64 = [](const Doubles& in) { return cast<double>(argsort(in[0] + ramp(in[0]), -1, {.descending = true})); };
  order.f32 = [](const Floats& in) { return cast<float>(argsort(in[0] + ramp(in[0]), -1, {.descending = true})); };
  order.reference = [](const Doubles& in) {
    return by_rows(in[0], [](std::vector<double> v) {
      std::vector<double> places(v.size());
      for (std::size_t i = 0; i < v.size(); ++i)
        places[std::size_t(std::count_if(v.begin(), v.end(), [&](double o) { return o > v[i]; }))] = double(i);
      return places;
    });
  };
  all.push_back(order);
  Case hot = order;
  hot.name = "one_hot";
  hot.large = {{300, 70}};
  hot.bare = [](const Floats& in) {
    one_hot(zeros<std::int32_t>({20000}), 70);
    return in[0];
  };
  hot.f64 = [](const Doubles& in) { return one_hot<double>(argsort(in[0] + ramp(in[0])), in[0].shape()[-1]); };
  hot.f32 = [](const Floats& in) { return one_hot(argsort(in[0] + ramp(in[0])), in[0].shape()[-1]); };
  hot.reference = [](const Doubles& in) {
    const std::int64_t n = in[0].shape()[-1];
    Reference r{in[0].shape() + Shape{n}, {}};
    const auto smaller = by_rows(in[0], [](std::vector<double> v) {
      std::vector<double> rank(v.size());
      for (std::size_t i = 0; i < v.size(); ++i)
        rank[i] = double(std::count_if(v.begin(), v.end(), [&](double o) { return o < v[i]; }));
      return rank;
    });
    for (std::int64_t i = 0; i < in[0].numel(); ++i)  // 1 where the k-th smallest of the row is its element j
      for (std::int64_t j = 0; j < n; ++j)
        r.values.push_back(smaller.values[std::size_t(i / n * n + j)] == double(i % n) ? 1 : 0);
    return r;
  };
  all.push_back(hot);
  return all;
}

}  // namespace cases
