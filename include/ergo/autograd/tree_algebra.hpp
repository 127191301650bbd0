// Trees as vectors: dot, axpy, scale, add, sub, zeros, casts, and the flat form (norm: ops/tree_norm.hpp). All
// are differentiable; all visit the learned leaves (`to`: all).
#pragma once

#include "ergo/autograd/concatenate.hpp"
#include "ergo/autograd/inner_product.hpp"
#include "ergo/autograd/tree_walk.hpp"

namespace ergo::inline ERGO_BUILD {
namespace detail {

// A number, or a rank-0 tensor, as a scalar of T.
template <class T, class S>
Tensor<T> scalar_tensor(const char* op, const S& s) {
  if constexpr (is_tensor<S>) {
    if (s.numel() != 1) fail(op, s.array(), "the scalar of a tree operation must have one element");
    return cast<T>(Tensor<typename S::value_type>(reshape(s.ref(), Shape{})));
  } else {
    return Tensor<T>(convert<T>(s));
  }
}
template <class S>
concept TreeScalar = Number<S> || is_tensor<S>;

// X with its floating scalar replaced by U; void where there is none to replace.
template <class X, class U>
struct Rebind {
  using type = X;
};
template <class U, Floating T>
struct Rebind<T, U> {
  using type = U;
};
template <class U, Floating T>
struct Rebind<Tensor<T>, U> {
  using type = Tensor<U>;
};
template <class U, template <class...> class C, class... X>
requires(!is_tensor<C<X...>>) struct Rebind<C<X...>, U> {
  using type = C<typename Rebind<X, U>::type...>;
};
template <class U, class X, std::size_t N>
struct Rebind<std::array<X, N>, U> {
  using type = std::array<typename Rebind<X, U>::type, N>;
};
template <class U>
struct Rebind<std::string, U> {
  using type = std::string;
};

template <class U, class A, class R>
void cast_into(const A& a, R& r) {
  if constexpr (std::is_same_v<A, R>) {
    r = a;
  } else if constexpr (is_tensor<A>) {
    r = a.defined() ? cast<U>(a) : R();
  } else if constexpr (is_state<A>) {
    cast_into<U>(a.value, r.value);
  } else if constexpr (HasFields<A>) {
    auto from = a.ergo_fields();
    auto to = r.ergo_fields();
    [&]<std::size_t... I>(std::index_sequence<I...>) { (cast_into<U>(std::get<I>(from), std::get<I>(to)), ...); }
    (std::make_index_sequence<std::tuple_size_v<decltype(from)>>{});
  } else if constexpr (is_optional<A>) {
    if (a) cast_into<U>(*a, r.emplace());
  } else if constexpr (is_vector<A>) {
    r.resize(a.size());
    for (std::size_t i = 0; i < a.size(); ++i) cast_into<U>(a[i], r[i]);
  } else if constexpr (TupleLike<A>) {
    [&]<std::size_t... I>(std::index_sequence<I...>) { (cast_into<U>(std::get<I>(a), std::get<I>(r)), ...); }
    (std::make_index_sequence<std::tuple_size_v<A>>{});
  } else {
    r = convert<R>(a);  // a number of the scalar type
  }
}

}  // namespace detail

namespace tree {

// The sum of products of corresponding elements: rank 0, of the widest leaf type, at least float.
template <class A>
auto dot(const A& a, const A& b) {
  using R = detail::WidestLeaf<A>;
  detail::Ref<detail::Array> s;
  tree::zip(
      [&](const auto& x, const auto& y) {
        detail::Array* in[] = {&x.array(), &y.array()};
        if (x.shape() != y.shape()) detail::fail("tree.dot", in, 2, "leaves of the two trees differ in shape");
        auto d = detail::dot<R>(cast<R>(x).ref(), cast<R>(y).ref());
        s = s ? detail::add(std::move(s), std::move(d)) : std::move(d);
      },
      a, b);
  return s ? Tensor<R>(std::move(s)) : Tensor<R>(R(0));
}
// s x + y; static members and State come from y.
template <class S, class A>
requires detail::TreeScalar<S> A axpy(const S& s, const A& x, const A& y) {
  A r = y;
  tree::zip(
      [&]<class T>(Tensor<T>& to, const Tensor<T>& from) {
        detail::Array* in[] = {&from.array(), &to.array()};
        if (from.shape() != to.shape()) detail::fail("tree.axpy", in, 2, "leaves of the two trees differ in shape");
        to = Tensor<T>(detail::axpy(detail::scalar_tensor<T>("tree.axpy", s).ref(), from.ref(), to.ref()));
      },
      r, x);
  return r;
}
template <class S, class A>
requires detail::TreeScalar<S> A scale(const S& s, const A& a) {
  return tree::map(
      [&]<class T>(const Tensor<T>& x) {
        return Tensor<T>(detail::multiply(detail::scalar_tensor<T>("tree.scale", s).ref(), x.ref()));
      },
      a);
}
template <class A>
A add(const A& a, const A& b) {
  return tree::map(
      [&]<class T>(const Tensor<T>& x, const Tensor<T>& y) {
        detail::Array* in[] = {&x.array(), &y.array()};
        if (x.shape() != y.shape()) detail::fail("tree.add", in, 2, "leaves of the two trees differ in shape");
        return Tensor<T>(detail::add(x.ref(), y.ref()));
      },
      a, b);
}
template <class A>
A sub(const A& a, const A& b) {
  return tree::axpy(-1, b, a);
}
template <class A>
A zeros_like(const A& a) {
  return tree::map([]<class T>(const Tensor<T>& x) { return Tensor<T>(detail::zeros_of(x.array())); }, a);
}
// The number of learned elements.
template <class A>
std::int64_t numel(const A& a) {
  std::int64_t n = 0;
  tree::zip([&](const auto& x) { n += x.numel(); }, a);
  return n;
}
// All learned elements in order, as one tensor of rank 1 of the widest leaf type.
template <class A>
auto ravel(const A& a) {
  using R = detail::WidestLeaf<A>;
  detail::LeafList flat;
  tree::zip([&](const auto& x) { flat.push_back(detail::reshape(cast<R>(x).ref(), Shape{x.numel()})); }, a);
  return Tensor<R>(flat.empty() ? detail::Array::make(dtype_of<R>, Shape{0}) : detail::concatenate(flat, 1));
}
// The tree of `like`'s structure whose elements are those of `flat`.
template <class A, class R>
A unravel(const A& like, const Tensor<R>& flat) {
  if (flat.rank() != 1 || flat.numel() != numel(like))
    detail::fail("tree.unravel", flat.array(), {"the tree has ", numel(like), " elements"});
  std::int64_t at = 0;
  return tree::map(
      [&]<class T>(const Tensor<T>& x) {
        detail::Array* in[] = {&flat.array()};
        const detail::SliceOp part(1, at, x.numel(), 1, false);
        at += x.numel();
        return cast<T>(Tensor<R>(detail::reshape(detail::dispatch1(part, in), x.shape())));
      },
      like);
}
// Every tensor of the tree, carried ones too, on device d.
template <class A>
A to(const A& a, Device d) {
  A r = a;
  zip<Leaves::all>(
      [&](auto& x) {
        if (x.defined()) x = x.to(d);
      },
      r);
  return r;
}
// A model of a class template over its scalar, with U in its place: Mlp<float> becomes Mlp<U>.
template <class U, class A>
auto cast(const A& a) {
  using R = typename detail::Rebind<A, U>::type;
  constexpr bool rebinds = !(std::is_same_v<typename detail::Rebind<A, float>::type, A> &&
                             std::is_same_v<typename detail::Rebind<A, double>::type, A>);
  static_assert(rebinds, "tree::cast<U>(model) needs a class template over its scalar: template <class T> struct Mlp");
  if constexpr (rebinds) {
    R r{};
    detail::cast_into<U>(a, r);
    return r;
  } else {
    return a;
  }
}

}  // namespace tree
}  // namespace ergo::inline ERGO_BUILD
