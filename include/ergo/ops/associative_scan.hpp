// Running combinations by any associative function of public operations, differentiable through: pairs are combined,
// the pairs scanned, and what lies between filled in (Blelloch 1990, as jax.lax.associative_scan has it): 2 n
// combinations in calls of logarithmic depth.
#pragma once

#include "ergo/autograd/tree_walk.hpp"
#include "ergo/ops/joining.hpp"
#include "ergo/ops/slicing.hpp"

namespace ergo::inline ERGO_BUILD {

namespace detail {

// One tensor, or the learned leaves of a tree.
template <class F, class X, class... Y>
X over_leaves(const F& f, const X& x, const Y&... y) {
  if constexpr (is_tensor<X>)
    return f(x, y...);
  else
    return tree::map(f, x, y...);
}

// a[0] b[0] a[1] b[1] ...; a may have one more. The axes before and behind are one each, so that tensors of 8 axes have
// room for one of pairs.
template <class T>
Tensor<T> interleaved(const Tensor<T>& a, const Tensor<T>& b, int axis) {
  const std::int64_t n = b.shape()[axis];
  Shape s = b.shape();
  const Shape merged{s.first(axis).numel(), n, s.last(s.rank() - 1 - axis).numel()};
  s[axis] = 2 * n;
  const auto of = [&](const Tensor<T>& x) { return s.rank() <= 3 ? x : Tensor<T>(reshape(x.ref(), merged)); };
  const Tensor<T> even = a.shape()[axis] > n ? slice(a, axis, 0, n) : a;
  const Tensor<T> first = of(even), second = of(b);
  const Tensor<T> both(reshape(ergo::stack({first, second}, first.rank() == s.rank() ? axis + 1 : 2).ref(), s));
  return a.shape()[axis] > n ? ergo::concatenate({both, slice(a, axis, n)}, axis) : both;
}

// n places along the axis, which may count from the back, of each leaf.
template <class F, class X>
X associative(const F& f, const X& x, std::int64_t axis, std::int64_t n) {
  if (n < 2) return x;
  const auto part = [axis](const X& of, std::int64_t begin, Bound end, std::int64_t step) {
    return over_leaves([&]<class T>(const Tensor<T>& leaf) { return slice(leaf, axis, begin, end, step); }, of);
  };
  const std::int64_t pairs = n / 2;
  const X odd = associative(f, X(f(part(x, 0, 2 * pairs, 2), part(x, 1, none, 2))), axis, pairs);
  X even = part(x, 0, 1, 1);
  if (n > 2) {
    const X rest = f(n % 2 ? odd : part(odd, 0, -1, 1), part(x, 2, none, 2));
    even = over_leaves(
        [&]<class T>(const Tensor<T>& first, const Tensor<T>& others) {
          return ergo::concatenate({first, others}, axis);
        },
        even, rest);
  }
  return over_leaves(
      [&]<class T>(const Tensor<T>& a, const Tensor<T>& b) {
        return interleaved(a, b, resolve_axis("associative_scan", a.array(), axis));
      },
      even, odd);
}

}  // namespace detail

// y[k] = f(... f(f(x[0], x[1]), x[2]) ..., x[k]) along an axis of a tensor, or of all leaves of a tree, which are
// floating and agree in its extent; the last by default. f(a, b) takes two of x's kind, whose axis has any extent,
// combines them place by place, and must be associative: `associative_scan([](auto a, auto b) { return a * b; }, x)`.
template <class F, class X>
X associative_scan(const F& f, const X& x, AnyInteger axis = -1) {
  std::int64_t n = -1;
  if constexpr (!is_tensor<X>)
    tree::walk<tree::Leaves::all>(
        detail::Path{nullptr, nullptr, 0},
        [&]<class T>(const detail::Path& path, const Tensor<T>& leaf) {
          if (!Floating<T> || path.in_state())
            detail::fail("associative_scan", leaf.array(),
                         {"leaf ", path.text(), " of the tree is not learned (",
                          Floating<T> ? "no State: give its tensor)" : "cast<float>(x) first)"});
        },
        x);
  detail::over_leaves(
      [&]<class T>(const Tensor<T>& leaf) {
        const std::int64_t own = leaf.shape()[detail::resolve_axis("associative_scan", leaf.array(), axis)];
        if (n >= 0 && own != n)
          detail::fail("associative_scan", leaf.array(), {"extent ", own, " where another leaf has ", n});
        n = own;
        return leaf;
      },
      x);
  return n < 0 ? x : detail::associative(f, x, axis, n);
}

}  // namespace ergo::inline ERGO_BUILD
