// Sums, means, products, and the logical all and any, over all axes, one, or a list. float and the 16-bit types are
// added in float on a fixed tree, integers and bool to 64-bit integers. Of nothing: sum 0, mean NaN, prod 1, all true,
// any false.
//
//   sum(x)   sum(x, -1)   sum(x, {0, 2}, true)     // true keeps the reduced axes as extents of 1
//
// The derivative of prod is made of products of the other elements, by halves, so that zeros are exact at every order.
#pragma once

#include "ergo/ops/arithmetic.hpp"
#include "ergo/ops/axes.hpp"

namespace ergo::inline ERGO_BUILD {

namespace detail {

// Which of the last `rank` axes vanish; `keep` leaves extents of 1.
struct Over {
  int rank;
  AxisSet set;  // counted from the front of those `rank`
  bool keep;

  static Over all(const AnyTensor& x) { return {x.rank(), AxisSet::all(x.rank()), false}; }
  static Over axes(const char* op, const AnyTensor& x, const Axes& given, bool keep) {
    return {x.rank(), resolve_axes(op, x.array(), given), keep};
  }
  int kept_rank() const { return keep ? rank : rank - set.count(); }
  // The result's shape for one of x; with ones at the reduced axes if `keeping`.
  Shape result(const Shape& x, bool keeping) const {
    Shape s = x.first(x.rank() - rank);
    for (int d = 0; d < rank; ++d) {
      if (!set[d]) s.push(x[x.rank() - rank + d]);
      if (set[d] && keeping) s.push(1);
    }
    return s;
  }
  // The elements reduced to one.
  std::int64_t count(const Shape& x) const {
    std::int64_t n = 1;
    for (int d = 0; d < rank; ++d)
      if (set[d]) n *= x[x.rank() - rank + d];
    return n;
  }
  // The order of all axes of an array of `full` axes with the reduced ones last.
  void order(int full, std::int8_t* to) const {
    const int lead = full - rank;
    int n = 0;
    for (int d = 0; d < lead; ++d) to[n++] = std::int8_t(d);
    for (int d = 0; d < rank; ++d)
      if (!set[d]) to[n++] = std::int8_t(lead + d);
    for (int d = 0; d < rank; ++d)
      if (set[d]) to[n++] = std::int8_t(lead + d);
  }
};

// y times a number, computed in float for the 16-bit types and rounded once.
inline Ref<Array> times(const Array& y, double factor) {
  if (!y.device.is_cpu())
    return with_floating(y.dtype, [&]<class T>(T) {
      const Tensor<Compute<T>> f = make_tensor<Compute<T>>(Shape{});
      *data_of<Compute<T>>(f.array()) = Compute<T>(factor);
      Array* in[] = {const_cast<Array*>(&y), &f.array()};
      Ref<Array> r;
      Pointwise<Multiply, T, T, Compute<T>>::op.value(in, &r, 0);
      return r;
    });
  const Ref<Array> from = cpu::is_storage_only(y.dtype) ? cpu::widened(y) : dense(y);
  Ref<Array> r = Array::make(from->dtype, y.shape);
  const auto run = [&]<class T>(T f) {
    const T* p = data_of<T>(*from);
    T* q = data_of<T>(*r);
    parallel_for(r->numel(), cpu::kPointwiseGrain, [=](std::int64_t begin, std::int64_t end) {
      for (std::int64_t i = begin; i < end; ++i) q[i] = p[i] * f;
    });
  };
  if (r->dtype == DType::float64)
    run(factor);
  else
    run(float(factor));
  return r->dtype == y.dtype ? std::move(r) : cpu::narrowed(*r, y.dtype);
}

template <bool Mean>
AnyTensor spread(const Over& over, const AnyTensor& g, const Shape& to);

// The sum, or the mean, over axes of the last `over.rank`.
template <bool Mean>
struct Sum {
  static constexpr auto name = Mean ? "mean" : "sum";
  using any_device = void;
  Over over;
  int core_of(int) const { return over.rank; }
  AnyTensor value(const AnyTensor& x) const {
    const bool widens = x.device().is_cpu() && cpu::is_storage_only(x.dtype());
    const Ref<Array> from = widens ? cpu::widened(x.array()) : x.ref();
    std::int8_t order[kMaxRank];
    over.order(x.rank(), order);
    const Ref<Array> view = Array::view(*from, from->shape);
    for (int d = 0; d < x.rank(); ++d) {
      view->shape[d] = from->shape[order[d]];
      view->stride[d] = from->stride[order[d]];
    }
    view->settle();
    Ref<Array> r = x.device().is_cpu()
                       ? on_cpu(*view, over.count(x.shape()))
                       : sum_on_device(name, *view, over.set.count(), Mean ? double(over.count(x.shape())) : 1.0);
    if (r->dtype != x.dtype()) r = cpu::narrowed(*r, x.dtype());
    r->shape = over.result(x.shape(), over.keep);
    r->set_row_major();
    return AnyTensor(std::move(r));
  }
  AnyTensor transpose(const AnyTensor& g, const Shape& s) const { return spread<Mean>(over, g, s.last(over.rank)); }

