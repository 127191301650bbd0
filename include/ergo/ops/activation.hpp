// Activations: sigmoid log_sigmoid softplus relu leaky_relu elu gelu gelu_tanh silu, and erf, erfc, from which gelu is
// made. None overflows or loses its tail; NaN in, NaN out; -infinity gives the limit.
#pragma once

#include "ergo/ops/exponential.hpp"
#include "ergo/ops/trigonometric.hpp"

namespace ergo::inline ERGO_BUILD {

namespace detail {
// Below this every activation has reached its limit; products with -infinity are avoided.
template <class A>
constexpr A above_floor(const A& x) {
  return where(x < A(-1e4), A(-1e4), x);
}

struct Sigmoid {
  static constexpr auto name = "sigmoid";
  static constexpr Uses uses = Uses::output;
  template <class A>
  static ERGO_INLINE constexpr A value(const A& x) {
    return Logistic::value(x);
  }
  template <int, class A>
  static ERGO_INLINE constexpr A partial(const A& y, const A&) {
    return y * (A(1) - y);
  }
};
}  // namespace detail
// 1 / (1 + exp(-x)).
ERGO_UNARY(sigmoid, detail::Sigmoid)

namespace detail {
struct LogSigmoid {
  static constexpr auto name = "log_sigmoid";
  static constexpr Uses uses = Uses::inputs;
  template <class A>
  static ERGO_INLINE constexpr A value(const A& x) {
    return Minimum::value(x, A(0)) - math::log1p(math::exp(-math::abs(x)));
  }
  template <int, class A>
  static ERGO_INLINE constexpr A partial(const A&, const A& x) {
    return sigmoid(-x);
  }
};
struct Softplus {
  static constexpr auto name = "softplus";
  static constexpr Uses uses = Uses::inputs;
  template <class A>
  static ERGO_INLINE constexpr A value(const A& x) {
    return Maximum::value(x, A(0)) + math::log1p(math::exp(-math::abs(x)));
  }
  template <int, class A>
  static ERGO_INLINE constexpr A partial(const A&, const A& x) {
    return sigmoid(x);
  }
};
struct Relu {  // slope 0 at 0
  using light = void;
  static constexpr auto name = "relu";
  static constexpr Uses uses = Uses::output;
  template <class A>
  static ERGO_INLINE constexpr A value(const A& x) {
    return where(x < A(0), A(0), x);
  }
  template <int, class A>
  static ERGO_INLINE constexpr A partial(const A& y, const A&) {
    return where(y > A(0), A(1), A(0));
  }
};
struct LeakyRelu {
  static constexpr auto name = "leaky_relu";
  static constexpr Uses uses = Uses::inputs;
  template <class A>
  static ERGO_INLINE constexpr A value(const A& x, const A& slope) {
    return where(x < A(0), slope * x, x);
  }
  template <int I, class A>
  static ERGO_INLINE constexpr A partial(const A&, const A& x, const A& slope) {
    if constexpr (I == 0)
      return where(x > A(0), A(1), slope);
    else
      return where(x < A(0), x, A(0));
  }
};
struct Elu {  // slope 1 at 0
  static constexpr auto name = "elu";
  static constexpr Uses uses = Uses::inputs;
  template <class A>
  static ERGO_INLINE constexpr A value(const A& x, const A& alpha) {
    return where(x < A(0), alpha * math::expm1(x), x);
  }
  template <int I, class A>
  static ERGO_INLINE constexpr A partial(const A&, const A& x, const A& alpha) {
    const A below = where(x < A(0), x, A(0));  // exp of a large x would be an infinity times 0 at second order
    if constexpr (I == 0)
      return where(x < A(0), alpha * exp(below), A(1));
    else
      return expm1(below);
  }
};

struct Erf {
  static constexpr auto name = "erf";
  static constexpr Uses uses = Uses::inputs;
  template <class A>
  static ERGO_INLINE constexpr A value(const A& x) {
    return math::erf(x);
  }
  template <int, class A>
  static ERGO_INLINE constexpr A partial(const A&, const A& x) {
    return A(1.12837916709551257390) * exp(-(x * x));  // 2 / sqrt(pi)
  }
};
struct Erfc {
  static constexpr auto name = "erfc";
  static constexpr Uses uses = Uses::inputs;
  template <class A>
  static ERGO_INLINE constexpr A value(const A& x) {
    return math::erfc(x);
  }
  template <int, class A>
  static ERGO_INLINE constexpr A partial(const A&, const A& x) {
    return A(-1.12837916709551257390) * exp(-(x * x));
  }
};
}  // namespace detail
ERGO_UNARY(log_sigmoid, detail::LogSigmoid)
ERGO_UNARY(softplus, detail::Softplus)
ERGO_UNARY(relu, detail::Relu)
ERGO_UNARY(erf, detail::Erf)
ERGO_UNARY(erfc, detail::Erfc)

// x, or slope x below 0; the slope may be learned.
template <class X, class S = double>
requires detail::OperandsLike<X, S>
auto leaky_relu(X&& x, const S& slope = 0.01) {
  return detail::pointwise_call<detail::LeakyRelu, void>(std::forward<X>(x), slope);
}
// x, or alpha (exp(x) - 1) below 0.
template <class X, class S = int>
requires detail::OperandsLike<X, S>
auto elu(X&& x, const S& alpha = 1) { return detail::pointwise_call<detail::Elu, void>(std::forward<X>(x), alpha); }

namespace detail {
struct Gelu {
  static constexpr auto name = "gelu";
  static constexpr Uses uses = Uses::inputs;
  template <class A>
  static ERGO_INLINE constexpr A value(const A& given) {
    const A x = above_floor(given);
    return x * math::ndtr(x);
  }
  template <int, class A>
  static ERGO_INLINE constexpr A partial(const A&, const A& given) {
    const A x = above_floor(given), t = where(x > A(40), A(40), x);  // beyond, the density is 0: no infinity times it
    if constexpr (requires { math::normal_distribution(x); }) {
      const auto n = math::normal_distribution(t);
      return n.below + t * n.density;
    } else {
      const A below = A(0.5) * erfc(x * A(-0.70710678118654752440));
      return below + t * exp(A(-0.5) * (t * t)) * A(0.39894228040143267794);  // 1 / sqrt(2 pi)
    }
  }
};
struct GeluTanh {
  static constexpr auto name = "gelu_tanh";
  static constexpr Uses uses = Uses::inputs;
  static constexpr double kScale = 1.59576912160573071176, kCubic = 0.044715;  // 2 sqrt(2 / pi)
  template <class A>
  static ERGO_INLINE constexpr A value(const A& x) {
    return math::gelu_tanh(x);
  }
  template <int, class A>
  static ERGO_INLINE constexpr A partial(const A&, const A& given) {
    const A x = where(given < A(-1e4), A(-1e4), where(given > A(1e4), A(1e4), given));
    const A s = sigmoid(A(kScale) * x * (A(1) + A(kCubic) * (x * x)));
    return s + x * s * (A(1) - s) * (A(kScale) * (A(1) + A(3 * kCubic) * (x * x)));
  }
};
struct Silu {
  static constexpr auto name = "silu";
  static constexpr Uses uses = Uses::inputs;
  template <class A>
  static ERGO_INLINE constexpr A value(const A& x) {
    return math::silu(x);
  }
  template <int, class A>
  static ERGO_INLINE constexpr A partial(const A&, const A& given) {
    const A x = where(given < A(-1e4), A(-1e4), where(given > A(1e4), A(1e4), given));
    const A s = sigmoid(x);
    return s * (A(1) + x * (A(1) - s));
  }
};
}  // namespace detail
// x times the normal distribution function of x, exactly.
ERGO_UNARY(gelu, detail::Gelu)
// The tanh approximation of gelu.
ERGO_UNARY(gelu_tanh, detail::GeluTanh)
// x sigmoid(x).
ERGO_UNARY(silu, detail::Silu)

}  // namespace ergo::inline ERGO_BUILD
