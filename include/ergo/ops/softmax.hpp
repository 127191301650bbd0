// softmax, log_softmax and logsumexp along axes: neither overflows, none loses its tail. A row of -infinity gives NaN
// (logsumexp: -infinity, with gradient 0), +infinity shares equally; with a mask a row in which nothing takes part is 0
// (log_softmax: -infinity).
#pragma once

#include "ergo/cpu/softmax_rows.hpp"
#include "ergo/ops/exponential.hpp"
#include "ergo/ops/reduction.hpp"
#include "ergo/ops/safe_division.hpp"
#if defined(__CUDACC__) || defined(ERGO_EMULATED)
#include "ergo/cuda/softmax.hpp"
#endif

namespace ergo::inline ERGO_BUILD {

// mask: true takes part; broadcast to x.
struct SoftmaxOptions {
  Tensor<bool> mask = {};
};

namespace detail {

// What the definitions are made of. NaN for the maximum of a row of -infinity.
struct EmptyIsNaN {
  static constexpr auto name = "softmax";
  static constexpr Uses uses = Uses::nothing;
  template <class A>
  static constexpr A value(const A& top) {
    return where(top == A(-__builtin_inf()), A(__builtin_nan("")), top);
  }
};
// The maximum of each row, a constant; NaN for a row of -infinity if that shall be
// NaN.
struct RowMax {
  static constexpr auto name = "softmax";
  static constexpr bool constant = true;
  static constexpr int core[] = {1};
  bool empty_is_zero;
  template <class T>
  Tensor<T> value(const Tensor<T>& x) const {
    const Ref<Array> from = dense(x.array());
    const Tensor<T> y = make_tensor<T>(x.shape().first(x.rank() - 1) + Shape{1});
    const T* const in[] = {data_of<T>(*from)};
    T* const out[] = {static_cast<T*>(nullptr)};
    T* tops = data_of<T>(y.array());
    cpu::detail::for_rows(
        in, out, y.numel(), x.shape()[-1], [&](const T* const* p, T* const*, std::int64_t first, std::int64_t rows) {
          cpu::for_isa<cpu::detail::RowMaxBody<T>>(p[0], tops + first, rows, x.shape()[-1], empty_is_zero);
        });
    return y;
  }
#if defined(__CUDACC__) || defined(ERGO_EMULATED)
  template <class T>
  Tensor<T> cuda(const Tensor<T>& x) const {
    const Tensor<T> y(reduce_last<ergo::cpu::MaxOf, T>(name, x.array(), 1));
    return Tensor<T>(reshape((empty_is_zero ? y : pointwise_op(EmptyIsNaN{}, y)).ref(), y.shape() + Shape{1}));
  }
#endif
};
// x - top with slope 1 in x and none in top; 0 for equal infinities, but -infinity in a row of such.
struct BelowMaximum {
  static constexpr auto name = "softmax";
  static constexpr Uses uses = Uses::nothing;
  using rare = void;
  template <class A>
  static constexpr A value(const A& x, const A& top) {
    return where(x == top, where(top == A(-__builtin_inf()), top, A(0)), x - top);
  }
  template <int I, class A>
  static constexpr Constant<I == 0 ? 1 : 0> partial(const A&, const A&, const A&) {
    return {};
  }
};
// log s, where no weight at all, s = 0, counts as 1.
struct WeightLogarithm {
  static constexpr auto name = "log_softmax";
  static constexpr Uses uses = Uses::inputs;
  using rare = void;
  template <class A>
  static constexpr A value(const A& s) {
    return math::log(where(s == A(0), A(1), s));
  }
  template <int, class A>
  static constexpr A partial(const A&, const A& s) {
    return or_zero<SafeReciprocal>(s);
  }
};
// x where the mask lets it take part, else -infinity.
struct TakesPart {
  static constexpr auto name = "softmax";
  static constexpr Uses uses = Uses::inputs;
  template <class C, class A>
  static constexpr A value(const C& taken, const A& x) {
    return where(taken, x, A(-__builtin_inf()));
  }
  template <int I, class C, class A>
  static constexpr A partial(const A&, const C& taken, const A&) {
    if constexpr (is_tensor<A>)
      return cast<typename A::value_type>(taken);
    else
      return where(taken, A(1), A(0));
  }
};
template <class T>
Tensor<T> below_maximum(const Tensor<T>& x, bool empty_is_zero) {
  return pointwise_op(BelowMaximum{}, x, linear_op(RowMax{empty_is_zero}, stop_gradient(x)));
}

// The rows of kernels on 1 or 2 operands of one shape, computed in float or double; f(from, to, rows, n).
template <class T, class F>
Tensor<T> run_kernel(const Tensor<T>& x, const F& f) {
  using C = Compute<T>;
  const Ref<Array> from = cpu::detail::computable(x.array()), y = Array::make(dtype_of<C>, x.shape());
  const std::int64_t n = x.shape()[-1];
  const C* const in[] = {data_of<C>(*from)};
  C* const out[] = {data_of<C>(*y)};
  cpu::detail::for_rows(
      in, out, n ? y->numel() / n : 0, n,
      [&](const C* const* p, C* const* q, std::int64_t, std::int64_t rows) { f(p[0], q[0], rows, n); });
  return Tensor<T>(cpu::detail::stored_as(y, dtype_of<T>));
}
template <class Body, class T>
Tensor<T> run_rule(const Tensor<T>& g, const Tensor<T>& y) {
  using C = Compute<T>;
  const cpu::detail::Aligned<2> both({&g.array(), &y.array()}, {1, 1});
  const Ref<Array> left = cpu::detail::computable(*both.array[0]), right = cpu::detail::computable(*both.array[1]);
  const Ref<Array> dx = Array::make(dtype_of<C>, left->shape);
  const std::int64_t n = left->shape[-1];
  const C* const in[] = {data_of<C>(*left), data_of<C>(*right)};
  C* const out[] = {data_of<C>(*dx)};
  cpu::detail::for_rows(in, out, n ? dx->numel() / n : 0, n,
                        [&](const C* const* p, C* const* q, std::int64_t, std::int64_t rows) {
                          cpu::for_isa<Body>(p[0], p[1], q[0], rows, n);
                        });
  return Tensor<T>(cpu::detail::stored_as(dx, dtype_of<T>));
}

struct SoftmaxVjp {  // y (g - sum(g y))
  static constexpr auto name = "softmax";
  static constexpr int core[] = {1, 1};
  template <class T>
  Tensor<T> cpu(const Tensor<T>& g, const Tensor<T>& y) const {
    return run_rule<ergo::cpu::detail::SoftmaxVjpBody<Compute<T>>>(g, y);
  }
#if defined(__CUDACC__) || defined(ERGO_EMULATED)
  template <class T>
  Tensor<T> cuda(const Tensor<T>& g, const Tensor<T>& y) const {
    return ergo::cuda::softmax_vjp(g, y);
  }
#endif
  template <class T>
  Tensor<T> definition(const Tensor<T>& g, const Tensor<T>& y) const {
    return y * (g - sum(g * y, -1, true));
  }
};
struct LogSoftmaxVjp {  // g - e^y sum(g)
  static constexpr auto name = "log_softmax";
  static constexpr int core[] = {1, 1};
  template <class T>
  Tensor<T> cpu(const Tensor<T>& g, const Tensor<T>& y) const {
    return run_rule<ergo::cpu::detail::LogSoftmaxVjpBody<Compute<T>>>(g, y);
  }
#if defined(__CUDACC__) || defined(ERGO_EMULATED)
  template <class T>
  Tensor<T> cuda(const Tensor<T>& g, const Tensor<T>& y) const {
    return ergo::cuda::log_softmax_vjp(g, y);
  }
#endif
  template <class T>
  Tensor<T> definition(const Tensor<T>& g, const Tensor<T>& y) const {
    return g - exp(y) * sum(g, -1, true);
  }
};

struct Softmax {
  static constexpr auto name = "softmax";
  static constexpr Uses uses = Uses::output;
  static constexpr int core[] = {1};
  static constexpr bool has_vjp = true;
  bool empty_is_zero;
  template <class T>
  Tensor<T> cpu(const Tensor<T>& x) const {
    using C = Compute<T>;
    return run_kernel(x, [&](const C* from, C* to, std::int64_t rows, std::int64_t n) {
      using namespace ergo::cpu::detail;
      ergo::cpu::for_isa<SoftmaxBody<C>>(from, to, rows, n, empty_is_zero, SoftmaxExtras<C>{});
    });
  }
#if defined(__CUDACC__) || defined(ERGO_EMULATED)
  template <class T>
  Tensor<T> cuda(const Tensor<T>& x) const {
    return ergo::cuda::softmax(x, empty_is_zero);
  }
#endif
  template <class T>
  Tensor<T> definition(const Tensor<T>& x) const {
    if constexpr (!std::is_same_v<T, Compute<T>>) {
      return cast<T>(definition(cast<Compute<T>>(x)));
    } else {
      if (x.numel() == 0) return x;
      const Tensor<T> e = exp(below_maximum(x, empty_is_zero));
      return e * or_zero<SafeReciprocal>(sum(e, -1, true));
    }
  }
  template <class T>
  Tensor<T> vjp(const Tensor<T>& g, const Tensor<T>& y, const Tensor<T>&) const {
    return fused_op(SoftmaxVjp{}, g, y);
  }
};
struct LogSoftmax {
  static constexpr auto name = "log_softmax";
  static constexpr Uses uses = Uses::output;
  static constexpr int core[] = {1};
  static constexpr bool has_vjp = true;
  bool empty_is_zero;
  template <class T>
  Tensor<T> cpu(const Tensor<T>& x) const {
    using C = Compute<T>;
    return run_kernel(x, [&](const C* from, C* to, std::int64_t rows, std::int64_t n) {
      ergo::cpu::detail::log_softmax_rows(from, to, rows, n, empty_is_zero);
    });
  }
#if defined(__CUDACC__) || defined(ERGO_EMULATED)
  template <class T>
  Tensor<T> cuda(const Tensor<T>& x) const {
    return ergo::cuda::log_softmax(x, empty_is_zero);
  }
#endif
  template <class T>
  Tensor<T> definition(const Tensor<T>& x) const {
    if constexpr (!std::is_same_v<T, Compute<T>>) {
      return cast<T>(definition(cast<Compute<T>>(x)));
    } else {
      if (x.numel() == 0) return x;
      const Tensor<T> z = below_maximum(x, empty_is_zero);
      return z - pointwise_op(WeightLogarithm{}, sum(exp(z), -1, true));
    }
  }
  template <class T>
  Tensor<T> vjp(const Tensor<T>& g, const Tensor<T>& y, const Tensor<T>&) const {
    return fused_op(LogSoftmaxVjp{}, g, y);
  }
};

struct LogSumExp {
  static constexpr auto name = "logsumexp";
  static constexpr Uses uses = Uses::inputs;
  static constexpr int core[] = {1};
  static constexpr bool has_vjp = true;
  template <class T>
  Tensor<T> cpu(const Tensor<T>& x) const {
    using C = Compute<T>;
    const Ref<Array> from = ergo::cpu::detail::computable(x.array());
    Ref<Array> y = Array::make(dtype_of<C>, x.shape().first(x.rank() - 1));
    ergo::cpu::detail::log_sum_exp(data_of<C>(*from), data_of<C>(*y), y->numel(), x.shape()[-1]);
    return Tensor<T>(ergo::cpu::detail::stored_as(std::move(y), dtype_of<T>));
  }
#if defined(__CUDACC__) || defined(ERGO_EMULATED)
  template <class T>
  Tensor<T> cuda(const Tensor<T>& x) const {
    return ergo::cuda::logsumexp(x);
  }
#endif
  template <class T>
  Tensor<T> definition(const Tensor<T>& x) const {
    if constexpr (!std::is_same_v<T, Compute<T>>) {
      return cast<T>(definition(cast<Compute<T>>(x)));
    } else {
      const Shape rows = x.shape().first(x.rank() - 1);
      if (x.shape()[-1] == 0) return fused_op(LogSumExp{}, stop_gradient(x));
      const Tensor<T> top = linear_op(RowMax{true}, stop_gradient(x));
      const Tensor<T> total = sum(exp(pointwise_op(BelowMaximum{}, x, top)), -1, true);
      return Tensor<T>(reshape((top + pointwise_op(WeightLogarithm{}, total)).ref(), rows));
    }
  }
  template <class T>
  Tensor<T> vjp(const Tensor<T>& g, const Tensor<T>&, const Tensor<T>& x) const {
    return as_column(g) * fused_op(Softmax{true}, x);
  }
};

// F along one axis, which goes to the back and returns; with a mask what takes no part is -infinity.
template <class F, class T>
Tensor<T> along(const Tensor<T>& x, std::int64_t given, const SoftmaxOptions& options) {
  static_assert(Floating<T>, "softmax, log_softmax: floating elements are needed: cast<float>(x) first");
  if constexpr (Floating<T>) {
    const int axis = resolve_axis(F::name, x.array(), given);
    const bool masked = options.mask.defined();
    if (masked) {
      Array* in[] = {&x.array(), &options.mask.array()};
      same_device(F::name, in, 2);
      Shape s = x.shape();
      if (!broadcast(s, options.mask.shape()) || s != x.shape())
        fail(F::name, in, 2, "the mask does not broadcast to x");
    }
    const Tensor<T> taken = masked ? pointwise_op(TakesPart{}, options.mask, x) : x;
    if (axis == x.rank() - 1) return fused_op(F{masked}, taken);
    std::int8_t order[kMaxRank];
    for (int d = 0; d < x.rank(); ++d) order[d] = std::int8_t(d);
    order[axis] = std::int8_t(x.rank() - 1);
    order[x.rank() - 1] = std::int8_t(axis);
    return Tensor<T>(permute(fused_op(F{masked}, Tensor<T>(permute(taken.ref(), order))).ref(), order));
  } else {
    return x;
  }
}

template <class T>
Tensor<T> logsumexp_over(const Tensor<T>& x, const Over& over) {
  static_assert(Floating<T>, "logsumexp: floating elements are needed: cast<float>(x) first");
  if constexpr (Floating<T>) {
    const LastAxis last(x, over);
    return last.result(fused_op(LogSumExp{}, last.rows<T>()));
  } else {
    return x;
  }
}

}  // namespace detail

// exp(x) / sum(exp(x)) along an axis, the last by default.
template <class T>
Tensor<T> softmax(const Tensor<T>& x, AnyInteger axis = -1, const SoftmaxOptions& options = {}) {
  return detail::along<detail::Softmax>(x, axis, options);
}
template <class T>
Tensor<T> softmax(const Tensor<T>& x, const SoftmaxOptions& options) {
  return softmax(x, -1, options);
}
// log(softmax(x)) along an axis.
template <class T>
Tensor<T> log_softmax(const Tensor<T>& x, AnyInteger axis = -1, const SoftmaxOptions& options = {}) {
  return detail::along<detail::LogSoftmax>(x, axis, options);
}
template <class T>
Tensor<T> log_softmax(const Tensor<T>& x, const SoftmaxOptions& options) {
  return log_softmax(x, -1, options);
}

// log(sum(exp(x))) over all axes or those given; of nothing -infinity.
template <class T>
Tensor<T> logsumexp(const Tensor<T>& x) {
  return detail::logsumexp_over(x, detail::Over::all(x));
}
template <class T>
Tensor<T> logsumexp(const Tensor<T>& x, const Axes& axes, bool keepdims = false) {
  return detail::logsumexp_over(x, detail::Over::axes("logsumexp", x, axes, keepdims));
}

}  // namespace ergo::inline ERGO_BUILD
