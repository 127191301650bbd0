// Rows of softmax, log_softmax and logsumexp, and the first-order rules of the first two. Each exponential is computed
// once; two passes over memory suffice whatever the length of a row. Loops are shared: what holds an exponential or a
// logarithm takes long to compile.
//
// A row with infinities has the limit's shares: +infinity shares equally, -infinity gets nothing. A row of -infinity
// alone gives NaN, or nothing (0, or -infinity as a logarithm) where the caller says so.
#pragma once

#include "ergo/cpu/row_weights.hpp"
#include "ergo/cpu/rows.hpp"

namespace ergo::inline ERGO_BUILD::cpu::detail {

// exp_lifted(x - maximum of the block) to y, block by block; the maximum of the row, and in top[b] the factor by which
// block b is to be multiplied (if there are several) before all are divided by the row's sum.
template <class P, class T>
ERGO_INLINE void softmax_terms(const RowBlocks<P>& blocks, const T* x, T* y, T* top, T* sum, T* top_of_row,
                               T* sum_of_row) {
  for (std::int64_t b = 0; b < blocks.count; ++b) {
    const T* at = x + b * blocks.size;
    top[b] = row_max(blocks[b], at);
    sum[b] = exp_sum<true>(blocks[b], at, y + b * blocks.size, top[b] - top[b] == 0 ? top[b] : T(0));
  }
  T highest = top[0], all = sum[0];
  if (blocks.count > 1) {
    for (std::int64_t b = 1; b < blocks.count; ++b) highest = highest < top[b] ? top[b] : highest;
    all = 0;
    for (std::int64_t b = 0; b < blocks.count; ++b) {
      top[b] = exp_outside(top[b] - highest);
      all += sum[b] * top[b];
    }
  }
  *top_of_row = highest;
  *sum_of_row = all;
}

// What a caller of SoftmaxBody wants beside y; each may be null.
template <class T>
struct SoftmaxExtras {
  const T* scale = nullptr;          // y is scale[r] softmax
  T *top = nullptr, *sum = nullptr;  // the maximum of each row and the lifted sum
};

template <class T>
struct SoftmaxBody {
  template <Isa I>
  static ERGO_INLINE void run(const T* x, T* y, std::int64_t rows, std::int64_t n, bool empty_is_zero,
                              SoftmaxExtras<T> extras) {
    using P = Pack<T, kRegisterBytes<I> / int(sizeof(T))>;
    constexpr std::int64_t kMost = RowBlocks<P>::kMost + 1;
    const RowBlocks<P> blocks(n);
    T top[kMost], sum[kMost], highest, all;
    for (std::int64_t r = 0; r < rows; ++r, x += n, y += n) {
      softmax_terms(blocks, x, y, top, sum, &highest, &all);
      if (extras.top) {
        extras.top[r] = highest;
        extras.sum[r] = all;
      }
      if (highest - highest != 0) [[unlikely]] {
        if (!infinite_row(x, y, n, highest) && !empty_is_zero)
          for (std::int64_t i = 0; i < n; ++i) y[i] = kNaN<T>;
        continue;
      }
      const T q = (extras.scale ? extras.scale[r] : T(1)) / all;
      for (std::int64_t b = 0; b < blocks.count; ++b)
        scale_row(blocks[b], y + b * blocks.size, blocks.count == 1 ? q : q * top[b]);
    }
  }
};

// Maximum and lifted sum of each row.
template <class T>
struct WeightBody {
  template <Isa I>
  static ERGO_INLINE void run(const T* x, T* top, T* sum, std::int64_t rows, std::int64_t n) {
    using P = Pack<T, kRegisterBytes<I> / int(sizeof(T))>;
    const RowBlocks<P> blocks(n);
    for (std::int64_t r = 0; r < rows; ++r) row_weight(blocks, x + r * n, n, top + r, sum + r);
  }
};
// y = log of lifted sums, n of them in room for a register more; y may be sum.
template <class T>
struct LogWeightBody {
  template <Isa I>
  static ERGO_INLINE void run(const T* sum, T* y, std::int64_t n) {
    using P = Pack<T, kRegisterBytes<I> / int(sizeof(T))>;
    for (std::int64_t i = 0; i < n; i += P::kLanes) log(P::load(sum + i) * P(kUnlift<T>)).store(y + i);
  }
};
// y = (x - top) - logarithm, row by row.
template <class T>
struct ShiftBody {
  template <Isa I>
  static ERGO_INLINE void run(const T* x, T* y, const T* top, const T* logarithm, std::int64_t rows, std::int64_t n) {
    using P = Pack<T, kRegisterBytes<I> / int(sizeof(T))>;
    const RowPacks<P> packs(n);
    for (std::int64_t r = 0; r < rows; ++r, x += n, y += n) {
      const P shift(top[r]), less(logarithm[r]);
      packs.template each<2>([&](auto, std::int64_t i, const auto&)
                                 __attribute__((always_inline)) { ((P::load(x + i) - shift) - less).store(y + i); });
    }
  }
};

// f(first, count) for rows in batches that their figures are kept of on the stack.
inline constexpr std::int64_t kRowBatch = 64;
template <class F>
void in_batches(std::int64_t rows, F&& f) {
  for (std::int64_t first = 0; first < rows; first += kRowBatch)
    f(first, rows - first < kRowBatch ? rows - first : kRowBatch);
}

// log softmax of rows: their weights, the logarithms of these in packs, then x - maximum - logarithm.
template <class T>
void log_softmax_rows(const T* x, T* y, std::int64_t rows, std::int64_t n, bool empty_is_zero) {
  in_batches(rows, [&](std::int64_t first, std::int64_t count) {
    const T* from = x + first * n;
    T* to = y + first * n;
    T top[kRowBatch], sum[kRowBatch] = {};
    for_isa<WeightBody<T>>(from, top, sum, count, n);
    for_isa<LogWeightBody<T>>(static_cast<const T*>(sum), sum, count);
    for_isa<ShiftBody<T>>(from, to, static_cast<const T*>(top), static_cast<const T*>(sum), count, n);
    for (std::int64_t r = 0; r < count; ++r) {
      if (top[r] - top[r] == 0) [[likely]]
        continue;
      T* q = to + r * n;
      if (infinite_row(from + r * n, q, n, top[r]))
        for (std::int64_t i = 0; i < n; ++i) q[i] = log_outside(q[i]);
      else
        for (std::int64_t i = 0; i < n; ++i) q[i] = empty_is_zero ? -kInfinity<T> : kNaN<T>;
    }
  });
}

// y[r] = log sum exp of row r of n elements.
template <class T>
void log_sum_exp(const T* x, T* y, std::int64_t rows, std::int64_t n) {
  constexpr std::int64_t kRoom = 64;
  const std::int64_t parts = n > 65536 ? (n + kRowGrain - 1) / kRowGrain : 1;
  const Scratch<T> scratch(2 * (rows + kRoom));
  T *top = scratch.data(), *sum = top + rows + kRoom;
  if (n == 0) {
    for (std::int64_t r = 0; r < rows; ++r) y[r] = -kInfinity<T>;
    return;
  }
  if (parts == 1) {
    const T* const in[] = {x};
    T* const out[] = {static_cast<T*>(nullptr)};
    for_rows(in, out, rows, n, [&](const T* const* p, T* const*, std::int64_t first, std::int64_t some) {
      for_isa<WeightBody<T>>(p[0], top + first, sum + first, some, n);
    });
  } else {  // long runs: parallel inside each, parts taken together in order
    const Scratch<T> several(2 * parts);
    T *tops = several.data(), *sums = tops + parts;
    for (std::int64_t r = 0; r < rows; ++r) {
      parallel_for(n, kRowGrain, [&](std::int64_t begin, std::int64_t end) {
        const std::int64_t p = begin / kRowGrain;
        T few[64] = {};  // a part shorter than a register
        const T* from = x + r * n + begin;
        if (end - begin < 64)
          from = static_cast<const T*>(std::memcpy(few, from, std::size_t(end - begin) * sizeof(T)));
        for_isa<WeightBody<T>>(from, tops + p, sums + p, std::int64_t(1), end - begin);
      });
      top[r] = tops[0];
      sum[r] = sums[0];
      for (std::int64_t p = 1; p < parts; ++p) add_weight(tops[p], sums[p], top + r, sum + r);
    }
  }
  for_isa<LogWeightBody<T>>(static_cast<const T*>(sum), sum, rows);
  for (std::int64_t r = 0; r < rows; ++r) y[r] = top[r] + sum[r];
}

// From the cotangent g and the result y of softmax: y (g - sum(g y)).
template <class T>
struct SoftmaxVjpBody {
  template <Isa I>
  static ERGO_INLINE void run(const T* g, const T* y, T* dx, std::int64_t rows, std::int64_t n) {
    using P = Pack<T, kRegisterBytes<I> / int(sizeof(T))>;
    const RowPacks<P> packs(n);
    for (std::int64_t r = 0; r < rows; ++r, g += n, y += n, dx += n) {
      const auto product = [&](std::int64_t i) __attribute__((always_inline)) {
        return P::load(g + i) * P::load(y + i);
      };
      const P mean(packs.template sum<4>(product).sum());
      packs.template each<4>([&](auto, std::int64_t i, const auto&) __attribute__((always_inline)) {
        (P::load(y + i) * (P::load(g + i) - mean)).store(dx + i);
      });
    }
  }
};
// The same of log_softmax: g - e^y sum(g).
template <class T>
struct LogSoftmaxVjpBody {
  template <Isa I>
  static ERGO_INLINE void run(const T* g, const T* y, T* dx, std::int64_t rows, std::int64_t n) {
    using P = Pack<T, kRegisterBytes<I> / int(sizeof(T))>;
    const RowPacks<P> packs(n);
    for (std::int64_t r = 0; r < rows; ++r, g += n, y += n, dx += n) {
      const auto cotangent = [&](std::int64_t i) __attribute__((always_inline)) { return P::load(g + i); };
      const P scale(packs.template sum<4>(cotangent).sum() * kUnlift<T>);
      packs.template each<2>([&](auto, std::int64_t i, const auto&) __attribute__((always_inline)) {
        fma(-exp_lifted(P::load(y + i)), scale, P::load(g + i)).store(dx + i);
      });
    }
  }
};

// The maximum of each row; of a row of -infinity NaN, unless that is what the caller wants.
template <class T>
struct RowMaxBody {
  template <Isa I>
  static ERGO_INLINE void run(const T* x, T* y, std::int64_t rows, std::int64_t n, bool empty_is_zero) {
    using P = Pack<T, kRegisterBytes<I> / int(sizeof(T))>;
    const RowPacks<P> packs(n);
    for (std::int64_t r = 0; r < rows; ++r) {
      const T top = row_max(packs, x + r * n);
      y[r] = top == -kInfinity<T> && !empty_is_zero ? kNaN<T> : top;
    }
  }
};

}  // namespace ergo::inline ERGO_BUILD::cpu::detail
