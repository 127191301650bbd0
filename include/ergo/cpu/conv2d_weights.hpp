// The gradient of convolution weights: for each tap, the product of the shifted input, transposed, with the output's
// gradient, summed over all pixels. Input channels are the rows of a tile and pixels are K: the kernel reads the input
// in place, one segment for each row of pixels. The gradient's columns are packed by blocks of pixels that stay in the
// nearest cache for all taps and channels. Few input channels would leave tiles empty: then all taps are rows of the
// same tiles, read from a copy of the block's input with its padding, so that every tap has all pixels.
//
// The pixels are cut into a fixed number of parts, each summed in order into a buffer of its own, and the buffers are
// added in order: the bits do not depend on the number of threads.
#pragma once

#include <cstdint>

#include "ergo/core/parallel.hpp"
#include "ergo/cpu/conv2d_pixels.hpp"
#include "ergo/cpu/conv2d_shape.hpp"
#include "ergo/cpu/gemm_kernel.hpp"
#include "ergo/cpu/gemm_pack.hpp"
#include "ergo/cpu/scratch.hpp"

namespace ergo::inline ERGO_BUILD::cpu::detail {

// dw[tap][row][column] = sum over images and pixels of x[image, pixel * step + tap][row] dy[image, pixel][column].
template <class T>
struct WeightProduct {
  std::int64_t images, out_h, out_w;
  const T* x;  // (images, h, w, x_pixel), of which `rows` elements from x on are used at each tap
  std::int64_t h, w, x_pixel, rows, step_h, step_w;
  std::int64_t taps_h, taps_w, first_h, first_w, tap_step_h,
      tap_step_w;  // tap (i, j) is at (first_h + i * tap_step_h, ...)
  const T* dy;     // (images, out_h, out_w, dy_pixel), of which `columns` elements from dy on are used
  std::int64_t dy_pixel, columns;
  std::int64_t dw_row;        // elements between rows of dw; a tap has `rows` of them
  const Conv2dShape* merged;  // or null. If set, there is one tap, whose `rows` are the elements of all taps.

