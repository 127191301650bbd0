// The Krylov space of a symmetric linear operator over trees: an orthonormal basis as one array (steps, n) and the
// tridiagonal matrix T = Q A Q' of its projection (Lanczos 1950), grown one step at a time.
#pragma once

#include <cmath>
#include <limits>

#include "ergo/autograd/tree_algebra.hpp"
#include "ergo/cpu/krylov.hpp"
#include "ergo/cpu/symmetric_eigen.hpp"
#include "ergo/linalg/decomposition.hpp"

namespace ergo::inline ERGO_BUILD {
namespace linalg {

// How basis vectors are kept orthogonal: `full`, against all others, twice a step; `none`, by the three-term recurrence
// alone, which loses orthogonality as soon as an eigenvalue has converged (copies of it then appear).
enum class Reorthogonalize { full, none };

}  // namespace linalg

namespace detail {

// Algorithms that look at numbers cannot be traced.
inline void check_plain(const char* op, const LeafList& leaves) {
  for (const auto& leaf : leaves)
    if (leaf->depth > 0)
      fail(op, *leaf, "it reads values and cannot run inside a transform; stop_gradient(x) outside vmap");
}
template <class A>
LeafList plain_leaves(const char* op, const A& a) {
  LeafList leaves = leaves_of(a);
  check_plain(op, leaves);
  return leaves;
}
// What an operator gives must be a tree of the shapes that it was given.
template <class A>
void check_like(const char* op, const LeafList& shapes, const A& image) {
  const LeafList leaves = plain_leaves(op, image);
  if (leaves.size() != shapes.size()) throw_error({"[", op, "] the operator gave a tree of another structure"});
  same_shapes(op, shapes, leaves);
}

// The power of two just above `size`, kept away from the ends of R's range: dividing by it is exact, and squares of
// what is left stay in range. 1 for what is 0 or not finite.
template <class R>
R scale_near(double size) {
  if (!(size > 0) || size - size != 0) return 1;
  constexpr int kMost = std::numeric_limits<R>::max_exponent - 2;
  int e;
  std::frexp(size, &e);
  return R(std::ldexp(1.0, e > kMost ? kMost : e < -kMost ? -kMost : e));
}

// The eigenvalues of the tridiagonal matrix (alpha, beta), ascending, and its vectors as rows, row i of value i.
struct TridiagonalEigen {
  std::vector<double> values, vectors;
};
TridiagonalEigen tridiagonal_eigen(const char* op, const std::vector<double>& alpha, const std::vector<double>& beta);

template <class R>
class KrylovBasis {
 public:
  KrylovBasis(const char* op, std::int64_t n, std::int64_t capacity) : op_(op), n_(n) { reserve(capacity); }

  std::int64_t steps() const { return std::int64_t(alpha.size()); }
  // Row j as a tensor (n) on the device of the start vector; it is never written again.
  Tensor<R> row(std::int64_t j) const {
    Ref<Array> view = Array::view(*basis_, Shape{n_});
    view->data += j * n_ * std::int64_t(sizeof(R));
    view->set_row_major();
    return Tensor<R>(to_device(*view, device_));
  }
  const R* data() const { return data_of<R>(*basis_); }

  // Row 0 := v / |v|. An Error if |v| is 0 or not finite.
  void start(const Tensor<R>& v) {
    R* q = data_of<R>(*basis_);
    device_ = v.device();
    copy_in(q, v);
    bring_to_range(q);
    double squares = cpu::project(q, 0, n_, static_cast<const R*>(q), nullptr);
    if (squares - squares != 0) throw_error({text(), "the start vector has a NaN or infinity"});
    if (squares == 0) throw_error({text(), "the start vector is zero"});
    cpu::scale_vector(q, n_, 1 / __builtin_sqrt(squares));
    squares = cpu::project(q, 0, n_, static_cast<const R*>(q), nullptr);  // once more: rounding of short types
    cpu::scale_vector(q, n_, 1 / __builtin_sqrt(squares));
  }

  // One step with w = A q of the last row q: appends alpha, beta and the next row. False at an invariant subspace
  // (beta.back() is then 0, and there is no next row).
  bool extend(const Tensor<R>& w, linalg::Reorthogonalize how) {
    const std::int64_t k = steps() + 1;  // rows that there are
    reserve(k + 1);
    R* q = data_of<R>(*basis_);
    R* next = q + k * n_;
    copy_in(next, w);
    const double scale = bring_to_range(next);
    double size, a;
    if (how == linalg::Reorthogonalize::full) {
      std::vector<double> c(std::size_t(k) + 1);
      cpu::project(static_cast<const R*>(q), k, n_, static_cast<const R*>(next), c.data());
      a = c[std::size_t(k) - 1];
      cpu::remove_and_project(static_cast<const R*>(q), k, n_, next, c.data());
      size = cpu::remove_and_project(static_cast<const R*>(q), k, n_, next, c.data());
    } else {
      const std::int64_t from = k > 1 ? k - 2 : 0, rows = k - from;
      double c[2];
      cpu::project(static_cast<const R*>(q) + from * n_, rows, n_, static_cast<const R*>(next), c);
      a = c[rows - 1];
      if (rows == 2) c[0] = beta.back() / scale;
      size = cpu::remove_and_project(static_cast<const R*>(q) + from * n_, rows, n_, next, c);
    }
    if (size - size != 0 || a - a != 0) throw_error({text(), "the operator gave a NaN or infinity in step ", k});
    double b = __builtin_sqrt(size) * scale;
    a *= scale;
    const double before = beta.empty() ? 0 : beta.back(), sum = __builtin_fabs(a) + b + before;
    if (sum > norm_) norm_ = sum;
    alpha.push_back(a);
    const bool invariant = b < kInvariant * norm_ || norm_ == 0 || k >= n_;
    beta.push_back(invariant ? 0 : b);
    if (invariant) return false;
    cpu::scale_vector(next, n_, 1 / __builtin_sqrt(size));
    return true;
  }

