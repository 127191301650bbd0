// Depthwise convolution, one input channel to each output channel: no matrix product, but for each pixel a sum over
// taps of input times weight, with the channels on the lanes. A row of pixels is cut where a tap enters or leaves the
// image: within such a run all pixels have the same taps, a fixed distance apart, and nothing is checked. Sums stay in
// registers, over all taps for a few pixels at once, or for the weights' gradient over all pixels of the run.
#pragma once

#include <cstdint>

#include "ergo/core/parallel.hpp"
#include "ergo/cpu/conv2d_pixels.hpp"

namespace ergo::inline ERGO_BUILD::cpu::detail {

// A tap of a run's first pixel: its input lies `x` elements behind that of the images, its weights `weight` behind
// those of the first tap.
struct DepthwiseTap {
  std::int64_t x, weight;
};

// Pixels beside each other that have the same taps inside the image.
template <class T>
struct DepthwiseRun {
  std::int64_t pixels, channels;
  const DepthwiseTap* taps;
  std::int64_t tap_count;
  const T* x;
  std::int64_t x_step;  // elements from one pixel to the next
  const T* weights;     // (taps, channels)
  const T* bias;        // or null
  T* y;
  std::int64_t y_step;
};

// The function of the best set in use of which two registers hold no more than so many bytes of channels, so that each
// set needs but one width; below 32 bytes the scalar one.
template <template <bool> class Body, class... A>
auto depthwise_function(std::int64_t bytes) {
  constexpr IsaFunctions<A...> functions = isa_functions<Body<false>, true, A...>();
  const Isa fits = bytes >= 128 ? Isa::avx512 : bytes >= 64 ? Isa::avx2 : Isa::sse2;
  return bytes < 32 ? &run_sse2<Body<true>, A...> : functions.of[int(functions.best(fits < isa() ? fits : isa()))];
}

// y[pixel][c] = sum over taps of x[pixel, tap][c] weights[tap][c] (+ bias[c]). Scalar, or by two registers.
template <bool Scalar>
struct MultiplyDepthwise {
  // `Pixels` pixels from `pixel` on, `Vectors` packs of channels from c on.
  template <class P, int Pixels, int Vectors, class T>
  static ERGO_INLINE void block(const DepthwiseRun<T>& g, std::int64_t pixel, std::int64_t c) {
    decltype(P::v) sum[Pixels][Vectors] = {};
    const std::int64_t x_step = g.x_step, y_step = g.y_step;
    const T* x = g.x + pixel * x_step + c;
    const T* weights = g.weights + c;
    const DepthwiseTap* const end = g.taps + g.tap_count;
    for (const DepthwiseTap* tap = g.taps; tap != end; ++tap) {
      const T* from = x + tap->x;
      const T* w_from = weights + tap->weight;
      P w[Vectors];
#pragma GCC unroll 2
      for (int v = 0; v < Vectors; ++v) w[v] = P::load(w_from + v * P::kLanes);
#pragma GCC unroll 5
      for (int r = 0; r < Pixels; ++r, from += x_step) {
#pragma GCC unroll 2
        for (int v = 0; v < Vectors; ++v) sum[r][v] = P::load(from + v * P::kLanes).v * w[v].v + sum[r][v];
      }
    }
    if (g.bias) {
#pragma GCC unroll 2
      for (int v = 0; v < Vectors; ++v) {
        const P bias = P::load(g.bias + c + v * P::kLanes);
#pragma GCC unroll 5
        for (int r = 0; r < Pixels; ++r) sum[r][v] = bias.v + sum[r][v];
      }
    }
    T* y = g.y + pixel * y_step + c;
#pragma GCC unroll 5
    for (int r = 0; r < Pixels; ++r, y += y_step) {
#pragma GCC unroll 2
      for (int v = 0; v < Vectors; ++v) {
        P whole;
        whole.v = sum[r][v];
        whole.store(y + v * P::kLanes);
      }
    }
  }

  // All channels and pixels. The last blocks reach back to where they are whole, and compute the same again.
  template <class P, int Vectors, class T>
  static ERGO_INLINE void all(const DepthwiseRun<T>& g) {
    constexpr int kPixels = 5, kWidth = Vectors * P::kLanes;
    std::int64_t p = 0;
    for (; p < g.pixels && g.pixels >= kPixels; p += kPixels) {
      const std::int64_t pixel = p < g.pixels - kPixels ? p : g.pixels - kPixels;
      for (std::int64_t c = 0; c < g.channels; c += kWidth) {
        block<P, kPixels, Vectors>(g, pixel, c < g.channels - kWidth ? c : g.channels - kWidth);
      }
    }
    for (; p < g.pixels; ++p) {
      for (std::int64_t c = 0; c < g.channels; c += kWidth) {
        block<P, 1, Vectors>(g, p, c < g.channels - kWidth ? c : g.channels - kWidth);
      }
    }
  }

