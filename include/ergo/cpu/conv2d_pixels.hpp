// Convolution as a matrix product without a copy of the input: row r of the product is a pixel of a grid, K runs over
// the taps and, in each, the channels of one input pixel. The tile kernel reads those in place, through a table of the
// addresses that the taps of its 6 pixels have; a tap outside the image reads zeros. Any kernel, stride, dilation and
// padding is a table. The input gradient is the same product over the output's gradient, once for each phase of the
// stride.
#pragma once

#include <cstdint>

#include "ergo/core/parallel.hpp"
#include "ergo/cpu/gemm_kernel.hpp"
#include "ergo/cpu/gemm_pack.hpp"
#include "ergo/cpu/isa.hpp"
#include "ergo/cpu/pack.hpp"
#include "ergo/cpu/scratch.hpp"

namespace ergo::inline ERGO_BUILD::cpu::detail {

// Grid pixel (i, j) reads input pixel (i * step_h + h, j * step_w + w) at this tap; its weights begin `weight` elements
// behind the first.
struct Tap {
  std::int64_t h, w, weight;
};

// Output indices that read inside an input of `size`: begin <= o < end.
struct Inside {
  std::int64_t begin, end;
};
inline Inside inside(std::int64_t tap, std::int64_t step, std::int64_t size, std::int64_t outputs) {
  Inside r{tap < 0 ? (-tap + step - 1) / step : 0, tap < size ? (size - 1 - tap) / step + 1 : 0};
  if (r.end > outputs) r.end = outputs;
  if (r.begin > r.end) r.begin = r.end;
  return r;
}

// y[image, i, j] = sum over taps of x[image, tap(i, j)] W[tap] (+ bias), for all images and a grid of pixels.
template <class T>
struct PixelProduct {
  std::int64_t images, grid_h, grid_w;
  const T* x;  // (images, h, w, x_pixel), of which `k` elements from x on are read at each tap
  std::int64_t h, w, x_pixel, k, step_h, step_w;
  const Tap* taps;
  std::int64_t tap_count;
  T* y;  // grid pixel (i, j) is pixel (i * y_step_h + y_h, j * y_step_w + y_w) of (images, out_h, out_w, y_pixel)
  std::int64_t out_h, out_w, y_pixel, columns, y_step_h, y_step_w, y_h, y_w;
  const T* bias;