  std::int64_t taps() const { return taps_h * taps_w; }
};

inline constexpr std::int64_t kSumPixels = 128;            // pixels at a time, or more if their inputs and gradients
inline constexpr std::int64_t kSumElements = 12288;        // are so few elements: they stay in the nearest cache
inline constexpr std::int64_t kGroupElements = 16384;      // of dw, for the panels of columns that are summed together,
inline constexpr std::int64_t kGroupPixels = 32768;        // and of dy: both stay in the second cache
inline constexpr std::int64_t kPartials = 8;               // buffers of partial sums
inline constexpr std::int64_t kPartialElements = 1 << 19;  // the largest dw that has more than one

// Rows of output pixels in one block, and blocks in an image.
template <class T>
std::int64_t sum_rows(const WeightProduct<T>& g) {
  const std::int64_t inputs = g.merged ? g.step_h * g.step_w * g.x_pixel : g.rows;
  const std::int64_t wanted = kSumElements / (inputs + tile_columns<T>());
  const std::int64_t rows = (wanted > kSumPixels ? wanted : kSumPixels) / g.out_w, most = rows < 1 ? 1 : rows;
  const std::int64_t blocks = (g.out_h + most - 1) / most;
  return (g.out_h + blocks - 1) / blocks;
}
template <class T>
std::int64_t sum_blocks(const WeightProduct<T>& g) {
  return (g.out_h + sum_rows(g) - 1) / sum_rows(g);
}

// Panels of columns that are summed together: as many as the second cache holds, for the input is read once for all.
template <class T>
std::int64_t sum_panels(const WeightProduct<T>& g) {
  const std::int64_t width = tile_columns<T>(), panels = (g.columns + width - 1) / width;
  const std::int64_t by_sums = kGroupElements / (g.taps() * g.rows * width);
  const std::int64_t by_pixels = kGroupPixels / (sum_rows(g) * g.out_w * width);
  const std::int64_t least = by_sums < by_pixels ? by_sums : by_pixels, most = least < 1 ? 1 : least;
  const std::int64_t groups = (panels + most - 1) / most;
  return (panels + groups - 1) / groups;
}

// Whether dy may be used where it is: whole or half tiles, in rows that do not lie too far apart for the nearest cache.
template <class T>
bool uses_in_place(const WeightProduct<T>& g) {
  return g.columns % (tile_columns<T>() / 2) == 0 && g.dy_pixel <= 2 * tile_columns<T>();
}

// Adds one tap's share of the pixels [row, row + rows) x out_w of an image to one panel of columns of dw, at `c`; dy is
// the panel of those pixels, in rows dy_row apart.
template <class T>
void add_tap(const WeightProduct<T>& g, std::int64_t image, std::int64_t row, std::int64_t rows, std::int64_t tap_h,
             std::int64_t tap_w, const T* dy, std::int64_t dy_row, std::int64_t columns, T* c, std::int64_t* table) {
  const Inside w = inside(tap_w, g.step_w, g.w, g.out_w);
  Inside h = inside(tap_h, g.step_h, g.h, g.out_h);
  if (h.begin < row) h.begin = row;
  if (h.end > row + rows) h.end = row + rows;
  if (h.begin >= h.end || w.begin >= w.end) return;
  GemmTile<T> tile;
  tile.segments = h.end - h.begin;
  tile.k = w.end - w.begin;
  tile.a_column = g.step_w * g.x_pixel;
  tile.offsets = table;
  tile.b = dy + ((h.begin - row) * g.out_w + w.begin) * dy_row;
  tile.b_row = dy_row;
  tile.b_skip = (g.out_w - tile.k) * dy_row;
  if (tile.k == g.out_w && g.step_h * g.w == g.step_w * g.out_w) {  // the rows follow each other
    tile.k *= tile.segments;
    tile.segments = 1;
  }
  tile.columns = columns;
  tile.init_by_row = 1;
  const TileFunctions<T> compute = tile_functions<T>(columns);
  std::int64_t filled = 0;
  for (std::int64_t i = 0; i < g.rows; i += tile.rows) {
    const int height = next_rows(g.rows - i);
    tile.rows = g.rows - i < height ? g.rows - i : height;
    if (filled != tile.rows) {
      filled = tile.rows;
      for (std::int64_t s = 0; s < tile.segments; ++s) {
        const std::int64_t in_row = image * g.h + (h.begin + s) * g.step_h + tap_h;
        const std::int64_t start = (in_row * g.w + w.begin * g.step_w + tap_w) * g.x_pixel;
        for (int r = 0; r < kTileRows; ++r) table[s * kTileRows + r] = start + (r < filled ? r : filled - 1);
      }
      for (int r = 0; r < kTileRows; ++r) tile.c_offset[r] = (r < filled ? r : filled - 1) * g.dw_row;
    }
    tile.a = g.x + i;
    tile.c = c + i * g.dw_row;
    tile.init = tile.c;
    (height == kTileRows ? compute.tall : compute.low)(&tile);
  }
}

// The input of a block of output rows with its padding: elements of a row, and rows.
inline std::int64_t frame_row(const Conv2dShape& s) {
  return ((s.out_w() - 1) * s.stride_w + (s.kw - 1) * s.dilation_w + 1) * s.c_in;
}
inline std::int64_t frame_rows(const Conv2dShape& s, std::int64_t rows) {
  return (rows - 1) * s.stride_h + (s.kh - 1) * s.dilation_h + 1;
}

// Copies the frame of the output rows [row, row + rows) of an image.
template <class T>
void fill_frame(const Conv2dShape& s, const T* x, std::int64_t image, std::int64_t row, std::int64_t rows, T* to) {
  const std::int64_t size = frame_row(s), before = s.pad_left * s.c_in, begin = before < size ? before : size;
  const std::int64_t reach = (s.pad_left + s.w) * s.c_in, end = reach < size ? reach : size;
  const std::int64_t first = row * s.stride_h - s.pad_top, count = frame_rows(s, rows);
  const auto zero = [&to](std::int64_t from, std::int64_t past) {
    for (std::int64_t j = from; j < past; ++j) to[j] = T(0);
  };
  for (std::int64_t h = first; h < first + count; ++h, to += size) {
    const bool exists = h >= 0 && h < s.h && begin < end;
    zero(0, exists ? begin : size);
    if (!exists) continue;
    __builtin_memcpy(to + begin, x + (image * s.h + h) * s.w * s.c_in, std::size_t(end - begin) * sizeof(T));
    zero(end, size);
  }
}

// Where the rows of tiles begin in a frame: kTileRows offsets a row of output pixels, `rows` of them a tile, for one
// tile of merged taps after the other.
template <class T>
std::int64_t merged_tiles(const WeightProduct<T>& g) {
  std::int64_t tiles = 0;
  for (std::int64_t i = 0; i < g.rows; i += next_rows(g.rows - i)) ++tiles;
  return tiles;
}
template <class T>
void fill_offsets(const WeightProduct<T>& g, std::int64_t rows, std::int64_t* offsets) {
  const Conv2dShape& s = *g.merged;
  const std::int64_t size = frame_row(s);
  for (std::int64_t i = 0; i < g.rows; i += next_rows(g.rows - i)) {
    for (std::int64_t row = 0; row < rows; ++row) {
      for (std::int64_t r = i; r < i + kTileRows; ++r) {
        const std::int64_t element = r < g.rows ? r : g.rows - 1, tap = element / s.c_in;
        *offsets++ = (row * s.stride_h + tap / s.kw * s.dilation_h) * size + tap % s.kw * s.dilation_w * s.c_in +
                     element % s.c_in;
      }
    }
  }
}

// Adds the share of `rows` rows of output pixels to one panel of columns of dw, for all merged taps; offsets are for
// most_rows rows.
template <class T>
void add_merged(const WeightProduct<T>& g, const T* frame, std::int64_t rows, const T* dy, std::int64_t dy_row,
                std::int64_t columns, T* c, const std::int64_t* offsets, std::int64_t most_rows) {
  GemmTile<T> tile;
  tile.segments = rows;
  tile.k = g.out_w;
  tile.a = frame;
  tile.a_column = g.step_w * g.x_pixel;
  tile.b = dy;
  tile.b_row = dy_row;
  tile.b_skip = 0;
  tile.columns = columns;
  tile.init_by_row = 1;
  for (int r = 0; r < kTileRows; ++r) tile.c_offset[r] = r * g.dw_row;
  const TileFunctions<T> compute = tile_functions<T>(columns);
  for (std::int64_t i = 0; i < g.rows; i += tile.rows, offsets += most_rows * kTileRows) {
    const int height = next_rows(g.rows - i);
    tile.rows = g.rows - i < height ? g.rows - i : height;
    for (std::int64_t r = tile.rows; r < kTileRows; ++r) tile.c_offset[r] = tile.c_offset[tile.rows - 1];
    tile.offsets = offsets;
    tile.c = c + i * g.dw_row;
    tile.init = tile.c;
    (height == kTileRows ? compute.tall : compute.low)(&tile);
  }
}

// The scratch memory of a gradient, taken before it writes anything.
template <class T>
struct WeightMemory {
  WeightMemory(const WeightProduct<T>& g, int threads)
      : rows_at_once(sum_rows(g)),
        blocks(g.images * sum_blocks(g)),
        parts(choose_parts(g)),
        part_size(g.taps() * g.rows * g.columns),
        panels_at_once(sum_panels(g)),
        panel_size(uses_in_place(g) ? 0 : rows_at_once * g.out_w * tile_columns<T>()),
        slot_size(panel_size * panels_at_once),
        frame_size(g.merged ? frame_rows(*g.merged, rows_at_once) * frame_row(*g.merged) : 0),
        partials(parts > 1 ? parts * part_size : 0),
        frames(frame_size * threads),
        packed(slot_size * threads),
        tables(rows_at_once * kTileRows * (g.merged ? merged_tiles(g) : threads)) {
    if (g.merged) fill_offsets(g, rows_at_once, tables.data());
  }