  template <Isa I, class T>
  static ERGO_INLINE void run(const DepthwiseRun<T>* run) {
    all<Pack<T, Scalar ? 1 : kRegisterBytes<I> / int(sizeof(T))>, Scalar ? 1 : 2>(*run);
  }
};

// dw[tap][c] += sum over pixels of x[pixel, tap][c] dy[pixel][c], where dy is the run's y. The number of taps is a
// multiple of kTapsAtOnce.
inline constexpr int kTapsAtOnce = 3;
template <bool Scalar>
struct AddDepthwise {
  template <class P, int Vectors, class T>
  static ERGO_INLINE void block(const DepthwiseRun<T>& g, const DepthwiseTap* taps, std::int64_t c, T* dw) {
    decltype(P::v) sum[kTapsAtOnce][Vectors] = {};
    const std::int64_t x_step = g.x_step, y_step = g.y_step;
    const T* x = g.x + c;
    const T* dy = g.y + c;
    for (std::int64_t p = g.pixels; p > 0; --p, x += x_step, dy += y_step) {
      P d[Vectors];
#pragma GCC unroll 2
      for (int v = 0; v < Vectors; ++v) d[v] = P::load(dy + v * P::kLanes);
#pragma GCC unroll 3
      for (int t = 0; t < kTapsAtOnce; ++t) {
#pragma GCC unroll 2
        for (int v = 0; v < Vectors; ++v) sum[t][v] = P::load(x + taps[t].x + v * P::kLanes).v * d[v].v + sum[t][v];
      }
    }
#pragma GCC unroll 3
    for (int t = 0; t < kTapsAtOnce; ++t) {
#pragma GCC unroll 2
      for (int v = 0; v < Vectors; ++v) {
        T* to = dw + taps[t].weight + c + v * P::kLanes;
        P whole = P::load(to);
        whole.v = whole.v + sum[t][v];
        whole.store(to);
      }
    }
  }

  // As many channels as fill whole blocks, from channel c on; returns where it stopped.
  template <Isa I, class T>
  static ERGO_INLINE void run(const DepthwiseRun<T>* run, T* dw, std::int64_t* channel) {
    using P = Pack<T, Scalar ? 1 : kRegisterBytes<I> / int(sizeof(T))>;
    constexpr int kVectors = Scalar ? 1 : 2, kWidth = kVectors * P::kLanes;
    const DepthwiseRun<T>& g = *run;
    std::int64_t& c = *channel;
    for (; c + kWidth <= g.channels; c += kWidth) {
      for (std::int64_t t = 0; t < g.tap_count; t += kTapsAtOnce) block<P, kVectors>(g, g.taps + t, c, dw);
    }
  }
};

inline constexpr std::int64_t kDepthwiseParts = 8;  // of the rows, whose weight gradients are summed apart

// The scratch memory of a product, taken before it writes anything: its weights, the grid columns that have each tap
// inside the image, the taps of a run for each thread, and the sums of a weight gradient.
template <class T>
class DepthwiseMemory {
 public:
  // For the largest of the products that will use it.
  DepthwiseMemory(std::int64_t tap_count, std::int64_t channels, int threads, bool of_weights)
      : list_size_(tap_count + kTapsAtOnce),
        size_((tap_count + 1) * channels),
        weights_(of_weights ? 0 : size_),
        sums_(of_weights ? kDepthwiseParts * size_ : 0),
        columns_(tap_count),
        lists_(list_size_ * threads) {}
  T* weights() const { return weights_.data(); }
  // A part's sums (taps, channels), and one more tap that is not wanted.
  T* sums(std::int64_t part) const { return sums_.data() + part * size_; }
  std::int64_t size() const { return size_; }
  Inside* columns() const { return columns_.data(); }
  DepthwiseTap* list(int slot) const { return lists_.data() + slot * list_size_; }

