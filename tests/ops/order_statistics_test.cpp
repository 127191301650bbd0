// Corners of topk, median, quantile, searchsorted, scatters and of results whose shape the data say: ties, NaN, zeros
// of both signs, ends, nothing; errors; vmap; all dtypes.
// again: cuda
#include <doctest/doctest.h>

#include <cmath>
#include <limits>
#include <random>

#include "ergo/autograd/curvature.hpp"
#include "ergo/ops/compaction.hpp"
#include "ergo/ops/exponential.hpp"
#include "ergo/ops/movement.hpp"
#include "ergo/ops/order_statistics.hpp"
#include "ergo/ops/scattering.hpp"
#include "ergo/ops/searching.hpp"
#include "support/message.hpp"
#include "support/seed.hpp"

namespace ops_order_statistics_test {

using namespace ergo;
using X = Tensor<double>;
using Numbers = std::vector<double>;
using Places = std::vector<std::int32_t>;
constexpr double kInfinity = std::numeric_limits<double>::infinity(), kNan = std::numeric_limits<double>::quiet_NaN();

namespace {
Tensor<std::int32_t> places(std::initializer_list<std::int32_t> v) {
  return from_span<std::int32_t>(std::vector<std::int32_t>(v), {std::int64_t(v.size())});
}
X numbers(const Numbers& v) { return from_span<double>(v, {std::int64_t(v.size())}); }
}  // namespace

TEST_CASE("topk: ties by index, NaN the largest, zeros equal; k of 0, 1, n") {
  const X x = tensor<double>({1, 3, -0.0, 3, kNan, 0.0, -kInfinity, kNan});
  CHECK(topk(x, 8).indices.to_vector() == Places{4, 7, 1, 3, 0, 2, 5, 6});
  CHECK(topk(x, 8, 0, {.largest = false}).indices.to_vector() == Places{6, 2, 5, 0, 1, 3, 4, 7});
  CHECK(topk(x, 3).indices.to_vector() == Places{4, 7, 1});
  CHECK(std::isnan(topk(x, 1).values.item()));
  CHECK(topk(x, 0).values.shape() == Shape{0});
  CHECK(topk(x, 0).indices.shape() == Shape{0});
  CHECK(topk(zeros<double>({0, 3}), 2, 1).values.shape() == Shape{0, 2});
  CHECK(topk(zeros<double>({3, 0}), 0).values.shape() == Shape{3, 0});
  CHECK(topk<std::int64_t>(tensor<bool>({false, true, false, true}), 3).indices.to_vector() ==
        std::vector<std::int64_t>{1, 3, 0});
  CHECK(topk(tensor<std::uint8_t>({3, 200, 7}), 2).values.to_vector() == std::vector<std::uint8_t>{200, 7});
}

TEST_CASE("topk agrees with sort, whatever the way taken") {
  std::mt19937_64 random(test_seed());
  for (const std::int64_t n : {63, 64, 200, 300, 5000, 140000}) {
    std::vector<float> v;
    for (std::int64_t i = 0; i < 2 * n; ++i) {
      const auto u = random();
      v.push_back(u % 50 == 0 ? (u % 100 == 0 ? NAN : -0.0f) : float(std::int64_t(u / 64 % 4000)) - 2000);
    }
    const auto x = from_span<float>(v, {2, n});
    const auto wide = cast<double>(x);
    const auto falling = argsort(x, -1, {.descending = true}), rising = argsort(x);
    for (const std::int64_t k : {std::int64_t{1}, std::int64_t{5}, std::int64_t{63}, n / 5, n / 2}) {
      CHECK(array_equal(topk(x, k).indices, slice(falling, -1, 0, k)));
      CHECK(array_equal(topk(x, k, -1, {.largest = false}).indices, slice(rising, -1, 0, k)));
      CHECK(array_equal(topk(wide, k).indices, slice(falling, -1, 0, k)));
    }
  }
}

TEST_CASE("median and quantile: ends, NaN, infinities, numbers of NumPy 1.26") {
  const X x = tensor<double>({3, 1, 4, 1, 5, 9, 2, 6});
  CHECK(quantile(x, 0).item() == 1);
  CHECK(quantile(x, 1).item() == 9);
  CHECK(median(x).item() == 3.5);
  CHECK(quantile(x, 0.3).item() == doctest::Approx(2.1).epsilon(1e-15));
  CHECK(quantile(x, 0.77).item() == doctest::Approx(5.39).epsilon(1e-15));
  CHECK(median(tensor<double>({2, kNan, 1})).item() != median(tensor<double>({2, kNan, 1})).item());
  CHECK(grad([](const X& v) { return median(v); })(tensor<double>({2, kNan, 1, kNan})).to_vector() ==
        Numbers{0, 1, 0, 0});
  CHECK(quantile(tensor<double>({kInfinity, kInfinity, 0}), 0.75).item() == kInfinity);
  CHECK(quantile(tensor<double>({-kInfinity, -kInfinity, 0}), 0.25).item() == -kInfinity);
  CHECK(median(tensor<double>({1, kInfinity})).item() == kInfinity);
  CHECK(median(tensor<double>({-kInfinity, 1})).item() == -kInfinity);
  CHECK(quantile(tensor<double>({-kInfinity, 1, 2}), 0.25).item() == -kInfinity);
  CHECK(std::isnan(median(tensor<double>({-kInfinity, kInfinity})).item()));
  CHECK(median(tensor<float>({-3e38f, 3e38f})).item() == 0);
  CHECK(median(tensor<float>({3e38f, 3e38f, -3e38f, 3.2e38f})).item() == 3e38f);
  CHECK(median(tensor<float>({3e38f, 3.2e38f})).item() == 3.1e38f);
  CHECK(quantile(tensor<double>({-1.7e308, 1.7e308}), 0.75).item() == doctest::Approx(0.85e308).epsilon(1e-15));
  CHECK(median(tensor<double>({5e-324, 1.5e-323})).item() == 1e-323);
  for (const double q : {0.1, 0.3, 0.5, 0.7, 0.9}) CHECK(quantile(tensor<double>({0.1, 0.1}), q).item() == 0.1);
  const auto far = grad([](const X& v) { return quantile(v, 0.25); })(tensor<double>({-1.7e308, 1.7e308}));
  CHECK(far.to_vector() == Numbers{0.75, 0.25});
  CHECK(jvp([](const X& v) { return median(v); })(tensor<double>({-1.7e308, 1.7e308}), tensor<double>({2, 4}))
            .second.item() == 3);
  CHECK(median(tensor<float>({2, 1, 3, 4})).item() == 2.5f);
  CHECK(float(quantile(cast<bfloat16>(tensor<float>({0, 256})), 0.3).item()) == float(bfloat16(76.8f)));
  CHECK(median(zeros<double>({0, 3}), 1).shape() == Shape{0});
  CHECK(quantile(ones<double>({2, 3, 4}), 0.5, {0, -1}, true).shape() == Shape{1, 3, 1});
}

TEST_CASE("median and quantile of long rows agree with sort") {
  std::mt19937_64 random(test_seed());
  for (const std::int64_t n : {2047, 2049, 20001, 40000}) {
    Numbers v;
    for (std::int64_t i = 0; i < 2 * n; ++i) v.push_back(double(std::int64_t(random() % 5000)) / 7 - 300);
    const X x = numbers(v);
    const X rows(detail::reshape(x.ref(), Shape{2, n}));
    const X sorted = sort(rows);
    for (const double q : {0.0, 0.1, 0.5, 0.999, 1.0}) {
      const double at = q * double(n - 1);
      const auto low = std::int64_t(at), high = low + (at > double(low) ? 1 : 0);
      for (std::int64_t r = 0; r < 2; ++r) {
        const double a = sorted.at({r, low}), b = sorted.at({r, high});
        CHECK(quantile(rows, q, -1).at({r}) == doctest::Approx(a + (at - double(low)) * (b - a)).epsilon(1e-14));
        CHECK(quantile(cast<float>(rows), q, -1).at({r}) ==
              doctest::Approx(a + (at - double(low)) * (b - a)).epsilon(1e-5));
      }
    }
    v[std::size_t(n + 5)] = v[std::size_t(n + 3)] = kNan;
    const auto g = grad([n](const X& p) {
      return sum(median(Tensor<double>(detail::reshape(p.ref(), {2, n})), -1));
    })(numbers(v));
    CHECK(g.at({n + 3}) == 1);
    CHECK(g.at({n + 5}) == 0);
  }
}

TEST_CASE("derivatives at ties go to the first in order, by the weights of a quantile") {
  const auto slope = [](const auto& f, const X& x) { return grad(f)(x).to_vector(); };
  CHECK(slope([](const X& v) { return sum(topk(v, 2).values); }, tensor<double>({1, 2, 2, 2})) == Numbers{0, 1, 1, 0});
  CHECK(slope([](const X& v) { return slice(sort(v), 0, 2, 3); }, tensor<double>({1, 2, 1, 2, 1})) ==
        Numbers{0, 0, 0, 0, 1});
  CHECK(slope([](const X& v) { return median(v); }, tensor<double>({5, 5, 5, 5})) == Numbers{0, 0.5, 0.5, 0});
  CHECK(slope([](const X& v) { return quantile(v, 0.25); }, tensor<double>({0, 1, 3})) == Numbers{0.5, 0.5, 0});
  CHECK(hvp([](const X& v) { return square(median(v)); })(tensor<double>({1, 5, 2}), ones<double>({3})).to_vector() ==
        Numbers{0, 0, 2});
}

TEST_CASE("searchsorted: NaN behind all, zeros equal, every dtype, nothing to search") {
  const X sorted = tensor<double>({-kInfinity, -1, -0.0, 0, 2, 2, kInfinity, kNan, kNan});
  const X x = tensor<double>({-kInfinity, -0.5, 0, -0.0, 2, 3, kInfinity, kNan});
  CHECK(searchsorted(sorted, x).to_vector() == Places{0, 2, 2, 2, 4, 6, 6, 7});
  CHECK(searchsorted(sorted, x, {.right = true}).to_vector() == Places{1, 2, 4, 4, 6, 6, 7, 9});
  CHECK(searchsorted(zeros<double>({0}), x).to_vector() == Places(8, 0));
  CHECK(searchsorted(sorted, X(2.0)).item() == 4);
  CHECK(searchsorted<std::uint8_t>(tensor<bool>({false, true}), tensor<bool>({true, false})).to_vector() ==
        std::vector<std::uint8_t>{1, 0});
  CHECK(searchsorted(cast<half>(sorted), cast<half>(x)).to_vector() == Places{0, 2, 2, 2, 4, 6, 6, 7});
  CHECK(searchsorted(tensor<std::int64_t>({1, 5, 5}), tensor<std::int64_t>({5, 6}), {.right = true}).to_vector() ==
        Places{3, 3});
  const X rows = tensor<double>({{1, 2, 3}, {10, 20, 30}}), wanted = tensor<double>({{2, 9}, {2, 25}});
  CHECK(searchsorted(rows, wanted).to_vector() == Places{1, 3, 0, 2});
  CHECK(array_equal(vmap([](const X& row, const X& v) { return searchsorted(row, v); })(rows, wanted),
                    searchsorted(rows, wanted)));
  CHECK(grad([&](const X& v) { return sum(v * cast<double>(searchsorted(v, v))); })(tensor<double>({1, 2, 3}))
            .to_vector() == Numbers{0, 1, 2});
}

TEST_CASE("scatter: the last wins, others have no cotangent") {
  const X x = tensor<double>({1, 2, 3}), y = tensor<double>({10, 20, 30});
  const auto at = places({2, 0, 2});
  CHECK(scatter(x, at, y).to_vector() == Numbers{20, 2, 30});
  const X w = tensor<double>({5, 7, 11});
  CHECK(grad([&](const X& v) { return tree::dot(scatter(v, at, y), w); })(x).to_vector() == Numbers{0, 7, 0});
  CHECK(grad([&](const X& v) { return tree::dot(scatter(x, at, v), w); })(y).to_vector() == Numbers{0, 5, 11});
  CHECK(scatter(x, at, X(9.0)).to_vector() == Numbers{9, 2, 9});
  CHECK(scatter(x, places({}), zeros<double>({0})).to_vector() == Numbers{1, 2, 3});
  CHECK(scatter(tensor<bool>({true, true}), places({1}), tensor<bool>({false})).to_vector() ==
        std::vector<bool>{true, false});
  const X table = ones<double>({2, 3});
  CHECK(scatter(table, places({2, 2}), tensor<double>({{4, 5}, {6, 7}}), 1).to_vector() == Numbers{1, 1, 5, 1, 1, 7});
  const X many = tensor<double>({{1, 2}, {3, 4}, {5, 6}});
  const auto mapped = vmap([&](const X& v) { return scatter(x, places({1, 1}), v); })(many);
  CHECK(mapped.to_vector() == Numbers{1, 2, 3, 1, 4, 3, 1, 6, 3});
  CHECK(message_of([&] {
          scatter(x, places({0, 3}), tensor<double>({1, 2}));
        }) == "[scatter] indices (2,), x (3,): index 3 at (1,) is not in [0, 3)");
}

TEST_CASE("scatter_max of many equals: its own value below forward mode too, shares of 16 bits counted in float") {
  const auto check = [](auto zero, float value, std::int64_t n) {
    using T = decltype(zero);
    CAPTURE(dtype_of<T>);
    CAPTURE(value);
    const Tensor<T> x = full<T>({1}, convert<T>(value)), y = full<T>({n}, convert<T>(value));
    const auto at = zeros<std::int32_t>({n});
    const auto most = [&](const Tensor<T>& v) { return scatter_max(x, at, v); };
    const auto least = [&](const Tensor<T>& v) { return scatter_min(v, at, y); };
    const auto [up, slope] = jvp(most)(y, full<T>({n}, convert<T>(1.0f)));
    CHECK(float(up.item()) == float(convert<T>(value)));
    CHECK(float(slope.item()) == float(convert<T>(float(n) / float(n + 1))));
    CHECK(float(jvp(least)(x, full<T>({1}, convert<T>(1.0f))).first.item()) == float(convert<T>(value)));
    const auto g = grad([&](const Tensor<T>& v) { return sum(most(v)); })(y).to_vector();
    CHECK(float(g[0]) == float(convert<T>(1 / float(n + 1))));
    CHECK(float(g.back()) == float(g[0]));
    const auto one = grad([&](const Tensor<T>& v) { return sum(least(v)); })(x);
    CHECK(float(one.item()) == float(convert<T>(1 / float(n + 1))));
  };
  check(0.0f, 0.1f, 2);
  check(0.0f, 1.4e-45f, 2);
  check(0.0, 0.1f, 9);
  check(half(), 3.0f, 70000);
  check(half(), 0.1f, 2100);
  check(bfloat16(), 0.1f, 300);
  check(bfloat16(), -7.0f, 2);
  // Infinities are equal, nothing equals a NaN, and zeros of both signs are equal.
  const auto ends = tensor<double>({kInfinity, -kInfinity, kNan, -0.0});
  const auto rows = tensor<double>({kInfinity, -kInfinity, 1, 0.0});
  const auto [value, slope] = jvp([&](const X& v) {
    return scatter_max(ends, places({0, 1, 2, 3}), v);
  })(rows, ones<double>({4}));
  const Numbers given = value.to_vector();
  CHECK(given[0] == kInfinity);
  CHECK(given[1] == -kInfinity);
  CHECK(std::isnan(given[2]));
  CHECK((given[3] == 0 && !std::signbit(given[3])));
  CHECK(slope.to_vector() == Numbers{0.5, 0.5, 0, 0.5});
}

TEST_CASE("scatter_max and scatter_min: NaN wins, +0 is above -0, shares at ties") {
  const auto at = places({0, 0, 1, 2});
  const X x = tensor<double>({1, kNan, -0.0}), y = tensor<double>({5, 2, 7, 0});
  const Numbers most = scatter_max(x, at, y).to_vector(), least = scatter_min(x, at, y).to_vector();
  CHECK(most[0] == 5);
  CHECK(std::isnan(most[1]));
  CHECK(!std::signbit(most[2]));
  CHECK(least[0] == 1);
  CHECK(std::isnan(least[1]));
  CHECK(std::signbit(least[2]));
  CHECK(std::isnan(scatter_min(ones<float>({1}), places({0, 0}), tensor<float>({NAN, 3})).item()));
  CHECK(scatter_max(tensor<std::int32_t>({1, 2}), places({1, 1}), tensor<std::int32_t>({9, 4})).to_vector() ==
        Places{1, 9});
  const X tied = tensor<double>({4, 1}), rows = tensor<double>({4, 4, 1, 0});
  const auto to = places({0, 0, 1, 1});
  const X w = tensor<double>({3, 8});
  const auto [dx, dy] = grad([&](const std::pair<X, X>& p) {
    return tree::dot(scatter_max(p.first, to, p.second), w);
  })(std::pair{tied, rows});
  CHECK(dx.to_vector() == Numbers{1, 4});
  CHECK(dy.to_vector() == Numbers{1, 1, 4, 0});
  const X d = jvp([&](const X& v) { return scatter_max(tied, to, v); })(rows, tensor<double>({6, 3, 2, 100})).second;
  CHECK(d.to_vector() == Numbers{3, 1});
  CHECK(
      hvp([&](const X& v) { return sum(square(scatter_max(tied, to, v))); })(rows, ones<double>({4})).to_vector()[3] ==
      0);
  const auto nan_slope =
      grad([&](const X& v) { return sum(scatter_max(v, places({0}), tensor<double>({kNan}))); })(tied);
  CHECK(nan_slope.to_vector() == Numbers{0, 1});
}

TEST_CASE("mask_select, nonzero, unique: none, all, NaN, zeros") {
  const X x = tensor<double>({{1, kNan, -0.0}, {0, 1, -2}});
  CHECK(nonzero(x).to_vector() == Places{0, 0, 0, 1, 1, 1, 1, 2});
  CHECK(nonzero(zeros<float>({2, 3})).shape() == Shape{0, 2});
  CHECK(nonzero(X(3.0)).shape() == Shape{1, 0});
  CHECK(nonzero(zeros<double>({0, 3})).shape() == Shape{0, 2});
  CHECK(nonzero<std::int64_t>(tensor<bool>({false, true, true})).to_vector() == std::vector<std::int64_t>{1, 2});
  CHECK(mask_select(x, x != x).shape() == Shape{1});
  CHECK(mask_select(x, x < -5).shape() == Shape{0});
  CHECK(mask_select(x, tensor<bool>({true, false, false})).to_vector() == Numbers{1, 0});
  CHECK(mask_select(tensor<std::int32_t>({4, 5}), tensor<bool>({{true, false}, {true, true}})).to_vector() ==
        Places{4, 4, 5});
  const X v = tensor<double>({1, -2, 3});
  CHECK(grad([](const X& p) { return sum(square(mask_select(p, p > 0))); })(v).to_vector() == Numbers{2, 0, 6});
  CHECK(hvp([](const X& p) { return sum(square(mask_select(p, p > 0))); })(v, v).to_vector() == Numbers{2, 0, 6});
  const auto mask = tensor<bool>({true, false, true});
  CHECK(vmap([&](const X& row) { return mask_select(row, mask); })(x).shape() == Shape{2, 2});

  const auto u = unique(tensor<double>({kNan, 2, -0.0, 2, 0, -kNan, -1}));
  const Numbers values = u.values.to_vector();
  CHECK(values.size() == 4);
  CHECK(values[0] == -1);
  CHECK((values[1] == 0 && std::signbit(values[1])));
  CHECK(values[2] == 2);
  CHECK(std::isnan(values[3]));
  CHECK(u.inverse.to_vector() == Places{3, 2, 1, 2, 1, 3, 0});
  CHECK(u.counts.to_vector() == Places{1, 2, 2, 2});
  const auto none = unique(zeros<float>({0, 2}));
  CHECK(none.values.shape() == Shape{0});
  CHECK(none.inverse.shape() == Shape{0, 2});
  CHECK(unique<std::int64_t>(tensor<std::uint8_t>({{3, 1}, {1, 1}})).counts.to_vector() ==
        std::vector<std::int64_t>{3, 1});
  CHECK(grad([](const X& p) { return sum(unique(p).values); })(tensor<double>({4, 1, 4})).to_vector() ==
        Numbers{1, 1, 0});
}

TEST_CASE("errors") {
  const X x = ones<double>({3, 4});
  CHECK(message_of([&] { topk(x, 5); }) == "[topk] (3, 4): k = 5 of 4 elements along axis 1");
  CHECK(message_of([&] { topk(x, -1, 0); }) == "[topk] (3, 4): k = -1 of 3 elements along axis 0");
  CHECK(message_of([&] { topk(x, 1, 2); }) == "[topk] (3, 4): axis 2 is out of range for rank 2");
  CHECK(message_of([&] { topk<std::uint8_t>(ones<float>({257}), 1); }) ==
        "[topk] (257,): indices of 257 places do not fit uint8");
  CHECK(message_of([&] { quantile(x, 1.5); }) == "[quantile] (3, 4): q = 1.5 is not in [0, 1]");
  CHECK(message_of([&] { quantile(x, kNan, 0); }).starts_with("[quantile] (3, 4): q = "));
  CHECK(message_of([&] {
          median(zeros<double>({3, 0}), 1);
        }) == "[median] (3, 0): no elements along the reduced axes: nothing has no quantile");
  CHECK(message_of([&] { median(x, 2); }) == "[median] (3, 4): axis 2 is out of range for rank 2");
  CHECK(message_of([&] { searchsorted(X(1.0), x); }) ==
        "[searchsorted] () x (3, 4): what is searched has a last axis, (n,) or (..., n)");
  CHECK(message_of([&] {
          searchsorted(ones<double>({2, 5}), x);
        }) == "[searchsorted] (2, 5) x (3, 4): leading axes do not broadcast (rows (..., n) serve (..., m))");
  CHECK(message_of([&] {
          scatter(x, places({0, 1}), ones<double>({3, 4}));
        }) == "[scatter] (3, 4) x (2,) x (3, 4): the last does not broadcast to the places of the first, (2, 4)");
  CHECK(message_of([&] {
          scatter_min(x, places({0, -1}), X(1.0));
        }) == "[scatter_min] indices (2,), x (3, 4): index -1 at (1,) is not in [0, 3)");
  CHECK(message_of([&] {
          mask_select(x, tensor<bool>({true, false}));
        }) == "[mask_select] (3, 4) x (2,): shapes do not broadcast");
  CHECK(message_of([&] { vmap([](const X& v) { return mask_select(v, v > 0); })(x); }) ==
        "[mask_select] (4,): inside vmap each example would have a shape of its own (where(mask, x, 0))");
  CHECK(message_of([&] { vmap([](const X& v) { return nonzero(v); })(x); }) ==
        "[nonzero] (4,): inside vmap each example would have a shape of its own (where(x != 0, ...))");
  CHECK(message_of([&] { vmap([](const X& v) { return unique(v).values; })(x); }) ==
        "[unique] (4,): inside vmap each example would have a shape of its own (sort(x))");
}

}  // namespace ops_order_statistics_test
