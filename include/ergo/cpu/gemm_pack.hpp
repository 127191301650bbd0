// Copies of matrix blocks in the layout and type that the tile kernel reads: rows of whole vectors, filled up with zeros.
// The source has any strides; 16-bit floats are widened on the way. Where the wanted rows run across the source's
// contiguous direction, squares of 32-byte vectors are transposed in registers.
#pragma once

#include <cstdint>

#include "ergo/cpu/isa.hpp"
#include "ergo/cpu/pack_storage.hpp"

namespace ergo::inline ERGO_BUILD::cpu::detail {

// A block to copy, as panels of to_row columns: element (i, j) lies i * row + j * column behind `from`, and goes to row i,
// column j % to_row of panel j / to_row; panels are to_panel apart. Columns beyond the block become zero. to_row is a
// multiple of 64 bytes.
template <class S, class T>
struct PackArguments {
  const S* from;
  std::int64_t row, column, rows, columns;
  T* to;
  std::int64_t to_row, to_panel;
};

// Transposes the square whose rows are r[0], r[1], ...
template <class T>
ERGO_INLINE void transpose_square(Pack<T, 8> (&r)[8]) {
  Pack<T, 8> a[8], b[8];
#pragma GCC unroll 4
  for (int i = 0; i < 8; i += 2) {
    a[i] = shuffle<0, 8, 1, 9, 4, 12, 5, 13>(r[i], r[i + 1]);
    a[i + 1] = shuffle<2, 10, 3, 11, 6, 14, 7, 15>(r[i], r[i + 1]);
  }
#pragma GCC unroll 2
  for (int h = 0; h < 8; h += 4) {
#pragma GCC unroll 2
    for (int i = 0; i < 2; ++i) {
      b[h + 2 * i] = shuffle<0, 1, 8, 9, 4, 5, 12, 13>(a[h + i], a[h + i + 2]);
      b[h + 2 * i + 1] = shuffle<2, 3, 10, 11, 6, 7, 14, 15>(a[h + i], a[h + i + 2]);
    }
  }
#pragma GCC unroll 4
  for (int i = 0; i < 4; ++i) {
    r[i] = shuffle<0, 1, 2, 3, 8, 9, 10, 11>(b[i], b[i + 4]);
    r[i + 4] = shuffle<4, 5, 6, 7, 12, 13, 14, 15>(b[i], b[i + 4]);
  }
}
template <class T>
ERGO_INLINE void transpose_square(Pack<T, 4> (&r)[4]) {
  const Pack<T, 4> a = shuffle<0, 4, 2, 6>(r[0], r[1]), b = shuffle<1, 5, 3, 7>(r[0], r[1]);
  const Pack<T, 4> c = shuffle<0, 4, 2, 6>(r[2], r[3]), d = shuffle<1, 5, 3, 7>(r[2], r[3]);
  r[0] = shuffle<0, 1, 4, 5>(a, c);
  r[1] = shuffle<0, 1, 4, 5>(b, d);
  r[2] = shuffle<2, 3, 6, 7>(a, c);
  r[3] = shuffle<2, 3, 6, 7>(b, d);
}

struct PackRows {
  template <Isa I, class S, class T>
  static ERGO_INLINE void run(const PackArguments<S, T>* arguments) {
    const PackArguments<S, T>& g = *arguments;
    constexpr int kSide = 32 / int(sizeof(T));
    const std::int64_t squares = g.row == 1 && g.column != 1 ? g.rows / kSide * kSide : 0;
    if (squares > 0) {
      T* to = g.to;
      for (std::int64_t j = 0; j < g.columns; j += g.to_row, to += g.to_panel) {
        const std::int64_t columns = g.columns - j < g.to_row ? g.columns - j : g.to_row;
        for (std::int64_t i = 0; i < squares; i += kSide) {
          pack_squares<kSide>(g.from + i + j * g.column, g.column, columns, to + i * g.to_row, g.to_row);
        }
      }
    }
    for (std::int64_t i = squares; i < g.rows; ++i) {
      T* to = g.to + i * g.to_row;
      for (std::int64_t j = 0; j < g.columns; j += g.to_row, to += g.to_panel) {
        const std::int64_t columns = g.columns - j < g.to_row ? g.columns - j : g.to_row;
        pack_row<kRegisterBytes<I> / int(sizeof(T))>(g.from + i * g.row + j * g.column, g.column, columns, to, g.to_row);
      }
    }
  }

 private:
  template <int Lanes, class S, class T>
  static ERGO_INLINE void pack_row(const S* from, std::int64_t step, std::int64_t columns, T* to, std::int64_t to_row) {
    using P = Pack<T, Lanes>;
    std::int64_t j = 0;
    if (step == 1) {
      for (; j + Lanes <= columns; j += Lanes) load_as<P>(from + j).store(to + j);
    }
    for (; j < columns; ++j) to[j] = T(from[j * step]);
    for (; j < to_row; ++j) to[j] = T(0);
  }

  // Side rows, whose elements lie beside each other in each column of the source.
  template <int Side, class S, class T>
  static ERGO_INLINE void pack_squares(const S* from, std::int64_t column, std::int64_t columns, T* to,
                                       std::int64_t to_row) {
    using P = Pack<T, Side>;
    std::int64_t j = 0;
    for (; j < columns; j += Side) {
      P square[Side];
#pragma GCC unroll 8
      for (int r = 0; r < Side; ++r) {
        if (j + r < columns) square[r] = load_as<P>(from + (j + r) * column);
      }
      transpose_square(square);
#pragma GCC unroll 8
      for (int r = 0; r < Side; ++r) square[r].store(to + r * to_row + j);
    }
    for (; j < to_row; j += Side) {
      for (int r = 0; r < Side; ++r) P().store(to + r * to_row + j);
    }
  }
};

// The rows of A that a tile reads together, where each column of the source holds them side by side: element (i, p) of
// `rows` x k goes to to[i / Height * k * Height + p * Height + i % Height].
template <int Height>
struct PackTiles {
  template <Isa I, class S, class T>
  static ERGO_INLINE void run(const S* from, std::int64_t column, std::int64_t rows, std::int64_t k, T* to) {
    for (; rows >= Height; rows -= Height, from += Height) {
      const S* element = from;
      for (std::int64_t p = 0; p < k; ++p, element += column, to += Height) {
#pragma GCC unroll 8
        for (int r = 0; r < Height; ++r) to[r] = T(element[r]);
      }
    }
    for (std::int64_t p = 0; rows > 0 && p < k; ++p, from += column, to += Height) {
      for (std::int64_t r = 0; r < rows; ++r) to[r] = T(from[r]);
    }
  }
};

template <class S, class T>
inline void pack_rows(const PackArguments<S, T>& arguments) {
  for_isa<PackRows, const PackArguments<S, T>*>(&arguments);
}
template <int Height, class S, class T>
inline void pack_tiles(const S* from, std::int64_t column, std::int64_t rows, std::int64_t k, T* to) {
  for_isa<PackTiles<Height>, const S*, std::int64_t, std::int64_t, std::int64_t, T*>(from, column, rows, k, to);
}

}  // namespace ergo::inline ERGO_BUILD::cpu::detail
