// Exponentials, logarithms, powers: exp expm1 log log1p sqrt rsqrt square reciprocal pow log_add_exp, with C's special
// values.
#pragma once

#include "ergo/ops/selection.hpp"

namespace ergo::inline ERGO_BUILD {

namespace detail {
struct Exp {
  static constexpr auto name = "exp";
  static constexpr Uses uses = Uses::output;
  template <class A>
  static ERGO_INLINE constexpr A value(const A& x) {
    return math::exp(x);
  }
  template <int, class A>
  static constexpr Output partial(const A&, const A&) {
    return {};
  }
};
struct Expm1 {
  static constexpr auto name = "expm1";
  static constexpr Uses uses = Uses::output;
  template <class A>
  static ERGO_INLINE constexpr A value(const A& x) {
    return math::expm1(x);
  }
  template <int, class A>
  static ERGO_INLINE constexpr A partial(const A& y, const A&) {
    return y + A(1);
  }
};
struct Log {
  static constexpr auto name = "log";
  static constexpr Uses uses = Uses::inputs;
  template <class A>
  static ERGO_INLINE constexpr A value(const A& x) {
    return math::log(x);
  }
  template <int, class A>
  static ERGO_INLINE constexpr A partial(const A&, const A& x) {
    return A(1) / x;
  }
};
struct Log1p {
  static constexpr auto name = "log1p";
  static constexpr Uses uses = Uses::inputs;
  template <class A>
  static ERGO_INLINE constexpr A value(const A& x) {
    return math::log1p(x);
  }
  template <int, class A>
  static ERGO_INLINE constexpr A partial(const A&, const A& x) {
    return A(1) / (A(1) + x);
  }
};
struct Sqrt {  // infinite slope at 0
  using light = void;
  static constexpr auto name = "sqrt";
  static constexpr Uses uses = Uses::output;
  template <class A>
  static ERGO_INLINE constexpr A value(const A& x) {
    return math::sqrt(x);
  }
  template <int, class A>
  static ERGO_INLINE constexpr A partial(const A& y, const A&) {
    return A(0.5) / y;
  }
};
struct Rsqrt {
  static constexpr auto name = "rsqrt";
  static constexpr Uses uses = Uses::output;
  template <class A>
  static ERGO_INLINE constexpr A value(const A& x) {
    return math::rsqrt(x);
  }
  template <int, class A>
  static ERGO_INLINE constexpr A partial(const A& y, const A&) {
    return A(-0.5) * (y * y * y);
  }
};
struct Square {
  using light = void;
  static constexpr auto name = "square";
  static constexpr Uses uses = Uses::inputs;
  static constexpr Domain domain = Domain::numbers;
  template <class A>
  static ERGO_INLINE constexpr A value(const A& x) {
    return x * x;
  }
  template <int, class A>
  static ERGO_INLINE constexpr A partial(const A&, const A& x) {
    return A(2) * x;
  }
};
struct Reciprocal {
  using light = void;
  static constexpr auto name = "reciprocal";
  static constexpr Uses uses = Uses::output;
  template <class A>
  static ERGO_INLINE constexpr A value(const A& x) {
    return A(1) / x;
  }
  template <int, class A>
  static ERGO_INLINE constexpr A partial(const A& y, const A&) {
    return -(y * y);
  }
};
}  // namespace detail

ERGO_UNARY(exp, detail::Exp)
ERGO_UNARY(expm1, detail::Expm1)
ERGO_UNARY(log, detail::Log)
ERGO_UNARY(log1p, detail::Log1p)
ERGO_UNARY(sqrt, detail::Sqrt)
ERGO_UNARY(rsqrt, detail::Rsqrt)
ERGO_UNARY(square, detail::Square)
ERGO_UNARY(reciprocal, detail::Reciprocal)

namespace detail {
// d/dx = y x^(y-1), 0 where y = 0. d/dy = x^y log x, 0 where x = 0 and y >= 0, NaN where x < 0. The exponent and the
// input of log are chosen first, so that no order meets 0 times infinity.
struct Pow {
  static constexpr auto name = "pow";
  template <class A>
  static ERGO_INLINE constexpr A value(const A& x, const A& y) {
    return math::pow(x, y);
  }
  template <int I, class A>
  static ERGO_INLINE constexpr A partial(const A& z, const A& x, const A& y);
};
}  // namespace detail
// x to the power y; a negative x needs an integral y, else NaN.
ERGO_BINARY(pow, detail::Pow, void)
template <Field A>
ERGO_INLINE constexpr A pow(const A& x, const A& y) {
  return detail::evaluate<detail::Pow>(x, y);
}
namespace detail {
template <int I, class A>
constexpr A Pow::partial(const A& z, const A& x, const A& y) {
  if constexpr (I == 0) {
    // 0 where y = 0, but its own derivative in y is 1 / x there: only where 1 / x is infinite or NaN is the 0 constant.
    const A usable = where(x == x, where(x == A(0), A(1), x), A(1));
    const A slope = y * pow(where(y == A(0), usable, x), y - A(1));
    return where(y == A(0), where(x == x, where(x == A(0), A(0), slope), A(0)), slope);
  } else {
    const A base = where(x == A(0), where(y >= A(0), A(1), x), x);
    return where(x == A(0), where(y >= A(0), A(0), z * log(base)), z * log(base));
  }
}

// exp(x) / (1 + exp(x)), with derivatives that keep their tails on both sides, of every order.
struct Logistic {
  static constexpr auto name = "sigmoid";
  static constexpr Uses uses = Uses::inputs;
  template <class A>
  static ERGO_INLINE constexpr A value(const A& x) {
    const A e = math::exp(-math::abs(x));
    return where(x < A(0), e, A(1)) / (A(1) + e);
  }
  template <int, class A>
  static ERGO_INLINE constexpr A partial(const A&, const A& x) {
    return of(x) * of(-x);
  }
  template <class A>
  static ERGO_INLINE constexpr A of(const A& x) {
    if constexpr (is_tensor<A>)
      return pointwise_op(Logistic{}, x);
    else
      return evaluate<Logistic>(x);
  }
};

// log(exp(a) + exp(b)) by the larger and the difference; equal infinities give that infinity.
struct LogAddExp {
  static constexpr auto name = "log_add_exp";
  static constexpr Uses uses = Uses::inputs;
  template <class A>
  static ERGO_INLINE constexpr A value(const A& a, const A& b) {
    const A largest = Maximum::value(a, b), below = -math::abs(a - b);
    return where(a == b, a + A(0.693147180559945309417232121458), largest + math::log1p(math::exp(below)));
  }
  template <int I, class A>
  static ERGO_INLINE constexpr A partial(const A&, const A& a, const A& b) {
    const A given = I == 0 ? a - b : b - a;
    const A ahead = where(given != given, A(0), given);  // equal infinities share
    return Logistic::of(ahead);
  }
};
}  // namespace detail
ERGO_BINARY(log_add_exp, detail::LogAddExp, void)
template <Field A>
ERGO_INLINE constexpr A log_add_exp(const A& a, const A& b) {
  return detail::evaluate<detail::LogAddExp>(a, b);
}

}  // namespace ergo::inline ERGO_BUILD
