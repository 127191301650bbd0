// The few operations that derivative rules themselves need: add, negate, broadcast_to, sum_to, reshape, permute,
// stop_gradient. Movement is erased (AnyTensor) and acts on trailing axes, so the axes before them pass through vmap.
#pragma once

#include "ergo/autograd/fused_op.hpp"
#include "ergo/autograd/reduce_last.hpp"

namespace ergo::inline ERGO_BUILD {
namespace detail {

struct Add {
  using light = void;
  static constexpr auto name = "add";
  static constexpr Uses uses = Uses::nothing;
  static constexpr Domain domain = Domain::numbers;
  template <class A>
  static constexpr A value(const A& a, const A& b) {
    return a + b;
  }
  template <int, class A>
  static constexpr Constant<1> partial(const A&, const A&, const A&) {
    return {};
  }
};
struct Negate {
  static constexpr auto name = "negate";
  static constexpr Uses uses = Uses::nothing;
  static constexpr Domain domain = Domain::numbers;
  template <class A>
  static constexpr A value(const A& a) {
    return -a;
  }
  template <int, class A>
  static constexpr Constant<-1> partial(const A&, const A&) {
    return {};
  }
};

// s x + y, one pass: a step along a tree.
struct MultiplyAdd {
  static constexpr auto name = "axpy";
  static constexpr Uses uses = Uses::inputs;
  template <class A>
  static constexpr A value(const A& s, const A& x, const A& y) {
    return s * x + y;
  }
  template <int I, class A>
  static constexpr std::conditional_t<I == 2, Constant<1>, Argument<1 - I>> partial(const A&, const A&, const A&,
                                                                                    const A&) {
    return {};
  }
};

// f(T{}) for the floating type T of d.
template <class Do>
decltype(auto) with_floating(DType d, Do&& f) {
  switch (d) {
    case DType::float64:
      return f(double{});
    case DType::bfloat16:
      return f(bfloat16{});
    case DType::half:
      return f(half{});
    default:
      return f(float{});
  }
}

inline Ref<Array> add(Ref<Array> a, Ref<Array> b) {
  Array* in[] = {a.get(), b.get()};
  const std::uint64_t dying = std::uint64_t(unique(a->refs)) | std::uint64_t(unique(b->refs)) << 1;
  return with_floating(a->dtype, [&]<class T>(T) { return dispatch1(Pointwise<Add, T, T, T>::op, in, dying); });
}
inline Ref<Array> multiply(const Ref<Array>& a, const Ref<Array>& b) {
  Array* in[] = {a.get(), b.get()};
  return with_floating(a->dtype, [&]<class T>(T) { return dispatch1(Pointwise<Multiply, T, T, T>::op, in); });
}
inline Ref<Array> axpy(const Ref<Array>& s, const Ref<Array>& x, const Ref<Array>& y) {
  Array* in[] = {s.get(), x.get(), y.get()};
  return with_floating(x->dtype, [&]<class T>(T) { return dispatch1(Pointwise<MultiplyAdd, T, T, T, T>::op, in); });
}
inline Ref<Array> negate(Ref<Array> a) {
  Array* in[] = {a.get()};
  const auto dying = std::uint64_t(unique(a->refs));
  return with_floating(a->dtype, [&]<class T>(T) { return dispatch1(Pointwise<Negate, T, T>::op, in, dying); });
}

AnyTensor sum_last(const AnyTensor& g, int from, const Shape& to);
AnyTensor broadcast_last(const AnyTensor& x, int from, const Shape& to);

// The last `from` axes broadcast to `to`: a view with strides of 0.
struct BroadcastTo {
  using any_device = void;
  static constexpr auto name = "broadcast_to";
  int from;
  Shape to, original;
  int core_of(int) const { return from; }
  AnyTensor value(const AnyTensor& x) const {
    const Array& a = x.array();
    const int lead = x.rank() - from, gained = to.rank() - from;
    Ref<Array> r = Array::view(a, x.shape().first(lead) + to);
    for (int d = 0; d < lead; ++d) r->stride[d] = a.stride[d];
    for (int d = 0; d < to.rank(); ++d)
      r->stride[lead + d] = d < gained || a.shape[lead + d - gained] == 1 ? 0 : a.stride[lead + d - gained];
    r->settle();
    return AnyTensor(std::move(r));
  }
  AnyTensor transpose(const AnyTensor& g, const Shape&) const { return sum_last(g, to.rank(), original); }
};

// The last `from` axes summed to `to`, which broadcasts to them.
struct SumTo {
  using any_device = void;
  static constexpr auto name = "sum_to";
  int from;
  Shape to, original;
  int core_of(int) const { return from; }
  AnyTensor value(const AnyTensor& g) const {
    // The axes that vanish go to the back, in a view; the reduction takes it from there.
    const Array& a = g.array();
    const int lead = g.rank() - from, gained = from - to.rank();
    int order[kMaxRank], kept = 0, axes = 0;
    Shape result = g.shape().first(lead);
    for (int d = 0; d < lead; ++d) order[kept++] = d;
    for (int d = 0; d < from; ++d)
      if (d >= gained && (to[d - gained] != 1 || a.shape[lead + d] == 1)) order[kept++] = lead + d;
    for (int d = 0, k = kept; d < from; ++d)
      if (!(d >= gained && (to[d - gained] != 1 || a.shape[lead + d] == 1))) order[k++] = lead + d, ++axes;
    for (int d = 0; d < to.rank(); ++d) result.push(to[d]);
    Ref<Array> view = Array::view(a, a.shape);
    for (int d = 0; d < g.rank(); ++d) {
      view->shape[d] = a.shape[order[d]];
      view->stride[d] = a.stride[order[d]];
    }
    view->settle();
    Ref<Array> r = with_floating(a.dtype, [&]<class T>(T) { return reduce_last<cpu::SumOf, T>(name, *view, axes); });
    r->shape = result;
    r->set_row_major();
    return AnyTensor(std::move(r));
  }
  AnyTensor transpose(const AnyTensor& g, const Shape&) const { return broadcast_last(g, to.rank(), original); }
};

// The last `from` axes as `to`, in row-major order: a view where strides allow, else a copy.
struct Reshape {
  using any_device = void;
  static constexpr auto name = "reshape";
  int from;
  Shape to, original;
  int core_of(int) const { return from; }
  AnyTensor value(const AnyTensor& x) const {
    const Array& a = x.array();
    const int lead = x.rank() - from;
    Ref<Array> r = Array::view(a, x.shape().first(lead) + to);
    if (a.contiguous) {
      r->set_row_major();
      return AnyTensor(std::move(r));
    }
    if (viewed(a, *r, lead)) {
      r->settle();
      return AnyTensor(std::move(r));
    }
    Ref<Array> copy = dense(a);
    r = Array::view(*copy, r->shape);
    r->set_row_major();
    return AnyTensor(std::move(r));
  }
  AnyTensor transpose(const AnyTensor& g, const Shape&) const { return linear_op(Reshape{to.rank(), original, to}, g); }

