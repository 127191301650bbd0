// From a Pointwise struct to the public functions: tensors and numbers mixed as operands, dtypes checked where the user
// wrote the call, temporaries lending their memory. ERGO_UNARY(exp, Exp) and ERGO_BINARY(pow, Pow) define the
// functions on tensors and, for `map`, on numbers, packs and duals.
#pragma once

#include "ergo/autograd/dual.hpp"

namespace ergo::inline ERGO_BUILD {
namespace detail {

template <class F>
constexpr Domain domain_of() {
  if constexpr (requires { F::domain; })
    return F::domain;
  else
    return Domain::floating;
}
template <class F, class T>
inline constexpr bool in_domain = domain_of<F>() == Domain::all ||
                                  (domain_of<F>() == Domain::numbers && !std::is_same_v<T, bool>) ||
                                  (domain_of<F>() == Domain::bools && std::is_same_v<T, bool>) ||
                                  (domain_of<F>() == Domain::floating && Floating<T>);

template <class X>
using Bare = std::remove_cvref_t<X>;

// The scalar type of a call: of its tensors that are not conditions.
template <class X>
struct ScalarOf {
  using type = void;
};
template <class T>
struct ScalarOf<Tensor<T>> {
  using type = T;
};
template <class... X>
struct CommonScalar {
  using type = void;
};
template <class X, class... Rest>
struct CommonScalar<X, Rest...> {
  using Own = typename ScalarOf<X>::type;
  using type = std::conditional_t<std::is_void_v<Own>, typename CommonScalar<Rest...>::type, Own>;
};
template <class T, class X>
inline constexpr bool same_scalar =
    std::is_void_v<typename ScalarOf<X>::type> || std::is_same_v<typename ScalarOf<X>::type, T>;
template <class T, class X>
inline constexpr bool number_fits = is_tensor<X> || ScalarFor<T, X> || std::is_same_v<X, T>;

// The checks of a call with operands X...
template <class... X>
using ScalarOfCall = typename CommonScalar<Bare<X>...>::type;
template <class... X>
inline constexpr bool same_scalars = (same_scalar<ScalarOfCall<X...>, Bare<X>> && ...);
template <class... X>
inline constexpr bool numbers_fit = (number_fits<ScalarOfCall<X...>, Bare<X>> && ...);
template <class F, class... X>
inline constexpr bool call_fits = same_scalars<X...>&& in_domain<F, ScalarOfCall<X...>>&& numbers_fit<X...>;

template <class X>
concept OperandLike =
    is_tensor<Bare<X>> || Number<Bare<X>> || std::is_same_v<Bare<X>, bfloat16> || std::is_same_v<Bare<X>, half>;
template <class... X>
concept OperandsLike = (OperandLike<X> && ...) && (is_tensor<Bare<X>> || ...);

// An operand for the time of a call: a tensor where it is, or a number as a tensor of rank 0.
template <class T, class X>
class Operand {
 public:
  Operand(const char* op, const X& x) : tensor_(make(op, x)) {}
  Array* array() const { return &tensor_.array(); }
  template <class Given>
  bool dies() const {
    return false;
  }

 private:
  static Tensor<T> make(const char* op, const X& x) {
    Tensor<T> t = make_tensor<T>(Shape{});  // on the CPU, from where it goes with tensors of any device
    if constexpr (std::is_same_v<X, T>)
      *data_of<T>(t.array()) = x;
    else
      *data_of<T>(t.array()) = scalar_of<T>(op, x);
    return t;
  }
  Tensor<T> tensor_;
};
template <class T, class U>
class Operand<T, Tensor<U>> {
 public:
  Operand(const char*, const Tensor<U>& x) : array_(&x.array()) {}
  Array* array() const { return array_; }
  template <class Given>
  bool dies() const {
    return !std::is_lvalue_reference_v<Given> && !std::is_const_v<std::remove_reference_t<Given>> &&
           unique(array_->refs);
  }

