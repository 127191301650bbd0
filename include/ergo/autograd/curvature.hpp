// Second derivatives and dense ones, made of the transforms: hvp, ggn_vp, jacobian, hessian.
#pragma once

#include "ergo/autograd/transforms.hpp"

namespace ergo::inline ERGO_BUILD {

// H v of the scalar f at x: forward over reverse.
template <class F>
auto hvp(F f) {
  return [f](const auto& x, const auto& v, const auto&... rest) { return jvp(grad(f))(x, v, rest...).second; };
}

// The Gauss-Newton product J^T H J v of loss_fn(model_fn(x)), H the Hessian of loss_fn at the model's output.
template <class Model, class Loss>
auto ggn_vp(Model model_fn, Loss loss_fn) {
  return [model_fn, loss_fn](const auto& x, const auto& v, const auto&... rest) {
    const auto on_x = [&](const auto& p) { return model_fn(p, rest...); };
    const auto moved = jvp(on_x)(x, v);
    const auto back = vjp(on_x, x);
    return back.second(hvp(loss_fn)(moved.first, moved.second));
  };
}

// The dense Jacobian of f at a small tensor x: the shape of y, then that of x. Of a tree x: (y..., elements of x), in
// the order of tree::ravel.
template <class F>
auto jacobian(F f) {
  return [f](const auto& x, const auto&... rest) {
    using X = std::remove_cvref_t<decltype(x)>;
    const auto on_x = [&](const auto& p) { return f(p, rest...); };
    const auto pulled = vjp(on_x, x);
    using Y = std::remove_cvref_t<decltype(pulled.first)>;
    static_assert(is_tensor<Y> || is_tensor<X>, "jacobian(f): f or its argument must be a tensor; ravel the other");
    const auto flat = tree::ravel(pulled.first);
    using R = typename std::remove_cvref_t<decltype(flat)>::value_type;
    const std::int64_t n = flat.numel();
    const auto rows = vmap([&](const Tensor<R>& g) {
      const auto dx = pulled.second(tree::unravel(pulled.first, g));
      if constexpr (is_tensor<X>)
        return dx;
      else
        return tree::ravel(dx);
    })(eye<R>(n));
    const Shape left = [&] {
      if constexpr (is_tensor<Y>)
        return pulled.first.shape();
      else
        return Shape{n};
    }();
    return std::remove_cvref_t<decltype(rows)>(detail::reshape(rows.ref(), left + rows.shape().last(rows.rank() - 1)));
  };
}

// The dense Hessian of the scalar f at a small tensor x, the shape of x twice; of a tree: (n, n) in the order of
// tree::ravel.
template <class F>
auto hessian(F f) {
  return [f](const auto& x, const auto&... rest) {
    using X = std::remove_cvref_t<decltype(x)>;
    if constexpr (is_tensor<X>) {
      return jacobian(grad(f))(x, rest...);
    } else {
      const auto flat = tree::ravel(x);
      return jacobian(grad([&](const auto& p) { return f(tree::unravel(x, p), rest...); }))(flat);
    }
  };
}

}  // namespace ergo::inline ERGO_BUILD
