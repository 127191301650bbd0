// linalg::svd and svdvals: A = U diag(s) V', by bidiagonal reduction and implicit QR (cpu/singular_values.hpp);
// singular values descend, and the entry of largest magnitude of each column of U is positive.
#pragma once

#include "ergo/cpu/singular_values.hpp"
#include "ergo/linalg/decomposition.hpp"

namespace ergo::inline ERGO_BUILD {
namespace linalg {

template <class T>
struct Svd {
  Tensor<T> u, s, vt;
  ERGO_FIELDS(Svd, u, s, vt)
};

// The reduced decomposition of matrices (..., m, n): u (..., m, k), s (..., k) descending, vt (..., k, n), k = min(m,
// n). An Error for rank < 2 and for elements that are not finite.
template <class T>
Svd<T> svd(const Tensor<T>& x);

// The singular values alone, (..., k), in a fraction of the time.
template <class T>
Tensor<T> svdvals(const Tensor<T>& x);

}  // namespace linalg

namespace detail {

inline void svd_shapes(std::int64_t m, std::int64_t n, Shape* s) {
  const std::int64_t k = m < n ? m : n;
  s[0] = Shape{m, k};
  s[1] = Shape{k};
  s[2] = Shape{k, n};
}
inline void svdvals_shapes(std::int64_t m, std::int64_t n, Shape* s) { s[0] = Shape{m < n ? m : n}; }

// Of the m x n matrix, m >= n, whose columns are the rows of a (n, m): d (n), unsorted, and, unless null, the rows of
// ut (n, m) and vt (n, n). A matrix that is much taller than wide is first reduced to its triangle (Chan 1982).
ERGO_ONCE bool singular_values(double* a, std::int64_t m, std::int64_t n, double* d, double* ut, double* vt) {
  const cpu::Scratch<double> e(n);
  if (5 * m < 8 * n) {
    cpu::reduce_to_bidiagonal(a, m, n, d, e.data(), ut, vt);
    return cpu::diagonalise_bidiagonal(d, e.data(), n, ut, m, vt);
  }
  const cpu::Scratch<double> q(n * m), r(n * n), columns(n * n), small(ut ? n * n : 0);
  cpu::factor_qr(a, m, n, q.data(), r.data());
  transpose_rows(columns.data(), r.data(), n, n, nullptr, nullptr);
  cpu::reduce_to_bidiagonal(columns.data(), n, n, d, e.data(), ut ? small.data() : nullptr, vt);
  if (!cpu::diagonalise_bidiagonal(d, e.data(), n, ut ? small.data() : nullptr, n, vt)) return false;
  if (ut) {
    const double *left = small.data(), *right = q.data();
    cpu::gemm(cpu::rows_of(left, n, n, n), cpu::rows_of(right, n, m, m), cpu::rows_of(ut, n, m, m));
  }
  return true;
}

ERGO_ONCE bool compute_svd_of(std::int64_t m, std::int64_t n, double* a, double* u, double* s, double* vt) {
  const std::int64_t k = m < n ? m : n, longer = m < n ? n : m;
  if (k == 0) return true;
  const bool vectors = u != nullptr;
  const double factor = bring_into_range(a, m * n);
  const cpu::Scratch<double> columns(m < n ? 0 : m * n), d(k), left(vectors ? k * longer : 0),
      right(vectors ? k * k : 0);
  const cpu::Scratch<std::int64_t> order(k);
  const cpu::Scratch<bool> flip(k);
  double* work = a;  // the rows of a wide matrix are the columns of its transpose
  if (m >= n) {
    work = columns.data();
    transpose_rows(work, a, m, n, nullptr, nullptr);
  }
  if (!singular_values(work, longer, k, d.data(), left.data(), right.data())) return false;
  sort_indices(d.data(), k, true, order.data());
  for (std::int64_t i = 0; i < k; ++i) s[i] = d.data()[order.data()[i]] / factor;
  if (!vectors) return true;
  const double *ut = m < n ? right.data() : left.data(), *v = m < n ? left.data() : right.data();
  for (std::int64_t i = 0; i < k; ++i) {
    const std::int64_t from = order.data()[i];
    const bool down = flip.data()[i] = points_down(ut + from * m, m);
    for (std::int64_t j = 0; j < n; ++j) vt[i * n + j] = down ? -v[from * n + j] : v[from * n + j];
  }
  transpose_rows(u, ut, k, m, order.data(), flip.data());
  return true;
}
inline bool compute_svd(std::int64_t m, std::int64_t n, double* a, double* const* result) {
  return compute_svd_of(m, n, a, result[0], result[1], result[2]);
}
inline bool compute_svdvals(std::int64_t m, std::int64_t n, double* a, double* const* result) {
  return compute_svd_of(m, n, a, nullptr, result[0], nullptr);
}
inline constexpr Decomposition svd_op("svd", 3, svd_shapes, compute_svd);
inline constexpr Decomposition svdvals_op("svdvals", 1, svdvals_shapes, compute_svdvals);

}  // namespace detail

template <class T>
linalg::Svd<T> linalg::svd(const Tensor<T>& x) {
  static_assert(MatrixScalar<T>, "linalg::svd takes a Tensor<float> or Tensor<double>: cast<float>(x)");
  if constexpr (MatrixScalar<T>) {
    detail::check_matrix("svd", x.array(), false);
    detail::Array* in[] = {&x.array()};
    detail::Ref<detail::Array> y[3];
    detail::dispatch(detail::svd_op, in, y);
    return {Tensor<T>(std::move(y[0])), Tensor<T>(std::move(y[1])), Tensor<T>(std::move(y[2]))};
  } else {
    return {};
  }
}

template <class T>
Tensor<T> linalg::svdvals(const Tensor<T>& x) {
  static_assert(MatrixScalar<T>, "linalg::svdvals takes a Tensor<float> or Tensor<double>: cast<float>(x)");
  if constexpr (MatrixScalar<T>) {
    detail::check_matrix("svdvals", x.array(), false);
    detail::Array* in[] = {&x.array()};
    return Tensor<T>(detail::dispatch1(detail::svdvals_op, in));
  } else {
    return {};
  }
}

}  // namespace ergo::inline ERGO_BUILD