 private:
  Array* array_;
};
template <class X>
void empty_if_moved(X&& x) {
  if constexpr (!std::is_lvalue_reference_v<X> && is_tensor<X>) x = {};
}

// Bit i: operand i may lend its memory.
template <class... X, std::size_t... I, class... O>
std::uint64_t dying_of(std::index_sequence<I...>, const O&... operand) {
  return ((std::uint64_t(operand.template dies<X>()) << I) | ...);
}
template <class F, class Out, class T, class... X>
Tensor<Out> run_pointwise(const Operand<T, Bare<X>>&... operand) {
  Array* in[] = {operand.array()...};
  return Tensor<Out>(dispatch1(Pointwise<F, Out, std::enable_if_t<(sizeof(X) != 0), T>...>::op, in,
                               dying_of<X...>(std::index_sequence_for<X...>{}, operand...)));
}

// F on operands of one scalar type T; Out = void: the result is a T.
template <class F, class Out, class... X>
auto pointwise_call(X&&... x) {
  using T = ScalarOfCall<X...>;
  using O = std::conditional_t<std::is_void_v<Out>, T, Out>;
  static_assert(same_scalars<X...>, "operands of different dtypes: cast<U>(x) one of them first");
  static_assert(in_domain<F, T>,
                "this operation is not defined for this dtype: cast<float>(x) first; bools combine by "
                "logical_and, logical_or, logical_xor, logical_not");
  static_assert(
      numbers_fit<X...>,
      "a number beside a tensor takes the tensor's dtype: no floating number beside integers, no number beside "
      "bools: cast<float>(x) first, or write an integer");
  if constexpr (call_fits<F, X...>) {
    Tensor<O> y = run_pointwise<F, O, T, X&&...>(Operand<T, Bare<X>>(F::name, x)...);
    (empty_if_moved(std::forward<X>(x)), ...);  // now that nothing can throw any more
    return y;
  } else {
    return Tensor<O>();
  }
}

}  // namespace detail

// The checks stand in the functions themselves: one instantiation deeper, and clang++ names the user's line only after
// ten others.
#define ERGO_UNARY(function, F)                                                                        \
  template <class T>                                                                                   \
  auto function(const Tensor<T>& x) {                                                                  \
    static_assert(detail::in_domain<F, T>,                                                             \
                  "this operation is not defined for this dtype: cast<float>(x) first; bools combine " \
                  "by logical_and, logical_or, logical_xor, logical_not");                             \
    if constexpr (detail::in_domain<F, T>)                                                             \
      return detail::pointwise_call<F, void>(x);                                                       \
    else                                                                                               \
      return Tensor<T>();                                                                              \
  }                                                                                                    \
  template <class T>                                                                                   \
  auto function(Tensor<T>&& x) {                                                                       \
    static_assert(detail::in_domain<F, T>,                                                             \
                  "this operation is not defined for this dtype: cast<float>(x) first; bools combine " \
                  "by logical_and, logical_or, logical_xor, logical_not");                             \
    if constexpr (detail::in_domain<F, T>)                                                             \
      return detail::pointwise_call<F, void>(std::move(x));                                            \
    else                                                                                               \
      return Tensor<T>();                                                                              \
  }                                                                                                    \
  template <Field A>                                                                                   \
  ERGO_INLINE constexpr A function(const A& x) {                                                       \
    return detail::evaluate<F>(x);                                                                     \
  }

#define ERGO_BINARY(function, F, Out)                                                                                 \
  template <class A, class B>                                                                                         \
  requires detail::OperandsLike<A, B>                                                                                 \
  auto function(A&& a, B&& b) {                                                                                       \
    using T = detail::ScalarOfCall<A, B>;                                                                             \
    static_assert(detail::same_scalars<A, B>, "operands of different dtypes: cast<U>(x) one of them first");          \
    static_assert(detail::in_domain<F, T>,                                                                            \
                  "this operation is not defined for this dtype: cast<float>(x) first; bools combine "                \
                  "by logical_and, logical_or, logical_xor, logical_not");                                            \
    static_assert(detail::numbers_fit<A, B>,                                                                          \
                  "a number beside a tensor takes the tensor's dtype: no floating number beside integers, no number " \
                  "beside bools: cast<float>(x) first, or write an integer");                                         \
    if constexpr (detail::call_fits<F, A, B>)                                                                         \
      return detail::pointwise_call<F, Out>(std::forward<A>(a), std::forward<B>(b));                                  \
    else                                                                                                              \
      return Tensor<T>();                                                                                             \
  }

}  // namespace ergo::inline ERGO_BUILD
