// Pointwise: the first of the four kinds of operation. A struct gives `value(x...)` and `partial<I>(y, x...)` over a
// scalar-like A (a pack in loops, a dual number in `map`, a Tensor in rules of any order); from it come the CPU loop,
// the fused first-order vjp, jvp, every order, and vmap.
//
//   struct Tanh {
//     static constexpr auto name = "tanh";
//     static constexpr Uses uses = Uses::output;                              // what `partial` reads; all by default
//     template <class A> static constexpr A value(const A& x) { return math::tanh(x); }
//     template <int, class A> static constexpr A partial(const A& y, const A&) { return A(1) - y * y; }
//   };
//
// Per operation and dtype only loops and the partials on Tensors are instantiated; everything else is compiled once.
// ERGO_INLINE before a long `value` makes sure that it is compiled inside the loop, for its instruction set: g++ leaves
// what is longer than some 70 of its insns outside, however it is called. `using light = void` unrolls the loop.
#pragma once

#include <tuple>

#include "ergo/autograd/trace.hpp"
#include "ergo/autograd/pointwise_kernels.hpp"
#include "ergo/core/tensor.hpp"

namespace ergo::inline ERGO_BUILD {

// Partial derivatives that cost neither a kernel nor compile time: a constant -1, 0 or 1; the result y; operand N
// itself.
template <int N>
struct Constant {
  template <class A>
  constexpr operator A() const {
    return A(N);
  }
};
struct Output {};
template <int N>
struct Argument {};

// What a pointwise operation is defined for: `static constexpr Domain domain` in its struct; floating by default.
enum class Domain { floating, numbers, all, bools };

namespace detail {

Ref<Array> sum_to(Ref<Array> g, const Shape& s);                        // autograd/structural.hpp
Ref<Array> cotangent_of(const char* op, Ref<Array> d, const Shape& s);  // the same of a rule's result, checked
Ref<Array> broadcast_to(Ref<Array> x, const Shape& s);
Ref<Array> negate(Ref<Array> x);

// A husk lends its shape, never its bytes: what was not kept is null.
inline Array* kept(Array* a) { return a && a->depth == 0 && !a->data && !a->buffer ? nullptr : a; }
template <class X>
X handle(Array* a) {
  return X(Ref<Array>::share(kept(a)));
}

// s * partial<I>(y, x...): the fused first-order rule, s the cotangent or the tangent. On Tensors: `define`.
struct PartialOp final : OpOf<PartialOp> {
  PointwiseKernels kernels;
  DType out;
  void (*define)(Args, Ref<Array>*);
  constexpr PartialOp(const char* s, int n, DType o, PointwiseKernels k, void (*d)(Args, Ref<Array>*))
      : OpOf(s, n), kernels(k), out(o), define(d) {
    has_vjp = has_jvp = false;
    on_cuda = true;
  }
  void value(Args x, Ref<Array>* y, std::uint64_t dying) const {
    run_pointwise(*this, x, n_in, out, kernels, nullptr, y, dying);
  }
  void definition(Args x, Ref<Array>* y) const { define(x, y); }
};

inline constexpr int kMaxPointwise = 4;

struct PointwiseOp final : OpOf<PointwiseOp> {
  struct Rule {
    const Op* op;  // null: the constant
    int constant;  // 0: not differentiated; kByOp: op says
    int operand;   // op is the product with this one of (s, y, x...); 0: the partial's own
    static constexpr int kByOp = 2;
  };
  PointwiseKernels kernels;
  DType out;
  Rule partial[kMaxPointwise];