 private:
  // Finds strides for r over the bytes of a: groups of axes with equal products, each dense within itself.
  static bool viewed(const Array& a, Array& r, int lead) {
    for (int d = 0; d < lead; ++d) r.stride[d] = a.stride[d];
    if (a.numel() == 0) {
      r.set_row_major();
      return true;
    }
    int i = lead, j = lead;
    const int ni = a.shape.rank(), nj = r.shape.rank();
    while (i < ni || j < nj) {
      int i1 = i, j1 = j;
      std::int64_t pi = i1 < ni ? a.shape[i1++] : 1, pj = j1 < nj ? r.shape[j1++] : 1;
      while (pi != pj) {
        if (pi < pj)
          pi *= a.shape[i1++];
        else
          pj *= r.shape[j1++];
      }
      // a's axes [i, i1) must be one run.
      std::int64_t step = 0;
      bool have = false;
      for (int d = i1; d-- > i;) {
        if (a.shape[d] == 1) continue;
        if (have && a.stride[d] != step) return false;
        if (!have) r.stride[nj > 0 ? j1 - 1 : 0] = a.stride[d];
        step = a.stride[d] * a.shape[d];
        have = true;
      }
      std::int64_t s = have && j1 > j ? r.stride[j1 - 1] : size_of(a.dtype);
      for (int d = j1; d-- > j;) {
        r.stride[d] = s;
        s *= r.shape[d];
      }
      i = i1;
      j = j1;
    }
    return true;
  }
};

// The last n axes in another order: a view.
struct Permute {
  using any_device = void;
  static constexpr auto name = "permute";
  int n;
  std::int8_t axis[kMaxRank];
  int core_of(int) const { return n; }
  AnyTensor value(const AnyTensor& x) const {
    const Array& a = x.array();
    const int lead = x.rank() - n;
    Ref<Array> r = Array::view(a, a.shape);
    for (int d = 0; d < lead; ++d) r->stride[d] = a.stride[d];
    for (int d = 0; d < n; ++d) {
      r->shape[lead + d] = a.shape[lead + axis[d]];
      r->stride[lead + d] = a.stride[lead + axis[d]];
    }
    r->settle();
    return AnyTensor(std::move(r));
  }
  AnyTensor transpose(const AnyTensor& g, const Shape&) const {
    Permute inverse{n, {}};
    for (int d = 0; d < n; ++d) inverse.axis[axis[d]] = std::int8_t(d);
    return linear_op(inverse, g);
  }
};

struct StopGradient {
  using any_device = void;
  static constexpr auto name = "stop_gradient";
  static constexpr bool constant = true;
  AnyTensor value(const AnyTensor& x) const { return x; }
};

inline AnyTensor sum_last(const AnyTensor& g, int from, const Shape& to) {
  const Shape s = g.shape().last(from);
  return s == to ? g : linear_op(SumTo{from, to, s}, g);
}
ERGO_ONCE AnyTensor broadcast_last(const AnyTensor& x, int from, const Shape& to) {
  const Shape s = x.shape().last(from);
  return s == to ? x : linear_op(BroadcastTo{from, to, s}, x);
}
inline Ref<Array> sum_to(Ref<Array> g, const Shape& s) {
  if (g->shape == s) return g;
  const int rank = g->shape.rank();
  return sum_last(AnyTensor(std::move(g)), rank, s).ref();
}
ERGO_ONCE Ref<Array> cotangent_of(const char* op, Ref<Array> d, const Shape& s) {
  if (d->shape == s) return d;
  Shape both = d->shape;
  if (!broadcast(both, s) || both != d->shape) fail(op, *d, {"this rule's cotangent does not fit the input ", s});
  return sum_to(std::move(d), s);
}
ERGO_ONCE Ref<Array> broadcast_to(Ref<Array> x, const Shape& s) {
  if (x->shape == s) return x;
  const int rank = x->shape.rank();
  return broadcast_last(AnyTensor(std::move(x)), rank, s).ref();
}
ERGO_ONCE Ref<Array> reshape(const Ref<Array>& x, const Shape& to) {
  if (x->shape == to) return x;
  return linear_op(Reshape{x->shape.rank(), to, x->shape}, AnyTensor(x)).ref();
}
inline Ref<Array> permute(const Ref<Array>& x, const std::int8_t* axis) {
  Permute p{x->shape.rank(), {}};
  for (int d = 0; d < p.n; ++d) p.axis[d] = axis[d];
  return linear_op(p, AnyTensor(x)).ref();
}

}  // namespace detail

// x, constant to every transform. What is to outlive a transform is stored through it.
template <class T>
Tensor<T> stop_gradient(const Tensor<T>& x) {
  return Tensor<T>(linear_op(detail::StopGradient{}, static_cast<const AnyTensor&>(x)));
}

}  // namespace ergo::inline ERGO_BUILD