 private:
  Ref<Array> on_cpu(const Array& x, std::int64_t n) const {
    const int axes = over.set.count();
    Ref<Array> r = x.dtype == DType::float64 ? cpu::reduce_last<cpu::SumOf, double>(x, axes)
                                             : cpu::reduce_last<cpu::SumOf, float>(x, axes);
    if constexpr (Mean) divide(*r, n);
    return r;
  }
  static void divide(const Array& y, std::int64_t n) {
    const auto run = [&]<class T>(T by) {
      T* p = data_of<T>(y);
      for (std::int64_t i = 0, m = y.numel(); i < m; ++i) p[i] /= by;
    };
    if (y.dtype == DType::float64)
      run(double(n));
    else
      run(float(n));
  }
};

// The transpose of Sum: g (over `count` for Mean) at every element of the trailing shape `to`.
template <bool Mean>
struct Spread {
  static constexpr auto name = Mean ? "mean" : "sum";
  using any_device = void;
  Over over;
  Shape to;
  int core_of(int) const { return over.kept_rank(); }
  AnyTensor value(const AnyTensor& g) const {
    const std::int64_t n = over.count(to);
    const Ref<Array> from = Mean && n > 1 ? times(g.array(), 1.0 / double(n)) : g.ref();
    const int lead = g.rank() - over.kept_rank();
    Ref<Array> r = Array::view(*from, g.shape().first(lead) + to);
    for (int d = 0; d < lead; ++d) r->stride[d] = from->stride[d];
    for (int d = 0, k = lead; d < over.rank; ++d) {
      r->stride[lead + d] = over.set[d] ? 0 : from->stride[k];
      if (!over.set[d] || over.keep) ++k;
    }
    r->settle();
    return AnyTensor(std::move(r));
  }
  AnyTensor transpose(const AnyTensor& g, const Shape&) const { return linear_op(Sum<Mean>{over}, g); }
};
template <bool Mean>
AnyTensor spread(const Over& over, const AnyTensor& g, const Shape& to) {
  return linear_op(Spread<Mean>{over, to}, g);
}

// x with the axes of a reduction as one last axis, and the way back to the result's shape: for operations that work
// along the last axis. Views where strides allow; differentiable.
class LastAxis {
 public:
  LastAxis(const AnyTensor& x, const Over& over) : result_(over.result(x.shape(), over.keep)) {
    std::int8_t order[kMaxRank];
    over.order(x.rank(), order);
    bool moved = false;
    for (int d = 0; d < x.rank(); ++d) moved = moved || order[d] != d;
    Ref<Array> a = moved ? permute(x.ref(), order) : x.ref();
    if (over.set.count() != 1) a = reshape(a, over.result(x.shape(), false) + Shape{over.count(x.shape())});
    rows_ = AnyTensor(std::move(a));
  }
  explicit LastAxis(const AnyTensor& x) : LastAxis(x, Over::all(x)) {}
  LastAxis(const char* op, const AnyTensor& x, const Axes& axes, bool keep)
      : LastAxis(x, Over::axes(op, x, axes, keep)) {}

  template <class T>
  Tensor<T> rows() const {
    return Tensor<T>(rows_);
  }
  const AnyTensor& rows() const { return rows_; }
  template <class T>
  Tensor<T> result(const Tensor<T>& y) const {
    return Tensor<T>(reshape(y.ref(), result_));
  }

