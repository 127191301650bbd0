// Dual numbers v + d e over a scalar, a pack, or another dual: how `map` differentiates a functor without a rule. On a
// dual an operation is its own `value` and `partial`, so no function is written twice.
#pragma once

#include "ergo/autograd/structural.hpp"

namespace ergo::inline ERGO_BUILD {

#if defined(__CUDACC__)
#pragma nv_diagnostic push
#pragma nv_diag_suppress 2391  // over packs, which are not literal, the functions are simply not constexpr
#endif
template <class A>
struct Dual {
  A v, d;
  Dual() = default;
  ERGO_INLINE constexpr Dual(const A& value, const A& derivative) : v(value), d(derivative) {}
  template <class S>
  requires std::is_arithmetic_v<S> ERGO_INLINE constexpr explicit Dual(S s) : v(A(s)), d(A(0)) {}

  friend ERGO_INLINE constexpr Dual operator+(const Dual& a, const Dual& b) { return {a.v + b.v, a.d + b.d}; }
  friend ERGO_INLINE constexpr Dual operator-(const Dual& a, const Dual& b) { return {a.v - b.v, a.d - b.d}; }
  friend ERGO_INLINE constexpr Dual operator-(const Dual& a) { return {-a.v, -a.d}; }
  friend ERGO_INLINE constexpr Dual operator*(const Dual& a, const Dual& b) {
    return {a.v * b.v, a.v * b.d + a.d * b.v};
  }
  friend ERGO_INLINE constexpr Dual operator/(const Dual& a, const Dual& b) {
    const A q = a.v / b.v;
    return {q, (a.d - q * b.d) / b.v};
  }
  friend ERGO_INLINE constexpr auto operator<(const Dual& a, const Dual& b) { return a.v < b.v; }
  friend ERGO_INLINE constexpr auto operator<=(const Dual& a, const Dual& b) { return a.v <= b.v; }
  friend ERGO_INLINE constexpr auto operator>(const Dual& a, const Dual& b) { return a.v > b.v; }
  friend ERGO_INLINE constexpr auto operator>=(const Dual& a, const Dual& b) { return a.v >= b.v; }
  friend ERGO_INLINE constexpr auto operator==(const Dual& a, const Dual& b) { return a.v == b.v; }
  friend ERGO_INLINE constexpr auto operator!=(const Dual& a, const Dual& b) { return a.v != b.v; }
  template <class C>
  friend ERGO_INLINE constexpr Dual where(const C& c, const Dual& a, const Dual& b) {
    return {where(c, a.v, b.v), where(c, a.d, b.d)};
  }
};

#if defined(__CUDACC__)
#pragma nv_diagnostic pop
#endif

// The scalar-like types on which the pointwise functions work beside tensors: numbers, packs, device scalars, duals.
template <class A>
inline constexpr bool is_field = std::is_floating_point_v<A>;
template <class T, int W>
inline constexpr bool is_field<cpu::Pack<T, W>> = true;
template <class A>
inline constexpr bool is_field<Dual<A>> = true;
#if defined(__CUDACC__) || defined(ERGO_EMULATED)
template <class T>
inline constexpr bool is_field<cuda::Scalar<T>> = std::is_floating_point_v<T>;
#endif
template <class A>
concept Field = is_field<A>;

template <Field A>
requires std::is_arithmetic_v<A>
constexpr A where(bool c, A a, A b) { return c ? a : b; }

namespace detail {
template <class F, class A, class... X>
constexpr Dual<A> evaluate(const Dual<A>& x, const X&... rest);
template <class F, class A, class... X>
ERGO_INLINE constexpr A evaluate(const A& x, const X&... rest) {
  return F::value(x, rest...);
}
template <class F, class A, class... X, std::size_t... I>
ERGO_INLINE constexpr Dual<A> evaluate_dual(std::index_sequence<I...>, const X&... x) {
  const A y = evaluate<F>(x.v...);
  return {y, ((partial_of<F, int(I), A>(y, x.v...) * x.d) + ...)};
}
template <class F, class A, class... X>
ERGO_INLINE constexpr Dual<A> evaluate(const Dual<A>& x, const X&... rest) {
  return evaluate_dual<F, A>(std::index_sequence_for<A, X...>{}, x, rest...);
}
}  // namespace detail

}  // namespace ergo::inline ERGO_BUILD
