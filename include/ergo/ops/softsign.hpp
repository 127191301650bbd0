// Activations that are rarely asked for: softsign selu mish. As those of activation.hpp: NaN in, NaN out; -infinity
// gives the limit.
#pragma once

#include "ergo/ops/activation.hpp"

namespace ergo::inline ERGO_BUILD {

namespace detail {
struct Softsign {
  static constexpr auto name = "softsign";
  static constexpr Uses uses = Uses::inputs;
  template <class A>
  static ERGO_INLINE constexpr A value(const A& given) {
    const A x = bounded(given);
    return x / (A(1) + math::abs(x));
  }
  template <int, class A>
  static ERGO_INLINE constexpr A partial(const A&, const A& given) {
    const A x = bounded(given), d = A(1) + where(x < A(0), -x, x);
    return A(1) / (d * d);
  }
  // From here on the quotient is 1 to the last bit.
  template <class A>
  static ERGO_INLINE constexpr A bounded(const A& x) {
    return where(x > A(1e17), A(1e17), where(x < A(-1e17), A(-1e17), x));
  }
};
struct Selu {  // slope scale at 0
  static constexpr auto name = "selu";
  static constexpr Uses uses = Uses::inputs;
  static constexpr double kScale = 1.0507009873554804934, kBelow = kScale * 1.6732632423543772848;
  template <class A>
  static ERGO_INLINE constexpr A value(const A& x) {
    return where(x < A(0), A(kBelow) * math::expm1(x), A(kScale) * x);
  }
  template <int, class A>
  static ERGO_INLINE constexpr A partial(const A&, const A& x) {
    return where(x < A(0), A(kBelow) * exp(where(x < A(0), x, A(0))), A(kScale));
  }
};
// x tanh(softplus(x)) = x n / (n + 2) with n = e^2x + 2 e^x, 1 to the last bit from x = 20 on.
struct Mish {
  static constexpr auto name = "mish";
  static constexpr Uses uses = Uses::inputs;
  template <class A>
  static ERGO_INLINE constexpr A value(const A& given) {
    const A x = above_floor(given), e = math::exp(where(x > A(20), A(20), x)), n = e * (e + A(2));
    return where(x > A(20), x, x * (n / (n + A(2))));
  }
  template <int, class A>
  static ERGO_INLINE constexpr A partial(const A&, const A& given) {
    const A x = where(given < A(-1e4), A(-1e4), where(given > A(1e4), A(1e4), given));
    const A w = tanh(softplus(x));
    return w + x * sigmoid(x) * (A(1) - w * w);
  }
};
}  // namespace detail
// x / (1 + |x|).
ERGO_UNARY(softsign, detail::Softsign)
// The self-normalizing unit of Klambauer et al., arXiv:1706.02515: scale x, or scale alpha (exp(x) - 1) below 0.
ERGO_UNARY(selu, detail::Selu)
// x tanh(softplus(x)).
ERGO_UNARY(mish, detail::Mish)

}  // namespace ergo::inline ERGO_BUILD
