// label: simt
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

// On the device, `offset` elements behind the start of an allocation.
template <class T>
struct Operand {
  std::vector<T> values;
  DeviceArray<T> memory;
  std::size_t offset;

  Operand(std::int64_t n, std::mt19937& random, std::size_t offset_ = 0)
      : values(std::size_t(n) + offset_), memory(make(values, random)), offset(offset_) {}
  T* data() const { return memory.data() + offset; }
  double at(std::int64_t i) const { return double(values[std::size_t(i) + offset]); }
  std::vector<T> host() const {
    std::vector<T> all = memory.host();
    return {all.begin() + std::ptrdiff_t(offset), all.end()};
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

template <class T>
void check_conv(const Conv2dShape& s, std::mt19937& random, std::size_t offset = 0) {
  CAPTURE(to_string(ergo::Shape{s.n, s.h, s.w, s.c_in, s.kh, s.kw, s.c_out}));
  CAPTURE(to_string(ergo::Shape{s.stride_h, s.stride_w, s.dilation_h, s.dilation_w, s.groups}));
  const Operand<T> x(s.n * s.h * s.w * s.c_in, random, offset),
      w(s.kh * s.kw * (s.c_in / s.groups) * s.c_out, random, offset),
      dy(s.n * s.out_h() * s.out_w() * s.c_out, random, offset);
  const Operand<T> y(std::int64_t(dy.values.size() - offset), random, offset),
      dx(std::int64_t(x.values.size() - offset), random, offset),
      dw(std::int64_t(w.values.size() - offset), random, offset);
  launch_conv2d(stream(), s, x.data(), w.data(), y.data());
  launch_conv2d_input_gradient(stream(), s, dy.data(), w.data(), dx.data());
  const DeviceArray<char> workspace(conv2d_weight_gradient_workspace<T>(s));
  launch_conv2d_weight_gradient(stream(), s, x.data(), dy.data(), dw.data(), workspace.data());
  std::vector<Sum> want_y(y.values.size() - offset), want_dx(dx.values.size() - offset),
      want_dw(dw.values.size() - offset);
  for_each_product(s, [&](std::int64_t ix, std::int64_t iw, std::int64_t iy) {
    want_y[std::size_t(iy)].add(x.at(ix) * w.at(iw));
    want_dx[std::size_t(ix)].add(dy.at(iy) * w.at(iw));
    want_dw[std::size_t(iw)].add(x.at(ix) * dy.at(iy));
  });
  check_sums(y.host(), want_y);
  check_sums(dx.host(), want_dx);
  check_sums(dw.host(), want_dw);
}

Conv2dShape shape(std::int64_t n, std::int64_t h, std::int64_t w, std::int64_t c_in, std::int64_t kh, std::int64_t kw,
                  std::int64_t c_out) {
  return {n, h, w, c_in, kh, kw, c_out};
}

}  // namespace

TEST_CASE_TEMPLATE("strides, paddings, dilations and groups", T, float, double, ergo::half, ergo::bfloat16) {
  const unsigned seed = std::random_device{}();
  CAPTURE(seed);
  std::mt19937 random(seed);
  const auto pick = [&](std::int64_t low, std::int64_t high) {
    return std::uniform_int_distribution<std::int64_t>(low, high)(random);
  };
  for (int repeat = 0; repeat < 40; ++repeat) {
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
    check_conv<T>(s, random, repeat % 8 == 0 ? 1 : 0);
  }
}

}  // namespace kernels_conv_test
