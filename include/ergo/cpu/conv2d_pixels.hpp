// Convolution as a matrix product without a copy of the input: row r of the product is a pixel of a grid, K runs over
// the taps and, in each, the channels of one input pixel. The tile kernel reads those in place, through a table of the
// addresses that the taps of its 6 pixels have. Any kernel, stride, dilation and padding is a table. The input gradient
// is the same product over the output's gradient, once for each phase of the stride.
//
// The grid is cut into rectangles whose pixels have the same taps inside the image, so that no others are computed;
// where that would leave too many tiles half empty, a tap outside the image reads zeros.
#pragma once

#include <cstddef>
#include <cstdint>

#include "ergo/core/parallel.hpp"
#include "ergo/cpu/gemm_kernel.hpp"
#include "ergo/cpu/gemm_pack.hpp"
#include "ergo/cpu/isa.hpp"
#include "ergo/cpu/pack.hpp"
#include "ergo/cpu/scratch.hpp"

namespace ergo::inline ERGO_BUILD::cpu::detail {

// Grid pixel (i, j) reads input pixel (i * step_h + h, j * step_w + w) at this tap; its weights begin `weight` elements
// behind the first. `place` counts the taps whose packed weights come before; `x` is how many elements its input lies
// behind that of a tap at (0, 0).
struct Tap {
  std::int64_t h, w, weight, place, x;
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
  bool all_inside;  // no tap is ever outside the image

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

// The addresses of grid pixels [begin, end): each tap's input at offsets[(tile * tap_count + tap) * kTileRows + row],
// the output at outputs[pixel]. Tiles are those of the kernel's heights; missing rows repeat the last pixel. What lies
// outside the image is at `zeros`.
template <class T>
[[gnu::noinline]] void fill_table(const PixelProduct<T>& g, const T* zeros, std::int64_t begin, std::int64_t end,
                                  std::int64_t* offsets, std::int64_t* outputs) {
  const std::int64_t outside =
      std::int64_t(reinterpret_cast<std::intptr_t>(zeros) - reinterpret_cast<std::intptr_t>(g.x)) /
      std::int64_t(sizeof(T));
  std::int64_t image = begin / (g.grid_h * g.grid_w), i = begin / g.grid_w % g.grid_h, j = begin % g.grid_w;
  for (std::int64_t tile = begin; tile < end; offsets += g.tap_count * kTileRows) {
    const std::int64_t height = next_rows(end - tile), rows = end - tile < height ? end - tile : height;
    for (std::int64_t r = 0; r < rows; ++r) {
      const std::int64_t x = ((image * g.h + i * g.step_h) * g.w + j * g.step_w) * g.x_pixel;
      for (std::int64_t t = 0; t < g.tap_count; ++t) {
        const std::int64_t h = i * g.step_h + g.taps[t].h, w = j * g.step_w + g.taps[t].w;
        const bool inside = g.all_inside || (h >= 0 && h < g.h && w >= 0 && w < g.w);
        offsets[t * kTileRows + r] = inside ? x + g.taps[t].x : outside;
      }
      const std::int64_t out_row = image * g.out_h + i * g.y_step_h + g.y_h;
      *outputs++ = (out_row * g.out_w + j * g.y_step_w + g.y_w) * g.y_pixel;
      if (++j < g.grid_w) continue;
      j = 0;
      if (++i < g.grid_h) continue;
      i = 0;
      ++image;
    }
    for (std::int64_t r = rows; r < kTileRows; ++r) {
      for (std::int64_t t = 0; t < g.tap_count; ++t) offsets[t * kTileRows + r] = offsets[t * kTileRows + rows - 1];
    }
    tile += rows;
  }
}

// Fetches into the second cache what the same tile of the next block will read, roughly. With one tap each input is
// read in one block alone, in pieces too short for the hardware to see ahead.
template <class T>
void prefetch_block(const PixelProduct<T>& g, const GemmTile<T>& tile) {
  const std::int64_t ahead = kGridPixels * g.step_w * g.x_pixel;
  for (std::int64_t r = 0; r < tile.rows; ++r) {
    const auto next = reinterpret_cast<std::uintptr_t>(tile.a + tile.offsets[r]) + std::size_t(ahead) * sizeof(T);
    for (std::size_t q = 0; q < std::size_t(tile.k) * sizeof(T); q += 64) {
      __builtin_prefetch(reinterpret_cast<const void*>(next + q), 0, 2);
    }
  }
}

// The product for grid pixels [begin, end). `weights` is packed: panels of tile_columns() columns, panel_size apart, in
// each the taps by their places.
template <class T>
void multiply_pixels(const PixelProduct<T>& g, const T* weights, std::int64_t panel_size, const T* zeros,
                     std::int64_t begin, std::int64_t end, std::int64_t* table) {
  const std::int64_t width = tile_columns<T>();
  std::int64_t* outputs = table;
  std::int64_t* offsets = table + kGridPixels;
  fill_table(g, zeros, begin, end, offsets, outputs);
  // K in blocks of whole taps that follow each other, or of parts of one.
  const std::int64_t taps_at_once = g.k < kTapDepth ? kTapDepth / g.k : 1;
  const std::int64_t parts = g.k > kTapDepth ? (g.k + kTapDepth - 1) / kTapDepth : 1, depth = (g.k + parts - 1) / parts;
  GemmTile<T> tile;
  tile.a_column = 1;
  tile.b_row = width;
  std::int64_t tap = 0, first = 0;
  do {
    tile.segments = 0;
    while (tile.segments < taps_at_once && tap + tile.segments < g.tap_count &&
           g.taps[tap + tile.segments].place == g.taps[tap].place + tile.segments) {
      ++tile.segments;
    }
    tile.k = g.k - first < depth ? g.k - first : depth;
    tile.a = g.x + first;
    tile.b_skip = (g.k - tile.k) * width;
    const bool start = tap == 0 && first == 0;
    tile.init_by_row = start ? 0 : 1;
    const T* panel = weights + (g.tap_count > 0 ? (g.taps[tap].place * g.k + first) * width : 0);
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
        if (j == 0 && g.tap_count == 1) prefetch_block(g, tile);
        (height == kTileRows ? compute.tall : compute.low)(&tile);
      }
    }
    first += depth;
    if (first >= g.k) {
      first = 0;
      tap += tile.segments;
    }
  } while (tap < g.tap_count);
}

