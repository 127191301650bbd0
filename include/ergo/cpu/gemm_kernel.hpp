// The register-tile kernel of matrix products and convolutions, and the loop over the tiles of a block: C = A B for a
// block that one thread computes without further blocking. A tile of C, 6 rows by 2 vectors (4 with AVX-512), is held
// in registers while K runs; B comes in rows of whole vectors, unit stride along N; A is broadcast from memory, each
// row of the tile from an address of its own, so that it may be used in place, transposed, or shifted by the taps of a
// convolution. Every tile sums over K in ascending order from zero, whatever its height and width, so a row's bits do
// not depend on the tile that it falls in.
#pragma once

#include <cstdint>

#include "ergo/cpu/isa.hpp"
#include "ergo/cpu/pack.hpp"

namespace ergo::inline ERGO_BUILD::cpu::detail {

inline constexpr int kTileRows = 6;
inline constexpr std::int64_t kMostTiles =
    16;  // computed by one call: their part of C is in the nearest cache after it

template <Isa I>
inline constexpr int kTileVectors = I == Isa::avx512 ? 4 : 2;  // 12 accumulators of 16 registers, 24 of 32

// Columns of C in one tile of the set I, and of the set in use: the width of a panel of B.
template <class T, Isa I>
inline constexpr int kTileColumns = kTileVectors<I>* kRegisterBytes<I> / int(sizeof(T));
template <class T>
inline std::int64_t tile_columns() {
  switch (isa()) {
    case Isa::avx512:
      return kTileColumns<T, Isa::avx512>;
    case Isa::avx2:
      return kTileColumns<T, Isa::avx2>;
    case Isa::sse2:
      break;
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
  // Row i of A begins i / 6 * a_tile + i % 6 * a_row behind a: a_tile = 6 a_row unless the rows of tiles are
  // interleaved.
  std::int64_t a_row, a_tile, a_column;
  // B as panels of tile_columns() columns: rows b_row apart, panels b_panel apart. The last one may be narrower; if
  // that is neither by half nor in memory that may be read to the full width, b_last is a padded copy of it, rows
  // tile_columns() apart.
  const T* b;
  std::int64_t b_row, b_panel;
  const T* b_last;
  T* c;
  std::int64_t c_row;
  const T* init;  // added: C itself (init_by_row = 1), a row vector (0); null for zero
  std::int64_t init_by_row;
  FinishTile<T> finish;  // or null
  bool prefetch_c;       // C is read, or too far away for stores alone
};

// The number of rows of the next tile: the full height, or 4 where that leaves no thin remainder. Tiles of fewer than 4
// rows take as long as one of 4, for latency.
ERGO_INLINE int next_rows(std::int64_t left) { return left <= 4 || left == 7 || left == 8 ? 4 : kTileRows; }

// One tile of C. K runs over `segments` runs of k elements: in each, row i of A begins offsets[i] elements behind a,
// and the next segment's offsets follow kTileRows later. Row i of C lies c_offset[i] elements behind c; `rows` of them
// exist (what the kernel computes beyond them is dropped, but must be readable), and so do `columns` columns.
template <class T>
struct GemmTile {
  std::int64_t segments, k;
  const T* a;
  const std::int64_t* offsets;
  std::int64_t a_column;
  const T* b;
  std::int64_t b_row, b_skip;  // b_skip elements of B are passed over after each segment
  T* c;
  std::int64_t c_offset[kTileRows];
  std::int64_t rows, columns;
  const T* init;             // added, null for zero:
  std::int64_t init_by_row;  // laid out as C (1), or one row for all (0)
  // So many tiles, each a_next elements of A and c_next of C behind the last, share all else.
  std::int64_t tiles = 1, a_next = 0, c_next = 0;
  bool prefetch_c = true;  // as in GemmBlock
};

// Stores the part of a tile that exists, from memory: the kernels' last resort. One copy serves all of them.
template <class T>
[[gnu::noinline]] void store_part_of_tile(const GemmTile<T>& tile, std::int64_t c_from, const T* part,
                                          std::int64_t part_row) {
  for (std::int64_t i = 0; i < tile.rows; ++i, part += part_row) {
    T* c = tile.c + c_from + tile.c_offset[i];
    const T* init = tile.init ? tile.init + tile.init_by_row * (c_from + tile.c_offset[i]) : nullptr;
    for (std::int64_t j = 0; j < tile.columns; ++j) c[j] = init ? init[j] + part[j] : part[j];
  }
}

template <int Rows, bool Half>
struct ComputeTile {
  template <Isa I, class T>
  static ERGO_INLINE void run(const GemmTile<T>* arguments) {
    constexpr int kVectors = Half ? kTileVectors<I> / 2 : kTileVectors<I>, kLanes = kRegisterBytes<I> / int(sizeof(T));
    constexpr int kColumns = kVectors * kLanes;
    using V = Vector<T, kLanes>;
    using Loose = typename VectorOf<T, kLanes>::loose;
    const GemmTile<T>& tile = *arguments;
    const T* first_a = tile.a;
    T* first_c = tile.c;
    std::int64_t tiles = tile.tiles;
    do {
      if (tile.prefetch_c) {  // of a line shared with the columns before, what comes after it is the news
#pragma GCC unroll 8
        for (int i = 0; i < Rows; ++i) {
#pragma GCC unroll 4
          for (int j = kColumns - 1; j >= 0; j -= 64 / int(sizeof(T)))
            __builtin_prefetch(first_c + tile.c_offset[i] + j, 1, 3);
        }
        asm("" : "+r"(first_c));  // the addresses of the rows are made again at the end: registers are scarce
      }
      V acc[Rows][kVectors] = {};
      const T* b = tile.b;
      const std::int64_t* offsets = tile.offsets;
      const std::int64_t a_column = tile.a_column, b_row = tile.b_row;
      for (std::int64_t s = tile.segments; s > 0; --s, offsets += kTileRows, b += tile.b_skip) {
        std::int64_t offset[Rows];
#pragma GCC unroll 8
        for (int i = 0; i < Rows; ++i) offset[i] = offsets[i];
        const T* a = first_a;
        for (std::int64_t p = tile.k; p > 0; --p) {
          V row[kVectors];
#pragma GCC unroll 8
          for (int j = 0; j < kVectors; ++j) row[j] = reinterpret_cast<const Loose*>(b)[j];
#pragma GCC unroll 8
          for (int i = 0; i < Rows; ++i) {
            const V x = a[offset[i]] - V{};
#pragma GCC unroll 8
            for (int j = 0; j < kVectors; ++j) acc[i][j] = acc[i][j] + x * row[j];
          }
          a += a_column;
          b += b_row;
          // Keeps one pointer and Rows offsets in registers, instead of Rows pointers to be advanced each time.
          asm("" : "+r"(a));
        }
      }
      if (tile.rows == Rows && tile.columns == kColumns) {
        if (tile.init) {
          const T* first_init = tile.init + tile.init_by_row * (first_c - tile.c);
#pragma GCC unroll 8
          for (int i = 0; i < Rows; ++i) {
            const Loose* init = reinterpret_cast<const Loose*>(first_init + tile.init_by_row * tile.c_offset[i]);
#pragma GCC unroll 8
            for (int j = 0; j < kVectors; ++j) acc[i][j] = init[j] + acc[i][j];
          }
        }
#pragma GCC unroll 8
        for (int i = 0; i < Rows; ++i) {
          Loose* c = reinterpret_cast<Loose*>(first_c + tile.c_offset[i]);
#pragma GCC unroll 8
          for (int j = 0; j < kVectors; ++j) c[j] = acc[i][j];
        }
      } else {
        alignas(64) T part[Rows * kColumns];
        __builtin_memcpy(part, acc, sizeof part);
        store_part_of_tile(tile, first_c - tile.c, part, kColumns);
      }
      first_a += tile.a_next;
      first_c += tile.c_next;
    } while (--tiles > 0);
  }
};

template <class T>
using TileFunction = void (*)(const GemmTile<T>*);

// The kernels for tiles of 6 and of 4 rows, compiled for the set in use. (SSE2, where speed no longer matters but
// compile time does, computes 4 rows by 6.)
template <class T>
struct TileFunctions {
  TileFunction<T> tall, low;
};
template <bool Half, class T>
TileFunctions<T> tile_functions() {
#if defined(__x86_64__)
  switch (isa()) {
    case Isa::avx512:
      return {&run_avx512<ComputeTile<6, Half>, const GemmTile<T>*>,
              &run_avx512<ComputeTile<4, Half>, const GemmTile<T>*>};
    case Isa::avx2:
      return {&run_avx2<ComputeTile<6, Half>, const GemmTile<T>*>, &run_avx2<ComputeTile<4, Half>, const GemmTile<T>*>};
    case Isa::sse2:
      break;
  }
#endif
  return {&run_sse2<ComputeTile<6, Half>, const GemmTile<T>*>, &run_sse2<ComputeTile<6, Half>, const GemmTile<T>*>};
}
// For tiles of so many columns.
template <class T>
TileFunctions<T> tile_functions(std::int64_t columns) {
  return columns > tile_columns<T>() / 2 ? tile_functions<false, T>() : tile_functions<true, T>();
}

// Computes one block: panel by panel of B, which stays in the nearest cache while the rows of A pass by.
template <class T>
[[gnu::noinline]] void multiply_block(const GemmBlock<T>& g) {
  const std::int64_t width = tile_columns<T>();
  std::int64_t offsets[kTileRows];
  GemmTile<T> tile;
  tile.segments = 1;
  tile.k = g.k;
  tile.offsets = offsets;
  tile.a_column = g.a_column;
  tile.b_skip = 0;
  tile.init_by_row = g.init_by_row;
  tile.a_next = g.a_tile;
  tile.c_next = kTileRows * g.c_row;
  tile.prefetch_c = g.prefetch_c;
  const T* b = g.b;
  for (std::int64_t j = 0; j < g.columns; j += width, b += g.b_panel) {
    tile.columns = g.columns - j < width ? g.columns - j : width;
    const bool copied = tile.columns < width && g.b_last;
    tile.b = copied ? g.b_last : b;
    tile.b_row = copied ? width : g.b_row;
    const TileFunctions<T> compute = tile_functions<T>(tile.columns);
    for (std::int64_t i = 0; i < g.rows; i += tile.tiles * tile.rows) {
      const std::int64_t left = g.rows - i, phase = i % kTileRows;
      const int height = next_rows(left);
      tile.rows = left < height ? left : height;
      tile.tiles = 1;
      if (tile.rows == kTileRows) {  // as many as follow each other
        tile.tiles = next_rows(left % kTileRows + kTileRows) == kTileRows ? left / kTileRows : left / kTileRows - 1;
        if (tile.tiles > kMostTiles) tile.tiles = kMostTiles;
      }
      for (std::int64_t r = 0; r < kTileRows; ++r) {
        const std::int64_t row = r < tile.rows ? r : tile.rows - 1;
        offsets[r] = (phase + row) / kTileRows * g.a_tile + (phase + row) % kTileRows * g.a_row;
        tile.c_offset[r] = row * g.c_row;
      }
      tile.a = g.a + i / kTileRows * g.a_tile;
      tile.c = g.c + i * g.c_row + j;
      tile.init = g.init ? g.init + g.init_by_row * i * g.c_row + j : nullptr;
      (height == kTileRows ? compute.tall : compute.low)(&tile);
      if (g.finish) g.finish(tile.c, tile.tiles * tile.rows, tile.columns, g.c_row);
    }
  }
}

}  // namespace ergo::inline ERGO_BUILD::cpu::detail
