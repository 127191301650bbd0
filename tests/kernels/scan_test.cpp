// label: simt
// Running sums of every dtype over every layout, forwards, backwards, with and without the element, against serial sums
// in long double and in integers that wrap.
#include <cmath>

#include <doctest/doctest.h>

#include "ergo/kernels/scan.cuh"
#include "kernels/reduction_layouts.hpp"

namespace kernels_scan_test {

using namespace ergo::cuda;
using test::DeviceArray;
using test::ReductionLayout;

Stream& stream() { return current_stream(ergo::Device::cuda()); }

template <class T, class X>
auto cumsum(const ReductionLayout& layout, const X& x, ScanOptions options = {}) {
  const DeviceArray<T> in(x);
  const std::size_t offset = layout.shape[1] == 9000 ? 1 : 0;  // y not aligned
  const DeviceArray<ScanResult<T>> out{std::size_t(layout.outputs() * layout.shape[1]) + offset};
  const auto view = layout.view(static_cast<const T*>(in.data()));
  const DeviceArray<std::byte> workspace(cumsum_workspace<T>(view));
  const int before = stream().launches.next;
  launch_cumsum<T>(stream(), "cumsum", view, out.data() + offset, test::bytes_of(workspace), options);
  CHECK(stream().launches.next - before == (out.size() == 0 ? 0 : workspace.size() ? 3 : 1));
  return out.host(offset);
}

template <class T, class X>
void check_layout(const ReductionLayout& layout, const X& x, ScanOptions options) {
  CAPTURE(layout.text());
  CAPTURE(options.reverse);
  CAPTURE(options.exclusive);
  const auto y = cumsum<T>(layout, x, options);
  const std::int64_t n = layout.shape[1], inner = layout.shape[2];
  // A chain of additions in double: down one tile, then over tiles.
  const double chain = double((n < 256 ? n : 256) + n / 256 + 16) * 0x1p-53;
  for (std::int64_t o = 0; o < layout.shape[0]; ++o)
    for (std::int64_t i = 0; i < inner; ++i) {
      using Sum = std::conditional_t<std::is_integral_v<T>, std::uint64_t, long double>;
      Sum sum = 0;
      double sizes = 0;
      bool right = true;
      for (std::int64_t p = 0; p < n; ++p) {
        const std::int64_t k = options.reverse ? n - 1 - p : p;
        const auto element = T(x[std::size_t(layout.at(o, k, i))]);
        Sum next = sum;
        if constexpr (std::is_integral_v<T>)
          next += std::uint64_t(std::int64_t(element));
        else
          next += static_cast<long double>(double(element));
        sizes += std::abs(double(element));
        const auto result = y[std::size_t((o * n + k) * inner + i)];
        const Sum expected = options.exclusive ? sum : next;
        if constexpr (std::is_integral_v<T>) {
          right = right && result == std::int64_t(expected);
        } else {
          const double wanted = double(expected);
          double unit = std::is_same_v<T, double> ? 2e-16 : 0x1.01p-24;  // one rounding, of sums in double
          if (std::is_same_v<T, ergo::half>) unit = 0x1.01p-11;
          if (std::is_same_v<T, ergo::bfloat16>) unit = 0x1.01p-8;
          right = right && std::abs(double(result) - wanted) <=
                               unit * std::abs(wanted) + chain * sizes + (std::is_same_v<T, ergo::half> ? 0x1p-25 : 0);
        }
        sum = next;
      }
      CHECK(right);
    }
}

std::vector<ReductionLayout> layouts() {
  auto all = test::reduction_layouts();
  for (std::int64_t n : {508, 512, 513, 516, 4092, 4096, 4097}) all.push_back(test::dense_layout(2, n, 1));
  all.push_back(test::dense_layout(257, 513, 1));  // enough rows, a block each
  all.push_back({{3, 8200, 1}, {8204, 1, 1}, 0});
  all.push_back({{3, 8200, 1}, {8204, 1, 1}, 4});
  all.push_back(test::dense_layout(2, 256, 3));
  all.push_back(test::dense_layout(2, 257, 3));
  return all;
}

TEST_CASE_TEMPLATE("running sums, every layout", T, bool, std::uint8_t, std::int32_t, std::int64_t, float, double,
                   ergo::half, ergo::bfloat16) {
  const unsigned seed = std::random_device{}();
  CAPTURE(seed);
  std::mt19937 random(seed);
  for (const auto& layout : layouts()) {
    const auto x = test::random_elements<T>(layout.size(), random);
    check_layout<T>(layout, x, {bool(random() % 2), bool(random() % 2)});
  }
}

TEST_CASE("all four options on both sides of each way") {
  const unsigned seed = std::random_device{}();
  CAPTURE(seed);
  std::mt19937 random(seed);
  for (const auto& layout :
       {test::dense_layout(3, 12, 1), test::dense_layout(3, 512, 1), test::dense_layout(2, 4000, 1),
        test::dense_layout(260, 4100, 1), test::dense_layout(2, 9001, 1), test::dense_layout(2, 9000, 1, 4),
        test::dense_layout(2, 100, 5), test::dense_layout(2, 600, 5), test::dense_layout(400, 258, 82)}) {
    if (layout.size() > 1500000 && random() % 4 == 0) continue;
    const auto x = test::random_elements<float>(layout.size(), random);
    for (int o = 0; o < (layout.size() > 500000 ? 1 : 4); ++o)
      check_layout<float>(layout, x, {(o & 1) != 0, (o & 2) != 0});
  }
}

TEST_CASE("ones count exactly; a NaN and an infinity stay from their place on") {
  const auto layout = test::dense_layout(1, 50000, 1);
  std::vector<float> x(50000, 1.0f);
  auto y = cumsum<float>(layout, x);
  for (std::size_t k = 0; k < x.size(); ++k)
    if (y[k] != float(k + 1)) {
      CHECK(y[k] == float(k + 1));
      break;
    }
  x[12345] = INFINITY;
  x[40000] = -INFINITY;
  y = cumsum<float>(layout, x);
  CHECK(y[12344] == 12345.0f);
  CHECK(y[12345] == INFINITY);
  CHECK(y[39999] == INFINITY);
  CHECK(std::isnan(y[40000]));
  CHECK(std::isnan(y[49999]));
}

}  // namespace kernels_scan_test
