// Two-dimensional convolution (cross-correlation) of channels-last images, and its two gradients: any kernel, stride,
// padding, dilation and groups, without a copy of the input's patches. x is (N, H, W, C_in), weights are
// (KH, KW, C_in / groups, C_out), y is (N, OH, OW, C_out):
//
//   y[n, i, j, o] = sum over k, l, c of x[n, i * stride_h + k * dilation_h - pad_top, ..., c] w[k, l, c, o]
//
// float and double are computed in themselves; 16-bit floats are widened to float and rounded once at the end. The bits
// do not depend on the number of threads. Each function throws OutOfMemory, before anything is written.
#pragma once

#include <cstdint>
#include <type_traits>

#include "ergo/core/dtype.hpp"
#include "ergo/cpu/conv2d_depthwise.hpp"
#include "ergo/cpu/conv2d_overlap.hpp"
#include "ergo/cpu/conv2d_pixels.hpp"
#include "ergo/cpu/conv2d_shape.hpp"
#include "ergo/cpu/conv2d_strips.hpp"
#include "ergo/cpu/conv2d_weights.hpp"
#include "ergo/cpu/gemm.hpp"

namespace ergo::inline ERGO_BUILD::cpu {

// y = x * w (+ bias, one number per output channel).
template <class S>
void conv2d(const Conv2dShape& s, const S* x, const S* w, S* y, const S* bias = nullptr);

// dx from the output's gradient dy and the weights.
template <class S>
void conv2d_input_gradient(const Conv2dShape& s, const S* dy, const S* w, S* dx);

// dw from x and the output's gradient dy.
template <class S>
void conv2d_weight_gradient(const Conv2dShape& s, const S* x, const S* dy, S* dw);

namespace detail {

inline int conv2d_threads(const Conv2dShape& s) {
  const double work = double(s.n * s.out_h() * s.out_w()) * double(s.kh * s.kw * s.c_in / s.groups) * double(s.c_out);
  return work < kSerialWork ? 1 : num_threads();
}

// Floats of a 16-bit array; a float or double array as it is.
template <class S>
class Widened {
 public:
  using T = Compute<S>;
  Widened(const S* from, std::int64_t n) : from_(from), n_(n), memory_(std::is_same_v<S, T> ? 0 : n) {}
  // Converts, once all memory has been taken.
  const T* get(int threads) const {
    if constexpr (std::is_same_v<S, T>) {
      return from_;
    } else {
      convert(n_, from_, memory_.data(), threads);
      return memory_.data();
    }
  }
  template <class From, class To>
  static void convert(std::int64_t n, const From* from, To* to, int threads) {
    parallel_for(
        n, 16384,
        [=](std::int64_t begin, std::int64_t end) {
          for (std::int64_t i = begin; i < end; ++i) to[i] = To(from[i]);
        },
        threads);
  }

 private:
  const S* from_;
  std::int64_t n_;
  Scratch<T> memory_;
};

// Where a result is computed: in place, or for 16-bit types in scratch memory from which `finish` rounds it.
template <class S>
class Result {
 public:
  using T = Compute<S>;
  Result(S* to, std::int64_t n) : to_(to), n_(n), memory_(std::is_same_v<S, T> ? 0 : n) {}
  T* get() const {
    if constexpr (std::is_same_v<S, T>) {
      return to_;
    } else {
      return memory_.data();
    }
  }
  void finish(int threads) const {
    if constexpr (!std::is_same_v<S, T>) Widened<S>::convert(n_, memory_.data(), to_, threads);
  }

