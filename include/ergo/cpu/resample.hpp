// Averages and interpolation of channels-last images along both axes, and their transposes: of either axis a table of
// what each result combines, then a row of results at a time. Its rows of the image are combined first, as one long run
// whatever the channels are; of that run, which stays in the first cache, each result combines some pixels.
#pragma once

#include "ergo/core/parallel.hpp"
#include "ergo/cpu/isa.hpp"
#include "ergo/cpu/resample_axis.hpp"
#include "ergo/cpu/row_packs.hpp"
#include "ergo/cpu/scratch.hpp"

namespace ergo::inline ERGO_BUILD::cpu {

namespace detail {

// The rows of the matrix that averages along an axis are, or of its transpose: of windows their ends alone, however
// many elements are between.
template <class T>
class WindowTable {
 public:
  struct Row {
    std::int64_t first, taps;
    const T* weights;
    bool shared;  // the weights are one
    T count;      // what sums are divided by; 1 in a transpose, whose weights are shares of it

    ERGO_INLINE std::int64_t at(std::int64_t i) const { return first + i; }
    ERGO_INLINE T weight(std::int64_t i) const { return weights[shared ? 0 : i]; }
  };
  WindowTable(Resampling kind, const ResampleAxis& a, bool transposed)
      : rows_(transposed ? a.in : a.out), weights_(transposed ? a.out : 1) {
    const auto window = [&](std::int64_t o) {
      return kind == Resampling::windows ? window_row(a, o)
                                         : adaptive_row(a, o, [&](std::int64_t n) { return n / a.out; });
    };
    Row* const rows = rows_.data();
    T* const weights = weights_.data();
    if (!transposed) {
      *weights = T(1);
      for (std::int64_t o = 0; o < a.out; ++o) {
        const WindowRow w = window(o);
        rows[o] = {w.first, w.end - w.first, weights, true, T(w.count)};
      }
      return;
    }
    for (std::int64_t o = 0; o < a.out; ++o) weights[o] = T(1) / T(window(o).count);
    // Neither end ever goes back: element i is in the windows from the first that ends behind it to the last that
    // begins no later.
    std::int64_t first = 0, end = 0;
    for (std::int64_t i = 0; i < a.in; ++i) {
      while (end < a.out && window(end).first <= i) ++end;
      while (first < end && window(first).end <= i) ++first;
      rows[i] = {first, end - first, weights + first, false, T(1)};
    }
  }
  const Row& operator[](std::int64_t i) const { return rows_.data()[i]; }

 private:
  Scratch<Row> rows_;
  Scratch<T> weights_;
};

// The same of interpolation: places and weights of what is not zero.
template <class T>
class TapTable {
 public:
  struct Tap {
    std::int64_t at;
    T weight;
  };
  struct Row {
    const Tap* tap;
    std::int64_t taps;
    T count = T(1);

    ERGO_INLINE std::int64_t at(std::int64_t i) const { return tap[i].at; }
    ERGO_INLINE T weight(std::int64_t i) const { return tap[i].weight; }
  };
  TapTable(Resampling kind, const ResampleAxis& a, bool transposed)
      : rows_(transposed ? a.in : a.out), taps_(count(kind, a)) {
    Row* const rows = rows_.data();
    Tap* next = taps_.data();
    const auto each = [&](const auto& f) {  // f(result, element, its row)
      for (std::int64_t o = 0; o < a.out; ++o)
        with_row(kind, a, o, [&](const auto& row) {
          for (std::int64_t i = row.first; i < row.end; ++i) f(o, i, row);
        });
    };
    if (!transposed) {
      for (std::int64_t o = 0; o < a.out; ++o)
        with_row(kind, a, o, [&](const auto& row) {
          rows[o] = {next, row.end - row.first};
          for (std::int64_t i = row.first; i < row.end; ++i) *next++ = {i, row.weight(i)};
        });
      return;
    }
    for (std::int64_t i = 0; i < a.in; ++i) rows[i] = {nullptr, 0};
    each([&](std::int64_t, std::int64_t i, const auto&) { ++rows[i].taps; });
    for (std::int64_t i = 0; i < a.in; ++i) {
      rows[i].tap = next;
      next += rows[i].taps;
      rows[i].taps = 0;
    }
    each([&](std::int64_t o, std::int64_t i, const auto& row) {
      taps_.data()[rows[i].tap - taps_.data() + rows[i].taps++] = {o, row.weight(i)};
    });
  }
  const Row& operator[](std::int64_t i) const { return rows_.data()[i]; }

