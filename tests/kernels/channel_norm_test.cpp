// label: simt
// group_norm and batch_norm: y, statistics and all three gradients against sums in long double. Channels on both sides
// of packs and tiles, one and many rows, one channel a group and more, leads, split reductions, strides and offsets,
// large offsets of the data, constant groups, squares that overflow, scales whose squares do, NaN, blocks over both
// axes of a grid.
#include <array>
#include <cmath>
#include <random>

#include <doctest/doctest.h>

#include "ergo/kernels/channel_norm_vjp.cuh"
#include "support/device_array.hpp"

namespace kernels_channel_norm_test {

using namespace ergo::cuda;
using test::DeviceArray;
using Real = long double;

template <class T>
constexpr double kTolerance = std::is_same_v<T, double>  ? 1e-13
                              : std::is_same_v<T, float> ? 2e-6
                                                         : 4.5e-3;

enum class Layout { dense, offset, wide, channels_first };

// A (batch, middle, channels) array on the device, laid out as it may be.
template <class T>
struct Cube {
  std::int64_t shape[3], stride[3], first;
  DeviceArray<T> memory;

  Cube(std::int64_t b, std::int64_t m, std::int64_t c, Layout layout, const std::vector<T>& values)
      : shape{b, m, c}, first(layout == Layout::offset), memory(laid_out(layout, values)) {}
  View<T, 3> view() const {
    return {memory.data() + first, {shape[0], shape[1], shape[2]}, {stride[0], stride[1], stride[2]}};
  }
  View<const T, 3> in() const { return view(); }
  std::vector<T> values() const {
    const auto all = memory.host();
    std::vector<T> x;
    each([&](std::int64_t at) { x.push_back(all[std::size_t(at)]); });
    return x;
  }

