// Choosing and bounding: where, maximum, minimum, clip, lerp, abs, sign. NaN is passed on; at ties maximum and minimum
// share their derivative, clip has 1 at its bounds.
#pragma once

#include "ergo/ops/arithmetic.hpp"
#include "ergo/ops/comparison.hpp"

namespace ergo::inline ERGO_BUILD {

namespace detail {
struct Where {
  using light = void;
  static constexpr auto name = "where";
  static constexpr Uses uses = Uses::inputs;
  template <class C, class A>
  static constexpr A value(const C& c, const A& a, const A& b) {
    return where(c, a, b);
  }
  template <int I, class C, class A>
  static constexpr A partial(const A&, const C& c, const A&, const A&) {
    return where(c, A(I == 1 ? 1 : 0), A(I == 2 ? 1 : 0));
  }
};
}  // namespace detail

// a where c, else b; numbers may stand for a or b. Both branches are evaluated and a cotangent reaches one only; a NaN
// that the other branch's rule makes of a zero cotangent stays: choose the input first, f(where(c, x, 1)).
template <class A, class B>
requires detail::OperandsLike<A, B>
auto where(const Tensor<bool>& c, const A& a, const B& b) {
  using T = typename detail::CommonScalar<A, B>::type;
  constexpr bool same = detail::same_scalar<T, A> && detail::same_scalar<T, B>;
  constexpr bool fits = detail::number_fits<T, A> && detail::number_fits<T, B>;
  static_assert(same, "where(c, a, b): a and b have different dtypes: cast<U>(x) one of them first");
  static_assert(fits, "where(c, a, b): a number takes the tensor's dtype: cast<float>(x) first, or write an integer");
  if constexpr (same && fits) {
    const detail::Operand<T, A> left("where", a);
    const detail::Operand<T, B> right("where", b);
    detail::Array* in[] = {&c.array(), left.array(), right.array()};
    return Tensor<T>(detail::dispatch1(detail::Pointwise<detail::Where, T, bool, T, T>::op, in));
  } else {
    return Tensor<T>();
  }
}

namespace detail {
struct Maximum {
  using light = void;
  static constexpr auto name = "maximum";
  static constexpr Uses uses = Uses::inputs;
  static constexpr Domain domain = Domain::numbers;
  template <class A>
  static constexpr A value(const A& a, const A& b) {
    return where(a < b, b, where(b != b, b, a));
  }
  template <int I, class A>
  static constexpr A partial(const A&, const A& a, const A& b) {
    if constexpr (I == 0)
      return where(a > b, A(1), where(a == b, A(0.5), A(0)));
    else
      return where(b > a, A(1), where(a == b, A(0.5), A(0)));
  }
};
struct Minimum {
  using light = void;
  static constexpr auto name = "minimum";
  static constexpr Uses uses = Uses::inputs;
  static constexpr Domain domain = Domain::numbers;
  template <class A>
  static constexpr A value(const A& a, const A& b) {
    return where(b < a, b, where(b != b, b, a));
  }
  template <int I, class A>
  static constexpr A partial(const A&, const A& a, const A& b) {
    if constexpr (I == 0)
      return where(a < b, A(1), where(a == b, A(0.5), A(0)));
    else
      return where(b < a, A(1), where(a == b, A(0.5), A(0)));
  }
};
struct Clip {
  using light = void;
  static constexpr auto name = "clip";
  static constexpr Uses uses = Uses::inputs;
  static constexpr Domain domain = Domain::numbers;
  template <class A>
  static constexpr A value(const A& x, const A& lo, const A& hi) {
    return Minimum::value(Maximum::value(x, lo), hi);
  }
  template <int I, class A>
  static constexpr A partial(const A&, const A& x, const A& lo, const A& hi) {
    if constexpr (I == 0)
      return where(x < lo, A(0), where(x > hi, A(0), A(1)));
    else if constexpr (I == 1)
      return where(x < lo, where(lo > hi, A(0), A(1)), A(0));
    else
      return where(x > hi, A(1), where(lo > hi, A(1), A(0)));
  }
};
template <class A, class B>
void check_bounds(const A& lo, const B& hi) {
  if constexpr (Number<A> && Number<B>)
    if (!(double(lo) <= double(hi)))
      throw_error({"[clip] bounds ", lo, " and ", hi, ": the first must not exceed the second"});
  if constexpr (Number<A>)
    if (lo != lo) throw_error("[clip] the lower bound is NaN");
  if constexpr (Number<B>)
    if (hi != hi) throw_error("[clip] the upper bound is NaN");
}
}  // namespace detail

// The larger, the smaller; NaN if either is.
ERGO_BINARY(maximum, detail::Maximum, void)
ERGO_BINARY(minimum, detail::Minimum, void)
template <Field A>
ERGO_INLINE constexpr A maximum(const A& a, const A& b) {
  return detail::evaluate<detail::Maximum>(a, b);
}
template <Field A>
ERGO_INLINE constexpr A minimum(const A& a, const A& b) {
  return detail::evaluate<detail::Minimum>(a, b);
}
// x limited to [lo, hi], numbers or tensors; numbers out of order are an Error, of tensors hi wins.
template <class X, class A, class B>
requires detail::OperandsLike<X, A, B>
auto clip(X&& x, const A& lo, const B& hi) {
  detail::check_bounds(lo, hi);
  return detail::pointwise_call<detail::Clip, void>(std::forward<X>(x), lo, hi);
}
template <Field A>
ERGO_INLINE constexpr A clip(const A& x, const A& lo, const A& hi) {
  return detail::evaluate<detail::Clip>(x, lo, hi);
}

namespace detail {
struct Sign {  // of 0: 0
  static constexpr auto name = "sign";
  static constexpr Uses uses = Uses::nothing;
  static constexpr Domain domain = Domain::numbers;
  template <class A>
  static constexpr A value(const A& x) {
    return where(x > A(0), A(1), where(x < A(0), A(-1), where(x == x, A(0), x)));
  }
  template <int, class A>
  static constexpr Constant<0> partial(const A&, const A&) {
    return {};
  }
};
struct Abs {
  using light = void;
  static constexpr auto name = "abs";
  static constexpr Uses uses = Uses::inputs;
  static constexpr Domain domain = Domain::numbers;
  template <class A>
  static constexpr A value(const A& x) {
    return math::abs(x);
  }
  template <int, class A>
  static constexpr A partial(const A&, const A& x);
};
}  // namespace detail
ERGO_UNARY(sign, detail::Sign)
ERGO_UNARY(abs, detail::Abs)
namespace detail {
template <int, class A>
constexpr A Abs::partial(const A&, const A& x) {
  return sign(x);
}
}  // namespace detail

namespace detail {
struct Lerp {
  static constexpr auto name = "lerp";
  static constexpr Uses uses = Uses::inputs;
  template <class A>
  static constexpr A value(const A& a, const A& b, const A& t) {
    return a + t * (b - a);
  }
  template <int I, class A>
  static constexpr A partial(const A&, const A& a, const A& b, const A& t) {
    if constexpr (I == 0)
      return A(1) - t;
    else if constexpr (I == 1)
      return t;
    else
      return b - a;
  }
};
}  // namespace detail
// a + t (b - a), tensors or numbers; t may lie outside of [0, 1].
template <class A, class B, class C>
requires detail::OperandsLike<A, B, C>
auto lerp(A&& a, const B& b, const C& t) {
  return detail::pointwise_call<detail::Lerp, void>(std::forward<A>(a), b, t);
}
template <Field A>
ERGO_INLINE constexpr A lerp(const A& a, const A& b, const A& t) {
  return detail::evaluate<detail::Lerp>(a, b, t);
}

}  // namespace ergo::inline ERGO_BUILD
