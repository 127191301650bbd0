// One row in whole packs: n / W of them, and for the rest one pack more that overlaps them (or, if the row is shorter than a
// register, reaches past its end); `valid` says which of its lanes are new. No scalar tails, so that an element's value does
// not depend on where in a pack it falls.
#pragma once

#include "ergo/cpu/pack_storage.hpp"

namespace ergo::inline ERGO_BUILD::cpu::detail {

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
  typename P::value_type unused = 0;
  decltype(P() < P()) valid;

  ERGO_INLINE explicit RowPacks(std::int64_t count) : n(count), whole(count - count % W), last(count < W ? 0 : count - W) {
    using T = typename P::value_type;
    valid = n < W ? P::iota() < P(T(n)) : P::iota() >= P(T(W - n % W));
  }
  // f(k, i, valid) for each pack: it begins at element i. k in [0, U) tells apart accumulators.
  template <int U, class F>
  ERGO_INLINE void each(F&& f) const {
    std::int64_t i = 0;
    for (; i + U * W <= whole; i += U * W) unrolled(f, i, std::make_integer_sequence<int, U>{});
    if constexpr (U > 1)
      for (; i < whole; i += W) f(std::integral_constant<int, 0>{}, i, AllLanes{});
    if (whole != n) f(std::integral_constant<int, 0>{}, last, valid);
  }

  // The sum of term(i) over the packs, a Pack or a PackPair: four accumulators, added up every 32 packs, so that the error
  // does not grow with n.
  template <class F>
  ERGO_INLINE auto sum(F&& term) const {
    using V = decltype(term(std::int64_t(0)));
    V total{};
    std::int64_t i = 0;
    while (i + 4 * W <= whole) {
      V a = term(i), b = term(i + W), c = term(i + 2 * W), d = term(i + 3 * W);
      i += 4 * W;
      for (int step = 1; step < 8 && i + 4 * W <= whole; ++step, i += 4 * W) {
        a = a + term(i);
        b = b + term(i + W);
        c = c + term(i + 2 * W);
        d = d + term(i + 3 * W);
      }
      total = total + ((a + b) + (c + d));
    }
    for (; i < whole; i += W) total = total + term(i);
    if (whole != n) total = total + where(valid, term(last), V{});
    return total;
  }

 private:
  template <class F, int... K>
  static ERGO_INLINE void unrolled(F&& f, std::int64_t i, std::integer_sequence<int, K...>) {
    (f(std::integral_constant<int, K>{}, i + K * W, AllLanes{}), ...);
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
