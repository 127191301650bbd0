// What is told of samples by way of other reductions: stddev, log_mean_exp, count_nonzero, covariance, correlation,
// cosine_similarity.
#pragma once

#include "ergo/ops/comparison.hpp"
#include "ergo/ops/matmul.hpp"
#include "ergo/ops/softmax.hpp"
#include "ergo/ops/statistics.hpp"

namespace ergo::inline ERGO_BUILD {

struct CovarianceOptions {
  double correction = 1;  // n - correction divides
};

// The square root of the variance, with its options. Where it is 0, so are its derivatives.
template <Floating T>
Tensor<T> stddev(const Tensor<T>& x, const VarianceOptions& options = {}) {
  return pointwise_op(detail::SafeRoot{}, variance(x, options));
}
template <Floating T>
Tensor<T> stddev(const Tensor<T>& x, const Axes& axes, bool keepdims = false, const VarianceOptions& options = {}) {
  detail::resolve_axes("stddev", x.array(), axes);  // an error names this operation
  return pointwise_op(detail::SafeRoot{}, variance(x, axes, keepdims, options));
}
template <Floating T>
Tensor<T> stddev(const Tensor<T>& x, const Axes& axes, const VarianceOptions& options) {
  return stddev(x, axes, false, options);
}
template <Floating T, std::same_as<bool> B>
void stddev(const Tensor<T>& x, B axis) = delete;  // an axis is an integer; keepdims comes behind the axes
// Of the axes listed, {} for none, which is not the same as no options.
template <Floating T>
Tensor<T> stddev(const Tensor<T>& x, std::initializer_list<std::int64_t> axes) {
  return stddev(x, Axes(std::vector<std::int64_t>(axes)), false);
}

// log(mean(exp(x))), which neither overflows nor loses its tail. Of nothing: NaN.
template <Floating T>
Tensor<T> log_mean_exp(const Tensor<T>& x) {
  return logsumexp(x) - cpu::log(double(x.numel()));
}
template <Floating T>
Tensor<T> log_mean_exp(const Tensor<T>& x, const Axes& axes, bool keepdims = false) {
  const auto over = detail::Over::axes("log_mean_exp", x, axes, keepdims);
  return logsumexp(x, axes, keepdims) - cpu::log(double(over.count(x.shape())));
}
template <Floating T, std::same_as<bool> B>
void log_mean_exp(const Tensor<T>& x, B axis) = delete;  // an axis is an integer; keepdims comes behind the axes

// How many elements are not 0; NaN is one of them.
template <class T>
Tensor<std::int64_t> count_nonzero(const Tensor<T>& x) {
  return sum(x != Tensor<T>(T(0)));
}
template <class T>
Tensor<std::int64_t> count_nonzero(const Tensor<T>& x, const Axes& axes, bool keepdims = false) {
  detail::resolve_axes("count_nonzero", x.array(), axes);
  return sum(x != Tensor<T>(T(0)), axes, keepdims);
}
template <class T, std::same_as<bool> B>
void count_nonzero(const Tensor<T>& x, B axis) = delete;  // an axis is an integer; keepdims comes behind the axes

namespace detail {
// Observations (..., n, d) with the mean of each variable taken off.
template <class T>
Tensor<T> centred_columns(const char* op, const Tensor<T>& x) {
  if (x.rank() < 2) fail(op, x.array(), {"observations (..., n, d) in rows are expected"});
  return x - mean(x, -2, true);
}
template <class T>
Tensor<T> gram_of_columns(const Tensor<T>& c) {
  return matmul(swap_axes(c, -1, -2), c);
}
}  // namespace detail

// (..., d, d) of observations x (..., n, d), a row each. NaN for n <= correction.
template <Floating T>
Tensor<T> covariance(const Tensor<T>& x, const CovarianceOptions& options = {}) {
  const Tensor<T> c = detail::centred_columns("covariance", x);
  const double n = double(x.shape()[-2]) - options.correction;
  return detail::gram_of_columns(c) * (n > 0 ? 1 / n : __builtin_nan(""));
}
// Pearson's correlations (..., d, d) of observations x (..., n, d); NaN beside a variable that does not vary.
template <Floating T>
Tensor<T> correlation(const Tensor<T>& x) {
  const Tensor<T> c = detail::centred_columns("correlation", x);
  return detail::gram_of_columns(c / norm(c, -2, true));
}

// The cosine of the angle between x and y along an axis, of equal shapes; 0 if either is 0 there.
template <Floating T>
Tensor<T> cosine_similarity(const Tensor<T>& x, const Tensor<T>& y, AnyInteger axis = -1) {
  detail::Array* in[] = {&x.array(), &y.array()};
  detail::same_device("cosine_similarity", in, 2);
  if (x.shape() != y.shape()) detail::fail("cosine_similarity", in, 2, "shapes differ: broadcast_to one of them");
  const std::int64_t along = axis;
  detail::resolve_axes("cosine_similarity", x.array(), Axes(along));
  const auto unit = [&](const Tensor<T>& v) { return pointwise_op(detail::SafeQuotient{}, v, norm(v, along, true)); };
  return sum(unit(x) * unit(y), along);
}

}  // namespace ergo::inline ERGO_BUILD