 private:
  // f(the row of result o).
  template <class F>
  static void with_row(Resampling kind, const ResampleAxis& a, std::int64_t o, const F& f) {
    const auto by_twice = [&](std::int64_t n) { return n / (2 * a.out); };
    if (kind == Resampling::nearest)
      f(tap_row<T, 1>(a, o, by_twice));
    else if (kind == Resampling::linear)
      f(tap_row<T, 2>(a, o, by_twice));
    else
      f(tap_row<T, 4>(a, o, by_twice));
  }
  static std::int64_t count(Resampling kind, const ResampleAxis& a) {
    std::int64_t n = 0;
    for (std::int64_t o = 0; o < a.out; ++o) with_row(kind, a, o, [&](const auto& row) { n += row.end - row.first; });
    return n;
  }
  Scratch<Row> rows_;
  Scratch<Tap> taps_;
};

// A row of results y (w, c) of x (h', w', c); `run` has room for w' c elements and a register more.
template <class T, class Table>
struct ResampleRow {
  template <Isa I>
  static ERGO_INLINE void run(const Table* rows, const Table* columns, std::int64_t row, std::int64_t w,
                              std::int64_t from_w, std::int64_t c, const T* x, T* run, T* y) {
    constexpr int W = kRegisterBytes<I> / int(sizeof(T));
    using P = Pack<T, W>;
    const Row& down = (*rows)[row];
    const std::int64_t length = from_w * c;
    if (down.taps == 1 && down.weight(0) == T(1) && c % W == 0) {
      across<P>(*columns, w, c, x + down.at(0) * length, down.count, y);
      return;
    }
    std::int64_t p = 0;
    for (; p + 4 * W <= length; p += 4 * W) sum_down<P, 4>(x + p, length, down, run + p);
    for (; p + W <= length; p += W) sum_down<P, 1>(x + p, length, down, run + p);
    if (const int rest = int(length - p)) {
      const auto load = [&](std::int64_t i) __attribute__((always_inline)) {
        return P::load_part(x + down.at(i) * length + p, rest);
      };
      P sum = down.taps ? load(0) * P(down.weight(0)) : P();
      for (std::int64_t i = 1; i < down.taps; ++i) sum = fma(load(i), P(down.weight(i)), sum);
      sum.store_part(run + p, rest);
    }
    across<P>(*columns, w, c, run, down.count, y);
  }

 private:
  using Row = typename Table::Row;
  template <class P, int N>
  static ERGO_INLINE void sum_down(const T* x, std::int64_t length, const Row& row, T* to) {
    P sum[N];
    for (std::int64_t i = 0; i < row.taps; ++i) {
      const T* const from = x + row.at(i) * length;
      const P weight(row.weight(i));
      repeat<N>([&](auto k) __attribute__((always_inline)) {
        const P v = P::load(from + k * P::kLanes);
        sum[k] = i == 0 ? v * weight : fma(v, weight, sum[k]);
      });
    }
    repeat<N>([&](auto k) __attribute__((always_inline)) { sum[k].store(to + k * P::kLanes); });
  }
  // Packs may reach into the channels of the next pixel: what they store there is overwritten by it.
  template <class P>
  static ERGO_INLINE void across(const Table& columns, std::int64_t w, std::int64_t c, const T* from, T count, T* y) {
    constexpr int W = P::kLanes;
    for (std::int64_t o = 0; o < w; ++o) {
      const Row& row = columns[o];
      const T divisor = count * row.count;
      for (std::int64_t k = 0; k < c; k += W) {
        const auto load = [&](std::int64_t j) __attribute__((always_inline)) {
          return P::load(from + row.at(j) * c + k);
        };
        P sum = row.taps ? load(0) * P(row.weight(0)) : P();
        for (std::int64_t j = 1; j < row.taps; ++j) sum = fma(load(j), P(row.weight(j)), sum);
        if (divisor != T(1)) sum = sum / P(divisor);
        const std::int64_t at = o * c + k, room = w * c - at;
        if (room >= W)
          sum.store(y + at);
        else
          sum.store_part(y + at, int(room));
      }
    }
  }
};

template <class Table, class T>
void resample_by(Resampling kind, const ResampleAxis& h, const ResampleAxis& w, bool transposed, std::int64_t images,
                 std::int64_t c, const T* x, T* y) {
  const Table rows(kind, h, transposed), columns(kind, w, transposed);
  const std::int64_t to_h = transposed ? h.in : h.out, to_w = transposed ? w.in : w.out,
                     from_h = transposed ? h.out : h.in, from_w = transposed ? w.out : w.in;
  const std::int64_t room = from_w * c + 64, work = (to_w + from_w * (1 + from_h / to_h)) * c;
  const int threads = num_threads();
  const Scratch<T> runs(threads * room);
  const auto rows_of = [&](std::int64_t begin, std::int64_t end, int slot) {
    T* const run = runs.data() + slot * room;
    for (std::int64_t k = 0; k < 64; ++k) run[from_w * c + k] = 0;
    for (std::int64_t r = begin; r < end; ++r)
      for_isa<ResampleRow<T, Table>>(&rows, &columns, r % to_h, to_w, from_w, c, x + r / to_h * from_h * from_w * c,
                                     run, y + r * to_w * c);
  };
  parallel_for(images * to_h, 1 + 16384 / work, rows_of, threads);
}

}  // namespace detail

// y (images, h.out, w.out, c) of x (images, h.in, w.in, c), both row-major; or, transposed, the other way round.
template <class T>
void resample(Resampling kind, const ResampleAxis& h, const ResampleAxis& w, bool transposed, std::int64_t images,
              std::int64_t c, const T* x, T* y) {
  const auto run =
      averages(kind) ? &detail::resample_by<detail::WindowTable<T>, T> : &detail::resample_by<detail::TapTable<T>, T>;
  run(kind, h, w, transposed, images, c, x, y);
}

}  // namespace ergo::inline ERGO_BUILD::cpu
