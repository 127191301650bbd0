// Random views of one memory, two at a time, against brute-force sets of addresses: what each shows, where it lies,
// whether it says rightly that it is contiguous, and that memory which is lent is nobody else's.
#include <doctest/doctest.h>

#include <algorithm>
#include <cstdio>
#include <string>
#include <vector>

#include "ergo/ops/arithmetic.hpp"
#include "ergo/ops/diagonal.hpp"
#include "ergo/ops/movement.hpp"
#include "ergo/ops/sliding_window.hpp"
#include "ergo/ops/slicing.hpp"
#include "support/fresh.hpp"

namespace ops_views_property_test {

using namespace ergo;

namespace {

// A view beside what it must show: for each element, row-major, its place in the memory.
struct Seen {
  Tensor<double> x;
  std::vector<std::int64_t> place;
  std::string made;
};

std::vector<std::int64_t> index_of(std::int64_t e, const Shape& s) {
  std::vector<std::int64_t> i(std::size_t(s.rank()));
  for (int d = s.rank(); d-- > 0; e /= s[d]) i[std::size_t(d)] = e % s[d];
  return i;
}
std::int64_t element_of(const std::vector<std::int64_t>& i, const Shape& s) {
  std::int64_t e = 0;
  for (int d = 0; d < s.rank(); ++d) e = e * s[d] + i[std::size_t(d)];
  return e;
}
// The places of a result of shape `s` whose element at an index is `from`'s at source(index).
template <class F>
std::vector<std::int64_t> places(const Seen& from, const Shape& s, F source) {
  std::vector<std::int64_t> p;
  for (std::int64_t e = 0; e < s.numel(); ++e)
    p.push_back(from.place[std::size_t(element_of(source(index_of(e, s)), from.x.shape()))]);
  return p;
}
Shape with(Shape s, int axis, std::int64_t extent) {
  s[axis] = extent;
  return s;
}

// One more view of v, drawn at random; each is a view by its contract.
Seen viewed(const Seen& v, Fresh& fresh) {
  const Shape s = v.x.shape();
  const int rank = s.rank();
  if (rank == 0) return {expand_dims(v.x, 0), v.place, v.made + " expand_dims"};
  const int axis = int(fresh.integer(0, rank - 1));
  const std::int64_t n = s[axis];
  switch (fresh.integer(0, 8)) {
    case 0: {
      const std::int64_t step = fresh.integer(1, 3), begin = fresh.integer(0, n), end = fresh.integer(begin, n);
      const Shape to = with(s, axis, (end - begin + step - 1) / step);
      return {slice(v.x, axis, begin, end, step),
              places(v, to,
                     [&](std::vector<std::int64_t> i) {
                       i[std::size_t(axis)] = begin + i[std::size_t(axis)] * step;
                       return i;
                     }),
              v.made + " slice"};
    }
    case 1: {
      const std::int64_t step = -fresh.integer(1, 3);
      if (n == 0) break;
      const std::int64_t begin = fresh.integer(0, n - 1);
      const Shape to = with(s, axis, begin / -step + 1);
      return {slice(v.x, axis, begin, none, step),
              places(v, to,
                     [&](std::vector<std::int64_t> i) {
                       i[std::size_t(axis)] = begin + i[std::size_t(axis)] * step;
                       return i;
                     }),
              v.made + " slice back"};
    }
    case 2: {
      const int other = int(fresh.integer(0, rank - 1));
      Shape to = s;
      std::swap(to[axis], to[other]);
      return {swap_axes(v.x, axis, other),
              places(v, to,
                     [&](std::vector<std::int64_t> i) {
                       std::swap(i[std::size_t(axis)], i[std::size_t(other)]);
                       return i;
                     }),
              v.made + " swap_axes"};
    }
    case 3:
      if (n != 1 || rank == 5) break;
      return {broadcast_to(v.x, with(s, axis, 3)),
              places(v, with(s, axis, 3),
                     [&](std::vector<std::int64_t> i) {
                       i[std::size_t(axis)] = 0;
                       return i;
                     }),
              v.made + " broadcast_to"};
    case 4:
      if (n == 0) break;
      if (axis == 0) {
        const std::int64_t at = fresh.integer(0, n - 1);
        Shape to;
        std::vector<std::int64_t> rest(s.begin() + 1, s.end());
        to = Shape(rest);
        return {v.x[at],
                places(v, to,
                       [&](std::vector<std::int64_t> i) {
                         i.insert(i.begin(), at);
                         return i;
                       }),
                v.made + " [i]"};
      }
      break;
    case 5:
      if (rank == 5) break;
      return {expand_dims(v.x, axis), v.place, v.made + " expand_dims"};
    case 6:
      if (rank < 2 || s[-1] != s[-2] || s[-1] == 0) break;
      {
        std::vector<std::int64_t> rest(s.begin(), s.end() - 1);
        return {diagonal(v.x),
                places(v, Shape(rest),
                       [&](std::vector<std::int64_t> i) {
                         i.push_back(i.back());
                         return i;
                       }),
                v.made + " diagonal"};
      }
    case 7: {
      if (n == 0 || rank == 5) break;
      const std::int64_t size = fresh.integer(1, n), step = fresh.integer(1, 2);
      std::vector<std::int64_t> to(s.begin(), s.end());
      to[std::size_t(axis)] = (n - size) / step + 1;
      to.push_back(size);
      return {sliding_window(v.x, axis, size, step),
              places(v, Shape(to),
                     [&](std::vector<std::int64_t> i) {
                       const std::int64_t within = i.back();
                       i.pop_back();
                       i[std::size_t(axis)] = i[std::size_t(axis)] * step + within;
                       return i;
                     }),
              v.made + " sliding_window"};
    }
    default:
      if (!v.x.array().contiguous) break;
      return {flatten(v.x), v.place, v.made + " flatten"};
  }
  return v;
}

// The addresses of a tensor's elements, in the order that it shows them.
std::vector<const double*> addresses(const Tensor<double>& x) {
  const detail::Array& a = x.array();
  std::vector<const double*> p;
  for (std::int64_t e = 0; e < a.shape.numel(); ++e) {
    const std::vector<std::int64_t> i = index_of(e, a.shape);
    const std::byte* at = a.data;
    for (int d = 0; d < a.shape.rank(); ++d) at += i[std::size_t(d)] * a.stride[d];
    p.push_back(reinterpret_cast<const double*>(at));
  }
  return p;
}
bool meet(std::vector<const double*> a, std::vector<const double*> b) {
  std::sort(a.begin(), a.end());
  std::sort(b.begin(), b.end());
  std::vector<const double*> both;
  std::set_intersection(a.begin(), a.end(), b.begin(), b.end(), std::back_inserter(both));
  return !both.empty();
}

std::string told(const Seen& v, const double* memory, std::int64_t n) {
  const auto at = addresses(v.x);
  if (at.size() != v.place.size()) return "another number of elements";
  for (std::size_t e = 0; e < at.size(); ++e) {
    if (at[e] < memory || at[e] >= memory + n) return "out of bounds";
    if (at[e] != memory + v.place[e]) return "another element";
  }
  bool dense = true;
  for (std::size_t e = 1; e < at.size(); ++e) dense = dense && at[e] == at[0] + e;
  if (v.x.array().contiguous && !dense) return "not contiguous, but says so";
  if (!v.x.array().contiguous && dense && at.size() > 0) return "contiguous, but denies it";
  return "";
}

}  // namespace

TEST_CASE("pairs of random views: elements, bounds, contiguity, and memory that is lent is nobody else's") {
  CAPTURE(test_seed());
  Fresh fresh(91);
  const int pairs = detail::kSanitized ? 10000 : 100000;
  int overlapping = 0, lent = 0, empty = 0, dense = 0, failures = 0;
  for (int trial = 0; trial < pairs && failures < 5; ++trial) {
    Shape shape;
    std::vector<std::int64_t> extents;
    for (std::int64_t d = fresh.integer(0, 3); d > 0; --d) extents.push_back(fresh.integer(trial % 16 ? 1 : 0, 4));
    shape = Shape(extents);
    const std::int64_t n = shape.numel();
    Tensor<double> base = detail::make_tensor<double>(shape);
    double* const memory = detail::data_of<double>(base.array());
    std::vector<std::int64_t> all;
    for (std::int64_t i = 0; i < n; ++i) {
      memory[i] = double(i);
      all.push_back(i);
    }
    Seen a{base, all, ""}, b{base, all, ""};
    for (Seen* v : {&a, &b})
      for (std::int64_t k = fresh.integer(0, 4); k > 0; --k) {
        Seen next = viewed(*v, fresh);
        if (next.place.size() <= 256) *v = std::move(next);
      }
    CAPTURE(a.made);
    CAPTURE(b.made);
    for (const Seen* v : {&a, &b}) {
      const std::string wrong = told(*v, memory, n);
      CHECK(wrong == "");
      failures += wrong != "";
    }
    empty += a.place.empty();
    dense += a.x.array().contiguous;
    const auto of_a = addresses(a.x), of_b = addresses(b.x);
    overlapping += meet(of_a, of_b);
    // a dies in an operation: alone, or beside b, or beside the whole.
    if (fresh.coin()) base = {};
    const bool b_too = fresh.coin();
    if (b_too) b.x = {};
    const Shape of = a.x.shape();
    const Tensor<double> y = std::move(a.x) * 2.0;
    CHECK(y.shape() == of);
    const auto of_y = addresses(y);
    for (std::size_t e = 0; e < of_y.size(); ++e) failures += *of_y[e] != 2 * double(a.place[e]);
    CHECK(failures == 0);
    if (!b_too) {
      CHECK(!meet(of_y, of_b));
      for (std::size_t e = 0; e < of_b.size(); ++e) failures += *of_b[e] != double(b.place[e]);
      CHECK(failures == 0);
    }
    lent += meet(of_y, of_a);
  }
  std::printf("%d pairs: %d overlap, %d of the first are dense, %d empty, %d lent their memory\n", pairs, overlapping,
              dense, empty, lent);
  CHECK(overlapping > pairs / 4);
  CHECK(lent > pairs / 100);
  CHECK(dense > pairs / 10);
  CHECK(dense < pairs);
}

}  // namespace ops_views_property_test
