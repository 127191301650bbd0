// How a matrix product is computed, by its shape and strides:
//
//   row      one row or one column, the matrix contiguous along the result: a pass over the matrix in its own order;
//   dots     at most 16 rows or columns, both operands contiguous along K: dot products;
//   panels   few rows, or small: each thread goes through its column panels of B (packed a few at a time, if at all)
//            with all rows of A, read in place;
//   blocks   large: B is packed once per K block for all threads, A in blocks that stay in the second cache.
//
// All scratch memory is taken by the plan's constructor, before anything is written.
#pragma once

#include <cstdint>
#include <type_traits>

#include "ergo/core/parallel.hpp"
#include "ergo/cpu/gemm_kernel.hpp"
#include "ergo/cpu/gemm_pack.hpp"
#include "ergo/cpu/gemm_problem.hpp"
#include "ergo/cpu/gemv.hpp"
#include "ergo/cpu/scratch.hpp"

namespace ergo::inline ERGO_BUILD::cpu::detail {

inline constexpr double kSerialWork = 200000;      // multiply-adds below which a second thread does not pay
inline constexpr std::int64_t kRowChunk = 4096;    // columns of a `row` product at a time: y is half of the first cache
inline constexpr std::int64_t kMostDots = 16;      // the most rows or columns of `dots`
inline constexpr std::int64_t kLongDots = 256;     // K that outweighs the folds at the end of a dot product
inline constexpr std::int64_t kPanelRows = 144;    // the most rows of `panels`,
inline constexpr std::int64_t kNearA = 640 << 10;  // or the most bytes of an A that is contiguous along K
inline constexpr std::int64_t kNearC = 128 << 10;  // a C of so many bytes is near enough for its stores to find it
inline constexpr std::int64_t kNarrowColumns = 64;         // the most columns for which A is never packed
inline constexpr std::int64_t kPackRows = 112;             // rows of A from which packing B pays,
inline constexpr std::int64_t kPackRowsSmall = 160;        // if B is small,
inline constexpr std::int64_t kSmallBytes = 96 << 10;      // which is this little,
inline constexpr std::int64_t kPackRowsLarge = 24;         // and if B outgrows the second cache,
inline constexpr std::int64_t kLargeBytes = 512 << 10;     // which is this large
inline constexpr std::int64_t kOnePanelBytes = 256 << 10;  // the most of B for which panels are packed one at a time
inline constexpr std::int64_t kDepth = 384;                // K of a block: a panel of B takes most of the first cache
inline constexpr std::int64_t kBlockRows = 36;  // rows of a block of A: a tenth (double: a fifth) of the second cache
inline constexpr std::int64_t kBlockColumns = 4096;  // columns of B packed at a time
inline constexpr std::int64_t kGroup = 4;  // panels of B packed side by side: whole lines, fewer pages at a time

template <class S, class T>
class GemmPlan {
 public:
  explicit GemmPlan(const GemmProblem<S, T>& g)
      : route_(choose_route(g)),
        threads_(double(g.count) * double(g.m) * double(g.n) * double(g.k) < kSerialWork ? 1 : num_threads()),
        tile_(tile_columns<T>()),
        panels_(divide_up(g.n, tile_)),
        depth_(choose_depth(g)),
        a_stride_(choose_a_stride()),
        shared_(shared_elements()),
        slot_size_(slot_elements(g)),
        memory_(shared_ + slot_size_ * threads_) {}

  void run(const GemmProblem<S, T>& g) const {
    if constexpr (std::is_same_v<S, T>) {
      if (route_ == Route::row) return run_row(g);
      if (route_ == Route::dots) return run_dots(g);
    }
    if (route_ == Route::panels) return run_panels(g);
    for (std::int64_t i = 0; i < g.count; ++i) run_blocks(g, i);
  }

 private:
  enum class Route { row, dots, panels, blocks };
  static constexpr bool kWiden = !std::is_same_v<S, T>;

  static Route choose_route(const GemmProblem<S, T>& g) {
    if constexpr (!kWiden) {
      if ((g.m == 1 && g.b_column == 1) || (g.n == 1 && g.a_row == 1)) return Route::row;
      const bool a_along = g.a_column == 1, b_along = g.b_row == 1;
      const std::int64_t least = g.m < g.n ? g.m : g.n;
      if (a_along && b_along && least <= kMostDots && g.k >= (least < 4 ? 32 : kLongDots)) return Route::dots;
      if (a_along && g.n <= kMostDots && g.m >= 16 && g.k >= kLongDots) return Route::dots;
    }
    const bool near_a = !kWiden && g.a_column == 1 && g.m * g.k * std::int64_t(sizeof(S)) <= kNearA;
    return g.m <= kPanelRows || near_a || !packs_b(g) || is_narrow(g) ? Route::panels : Route::blocks;
  }

