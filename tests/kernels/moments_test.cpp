// label: simt
// The variance and the norm of each width of floating dtypes over every layout, against two passes in long double;
// offsets, outliers, sizes near the ends of the range.
#include <cmath>

#include <doctest/doctest.h>

#include "ergo/kernels/moments.cuh"
#include "kernels/reduction_layouts.hpp"

namespace kernels_moments_test {

using namespace ergo::cuda;
using test::DeviceArray;
using test::ReductionLayout;

Stream& stream() { return current_stream(ergo::Device::cuda()); }

template <class T>
std::vector<T> variance(const ReductionLayout& layout, const std::vector<T>& x, double correction = 0) {
  const DeviceArray<T> in(x), out{std::size_t(layout.outputs())};
  const auto view = layout.view(static_cast<const T*>(in.data()));
  const DeviceArray<std::byte> workspace(variance_workspace<T>(view));
  const int before = stream().launches.next;
  launch_variance<T>(stream(), "variance", view, out.data(), test::bytes_of(workspace), correction);
  CHECK(stream().launches.next - before == (layout.outputs() == 0 ? 0 : workspace.size() ? 2 : 1));
  return out.host();
}
template <class T>
std::vector<T> norm(const ReductionLayout& layout, const std::vector<T>& x) {
  const DeviceArray<T> in(x), out{std::size_t(layout.outputs())};
  const auto view = layout.view(static_cast<const T*>(in.data()));
  const DeviceArray<std::byte> workspace(norm_workspace<T>(view));
  launch_norm<T>(stream(), "norm", view, out.data(), test::bytes_of(workspace));
  return out.host();
}

template <class T>
long double variance_of(const std::vector<T>& x, double correction = 0) {
  long double sum = 0, squares = 0;
  for (T e : x) sum += static_cast<long double>(double(e));
  const long double n = static_cast<long double>(x.size()), mean = sum / n;
  for (T e : x) squares += (static_cast<long double>(double(e)) - mean) * (static_cast<long double>(double(e)) - mean);
  return squares / (n - static_cast<long double>(correction));
}
template <class T>
long double norm_of(const std::vector<T>& x) {
  long double squares = 0;
  for (T e : x) squares += static_cast<long double>(double(e)) * static_cast<long double>(double(e));
  return std::sqrt(squares);
}
// How far a result rounded to T may be, relative to it.
template <class T>
long double unit() {
  if (std::is_same_v<T, ergo::bfloat16>) return 0x1.02p-8L;
  return std::is_same_v<T, float> ? 1e-6L : 2e-15L;
}
template <class T>
void check_close(T y, long double expected) {
  const auto value = static_cast<long double>(double(y));
  CHECK(std::abs(value - expected) <= unit<T>() * std::abs(expected));
}

TEST_CASE("a variance beyond the largest number is infinite, not NaN") {
  for (const std::int64_t n : {3, 100, 5000}) {
    std::vector<float> x;
    for (std::int64_t i = 0; i < n; ++i) x.push_back(float(1 + i % 3) * 1e20f);
    const DeviceArray<float> in(x), out(1);
    const auto view = row_major(static_cast<const float*>(in.data()), {1, n, 1});
    const DeviceArray<std::byte> workspace(variance_workspace<float>(view));
    launch_variance<float>(stream(), "variance", view, out.data(), test::bytes_of(workspace));
    CHECK(std::isinf(out.host()[0]));
  }
}
TEST_CASE_TEMPLATE("variances and norms, every layout", T, float, double, ergo::bfloat16) {
  const unsigned seed = std::random_device{}();
  CAPTURE(seed);
  std::mt19937 random(seed);
  for (const auto& layout : test::reduction_layouts()) {
    CAPTURE(layout.text());
    const auto x = test::random_elements<T>(layout.size(), random);
    const double correction = double(random() % 2);
    const std::int64_t n = layout.shape[1];
    const auto v = variance(layout, x, correction), r = norm(layout, x);
    std::vector<T> elements;
    for (std::int64_t o = 0; o < layout.shape[0]; ++o)
      for (std::int64_t i = 0; i < layout.shape[2]; ++i) {
        elements.clear();
        for (std::int64_t k = 0; k < n; ++k) elements.push_back(x[std::size_t(layout.at(o, k, i))]);
        const auto at = std::size_t(o * layout.shape[2] + i);
        if (double(n) <= correction)
          CHECK(std::isnan(double(v[at])));
        else
          check_close(v[at], variance_of(elements, correction));
        check_close(r[at], norm_of(elements));
      }
  }
}

TEST_CASE("an offset costs the variance nothing, nor does a first element far from the others") {
  const unsigned seed = std::random_device{}();
  CAPTURE(seed);
  std::mt19937 random(seed);
  std::normal_distribution<double> normal;
  for (const auto& layout : {test::dense_layout(1, 50000, 1), test::dense_layout(1, 900, 1),
                             test::dense_layout(1, 12500, 4), test::dense_layout(1, 5000, 3)})
    for (const int kind : {0, 1, 2}) {
      CAPTURE(layout.text());
      CAPTURE(kind);
      std::vector<float> x;
      for (std::int64_t k = 0; k < layout.size(); ++k) x.push_back(float(1e6 + normal(random)));
      if (kind == 1)
        for (std::int64_t i = 0; i < layout.shape[2]; ++i) x[std::size_t(i)] = 0;
      if (kind == 2)
        for (std::int64_t i = 0; i < layout.shape[2]; ++i) x[x.size() - std::size_t(1 + i)] = -1e9f;
      const auto v = variance(layout, x);
      for (std::int64_t i = 0; i < layout.shape[2]; ++i) {
        std::vector<float> column;
        for (std::int64_t k = 0; k < layout.shape[1]; ++k) column.push_back(x[std::size_t(layout.at(0, k, i))]);
        const long double expected = variance_of(column);
        CHECK(std::abs(static_cast<long double>(v[std::size_t(i)]) - expected) <= 3e-6L * expected);
      }
    }
}

TEST_CASE_TEMPLATE("equal elements have no variance; infinities and NaN have none either", T, float, double) {
  for (const std::int64_t n : {1, 2, 30, 1500, 9000}) {
    CAPTURE(n);
    const auto layout = test::dense_layout(1, n, 1);
    std::vector<T> x(std::size_t(n), T(1.1));
    CHECK(variance(layout, x)[0] == 0);
    for (const T bad : {T(INFINITY), T(-INFINITY), T(NAN)})
      for (const std::size_t at : {std::size_t(0), x.size() / 2, x.size() - 1}) {
        auto y = x;
        y[at] = bad;
        CHECK(std::isnan(variance(layout, y)[0]));
        if (std::isnan(bad))
          CHECK(std::isnan(norm(layout, y)[0]));
        else
          CHECK(norm(layout, y)[0] == T(INFINITY));
      }
  }
}

TEST_CASE_TEMPLATE("no square overflows or is lost on the way to a norm", T, float, double, ergo::bfloat16) {
  const unsigned seed = std::random_device{}();
  CAPTURE(seed);
  std::mt19937 random(seed);
  const double top = std::is_same_v<T, double> ? 1e300 : 1e36, bottom = std::is_same_v<T, double> ? 1e-320 : 1e-40;
  for (const std::int64_t n : {3, 300, 5000})
    for (const double least : {bottom, 1.0, top / 1e20, top})
      for (const double spread : {1.0, 1e10, 1e20, 1e60}) {
        const auto layout = test::dense_layout(1, n, 1);
        std::vector<T> x;
        for (std::int64_t k = 0; k < n; ++k) {
          const double size = least * std::pow(spread, double(random() % 1000) / 999);
          x.push_back(T((size < top ? size : top) * (random() % 2 ? 1 : -1)));
        }
        CAPTURE(n);
        CAPTURE(least);
        CAPTURE(spread);
        const long double expected = norm_of(x), denormal = std::is_same_v<T, double> ? 0x1p-1074L : 0x1p-149L;
        const auto y = static_cast<long double>(double(norm(layout, x)[0]));
        CHECK(std::abs(y - expected) <=
              unit<T>() * expected + (std::is_same_v<T, ergo::bfloat16> ? 0x1p-133L : denormal));
      }
}

}  // namespace kernels_moments_test
