// Inverse circular and hyperbolic functions: asin acos atan asinh acosh atanh atan2; and hypot. NaN outside the domain.
#pragma once

#include "ergo/ops/exponential.hpp"
#include "ergo/ops/selection.hpp"

namespace ergo::inline ERGO_BUILD {

namespace detail {
struct Asin {  // infinite slope at -1 and 1
  static constexpr auto name = "asin";
  static constexpr Uses uses = Uses::inputs;
  template <class A>
  static ERGO_INLINE constexpr A value(const A& x) {
    return math::asin(x);
  }
  template <int, class A>
  static ERGO_INLINE constexpr A partial(const A&, const A& x) {
    return rsqrt((A(1) - x) * (A(1) + x));
  }
};
struct Acos {
  static constexpr auto name = "acos";
  static constexpr Uses uses = Uses::inputs;
  template <class A>
  static ERGO_INLINE constexpr A value(const A& x) {
    return math::acos(x);
  }
  template <int, class A>
  static ERGO_INLINE constexpr A partial(const A&, const A& x) {
    return -rsqrt((A(1) - x) * (A(1) + x));
  }
};
struct Atan {
  static constexpr auto name = "atan";
  static constexpr Uses uses = Uses::inputs;
  template <class A>
  static ERGO_INLINE constexpr A value(const A& x) {
    return math::atan(x);
  }
  template <int, class A>
  static ERGO_INLINE constexpr A partial(const A&, const A& x) {
    return A(1) / (A(1) + x * x);
  }
};
struct Asinh {
  static constexpr auto name = "asinh";
  static constexpr Uses uses = Uses::inputs;
  template <class A>
  static ERGO_INLINE constexpr A value(const A& x) {
    return math::asinh(x);
  }
  template <int, class A>
  static ERGO_INLINE constexpr A partial(const A&, const A& x) {
    return rsqrt(A(1) + x * x);
  }
};
struct Acosh {  // infinite slope at 1
  static constexpr auto name = "acosh";
  static constexpr Uses uses = Uses::inputs;
  template <class A>
  static ERGO_INLINE constexpr A value(const A& x) {
    return math::acosh(x);
  }
  template <int, class A>
  static ERGO_INLINE constexpr A partial(const A&, const A& x) {
    return rsqrt(x - A(1)) * rsqrt(x + A(1));  // NaN below -1 too
  }
};
struct Atanh {
  static constexpr auto name = "atanh";
  static constexpr Uses uses = Uses::inputs;
  template <class A>
  static ERGO_INLINE constexpr A value(const A& x) {
    return math::atanh(x);
  }
  template <int, class A>
  static ERGO_INLINE constexpr A partial(const A&, const A& x) {
    return A(1) / ((A(1) - x) * (A(1) + x));
  }
};
}  // namespace detail

ERGO_UNARY(asin, detail::Asin)
ERGO_UNARY(acos, detail::Acos)
ERGO_UNARY(atan, detail::Atan)
ERGO_UNARY(asinh, detail::Asinh)
ERGO_UNARY(acosh, detail::Acosh)
ERGO_UNARY(atanh, detail::Atanh)

namespace detail {
// sqrt(a^2 + b^2) by the larger and the quotient, which neither overflows nor underflows. An infinity beside a NaN is
// infinite, as in C. Derivatives at the origin are 0 of every order.
struct Hypot {
  static constexpr auto name = "hypot";
  template <class A>
  static ERGO_INLINE constexpr A value(const A& a, const A& b) {
    const A p = math::abs(a), q = math::abs(b), most = where(p < q, q, p), least = where(p < q, p, q);
    const A infinity = A(__builtin_inf()), ratio = least / where(most == A(0), A(1), most);
    const A finite = where(most == infinity, most, most * math::sqrt(A(1) + ratio * ratio));
    return where(p == infinity, p, where(q == infinity, q, finite));
  }
  template <int I, class A>
  static ERGO_INLINE constexpr A partial(const A& y, const A& a, const A& b) {
    const A given = I == 0 ? a : b;
    return where(y == A(0), A(0), given / where(y == A(0), A(1), y));
  }
};
}  // namespace detail
// The length of (a, b).
ERGO_BINARY(hypot, detail::Hypot, void)
template <Field A>
ERGO_INLINE constexpr A hypot(const A& a, const A& b) {
  return detail::evaluate<detail::Hypot>(a, b);
}

namespace detail {
struct Atan2 {
  static constexpr auto name = "atan2";
  static constexpr Uses uses = Uses::inputs;
  template <class A>
  static ERGO_INLINE constexpr A value(const A& y, const A& x) {
    return math::atan2(y, x);
  }
  template <int I, class A>
  static ERGO_INLINE constexpr A partial(const A&, const A& y, const A& x) {
    const A r = hypot(y, x), length = where(r == A(0), A(1), r);  // r^2 could overflow
    const A slope = (I == 0 ? x : -y) / length / length;
    return where(r == A(0), A(0), slope);
  }
};
}  // namespace detail
// The angle of the point (x, y), from -pi to pi. Derivatives at the origin are 0 of every order.
ERGO_BINARY(atan2, detail::Atan2, void)
template <Field A>
ERGO_INLINE constexpr A atan2(const A& y, const A& x) {
  return detail::evaluate<detail::Atan2>(y, x);
}

}  // namespace ergo::inline ERGO_BUILD
