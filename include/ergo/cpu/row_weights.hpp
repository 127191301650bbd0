// What softmax, logsumexp and cross_entropy have in common: the exponentials of a row against its maximum, and their
// sum. They are scaled by 2^kLift, so that the smallest shares are not lost before a division; a row longer than a
// block of the first cache is taken block by block, each against its own maximum, so that one pass suffices whatever
// the length.
#pragma once

#include "ergo/cpu/math.hpp"
#include "ergo/cpu/row_packs.hpp"

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

// The sum of exp_lifted(x - base); `Store`: the terms go to y.
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

}  // namespace ergo::inline ERGO_BUILD::cpu::detail
