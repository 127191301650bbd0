// label: simt
// Kernels of max_pool2d, forward and backward, against scalar loops and the CPU's choice: ties, NaN, padding, strides.
#include <cmath>
#include <cstring>
#include <limits>
#include <random>

#include <doctest/doctest.h>

#include "ergo/cpu/max_pool.hpp"
#include "ergo/kernels/pool.cuh"
#include "support/device_array.hpp"
#include "support/seed.hpp"

namespace kernels_pool_test {

using namespace ergo::cuda;
using ergo::bfloat16;
using test::DeviceArray;

Stream& stream() { return current_stream(ergo::Device::cuda()); }

template <class T>
using Wide = std::conditional_t<sizeof(T) == 2, float, T>;

// From few values, so that ties are frequent, and with NaN, infinities and zeros of both signs.
template <class T>
std::vector<T> numbers(std::mt19937& random, std::int64_t n, bool special) {
  const float rare[] = {std::numeric_limits<float>::quiet_NaN(), std::numeric_limits<float>::infinity(),
                        -std::numeric_limits<float>::infinity(), -0.0f};
  std::vector<T> x(static_cast<std::size_t>(n));
  for (T& v : x) v = special && random() % 6 == 0 ? T(rare[random() % 4]) : T(float(int(random() % 9) - 4) * 0.375f);
  return x;
}
template <class T>
bool same(const T& a, const T& b) {  // bits, but any NaN for a NaN
  return (Wide<T>(a) != Wide<T>(a) && Wide<T>(b) != Wide<T>(b)) || std::memcmp(&a, &b, sizeof(T)) == 0;
}
template <class T>
std::int64_t different(const std::vector<T>& a, const std::vector<T>& b) {
  std::int64_t n = a.size() == b.size() ? 0 : 1;
  for (std::size_t i = 0; i < a.size() && i < b.size(); ++i) n += !same(a[i], b[i]);
  return n;
}

struct Case {
  std::int64_t n, h, w, c;
  PoolWindow window;
  std::int64_t out_h, out_w;
  bool special = false;
  std::int64_t offset = 0, gap = 0;  // elements before the first, and after each pixel's channels
  bool channels_first = false;       // in memory
};
std::int64_t windows(std::int64_t n, std::int64_t kernel, std::int64_t stride, std::int64_t pad) {
  return (n + 2 * pad - kernel) / stride + 1;
}
Case pooled(std::int64_t n, std::int64_t h, std::int64_t w, std::int64_t c, std::int64_t kh, std::int64_t kw,
            std::int64_t sh, std::int64_t sw, std::int64_t ph, std::int64_t pw) {
  return {n, h, w, c, {kh, kw, sh, sw, ph, pw}, windows(h, kh, sh, ph), windows(w, kw, sw, pw)};
}

template <class T>
View<T, 4> laid_out(T* data, std::int64_t n, std::int64_t h, std::int64_t w, const Case& s) {
  if (s.channels_first) return {data + s.offset, {n, h, w, s.c}, {s.c * h * w, w, 1, h * w}};
  const std::int64_t pixel = s.c + s.gap;
  return {data + s.offset, {n, h, w, s.c}, {h * w * pixel, w * pixel, pixel, 1}};
}
// A row-major copy of a layout's elements, and back.
template <class T>
std::vector<T> compact(const std::vector<T>& x, std::int64_t n, std::int64_t h, std::int64_t w, const Case& s) {
  const auto v = laid_out(x.data(), n, h, w, s);
  std::vector<T> y;
  for (std::int64_t b = 0; b < n; ++b)
    for (std::int64_t i = 0; i < h; ++i)
      for (std::int64_t j = 0; j < w; ++j)
        for (std::int64_t c = 0; c < s.c; ++c) y.push_back(v(b, i, j, c));
  return y;
}

template <class T>
void check_pool(const Case& s) {
  const std::uint64_t seed = test_seed();
  CAPTURE(seed);
  CAPTURE(s.h);
  CAPTURE(s.w);
  CAPTURE(s.c);
  std::mt19937 random{unsigned(seed)};
  const std::int64_t outputs = s.n * s.out_h * s.out_w, inputs = s.n * s.h * s.w, pixel = s.c + s.gap;
  const auto x = numbers<T>(random, s.offset + inputs * pixel, s.special);
  const auto g = numbers<T>(random, s.offset + outputs * pixel, false);
  // In the gaps of results lies what was there before.
  const auto old_y = numbers<T>(random, s.offset + outputs * pixel, false);
  const auto old_x = numbers<T>(random, s.offset + inputs * pixel, false);
  const DeviceArray<T> x_on(x), g_on(g), y_on(old_y), again_on(old_y), dx_on(old_x), scattered_on(old_x);
  const DeviceArray<std::int32_t> choice_on(std::vector<std::int32_t>(old_y.size(), -1));
  const auto on_x = laid_out(x_on.data(), s.n, s.h, s.w, s), on_dx = laid_out(dx_on.data(), s.n, s.h, s.w, s),
             on_scattered = laid_out(scattered_on.data(), s.n, s.h, s.w, s);
  const auto on_y = laid_out(y_on.data(), s.n, s.out_h, s.out_w, s),
             on_g = laid_out(g_on.data(), s.n, s.out_h, s.out_w, s),
             on_again = laid_out(again_on.data(), s.n, s.out_h, s.out_w, s);
  const auto on_choice = laid_out(choice_on.data(), s.n, s.out_h, s.out_w, s);
  launch_max_pool2d<T>(stream(), on_x, on_y, s.window);
  launch_max_pool2d_choice<T>(stream(), on_x, on_choice, s.window);
  launch_pool_gather<T>(stream(), on_x, on_choice, on_again);
  launch_max_pool2d_backward<T>(stream(), on_x, on_g, on_dx, s.window);
  launch_pool_scatter<T>(stream(), on_choice, on_g, on_scattered, s.window);

  const auto px = compact(x, s.n, s.h, s.w, s), pg = compact(g, s.n, s.out_h, s.out_w, s);
  std::vector<T> y;
  std::vector<std::int32_t> choice;
  std::vector<Wide<T>> sum(px.size(), Wide<T>(0));
  for (std::int64_t b = 0; b < s.n; ++b)
    for (std::int64_t oi = 0; oi < s.out_h; ++oi)
      for (std::int64_t oj = 0; oj < s.out_w; ++oj)
        for (std::int64_t c = 0; c < s.c; ++c) {
          std::int64_t at = -1;
          const auto value = [&](std::int64_t k) { return Wide<T>(px[std::size_t((b * s.h * s.w + k) * s.c + c)]); };
          for (std::int64_t p = 0; p < s.window.kernel_h; ++p)
            for (std::int64_t q = 0; q < s.window.kernel_w; ++q) {
              const std::int64_t i = oi * s.window.stride_h - s.window.pad_top + p,
                                 j = oj * s.window.stride_w - s.window.pad_left + q;
              if (i < 0 || j < 0 || i >= s.h || j >= s.w) continue;
              const std::int64_t k = i * s.w + j;
              if (at < 0 || (!std::isnan(value(at)) && (std::isnan(value(k)) || value(k) > value(at)))) at = k;
            }
          choice.push_back(std::int32_t(at));
          y.push_back(px[std::size_t((b * s.h * s.w + at) * s.c + c)]);
          sum[std::size_t((b * s.h * s.w + at) * s.c + c)] += Wide<T>(pg[choice.size() - 1]);
        }
  std::vector<T> dx;
  for (const Wide<T> v : sum) dx.push_back(T(v));
  CHECK(different(compact(y_on.host(), s.n, s.out_h, s.out_w, s), y) == 0);
  CHECK(compact(choice_on.host(), s.n, s.out_h, s.out_w, s) == choice);
  CHECK(different(compact(again_on.host(), s.n, s.out_h, s.out_w, s), y) == 0);
  CHECK(different(compact(dx_on.host(), s.n, s.h, s.w, s), dx) == 0);
  CHECK(different(compact(scattered_on.host(), s.n, s.h, s.w, s), dx) == 0);

  if constexpr (sizeof(T) > 2)
    if (!choice.empty()) {
      const ergo::cpu::PoolShape shape{s.h,
                                       s.w,
                                       s.c,
                                       s.window.kernel_h,
                                       s.window.kernel_w,
                                       s.window.stride_h,
                                       s.window.stride_w,
                                       s.window.pad_top,
                                       s.window.pad_left,
                                       s.out_h,
                                       s.out_w};
      std::vector<std::int32_t> by_cpu(choice.size());
      ergo::cpu::max_pool<T, std::int32_t>(shape, s.n, px.data(), by_cpu.data());
      CHECK(choice == by_cpu);
    }
}

TEST_CASE_TEMPLATE("windows apart, overlapping and with gaps between", T, bfloat16, float, double) {
  for (const bool special : {false, true})
    for (const std::int64_t c : {1, 3, 8, 24}) {
      for (Case s : {pooled(2, 8, 6, c, 2, 2, 2, 2, 0, 0), pooled(1, 9, 7, c, 3, 3, 2, 2, 1, 1),
                     pooled(2, 5, 6, c, 3, 2, 1, 1, 1, 0), pooled(1, 11, 10, c, 2, 3, 4, 5, 0, 1),
                     pooled(1, 6, 9, c, 1, 1, 1, 1, 0, 0), pooled(1, 4, 5, c, 4, 5, 1, 1, 2, 2)}) {
        s.special = special;
        check_pool<T>(s);
      }
    }
}
TEST_CASE_TEMPLATE("gaps, alignment and channels first", T, bfloat16, float, double) {
  for (const std::int64_t offset : {0, 1, 8})
    for (const std::int64_t gap : {0, 1, 8}) {
      Case s = pooled(2, 7, 6, 16, 3, 3, 2, 2, 1, 1);
      s.offset = offset;
      s.gap = gap;
      check_pool<T>(s);
    }
  Case s = pooled(2, 7, 6, 8, 2, 3, 2, 1, 1, 1);
  s.channels_first = true;
  check_pool<T>(s);
}
TEST_CASE("windows that end outside") {
  Case s{1, 6, 8, 4, {3, 3, 2, 3, 0, 1}, 3, 3};  // ceil mode: the last ones begin at 4 and 5
  check_pool<float>(s);
  s.special = true;
  check_pool<double>(s);
}
TEST_CASE("more positions than a block, and long rows of channels") {
  check_pool<float>(pooled(1, 40, 30, 3, 2, 2, 2, 2, 0, 0));
  check_pool<float>(pooled(1, 3, 3, 1200, 2, 2, 1, 1, 0, 0));
}
TEST_CASE("all NaN, all -inf, all equal: the first is chosen") {
  for (const float value : {std::numeric_limits<float>::quiet_NaN(), -std::numeric_limits<float>::infinity(), 0.0f}) {
    const DeviceArray<float> x(std::vector<float>(16, value));
    const DeviceArray<std::int32_t> choice(4);
    launch_max_pool2d_choice<float>(stream(), row_major(x.data(), {1, 4, 4, 1}), row_major(choice.data(), {1, 2, 2, 1}),
                                    {2, 2, 2, 2, 0, 0});
    CHECK(choice.host() == std::vector<std::int32_t>{0, 2, 8, 10});
  }
}
TEST_CASE("a choice shared by images: an axis of stride 0") {
  const DeviceArray<float> x(std::vector<float>{1, 2, 3, 4, 5, 6, 7, 8}), y(2);
  const DeviceArray<std::int32_t> choice(std::vector<std::int32_t>{2});
  const View<std::int32_t, 4> shared{choice.data(), {2, 1, 1, 1}, {0, 1, 1, 1}};
  launch_pool_gather<float>(stream(), row_major(x.data(), {2, 2, 2, 1}), shared, row_major(y.data(), {2, 1, 1, 1}));
  CHECK(y.host() == std::vector<float>{3, 7});
  launch_pool_scatter<float>(stream(), shared, row_major(y.data(), {2, 1, 1, 1}), row_major(x.data(), {2, 2, 2, 1}),
                             {2, 2, 2, 2, 0, 0});
  CHECK(x.host() == std::vector<float>{0, 0, 3, 0, 0, 0, 7, 0});
}
TEST_CASE("no images, no channels") {
  check_pool<float>(pooled(0, 4, 4, 3, 2, 2, 2, 2, 0, 0));
  check_pool<float>(pooled(2, 4, 4, 0, 2, 2, 2, 2, 0, 0));
}
TEST_CASE("positions that need 64 bits are split alike") {
  const DeviceArray<float> x(std::vector<float>{1, 5, 2, 3, 0, 4, 9, 8}), y(2), dx(8);
  const DeviceArray<std::int32_t> choice(2);
  const auto from = row_major(x.data(), {1, 2, 4, 1});
  const auto to = row_major(y.data(), {1, 1, 2, 1});
  const auto back = row_major(dx.data(), {1, 2, 4, 1});
  const PoolWindow window{2, 2, 2, 2, 0, 0};
  using Index = std::uint64_t;
  const PoolGrid<Index> small{2, WideDivisor::of(1), WideDivisor::of(2), WideDivisor::of(1)};
  const PoolGrid<Index> large{8, WideDivisor::of(2), WideDivisor::of(4), WideDivisor::of(1)};
  const auto k = row_major(choice.data(), {1, 1, 2, 1});
  launch(stream(), "test", {1, kPoolBlock}, max_pool_kernel<1, Index, float>, from, to, window, small);
  CHECK(y.host() == std::vector<float>{5, 9});
  launch(stream(), "test", {1, kPoolBlock}, max_pool_choice_kernel<1, Index, float>, from, k, window, small);
  CHECK(choice.host() == std::vector<std::int32_t>{1, 6});
  launch(stream(), "test", {1, kPoolBlock}, max_pool_backward_kernel<1, Index, float, GivenChoice>, GivenChoice{k}, to,
         back, window, large);
  CHECK(dx.host() == std::vector<float>{0, 5, 0, 0, 0, 0, 9, 0});
}

}  // namespace kernels_pool_test
