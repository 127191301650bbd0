// Vectorised draws against scalar formulas over core/philox.hpp: words and uniforms bit for bit, normals in long
// double, for every instruction set that the machine has, every length, any number of threads. label: threads
#include "ergo/cpu/random.hpp"

#include <doctest/doctest.h>

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <random>
#include <string>
#include <vector>

#include "../support/isas.hpp"
#include "../support/seed.hpp"

namespace cpu_random_test {

namespace {

namespace cpu = ergo::cpu;
using cpu::Isa;

std::mt19937_64 source(test_seed());

std::uint32_t word(std::uint64_t key, std::uint64_t i) { return ergo::random_block(key, i / 4).word[i % 4]; }
std::uint64_t wide_word(std::uint64_t key, std::uint64_t i) {
  const auto b = ergo::random_block(key, i / 2);
  return i % 2 ? b.high() : b.low();
}

template <class Draw>
std::vector<typename Draw::value_type> run(const Draw& kind, std::uint64_t key, std::uint64_t first, std::int64_t n) {
  std::vector<typename Draw::value_type> y(std::size_t(n) + 1, typename Draw::value_type(77));
  cpu::draw_run(kind, key, first, y.data(), n);
  CHECK(y.back() == typename Draw::value_type(77));  // nothing beyond n is written
  y.pop_back();
  return y;
}

// Both numbers that words i and i + 1 (i even) make, in long double.
template <class T>
std::pair<long double, long double> exact_pair(std::uint64_t key, std::uint64_t i) {
  long double u, angle;
  std::uint64_t turn;
  if constexpr (sizeof(T) == 4) {
    u = ((long double)(float(word(key, i) >> 1)) + 0.5L) / 0x1p31L;
    u = (long double)(float(u));
    turn = std::uint64_t(word(key, i + 1)) << 32;
    angle = (long double)(std::int32_t(word(key, i + 1) << 2)) / 0x1p31L;
  } else {
    u = (long double)(double((long double)(wide_word(key, i) >> 11) + 0.5L)) / 0x1p53L;
    turn = wide_word(key, i + 1);
    angle = ((long double)(turn << 2 >> 11) - 0x1p52L) / 0x1p52L;
  }
  const long double pi = 3.14159265358979323846264338327950288L;
  const long double r = std::sqrt(-2 * std::log(u)) * (turn >> 63 ? -1 : 1);
  const long double c = r * std::cos(angle * pi / 4), s = r * std::sin(angle * pi / 4);
  return turn >> 62 & 1 ? std::pair{s, c} : std::pair{c, s};
}

template <class T>
double ulps(T got, long double exact) {
  int exponent;
  std::frexp(exact, &exponent);
  const int digits = sizeof(T) == 4 ? 24 : 53;
  return double(std::fabs((long double)(got)-exact) / std::ldexp(1.0L, exponent - digits));
}

}  // namespace

TEST_CASE("words are the blocks of the key, whatever the length and the first block") {
  on_each_isa([] {
    for (std::int64_t n : {0, 1, 3, 4, 5, 31, 32, 33, 127, 1000}) {
      for (const std::uint64_t first :
           {std::uint64_t(0), std::uint64_t(5), (std::uint64_t(1) << 32) - 17, ~std::uint64_t(0) - 2000}) {
        const std::uint64_t key = source();
        const auto y = run(cpu::WordDraw{}, key, first, n);
        bool same = true;
        for (std::int64_t i = 0; i < n; ++i)
          same = same && y[std::size_t(i)] == ergo::random_block(key, first + std::uint64_t(i) / 4).word[i % 4];
        CHECK_MESSAGE(same, n << " words from block " << first);
      }
    }
  });
}

TEST_CASE("uniforms are exact fractions of words") {
  on_each_isa([] {
    const std::uint64_t key = source();
    const auto f = run(cpu::UniformDraw<float, 24>{}, key, 0, 1001);
    const auto h = run(cpu::UniformDraw<float, 11>{}, key, 0, 1001);
    const auto d = run(cpu::UniformDraw<double, 53>{}, key, 0, 1001);
    const auto sign = run(cpu::SignDraw<float>{}, key, 0, 1001);
    for (std::uint64_t i = 0; i < 1001; ++i) {
      REQUIRE(f[i] == float(word(key, i) >> 8) * 0x1p-24f);
      REQUIRE(h[i] == float(word(key, i) >> 21) * 0x1p-11f);
      REQUIRE(d[i] == double(wide_word(key, i) >> 11) * 0x1p-53);
      REQUIRE(sign[i] == (word(key, i) >> 31 ? -1.0f : 1.0f));
    }
  });
}

TEST_CASE("scaled uniforms have the bits of two roundings, and are never the upper bound") {
  on_each_isa([] {
    const std::uint64_t key = source();
    const float low = -0.1f, high = 12.7f, span = high - low;
    const auto y = run(cpu::UniformDraw<float, 24>{low, high}, key, 0, 4000);
    for (std::uint64_t i = 0; i < y.size(); ++i) {
      volatile float product = float(word(key, i) >> 8) * 0x1p-24f * span;  // volatile: no contraction here either
      const float sum = product + low;
      REQUIRE(y[i] == (sum < high ? sum : low));
    }
    const float near = 1e8f, above = std::nextafter(near, 2e8f);  // only `near` itself is in [near, above)
    for (const float x : run(cpu::UniformDraw<float, 24>{near, above}, key, 0, 4000)) REQUIRE(x == near);
    const float third = std::nextafter(above, 2e8f);  // two numbers in [near, third): equal shares
    std::int64_t lower = 0;
    for (const float x : run(cpu::UniformDraw<float, 24>{near, third}, key, 0, 40000)) {
      REQUIRE((x == near || x == above));
      lower += x == near;
    }
    CHECK(std::abs(double(lower) - 20000) < 6 * 100);
  });
}

TEST_CASE_TEMPLATE("normals are Box and Muller's pairs", T, float, double) {
  on_each_isa([] {
    const std::uint64_t key = source();
    const std::int64_t n = 200000;
    const auto y = run(cpu::NormalDraw<T>{}, key, 0, n);
    double worst = 0;
    for (std::int64_t i = 0; i < n; i += 2) {
      const auto [a, b] = exact_pair<T>(key, std::uint64_t(i));
      worst = std::max({worst, ulps(y[std::size_t(i)], a), ulps(y[std::size_t(i + 1)], b)});
    }
    std::printf("normal<%s>, %s: at most %.2f ulp from long double\n", sizeof(T) == 4 ? "float" : "double",
                cpu::name(cpu::isa()), worst);
    CHECK(worst < 4.5);
  });
}

TEST_CASE_TEMPLATE("normals of two instruction sets agree", T, float, double) {
  const std::uint64_t key = source();
  std::vector<T> first;
  on_each_isa([&] {
    const auto y = run(cpu::NormalDraw<T>{}, key, 0, 200000);
    if (first.empty()) first = y;
    double worst = 0;
    for (std::size_t i = 0; i < y.size(); ++i) worst = std::max(worst, ulps(y[i], (long double)(first[i])));
    std::printf("normal<%s>, %s: at most %.0f ulp from sse2\n", sizeof(T) == 4 ? "float" : "double",
                cpu::name(cpu::isa()), worst);
    CHECK(worst <= 4);
  });
}

TEST_CASE_TEMPLATE("the extreme words give finite numbers", T, float, double) {
  // The radius is largest for the word 0; it is met through the loop's own formulas.
  const auto smallest = cpu::detail::open_uniform(cpu::Pack<cpu::detail::WordOf<T>, 16 / sizeof(T)>());
  const auto largest = cpu::detail::open_uniform(~cpu::Pack<cpu::detail::WordOf<T>, 16 / sizeof(T)>());
  CHECK(smallest[0] > 0);
  CHECK(largest[0] <= 1);
  const T radius = std::sqrt(-2 * std::log(smallest[0]));
  CHECK(radius > (sizeof(T) == 4 ? 6.6 : 8.6));
  CHECK(std::isfinite(std::sqrt(-2 * std::log(largest[0]))));
}

TEST_CASE_TEMPLATE("log-exponentials are what their words say", T, float, double) {
  on_each_isa([] {
    const std::uint64_t key = source();
    const auto y = run(cpu::LogExponentialDraw<T>{}, key, 0, 20000);
    for (std::uint64_t i = 0; i < y.size(); ++i) {
      const long double u = sizeof(T) == 4 ? (long double)((float(word(key, i) >> 1) + 0.5f) * 0x1p-31f)
                                           : (long double)((double(wide_word(key, i) >> 11) + 0.5) * 0x1p-53);
      const long double exact = std::log(-std::log1p(-std::min(u, 1 - (sizeof(T) == 4 ? 0x1p-24L : 0x1p-53L))));
      REQUIRE(std::fabs((long double)(y[i]) - exact) < (1 + std::fabs(exact)) * (sizeof(T) == 4 ? 0x1p-21L : 0x1p-50L));
    }
  });
}

TEST_CASE("a longer draw begins with the shorter, and threads do not matter") {
  const std::vector<std::int64_t> keys = {std::int64_t(source()), std::int64_t(source()), std::int64_t(source())};
  const std::int64_t each = 50001;
  std::vector<float> first;
  for (int threads : {1, 2, 3, 5, 8}) {
    ergo::set_num_threads(threads);
    std::vector<float> y(std::size_t(3 * each));
    cpu::draw(cpu::NormalDraw<float>{1, 2}, keys.data(), 3, each, y.data());
    if (first.empty()) first = y;
    CHECK(y == first);
  }
  ergo::set_num_threads(2);
  for (std::int64_t n : {1, 2, 3, 1000, 16383, 16385, 50000}) {
    std::vector<float> y(static_cast<std::size_t>(n));
    cpu::draw(cpu::NormalDraw<float>{1, 2}, keys.data() + 1, 1, n, y.data());
    CHECK(std::equal(y.begin(), y.end(), first.begin() + each));
  }
}

}  // namespace cpu_random_test
