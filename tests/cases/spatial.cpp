// Rows of operations on the axes of channels-last images: average pools, interpolation, grid_sample, convolution of
// sequences and the transposed one. References are naive loops in long double; linear operations are cubed.
#include <algorithm>

#include "cases/sums.hpp"
#include "ergo/ops/average_pooling.hpp"
#include "ergo/ops/conv1d.hpp"
#include "ergo/ops/conv_transpose.hpp"
#include "ergo/ops/grid_sample.hpp"
#include "ergo/ops/upsampling.hpp"

namespace cases {
namespace {

using namespace ergo;

// ---- averages ----

struct AverageAxis {
  std::int64_t kernel, stride, before = 0, after = 0, results = -1;
  bool count_padding = true;
};
// The cubes of the mean of each window of x (..., H, W, C).
Reference averaged(const Doubles& in, const AverageAxis& h, const AverageAxis& w) {
  const Elements x(in[0]);
  const Shape s = x.shape.last(3), lead = x.shape.first(x.shape.rank() - 3);
  const auto results = [](const AverageAxis& a, std::int64_t n) {
    return a.results >= 0 ? a.results : (n + a.before + a.after - a.kernel) / a.stride + 1;
  };
  return cubes(lead + Shape{results(h, s[0]), results(w, s[1]), s[2]}, [&](const Place& p) {
    const std::size_t n = p.size();
    Real sum = 0;
    std::int64_t counted = 0;
    for (std::int64_t k = 0; k < h.kernel; ++k)
      for (std::int64_t l = 0; l < w.kernel; ++l) {
        const std::int64_t i = p[n - 3] * h.stride - h.before + k, j = p[n - 2] * w.stride - w.before + l;
        const bool inside = i >= 0 && i < s[0] && j >= 0 && j < s[1];
        counted += h.count_padding ? i < s[0] + h.after && j < s[1] + w.after : inside;
        if (!inside) continue;
        Place at = p;
        at[n - 3] = i;
        at[n - 2] = j;
        sum += x(at);
      }
    return double(sum / Real(counted));
  });
}
// The same of windows that begin at the floor and end at the ceiling of their shares.
Reference adaptively(const Doubles& in, std::int64_t h, std::int64_t w) {
  const Elements x(in[0]);
  const Shape s = x.shape.last(3), lead = x.shape.first(x.shape.rank() - 3);
  const auto begin = [](std::int64_t o, std::int64_t n, std::int64_t m) { return o * n / m; };
  const auto end = [](std::int64_t o, std::int64_t n, std::int64_t m) { return ((o + 1) * n + m - 1) / m; };
  return cubes(lead + Shape{h, w, s[2]}, [&](const Place& p) {
    const std::size_t n = p.size();
    Real sum = 0, counted = 0;
    for (std::int64_t i = begin(p[n - 3], s[0], h); i < end(p[n - 3], s[0], h); ++i)
      for (std::int64_t j = begin(p[n - 2], s[1], w); j < end(p[n - 2], s[1], w); ++j) {
        Place at = p;
        at[n - 3] = i;
        at[n - 2] = j;
        sum += x(at);
        counted += 1;
      }
    return double(sum / counted);
  });
}

// ---- interpolation ----

// What element i of n counts for in result o of m.
Real nearest_weight(std::int64_t o, std::int64_t i, std::int64_t n, std::int64_t m) {
  return (2 * o + 1) * n / (2 * m) == i ? 1 : 0;
}
template <class F>
Real tap_weights(std::int64_t o, std::int64_t i, std::int64_t n, std::int64_t m, int reach, const F& of_distance) {
  const Real at = (Real(o) + 0.5L) * Real(n) / Real(m) - 0.5L;
  Real sum = 0;
  for (std::int64_t k = std::int64_t(std::floor(at)) + 1 - reach; k <= std::int64_t(std::floor(at)) + reach; ++k)
    if (std::clamp<std::int64_t>(k, 0, n - 1) == i) sum += of_distance(std::abs(at - Real(k)));
  return sum;
}
Real linear_weight(std::int64_t o, std::int64_t i, std::int64_t n, std::int64_t m) {
  return tap_weights(o, i, n, m, 1, [](Real d) { return 1 - d; });
}
Real cubic_weight(std::int64_t o, std::int64_t i, std::int64_t n, std::int64_t m) {
  const Real a = -0.75L;
  return tap_weights(o, i, n, m, 2, [a](Real d) {
    return d <= 1 ? (a + 2) * d * d * d - (a + 3) * d * d + 1 : a * d * d * d - 5 * a * d * d + 8 * a * d - 4 * a;
  });
}
using WeightOf = Real (*)(std::int64_t o, std::int64_t i, std::int64_t n, std::int64_t m);
Reference interpolated(const Doubles& in, std::int64_t h, std::int64_t w, WeightOf weight) {
  const Elements x(in[0]);
  const Shape s = x.shape.last(3), lead = x.shape.first(x.shape.rank() - 3);
  return cubes(lead + Shape{h, w, s[2]}, [&](const Place& p) {
    const std::size_t n = p.size();
    Real sum = 0;
    for_each_place({s[0], s[1]}, [&](const Place& q) {
      Place at = p;
      at[n - 3] = q[0];
      at[n - 2] = q[1];
      sum += weight(p[n - 3], q[0], s[0], h) * weight(p[n - 2], q[1], s[1], w) * x(at);
    });
    return double(sum);
  });
}
#define BY_FACTOR(f, weight)                                              \
  [](const Doubles& in) {                                                \
    const Shape& s = in[0].shape();                                      \
    return interpolated(in, s[-3] * (f), s[-2] * (f), &weight##_weight); \
  }
#define TO_SIZE(h, w, weight) [](const Doubles& in) { return interpolated(in, h, w, &weight##_weight); }

// A grid for images of s = (..., H, W, C): places that `moves` (in [-2, 2]) shift, but never across a kink: between a
// twentieth and nine twentieths of a pixel behind a pixel's centre, some of them outside.
template <class T>
Tensor<T> places(const Tensor<T>& moves, const Shape& s) {
  const Shape shape = moves.shape().last(3);
  std::vector<T> base, scale;
  for (std::int64_t i = 0; i < shape.numel(); ++i) {
    const std::int64_t n = s[i % 2 ? -3 : -2], pixel = (i * 7 + 3) % (2 * n + 3) - n / 2 - 2;
    base.push_back(T((2 * (double(pixel) + 0.25) + 1) / double(n) - 1));
    scale.push_back(T(0.2 / double(n)));
  }
  return from_span<T>(base, shape) + moves * from_span<T>(scale, shape);
}
Reference sampled(const Doubles& in, GridMode mode, GridPadding padding) {
  const Elements x(in[0]), grid(places(in[1], in[0].shape()));
  const Shape s = x.shape.last(3), g = grid.shape, lead = x.shape.first(x.shape.rank() - 3);
  const auto place = [&](Real coordinate, std::int64_t n) {
    Real p = ((coordinate + 1) * Real(n) - 1) / 2;
    if (padding == GridPadding::reflection)
      while (p < -0.5L || p > Real(n) - 0.5L) p = p < -0.5L ? -1 - p : 2 * Real(n) - 1 - p;
    return padding == GridPadding::zeros ? p : std::clamp<Real>(p, 0, Real(n - 1));
  };
  const auto share = [mode](Real p, std::int64_t i) {
    if (mode == GridMode::nearest) return Real(std::nearbyint(p) == Real(i));
    return std::max<Real>(0, 1 - std::abs(p - Real(i)));
  };
  return cubes(lead + g.last(3).first(2) + s.last(1), [&](const Place& p) {
    const std::size_t n = p.size();
    Place coordinate = p;
    coordinate[n - 1] = 0;
    const Real across = place(grid(coordinate), s[1]);
    coordinate[n - 1] = 1;
    const Real down = place(grid(coordinate), s[0]);
    Real sum = 0;
    for_each_place({s[0], s[1]}, [&](const Place& q) {
      Place at = p;
      at[n - 3] = q[0];
      at[n - 2] = q[1];
      sum += share(down, q[0]) * share(across, q[1]) * x(at);
    });
    return double(sum);
  });
}
template <GridMode Mode, GridPadding Outside>
Case grid_row(const char* name) {
  const auto sample = [](const auto& in) {
    return grid_sample(in[0], places(in[1], in[0].shape()), {.mode = Mode, .padding = Outside});
  };
  Case c = moving_row(name,
                      {{{2, 3, 4, 2}, {2, 2, 3, 2}},
                       {{3, 2, 1}, {4, 2, 2}},
                       {{0, 4, 4, 2}, {0, 3, 2, 2}},
                       {{2, 5, 3, 2}, {2, 0, 3, 2}},
                       {{1, 1, 6, 17}, {1, 5, 4, 2}},
                       {{1, 6, 5, 16}, {1, 7, 9, 2}}},
                      {{2, 40, 48, 24}, {2, 50, 40, 2}}, sample,
                      [](const Doubles& in) { return sampled(in, Mode, Outside); });
  c.bare = [](const Floats& in) -> Tensor<float> {
    return grid_sample(in[0], in[1], {.mode = Mode, .padding = Outside});
  };
  c.tolerance = 2e-5;  // of places, which are off by an ulp of the axis
  c.tolerance64 = 1e-13;
  return c;
}

// ---- convolutions ----

struct Axis {
  std::int64_t stride = 1, before = 0, after = 0, dilation = 1;
};
// x (N, T, C) or (T, C).
Reference convolved_sequence(const Doubles& in, const Axis& o, std::int64_t groups) {
  const Elements x(in[0]), w(in[1]);
  const Shape s = x.shape.last(2), k = w.shape, lead = x.shape.first(x.shape.rank() - 2);
  const std::int64_t results = (s[0] + o.before + o.after - o.dilation * (k[0] - 1) - 1) / o.stride + 1;
  return sums(lead + Shape{results, k[2]}, [&](const Place& p, Sum& sum) {
    const std::size_t n = p.size();
    for_each_place({k[0], k[1]}, [&](const Place& q) {
      const std::int64_t i = p[n - 2] * o.stride - o.before + q[0] * o.dilation;
      if (i < 0 || i >= s[0]) return;
      Place at = p;
      at[n - 2] = i;
      at[n - 1] = p[n - 1] / (k[2] / groups) * k[1] + q[1];
      sum.add(x(at) * w({q[0], q[1], p[n - 1]}));
    });
  });
}
// x (N, H, W, C) or (H, W, C); `more`: output_padding.
Reference transposed_convolution(const Doubles& in, const Axis& h, const Axis& w, std::int64_t groups,
                                 std::int64_t more_h, std::int64_t more_w) {
  const Elements x(in[0]), k(in[1]);
  const Shape s = x.shape.last(3), lead = x.shape.first(x.shape.rank() - 3);
  const auto extent = [](const Axis& a, std::int64_t n, std::int64_t kernel, std::int64_t more) {
    return (n - 1) * a.stride + a.dilation * (kernel - 1) + 1 - a.before - a.after + more;
  };
  const std::int64_t to_group = k.shape[3], from_group = k.shape[2] / groups;
  const Shape y = lead + Shape{extent(h, s[0], k.shape[0], more_h), extent(w, s[1], k.shape[1], more_w),
                               to_group * groups};
  return sums(y, [&](const Place& p, Sum& sum) {
    const std::size_t n = p.size();
    const std::int64_t group = p[n - 1] / to_group;
    for_each_place({s[0], s[1], k.shape[0], k.shape[1], from_group}, [&](const Place& q) {
      if (q[0] * h.stride + q[2] * h.dilation - h.before != p[n - 3]) return;
      if (q[1] * w.stride + q[3] * w.dilation - w.before != p[n - 2]) return;
      Place at = p;
      at[n - 3] = q[0];
      at[n - 2] = q[1];
      at[n - 1] = group * from_group + q[4];
      sum.add(x(at) * k({q[2], q[3], at[n - 1], p[n - 1] % to_group}));
    });
  });
}
#define CONV1D(...) [](const auto& in) { return conv1d(in[0], in[1], {__VA_ARGS__}); }
#define TRANSPOSED(...) [](const auto& in) { return conv_transpose2d(in[0], in[1], {__VA_ARGS__}); }

}  // namespace

std::vector<Case> spatial_cases() {
  const std::vector<Shape> large = {{4, 40, 48, 24}};
  std::vector<Case> all = {
      moving_row("avg_pool2d", {{{2, 4, 6, 2}}, {{5, 5, 1}}, {{0, 4, 4, 2}}, {{2, 9, 8, 17}}, {{1, 2, 2, 0}}}, large,
                 OP(avg_pool2d(x, 2)),
                 [](const Doubles& in) { return averaged(in, {2, 2}, {2, 2}); }),
      moving_row("avg_pool2d: stride, padding", {{{2, 4, 5, 2}}, {{1, 3, 2, 1}}, {{2, 11, 8, 5}}, {{1, 7, 6, 16}}},
                 large, OP(avg_pool2d(x, {3, 2}, {.stride = {1, 2}, .padding = {1, 1}})),
                 [](const Doubles& in) { return averaged(in, {3, 1, 1, 1}, {2, 2, 1, 1}); }),
      moving_row("avg_pool2d: without count_padding", {{{2, 4, 5, 2}}, {{1, 3, 2, 1}}, {{2, 11, 8, 5}}}, large,
                 OP(avg_pool2d(x, {3, 2}, {.stride = {2, 1}, .padding = {{1, 0}, {1, 1}}, .count_padding = false})),
                 [](const Doubles& in) {
                   return averaged(in, {3, 2, 1, 0, -1, false}, {2, 1, 1, 1, -1, false});
                 }),
      moving_row("avg_pool2d: ceil_mode", {{{2, 5, 5, 2}}, {{1, 3, 3, 1}}, {{1, 9, 7, 3}}}, {{4, 41, 47, 24}},
                 OP(avg_pool2d(x, 2, {.ceil_mode = true})),
                 [](const Doubles& in) {
                   const Shape& s = in[0].shape();
                   return averaged(in, {2, 2, 0, 0, s[-3] / 2 + 1}, {2, 2, 0, 0, s[-2] / 2 + 1});
                 }),
      moving_row("avg_pool2d: ceil_mode, padding", {{{2, 5, 6, 2}}, {{1, 9, 8, 3}}}, {{4, 41, 48, 24}},
                 OP(avg_pool2d(x, 3, {.stride = 2, .padding = {0, 1}, .ceil_mode = true})),
                 [](const Doubles& in) {
                   const Shape& s = in[0].shape();
                   return averaged(in, {3, 2, 0, 0}, {3, 2, 1, 1, s[-2] / 2 + 1});
                 }),
      moving_row("avg_pool2d: same", {{{2, 5, 6, 2}}, {{1, 9, 8, 3}}}, {{4, 41, 48, 24}},
                 OP(avg_pool2d(x, 3, {.stride = {1, 2}, .padding = Padding::same, .count_padding = false})),
                 [](const Doubles& in) {
                   return averaged(in, {3, 1, 1, 1, -1, false}, {3, 2, 0, 1, -1, false});
                 }),
      moving_row("avg_pool2d: windows apart", {{{2, 7, 8, 2}}, {{1, 12, 9, 9}}}, {{4, 60, 61, 24}},
                 OP(avg_pool2d(x, {2, 1}, {.stride = {5, 3}})),
                 [](const Doubles& in) { return averaged(in, {2, 5}, {1, 3}); }),
      moving_row("global_avg_pool", {{{2, 3, 4, 2}}, {{5, 4, 1}}, {{0, 4, 4, 2}}, {{2, 9, 8, 17}}, {{1, 1, 1, 3}}},
                 large, OP(global_avg_pool(x)),
                 [](const Doubles& in) {
                   Reference r = adaptively(in, 1, 1);
                   const Shape& s = in[0].shape();
                   r.shape = s.first(s.rank() - 3) + s.last(1);
                   return r;
                 }),
      moving_row("adaptive_avg_pool2d", {{{2, 5, 4, 2}}, {{3, 2, 1}}, {{0, 4, 4, 2}}, {{2, 9, 8, 17}}, {{1, 7, 1, 3}}},
                 large, OP(adaptive_avg_pool2d(x, {3, 2})),
                 [](const Doubles& in) { return adaptively(in, 3, 2); }),
      moving_row("adaptive_avg_pool2d: more than there are", {{{1, 2, 3, 2}}, {{2, 5, 4, 9}}}, {{8, 4, 5, 4001}},
                 OP(adaptive_avg_pool2d(x, {5, 7})),
                 [](const Doubles& in) { return adaptively(in, 5, 7); }),
      moving_row("adaptive_avg_pool2d: one", {{{2, 3, 2, 2}}, {{2, 9, 8, 17}}}, large,
                 OP(adaptive_avg_pool2d(x, 1)),
                 [](const Doubles& in) { return adaptively(in, 1, 1); }),

      moving_row("upsample_nearest2d", {{{2, 2, 3, 2}}, {{3, 1, 1}}, {{0, 2, 2, 2}}, {{2, 4, 3, 17}}, {{1, 0, 2, 3}}},
                 {{4, 24, 25, 24}}, OP(upsample_nearest2d(x, 2)), BY_FACTOR(2, nearest)),
      moving_row("upsample_nearest2d: to a size", {{{2, 3, 4, 2}}, {{5, 7, 1}}, {{1, 8, 9, 17}}}, {{4, 24, 25, 900}},
                 OP(upsample_nearest2d(x, {5, 3})), TO_SIZE(5, 3, nearest)),
      moving_row("upsample_bilinear2d", {{{2, 2, 3, 2}}, {{3, 1, 1}}, {{0, 2, 2, 2}}, {{2, 4, 3, 17}}, {{1, 0, 2, 3}}},
                 {{4, 24, 25, 24}}, OP(upsample_bilinear2d(x, 2)), BY_FACTOR(2, linear)),
      moving_row("upsample_bilinear2d: odd factor", {{{1, 2, 2, 3}}, {{2, 1, 3, 16}}, {{1, 1, 4}}}, {{4, 24, 25, 24}},
                 OP(upsample_bilinear2d(x, 3)), BY_FACTOR(3, linear)),
      moving_row("upsample_bilinear2d: to a size", {{{2, 3, 4, 2}}, {{5, 7, 1}}, {{1, 8, 9, 17}}}, {{4, 24, 25, 900}},
                 OP(upsample_bilinear2d(x, {5, 3})), TO_SIZE(5, 3, linear)),
      moving_row("upsample_bilinear2d: much smaller", {{{1, 7, 9, 2}}, {{2, 13, 11, 5}}}, {{4, 64, 65, 24}},
                 OP(upsample_bilinear2d(x, {2, 3})), TO_SIZE(2, 3, linear)),
      moving_row("upsample_bicubic2d", {{{1, 2, 3, 2}}, {{3, 1, 1}}, {{0, 2, 2, 2}}, {{2, 5, 6, 17}}},
                 {{4, 24, 25, 24}},
                 OP(upsample_bicubic2d(x, 2)), BY_FACTOR(2, cubic)),
      moving_row("upsample_bicubic2d: to a size", {{{1, 3, 4, 2}}, {{5, 7, 1}}, {{1, 8, 9, 17}}}, {{4, 24, 25, 900}},
                 OP(upsample_bicubic2d(x, {5, 3})), TO_SIZE(5, 3, cubic)),
      moving_row("upsample_bicubic2d: much smaller", {{{1, 7, 9, 1}}, {{2, 13, 11, 5}}}, {{4, 64, 65, 24}},
                 OP(upsample_bicubic2d(x, {2, 3})), TO_SIZE(2, 3, cubic)),

      grid_row<GridMode::bilinear, GridPadding::zeros>("grid_sample"),
      grid_row<GridMode::bilinear, GridPadding::border>("grid_sample: border"),
      grid_row<GridMode::bilinear, GridPadding::reflection>("grid_sample: reflection"),
      grid_row<GridMode::nearest, GridPadding::zeros>("grid_sample: nearest"),
      grid_row<GridMode::nearest, GridPadding::reflection>("grid_sample: nearest, reflection"),

      row("conv1d", {{{2, 5, 3}, {3, 3, 2}}, {{6, 1}, {2, 1, 3}}, {{0, 4, 2}, {3, 2, 3}}, {{2, 17, 5}, {3, 5, 17}}},
          {{8, 200, 16}, {3, 16, 32}}, CONV1D(),
          [](const Doubles& in) { return convolved_sequence(in, {}, 1); }),
      row("conv1d: all options", {{{2, 6, 4}, {2, 2, 4}}, {{9, 2}, {3, 1, 2}}, {{2, 17, 10}, {3, 5, 34}}},
          {{8, 200, 16}, {3, 8, 32}}, CONV1D(.stride = 2, .padding = {1, 2}, .dilation = 2, .groups = 2),
          [](const Doubles& in) {
            return convolved_sequence(in, {.stride = 2, .before = 1, .after = 2, .dilation = 2}, 2);
          }),
      row("conv1d: same", {{{2, 5, 2}, {4, 2, 3}}, {{1, 9, 5}, {4, 5, 9}}}, {{8, 200, 16}, {4, 16, 32}},
          CONV1D(.padding = Padding::same),
          [](const Doubles& in) { return convolved_sequence(in, {.before = 1, .after = 2}, 1); }),

      row("conv_transpose2d",
          {{{2, 3, 4, 3}, {3, 2, 3, 2}}, {{2, 3, 1}, {1, 3, 1, 2}}, {{0, 4, 4, 2}, {3, 3, 2, 3}},
           {{1, 7, 6, 5}, {3, 3, 5, 17}}},
          {{4, 24, 32, 16}, {3, 3, 16, 32}}, TRANSPOSED(),
          [](const Doubles& in) { return transposed_convolution(in, {}, {}, 1, 0, 0); }),
      row("conv_transpose2d: stride, output_padding",
          {{{2, 3, 2, 2}, {3, 2, 2, 3}}, {{1, 1, 1, 1}, {2, 2, 1, 1}}, {{2, 5, 4, 5}, {3, 3, 5, 9}}},
          {{4, 24, 24, 8}, {3, 3, 8, 16}}, TRANSPOSED(.stride = {2, 3}, .output_padding = {1, 2}),
          [](const Doubles& in) { return transposed_convolution(in, {.stride = 2}, {.stride = 3}, 1, 1, 2); }),
      row("conv_transpose2d: all options",
          {{{2, 3, 3, 4}, {3, 2, 4, 3}}, {{1, 4, 4, 2}, {2, 3, 2, 1}}, {{2, 6, 5, 10}, {3, 3, 10, 17}}},
          {{4, 24, 24, 16}, {3, 3, 16, 8}},
          TRANSPOSED(.stride = {3, 2}, .padding = {{1, 2}, {0, 1}}, .dilation = {2, 1}, .groups = 2,
                     .output_padding = {2, 1}),
          [](const Doubles& in) {
            return transposed_convolution(in, {.stride = 3, .before = 1, .after = 2, .dilation = 2},
                                          {.stride = 2, .after = 1}, 2, 2, 1);
          }),
      row("conv_transpose2d: same", {{{2, 3, 2, 2}, {3, 4, 2, 3}}, {{1, 5, 4, 5}, {3, 4, 5, 9}}},
          {{4, 24, 24, 8}, {3, 4, 8, 16}}, TRANSPOSED(.stride = 2, .padding = Padding::same),
          [](const Doubles& in) {
            return transposed_convolution(in, {.stride = 2, .before = 0, .after = 1},
                                          {.stride = 2, .before = 1, .after = 1}, 1, 0, 0);
          }),
      row("conv_transpose2d: depthwise", {{{2, 3, 3, 3}, {3, 3, 3, 1}}, {{1, 6, 5, 16}, {3, 3, 16, 1}}},
          {{8, 48, 48, 16}, {3, 3, 16, 1}}, [](const auto& in) {
            return conv_transpose2d(in[0], in[1], {.padding = 1, .groups = in[0].shape()[-1]});
          },
          [](const Doubles& in) {
            return transposed_convolution(in, {.before = 1, .after = 1}, {.before = 1, .after = 1},
                                          in[0].shape()[-1], 0, 0);
          }),
  };
  for (Case& c : all)
    if (c.name == "global_avg_pool" || c.name == "adaptive_avg_pool2d: one")
      c.serial_gradient = "a view of the cotangent, repeated";
  return all;
}
#undef BY_FACTOR
#undef TO_SIZE
#undef CONV1D
#undef TRANSPOSED

}  // namespace cases
