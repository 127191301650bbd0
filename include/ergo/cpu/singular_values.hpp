// Singular values and vectors of a real matrix in double: blocked Householder reduction to bidiagonal form (Golub &
// Kahan 1965; blocked as Dongarra, Sorensen & Hammarling 1989), then implicit QR that keeps small singular values to
// high relative accuracy (Demmel & Kahan 1990), whose rotations are applied to the vectors in batches.
#pragma once

#include "ergo/cpu/rotations.hpp"

namespace ergo::inline ERGO_BUILD::cpu {

// Reduces the m x n matrix, m >= n, whose columns are the rows of a (n, m), used up: B = U' A V is upper bidiagonal
// with diagonal d (n) and e (n - 1) above it. ut (n, m) and vt (n, n), unless null, get the rows of U' and V'.
void reduce_to_bidiagonal(double* a, std::int64_t m, std::int64_t n, double* d, double* e, double* ut, double* vt);

// d becomes the singular values of the bidiagonal matrix (d, e), unsorted and >= 0; the rows of ut (n, m) and
// vt (n, n), unless null, are turned along. False if it did not converge.
bool diagonalise_bidiagonal(double* d, double* e, std::int64_t n, double* ut, std::int64_t m, double* vt);

namespace detail {

// y (n) -= sum over l < count of (x_l . v) rows_l, both matrices with rows `x_stride` and `row_stride` apart.
inline void remove_products(double* y, std::int64_t n, const double* x, std::int64_t x_stride, const double* v,
                            std::int64_t length, const double* rows, std::int64_t row_stride, std::int64_t count) {
  if (count == 0 || n == 0) return;
  double c[kReflectors];
  gemm(rows_of(x, count, length, x_stride), MatrixView<const double>{v, length, 1, 1, 1},
       MatrixView<double>{c, count, 1, 1, 1});
  for (std::int64_t l = 0; l < count; ++l) c[l] = -c[l];
  gemm(rows_of(static_cast<const double*>(c), 1, count, count), rows_of(rows, count, n, row_stride),
       rows_of(y, 1, n, n), {.accumulate = true});
}
// The same with given coefficients, `c_stride` apart.
inline void remove_rows(double* y, std::int64_t n, const double* c, std::int64_t c_stride, const double* rows,
                        std::int64_t row_stride, std::int64_t count) {
  if (count == 0 || n == 0) return;
  double negative[kReflectors];
  for (std::int64_t l = 0; l < count; ++l) negative[l] = -c[l * c_stride];
  gemm(rows_of(static_cast<const double*>(negative), 1, count, count), rows_of(rows, count, n, row_stride),
       rows_of(y, 1, n, n), {.accumulate = true});
}

// The smaller singular value of [[f, g], [0, h]].
inline double smaller_singular_value(double f, double g, double h) {
  f = __builtin_fabs(f), g = __builtin_fabs(g), h = __builtin_fabs(h);
  const double low = f < h ? f : h, high = f < h ? h : f;
  if (low == 0) return 0;
  const double sum = 1 + low / high, difference = (high - low) / high;
  if (g < high) {
    const double q = g / high;
    return low * (2 / (__builtin_sqrt(sum * sum + q * q) + __builtin_sqrt(difference * difference + q * q)));
  }
  const double q = high / g;
  if (q == 0) return low * high / g;
  const double u = sum * q, v = difference * q;
  return 2 * (low * (1 / (__builtin_sqrt(1 + u * u) + __builtin_sqrt(1 + v * v)))) * q;
}

// A block of a bidiagonal matrix, seen from its top or, reversed, from its bottom. The reversal of both orders turns
// upper into lower bidiagonal form, and the transpose of that is upper again: so the sweep upwards is the sweep
// downwards with left and right exchanged.
struct BidiagonalBlock {
  double *d, *e;
  std::int64_t step, last;  // e has entries 0 .. last - 1
  double& diagonal(std::int64_t i) const { return d[i * step]; }
  double& above(std::int64_t i) const { return e[i * step]; }

