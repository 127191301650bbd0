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
    Ref<Array> r = Array::make(a.dtype, Shape{}, a.device);
    const T one = convert<T>(1);
    fill_bytes(*r, &one);
    r->buffer->ones = r->buffer->borrowed = true;  // a rule may ask, and multiply with nothing
    return broadcast_to(std::move(r), a.shape);
  });
}

// What a reverse sweep needs after f has returned.
struct Record {
  int refs = 1;
  Tape tape;
  std::vector<Slot> in;
  std::vector<Slot*> out;                               // null: that output does not depend on the inputs
  LeafList like;                                        // husks of the inputs
  pthread_mutex_t pulling = PTHREAD_MUTEX_INITIALIZER;  // cotangents gather in the record: one pull at a time
  static void destroy(Record* r) { delete r; }

  // Cotangents of the inputs from those of the outputs (null: zero). Threads that share a pullback take turns.
  ERGO_ONCE LeafList pull(LeafList g, bool consume) {
    struct Lock {
      pthread_mutex_t* mutex;
      explicit Lock(pthread_mutex_t* m) : mutex(m) { pthread_mutex_lock(m); }
      ~Lock() { pthread_mutex_unlock(mutex); }
    } const lock(&pulling);
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
ERGO_ONCE void lower(const OpenLevel& level, LeafList& leaves, std::vector<Slot*>* slots) {
  for (auto& leaf : leaves) {
    const bool own = leaf && level.owns(*leaf);
    if (slots) slots->push_back(own ? leaf->slot : nullptr);
    if (own) {
      Ref<Array> value = leaf->value;
      leaf = std::move(value);
    }
  }
}

// A level that records what a function does with the leaves x.
class Recording {
 public:
  explicit Recording(const LeafList& x)
      : record_(Ref<Record>::adopt(new Record)), level_(Mode::reverse, &record_->tape) {
    begin(x);
  }
  // With all leaves of the result, which are lowered.
  ERGO_ONCE Ref<Record> end(LeafList& out) {
    lower(level_, out, &record_->out);
    return record_;
  }

 private:
  ERGO_ONCE void begin(const LeafList& x) {
    record_->in.resize(x.size());
    for (const auto& a : x) record_->like.push_back(Array::husk(a->dtype, a->shape, a->device));
    for (std::size_t i = 0; i < x.size(); ++i) traced.push_back(level_.trace(x[i], x[i]->shape, &record_->in[i], {}));
  }
  Ref<Record> record_;
  OpenLevel level_;

 public:
  LeafList traced;  // x as the function sees it
};
// f(x, rest...), recorded; x is what f was given, traced.
template <class Y, class F, class X, class... Rest>
std::pair<Y, Ref<Record>> record(const F& f, X& x, const Rest&... rest) {
  Recording recording(leaves_of(x));
  assign_leaves(x, std::move(recording.traced));
  Y y = f(std::as_const(x), rest...);
  LeafList out = leaves_of<tree::Leaves::all>(y);
  Ref<Record> r = recording.end(out);
  assign_leaves<tree::Leaves::all>(y, std::move(out));
  return {std::move(y), std::move(r)};
}
// The gradient of a loss of one element, the first of the recorded results.
ERGO_ONCE LeafList gradient_of(const AnyTensor& loss, Record& r) {
  if (loss.numel() != 1)
    fail("grad", loss.array(),
         "the function must return one element (sum or mean it; vjp and jacobian take any shape)");
  LeafList seed(r.out.size());
  seed[0] = one_of(loss.array());
  return r.pull(std::move(seed), true);
}

// Forward: x with its tangents as f sees it; of what f gave, the tangents.
ERGO_ONCE void trace_with_tangents(const OpenLevel& level, LeafList& x, LeafList t) {
  same_shapes("jvp", x, t);
  for (std::size_t i = 0; i < x.size(); ++i) {
    const Shape shape = x[i]->shape;
    x[i] = level.trace(std::move(x[i]), shape, nullptr, std::move(t[i]));
  }
}
ERGO_ONCE LeafList tangents_of(const OpenLevel& level, const LeafList& y) {
  LeafList d;
  for (const auto& leaf : y) d.push_back(level.owns(*leaf) && leaf->tangent ? leaf->tangent : zeros_of(*leaf));
  return d;
}

// Batch: the extent of the leading axis of all leaves; that axis hidden; and shown again in what f gave.
ERGO_ONCE std::int64_t mapped_extent(const LeafList& x) {
  if (x.empty()) throw_error("[vmap] no argument has a tensor to map over");
  for (const auto& a : x) {
    if (!a) throw_error("[vmap] an argument holds an empty tensor");
    Array* in[] = {x[0].get(), a.get()};
    if (a->shape.rank() == 0) fail("vmap", *a, "a tensor of rank 0 has no leading axis to map over");
    if (a->shape[0] != x[0]->shape[0]) fail("vmap", in, 2, "leading axes differ");
  }
  return x[0]->shape[0];
}
ERGO_ONCE void hide_axis(const OpenLevel& level, LeafList& x) {
  for (auto& a : x) {
    const Shape s = a->shape.last(a->shape.rank() - 1);
    a = level.trace(std::move(a), s, nullptr, {});
  }
}
ERGO_ONCE void show_axis(const OpenLevel& level, LeafList& y, std::int64_t n) {
  for (auto& a : y) {
    if (!a) continue;  // a carried leaf that f left empty
    if (level.owns(*a)) {
      Ref<Array> value = a->value;
      a = std::move(value);
    } else {
      const Shape s = Shape{n} + a->shape;
      a = broadcast_to(std::move(a), s);
    }
  }
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
        X dx = x;
        auto recorded = detail::record<Y>(f, dx, rest...);
        detail::assign_leaves(dx, detail::gradient_of(detail::loss_in(recorded.first), *recorded.second));
        return std::pair<Y, X>{std::move(recorded.first), std::move(dx)};
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
  auto recorded = detail::record<Y>(f, traced, rest...);
  auto pullback = [r = std::move(recorded.second), like = x, result = recorded.first](const Y& g) {
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
  return std::pair<Y, decltype(pullback)>{std::move(recorded.first), std::move(pullback)};
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
    detail::LeafList p = detail::leaves_of(x);
    const detail::OpenLevel level(detail::Mode::forward, nullptr);
    detail::trace_with_tangents(level, p, detail::leaves_of(dx));
    detail::assign_leaves(traced, std::move(p));
    Y y = f(std::as_const(traced), rest...);
    Y dy = y;
    detail::LeafList d = detail::tangents_of(level, detail::leaves_of(y));
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
    const std::int64_t n = detail::mapped_extent(v);
    const detail::OpenLevel level(detail::Mode::batch, nullptr, n);
    detail::hide_axis(level, v);
    detail::assign_leaves<all>(args, std::move(v));
    auto y = std::apply([&](const auto&... a) { return f(a...); }, args);
    detail::LeafList out = detail::leaves_of<all>(y);
    detail::show_axis(level, out, n);
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
