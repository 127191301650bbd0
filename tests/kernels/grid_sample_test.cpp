// label: simt
// Kernels of grid_sample and of its gradients, against scalar loops in double: all modes and paddings, places inside,
// outside and at edges, layouts, packs and single channels, positions in 64 bits.
#include <algorithm>
#include <cmath>
#include <limits>
#include <random>

#include <doctest/doctest.h>

#include "ergo/kernels/grid_sample.cuh"
#include "support/device_array.hpp"
#include "support/seed.hpp"

namespace kernels_grid_sample_test {

using namespace ergo::cuda;
using ergo::GridMode;
using ergo::GridPadding;
using test::DeviceArray;

Stream& stream() { return current_stream(ergo::Device::cuda()); }

template <class T>
std::vector<T> numbers(std::mt19937& random, std::int64_t n) {
  std::vector<T> x(static_cast<std::size_t>(n));
  for (T& v : x) v = T(int(random() % 201) - 100) / 64;
  return x;
}

// What pixel i of n counts for at a coordinate, and that weight's derivative, from the definition.
struct Share {
  double weight, slope;
};
Share share(const GridRule& rule, std::int64_t n, double coordinate, std::int64_t i) {
  double p = ((coordinate + 1) * double(n) - 1) / 2, slope = double(n) / 2;
  if (rule.padding == GridPadding::reflection)
    while (p < -0.5 || p >= double(n) - 0.5) {
      p = p < -0.5 ? -1 - p : 2 * double(n) - 1 - p;
      slope = -slope;
    }
  if (rule.padding != GridPadding::zeros && (p < 0 || p > double(n - 1))) {
    p = p < 0 ? 0 : double(n - 1);
    slope = 0;
  }
  if (rule.mode == GridMode::nearest) return {double(std::nearbyint(p) == double(i)), 0};
  const double cell = std::floor(p);
  if (double(i) == cell) return {1 - (p - cell), -slope};
  if (double(i) == cell + 1) return {p - cell, slope};
  return {0, 0};
}

struct Sizes {
  std::int64_t n, h, w, c, places;
  std::int64_t offset = 0, gap = 0;  // elements before the first, and after each pixel's channels
};

template <class T>
void check(const Sizes& s, const GridRule& rule) {
  const std::uint64_t seed = test_seed();
  CAPTURE(seed);
  CAPTURE(s.c);
  CAPTURE(int(rule.mode));
  CAPTURE(int(rule.padding));
  std::mt19937 random{unsigned(seed)};
  const std::int64_t pixel = s.c + s.gap;
  const auto x = numbers<T>(random, s.offset + s.n * s.h * s.w * pixel),
             g = numbers<T>(random, s.offset + s.n * s.places * pixel);
  // Places in sixteenths of a pixel, none at a kink, and never so far out that they reflect more than twice.
  std::vector<T> grid;
  for (std::int64_t i = 0; i < s.n * s.places; ++i)
    for (const std::int64_t n : {s.w, s.h}) {
      const double p = double(int(random() % unsigned(2 * n + 2)) - int(n / 2) - 1) + double(1 + random() % 6) / 16;
      grid.push_back(T((2 * p + 1) / double(n) - 1));
    }
  const DeviceArray<T> x_on(x), g_on(g), grid_on(grid), y_on(numbers<T>(random, s.offset + s.n * s.places * pixel)),
      slope_on(2 * s.n * s.places);
  const DeviceArray<T> rows_on(std::vector<T>(std::size_t(4 * s.n * s.places * s.c)));  // not all are written
  const DeviceArray<std::int32_t> pixels_on(std::vector<std::int32_t>(std::size_t(4 * s.n * s.places), -1));
  const auto plane = [&](auto* data) {
    using V = std::remove_reference_t<decltype(*data)>;
    return View<V, 4>{data + s.offset, {s.n, s.h, s.w, s.c}, {s.h * s.w * pixel, s.w * pixel, pixel, 1}};
  };
  const auto list = [&](auto* data) {
    using V = std::remove_reference_t<decltype(*data)>;
    return View<V, 3>{data + s.offset, {s.n, s.places, s.c}, {s.places * pixel, pixel, 1}};
  };
  const auto at = row_major(grid_on.data(), {s.n, s.places, 2});
  launch_grid_sample<T>(stream(), plane(x_on.data()), at, list(y_on.data()), rule);
  launch_grid_slope<T>(stream(), list(g_on.data()), plane(x_on.data()), at,
                       row_major(slope_on.data(), {s.n, s.places, 2}), rule);
  launch_grid_rows<T>(stream(), list(g_on.data()), at, row_major(rows_on.data(), {s.n, 4 * s.places, s.c}),
                      row_major(pixels_on.data(), {s.n, 4 * s.places}), s.h, s.w, rule);
  const auto y = y_on.host(), slope = slope_on.host(), rows = rows_on.host();
  const auto pixels = pixels_on.host();
  const auto in = plane(x.data());
  const auto out = list(y.data()), cotangent = list(g.data());
  const double eps = sizeof(T) == 4 ? 2e-5 : 2e-13;
  std::int64_t wrong = 0;
  const auto differs = [&](T a, double b, double size) { wrong += !(std::abs(double(a) - b) <= eps * (1 + size)); };
  for (std::int64_t b = 0; b < s.n; ++b)
    for (std::int64_t p = 0; p < s.places; ++p) {
      const std::size_t place = std::size_t(b * s.places + p);
      std::vector<double> value(std::size_t(s.c), 0.0);
      std::vector<double> added(std::size_t(s.h * s.w), 0.0);
      double by_x = 0, by_y = 0, size = 0;
      for (std::int64_t i = 0; i < s.h; ++i)
        for (std::int64_t j = 0; j < s.w; ++j) {
          const Share across = share(rule, s.w, double(grid[2 * place]), j),
                      down = share(rule, s.h, double(grid[2 * place + 1]), i);
          double product = 0;
          for (std::int64_t c = 0; c < s.c; ++c) {
            value[std::size_t(c)] += across.weight * down.weight * double(in(b, i, j, c));
            product += double(in(b, i, j, c)) * double(cotangent(b, p, c));
          }
          by_x += across.slope * down.weight * product;
          by_y += across.weight * down.slope * product;
          size += std::abs(product) * double(std::max(s.h, s.w));
          added[std::size_t(i * s.w + j)] = across.weight * down.weight;
        }
      for (std::int64_t c = 0; c < s.c; ++c) differs(out(b, p, c), value[std::size_t(c)], 4);
      differs(slope[2 * place], by_x, size);
      differs(slope[2 * place + 1], by_y, size);
      for (std::size_t k = 4 * place; k < 4 * place + 4; ++k) {
        if (pixels[k] < 0) continue;
        double& weight = added[std::size_t(pixels[k])];
        for (std::int64_t c = 0; c < s.c; ++c)
          differs(rows[k * std::size_t(s.c) + std::size_t(c)], weight * double(cotangent(b, p, c)), 4);
        weight = 0;
      }
      if (s.c > 0)
        for (const double left : added) wrong += left != 0;
    }
  CHECK(wrong == 0);
}

TEST_CASE_TEMPLATE("all modes and paddings, few channels and many", T, float, double) {
  for (const GridMode mode : {GridMode::bilinear, GridMode::nearest})
    for (const GridPadding padding : {GridPadding::zeros, GridPadding::border, GridPadding::reflection})
      for (const std::int64_t c : {1, 3, 8, 9, 32, 70}) {
        check<T>({2, 5, 4, c, 9}, {mode, padding});
        check<T>({1, 1, 3, c, 37}, {mode, padding});
        check<T>({1, 7, 1, c, 300}, {mode, padding});
      }
}
TEST_CASE_TEMPLATE("gaps and alignment", T, float, double) {
  for (const std::int64_t offset : {0, 1, 4})
    for (const std::int64_t gap : {0, 1, 4})
      check<T>({2, 4, 5, 8, 11, offset, gap}, {GridMode::bilinear, GridPadding::border});
}
TEST_CASE("nothing: no images, no places, no channels") {
  check<float>({0, 4, 5, 3, 7}, {GridMode::bilinear, GridPadding::zeros});
  check<float>({2, 4, 5, 3, 0}, {GridMode::bilinear, GridPadding::zeros});
  check<float>({2, 4, 5, 0, 7}, {GridMode::bilinear, GridPadding::zeros});
}
TEST_CASE("edges, far places, infinities and NaN") {
  const float inf = std::numeric_limits<float>::infinity(), nan = std::numeric_limits<float>::quiet_NaN();
  const DeviceArray<float> x(std::vector<float>{1, -0.0f, 5, 7}), y(6);
  const auto read = [&](const std::vector<float>& across, GridRule rule) {
    std::vector<float> grid;
    for (const float v : across) grid.insert(grid.end(), {v, 0.0f});
    const DeviceArray<float> on(grid);
    launch_grid_sample<float>(stream(), row_major(x.data(), {1, 1, 4, 1}), row_major(on.data(), {1, 6, 2}),
                              row_major(y.data(), {1, 6, 1}), rule);
    return y.host();
  };
  const auto zeros = read({-1, -0.25f, 1, 1e30f, -inf, nan}, {GridMode::bilinear, GridPadding::zeros});
  CHECK(std::vector<float>(zeros.begin(), zeros.begin() + 5) == std::vector<float>{0.5f, 0, 3.5f, 0, 0});
  CHECK(std::isnan(zeros[5]));
  const auto border = read({-1, 0.25f, 1, 1e30f, -inf, nan}, {GridMode::bilinear, GridPadding::border});
  CHECK(std::vector<float>(border.begin(), border.begin() + 5) == std::vector<float>{1, 5, 7, 7, 1});
  CHECK(std::isnan(border[5]));
  const auto nearest = read({-0.25f, 0, -0.5f, 1, 1.01f, nan}, {GridMode::nearest, GridPadding::zeros});
  CHECK(std::vector<float>(nearest.begin(), nearest.begin() + 5) == std::vector<float>{0, 5, 1, 0, 0});
  CHECK(std::signbit(nearest[0]));
  CHECK(std::isnan(nearest[5]));
}
TEST_CASE("slopes at the centres of the first and last pixels, and of an axis of one") {
  const std::vector<float> across{-1, -0.75f, 0.25f, 0.75f, 1, 1.75f};
  std::vector<float> v;
  for (const float p : across) v.insert(v.end(), {p, 0.0f});
  const DeviceArray<float> x(std::vector<float>{1, 2, 4, 8}), grid(v), g(std::vector<float>(6, 1)), d(12);
  const auto slopes = [&](GridPadding padding) {
    launch_grid_slope<float>(stream(), row_major(g.data(), {1, 6, 1}), row_major(x.data(), {1, 1, 4, 1}),
                             row_major(grid.data(), {1, 6, 2}), row_major(d.data(), {1, 6, 2}),
                             {GridMode::bilinear, padding});
    return d.host();
  };
  CHECK(slopes(GridPadding::zeros) == std::vector<float>{2, -0.25f, 2, -0.5f, 8, -2, -16, -4, -16, -2, 0, 0});
  CHECK(slopes(GridPadding::border) == std::vector<float>{0, 0, 0, 0, 8, 0, 0, 0, 0, 0, 0, 0});
  CHECK(slopes(GridPadding::reflection) == std::vector<float>{0, 0, 0, 0, 8, 0, 0, 0, 0, 0, -8, 0});
}
TEST_CASE("positions that need 64 bits are split alike") {
  const DeviceArray<float> x(std::vector<float>{1, 2, 3, 4}), grid(std::vector<float>{-0.5f, 0, 0.5f, 0}), y(4), d(4),
      rows(16);
  const DeviceArray<std::int32_t> pixels(8);
  using Index = std::uint64_t;
  const GridRule rule{GridMode::bilinear, GridPadding::zeros};
  const auto from = row_major(x.data(), {1, 1, 2, 2});
  const auto at = row_major(grid.data(), {1, 2, 2});
  const auto to = row_major(y.data(), {1, 2, 2}), slope = row_major(d.data(), {1, 2, 2});
  const auto weighted = row_major(rows.data(), {1, 8, 2});
  const auto where = row_major(pixels.data(), {1, 8});
  const GridPositions<Index> both{4, WideDivisor::of(2), WideDivisor::of(2)},
      one{2, WideDivisor::of(2), WideDivisor::of(1)};
  launch(stream(), "test", {1, kGridBlock}, grid_read_kernel<1, Index, float>, from, at, to, rule, both);
  CHECK(y.host() == std::vector<float>{1, 2, 3, 4});
  launch(stream(), "test", {1, kGridBlock}, grid_rows_kernel<1, Index, float>, to, at, weighted, where, 1, 2, rule,
         both);
  CHECK(pixels.host() == std::vector<std::int32_t>{0, 1, -1, -1, 1, -1, -1, -1});
  launch(stream(), "test", {1, kGridBlock}, grid_slope_kernel<1, Index, float>, to, from, at, slope, rule, one);
  CHECK(d.host() == std::vector<float>{6, -2.5f, -25, -12.5f});
}

}  // namespace kernels_grid_sample_test
