// Functions to functions: grad, value_and_grad, vjp, jvp, vmap, per_sample_grad; what is made of them is in
// curvature.hpp. Each opens a level, runs f on traced leaves, and reads the result; the erased halves are compiled
// once. They nest in any order.
//
// f is any callable, given const arguments; the first is differentiated, a tree of any type (a pair of two for two);
// `rest...` reaches f as it is.
#pragma once

#include "ergo/autograd/tree.hpp"

namespace ergo::inline ERGO_BUILD {
namespace detail {

inline Ref<Array> one_of(const Array& a) {
  return with_floating(a.dtype, [&]<class T>(T) {
    Ref<Array> r = Array::make(a.dtype, Shape{});
    *data_of<T>(*r) = convert<T>(1);
    return broadcast_to(a.device.is_cpu() ? std::move(r) : to_device(*r, a.device), a.shape);
  });
}

// What a reverse sweep needs after f has returned.
struct Record {
  int refs = 1;
  Tape tape;
  std::vector<Slot> in;
  std::vector<Slot*> out;  // null: that output does not depend on the inputs
  LeafList like;           // husks of the inputs
  static void destroy(Record* r) { delete r; }

  // Cotangents of the inputs from those of the outputs (null: zero).
  LeafList pull(LeafList g, bool consume) {
    try {
      for (std::size_t k = 0; k < out.size(); ++k)
        if (out[k] && g[k]) out[k]->g = out[k]->g ? add(std::move(out[k]->g), std::move(g[k])) : std::move(g[k]);
      backward(tape, consume);
    } catch (...) {
      for (Node* n = tape.last(); n; n = n->prev)
        for (int k = 0; k < n->n_out; ++k) n->out()[k].g = {};
      for (Slot& s : in) s.g = {};
      throw;
    }
    LeafList r;
    r.reserve(in.size());
    for (std::size_t i = 0; i < in.size(); ++i) r.push_back(in[i].g ? std::move(in[i].g) : zeros_of(*like[i]));
    return r;
  }
};

// Lowers what this level traced; `slot`, if given, gets where each leaf's cotangent gathers.
inline void lower(const OpenLevel& level, LeafList& leaves, std::vector<Slot*>* slots) {
  for (auto& leaf : leaves) {
    const bool own = leaf && level.owns(*leaf);
    if (slots) slots->push_back(own ? leaf->slot : nullptr);
    if (own) {
      Ref<Array> value = leaf->value;
      leaf = std::move(value);
    }
  }
}

// Runs `call` (traced leaves in, all leaves of the result out) one level up; `out` is lowered.
template <class Call>
Ref<Record> record(const LeafList& x, LeafList& out, Call&& call) {
  Ref<Record> r = Ref<Record>::adopt(new Record);
  r->in.resize(x.size());
  for (const auto& a : x) r->like.push_back(Array::husk(a->dtype, a->shape, a->device));
  const OpenLevel level(Mode::reverse, &r->tape);
  LeafList v;
  for (std::size_t i = 0; i < x.size(); ++i) v.push_back(level.trace(x[i], x[i]->shape, &r->in[i], {}));
  out = call(std::move(v));
  lower(level, out, &r->out);
  return r;
}

// A loss: a floating tensor, or a pair or tuple that begins with one.
template <class Y>
struct LossOf {
  using type = void;
};
template <Floating T>
struct LossOf<Tensor<T>> {
  using type = Tensor<T>;
};
template <Floating T, class B>
struct LossOf<std::pair<Tensor<T>, B>> {
  using type = Tensor<T>;
};
template <Floating T, class... B>
struct LossOf<std::tuple<Tensor<T>, B...>> {
  using type = Tensor<T>;
};
template <class Y>
inline constexpr bool is_loss = !std::is_void_v<typename LossOf<Y>::type>;
template <class Y>
auto& loss_in(Y& y) {
  if constexpr (is_tensor<Y>)
    return y;
  else
    return std::get<0>(y);
}

// Whether X has learned leaves; whether it is a tree at all is asked by the walk.
template <class X>
constexpr bool may_be_learned() {
  if constexpr (is_tensor<X>)
    return Floating<typename X::value_type>;
  else
    return !is_static<X>;
}

}  // namespace detail

// {value, gradient}: f's result, and the gradient of the scalar it returns (or of the first of a pair or tuple) with
// respect to x, a tree of x's type. An Error if f returns more than one element.
template <class F>
auto value_and_grad(F f) {
  return [f](const auto& x, const auto&... rest) {
    using X = std::remove_cvref_t<decltype(x)>;
    static_assert(detail::may_be_learned<X>(), "grad(f)(x): x must be a tensor of floating elements or a tree of such");
    if constexpr (!detail::may_be_learned<X>()) {
      return std::pair{x, x};
    } else {
      using Y = std::remove_cvref_t<decltype(f(x, rest...))>;
      static_assert(detail::is_loss<Y>,
                    "grad(f): f must return a Tensor of floating elements, or a pair or tuple that begins with one");
      if constexpr (!detail::is_loss<Y>) {
        return std::pair{x, x};
      } else {
        X traced = x;
        std::optional<Y> y;
        detail::LeafList out;
        const auto r = detail::record(detail::leaves_of(x), out, [&](detail::LeafList v) {
          detail::assign_leaves(traced, std::move(v));
          y.emplace(f(std::as_const(traced), rest...));
          return detail::leaves_of<tree::Leaves::all>(*y);
        });
        detail::assign_leaves<tree::Leaves::all>(*y, std::move(out));
        const auto& loss = detail::loss_in(*y);
        if (loss.numel() != 1)
          detail::fail("grad", loss.array(),
                       "the function must return one element (sum or mean it; vjp and jacobian take any shape)");
        detail::LeafList seed(r->out.size());
        seed[0] = detail::one_of(loss.array());
        detail::assign_leaves(traced, r->pull(std::move(seed), true));
        return std::pair<Y, X>{std::move(*y), std::move(traced)};
      }
    }
  };
}

// The gradient of the scalar f with respect to its first argument, a tree of the same type.
template <class F>
auto grad(F f) {
  return [g = value_and_grad(std::move(f))](const auto& x, const auto&... rest) { return g(x, rest...).second; };
}

// {y, pullback}: pullback(g) gives J^T g, as often as asked.
template <class F, class X, class... Rest>
auto vjp(F f, const X& x, const Rest&... rest) {
  using Y = std::remove_cvref_t<decltype(f(x, rest...))>;
  X traced = x;
  std::optional<Y> y;
  detail::LeafList out;
  auto r = detail::record(detail::leaves_of(x), out, [&](detail::LeafList v) {
    detail::assign_leaves(traced, std::move(v));
    y.emplace(f(std::as_const(traced), rest...));
    return detail::leaves_of<tree::Leaves::all>(*y);
  });
  detail::assign_leaves<tree::Leaves::all>(*y, std::move(out));
  auto pullback = [r = std::move(r), like = x, result = *y](const Y& g) {
    // Cotangents belong to learned leaves; the record has a slot for each leaf, null for the others.
    tree::zip([](const auto&, const auto&) {}, result, g);  // structures must agree
    detail::same_shapes("vjp", detail::leaves_of(result), detail::leaves_of(g));
    Y marked = result;
    detail::assign_leaves<tree::Leaves::all>(marked, detail::LeafList(r->out.size()));
    detail::assign_leaves(marked, detail::leaves_of(g));
    X dx = like;
    detail::assign_leaves(dx, r->pull(detail::leaves_of<tree::Leaves::all>(marked), false));
    return dx;
  };
  return std::pair<Y, decltype(pullback)>{std::move(*y), std::move(pullback)};
}

// {y, dy} with dy = J dx, in one forward sweep.
template <class F>
auto jvp(F f) {
  return [f](const auto& x, const auto& dx, const auto&... rest) {
    using X = std::remove_cvref_t<decltype(x)>;
    static_assert(std::is_same_v<X, std::remove_cvref_t<decltype(dx)>>, "jvp(f)(x, dx): dx has the type of x");
    using Y = std::remove_cvref_t<decltype(f(x, rest...))>;
    X traced = x;
    tree::zip([](const auto&, const auto&) {}, x, dx);  // structures must agree
    detail::LeafList p = detail::leaves_of(x), t = detail::leaves_of(dx);
    detail::same_shapes("jvp", p, t);
    const detail::OpenLevel level(detail::Mode::forward, nullptr);
    for (std::size_t i = 0; i < p.size(); ++i) {
      const Shape shape = p[i]->shape;
      p[i] = level.trace(std::move(p[i]), shape, nullptr, std::move(t[i]));
    }
    detail::assign_leaves(traced, std::move(p));
    Y y = f(std::as_const(traced), rest...);
    Y dy = y;
    detail::LeafList d;
    for (const auto& leaf : detail::leaves_of(y))
      d.push_back(level.owns(*leaf) && leaf->tangent ? leaf->tangent : detail::zeros_of(*leaf));
    detail::LeafList out = detail::leaves_of<tree::Leaves::all>(y);
    detail::lower(level, out, nullptr);
    detail::LeafList carried = out;
    detail::assign_leaves<tree::Leaves::all>(y, std::move(out));
    detail::assign_leaves<tree::Leaves::all>(dy, std::move(carried));
    detail::assign_leaves(dy, std::move(d));
    return std::pair<Y, Y>{std::move(y), std::move(dy)};
  };
}

// f over the leading axis of every tensor leaf of its arguments, integer, key and State leaves too; what f captures is
// not mapped. One dispatch an operation, whatever the extent.
template <class F>
auto vmap(F f) {
  return [f](const auto&... xs) {
    auto args = std::make_tuple(xs...);
    constexpr auto all = tree::Leaves::all;
    detail::LeafList v = detail::leaves_of<all>(args);
    if (v.empty()) throw_error("[vmap] no argument has a tensor to map over");
    for (const auto& a : v) {
      if (!a) throw_error("[vmap] an argument holds an empty tensor");
      detail::Array* in[] = {v[0].get(), a.get()};
      if (a->shape.rank() == 0) detail::fail("vmap", *a, "a tensor of rank 0 has no leading axis to map over");
      if (a->shape[0] != v[0]->shape[0]) detail::fail("vmap", in, 2, "leading axes differ");
    }
    const std::int64_t n = v[0]->shape[0];
    const detail::OpenLevel level(detail::Mode::batch, nullptr, n);
    for (auto& a : v) {
      const Shape s = a->shape.last(a->shape.rank() - 1);
      a = level.trace(std::move(a), s, nullptr, {});
    }
    detail::assign_leaves<all>(args, std::move(v));
    auto y = std::apply([&](const auto&... a) { return f(a...); }, args);
    detail::LeafList out = detail::leaves_of<all>(y);
    for (auto& a : out) {
      if (!a) continue;  // a carried leaf that f left empty
      if (level.owns(*a)) {
        detail::Ref<detail::Array> value = a->value;
        a = std::move(value);
      } else {
        const Shape s = Shape{n} + a->shape;
        a = detail::broadcast_to(std::move(a), s);
      }
    }
    detail::assign_leaves<all>(y, std::move(out));
    return y;
  };
}

// One gradient per example with respect to the model, leaves (B, ...); f(model, example...) sees one example, without
// that axis.
template <class F>
auto per_sample_grad(F f) {
  return [f](const auto& model, const auto&... xs) {
    return vmap([&](const auto&... x) { return grad([&](const auto& m) { return f(m, x...); })(model); })(xs...);
  };
}

}  // namespace ergo::inline ERGO_BUILD
