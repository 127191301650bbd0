// Eigenvalues and eigenvectors of a real symmetric matrix in double: blocked Householder reduction to tridiagonal form,
// then implicit QL / QR with Wilkinson's shift (Golub & Van Loan, sections 8.3 and 8.4), whose rotations are applied to
// the vectors in batches.
#pragma once

#include "ergo/cpu/rotations.hpp"

namespace ergo::inline ERGO_BUILD::cpu {

// Reduces the symmetric a (n, n), both triangles given, used up: T = Q' A Q with diagonal d (n) and off-diagonal e (n -
// 1). qt (n, n), unless null, gets Q'.
void reduce_to_tridiagonal(double* a, std::int64_t n, double* d, double* e, double* qt);

// d becomes the eigenvalues of the tridiagonal matrix (d, e), unsorted, e zeros; the rows of x (n, columns), unless
// null, are turned along: with x = Q' on entry, row i is then the eigenvector of d[i]. False if it did not converge.
bool diagonalise_tridiagonal(double* d, double* e, std::int64_t n, double* x, std::int64_t columns);

ERGO_ONCE void reduce_to_tridiagonal(double* a, std::int64_t n, double* d, double* e, double* qt) {
  const std::int64_t k = n > 0 ? n - 1 : 0;
  // Of each block: rows 0..kReflectors are reflectors v, the others w, so that A := A - V' W - W' V is one product.
  const Scratch<double> v(k * n), tau(k), pair(4 * kReflectors * n), coefficients(4 * kReflectors);
  clear(v.data(), k * n);
  double* w = pair.data() + kReflectors * n;
  for (std::int64_t j0 = 0; j0 < k; j0 += kReflectors) {
    const std::int64_t width = k - j0 < kReflectors ? k - j0 : kReflectors, j1 = j0 + width;
    const double* vs = v.data() + j0 * n;
    for (std::int64_t j = j0; j < j1; ++j) {
      const std::int64_t before = j - j0, left = n - j;
      double *row = a + j * n + j, *c = coefficients.data();
      for (std::int64_t l = 0; l < before; ++l) {
        c[l] = -w[l * n + j];
        c[kReflectors + l] = -vs[l * n + j];
      }
      if (before > 0) {
        gemm(rows_of(c, 1, before, before), rows_of(vs + j, before, left, n), rows_of(row, 1, left, left),
             {.accumulate = true});
        gemm(rows_of(c + kReflectors, 1, before, before), rows_of(w + j, before, left, n), rows_of(row, 1, left, left),
             {.accumulate = true});
      }
      d[j] = row[0];
      const std::int64_t m = left - 1, at = j + 1;
      const Reflection h = reflect(row + 1, m);
      e[j] = h.beta;
      tau.data()[j] = h.tau;
      double *reflector = v.data() + j * n + at, *y = w + before * n + at;
      __builtin_memcpy(reflector, row + 1, std::size_t(m) * sizeof(double));
      clear(w + before * n, at);
      const MatrixView<const double> column{reflector, m, 1, 1, 1};
      gemm(rows_of(a + at * n + at, m, m, n), column, MatrixView<double>{y, m, 1, 1, 1});
      if (before > 0) {
        gemm(rows_of(w + at, before, m, n), column, MatrixView<double>{c, before, 1, 1, 1});
        gemm(rows_of(vs + at, before, m, n), column, MatrixView<double>{c + kReflectors, before, 1, 1, 1});
        for (std::int64_t l = 0; l < before; ++l) {
          c[l] = -c[l];
          c[kReflectors + l] = -c[kReflectors + l];
        }
        gemm(rows_of(c, 1, before, before), rows_of(vs + at, before, m, n), rows_of(y, 1, m, m), {.accumulate = true});
        gemm(rows_of(c + kReflectors, 1, before, before), rows_of(w + at, before, m, n), rows_of(y, 1, m, m),
             {.accumulate = true});
      }
      const double half = 0.5 * h.tau * h.tau * inner_product(static_cast<const double*>(y), reflector, m);
      for (std::int64_t i = 0; i < m; ++i) y[i] = h.tau * y[i] - half * reflector[i];
    }
    // A := A - [V W]' [W V]
    const std::int64_t m = n - j1;
    double* left = pair.data() + 2 * kReflectors * n;
    for (std::int64_t l = 0; l < width; ++l) {
      __builtin_memcpy(pair.data() + (kReflectors - width + l) * n, vs + l * n, std::size_t(n) * sizeof(double));
      for (std::int64_t i = j1; i < n; ++i) {
        left[l * n + i] = -w[l * n + i];
        left[(width + l) * n + i] = -vs[l * n + i];
      }
    }
    gemm(rows_of(static_cast<const double*>(left) + j1, 2 * width, m, n).transposed(),
         rows_of(pair.data() + (kReflectors - width) * n + j1, 2 * width, m, n), rows_of(a + j1 * n + j1, m, m, n),
         {.accumulate = true});
  }
  if (n > 0) d[n - 1] = a[n * n - 1];
  if (qt) orthogonal_rows(qt, n, v.data(), k, n, tau.data(), 1);
}

ERGO_ONCE bool diagonalise_tridiagonal(double* d, double* e, std::int64_t n, double* x, std::int64_t columns) {
  RowRotations vectors(x, n, columns);
  constexpr double kEpsilon = 0x1p-53;
  std::int64_t budget = 40 * n;  // sweeps; two or three an eigenvalue are usual
  const auto negligible = [&](std::int64_t i) {
    const double size = __builtin_sqrt(__builtin_fabs(d[i])) * __builtin_sqrt(__builtin_fabs(d[i + 1]));
    return __builtin_fabs(e[i]) <= kEpsilon * size || __builtin_fabs(e[i]) < 1e-290;
  };
  for (std::int64_t end = n; end > 1;) {
    // The unreduced block [begin, end) at the end of what is left.
    if (negligible(end - 2)) {
      e[end - 2] = 0;
      --end;
      continue;
    }
    std::int64_t begin = end - 2;
    while (begin > 0 && !negligible(begin - 1)) --begin;
    if (begin > 0) e[begin - 1] = 0;
    if (budget-- == 0) return false;

    // Towards the smaller end of the diagonal: graded matrices keep their small eigenvalues. A sweep the other way is
    // the same sweep on the reversed matrix.
    const std::int64_t count = end - begin - 1;
    const bool reversed = __builtin_fabs(d[end - 1]) > __builtin_fabs(d[begin]);
    const std::int64_t step = reversed ? -1 : 1;
    double* const diagonal = reversed ? d + end - 1 : d + begin;
    double* const off = reversed ? e + end - 2 : e + begin;
    const auto dd = [&](std::int64_t i) -> double& { return diagonal[i * step]; };
    const auto ee = [&](std::int64_t i) -> double& { return off[i * step]; };

    Rotation* out = vectors.add({reversed ? end - 1 : begin, count, step});
    double r, g = (dd(count - 1) - dd(count)) / (2 * ee(count - 1));
    const double root = __builtin_hypot(g, 1.0);
    g = dd(0) - dd(count) + ee(count - 1) / (g + (g < 0 ? -root : root));
    double c = 1, s = 1, p = 0;
    for (std::int64_t i = 0; i < count; ++i) {
      const double f = s * ee(i), b = c * ee(i);
      const Rotation turn = rotation_of(g, f, r);
      c = turn.c, s = turn.s;
      if (i > 0) ee(i - 1) = r;
      g = dd(i) - p;
      const double q = (dd(i + 1) - g) * s + 2 * c * b;
      p = s * q;
      dd(i) = g + p;
      g = c * q - b;
      if (out) out[i] = turn;
    }
    dd(count) -= p;
    ee(count - 1) = g;
  }
  vectors.apply();
  return true;
}

}  // namespace ergo::inline ERGO_BUILD::cpu
