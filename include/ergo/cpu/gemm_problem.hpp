// A matrix product as the plan (gemm_plan.hpp) takes it, and how work is divided.
#pragma once

#include <cstdint>

#include "ergo/cpu/gemm_kernel.hpp"

namespace ergo::inline ERGO_BUILD::cpu::detail {

// C[i] (m x n, contiguous rows) = A[i] B[i] + bias, or + C[i], for i < count; S is the operands' type, T that of C.
template <class S, class T>
struct GemmProblem {
  std::int64_t count, m, n, k;
  const S* a;
  std::int64_t a_batch, a_row, a_column;
  const S* b;
  std::int64_t b_batch, b_row, b_column;
  T* c = nullptr;
  std::int64_t c_batch = 0, c_row = 0;
  const T* bias = nullptr;  // not together with accumulate
  bool accumulate = false;
  FinishTile<T> finish = nullptr;
};

// C^T = B^T A^T instead of C = A B.
template <class S, class T>
void transpose_operands(GemmProblem<S, T>& g) {
  const GemmProblem<S, T> old = g;
  g.m = old.n, g.n = old.m;
  g.a = old.b, g.a_batch = old.b_batch, g.a_row = old.b_column, g.a_column = old.b_row;
  g.b = old.a, g.b_batch = old.a_batch, g.b_row = old.a_column, g.b_column = old.a_row;
}

inline std::int64_t divide_up(std::int64_t n, std::int64_t by) { return (n + by - 1) / by; }
inline std::int64_t round_up(std::int64_t n, std::int64_t to) { return divide_up(n, to) * to; }

// Part `part` of `parts` nearly equal runs of `units` units.
inline std::int64_t part_begin(std::int64_t units, std::int64_t part, std::int64_t parts) {
  const std::int64_t each = units / parts, more = units % parts;
  return each * part + (part < more ? part : more);
}

}  // namespace ergo::inline ERGO_BUILD::cpu::detail
