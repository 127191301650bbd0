// label: simt
// bincount and histogram against counting by a loop: shared and global bins, several sets and tiles, strided views, ids
// out of range, edges that do not ascend.
#include <cmath>
#include <limits>
#include <random>

#include <doctest/doctest.h>

#include "ergo/kernels/count.cuh"
#include "support/device_array.hpp"
#include "support/seed.hpp"

namespace kernels_count_test {

using namespace ergo::cuda;
using test::DeviceArray;

constexpr std::int64_t kNone = std::numeric_limits<std::int64_t>::max();

Stream& stream() { return current_stream(ergo::Device::cuda()); }

template <class I, class Out>
void check_bincount(std::int64_t sets, std::int64_t m, std::int64_t n, std::int64_t step, int bad) {
  CAPTURE(sets);
  CAPTURE(m);
  CAPTURE(n);
  std::mt19937 random{unsigned(test_seed())};
  std::vector<I> ids(std::size_t(sets * m * step));
  for (I& id : ids) id = I(random() % unsigned(n < 200 || sizeof(I) > 1 ? n : 200));
  std::int64_t first = kNone;
  for (int k = 0; k < bad; ++k) {
    const std::int64_t at = std::int64_t(random() % unsigned(sets * m));
    ids[std::size_t(at * step)] = k % 2 && std::is_signed_v<I> ? I(-1) : I(n);
    if (at < first) first = at;
  }
  std::vector<Out> wanted(std::size_t(sets * n));
  for (std::int64_t s = 0; s < sets; ++s)
    for (std::int64_t i = 0; i < m; ++i) {
      const auto id = std::int64_t(ids[std::size_t((s * m + i) * step)]);
      if (id >= 0 && id < n) ++wanted[std::size_t(s * n + id)];
    }
  const DeviceArray<I> in(ids);
  const DeviceArray<Out> out{std::size_t(sets * n)};
  const DeviceArray<std::int64_t> fault(std::vector<std::int64_t>{kNone});
  const int before = stream().launches.next;
  launch_bincount<I, Out>(stream(), View<I, 2>{in.data(), {sets, m}, {m * step, step}},
                          row_major(out.data(), {sets, n}), fault.data());
  CHECK(stream().launches.next - before == (sets == 0 ? 0 : n == 0 ? 1 : 2));
  CHECK(out.host() == wanted);
  CHECK(fault.host()[0] == first);
}

TEST_CASE("ids: every type, shared and global bins, tiles, sets") {
  for (const std::int64_t m : {0, 1, 255, 4095, 4096, 4097, 9000}) {
    check_bincount<std::int32_t, std::int32_t>(1, m, 7, 1, 0);
    check_bincount<std::int64_t, std::int64_t>(3, m, 40, 2, 0);
    check_bincount<std::uint8_t, std::int32_t>(2, m, 256, 1, 0);
  }
  check_bincount<std::int32_t, std::int32_t>(2, 5000, 2048, 1, 0);
  check_bincount<std::int32_t, std::int32_t>(2, 5000, 2049, 1, 0);
  check_bincount<std::int64_t, std::int64_t>(1, 5000, 70000, 1, 0);
  check_bincount<std::int32_t, std::int32_t>(0, 5, 3, 1, 0);
  check_bincount<std::int32_t, std::int64_t>(4, 100, 1, 3, 0);
}
TEST_CASE("ids out of range are counted nowhere, and the first is told") {
  check_bincount<std::int32_t, std::int32_t>(1, 100, 7, 1, 1);
  check_bincount<std::int64_t, std::int64_t>(3, 5000, 3000, 2, 9);
  check_bincount<std::uint8_t, std::int32_t>(2, 300, 20, 1, 4);
  const DeviceArray<std::int32_t> in(std::vector<std::int32_t>{0, 5}), out{0};
  const DeviceArray<std::int64_t> fault(std::vector<std::int64_t>{kNone});
  launch_bincount<std::int32_t, std::int32_t>(stream(), View<std::int32_t, 2>{in.data(), {1, 2}, {2, 1}},
                                              row_major(out.data(), {1, 0}), fault.data());
  CHECK(fault.host()[0] == 0);  // of no bins every id is outside
}

template <class T, class Out>
void check_histogram(std::int64_t sets, std::int64_t m, std::int64_t n, bool shared) {
  CAPTURE(sets);
  CAPTURE(m);
  CAPTURE(n);
  std::mt19937 random{unsigned(test_seed())};
  std::vector<T> x, edges;
  for (std::int64_t i = 0; i < sets * m; ++i) {
    x.push_back(ergo::convert<T>(double(int(random() % unsigned(4 * n + 20))) / 2));  // often an edge itself
    if (!std::is_integral_v<T> && random() % 9 == 0)
      x.back() = ergo::convert<T>(random() % 3 ? double(NAN) : random() % 2 ? double(INFINITY) : double(-INFINITY));
  }
  for (std::int64_t s = 0; s < (shared ? 1 : sets); ++s)
    for (std::int64_t e = 0; e <= n; ++e) edges.push_back(ergo::convert<T>(double(s + 2 * e + (e % 5 == 3 ? 1 : 0))));
  std::vector<Out> wanted(std::size_t(sets * n));
  for (std::int64_t s = 0; s < sets; ++s)
    for (std::int64_t i = 0; i < m; ++i)
      for (std::int64_t b = 0; b < n; ++b) {
        const T* e = edges.data() + (shared ? 0 : s * (n + 1));
        const double v = double(x[std::size_t(s * m + i)]), low = double(e[b]), high = double(e[b + 1]);
        if (low <= v && (v < high || (b + 1 == n && v == high))) ++wanted[std::size_t(s * n + b)];
      }
  const DeviceArray<T> in(x), ends(edges);
  const DeviceArray<Out> out{std::size_t(sets * n)};
  const DeviceArray<std::int64_t> fault(std::vector<std::int64_t>{kNone});
  launch_histogram<T, Out>(stream(), View<T, 2>{in.data(), {sets, m}, {m, 1}},
                           View<T, 2>{ends.data(), {sets, n + 1}, {shared ? 0 : n + 1, 1}},
                           row_major(out.data(), {sets, n}), fault.data());
  CHECK(out.host() == wanted);
  CHECK(fault.host()[0] == kNone);
}
TEST_CASE_TEMPLATE("histograms", T, float, double, ergo::bfloat16, std::int32_t, std::uint8_t) {
  for (const std::int64_t n : {1, 2, 3, 20, 50})
    for (const std::int64_t m : {0, 1, 300, 5000}) check_histogram<T, std::int32_t>(2, m, n, n % 2 == 0);
  check_histogram<T, std::int64_t>(3, 700, 9, true);
}
TEST_CASE("a histogram of more bins than a block holds") { check_histogram<float, std::int32_t>(1, 6000, 2500, false); }
TEST_CASE("edges that do not ascend are told, without elements too") {
  for (const double wrong : {0.5, double(NAN)})
    for (const std::int64_t m : {0, 10}) {
      std::vector<double> edges;
      for (int e = 0; e <= 400; ++e) edges.push_back(e);
      edges[301] = wrong;
      const DeviceArray<double> in(std::vector<double>(std::size_t(m), 3.5)), ends(edges);
      const DeviceArray<std::int32_t> out{400};
      const DeviceArray<std::int64_t> fault(std::vector<std::int64_t>{kNone});
      launch_histogram<double, std::int32_t>(stream(), View<double, 2>{in.data(), {1, m}, {m, 1}},
                                             View<double, 2>{ends.data(), {1, 401}, {401, 1}},
                                             row_major(out.data(), {1, 400}), fault.data());
      CHECK(fault.host()[0] == 300);
    }
}

}  // namespace kernels_count_test
