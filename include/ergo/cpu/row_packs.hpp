// One row in whole packs: n / W of them, and for the rest one pack more that overlaps them (or, if the row is shorter
// than a register, reaches past its end); `valid` says which of its lanes are new. No scalar tails, so that an
// element's value does not depend on where in a pack it falls.
#pragma once

#include "ergo/cpu/pack_storage.hpp"

namespace ergo::inline ERGO_BUILD::cpu::detail {

// f(0), ..., f(N - 1), each argument a constant: unrolled at every optimisation level.
template <class F, int... K>
ERGO_INLINE void repeat(std::integer_sequence<int, K...>, F&& f) {
  (f(std::integral_constant<int, K>{}), ...);
}
template <int N, class F>
ERGO_INLINE void repeat(F&& f) {
  repeat(std::make_integer_sequence<int, N>{}, f);
}
// acc[0], ..., acc[N - 1] combined by halves into the first.
template <int N, class P, class F>
ERGO_INLINE P fold(P (&acc)[N], F&& combine) {
  if constexpr (N == 1) {
    return acc[0];
  } else {
    P half[N / 2];
    repeat<N / 2>([&](auto k) __attribute__((always_inline)) { half[k] = combine(acc[k], acc[k + N / 2]); });
    return fold<N / 2>(half, combine);
  }
}

// All lanes are new: selections by it cost nothing.
struct AllLanes {
  template <class P>
  friend ERGO_INLINE const P& where(AllLanes, const P& a, const P&) {
    return a;
  }
};

// How a row of n elements falls into packs; the same for all rows of an operand.
template <class P>
struct RowPacks {
  static constexpr int W = P::kLanes;
  std::int64_t n, whole, last;
  decltype(P() < P()) valid[2];  // of the last pack, and of a whole one

  ERGO_INLINE explicit RowPacks(std::int64_t count)
      : n(count), whole(count - count % W), last(count < W ? 0 : count - W) {
    using T = typename P::value_type;
    valid[0] = n < W ? P::iota() < P(T(n)) : P::iota() >= P(T(W - n % W));
    valid[1] = P() == P();
  }
  // f(k, i, valid) for each pack: it begins at element i. k in [0, U) tells apart accumulators.
  template <int U, class F>
  ERGO_INLINE void each(F&& f) const {
    std::int64_t i = 0;
    for (; i + U * W <= n; i += U * W)
      repeat<U>([&](auto k) __attribute__((always_inline)) { f(k, i + k * W, AllLanes{}); });
    rest(
        i, [&](std::int64_t at, const auto& some)
               __attribute__((always_inline)) { f(std::integral_constant<int, 0>{}, at, some); });
  }
  // The sum of term(i) over the packs, a Pack or a PackPair: U accumulators, added up every 16 packs of each, so that
  // the error does not grow with n.
  template <int U, class F>
  ERGO_INLINE auto sum(F&& term) const {
    using V = decltype(term(std::int64_t(0)));
    V total{};
    std::int64_t i = 0;
    while (i + U * W <= n) {
      V part[U]{};
      const std::int64_t end = n - i < 16 * U * W ? n : i + 16 * U * W;
      for (; i + U * W <= end; i += U * W) {
        repeat<U>([&](auto k) __attribute__((always_inline)) { part[k] = part[k] + term(i + k * W); });
      }
      total = total + fold<U>(
                          part, [](const V& a, const V& b) __attribute__((always_inline)) { return a + b; });
    }
    rest(
        i, [&](std::int64_t at, const auto& some)
               __attribute__((always_inline)) { total = total + where(some, term(at), V{}); });
    return total;
  }

 private:
  // The packs from element i on, one copy of f for whole and partial ones.
  template <class F>
  ERGO_INLINE void rest(std::int64_t i, F&& f) const {
    for (; i < n; i += W) f(i < last ? i : last, valid[i < whole]);
  }
};

// Two packs that are summed together.
template <class P>
struct PackPair {
  P a, b;
  friend ERGO_INLINE PackPair operator+(const PackPair& x, const PackPair& y) { return {x.a + y.a, x.b + y.b}; }
  template <class M>
  friend ERGO_INLINE PackPair where(const M& m, const PackPair& x, const PackPair& y) {
    return {where(m, x.a, y.a), where(m, x.b, y.b)};
  }
};

}  // namespace ergo::inline ERGO_BUILD::cpu::detail
