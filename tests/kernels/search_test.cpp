// label: simt
// Binary search against counting, dtypes, both sides, special values, strides, empty rows.
#include <algorithm>
#include <limits>
#include <random>

#include <doctest/doctest.h>

#include "ergo/kernels/search.cuh"
#include "support/device_array.hpp"
#include "support/seed.hpp"

namespace kernels_search_test {

using namespace ergo::cuda;
using ergo::bfloat16;
using test::DeviceArray;

Stream& stream() { return current_stream(ergo::Device::cuda()); }

template <class T>
bool before(const T& a, const T& b) {
  if constexpr (std::is_same_v<T, ergo::half> || std::is_same_v<T, bfloat16>)
    return before(float(a), float(b));
  else
    return b != b ? a == a : a < b;
}
template <class T>
std::vector<typename DeviceArray<T>::Element> draw(std::mt19937& random, std::int64_t n, bool special) {
  using E = typename DeviceArray<T>::Element;
  const float inf = std::numeric_limits<float>::infinity(), nan = std::numeric_limits<float>::quiet_NaN();
  const float corners[] = {0.0f, -0.0f, inf, -inf, nan, -nan, 1.0f, -1.0f};
  std::vector<E> x;
  for (std::int64_t i = 0; i < n; ++i) {
    if constexpr (std::is_same_v<T, bool>)
      x.push_back(random() % 2);
    else if constexpr (std::is_integral_v<E>)
      x.push_back(E(random() % 60));
    else
      x.push_back(special ? E(corners[random() % 8]) : E(float(random() % 60) - 30));
  }
  return x;
}
// shared: all sets search one row; transposed: strides the other way round.
template <class T, class I = std::int32_t>
void check(std::int64_t sets, std::int64_t n, std::int64_t m, bool right, bool special = false, bool shared = false,
           bool transposed = false) {
  CAPTURE(n);
  CAPTURE(m);
  CAPTURE(right);
  const std::uint64_t seed = test_seed();
  CAPTURE(seed);
  std::mt19937 random{unsigned(seed)};
  const std::int64_t rows = shared ? 1 : sets;
  auto sorted = draw<T>(random, rows * n, special);
  for (std::int64_t r = 0; r < rows; ++r)
    std::sort(sorted.begin() + r * n, sorted.begin() + (r + 1) * n, [](auto a, auto b) { return before(a, b); });
  const auto x = draw<T>(random, sets * m, special);
  auto stored = sorted;
  if (transposed)
    for (std::int64_t r = 0; r < rows; ++r)
      for (std::int64_t i = 0; i < n; ++i) stored[std::size_t(i * rows + r)] = sorted[std::size_t(r * n + i)];
  const DeviceArray<T> row(stored), in(x);
  const DeviceArray<I> out(std::vector<I>(std::size_t(sets * m), I(-1)));
  View<T, 2> from = row_major(row.data(), {sets, n});
  if (shared) from.stride[0] = 0;
  if (transposed) {
    from.stride[0] = 1;
    from.stride[1] = rows;
  }
  launch_search_sorted<T, I>(stream(), from, row_major(in.data(), {sets, m}), row_major(out.data(), {sets, m}), right);
  const auto y = out.host();
  std::int64_t wrong = 0;
  for (std::int64_t i = 0; i < sets * m; ++i) {
    std::int64_t count = 0;
    for (std::int64_t j = 0; j < n; ++j) {
      const auto e = sorted[std::size_t((shared ? 0 : i / m) * n + j)];
      count += right ? !before(x[std::size_t(i)], e) : before(e, x[std::size_t(i)]);
    }
    wrong += std::int64_t(y[std::size_t(i)]) != count;
  }
  CHECK(wrong == 0);
}

TEST_CASE_TEMPLATE("every dtype, both sides", T, bool, std::uint8_t, std::int32_t, std::int64_t, ergo::half, bfloat16,
                   float, double) {
  for (const bool right : {false, true}) {
    check<T>(3, 50, 41, right);
    check<T, std::int64_t>(2, 9, 70, right, true);
  }
}
TEST_CASE("rows of every length") {
  for (const std::int64_t n : {0, 1, 2, 3, 4, 5, 7, 8, 9, 15, 16, 17, 100, 1000})
    for (const bool right : {false, true}) check<float>(2, n, 300, right, n % 2 == 0);
}
TEST_CASE("one row for all, other strides, small index types, nothing") {
  check<double>(4, 33, 20, false, true, true);
  check<float>(4, 33, 20, true, false, false, true);
  check<float, std::uint8_t>(1, 255, 20, true);
  check<float>(2, 5, 0, false);
  check<float>(0, 5, 3, false);
}

}  // namespace kernels_search_test