 private:
  template <class F>
  void each(const F& f) const {
    for (std::int64_t b = 0; b < shape[0]; ++b)
      for (std::int64_t m = 0; m < shape[1]; ++m)
        for (std::int64_t c = 0; c < shape[2]; ++c) f(first + b * stride[0] + m * stride[1] + c * stride[2]);
  }
  std::vector<T> laid_out(Layout layout, const std::vector<T>& values) {
    const std::int64_t m = shape[1], c = shape[2], pitch = layout == Layout::wide ? c + 16 : c;
    stride[0] = m * pitch;
    stride[1] = layout == Layout::channels_first ? 1 : pitch;
    stride[2] = layout == Layout::channels_first ? m : 1;
    std::int64_t last = -1, k = 0;
    each([&](std::int64_t at) { last = at > last ? at : last; });
    std::vector<T> all(std::size_t(last + 1), T(7));
    each([&](std::int64_t at) { all[std::size_t(at)] = values[std::size_t(k++)]; });
    return all;
  }
};
template <class T>
View<T, 2> matrix(const DeviceArray<T>& x, std::int64_t rows, std::int64_t cols) {
  return row_major(x.data(), {rows, cols});
}

template <class T>
std::vector<T> random_values(std::mt19937& random, std::int64_t n, double low, double high) {
  std::uniform_real_distribution<double> uniform(low, high);
  std::vector<T> x;
  for (std::int64_t i = 0; i < n; ++i) x.push_back(T(uniform(random)));
  return x;
}
template <class T>
Real real(const std::vector<T>& v, std::int64_t i) {
  return Real(ergo::Compute<T>(v[std::size_t(i)]));
}
template <class T>
void check_all(const char* what, const std::vector<T>& got, const std::vector<double>& expected,
               const std::vector<double>& room) {
  REQUIRE(got.size() == expected.size());
  CAPTURE(what);
  std::size_t wrong = 0;
  for (std::size_t i = 0; i < got.size(); ++i) {
    const auto is = double(real(got, std::int64_t(i)));
    const bool fine = std::isnan(expected[i]) ? std::isnan(is) : std::abs(is - expected[i]) <= room[i];
    if (!fine && wrong++ == 0) {
      CAPTURE(i);
      CAPTURE(room[i]);
      CHECK(is == expected[i]);
    }
  }
  CHECK(wrong == 0);
}

struct Size {
  std::int64_t leads, examples, middle, channels, groups;
};

// Forward and backward; `more`: room for what an offset of the data costs, in deviations.
template <class T>
void check_norm(std::mt19937& random, const Size& s, Layout layout, const std::vector<T>& x, double more = 0,
                double eps = 1e-5, std::int64_t most_blocks = kMostBlocks) {
  using A = ergo::Compute<T>;
  const std::int64_t batch = s.leads * s.examples, n = s.channels, depth = n / s.groups;
  CAPTURE(s.leads);
  CAPTURE(s.examples);
  CAPTURE(s.middle);
  CAPTURE(n);
  CAPTURE(s.groups);
  CAPTURE(int(layout));
  Stream& stream = current_stream(ergo::Device::cuda());
  const auto g = random_values<T>(random, batch * s.middle * n, -1, 1),
             gamma = random_values<T>(random, s.leads * n, -1, 1), beta = random_values<T>(random, s.leads * n, -1, 1);
  const Cube<T> mx(batch, s.middle, n, layout, x), mg(batch, s.middle, n, layout, g), y(batch, s.middle, n, layout, x),
      dx(batch, s.middle, n, layout, x);
  const DeviceArray<T> w(gamma), b(beta), dw(gamma), db(beta);
  const DeviceArray<T> means(std::size_t(batch * s.groups)), variances(std::size_t(batch * s.groups));
  const DeviceArray<A> stats(std::size_t(batch * s.groups * kLayerNormStats));
  const View<T, 2> vw = matrix(w, s.leads, n), vb = matrix(b, s.leads, n);
  const bool asked = random() % 2 == 0;
  {
    const DeviceArray<std::byte> workspace(channel_norm_workspace<T>(mx.in()));
    launch_channel_norm<T>(stream, "test",
                           {mx.in(), vw, vb, s.groups, eps, y.view(), stats.data(), asked ? means.data() : nullptr,
                            asked ? variances.data() : nullptr},
                           workspace.data(), most_blocks);
    ergo::cuda::check(cudaDeviceSynchronize(), "test");
  }
  const ChannelNormVjpCall<T> call{mg.in(),  mx.in(),   stats.data(),           vw,
                                   s.groups, dx.view(), matrix(dw, s.leads, n), matrix(db, s.leads, n)};
  const DeviceArray<std::byte> workspace(channel_norm_vjp_workspace(call));
  launch_channel_norm_vjp(stream, "test", call, workspace.data(), most_blocks);

  const double unit = kTolerance<T>;
  const auto size = std::size_t(batch * s.middle * n), columns = std::size_t(s.leads * n);
  std::vector<double> ey(size), ry(size), edx(size), rdx(size), edw(columns), rdw(columns), edb(columns), rdb(columns);
  std::vector<double> em, rm, ev, rv;
  for (std::int64_t e = 0; e < batch; ++e)
    for (std::int64_t k = 0; k < s.groups; ++k) {
      std::vector<std::array<std::int64_t, 2>> cells;  // element, channel of its lead
      for (std::int64_t m = 0; m < s.middle; ++m)
        for (std::int64_t c = k * depth; c < (k + 1) * depth; ++c)
          cells.push_back({(e * s.middle + m) * n + c, e / s.examples * n + c});
      const Real share = 1 / (Real(s.middle) * Real(depth));
      Real mean = 0, variance = 0, level = 0, slope = 0, sizes = 0;
      for (const auto [i, c] : cells) mean += real(x, i) * share;
      for (const auto [i, c] : cells) variance += (real(x, i) - mean) * (real(x, i) - mean) * share;
      const Real scale = 1 / std::sqrt(variance + Real(eps));
      for (const auto [i, c] : cells) {
        const Real z = (real(x, i) - mean) * scale, h = real(g, i) * real(gamma, c);
        level += h * share;
        slope += h * z * share;
        sizes += std::abs(h) * (1 + std::abs(z)) * share;
      }
      em.push_back(double(mean));
      rm.push_back(double(unit * (1 + std::abs(mean)) + more * std::sqrt(variance)));
      ev.push_back(double(variance));
      rv.push_back(double((unit + more) * (1 + 4 * variance)));
      for (const auto [i, c] : cells) {
        const auto at = std::size_t(i), column = std::size_t(c);
        const Real z = (real(x, i) - mean) * scale, wc = real(gamma, c), gi = real(g, i);
        ey[at] = double(z * wc + real(beta, c));
        ry[at] = double((unit * (1 + std::abs(z)) + more) * std::abs(wc) +
                        unit * (std::abs(ey[at]) + std::abs(real(beta, c))));
        edx[at] = double((gi * wc - level - z * slope) * scale);
        rdx[at] =
            double(unit * std::abs(edx[at]) + (unit + more) * (std::abs(gi * wc) + sizes) * (1 + std::abs(z)) * scale);
        edw[column] += double(gi * z);
        rdw[column] += double((unit + more) * std::abs(gi) * (1 + std::abs(z)));
        edb[column] += double(gi);
        rdb[column] += double(unit * std::abs(gi));
      }
    }
  for (std::size_t c = 0; c < columns; ++c) {
    rdw[c] += unit * std::abs(edw[c]);
    rdb[c] += unit * std::abs(edb[c]);
  }
  check_all("y", y.values(), ey, ry);
  check_all("dx", dx.values(), edx, rdx);
  check_all("dgamma", dw.host(), edw, rdw);
  check_all("dbeta", db.host(), edb, rdb);
  if (asked) {
    check_all("mean", means.host(), em, rm);
    check_all("variance", variances.host(), ev, rv);
  }
}

TEST_CASE_TEMPLATE("groups of every size", T, float, double, ergo::bfloat16) {
  const unsigned seed = std::random_device{}();
  CAPTURE(seed);
  std::mt19937 random(seed);
  int layout = int(random() % 4);
  for (const Size s : {Size{1, 1, 2, 1, 1},
                       {1, 1, 70, 3, 3},
                       {1, 2, 5, 8, 2},
                       {2, 3, 7, 8, 8},
                       {1, 3, 1, 48, 3},
                       {1, 70, 1, 16, 4},
                       {2, 1, 33, 32, 32},
                       {1, 2, 9, 96, 1},
                       {1, 2, 17, 100, 20},
                       {1, 1, 65, 257, 257},
                       {3, 2, 4, 128, 32},
                       {1, 1, 12, 300, 300}})
    for (int k = 0; k < 2; ++k)
      check_norm(random, s, Layout(layout++ % 4),
                 random_values<T>(random, s.leads * s.examples * s.middle * s.channels, -2, 3));
  // Columns that the reduction splits, and rows that several blocks share.
  const Size tall{1, 1, 9000, 16, 16};
  check_norm(random, tall, Layout::dense, random_values<T>(random, 9000 * 16, -2, 3));
}

TEST_CASE("enough blocks for 32 rows a thread") {
  const unsigned seed = std::random_device{}();
  CAPTURE(seed);
  std::mt19937 random(seed);
  const Size many{1, 520, 11, 32, 4};
  check_norm<float>(random, many, Layout::dense, random_values<float>(random, 520 * 11 * 32, -2, 3));
  check_norm<double>(random, many, Layout::offset, random_values<double>(random, 520 * 11 * 32, -2, 3));
}

TEST_CASE("more blocks than one axis of a grid has room for") {
  const unsigned seed = std::random_device{}();
  CAPTURE(seed);
  std::mt19937 random(seed);
  for (const std::int64_t most : {1, 3, 4})
    for (const Size s : {Size{2, 5, 7, 8, 2}, {1, 1, 9000, 5, 5}, {3, 2, 4, 70, 70}})
      check_norm<float>(random, s, Layout::dense,
                        random_values<float>(random, s.leads * s.examples * s.middle * s.channels, -2, 3), 0, 1e-5,
                        most);
}

TEST_CASE("squares that overflow, and scales whose squares do") {
  const unsigned seed = std::random_device{}();
  CAPTURE(seed);
  std::mt19937 random(seed);
  for (const Size s : {Size{1, 2, 6, 4, 4}, {1, 2, 6, 4, 2}, {1, 1, 6000, 8, 8}, {1, 1, 40, 96, 1}}) {
    const std::int64_t n = s.examples * s.middle * s.channels;
    auto tiny = random_values<float>(random, n, -1, 1), large = random_values<float>(random, n, 1, 2);
    for (float& v : tiny) v *= 1e-20f;
    check_norm<float>(random, s, Layout::dense, tiny, 1e-3, 0);  // the variance is a denormal
    for (float& v : large) v *= 1e30f;
    Stream& stream = current_stream(ergo::Device::cuda());
    const Cube<float> in(s.examples, s.middle, s.channels, Layout::dense, large),
        out(s.examples, s.middle, s.channels, Layout::dense, large);
    const DeviceArray<float> w(std::vector<float>(std::size_t(s.channels), 1.5f)),
        b(std::vector<float>(std::size_t(s.channels), 0.25f)),
        stats(std::size_t(s.examples * s.groups * kLayerNormStats)), variances(std::size_t(s.examples * s.groups));
    const DeviceArray<std::byte> workspace(channel_norm_workspace<float>(in.in()));
    launch_channel_norm<float>(stream, "test",
                               {in.in(), matrix(w, 1, s.channels), matrix(b, 1, s.channels), s.groups, 1e-5, out.view(),
                                stats.data(), nullptr, variances.data()},
                               workspace.data());
    CHECK(out.values() == std::vector<float>(std::size_t(n), 0.25f));
    for (const float v : variances.host()) CHECK(std::isinf(v));
  }
}

TEST_CASE("an offset of the data") {
  const unsigned seed = std::random_device{}();
  CAPTURE(seed);
  std::mt19937 random(seed);
  for (const Size s : {Size{1, 2, 60, 8, 8}, {1, 2, 60, 12, 2}, {1, 2, 30, 96, 1}, {1, 1, 5000, 5, 5}})
    for (double offset : {1e4, -1e4}) {
      const std::int64_t n = s.examples * s.middle * s.channels;
      check_norm<float>(random, s, Layout::dense, random_values<float>(random, n, offset - 1, offset + 1), 1e-5);
      check_norm<double>(random, s, Layout::dense, random_values<double>(random, n, offset - 1, offset + 1), 2e-13);
    }
  // A first element far from all others.
  auto x = random_values<float>(random, 4000, -1, 1);
  x[0] = x[1] = 1e4f;
  check_norm<float>(random, {1, 1, 2000, 2, 2}, Layout::dense, x, 1e-5);
  check_norm<float>(random, {1, 1, 2000, 2, 1}, Layout::dense, x, 1e-5);
}

TEST_CASE_TEMPLATE("constant groups give beta, a NaN spoils its group alone", T, float, double) {
  Stream& stream = current_stream(ergo::Device::cuda());
  std::mt19937 random(3);
  for (const Size s : {Size{1, 3, 5, 8, 8}, {1, 3, 5, 8, 2}, {1, 3, 1, 6, 3}}) {
    const std::int64_t n = s.channels, depth = n / s.groups, each = s.middle * n;
    std::vector<T> x(std::size_t(3 * each), T(0.1));
    x[std::size_t(each + (s.middle - 1) * n + depth)] = T(NAN);  // of example 1, group 1
    const auto gamma = random_values<T>(random, n, 1, 2), beta = random_values<T>(random, n, -2, 2);
    const Cube<T> in(3, s.middle, n, Layout::dense, x), out(3, s.middle, n, Layout::dense, x);
    const DeviceArray<T> w(gamma), b(beta), stats(std::size_t(3 * s.groups * kLayerNormStats));
    const DeviceArray<std::byte> workspace(channel_norm_workspace<T>(in.in()));
    launch_channel_norm<T>(
        stream, "test",
        {in.in(), matrix(w, 1, n), matrix(b, 1, n), s.groups, 1e-5, out.view(), stats.data(), nullptr, nullptr},
        workspace.data());
    const auto y = out.values();
    for (std::int64_t i = 0; i < 3 * each; ++i) {
      const std::int64_t c = i % n;
      if (i / each == 1 && c / depth == 1)
        CHECK(std::isnan(y[std::size_t(i)]));
      else
        CHECK(y[std::size_t(i)] == beta[std::size_t(c)]);
    }
  }
}

TEST_CASE("nothing to do, and gradients over no examples") {
  Stream& stream = current_stream(ergo::Device::cuda());
  const DeviceArray<float> none(0), w(std::vector<float>{1, 2, 3}), dw(std::vector<float>{7, 7, 7}),
      db(std::vector<float>{7, 7, 7});
  for (const std::int64_t examples : {0, 2}) {
    const View<float, 3> empty = row_major(none.data(), {examples, examples ? 0 : 4, 3});
    launch_channel_norm<float>(
        stream, "test", {empty, matrix(w, 1, 3), matrix(w, 1, 3), 3, 1e-5, empty, nullptr, nullptr, nullptr}, nullptr);
    launch_channel_norm_vjp<float>(
        stream, "test", {empty, empty, nullptr, matrix(w, 1, 3), 3, empty, matrix(dw, 1, 3), matrix(db, 1, 3)},
        nullptr);
    CHECK(dw.host() == std::vector<float>(3, 0));
    CHECK(db.host() == std::vector<float>(3, 0));
  }
  const View<float, 3> no_channels = row_major(none.data(), {2, 4, 0});
  const View<float, 2> no_weights = row_major(none.data(), {1, 0});
  launch_channel_norm_vjp<float>(
      stream, "test", {no_channels, no_channels, nullptr, no_weights, 1, no_channels, no_weights, no_weights}, nullptr);
}

}  // namespace kernels_channel_norm_test
