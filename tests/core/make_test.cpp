#include "ergo/core/make.hpp"

#include <array>
#include <cmath>
#include <cstdint>
#include <limits>
#include <string>
#include <vector>

#include <doctest/doctest.h>

#include "ergo/core/print.hpp"
#include "ergo/ops/arithmetic.hpp"
#include "support/fresh.hpp"
#include "support/message.hpp"

namespace core_make_test {

using namespace ergo;

TEST_CASE("constants of every dtype and shape") {
  const auto check = []<class T>(T) {
    for (const Shape& s : {Shape{}, Shape{0}, Shape{3, 0, 2}, Shape{2, 3}, Shape{1, 1, 1, 1, 1, 1, 1, 2}}) {
      CHECK(zeros<T>(s).shape() == s);
      CHECK(zeros<T>(s).to_vector() == std::vector<T>(std::size_t(s.numel()), convert<T>(0)));
      CHECK(ones<T>(s).to_vector() == std::vector<T>(std::size_t(s.numel()), convert<T>(1)));
      CHECK(ones_like(zeros<T>(s)).to_vector() == ones<T>(s).to_vector());
      CHECK(zeros_like(ones<T>(s)).to_vector() == zeros<T>(s).to_vector());
    }
    CHECK(zeros<T>({1}).dtype() == dtype_of<T>);
    CHECK(eye<T>(3).to_vector()[4] == convert<T>(1));
    CHECK(eye<T>(3).to_vector()[5] == convert<T>(0));
  };
  check(true);
  check(std::uint8_t{});
  check(std::int32_t{});
  check(std::int64_t{});
  check(half{});
  check(bfloat16{});
  check(0.0f);
  check(0.0);
  CHECK(full<double>({2}, 1.5).to_vector() == std::vector<double>{1.5, 1.5});
  CHECK(full<half>({2}, 0.1).to_vector() == std::vector<half>{half(0.1), half(0.1)});
  CHECK(full<bool>({}, true).item());
  CHECK(full<float>({1}, 3).item() == 3.0f);
  CHECK(eye<float>(0).shape() == Shape{0, 0});
}

TEST_CASE("arange") {
  CHECK(arange<int>(4).to_vector() == std::vector<int>{0, 1, 2, 3});
  CHECK(arange<float>(2, 5).to_vector() == std::vector<float>{2, 3, 4});
  CHECK(arange<std::int64_t>(10, 0, -3).to_vector() == std::vector<std::int64_t>{10, 7, 4, 1});
  CHECK(arange<int>(0, 7, 3).to_vector() == std::vector<int>{0, 3, 6});
  CHECK(arange<int>(0, 6, 3).to_vector() == std::vector<int>{0, 3});
  CHECK(arange<int>(5, 5, 1).shape() == Shape{0});
  CHECK(arange<int>(5, 2, 1).shape() == Shape{0});
  CHECK(arange<int>(-4).shape() == Shape{0});
  CHECK(arange<double>(0.0, 1.0, 0.1).shape() == Shape{10});
  CHECK(arange<double>(0.0, 1.0, 0.25).to_vector() == std::vector<double>{0, 0.25, 0.5, 0.75});
  CHECK(arange<double>(1.0, 0.0, -0.5).to_vector() == std::vector<double>{1, 0.5});
  CHECK(arange<float>(2.5).to_vector() == std::vector<float>{0, 1, 2});
  CHECK(arange<std::uint8_t>(250, 256, 2).to_vector() == std::vector<std::uint8_t>{250, 252, 254});
  CHECK(arange<std::int64_t>(INT64_MIN, INT64_MAX, INT64_MAX).to_vector() ==
        std::vector<std::int64_t>{INT64_MIN, -1, INT64_MAX - 1});
  CHECK(arange<std::int64_t>(INT64_MAX, INT64_MIN, INT64_MIN).to_vector() == std::vector<std::int64_t>{INT64_MAX, -1});
  CHECK(arange<std::int64_t>(std::size_t(3)).to_vector() == std::vector<std::int64_t>{0, 1, 2});

  CHECK(message_of([] { return arange<int>(0, 5, 0); }) == "[arange] the step is zero or not a number");
  CHECK(message_of([] { return arange<float>(0.0, 5.0, NAN); }) == "[arange] the step is zero or not a number");
  CHECK(message_of([] { return arange<float>(0.0, INFINITY, 1.0); }) == "[arange] too many or undefined elements");
  CHECK(message_of([] { return arange<float>(NAN, 1.0, 1.0); }) == "[arange] too many or undefined elements");
  CHECK(message_of([] { return arange<std::uint8_t>(300); }) == "[arange] the number 256 does not fit uint8");
  CHECK(message_of([] { return arange<int>(-1, UINT64_MAX, 1); }) ==
        "[arange] the number 18446744073709551615 is beyond 2^63 - 1");
}

TEST_CASE("linspace reaches both ends exactly") {
  CHECK(linspace<double>(0, 1, 5).to_vector() == std::vector<double>{0, 0.25, 0.5, 0.75, 1});
  CHECK(linspace<double>(3, 3, 2).to_vector() == std::vector<double>{3, 3});
  CHECK(linspace<float>(2.0, 7, 1).to_vector() == std::vector<float>{2});
  CHECK(linspace<float>(2, 7, 0).shape() == Shape{0});
  const auto x = linspace<float>(0.1, 0.7, 1000).to_vector();
  CHECK(x.front() == 0.1f);
  CHECK(x.back() == 0.7f);
  CHECK(message_of([] { return linspace<float>(0, 1, -1); }) == "[linspace] a negative number of values");
}

TEST_CASE("nested lists to depth 4") {
  CHECK(tensor<float>(3).shape() == Shape{});
  CHECK(tensor<float>({1, 2, 3}).shape() == Shape{3});
  CHECK(tensor<float>({{1, 2}, {3, 4}, {5, 6}}).shape() == Shape{3, 2});
  CHECK(tensor<int>({{{1}, {2}}, {{3}, {4}}}).shape() == Shape{2, 2, 1});
  CHECK(tensor<int>({{{{1, 2}}}}).shape() == Shape{1, 1, 1, 2});
  CHECK(tensor<double>({{1, 2.5}, {-3, 4}}).to_vector() == std::vector<double>{1, 2.5, -3, 4});
  CHECK(tensor<bool>({true, false}).to_vector() == std::vector<bool>{true, false});
  CHECK(tensor<half>({1, half(2.0f), 0.5}).to_vector() == std::vector<half>{half(1), half(2), half(0.5)});
  CHECK(message_of([] { return tensor<float>({{1, 2}, {3}}); }) ==
        "[tensor] a ragged list: parts of shapes (2,) and (1,)");
  CHECK(message_of([] { return tensor<float>({{1, 2}, 3}); }) == "[tensor] a ragged list: parts of shapes (2,) and ()");
  CHECK(message_of([] { return tensor<int>({{{{{1}}}}}); }) == "[tensor] lists nest at most 4 deep");
  CHECK(message_of([] { return tensor<std::uint8_t>({1, 256}); }) == "[tensor] the number 256 does not fit uint8");
  CHECK(message_of([] { return tensor<std::int32_t>({std::int64_t(1) << 31}); }) ==
        "[tensor] the number 2147483648 does not fit int32");
}

TEST_CASE("numbers that a dtype cannot hold, shapes that are none, memory that nobody has") {
  CHECK(message_of([] { return full<std::uint8_t>({2}, -1); }) == "[full] the number -1 does not fit uint8");
  CHECK(message_of([] { return zeros<float>({2, -3}); }) == "[shape] (2, -3): an extent is negative");
  CHECK(message_of([] { return eye<float>(-1); }) == "[shape] (-1, -1): an extent is negative");
  CHECK(message_of([] { return zeros<float>({std::int64_t(1) << 40, 1 << 24}); }) ==
        "[shape] (1099511627776, 16777216): the number of elements exceeds 2^63 - 1");
  CHECK(message_of([] { return zeros<double>({std::int64_t(1) << 61}); }) ==
        "[shape] (2305843009213693952,): more than 2^63 - 1 bytes");
  const std::string text = message_of([] { return zeros<std::uint8_t>({std::int64_t(1) << 50}); });
  CHECK(text.starts_with("[memory] 1125899906842624 bytes asked on cpu, "));
  CHECK(text.find(" free in the system, ") != std::string::npos);
  CHECK_THROWS_AS(zeros<std::uint8_t>({std::int64_t(1) << 50}), OutOfMemory);
  CHECK_THROWS_AS(zeros<std::uint8_t>({std::int64_t(1) << 62}), OutOfMemory);
  CHECK(ones<float>({3}).to_vector() == std::vector<float>{1, 1, 1});  // and life goes on
}

TEST_CASE("a number becomes a tensor of rank 0") {
  CHECK(Tensor<float>(2).item() == 2.0f);
  CHECK(Tensor<std::int64_t>(7).shape() == Shape{});
  CHECK(Tensor<half>(half(1.5f)).item() == half(1.5f));
  CHECK(Tensor<bool>(true).item());
  CHECK(message_of([] { return Tensor<std::uint8_t>(300); }) == "[tensor] the number 300 does not fit uint8");
  static_assert(!std::is_convertible_v<float, Tensor<float>>);  // explicit
  static_assert(!std::is_constructible_v<Tensor<int>, double> && !std::is_constructible_v<Tensor<bool>, int> &&
                !std::is_constructible_v<Tensor<float>, bool>);
}

TEST_CASE("from_span copies") {
  std::vector<float> v{1, 2, 3, 4, 5, 6};
  const auto x = from_span<float>(v, {2, 3});
  v[0] = 100;
  CHECK(x.at({0, 0}) == 1);
  CHECK(x.at({1, 2}) == 6);
  const std::array<int, 2> a{3, 4};
  CHECK(from_span<int>(a, {2}).to_vector() == std::vector<int>{3, 4});
  CHECK(from_span<float>({}, {0, 3}).shape() == Shape{0, 3});
  CHECK(message_of([&] { return from_span<float>(v, {2, 2}); }) ==
        "[from_span] 6 elements for a shape (2, 2) of 4");
  CHECK(message_of([&] { return from_span<float>(v, {-2, -3}); }) == "[shape] (-2, -3): an extent is negative");
}

TEST_CASE("borrowed memory is used in place, never written, and given back with the last tensor on it") {
  std::vector<float> v{1, 2, 3, 4, 5, 6};
  int released = 0;
  {
    auto x = borrow<float>(v, {2, 3}, [&] { ++released; });
    CHECK(x.span().data() == v.data());
    const auto row = x[1];
    const auto copy = x;
    Tensor<float> y = std::move(x) + 1;  // a temporary lends its memory, but not this memory
    CHECK(v[0] == 1);
    CHECK(y.to_vector() == std::vector<float>{2, 3, 4, 5, 6, 7});
    y = y * 2;
    x = copy;
    x += 10;
    CHECK(v == std::vector<float>{1, 2, 3, 4, 5, 6});
    CHECK(x.at({0, 0}) == 11);
    CHECK(row.span().data() == v.data() + 3);
    CHECK(released == 0);
  }
  CHECK(released == 1);
  {
    Tensor<float> last;
    {
      const auto x = borrow<float>(v, {6}, [&] { ++released; });
      last = x[5];
    }
    CHECK(released == 1);  // a view keeps it
    CHECK(last.item() == 6);
  }
  CHECK(released == 2);
  CHECK(borrow<float>(v, {6}).to_vector() == v);
  CHECK(borrow<float>({}, {0}).numel() == 0);
  CHECK(message_of([&] { return borrow<float>(v, {5}, [&] { ++released; }); }) ==
        "[borrow] 6 elements for a shape (5,) of 5");
  CHECK(released == 2);  // nothing was borrowed
  alignas(8) static const char bytes[12] = {};
  const std::span<const float> crooked(reinterpret_cast<const float*>(bytes + 1), 2);
  CHECK(message_of([&] { return borrow<float>(crooked, {2}); }) == "[borrow] memory that is not aligned for float");
}

TEST_CASE("borrow that finds no memory for its header leaves the memory to its owner") {
  std::vector<float> v(3);
  int released = 0;
  for (int k = 1; k <= 2; ++k) {
    detail::local_cache.fail_in = k;
    CHECK_THROWS_AS(borrow<float>(v, {3}, [&] { ++released; }), OutOfMemory);
  }
  detail::local_cache.fail_in = 0;
  CHECK(released == 0);
}

}  // namespace core_make_test
