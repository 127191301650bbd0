// Comparisons: == != < <= > >= give Tensor<bool>, for every dtype. With a NaN they are false, != is true.
#pragma once

#include "ergo/autograd/pointwise_call.hpp"

namespace ergo::inline ERGO_BUILD {
namespace detail {

struct Comparison {
  static constexpr Uses uses = Uses::nothing;
  static constexpr Domain domain = Domain::all;
};
struct Equal : Comparison {
  static constexpr auto name = "equal";
  template <class A>
  static constexpr auto value(const A& a, const A& b) {
    return a == b;
  }
};
struct NotEqual : Comparison {
  static constexpr auto name = "not_equal";
  template <class A>
  static constexpr auto value(const A& a, const A& b) {
    return a != b;
  }
};
struct Less : Comparison {
  using light = void;
  static constexpr auto name = "less";
  template <class A>
  static constexpr auto value(const A& a, const A& b) {
    return a < b;
  }
};
struct LessEqual : Comparison {
  static constexpr auto name = "less_equal";
  template <class A>
  static constexpr auto value(const A& a, const A& b) {
    return a <= b;
  }
};
struct Greater : Comparison {
  using light = void;
  static constexpr auto name = "greater";
  template <class A>
  static constexpr auto value(const A& a, const A& b) {
    return a > b;
  }
};
struct GreaterEqual : Comparison {
  static constexpr auto name = "greater_equal";
  template <class A>
  static constexpr auto value(const A& a, const A& b) {
    return a >= b;
  }
};

}  // namespace detail

ERGO_BINARY(operator==, detail::Equal, bool)
ERGO_BINARY(operator!=, detail::NotEqual, bool)
ERGO_BINARY(operator<, detail::Less, bool)
ERGO_BINARY(operator<=, detail::LessEqual, bool)
ERGO_BINARY(operator>, detail::Greater, bool)
ERGO_BINARY(operator>=, detail::GreaterEqual, bool)

}  // namespace ergo::inline ERGO_BUILD
