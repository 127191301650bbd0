// label: simt
// layer_norm and rms_norm, their statistics and all gradients against sums in long double: rows on both sides of every
// bound, parts of several rows, groups, strides and offsets, large offsets of the data, constant rows, NaN.
#include <cmath>
#include <cstring>
#include <random>

#include <doctest/doctest.h>

#include "ergo/kernels/norm_vjp.cuh"
#include "support/device_array.hpp"

namespace kernels_norm_test {

using namespace ergo::cuda;
using test::DeviceArray;

template <class T>
double to_double(T x) {
  return double(ergo::Compute<T>(x));
}
template <class T>
constexpr double kTolerance = std::is_same_v<T, double>  ? 1e-13
                              : std::is_same_v<T, float> ? 2e-6
                                                         : 4.5e-3;

enum class Layout { dense, offset, wide, transposed };

// A (rows, cols) matrix on the device, laid out as it may be.
template <class T>
struct Matrix {
  std::int64_t rows, cols, first, stride[2];
  DeviceArray<T> memory;

  Matrix(std::int64_t r, std::int64_t c, Layout layout, const std::vector<T>& values)
      : rows(r),
        cols(c),
        first(layout == Layout::offset),
        stride{layout == Layout::transposed ? 1
               : layout == Layout::wide     ? c + 16
                                            : c,
               layout == Layout::transposed ? r : 1},
        memory(laid_out(values)) {}
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
  std::vector<T> laid_out(const std::vector<T>& values) const {
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

template <class T>
void check_all(const char* what, const std::vector<T>& got, const std::vector<double>& expected,
               const std::vector<double>& room) {
  REQUIRE(got.size() == expected.size());
  CAPTURE(std::string(what));
  std::size_t wrong = 0;
  for (std::size_t i = 0; i < got.size(); ++i) {
    const double is = to_double(got[i]);
    const bool fine = std::isnan(expected[i]) ? std::isnan(is) : std::abs(is - expected[i]) <= room[i];
    if (!fine && wrong++ == 0) {
      CAPTURE(i);
      CAPTURE(room[i]);
      CHECK(is == expected[i]);
    }
  }
  CHECK(wrong == 0);
}

// Forward and backward of groups of rows; `more`: room for what an offset of the data costs, in deviations.
template <class T, bool Centred = true>
void check_norm(std::mt19937& random, std::int64_t groups, std::int64_t rows, std::int64_t n, Layout layout,
                const std::vector<T>& x, double more = 0, double eps = 1e-5) {
  using A = ergo::Compute<T>;
  CAPTURE(groups);
  CAPTURE(rows);
  CAPTURE(n);
  CAPTURE(int(layout));
  CAPTURE(Centred);
  Stream& stream = current_stream(ergo::Device::cuda());
  const std::int64_t all = groups * rows;
  const auto g = random_values<T>(random, all * n, -1, 1), gamma = random_values<T>(random, groups * n, -1, 1),
             beta = random_values<T>(random, groups * n, -1, 1);
  const Matrix<T> mx(all, n, layout, x), mg(all, n, layout, g), y(all, n, layout, x), dx(all, n, layout, x);
  const Matrix<T> mgamma(groups, n, layout, gamma), mbeta(groups, n, layout, beta), dgamma(groups, n, layout, gamma),
      dbeta(groups, n, layout, beta);
  const DeviceArray<A> stats(std::size_t(all * kLayerNormStats));
  const DeviceArray<unsigned char> workspace(layer_norm_vjp_workspace<T>(groups, rows, n));
  const LayerNormVjpCall<T> call{mg.in(), mx.in(), stats.data(), mgamma.in(), dx.view(), dgamma.view(), dbeta.view()};
  if constexpr (Centred) {
    launch_layer_norm(stream, mx.in(), mgamma.in(), mbeta.in(), eps, y.view(), stats.data());
    launch_layer_norm_vjp(stream, call, workspace.data());
  } else {
    launch_rms_norm(stream, mx.in(), mgamma.in(), eps, y.view(), stats.data());
    launch_rms_norm_vjp(stream, call, workspace.data());
  }

  const double unit = kTolerance<T>;
  const auto size = std::size_t(all * n), columns = std::size_t(groups * n);
  std::vector<double> ey(size), ry(size), edx(size), rdx(size), edw(columns), rdw(columns), edb(columns), rdb(columns);
  const auto kept = stats.host();
  for (std::int64_t r = 0; r < all; ++r) {
    const auto at = [&](const std::vector<T>& v, std::int64_t c) {
      return (long double)(to_double(v[std::size_t(r * n + c)]));
    };
    const auto weight = [&](std::int64_t c) { return (long double)(to_double(gamma[std::size_t(r / rows * n + c)])); };
    long double mean = 0, variance = 0, level = 0, slope = 0, sizes = 0;
    for (std::int64_t c = 0; c < n; ++c) mean += Centred ? at(x, c) / (long double)(n) : 0;
    for (std::int64_t c = 0; c < n; ++c) variance += (at(x, c) - mean) * (at(x, c) - mean) / (long double)(n);
    const long double scale = 1 / std::sqrt(variance + (long double)(eps));
    const auto normal = [&](std::int64_t c) { return (at(x, c) - mean) * scale; };
    for (std::int64_t c = 0; c < n; ++c) {
      if (Centred) level += at(g, c) * weight(c) / (long double)(n);
      slope += at(g, c) * weight(c) * normal(c) / (long double)(n);
      sizes += std::abs(at(g, c) * weight(c)) * (1 + std::abs(normal(c))) / (long double)(n);
    }
    CHECK(std::abs(double(kept[std::size_t(3 * r + 2)]) / double(scale) - 1) <= 1e3 * unit + more);
    for (std::int64_t c = 0; c < n; ++c) {
      const auto i = std::size_t(r * n + c), k = std::size_t(r / rows * n + c);
      const double z = double(normal(c)), b = Centred ? to_double(beta[k]) : 0, w = double(weight(c)),
                   gc = double(at(g, c));
      ey[i] = z * w + b;
      ry[i] = (unit * (1 + std::abs(z)) + more) * std::abs(w) + unit * std::abs(ey[i]) + unit * std::abs(b);
      edx[i] = double((gc * w - level - z * slope) * scale);
      rdx[i] = unit * std::abs(edx[i]) + (unit + more) * double((std::abs(gc * w) + sizes) * (1 + std::abs(z)) * scale);
      edw[k] += gc * z;
      rdw[k] += (unit + more) * std::abs(gc) * (1 + std::abs(z));
      edb[k] += gc;
      rdb[k] += unit * std::abs(gc);
    }
  }
  for (std::size_t k = 0; k < columns; ++k) {
    rdw[k] += unit * std::abs(edw[k]);
    rdb[k] += unit * std::abs(edb[k]);
  }
  check_all("y", y.values(), ey, ry);
  check_all("dx", dx.values(), edx, rdx);
  check_all("dgamma", dgamma.values(), edw, rdw);
  if (Centred)
    check_all("dbeta", dbeta.values(), edb, rdb);
  else
    CHECK(std::memcmp(dbeta.values().data(), beta.data(), beta.size() * sizeof(T)) == 0);  // nobody wrote there
}

TEST_CASE_TEMPLATE("rows of every length, in parts and groups", T, float, double, ergo::bfloat16) {
  const unsigned seed = std::random_device{}();
  CAPTURE(seed);
  std::mt19937 random(seed);
  int layout = int(random() % 4);
  struct Size {
    std::int64_t groups, rows, n;
  };
  for (const Size s : {Size{1, 1, 1},
                       {1, 70, 5},
                       {2, 129, 8},
                       {1, 33, 64},
                       {3, 17, 65},
                       {1, 40, 128},
                       {1, 35, 256},
                       {1, 20, 257},
                       {2, 9, 768},
                       {1, 9, 1024},
                       {1, 9, 1025},
                       {1, 3, 4096},
                       {1, 2, 4104},
                       {1, 2, 8192},
                       {2, 2, 8193},
                       {1, 3, 9000}})
    for (int k = 0; k < (s.n < 1000 ? 2 : 1); ++k)
      check_norm(random, s.groups, s.rows, s.n, Layout(layout++ % 4),
                 random_values<T>(random, s.groups * s.rows * s.n, -2, 3));
  // A part of several long rows.
  if constexpr (std::is_same_v<T, double>)
    check_norm(random, 1, 257, 2056, Layout::dense, random_values<T>(random, 257 * 2056, -2, 3));
}

// How rows of 16 bits come and go is the same for both norms.
TEST_CASE_TEMPLATE("rms_norm: rows of every length, in parts and groups", T, float, double) {
  const unsigned seed = std::random_device{}();
  CAPTURE(seed);
  std::mt19937 random(seed);
  int layout = int(random() % 4);
  struct Size {
    std::int64_t groups, rows, n;
  };
  for (const Size s : {Size{1, 1, 1},
                       {1, 70, 5},
                       {2, 129, 8},
                       {1, 33, 64},
                       {3, 17, 65},
                       {1, 35, 256},
                       {1, 20, 257},
                       {1, 9, 1024},
                       {1, 9, 1025},
                       {1, 2, 4104},
                       {1, 2, 8192},
                       {2, 2, 8193}})
    for (int k = 0; k < (s.n < 1000 ? 2 : 1); ++k)
      check_norm<T, false>(random, s.groups, s.rows, s.n, Layout(layout++ % 4),
                           random_values<T>(random, s.groups * s.rows * s.n, -2, 3));
  check_norm<T, false>(random, 1, 3, 300, Layout::dense, std::vector<T>(900, T(0)));
  if constexpr (std::is_same_v<T, double>)
    check_norm<T, false>(random, 1, 257, 2056, Layout::dense, random_values<T>(random, 257 * 2056, -2, 3));
}

TEST_CASE("an offset of the data") {
  const unsigned seed = std::random_device{}();
  CAPTURE(seed);
  std::mt19937 random(seed);
  for (std::int64_t n : {60, 250, 1000, 3000, 9000})
    for (double offset : {1e4, -1e4}) {
      // To the deviation of 2 / sqrt(12) a thread's own mean adds half a unit of the last place of 1e4 at most.
      check_norm<float>(random, 1, 3, n, Layout::dense, random_values<float>(random, 3 * n, offset - 1, offset + 1),
                        n > 8192 ? 1e-3 : 1e-5);
      check_norm<double>(random, 1, 2, n, Layout::dense, random_values<double>(random, 2 * n, offset - 1, offset + 1),
                         n > 8192 ? 2e-12 : 2e-13);
    }
}

TEST_CASE_TEMPLATE("constant rows give beta, a NaN spoils its row alone", T, float, double) {
  Stream& stream = current_stream(ergo::Device::cuda());
  std::mt19937 random(3);
  for (std::int64_t n : {1, 9, 100, 700, 1500, 8300}) {
    std::vector<T> x(std::size_t(3 * n), T(0.1));
    x[std::size_t(n)] = T(NAN);
    const auto gamma = random_values<T>(random, n, 1, 2), beta = random_values<T>(random, n, -2, 2);
    const Matrix<T> in(3, n, Layout::dense, x), out(3, n, Layout::dense, x), w(1, n, Layout::dense, gamma),
        b(1, n, Layout::dense, beta);
    const DeviceArray<T> stats(std::size_t(3 * kLayerNormStats));
    launch_layer_norm(stream, in.in(), w.in(), b.in(), 1e-5, out.view(), stats.data());
    const auto y = out.values();
    for (std::int64_t c = 0; c < n; ++c) {
      CHECK(std::isnan(y[std::size_t(n + c)]));
      for (std::int64_t r : {0, 2})
        CHECK(std::abs(y[std::size_t(r * n + c)] - beta[std::size_t(c)]) <= 1e-4 * (sizeof(T) == 4 ? 1 : 1e-8));
    }
  }
}

TEST_CASE("nothing to do, and gradients over no rows") {
  Stream& stream = current_stream(ergo::Device::cuda());
  const DeviceArray<float> none(0), w(std::vector<float>{1, 2, 3}), dw(std::vector<float>{7, 7, 7}),
      db(std::vector<float>{7, 7, 7});
  const View<float, 2> empty = row_major(none.data(), {0, 3});
  launch_layer_norm<float>(stream, empty, row_major(w.data(), {1, 3}), row_major(w.data(), {1, 3}), 1e-5, empty,
                           nullptr);
  launch_layer_norm_vjp<float>(stream,
                               {empty, empty, none.data(), row_major(w.data(), {1, 3}), empty,
                                row_major(dw.data(), {1, 3}), row_major(db.data(), {1, 3})},
                               nullptr);
  CHECK(dw.host() == std::vector<float>(3, 0));
  CHECK(db.host() == std::vector<float>(3, 0));
  const View<float, 2> narrow_rows = row_major(none.data(), {4, 0}), no_weights = row_major(none.data(), {1, 0});
  launch_layer_norm<float>(stream, narrow_rows, no_weights, no_weights, 1e-5, narrow_rows, nullptr);
  launch_layer_norm_vjp<float>(
      stream, {narrow_rows, narrow_rows, none.data(), no_weights, narrow_rows, no_weights, no_weights}, nullptr);
  launch_rms_norm<float>(stream, empty, row_major(w.data(), {1, 3}), 1e-5, empty, nullptr);
}

}  // namespace kernels_norm_test