 private:
  S* to_;
  std::int64_t n_;
  Scratch<T> memory_;
};

// The forward product, but for pointers: x, y and bias are those of the first group.
template <class T>
PixelProduct<T> forward_product(const Conv2dShape& s, Tap* taps) {
  PixelProduct<T> g{};
  g.images = s.n, g.grid_h = s.out_h(), g.grid_w = s.out_w();
  g.h = s.h, g.w = s.w;
  g.x_pixel = s.c_in;
  g.k = s.c_in / s.groups;
  g.step_h = s.stride_h, g.step_w = s.stride_w;
  g.taps = taps, g.tap_count = s.kh * s.kw;
  for (std::int64_t t = 0; t < g.tap_count; ++t) {
    taps[t] = {t / s.kw * s.dilation_h - s.pad_top, t % s.kw * s.dilation_w - s.pad_left, t * g.k * s.c_out, t, 0};
  }
  g.out_h = g.grid_h, g.out_w = g.grid_w;
  g.y_pixel = s.c_out, g.columns = s.c_out / s.groups;
  g.y_step_h = g.y_step_w = 1;
  return g;
}

}  // namespace detail

template <class S>
void conv2d(const Conv2dShape& s, const S* x, const S* w, S* y, const S* bias) {
  using namespace detail;
  using T = Compute<S>;
  const std::int64_t pixels = s.n * s.out_h() * s.out_w();
  if (pixels <= 0 || s.c_out <= 0) return;
  if (uses_gemm<S>(s, s.c_in, s.c_out)) {
    gemm(MatrixView<const S>{x, pixels, s.c_in, s.c_in, 1}, MatrixView<const S>{w, s.c_in, s.c_out, s.c_out, 1},
         MatrixView<S>{y, pixels, s.c_out, s.c_out, 1}, {.bias = bias});
    return;
  }
  const int threads = conv2d_threads(s);
  const Scratch<Tap> taps(s.kh * s.kw);
  const Widened<S> wide_x(x, s.n * s.h * s.w * s.c_in), wide_bias(bias, bias ? s.c_out : 0);
  const Result<S> result(y, pixels * s.c_out);
  PixelProduct<T> g = forward_product<T>(s, taps.data());
  const bool depthwise = is_depthwise(s), merged = merges_taps(s, 16);
  const DepthwiseMemory<T> apart(depthwise ? g.tap_count : 0, s.c_in, threads, false);
  const StripMemory<T> strips(s, merged, threads);
  const PixelMemory<T> memory(depthwise || merged ? 0 : s.kh, s.kw, g.k, g.columns, threads);
  const T* source = wide_x.get(threads);
  const T* bias_source = wide_bias.get(threads);
  if (depthwise) {
    g.x = source, g.y = result.get(), g.bias = bias_source;
    g.k = g.columns = s.c_in;
    run_depthwise(g, w, apart, threads);
  } else if (merged) {
    run_strips(s, source, w, result.get(), bias_source, strips, threads);
  }
  for (std::int64_t group = 0; !depthwise && !merged && group < s.groups; ++group) {
    g.x = source + group * g.k;
    g.y = result.get() + group * g.columns;
    g.bias = bias ? bias_source + group * g.columns : nullptr;
    run_pixels(g, w + group * g.columns, s.c_out, 1, memory, threads);
  }
  result.finish(threads);
}

template <class S>
void conv2d_input_gradient(const Conv2dShape& s, const S* dy, const S* w, S* dx) {
  using namespace detail;
  using T = Compute<S>;
  const std::int64_t out_pixels = s.n * s.out_h() * s.out_w(), in_pixels = s.n * s.h * s.w;
  if (in_pixels <= 0 || s.c_in <= 0) return;
  if (uses_gemm<S>(s, s.c_out, s.c_in)) {
    gemm(MatrixView<const S>{dy, out_pixels, s.c_out, s.c_out, 1}, MatrixView<const S>{w, s.c_out, s.c_in, 1, s.c_out},
         MatrixView<S>{dx, in_pixels, s.c_in, s.c_in, 1});
    return;
  }
  const int threads = conv2d_threads(s);
  const bool depthwise = is_depthwise(s), overlaps = adds_overlaps<T>(s);
  const Scratch<Tap> taps(s.kh * s.kw);
  const Widened<S> wide_dy(dy, out_pixels * s.c_out);
  const Result<S> result(dx, in_pixels * s.c_in);
  const std::int64_t k = s.c_out / s.groups, columns = s.c_in / s.groups;
  const DepthwiseMemory<T> apart(depthwise ? s.kh * s.kw : 0, s.c_in, threads, false);
  const OverlapMemory<T> rows(s, overlaps, threads);
  const PixelMemory<T> memory(depthwise || overlaps ? 0 : s.kh, s.kw, k, columns, threads);
  const T* source = wide_dy.get(threads);
  if (overlaps) {
    run_overlaps(s, source, w, result.get(), rows, threads);
    result.finish(threads);
    return;
  }
  PixelProduct<T> g{};
  g.images = s.n;
  g.h = s.out_h(), g.w = s.out_w();
  g.x_pixel = s.c_out, g.k = k, g.step_h = 1, g.step_w = 1;
  g.taps = taps.data();
  g.out_h = s.h, g.out_w = s.w;
  g.y_pixel = s.c_in, g.columns = columns;
  g.y_step_h = s.stride_h, g.y_step_w = s.stride_w;
  // Input pixels whose coordinates are (phase_h, phase_w) modulo the stride meet the same taps, each at an output pixel
  // that is a fixed distance away.
  for (std::int64_t phase = 0; phase < s.stride_h * s.stride_w; ++phase) {
    g.y_h = phase / s.stride_w, g.y_w = phase % s.stride_w;
    if (g.y_h >= s.h || g.y_w >= s.w) continue;
    g.grid_h = (s.h - 1 - g.y_h) / s.stride_h + 1;
    g.grid_w = (s.w - 1 - g.y_w) / s.stride_w + 1;
    g.tap_count = 0;
    for (std::int64_t t = 0; t < s.kh * s.kw; ++t) {
      const std::int64_t h = g.y_h + s.pad_top - t / s.kw * s.dilation_h,
                         q = g.y_w + s.pad_left - t % s.kw * s.dilation_w;
      if (h % s.stride_h != 0 || q % s.stride_w != 0) continue;
      taps.data()[g.tap_count++] = {h / s.stride_h, q / s.stride_w, t * columns * s.c_out, 0, 0};
    }
    if (depthwise) {
      g.x = source, g.y = result.get();
      g.k = g.columns = s.c_in;
      run_depthwise(g, w, apart, threads);
    }
    for (std::int64_t group = 0; !depthwise && group < s.groups; ++group) {
      g.x = source + group * k;
      g.y = result.get() + group * columns;
      run_pixels(g, w + group * k, 1, s.c_out, memory, threads);
    }
  }
  result.finish(threads);
}

template <class S>
void conv2d_weight_gradient(const Conv2dShape& s, const S* x, const S* dy, S* dw) {
  using namespace detail;
  using T = Compute<S>;
  const std::int64_t rows = s.c_in / s.groups, elements = s.kh * s.kw * rows * s.c_out;
  if (elements <= 0) return;
  const int threads = conv2d_threads(s);
  const Widened<S> wide_x(x, s.n * s.h * s.w * s.c_in), wide_dy(dy, s.n * s.out_h() * s.out_w() * s.c_out);
  const Result<S> result(dw, elements);
  if (is_depthwise(s)) {
    const Scratch<Tap> taps(s.kh * s.kw);
    PixelProduct<T> forward = forward_product<T>(s, taps.data());
    const DepthwiseMemory<T> memory(forward.tap_count, s.c_in, threads, true);
    forward.k = s.c_in;
    forward.x = wide_x.get(threads);
    run_depthwise_weights(forward, wide_dy.get(threads), result.get(), memory, threads);
  } else {
    WeightProduct<T> g{};
    g.images = s.n, g.out_h = s.out_h(), g.out_w = s.out_w();
    g.h = s.h, g.w = s.w;
    g.x_pixel = s.c_in, g.rows = rows;
    g.step_h = s.stride_h, g.step_w = s.stride_w;
    g.taps_h = s.kh, g.taps_w = s.kw;
    g.first_h = -s.pad_top, g.first_w = -s.pad_left;
    g.tap_step_h = s.dilation_h, g.tap_step_w = s.dilation_w;
    g.dy_pixel = s.c_out, g.columns = s.c_out / s.groups;
    g.dw_row = s.c_out;
    if (merges_taps(s, 8)) {
      g.merged = &s;
      g.rows = s.kh * s.kw * s.c_in;
      g.taps_h = g.taps_w = 1;
    }
    const WeightMemory<T> memory(g, threads);
    const T* source = wide_x.get(threads);
    const T* gradient = wide_dy.get(threads);
    for (std::int64_t group = 0; group < s.groups; ++group) {
      g.x = source + group * rows;
      g.dy = gradient + group * g.columns;
      run_weights(g, result.get() + group * g.columns, memory, threads);
    }
  }
  result.finish(threads);
}

}  // namespace ergo::inline ERGO_BUILD::cpu