  // Implicit QR without a shift: no subtractions, so each entry keeps its relative accuracy.
  void sweep_unshifted(Rotation* right, Rotation* left) const {
    Rotation in{1, 0}, out{1, 0};
    double r;
    for (std::int64_t i = 0; i < last; ++i) {
      in = rotation_of(diagonal(i) * in.c, above(i), r);
      if (i > 0) above(i - 1) = out.s * r;
      out = rotation_of(out.c * r, diagonal(i + 1) * in.s, diagonal(i));
      if (right) right[i] = in;
      if (left) left[i] = out;
    }
    const double h = diagonal(last) * in.c;
    diagonal(last) = h * out.c;
    above(last - 1) = h * out.s;
  }
  void sweep(double shift, Rotation* right, Rotation* left) const {
    const double first = diagonal(0);
    double f = (__builtin_fabs(first) - shift) * (__builtin_copysign(1.0, first) + shift / first), g = above(0), r;
    for (std::int64_t i = 0; i < last; ++i) {
      double& d0 = diagonal(i);
      double& d1 = diagonal(i + 1);
      double& e0 = above(i);
      const Rotation in = rotation_of(f, g, r);
      if (i > 0) above(i - 1) = r;
      f = in.c * d0 + in.s * e0;
      e0 = in.c * e0 - in.s * d0;
      g = in.s * d1;
      d1 = in.c * d1;
      const Rotation out = rotation_of(f, g, r);
      d0 = r;
      f = out.c * e0 + out.s * d1;
      d1 = out.c * d1 - out.s * e0;
      if (i + 1 < last) {
        g = out.s * above(i + 1);
        above(i + 1) = out.c * above(i + 1);
      }
      if (right) right[i] = in;
      if (left) left[i] = out;
    }
    above(last - 1) = f;
  }
};

}  // namespace detail

ERGO_ONCE void reduce_to_bidiagonal(double* a, std::int64_t m, std::int64_t n, double* d, double* e, double* ut,
                                    double* vt) {
  const std::int64_t k = n > 0 ? n - 1 : 0;
  // Reflectors from the left and the right, whole; of each block, x and y with A := A - V' Y - X' U there.
  const Scratch<double> v(n * m), tau_v(n), u(k * n), tau_u(k), x(kReflectors * m), y(kReflectors * n), row(n);
  clear(v.data(), n * m);
  clear(u.data(), k * n);
  for (std::int64_t j0 = 0; j0 < n; j0 += kReflectors) {
    const std::int64_t j1 = n - j0 < kReflectors ? n : j0 + kReflectors;
    const double *vs = v.data() + j0 * m, *us = u.data() + j0 * n;
    for (std::int64_t j = j0; j < j1; ++j) {
      const std::int64_t before = j - j0, long_side = m - j, right = n - j - 1;
      double* column = a + j * m + j;
      detail::remove_rows(column, long_side, y.data() + j, n, vs + j, m, before);
      detail::remove_rows(column, long_side, us + j, n, x.data() + j, m, before);
      const Reflection left = reflect(column, long_side);
      d[j] = left.beta;
      tau_v.data()[j] = left.tau;
      double* reflector = v.data() + j * m + j;
      __builtin_memcpy(reflector, column, std::size_t(long_side) * sizeof(double));
      if (right == 0) continue;

      // y = tau A' v of the matrix that the block has not touched yet, less what it has done.
      double* yj = y.data() + before * n + j + 1;
      clear(y.data() + before * n, j + 1);
      gemm(rows_of(static_cast<const double*>(a) + (j + 1) * m + j, right, long_side, m),
           MatrixView<const double>{reflector, long_side, 1, 1, 1}, MatrixView<double>{yj, right, 1, 1, 1});
      detail::remove_products(yj, right, vs + j, m, reflector, long_side, y.data() + j + 1, n, before);
      detail::remove_products(yj, right, x.data() + j, m, reflector, long_side, us + j + 1, n, before);
      for (std::int64_t i = 0; i < right; ++i) yj[i] *= left.tau;

      // Row j of the updated matrix, and its reflection from the right.
      double* r = row.data();
      for (std::int64_t i = 0; i < right; ++i) r[i] = a[(j + 1 + i) * m + j];
      detail::remove_rows(r, right, vs + j, m, y.data() + j + 1, n, before + 1);
      detail::remove_rows(r, right, x.data() + j, m, us + j + 1, n, before);
      const Reflection turn = reflect(r, right);
      e[j] = turn.beta;
      tau_u.data()[j] = turn.tau;
      double* up = u.data() + j * n + j + 1;
      __builtin_memcpy(up, r, std::size_t(right) * sizeof(double));

      const std::int64_t below = long_side - 1;
      double* xj = x.data() + before * m + j + 1;
      clear(x.data() + before * m, j + 1);
      gemm(rows_of(static_cast<const double*>(up), 1, right, right),
           rows_of(static_cast<const double*>(a) + (j + 1) * m + j + 1, right, below, m), rows_of(xj, 1, below, below));
      detail::remove_products(xj, below, y.data() + j + 1, n, up, right, vs + j + 1, m, before + 1);
      detail::remove_products(xj, below, us + j + 1, n, up, right, x.data() + j + 1, m, before);
      for (std::int64_t i = 0; i < below; ++i) xj[i] *= turn.tau;
    }
    if (j1 == n) break;
    const std::int64_t width = j1 - j0, columns = n - j1, rows = m - j1;
    for (std::int64_t i = 0; i < width * n; ++i) y.data()[i] = -y.data()[i];
    for (std::int64_t i = 0; i < width * m; ++i) x.data()[i] = -x.data()[i];
    const auto rest = rows_of(a + j1 * m + j1, columns, rows, m);
    gemm(rows_of(y.data() + j1, width, columns, n).transposed(), rows_of(vs + j1, width, rows, m), rest,
         {.accumulate = true});
    gemm(rows_of(us + j1, width, columns, n).transposed(), rows_of(x.data() + j1, width, rows, m), rest,
         {.accumulate = true});
  }
  if (ut) orthogonal_rows(ut, n, v.data(), n, m, tau_v.data(), 0);
  if (vt) orthogonal_rows(vt, n, u.data(), k, n, tau_u.data(), 1);
}

ERGO_ONCE bool diagonalise_bidiagonal(double* d, double* e, std::int64_t n, double* ut, std::int64_t m, double* vt) {
  RowRotations lefts(ut, n, m), rights(vt, n, n);
  constexpr double kEpsilon = 0x1p-53, kTolerance = 10 * kEpsilon;
  const auto size = [](double x) { return __builtin_fabs(x); };
  // A lower bound of the smallest singular value (Demmel & Kahan): entries far below it can go.
  double least = n > 0 ? size(d[0]) : 0;
  double mu = least;
  for (std::int64_t i = 1; i < n && mu > 0; ++i) {
    mu = size(d[i]) * (mu / (mu + size(e[i - 1])));
    if (mu < least) least = mu;
  }
  const double negligible = kTolerance * least / __builtin_sqrt(double(n)) + 1e-290;
  double budget = 8.0 * double(n) * double(n) + 100;  // rotations; about n^2 are usual
  std::int64_t old_begin = -1, old_end = -1;
  bool upwards = false;
  for (std::int64_t end = n - 1; end > 0;) {
    // The unreduced block [begin, end].
    std::int64_t begin = end;
    double largest = size(d[end]);
    while (begin > 0 && size(e[begin - 1]) > negligible) {
      --begin;
      if (size(d[begin]) > largest) largest = size(d[begin]);
      if (size(e[begin]) > largest) largest = size(e[begin]);
    }
    if (begin > 0) e[begin - 1] = 0;
    if (begin == end) {
      --end;
      continue;
    }
    if (budget < 0) return false;
    if (begin > old_end || end < old_begin || old_end < 0) upwards = size(d[begin]) < size(d[end]);
    old_begin = begin;
    old_end = end;
    const detail::BidiagonalBlock block = upwards ? detail::BidiagonalBlock{d + end, e + end - 1, -1, end - begin}
                                                  : detail::BidiagonalBlock{d + begin, e + begin, 1, end - begin};

    // Entries that are small relative to what lies before them go, and bound the smallest singular value on the way.
    const std::int64_t last = block.last;
    if (size(block.above(last - 1)) <= kTolerance * size(block.diagonal(last))) {
      block.above(last - 1) = 0;
      continue;
    }
    double smallest = mu = size(block.diagonal(0));
    std::int64_t kept = 0;
    for (; kept < last && size(block.above(kept)) > kTolerance * mu; ++kept) {
      mu = size(block.diagonal(kept + 1)) * (mu / (mu + size(block.above(kept))));
      if (mu < smallest) smallest = mu;
    }
    if (kept < last) {
      block.above(kept) = 0;
      continue;
    }

    double shift = 0;
    if (100 * double(n) * smallest > largest) {  // else a shift would cost the smallest its relative accuracy
      shift = detail::smaller_singular_value(block.diagonal(last - 1), block.above(last - 1), block.diagonal(last));
      const double share = block.diagonal(0) != 0 ? shift / size(block.diagonal(0)) : 0;
      if (share * share < kEpsilon) shift = 0;
    }
    budget -= double(last);
    const Sweep where{upwards ? end : begin, last, block.step};
    Rotation *right = (upwards ? lefts : rights).add(where), *left = (upwards ? rights : lefts).add(where);
    if (shift == 0)
      block.sweep_unshifted(right, left);
    else
      block.sweep(shift, right, left);
    if (size(block.above(last - 1)) <= negligible) block.above(last - 1) = 0;
  }
  lefts.apply();
  rights.apply();
  for (std::int64_t i = 0; i < n; ++i) {
    if (__builtin_signbit(d[i])) {
      d[i] = -d[i];
      for (std::int64_t j = 0; vt && j < n; ++j) vt[i * n + j] = -vt[i * n + j];
    }
  }
  return true;
}

}  // namespace ergo::inline ERGO_BUILD::cpu
