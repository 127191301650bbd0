// label: simt
// Kernels of average pools and interpolation, forward and backward, against scalar loops in double: windows that
// overlap, lie apart or end outside, ratios of all kinds, layouts, types, positions in 64 bits.
#include <algorithm>
#include <cmath>
#include <functional>
#include <limits>
#include <random>

#include <doctest/doctest.h>

#include "ergo/kernels/resample.cuh"
#include "support/device_array.hpp"
#include "support/seed.hpp"

namespace kernels_resample_test {

using namespace ergo::cuda;
using ergo::half;
using test::DeviceArray;

Stream& stream() { return current_stream(ergo::Device::cuda()); }

template <class T>
using Wide = std::conditional_t<sizeof(T) == 2, float, T>;
template <class T>
std::vector<T> numbers(std::mt19937& random, std::int64_t n) {
  std::vector<T> x(static_cast<std::size_t>(n));
  for (T& v : x) v = T(float(int(random() % 201) - 100) / 64);
  return x;
}

// The matrix of an axis, result by element, from its definition.
std::vector<double> matrix(Resampling kind, const ResampleAxis& a) {
  std::vector<double> m(static_cast<std::size_t>(a.in * a.out));
  for (std::int64_t o = 0; o < a.out; ++o) {
    const auto add = [&](std::int64_t i, long double w) {
      m[std::size_t(o * a.in + std::clamp<std::int64_t>(i, 0, a.in - 1))] += double(w);
    };
    const long double at = (o + 0.5L) * a.in / a.out - 0.5L, floor = std::floor(at), t = at - floor;
    const auto q = std::int64_t(floor);
    if (kind == Resampling::windows) {
      std::int64_t count = 0;
      for (std::int64_t k = 0; k < a.kernel; ++k) {
        const std::int64_t i = o * a.stride - a.before + k;
        count += a.count_padding ? i < a.in + a.after : i >= 0 && i < a.in;
      }
      for (std::int64_t k = 0; k < a.kernel; ++k)
        if (const std::int64_t i = o * a.stride - a.before + k; i >= 0 && i < a.in) add(i, 1.0L / double(count));
    } else if (kind == Resampling::adaptive) {
      const std::int64_t first = o * a.in / a.out, end = ((o + 1) * a.in + a.out - 1) / a.out;
      for (std::int64_t i = first; i < end; ++i) add(i, 1.0L / double(end - first));
    } else if (kind == Resampling::nearest) {
      add((2 * o + 1) * a.in / (2 * a.out), 1);
    } else if (kind == Resampling::linear) {
      add(q, 1 - t);
      add(q + 1, t);
    } else {
      for (int k = -1; k <= 2; ++k) {
        const long double d = std::abs(t - k);
        add(q + k, d <= 1 ? 1.25 * d * d * d - 2.25 * d * d + 1 : -0.75 * (d * d * d - 5 * d * d + 8 * d - 4));
      }
    }
  }
  return m;
}

struct Layout {
  std::int64_t offset = 0, gap = 0;  // elements before the first, and after each pixel's channels
  bool channels_first = false;       // in memory
};
template <class T>
View<T, 4> laid_out(T* data, std::int64_t n, std::int64_t h, std::int64_t w, std::int64_t c, const Layout& l) {
  if (l.channels_first) return {data + l.offset, {n, h, w, c}, {c * h * w, w, 1, h * w}};
  const std::int64_t pixel = c + l.gap;
  return {data + l.offset, {n, h, w, c}, {h * w * pixel, w * pixel, pixel, 1}};
}

template <class T>
using Launch = std::function<void(const View<T, 4>&, const View<T, 4>&)>;
template <class T>
void check_against(std::int64_t n, std::int64_t c, std::int64_t from_h, std::int64_t from_w, std::int64_t to_h,
                   std::int64_t to_w, const std::vector<double>& a, const std::vector<double>& b, bool transposed,
                   const Layout& l, const Launch<T>& launch_it) {
  const std::uint64_t seed = test_seed();
  CAPTURE(seed);
  std::mt19937 random{unsigned(seed)};
  const std::int64_t pixel = c + l.gap;
  const auto x = numbers<T>(random, l.offset + n * from_h * from_w * pixel);
  const auto old = numbers<T>(random, l.offset + n * to_h * to_w * pixel);
  const DeviceArray<T> x_on(x), y_on(old);
  launch_it(laid_out<T>(x_on.data(), n, from_h, from_w, c, l), laid_out<T>(y_on.data(), n, to_h, to_w, c, l));
  auto y = y_on.host();
  const auto in = laid_out(x.data(), n, from_h, from_w, c, l);
  const auto out = laid_out(y.data(), n, to_h, to_w, c, l);
  const double eps = sizeof(T) == 2 ? 6e-4 : sizeof(T) == 4 ? 1e-6 : 2e-15;
  std::int64_t wrong = 0;
  for (std::int64_t k = 0; k < n; ++k)
    for (std::int64_t i = 0; i < to_h; ++i)
      for (std::int64_t j = 0; j < to_w; ++j)
        for (std::int64_t v = 0; v < c; ++v) {
          double sum = 0, size = 1e-3;
          for (std::int64_t p = 0; p < from_h; ++p)
            for (std::int64_t q = 0; q < from_w; ++q) {
              const double down = transposed ? a[std::size_t(p * to_h + i)] : a[std::size_t(i * from_h + p)];
              const double beside = transposed ? b[std::size_t(q * to_w + j)] : b[std::size_t(j * from_w + q)];
              const double term = down * beside * double(Wide<T>(in(k, p, q, v)));
              sum += term;
              size += std::abs(term);
            }
          wrong += !(std::abs(double(Wide<T>(out(k, i, j, v))) - sum) <= eps * size);
          out(k, i, j, v) = old[std::size_t(&out(k, i, j, v) - y.data())];
        }
  CHECK(wrong == 0);
  const auto same = [](const T& s, const T& t) { return Wide<T>(s) == Wide<T>(t); };
  CHECK(std::equal(y.begin(), y.end(), old.begin(), same));  // gaps keep what was there before
}
template <Resampling Kind, class T>
void check(std::int64_t n, std::int64_t c, const ResampleAxis& h, const ResampleAxis& w, const Layout& l = {}) {
  CAPTURE(int(Kind));
  CAPTURE(c);
  CAPTURE(h.in);
  CAPTURE(h.out);
  CAPTURE(w.in);
  CAPTURE(w.out);
  const auto a = matrix(Kind, h), b = matrix(Kind, w);
  check_against<T>(n, c, h.in, w.in, h.out, w.out, a, b, false, l, [&](const View<T, 4>& x, const View<T, 4>& y) {
    launch_resample<Kind, T>(stream(), "test", x, y, h, w);
  });
  check_against<T>(n, c, h.out, w.out, h.in, w.in, a, b, true, l, [&](const View<T, 4>& g, const View<T, 4>& dx) {
    launch_resample_backward<Kind, T>(stream(), "test", g, dx, h, w);
  });
}
// Of what averages and of what interpolates one has every T; another kind differs from it in its weights alone.
template <class T>
void check_sizes(std::int64_t n, std::int64_t c, const ResampleAxis& h, const ResampleAxis& w, const Layout& l = {}) {
  check<Resampling::linear, T>(n, c, h, w, l);
  if constexpr (sizeof(T) != 2) check<Resampling::cubic, T>(n, c, h, w, l);
  if constexpr (std::is_same_v<T, float>) {
    check<Resampling::adaptive, T>(n, c, h, w, l);
    check<Resampling::nearest, T>(n, c, h, w, l);
  }
}

TEST_CASE_TEMPLATE("windows apart, overlapping, ending outside", T, half, float, double) {
  for (const bool counts : {true, false})
    for (const std::int64_t c : {1, 3, 8, 24}) {
      check<Resampling::windows, T>(2, c, {8, 4, 2, 2, 0, 0, counts}, {6, 3, 2, 2, 0, 0, counts});
      check<Resampling::windows, T>(1, c, {9, 5, 3, 2, 1, 1, counts}, {7, 4, 3, 2, 1, 1, counts});
      check<Resampling::windows, T>(1, c, {11, 3, 2, 4, 0, 0, counts}, {10, 3, 3, 5, 1, 1, counts});
      check<Resampling::windows, T>(1, c, {6, 3, 3, 2, 0, 0, counts}, {8, 3, 3, 3, 1, 0, counts});  // in ceil mode
      check<Resampling::windows, T>(1, c, {4, 5, 4, 1, 2, 2, counts}, {5, 5, 4, 1, 1, 2, counts});
    }
}
TEST_CASE_TEMPLATE("larger, smaller, by whole factors and others", T, half, float, double) {
  for (const std::int64_t c : {1, 3, 8, 24}) {
    check_sizes<T>(2, c, {4, 8}, {3, 9});
    check_sizes<T>(1, c, {3, 5}, {5, 3});
    check_sizes<T>(1, c, {9, 2}, {11, 4});
    check_sizes<T>(1, c, {1, 7}, {6, 1});
    check_sizes<T>(1, c, {5, 5}, {2, 17});
  }
}
TEST_CASE_TEMPLATE("gaps, alignment and channels first", T, half, float, double) {
  for (const std::int64_t offset : {0, 1, 8})
    for (const std::int64_t gap : {0, 1, 8}) {
      const Layout l{offset, gap};
      check<Resampling::windows, T>(2, 16, {7, 4, 3, 2, 1, 1}, {6, 3, 3, 2, 1, 1}, l);
      check_sizes<T>(2, 16, {4, 7}, {5, 3}, l);
    }
  check<Resampling::windows, T>(2, 8, {7, 4, 3, 2, 1, 1}, {6, 3, 3, 2, 1, 1}, {0, 0, true});
  check_sizes<T>(2, 8, {4, 7}, {5, 3}, {0, 0, true});
}
TEST_CASE("more positions than a block, long rows of channels, long axes") {
  check_sizes<float>(1, 3, {20, 40}, {15, 30});
  check_sizes<float>(1, 1200, {2, 3}, {3, 2});
  check_sizes<float>(1, 1, {1, 1}, {16390, 3});  // divisors of 64 bits
  check_sizes<float>(1, 1, {1, 1}, {3, 16390});
  check<Resampling::windows, float>(1, 1, {1, 1}, {16390, 3, 9000, 3695, 0, 0});
}
TEST_CASE("no images, no channels") {
  check_sizes<float>(0, 3, {4, 8}, {3, 9});
  check_sizes<float>(2, 0, {4, 8}, {3, 9});
}
TEST_CASE("an image shared by the batch: an axis of stride 0") {
  const DeviceArray<float> x(std::vector<float>{1, 3}), y(4);
  const View<float, 4> shared{x.data(), {2, 1, 2, 1}, {0, 2, 1, 1}};
  launch_resample<Resampling::nearest, float>(stream(), "test", shared, row_major(y.data(), {2, 1, 2, 1}), {1, 1},
                                              {2, 2});
  CHECK(y.host() == std::vector<float>{1, 3, 1, 3});
}
TEST_CASE("a result at an element's centre reads no other, and -0 stays") {
  const float inf = std::numeric_limits<float>::infinity(), nan = std::numeric_limits<float>::quiet_NaN();
  const DeviceArray<float> x(std::vector<float>{inf, -0.0f, nan}), y(3), dx(3);
  const auto from = row_major(x.data(), {1, 1, 3, 1}), to = row_major(y.data(), {1, 1, 3, 1}),
             back = row_major(dx.data(), {1, 1, 3, 1});
  const auto is_x = [&](const std::vector<float>& v) {
    CHECK(v[0] == inf);
    CHECK(v[1] == 0);
    CHECK(std::isnan(v[2]));
  };
  launch_resample<Resampling::linear, float>(stream(), "test", from, to, {1, 1}, {3, 3});
  is_x(y.host());
  CHECK(std::signbit(y.host()[1]));
  launch_resample<Resampling::cubic, float>(stream(), "test", from, to, {1, 1}, {3, 3});
  is_x(y.host());
  CHECK(std::signbit(y.host()[1]));
  launch_resample_backward<Resampling::linear, float>(stream(), "test", from, back, {1, 1}, {3, 3});
  is_x(dx.host());
  launch_resample_backward<Resampling::cubic, float>(stream(), "test", from, back, {1, 1}, {3, 3});
  is_x(dx.host());
}

}  // namespace kernels_resample_test
