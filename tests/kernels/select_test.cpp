// label: simt
// The first k of rows and single ranks against std::stable_sort: short rows that are sorted, long ones that are
// selected from, orders, special values, strides. What is selected by are the keys of sort_test.cpp, which has every
// dtype's: here is one of each number of passes.
#include <algorithm>
#include <cstring>
#include <limits>
#include <numeric>
#include <random>

#include <doctest/doctest.h>

#include "ergo/kernels/select.cuh"
#include "support/device_array.hpp"
#include "support/seed.hpp"

namespace kernels_select_test {

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
std::vector<std::int64_t> sorted_places(const T* x, std::int64_t n, std::int64_t stride, bool descending) {
  std::vector<std::int64_t> places(static_cast<std::size_t>(n));
  std::iota(places.begin(), places.end(), 0);
  std::stable_sort(places.begin(), places.end(), [&](std::int64_t i, std::int64_t j) {
    return descending ? before(x[j * stride], x[i * stride]) : before(x[i * stride], x[j * stride]);
  });
  return places;
}
enum class Values { bits, few, special, equal, numbers };
template <class T>
std::vector<typename DeviceArray<T>::Element> values(std::int64_t n, Values kind) {
  using E = typename DeviceArray<T>::Element;
  const std::uint64_t seed = test_seed();
  std::mt19937 random{unsigned(seed)};
  std::vector<E> x(static_cast<std::size_t>(n));
  const float inf = std::numeric_limits<float>::infinity(), nan = std::numeric_limits<float>::quiet_NaN();
  const float special[] = {0.0f, -0.0f, inf, -inf, nan, -nan, 1.0f, -1.0f, 1e-8f};
  for (E& v : x) {
    if constexpr (std::is_same_v<T, bool>) {
      v = random() % 2;
    } else if (kind == Values::equal) {
      v = E(7.0f);
    } else if (kind == Values::few) {
      v = E(float(random() % 5));
    } else if (kind == Values::numbers) {
      v = E(float(random() % 100000) / 100 - 300);
    } else if (kind == Values::special && !std::is_integral_v<E>) {
      v = E(special[random() % 9]);
    } else {
      const std::uint64_t bits = std::uint64_t(random()) << 32 | random();
      std::memcpy(static_cast<void*>(&v), &bits, sizeof v);
    }
  }
  return x;
}

template <class T>
using Index = std::conditional_t<std::is_same_v<T, double>, std::int64_t, std::int32_t>;

template <class T, class I = Index<T>>
void check_topk(std::int64_t rows, std::int64_t n, std::int64_t k, Values kind, bool descending,
                bool transposed = false) {
  CAPTURE(rows);
  CAPTURE(n);
  CAPTURE(k);
  CAPTURE(descending);
  const auto x = values<T>(rows * n, kind);
  const DeviceArray<T> in(x);
  const DeviceArray<I> out(std::vector<I>(std::size_t(rows * k), I(-1)));
  const std::size_t bytes = topk_workspace<T>(rows, n, k);
  const DeviceArray<unsigned char> workspace(bytes);
  View<T, 2> from = row_major(in.data(), {rows, n});
  View<I, 2> to = row_major(out.data(), {rows, k});
  if (transposed) {
    from.stride[0] = to.stride[0] = 1;
    from.stride[1] = to.stride[1] = rows;
  }
  launch_topk<T, I>(stream(), from, to, descending, bytes ? workspace.data() : nullptr);
  const auto y = out.host();
  std::int64_t wrong = 0;
  for (std::int64_t r = 0; r < rows; ++r) {
    const auto expected = sorted_places(x.data() + r * from.stride[0], n, from.stride[1], descending);
    for (std::int64_t i = 0; i < k; ++i)
      wrong += std::int64_t(y[std::size_t(r * to.stride[0] + i * to.stride[1])]) != expected[std::size_t(i)];
  }
  CHECK(wrong == 0);
}
template <class T, class I = Index<T>>
void check_ranks(std::int64_t rows, std::int64_t n, std::int64_t first, int count, Values kind,
                 bool transposed = false) {
  CAPTURE(rows);
  CAPTURE(n);
  CAPTURE(first);
  const auto x = values<T>(rows * n, kind);
  const DeviceArray<T> in(x);
  const DeviceArray<I> out(std::vector<I>(std::size_t(rows * count), I(-1)));
  const std::size_t bytes = ranks_workspace<T>(rows, n, count);
  const DeviceArray<unsigned char> workspace(bytes);
  View<T, 2> from = row_major(in.data(), {rows, n});
  if (transposed) {
    from.stride[0] = 1;
    from.stride[1] = rows;
  }
  launch_ranks<T, I>(stream(), "quantile", from, row_major(out.data(), {rows, std::int64_t{count}}), first,
                     workspace.data());
  const auto y = out.host();
  std::int64_t wrong = 0;
  for (std::int64_t r = 0; r < rows; ++r) {
    const auto* const row = x.data() + r * from.stride[0];
    const auto expected = sorted_places(row, n, from.stride[1], false);
    std::int64_t nan = 0;
    while (nan < n && before(row[expected[std::size_t(nan)] * from.stride[1]], T(NAN))) ++nan;
    for (int c = 0; c < count; ++c)
      wrong += std::int64_t(y[std::size_t(r * count + c)]) != expected[std::size_t(nan < n ? nan : first + c)];
  }
  CHECK(wrong == 0);
}

TEST_CASE_TEMPLATE("short and long rows, both orders", T, std::uint8_t, bfloat16, float, double) {
  for (const bool descending : {false, true}) {
    check_topk<T>(3, 31, 5, Values::bits, descending);
    check_topk<T>(2, 700, 9, Values::special, descending);
    check_topk<T>(2, 2500, 7, Values::bits, descending);
  }
}
TEST_CASE_TEMPLATE("NaN, infinities and zeros of both signs in long rows", T, bfloat16, float, double) {
  for (const bool descending : {false, true}) check_topk<T>(2, 2100, 900, Values::special, descending);
  check_ranks<T>(2, 700, 300, 2, Values::special);
  check_ranks<T>(2, 2100, 300, 2, Values::special);
  check_ranks<T>(2, 2100, 1049, 2, Values::numbers);
}
TEST_CASE("lengths on both sides of every way and tile") {
  for (const std::int64_t n : {1, 2, 32, 33, 512, 513, 2048, 2049, 4095, 4096, 4097, 8192, 8193})
    for (const Values kind : {Values::bits, Values::few}) {
      check_topk<float>(n < 1000 ? 2 : 1, n, (n + 2) / 3, kind, n % 2 == 0);
      check_ranks<float>(n < 1000 ? 2 : 1, n, (n - 1) / 2, n > 1 ? 2 : 1,
                         kind == Values::bits ? Values::numbers : kind);
    }
}
TEST_CASE("every k, up to more than a block sorts") {
  for (const std::int64_t k : {1, 2, 32, 33, 2047, 2048, 2049, 5000}) check_topk<float>(1, 5000, k, Values::few, true);
  check_topk<double>(2, 4500, 2300, Values::bits, false);
}
TEST_CASE("first and last ranks, equal elements, ties at the selected key") {
  for (const std::int64_t n : {20, 3000}) {
    for (const std::int64_t first : {std::int64_t{0}, n - 1}) check_ranks<float>(2, n, first, 1, Values::numbers);
    check_ranks<double>(2, n, n - 2, 2, Values::equal);
    check_topk<float>(2, n, n / 2, Values::equal, true);
  }
}
TEST_CASE("any strides") {
  for (const std::int64_t n : {40, 2300}) {
    check_topk<float>(3, n, 9, Values::bits, false, true);
    check_ranks<bfloat16>(3, n, 11, 2, Values::numbers, true);
  }
}
TEST_CASE("many tiles: more than the scan's block has threads") {
  check_topk<std::uint8_t>(1, 600000, 3, Values::bits, true);
}
TEST_CASE("nothing to select") {
  check_topk<float>(0, 5, 2, Values::bits, false);
  check_topk<float>(2, 5, 0, Values::bits, false);
  check_topk<float>(2, 5000, 0, Values::bits, false);
  check_topk<float>(3, 0, 0, Values::bits, false);
  check_ranks<float>(0, 5, 0, 1, Values::numbers);
}

}  // namespace kernels_select_test