// Writes where the runs of grid indices that have the same taps inside the image end, along one axis. Returns their
// number, at most 2 for each distinct tap and 1 more.
inline std::int64_t cut_axis(const Tap* taps, std::int64_t tap_count, std::int64_t Tap::*axis, std::int64_t step,
                             std::int64_t size, std::int64_t outputs, std::int64_t* ends) {
  std::int64_t count = 0;
  for (std::int64_t j = 0; j < outputs; j = ends[count++]) {
    ends[count] = outputs;
    for (std::int64_t t = 0; t < tap_count; ++t) {
      const Inside in = inside(taps[t].*axis, step, size, outputs);
      const std::int64_t change = j < in.begin ? in.begin : in.end;
      if (j < change && change < ends[count]) ends[count] = change;
    }
  }
  return count;
}

// Rows that the tiles of so many pixels compute.
inline std::int64_t computed_rows(std::int64_t pixels) {
  const std::int64_t whole = pixels > 12 ? (pixels - 7) / kTileRows * kTileRows : 0;
  std::int64_t rows = whole;
  for (std::int64_t left = pixels - whole; left > 0; left -= next_rows(left)) rows += next_rows(left);
  return rows;
}

inline constexpr std::int64_t kTileCost = 32;  // of calling the kernel, in elements of K

// The scratch memory of a product, taken before it writes anything: packed weights, a pixel of zeros, the cuts of the
// grid, and for each thread a table and the taps of a rectangle.
template <class T>
class PixelMemory {
 public:
  // For the largest of the products that will use it.
  PixelMemory(std::int64_t taps_h, std::int64_t taps_w, std::int64_t k, std::int64_t columns, int threads)
      : tap_count_(taps_h * taps_w),
        cuts_h_(2 * taps_h + 1),
        cuts_w_(2 * taps_w + 1),
        table_size_(kGridPixels + (kTableEntries > kTileRows * tap_count_ ? kTableEntries : kTileRows * tap_count_)),
        weights_(tap_count_ * k * ((columns + tile_columns<T>() - 1) / tile_columns<T>() * tile_columns<T>())),
        zeros_(k),
        cuts_(tap_count_ > 0 ? cuts_h_ + cuts_w_ + cuts_h_ * cuts_w_ : 0),
        tables_(tap_count_ > 0 ? table_size_ * threads : 0),
        taps_(tap_count_ * threads) {
    for (std::int64_t i = 0; i < k; ++i) zeros_.data()[i] = T(0);
  }
  T* weights() const { return weights_.data(); }
  const T* zeros() const { return zeros_.data(); }
  std::int64_t* row_ends() const { return cuts_.data(); }
  std::int64_t* column_ends() const { return cuts_.data() + cuts_h_; }
  std::int64_t* items() const { return cuts_.data() + cuts_h_ + cuts_w_; }
  std::int64_t* table(int slot) const { return tables_.data() + slot * table_size_; }
  Tap* taps(int slot) const { return taps_.data() + slot * tap_count_; }

