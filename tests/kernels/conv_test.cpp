// label: simt
// ptx: yes
// Convolutions and their gradients against scalar loops in double: strides, paddings, dilations, groups, edges of
// tiles.
#include <cmath>
#include <random>

#include <doctest/doctest.h>

#include "ergo/kernels/conv.cuh"
#include "support/device_array.hpp"
#include "support/message.hpp"

namespace kernels_conv_test {

using namespace ergo::cuda;
using test::DeviceArray;

namespace {

Stream& stream() { return current_stream(ergo::Device::cuda()); }

// On the device, `offset` elements behind the start of an allocation, with more elements behind that nobody may write.
template <class T>
struct Operand {
  static constexpr std::size_t kGuard = 8;
  std::vector<T> values;
  DeviceArray<T> memory;
  std::size_t offset;

  Operand(std::int64_t n, std::mt19937& random, std::size_t offset_ = 0)
      : values(std::size_t(n) + offset_ + kGuard), memory(make(values, random)), offset(offset_) {}
  T* data() const { return memory.data() + offset; }
  double at(std::int64_t i) const { return double(values[std::size_t(i) + offset]); }
  std::vector<T> host() const {
    std::vector<T> all = memory.host();
    for (std::size_t i = 0; i < offset; ++i) CHECK(all[i] == values[i]);
    for (std::size_t i = all.size() - kGuard; i < all.size(); ++i) CHECK(all[i] == values[i]);
    return {all.begin() + std::ptrdiff_t(offset), all.end() - std::ptrdiff_t(kGuard)};
  }
  static std::vector<T>& make(std::vector<T>& v, std::mt19937& random) {
    for (T& x : v) x = T(std::uniform_real_distribution<float>(-1, 1)(random));
    return v;
  }
};

// A sum in double, and of absolute values, over `terms`.
struct Sum {
  double value = 0, absolute = 0;
  std::int64_t terms = 0;
  void add(double x) {
    value += x;
    absolute += std::fabs(x);
    ++terms;
  }
};
template <class T>
void check_sums(const std::vector<T>& got, const std::vector<Sum>& want) {
  REQUIRE(got.size() == want.size());
  const double sums = std::is_same_v<T, double> ? 1e-15 : 4e-7;
  const double rounding = std::is_same_v<T, ergo::half> ? 0x1p-11 : std::is_same_v<T, ergo::bfloat16> ? 0x1p-8 : 0;
  int wrong = 0;
  for (std::size_t i = 0; i < got.size(); ++i) {
    const Sum& s = want[i];
    const double allowed = sums * std::sqrt(double(s.terms)) * s.absolute + rounding * std::fabs(s.value) +
                           (std::is_same_v<T, ergo::half> ? 0x1p-25 : 0);
    wrong += !(std::fabs(double(got[i]) - s.value) <= allowed);
  }
  CHECK(wrong == 0);
}

// f(places of x, w and y) for every product that a convolution adds up.
template <class F>
void for_each_product(const Conv2dShape& s, const F& f) {
  const std::int64_t in = s.c_in / s.groups, out = s.c_out / s.groups;
  for (std::int64_t n = 0; n < s.n; ++n)
    for (std::int64_t i = 0; i < s.out_h(); ++i)
      for (std::int64_t j = 0; j < s.out_w(); ++j)
        for (std::int64_t u = 0; u < s.kh; ++u)
          for (std::int64_t v = 0; v < s.kw; ++v) {
            const std::int64_t h = i * s.stride_h + u * s.dilation_h - s.pad_top;
            const std::int64_t w = j * s.stride_w + v * s.dilation_w - s.pad_left;
            if (h < 0 || h >= s.h || w < 0 || w >= s.w) continue;
            for (std::int64_t c = 0; c < in; ++c)
              for (std::int64_t o = 0; o < s.c_out; ++o)
                f(((n * s.h + h) * s.w + w) * s.c_in + o / out * in + c, ((u * s.kw + v) * in + c) * s.c_out + o,
                  ((n * s.out_h() + i) * s.out_w() + j) * s.c_out + o);
          }
}

enum Which { kForward = 1, kInputGradient = 2, kWeightGradient = 4, kAll = 7 };
// `tile`: instead of the launchers' choice, as products of their own.
struct Run {
  int which = kAll;
  std::size_t offset = 0;
  detail::ConvTileShape tile = {0, 0};
};

template <class T>
void check_conv(const Conv2dShape& s, std::mt19937& random, const Run& run = {}) {
  CAPTURE(to_string(ergo::Shape{s.n, s.h, s.w, s.c_in, s.kh, s.kw, s.c_out}));
  CAPTURE(to_string(ergo::Shape{s.stride_h, s.stride_w, s.dilation_h, s.dilation_w, s.groups}));
  CAPTURE(to_string(ergo::Shape{s.pad_top, s.pad_bottom, s.pad_left, s.pad_right}));
  const std::int64_t size_x = s.n * s.h * s.w * s.c_in, size_w = s.kh * s.kw * (s.c_in / s.groups) * s.c_out,
                     size_y = s.n * s.out_h() * s.out_w() * s.c_out;
  const Operand<T> x(size_x, random, run.offset), w(size_w, random, run.offset), dy(size_y, random, run.offset);
  const Operand<T> y(size_y, random, run.offset), dx(size_x, random, run.offset), dw(size_w, random, run.offset);
  if (run.tile.rows) {
    const bool packs = detail::conv_in_packs<T>(s.c_in / s.groups, s.c_out / s.groups,
                                                {x.data(), w.data(), dy.data(), y.data(), dx.data(), dw.data()});
    const auto gradient = InputGradientProduct<T>::of(s, dy.data(), w.data(), dx.data());
    detail::launch_conv_product(stream(), "test", ForwardProduct<T>::of(s, x.data(), w.data(), y.data()), s.groups,
                                run.tile, packs);
    detail::launch_conv_product(stream(), "test", gradient, s.groups * gradient.rows.phases * gradient.columns.phases,
                                run.tile, packs);
    detail::launch_conv_product(stream(), "test",
                                WeightGradientProduct<T, T>::of(s, x.data(), dy.data(), dw.data(), 1 << 20), s.groups,
                                run.tile, packs);
  } else {
    if (run.which & kForward) launch_conv2d(stream(), s, x.data(), w.data(), y.data());
    if (run.which & kInputGradient) launch_conv2d_input_gradient(stream(), s, dy.data(), w.data(), dx.data());
    if (run.which & kWeightGradient) {
      const DeviceArray<char> workspace(conv2d_weight_gradient_workspace<T>(s));
      launch_conv2d_weight_gradient(stream(), s, x.data(), dy.data(), dw.data(), workspace.data());
      stream().synchronize();
    }
  }
  std::vector<Sum> want_y(std::size_t(size_y), Sum{}), want_dx(std::size_t(size_x), Sum{}),
      want_dw(std::size_t(size_w), Sum{});
  for_each_product(s, [&](std::int64_t ix, std::int64_t iw, std::int64_t iy) {
    if (run.which & kForward) want_y[std::size_t(iy)].add(x.at(ix) * w.at(iw));
    if (run.which & kInputGradient) want_dx[std::size_t(ix)].add(dy.at(iy) * w.at(iw));
    if (run.which & kWeightGradient) want_dw[std::size_t(iw)].add(x.at(ix) * dy.at(iy));
  });
  if (run.which & kForward) check_sums(y.host(), want_y);
  if (run.which & kInputGradient) check_sums(dx.host(), want_dx);
  if (run.which & kWeightGradient) check_sums(dw.host(), want_dw);
}

Conv2dShape shape(std::int64_t n, std::int64_t h, std::int64_t w, std::int64_t c_in, std::int64_t kh, std::int64_t kw,
                  std::int64_t c_out) {
  return {n, h, w, c_in, kh, kw, c_out};
}
// Sizes of one to nine pixels and all else that a convolution may have.
Conv2dShape any_shape(std::mt19937& random) {
  const auto pick = [&](std::int64_t low, std::int64_t high) {
    return std::uniform_int_distribution<std::int64_t>(low, high)(random);
  };
  Conv2dShape s = shape(pick(1, 3), pick(1, 9), pick(1, 9), 0, pick(1, 4), pick(1, 4), 0);
  s.groups = pick(0, 2) ? 1 : pick(2, 3);
  const bool packs = pick(0, 1);
  s.c_in = s.groups * (packs ? 8 * pick(1, 2) : pick(1, 9));
  s.c_out = s.groups * (packs ? 8 * pick(1, 2) : pick(1, 9));
  s.stride_h = pick(1, 4), s.stride_w = pick(1, 3);
  s.dilation_h = pick(1, 3), s.dilation_w = pick(1, 4);
  s.pad_top = pick(0, 3), s.pad_bottom = pick(0, 3), s.pad_left = pick(0, 3), s.pad_right = pick(0, 3);
  if (s.dilation_h * (s.kh - 1) >= s.h + s.pad_top + s.pad_bottom) s.kh = 1;
  if (s.dilation_w * (s.kw - 1) >= s.w + s.pad_left + s.pad_right) s.kw = 1;
  return s;
}

}  // namespace

TEST_CASE_TEMPLATE("strides, paddings, dilations and groups", T, float, double, ergo::half, ergo::bfloat16) {
  const unsigned seed = std::random_device{}();
  CAPTURE(seed);
  std::mt19937 random(seed);
  for (int repeat = 0; repeat < 40; ++repeat)
    check_conv<T>(any_shape(random), random, {.offset = repeat % 8 == 0 ? std::size_t{1} : 0});
}

TEST_CASE_TEMPLATE("phases of the input gradient", T, float, ergo::half) {
  std::mt19937 random(std::random_device{}());
  Conv2dShape s = shape(2, 5, 6, 8, 3, 2, 8);
  s.stride_h = 7, s.stride_w = 3;  // further than the image; taps of few pixels
  check_conv<T>(s, random);
  s.dilation_h = 2, s.dilation_w = 5;
  check_conv<T>(s, random);
  s = shape(1, 12, 12, 8, 3, 3, 8);
  s.stride_h = 4, s.dilation_h = 4;  // a common divisor: some phases have no taps
  s.stride_w = 4, s.dilation_w = 2;
  check_conv<T>(s, random);
  s = shape(1, 9, 10, 8, 1, 1, 8);
  s.stride_h = 3, s.stride_w = 2;
  check_conv<T>(s, random);
  s.pad_top = 5, s.pad_left = 4;
  check_conv<T>(s, random);
}

TEST_CASE_TEMPLATE("edges of tiles", T, float, double, ergo::half, ergo::bfloat16) {
  std::mt19937 random(std::random_device{}());
  for (std::int64_t n : {63, 64, 65, 72, 128, 136}) {
    check_conv<T>(shape(1, 3, n, 8, 1, 2, n), random);
    check_conv<T>(shape(1, 1, n, n, 1, 1, 8), random);
  }
  for (std::int64_t k : {1, 7, 8, 9, 15, 16, 17, 32, 40}) check_conv<T>(shape(1, 2, k, k, 2, 1, k), random);
}

TEST_CASE_TEMPLATE("the larger tile", T, float, ergo::half, ergo::bfloat16) {
  const unsigned seed = std::random_device{}();
  CAPTURE(seed);
  std::mt19937 random(seed);
  for (int repeat = 0; repeat < 12; ++repeat)
    check_conv<T>(any_shape(random), random, {.offset = repeat % 6 == 0 ? std::size_t{1} : 0, .tile = {128, 128}});
  for (std::int64_t n : {127, 128, 136}) check_conv<T>(shape(1, 2, n, 16, 1, 2, n), random, {.tile = {128, 128}});
  // Where the launchers choose it: 128 tiles and more.
  CHECK(detail::conv_tile<T>(128 * 128, 65, 1).columns == 128);
  CHECK(detail::conv_tile<T>(127 * 128, 65, 1).columns == 64);
  CHECK(detail::conv_tile<T>(128 * 128, 64, 1).columns == 64);
  CHECK(detail::conv_tile<double>(128 * 128, 128, 9).rows == 64);
  if constexpr (std::is_same_v<T, ergo::bfloat16>) return;
  check_conv<T>(shape(1, 128, 127, 8, 1, 1, 72), random, {.which = kForward});
  check_conv<T>(shape(1, 128, 128, 72, 1, 1, 8), random, {.which = kInputGradient});
  check_conv<T>(shape(1, 1, 1, 8192, 1, 1, 136), random, {.which = kWeightGradient});
}

TEST_CASE_TEMPLATE("ranges of the weight gradient", T, float, double, ergo::half, ergo::bfloat16) {
  std::mt19937 random(std::random_device{}());
  CHECK(conv2d_weight_gradient_workspace<T>(shape(1, 24, 24, 8, 3, 3, 8)) == 0);
  CHECK(conv2d_weight_gradient_workspace<T>(shape(2, 26, 26, 8, 3, 3, 8)) == 2 * 9 * 64 * sizeof(ergo::Compute<T>));
  check_conv<T>(shape(2, 26, 26, 8, 3, 3, 8), random, {.which = kWeightGradient});
  check_conv<T>(shape(3, 26, 25, 3, 3, 2, 5), random, {.which = kWeightGradient});
  check_conv<T>(shape(2, 26, 26, 8, 1, 1, 8), random, {.which = kWeightGradient, .offset = 1});
  Conv2dShape s = shape(2, 37, 37, 16, 2, 2, 16);
  s.groups = 2;
  check_conv<T>(s, random, {.which = kWeightGradient});
}

TEST_CASE_TEMPLATE("depthwise", T, float, double, ergo::half, ergo::bfloat16) {
  const unsigned seed = std::random_device{}();
  CAPTURE(seed);
  std::mt19937 random(seed);
  for (std::int64_t channels : {2, 3, 8, 16, 24, 33, 72, 264}) {
    Conv2dShape s = any_shape(random);
    s.groups = s.c_in = s.c_out = channels;
    check_conv<T>(s, random);
    s = any_shape(random);
    s.groups = s.c_in = s.c_out = channels;
    check_conv<T>(s, random, {.offset = 1});
  }
  for (std::int64_t channels : {3, 8}) {  // in ranges
    Conv2dShape s = shape(2, 34, 35, channels, 2, 3, channels);
    s.groups = channels;
    CHECK(conv2d_weight_gradient_workspace<T>(s) == std::size_t(2 * 6 * channels) * sizeof(ergo::Compute<T>));
    check_conv<T>(s, random);
    check_conv<T>(s, random, {.offset = 1});
  }
}

TEST_CASE_TEMPLATE("images and channels of extent 0", T, float, ergo::half) {
  std::mt19937 random(std::random_device{}());
  check_conv<T>(shape(0, 4, 4, 8, 2, 2, 8), random);  // dw is 0
  check_conv<T>(shape(2, 4, 4, 0, 2, 2, 8), random);  // y is 0
  check_conv<T>(shape(2, 4, 4, 8, 2, 2, 0), random);  // dx is 0
}

TEST_CASE_TEMPLATE("a NaN is seen by those who sum it alone", T, float, ergo::bfloat16) {
  Conv2dShape s = shape(1, 6, 6, 8, 3, 3, 8);
  s.pad_top = s.pad_left = s.pad_bottom = s.pad_right = 1;
  std::vector<T> of_x(6 * 6 * 8, T(1.0f));
  of_x[(2 * 6 + 3) * 8 + 5] = T(NAN);
  const DeviceArray<T> x(of_x), w(std::vector<T>(9 * 64, T(1.0f))), y(6 * 6 * 8), dw(9 * 64);
  launch_conv2d(stream(), s, x.data(), w.data(), y.data());
  launch_conv2d_weight_gradient(stream(), s, x.data(), x.data(), dw.data(), nullptr);
  const auto got = y.host();
  for (int i = 0; i < 6; ++i)
    for (int j = 0; j < 6; ++j)
      for (int o = 0; o < 8; ++o) {
        const float value = float(got[std::size_t((i * 6 + j) * 8 + o)]);
        const int rows = 3 - (i == 0) - (i == 5), columns = 3 - (j == 0) - (j == 5);
        if (std::abs(i - 2) <= 1 && std::abs(j - 3) <= 1)
          CHECK(std::isnan(value));
        else
          CHECK(value == float(rows * columns * 8));
      }
  const auto gradient = dw.host();
  for (std::size_t i = 0; i < gradient.size(); ++i)
    CHECK(std::isnan(float(gradient[i])) == (i / 8 % 8 == 5 || i % 8 == 5));
}

TEST_CASE("bits repeat, and launches are counted") {
  std::mt19937 random(std::random_device{}());
  Conv2dShape s = shape(2, 26, 27, 8, 3, 3, 16);
  s.stride_h = 2;
  s.pad_top = s.pad_left = 1;
  const Operand<float> x(2 * 26 * 27 * 8, random), w(9 * 8 * 16, random), y(s.n * s.out_h() * s.out_w() * 16, random);
  const DeviceArray<char> workspace(conv2d_weight_gradient_workspace<float>(s));
  const auto all = [&] {
    launch_conv2d(stream(), s, x.data(), w.data(), y.data());
    const DeviceArray<float> dx(2 * 26 * 27 * 8), dw(9 * 8 * 16);
    launch_conv2d_input_gradient(stream(), s, y.data(), w.data(), dx.data());
    launch_conv2d_weight_gradient(stream(), s, x.data(), y.data(), dw.data(), workspace.data());
    return std::make_tuple(y.host(), dx.host(), dw.host());
  };
  const int before = stream().launches.next;
  const auto first = all();
  CHECK(stream().launches.next - before == 3);
  CHECK(first == all());
}

TEST_CASE("sizes beyond 32-bit places are refused") {
  Conv2dShape s = shape(1, 4, 4, 8, 1, 1, 8);
  s.pad_top = std::int64_t{1} << 30;
  const auto call = [&] { launch_conv2d<float>(stream(), s, nullptr, nullptr, nullptr); };
  CHECK(message_of(call) ==
        "[conv2d] image (1, 4, 4, 8), weight (1, 1, 8, 8): more than 2^31 pixels, or weights of a channel, or 2^30 "
        "rows or\n"
        "  columns with padding");
}

}  // namespace kernels_conv_test
