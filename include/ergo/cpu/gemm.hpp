// Matrix products on views: C = A B, or C += A B, with an optional row-vector bias and activation applied to C while it
// is in the nearest cache; single or in batches; any strides (a transpose is a view). float and double are computed in
// themselves, the 16-bit floats in float with one rounding at the end.
//
// How a product is computed depends on its shape and strides (gemm_plan.hpp); K is never split over threads and its
// blocks depend on the shape alone, so the bits do not depend on the number of threads. NaN and infinities propagate.
#pragma once

#include <cstdint>
#include <type_traits>

#include "ergo/core/dtype.hpp"
#include "ergo/cpu/gemm_plan.hpp"

namespace ergo::inline ERGO_BUILD::cpu {

// A matrix in memory: element (i, j) at data[i * row_stride + j * col_stride]. Strides may be zero or negative.
template <class T>
struct MatrixView {
  T* data;
  std::int64_t rows, cols, row_stride, col_stride;

  MatrixView transposed() const { return {data, cols, rows, col_stride, row_stride}; }
  operator MatrixView<const T>() const requires(!std::is_const_v<T>) {
    return {data, rows, cols, row_stride, col_stride};
  }
};

template <class T>
struct GemmOptions {
  bool accumulate = false;  // add to C instead of overwriting it
  const T* bias = nullptr;  // one number per column, added to every row of C (contiguous)
};

// The activation that does nothing. Others are structs with a member template
// `static ERGO_INLINE P apply(const P& x)` for P = Pack<Compute<T>, W>.
struct NoActivation {};

// c = activation(a b + bias [+ c]). The shapes must fit: (m, k) (k, n) gives (m, n). C must not overlap A, B, or
// itself. Throws OutOfMemory, before anything is written.
template <class Activation = NoActivation, class T>
void gemm(MatrixView<const std::type_identity_t<T>> a, MatrixView<const std::type_identity_t<T>> b, MatrixView<T> c,
          GemmOptions<std::type_identity_t<T>> options = {});

// `count` products at once: matrix i of an operand lies i times its batch stride (elements; 0 to use one for all)
// behind the view.
template <class Activation = NoActivation, class T>
void gemm_batched(std::int64_t count, MatrixView<const std::type_identity_t<T>> a, std::int64_t a_batch,
                  MatrixView<const std::type_identity_t<T>> b, std::int64_t b_batch, MatrixView<T> c,
                  std::int64_t c_batch, GemmOptions<std::type_identity_t<T>> options = {});

namespace detail {

// Applies an activation to a part of C.
template <class Activation>
struct ActivateRows {
  template <Isa I, class T>
  static ERGO_INLINE void run(T* c, std::int64_t rows, std::int64_t columns, std::int64_t row_stride) {
    constexpr int kLanes = kRegisterBytes<I> / int(sizeof(T));
    using P = Pack<T, kLanes>;
    for (std::int64_t i = 0; i < rows; ++i, c += row_stride) {
      std::int64_t j = 0;
      for (; j + kLanes <= columns; j += kLanes) Activation::apply(P::load(c + j)).store(c + j);
      const int left = int(columns - j);
      if (left > 0) Activation::apply(P::load_part(c + j, left)).store_part(c + j, left);
    }
  }
};

template <class Activation, class T>
FinishTile<T> finish_with() {
  if constexpr (std::is_same_v<Activation, NoActivation>) {
    return nullptr;
  } else {
    return [](T* c, std::int64_t rows, std::int64_t columns, std::int64_t row_stride) {
      for_isa<ActivateRows<Activation>, T*, std::int64_t, std::int64_t, std::int64_t>(c, rows, columns, row_stride);
    };
  }
}

// Moves rows between `wide` (contiguous, n columns) and C, either way.
template <class S, class T>
[[gnu::noinline]] void move_rows(std::int64_t rows, std::int64_t m, std::int64_t n, S* c, std::int64_t c_batch,
                                 std::int64_t c_row, std::int64_t c_column, T* wide, bool to_wide) {
  parallel_for(rows, 1 + 16384 / n, [=](std::int64_t begin, std::int64_t end) {
    for (std::int64_t r = begin; r < end; ++r) {
      S* narrow = c + r / m * c_batch + r % m * c_row;
      T* row = wide + r * n;
      if (to_wide) {
        for (std::int64_t j = 0; j < n; ++j) row[j] = T(narrow[j * c_column]);
      } else {
        for (std::int64_t j = 0; j < n; ++j) narrow[j * c_column] = S(row[j]);
      }
    }
  });
}

// Products whose result cannot be written in place: 16-bit, or a C without a contiguous direction. The result is made
// in scratch memory, in the type of computation, and moved to C in one pass.
template <class S, class T>
[[gnu::noinline]] void gemm_through_scratch(GemmProblem<S, T> problem, S* c, std::int64_t c_batch, std::int64_t c_row,
                                            std::int64_t c_column, const S* bias) {
  const std::int64_t m = problem.m, n = problem.n, rows = problem.count * m;
  const Scratch<T> result(rows * n), wide_bias(bias ? n : 0);
  const GemmPlan<S, T> plan(problem);
  for (std::int64_t j = 0; bias && j < n; ++j) wide_bias.data()[j] = T(bias[j]);
  if (problem.accumulate) move_rows(rows, m, n, c, c_batch, c_row, c_column, result.data(), true);
  problem.c = result.data();
  problem.c_batch = m * n;
  problem.c_row = n;
  problem.bias = wide_bias.data();
  plan.run(problem);
  move_rows(rows, m, n, c, c_batch, c_row, c_column, result.data(), false);
}

}  // namespace detail

template <class Activation, class T>
void gemm_batched(std::int64_t count, MatrixView<const std::type_identity_t<T>> a, std::int64_t a_batch,
                  MatrixView<const std::type_identity_t<T>> b, std::int64_t b_batch, MatrixView<T> c,
                  std::int64_t c_batch, GemmOptions<std::type_identity_t<T>> options) {
  if (count <= 0 || c.rows <= 0 || c.cols <= 0) return;
  using C = Compute<T>;
  detail::GemmProblem<T, C> problem;
  problem.count = count;
  problem.m = c.rows;
  problem.n = c.cols;
  problem.k = a.cols;
  static constexpr T kNothing{};  // for addresses of products over nothing, whose operands may have none
  problem.a = problem.k ? a.data : &kNothing, problem.a_batch = a_batch, problem.a_row = a.row_stride,
  problem.a_column = a.col_stride;
  problem.b = problem.k ? b.data : &kNothing, problem.b_batch = b_batch, problem.b_row = b.row_stride,
  problem.b_column = b.col_stride;
  problem.accumulate = options.accumulate;
  problem.finish = detail::finish_with<Activation, C>();
  if constexpr (std::is_same_v<T, C>) {
    const bool plain = !options.bias && !problem.finish;
    const bool by_rows = c.col_stride == 1 || c.cols == 1;
    if (by_rows || (plain && (c.row_stride == 1 || c.rows == 1))) {
      problem.c = c.data;
      problem.c_batch = c_batch;
      problem.c_row = by_rows ? c.row_stride : c.col_stride;
      problem.bias = options.bias;
      if (!by_rows) detail::transpose_operands(problem);
      detail::GemmPlan<T, T>(problem).run(problem);
      return;
    }
  }
  detail::gemm_through_scratch(problem, c.data, c_batch, c.row_stride, c.col_stride, options.bias);
}

template <class Activation, class T>
void gemm(MatrixView<const std::type_identity_t<T>> a, MatrixView<const std::type_identity_t<T>> b, MatrixView<T> c,
          GemmOptions<std::type_identity_t<T>> options) {
  gemm_batched<Activation>(1, a, 0, b, 0, c, 0, options);
}

}  // namespace ergo::inline ERGO_BUILD::cpu
