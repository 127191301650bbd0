// Depthwise convolution, one input channel to each output channel: no matrix product, but for each pixel a sum over
// taps of input times weight, with the channels on the lanes.
#pragma once

#include <cstdint>

#include "ergo/core/parallel.hpp"
#include "ergo/cpu/conv2d_pixels.hpp"

namespace ergo::inline ERGO_BUILD::cpu::detail {

// One grid pixel: where the input of each tap lies behind x; weights are (taps, channels).
template <class T>
struct DepthwisePixel {
  std::int64_t taps, channels;
  const T* x;
  const std::int64_t* offsets;
  const T* weights;
  const T* bias;
  T* y;
};

// y[c] = sum over taps of x[tap][c] weights[tap][c] (+ bias[c]).
struct MultiplyDepthwise {
  template <Isa I, class T>
  static ERGO_INLINE void run(const DepthwisePixel<T>* pixel) {
    constexpr int kLanes = kRegisterBytes<I> / int(sizeof(T));
    using P = Pack<T, kLanes>;
    const DepthwisePixel<T>& g = *pixel;
    std::int64_t c = 0;
    for (; c + kLanes <= g.channels; c += kLanes) {
      P sum;
      for (std::int64_t t = 0; t < g.taps; ++t) {
        sum = fma(P::load(g.x + g.offsets[t] + c), P::load(g.weights + t * g.channels + c), sum);
      }
      (g.bias ? P::load(g.bias + c) + sum : sum).store(g.y + c);
    }
    for (; c < g.channels; ++c) {
      T sum = T(0);
      for (std::int64_t t = 0; t < g.taps; ++t) sum = sum + g.x[g.offsets[t] + c] * g.weights[t * g.channels + c];
      g.y[c] = g.bias ? g.bias[c] + sum : sum;
    }
  }
};

// dw[tap][c] += x[tap of the pixel][c] dy[pixel][c].
struct AddDepthwise {
  template <Isa I, class T>
  static ERGO_INLINE void run(const DepthwisePixel<T>* pixel, const T* dy, T* dw) {
    constexpr int kLanes = kRegisterBytes<I> / int(sizeof(T));
    using P = Pack<T, kLanes>;
    const DepthwisePixel<T>& g = *pixel;
    for (std::int64_t t = 0; t < g.taps; ++t, dw += g.channels) {
      const T* x = g.x + g.offsets[t];
      std::int64_t c = 0;
      for (; c + kLanes <= g.channels; c += kLanes) {
        fma(P::load(x + c), P::load(dy + c), P::load(dw + c)).store(dw + c);
      }
      for (; c < g.channels; ++c) dw[c] = dw[c] + x[c] * dy[c];
    }
  }
};

// A product of run_pixels' form whose weights are (taps, channels) at tap.weight: g.k = g.columns = channels.
template <class S, class T>
void run_depthwise(const PixelProduct<T>& g, const S* w, const PixelMemory<T>& memory, int threads) {
  for (std::int64_t t = 0; t < g.tap_count; ++t) {
    for (std::int64_t c = 0; c < g.k; ++c) memory.weights()[t * g.k + c] = T(w[g.taps[t].weight + c]);
  }
  parallel_for(
      g.pixels(), kGridPixels,
      [&](std::int64_t begin, std::int64_t end, int slot) {
        std::int64_t* offsets = memory.table(slot);
        for (std::int64_t pixel = begin; pixel < end; ++pixel) {
          const std::int64_t image = pixel / (g.grid_h * g.grid_w), i = pixel / g.grid_w % g.grid_h,
                             j = pixel % g.grid_w;
          for (std::int64_t t = 0; t < g.tap_count; ++t) {
            offsets[t] = pixel_offset(g, memory.zeros(), image, i * g.step_h + g.taps[t].h, j * g.step_w + g.taps[t].w);
          }
          const std::int64_t out_row = image * g.out_h + i * g.y_step_h + g.y_h;
          T* y = g.y + (out_row * g.out_w + j * g.y_step_w + g.y_w) * g.y_pixel;
          const DepthwisePixel<T> one{g.tap_count, g.k, g.x, offsets, memory.weights(), g.bias, y};
          for_isa<MultiplyDepthwise, const DepthwisePixel<T>*>(&one);
        }
      },
      threads);
}

// The weights' gradient (taps, channels) for the forward product g, whose y is not used. Parts of the pixels are summed
// apart, in `sums` (kDepthwiseParts of them), and added in order.
inline constexpr std::int64_t kDepthwiseParts = 8;
template <class T>
void run_depthwise_weights(const PixelProduct<T>& g, const T* dy, T* dw, const PixelMemory<T>& memory,
                           const Scratch<T>& sums, int threads) {
  const std::int64_t size = g.tap_count * g.k, pixels = g.pixels(), parts = kDepthwiseParts;
  parallel_for(
      parts, 1,
      [&](std::int64_t part, std::int64_t, int slot) {
        std::int64_t* offsets = memory.table(slot);
        T* sum = sums.data() + part * size;
        for (std::int64_t q = 0; q < size; ++q) sum[q] = T(0);
        for (std::int64_t pixel = pixels * part / parts; pixel < pixels * (part + 1) / parts; ++pixel) {
          const std::int64_t image = pixel / (g.grid_h * g.grid_w), i = pixel / g.grid_w % g.grid_h,
                             j = pixel % g.grid_w;
          for (std::int64_t t = 0; t < g.tap_count; ++t) {
            offsets[t] = pixel_offset(g, memory.zeros(), image, i * g.step_h + g.taps[t].h, j * g.step_w + g.taps[t].w);
          }
          const DepthwisePixel<T> one{g.tap_count, g.k, g.x, offsets, nullptr, nullptr, nullptr};
          for_isa<AddDepthwise, const DepthwisePixel<T>*, const T*, T*>(&one, dy + pixel * g.y_pixel, sum);
        }
      },
      threads);
  for (std::int64_t q = 0; q < size; ++q) {
    T sum = sums.data()[q];
    for (std::int64_t part = 1; part < parts; ++part) sum += sums.data()[part * size + q];
    dw[q] = sum;
  }
}

}  // namespace ergo::inline ERGO_BUILD::cpu::detail
