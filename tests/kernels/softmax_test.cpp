// label: simt
// softmax, log_softmax, logsumexp and their vjps against sums in long double: every class of row length on both sides
// of its bounds, packs, strides and offsets, NaN and infinities.
#include <cmath>
#include <limits>
#include <random>

#include <doctest/doctest.h>

#include "ergo/kernels/softmax.cuh"
#include "support/device_array.hpp"

namespace kernels_softmax_test {

using namespace ergo::cuda;
using test::DeviceArray;

constexpr double kInfinity = std::numeric_limits<double>::infinity();

template <class T>
double to_double(T x) {
  return double(ergo::Compute<T>(x));
}
// Relative to 1, of the type's last place and what sums and fast_exp add.
template <class T>
constexpr double kTolerance = std::is_same_v<T, double>  ? 1e-13
                              : std::is_same_v<T, float> ? 1e-6
                                                         : 5e-4;

// How a (rows, cols) matrix lies in memory.
enum class Layout { dense, offset, wide, transposed };
constexpr Layout kLayouts[] = {Layout::dense, Layout::offset, Layout::wide, Layout::transposed};

template <class T>
struct Matrix {
  std::int64_t rows, cols, first = 0, stride[2];
  DeviceArray<T> memory;

  Matrix(std::int64_t r, std::int64_t c, Layout layout, const std::vector<T>& values)
      : rows(r), cols(c), first(layout == Layout::offset), stride{}, memory(laid_out(layout, values)) {}

  View<T, 2> view() const { return {memory.data() + first, {rows, cols}, {stride[0], stride[1]}}; }
  View<const T, 2> in() const { return view(); }
  std::vector<T> values() const {
    const auto all = memory.host();
    std::vector<T> x;
    for (std::int64_t r = 0; r < rows; ++r)
      for (std::int64_t c = 0; c < cols; ++c) x.push_back(all[std::size_t(first + r * stride[0] + c * stride[1])]);
    return x;
  }

