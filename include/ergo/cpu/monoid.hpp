// What reductions combine by: the sum, the product, the larger, the smaller, of scalars and of packs. `Accumulator<T>`
// is the type that elements of type T are combined in: 64-bit integers for sums of integers, float for the 16-bit
// types.
#pragma once

#include "ergo/cpu/pack_storage.hpp"

namespace ergo::inline ERGO_BUILD::cpu {

struct SumOf {
  template <class T>
  using Accumulator = std::conditional_t<std::is_integral_v<T>, std::int64_t, Compute<T>>;
  template <class C>
  static constexpr C identity() {
    return C(0);
  }
  template <class A>
  static ERGO_INLINE A combine(const A& a, const A& b) {
    if constexpr (std::is_integral_v<A>)
      return A(std::make_unsigned_t<A>(a) + std::make_unsigned_t<A>(b));  // wraps
    else
      return a + b;
  }
};
struct ProductOf {
  template <class T>
  using Accumulator = SumOf::Accumulator<T>;
  template <class C>
  static constexpr C identity() {
    return C(1);
  }
  template <class A>
  static ERGO_INLINE A combine(const A& a, const A& b) {
    if constexpr (std::is_integral_v<A>)
      return A(std::make_unsigned_t<A>(a) * std::make_unsigned_t<A>(b));
    else
      return a * b;
  }
};
// The larger; a NaN on either side wins.
struct MaxOf {
  template <class T>
  using Accumulator = std::conditional_t<std::is_same_v<T, bool>, std::uint8_t, Compute<T>>;
  template <class C>
  static constexpr C identity() {
    if constexpr (std::is_floating_point_v<C>)
      return -C(__builtin_inf());
    else
      return std::is_signed_v<C> ? C(C(1) << (sizeof(C) * 8 - 1)) : C(0);
  }
  template <class A>
  static ERGO_INLINE A combine(const A& a, const A& b) {
    if constexpr (std::is_arithmetic_v<A>)
      return a < b || b != b ? b : a;
    else
      return maximum(a, b);
  }
};
struct MinOf {
  template <class T>
  using Accumulator = MaxOf::Accumulator<T>;
  template <class C>
  static constexpr C identity() {
    if constexpr (std::is_floating_point_v<C>)
      return C(__builtin_inf());
    else
      return C(~MaxOf::identity<C>());
  }
  template <class A>
  static ERGO_INLINE A combine(const A& a, const A& b) {
    if constexpr (std::is_arithmetic_v<A>)
      return b < a || b != b ? b : a;
    else
      return minimum(a, b);
  }
};

namespace detail {

template <class M, class T>
using AccumulatorOf = typename M::template Accumulator<T>;

// The lanes of a pack combined by halves.
template <class M, class C, int W>
ERGO_INLINE C fold_lanes(const Pack<C, W>& a) {
  if constexpr (W == 1)
    return a[0];
  else
    return fold_lanes<M>(M::combine(low(a), high(a)));
}

// part[i * width + c] for all i combined into part[c], by halves.
template <class M, class C>
void fold_tree(C* part, std::int64_t parts, std::int64_t width) {
  for (std::int64_t h = 1; h < parts; h *= 2)
    for (std::int64_t i = 0; i + h < parts; i += 2 * h)
      for (std::int64_t c = 0; c < width; ++c)
        part[i * width + c] = M::combine(part[i * width + c], part[(i + h) * width + c]);
}

}  // namespace detail
}  // namespace ergo::inline ERGO_BUILD::cpu
