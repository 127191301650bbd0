// Corners of segment_sum, segment_mean, segment_max, segment_min, bincount, histogram that no row drives: empty
// segments, ties, NaN, integers, 16 bits, several axes of ids, errors.
// again: cuda
#include <cmath>

#include <doctest/doctest.h>

#include "ergo/autograd/curvature.hpp"
#include "ergo/autograd/transforms.hpp"
#include "ergo/ops/reduction.hpp"
#include "ergo/ops/segment.hpp"
#include "support/message.hpp"

namespace ops_segment_test {

using namespace ergo;
using Floats = std::vector<float>;

namespace {

template <class T>
Tensor<T> of(std::vector<T> v, Shape s = {}) {
  return from_span<T>(v, s.rank() ? s : Shape{std::int64_t(v.size())});
}
const float inf = INFINITY;

}  // namespace

TEST_CASE("segments without rows") {
  const auto x = of<float>({1, 2, 4});
  const auto ids = of<std::int32_t>({3, 0, 3});
  CHECK(segment_sum(x, ids, 5).to_vector() == Floats{2, 0, 0, 5, 0});
  CHECK(segment_max(x, ids, 5).to_vector() == Floats{2, -inf, -inf, 4, -inf});
  CHECK(segment_min(x, ids, 5).to_vector() == Floats{2, inf, inf, 1, inf});
  const auto mean = segment_mean(x, ids, 5).to_vector();
  CHECK(mean[0] == 2);
  CHECK(std::isnan(mean[1]));
  CHECK(mean[3] == 2.5f);
  const auto all = [&](const auto& y) { return sum(segment_max(y, ids, 5) * of<float>({1, 10, 100, 1000, 10})); };
  CHECK(grad(all)(x).to_vector() == Floats{0, 1, 1000});
  // Of a mean with empty segments only those that are not reach the gradient.
  CHECK(grad([&](const auto& y) { return sum(segment_mean(y, ids, 5)); })(x).to_vector() == Floats{0.5f, 1, 0.5f});
  const auto nothing = zeros<float>({0, 2});
  CHECK(segment_sum(nothing, zeros<std::int32_t>({0}), 2).to_vector() == Floats{0, 0, 0, 0});
  CHECK(segment_max(nothing, zeros<std::int32_t>({0}), 1).to_vector() == Floats{-inf, -inf});
  CHECK(segment_sum(x, ids * 0, 1).to_vector() == Floats{7});
  CHECK(bincount(zeros<std::int32_t>({0}), 3).to_vector() == std::vector<std::int32_t>{0, 0, 0});
  CHECK(bincount(zeros<std::int32_t>({0}), 0).shape() == Shape{0});
}
TEST_CASE("ties share, in every mode and at second order") {
  const auto x = of<double>({3, 1, 3, 3, 2, 2});
  const auto ids = of<std::uint8_t>({0, 0, 0, 1, 1, 0});
  const auto w = of<double>({6, 5});
  const auto f = [&](const auto& y) { return sum(w * segment_max(y, ids, 2)); };
  CHECK(grad(f)(x).to_vector() == std::vector<double>{3, 0, 3, 5, 0, 0});
  const auto t = of<double>({1, 10, 2, 3, 10, 10});
  CHECK(jvp([&](const auto& y) { return segment_max(y, ids, 2); })(x, t).second.to_vector() ==
        std::vector<double>{1.5, 3});
  const auto square = [&](const auto& y) {
    const auto m = segment_min(y, ids, 2);
    return sum(m * m);
  };
  CHECK(grad(square)(x).to_vector() == std::vector<double>{0, 2, 0, 0, 4, 0});
  CHECK(hvp(square)(x, t).to_vector() == std::vector<double>{0, 20, 0, 0, 20, 0});
}
TEST_CASE("NaN and infinities") {
  const auto x = of<float>({1, NAN, 2, inf, inf, -inf});
  const auto ids = of<std::int64_t>({0, 0, 0, 1, 1, 2});
  const auto y = segment_max(x, ids, 3).to_vector();
  CHECK(std::isnan(y[0]));
  CHECK(y[1] == inf);
  CHECK(y[2] == -inf);
  CHECK(std::isnan(segment_min(x, ids, 3).to_vector()[0]));
  CHECK(grad([&](const auto& z) { return sum(segment_max(z, ids, 3)); })(x).to_vector() ==
        Floats{0, 0, 0, 0.5f, 0.5f, 1});
}
TEST_CASE("integers, 16 bits, several axes of ids") {
  const auto x = of<std::int32_t>({5, -7, 2147483647, 1}, {4});
  const auto ids = of<std::int32_t>({1, 1, 2, 2});
  CHECK(segment_sum(x, ids, 3).to_vector() == std::vector<std::int32_t>{0, -2, INT32_MIN});  // wraps
  CHECK(segment_max(x, ids, 3).to_vector() == std::vector<std::int32_t>{INT32_MIN, 5, 2147483647});
  CHECK(segment_min(x, ids, 3).to_vector() == std::vector<std::int32_t>{INT32_MAX, -7, 1});
  const auto big = full<half>({70}, half(1000.0f));
  CHECK(float(segment_mean(big, zeros<std::int32_t>({70}), 1).item()) == 1000);  // the sum alone overflows
  CHECK(float(segment_max(big, zeros<std::int32_t>({70}), 1).item()) == 1000);
  const auto table = of<float>({1, 2, 3, 4, 5, 6, 7, 8}, {2, 2, 2});
  const auto grid = of<std::int32_t>({0, 1, 1, 0}, {2, 2});
  CHECK(segment_sum(table, grid, 2).to_vector() == Floats{8, 10, 8, 10});
  CHECK(segment_max(table, grid, 2).to_vector() == Floats{7, 8, 5, 6});
  CHECK(bincount(grid, 3).to_vector() == std::vector<std::int32_t>{2, 2, 0});
  CHECK(bincount(grid, 3, of<float>({1, 2, 3, 4}, {2, 2})).to_vector() == Floats{5, 5, 0});
  CHECK(bincount<std::int64_t>(grid, 2).to_vector() == std::vector<std::int64_t>{2, 2});
}
TEST_CASE("ids of each example under vmap") {
  const auto x = of<float>({1, 2, 3, 4, 5, 6}, {2, 3});
  const auto ids = of<std::int32_t>({0, 1, 0, 1, 1, 0}, {2, 3});
  CHECK(vmap([](const auto& a, const auto& i) { return segment_sum(a, i, 2); })(x, ids).to_vector() ==
        Floats{4, 2, 6, 9});
  CHECK(vmap([](const auto& a, const auto& i) { return segment_max(a, i, 2); })(x, ids).to_vector() ==
        Floats{3, 2, 6, 5});
  CHECK(vmap([](const auto& a, const auto& i) { return segment_mean(a, i, 2); })(x, ids).to_vector() ==
        Floats{2, 2, 6, 4.5f});
  CHECK(vmap([](const auto& i) { return bincount(i, 3); })(ids).to_vector() ==
        std::vector<std::int32_t>{2, 1, 0, 1, 2, 0});
  // One table, ids of each example: the gradients meet in the table.
  const auto one = of<float>({5, 1, 4});
  const auto f = [&](const auto& a) { return sum(vmap([&](const auto& i) { return segment_max(a, i, 2); })(ids)); };
  CHECK(grad(f)(one).to_vector() == Floats{2, 1, 1});
}
TEST_CASE("histograms: closed at the end, NaN and what lies outside not counted") {
  const auto edges = of<float>({0, 1, 1, 2});
  const auto x = of<float>({-1, 0, 0.5f, 1, 1.5f, 2, 2.5f, NAN, inf});
  CHECK(histogram(x, edges).to_vector() == std::vector<std::int32_t>{2, 0, 3});
  CHECK(histogram(of<std::int32_t>({1, 2, 3, 4}), of<std::int32_t>({1, 3, 4})).to_vector() ==
        std::vector<std::int32_t>{2, 2});
  CHECK(histogram<std::int64_t>(cast<bfloat16>(x), cast<bfloat16>(edges)).to_vector() ==
        std::vector<std::int64_t>{2, 0, 3});
  CHECK(histogram(cast<half>(x), cast<half>(edges)).to_vector() == std::vector<std::int32_t>{2, 0, 3});
  CHECK(message_of([&] {
          histogram(cast<half>(x), cast<half>(of<float>({0, 2, 1})));
        }) == "[histogram] edges (3,): they do not ascend from 1 to 2 (sort(edges) first)");
  CHECK(vmap([&](const auto& r) {
          return histogram(r, of<float>({0, 1, 2}));
        })(of<float>({0, 1, 2, 5, 0, 0}, {2, 3}))
            .to_vector() == std::vector<std::int32_t>{1, 2, 2, 0});
  std::vector<float> many(100000);
  for (std::size_t i = 0; i < many.size(); ++i) many[i] = float(i % 1000);
  const auto counts = histogram(of<float>(many), of<float>({0, 250, 999})).to_vector();
  CHECK(counts == std::vector<std::int32_t>{25000, 75000});
}
TEST_CASE("errors") {
  const auto x = zeros<float>({4, 2});
  const auto ids = of<std::int32_t>({0, 1, 5, 2});
  CHECK(message_of([&] { segment_sum(x, ids, 3); }) == "[segment_sum] ids (4,): id 5 at (2,) is not in [0, 3)");
  CHECK(message_of([&] { segment_max(x, ids, 3); }) == "[segment_max] ids (4,): id 5 at (2,) is not in [0, 3)");
  CHECK(message_of([&] { segment_min(x, ids - 1, 5); }) == "[segment_min] ids (4,): id -1 at (0,) is not in [0, 5)");
  CHECK(message_of([&] { segment_mean(x, ids, 3); }) == "[segment_mean] ids (4,): id 5 at (2,) is not in [0, 3)");
  CHECK(message_of([&] { bincount(ids - 1, 9); }) == "[bincount] ids (4,): id -1 at (0,) is not in [0, 9)");
  CHECK(message_of([&] { bincount(ids, 3, x); }) == "[bincount] (4,) x (4, 2): an id and a weight differ in shape");
  CHECK(message_of([&] { segment_sum(x, zeros<std::int32_t>({3}), 3); }) ==
        "[segment_sum] (4, 2) x (3,): x must begin with the axes of the ids");
  CHECK(message_of([&] { segment_max(x, ids, -1); }) ==
        "[segment_max] (4, 2) x (4,): a negative number of segments, -1");
  CHECK(message_of([&] { bincount(ids, -2); }) == "[bincount] (4,): a negative number of bins, -2");
  CHECK(message_of([&] { histogram(x, zeros<float>({1})); }) ==
        "[histogram] (4, 2) x (1,): edges have one axis and at least two places");
  CHECK(message_of([&] {
          histogram(x, of<float>({0, 2, 1}));
        }) == "[histogram] edges (3,): they do not ascend from 1 to 2 (sort(edges) first)");
}

}  // namespace ops_segment_test
