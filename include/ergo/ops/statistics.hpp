// The variance and the norm over axes. Both are right where the textbook formula is not: data far from zero, squares
// that leave the range of the dtype, 16-bit data. The norm at 0 has derivative 0 of every order.
#pragma once

#include "ergo/cpu/moments.hpp"
#include "ergo/ops/extremum.hpp"
#include "ergo/ops/safe_division.hpp"
#include "ergo/ops/selection.hpp"
#if defined(__CUDACC__) || defined(ERGO_EMULATED)
#include "ergo/cuda/statistics.hpp"
#endif

namespace ergo::inline ERGO_BUILD {

struct VarianceOptions {
  double correction = 0;  // n - correction divides: 1 for the unbiased estimate
};
struct NormOptions {
  double ord = 2;  // 1, 2 or infinity
};

namespace detail {

struct Variance {  // along the last axis
  static constexpr auto name = "variance";
  static constexpr Uses uses = Uses::inputs;
  static constexpr int core[] = {1};
  static constexpr bool has_vjp = true;
  double correction;
  double divisor(std::int64_t n) const { return double(n) > correction ? double(n) - correction : __builtin_nan(""); }
  template <class T>
  Tensor<T> cpu(const Tensor<T>& x) const {
    using C = Compute<T>;
    const std::int64_t n = x.shape()[-1];
    const Ref<Array> from = ergo::cpu::detail::computable(x.array());
    Ref<Array> y = Array::make(dtype_of<C>, x.shape().first(x.rank() - 1));
    C* out = data_of<C>(*y);
    for (std::int64_t i = 0; n == 0 && i < y->numel(); ++i) out[i] = C(__builtin_nan(""));
    if (n > 0) ergo::cpu::variance_rows(data_of<C>(*from), out, y->numel(), n, C(divisor(n)));
    return Tensor<T>(ergo::cpu::detail::stored_as(std::move(y), dtype_of<T>));
  }
#if defined(__CUDACC__) || defined(ERGO_EMULATED)
  template <class T>
  Tensor<T> cuda(const Tensor<T>& x) const {
    return ergo::cuda::variance(name, x, correction);
  }
#endif
  template <class T>
  Tensor<T> definition(const Tensor<T>& x) const {
    if constexpr (!std::is_same_v<T, Compute<T>>)
      return cast<T>(definition(cast<Compute<T>>(x)));
    else
      return sum(squared(x - mean(x, -1, true)), -1) * (1 / divisor(x.shape()[-1]));
  }
  template <class T>
  Tensor<T> vjp(const Tensor<T>& g, const Tensor<T>&, const Tensor<T>& x) const {
    if constexpr (!std::is_same_v<T, Compute<T>>) {
      return cast<T>(vjp(cast<Compute<T>>(g), Tensor<Compute<T>>(), cast<Compute<T>>(x)));
    } else {
      return (x - mean(x, -1, true)) * (as_column(g) * (2 / divisor(x.shape()[-1])));
    }
  }
};

// The power of two below a size, at least the least normal number; 1 if it is 0, infinite or NaN.
struct UnitOf {
  static constexpr auto name = "norm";
  static constexpr Uses uses = Uses::nothing;
  using rare = void;
  template <class A>
  static constexpr A value(const A& size) {
    using Bits = cpu::detail::FloatBits<typename A::value_type>;
    const auto bits = size.bits();
    const A unit = (bits & decltype(size.bits())(~Bits::kFractionMask)).template as<typename A::value_type>();
    return where((size == A(0)) | (size - size != A(0)), A(1),
                 where(size < A(Bits::kMinNormal), A(Bits::kMinNormal), unit));
  }
};
// The power of two below the largest size in each row, a constant; 1 for a row that has none.
struct RowUnit {
  static constexpr auto name = "norm";
  static constexpr bool constant = true;
  static constexpr int core[] = {1};
  template <class T>
  Tensor<T> value(const Tensor<T>& x) const {
    const Ref<Array> from = dense(x.array());
    const std::int64_t n = x.shape()[-1];
    const Tensor<T> y = make_tensor<T>(x.shape().first(x.rank() - 1) + Shape{1});
    for (std::int64_t r = 0; r < y.numel(); ++r) data_of<T>(y.array())[r] = cpu::unit_of(data_of<T>(*from) + r * n, n);
    return y;
  }
#if defined(__CUDACC__) || defined(ERGO_EMULATED)
  template <class T>
  Tensor<T> cuda(const Tensor<T>& x) const {
    const Tensor<T> size(reduce_last<ergo::cpu::MaxOf, T>(name, abs(x).array(), 1));
    return as_column(pointwise_op(UnitOf{}, size));
  }
#endif
};
// The Euclidean norm along the last axis; x / y is 0 where y is, and its derivatives too.
struct Norm {
  static constexpr auto name = "norm";
  static constexpr Uses uses = Uses::all;
  static constexpr int core[] = {1};
  static constexpr bool has_vjp = true;
  template <class T>
  Tensor<T> cpu(const Tensor<T>& x) const {
    using C = Compute<T>;
    const Ref<Array> from = ergo::cpu::detail::computable(x.array());
    Ref<Array> y = Array::make(dtype_of<C>, x.shape().first(x.rank() - 1));
    ergo::cpu::norm_rows(data_of<C>(*from), data_of<C>(*y), y->numel(), x.shape()[-1]);
    return Tensor<T>(ergo::cpu::detail::stored_as(std::move(y), dtype_of<T>));
  }
#if defined(__CUDACC__) || defined(ERGO_EMULATED)
  template <class T>
  Tensor<T> cuda(const Tensor<T>& x) const {
    return ergo::cuda::norm(name, x);
  }
#endif
  template <class T>
  Tensor<T> definition(const Tensor<T>& x) const {
    if constexpr (!std::is_same_v<T, Compute<T>>) {
      return cast<T>(definition(cast<Compute<T>>(x)));
    } else {
      if (x.shape()[-1] == 0) return fused_op(Norm{}, stop_gradient(x));
      const Tensor<T> unit = linear_op(RowUnit{}, stop_gradient(x));
      const Tensor<T> root = pointwise_op(SafeRoot{}, sum(squared(x * pointwise_op(SafeReciprocal{}, unit)), -1, true));
      return Tensor<T>(reshape((unit * root).ref(), x.shape().first(x.rank() - 1)));
    }
  }
  template <class T>
  Tensor<T> vjp(const Tensor<T>& g, const Tensor<T>& y, const Tensor<T>& x) const {
    return pointwise_op(SafeQuotient{}, x, as_column(y)) * as_column(g);
  }
};

template <class T>
Tensor<T> variance_over(const Tensor<T>& x, const Over& over, const VarianceOptions& options) {
  static_assert(Floating<T>, "the variance of integers: cast<float>(x) first");
  if constexpr (Floating<T>) {
    const LastAxis last(x, over);
    return last.result(fused_op(Variance{options.correction}, last.rows<T>()));
  } else {
    return x;
  }
}
template <class T>
Tensor<T> norm_over(const Tensor<T>& x, const Over& over, const NormOptions& options) {
  static_assert(Floating<T>, "the norm of integers: cast<float>(x) first");
  if constexpr (Floating<T>) {
    const LastAxis last(x, over);
    const Tensor<T> rows = last.rows<T>();
    if (options.ord == 2) return last.result(fused_op(Norm{}, rows));
    if (options.ord == 1) return last.result(sum(abs(rows), -1));
    if (options.ord != __builtin_inf())
      fail("norm", x.array(), {".ord = ", options.ord, ": the orders are 1, 2 and infinity"});
    if (rows.shape()[-1] == 0) return last.result(sum(rows, -1));
    return last.result(fused_op(Extremum<cpu::MaxOf>{}, abs(rows)));
  } else {
    return x;
  }
}

}  // namespace detail

// The mean square distance from the mean; NaN for n <= correction elements.
template <class T>
Tensor<T> variance(const Tensor<T>& x, const VarianceOptions& options = {}) {
  return detail::variance_over(x, detail::Over::all(x), options);
}
template <class T>
Tensor<T> variance(const Tensor<T>& x, const Axes& axes, bool keepdims = false, const VarianceOptions& options = {}) {
  return detail::variance_over(x, detail::Over::axes("variance", x, axes, keepdims), options);
}
template <class T>
Tensor<T> variance(const Tensor<T>& x, const Axes& axes, const VarianceOptions& options) {
  return variance(x, axes, false, options);
}
template <class T, std::same_as<bool> B>
void variance(const Tensor<T>& x, B axis) = delete;  // an axis is an integer; keepdims comes behind the axes
// Of the axes listed, {} for none, which is not the same as no options.
template <class T>
Tensor<T> variance(const Tensor<T>& x, std::initializer_list<std::int64_t> axes) {
  return variance(x, Axes(std::vector<std::int64_t>(axes)), false);
}

// The norm of order 2, or of order 1 (sum of sizes) or infinity (largest size); of nothing 0.
template <class T>
Tensor<T> norm(const Tensor<T>& x, const NormOptions& options = {}) {
  return detail::norm_over(x, detail::Over::all(x), options);
}
template <class T>
Tensor<T> norm(const Tensor<T>& x, const Axes& axes, bool keepdims = false, const NormOptions& options = {}) {
  return detail::norm_over(x, detail::Over::axes("norm", x, axes, keepdims), options);
}
template <class T>
Tensor<T> norm(const Tensor<T>& x, const Axes& axes, const NormOptions& options) {
  return norm(x, axes, false, options);
}
template <class T, std::same_as<bool> B>
void norm(const Tensor<T>& x, B axis) = delete;  // an axis is an integer; keepdims comes behind the axes
// Of the axes listed, {} for none, which is not the same as no options.
template <class T>
Tensor<T> norm(const Tensor<T>& x, std::initializer_list<std::int64_t> axes) {
  return norm(x, Axes(std::vector<std::int64_t>(axes)), false);
}

}  // namespace ergo::inline ERGO_BUILD
