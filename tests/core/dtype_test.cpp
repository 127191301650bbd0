// The 16-bit types against arithmetic that knows nothing of their bits: values by ldexp, rounding by distance.
#include "ergo/core/dtype.hpp"

#include <cmath>
#include <cstdint>
#include <limits>
#include <string>

#include <doctest/doctest.h>

#include "ergo/core/cast.hpp"
#include "support/fresh.hpp"

namespace core_dtype_test {

using ergo::bfloat16;
using ergo::convert;
using ergo::half;

namespace {

struct Format {
  int exponent_bits, fraction_bits;
};
template <class S>
constexpr Format format_of = std::is_same_v<S, half> ? Format{5, 10} : Format{8, 7};

// The value of 16 bits, from the definition of binary interchange formats.
template <class S>
double decoded(std::uint16_t bits) {
  constexpr Format f = format_of<S>;
  const int bias = (1 << (f.exponent_bits - 1)) - 1, special = (1 << f.exponent_bits) - 1;
  const int exponent = (bits >> f.fraction_bits) & special, fraction = bits & ((1 << f.fraction_bits) - 1);
  double x = 0;
  if (exponent == special)
    x = fraction ? std::numeric_limits<double>::quiet_NaN() : std::numeric_limits<double>::infinity();
  else if (exponent == 0)
    x = std::ldexp(fraction, 1 - bias - f.fraction_bits);
  else
    x = std::ldexp((1 << f.fraction_bits) + fraction, exponent - bias - f.fraction_bits);
  return bits & 0x8000 ? -x : x;
}
// The bits of the finite value nearest to x >= 0, ties to the even one; beyond the largest by half a unit: infinity.
template <class S>
std::uint16_t nearest(long double x) {
  constexpr std::uint16_t infinity = std::uint16_t(((1 << format_of<S>.exponent_bits) - 1) << format_of<S>.fraction_bits);
  std::uint16_t low = 0, high = infinity;  // value(low) <= x < value(high)
  const auto value = [](std::uint16_t b) -> long double {
    // Infinity stands where the next value would be, which is what rounding compares with.
    return b == infinity ? 2 * (long double)(decoded<S>(std::uint16_t(infinity - 1))) -
                               (long double)(decoded<S>(std::uint16_t(infinity - 2)))
                         : (long double)(decoded<S>(b));
  };
  if (x >= value(high)) return infinity;
  while (high - low > 1) {
    const auto middle = std::uint16_t((low + high) / 2);
    (value(middle) <= x ? low : high) = middle;
  }
  const long double down = x - value(low), up = value(high) - x;
  return down < up || (down == up && low % 2 == 0) ? low : high;
}
template <class S>
std::uint16_t rounded(long double x) {
  return std::signbit(x) ? std::uint16_t(0x8000 | nearest<S>(-x)) : nearest<S>(x);
}

template <class S>
void check_all_values() {
  int wrong = 0;
  for (unsigned u = 0; u < 65536; ++u) {
    const S s = S::from_bits(std::uint16_t(u));
    const double x = decoded<S>(std::uint16_t(u));
    if (std::isnan(x)) {
      const bool same_sign = (S(float(s)).bits & 0x8000) == (u & 0x8000);
      wrong += !std::isnan(float(s)) || !std::isnan(float(S(float(s)))) || !std::isnan(float(S(double(s)))) || !same_sign;
      continue;
    }
    wrong += double(float(s)) != x || std::signbit(float(s)) != std::signbit(x) || double(s) != x;
    wrong += S(float(s)).bits != u || S(double(s)).bits != u;
  }
  CHECK(wrong == 0);
}
// Every midpoint between neighbours, and the doubles and floats on both sides of it and of the values themselves.
template <class S>
void check_rounding() {
  constexpr unsigned infinity = unsigned((1 << format_of<S>.exponent_bits) - 1) << format_of<S>.fraction_bits;
  int wrong_float = 0, wrong_double = 0;
  for (unsigned u = 0; u < infinity; ++u) {
    const double low = decoded<S>(std::uint16_t(u)), step = u + 1 < infinity ? decoded<S>(std::uint16_t(u + 1)) - low
                                                                            : low - decoded<S>(std::uint16_t(u - 1));
    for (const double at : {low, low + step / 2}) {
      for (const double x : {at, std::nextafter(at, 0.0), std::nextafter(at, 1e300)}) {
        wrong_double += S(x).bits != rounded<S>(x) || S(-x).bits != rounded<S>(-x);
        wrong_double += convert<S>(x).bits != rounded<S>(x);
      }
      const auto f = float(at);
      for (const float x : {f, std::nextafter(f, 0.0f), std::nextafter(f, std::numeric_limits<float>::infinity())}) {
        if (std::isinf(x)) continue;
        wrong_float += S(x).bits != rounded<S>(x) || S(-x).bits != rounded<S>(-x);
      }
    }
  }
  CHECK(wrong_float == 0);
  CHECK(wrong_double == 0);
}
template <class S>
void check_random() {
  Fresh fresh(1);
  int wrong = 0;
  for (int i = 0; i < 200000; ++i) {
    const double x = std::bit_cast<double>(fresh.bits());  // mostly far out of range
    const double y = std::ldexp(fresh.uniform(-1, 1), int(fresh.integer(-160, 140)));
    const auto f = std::bit_cast<float>(std::uint32_t(fresh.bits()));
    for (const double d : {x, y, double(f)}) wrong += std::isnan(d) ? !std::isnan(float(S(d))) : S(d).bits != rounded<S>(d);
    wrong += std::isnan(f) ? !std::isnan(float(S(f))) : S(f).bits != rounded<S>(f);
  }
  CHECK(wrong == 0);
}
template <class S>
void check_integers() {
  Fresh fresh(2);
  int wrong = 0;
  for (int i = 0; i < 200000; ++i) {
    const auto n = std::int64_t(fresh.bits()) >> fresh.integer(0, 63);
    wrong += S(n).bits != rounded<S>(n) || convert<S>(n).bits != rounded<S>(n);
    // Beside a midpoint of bfloat16 beyond 2^53, where double has no room for the last bits.
    const std::int64_t middle = ((fresh.integer(128, 255) << 1) + 1) << fresh.integer(46, 53);
    for (const std::int64_t m : {middle, middle - 1, middle + 1, -middle, -middle - 1, -middle + 1})
      wrong += S(m).bits != rounded<S>(m);
    const std::uint64_t u = fresh.bits() | (std::uint64_t(1) << 63);
    wrong += S(u).bits != rounded<S>(u);
  }
  CHECK(wrong == 0);
}

}  // namespace

TEST_CASE("all 65,536 values of bfloat16 and half survive the way to float and double and back") {
  check_all_values<bfloat16>();
  check_all_values<half>();
}
TEST_CASE("float and double round once to 16 bit, to nearest even, at and beside every midpoint") {
  check_rounding<bfloat16>();
  check_rounding<half>();
}
TEST_CASE("any bits of a float or double round to the nearest 16-bit value") {
  check_random<bfloat16>();
  check_random<half>();
}
TEST_CASE("integers round once to 16 bit, beyond 2^53 too") {
  check_integers<bfloat16>();
  check_integers<half>();
}
TEST_CASE("double to bfloat16 does not go by way of float") {
  const double x = 1 + 0x1p-8 + 0x1p-40;  // a float would drop the last bit and the tie would go down
  CHECK(float(bfloat16(x)) == 1 + 0x1p-7f);
  CHECK(float(bfloat16(float(x))) == 1.0f);
  CHECK(float(half(1 + 0x1p-11 + 0x1p-40)) == 1 + 0x1p-10f);
  CHECK(float(half(65519.0)) == 65504.0f);
  CHECK(std::isinf(float(half(65520.0))));
  CHECK(float(half(0x1p-25)) == 0.0f);
  CHECK(float(half(0x1p-25 * (1 + 0x1p-30))) == 0x1p-24f);
}

TEST_CASE("16-bit values compare as numbers") {
  CHECK(bfloat16(0.0f) == bfloat16(-0.0f));
  CHECK(half(1) == half(1.0));
  CHECK(half(1) != half(2));
  const bfloat16 nan(std::nanf(""));
  CHECK(nan != nan);
  CHECK_FALSE(nan == nan);
}

TEST_CASE("casts to integers truncate, saturate, and make 0 of NaN") {
  const double nan = std::nan(""), inf = INFINITY;
  CHECK(convert<std::int32_t>(2.9) == 2);
  CHECK(convert<std::int32_t>(-2.9) == -2);
  CHECK(convert<std::int32_t>(3e9) == INT32_MAX);
  CHECK(convert<std::int32_t>(-3e9f) == INT32_MIN);
  CHECK(convert<std::int32_t>(2147483647.5) == INT32_MAX);
  CHECK(convert<std::int32_t>(-2147483648.5) == INT32_MIN);
  CHECK(convert<std::int32_t>(nan) == 0);
  CHECK(convert<std::int64_t>(inf) == INT64_MAX);
  CHECK(convert<std::int64_t>(-inf) == INT64_MIN);
  CHECK(convert<std::int64_t>(0x1p63) == INT64_MAX);
  CHECK(convert<std::int64_t>(0x1p62f) == std::int64_t(1) << 62);
  CHECK(convert<std::uint8_t>(255.9f) == 255);
  CHECK(convert<std::uint8_t>(256.0) == 255);
  CHECK(convert<std::uint8_t>(-0.5) == 0);
  CHECK(convert<std::uint8_t>(-1e30) == 0);
  CHECK(convert<std::uint8_t>(half(300.0f)) == 255);
  CHECK(convert<std::int32_t>(bfloat16(nan)) == 0);
}
TEST_CASE("narrower integers wrap; bool is x != 0, also of NaN") {
  CHECK(convert<std::uint8_t>(std::int64_t(300)) == 44);
  CHECK(convert<std::uint8_t>(std::int32_t(-1)) == 255);
  CHECK(convert<std::int32_t>(std::int64_t(1) << 32) == 0);
  CHECK(convert<std::int32_t>((std::int64_t(1) << 31) + 5) == INT32_MIN + 5);
  CHECK(convert<bool>(0.1f));
  CHECK(convert<bool>(std::nan("")));
  CHECK_FALSE(convert<bool>(-0.0));
  CHECK_FALSE(convert<bool>(half::from_bits(0x8000)));
  CHECK(convert<float>(true) == 1.0f);
  CHECK(convert<half>(true) == half(1.0f));
}

TEST_CASE("cast on tensors is the same conversion for every pair of dtypes") {
  Fresh fresh(3);
  const auto every = [&]<class... From>(From...) {
    const auto from_one = [&]<class F>(F) {
      const ergo::Tensor<F> x = fresh.tensor<F>({67}, -300, 300);
      const auto to_one = [&]<class To>(To) {
        const auto y = ergo::cast<To>(x).to_vector();
        const auto given = x.to_vector();
        bool same = true;
        for (std::size_t i = 0; i < y.size(); ++i) same = same && y[i] == convert<To>(F(given[i]));
        CHECK(same);
      };
      (to_one(From{}), ...);
    };
    (from_one(From{}), ...);
  };
  every(false, std::uint8_t{}, std::int32_t{}, std::int64_t{}, half{}, bfloat16{}, 0.0f, 0.0);
}

TEST_CASE("names and sizes") {
  CHECK(ergo::to_string(ergo::dtype_of<bool>) == "bool");
  CHECK(ergo::to_string(ergo::dtype_of<bfloat16>) == "bfloat16");
  CHECK(ergo::to_string(ergo::dtype_of<float>) == "float");
  CHECK(ergo::size_of(ergo::dtype_of<half>) == 2);
  CHECK(ergo::size_of(ergo::dtype_of<std::int64_t>) == 8);
  CHECK(ergo::is_floating(ergo::dtype_of<half>));
  CHECK_FALSE(ergo::is_floating(ergo::dtype_of<std::int64_t>));
  static_assert(ergo::Floating<bfloat16> && !ergo::Floating<int> && ergo::Index<std::uint8_t> && !ergo::Index<bool>);
  static_assert(!ergo::TensorScalar<long double> && !ergo::TensorScalar<std::uint32_t>);
}

}  // namespace core_dtype_test
