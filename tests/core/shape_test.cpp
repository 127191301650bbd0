#include "ergo/core/shape.hpp"

#include <cstdint>
#include <vector>

#include <doctest/doctest.h>

#include "support/message.hpp"

namespace core_shape_test {

using ergo::Axes;
using ergo::Shape;

namespace {
const auto max64 = INT64_MAX;
bool broadcasts(Shape a, const Shape& b, const Shape& expected) { return ergo::detail::broadcast(a, b) && a == expected; }
}  // namespace

TEST_CASE("shapes hold up to eight extents, read from either end") {
  const Shape s{2, 3, 5};
  CHECK(s.rank() == 3);
  CHECK(s[0] == 2);
  CHECK(s[-1] == 5);
  CHECK(s[-3] == 2);
  CHECK(s.numel() == 30);
  CHECK(s == Shape{2, 3, 5});
  CHECK(s != Shape{2, 3});
  CHECK(s != Shape{2, 3, 4});
  CHECK(Shape{}.rank() == 0);
  CHECK(Shape{}.numel() == 1);
  CHECK(Shape(std::vector<int>{4, 7}) == Shape{4, 7});
  CHECK(Shape{std::size_t(4), std::uint8_t(7), 9L} == Shape{4, 7, 9});
  CHECK((Shape{1, 2} + Shape{3}) == Shape{1, 2, 3});
  CHECK(s.first(2) == Shape{2, 3});
  CHECK(s.last(2) == Shape{3, 5});
  CHECK(s.last(0) == Shape{});
  std::int64_t sum = 0;
  for (std::int64_t n : s) sum += n;
  CHECK(sum == 10);
}

TEST_CASE("shapes print as Python prints tuples") {
  CHECK(to_string(Shape{}) == "()");
  CHECK(to_string(Shape{4}) == "(4,)");
  CHECK(to_string(Shape{3, 4}) == "(3, 4)");
}

TEST_CASE("counting elements is checked") {
  CHECK(Shape{max64}.numel() == max64);
  CHECK(Shape{max64, 1, 1}.numel() == max64);
  CHECK(Shape{std::int64_t(1) << 31, (std::int64_t(1) << 32) - 1}.numel() == ((std::int64_t(1) << 32) - 1) << 31);
  CHECK(Shape{max64, max64, 0}.numel() == 0);  // nothing overflows where nothing is
  CHECK(Shape{0, max64, max64}.numel() == 0);
  CHECK(message_of([] { return Shape{std::int64_t(1) << 32, std::int64_t(1) << 31}.numel(); }) ==
        "[shape] (4294967296, 2147483648): the number of elements exceeds 2^63 - 1");
  CHECK(message_of([] { return Shape{max64, 2}.numel(); }) ==
        "[shape] (9223372036854775807, 2): the number of elements exceeds 2^63 - 1");
  CHECK(message_of([] { return Shape{3, -1}.numel(); }) == "[shape] (3, -1): an extent is negative");
  CHECK(message_of([] { return Shape{0, -1}.numel(); }) == "[shape] (0, -1): an extent is negative");
}

TEST_CASE("bad axes and bad lists") {
  const Shape s{3, 4};
  CHECK(message_of([&] { return s[2]; }) == "[shape] (3, 4): axis 2 is out of range");
  CHECK(message_of([&] { return s[-3]; }) == "[shape] (3, 4): axis -3 is out of range");
  CHECK(message_of([&] { return Shape{}[0]; }) == "[shape] (): axis 0 is out of range");
  CHECK(message_of([] { return Shape{1, 2, 3, 4, 5, 6, 7, 8, 9}; }) == "[shape] more than 8 axes");
  CHECK(message_of([] { return Shape(std::vector<int>(9, 1)); }) == "[shape] more than 8 axes");
  CHECK(message_of([] { return Shape{UINT64_MAX}; }) == "[shape] an integer beyond 2^63 - 1");
  CHECK(message_of([] { return Shape{1, 2, 3, 4} + Shape{1, 2, 3, 4, 5}; }) == "[shape] more than 8 axes");
}

TEST_CASE("axes: one number, a braced list, none") {
  const auto count = [](const Axes& a) { return a.rank(); };
  CHECK(count(1) == 1);
  CHECK(count({0}) == 1);
  CHECK(count({0, -1}) == 2);
  CHECK(count({}) == 0);
  CHECK(Axes(std::vector<int>{2, 0}) == Axes{2, 0});
  CHECK(Axes{3, -1}[1] == -1);
  static_assert(!std::is_convertible_v<bool, Axes> && !std::is_convertible_v<double, Axes> && !std::is_convertible_v<char, Axes>);
  static_assert(!std::is_convertible_v<bool, Shape> && !std::is_convertible_v<float, Shape>);
}

TEST_CASE("broadcasting is NumPy's") {
  CHECK(broadcasts({3, 4}, {4}, {3, 4}));
  CHECK(broadcasts({4}, {3, 4}, {3, 4}));
  CHECK(broadcasts({3, 1}, {1, 4}, {3, 4}));
  CHECK(broadcasts({}, {2, 2}, {2, 2}));
  CHECK(broadcasts({1}, {0}, {0}));  // 1 gives way, to 0 too
  CHECK(broadcasts({0, 1}, {1, 5}, {0, 5}));
  CHECK(broadcasts({8, 1, 6, 1}, {7, 1, 5}, {8, 7, 6, 5}));
  CHECK_FALSE(broadcasts({3}, {4}, {}));
  CHECK_FALSE(broadcasts({2, 3}, {2}, {}));
  CHECK_FALSE(broadcasts({0}, {2}, {}));
}

}  // namespace core_shape_test