  // Too few columns for packing A to pay; the threads then share its rows.
  static bool is_narrow(const GemmProblem<S, T>& g) { return !kWiden && g.n <= kNarrowColumns && g.n <= g.m; }

  static bool packs_b(const GemmProblem<S, T>& g) {
    if (kWiden || g.b_column != 1) return true;
    if (is_narrow(g)) return false;
    const std::int64_t bytes = bytes_of_b(g);
    return g.m >= (bytes > kLargeBytes ? kPackRowsLarge : bytes > kSmallBytes ? kPackRows : kPackRowsSmall);
  }
  static std::int64_t bytes_of_b(const GemmProblem<S, T>& g) { return g.k * g.n * std::int64_t(sizeof(S)); }

  // K of a block, nearly equal for all.
  std::int64_t choose_depth(const GemmProblem<S, T>& g) const {
    const std::int64_t most = route_ == Route::blocks || packs_b(g) ? kDepth : 1024;
    if (g.k <= most) return g.k > 0 ? g.k : 1;
    return round_up(divide_up(g.k, divide_up(g.k, most)), 8);
  }

  // Elements between packed rows of A, so that they begin in different sets of the cache; 0 if A is used in place.
  std::int64_t choose_a_stride() const { return route_ == Route::panels && !kWiden ? 0 : round_up(depth_, 16) + 16; }

  std::int64_t shared_elements() const {
    if (route_ == Route::blocks)
      return depth_ * tile_ * (panels_ < kBlockColumns / tile_ ? panels_ : kBlockColumns / tile_);
    return 0;
  }
  std::int64_t slot_elements(const GemmProblem<S, T>& g) const {
    if (route_ == Route::row) return g.m * g.n < kRowChunk ? g.m * g.n : kRowChunk;
    if (route_ == Route::dots) return g.b_row == 1 ? 0 : g.n * round_up(g.k, 16);
    const std::int64_t a = a_stride_ * (route_ == Route::blocks ? kBlockRows + kTileRows : round_up(g.m, kTileRows));
    if (route_ == Route::blocks) return a;
    return a + depth_ * tile_ * (packs_b(g) ? kGroup : copies_last(g.n) ? 1 : 0);
  }
  // Whether the last panel of a B that is used in place has a part of a vector, which may not be read.
  bool copies_last(std::int64_t columns) const { return columns % (tile_ / 2) > 0; }
  T* slot(int i) const { return memory_.data() + shared_ + i * slot_size_; }

  // How many parts each matrix of a batch is cut into for the threads.
  std::int64_t parts_for(const GemmProblem<S, T>& g, std::int64_t units) const {
    const std::int64_t wanted = divide_up(threads_, g.count);
    return wanted < units ? wanted : units;
  }

  void run_row(const GemmProblem<S, T>& g) const {
    const bool column = !(g.m == 1 && g.b_column == 1);  // n = 1: c^T = b^T A^T
    RowTimesMatrix<T> all;
    all.k = g.k;
    all.x_stride = column ? g.b_row : g.a_column;
    all.b_row = column ? g.a_column : g.b_row;
    const std::int64_t length = column ? g.m : g.n, step = column ? g.c_row : 1;
    std::int64_t chunk = round_up(divide_up(length, threads_), 64);
    if (chunk > kRowChunk) chunk = kRowChunk;
    const std::int64_t chunks = divide_up(length, chunk);
    parallel_for(
        g.count * chunks, 1,
        [&](std::int64_t item, std::int64_t, int slot_index) {
          const std::int64_t batch = item / chunks, begin = item % chunks * chunk;
          RowTimesMatrix<T> part = all;
          part.columns = length - begin < chunk ? length - begin : chunk;
          const T* a = g.a + batch * g.a_batch;
          const T* b = g.b + batch * g.b_batch;
          part.x = column ? b : a;
          part.b = (column ? a : b) + begin;
          part.y = slot(slot_index);
          for_isa<MultiplyRow, const RowTimesMatrix<T>*>(&part);
          T* c = g.c + batch * g.c_batch + begin * step;
          const T* init = g.accumulate ? c : g.bias ? g.bias + (column ? 0 : begin) : nullptr;
          const std::int64_t init_step = g.accumulate ? step : column ? 0 : 1;
          for (std::int64_t j = 0; j < part.columns; ++j)
            c[j * step] = init ? init[j * init_step] + part.y[j] : part.y[j];
          if (g.finish) column ? g.finish(c, part.columns, 1, step) : g.finish(c, 1, part.columns, 0);
        },
        threads_);
  }

