// Rows of softmax, log_softmax and logsumexp, and the first-order rules of the first two. exp(x - max) is computed once
// an element, scaled by 2^kLift so that the smallest shares are not lost before the division; rows longer than a block
// of the first cache keep a maximum a block, so that two passes over memory suffice whatever the length.
//
// A row with infinities has the limit's shares: +infinity shares equally, -infinity gets nothing. A row of -infinity
// alone gives NaN, or nothing (0, or -infinity as a logarithm) where the caller says so.
#pragma once

#include "ergo/cpu/math.hpp"
#include "ergo/cpu/rows.hpp"

namespace ergo::inline ERGO_BUILD::cpu::detail {

template <class T>
inline constexpr int kLift = sizeof(T) == 4 ? 64 : 512;
template <class T>
inline constexpr T kUnlift = sizeof(T) == 4 ? T(0x1p-64) : T(0x1p-512);

// e^z 2^kLift for z <= 0, within 2 units of the last place; NaN stays. Far below the least denormal it stops to fall.
template <class T, int W>
ERGO_INLINE Pack<T, W> exp_lifted(const Pack<T, W>& given) {
  using A = Pack<T, W>;
  using Table = ExpTable<T>;
  const A lowest(sizeof(T) == 4 ? T(-120) : T(-800)), z = where(given < lowest, lowest, given);
  const A magic(FloatBits<T>::kMagic), shifted = fma(z, A(Table::kLog2e), magic), k = shifted - magic;
  const A r = fma(k, A(-Table::kLn2Low), fma(k, A(-Table::kLn2High), z));
  const A p = fma(fma(polynomial(r, Table::kTail), r, A(1)), r, A(1));
  const auto exponent = shifted.bits() << FloatBits<T>::kFraction;  // the rest of `magic` falls off the end
  const Pack<SignedOf<T>, W> one(SignedOf<T>(FloatBits<T>::kBias + kLift<T>) << FloatBits<T>::kFraction);
  return p * (exponent + one).template as<T>();
}

// The largest element that is a number, or -infinity.
template <class P, class T>
ERGO_INLINE T row_max(const RowPacks<P>& packs, const T* x) {
  const P lowest(-kInfinity<T>);
  const auto larger = [](const P& a, const P& b) __attribute__((always_inline)) { return where(a < b, b, a); };
  P top[4] = {lowest, lowest, lowest, lowest};
  packs.template each<4>([&](auto k, std::int64_t i, const auto& valid) __attribute__((always_inline)) {
    top[k] = larger(top[k], where(valid, P::load(x + i), lowest));
  });
  return larger(larger(top[0], top[1]), larger(top[2], top[3])).max();
}

// The sum of exp_lifted(x - base); the terms go to y unless that is null.
template <bool Store, class P, class T>
ERGO_INLINE T exp_sum(const RowPacks<P>& packs, const T* x, T* y, T base) {
  const P shift(base);
  return packs
      .template sum<2>([&](std::int64_t i) __attribute__((always_inline)) {
        const P e = exp_lifted(P::load(x + i) - shift);
        if constexpr (Store) e.store(y + i);
        return e;
      })
      .sum();
}
// x in place times q.
template <class P, class T>
ERGO_INLINE void scale_row(const RowPacks<P>& packs, T* y, T q) {
  const P factor(q);
  packs.template each<4>([&](auto, std::int64_t i, const auto& valid) __attribute__((always_inline)) {
    const P v = P::load(y + i);
    where(valid, v * factor, v).store(y + i);
  });
}

// A row cut into at most 256 blocks that fit the first cache; the last takes what is left.
template <class P>
struct RowBlocks {
  static constexpr std::int64_t kMost = 256;
  std::int64_t size, count;
  RowPacks<P> block, last;
  static std::int64_t size_of(std::int64_t n) {
    constexpr std::int64_t kLeast = 4096 / std::int64_t(sizeof(typename P::value_type));
    return n <= kMost * kLeast ? kLeast : (n / kMost / 64 + 1) * 64;
  }
  ERGO_INLINE explicit RowBlocks(std::int64_t n)
      : size(size_of(n)), count(n < 2 * size ? 1 : n / size), block(size), last(n - (count - 1) * size) {}
  ERGO_INLINE const RowPacks<P>& operator[](std::int64_t b) const { return b + 1 == count ? last : block; }
};

// The shares of a row whose maximum is infinite, to y; false if there are none (a row of -infinity).
template <class T>
[[gnu::noinline, gnu::cold]] bool infinite_row(const T* x, T* y, std::int64_t n, T top) {
  T sum = 0;
  for (std::int64_t i = 0; i < n; ++i) {
    y[i] = x[i] != x[i] ? x[i] : x[i] == top && top > 0 ? T(1) : T(0);
    sum += y[i];
  }
  for (std::int64_t i = 0; i < n; ++i) y[i] = sum != 0 ? y[i] / sum : T(0);
  return sum != 0;
}

// Out of line: flattening would copy them into every loop.
template <class T>
[[gnu::noinline]] T exp_outside(T x) {
  return exp(x);
}
template <class T>
[[gnu::noinline]] T log_outside(T x) {
  return log(x);
}
// Takes a part's maximum and lifted sum into those of the parts before. An infinite maximum has the sum 1, or NaN.
template <class T>
[[gnu::noinline]] void add_weight(T top, T sum, T* all_top, T* all_sum) {
  const bool raised = top > *all_top;
  const T down = raised ? *all_top - top : top - *all_top, factor = down == down ? exp(down) : T(1);
  if (*all_sum == *all_sum && sum == sum && top - top != 0 && (raised || top == *all_top))
    *all_sum = sum;
  else
    *all_sum = raised ? *all_sum * factor + sum : *all_sum + sum * factor;
  if (raised) *all_top = top;
}
// The maximum of a row and the sum of e^(x - maximum), lifted.
template <class P, class T>
ERGO_INLINE void row_weight(const RowBlocks<P>& blocks, const T* x, std::int64_t n, T* top_of_row, T* sum_of_row) {
  T top = 0, sum = 0;
  for (std::int64_t b = 0; b < blocks.count; ++b) {
    const T* at = x + b * blocks.size;
    const T highest = row_max(blocks[b], at),
            more = exp_sum<false, P, T>(blocks[b], at, nullptr, highest - highest == 0 ? highest : T(0));
    if (b == 0) {
      top = highest;
      sum = more;
    } else {
      add_weight(highest, more, &top, &sum);
    }
  }
  if (top - top != 0) [[unlikely]] {
    sum = T(1) / kUnlift<T>;
    for (std::int64_t i = 0; i < n; ++i)
      if (x[i] != x[i]) sum = x[i];
  }
  *top_of_row = top;
  *sum_of_row = sum;
}

// y = log of lifted sums.
template <class P, class T>
ERGO_INLINE void log_weights(const T* sum, T* y, std::int64_t n) {
  const RowPacks<P> packs(n);  // rows are counted in whole registers of scratch memory
  packs.template each<1>([&](auto, std::int64_t i, const auto&)
                             __attribute__((always_inline)) { log(P::load(sum + i) * P(kUnlift<T>)).store(y + i); });
}

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

template <class T>
struct SoftmaxBody {
  template <Isa I>
  static ERGO_INLINE void run(const T* x, T* y, std::int64_t rows, std::int64_t n, bool empty_is_zero) {
    using P = Pack<T, kRegisterBytes<I> / int(sizeof(T))>;
    constexpr std::int64_t kMost = RowBlocks<P>::kMost + 1;
    const RowBlocks<P> blocks(n);
    T top[kMost], sum[kMost], highest, all;
    for (std::int64_t r = 0; r < rows; ++r, x += n, y += n) {
      softmax_terms(blocks, x, y, top, sum, &highest, &all);
      if (highest - highest != 0) [[unlikely]] {
        if (!infinite_row(x, y, n, highest) && !empty_is_zero)
          for (std::int64_t i = 0; i < n; ++i) y[i] = kNaN<T>;
        continue;
      }
      const T q = T(1) / all;
      for (std::int64_t b = 0; b < blocks.count; ++b)
        scale_row(blocks[b], y + b * blocks.size, blocks.count == 1 ? q : q * top[b]);
    }
  }
};

// Rows in batches of 64: their weights, the logarithms of these in packs, then x - maximum - logarithm.
template <class T>
struct LogSoftmaxBody {
  template <Isa I>
  static ERGO_INLINE void run(const T* x, T* y, std::int64_t rows, std::int64_t n, bool empty_is_zero) {
    using P = Pack<T, kRegisterBytes<I> / int(sizeof(T))>;
    const RowBlocks<P> blocks(n);
    const RowPacks<P> packs(n);
    T top[64], sum[64] = {};
    for (std::int64_t first = 0; first < rows; first += 64) {
      const std::int64_t count = rows - first < 64 ? rows - first : 64;
      const T* from = x + first * n;
      for (std::int64_t r = 0; r < count; ++r) row_weight(blocks, from + r * n, n, top + r, sum + r);
      log_weights<P>(sum, sum, 64);
      for (std::int64_t r = 0; r < count; ++r) {
        const T* p = from + r * n;
        T* q = y + (first + r) * n;
        if (top[r] - top[r] != 0) [[unlikely]] {
          if (infinite_row(p, q, n, top[r]))
            for (std::int64_t i = 0; i < n; ++i) q[i] = log_outside(q[i]);
          else
            for (std::int64_t i = 0; i < n; ++i) q[i] = empty_is_zero ? -kInfinity<T> : kNaN<T>;
          continue;
        }
        const P shift(top[r]), logarithm(sum[r]);
        packs.template each<4>([&](auto, std::int64_t i, const auto&) __attribute__((always_inline)) {
          ((P::load(p + i) - shift) - logarithm).store(q + i);
        });
      }
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
// y = top + log of the lifted sum, n of them in room for a register more; y may be top.
template <class T>
struct LogWeightBody {
  template <Isa I>
  static ERGO_INLINE void run(const T* top, const T* sum, T* y, std::int64_t n) {
    using P = Pack<T, kRegisterBytes<I> / int(sizeof(T))>;
    RowPacks<P>(n).template each<1>([&](auto, std::int64_t i, const auto& valid) __attribute__((always_inline)) {
      const P done = P::load(y + i);
      where(valid, P::load(top + i) + log(P::load(sum + i) * P(kUnlift<T>)), done).store(y + i);
    });
  }
};

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
        for_isa<WeightBody<T>>(x + r * n + begin, tops + p, sums + p, std::int64_t(1), end - begin);
      });
      top[r] = tops[0];
      sum[r] = sums[0];
      for (std::int64_t p = 1; p < parts; ++p) add_weight(tops[p], sums[p], top + r, sum + r);
    }
  }
  T* result = top;  // y has no room behind it
  for_isa<LogWeightBody<T>>(static_cast<const T*>(top), static_cast<const T*>(sum), result, rows);
  std::memcpy(y, result, std::size_t(rows) * sizeof(T));
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