  std::int64_t pixels() const { return images * grid_h * grid_w; }
};

inline constexpr std::int64_t kTapDepth = 400;       // K at a time: a panel of weights takes most of the first cache
inline constexpr std::int64_t kGridPixels = 48;      // grid pixels at a time: their inputs stay in the second cache
inline constexpr std::int64_t kTableEntries = 2048;  // addresses in the table of such a block

template <class T>
std::int64_t grid_block(const PixelProduct<T>& g) {
  std::int64_t pixels = kGridPixels;
  while (pixels > kTileRows && pixels * g.tap_count > kTableEntries) pixels /= 2;
  return pixels;
}

// Elements between the k channels of pixel (h, w) of an image and x; those of `zeros` outside it.
template <class T>
std::int64_t pixel_offset(const PixelProduct<T>& g, const T* zeros, std::int64_t image, std::int64_t h,
                          std::int64_t w) {
  if (h < 0 || h >= g.h || w < 0 || w >= g.w) {
    return std::int64_t(reinterpret_cast<std::intptr_t>(zeros) - reinterpret_cast<std::intptr_t>(g.x)) /
           std::int64_t(sizeof(T));
  }
  return ((image * g.h + h) * g.w + w) * g.x_pixel;
}

// The addresses of grid pixels [begin, end): each tap's input at offsets[(tile * tap_count + tap) * kTileRows + row],
// the output at outputs[pixel]. Tiles are those of the kernel's heights; missing rows repeat the last pixel.
template <class T>
[[gnu::noinline]] void fill_table(const PixelProduct<T>& g, const T* zeros, std::int64_t begin, std::int64_t end,
                                  std::int64_t* offsets, std::int64_t* outputs) {
  for (std::int64_t tile = begin; tile < end; offsets += g.tap_count * kTileRows) {
    const std::int64_t height = next_rows(end - tile), rows = end - tile < height ? end - tile : height;
    for (std::int64_t r = 0; r < kTileRows; ++r) {
      const std::int64_t pixel = tile + (r < rows ? r : rows - 1);
      const std::int64_t image = pixel / (g.grid_h * g.grid_w), i = pixel / g.grid_w % g.grid_h, j = pixel % g.grid_w;
      for (std::int64_t t = 0; t < g.tap_count; ++t) {
        const Tap& tap = g.taps[t];
        offsets[t * kTileRows + r] = pixel_offset(g, zeros, image, i * g.step_h + tap.h, j * g.step_w + tap.w);
      }
      if (r < rows) {
        const std::int64_t out_row = image * g.out_h + i * g.y_step_h + g.y_h;
        *outputs++ = (out_row * g.out_w + j * g.y_step_w + g.y_w) * g.y_pixel;
      }
    }
    tile += rows;
  }
}

// The product for grid pixels [begin, end). `weights` is packed: panels of tile_columns() columns, in each the taps in
// order.
template <class T>
void multiply_pixels(const PixelProduct<T>& g, const T* weights, const T* zeros, std::int64_t begin, std::int64_t end,
                     std::int64_t* table) {
  const std::int64_t width = tile_columns<T>(), panel_size = g.tap_count * g.k * width;
  std::int64_t* outputs = table;
  std::int64_t* offsets = table + kGridPixels;
  fill_table(g, zeros, begin, end, offsets, outputs);
  // K in blocks of whole taps, or of parts of one.
  const std::int64_t taps_at_once = g.k < kTapDepth ? kTapDepth / g.k : 1;
  const std::int64_t parts = g.k > kTapDepth ? (g.k + kTapDepth - 1) / kTapDepth : 1, depth = (g.k + parts - 1) / parts;
  GemmTile<T> tile;
  tile.a_column = 1;
  tile.b_row = width;
  std::int64_t tap = 0, first = 0;
  do {
    tile.segments = g.tap_count - tap < taps_at_once ? g.tap_count - tap : taps_at_once;
    tile.k = g.k - first < depth ? g.k - first : depth;
    tile.a = g.x + first;
    tile.b_skip = (g.k - tile.k) * width;
    const bool start = tap == 0 && first == 0;
    tile.init_by_row = start ? 0 : 1;
    const T* panel = weights + (tap * g.k + first) * width;
    for (std::int64_t j = 0; j < g.columns; j += width, panel += panel_size) {
      tile.columns = g.columns - j < width ? g.columns - j : width;
      tile.b = panel;
      tile.c = g.y + j;
      tile.init = !start ? tile.c : g.bias ? g.bias + j : nullptr;
      const TileFunctions<T> compute = tile_functions<T>(tile.columns);
      tile.offsets = offsets + tap * kTileRows;
      for (std::int64_t i = begin; i < end; i += tile.rows, tile.offsets += g.tap_count * kTileRows) {
        const int height = next_rows(end - i);
        tile.rows = end - i < height ? end - i : height;
        for (int r = 0; r < kTileRows; ++r) tile.c_offset[r] = outputs[i - begin + (r < tile.rows ? r : tile.rows - 1)];
        (height == kTileRows ? compute.tall : compute.low)(&tile);
      }
    }
    first += depth;
    if (first >= g.k) {
      first = 0;
      tap += taps_at_once;
    }
  } while (tap < g.tap_count);
}

// The scratch memory of a product, taken before it writes anything: packed weights, a pixel of zeros, a table per
// thread.
template <class T>
class PixelMemory {
 public:
  // For the largest of the products that will use it.
  PixelMemory(std::int64_t tap_count, std::int64_t k, std::int64_t columns, int threads)
      : weights_(tap_count * k * ((columns + tile_columns<T>() - 1) / tile_columns<T>() * tile_columns<T>())),
        zeros_(k),
        table_size_(kGridPixels + (kTableEntries > kTileRows * tap_count ? kTableEntries : kTileRows * tap_count)),
        tables_(table_size_ * threads) {
    for (std::int64_t i = 0; i < k; ++i) zeros_.data()[i] = T(0);
  }
  T* weights() const { return weights_.data(); }
  const T* zeros() const { return zeros_.data(); }
  std::int64_t* table(int slot) const { return tables_.data() + slot * table_size_; }

 private:
  Scratch<T> weights_, zeros_;
  std::int64_t table_size_;
  Scratch<std::int64_t> tables_;
};

// Packs the weights of all taps, element (c, j) of a tap at w[tap.weight + c * row + j * column], and runs the product.
template <class S, class T>
void run_pixels(const PixelProduct<T>& g, const S* w, std::int64_t row, std::int64_t column,
                const PixelMemory<T>& memory, int threads) {
  const std::int64_t width = tile_columns<T>();
  parallel_for(
      g.tap_count, 1,
      [&](std::int64_t t, std::int64_t) {
        pack_rows(PackArguments<S, T>{w + g.taps[t].weight, row, column, g.k, g.columns,
                                      memory.weights() + t * g.k * width, width, g.tap_count * g.k * width});
      },
      threads);
  parallel_for(
      g.pixels(), grid_block(g),
      [&](std::int64_t begin, std::int64_t end, int slot) {
        multiply_pixels(g, memory.weights(), memory.zeros(), begin, end, memory.table(slot));
      },
      threads);
}

}  // namespace ergo::inline ERGO_BUILD::cpu::detail
