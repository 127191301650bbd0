// slice set_slice flip roll.
#include "movement_support.hpp"

namespace ops_slicing_test {

using namespace ergo;
using namespace movement;

namespace {
// The places of a slice, by walking (independent of the formula for their number).
std::vector<std::int64_t> walk(std::int64_t n, Bound begin, Bound end, std::int64_t step) {
  const auto clamp = [&](Bound b, std::int64_t otherwise) {
    if (!b.given()) return otherwise;
    std::int64_t i = b.value();
    if (i < 0) i += n;
    return step > 0 ? std::min(std::max<std::int64_t>(i, 0), n) : std::min(std::max<std::int64_t>(i, -1), n - 1);
  };
  const std::int64_t from = clamp(begin, step > 0 ? 0 : n - 1), to = clamp(end, step > 0 ? n : -1);
  std::vector<std::int64_t> r;
  for (std::int64_t i = from; step > 0 ? i < to : i > to; i += step) r.push_back(i);
  return r;
}
}  // namespace

TEST_CASE("slice: all bounds and steps of short axes") {
  for (std::int64_t n : {0, 1, 2, 5}) {
    const auto x = draw<std::int32_t>({2, n});
    std::vector<Bound> bounds{none};
    for (int b = -int(n) - 2; b <= int(n) + 2; ++b) bounds.push_back(b);
    for (int step : {-7, -3, -2, -1, 1, 2, 3, 7}) {
      for (const Bound& begin : bounds) {
        for (const Bound& end : bounds) {
          const auto places = walk(n, begin, end, step);
          const auto y = slice(x, 1, begin, end, step);
          REQUIRE(y.shape() == Shape{2, places.size()});
          for (std::size_t i = 0; i < places.size(); ++i) REQUIRE(y.at({1, i}) == x.at({1, places[i]}));
        }
      }
    }
  }
  const auto x = draw<float>({5});
  const std::int64_t far = std::int64_t(1) << 62;
  CHECK(slice(x, 0, -far, far, far).shape() == Shape{1});
  CHECK(slice(x, 0, none, none, std::numeric_limits<std::int64_t>::min()).at({0}) == x.at({4}));
  CHECK(slice(x, 0, std::numeric_limits<std::int64_t>::min(), std::numeric_limits<std::int64_t>::max()).shape() ==
        Shape{5});
  CHECK(slice(x, 0, std::size_t(1), 3u).shape() == Shape{2});
}

TEST_CASE("values, every dtype and layout") {
  const Shape s{3, 5, 2};
  const auto at = [](std::int64_t i, std::int64_t j, std::int64_t k) { return (i * 5 + j) * 2 + k; };
  check_moves(s, OP(slice(x, 1, 4, 0, -2)), {3, 2, 2}, FROM(at(p[0], 4 - 2 * p[1], p[2])));
  check_moves(s, OP(flip(x)), s, FROM(at(p[0], p[1], 1 - p[2])));
  check_moves(s, OP(flip(x, {0, 1})), s, FROM(at(2 - p[0], 4 - p[1], p[2])));
  check_moves(s, OP(roll(x, 2, 1)), s, FROM(at(p[0], (p[1] + 3) % 5, p[2])));
  check_moves(s, OP(roll(x, -11, 1)), s, FROM(at(p[0], (p[1] + 11) % 5, p[2])));
  check_moves(s, OP(roll(x, {1, 1}, {0, -1})), s, FROM(at((p[0] + 2) % 3, p[1], 1 - p[2])));
  // The slices 1, 4 and 4, 0 of axis 1 become the places 2 and 3 of it.
  check_moves(s, OP(set_slice(x, slice(x, 1, 2, 4), 1, 1, none, 3)), s,
              FROM(at(p[0],
                      p[1] == 1   ? 2
                      : p[1] == 4 ? 3
                                  : p[1],
                      p[2])));
  check_moves(s, OP(set_slice(x, slice(x, 1, 2, 4), 1, none, none, -4)), s,
              FROM(at(p[0],
                      p[1] == 4   ? 2
                      : p[1] == 0 ? 3
                                  : p[1],
                      p[2])));
  check_moves(s, OP(set_slice(x, x[0][0], -2, 0, 2)), s, FROM(p[1] < 2 ? p[2] : at(p[0], p[1], p[2])));
}

TEST_CASE("views, empty axes") {
  const auto x = draw<float>({4, 6});
  for (const auto& y : {slice(x, 1, 1, 5, 2), flip(x, {0, 1}), slice(x, 0, none, none, -1)})
    CHECK(y.array().buffer.get() == x.array().buffer.get());
  CHECK(slice(x, 0, 0).array().data == x.array().data);
  CHECK(roll(x, 12).array().data == x.array().data);
  const auto empty = zeros<float>({0, 3});
  CHECK(flip(empty, 0).shape() == Shape{0, 3});
  CHECK(roll(empty, 2, 0).shape() == Shape{0, 3});
  CHECK(slice(empty, 0, 1, 5).shape() == Shape{0, 3});
  CHECK(array_equal(set_slice(x, zeros<float>({0, 6}), 0, 2, 2), x));
  CHECK(flip(Tensor<float>(1.0f), Axes{}).item() == 1.0f);
}

TEST_CASE("transforms") {
  const Shape s{3, 4, 2};
  check_transforms("slice", OP(slice(x, 1, 1, none, 2)), s);
  check_transforms("slice", OP(slice(x, 0, none, 0, -1)), s);
  check_transforms("flip", OP(flip(x, {0, 2})), s);
  check_transforms("roll", OP(roll(x, {1, -2}, {0, 1})), s);
  check_transforms("set_slice", OP(set_slice(x, slice(x, 1, 0, 2), 1, none, none, 2)), s);
  check_transforms("set_slice of y", OP(set_slice(ones<double>({3, 5}), x, 1, 1, 4)), {3, 3});
  check_transforms("set_slice of x", OP(set_slice(x, ones<double>({2}), 0, 3, 1, -1)), {4, 2});
  check_transforms("set_slice, y broadcast", OP(set_slice(x, slice(x, 0, 0, 1), 0, 1)), {3, 2});
}

TEST_CASE("set_slice: either operand mapped") {
  const auto x = draw_normal({3, 4}), ys = draw_normal({5, 3, 2}), xs = draw_normal({5, 3, 4}), y = draw_normal({3, 2});
  const auto by_y = vmap([&](const Tensor<double>& part) { return set_slice(x, part, 1, 1, 3); })(ys);
  const auto by_x = vmap([&](const Tensor<double>& whole) { return set_slice(whole, y, 1, 1, 3); })(xs);
  // The tangent of the operand that is not mapped meets a result that is.
  const auto moved = jvp([&](const Tensor<double>& p) {
    return vmap([&](const Tensor<double>& part) { return set_slice(p, part, 1, 1, 3); })(ys);
  })(x, x);
  for (int i = 0; i < 5; ++i) {
    CHECK(array_equal(by_y[i], set_slice(x, ys[i], 1, 1, 3)));
    CHECK(array_equal(by_x[i], set_slice(xs[i], y, 1, 1, 3)));
    CHECK(array_equal(moved.second[i], set_slice(x, zeros<double>({3, 2}), 1, 1, 3)));
  }
}

TEST_CASE("errors") {
  const auto x = zeros<float>({2, 3});
  CHECK(ERROR_OF(slice(x, 2, 0)) == "[slice] (2, 3): axis 2 is out of range for rank 2");
  CHECK(ERROR_OF(slice(x, 0, 0, 1, 0)) == "[slice] (2, 3): the step is 0");
  CHECK(ERROR_OF(set_slice(x, zeros<float>({2, 2}), 1, 0)) ==
        "[set_slice] (2, 3) x (2, 2): the second does not broadcast to the slice, (2, 3)");
  CHECK(ERROR_OF(set_slice(x, zeros<float>({1, 2, 3}), 1, 0)) ==
        "[set_slice] (2, 3) x (1, 2, 3): the second does not broadcast to the slice, (2, 3)");
  CHECK(ERROR_OF(flip(x, {0, -2})) == "[flip] (2, 3): axis 0 is given twice");
  CHECK(ERROR_OF(flip(Tensor<float>(1.0f))) == "[flip] (): axis -1 is out of range for rank 0");
  CHECK(ERROR_OF(roll(x, {1, 2}, 0)) == "[roll] (2, 3): 2 shifts for 1 axes");
}

}  // namespace ops_slicing_test
