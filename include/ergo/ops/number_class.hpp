// What kind of number: isnan isinf isfinite; and what touches signs and kinds alone: copysign, nan_to_num.
#pragma once

#include "ergo/ops/selection.hpp"

namespace ergo::inline ERGO_BUILD {
namespace detail {

struct NumberClass {
  static constexpr Uses uses = Uses::nothing;
};
struct IsNan : NumberClass {
  static constexpr auto name = "isnan";
  template <class A>
  static constexpr auto value(const A& x) {
    return x != x;
  }
};
struct IsInf : NumberClass {
  static constexpr auto name = "isinf";
  template <class A>
  static constexpr auto value(const A& x) {
    return math::abs(x) == A(__builtin_inf());
  }
};
struct IsFinite : NumberClass {
  static constexpr auto name = "isfinite";
  template <class A>
  static constexpr auto value(const A& x) {
    return math::abs(x) < A(__builtin_inf());
  }
};

// The magnitude of a with the sign of b, of zeros and NaNs too; slope 1 or -1 in a, 0 in b.
struct Copysign {
  static constexpr auto name = "copysign";
  static constexpr Uses uses = Uses::inputs;
  template <class A>
  static constexpr A value(const A& a, const A& b) {
    return math::copysign(a, b);
  }
  template <int I, class A>
  static constexpr auto partial(const A&, const A& a, const A& b) {
    if constexpr (I == 0)
      return of(A(1), a) * of(A(1), b);
    else
      return Constant<0>{};
  }
  template <class A>
  static constexpr A of(const A& a, const A& b) {
    if constexpr (is_tensor<A>)
      return pointwise_op(Copysign{}, a, b);
    else
      return evaluate<Copysign>(a, b);
  }
};

struct NanToNum {
  static constexpr auto name = "nan_to_num";
  static constexpr Uses uses = Uses::inputs;
  template <class A>
  static constexpr A value(const A& x, const A& nan, const A& most, const A& least) {
    const A infinity = A(__builtin_inf());
    return where(x == infinity, most, where(x == -infinity, least, where(x == x, x, nan)));
  }
  template <int I, class A>
  static constexpr A partial(const A&, const A& x, const A&, const A&, const A&) {
    const A infinity = A(__builtin_inf()), zero = A(0);
    const A here = I == 2 ? A(1) : zero, below = I == 3 ? A(1) : zero, nan = I == 1 ? A(1) : zero;
    return where(x == infinity, here, where(x == -infinity, below, where(x == x, I == 0 ? A(1) : zero, nan)));
  }
};

// The largest finite number of a dtype.
template <class T>
inline constexpr double kLargest = std::is_same_v<T, half>       ? 65504
                                   : std::is_same_v<T, bfloat16> ? 0x1.fep127
                                   : std::is_same_v<T, float>    ? 0x1.fffffep127
                                                                 : 0x1.fffffffffffffp1023;

}  // namespace detail

template <Floating T>
Tensor<bool> isnan(const Tensor<T>& x) {
  return detail::pointwise_call<detail::IsNan, bool>(x);
}
// Whether x is infinite, of either sign.
template <Floating T>
Tensor<bool> isinf(const Tensor<T>& x) {
  return detail::pointwise_call<detail::IsInf, bool>(x);
}
// Neither infinite nor NaN.
template <Floating T>
Tensor<bool> isfinite(const Tensor<T>& x) {
  return detail::pointwise_call<detail::IsFinite, bool>(x);
}

ERGO_BINARY(copysign, detail::Copysign, void)
template <Field A>
ERGO_INLINE constexpr A copysign(const A& a, const A& b) {
  return detail::evaluate<detail::Copysign>(a, b);
}
// What nan_to_num writes; an infinity stands for the largest finite number of the dtype.
struct NanToNumOptions {
  double nan = 0, posinf = __builtin_inf(), neginf = -__builtin_inf();
};
// x with numbers in place of NaN and the infinities; the slope is 1 at what stays, 0 elsewhere.
template <Floating T>
Tensor<T> nan_to_num(const Tensor<T>& x, const NanToNumOptions& options = {}) {
  const auto finite = [](double v) {
    const double most = detail::kLargest<T>;
    return v > most ? most : v < -most ? -most : v;
  };
  return detail::pointwise_call<detail::NanToNum, void>(x, finite(options.nan), finite(options.posinf),
                                                        finite(options.neginf));
}

}  // namespace ergo::inline ERGO_BUILD
