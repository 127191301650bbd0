// linalg::eigh and eigvalsh: A = V diag(values) V' of a symmetric matrix, by tridiagonal reduction and implicit QL
// (cpu/symmetric_eigen.hpp); eigenvalues ascend, and the entry of largest magnitude of each vector is positive.
#pragma once

#include "ergo/cpu/symmetric_eigen.hpp"
#include "ergo/linalg/decomposition.hpp"

namespace ergo::inline ERGO_BUILD {
namespace linalg {

template <class T>
struct Eigh {
  Tensor<T> values, vectors;
  ERGO_FIELDS(Eigh, values, vectors)
};

// Of symmetric matrices (..., n, n), of which the lower triangle is read: values (..., n) ascending, and vectors (...,
// n, n), whose columns belong to them. An Error for matrices that are not square and for elements that are not finite.
template <class T>
Eigh<T> eigh(const Tensor<T>& x);

// The eigenvalues alone, in a fraction of the time.
template <class T>
Tensor<T> eigvalsh(const Tensor<T>& x);

}  // namespace linalg

namespace detail {

inline void eigh_shapes(std::int64_t, std::int64_t n, Shape* s) {
  s[0] = Shape{n};
  s[1] = Shape{n, n};
}
ERGO_ONCE bool compute_eigh_of(std::int64_t n, double* a, double* values, double* vectors) {
  if (n == 0) return true;
  for (std::int64_t i = 0; i < n; ++i)
    for (std::int64_t j = i + 1; j < n; ++j) a[i * n + j] = a[j * n + i];
  const double factor = bring_into_range(a, n * n);
  const cpu::Scratch<double> d(n), e(n), qt(vectors ? n * n : 0);
  const cpu::Scratch<std::int64_t> order(n);
  const cpu::Scratch<bool> flip(n);
  cpu::reduce_to_tridiagonal(a, n, d.data(), e.data(), qt.data());
  if (!cpu::diagonalise_tridiagonal(d.data(), e.data(), n, qt.data(), n)) return false;
  sort_indices(d.data(), n, false, order.data());
  for (std::int64_t i = 0; i < n; ++i) values[i] = d.data()[order.data()[i]] / factor;
  if (!vectors) return true;
  for (std::int64_t i = 0; i < n; ++i) flip.data()[i] = points_down(qt.data() + order.data()[i] * n, n);
  transpose_rows(vectors, qt.data(), n, n, order.data(), flip.data());
  return true;
}
inline bool compute_eigh(std::int64_t, std::int64_t n, double* a, double* const* result) {
  return compute_eigh_of(n, a, result[0], result[1]);
}
inline bool compute_eigvalsh(std::int64_t, std::int64_t n, double* a, double* const* result) {
  return compute_eigh_of(n, a, result[0], nullptr);
}
inline constexpr Decomposition eigh_op("eigh", 2, eigh_shapes, compute_eigh);
inline constexpr Decomposition eigvalsh_op("eigvalsh", 1, eigh_shapes, compute_eigvalsh);

}  // namespace detail

template <class T>
linalg::Eigh<T> linalg::eigh(const Tensor<T>& x) {
  static_assert(MatrixScalar<T>, "linalg::eigh takes a Tensor<float> or Tensor<double>: cast<float>(x)");
  if constexpr (MatrixScalar<T>) {
    detail::check_matrix("eigh", x.array(), true);
    detail::Array* in[] = {&x.array()};
    detail::Ref<detail::Array> y[2];
    detail::dispatch(detail::eigh_op, in, y);
    return {Tensor<T>(std::move(y[0])), Tensor<T>(std::move(y[1]))};
  } else {
    return {};
  }
}

template <class T>
Tensor<T> linalg::eigvalsh(const Tensor<T>& x) {
  static_assert(MatrixScalar<T>, "linalg::eigvalsh takes a Tensor<float> or Tensor<double>: cast<float>(x)");
  if constexpr (MatrixScalar<T>) {
    detail::check_matrix("eigvalsh", x.array(), true);
    detail::Array* in[] = {&x.array()};
    return Tensor<T>(detail::dispatch1(detail::eigvalsh_op, in));
  } else {
    return {};
  }
}

}  // namespace ergo::inline ERGO_BUILD