  std::int64_t choose_parts(const WeightProduct<T>& g) const {
    const std::int64_t most = g.taps() * g.rows * g.columns <= kPartialElements ? kPartials : 1;
    return blocks < 1 ? 1 : blocks < most ? blocks : most;
  }

  std::int64_t rows_at_once, blocks, parts, part_size, panels_at_once, panel_size, slot_size, frame_size;
  Scratch<T> partials, frames, packed;
  Scratch<std::int64_t> tables;
};

// The gradient into dw, where taps follow each other after `rows` rows of dw_row elements.
template <class T>
void run_weights(const WeightProduct<T>& g, T* dw, const WeightMemory<T>& memory, int threads) {
  const std::int64_t width = tile_columns<T>(), group = memory.panels_at_once * width, parts = memory.parts;
  const std::int64_t groups = (g.columns + group - 1) / group;
  const bool in_place = uses_in_place(g);
  const std::int64_t dy_row = in_place ? g.dy_pixel : width, panel_step = in_place ? width : memory.panel_size;
  WeightProduct<T> product = g;
  const bool apart = parts > 1;
  if (apart) product.dw_row = g.columns;
  parallel_for(
      parts * groups, 1,
      [&](std::int64_t item, std::int64_t, int slot) {
        const std::int64_t part = item / groups, j = item % groups * group;
        const std::int64_t columns = g.columns - j < group ? g.columns - j : group;
        T* c = (apart ? memory.partials.data() + part * memory.part_size : dw) + j;
        T* packed = memory.packed.data() + slot * memory.slot_size;
        std::int64_t* table = memory.tables.data() + (g.merged ? 0 : slot * memory.rows_at_once * kTileRows);
        T* frame = memory.frames.data() + slot * memory.frame_size;
        for (std::int64_t r = 0; r < g.taps() * g.rows; ++r) {
          for (std::int64_t q = 0; q < columns; ++q) c[r * product.dw_row + q] = T(0);
        }
        for (std::int64_t b = memory.blocks * part / parts; b < memory.blocks * (part + 1) / parts; ++b) {
          const std::int64_t image = b / sum_blocks(g), row = b % sum_blocks(g) * memory.rows_at_once;
          const std::int64_t rows = g.out_h - row < memory.rows_at_once ? g.out_h - row : memory.rows_at_once;
          const T* from = g.dy + (image * g.out_h + row) * g.out_w * g.dy_pixel + j;
          if (!in_place) {
            pack_rows(
                PackArguments<T, T>{from, g.dy_pixel, 1, rows * g.out_w, columns, packed, width, memory.panel_size});
          }
          const T* panel = in_place ? from : packed;
          if (g.merged) fill_frame(*g.merged, g.x, image, row, rows, frame);
          for (std::int64_t q = 0; q < columns; q += width, panel += panel_step) {
            const std::int64_t present = columns - q < width ? columns - q : width;
            if (g.merged) {
              add_merged(product, frame, rows, panel, dy_row, present, c + q, table, memory.rows_at_once);
              continue;
            }
            for (std::int64_t t = 0; t < g.taps(); ++t) {
              const std::int64_t tap_h = g.first_h + t / g.taps_w * g.tap_step_h,
                                 tap_w = g.first_w + t % g.taps_w * g.tap_step_w;
              add_tap(product, image, row, rows, tap_h, tap_w, panel, dy_row, present,
                      c + q + t * g.rows * product.dw_row, table);
            }
          }
        }
      },
      threads);
  if (!apart) return;
  parallel_for(
      g.taps() * g.rows, 1 + 8192 / g.columns,
      [&](std::int64_t begin, std::int64_t end) {
        for (std::int64_t r = begin; r < end; ++r) {
          const T* from = memory.partials.data() + r * g.columns;
          T* to = dw + r * g.dw_row;
          for (std::int64_t q = 0; q < g.columns; ++q) {
            T sum = from[q];
            for (std::int64_t part = 1; part < parts; ++part) sum += from[part * memory.part_size + q];
            to[q] = sum;
          }
        }
      },
      threads);
}

}  // namespace ergo::inline ERGO_BUILD::cpu::detail
