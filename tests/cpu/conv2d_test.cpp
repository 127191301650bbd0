// label: threads
#include "ergo/cpu/conv2d.hpp"

#include <cmath>
#include <cstdint>
#include <cstring>
#include <limits>
#include <random>
#include <string>
#include <vector>

#include <doctest/doctest.h>

#include "support/seed.hpp"
#include "support/skip.hpp"

namespace cpu_conv2d_test {

namespace {

using namespace ergo;
using namespace ergo::cpu;

template <class T>
std::vector<T> random_values(std::int64_t n) {
  static std::mt19937_64 engine(test_seed());
  std::uniform_real_distribution<double> uniform(-1, 1);
  std::vector<T> values(static_cast<std::size_t>(n));
  for (T& x : values) x = T(uniform(engine));
  return values;
}

// Calls f(index of x, index of w, index of y) for every product in the convolution.
template <class F>
void for_each_product(const Conv2dShape& s, const F& f) {
  const std::int64_t in = s.c_in / s.groups, out = s.c_out / s.groups;
  for (std::int64_t n = 0; n < s.n; ++n)
    for (std::int64_t i = 0; i < s.out_h(); ++i)
      for (std::int64_t j = 0; j < s.out_w(); ++j)
        for (std::int64_t k = 0; k < s.kh; ++k)
          for (std::int64_t l = 0; l < s.kw; ++l) {
            const std::int64_t h = i * s.stride_h + k * s.dilation_h - s.pad_top;
            const std::int64_t w = j * s.stride_w + l * s.dilation_w - s.pad_left;
            if (h < 0 || h >= s.h || w < 0 || w >= s.w) continue;
            for (std::int64_t o = 0; o < s.c_out; ++o)
              for (std::int64_t c = 0; c < in; ++c) {
                f(std::size_t(((n * s.h + h) * s.w + w) * s.c_in + o / out * in + c),
                  std::size_t(((k * s.kw + l) * in + c) * s.c_out + o),
                  std::size_t(((n * s.out_h() + i) * s.out_w() + j) * s.c_out + o));
              }
          }
}

// Sums of products in long double, with the sums of their absolute values and how many there were.
struct Sums {
  explicit Sums(std::size_t n) : value(n), magnitude(n), terms(n) {}
  void add(std::size_t i, double a, double b) {
    value[i] += static_cast<long double>(a) * b;
    magnitude[i] += std::fabs(a * b);
    ++terms[i];
  }
  std::vector<long double> value;
  std::vector<double> magnitude, terms;
};

template <class T>
void compare(const char* what, const std::vector<T>& actual, const Sums& expected) {
  const double unit = sizeof(T) == 8 ? 1e-15 : 4e-7;
  const double storage = std::is_same_v<T, bfloat16> ? 0x1p-8 : std::is_same_v<T, half> ? 0x1p-11 : 0;
  std::size_t wrong = 0;
  for (std::size_t i = 0; i < actual.size(); ++i) {
    const double bound = unit * std::sqrt(expected.terms[i] + 1) * expected.magnitude[i] +
                         storage * std::fabs(double(expected.value[i])) + (storage > 0 ? 1e-7 : 0);
    if (!(std::fabs(double(actual[i]) - double(expected.value[i])) <= bound) && wrong++ == 0) {
      MESSAGE(std::string(what) << "[" << i << "]: " << double(actual[i]) << ", expected "
                                << double(expected.value[i]));
    }
  }
  CHECK(wrong == 0);
}

template <class T>
void check(const Conv2dShape& s, bool with_bias = false) {
  const std::int64_t xs = s.n * s.h * s.w * s.c_in, ws = s.kh * s.kw * s.c_in / s.groups * s.c_out;
  const std::int64_t ys = s.n * s.out_h() * s.out_w() * s.c_out;
  INFO("x (" << s.n << ", " << s.h << ", " << s.w << ", " << s.c_in << "), w (" << s.kh << ", " << s.kw << ", "
             << s.c_in / s.groups << ", " << s.c_out << "), strides " << s.stride_h << ", " << s.stride_w
             << ", dilations " << s.dilation_h << ", " << s.dilation_w << ", padding " << s.pad_top << " "
             << s.pad_bottom << " " << s.pad_left << " " << s.pad_right << ", groups " << s.groups << ", element size "
             << sizeof(T));
  const std::vector<T> x = random_values<T>(xs), w = random_values<T>(ws), dy = random_values<T>(ys);
  const std::vector<T> bias = random_values<T>(s.c_out);
  const T nan = T(std::numeric_limits<float>::quiet_NaN());
  std::vector<T> y(dy.size(), nan), dx(x.size(), nan), dw(w.size(), nan);
  conv2d(s, x.data(), w.data(), y.data(), with_bias ? bias.data() : nullptr);
  conv2d_input_gradient(s, dy.data(), w.data(), dx.data());
  conv2d_weight_gradient(s, x.data(), dy.data(), dw.data());
  Sums ey(y.size()), ex(x.size()), ew(w.size());
  for (std::size_t i = 0; with_bias && i < y.size(); ++i) ey.add(i, double(bias[i % std::size_t(s.c_out)]), 1);
  for_each_product(s, [&](std::size_t i, std::size_t k, std::size_t o) {
    ey.add(o, double(x[i]), double(w[k]));
    ex.add(i, double(dy[o]), double(w[k]));
    ew.add(k, double(x[i]), double(dy[o]));
  });
  compare("y", y, ey);
  compare("dx", dx, ex);
  compare("dw", dw, ew);
}

// Shapes in the order n, h, w, c_in, kh, kw, c_out, strides, padding (top, bottom, left, right), dilations, groups.
const Conv2dShape kShapes[] = {
    {1, 1, 1, 1, 1, 1, 1},
    {2, 5, 7, 3, 1, 1, 5},
    {2, 5, 7, 19, 1, 1, 33, 2, 3},
    {1, 8, 8, 16, 3, 3, 16, 1, 1, 1, 1, 1, 1},
    {2, 9, 7, 17, 3, 3, 15, 1, 1, 1, 1, 1, 1},
    {3, 6, 5, 15, 3, 3, 17, 2, 2, 1, 1, 1, 1},
    {2, 11, 13, 3, 7, 7, 9, 2, 2, 3, 3, 3, 3},
    {2, 11, 13, 3, 5, 3, 8, 1, 2, 2, 1, 0, 2},
    {2, 9, 9, 4, 3, 3, 6, 1, 1},
    {1, 10, 12, 20, 3, 2, 7, 1, 1, 0, 1, 2, 0, 2, 3},
    {1, 12, 12, 5, 3, 3, 7, 2, 2, 2, 1, 1, 2, 2, 2},
    {2, 7, 6, 8, 3, 3, 12, 1, 1, 1, 1, 1, 1, 1, 1, 4},
    {2, 7, 6, 6, 3, 3, 6, 1, 1, 1, 1, 1, 1, 1, 1, 6},
    {2, 8, 9, 21, 3, 3, 21, 2, 2, 1, 1, 1, 1, 1, 1, 21},
    {1, 8, 9, 4, 2, 2, 12, 1, 1, 0, 0, 0, 0, 1, 1, 4},
    {1, 9, 8, 10, 3, 3, 10, 2, 1, 4, 0, 0, 5, 2, 1, 10},
    {2, 9, 13, 40, 3, 3, 40, 1, 1, 1, 1, 1, 1, 1, 1, 40},
    {1, 8, 17, 70, 5, 5, 70, 2, 1, 2, 2, 2, 2, 1, 1, 70},
    {2, 3, 4, 36, 5, 7, 36, 1, 2, 3, 4, 6, 6, 1, 2, 36},
    {3, 6, 11, 9, 1, 1, 9, 1, 2, 0, 0, 0, 0, 1, 1, 9},
    {5, 3, 3, 2, 3, 3, 4, 3, 3, 2, 2, 2, 2},
    {2, 5, 40, 13, 7, 5, 21, 2, 1, 3, 4, 2, 1, 1, 1},
    {3, 7, 9, 16, 5, 6, 34, 1, 3, 2, 2, 5, 9},
    {1, 130, 3, 1, 3, 3, 8, 1, 1, 1, 1, 1, 1, 2, 1},
    {2, 4, 3, 2, 3, 2, 5, 1, 1, 6, 6, 5, 5},
    {1, 13, 9, 3, 5, 4, 410, 1, 1, 2, 2, 1, 2},
    {2, 14, 11, 1, 5, 5, 33, 3, 2, 4, 3, 5, 1, 2, 1},
    {1, 9, 10, 2, 2, 3, 150, 4, 3, 1, 1, 1, 1, 3, 1},
    {1, 2, 300, 2, 2, 4, 3, 1, 1, 1, 1, 1, 1},
    {1, 4, 5, 900, 1, 2, 3, 1, 1, 0, 0, 1, 0},
    {3, 7, 9, 200, 1, 1, 37},
    {2, 9, 8, 33, 1, 1, 410},
    {1, 17, 19, 33, 3, 3, 65, 1, 1, 1, 1, 1, 1},
    {4, 4, 4, 130, 3, 3, 70, 1, 1, 1, 1, 1, 1},
    {1, 14, 15, 2, 12, 13, 3, 1, 1, 6, 6, 6, 6},
    {1, 5, 5, 2, 1, 1, 3, 4, 4, 2, 2, 2, 2},
};

template <class F>
void for_each_isa(const F& f) {
  for (const Isa wanted : {Isa::sse2, Isa::avx2, Isa::avx512}) {
    if (wanted > machine_isa()) {
      skip(name(wanted), "this machine does not have it");
      continue;
    }
    set_isa(wanted);
    INFO(std::string(name(wanted)));
    f();
  }
  set_isa(machine_isa());
}

}  // namespace

TEST_CASE_TEMPLATE("value and both gradients against loops", T, float, double) {
  for_each_isa([] {
    for (const Conv2dShape& s : kShapes) check<T>(s, s.h % 2 == 0);
  });
}

TEST_CASE_TEMPLATE("16-bit images: float sums, one rounding", T, bfloat16, half) {
  for (const Conv2dShape& s : kShapes) check<T>(s, s.h % 2 == 1);
}

TEST_CASE("random shapes") {
  std::mt19937_64 engine(test_seed());
  const auto draw = [&engine](std::int64_t least, std::int64_t most) {
    return std::uniform_int_distribution<std::int64_t>(least, most)(engine);
  };
  for (int i = 0; i < 150; ++i) {
    Conv2dShape s{draw(1, 3), draw(1, 12), draw(1, 12), draw(1, 9), draw(1, 4), draw(1, 4), draw(1, 20)};
    s.stride_h = draw(1, 3), s.stride_w = draw(1, 3);
    s.pad_top = draw(0, 3), s.pad_bottom = draw(0, 3), s.pad_left = draw(0, 3), s.pad_right = draw(0, 3);
    s.dilation_h = draw(1, 2), s.dilation_w = draw(1, 2);
    s.groups = draw(1, 3);
    s.c_in *= s.groups, s.c_out *= s.groups;
    if (s.h + s.pad_top + s.pad_bottom <= s.dilation_h * (s.kh - 1)) continue;
    if (s.w + s.pad_left + s.pad_right <= s.dilation_w * (s.kw - 1)) continue;
    check<float>(s, i % 2 == 0);
  }
}

TEST_CASE("an empty batch") {
  const Conv2dShape s{0, 4, 4, 2, 3, 3, 3};
  const std::vector<float> w = random_values<float>(3 * 3 * 2 * 3);
  std::vector<float> dw(w.size(), 1);
  conv2d<float>(s, nullptr, w.data(), nullptr);
  conv2d_input_gradient<float>(s, nullptr, w.data(), nullptr);
  conv2d_weight_gradient<float>(s, nullptr, nullptr, dw.data());
  for (const float x : dw) CHECK(x == 0);
}

TEST_CASE_TEMPLATE("the same bits for any number of threads", T, float, double) {
  const std::int64_t before = parallel_runs();
  for (const Conv2dShape& s :
       {Conv2dShape{5, 14, 14, 32, 3, 3, 40, 1, 1, 1, 1, 1, 1}, Conv2dShape{3, 28, 28, 3, 5, 5, 24, 2, 2},
        Conv2dShape{2, 15, 15, 64, 3, 3, 64, 2, 2, 1, 1, 1, 1, 1, 1, 64}, Conv2dShape{2, 15, 15, 48, 1, 1, 64}}) {
    const std::vector<T> x = random_values<T>(s.n * s.h * s.w * s.c_in);
    const std::vector<T> w = random_values<T>(s.kh * s.kw * s.c_in / s.groups * s.c_out);
    const std::vector<T> dy = random_values<T>(s.n * s.out_h() * s.out_w() * s.c_out);
    std::vector<T> first;
    for (const int threads : {1, 2, 3, 5, 8}) {
      set_num_threads(threads);
      for (int repeat = 0; repeat < 3; ++repeat) {
        std::vector<T> all(dy.size() + x.size() + w.size());
        conv2d(s, x.data(), w.data(), all.data());
        conv2d_input_gradient(s, dy.data(), w.data(), all.data() + dy.size());
        conv2d_weight_gradient(s, x.data(), dy.data(), all.data() + dy.size() + x.size());
        if (first.empty()) first = all;
        CHECK(std::memcmp(all.data(), first.data(), all.size() * sizeof(T)) == 0);
      }
    }
    set_num_threads(0);
  }
  CHECK(parallel_runs() > before);
}

TEST_CASE_TEMPLATE("without memory nothing is written", T, float, bfloat16) {
  int failures = 0;
  for (const Conv2dShape& s :
       {Conv2dShape{1, 9, 9, 3, 3, 3, 5, 1, 1, 1, 1, 1, 1}, Conv2dShape{2, 9, 9, 20, 3, 3, 24},
        Conv2dShape{1, 9, 9, 8, 3, 3, 8, 1, 1, 1, 1, 1, 1, 1, 1, 8}, Conv2dShape{1, 9, 9, 3, 1, 1, 5}}) {
    const std::vector<T> x = random_values<T>(s.n * s.h * s.w * s.c_in);
    const std::vector<T> w = random_values<T>(s.kh * s.kw * s.c_in / s.groups * s.c_out);
    const std::vector<T> dy = random_values<T>(s.n * s.out_h() * s.out_w() * s.c_out);
    for (int which = 0; which < 3; ++which) {
      for (int nth = 1; nth < 16; ++nth) {
        const std::vector<T> before = random_values<T>(std::int64_t(which == 0   ? dy.size()
                                                                    : which == 1 ? x.size()
                                                                                 : w.size()));
        std::vector<T> result = before;
        bool failed = false;
        ergo::detail::local_cache.fail_in = nth;
        try {
          if (which == 0) conv2d(s, x.data(), w.data(), result.data());
          if (which == 1) conv2d_input_gradient(s, dy.data(), w.data(), result.data());
          if (which == 2) conv2d_weight_gradient(s, x.data(), dy.data(), result.data());
        } catch (const OutOfMemory&) { failed = true; }
        ergo::detail::local_cache.fail_in = 0;
        if (failed) {
          ++failures;
          CHECK(std::memcmp(result.data(), before.data(), before.size() * sizeof(T)) == 0);
        }
      }
    }
  }
  CHECK(failures > 0);
}

}  // namespace cpu_conv2d_test