  // Row steps() := v made orthogonal to the others: a fresh start behind an invariant subspace. False if v lies in it.
  bool restart(const Tensor<R>& v) {
    const std::int64_t k = steps();
    reserve(k + 1);
    R* q = data_of<R>(*basis_);
    R* next = q + k * n_;
    copy_in(next, v);
    std::vector<double> c(std::size_t(k) + 1);
    const double before = cpu::project(static_cast<const R*>(q), k, n_, static_cast<const R*>(next), c.data());
    double size = before;
    for (int round = 0; round < 3; ++round)
      size = cpu::remove_and_project(static_cast<const R*>(q), k, n_, next, c.data());
    if (!(size > 1e-8 * before)) return false;
    cpu::scale_vector(next, n_, 1 / __builtin_sqrt(size));
    return true;
  }

  // The basis turned by rows of coefficients (count, steps): count vectors (n).
  std::vector<Tensor<R>> combine(const double* rows, std::int64_t count) const;

  // The largest row sum of T so far.
  double norm() const { return norm_; }

  std::vector<double> alpha, beta;  // equally long; the last beta belongs to the row that would come next

 private:
  static constexpr double kInvariant = sizeof(R) == 8 ? 1e-12 : 1e-6;
  std::string text() const { return std::string("[") + op_ + "] "; }
  // Divides a double vector whose squares would leave the range by a power of two, and returns that, else 1. Those of
  // shorter types are summed in double.
  double bring_to_range(R* v) const {
    if constexpr (sizeof(R) < sizeof(double)) return 1;
    double largest = 0;
    for (std::int64_t i = 0; i < n_; ++i)
      if (const double x = __builtin_fabs(double(v[i])); x > largest) largest = x;
    if (largest > 1e-100 && largest < 1e100) return 1;
    const double scale = scale_near<R>(largest);
    if (scale != 1) cpu::scale_vector(v, n_, R(1 / scale));
    return scale;
  }
  void copy_in(R* to, const Tensor<R>& v) const {
    const Ref<Array> from = readable(op_, v.array());
    std::memcpy(to, from->data, std::size_t(n_) * sizeof(R));
  }
  void reserve(std::int64_t rows) {
    if (rows <= capacity_) return;
    const std::int64_t grown = rows < capacity_ + capacity_ / 2 ? capacity_ + capacity_ / 2 : rows;
    Ref<Array> wider = Array::make(dtype_of<R>, Shape{grown, n_});
    if (capacity_) std::memcpy(wider->data, basis_->data, std::size_t(capacity_ * n_) * sizeof(R));
    basis_ = std::move(wider);
    capacity_ = grown;
  }

  const char* op_;
  std::int64_t n_, capacity_ = 0;
  double norm_ = 0;
  Device device_;     // of the vectors that the operator sees
  Ref<Array> basis_;  // on the CPU
};

template <class R>
std::vector<Tensor<R>> KrylovBasis<R>::combine(const double* rows, std::int64_t count) const {
  const std::int64_t k = steps();
  Ref<Array> all = Array::make(dtype_of<R>, Shape{count, n_});
  const cpu::Scratch<R> c(count * k);
  for (std::int64_t i = 0; i < count * k; ++i) c.data()[i] = R(rows[i]);
  cpu::gemm(cpu::MatrixView<const R>{c.data(), count, k, k, 1}, cpu::MatrixView<const R>{data(), k, n_, n_, 1},
            cpu::MatrixView<R>{data_of<R>(*all), count, n_, n_, 1});
  std::vector<Tensor<R>> vectors;
  for (std::int64_t i = 0; i < count; ++i) {
    Ref<Array> view = Array::view(*all, Shape{n_});
    view->data += i * n_ * std::int64_t(sizeof(R));
    view->set_row_major();
    vectors.emplace_back(to_device(*view, device_));
  }
  return vectors;
}

#if !defined(ERGO_COMPILED)  // the archive has what follows
ERGO_ONCE TridiagonalEigen tridiagonal_eigen(const char* op, const std::vector<double>& alpha,
                                             const std::vector<double>& beta) {
  const auto k = std::int64_t(alpha.size());
  std::vector<double> d = alpha, e = beta, x(std::size_t(k * k));
  std::vector<std::int64_t> order(alpha.size());
  for (std::int64_t i = 0; i < k; ++i) x[std::size_t(i * (k + 1))] = 1;
  e.resize(alpha.size() + 1);
  if (!cpu::diagonalise_tridiagonal(d.data(), e.data(), k, x.data(), k))
    throw_error({"[", op, "] the eigenvalues of the tridiagonal matrix did not converge"});
  sort_indices(d.data(), k, false, order.data());
  TridiagonalEigen r;
  for (const std::int64_t i : order) {
    r.values.push_back(d[std::size_t(i)]);
    r.vectors.insert(r.vectors.end(), x.begin() + i * k, x.begin() + (i + 1) * k);
  }
  return r;
}
#endif

}  // namespace detail
}  // namespace ergo::inline ERGO_BUILD
