// Operations along rows: how a kernel walks one row in whole packs, and how the rows of several operands meet.
//
// A row of n elements is n / W packs, and for the rest one pack more that overlaps them (or, if the row is shorter than a
// register, reaches past its end); `valid` says which of its lanes are new. No scalar tails, so that an element's value does
// not depend on where in a pack it falls. Reading and writing past the end of a short row is allowed as long as the next rows
// follow: they are written later. `for_rows` gives the last few rows room of their own.
#pragma once

#include "ergo/cpu/scratch.hpp"
#include "ergo/cpu/storage.hpp"

namespace ergo::inline ERGO_BUILD::cpu::detail {

inline constexpr std::int64_t kRowGrain = 16384;  // elements a chunk of rows

// All lanes are new: selections by it cost nothing.
struct AllLanes {
  template <class P>
  friend ERGO_INLINE const P& where(AllLanes, const P& a, const P&) {
    return a;
  }
};

// How a row of n elements falls into packs; the same for all rows of an operand.
template <class P>
struct RowPacks {
  static constexpr int W = P::kLanes;
  std::int64_t n, whole, last;
  typename P::value_type unused = 0;
  decltype(P() < P()) valid;

  ERGO_INLINE explicit RowPacks(std::int64_t count) : n(count), whole(count - count % W), last(count < W ? 0 : count - W) {
    using T = typename P::value_type;
    valid = n < W ? P::iota() < P(T(n)) : P::iota() >= P(T(W - n % W));
  }
  // f(k, i, valid) for each pack: it begins at element i. k in [0, U) tells apart accumulators.
  template <int U, class F>
  ERGO_INLINE void each(F&& f) const {
    std::int64_t i = 0;
    for (; i + U * W <= whole; i += U * W) unrolled(f, i, std::make_integer_sequence<int, U>{});
    if constexpr (U > 1)
      for (; i < whole; i += W) f(std::integral_constant<int, 0>{}, i, AllLanes{});
    if (whole != n) f(std::integral_constant<int, 0>{}, last, valid);
  }

  // The sum of term(i) over the packs, a Pack or a PackPair: four accumulators, added up every 32 packs, so that the error
  // does not grow with n.
  template <class F>
  ERGO_INLINE auto sum(F&& term) const {
    using V = decltype(term(std::int64_t(0)));
    V total{};
    std::int64_t i = 0;
    while (i + 4 * W <= whole) {
      V a = term(i), b = term(i + W), c = term(i + 2 * W), d = term(i + 3 * W);
      i += 4 * W;
      for (int step = 1; step < 8 && i + 4 * W <= whole; ++step, i += 4 * W) {
        a = a + term(i);
        b = b + term(i + W);
        c = c + term(i + 2 * W);
        d = d + term(i + 3 * W);
      }
      total = total + ((a + b) + (c + d));
    }
    for (; i < whole; i += W) total = total + term(i);
    if (whole != n) total = total + where(valid, term(last), V{});
    return total;
  }

 private:
  template <class F, int... K>
  static ERGO_INLINE void unrolled(F&& f, std::int64_t i, std::integer_sequence<int, K...>) {
    (f(std::integral_constant<int, K>{}, i + K * W, AllLanes{}), ...);
  }
};

// Two packs that are summed together.
template <class P>
struct PackPair {
  P a, b;
  friend ERGO_INLINE PackPair operator+(const PackPair& x, const PackPair& y) { return {x.a + y.a, x.b + y.b}; }
  template <class M>
  friend ERGO_INLINE PackPair where(const M& m, const PackPair& x, const PackPair& y) {
    return {where(m, x.a, y.a), where(m, x.b, y.b)};
  }
};

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
