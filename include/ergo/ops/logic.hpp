// Logic on bool tensors: logical_and, logical_or, logical_xor, logical_not.
#pragma once

#include "ergo/autograd/pointwise_call.hpp"

namespace ergo::inline ERGO_BUILD {
namespace detail {

struct Logic {
  static constexpr Uses uses = Uses::nothing;
  static constexpr Domain domain = Domain::bools;
};
struct LogicalAnd : Logic {
  static constexpr auto name = "logical_and";
  template <class A>
  static constexpr A value(const A& a, const A& b) {
    return a & b;
  }
};
struct LogicalOr : Logic {
  static constexpr auto name = "logical_or";
  template <class A>
  static constexpr A value(const A& a, const A& b) {
    return a | b;
  }
};
struct LogicalXor : Logic {
  static constexpr auto name = "logical_xor";
  template <class A>
  static constexpr A value(const A& a, const A& b) {
    return a ^ b;
  }
};
struct LogicalNot : Logic {
  static constexpr auto name = "logical_not";
  template <class A>
  static constexpr A value(const A& a) {
    return !a;
  }
};

}  // namespace detail

ERGO_BINARY(logical_and, detail::LogicalAnd, void)
ERGO_BINARY(logical_or, detail::LogicalOr, void)
ERGO_BINARY(logical_xor, detail::LogicalXor, void)
template <class T>
auto logical_not(const Tensor<T>& x) {
  return detail::pointwise_call<detail::LogicalNot, void>(x);
}

}  // namespace ergo::inline ERGO_BUILD
