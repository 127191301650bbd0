// label: simt
// ptx: yes
// Argsort kernels against std::stable_sort: rows of each way of sorting, orders, special values, strides. What is
// sorted are keys: every dtype has them compared with its elements, and one dtype of each number of passes is sorted.
#include <algorithm>
#include <cstring>
#include <limits>
#include <numeric>
#include <random>

#include <doctest/doctest.h>

#include "ergo/core/tensor.hpp"
#include "ergo/cpu/sort.hpp"
#include "ergo/kernels/sort.cuh"
#include "support/device_array.hpp"
#include "support/seed.hpp"

namespace kernels_sort_test {

using namespace ergo::cuda;
using ergo::bfloat16;
using test::DeviceArray;

Stream& stream() { return current_stream(ergo::Device::cuda()); }

// -inf < ... < inf < NaN; all NaNs are equal.
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

enum class Values { bits, few, special, equal };
template <class T>
std::vector<typename DeviceArray<T>::Element> values(std::mt19937& random, std::int64_t n, Values kind) {
  using E = typename DeviceArray<T>::Element;
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
void check_argsort(std::int64_t rows, std::int64_t n, Values kind, bool descending, bool transposed = false,
                   std::int64_t offset = 0) {
  const std::uint64_t seed = test_seed();
  CAPTURE(seed);
  CAPTURE(rows);
  CAPTURE(n);
  CAPTURE(descending);
  std::mt19937 random{unsigned(seed)};
  const auto x = values<T>(random, rows * n + offset, kind);
  const DeviceArray<T> in(x);
  const DeviceArray<I> out(std::vector<I>(std::size_t(rows * n + offset), I(-1)));  // offset: nobody writes there
  const std::size_t bytes = argsort_workspace<T>(rows, n);
  const DeviceArray<unsigned char> workspace(bytes);
  View<T, 2> from = row_major(in.data() + offset, {rows, n});
  View<I, 2> to = row_major(out.data() + offset, {rows, n});
  if (transposed) {
    from.stride[0] = to.stride[0] = 1;
    from.stride[1] = to.stride[1] = rows;
  }
  launch_argsort<T, I>(stream(), from, to, descending, bytes ? workspace.data() : nullptr);
  const auto y = out.host();
  std::int64_t wrong = 0;
  for (std::int64_t r = 0; r < rows; ++r) {
    const auto expected = sorted_places(x.data() + offset + r * from.stride[0], n, from.stride[1], descending);
    for (std::int64_t i = 0; i < n; ++i)
      wrong += std::int64_t(y[std::size_t(offset + r * to.stride[0] + i * to.stride[1])]) != expected[std::size_t(i)];
  }
  CHECK(wrong == 0);
}

TEST_CASE_TEMPLATE("keys are in the order of elements, every dtype", T, bool, std::uint8_t, std::int32_t, std::int64_t,
                   ergo::half, bfloat16, float, double) {
  std::mt19937 random{unsigned(test_seed())};
  for (const bool descending : {false, true})
    for (const Values kind : {Values::bits, Values::special}) {
      const std::int64_t n = 300;
      const auto x = values<T>(random, n, kind);
      const DeviceArray<T> in(x);
      const DeviceArray<SortKey<T>> out(x.size());
      const ElementKeys<T> keys{row_major<const T, 2>(in.data(), {1, n}), descending};
      launch(stream(), "keys", {2u, 256u}, sort_keys_kernel<256, ElementKeys<T>>, keys, out.data(), std::int64_t{1}, n);
      const auto key = out.host();
      std::int64_t wrong = 0;
      for (std::size_t i = 0; i < x.size(); ++i) {
        if constexpr (sizeof(T) < 4) wrong += key[i] >> kSortBits<T> != 0;
        for (std::size_t j = 0; j < x.size(); ++j)
          wrong += (key[i] < key[j]) != (descending ? before(x[j], x[i]) : before(x[i], x[j]));
      }
      CHECK(wrong == 0);
    }
}
TEST_CASE_TEMPLATE("short and long rows, both orders", T, std::uint8_t, bfloat16, float, double) {
  for (const bool descending : {false, true}) {
    check_argsort<T>(5, 31, Values::bits, descending);
    check_argsort<T>(2, 300, Values::bits, descending);
    check_argsort<T>(2, 1000, Values::special, descending);
    check_argsort<T>(1, 2500, Values::bits, descending);
  }
}
TEST_CASE_TEMPLATE("NaN, infinities and zeros of both signs", T, bfloat16, float, double) {
  for (const bool descending : {false, true})
    for (const std::int64_t n : {20, 100, 700, 2100}) check_argsort<T>(2, n, Values::special, descending);
}
TEST_CASE("lengths on both sides of every way and tile") {
  for (const std::int64_t n : {1, 2, 31, 32, 33, 127, 128, 129, 511, 512, 513, 2047, 2048, 2049, 4095, 4096, 4097})
    for (const Values kind : {Values::bits, Values::few}) check_argsort<float>(n < 1000 ? 2 : 1, n, kind, n % 2 == 0);
  for (const std::int64_t n : {2049, 4096, 4097, 6145}) check_argsort<double>(1, n, Values::few, n % 2 == 0);
}
TEST_CASE("long rows of many tiles") {
  check_argsort<std::uint8_t>(1, 530000, Values::bits, false);  // more tiles than the scan's block
  check_argsort<float>(3, 9000, Values::few, true);
}
TEST_CASE("equal elements stay as they are") {
  for (const bool descending : {false, true})
    for (const std::int64_t n : {32, 400, 2048, 4100}) check_argsort<float>(2, n, Values::equal, descending);
}
TEST_CASE("any strides and alignment, every index type") {
  for (const std::int64_t n : {9, 200, 900, 2200}) {
    check_argsort<float>(3, n, Values::bits, false, true);
    check_argsort<double>(2, n, Values::bits, false, false, 1);
    check_argsort<bfloat16>(2, n, Values::few, true, true, 3);
  }
  check_argsort<float, std::uint8_t>(6, 30, Values::few, false);
  check_argsort<float, std::uint8_t>(3, 256, Values::bits, true);
}
TEST_CASE_TEMPLATE("the CPU's argsort gives the same", T, bfloat16, float) {
  std::mt19937 random{unsigned(test_seed())};
  for (const bool descending : {false, true})
    for (const std::int64_t n : {30, 500, 3000}) {
      const auto x = values<T>(random, 2 * n, Values::special);
      const ergo::Tensor<std::int32_t> expected(
          ergo::cpu::argsort_last(ergo::from_span<T>(x, {2, n}).array(), descending, ergo::dtype_of<std::int32_t>));
      const DeviceArray<T> in(x);
      const DeviceArray<std::int32_t> out(x.size());
      const DeviceArray<unsigned char> workspace(argsort_workspace<T>(2, n));
      launch_argsort<T, std::int32_t>(stream(), row_major(in.data(), {2, n}), row_major(out.data(), {2, n}), descending,
                                      workspace.data());
      CHECK(out.host() == expected.to_vector());
    }
}
TEST_CASE("nothing to sort") {
  check_argsort<float>(0, 5, Values::bits, false);
  check_argsort<float>(5, 0, Values::bits, false);
  check_argsort<float>(0, 5000, Values::bits, false);
  check_argsort<float>(9, 1, Values::bits, false);
}

}  // namespace kernels_sort_test
