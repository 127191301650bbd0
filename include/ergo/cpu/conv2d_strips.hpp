// Convolution of few input channels, where the channels of one tap would be too short a run of K. For each row of the
// output the KH rows of the input that it meets are copied side by side, with zeros where they leave the image:
//
//   strip[q, k, c] = x[i * stride_h + k * dilation_h - pad_top, q - pad_left, c]
//
// Then all taps of output pixel j are one run of KW * KH * C_in elements, in this order, from q = j * stride_w on: the
// tile kernel reads them in place. A strip is copied once for KW / stride_w times as many products.
#pragma once

#include <cstddef>
#include <cstdint>

#include "ergo/core/parallel.hpp"
#include "ergo/cpu/conv2d_shape.hpp"
#include "ergo/cpu/gemm_kernel.hpp"
#include "ergo/cpu/gemm_pack.hpp"
#include "ergo/cpu/scratch.hpp"

namespace ergo::inline ERGO_BUILD::cpu::detail {

// Elements of one pixel of a strip, and of a strip; elements of a pixel's taps.
inline std::int64_t strip_pixel(const Conv2dShape& s) { return s.kh * s.c_in; }
inline std::int64_t strip_size(const Conv2dShape& s) { return ((s.out_w() - 1) * s.stride_w + s.kw) * strip_pixel(s); }
inline std::int64_t strip_taps(const Conv2dShape& s) { return s.kw * strip_pixel(s); }

// The row of the weights (KH, KW, C_in) that belongs to element r of a pixel's taps.
inline std::int64_t weight_row(const Conv2dShape& s, std::int64_t r) {
  return (r / s.c_in % s.kh * s.kw + r / strip_pixel(s)) * s.c_in + r % s.c_in;
}

// Copies runs of C elements, from_step and to_step apart.
template <int C, class T>
inline void copy_runs(std::int64_t count, const T* from, std::int64_t from_step, T* to, std::int64_t to_step) {
  for (; count > 0; --count, from += from_step, to += to_step) __builtin_memcpy(to, from, C * sizeof(T));
}

template <class T>
inline void set_zero(T* to, std::int64_t count) {
  for (std::int64_t i = 0; i < count; ++i) to[i] = T(0);
}

// Copies the strips of `rows` output rows (of all images) from `first` on.
template <class T>
[[gnu::noinline]] void fill_strips(const Conv2dShape& s, const T* x, std::int64_t first, std::int64_t rows, T* to) {
  const std::int64_t size = strip_size(s), pixel = strip_pixel(s), channels = s.c_in, out_h = s.out_h();
  const std::int64_t width = size / pixel, begin = s.pad_left < width ? s.pad_left : width;
  const std::int64_t end = s.pad_left + s.w < width ? s.pad_left + s.w : width;
  for (std::int64_t row = first; row < first + rows; ++row, to += size) {
    const std::int64_t top = row % out_h * s.stride_h - s.pad_top;
    const bool whole = top >= 0 && top + (s.kh - 1) * s.dilation_h < s.h;
    set_zero(to, whole ? begin * pixel : size);
    if (whole) set_zero(to + end * pixel, (width - end) * pixel);
    for (std::int64_t k = 0; k < s.kh && begin < end; ++k) {
      const std::int64_t h = top + k * s.dilation_h;
      if (h < 0 || h >= s.h) continue;
      const T* from = x + ((row / out_h * s.h + h) * s.w + begin - s.pad_left) * channels;
      T* at = to + begin * pixel + k * channels;
      std::int64_t c = channels;
      for (; c >= 16; c -= 16, from += 16, at += 16) copy_runs<16>(end - begin, from, channels, at, pixel);
      for (; c >= 4; c -= 4, from += 4, at += 4) copy_runs<4>(end - begin, from, channels, at, pixel);
      if (c >= 2) copy_runs<2>(end - begin, from, channels, at, pixel);
      if (c % 2 > 0) copy_runs<1>(end - begin, from + c - 1, channels, at + c - 1, pixel);
    }
  }
}

inline constexpr std::int64_t kStripPixels = 96;  // output pixels at a time: their strips stay in the nearest cache,
inline constexpr std::int64_t kStripDepth = 400;  // as does a panel of so many rows of the weights

// The scratch memory of the forward product, taken before it writes anything.
template <class T>
class StripMemory {
 public:
  // Of none if not `wanted`.
  StripMemory(const Conv2dShape& s, bool wanted, int threads)
      : rows_(s.out_w() < kStripPixels ? kStripPixels / s.out_w() : 1),
        size_(wanted ? rows_ * strip_size(s) : 0),
        weights_(wanted ? (s.c_out + tile_columns<T>() - 1) / tile_columns<T>() * tile_columns<T>() * strip_taps(s)
                        : 0),
        strips_(size_ * threads),
        offsets_(wanted ? rows_ * s.out_w() + kTileRows : 0) {}
  std::int64_t rows() const { return rows_; }  // of the output, at a time
  T* weights() const { return weights_.data(); }
  T* strips(int slot) const { return strips_.data() + slot * size_; }
  std::int64_t* offsets() const { return offsets_.data(); }

