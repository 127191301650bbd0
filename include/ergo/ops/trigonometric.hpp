// Circular and hyperbolic functions: sin cos tan sinh cosh tanh.
#pragma once

#include "ergo/ops/arithmetic.hpp"

namespace ergo::inline ERGO_BUILD {

namespace detail {
struct Sin {
  static constexpr auto name = "sin";
  static constexpr Uses uses = Uses::inputs;
  template <class A>
  static ERGO_INLINE constexpr A value(const A& x) {
    return math::sin(x);
  }
  template <int, class A>
  static ERGO_INLINE constexpr A partial(const A&, const A& x);
};
struct Cos {
  static constexpr auto name = "cos";
  static constexpr Uses uses = Uses::inputs;
  template <class A>
  static ERGO_INLINE constexpr A value(const A& x) {
    return math::cos(x);
  }
  template <int, class A>
  static ERGO_INLINE constexpr A partial(const A&, const A& x);
};
struct Tan {
  static constexpr auto name = "tan";
  static constexpr Uses uses = Uses::output;
  template <class A>
  static ERGO_INLINE constexpr A value(const A& x) {
    return math::tan(x);
  }
  template <int, class A>
  static ERGO_INLINE constexpr A partial(const A& y, const A&) {
    return A(1) + y * y;
  }
};
struct Sinh {
  static constexpr auto name = "sinh";
  static constexpr Uses uses = Uses::inputs;
  template <class A>
  static ERGO_INLINE constexpr A value(const A& x) {
    return math::sinh(x);
  }
  template <int, class A>
  static ERGO_INLINE constexpr A partial(const A&, const A& x);
};
struct Cosh {
  static constexpr auto name = "cosh";
  static constexpr Uses uses = Uses::inputs;
  template <class A>
  static ERGO_INLINE constexpr A value(const A& x) {
    return math::cosh(x);
  }
  template <int, class A>
  static ERGO_INLINE constexpr A partial(const A&, const A& x);
};
struct Tanh {
  static constexpr auto name = "tanh";
  static constexpr Uses uses = Uses::output;
  template <class A>
  static ERGO_INLINE constexpr A value(const A& x) {
    return math::tanh(x);
  }
  template <int, class A>
  static ERGO_INLINE constexpr A partial(const A& y, const A&) {
    return A(1) - y * y;
  }
};
}  // namespace detail

ERGO_UNARY(sin, detail::Sin)
ERGO_UNARY(cos, detail::Cos)
ERGO_UNARY(tan, detail::Tan)
ERGO_UNARY(sinh, detail::Sinh)
ERGO_UNARY(cosh, detail::Cosh)
ERGO_UNARY(tanh, detail::Tanh)

namespace detail {
template <int, class A>
constexpr A Sin::partial(const A&, const A& x) {
  return cos(x);
}
template <int, class A>
constexpr A Cos::partial(const A&, const A& x) {
  return -sin(x);
}
template <int, class A>
constexpr A Sinh::partial(const A&, const A& x) {
  return cosh(x);
}
template <int, class A>
constexpr A Cosh::partial(const A&, const A& x) {
  return sinh(x);
}
}  // namespace detail

}  // namespace ergo::inline ERGO_BUILD
