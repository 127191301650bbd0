// Averages and interpolation of channels-last images along both axes, and their transposes: of either axis a table of
// taps, then a row of results at a time. Its rows of the image are combined first, as one long run whatever the
// channels are; of that run, which stays in the first cache, each result combines some pixels.
#pragma once

#include "ergo/core/parallel.hpp"
#include "ergo/cpu/isa.hpp"
#include "ergo/cpu/resample_axis.hpp"
#include "ergo/cpu/row_packs.hpp"
#include "ergo/cpu/scratch.hpp"

namespace ergo::inline ERGO_BUILD::cpu {

namespace detail {

// f(row) for the row of result o, a WindowRow or a TapRow.
template <class T, class F>
void with_row(Resampling kind, const ResampleAxis& a, std::int64_t o, const F& f) {
  const auto by_out = [&](std::int64_t n) { return n / a.out; };
  const auto by_twice = [&](std::int64_t n) { return n / (2 * a.out); };
  if (kind == Resampling::windows)
    f(window_row(a, o));
  else if (kind == Resampling::adaptive)
    f(adaptive_row(a, o, by_out));
  else if (kind == Resampling::nearest)
    f(tap_row<T, 1>(a, o, by_twice));
  else if (kind == Resampling::linear)
    f(tap_row<T, 2>(a, o, by_twice));
  else
    f(tap_row<T, 4>(a, o, by_twice));
}
template <class T>
T weight_of(const WindowRow&, std::int64_t) {
  return 1;
}
template <class T, int Taps>
T weight_of(const TapRow<T, Taps>& row, std::int64_t i) {
  return row.weight(i);
}
inline std::int64_t count_of(const WindowRow& row) { return row.count; }
template <class T, int Taps>
std::int64_t count_of(const TapRow<T, Taps>&) {
  return 1;
}

// The rows of the matrix that an axis is, or of its transpose: places and weights of what is not zero.
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
    T count;  // what sums are divided by; 1 in a transpose, whose weights are shares of it
  };
  TapTable(Resampling kind, const ResampleAxis& a, bool transposed)
      : rows_(transposed ? a.in : a.out), taps_(count(kind, a)) {
    Row* const rows = rows_.data();
    Tap* next = taps_.data();
    const auto each = [&](const auto& f) {  // f(result, element, its row)
      for (std::int64_t o = 0; o < a.out; ++o)
        with_row<T>(kind, a, o, [&](const auto& row) {
          for (std::int64_t i = row.first; i < row.end; ++i) f(o, i, row);
        });
    };
    if (!transposed) {
      for (std::int64_t o = 0; o < a.out; ++o)
        with_row<T>(kind, a, o, [&](const auto& row) {
          rows[o] = {next, row.end - row.first, T(count_of(row))};
          for (std::int64_t i = row.first; i < row.end; ++i) *next++ = {i, weight_of<T>(row, i)};
        });
      return;
    }
    for (std::int64_t i = 0; i < a.in; ++i) rows[i] = {nullptr, 0, T(1)};
    each([&](std::int64_t, std::int64_t i, const auto&) { ++rows[i].taps; });
    for (std::int64_t i = 0; i < a.in; ++i) {
      rows[i].tap = next;
      next += rows[i].taps;
      rows[i].taps = 0;
    }
    each([&](std::int64_t o, std::int64_t i, const auto& row) {
      taps_.data()[rows[i].tap - taps_.data() + rows[i].taps++] = {o, weight_of<T>(row, i) / T(count_of(row))};
    });
  }
  const Row& operator[](std::int64_t i) const { return rows_.data()[i]; }

 private:
  static std::int64_t count(Resampling kind, const ResampleAxis& a) {
    std::int64_t n = 0;
    for (std::int64_t o = 0; o < a.out; ++o)
      with_row<T>(kind, a, o, [&](const auto& row) { n += row.end - row.first; });
    return n;
  }
  Scratch<Row> rows_;
  Scratch<Tap> taps_;
};

