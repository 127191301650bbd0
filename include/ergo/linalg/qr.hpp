// linalg::qr: A = Q R by blocked Householder reflections, with a diagonal of R that is not negative, so that the
// factorisation of a matrix of full rank is unique (and Q of a Gaussian matrix is Haar distributed).
#pragma once

#include "ergo/cpu/householder.hpp"
#include "ergo/linalg/decomposition.hpp"

namespace ergo::inline ERGO_BUILD {
namespace linalg {

template <class T>
struct Qr {
  Tensor<T> q, r;
  ERGO_FIELDS(Qr, q, r)
};

// The reduced factorisation of matrices (..., m, n): q (..., m, k) with orthonormal columns and r (..., k, n), upper
// triangular (trapezoidal if m < n), k = min(m, n). An Error for rank < 2 and for elements that are not finite.
template <class T>
Qr<T> qr(const Tensor<T>& x);

}  // namespace linalg

namespace detail {

inline void qr_shapes(std::int64_t m, std::int64_t n, Shape* s) {
  const std::int64_t k = m < n ? m : n;
  s[0] = Shape{m, k};
  s[1] = Shape{k, n};
}
ERGO_ONCE bool compute_qr(std::int64_t m, std::int64_t n, double* a, double* const* result) {
  const std::int64_t k = m < n ? m : n;
  if (k == 0) return true;
  const double factor = bring_into_range(a, m * n);
  const cpu::Scratch<double> columns(n * m), q(k * m);
  transpose_rows(columns.data(), a, m, n, nullptr, nullptr);
  cpu::factor_qr(columns.data(), m, n, q.data(), result[1]);
  transpose_rows(result[0], q.data(), k, m, nullptr, nullptr);
  for (std::int64_t i = 0; factor != 1 && i < k * n; ++i) result[1][i] /= factor;
  return true;
}
inline constexpr Decomposition qr_op("qr", 2, qr_shapes, compute_qr);

}  // namespace detail

template <class T>
linalg::Qr<T> linalg::qr(const Tensor<T>& x) {
  static_assert(MatrixScalar<T>, "linalg::qr takes a Tensor<float> or Tensor<double>: cast<float>(x)");
  if constexpr (MatrixScalar<T>) {
    detail::check_matrix("qr", x.array(), false);
    detail::Array* in[] = {&x.array()};
    detail::Ref<detail::Array> y[2];
    detail::dispatch(detail::qr_op, in, y);
    return {Tensor<T>(std::move(y[0])), Tensor<T>(std::move(y[1]))};
  } else {
    return {};
  }
}

}  // namespace ergo::inline ERGO_BUILD