  void run_dots(const GemmProblem<S, T>& g) const {
    const bool by_rows = g.m >= g.n;
    const std::int64_t length = by_rows ? g.m : g.n, units = divide_up(length, 4), parts = parts_for(g, units);
    parallel_for(
        g.count * parts, 1,
        [&](std::int64_t item, std::int64_t, int slot_index) {
          const std::int64_t batch = item / parts, part = item % parts;
          const std::int64_t begin = 4 * part_begin(units, part, parts);
          const std::int64_t end = part + 1 < parts ? 4 * part_begin(units, part + 1, parts) : length;
          const T* b = g.b + batch * g.b_batch;
          std::int64_t b_column = g.b_column;
          if (g.b_row != 1) {
            const PackArguments<S, T> columns{b, g.b_column, g.b_row, g.n, g.k, slot(slot_index), round_up(g.k, 16), 0};
            pack_rows(columns);
            b = columns.to;
            b_column = columns.to_row;
          }
          const T* a = g.a + batch * g.a_batch;
          T* c = g.c + batch * g.c_batch;
          DotProducts<T> dots;
          dots.k = g.k;
          dots.init = g.accumulate ? c : g.bias;
          const std::int64_t init_row = g.accumulate ? g.c_row : 0;
          if (by_rows) {
            dots = {end - begin,
                    g.n,
                    g.k,
                    a + begin * g.a_row,
                    g.a_row,
                    b,
                    b_column,
                    c + begin * g.c_row,
                    g.c_row,
                    1,
                    dots.init ? dots.init + begin * init_row : nullptr,
                    init_row,
                    1};
          } else {
            dots = {end - begin,
                    g.m,
                    g.k,
                    b + begin * b_column,
                    b_column,
                    a,
                    g.a_row,
                    c + begin,
                    1,
                    g.c_row,
                    dots.init ? dots.init + begin : nullptr,
                    1,
                    init_row};
          }
          for_isa<MultiplyDots, const DotProducts<T>*>(&dots);
          if (g.finish) g.finish(dots.c, by_rows ? dots.rows : g.m, by_rows ? g.n : dots.rows, g.c_row);
        },
        threads_);
  }

  // What all blocks with K from `first` on have in common.
  GemmBlock<T> begin_block(const GemmProblem<S, T>& g, std::int64_t first, T* c, std::int64_t j) const {
    GemmBlock<T> block{};
    block.k = g.k - first < depth_ ? g.k - first : depth_;
    block.c = c + j;
    block.c_row = g.c_row;
    if (first > 0 || g.accumulate) {
      block.init = block.c;
      block.init_by_row = 1;
    } else if (g.bias) {
      block.init = g.bias + j;
    }
    if (first + block.k >= g.k) block.finish = g.finish;
    block.prefetch_c = block.init_by_row != 0 || g.m * g.n * std::int64_t(sizeof(T)) > kNearC;
    return block;
  }

  // Packs rows of A, `a` the first, columns [first, first + block.k), and lets the block read them.
  void pack_a(const GemmProblem<S, T>& g, const S* a, std::int64_t first, T* to, GemmBlock<T>& block) const {
    const S* from = a + first * g.a_column;
    block.a = to;
    if (g.a_row == 1) {
      pack_tiles<kTileRows>(from, g.a_column, block.rows, block.k, to);
      block.a_row = 1;
      block.a_tile = kTileRows * block.k;
      block.a_column = kTileRows;
    } else {
      pack_rows(PackArguments<S, T>{from, g.a_row, g.a_column, block.rows, block.k, to, a_stride_, 0});
      block.a_row = a_stride_;
      block.a_tile = kTileRows * a_stride_;
      block.a_column = 1;
    }
  }

