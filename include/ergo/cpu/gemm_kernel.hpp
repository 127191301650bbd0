// The register-tile kernel of matrix products, and the loop over the tiles of a block: C = A B for a block that one thread
// computes without further blocking. A tile of C, 6 rows by 2 vectors (4 with AVX-512), is held in registers while K runs;
// B comes in rows of whole vectors, unit stride along N; A is broadcast from memory with any strides, so that it may be
// used in place or transposed. Every tile sums over k in ascending order from zero, whatever its height and width, so a
// row's bits do not depend on the tile that it falls in.
#pragma once

#include <cstdint>

#include "ergo/cpu/isa.hpp"
#include "ergo/cpu/pack.hpp"

namespace ergo::inline ERGO_BUILD::cpu::detail {

inline constexpr int kTileRows = 6;

template <Isa I>
inline constexpr int kTileVectors = I == Isa::avx512 ? 4 : 2;  // 12 accumulators of 16 registers, 24 of 32

// Columns of C in one tile of the set I, and of the set in use: the width of a panel of B.
template <class T, Isa I>
inline constexpr int kTileColumns = kTileVectors<I>* kRegisterBytes<I> / int(sizeof(T));
template <class T>
inline std::int64_t tile_columns() {
  switch (isa()) {
    case Isa::avx512: return kTileColumns<T, Isa::avx512>;
    case Isa::avx2: return kTileColumns<T, Isa::avx2>;
    case Isa::sse2: break;
  }
  return kTileColumns<T, Isa::sse2>;
}

// What is done to a finished part of C, while it is in the nearest cache: an activation.
template <class T>
using FinishTile = void (*)(T* c, std::int64_t rows, std::int64_t columns, std::int64_t row_stride);

// One block: C (rows x columns, unit column stride) = init + A (rows x k) B (k x columns). Strides are in elements.
template <class T>
struct GemmBlock {
  std::int64_t rows, columns, k;
  const T* a;
  // Row i of A begins i / 6 * a_tile + i % 6 * a_row behind a: a_tile = 6 a_row unless the rows of tiles are interleaved.
  std::int64_t a_row, a_tile, a_column;
  // B as panels of tile_columns() columns: rows b_row apart, panels b_panel apart. The last one may be narrower; if that
  // is neither by half nor in memory that may be read to the full width, b_last is a padded copy of it, rows
  // tile_columns() apart.
  const T* b;
  std::int64_t b_row, b_panel;
  const T* b_last;
  T* c;
  std::int64_t c_row;
  const T* init;  // C itself, a row vector (init_row = 0), or null for zero
  std::int64_t init_row;
  FinishTile<T> finish;  // or null
};

// The number of rows of the next tile: the full height, or 4 where that leaves no thin remainder. Tiles of fewer than 4
// rows take as long as one of 4, for latency.
ERGO_INLINE int next_rows(std::int64_t left) { return left <= 4 || left == 7 || left == 8 ? 4 : kTileRows; }

// Columns of a tile that is not stored from registers: T tile[Rows][columns of a row] goes to the `rows` x `columns` part
// of C that exists. One copy serves all kernels.
template <class T>
[[gnu::noinline]] void store_part_of_tile(const T* tile, std::int64_t tile_row, std::int64_t rows, std::int64_t columns,
                                          T* c, std::int64_t c_row, const T* init, std::int64_t init_row) {
  for (std::int64_t i = 0; i < rows; ++i, tile += tile_row, c += c_row) {
    if (init) {
      for (std::int64_t j = 0; j < columns; ++j) c[j] = init[i * init_row + j] + tile[j];
    } else {
      for (std::int64_t j = 0; j < columns; ++j) c[j] = tile[j];
    }
  }
}

// One tile of C: `rows` rows (what the kernel computes beyond them repeats the last) and `columns` columns. Row i of A
// begins a_offset[i] elements behind a.
template <class T>
struct GemmTile {
  std::int64_t k;
  const T* a;
  std::int64_t a_offset[kTileRows];
  std::int64_t a_column;
  const T* b;
  std::int64_t b_row;
  T* c;
  std::int64_t c_row, rows, columns;
  const T* init;
  std::int64_t init_row;
};

template <class T, int Bytes, int Rows, int Vectors>
ERGO_INLINE void compute_tile(const GemmTile<T>& tile) {
  constexpr int kLanes = Bytes / int(sizeof(T)), kColumns = Vectors * kLanes;
  using V = Vector<T, kLanes>;
  using Loose = typename VectorOf<T, kLanes>::loose;
  V acc[Rows][Vectors] = {};
#pragma GCC unroll 8
  for (int i = 0; i < Rows; ++i) __builtin_prefetch(tile.c + (i < tile.rows ? i * tile.c_row : 0), 1, 3);
  std::int64_t offset[Rows];
#pragma GCC unroll 8
  for (int i = 0; i < Rows; ++i) offset[i] = tile.a_offset[i];
  const T* a = tile.a;
  const T* b = tile.b;
  const std::int64_t a_column = tile.a_column, b_row = tile.b_row;
  for (std::int64_t p = tile.k; p > 0; --p) {
    V row[Vectors];
#pragma GCC unroll 8
    for (int j = 0; j < Vectors; ++j) row[j] = reinterpret_cast<const Loose*>(b)[j];
#pragma GCC unroll 8
    for (int i = 0; i < Rows; ++i) {
      const V x = a[offset[i]] - V{};
#pragma GCC unroll 8
      for (int j = 0; j < Vectors; ++j) acc[i][j] = acc[i][j] + x * row[j];
    }
    a += a_column;
    b += b_row;
    // Keeps one pointer and Rows offsets in registers, instead of Rows pointers to be advanced each time.
    asm("" : "+r"(a));
  }
  T* c = tile.c;
  if (tile.rows == Rows && tile.columns == kColumns) {
    if (tile.init) {
#pragma GCC unroll 8
      for (int i = 0; i < Rows; ++i) {
#pragma GCC unroll 8
        for (int j = 0; j < Vectors; ++j) {
          acc[i][j] = reinterpret_cast<const Loose*>(tile.init + i * tile.init_row)[j] + acc[i][j];
        }
      }
    }
#pragma GCC unroll 8
    for (int i = 0; i < Rows; ++i) {
#pragma GCC unroll 8
      for (int j = 0; j < Vectors; ++j) reinterpret_cast<Loose*>(c + i * tile.c_row)[j] = acc[i][j];
    }
  } else {
    alignas(64) T part[Rows * kColumns];
#pragma GCC unroll 8
    for (int i = 0; i < Rows; ++i) {
#pragma GCC unroll 8
      for (int j = 0; j < Vectors; ++j) reinterpret_cast<Loose*>(part + i * kColumns)[j] = acc[i][j];
    }
    store_part_of_tile(part, kColumns, tile.rows, tile.columns, c, tile.c_row, tile.init, tile.init_row);
  }
}

// Computes one block: panel by panel of B, which stays in the nearest cache while the rows of A pass by.
struct MultiplyBlock {
  template <Isa I, class T>
  static ERGO_INLINE void run(const GemmBlock<T>* block) {
    constexpr int kVectors = kTileVectors<I>, kBytes = kRegisterBytes<I>, kColumns = kTileColumns<T, I>;
    const GemmBlock<T>& g = *block;
    GemmTile<T> tile;
    tile.k = g.k;
    tile.a_column = g.a_column;
    tile.c_row = g.c_row;
    tile.init_row = g.init_row;
    const T* b = g.b;
    for (std::int64_t j = 0; j < g.columns; j += kColumns, b += g.b_panel) {
      tile.columns = g.columns - j < kColumns ? g.columns - j : kColumns;
      const bool copied = tile.columns < kColumns && g.b_last;
      tile.b = copied ? g.b_last : b;
      tile.b_row = copied ? kColumns : g.b_row;
      const bool half = tile.columns <= kColumns / 2;
      for (std::int64_t i = 0; i < g.rows; i += tile.rows) {
        const int height = next_rows(g.rows - i);
        tile.rows = g.rows - i < height ? g.rows - i : height;
        tile.a = g.a;
        for (int r = 0; r < kTileRows; ++r) {
          const std::int64_t row = i + (r < tile.rows ? r : tile.rows - 1);
          tile.a_offset[r] = row / kTileRows * g.a_tile + row % kTileRows * g.a_row;
        }
        tile.c = g.c + i * g.c_row + j;
        tile.init = g.init ? g.init + i * g.init_row + j : nullptr;
        if (height == kTileRows || I == Isa::sse2) {
          half ? compute_tile<T, kBytes, kTileRows, kVectors / 2>(tile) : compute_tile<T, kBytes, kTileRows, kVectors>(tile);
        } else if constexpr (I != Isa::sse2) {  // where speed no longer matters, compile time does
          half ? compute_tile<T, kBytes, 4, kVectors / 2>(tile) : compute_tile<T, kBytes, 4, kVectors>(tile);
        }
        if (g.finish) g.finish(tile.c, tile.rows, tile.columns, g.c_row);
      }
    }
  }
};

}  // namespace ergo::inline ERGO_BUILD::cpu::detail
