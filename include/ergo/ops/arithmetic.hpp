// Arithmetic: + - * /, unary -, abs, sign, square, reciprocal, maximum, minimum, clip. NumPy broadcasting, one dtype a
// call, numbers beside tensors; integers wrap. NaN in, NaN out.
#pragma once

#include "ergo/autograd/pointwise_call.hpp"

namespace ergo::inline ERGO_BUILD {
namespace detail {

struct Subtract {
  using light = void;
  static constexpr auto name = "subtract";
  static constexpr Uses uses = Uses::nothing;
  static constexpr Domain domain = Domain::numbers;
  template <class A>
  static constexpr A value(const A& a, const A& b) {
    return a - b;
  }
  template <int I, class A>
  static constexpr Constant<I == 0 ? 1 : -1> partial(const A&, const A&, const A&) {
    return {};
  }
};
struct Divide {
  using light = void;
  static constexpr auto name = "divide";
  template <class A>
  static constexpr A value(const A& a, const A& b) {
    return a / b;
  }
  template <int I, class A>
  static constexpr A partial(const A& y, const A&, const A& b) {
    if constexpr (I == 0)
      return A(1) / b;
    else
      return -(y / b);
  }
};

}  // namespace detail

ERGO_BINARY(operator+, detail::Add, void)
ERGO_BINARY(operator-, detail::Subtract, void)
ERGO_BINARY(operator*, detail::Multiply, void)
ERGO_BINARY(operator/, detail::Divide, void)

template <class T>
auto operator-(const Tensor<T>& x) {
  return detail::pointwise_call<detail::Negate, void>(x);
}
template <class T>
auto operator-(Tensor<T>&& x) {
  return detail::pointwise_call<detail::Negate, void>(std::move(x));
}

// x = x + y and so on; no other handle sees the change.
template <class T, class B>
requires detail::OperandLike<B> Tensor<T>
&operator+=(Tensor<T>& x, const B& y) { return x = std::move(x) + y; }
template <class T, class B>
requires detail::OperandLike<B> Tensor<T>
&operator-=(Tensor<T>& x, const B& y) { return x = std::move(x) - y; }
template <class T, class B>
requires detail::OperandLike<B> Tensor<T>
&operator*=(Tensor<T>& x, const B& y) { return x = std::move(x) * y; }
template <class T, class B>
requires detail::OperandLike<B> Tensor<T>
&operator/=(Tensor<T>& x, const B& y) { return x = std::move(x) / y; }

}  // namespace ergo::inline ERGO_BUILD