  void run_panels(const GemmProblem<S, T>& g) const {
    const bool packed = packs_b(g), by_rows = is_narrow(g) || (!packed && g.m >= g.n);
    const std::int64_t units = by_rows ? divide_up(g.m, kTileRows) : panels_, parts = parts_for(g, units);
    parallel_for(
        g.count * parts, 1,
        [&](std::int64_t item, std::int64_t, int slot_index) {
          const std::int64_t batch = item / parts, part = item % parts;
          const std::int64_t unit = by_rows ? kTileRows : tile_, length = by_rows ? g.m : g.n;
          const std::int64_t begin = unit * part_begin(units, part, parts);
          const std::int64_t end = part + 1 < parts ? unit * part_begin(units, part + 1, parts) : length;
          const std::int64_t row = by_rows ? begin : 0, column = by_rows ? 0 : begin;
          const S* a = g.a + batch * g.a_batch + row * g.a_row;
          const S* b = g.b + batch * g.b_batch + column * g.b_column;
          T* c = g.c + batch * g.c_batch + row * g.c_row;
          T* packed_b = slot(slot_index);
          std::int64_t first = 0;
          do {
            GemmBlock<T> block = begin_block(g, first, c, column);
            block.rows = by_rows ? end - begin : g.m;
            if constexpr (kWiden) {
              pack_a(g, a, first, packed_b + depth_ * tile_ * kGroup, block);
            } else {
              block.a = a + first * g.a_column;
              block.a_row = g.a_row;
              block.a_tile = kTileRows * g.a_row;
              block.a_column = g.a_column;
            }
            multiply_panels(g, block, b + first * g.b_row, by_rows ? g.n : end - begin, packed, packed_b);
            first += depth_;
          } while (first < g.k);
        },
        threads_);
  }

  // Multiplies block.a by `columns` columns of B from `b` on.
  void multiply_panels(const GemmProblem<S, T>& g, GemmBlock<T> block, const S* b, std::int64_t columns, bool packed,
                       T* packed_b) const {
    if constexpr (!kWiden) {
      if (!packed) {
        block.columns = columns;
        block.b = b;
        block.b_row = g.b_row;
        block.b_panel = tile_;
        if (block.k && copies_last(columns)) {
          const std::int64_t last = columns % tile_;
          const S* from = b + columns - last;
          pack_rows(PackArguments<S, T>{from, g.b_row, 1, block.k, last, packed_b, tile_, 0});
          block.b_last = packed_b;
        }
        multiply_block(block);
        return;
      }
    }
    // A small B is in the second cache, and one packed panel stays in the first.
    const std::int64_t group = bytes_of_b(g) > kOnePanelBytes ? kGroup * tile_ : tile_;
    block.b = packed_b;
    block.b_row = tile_;
    block.b_panel = tile_ * block.k;
    for (std::int64_t j = 0; j < columns; j += group) {
      block.columns = columns - j < group ? columns - j : group;
      pack_rows(PackArguments<S, T>{b + j * g.b_column, g.b_row, g.b_column, block.k, block.columns, packed_b, tile_,
                                    block.b_panel});
      multiply_block(block);
      block.c += group;
      if (block.init) block.init += group;
    }
  }

  void run_blocks(const GemmProblem<S, T>& g, std::int64_t batch) const {
    const S* a = g.a + batch * g.a_batch;
    const S* b = g.b + batch * g.b_batch;
    T* c = g.c + batch * g.c_batch;
    const std::int64_t tiles = divide_up(g.m, kTileRows);
    std::int64_t parts = round_up(divide_up(g.m, kBlockRows), threads_);
    if (parts > tiles) parts = tiles;
    const std::int64_t group = kGroup * tile_;
    for (std::int64_t column = 0; column < g.n; column += kBlockColumns) {
      const std::int64_t columns = g.n - column < kBlockColumns ? g.n - column : kBlockColumns;
      std::int64_t first = 0;
      do {
        const GemmBlock<T> common = begin_block(g, first, c, column);
        T* packed_b = memory_.data();
        parallel_for(
            columns, group,
            [&](std::int64_t begin, std::int64_t end) {
              const S* from = b + first * g.b_row + (column + begin) * g.b_column;
              pack_rows(PackArguments<S, T>{from, g.b_row, g.b_column, common.k, end - begin,
                                            packed_b + begin * common.k, tile_, tile_ * common.k});
            },
            threads_);
        parallel_for(
            parts, 1,
            [&](std::int64_t part, std::int64_t, int slot_index) {
              const std::int64_t begin = kTileRows * part_begin(tiles, part, parts);
              const std::int64_t end = part + 1 < parts ? kTileRows * part_begin(tiles, part + 1, parts) : g.m;
              GemmBlock<T> block = common;
              block.rows = end - begin;
              block.columns = columns;
              pack_a(g, a + begin * g.a_row, first, slot(slot_index), block);
              block.b = packed_b;
              block.b_row = tile_;
              block.b_panel = tile_ * block.k;
              block.c += begin * g.c_row;
              if (block.init) block.init += begin * block.init_by_row * g.c_row;
              multiply_block(block);
            },
            threads_);
        first += depth_;
      } while (first < g.k);
    }
  }

  Route route_;
  int threads_;
  std::int64_t tile_, panels_, depth_, a_stride_, shared_, slot_size_;
  Scratch<T> memory_;
};

}  // namespace ergo::inline ERGO_BUILD::cpu::detail
