// The largest and smallest elements over axes, max and min, and where they lie, argmax and argmin. NaN wins; of equal
// elements argmax points at the first, while max shares its derivative among them, at every order. Of nothing: an
// Error.
#pragma once

#include "ergo/cpu/arg_extremum.hpp"
#include "ergo/cpu/rows.hpp"
#include "ergo/ops/reduction.hpp"
#if defined(__CUDACC__) || defined(ERGO_EMULATED)
#include "ergo/cuda/statistics.hpp"
#endif

namespace ergo::inline ERGO_BUILD {

namespace detail {

template <class M>
inline constexpr const char* extremum_name = std::is_same_v<M, cpu::MaxOf> ? "max" : "min";

// What an element of a set of `count` gets of g: x is in the set where it equals top.
struct ShareAmongEquals {
  static constexpr auto name = "max";
  template <class A>
  static constexpr A value(const A& g, const A& x, const A& top, const A& count) {
    return where(x == top, g / count, A(0));
  }
};

// The elements of x (..., n) equal to top (...), one set a row; from them come two linear operations, each the
// transpose of the other. Chosen: the mean of a (..., n) over the set, exactly a's value where all of those are equal.
template <bool Share, class M>
struct Chosen {
  static constexpr auto name = extremum_name<M>;
  std::int64_t n;
  int core_of(int i) const { return Share ? (i == 1 ? 1 : 0) : (i == 2 ? 0 : 1); }
  template <class T>
  Tensor<T> value(const Tensor<T>& a, const Tensor<T>& x, const Tensor<T>& top) const {
    using C = Compute<T>;
    const cpu::detail::Aligned<3> all({&a.array(), &x.array(), &top.array()}, {core_of(0), core_of(1), core_of(2)});
    Ref<Array> in[3];
    for (int i = 0; i < 3; ++i) in[i] = cpu::detail::computable(*all.array[i]);
    const Ref<Array> y = Array::make(dtype_of<C>, Share ? all.array[1]->shape : all.lead);
    const C *from = data_of<C>(*in[0]), *rows = data_of<C>(*in[1]), *tops = data_of<C>(*in[2]);
    C* to = data_of<C>(*y);
    parallel_for(all.lead.numel(), 1 + 16383 / (n + 1), [=, n = n](std::int64_t begin, std::int64_t end) {
      for (std::int64_t r = begin; r < end; ++r) {
        const C *row = rows + r * n, wanted = tops[r];
        C count = 0;
        for (std::int64_t i = 0; i < n; ++i) count += C(row[i] == wanted);
        if constexpr (Share) {
          const C part = from[r] / count;
          for (std::int64_t i = 0; i < n; ++i) to[r * n + i] = row[i] == wanted ? part : C(0);
        } else {
          const C* values = from + r * n;
          std::int64_t first = 0;
          while (first < n && row[first] != wanted) ++first;
          C rest = 0;
          for (std::int64_t i = first; i < n; ++i)
            if (row[i] == wanted && values[i] != values[first]) rest += values[i] - values[first];
          to[r] = first == n ? C(__builtin_nan("")) : values[first] + rest / count;
        }
      }
    });
    return Tensor<T>(cpu::detail::stored_as(y, dtype_of<T>));
  }
#if defined(__CUDACC__) || defined(ERGO_EMULATED)
  template <class T>
  Tensor<T> cuda(const Tensor<T>& a, const Tensor<T>& x, const Tensor<T>& top) const {
    using C = Compute<T>;
    if constexpr (Share) {
      const Tensor<C> count = ergo::cuda::extremum_count<typename OfDevice<M>::type>(name, x);
      const Tensor<T> g = as_column(a), tops = as_column(top);
      const Tensor<C> counts = as_column(count);
      Array* in[] = {&g.array(), &x.array(), &tops.array(), &counts.array()};
      return Tensor<T>(dispatch1(Pointwise<ShareAmongEquals, T, T, T, T, C>::op, in));
    } else if constexpr (!std::is_same_v<T, C>) {
      return cast<T>(cuda(cast<C>(a), cast<C>(x), cast<C>(top)));
    } else {
      const Tensor<bool> set = x == as_column(top);
      const Tensor<T> count = sum(cast<T>(set), -1, true);
      const Tensor<T> first(reduce_last<ergo::cpu::MaxOf, T>(name, where(set, a, -__builtin_inf()).array(), 1));
      const Tensor<T> rest = where(set, a - as_column(first), 0);
      return first + sum(rest, -1) / Tensor<T>(reshape(count.ref(), first.shape()));
    }
  }
#endif
  template <class T>
  Tensor<T> transpose(const Tensor<T>& g, const Shape&, const Tensor<T>& x, const Tensor<T>& top) const {
    return linear_op(Chosen<!Share, M>{n}, g, x, top);
  }
};

// The extremum along the last axis: by definition the mean of the elements equal to it.
template <class M>
struct Extremum {
  using any_device = void;
  static constexpr auto name = extremum_name<M>;
  static constexpr Uses uses = Uses::all;
  static constexpr int core[] = {1};
  static constexpr bool has_vjp = true;
  template <class T>
  Tensor<T> cpu(const Tensor<T>& x) const {
    return Tensor<T>(reduce_last<M, T>(name, x.array(), 1));
  }
  template <class T>
  Tensor<T> definition(const Tensor<T>& x) const {
    const Tensor<T> fixed = stop_gradient(x);
    return linear_op(Chosen<false, M>{x.shape()[-1]}, x, fixed, fused_op(Extremum{}, fixed));
  }
  template <class T>
  Tensor<T> vjp(const Tensor<T>& g, const Tensor<T>& y, const Tensor<T>& x) const {
    return linear_op(Chosen<true, M>{x.shape()[-1]}, g, stop_gradient(x), stop_gradient(y));
  }
};

// The position along the last axis.
template <class M, class Out>
struct ArgExtremum {
  static constexpr auto name = std::is_same_v<M, cpu::MaxOf> ? "argmax" : "argmin";
  static constexpr bool constant = true;
  static constexpr int core[] = {1};
  template <class T>
  Tensor<Out> value(const Tensor<T>& x) const {
    using C = std::conditional_t<std::is_same_v<T, bool>, std::uint8_t, Compute<T>>;
    const Ref<Array> from = cpu::is_storage_only(x.dtype()) ? cpu::widened(x.array()) : dense(x.array());
    const std::int64_t n = x.shape()[-1];
    const Tensor<Out> y = make_tensor<Out>(x.shape().first(x.rank() - 1));
    const cpu::Scratch<std::int64_t> at(y.numel());
    if (n > 0) cpu::arg_extremum<M, C>(data_of<C>(*from), y.numel(), n, at.data());
    for (std::int64_t i = 0; i < y.numel(); ++i) data_of<Out>(y.array())[i] = Out(at.data()[i]);
    return y;
  }
#if defined(__CUDACC__) || defined(ERGO_EMULATED)
  template <class T>
  Tensor<Out> cuda(const Tensor<T>& x) const {
    return ergo::cuda::arg_extremum<typename OfDevice<M>::type, Out>(name, x);
  }
#endif
};

[[noreturn, gnu::cold]] ERGO_ONCE void fail_extremum(const char* op, const AnyTensor& x) {
  fail(op, x.array(), "no elements along the reduced axes: nothing has no largest or smallest element");
}
template <class M, class T>
Tensor<T> extremum_over(const AnyTensor& x, const Over& over) {
  static_assert(!std::is_same_v<T, bool>, "max and min of bools: write any(x), all(x)");
  const LastAxis last(x, over);
  if (over.count(x.shape()) == 0 && last.rows().shape().first(last.rows().rank() - 1).numel() != 0)
    fail_extremum(extremum_name<M>, x);
  if constexpr (std::is_same_v<T, bool>)
    return Tensor<T>();
  else if constexpr (Floating<T>)
    return last.result(fused_op(Extremum<M>{}, last.rows<T>()));
  else
    return last.result(linear_op(ConstantReduction<M>{}, last.rows<T>()));
}
template <class M, class Out, class T>
Tensor<Out> arg_over(const char* op, const Tensor<T>& x, const Over& over) {
  const LastAxis last(x, over);
  const std::int64_t n = over.count(x.shape());
  if (n == 0 && last.rows().shape().first(last.rows().rank() - 1).numel() != 0) fail_extremum(op, x);
  if (n > 0 && !std::in_range<Out>(n - 1))
    fail(op, x.array(), {n, " positions do not fit ", dtype_of<Out>, ": ", op, "<int64_t>(x)"});
  return last.result(linear_op(ArgExtremum<M, Out>{}, last.rows<T>()));
}

}  // namespace detail

// The largest element, the smallest; NaN if there is one.
template <class T>
Tensor<T> max(const Tensor<T>& x) {
  return detail::extremum_over<cpu::MaxOf, T>(x, detail::Over::all(x));
}
template <class T>
Tensor<T> max(const Tensor<T>& x, const Axes& axes, bool keepdims = false) {
  return detail::extremum_over<cpu::MaxOf, T>(x, detail::Over::axes("max", x, axes, keepdims));
}
template <class T>
Tensor<T> min(const Tensor<T>& x) {
  return detail::extremum_over<cpu::MinOf, T>(x, detail::Over::all(x));
}
template <class T>
Tensor<T> min(const Tensor<T>& x, const Axes& axes, bool keepdims = false) {
  return detail::extremum_over<cpu::MinOf, T>(x, detail::Over::axes("min", x, axes, keepdims));
}

// The position of the first largest (smallest) element along an axis, or in row-major order over several or all; the
// first NaN if there is one. int32, or what is asked for: argmax<std::int64_t>(x, 0).
template <Index Out = std::int32_t, class T>
Tensor<Out> argmax(const Tensor<T>& x) {
  return detail::arg_over<cpu::MaxOf, Out>("argmax", x, detail::Over::all(x));
}
template <Index Out = std::int32_t, class T>
Tensor<Out> argmax(const Tensor<T>& x, const Axes& axes, bool keepdims = false) {
  return detail::arg_over<cpu::MaxOf, Out>("argmax", x, detail::Over::axes("argmax", x, axes, keepdims));
}
template <Index Out = std::int32_t, class T>
Tensor<Out> argmin(const Tensor<T>& x) {
  return detail::arg_over<cpu::MinOf, Out>("argmin", x, detail::Over::all(x));
}
template <Index Out = std::int32_t, class T>
Tensor<Out> argmin(const Tensor<T>& x, const Axes& axes, bool keepdims = false) {
  return detail::arg_over<cpu::MinOf, Out>("argmin", x, detail::Over::axes("argmin", x, axes, keepdims));
}

}  // namespace ergo::inline ERGO_BUILD
