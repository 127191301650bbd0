// Logarithms and roots beside exponential.hpp's: exp2 log2 log10 cbrt log1mexp logit xlogy xlog1py.
#pragma once

#include "ergo/ops/exponential.hpp"

namespace ergo::inline ERGO_BUILD {

namespace detail {
inline constexpr double kLn2 = 0.69314718055994530942;

struct Exp2 {
  static constexpr auto name = "exp2";
  static constexpr Uses uses = Uses::output;
  template <class A>
  static ERGO_INLINE constexpr A value(const A& x) {
    return math::exp2(x);
  }
  template <int, class A>
  static ERGO_INLINE constexpr A partial(const A& y, const A&) {
    return A(kLn2) * y;
  }
};
struct Log2 {
  static constexpr auto name = "log2";
  static constexpr Uses uses = Uses::inputs;
  template <class A>
  static ERGO_INLINE constexpr A value(const A& x) {
    return math::log2(x);
  }
  template <int, class A>
  static ERGO_INLINE constexpr A partial(const A&, const A& x) {
    return A(1 / kLn2) / x;
  }
};
struct Log10 {
  static constexpr auto name = "log10";
  static constexpr Uses uses = Uses::inputs;
  template <class A>
  static ERGO_INLINE constexpr A value(const A& x) {
    return math::log10(x);
  }
  template <int, class A>
  static ERGO_INLINE constexpr A partial(const A&, const A& x) {
    return A(0.43429448190325182765) / x;
  }
};
struct Cbrt {  // infinite slope at 0
  static constexpr auto name = "cbrt";
  static constexpr Uses uses = Uses::output;
  template <class A>
  static ERGO_INLINE constexpr A value(const A& x) {
    return math::cbrt(x);
  }
  template <int, class A>
  static ERGO_INLINE constexpr A partial(const A& y, const A&) {
    return A(1) / (A(3) * (y * y));
  }
};
struct Log1mexp {
  static constexpr auto name = "log1mexp";
  static constexpr Uses uses = Uses::inputs;
  template <class A>
  static ERGO_INLINE constexpr A value(const A& x) {
    // Each formula where the other cancels (Maechler, Accurately computing log(1 - exp(-|a|)), 2012).
    return where(x > A(-kLn2), math::log(-math::expm1(x)), math::log1p(-math::exp(x)));
  }
  template <int, class A>
  static ERGO_INLINE constexpr A partial(const A&, const A& x) {
    return A(-1) / expm1(-x);
  }
};
struct Logit {
  static constexpr auto name = "logit";
  static constexpr Uses uses = Uses::inputs;
  // log(1 + (1 - 2 m) / m) with m the nearer of x and 1 - x, both exact where they matter. Below 2^-124 the quotient
  // would overflow, and the logarithm of 2^-64 of it is taken.
  template <class A>
  static ERGO_INLINE constexpr A value(const A& x) {
    const A one = A(1), half = A(0.5);
    const auto upper = x >= half;
    const A m = where(upper, one - x, x + A(0)), n = where(upper, (x - half) + (x - half), one - (x + x));
    const auto tiny = where(m > A(0), m, one) < A(0x1p-124);
    const A y = math::log1p(where(tiny, n * A(0x1p-64), n) / m) + where(tiny, A(64 * kLn2), A(0));
    return where(upper, y, where(m == A(0), -A(__builtin_inf()), -y));
  }
  template <int, class A>
  static ERGO_INLINE constexpr A partial(const A&, const A& x) {
    return A(1) / (x * (A(1) - x));
  }
};
}  // namespace detail

// 2 to the power x.
ERGO_UNARY(exp2, detail::Exp2)
ERGO_UNARY(log2, detail::Log2)
ERGO_UNARY(log10, detail::Log10)
// The cube root, of negative numbers too.
ERGO_UNARY(cbrt, detail::Cbrt)
// log(1 - exp(x)) for x <= 0, NaN above.
ERGO_UNARY(log1mexp, detail::Log1mexp)
// log(x / (1 - x)) for x from 0 to 1, NaN outside.
ERGO_UNARY(logit, detail::Logit)

namespace detail {
// Where x is 0 the logarithm is not read, unless y is NaN; in x the slope is the logarithm, 0 where y is 0 as well.
struct Xlogy {
  static constexpr auto name = "xlogy";
  static constexpr Uses uses = Uses::inputs;
  template <class A>
  static ERGO_INLINE constexpr A value(const A& x, const A& y) {
    return where(x == A(0), where(y == y, A(0), y), x * math::log(y));
  }
  template <int I, class A>
  static ERGO_INLINE constexpr A partial(const A&, const A& x, const A& y) {
    if constexpr (I == 0)
      return log(where(x == A(0), where(y == A(0), A(1), y), y));
    else
      return x / where(x == A(0), where(y == y, A(1), y), y);
  }
};
struct Xlog1py {
  static constexpr auto name = "xlog1py";
  static constexpr Uses uses = Uses::inputs;
  template <class A>
  static ERGO_INLINE constexpr A value(const A& x, const A& y) {
    return where(x == A(0), where(y == y, A(0), y), x * math::log1p(y));
  }
  template <int I, class A>
  static ERGO_INLINE constexpr A partial(const A&, const A& x, const A& y) {
    if constexpr (I == 0)
      return log1p(where(x == A(0), where(y == A(-1), A(0), y), y));
    else
      return x / (A(1) + where(x == A(0), where(y == y, A(0), y), y));
  }
};
}  // namespace detail
// x log(y), 0 where x is 0.
ERGO_BINARY(xlogy, detail::Xlogy, void)
template <Field A>
ERGO_INLINE constexpr A xlogy(const A& x, const A& y) {
  return detail::evaluate<detail::Xlogy>(x, y);
}
// x log(1 + y), 0 where x is 0.
ERGO_BINARY(xlog1py, detail::Xlog1py, void)
template <Field A>
ERGO_INLINE constexpr A xlog1py(const A& x, const A& y) {
  return detail::evaluate<detail::Xlog1py>(x, y);
}

}  // namespace ergo::inline ERGO_BUILD
