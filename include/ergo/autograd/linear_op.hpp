// Linear and Bilinear: kinds whose derivatives are themselves. A linear struct gives `value(x, parameters...)` and
// `transpose(g, shape_of_x, parameters...)`; jvp is the operation itself, vjp its transpose. A bilinear one gives
// `value(a, b)`, `transpose<0>(g, b, shape_of_a)` and `transpose<1>(g, a, shape_of_b)`. Attributes are members and
// count axes from the back; `static constexpr int core[]` (or a member function `core_of(i)`) says how many trailing
// axes of each input are its own, the leading ones broadcast: that is all that vmap needs.
#pragma once

#include "ergo/autograd/pointwise_op.hpp"

namespace ergo::inline ERGO_BUILD {
namespace detail {

template <class F>
int core_of(const F& f, int i) {
  if constexpr (requires { f.core_of(i); })
    return f.core_of(i);
  else if constexpr (requires { F::core[i]; })
    return F::core[i];
  else
    return 0;
}

// How an operation computes on a CUDA device: by `cuda(x...)` beside its body for the CPU or, if it says `using
// any_device = void`, by that same body, which moves or views operands of any device.
template <class F, class... X>
inline constexpr bool has_cuda = kCuda&& requires(const F& f, const X&... x) {
  f.cuda(x...);
};
template <class F, class... X>
inline constexpr bool takes_device_operands = has_cuda<F, X...> || requires {
  typename F::any_device;
};

// X: Tensor<T>, or AnyTensor for movement. Further inputs are parameters (indices, a key), never differentiated.
template <class F, class Y, class X, class... P>
struct LinearOp final : CopiedOp<LinearOp<F, Y, X, P...>> {
  F f;
  explicit LinearOp(F s) : CopiedOp<LinearOp>(F::name, 1 + int(sizeof...(P))), f(std::move(s)) {
    this->uses = Uses::others;
    this->differentiable = kDifferentiable;
    this->on_cuda = takes_device_operands<F, X, P...>;
  }
  static constexpr bool kDifferentiable = !requires { F::constant; };
  int core(int i) const { return core_of(f, i); }
  void value(Args x, Ref<Array>* y, std::uint64_t) const { y[0] = run(x, std::index_sequence_for<P...>{}); }
  void vjp(Args g, Args, Args x, Wanted wanted, Ref<Array>* dx) const {
    if constexpr (kDifferentiable)
      if (wanted[0]) dx[0] = back(g[0], x, std::index_sequence_for<P...>{});
  }
  void jvp(Args t, Args, Args x, Ref<Array>* ty) const {
    if (!t[0]) return;
    Array* in[1 + sizeof...(P)] = {t[0]};
    for (std::size_t k = 1; k <= sizeof...(P); ++k) in[k] = x[k];
    dispatch(*this, in, ty);
  }

 private:
  template <std::size_t... K>
  Ref<Array> run(Args x, std::index_sequence<K...>) const {
    if constexpr (has_cuda<F, X, P...>)
      if (on_device(x, this->n_in)) return f.cuda(X(Ref<Array>::share(x[0])), P(Ref<Array>::share(x[1 + K]))...).ref();
    return f.value(X(Ref<Array>::share(x[0])), P(Ref<Array>::share(x[1 + K]))...).ref();
  }
  template <std::size_t... K>
  Ref<Array> back(Array* g, Args x, std::index_sequence<K...>) const {
    const Shape& s = shape_of(x[0], *g);
    return cotangent_of(F::name, f.transpose(Y(Ref<Array>::share(g)), s, P(Ref<Array>::share(x[1 + K]))...).ref(), s);
  }
};

template <class F, class T>
struct BilinearOp final : CopiedOp<BilinearOp<F, T>> {
  F f;
  explicit BilinearOp(F s) : CopiedOp<BilinearOp>(F::name, 2), f(std::move(s)) {
    this->uses = Uses::others;
    this->on_cuda = takes_device_operands<F, Tensor<T>, Tensor<T>>;
  }
  int core(int i) const { return core_of(f, i); }
  void value(Args x, Ref<Array>* y, std::uint64_t) const {
    const auto a = handle<Tensor<T>>(x[0]), b = handle<Tensor<T>>(x[1]);
    if constexpr (has_cuda<F, Tensor<T>, Tensor<T>>) {
      if (on_device(x, 2)) {
        y[0] = f.cuda(a, b).ref();
        return;
      }
    }
    y[0] = f.value(a, b).ref();
  }
  void vjp(Args g, Args, Args x, Wanted wanted, Ref<Array>* dx) const {
    if (wanted[0]) {
      const Shape& s = shape_of(x[0], *g[0]);
      dx[0] =
          cotangent_of(F::name, f.template transpose<0>(handle<Tensor<T>>(g[0]), handle<Tensor<T>>(x[1]), s).ref(), s);
    }
    if (wanted[1]) {
      const Shape& s = shape_of(x[1], *g[0]);
      dx[1] =
          cotangent_of(F::name, f.template transpose<1>(handle<Tensor<T>>(g[0]), handle<Tensor<T>>(x[0]), s).ref(), s);
    }
  }
  void jvp(Args t, Args, Args x, Ref<Array>* ty) const {
    if (t[0]) {
      Array* in[] = {t[0], x[1]};
      dispatch(*this, in, ty);
    }
    if (t[1]) {
      Array* in[] = {x[0], t[1]};
      Ref<Array> r = dispatch1(*this, in);
      ty[0] = ty[0] ? add(std::move(ty[0]), std::move(r)) : std::move(r);
    }
  }
};

}  // namespace detail

// f applied to x, linearly; `p...` are parameters.
template <class F, class X, class... P>
auto linear_op(F f, const X& x, const P&... p) {
  using Y = decltype(f.value(x, p...));
  const detail::LinearOp<F, Y, X, P...> op(std::move(f));
  detail::Array* in[] = {&x.array(), &p.array()...};
  return Y(detail::dispatch1(op, in));
}
// f applied to a and b, linearly in each.
template <class F, class T>
Tensor<T> bilinear_op(F f, const Tensor<T>& a, const Tensor<T>& b) {
  const detail::BilinearOp<F, T> op(std::move(f));
  detail::Array* in[] = {&a.array(), &b.array()};
  return Tensor<T>(detail::dispatch1(op, in));
}

}  // namespace ergo::inline ERGO_BUILD