 private:
  std::int64_t list_size_, size_;
  Scratch<T> weights_, sums_;
  Scratch<Inside> columns_;
  Scratch<DepthwiseTap> lists_;
};

template <class T>
void find_columns(const PixelProduct<T>& g, Inside* columns) {
  for (std::int64_t t = 0; t < g.tap_count; ++t) columns[t] = inside(g.taps[t].w, g.step_w, g.w, g.grid_w);
}

// Calls f(run, first) for each run of row `row` (of all images' grid rows), where `first` is its first column and the
// run's y is not set.
template <class T, class F>
void for_each_run(const PixelProduct<T>& g, std::int64_t row, const Inside* columns, DepthwiseTap* list, const F& f) {
  const std::int64_t image = row / g.grid_h, i = row % g.grid_h;
  for (std::int64_t j = 0, end = 0; j < g.grid_w; j = end) {
    std::int64_t count = 0;
    end = g.grid_w;
    for (std::int64_t t = 0; t < g.tap_count; ++t) {
      const std::int64_t h = i * g.step_h + g.taps[t].h;
      if (h < 0 || h >= g.h || j >= columns[t].end) continue;
      const bool enters = j < columns[t].begin;
      const std::int64_t change = enters ? columns[t].begin : columns[t].end;
      if (change < end) end = change;
      if (enters) continue;
      list[count++] = {((image * g.h + h) * g.w + j * g.step_w + g.taps[t].w) * g.x_pixel, t * g.k};
    }
    f(DepthwiseRun<T>{end - j, g.k, list, count, g.x, g.step_w * g.x_pixel, nullptr, nullptr, nullptr, 0}, j);
  }
}

// A product of run_pixels' form whose weights are (taps, channels) at tap.weight: g.k = g.columns = channels.
template <class S, class T>
void run_depthwise(const PixelProduct<T>& g, const S* w, const DepthwiseMemory<T>& memory, int threads) {
  for (std::int64_t t = 0; t < g.tap_count; ++t) {
    for (std::int64_t c = 0; c < g.k; ++c) memory.weights()[t * g.k + c] = T(w[g.taps[t].weight + c]);
  }
  find_columns(g, memory.columns());
  const auto multiply = depthwise_function<MultiplyDepthwise, const DepthwiseRun<T>*>(g.k * std::int64_t(sizeof(T)));
  parallel_for(
      g.images * g.grid_h, 1 + kGridPixels / g.grid_w,
      [&](std::int64_t begin, std::int64_t end, int slot) {
        for (std::int64_t row = begin; row < end; ++row) {
          const std::int64_t out_row = row / g.grid_h * g.out_h + row % g.grid_h * g.y_step_h + g.y_h;
          for_each_run(g, row, memory.columns(), memory.list(slot), [&](DepthwiseRun<T> run, std::int64_t first) {
            run.weights = memory.weights();
            run.bias = g.bias;
            run.y = g.y + (out_row * g.out_w + first * g.y_step_w + g.y_w) * g.y_pixel;
            run.y_step = g.y_step_w * g.y_pixel;
            multiply(&run);
          });
        }
      },
      threads);
}

// The weights' gradient (taps, channels) for the forward product g, whose y is not used. A fixed number of parts of the
// rows are summed apart, and added in order.
template <class T>
void run_depthwise_weights(const PixelProduct<T>& g, const T* dy, T* dw, const DepthwiseMemory<T>& memory,
                           int threads) {
  const std::int64_t rows = g.images * g.grid_h, parts = kDepthwiseParts;
  find_columns(g, memory.columns());
  parallel_for(
      parts, 1,
      [&](std::int64_t part, std::int64_t, int slot) {
        T* sum = memory.sums(part);
        DepthwiseTap* list = memory.list(slot);
        for (std::int64_t q = 0; q < memory.size(); ++q) sum[q] = T(0);
        for (std::int64_t row = rows * part / parts; row < rows * (part + 1) / parts; ++row) {
          for_each_run(g, row, memory.columns(), list, [&](DepthwiseRun<T> run, std::int64_t first) {
            if (run.tap_count == 0) return;
            for (; run.tap_count % kTapsAtOnce != 0; ++run.tap_count) {
              list[run.tap_count] = {list[0].x, g.tap_count * g.k};
            }
            // The gradient is only read.
            run.y = const_cast<T*>(dy) + (row * g.grid_w + first) * g.y_pixel;
            run.y_step = g.y_pixel;
            for (std::int64_t c = 0; c < g.k;) {
              const std::int64_t bytes = (g.k - c) * std::int64_t(sizeof(T));
              depthwise_function<AddDepthwise, const DepthwiseRun<T>*, T*, std::int64_t*>(bytes)(&run, sum, &c);
            }
          });
        }
      },
      threads);
  for (std::int64_t q = 0; q < g.tap_count * g.k; ++q) {
    T sum = memory.sums(0)[q];
    for (std::int64_t part = 1; part < parts; ++part) sum += memory.sums(part)[q];
    dw[q] = sum;
  }
}

}  // namespace ergo::inline ERGO_BUILD::cpu::detail
