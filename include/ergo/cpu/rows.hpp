// How the rows of several operands meet a kernel: in parallel chunks, with room behind a row that is shorter than a register,
// leading axes broadcast.
#pragma once

#include "ergo/cpu/row_packs.hpp"
#include "ergo/cpu/scratch.hpp"
#include "ergo/cpu/storage.hpp"

namespace ergo::inline ERGO_BUILD::cpu::detail {

inline constexpr std::int64_t kRowGrain = 16384;  // elements a chunk of rows

// Runs body(x, y, first, rows) on `count` rows of n elements: x[K] and y[L] point at the rows from number `first` on (null
// stays null), which may be read and written up to one register past their ends.
template <int K, int L, class T, class Body>
void for_rows_here(const T* const (&x)[K], T* const (&y)[L], std::int64_t begin, std::int64_t end, std::int64_t n, const Body& body) {
  constexpr int kRegister = 64 / int(sizeof(T));
  const T* from[K];
  T* to[L];
  const auto at = [&](std::int64_t row) {
    for (int k = 0; k < K; ++k) from[k] = x[k] ? x[k] + row * n : nullptr;
    for (int k = 0; k < L; ++k) to[k] = y[k] ? y[k] + row * n : nullptr;
  };
  const std::int64_t crowded = n < kRegister ? (kRegister + n - 1) / n : 0;  // rows with too little behind them
  const std::int64_t roomy = end - begin > crowded ? end - crowded : begin;
  if (roomy > begin || crowded == 0) {
    at(begin);
    body(from, to, begin, (crowded ? roomy : end) - begin);
  }
  if (crowded == 0) return;
  T in[K][3 * kRegister] = {}, out[L][3 * kRegister];
  at(roomy);
  const auto bytes = std::size_t((end - roomy) * n) * sizeof(T);
  T* given[L];
  for (int k = 0; k < K; ++k)
    if (from[k]) {
      std::memcpy(in[k], from[k], bytes);
      from[k] = in[k];
    }
  for (int k = 0; k < L; ++k) {
    given[k] = to[k];
    if (to[k]) to[k] = out[k];
  }
  body(from, to, roomy, end - roomy);
  for (int k = 0; k < L; ++k)
    if (given[k]) std::memcpy(given[k], out[k], bytes);
}
// The same in parallel, over chunks of rows.
template <int K, int L, class T, class Body>
void for_rows(const T* const (&x)[K], T* const (&y)[L], std::int64_t count, std::int64_t n, const Body& body) {
  if (n == 0) return;
  parallel_for(count, 1 + (kRowGrain - 1) / n,
               [&](std::int64_t begin, std::int64_t end) { for_rows_here(x, y, begin, end, n, body); });
}

// Row-major operands whose axes before their last `core[i]` are broadcast to one another: what a kernel of several inputs
// needs under vmap. Where nothing is broadcast, nothing is copied.
template <int N>
struct Aligned {
  Shape lead;
  Ref<Array> array[N];

  Aligned(const Array* const (&x)[N], const int (&core)[N]) {
    for (int i = 0; i < N; ++i) ergo::detail::broadcast(lead, x[i]->shape.first(x[i]->shape.rank() - core[i]));
    for (int i = 0; i < N; ++i) array[i] = aligned(*x[i], core[i], lead);
  }
  static Ref<Array> aligned(const Array& x, int core, const Shape& lead) {
    const Shape want = lead + x.shape.last(core);
    const int gained = want.rank() - x.shape.rank();
    if (gained == 0 && x.shape == want) return ergo::detail::dense(x);
    Ref<Array> view = Array::view(x, want);
    for (int d = 0; d < want.rank(); ++d)
      view->stride[d] = d < gained || x.shape[d - gained] != want[d] ? 0 : x.stride[d - gained];
    view->settle();
    return ergo::detail::dense(*view);
  }
};

// The array to compute on: float where x is of 16 bits, row-major.
inline Ref<Array> computable(const Array& x) { return is_storage_only(x.dtype) ? widened(x) : ergo::detail::dense(x); }
// What was computed, as dtype d.
inline Ref<Array> stored_as(Ref<Array> y, DType d) { return y->dtype == d ? std::move(y) : narrowed(*y, d); }

}  // namespace ergo::inline ERGO_BUILD::cpu::detail
