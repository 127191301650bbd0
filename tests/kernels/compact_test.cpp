// label: simt
// Places of nonzero elements and distinct elements against loops: dtypes, lengths around tiles, special values.
// Distinct elements are sorted by keys, which sort_test.cpp has of every dtype: here is one of each number of passes.
#include <algorithm>
#include <cmath>
#include <limits>
#include <random>

#include <doctest/doctest.h>

#include "ergo/kernels/compact.cuh"
#include "support/device_array.hpp"
#include "support/seed.hpp"

namespace kernels_compact_test {

using namespace ergo::cuda;
using ergo::bfloat16;
using test::DeviceArray;

Stream& stream() { return current_stream(ergo::Device::cuda()); }

template <class T>
std::vector<typename DeviceArray<T>::Element> draw(std::int64_t n, unsigned one_in) {
  using E = typename DeviceArray<T>::Element;
  std::mt19937 random{unsigned(test_seed())};
  const float corners[] = {-0.0f, NAN, -std::numeric_limits<float>::infinity(), 1.0f, 2.0f, -NAN, 0.0f};
  std::vector<E> x;
  for (std::int64_t i = 0; i < n; ++i) {
    const unsigned k = unsigned(random());
    if constexpr (std::is_integral_v<E>)
      x.push_back(E(k % one_in == 0 ? 1 + k / one_in % 3 : 0));
    else
      x.push_back(E(k % one_in == 0 ? corners[k / one_in % 7] : 0.0f));
    if constexpr (std::is_same_v<T, bool>) x.back() = x.back() != 0;
  }
  return x;
}
template <class E>
double number(E v) {
  return double(v);
}

template <class T>
using Index = std::conditional_t<std::is_same_v<T, double>, std::int64_t, std::int32_t>;

template <class T, class I = Index<T>>
void check_nonzero(std::int64_t a, std::int64_t b, unsigned one_in) {
  const std::int64_t n = a * b;
  CAPTURE(n);
  const auto x = draw<T>(n, one_in);
  const DeviceArray<T> in(x);
  const DeviceArray<unsigned char> workspace(flags_workspace(n));
  const DeviceArray<unsigned> total(1);
  const NonzeroFlags<T> flags{in.data()};
  launch_flag_count(stream(), "nonzero", flags, n, workspace.data(), total.data());
  std::vector<I> expected;
  for (std::int64_t i = 0; i < n; ++i)
    if (number(x[std::size_t(i)]) != 0) {
      expected.push_back(I(i / b));
      expected.push_back(I(i % b));
    }
  REQUIRE(total.host()[0] * 2 == expected.size());
  const DeviceArray<I> out(expected.size());
  launch_flag_store(stream(), "nonzero", flags, StoreCoordinates<I>{out.data(), 2, {a, b}}, n, workspace.data());
  CHECK(out.host() == expected);
}

template <class T, class I = Index<T>>
void check_distinct(std::int64_t n, unsigned one_in) {
  CAPTURE(n);
  const auto x = draw<T>(n, one_in);
  const DeviceArray<T> in(x);
  const DeviceArray<unsigned char> sort(sorted_workspace<T>(n)), workspace(flags_workspace(n));
  const DeviceArray<unsigned> total(1);
  const auto sorted = launch_sorted<T>(stream(), "unique", row_major<const T, 2>(in.data(), {1, n}), sort.data());
  const HeadFlags<SortKey<T>> heads{sorted.key};
  launch_flag_count(stream(), "unique", heads, n, workspace.data(), total.data());
  const auto equal = [](double a, double b) { return a == b || (std::isnan(a) && std::isnan(b)); };
  std::vector<std::int64_t> first;  // by counting, in order of value
  for (std::int64_t i = 0; i < n; ++i) {
    bool seen = false;
    for (const std::int64_t f : first) seen = seen || equal(number(x[std::size_t(f)]), number(x[std::size_t(i)]));
    if (!seen) first.push_back(i);
  }
  const auto less = [&](std::int64_t i, std::int64_t j) {
    const double a = number(x[std::size_t(i)]), b = number(x[std::size_t(j)]);
    return std::isnan(b) ? !std::isnan(a) : a < b;
  };
  std::sort(first.begin(), first.end(), less);
  REQUIRE(total.host()[0] == first.size());
  const DeviceArray<I> places(first.size()), inverse(std::vector<I>(std::size_t(n), I(-1))), lengths(first.size());
  const DeviceArray<std::uint32_t> start(first.size());
  launch_flag_store(stream(), "unique", heads,
                    StoreDistinct<I>{sorted.place, start.data(), places.data(), inverse.data()}, n, workspace.data());
  launch_run_lengths(stream(), "unique", start.data(), lengths.data(), std::int64_t(first.size()), n);
  const auto got = places.host(), which = inverse.host(), counts = lengths.host();
  std::vector<std::int64_t> count(first.size());
  std::int64_t wrong = 0;
  for (std::int64_t i = 0; i < n; ++i) {
    const auto u = std::size_t(which[std::size_t(i)]);
    REQUIRE(u < first.size());
    ++count[u];
    wrong += !equal(number(x[std::size_t(first[u])]), number(x[std::size_t(i)]));
  }
  for (std::size_t u = 0; u < first.size(); ++u) {
    wrong += std::int64_t(got[u]) != first[u];
    wrong += std::int64_t(counts[u]) != count[u];
  }
  CHECK(wrong == 0);
}

TEST_CASE_TEMPLATE("every width of elements", T, std::uint8_t, bfloat16, float, double) {
  check_nonzero<T>(20, 31, 3);
  check_nonzero<T>(3, 2000, 2);
  check_distinct<T>(300, 2);
  check_distinct<T>(2600, 3);
}
TEST_CASE("lengths around warps, blocks and tiles; none and all") {
  for (const std::int64_t n : {1, 31, 32, 33, 511, 512, 513, 4095, 4096, 4097, 8193}) {
    check_nonzero<float>(1, n, 2);
    check_nonzero<std::uint8_t>(n, 1, 1);            // all
    check_nonzero<std::uint8_t>(1, n, 4000000000u);  // none, nearly always
  }
  for (const std::int64_t n : {1, 2, 2047, 2048, 2049, 5000}) check_distinct<float>(n, 2);
}
TEST_CASE("more tiles than the scan's block has threads") { check_nonzero<std::uint8_t>(1, 600000, 50); }

}  // namespace kernels_compact_test
