// How the rows of several operands meet a kernel: in parallel chunks, with room behind a row that is shorter than a
// register, leading axes broadcast.
#pragma once

#include "ergo/cpu/row_packs.hpp"
#include "ergo/cpu/scratch.hpp"
#include "ergo/cpu/storage.hpp"

namespace ergo::inline ERGO_BUILD::cpu::detail {

inline constexpr std::int64_t kRowGrain = 16384;  // elements a chunk of rows

// What for_rows runs on rows: up to 4 operands of n elements of `width` bytes a row, the first `inputs` of them read,
// the others written; a null one stays null.
struct RowCall {
  std::int64_t n, width;
  int inputs, operands;
  std::byte* at[4];
  const void* self;
  void (*run)(const void* self, std::byte* const* at, std::int64_t first, std::int64_t rows);
};

// Rows [begin, end). The last of rows shorter than a register are worked on in room of their own.
inline void run_rows(const RowCall& call, std::int64_t begin, std::int64_t end) {
  constexpr std::int64_t kRegister = 64;  // bytes
  const std::int64_t pitch = call.n * call.width;
  std::byte* at[4];
  const auto go_to = [&](std::int64_t row) {
    for (int k = 0; k < call.operands; ++k) at[k] = call.at[k] ? call.at[k] + row * pitch : nullptr;
  };
  const std::int64_t crowded = pitch < kRegister ? (kRegister + pitch - 1) / pitch : 0;
  const std::int64_t roomy = end - begin > crowded ? end - crowded : begin;
  if (roomy > begin) {
    go_to(begin);
    call.run(call.self, at, begin, roomy - begin);
  }
  if (roomy == end) return;
  alignas(64) std::byte room[4][3 * kRegister] = {};
  go_to(roomy);
  const auto bytes = std::size_t((end - roomy) * pitch);
  std::byte* given[4];
  for (int k = 0; k < call.operands; ++k) {
    given[k] = at[k];
    if (!at[k]) continue;
    if (k < call.inputs) std::memcpy(room[k], at[k], bytes);
    at[k] = room[k];
  }
  call.run(call.self, at, roomy, end - roomy);
  for (int k = call.inputs; k < call.operands; ++k)
    if (given[k]) std::memcpy(given[k], room[k], bytes);
}
inline void run_rows_parallel(const RowCall& call, std::int64_t count) {
  if (call.n == 0) return;
  parallel_for(count, 1 + (kRowGrain - 1) / call.n,
               [&](std::int64_t begin, std::int64_t end) { run_rows(call, begin, end); });
}

template <class T, int K, int L, class Body>
RowCall row_call(const T* const (&x)[K], T* const (&y)[L], std::int64_t n, const Body& body) {
  RowCall call{n, std::int64_t(sizeof(T)), K, K + L, {}, &body, nullptr};
  for (int k = 0; k < K; ++k) call.at[k] = reinterpret_cast<std::byte*>(const_cast<T*>(x[k]));
  for (int k = 0; k < L; ++k) call.at[K + k] = reinterpret_cast<std::byte*>(y[k]);
  call.run = [](const void* self, std::byte* const* at, std::int64_t first, std::int64_t rows) {
    const T* in[K];
    T* out[L];
    for (int k = 0; k < K; ++k) in[k] = reinterpret_cast<const T*>(at[k]);
    for (int k = 0; k < L; ++k) out[k] = reinterpret_cast<T*>(at[K + k]);
    (*static_cast<const Body*>(self))(in, out, first, rows);
  };
  return call;
}
// Runs body(x, y, first, rows) on rows [begin, end) of n elements: x[K] and y[L] point at the rows from number `first`
// on (null stays null), which may be read and written up to one register past their ends.
template <class T, int K, int L, class Body>
void for_rows_here(const T* const (&x)[K], T* const (&y)[L], std::int64_t begin, std::int64_t end, std::int64_t n,
                   const Body& body) {
  run_rows(row_call(x, y, n, body), begin, end);
}
// The same in parallel, over chunks of rows.
template <class T, int K, int L, class Body>
void for_rows(const T* const (&x)[K], T* const (&y)[L], std::int64_t count, std::int64_t n, const Body& body) {
  run_rows_parallel(row_call(x, y, n, body), count);
}

// Row-major operands whose axes before their last `core[i]` are broadcast to one another: what a kernel of several
// inputs needs under vmap. Where nothing is broadcast, nothing is copied.
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
