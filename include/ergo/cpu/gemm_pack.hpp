// Copies of matrix blocks in the layout and type that the tile kernel reads: rows of whole vectors, filled up with
// zeros. The source has any strides; 16-bit floats are widened on the way. Where the wanted rows run across the
// source's contiguous direction, squares of 16-byte vectors are transposed in registers. (Wider ones gain little, since
// copying is bound by memory, so that these loops are compiled once and not for each instruction set.)
#pragma once

#include <cstddef>
#include <cstdint>
#include <type_traits>

#include "ergo/cpu/pack_storage.hpp"

namespace ergo::inline ERGO_BUILD::cpu::detail {

// A block to copy, as panels of to_row columns: element (i, j) lies i * row + j * column behind `from`, and goes to row
// i, column j % to_row of panel j / to_row; panels are to_panel apart. Columns beyond the block become zero. to_row is
// a multiple of 64 bytes.
template <class S, class T>
struct PackArguments {
  const S* from;
  std::int64_t row, column, rows, columns;
  T* to;
  std::int64_t to_row, to_panel;
};

// Elements of a line of the cache.
template <class T>
inline constexpr std::int64_t kLine = 64 / int(sizeof(T));

// The side of the square that transposes in 16-byte registers.
template <class T>
inline constexpr int kSide = 16 / int(sizeof(T));

ERGO_INLINE void transpose_square(Pack<float, 4> (&r)[4]) {
  const Pack<float, 4> a = shuffle<0, 4, 1, 5>(r[0], r[1]), b = shuffle<2, 6, 3, 7>(r[0], r[1]);
  const Pack<float, 4> c = shuffle<0, 4, 1, 5>(r[2], r[3]), d = shuffle<2, 6, 3, 7>(r[2], r[3]);
  r[0] = shuffle<0, 1, 4, 5>(a, c);
  r[1] = shuffle<2, 3, 6, 7>(a, c);
  r[2] = shuffle<0, 1, 4, 5>(b, d);
  r[3] = shuffle<2, 3, 6, 7>(b, d);
}
ERGO_INLINE void transpose_square(Pack<double, 2> (&r)[2]) {
  const Pack<double, 2> a = r[0];
  r[0] = shuffle<0, 2>(a, r[1]);
  r[1] = shuffle<1, 3>(a, r[1]);
}

// Copies `columns` elements, `step` apart, and fills up with zeros to `width`.
template <class S, class T>
inline void pack_row(const S* from, std::int64_t step, std::int64_t columns, T* to, std::int64_t width) {
  constexpr int kLanes = 16 / int(sizeof(T));
  std::int64_t j = 0;
  if (step == 1) {
    for (; j + kLine<T> <= columns; j += kLine<T>) {
#pragma GCC unroll 4
      for (int v = 0; v < kLine<T>; v += kLanes) load_as<Pack<T, kLanes>>(from + j + v).store(to + j + v);
    }
  }
  for (; j < columns; ++j) to[j] = T(from[j * step]);
  for (; j < width; ++j) to[j] = T(0);
}

// Copies `rows` rows, a multiple of kSide, whose elements lie beside each other in each column of the source, columns
// `column` apart: a line or less of each, so that nothing is fetched twice where the lines of many columns share a set
// of the cache.
template <class S, class T>
inline void pack_squares(const S* from, std::int64_t column, std::int64_t rows, std::int64_t columns, T* to,
                         std::int64_t width) {
  using P = Pack<T, kSide<T>>;
  for (std::int64_t j = 0; j < columns; j += kSide<T>) {
    const S* source[kSide<T>];
#pragma GCC unroll 4
    for (int r = 0; r < kSide<T>; ++r) {
      source[r] = from + (j + r < columns ? j + r : columns - 1) * column;  // what is too many is overwritten below
      __builtin_prefetch(source[r] + 2 * kLine<T>);
    }
    for (std::int64_t i = 0; i < rows; i += kSide<T>) {
      P square[kSide<T>];
#pragma GCC unroll 4
      for (int r = 0; r < kSide<T>; ++r) square[r] = load_as<P>(source[r] + i);
      transpose_square(square);
#pragma GCC unroll 4
      for (int r = 0; r < kSide<T>; ++r) square[r].store(to + (i + r) * width + j);
    }
  }
  for (std::int64_t i = 0; columns < width && i < rows; ++i) {
    for (std::int64_t j = columns; j < width; ++j) to[i * width + j] = T(0);
  }
}

// Copies Lines lines of 64 bytes of each row, beside each other in the source, line l to to[l]. The source is fetched
// ahead: its rows may lie in a page each, where the machine does not do so itself.
template <int Lines, class S, class T>
inline void pack_lines(const PackArguments<S, T>& g, const S* from, T* const (&to)[Lines]) {
  constexpr int kLanes = 16 / int(sizeof(T));
  constexpr std::int64_t kAhead = 12;
  for (std::int64_t i = 0; i < g.rows; ++i, from += g.row) {
#pragma GCC unroll 4
    for (int l = 0; l < Lines; ++l) {
      __builtin_prefetch(from + kAhead * g.row + l * kLine<T>);
#pragma GCC unroll 4
      for (int v = 0; v < kLine<T>; v += kLanes)
        load_as<Pack<T, kLanes>>(from + l * kLine<T> + v).store(to[l] + i * g.to_row + v);
    }
  }
}

template <class S, class T>
[[gnu::noinline]] void pack_rows(const PackArguments<S, T>& g) {
  if (g.column == 1 && g.to_panel != 0 && g.to_row % kLine<T> == 0) {
    const auto target = [&](std::int64_t j) { return g.to + j / g.to_row * g.to_panel + j % g.to_row; };
    std::int64_t j = 0;
    for (; j + 4 * kLine<T> <= g.columns; j += 4 * kLine<T>)
      pack_lines<4>(g, g.from + j,
                    {target(j), target(j + kLine<T>), target(j + 2 * kLine<T>), target(j + 3 * kLine<T>)});
    for (; j + kLine<T> <= g.columns; j += kLine<T>) pack_lines<1>(g, g.from + j, {target(j)});
    if (g.columns % g.to_row == 0) return;
    for (std::int64_t i = 0; i < g.rows; ++i)
      pack_row(g.from + i * g.row + j, 1, g.columns - j, target(j) + i * g.to_row, g.to_row - j % g.to_row);
    return;
  }
  const std::int64_t squares = g.row == 1 && g.column != 1 ? g.rows / kSide<T> * kSide<T> : 0;
  if (squares > 0) {
    T* to = g.to;
    for (std::int64_t j = 0; j < g.columns; j += g.to_row, to += g.to_panel) {
      const std::int64_t columns = g.columns - j < g.to_row ? g.columns - j : g.to_row;
      for (std::int64_t i = 0; i < squares; i += kLine<T>) {
        const std::int64_t rows = squares - i < kLine<T> ? squares - i : kLine<T>;
        pack_squares(g.from + i + j * g.column, g.column, rows, columns, to + i * g.to_row, g.to_row);
      }
    }
  }
  for (std::int64_t i = squares; i < g.rows; ++i) {
    T* to = g.to + i * g.to_row;
    for (std::int64_t j = 0; j < g.columns; j += g.to_row, to += g.to_panel) {
      const std::int64_t columns = g.columns - j < g.to_row ? g.columns - j : g.to_row;
      pack_row(g.from + i * g.row + j * g.column, g.column, columns, to, g.to_row);
    }
  }
}

// The rows of A that a tile reads together, where each column of the source holds them side by side: element (i, p) of
// `rows` x k goes to to[i / Height * k * Height + p * Height + i % Height]. A column's part in several tiles is copied
// at once, and fetched ahead: columns that are a power of two apart share a few sets of the cache, where its lines
// would not wait for the next tile.
template <int Height, class S, class T>
[[gnu::noinline]] void pack_tiles(const S* from, std::int64_t column, std::int64_t rows, std::int64_t k, T* to) {
  constexpr std::int64_t kTilesAtOnce = 6, kAhead = 12;
  while (rows >= Height) {
    const std::int64_t tiles = rows / Height < kTilesAtOnce ? rows / Height : kTilesAtOnce, length = tiles * Height;
    const S* element = from;
    for (std::int64_t p = 0; p < k; ++p, element += column) {
      for (std::int64_t i = 0; i < length; i += kLine<S>) __builtin_prefetch(element + kAhead * column + i);
      T* tile = to + p * Height;
      for (std::int64_t i = 0; i < length; i += Height, tile += k * Height) {
        if constexpr (std::is_same_v<S, T>) {
          __builtin_memcpy(tile, element + i, Height * sizeof(T));
        } else {
          for (int r = 0; r < Height; ++r) tile[r] = T(element[i + r]);
        }
      }
    }
    rows -= length;
    from += length;
    to += length * k;
  }
  for (std::int64_t p = 0; rows > 0 && p < k; ++p, from += column, to += Height) {
    for (std::int64_t r = 0; r < rows; ++r) to[r] = T(from[r]);
  }
}

}  // namespace ergo::inline ERGO_BUILD::cpu::detail