 private:
  std::int64_t tap_count_, cuts_h_, cuts_w_, table_size_;
  Scratch<T> weights_, zeros_;
  Scratch<std::int64_t> cuts_, tables_;
  Scratch<Tap> taps_;
};

// Rectangle (i, j) of the grid as a product of its own, whose taps are written to `taps`.
template <class T>
PixelProduct<T> rectangle(const PixelProduct<T>& g, const PixelMemory<T>& memory, std::int64_t i, std::int64_t j,
                          bool all_taps, Tap* taps) {
  const std::int64_t h = i > 0 ? memory.row_ends()[i - 1] : 0, w = j > 0 ? memory.column_ends()[j - 1] : 0;
  PixelProduct<T> part = g;
  part.grid_h = memory.row_ends()[i] - h;
  part.grid_w = memory.column_ends()[j] - w;
  part.y_h += h * g.y_step_h;
  part.y_w += w * g.y_step_w;
  part.taps = taps;
  part.all_inside = !all_taps;
  part.tap_count = 0;
  for (std::int64_t t = 0; t < g.tap_count; ++t) {
    const std::int64_t at_h = h * g.step_h + g.taps[t].h, at_w = w * g.step_w + g.taps[t].w;
    if (!all_taps && (at_h < 0 || at_h >= g.h || at_w < 0 || at_w >= g.w)) continue;
    taps[part.tap_count++] = {at_h, at_w, g.taps[t].weight, t, (at_h * g.w + at_w) * g.x_pixel};
  }
  return part;
}

// Packs the weights of all taps, element (c, j) of a tap at w[tap.weight + c * row + j * column], and runs the product.
template <class S, class T>
void run_pixels(const PixelProduct<T>& g, const S* w, std::int64_t row, std::int64_t column,
                const PixelMemory<T>& memory, int threads) {
  const std::int64_t width = tile_columns<T>(), panel_size = g.tap_count * g.k * width, block = grid_block(g);
  parallel_for(
      g.tap_count, 1,
      [&](std::int64_t t, std::int64_t) {
        pack_rows(PackArguments<S, T>{w + g.taps[t].weight, row, column, g.k, g.columns,
                                      memory.weights() + t * g.k * width, width, panel_size});
      },
      threads);
  std::int64_t rows = cut_axis(g.taps, g.tap_count, &Tap::h, g.step_h, g.h, g.grid_h, memory.row_ends());
  std::int64_t columns = cut_axis(g.taps, g.tap_count, &Tap::w, g.step_w, g.w, g.grid_w, memory.column_ends());
  // The work is one list of blocks, rectangle by rectangle; items[r] is where those of rectangle r end.
  std::int64_t count = 0, cost = 0;
  for (std::int64_t r = 0; r < rows * columns; ++r) {
    const PixelProduct<T> part = rectangle(g, memory, r / columns, r % columns, false, memory.taps(0));
    cost += computed_rows(part.pixels()) * (part.tap_count * g.k + kTileCost);
    count += (part.pixels() + block - 1) / block;
    memory.items()[r] = count;
  }
  const bool whole = cost >= computed_rows(g.pixels()) * (g.tap_count * g.k + kTileCost);
  if (whole) {
    rows = columns = 1;
    memory.row_ends()[0] = g.grid_h;
    memory.column_ends()[0] = g.grid_w;
    memory.items()[0] = count = (g.pixels() + block - 1) / block;
  }
  parallel_for(
      count, 1,
      [&](std::int64_t item, std::int64_t, int slot) {
        std::int64_t r = 0;
        while (item >= memory.items()[r]) ++r;
        const PixelProduct<T> part = rectangle(g, memory, r / columns, r % columns, whole, memory.taps(slot));
        const std::int64_t begin = (item - (r > 0 ? memory.items()[r - 1] : 0)) * block;
        const std::int64_t end = begin + block < part.pixels() ? begin + block : part.pixels();
        multiply_pixels(part, memory.weights(), panel_size, memory.zeros(), begin, end, memory.table(slot));
      },
      threads);
}

}  // namespace ergo::inline ERGO_BUILD::cpu::detail
