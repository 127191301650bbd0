// Divisions that definitions need: 1 / s and x / s are 0 where s is 0, and so are their derivatives, of every order.
#pragma once

#include "ergo/autograd/pointwise_call.hpp"

namespace ergo::inline ERGO_BUILD::detail {

// F on tensors in rules, on packs in loops.
template <class F, class A, class... B>
constexpr A or_zero(const A& x, const B&... rest) {
  if constexpr (is_tensor<A>)
    return pointwise_op(F{}, x, rest...);
  else
    return F::value(x, rest...);
}

struct SafeReciprocal {
  static constexpr auto name = "reciprocal";
  static constexpr Uses uses = Uses::output;
  using rare = void;
  template <class A>
  static constexpr A value(const A& s) {
    return where(s == A(0), A(0), A(1) / s);
  }
  template <int, class A>
  static constexpr A partial(const A& y, const A&) {
    return -(y * y);
  }
};
struct SafeQuotient {
  static constexpr auto name = "divide";
  using rare = void;
  template <class A>
  static constexpr A value(const A& x, const A& s) {
    return where(s == A(0), A(0), x / s);
  }
  template <int I, class A>
  static constexpr A partial(const A& y, const A&, const A& s) {
    if constexpr (I == 0)
      return or_zero<SafeReciprocal>(s);
    else
      return -(y * or_zero<SafeReciprocal>(s));
  }
};
struct SafeRoot {  // sqrt s
  static constexpr auto name = "sqrt";
  static constexpr Uses uses = Uses::output;
  using rare = void;
  template <class A>
  static constexpr A value(const A& s) {
    return math::sqrt(s);
  }
  template <int, class A>
  static constexpr A partial(const A& y, const A&) {
    return A(0.5) * or_zero<SafeReciprocal>(y);
  }
};

}  // namespace ergo::inline ERGO_BUILD::detail