 private:
  AnyTensor rows_;
  Shape result_;
};

// y (...) as (..., 1).
template <class T>
Tensor<T> as_column(const Tensor<T>& y) {
  return Tensor<T>(reshape(y.ref(), y.shape() + Shape{1}));
}

template <class T>
Tensor<T> squared(const Tensor<T>& x) {
  return x * x;
}

// A reduction of the last axis that has no derivative: of integers and bools.
template <class M>
struct ConstantReduction {
  using any_device = void;
  static constexpr auto name = "reduction";
  static constexpr bool constant = true;
  static constexpr int core[] = {1};
  template <class T>
  using Out = std::conditional_t<std::is_same_v<cpu::detail::AccumulatorOf<M, T>, std::uint8_t>, T,
                                 cpu::detail::AccumulatorOf<M, T>>;
  template <class T>
  Tensor<Out<T>> value(const Tensor<T>& x) const {
    return Tensor<Out<T>>(reduce_last<M, T>(name, x.array(), 1));
  }
};

template <bool Mean, class T>
auto sum_over(const Tensor<T>& x, const Over& over) {
  if constexpr (Floating<T>) {
    return Tensor<T>(linear_op(Sum<Mean>{over}, static_cast<const AnyTensor&>(x)));
  } else {
    static_assert(!Mean, "the mean of integers or bools: cast<float>(x) first");
    const LastAxis last(x, over);
    return last.result(linear_op(ConstantReduction<cpu::SumOf>{}, last.rows<T>()));
  }
}

// The product along the last axis. By definition halves are multiplied until one element is left: no division.
struct Product {
  using any_device = void;
  static constexpr auto name = "prod";
  static constexpr Uses uses = Uses::inputs;
  static constexpr int core[] = {1};
  template <class T>
  Tensor<T> cpu(const Tensor<T>& x) const {
    return Tensor<T>(reduce_last<ergo::cpu::ProductOf, T>(name, x.array(), 1));
  }
  template <class T>
  Tensor<T> definition(const Tensor<T>& x) const {
    if constexpr (!std::is_same_v<T, Compute<T>>) {
      return cast<T>(definition(cast<Compute<T>>(x)));
    } else {
      Tensor<T> rest, all = x;
      std::int64_t n = x.shape()[-1];
      if (n == 0) return ones<T>(x.shape().first(x.rank() - 1), x.device());
      for (; n > 1; n /= 2) {
        if (n % 2) rest = rest.defined() ? rest * part(all, n - 1, 1) : part(all, n - 1, 1);
        all = part(all, 0, n / 2) * part(all, n / 2, n / 2);
      }
      if (rest.defined()) all = all * rest;
      return Tensor<T>(reshape(all.ref(), x.shape().first(x.rank() - 1)));
    }
  }

 private:
  template <class T>
  static Tensor<T> part(const Tensor<T>& x, std::int64_t begin, std::int64_t n) {
    Array* in[] = {&x.array()};
    return Tensor<T>(dispatch1(SliceOp(1, begin, n, 1, false), in));
  }
};
template <class T>
auto product_over(const LastAxis& last) {
  if constexpr (Floating<T>)
    return last.result(fused_op(Product{}, last.rows<T>()));
  else
    return last.result(linear_op(ConstantReduction<ergo::cpu::ProductOf>{}, last.rows<T>()));
}

template <class M>
Tensor<bool> logical_over(const LastAxis& last) {
  return last.result(linear_op(ConstantReduction<M>{}, last.rows<bool>()));
}

}  // namespace detail

// The sum of all elements, or over axes; of integers and bools a Tensor<int64_t>.
template <class T>
auto sum(const Tensor<T>& x) {
  return detail::sum_over<false>(x, detail::Over::all(x));
}
template <class T>
auto sum(const Tensor<T>& x, const Axes& axes, bool keepdims = false) {
  return detail::sum_over<false>(x, detail::Over::axes("sum", x, axes, keepdims));
}

// The mean; of nothing NaN.
template <class T>
auto mean(const Tensor<T>& x) {
  return detail::sum_over<true>(x, detail::Over::all(x));
}
template <class T>
auto mean(const Tensor<T>& x, const Axes& axes, bool keepdims = false) {
  return detail::sum_over<true>(x, detail::Over::axes("mean", x, axes, keepdims));
}

// The product; of integers and bools a Tensor<int64_t>.
template <class T>
auto prod(const Tensor<T>& x) {
  return detail::product_over<T>(detail::LastAxis(x));
}
template <class T>
auto prod(const Tensor<T>& x, const Axes& axes, bool keepdims = false) {
  return detail::product_over<T>(detail::LastAxis("prod", x, axes, keepdims));
}

// Whether all, whether any of them are true.
inline Tensor<bool> all(const Tensor<bool>& x) { return detail::logical_over<cpu::MinOf>(detail::LastAxis(x)); }
inline Tensor<bool> all(const Tensor<bool>& x, const Axes& axes, bool keepdims = false) {
  return detail::logical_over<cpu::MinOf>(detail::LastAxis("all", x, axes, keepdims));
}
inline Tensor<bool> any(const Tensor<bool>& x) { return detail::logical_over<cpu::MaxOf>(detail::LastAxis(x)); }
inline Tensor<bool> any(const Tensor<bool>& x, const Axes& axes, bool keepdims = false) {
  return detail::logical_over<cpu::MaxOf>(detail::LastAxis("any", x, axes, keepdims));
}

}  // namespace ergo::inline ERGO_BUILD