  constexpr PointwiseOp(const char* s, int n, Uses u, DType o, PointwiseKernels k, std::initializer_list<Rule> rules)
      : OpOf(s, n), kernels(k), out(o), partial{} {
    uses = u;
    on_cuda = true;
    differentiable = false;
    int i = 0;
    for (const Rule& r : rules) {
      partial[i++] = r;
      if (r.constant) differentiable = true;  // not r.op: g++ -fsanitize=undefined holds no address constant
    }
  }
  void value(Args x, Ref<Array>* y, std::uint64_t dying) const {
    run_pointwise(*this, x, n_in, out, kernels, nullptr, y, dying);
  }
  void vjp(Args g, Args y, Args x, Wanted wanted, Ref<Array>* dx) const {
    int last = n_in;  // the last to use g may write over it
    while (last-- > 0)
      if (wanted[last]) break;
    for (int i = 0; i < n_in; ++i)
      if (wanted[i])
        if (Ref<Array> p = scaled(i, g[0], y[0], x, i == last)) dx[i] = sum_to(std::move(p), shape_of(x[i], *g[0]));
  }
  void jvp(Args t, Args y, Args x, Ref<Array>* ty) const {
    for (int i = 0; i < n_in; ++i) {
      if (!t[i]) continue;
      Ref<Array> p = scaled(i, t[i], y[0], x, false);
      if (p) ty[0] = ty[0] ? add(std::move(ty[0]), std::move(p)) : std::move(p);
    }
    if (ty[0]) ty[0] = broadcast_to(std::move(ty[0]), y[0]->shape);
  }

