// Operations on the axes of images beside their rows: numbers of PyTorch 2 (float64, CPU, align_corners=False), special
// values, storage types, and what is refused, in whose words.
// again: cuda
#include <algorithm>
#include <cmath>
#include <limits>

#include <doctest/doctest.h>

#include "ergo/autograd/transforms.hpp"
#include "ergo/ops/average_pooling.hpp"
#include "ergo/ops/conv1d.hpp"
#include "ergo/ops/conv_transpose.hpp"
#include "ergo/ops/grid_sample.hpp"
#include "ergo/ops/movement.hpp"
#include "ergo/ops/random.hpp"
#include "ergo/ops/upsampling.hpp"
#include "support/message.hpp"

namespace ops_images_test {

using namespace ergo;

namespace {

// ((37 i + 11) mod 101) / 50 - 1, row-major.
template <class T = double>
Tensor<T> image(const Shape& s) {
  std::vector<T> v;
  for (std::int64_t i = 0; i < s.numel(); ++i) v.push_back(T(double((i * 37 + 11) % 101) / 50 - 1));
  return from_span<T>(v, s);
}
void check_close(const Tensor<double>& y, const Shape& s, const std::vector<double>& expected) {
  CHECK(y.shape() == s);
  const auto v = y.to_vector();
  REQUIRE(v.size() == expected.size());
  for (std::size_t i = 0; i < v.size(); ++i) CHECK(v[i] == doctest::Approx(expected[i]).epsilon(1e-12));
}

}  // namespace

TEST_CASE("interpolation gives PyTorch's numbers") {
  const auto x = image({1, 3, 4, 2});
  check_close(upsample_nearest2d(x, {2, 7}), {1, 2, 7, 2},  // its 'nearest-exact'
              {-0.78, -0.04, -0.78, -0.04, 0.7,  -0.58, 0.16,  0.9,  0.16,  0.9,  -0.38, 0.36, -0.38, 0.36,
               0.96,  -0.32, 0.96,  -0.32, 0.42, -0.86, -0.12, 0.62, -0.12, 0.62, -0.66, 0.08, -0.66, 0.08});
  check_close(upsample_bilinear2d(x, {5, 3}), {1, 5, 3, 2},
              {-0.533333333333333,
               -0.13,
               0.43,
               0.16,
               -0.29,
               0.45,
               -0.589333333333333,
               -0.186,
               0.374,
               0.104,
               -0.346,
               0.394,
               -0.673333333333333,
               -0.27,
               0.29,
               0.02,
               -0.43,
               0.31,
               0.252666666666666,
               -0.354,
               0.206,
               -0.064,
               -0.514,
               0.226,
               0.87,
               -0.41,
               0.15,
               -0.12,
               -0.57,
               0.17});
  check_close(upsample_bicubic2d(x, {2, 7}), {1, 2, 7, 2},
              {-1.03169879879965,  -0.0132199799562682, -0.316105280840015, -0.341815096574344, 0.60940412604774,
               -0.644264076166181, 0.59923583984375,    0.133203125,        0.0773631104227407, 0.910670326166181,
               -0.256004236516035, 0.608221346574344,   -0.460373770043732, 0.279626229956269,  0.537310481391217,
               -0.239626229956268, 0.534291351585277,   -0.568221346574344, 0.47645174699344,   -0.870670326166181,
               0.2197021484375,    -0.093203125,        -0.149043139577259, 0.684264076166181,  -0.482410486516035,
               0.381815096574344,  -0.686780020043732,  0.0532199799562684});
}
TEST_CASE("average pools give PyTorch's numbers") {
  const auto x = image({1, 5, 4, 1});
  const AvgPoolOptions o{.stride = 2, .padding = 1, .ceil_mode = true};
  check_close(avg_pool2d(x, 3, o), {1, 3, 3, 1},
              {0.0266666666666666, 0.106666666666667, -0.0366666666666667, 0.0822222222222222, 0.111111111111111,
               -0.0233333333333333, 0.157777777777778, -0.0333333333333333, -0.106666666666667});
  AvgPoolOptions inside = o;
  inside.count_padding = false;
  check_close(avg_pool2d(x, 3, inside), {1, 3, 3, 1},
              {0.06, 0.16, -0.11, 0.123333333333333, 0.111111111111111, -0.0466666666666666, 0.355, -0.05, -0.32});
  check_close(adaptive_avg_pool2d(x, 3), {1, 3, 3, 1},
              {0.06, 0.295, 0.025, 0.123333333333333, 0.19, -0.08, 0.355, 0.085, -0.185});
}
TEST_CASE("conv_transpose2d gives PyTorch's numbers") {
  const auto y =
      conv_transpose2d(image({1, 2, 2, 4}), image({2, 2, 4, 1}),
                       {.stride = {3, 2}, .padding = 1, .dilation = {2, 1}, .groups = 2, .output_padding = {2, 1}});
  check_close(y, {1, 6, 3, 2},
              {0,       0,       0,       0,       0,      0,      -0.046, -0.4916, -0.3092, -0.472, 0.6872, 0.2768,
               -0.3092, -0.472,  -0.046,  -0.4916, 0.6872, 0.2768, 0,      0,       0,       0,      0,      0,
               -0.1552, -0.4496, -0.1552, -0.4496, 0.578,  0.3188, 0,      0,       0,       0,      0,      0});
}
TEST_CASE("a factor and the extents it makes are one; one image needs no batch; nothing stays nothing") {
  const auto x = image({2, 3, 4, 2});
  CHECK(upsample_bicubic2d(x, 2).to_vector() == upsample_bicubic2d(x, {6, 8}).to_vector());
  CHECK(upsample_nearest2d(x, 1).to_vector() == x.to_vector());
  CHECK(upsample_bilinear2d(x, 1).to_vector() == x.to_vector());
  CHECK(upsample_bicubic2d(x, {3, 4}).to_vector() == x.to_vector());
  CHECK(upsample_bilinear2d(image({3, 4, 2}), 2).shape() == Shape{6, 8, 2});
  CHECK(upsample_nearest2d(image({2, 0, 4, 3}), 2).shape() == Shape{2, 0, 8, 3});
  CHECK(avg_pool2d(image({4, 4, 2}), 2).shape() == Shape{2, 2, 2});
  CHECK(adaptive_avg_pool2d(image({4, 5, 2}), {3, 2}).shape() == Shape{3, 2, 2});
  CHECK(global_avg_pool(image({4, 5, 2})).shape() == Shape{2});
  CHECK(conv1d(image({6, 2}), image({3, 2, 4})).shape() == Shape{4, 4});
  CHECK(conv_transpose2d(image({2, 3, 2}), image({3, 3, 2, 5}), {.stride = 2}).shape() == Shape{5, 7, 5});
  CHECK(conv_transpose2d(image({0, 2, 3, 2}), image({3, 3, 2, 5})).shape() == Shape{0, 4, 5, 5});
}
TEST_CASE("means of equal elements are that element, of any window") {
  const Tensor<float> x = full<float>({1, 7, 9, 5}, 0.3f);
  for (const std::int64_t k : {2, 3, 5, 7})
    for (const float v : avg_pool2d(x, k, {.stride = 1}).to_vector()) CHECK(std::abs(v - 0.3f) <= 6e-8f);
}
TEST_CASE("NaN and infinities go where they are asked for, and no further") {
  const float nan = std::numeric_limits<float>::quiet_NaN(), inf = std::numeric_limits<float>::infinity();
  const Tensor<float> x = from_span<float>(std::vector<float>{nan, 1, 2, 3, 4, inf}, {1, 1, 6, 1});
  const auto pooled = avg_pool2d(x, {1, 2}).to_vector();
  CHECK(std::isnan(pooled[0]));
  CHECK(pooled[1] == 2.5f);
  CHECK(pooled[2] == inf);
  const auto same = upsample_bicubic2d(x, {1, 6}).to_vector();
  CHECK(std::isnan(same[0]));
  for (int i = 1; i < 5; ++i) CHECK(same[std::size_t(i)] == float(i));
  CHECK(same[5] == inf);
  const auto smaller = upsample_bilinear2d(x, {1, 3}).to_vector();
  CHECK(std::isnan(smaller[0]));
  CHECK(smaller[1] == 2.5f);
  // Backward, a NaN cotangent reaches the elements of its own result alone.
  const auto back = vjp(
                        [](const Tensor<float>& t) {
                          return upsample_bicubic2d(t, {1, 3});
                        },
                        full<float>({1, 1, 5, 1}, 1.0f))
                        .second(from_span<float>(std::vector<float>{1, nan, 1}, {1, 1, 3, 1}))
                        .to_vector();
  CHECK(std::isnan(back[2]));
  CHECK(!std::isnan(back[0]));
  CHECK(!std::isnan(back[4]));
}
TEST_CASE_TEMPLATE("16-bit types compute in float and round once", T, half, bfloat16) {
  const auto x = image<float>({1, 5, 6, 3});
  const Tensor<T> stored = cast<T>(x);
  const Tensor<float> wide = cast<float>(stored);
  const auto same = [](const Tensor<T>& y, const Tensor<float>& z) {
    CHECK(cast<float>(y).to_vector() == cast<float>(cast<T>(z)).to_vector());
  };
  same(avg_pool2d(stored, 3, {.stride = 2}), avg_pool2d(wide, 3, {.stride = 2}));
  same(adaptive_avg_pool2d(stored, {3, 4}), adaptive_avg_pool2d(wide, {3, 4}));
  same(upsample_bilinear2d(stored, {7, 4}), upsample_bilinear2d(wide, {7, 4}));
  same(upsample_bicubic2d(stored, 2), upsample_bicubic2d(wide, 2));
}
TEST_CASE("grid_sample and its gradients give PyTorch's numbers") {
  const auto x = image({1, 3, 4, 2});
  std::vector<double> v;
  for (int i = 0; i < 20; ++i) v.push_back(double((i * 29 + 5) % 61) / 20 - 1.5);
  const auto grid = from_span<double>(v, {1, 2, 5, 2});
  // Of the sum of squares.
  const auto gradients = [&](const GridSampleOptions& o, bool of_x) {
    const auto loss = [&](const Tensor<double>& a, const Tensor<double>& b) {
      const auto y = grid_sample(a, b, o);
      return sum(y * y);
    };
    return of_x ? grad([&](const Tensor<double>& t) { return loss(t, grid); })(x)
                : grad([&](const Tensor<double>& t) { return loss(x, t); })(grid);
  };
  const GridSampleOptions zeros, reflection{.padding = GridPadding::reflection};
  check_close(grid_sample(x, grid), {1, 2, 5, 2},
              {0,       0,      0,       0,      0,       0,     0,      0,     -0.0436, 0.0304,
               -0.1618, 0.1342, -0.2527, 0.2394, -0.2755, 0.261, -0.109, 0.261, -0.0154, 0.1881});
  check_close(gradients(zeros, true), {1, 3, 4, 2},
              {0, 0, 0,        0,       -0.037782, 0.140373, -0.927274, 1.013154, 0, 0, 0, 0,
               0, 0, -0.02614, 0.02122, 0,         0,        0,         0,        0, 0, 0, 0});
  check_close(
      gradients(zeros, false), {1, 2, 5, 2},
      {0,          0,         0,         0,        0,         0,       0,        0,        -0.1130048, 0.0005544,
       -0.4418888, 0.0046368, -0.692398, 0.382641, -0.576085, 0.59595, -0.16416, 0.480012, -0.1025838, 0.3885684});
  check_close(grid_sample(x, grid, reflection), {1, 2, 5, 2},
              {-0.356,  -0.222, -0.38045, -0.3525, -0.229, 0.511, -0.3595, 0.3805, -0.436, 0.304,
               -0.4045, 0.3355, -0.38,    0.36,    -0.38,  0.36,  -0.218,  0.522,  -0.056, 0.684});
  check_close(gradients(reflection, true), {1, 3, 4, 2},
              {0,           0,          0,           0,          -0.286275, 1.267725, -3.310675, 3.941325,
               -0.99108275, -0.7672875, -0.21114975, -0.1956375, -0.284525, 0.529475, -1.044525, 1.175475,
               -0.25354725, -0.1702125, -0.01712025, -0.0158625, 0,         0,        0,         0});
  check_close(grid_sample(x, grid, {.mode = GridMode::nearest, .padding = GridPadding::reflection}), {1, 2, 5, 2},
              {-0.92, -0.18, -0.92, -0.18, 0.02,  0.76, -0.52, 0.22, -0.38, 0.36,
               -0.38, 0.36,  -0.38, 0.36,  -0.38, 0.36, -0.38, 0.36, 0.16,  0.9});
  check_close(grid_sample(x, grid, {.mode = GridMode::nearest}), {1, 2, 5, 2},
              {0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, -0.38, 0.36, -0.38, 0.36, -0.38, 0.36, 0, 0});
}
TEST_CASE("grid_sample at and beyond the outer pixels' centres gives PyTorch's gradients") {
  const auto x = from_span<double>(std::vector<double>{1, 2, 4, 8}, {1, 4, 1}, default_device());
  const std::vector<double> across{-1.75, -1.25, -1, -0.75, -0.25, 0.25, 0.75, 1, 1.25, 1.75, 3.75};
  struct Case {
    GridPadding padding;
    std::vector<double> by_x, by_y;  // of torch 2.15.0 (float64, CPU), y = 0
  };
  const Case cases[] = {
      {GridPadding::zeros, {0, 2, 2, 2, 4, 8, -16, -16, 0, 0, 0}, {0, 0, -0.25, -0.5, -1, -2, -4, -2, 0, 0, 0}},
      {GridPadding::border, {0, 0, 0, 0, 4, 8, 0, 0, 0, 0, 0}, std::vector<double>(11, 0)},
      {GridPadding::reflection, {-4, 0, 0, 0, 4, 8, 0, 0, 0, -8, 4}, std::vector<double>(11, 0)}};
  std::vector<double> v;
  for (const double p : across) v.insert(v.end(), {p, 0.0});
  const auto grid = from_span<double>(v, {1, 11, 2}, default_device());
  for (const Case& c : cases) {
    CAPTURE(int(c.padding));
    const auto read = [&](const Tensor<double>& at) { return sum(grid_sample(x, at, {.padding = c.padding})); };
    const auto same = [&](const Tensor<double>& d) {
      const auto got = d.to_vector();
      for (std::size_t i = 0; i < across.size(); ++i) {
        CAPTURE(across[i]);
        CHECK(got[2 * i] == c.by_x[i]);
        CHECK(got[2 * i + 1] == c.by_y[i]);
      }
    };
    same(grad(read)(grid));
    // By the definition: forward, one coordinate at a time, and backward through it.
    for (int k = 0; k < 2; ++k) {
      std::vector<double> along(v.size(), 0);
      for (std::size_t i = 0; i < across.size(); ++i) along[2 * i + std::size_t(k)] = 1;
      const auto f = [&](const Tensor<double>& at) { return grid_sample(x, at, {.padding = c.padding}); };
      const auto slope = jvp(f)(grid, from_span<double>(along, {1, 11, 2}, default_device())).second.to_vector();
      for (std::size_t i = 0; i < across.size(); ++i) CHECK(slope[i] == (k == 0 ? c.by_x : c.by_y)[i]);
    }
    if (c.padding != GridPadding::zeros) {  // mixed second derivative: the slope of one padding pixel is none
      const auto twice = grad([&](const Tensor<double>& at) { return sum(grad(read)(at)); })(grid).to_vector();
      for (const double d : twice) CHECK(d == 0);
    }
  }
}
TEST_CASE("grid_sample of NaN and infinite coordinates") {
  constexpr double nan = std::numeric_limits<double>::quiet_NaN(), inf = std::numeric_limits<double>::infinity();
  const auto x = from_span<double>(std::vector<double>{1, 2, 4, 8}, {1, 4, 1}, default_device());
  const auto read = [&](GridPadding padding) {
    return grid_sample(x,
                       from_span<double>(std::vector<double>{nan, 0, nan, 5, 0.25, nan, 5, nan, inf, 0, -inf, 0},
                                         {1, 6, 2}, default_device()),
                       {.padding = padding})
        .to_vector();
  };
  const auto zeros = read(GridPadding::zeros), border = read(GridPadding::border),
             reflection = read(GridPadding::reflection);
  for (const std::size_t i : {0u, 2u}) CHECK(std::isnan(zeros[i]));
  for (const std::size_t i : {1u, 3u, 4u, 5u}) CHECK(zeros[i] == 0);  // outside along the other axis, or far away
  for (std::size_t i = 0; i < 4; ++i) CHECK(std::isnan(border[i]));
  CHECK(border[4] == 8);
  CHECK(border[5] == 1);
  for (const double v : reflection) CHECK(std::isnan(v));
}
#if !defined(ERGO_TEST_DEVICE)
TEST_CASE("working memory is that of some places, of some windows' ends") {
  const auto peak_beside = [](std::int64_t given, const auto& f) {
    release_cached_memory();
    const std::int64_t before = memory_info().live;
    reset_peak_memory();
    f();
    return memory_info().peak - before - given;
  };
  // Windows of 2000 at stride 1: as taps 16 bytes each, 128 MB.
  const Tensor<float> line = ones<float>({1, 1, 10000, 1});
  const auto pool = [](const Tensor<float>& t) { return avg_pool2d(t, {1, 2000}, {.stride = 1}); };
  CHECK(peak_beside(8001 * 4, [&] { CHECK(pool(line).to_vector()[8000] == 1); }) < 2 << 20);
  const auto pull = vjp(pool, line).second;
  const Tensor<float> g = ones<float>({1, 1, 8001, 1});
  CHECK(peak_beside(10000 * 4, [&] {
          const auto back = pull(g).to_vector();
          CHECK(back[0] == doctest::Approx(1.0 / 2000));
          CHECK(back[5000] == doctest::Approx(1));
        }) < 2 << 20);
  // Of 400,000 places in eight images, and in one: 88 bytes each.
  for (const std::int64_t n : {8, 1}) {
    const Tensor<float> plane = ones<float>({n, 8, 8, 1}), grid = zeros<float>({n, 400, 1000 / n, 2}),
                        of_y = ones<float>({n, 400, 1000 / n, 1});
    const auto back = vjp([&](const Tensor<float>& t) { return grid_sample(t, grid); }, plane).second;
    CHECK(peak_beside(n * 64 * 4, [&] { CHECK(sum(back(of_y)).item() == 400000); }) < 4 << 20);
  }
}
TEST_CASE("what places add to an image does not depend on the number of threads, nor on how they are cut") {
  const int before = num_threads();
  struct Sizes {
    std::int64_t n, h, w, c, places;
  };
  for (const Sizes s : {Sizes{3, 9, 7, 3, 40000}, {1, 30, 20, 2, 70001}, {500, 2, 3, 1, 100}, {2, 5, 6, 16, 33000}}) {
    const auto x = normal<float>(Key{1}, {s.n, s.h, s.w, s.c}), g = normal<float>(Key{2}, {s.n, 1, s.places, s.c}),
               grid = uniform<float>(Key{3}, {s.n, 1, s.places, 2}, -1.2f, 1.2f);
    const auto back = vjp([&](const Tensor<float>& t) { return grid_sample(t, grid); }, x).second;
    set_num_threads(1);
    const auto one = back(g).to_vector();
    for (const int threads : {2, 3, 8}) {
      set_num_threads(threads);
      CHECK(back(g).to_vector() == one);
    }
    // Image by image, place by place.
    std::vector<double> sums(one.size(), 0);
    const auto at = grid.to_vector(), of_y = g.to_vector();
    for (std::int64_t p = 0; p < s.n * s.places; ++p) {
      const double px = ((double(at[std::size_t(2 * p)]) + 1) * double(s.w) - 1) / 2,
                   py = ((double(at[std::size_t(2 * p + 1)]) + 1) * double(s.h) - 1) / 2;
      for (int k = 0; k < 4; ++k) {
        const double column = std::floor(px) + k % 2, row = std::floor(py) + k / 2;
        if (column < 0 || column >= double(s.w) || row < 0 || row >= double(s.h)) continue;
        const double weight = (1 - std::abs(px - column)) * (1 - std::abs(py - row));
        for (std::int64_t c = 0; c < s.c; ++c)
          sums[std::size_t(((p / s.places * s.h + std::int64_t(row)) * s.w + std::int64_t(column)) * s.c + c)] +=
              weight * double(of_y[std::size_t(p * s.c + c)]);
      }
    }
    double most = 0;
    for (std::size_t i = 0; i < one.size(); ++i) most = std::max(most, std::abs(double(one[i]) - sums[i]));
    CHECK(most < 2e-3);
  }
  set_num_threads(before);
  // No places at all: zeros.
  const auto none = vjp(
      [&](const Tensor<float>& t) {
        return grid_sample(t, zeros<float>({2, 0, 3, 2}));
      },
      ones<float>({2, 3, 4, 1}));
  CHECK(none.second(zeros<float>({2, 0, 3, 1})).to_vector() == std::vector<float>(24, 0));
}
#endif
TEST_CASE("grid_sample: one image, 16-bit types, places that coincide, what is refused") {
  const auto x = image<float>({3, 4, 2});
  const auto grid = image<float>({2, 5, 2});
  CHECK(grid_sample(x, grid).shape() == Shape{2, 5, 2});
  CHECK(grid_sample(image<float>({0, 3, 4, 2}), image<float>({0, 2, 5, 2})).shape() == Shape{0, 2, 5, 2});
  CHECK(cast<float>(grid_sample(cast<half>(x), cast<half>(grid))).to_vector() ==
        cast<float>(cast<half>(grid_sample(cast<float>(cast<half>(x)), cast<float>(cast<half>(grid))))).to_vector());
  // A thousand places at one pixel: its gradient counts them all, the others none.
  const Tensor<float> middle = full<float>({1, 1000, 2}, 0.0f);
  const auto dx = grad([&](const Tensor<float>& t) { return sum(grid_sample(t, middle)); })(image<float>({3, 5, 1}));
  for (std::size_t i = 0; i < 15; ++i) CHECK(dx.to_vector()[i] == (i == 7 ? 1000.0f : 0.0f));

  CHECK(message_of([&] {
          grid_sample(x, image<float>({2, 5, 3}));
        }) == "[grid_sample] (3, 4, 2) x (2, 5, 3): the grid's places have 3 coordinates, not 2: (x, y)");
  CHECK(message_of([&] {
          grid_sample(x, image<float>({1, 2, 5, 2}));
        }) ==
        "[grid_sample] (3, 4, 2) x (1, 2, 5, 2): an image (N, H, W, C) and a grid (N, OH, OW, 2), or both without N, "
        "are expected");
  CHECK(message_of([&] {
          grid_sample(image<float>({2, 3, 4, 1}), image<float>({3, 2, 5, 2}));
        }) == "[grid_sample] (2, 3, 4, 1) x (3, 2, 5, 2): batches of 2 images and 3 grids differ");
  CHECK(message_of([&] {
          grid_sample(image<float>({0, 4, 1}), grid);
        }) == "[grid_sample] (0, 4, 1) x (2, 5, 2): the image's plane is empty");
}
TEST_CASE("what pools refuse") {
  const auto x = image<float>({1, 4, 6, 2});
  const auto flat = image<float>({4, 6});
  CHECK(message_of([&] { avg_pool2d(flat, 2); }) ==
        "[avg_pool2d] (4, 6): an image (N, H, W, C) or (H, W, C) is expected");
  CHECK(message_of([&] { avg_pool2d(x, 5); }) ==
        "[avg_pool2d] (1, 4, 6, 2): a kernel of 5 is larger than the padded axis of 4");
  CHECK(message_of([&] { avg_pool2d(x, 3, {.padding = 2}); }) ==
        "[avg_pool2d] (1, 4, 6, 2): padding is at most half the kernel of 3");
  CHECK(message_of([&] { avg_pool2d(x, 3, {.padding = -1}); }) ==
        "[avg_pool2d] (1, 4, 6, 2): padding is at most half the kernel of 3");
  CHECK(message_of([&] { avg_pool2d(x, 3, {.padding = std::int64_t(1) << 62}); }) ==
        "[avg_pool2d] (1, 4, 6, 2): padding is at most half the kernel of 3");
  CHECK(message_of([&] { avg_pool2d(x, 0); }) ==
        "[avg_pool2d] (1, 4, 6, 2): kernel and stride are at least 1 and at most 2^28");
  CHECK(message_of([&] {
          avg_pool2d(x, 2, {.stride = {1, 0}});
        }) == "[avg_pool2d] (1, 4, 6, 2): kernel and stride are at least 1 and at most 2^28");
  CHECK(message_of([] {
          avg_pool2d(image<float>({1, 0, 6, 2}), 2, {.padding = 1});
        }) == "[avg_pool2d] (1, 0, 6, 2): the image's plane is empty");
  CHECK(message_of([] {
          max_pool2d(image<float>({1, 0, 6, 2}), 2, {.padding = 1});
        }) == "[max_pool2d] (1, 0, 6, 2): the image's plane is empty");
  CHECK(message_of([&] {
          adaptive_avg_pool2d(x, {3, 0});
        }) ==
        "[adaptive_avg_pool2d] (1, 4, 6, 2): the result's plane of 3 by 0 is empty, or of 2^31 elements and more");
  CHECK(message_of([] {
          adaptive_avg_pool2d(image<float>({0, 6, 2}), 2);
        }) == "[adaptive_avg_pool2d] (0, 6, 2): the image's plane is empty");
  CHECK(message_of([&] { global_avg_pool(flat); }) ==
        "[global_avg_pool] (4, 6): an image (N, H, W, C) or (H, W, C) is expected");
}
TEST_CASE("what upsampling refuses") {
  const auto x = image<float>({1, 4, 6, 2});
  CHECK(message_of([&] { upsample_nearest2d(x, 0); }) ==
        "[upsample_nearest2d] (1, 4, 6, 2): the factor is 0, at least 1 is expected");
  CHECK(message_of([&] {
          upsample_bilinear2d(x, {3, -1});
        }) ==
        "[upsample_bilinear2d] (1, 4, 6, 2): the result's plane of 3 by -1 is empty, or of 2^31 elements and more");
  CHECK(message_of([&] { upsample_bicubic2d(x, 100000); }) ==
        "[upsample_bicubic2d] (1, 4, 6, 2): the result's plane of 400000 by 600000 is empty, or of 2^31 elements and "
        "more");
  CHECK(message_of([] {
          upsample_bicubic2d(image<float>({2, 0, 3, 1}), {4, 4});
        }) == "[upsample_bicubic2d] (2, 0, 3, 1): the image's plane is empty");
  CHECK(message_of([] {
          upsample_nearest2d(image<float>({4, 6}), 2);
        }) == "[upsample_nearest2d] (4, 6): an image (N, H, W, C) or (H, W, C) is expected");
}
TEST_CASE("what conv1d and conv_transpose2d refuse") {
  const auto x = image<float>({2, 5, 3});
  CHECK(message_of([&] {
          conv1d(x, image<float>({3, 2, 4}));
        }) == "[conv1d] (2, 5, 3) x (3, 2, 4): channels 3 and 2 differ (weights are (K, C_in / groups, C_out))");
  CHECK(message_of([&] {
          conv1d(x, image<float>({7, 3, 4}), {.padding = {0, 1}});
        }) == "[conv1d] (2, 5, 3) x (7, 3, 4): a kernel of 7 is larger than the padded sequence of 6");
  CHECK(message_of([&] {
          conv1d(x, image<float>({3, 3, 4}), {.stride = 0});
        }) == "[conv1d] (2, 5, 3) x (3, 3, 4): stride and dilation are at least 1 and at most 2^28");
  CHECK(message_of([&] {
          conv1d(x, image<float>({3, 1, 4}), {.groups = 3});
        }) == "[conv1d] (2, 5, 3) x (3, 1, 4): the 4 output channels do not divide into 3 groups");
  CHECK(message_of([&] {
          conv1d(image<float>({5}), image<float>({3, 3, 4}));
        }) ==
        "[conv1d] (5,) x (3, 3, 4): sequences (N, T, C_in) or (T, C_in) and weights (K, C_in / groups, C_out) are "
        "expected");
  // Numbers whose products do not fit 64 bits: of one element, broadcast, and of none.
  constexpr std::int64_t much = std::int64_t(1) << 62, long_kernel = std::int64_t(1) << 36;
  CHECK(message_of([&] {
          conv1d(zeros<float>({2, 5, 0}), image<float>({3, 4, 4}), {.groups = much});
        }) == "[conv1d] (2, 5, 0) x (3, 4, 4): 4611686018427387904 groups of 4 channels are more than there can be");
  CHECK(message_of([&] {
          conv2d(zeros<float>({2, 5, 5, 0}), image<float>({3, 3, 4, 4}), {.groups = much});
        }) ==
        "[conv2d] (2, 5, 5, 0) x (3, 3, 4, 4): 4611686018427387904 groups of 4 channels are more than there can be");
  CHECK(message_of([&] {
          conv_transpose2d(zeros<float>({2, 5, 5, 0}), zeros<float>({3, 3, 0, 4}), {.groups = much});
        }) ==
        "[conv_transpose2d] (2, 5, 5, 0) x (3, 3, 0, 4): 4611686018427387904 groups of 4 channels are more than there "
        "can be");
  CHECK(message_of([&] {
          conv1d(x, broadcast_to(image<float>({1, 3, 4}), {long_kernel, 3, 4}), {.dilation = 1 << 28});
        }) == "[conv1d] (2, 5, 3) x (68719476736, 3, 4): kernels over 2^28 and sequences over 2^60 are not supported");
  CHECK(message_of([&] {
          conv2d(image<float>({1, 5, 5, 3}), broadcast_to(image<float>({1, 1, 3, 4}), {1, long_kernel, 3, 4}),
                 {.dilation = 1 << 28});
        }) == "[conv2d] (1, 5, 5, 3) x (1, 68719476736, 3, 4): kernels over 2^28 and axes over 2^60 are not supported");
  CHECK(message_of([&] {
          conv1d(zeros<float>({0, much, 3}), image<float>({3, 3, 4}), {.padding = Padding::same});
        }) ==
        "[conv1d] (0, 4611686018427387904, 3) x (3, 3, 4): kernels over 2^28 and sequences over 2^60 are not "
        "supported");
  const auto y = image<float>({1, 3, 4, 4});
  CHECK(message_of([&] {
          conv_transpose2d(y, image<float>({3, 3, 5, 2}));
        }) ==
        "[conv_transpose2d] (1, 3, 4, 4) x (3, 3, 5, 2): channels 4 and 5 differ (weights are (KH, KW, C_in, C_out / "
        "groups))");
  CHECK(message_of([&] {
          conv_transpose2d(y, image<float>({3, 3, 4, 2}), {.stride = 2, .output_padding = {1, 2}});
        }) ==
        "[conv_transpose2d] (1, 3, 4, 4) x (3, 3, 4, 2): output_padding (1, 2) is not less than the stride (2, 2)");
  CHECK(message_of([&] {
          conv_transpose2d(y, image<float>({1, 1, 4, 2}), {.padding = 2});
        }) == "[conv_transpose2d] (1, 3, 4, 4) x (1, 1, 4, 2): the padding leaves a result of -1 by 0");
  CHECK(message_of([&] {
          conv_transpose2d(y, image<float>({3, 3, 4, 2}), {.groups = 3});
        }) == "[conv_transpose2d] (1, 3, 4, 4) x (3, 3, 4, 2): the 4 input channels do not divide into 3 groups");
  CHECK(message_of([&] {
          conv_transpose2d(y, image<float>({3, 3, 4, 2}), {.stride = 2, .padding = Padding::same, .output_padding = 1});
        }) ==
        "[conv_transpose2d] (1, 3, 4, 4) x (3, 3, 4, 2): Padding::same gives the result's size by itself, without "
        "output_padding");
}

}  // namespace ops_images_test
