// The input gradient of a convolution of few input channels, which would leave most lanes of a tile empty: the taps of
// a kernel's row are columns too. For each row of the input, the product of the rows of the output's gradient that it
// meets, (OW, rows * C_out), with the weights of those kernel rows, (rows * C_out, KW * C_in), has in row j what output
// column j passes to KW neighbouring input pixels; these overlap, and are added up.
#pragma once

#include <cstdint>

#include "ergo/core/parallel.hpp"
#include "ergo/cpu/conv2d_pixels.hpp"
#include "ergo/cpu/conv2d_shape.hpp"
#include "ergo/cpu/gemm_kernel.hpp"
#include "ergo/cpu/gemm_pack.hpp"
#include "ergo/cpu/scratch.hpp"

namespace ergo::inline ERGO_BUILD::cpu::detail {

template <class T>
bool adds_overlaps(const Conv2dShape& s) {
  return s.groups == 1 && s.dilation_w == 1 && s.kw > 1 && s.c_in < tile_columns<T>() / 2;
}

// The scratch memory of such a gradient, taken before it writes anything: packed weights, kernel rows in the order of
// the input rows' phases, and for each thread the product of a row and the table of a tile's addresses.
template <class T>
class OverlapMemory {
 public:
  // Of none if not `wanted`.
  OverlapMemory(const Conv2dShape& s, bool wanted, int threads)
      : kernel_rows_(wanted ? s.kh : 0),
        half_(tile_columns<T>() / 2),
        width_((s.kw * s.c_in + half_ - 1) / half_ * half_),
        panels_((width_ + 2 * half_ - 1) / (2 * half_)),
        product_size_(wanted ? s.out_w() * width_ : 0),
        weights_(kernel_rows_ * s.c_out * panels_ * 2 * half_),
        products_(product_size_ * threads),
        order_(kernel_rows_),
        tables_(kernel_rows_ * kTileRows * threads) {}
  T* weights() const { return weights_.data(); }
  std::int64_t* order() const { return order_.data(); }
  std::int64_t width() const { return width_; }  // elements between rows of a product: whole or half tiles
  T* product(int slot) const { return products_.data() + slot * product_size_; }
  std::int64_t* table(int slot) const { return tables_.data() + slot * kernel_rows_ * kTileRows; }

 private:
  std::int64_t kernel_rows_, half_, width_, panels_, product_size_;
  Scratch<T> weights_, products_;
  Scratch<std::int64_t> order_, tables_;
};

// The kernel rows order[first, first + count) meet the output rows top, top - step, ...
struct MetRows {
  std::int64_t first, count, top, step;
};

// Those that meet input row h. Kernel row k does so at output row (h + pad_top - k * dilation_h) / stride_h, if that is
// whole and exists.
inline MetRows met_rows(const Conv2dShape& s, const std::int64_t* order, std::int64_t h) {
  MetRows met{0, 0, 0, 0};
  for (std::int64_t q = 0; q < s.kh; ++q) {
    const std::int64_t at = h + s.pad_top - order[q] * s.dilation_h;
    if (at < 0 || at % s.stride_h != 0 || at / s.stride_h >= s.out_h()) continue;
    if (met.count == 0) met.first = q, met.top = at / s.stride_h;
    if (met.count == 1) met.step = met.top - at / s.stride_h;
    ++met.count;
  }
  return met;
}

// The product of one input row, into `product`.
template <class T>
void multiply_met_rows(const Conv2dShape& s, const MetRows& met, const T* dy, const OverlapMemory<T>& memory,
                       T* product, std::int64_t* offsets) {
  const std::int64_t width = tile_columns<T>(), out_w = s.out_w(), k = s.c_out;
  const std::int64_t rows_at_once = k < kTapDepth ? kTapDepth / k : 1;
  GemmTile<T> tile;
  tile.k = k;
  tile.offsets = offsets;
  tile.a_column = 1;
  tile.b_row = width;
  tile.b_skip = 0;
  tile.init_by_row = 1;
  for (std::int64_t done = 0; done < met.count; done += tile.segments) {
    tile.segments = met.count - done < rows_at_once ? met.count - done : rows_at_once;
    std::int64_t filled = 0;
    for (std::int64_t j = 0; j < out_w; j += tile.rows) {
      const int height = next_rows(out_w - j);
      tile.rows = out_w - j < height ? out_w - j : height;
      if (filled != tile.rows) {
        filled = tile.rows;
        for (int r = 0; r < kTileRows; ++r) {
          const std::int64_t row = r < filled ? r : filled - 1;
          tile.c_offset[r] = row * memory.width();
          for (std::int64_t q = 0; q < tile.segments; ++q)
            offsets[q * kTileRows + r] = row * k - (done + q) * met.step * out_w * k;
        }
      }
      tile.a = dy + (met.top * out_w + j) * k;
      const T* panel = memory.weights() + (met.first + done) * k * width;
      for (std::int64_t c = 0; c < memory.width(); c += width, panel += s.kh * k * width) {
        tile.b = panel;
        tile.columns = memory.width() - c < width ? width / 2 : width;
        tile.c = product + j * memory.width() + c;
        tile.init = done > 0 ? tile.c : nullptr;
        const TileFunctions<T> compute = tile_functions<T>(tile.columns);
        (height == kTileRows ? compute.tall : compute.low)(&tile);
      }
    }
  }
}

// dx from dy and the weights, of any type.
template <class S, class T>
void run_overlaps(const Conv2dShape& s, const T* dy, const S* w, T* dx, const OverlapMemory<T>& memory, int threads) {
  const std::int64_t width = tile_columns<T>(), columns = s.kw * s.c_in, row_size = s.w * s.c_in;
  std::int64_t ordered = 0;
  for (std::int64_t phase = 0; phase < s.stride_h; ++phase) {
    for (std::int64_t k = 0; k < s.kh; ++k) {
      if (k * s.dilation_h % s.stride_h == phase) memory.order()[ordered++] = k;
    }
  }
  for (std::int64_t q = 0; q < s.kh; ++q) {
    pack_rows(PackArguments<S, T>{w + memory.order()[q] * columns * s.c_out, 1, s.c_out, s.c_out, columns,
                                  memory.weights() + q * s.c_out * width, width, s.kh * s.c_out * width});
  }
  parallel_for(
      s.n * s.h, 2,
      [&](std::int64_t begin, std::int64_t end, int slot) {
        const T* product = memory.product(slot);
        for (std::int64_t row = begin; row < end; ++row) {
          T* to = dx + row * row_size;
          for (std::int64_t q = 0; q < row_size; ++q) to[q] = T(0);
          const MetRows met = met_rows(s, memory.order(), row % s.h);
          if (met.count == 0) continue;
          multiply_met_rows(s, met, dy + row / s.h * s.out_h() * s.out_w() * s.c_out, memory, memory.product(slot),
                            memory.table(slot));
          for (std::int64_t j = 0; j < s.out_w(); ++j) {
            const T* from = product + j * memory.width();
            const std::int64_t at = (j * s.stride_w - s.pad_left) * s.c_in;
            const std::int64_t last = row_size - at < columns ? row_size - at : columns;
            for (std::int64_t q = at < 0 ? -at : 0; q < last; ++q) to[at + q] += from[q];
          }
        }
      },
      threads);
}

}  // namespace ergo::inline ERGO_BUILD::cpu::detail