 private:
  Ref<Array> scaled(int i, Array* s, Array* y, Args x, bool s_may_die) const {
    const Rule& r = partial[i];
    if (!r.op)
      return r.constant == 0 ? Ref<Array>() : r.constant > 0 ? Ref<Array>::share(s) : negate(Ref<Array>::share(s));
    Array* in[2 + kMaxPointwise] = {s, y};
    for (int k = 0; k < n_in; ++k) in[2 + k] = kept(x[k]);
    if (r.operand) in[1] = in[r.operand];
    return dispatch1(*r.op, in, s_may_die && unique(s->refs));
  }
};

// The pack types that a functor meets for operands of type T...; four lanes serve to ask for result types.
template <class T, class... All>
using AskOperand = cpu::detail::OperandOf<T, typename cpu::detail::WidestOf<All...>::type, 4>;

template <class F>
constexpr Uses uses_of(Uses fallback) {
  if constexpr (requires { F::uses; })
    return F::uses;
  else
    return fallback;
}

template <class P>
inline constexpr int constant_of = 99;
template <int N>
inline constexpr int constant_of<Constant<N>> = N;
template <class P>
inline constexpr int operand_of = -1;  // of (s, y, x...)
template <>
inline constexpr int operand_of<Output> = 1;
template <int N>
inline constexpr int operand_of<Argument<N>> = 2 + N;

// F's partial with its short forms written out.
template <class F, int I, class A, class Y, class... X>
ERGO_INLINE constexpr A partial_of(const Y& y, const X&... x) {
  using P = decltype(F::template partial<I>(y, x...));
  if constexpr (operand_of<P> >= 0)
    return std::get<operand_of<P> - 1>(std::tuple<const Y&, const X&...>(y, x...));
  else
    return A(F::template partial<I>(y, x...));
}

struct Multiply {
  using light = void;
  static constexpr auto name = "multiply";
  static constexpr Uses uses = Uses::others;
  static constexpr Domain domain = Domain::numbers;
  template <class A>
  static constexpr A value(const A& a, const A& b) {
    return a * b;
  }
  template <int I, class A>
  static constexpr Argument<1 - I> partial(const A&, const A&, const A&) {
    return {};
  }
};
template <class T>
constexpr const Op* product_op();

// A struct that is `rare` hands that on to the loops of its partials.
template <class F>
struct RareIf {};
template <class F>
requires requires { typename F::rare; }
struct RareIf<F> {
  using rare = void;
};
template <class F, int I, class Out, class... In>
struct PartialOf {
  struct Body : RareIf<F> {
    template <class S, class Y, class... X>
    static ERGO_INLINE constexpr S value(const S& s, const Y& y, const X&... x) {
      return s * S(F::template partial<I>(y, x...));
    }
  };
  static void define(Args x, Ref<Array>* y) { define(x, y, std::index_sequence_for<In...>{}); }
  template <std::size_t... K>
  [[gnu::cold]] static void define(Args x, Ref<Array>* y, std::index_sequence<K...>) {
    const auto p = partial_of<F, I, Tensor<Out>>(handle<Tensor<Out>>(x[1]), handle<Tensor<In>>(x[2 + K])...);
    Array* in[] = {x[0], &p.array()};
    y[0] = dispatch1(*product_op<Out>(), in);
    Shape all = y[0]->shape;  // a partial that reads few operands has fewer axes, and a vmap misses its own
    for (int i = 0; i < 2 + int(sizeof...(In)); ++i)
      if (x[i]) broadcast(all, x[i]->shape);
    y[0] = broadcast_to(std::move(y[0]), all);
  }
  static constexpr PartialOp op{F::name, 2 + int(sizeof...(In)), dtype_of<Out>,
                                pointwise_kernels<Body, Out, Out, Out, In...>, &define};
};

template <class F, int I, class X, class Out, class... In>
constexpr PointwiseOp::Rule rule_of() {
  if constexpr (!Floating<Out> || !Floating<X>) {
    return {nullptr, 0, 0};
  } else if constexpr (!requires(AskOperand<Out, Out, In...> y, AskOperand<In, Out, In...>... x) {
                         F::template partial<I>(y, x...);
                       }) {
    return {nullptr, 0, 0};
  } else {
    using P = decltype(F::template partial<I>(std::declval<AskOperand<Out, Out, In...>>(),
                                              std::declval<AskOperand<In, Out, In...>>()...));
    if constexpr (constant_of<P> != 99)
      return {nullptr, constant_of<P>, 0};
    else if constexpr (operand_of<P> >= 0)
      return {product_op<Out>(), PointwiseOp::Rule::kByOp, operand_of<P>};
    else
      return {&PartialOf<F, I, Out, In...>::op, PointwiseOp::Rule::kByOp, 0};
  }
}
template <class F, class Out, class... In, std::size_t... I>
constexpr PointwiseOp make_pointwise(std::index_sequence<I...>) {
  return {F::name,
          int(sizeof...(In)),
          uses_of<F>(Uses::all),
          dtype_of<Out>,
          pointwise_kernels<F, Out, In...>,
          {rule_of<F, int(I), In, Out, In...>()...}};
}
template <class F, class Out, class... In>
struct Pointwise {
  static const PointwiseOp op;
};
template <class F, class Out, class... In>
constinit const PointwiseOp Pointwise<F, Out, In...>::op =
    make_pointwise<F, Out, In...>(std::index_sequence_for<In...>{});
template <class T>
constexpr const Op* product_op() {
  return &Pointwise<Multiply, T, T, T>::op;
}

// The scalar type of F's result on operands of type In...: bool for a mask, else the type of the operands that are not
// bool.
template <class F, class... In>
struct ResultOf {
  using Value = decltype(F::value(std::declval<AskOperand<In, In...>>()...));
  template <class T, class... Rest>
  static auto first_number() {
    if constexpr (sizeof...(Rest) == 0 || !std::is_same_v<T, bool>)
      return T();
    else
      return first_number<Rest...>();
  }
  using type = std::conditional_t<cpu::detail::PackOf<Value>::kMask, bool, decltype(first_number<In...>())>;
};

}  // namespace detail

// F on tensors: a user's own pointwise operation, differentiable to every order by its partials.
template <class F, class... T>
auto pointwise_op(F, const Tensor<T>&... x) {
  static_assert(sizeof...(T) >= 1 && sizeof...(T) <= detail::kMaxPointwise, "pointwise_op takes 1 to 4 tensors");
  using Out = typename detail::ResultOf<F, T...>::type;
  detail::Array* in[] = {&x.array()...};
  return Tensor<Out>(detail::dispatch1(detail::Pointwise<F, Out, T...>::op, in));
}

}  // namespace ergo::inline ERGO_BUILD
