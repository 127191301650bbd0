// label: simt
// ptx: yes
// Draws of random numbers, dropout, integers and permutations: against the generator's own blocks and against the CPU.
#include <algorithm>
#include <cmath>
#include <cstdio>
#include <cstring>

#include <doctest/doctest.h>

#include "ergo/kernels/dropout.cuh"
#include "ergo/kernels/random.cuh"
#include "ergo/kernels/random_integer.cuh"
#include "support/device_array.hpp"
#include "support/fresh.hpp"

namespace kernels_random_test {

using namespace ergo::cuda;
using test::DeviceArray;
namespace cpu = ergo::cpu;

Stream& stream() { return current_stream(ergo::Device::cuda()); }

std::vector<std::int64_t> fresh_keys(std::size_t n) {
  Fresh fresh(n);
  std::vector<std::int64_t> keys;
  for (std::size_t i = 0; i < n; ++i) keys.push_back(std::int64_t(fresh.bits()));
  return keys;
}

template <class T, class U>
bool same_bits(const std::vector<T>& a, const std::vector<U>& b) {
  static_assert(sizeof(T) == sizeof(U));
  return a.size() == b.size() && (a.empty() || std::memcmp(a.data(), b.data(), a.size() * sizeof(T)) == 0);
}

// Word i of a key's stream, of 32 or 64 bits.
template <class Word>
Word word(std::int64_t key, std::int64_t i) {
  constexpr std::int64_t kPer = 16 / sizeof(Word);
  const auto b = ergo::random_block(std::uint64_t(key), std::uint64_t(i / kPer));
  if constexpr (sizeof(Word) == 4)
    return b.word[i % 4];
  else
    return i % 2 ? b.high() : b.low();
}

// What the device draws, with `offset` elements before it that stay as they are.
template <class Out, class Kind>
std::vector<Out> drawn(const Kind& kind, const std::vector<std::int64_t>& keys, std::int64_t count,
                       std::int64_t offset = 0, std::int64_t most = 0x7fffffff) {
  const DeviceArray<std::int64_t> k(keys);
  const std::size_t n = keys.size() * std::size_t(count);
  std::vector<Out> before(n + std::size_t(offset));
  std::memset(static_cast<void*>(before.data()), 0x5a, before.size() * sizeof(Out));
  const DeviceArray<Out> y(before);
  launch_draw(stream(), kind, k.data(), std::int64_t(keys.size()), count, y.data() + offset, most);
  const auto all = y.host();
  CHECK(std::memcmp(all.data(), before.data(), std::size_t(offset) * sizeof(Out)) == 0);
  return {all.begin() + offset, all.end()};
}
template <class Kind>
std::vector<typename Kind::value_type> on_cpu(const Kind& kind, const std::vector<std::int64_t>& keys,
                                              std::int64_t count) {
  std::vector<typename Kind::value_type> y(keys.size() * std::size_t(count));
  cpu::draw(kind, keys.data(), std::int64_t(keys.size()), count, y.data());
  return y;
}

// Shapes around a group, a block's groups, and rows that begin at every alignment.
struct Case {
  std::size_t keys;
  std::int64_t count, offset;
};
const Case cases[] = {{0, 5, 0},    {1, 0, 0},    {1, 1, 0},  {1, 3, 1},   {1, 4, 0},
                      {1, 5, 0},    {1, 7, 1},    {1, 8, 0},  {1, 9, 2},   {1, 4099, 0},
                      {2, 4095, 0}, {3, 1025, 1}, {70, 3, 0}, {33, 16, 0}, {5, 64, 1}};

template <class Kind>
void check_bits(const Kind& kind) {
  CAPTURE(test_seed());
  for (const Case& c : cases) {
    CAPTURE(c.keys);
    CAPTURE(c.count);
    const auto keys = fresh_keys(c.keys);
    CHECK(same_bits(drawn<typename Kind::value_type>(kind, keys, c.count, c.offset), on_cpu(kind, keys, c.count)));
  }
}
template <class Out, class Kind>
void check_rounded(const Kind& kind) {
  for (const Case& c : cases) {
    const auto keys = fresh_keys(c.keys);
    std::vector<Out> expected;
    for (const float x : on_cpu(kind, keys, c.count)) expected.push_back(Out(x));
    CHECK(same_bits(drawn<Out>(kind, keys, c.count, c.offset), expected));
  }
}

TEST_CASE("words are the generator's, with one launch or several") {
  CAPTURE(test_seed());
  check_bits(cpu::WordDraw{});
  for (const std::int64_t most : {std::int64_t(0x7fffffff), std::int64_t(7), std::int64_t(1)}) {
    const auto keys = fresh_keys(5);
    const auto y = drawn<std::int32_t>(cpu::WordDraw{}, keys, 11, 0, most);
    for (std::size_t k = 0; k < 5; ++k)
      for (std::size_t i = 0; i < 11; ++i)
        CHECK(y[k * 11 + i] == std::int32_t(word<std::uint32_t>(keys[k], std::int64_t(i))));
  }
}

TEST_CASE("uniforms and signs have the CPU's bits") {
  check_bits(cpu::UniformDraw<float, 24>{});
  check_bits(cpu::UniformDraw<float, 24>{-3.7f, 11.3f});
  check_bits(cpu::UniformDraw<float, 24>{1.0f, std::nextafter(1.0f, 2.0f)});  // rounds to `high` half of the time
  check_bits(cpu::UniformDraw<double, 53>{});
  check_bits(cpu::UniformDraw<double, 53>{-1e-3, 7.7});
  check_bits(cpu::UniformDraw<double, 52>{0x1p-53, 1 + 0x1p-53});
  check_bits(cpu::SignDraw<float>{});
  check_bits(cpu::SignDraw<double>{});
  check_rounded<ergo::half>(cpu::UniformDraw<float, 11>{});
  check_rounded<ergo::bfloat16>(cpu::UniformDraw<float, 8>{});
  check_rounded<ergo::bfloat16>(cpu::SignDraw<float>{});
}

TEST_CASE("uniforms, one by one") {
  const auto keys = fresh_keys(1);
  const auto y = drawn<float>(cpu::UniformDraw<float, 24>{}, keys, 1000);
  const auto z = drawn<double>(cpu::UniformDraw<double, 53>{}, keys, 1000);
  for (std::int64_t i = 0; i < 1000; ++i) {
    CHECK(double(y[std::size_t(i)]) == double(word<std::uint32_t>(keys[0], i) >> 8) * 0x1p-24);
    CHECK(z[std::size_t(i)] == double(word<std::uint64_t>(keys[0], i) >> 11) * 0x1p-53);
  }
}

template <class T>
double ulps(T got, long double exact) {
  const T near = std::abs(T(exact));
  const long double unit = (long double)(std::nextafter(near, T(INFINITY))) - (long double)(near);
  return double(std::abs((long double)(got)-exact) / unit);
}

template <class T>
void check_normal() {
  CAPTURE(test_seed());
  using Word = cpu::detail::UnsignedOf<T>;
  constexpr long double kTurn = 3.14159265358979323846264338327950288L / 2;
  const std::int64_t n = 40000;
  const auto keys = fresh_keys(1);
  const auto y = drawn<T>(cpu::NormalDraw<T>{}, keys, n);
  const auto host = on_cpu(cpu::NormalDraw<T>{}, keys, n);
  double worst = 0, apart = 0;
  std::int64_t differ = 0;
  for (std::int64_t i = 0; i < n; i += 2) {
    const Word r = word<Word>(keys[0], i), a = word<Word>(keys[0], i + 1);
    // The formula's own roundings of u and of the angle are part of the draw.
    const T u = sizeof(T) == 4 ? T(std::fma(float(std::int32_t(r >> 1)), 0x1p-31f, 0x1p-32f))
                               : T(std::fma(double(std::uint64_t(r) >> 11), 0x1p-53, 0x1p-54));
    const T fraction = sizeof(T) == 4 ? T(float(std::int32_t(Word(a << 2))) * 0x1p-31f)
                                      : T((double(Word(a << 2) >> 11) - 0x1p52) * 0x1p-52);
    const T angle = fraction * T(0.785398163397448309616L);
    const long double radius = std::sqrt(-2 * std::log((long double)(u)));
    const auto top = unsigned(a >> (8 * sizeof(Word) - 2));
    const long double sign = top & 2 ? -1 : 1, s = std::sin((long double)(angle)), c = std::cos((long double)(angle));
    (void)kTurn;
    const long double first = sign * radius * (top & 1 ? s : c), second = sign * radius * (top & 1 ? c : s);
    worst = std::max({worst, ulps(y[std::size_t(i)], first), ulps(y[std::size_t(i + 1)], second)});
    for (std::int64_t j = i; j < i + 2; ++j) {
      apart = std::max(apart, ulps(y[std::size_t(j)], (long double)(host[std::size_t(j)])));
      differ += y[std::size_t(j)] != host[std::size_t(j)];
    }
  }
  std::printf("normal<%s>: at most %.2f ulp from long double, %.2f from the CPU (%.2f %% differ)\n",
              sizeof(T) == 4 ? "float" : "double", worst, apart, 100.0 * double(differ) / double(n));
  CHECK(worst < 4);
  CHECK(apart <= 4);
}

TEST_CASE("normals are the CPU's formula to 4 units of the last place") {
  check_normal<float>();
  check_normal<double>();
}

TEST_CASE("normals of any shape, mean and deviation") {
  CAPTURE(test_seed());
  for (const Case& c : cases) {
    const auto keys = fresh_keys(c.keys);
    const cpu::NormalDraw<float> kind{2.5f, 3};
    const auto y = drawn<float>(kind, keys, c.count, c.offset);
    const auto host = on_cpu(kind, keys, c.count);
    const auto low = drawn<ergo::bfloat16>(kind, keys, c.count, c.offset);
    const cpu::NormalDraw<double> wide{-1, 0.5};
    const auto d = drawn<double>(wide, keys, c.count, c.offset);
    const auto wide_host = on_cpu(wide, keys, c.count);
    for (std::size_t i = 0; i < y.size(); ++i) {
      CHECK(std::abs(y[i] - host[i]) <= 4 * 0x1p-24f * (std::abs(host[i] - 2.5f) + 2.5f));
      CHECK(std::abs(d[i] - wide_host[i]) <= 4 * 0x1p-53 * (std::abs(wide_host[i] + 1) + 1));
      CHECK(std::abs(float(low[i]) - y[i]) <= 0x1p-8f * std::abs(y[i]));
    }
  }
}

template <class T>
void check_log_exponential() {
  using Word = cpu::detail::UnsignedOf<T>;
  const auto keys = fresh_keys(2);
  const std::int64_t n = 10001;
  const auto y = drawn<T>(cpu::LogExponentialDraw<T>{}, keys, n);
  const auto host = on_cpu(cpu::LogExponentialDraw<T>{}, keys, n);
  double worst = 0, apart = 0;
  for (std::size_t i = 0; i < y.size(); ++i) {
    const Word w = word<Word>(keys[i / std::size_t(n)], std::int64_t(i) % n);
    const T u = sizeof(T) == 4 ? T(std::fma(float(std::int32_t(w >> 1)), 0x1p-31f, 0x1p-32f))
                               : T(std::fma(double(std::uint64_t(w) >> 11), 0x1p-53, 0x1p-54));
    const long double v = std::min(u, T(1 - (sizeof(T) == 4 ? 0x1p-24 : 0x1p-53))), e = -std::log1p(-v);
    const double scale = (sizeof(T) == 4 ? 0x1p-24 : 0x1p-53) * std::max(1.0, std::abs(double(y[i])));
    worst = std::max(worst, double(std::abs((long double)(y[i]) - std::log(e))) / scale);
    apart = std::max(apart, std::abs(double(y[i]) - double(host[i])) / scale);
  }
  std::printf("log exponential<%s>: at most %.2f half units of max(1, |y|) from long double, %.2f from the CPU\n",
              sizeof(T) == 4 ? "float" : "double", worst, apart);
  CHECK(worst <= 8);
  CHECK(apart <= 8);
}
TEST_CASE("logarithms of exponentials") {
  CAPTURE(test_seed());
  check_log_exponential<float>();
  check_log_exponential<double>();
}

template <class T>
void check_dropout(std::size_t n_keys, std::int64_t count, std::int64_t offset, bool one_x, double p) {
  CAPTURE(n_keys);
  CAPTURE(count);
  Fresh fresh(n_keys + std::size_t(count));
  const auto keys = fresh_keys(n_keys);
  const std::int64_t stride = one_x ? 0 : count + 3;
  std::vector<T> x(std::size_t(offset + count + stride * std::int64_t(n_keys)));
  for (auto& v : x) v = ergo::convert<T>(fresh.uniform(-5, 5));
  if (x.size() > 4) x[3] = ergo::convert<T>(double(NAN));
  const DeviceArray<T> in(x);
  const DeviceArray<T> out(std::vector<T>(n_keys * std::size_t(count) + std::size_t(offset), ergo::convert<T>(7.0)));
  const DeviceArray<std::int64_t> k(keys);
  launch_dropout(stream(), in.data() + offset, stride, k.data(), std::int64_t(n_keys), count, p, out.data() + offset);
  const auto y = out.host();
  using C = ergo::Compute<T>;
  std::int64_t wrong = 0;
  for (std::int64_t r = 0; r < std::int64_t(n_keys); ++r)
    for (std::int64_t i = 0; i < count; ++i) {
      const bool dropped = double(word<std::uint32_t>(keys[std::size_t(r)], i) ^ 0x80000000u) < std::floor(p * 0x1p32);
      const T from = x[std::size_t(offset + r * stride + i)], got = y[std::size_t(offset + r * count + i)];
      const T expected = dropped ? ergo::convert<T>(0.0) : ergo::convert<T>(C(C(from) * C(1 / (1 - p))));
      const bool nan = C(expected) != C(expected);
      wrong += nan ? C(got) == C(got) : std::memcmp(&got, &expected, sizeof(T)) != 0;
    }
  CHECK(wrong == 0);
}
TEST_CASE_TEMPLATE("dropout has the CPU's mask and rounds once", T, float, double, ergo::half, ergo::bfloat16) {
  CAPTURE(test_seed());
  for (const Case& c : cases)
    for (const bool one_x : {false, true}) check_dropout<T>(c.keys, c.count, c.offset, one_x, 0.3);
  check_dropout<T>(2, 1000, 0, false, 0.999);
  check_dropout<T>(2, 1000, 0, false, 1e-9);
}

template <class T>
void check_randint(std::int64_t low, std::uint64_t range) {
  __extension__ using Wide = unsigned __int128;
  for (const Case& c : cases) {
    const auto keys = fresh_keys(c.keys);
    const DeviceArray<std::int64_t> k(keys);
    const DeviceArray<T> out(std::vector<T>(c.keys * std::size_t(c.count) + std::size_t(c.offset)));
    launch_randint(stream(), low, range, k.data(), std::int64_t(c.keys), c.count, out.data() + c.offset);
    const auto y = out.host();
    std::int64_t wrong = 0;
    for (std::size_t r = 0; r < c.keys; ++r)
      for (std::int64_t i = 0; i < c.count; ++i) {
        std::uint64_t at;
        if (range >> 32) {
          const Wide rest = Wide(range) * word<std::uint64_t>(keys[r], 2 * i + 1) >> 64;
          at = std::uint64_t((Wide(range) * word<std::uint64_t>(keys[r], 2 * i) + rest) >> 64);
        } else {
          at = std::uint64_t(Wide(range) * word<std::uint64_t>(keys[r], i) >> 64);
        }
        wrong += y[r * std::size_t(c.count) + std::size_t(i + c.offset)] != T(std::uint64_t(low) + at);
      }
    CHECK(wrong == 0);
  }
}
TEST_CASE("integers of a range") {
  CAPTURE(test_seed());
  check_randint<std::uint8_t>(3, 200);
  check_randint<std::int32_t>(-5, 17);
  check_randint<std::int32_t>(-0x7fffffff - 1, 0xffffffffu);
  check_randint<std::int32_t>(-0x7fffffff - 1, std::uint64_t(1) << 32);
  check_randint<std::int64_t>(-5, 17);
  check_randint<std::int64_t>(-(std::int64_t(1) << 62), 0xfffffffffffffff0u);
}

template <class T>
void check_permutation(std::size_t n_keys, std::int64_t n) {
  CAPTURE(n_keys);
  CAPTURE(n);
  __extension__ using Wide = unsigned __int128;
  const auto keys = fresh_keys(n_keys);
  const DeviceArray<std::int64_t> k(keys);
  const DeviceArray<T> out(n_keys * std::size_t(n));
  const DeviceArray<std::byte> room(permutation_workspace(std::int64_t(n_keys), n));
  launch_permutation(stream(), k.data(), std::int64_t(n_keys), n, out.data(), room.data());
  const auto y = out.host();
  std::vector<T> expected(y.size());
  for (std::size_t r = 0; r < n_keys; ++r) {
    T* order = expected.data() + r * std::size_t(n);
    for (std::int64_t i = 0; i < n; ++i) order[i] = T(i);
    for (std::int64_t i = n; i-- > 0;)
      std::swap(order[i], order[std::int64_t(Wide(std::uint64_t(i) + 1) * word<std::uint64_t>(keys[r], i) >> 64)]);
  }
  CHECK(same_bits(y, expected));
}
TEST_CASE("permutations are those of the exchanges one after the other") {
  CAPTURE(test_seed());
  for (const std::int64_t n : {0, 1, 2, 3, 64, 127, 128, 129, 512}) check_permutation<std::int32_t>(3, n);
  check_permutation<std::int64_t>(2, 513);
  check_permutation<std::uint8_t>(4, 256);
  check_permutation<std::int32_t>(0, 5);
  check_permutation<std::int32_t>(1, 4097);
  check_permutation<std::int64_t>(1, 20000);
}

}  // namespace kernels_random_test
