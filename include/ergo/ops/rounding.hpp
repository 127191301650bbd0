// floor, ceil, trunc, round (half to even): piecewise constant, so their derivatives are 0 of every order.
#pragma once

#include "ergo/autograd/pointwise_call.hpp"

namespace ergo::inline ERGO_BUILD {
namespace detail {

struct PiecewiseConstant {
  static constexpr Uses uses = Uses::nothing;
  template <int, class A>
  static constexpr Constant<0> partial(const A&, const A&) {
    return {};
  }
};
struct Floor : PiecewiseConstant {
  using light = void;
  static constexpr auto name = "floor";
  template <class A>
  static constexpr A value(const A& x) {
    return math::floor(x);
  }
};
struct Ceil : PiecewiseConstant {
  using light = void;
  static constexpr auto name = "ceil";
  template <class A>
  static constexpr A value(const A& x) {
    return math::ceil(x);
  }
};
struct Trunc : PiecewiseConstant {
  using light = void;
  static constexpr auto name = "trunc";
  template <class A>
  static constexpr A value(const A& x) {
    return math::trunc(x);
  }
};
struct Round : PiecewiseConstant {
  using light = void;
  static constexpr auto name = "round";
  template <class A>
  static constexpr A value(const A& x) {
    return math::round(x);
  }
};

}  // namespace detail

ERGO_UNARY(floor, detail::Floor)
ERGO_UNARY(ceil, detail::Ceil)
// Towards zero.
ERGO_UNARY(trunc, detail::Trunc)
ERGO_UNARY(round, detail::Round)

}  // namespace ergo::inline ERGO_BUILD