 private:
  std::vector<T> laid_out(Layout layout, const std::vector<T>& values) {
    stride[0] = layout == Layout::transposed ? 1 : layout == Layout::wide ? cols + 16 : cols;
    stride[1] = layout == Layout::transposed ? rows : 1;
    std::vector<T> all(std::size_t(first + (rows > 0 ? (rows - 1) * stride[0] + (cols - 1) * stride[1] + 1 : 0)), T(7));
    for (std::int64_t r = 0; r < rows; ++r)
      for (std::int64_t c = 0; c < cols; ++c)
        all[std::size_t(first + r * stride[0] + c * stride[1])] = values[std::size_t(r * cols + c)];
    return all;
  }
};

template <class T>
std::vector<T> random_values(std::mt19937& random, std::int64_t n, double low, double high) {
  std::uniform_real_distribution<double> uniform(low, high);
  std::vector<T> x;
  for (std::int64_t i = 0; i < n; ++i) x.push_back(T(uniform(random)));
  return x;
}

// What the corners mean, spelled out.
struct RowFigures {
  long double top = -kInfinity, sum = 0;
  bool nan = false;
};
template <class T>
RowFigures figures_of(const T* x, std::int64_t n) {
  RowFigures f;
  for (std::int64_t i = 0; i < n; ++i) {
    const long double v = to_double(x[i]);
    if (std::isnan(v)) f.nan = true;
    if (v > f.top) f.top = v;
  }
  for (std::int64_t i = 0; i < n; ++i) {
    const long double v = to_double(x[i]);
    f.sum += v == f.top ? 1 : std::exp(v - f.top);
  }
  return f;
}
double share(const RowFigures& f, double x, bool empty_is_zero) {
  if (f.nan) return NAN;
  if (f.top == -kInfinity) return empty_is_zero ? 0 : NAN;
  return double((x == f.top ? 1 : std::exp(x - f.top)) / f.sum);
}
double log_share(const RowFigures& f, double x, bool empty_is_zero) {
  if (f.nan) return NAN;
  if (f.top == -kInfinity) return empty_is_zero ? -kInfinity : NAN;
  return double((x == f.top ? 0 : x - f.top) - std::log(f.sum));
}

bool near(double got, double expected, double tolerance) {
  if (std::isnan(expected)) return std::isnan(got);
  if (std::isinf(expected)) return got == expected;
  return std::abs(got - expected) <= tolerance;
}
template <class T>
void check_all(const std::vector<T>& got, const std::vector<double>& expected, const std::vector<double>& scale) {
  REQUIRE(got.size() == expected.size());
  std::size_t wrong = 0;
  for (std::size_t i = 0; i < got.size(); ++i) {
    const double room = kTolerance<T> * scale[i] + to_double(std::numeric_limits<float>::denorm_min());
    // A result below half's normal numbers has an absolute error of half its last place.
    const double step = std::is_same_v<T, ergo::half> ? 0x1p-25 * 1.01 : 0;
    if (!near(to_double(got[i]), expected[i], room + step) && wrong++ == 0) {
      CAPTURE(i);
      CHECK(to_double(got[i]) == expected[i]);
    }
  }
  CHECK(wrong == 0);
}

// Everything on one matrix.
template <class T>
void check_matrix(std::mt19937& random, std::int64_t rows, std::int64_t cols, Layout layout, const std::vector<T>& x) {
  CAPTURE(rows);
  CAPTURE(cols);
  CAPTURE(int(layout));
  Stream& stream = current_stream(ergo::Device::cuda());
  const DeviceArray<unsigned char> workspace(softmax_workspace<T>(rows, cols));
  const Matrix<T> in(rows, cols, layout, x), out(rows, cols, layout, x);
  const auto n = std::size_t(rows * cols);
  std::vector<RowFigures> figures;
  for (std::int64_t r = 0; r < rows; ++r) figures.push_back(figures_of(x.data() + r * cols, cols));
  const auto row = [&](std::size_t i) { return std::size_t(std::int64_t(i) / cols); };
  const bool zero = cols % 2 == 0;  // what a row of -infinity gives
  std::vector<double> expected(n), scale(n);

  launch_softmax(stream, in.in(), out.view(), zero, workspace.data());
  for (std::size_t i = 0; i < n; ++i) {
    const double v = to_double(x[i]);
    expected[i] = share(figures[row(i)], v, zero);
    const double below = double(figures[row(i)].top) - v;
    scale[i] = expected[i] * (1 + (below < 100 ? below : 0) / 8);
  }
  const auto y = out.values();
  check_all(y, expected, scale);

  std::vector<T> g = random_values<T>(random, std::int64_t(n), -1, 1);
  const Matrix<T> cotangent(rows, cols, layout, g), dx(rows, cols, layout, x);
  launch_softmax_vjp(stream, cotangent.in(), out.in(), dx.view(), workspace.data());
  for (std::int64_t r = 0; r < rows; ++r) {
    long double sum = 0, size = 0;
    for (std::int64_t c = 0; c < cols; ++c) {
      const auto i = std::size_t(r * cols + c);
      sum += (long double)(to_double(g[i])) * to_double(y[i]);
      size += std::abs(to_double(g[i]) * to_double(y[i]));
    }
    for (std::int64_t c = 0; c < cols; ++c) {
      const auto i = std::size_t(r * cols + c);
      expected[i] = double(to_double(y[i]) * (to_double(g[i]) - sum));
      scale[i] = double(to_double(y[i]) * (std::abs(to_double(g[i])) + size));
    }
  }
  check_all(dx.values(), expected, scale);

  launch_log_softmax(stream, in.in(), out.view(), zero, workspace.data());
  for (std::size_t i = 0; i < n; ++i) {
    expected[i] = log_share(figures[row(i)], to_double(x[i]), zero);
    scale[i] = 1 + std::abs(expected[i]);
  }
  const auto log_y = out.values();
  check_all(log_y, expected, scale);

  launch_log_softmax_vjp(stream, cotangent.in(), out.in(), dx.view(), workspace.data());
  for (std::int64_t r = 0; r < rows; ++r) {
    long double sum = 0, size = 0;
    for (std::int64_t c = 0; c < cols; ++c) {
      sum += to_double(g[std::size_t(r * cols + c)]);
      size += std::abs(to_double(g[std::size_t(r * cols + c)]));
    }
    for (std::int64_t c = 0; c < cols; ++c) {
      const auto i = std::size_t(r * cols + c);
      const double e = std::exp(to_double(log_y[i])), below = -to_double(log_y[i]);
      expected[i] = double(to_double(g[i]) - e * sum);
      scale[i] = double(std::abs(to_double(g[i])) + e * size * (1 + (below < 100 ? below : 0) / 8));
    }
  }
  check_all(dx.values(), expected, scale);

  const DeviceArray<T> lse(std::vector<T>(std::size_t(2 * rows), T(7)));  // every other word is a result
  launch_logsumexp<T>(stream, in.in(), {lse.data(), {rows}, {2}}, workspace.data());
  const auto all = lse.host();
  for (std::int64_t r = 0; r < rows; ++r) {
    const RowFigures& f = figures[std::size_t(r)];
    const double value = f.nan ? NAN : double(f.top == -kInfinity ? f.top : f.top + std::log(f.sum));
    CHECK(near(to_double(all[std::size_t(2 * r)]), value, kTolerance<T> * (1 + std::abs(value))));
  }

  const std::vector<T> of_rows = random_values<T>(random, rows, -2, 2);
  const DeviceArray<T> row_g(of_rows);
  launch_logsumexp_vjp<T>(stream, {row_g.data(), {rows}, {1}}, in.in(), dx.view(), workspace.data());
  for (std::size_t i = 0; i < n; ++i) {
    const double v = to_double(x[i]), gr = to_double(of_rows[row(i)]);
    expected[i] = gr * share(figures[row(i)], v, true);
    const double below = double(figures[row(i)].top) - v;
    scale[i] = std::abs(expected[i]) * (1 + (below < 100 ? below : 0) / 8);
  }
  check_all(dx.values(), expected, scale);
}

TEST_CASE_TEMPLATE("rows of every length and layout", T, float, double, ergo::half) {
  const unsigned seed = std::random_device{}();
  CAPTURE(seed);
  std::mt19937 random(seed);
  int layout = int(random() % 4);
  for (const auto& [rows, cols] : std::vector<std::pair<std::int64_t, std::int64_t>>{{1, 1},
                                                                                     {17, 3},
                                                                                     {33, 10},
                                                                                     {5, 63},
                                                                                     {16, 64},
                                                                                     {3, 65},
                                                                                     {9, 128},
                                                                                     {4, 256},
                                                                                     {5, 257},
                                                                                     {2, 1000},
                                                                                     {3, 1024},
                                                                                     {2, 1025},
                                                                                     {2, 2056},
                                                                                     {1, 8192},
                                                                                     {2, 8193},
                                                                                     {1, 9000}}) {
    for (int k = 0; k < (cols < 1000 ? 4 : cols < 8192 ? 2 : 1); ++k)
      check_matrix(random, rows, cols, kLayouts[std::size_t(layout++ % 4)],
                   random_values<T>(random, rows * cols, -8, 8));
  }
  // Rows of several chunks, in packs and not.
  if constexpr (sizeof(T) == 2)
    check_matrix(random, 1, kRowChunk + 8, Layout::dense, random_values<T>(random, kRowChunk + 8, -8, 8));
  else
    check_matrix(random, 2, kRowChunk + 8, Layout::dense, random_values<T>(random, 2 * (kRowChunk + 8), -8, 8));
  if constexpr (sizeof(T) != 2)
    check_matrix(random, 1, 2 * kRowChunk + 3, Layout::dense, random_values<T>(random, 2 * kRowChunk + 3, -8, 8));
}

TEST_CASE_TEMPLATE("rows far from zero, of a wide range, and equal ones", T, float, double) {
  const unsigned seed = std::random_device{}();
  CAPTURE(seed);
  std::mt19937 random(seed);
  for (std::int64_t cols : {24, 200, 900, 1100, 9000}) {
    check_matrix(random, 2, cols, Layout::dense, random_values<T>(random, 2 * cols, -90, 0));
    check_matrix(random, 1, cols, Layout::offset, std::vector<T>(std::size_t(cols), T(3)));
    for (double offset : {1e4, -1e4}) {  // each result repeats that of the row without offset, in whole numbers
      auto x = random_values<T>(random, cols, -8, 8);
      for (T& v : x) v = T(std::round(v) + offset);
      const Matrix<T> in(1, cols, Layout::dense, x), out(1, cols, Layout::dense, x);
      for (T& v : x) v = T(v - offset);
      const Matrix<T> near_zero(1, cols, Layout::dense, x), same(1, cols, Layout::dense, x);
      Stream& stream = current_stream(ergo::Device::cuda());
      launch_softmax(stream, in.in(), out.view(), false, nullptr);
      launch_softmax(stream, near_zero.in(), same.view(), false, nullptr);
      CHECK(out.values() == same.values());
      launch_log_softmax(stream, in.in(), out.view(), false, nullptr);
      launch_log_softmax(stream, near_zero.in(), same.view(), false, nullptr);
      CHECK(out.values() == same.values());
      const DeviceArray<T> g(std::vector<T>{T(1)});
      launch_logsumexp_vjp<T>(stream, {g.data(), {1}, {1}}, in.in(), out.view(), nullptr);
      launch_logsumexp_vjp<T>(stream, {g.data(), {1}, {1}}, near_zero.in(), same.view(), nullptr);
      CHECK(out.values() == same.values());
    }
  }
}

TEST_CASE_TEMPLATE("NaN and infinities", T, float, double, ergo::half) {
  const unsigned seed = std::random_device{}();
  CAPTURE(seed);
  std::mt19937 random(seed);
  const T inf = T(kInfinity), minus = T(-kInfinity), nan = T(double(NAN));
  for (std::int64_t cols : {7, 8, 100, 800, 1504, 8200, 65600}) {
    if (sizeof(T) != 4 && cols > 9000) continue;
    const std::int64_t rows = 9;
    auto x = random_values<T>(random, rows * cols, -4, 4);
    const auto at = [&](std::int64_t r) { return x.begin() + r * cols; };
    const auto some = [&] { return std::int64_t(random() % std::uint64_t(cols)); };
    const auto whole = [&](std::int64_t r, T v) { std::fill(at(r), at(r + 1), v); };
    at(0)[some()] = nan;
    at(1)[some()] = minus;
    whole(2, minus);
    at(3)[some()] = inf;
    at(4)[0] = at(4)[cols - 1] = inf;
    at(4)[2] = minus;
    at(5)[cols - 1] = inf;
    at(5)[0] = nan;
    whole(6, minus);
    at(6)[some()] = nan;
    whole(7, inf);
    whole(8, minus);
    at(8)[some()] = T(1);
    check_matrix(random, rows, cols, Layout::dense, x);
  }
}

TEST_CASE("nothing to do") {
  Stream& stream = current_stream(ergo::Device::cuda());
  const DeviceArray<float> none(0), y(2);
  launch_softmax<float>(stream, row_major(none.data(), {0, 5}), row_major(none.data(), {0, 5}), false, nullptr);
  launch_softmax<float>(stream, row_major(none.data(), {5, 0}), row_major(none.data(), {5, 0}), false, nullptr);
  launch_softmax_vjp<float>(stream, row_major(none.data(), {5, 0}), row_major(none.data(), {5, 0}),
                            row_major(none.data(), {5, 0}), nullptr);
  launch_logsumexp<float>(stream, row_major(none.data(), {2, 0}), row_major(y.data(), {2}), nullptr);
  CHECK(y.host() == std::vector<float>(2, -INFINITY));
  CHECK(softmax_workspace<float>(100, kRowChunk) == 0);
  CHECK(softmax_workspace<double>(3, kRowChunk + 1) == 3 * 2 * 2 * sizeof(double));
}

}  // namespace kernels_softmax_test
