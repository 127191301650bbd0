// What the decompositions of matrices share: one operation on the last two axes with several results, batched over the
// leading ones, computed in double whatever the dtype (float results are rounded once), and on the CPU whatever the
// device: the host waits for a matrix on another one, and the results go there. Its inputs must be finite, and it has
// no derivative yet: in `grad` and `jvp` it is an Error, in `vmap` it runs.
#pragma once

#include "ergo/autograd/tree_walk.hpp"
#include "ergo/cpu/scratch.hpp"

namespace ergo::inline ERGO_BUILD {

// What a matrix decomposition is defined for.
template <class T>
concept MatrixScalar = std::is_same_v<T, float> || std::is_same_v<T, double>;

namespace detail {

inline constexpr int kMostFactors = 3;

struct Decomposition final : OpOf<Decomposition> {
  // Of an m x n matrix: the shapes of the results; and from row-major elements, which it may overwrite, the results.
  // False if the iteration did not converge.
  void (*shapes)(std::int64_t m, std::int64_t n, Shape* result);
  bool (*compute)(std::int64_t m, std::int64_t n, double* a, double* const* result);

  constexpr Decomposition(const char* s, int results, void (*f)(std::int64_t, std::int64_t, Shape*),
                          bool (*g)(std::int64_t, std::int64_t, double*, double* const*))
      : OpOf(s, 1), shapes(f), compute(g) {
    n_out = results;
    uses = Uses::nothing;
    has_vjp = has_jvp = false;
    on_cuda = true;
  }
  int core(int) const { return 2; }
  void definition(Args x, Ref<Array>*) const {
    fail(name, x, 1, "it has no derivative yet in this version (stop_gradient(x) makes its argument a constant)");
  }
  inline void value(Args x, Ref<Array>* y, std::uint64_t) const;
};

// Checks what the shape shows.
inline void check_matrix(const char* op, const Array& a, bool square) {
  if (a.shape.rank() < 2) fail(op, a, "a matrix has two axes");
  if (square && a.shape[-2] != a.shape[-1])
    fail(op, a, {"the matrix is not square: ", a.shape[-2], " and ", a.shape[-1]});
}

// Checks what only the elements show.
inline void check_finite(const char* op, const Array& shaped, const double* p) {
  for (std::int64_t i = 0, n = shaped.numel(); i < n; ++i) {
    if (p[i] - p[i] == 0) continue;
    Shape at = shaped.shape;
    std::int64_t rest = i;
    for (int d = at.rank(); d-- > 0; rest /= shaped.shape[d]) at[d] = rest % shaped.shape[d];
    fail(op, shaped, {"it has a NaN or infinity at ", at});
  }
}

inline void Decomposition::value(Args x, Ref<Array>* y, std::uint64_t) const {
  const Array& given = *x[0];
  const Ref<Array> here = on_device(x, 1) ? readable(name, given) : Ref<Array>::share(x[0]);
  const int lead = given.shape.rank() - 2;
  const Shape batch = given.shape.first(lead);
  const std::int64_t count = batch.numel(), m = given.shape[-2], n = given.shape[-1];
  // A copy of our own, row-major: the kernels work in place.
  Ref<Array> a = Array::make(DType::float64, given.shape);
  double* elements = data_of<double>(*a);
  if (given.dtype == DType::float64) {
    copy_strided(*a, *here);
  } else {
    const Ref<Array> from = dense(*here);
    for (std::int64_t i = 0, size = a->numel(); i < size; ++i) elements[i] = double(data_of<float>(*from)[i]);
  }
  check_finite(name, *a, elements);

  Shape shape[kMostFactors];
  shapes(m, n, shape);
  Ref<Array> result[kMostFactors];
  for (int k = 0; k < n_out; ++k) result[k] = Array::make(DType::float64, batch + shape[k]);
  parallel_for(count, 1, [&](std::int64_t begin, std::int64_t end) {
    for (std::int64_t i = begin; i < end; ++i) {
      double* out[kMostFactors] = {};
      for (int k = 0; k < n_out; ++k) out[k] = data_of<double>(*result[k]) + i * shape[k].numel();
      if (!compute(m, n, elements + i * m * n, out)) fail(name, given, "the iteration did not converge");
    }
  });
  for (int k = 0; k < n_out; ++k) {
    if (given.dtype == DType::float64) {
      y[k] = to_device(*result[k], given.device);
      continue;
    }
    const Ref<Array> rounded = Array::make(DType::float32, result[k]->shape);
    for (std::int64_t i = 0, size = rounded->numel(); i < size; ++i)
      data_of<float>(*rounded)[i] = float(data_of<double>(*result[k])[i]);
    y[k] = to_device(*rounded, given.device);
  }
}

// Kernels square numbers: a matrix near either end of the range is worked on at a power of two of its own. Gives the
// factor that was applied.
inline double bring_into_range(double* a, std::int64_t n) {
  double largest = 0;
  for (std::int64_t i = 0; i < n; ++i) largest = __builtin_fabs(a[i]) > largest ? __builtin_fabs(a[i]) : largest;
  if (largest == 0 || (largest > 0x1p-300 && largest < 0x1p300)) return 1;
  const double factor = __builtin_ldexp(1.0, largest < 1 ? 500 : -500);
  for (std::int64_t i = 0; i < n; ++i) a[i] *= factor;
  return factor;
}

// The entry of largest magnitude of a row is negative.
inline bool points_down(const double* row, std::int64_t n) {
  double largest = 0;
  for (std::int64_t i = 0; i < n; ++i)
    if (__builtin_fabs(row[i]) > __builtin_fabs(largest)) largest = row[i];
  return largest < 0;
}

// to (m, n), row-major, := the transpose of from (n, m), its rows taken in the order `row`, and negated where `flip`
// says.
inline void transpose_rows(double* to, const double* from, std::int64_t n, std::int64_t m, const std::int64_t* row,
                           const bool* flip) {
  constexpr std::int64_t kTile = 16;
  parallel_for(m, 64, [&](std::int64_t begin, std::int64_t end) {
    for (std::int64_t j0 = 0; j0 < n; j0 += kTile) {
      const std::int64_t j1 = n - j0 < kTile ? n : j0 + kTile;
      for (std::int64_t i = begin; i < end; ++i) {
        for (std::int64_t j = j0; j < j1; ++j) {
          const double value = from[(row ? row[j] : j) * m + i];
          to[i * n + j] = flip && flip[j] ? -value : value;
        }
      }
    }
  });
}

// order: the indices of d (n), ascending or descending by value, equal ones in order. Merges runs, so that it is n log
// n.
inline void sort_indices(const double* d, std::int64_t n, bool descending, std::int64_t* order) {
  const cpu::Scratch<std::int64_t> other(n);
  std::int64_t *from = order, *to = other.data();
  for (std::int64_t i = 0; i < n; ++i) order[i] = i;
  for (std::int64_t width = 1; width < n; width *= 2) {
    for (std::int64_t i = 0; i < n; i += 2 * width) {
      const std::int64_t middle = i + width < n ? i + width : n, end = i + 2 * width < n ? i + 2 * width : n;
      std::int64_t a = i, b = middle;
      for (std::int64_t k = i; k < end; ++k) {
        const bool second =
            a == middle || (b < end && (descending ? d[from[b]] > d[from[a]] : d[from[b]] < d[from[a]]));
        to[k] = second ? from[b++] : from[a++];
      }
    }
    std::int64_t* swap = from;
    from = to;
    to = swap;
  }
  for (std::int64_t i = 0; from != order && i < n; ++i) order[i] = from[i];
}

}  // namespace detail
}  // namespace ergo::inline ERGO_BUILD
