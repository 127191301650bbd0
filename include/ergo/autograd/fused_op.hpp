// Fused: a kernel that carries its meaning. `cpu(x...)` is the fast path, `cuda(x...)` that on a device, with the same
// results; `definition(x...)` is the same in public operations: forward mode, orders beyond the written rules, and
// tests use it. An optional `vjp(g, y, x...)` (again made of Fused operations) is the fast first-order rule.
//
// `cpu` may return a tuple: the result, then residuals that only `vjp` reads (y is then that tuple). A definition never
// reads residuals: what depends on the inputs is computed from them, or second derivatives would miss it. It gives none
// either: where forward mode lies below, `vjp` meets undefined residuals and must do without.
//
// `static constexpr bool several_results = true`: more than the first of the tuple are results. `definition` then gives
// a tuple too, residuals undefined, and `vjp` gets a tuple of cotangents in place of g, undefined where none came.
#pragma once

#include <tuple>

#include "ergo/autograd/linear_op.hpp"

namespace ergo::inline ERGO_BUILD {
namespace detail {

template <class Y>
inline constexpr int outputs_of = 1;
template <class... Y>
inline constexpr int outputs_of<std::tuple<Y...>> = int(sizeof...(Y));
template <class Y>
struct FirstOf {
  using type = Y;
};
template <class Y, class... R>
struct FirstOf<std::tuple<Y, R...>> {
  using type = Y;
};

template <class F, class Y, class... In>
struct FusedOp final : CopiedOp<FusedOp<F, Y, In...>> {
  using Result = typename FirstOf<Y>::type;
  static constexpr bool kVjp = requires { F::has_vjp; };
  F f;
  explicit FusedOp(F s) : CopiedOp<FusedOp>(F::name, int(sizeof...(In))), f(std::move(s)) {
    this->n_out = outputs_of<Y>;
    this->uses = uses_of<F>(Uses::all);
    this->has_vjp = kVjp;
    this->has_jvp = false;
    if constexpr (requires { F::leading_axes_free; }) this->leading_axes_free = F::leading_axes_free;
    this->on_cuda = kCuda;
  }
  static constexpr bool kSeveral = requires { F::several_results; };
  int core(int i) const { return core_of(f, i); }
  void value(Args x, Ref<Array>* y, std::uint64_t) const {
    if constexpr (kCuda) {
      if (on_device(x, this->n_in)) return device_value(x, y);
    }
    store(y, call(x, std::index_sequence_for<In...>{}, [&](const In&... t) { return f.cpu(t...); }));
  }
  void definition(Args x, Ref<Array>* y) const {
    auto r = call(x, std::index_sequence_for<In...>{}, [&](const In&... t) { return f.definition(t...); });
    if constexpr (std::is_base_of_v<AnyTensor, decltype(r)>)
      y[0] = std::move(r.ref());
    else
      store(y, std::move(r));
  }
  void vjp(Args g, Args y, Args x, Wanted wanted, Ref<Array>* dx) const {
    if constexpr (kVjp) back(g, y, x, wanted, dx, std::index_sequence_for<In...>{});
  }

 private:
  // Whether the rule is told which cotangents are wanted. Not asked where it is called: nvcc says no in a lambda.
  static constexpr bool kAsksWanted = requires(const F& rule, const Result& g, const Y& y, const In&... x, Wanted w) {
    rule.vjp(g, y, x..., w);
  };
  // Without a kernel of its own an operation is its definition there.
  void device_value(Args x, Ref<Array>* y) const {
    if constexpr (has_cuda<F, In...>)
      store(y, call(x, std::index_sequence_for<In...>{}, [&](const In&... t) { return f.cuda(t...); }));
    else if constexpr (requires { typename F::any_device; })
      store(y, call(x, std::index_sequence_for<In...>{}, [&](const In&... t) { return f.cpu(t...); }));
    else
      definition(x, y);
  }
  template <std::size_t... K, class Do>
  static auto call(Args x, std::index_sequence<K...>, Do d) {
    return d(handle<In>(x[K])...);
  }
  static void store(Ref<Array>* y, Y&& r) {
    if constexpr (outputs_of<Y> == 1)
      y[0] = std::move(r.ref());
    else
      std::apply([&](auto&... t) { (void(*y++ = std::move(t.ref())), ...); }, r);
  }
  static Y outputs(Args y) {
    if constexpr (outputs_of<Y> == 1) {
      return handle<Y>(y[0]);
    } else {
      Y r;
      std::apply([&](auto&... t) { (void(t = handle<std::remove_reference_t<decltype(t)>>(*y++)), ...); }, r);
      return r;
    }
  }
  template <std::size_t... K>
  void back(Args g, Args y, Args x, Wanted wanted, Ref<Array>* dx, std::index_sequence<K...>) const {
    int came = 0;  // a cotangent
    if constexpr (kSeveral)
      while (!g[came]) ++came;
    if (!g[came]) return;
    auto r = [&] {
      if constexpr (kSeveral)
        return f.vjp(outputs(g), outputs(y), handle<In>(x[K])...);
      else if constexpr (kAsksWanted)
        return f.vjp(handle<Result>(g[0]), outputs(y), handle<In>(x[K])..., wanted);
      else
        return f.vjp(handle<Result>(g[0]), outputs(y), handle<In>(x[K])...);
    }();
    if constexpr (outputs_of<decltype(r)> == 1 && std::is_base_of_v<AnyTensor, decltype(r)>)
      give(dx[0], wanted[0], r, x[0], *g[came]);
    else
      (give(dx[K], wanted[int(K)], std::get<K>(r), x[K], *g[came]), ...);
  }
  template <class D>
  static void give(Ref<Array>& dx, bool wanted, const D& d, Array* x, const Array& g) {
    if constexpr (std::is_base_of_v<AnyTensor, D>)
      if (wanted && d.defined()) dx = cotangent_of(F::name, d.ref(), shape_of(x, g));
  }
};

}  // namespace detail

// f applied to x...; the result of `cpu`, or the first of its tuple.
template <class F, class... X>
auto fused_op(F f, const X&... x) {
  using Y = decltype(f.cpu(x...));
  using Result = typename detail::FirstOf<Y>::type;
  const detail::FusedOp<F, Y, X...> op(std::move(f));
  detail::Array* in[] = {&x.array()...};
  detail::Ref<detail::Array> y[detail::outputs_of<Y>];
  detail::dispatch(op, in, y);
  return Result(std::move(y[0]));
}
// The whole tuple that `cpu` returns, all of it results: for rules with several. `definition` returns a tuple too.
template <class F, class... X>
auto fused_ops(F f, const X&... x) {
  using Y = decltype(f.cpu(x...));
  const detail::FusedOp<F, Y, X...> op(std::move(f));
  detail::Array* in[] = {&x.array()...};
  detail::Ref<detail::Array> y[detail::outputs_of<Y>];
  detail::dispatch(op, in, y);
  Y r;
  std::apply([&, k = 0](auto&... t) mutable { (void(t.ref() = std::move(y[k++])), ...); }, r);
  return r;
}

}  // namespace ergo::inline ERGO_BUILD