// A row of results y (w, c) of x (h', w', c); `run` has room for w' c elements and a register more.
template <class T>
struct ResampleRow {
  template <Isa I>
  static ERGO_INLINE void run(const TapTable<T>* rows, const TapTable<T>* columns, std::int64_t row, std::int64_t w,
                              std::int64_t from_w, std::int64_t c, const T* x, T* run, T* y) {
    constexpr int W = kRegisterBytes<I> / int(sizeof(T));
    using P = Pack<T, W>;
    const Row& down = (*rows)[row];
    const std::int64_t length = from_w * c;
    if (down.taps == 1 && down.tap->weight == T(1) && c % W == 0) {
      across<P>(*columns, w, c, x + down.tap->at * length, down.count, y);
      return;
    }
    std::int64_t p = 0;
    for (; p + 4 * W <= length; p += 4 * W) sum_down<P, 4>(x + p, length, down, run + p);
    for (; p + W <= length; p += W) sum_down<P, 1>(x + p, length, down, run + p);
    if (const int rest = int(length - p)) {
      const auto load = [&](std::int64_t i) __attribute__((always_inline)) {
        return P::load_part(x + down.tap[i].at * length + p, rest);
      };
      P sum = down.taps ? load(0) * P(down.tap[0].weight) : P();
      for (std::int64_t i = 1; i < down.taps; ++i) sum = fma(load(i), P(down.tap[i].weight), sum);
      sum.store_part(run + p, rest);
    }
    across<P>(*columns, w, c, run, down.count, y);
  }

 private:
  using Row = typename TapTable<T>::Row;
  template <class P, int N>
  static ERGO_INLINE void sum_down(const T* x, std::int64_t length, const Row& row, T* to) {
    P sum[N];
    for (std::int64_t i = 0; i < row.taps; ++i) {
      const T* const from = x + row.tap[i].at * length;
      const P weight(row.tap[i].weight);
      repeat<N>([&](auto k) __attribute__((always_inline)) {
        const P v = P::load(from + k * P::kLanes);
        sum[k] = i == 0 ? v * weight : fma(v, weight, sum[k]);
      });
    }
    repeat<N>([&](auto k) __attribute__((always_inline)) { sum[k].store(to + k * P::kLanes); });
  }
  // Packs may reach into the channels of the next pixel: what they store there is overwritten by it.
  template <class P>
  static ERGO_INLINE void across(const TapTable<T>& columns, std::int64_t w, std::int64_t c, const T* from, T count,
                                 T* y) {
    constexpr int W = P::kLanes;
    for (std::int64_t o = 0; o < w; ++o) {
      const Row& row = columns[o];
      const T divisor = count * row.count;
      for (std::int64_t k = 0; k < c; k += W) {
        const auto load = [&](std::int64_t j) __attribute__((always_inline)) {
          return P::load(from + row.tap[j].at * c + k);
        };
        P sum = row.taps ? load(0) * P(row.tap[0].weight) : P();
        for (std::int64_t j = 1; j < row.taps; ++j) sum = fma(load(j), P(row.tap[j].weight), sum);
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

}  // namespace detail

// y (images, h.out, w.out, c) of x (images, h.in, w.in, c), both row-major; or, transposed, the other way round.
template <class T>
void resample(Resampling kind, const ResampleAxis& h, const ResampleAxis& w, bool transposed, std::int64_t images,
              std::int64_t c, const T* x, T* y) {
  const detail::TapTable<T> rows(kind, h, transposed), columns(kind, w, transposed);
  const std::int64_t to_h = transposed ? h.in : h.out, to_w = transposed ? w.in : w.out,
                     from_h = transposed ? h.out : h.in, from_w = transposed ? w.out : w.in;
  const std::int64_t room = from_w * c + 64, work = (to_w + from_w * (1 + from_h / to_h)) * c;
  const int threads = num_threads();
  const Scratch<T> runs(threads * room);
  const auto rows_of = [&](std::int64_t begin, std::int64_t end, int slot) {
    T* const run = runs.data() + slot * room;
    for (std::int64_t k = 0; k < 64; ++k) run[from_w * c + k] = 0;
    for (std::int64_t r = begin; r < end; ++r)
      for_isa<detail::ResampleRow<T>>(&rows, &columns, r % to_h, to_w, from_w, c, x + r / to_h * from_h * from_w * c,
                                      run, y + r * to_w * c);
  };
  parallel_for(images * to_h, 1 + 16384 / work, rows_of, threads);
}

}  // namespace ergo::inline ERGO_BUILD::cpu
