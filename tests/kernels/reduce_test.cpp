// label: simt
// ptx: yes
// Sums, means and products over every layout, against sums in double and in integers that wrap. Sums have every width
// of elements; products differ from them by an operator.
#include <cmath>

#include <doctest/doctest.h>

#include "ergo/kernels/reduce.cuh"
#include "kernels/reduction_layouts.hpp"

namespace kernels_reduce_test {

using namespace ergo::cuda;
using test::DeviceArray;
using test::ReductionLayout;

Stream& stream() { return current_stream(ergo::Device::cuda()); }

// y for the elements x that lie as the layout says.
template <class M, class F = Itself, class T, class X>
auto reduced(const ReductionLayout& layout, const X& x, double divisor = 1, std::size_t offset = 0) {
  const DeviceArray<T> in(x);
  const DeviceArray<ReduceResult<M, T>> out{std::size_t(layout.outputs()) + offset};
  const auto view = layout.view(static_cast<const T*>(in.data()));
  const DeviceArray<std::byte> workspace(reduce_workspace<M, T>(view));
  const int before = stream().launches.next;
  launch_reduce<M, T, F>(stream(), "reduce", view, out.data() + offset, test::bytes_of(workspace), divisor);
  CHECK(stream().launches.next - before == (layout.outputs() == 0 ? 0 : workspace.size() ? 2 : 1));
  return out.host(offset);
}

// Calls f(y, the elements of its reduction) for each result.
template <class T, class Y, class X, class Call>
void each_result(const ReductionLayout& layout, const Y& y, const X& x, Call f) {
  std::vector<T> elements;
  for (std::int64_t o = 0; o < layout.shape[0]; ++o)
    for (std::int64_t i = 0; i < layout.shape[2]; ++i) {
      elements.clear();
      for (std::int64_t k = 0; k < layout.shape[1]; ++k) elements.push_back(T(x[std::size_t(layout.at(o, k, i))]));
      f(y[std::size_t(o * layout.shape[2] + i)], elements);
    }
}

template <class T>
double sum_of(const std::vector<T>& x) {
  long double sum = 0;
  for (T e : x) sum += static_cast<long double>(double(e));
  return double(sum);
}

// Half a unit in the last place of T at x, where T is narrower than what is computed in.
template <class T>
double rounding(double x) {
  if (std::is_same_v<T, ergo::half>) return std::max(std::abs(x) * 0x1.01p-11, 0x1p-25);
  return 0;
}

TEST_CASE_TEMPLATE("floating sums and means, every layout", T, float, double, ergo::half) {
  const unsigned seed = std::random_device{}();
  CAPTURE(seed);
  std::mt19937 random(seed);
  for (const auto& layout : test::reduction_layouts()) {
    CAPTURE(layout.text());
    const auto x = test::random_elements<T>(layout.size(), random);
    const double n = double(layout.shape[1]), divisor = random() % 2 ? n : 1;
    CAPTURE(divisor);
    const auto y = reduced<SumOf, Itself, T>(layout, x, divisor);
    each_result<T>(layout, y, x, [&](T result, const std::vector<T>& elements) {
      const double sum = sum_of(elements);
      double sizes = 0;
      for (T e : elements) sizes += std::abs(double(e));
      if (divisor == 0) {
        CHECK(std::isnan(double(result)));
        return;
      }
      const double unit = std::is_same_v<T, double> ? 1e-15 : 5e-7;
      CHECK(std::abs(double(result) - sum / divisor) <= unit * sizes / divisor + rounding<T>(sum / divisor));
    });
  }
}

TEST_CASE_TEMPLATE("integer sums and products wrap, every layout", T, std::uint8_t, std::int32_t, std::int64_t) {
  const unsigned seed = std::random_device{}();
  CAPTURE(seed);
  std::mt19937 random(seed);
  for (const auto& layout : test::reduction_layouts()) {
    CAPTURE(layout.text());
    auto x = test::random_elements<T>(layout.size(), random);
    each_result<T>(layout, reduced<SumOf, Itself, T>(layout, x), x, [](std::int64_t y, const std::vector<T>& elements) {
      std::uint64_t sum = 0;
      for (T e : elements) sum += std::uint64_t(std::int64_t(e));
      CHECK(y == std::int64_t(sum));
    });
    if constexpr (!std::is_same_v<T, std::int64_t>) {
      for (auto& e : x) e = random() % 1000 ? T(e | 1) : T(0);  // odd: products do not die out
      each_result<T>(layout, reduced<ProductOf, Itself, T>(layout, x), x,
                     [](std::int64_t y, const std::vector<T>& elements) {
                       std::uint64_t product = 1;
                       for (T e : elements) product *= std::uint64_t(std::int64_t(e));
                       CHECK(y == std::int64_t(product));
                     });
    }
  }
}

TEST_CASE_TEMPLATE("floating products", T, float, double) {
  const unsigned seed = std::random_device{}();
  CAPTURE(seed);
  std::mt19937 random(seed);
  for (const auto& layout : test::reduction_layouts()) {
    if (layout.shape[1] > 2000 || (layout.shape[1] > 100 && layout.stride[1] == 0)) continue;  // out of range
    CAPTURE(layout.text());
    auto x = test::random_elements<T>(layout.size(), random);
    for (T& e : x) e = T(std::exp(0.05 * double(e)) * (random() % 2 ? 1 : -1));
    each_result<T>(layout, reduced<ProductOf, Itself, T>(layout, x), x, [](T y, const std::vector<T>& elements) {
      double product = 1;
      for (T e : elements) product *= double(e);
      const double unit = std::is_same_v<T, double> ? 1.2e-16 : 6e-8;
      CHECK(std::abs(double(y) - product) <= unit * double(elements.size()) * std::abs(product));
    });
  }
}

TEST_CASE("sums of sizes and of squares, rounded once") {
  const unsigned seed = std::random_device{}();
  CAPTURE(seed);
  std::mt19937 random(seed);
  for (const auto& layout :
       {test::dense_layout(3, 1100, 1), test::dense_layout(2, 50, 16), test::dense_layout(1, 9001, 1)}) {
    CAPTURE(layout.text());
    using T = ergo::half;
    const auto x = test::random_elements<T>(layout.size(), random);
    each_result<T>(layout, reduced<SumOf, Size, T>(layout, x), x, [](T y, const std::vector<T>& elements) {
      double sum = 0;
      for (T e : elements) sum += std::abs(double(e));
      CHECK(std::abs(double(y) - sum) <= 1e-6 * sum + rounding<T>(sum));
    });
    each_result<T>(layout, reduced<SumOf, Square, T>(layout, x), x, [](T y, const std::vector<T>& elements) {
      double sum = 0;
      for (T e : elements) sum += double(e) * double(e);
      CHECK(std::abs(double(y) - sum) <= 1e-6 * sum + rounding<T>(sum));
    });
  }
}

TEST_CASE("a result that is not aligned") {
  for (const auto& layout : {test::dense_layout(2, 50, 32), test::dense_layout(1, 3000, 16)}) {
    const std::vector<double> x(std::size_t(layout.size()), 1.0);
    for (double y : reduced<SumOf, Itself, double>(layout, x, 1, 1)) CHECK(y == double(layout.shape[1]));
  }
}

TEST_CASE("16-bit means do not overflow on the way, and infinities and NaN come through") {
  const auto layout = test::dense_layout(1, 5000, 1);
  std::vector<ergo::half> x(5000, ergo::half(60000.0f));
  CHECK(float(reduced<SumOf, Itself, ergo::half>(layout, x, 5000)[0]) == float(ergo::half(60000.0f)));
  CHECK(std::isinf(float(reduced<SumOf, Itself, ergo::half>(layout, x)[0])));
  std::vector<float> z(5000, 1.0f);
  z[4321] = INFINITY;
  CHECK(reduced<SumOf, Itself, float>(layout, z)[0] == INFINITY);
  z[77] = -INFINITY;
  CHECK(std::isnan(reduced<SumOf, Itself, float>(layout, z)[0]));
  z[77] = 0;
  z[4321] = NAN;
  CHECK(std::isnan(reduced<SumOf, Itself, float>(layout, z)[0]));
}

TEST_CASE("the error of long sums stays that of a tree") {
  const auto layout = test::dense_layout(1, 1 << 20, 1);
  CHECK(reduced<SumOf, Itself, float>(layout, std::vector<float>(1 << 20, 1.0f))[0] == float(1 << 20));
  const double tenth = double(0.1f) * (1 << 20);
  CHECK(std::abs(reduced<SumOf, Itself, float>(layout, std::vector<float>(1 << 20, 0.1f))[0] - tenth) <= 1e-6 * tenth);
  const auto column = test::dense_layout(1, 1 << 18, 4);
  for (float y : reduced<SumOf, Itself, float>(column, std::vector<float>(1 << 20, 0.1f)))
    CHECK(std::abs(double(y) - tenth / 4) <= 1e-6 * tenth / 4);
}

}  // namespace kernels_reduce_test
