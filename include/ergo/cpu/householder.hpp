// Elementary reflections H = I - tau v v', the step of every orthogonal reduction, and products of many of them at
// once. All is on doubles and on rows: a matrix is kept transposed ("column j of A is row j"), so that the vectors that
// are reflected, and the reflectors, are contiguous. A block of reflectors V (k, m) acts as I - V' T V, T (k, k) upper
// triangular (Schreiber & Van Loan 1989), and so becomes three matrix products.
#pragma once

#include "ergo/cpu/gemm.hpp"
#include "ergo/cpu/reduce.hpp"

namespace ergo::inline ERGO_BUILD::cpu {

inline constexpr std::int64_t kReflectors = 32;  // reflectors of a block

// A row-major part of a matrix.
inline MatrixView<double> rows_of(double* p, std::int64_t rows, std::int64_t columns, std::int64_t row_stride) {
  return {p, rows, columns, row_stride, 1};
}
inline MatrixView<const double> rows_of(const double* p, std::int64_t rows, std::int64_t columns,
                                        std::int64_t row_stride) {
  return {p, rows, columns, row_stride, 1};
}

// n zeros from p on, which may be null if n is 0.
inline void clear(double* p, std::int64_t n) {
  if (n > 0) __builtin_memset(p, 0, std::size_t(n) * sizeof(double));
}

// The Euclidean norm of n dense elements, right whenever it is finite and not subnormal.
double norm_of(const double* x, std::int64_t n);

// r = hypot(f, g), c = f / r, s = g / r; the identity for g = 0.
struct Rotation {
  double c, s;
};
Rotation rotation_of(double f, double g, double& r);

// The reflection with H x = beta e_1; x becomes v, v[0] = 1. tau is 0, and H the identity, if x[1:] is zero.
struct Reflection {
  double beta, tau;
};
Reflection reflect(double* x, std::int64_t n);

// Applies H to each of `count` rows of length n, `stride` apart.
void reflect_rows(double* rows, std::int64_t count, std::int64_t stride, const double* v, std::int64_t n, double tau);

// T (k, k) of the reflectors V (k, m), row stride m_stride: H_1 H_2 ... H_k = I - V' T V.
void block_factor(const double* v, std::int64_t k, std::int64_t m, std::int64_t stride, const double* tau, double* t);

// X (r, m) := X (I - V' T V), or X (I - V' T' V) if `transposed`; `work` has room for 2 r k.
void apply_block(double* x, std::int64_t r, std::int64_t x_stride, const double* v, std::int64_t k, std::int64_t m,
                 std::int64_t v_stride, const double* t, bool transposed, double* work);

// The first r rows of Q', Q = H_1 ... H_k: x (r, m), row-major. Reflector j is row j of V (k, m) and zero before j +
// offset.
void orthogonal_rows(double* x, std::int64_t r, const double* v, std::int64_t k, std::int64_t m, const double* tau,
                     std::int64_t offset);

// A = Q R of the m x n matrix whose columns are the rows of a (n, m), which is used up: q (k, m) gets the columns of Q
// as rows, r (k, n) is row-major with a diagonal >= 0; k = min(m, n).
void factor_qr(double* a, std::int64_t m, std::int64_t n, double* q, double* r);

namespace detail {

// Each row loses tau (row . v) v.
struct ReflectRows {
  template <Isa I>
  static ERGO_INLINE void run(double* rows, std::int64_t count, std::int64_t stride, const double* v, std::int64_t n,
                              double tau) {
    constexpr int W = kRegisterBytes<I> / 8;
    using P = Pack<double, W>;
    for (std::int64_t r = 0; r < count; ++r) {
      double* x = rows + r * stride;
      P acc[4];
      std::int64_t i = 0;
      for (; i + 4 * W <= n; i += 4 * W)
        for (int k = 0; k < 4; ++k) acc[k] = fma(P::load(x + i + k * W), P::load(v + i + k * W), acc[k]);
      for (; i < n; i += W) {
        const int part = n - i < W ? int(n - i) : W;
        acc[0] = fma(P::load_part(x + i, part), P::load_part(v + i, part), acc[0]);
      }
      const P scale(-tau * ((acc[0] + acc[1]) + (acc[2] + acc[3])).sum());
      for (i = 0; i + W <= n; i += W) fma(scale, P::load(v + i), P::load(x + i)).store(x + i);
      if (i < n) {
        const int part = int(n - i);
        fma(scale, P::load_part(v + i, part), P::load_part(x + i, part)).store_part(x + i, part);
      }
    }
  }
};

}  // namespace detail

inline double norm_of(const double* x, std::int64_t n) {
  const double squares = inner_product(x, x, n);
  if (squares > 1e-280 && squares < 1e280) return __builtin_sqrt(squares);
  double largest = 0, sum = 0;
  for (std::int64_t i = 0; i < n; ++i) largest = __builtin_fabs(x[i]) > largest ? __builtin_fabs(x[i]) : largest;
  if (largest == 0) return 0;
  for (std::int64_t i = 0; i < n; ++i) sum += (x[i] / largest) * (x[i] / largest);
  return largest * __builtin_sqrt(sum);
}

inline Rotation rotation_of(double f, double g, double& r) {
  if (g == 0) {
    r = f;
    return {1, 0};
  }
  const double squares = f * f + g * g;
  r = squares > 1e-280 && squares < 1e280 ? __builtin_sqrt(squares) : __builtin_hypot(f, g);
  return {f / r, g / r};
}

inline Reflection reflect(double* x, std::int64_t n) {
  const double alpha = x[0], rest = n > 1 ? norm_of(x + 1, n - 1) : 0;
  x[0] = 1;
  if (rest == 0) return {alpha, 0};
  const double whole = __builtin_hypot(alpha, rest), beta = alpha > 0 ? -whole : whole;
  for (std::int64_t i = 1; i < n; ++i) x[i] /= alpha - beta;
  return {beta, (beta - alpha) / beta};
}

inline void reflect_rows(double* rows, std::int64_t count, std::int64_t stride, const double* v, std::int64_t n,
                         double tau) {
  if (count > 0 && tau != 0) for_isa<detail::ReflectRows>(rows, count, stride, v, n, tau);
}

inline void block_factor(const double* v, std::int64_t k, std::int64_t m, std::int64_t stride, const double* tau,
                         double* t) {
  double products[kReflectors * kReflectors];
  const auto rows = rows_of(v, k, m, stride);
  gemm(rows, rows.transposed(), rows_of(products, k, k, k));
  for (std::int64_t j = 0; j < k; ++j) {
    for (std::int64_t i = 0; i < j; ++i) {
      double sum = 0;
      for (std::int64_t l = i; l < j; ++l) sum += t[i * k + l] * products[l * k + j];
      t[i * k + j] = -tau[j] * sum;
      t[j * k + i] = 0;
    }
    t[j * k + j] = tau[j];
  }
}

ERGO_ONCE void apply_block(double* x, std::int64_t r, std::int64_t x_stride, const double* v, std::int64_t k,
                           std::int64_t m, std::int64_t v_stride, const double* t, bool transposed, double* work) {
  if (r == 0 || k == 0) return;
  const auto block = rows_of(v, k, m, v_stride);
  const auto factor = rows_of(t, k, k, k);
  double negative[kReflectors * kReflectors];
  for (std::int64_t i = 0; i < k * k; ++i) negative[i] = -factor.data[i];
  const auto minus_t = rows_of(static_cast<const double*>(negative), k, k, k);
  gemm(rows_of(x, r, m, x_stride), block.transposed(), rows_of(work, r, k, k));
  gemm(rows_of(work, r, k, k), transposed ? minus_t.transposed() : minus_t, rows_of(work + r * k, r, k, k));
  gemm(rows_of(work + r * k, r, k, k), block, rows_of(x, r, m, x_stride), {.accumulate = true});
}

ERGO_ONCE void orthogonal_rows(double* x, std::int64_t r, const double* v, std::int64_t k, std::int64_t m,
                               const double* tau, std::int64_t offset) {
  const Scratch<double> work(2 * r * kReflectors);
  double t[kReflectors * kReflectors];
  clear(x, r * m);
  for (std::int64_t i = 0; i < r; ++i) x[i * m + i] = 1;
  for (std::int64_t j = (k - 1) / kReflectors * kReflectors; j >= 0 && k > 0; j -= kReflectors) {
    const std::int64_t n = k - j < kReflectors ? k - j : kReflectors, at = j + offset;
    if (at >= r) continue;  // rows before `at` are still those of the identity, which this block leaves alone
    block_factor(v + j * m + at, n, m - at, m, tau + j, t);
    apply_block(x + at * m + at, r - at, m, v + j * m + at, n, m - at, m, t, true, work.data());
  }
}

ERGO_ONCE void factor_qr(double* a, std::int64_t m, std::int64_t n, double* q, double* r) {
  const std::int64_t k = m < n ? m : n;
  const Scratch<double> v(k * m), tau(k), work(2 * n * kReflectors);
  double t[kReflectors * kReflectors];
  clear(v.data(), k * m);
  for (std::int64_t j0 = 0; j0 < k; j0 += kReflectors) {
    const std::int64_t width = k - j0 < kReflectors ? k - j0 : kReflectors, j1 = j0 + width;
    for (std::int64_t j = j0; j < j1; ++j) {
      double* column = a + j * m + j;
      const Reflection h = reflect(column, m - j);
      __builtin_memcpy(v.data() + j * m + j, column, std::size_t(m - j) * sizeof(double));
      reflect_rows(column + m, j1 - j - 1, m, v.data() + j * m + j, m - j, h.tau);
      column[0] = h.beta;
      tau.data()[j] = h.tau;
    }
    if (j1 == n) break;
    const double* block = v.data() + j0 * m + j0;
    block_factor(block, width, m - j0, m, tau.data() + j0, t);
    apply_block(a + j1 * m + j0, n - j1, m, block, width, m - j0, m, t, false, work.data());
  }
  orthogonal_rows(q, k, v.data(), k, m, tau.data(), 0);
  for (std::int64_t i = 0; i < k; ++i) {
    const bool flip = a[i * m + i] < 0;
    for (std::int64_t j = 0; j < n; ++j) r[i * n + j] = j < i ? 0.0 : flip ? -a[j * m + i] : a[j * m + i];
    for (std::int64_t j = 0; flip && j < m; ++j) q[i * m + j] = -q[i * m + j];
  }
}

}  // namespace ergo::inline ERGO_BUILD::cpu