 private:
  std::int64_t rows_, size_;
  Scratch<T> weights_, strips_;
  Scratch<std::int64_t> offsets_;
};

// `pixels` output pixels at y from their strips.
template <class T>
void multiply_strips(const Conv2dShape& s, const StripMemory<T>& memory, const T* strips, std::int64_t pixels, T* y,
                     const T* bias) {
  const std::int64_t width = tile_columns<T>(), taps = strip_taps(s);
  GemmTile<T> tile;
  tile.segments = 1;
  tile.a_column = 1;
  tile.b_row = width;
  tile.b_skip = 0;
  for (int r = 0; r < kTileRows; ++r) tile.c_offset[r] = r * s.c_out;
  for (std::int64_t first = 0; first < taps; first += tile.k) {
    tile.k = taps - first < kStripDepth ? taps - first : kStripDepth;
    tile.init_by_row = first > 0;
    tile.a = strips + first;
    tile.b = memory.weights() + first * width;
    for (std::int64_t j = 0; j < s.c_out; j += width, tile.b += taps * width) {
      tile.columns = s.c_out - j < width ? s.c_out - j : width;
      const TileFunctions<T> compute = tile_functions<T>(tile.columns);
      for (std::int64_t p = 0; p < pixels; p += tile.rows) {
        const int height = next_rows(pixels - p);
        tile.rows = pixels - p < height ? pixels - p : height;
        tile.offsets = memory.offsets() + p;
        tile.c = y + p * s.c_out + j;
        tile.init = first > 0 ? tile.c : bias ? bias + j : nullptr;
        (height == kTileRows ? compute.tall : compute.low)(&tile);
      }
    }
  }
}

// y from x and the weights, of any type.
template <class S, class T>
void run_strips(const Conv2dShape& s, const T* x, const S* w, T* y, const T* bias, const StripMemory<T>& memory,
                int threads) {
  const std::int64_t width = tile_columns<T>(), taps = strip_taps(s), out_w = s.out_w(), size = strip_size(s);
  for (std::int64_t r = 0; r < taps; r += s.c_in) {
    pack_rows(PackArguments<S, T>{w + weight_row(s, r) * s.c_out, s.c_out, 1, s.c_in, s.c_out,
                                  memory.weights() + r * width, width, taps * width});
  }
  const std::int64_t pixels = memory.rows() * out_w;
  for (std::int64_t p = 0; p < pixels + kTileRows; ++p) {
    const std::int64_t at = p < pixels ? p : pixels - 1;  // missing rows of a tile repeat the last pixel
    memory.offsets()[p] = at / out_w * size + at % out_w * s.stride_w * strip_pixel(s);
  }
  parallel_for(
      s.n * s.out_h(), memory.rows(),
      [&](std::int64_t begin, std::int64_t end, int slot) {
        fill_strips(s, x, begin, end - begin, memory.strips(slot));
        multiply_strips(s, memory, memory.strips(slot), (end - begin) * out_w, y + begin * out_w * s.c_out, bias);
      },
      threads);
}

}  // namespace ergo::inline ERGO_BUILD::cpu::detail
