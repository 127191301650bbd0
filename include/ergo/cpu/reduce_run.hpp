// Reductions of dense memory: one run, rows that lie at a stride, columns of rows, and the inner product. Short serial runs
// in several accumulators, folded by halves; chunks of a fixed number of elements in parallel: the result's bits do not depend
// on the number of threads, and the error of a float sum grows with the logarithm of its length.
#pragma once

#include "ergo/core/parallel.hpp"
#include "ergo/cpu/isa.hpp"
#include "ergo/cpu/monoid.hpp"
#include "ergo/cpu/scratch.hpp"

namespace ergo::inline ERGO_BUILD::cpu {

namespace detail {

inline constexpr std::int64_t kChunk = 16384;       // elements of one run that are reduced without the tree
inline constexpr std::int64_t kColumnRows = 1024;   // rows that are reduced into one without the tree
inline constexpr std::int64_t kColumnBlock = 1024;  // columns that are reduced together

// n >= 1 dense elements. Eight accumulators, added into eight totals every 32 steps.
template <class M, class T, Isa I>
ERGO_INLINE AccumulatorOf<M, T> reduce_dense(const T* x, std::int64_t n) {
  using C = AccumulatorOf<M, T>;
  constexpr int W = kRegisterBytes<I> / int(sizeof(C));
  using P = Pack<C, W>;
  P total[8];
  for (auto& t : total) t = P(M::template identity<C>());
  std::int64_t i = 0;
  while (i + 8 * W <= n) {
    P acc[8];
    for (int k = 0; k < 8; ++k) acc[k] = load_as<P>(x + i + k * W);
    i += 8 * W;
    for (int step = 1; step < 32 && i + 8 * W <= n; ++step, i += 8 * W)
      for (int k = 0; k < 8; ++k) acc[k] = M::combine(acc[k], load_as<P>(x + i + k * W));
    for (int k = 0; k < 8; ++k) total[k] = M::combine(total[k], acc[k]);
  }
  if (n >= 8 * W) {
    for (int half = 4; half > 0; half /= 2)
      for (int k = 0; k < half; ++k) total[k] = M::combine(total[k], total[k + half]);
  }
  P all = total[0];
  for (; i + W <= n; i += W) all = M::combine(all, load_as<P>(x + i));
  if (i == n) return fold_lanes<M>(all);
  if (n >= W) {  // the last pack overlaps those before it
    const auto fresh = P::iota() >= P(C(W - (n - i)));
    return fold_lanes<M>(M::combine(all, where(fresh, load_as<P>(x + n - W), P(M::template identity<C>()))));
  }
  C few = M::template identity<C>();
  for (; i < n; ++i) few = M::combine(few, convert<C>(x[i]));
  return few;
}

// y[r] = n elements from x + r * stride (in bytes) combined, for each of `rows` rows; n <= kChunk. Rows shorter than a few
// registers lie on the lanes.
template <class M, class T>
struct RowsBody {
  using C = AccumulatorOf<M, T>;
  template <Isa I>
  static ERGO_INLINE void run(const std::byte* x, std::int64_t stride, std::int64_t rows, std::int64_t n, C* y) {
    constexpr int W = kRegisterBytes<I> / int(sizeof(C));
    using P = Pack<C, W>;
    std::int64_t r = 0;
    if (n <= 16) {
      for (; r + W <= rows; r += W) {
        P all(M::template identity<C>());
        const std::byte* p = x + r * stride;
        for (std::int64_t c = 0; c < n; ++c, p += sizeof(T))
          all = M::combine(all, gather_as<P>(reinterpret_cast<const T*>(p), stride));
        all.store(y + r);
      }
      for (; r < rows; ++r) {
        const T* p = reinterpret_cast<const T*>(x + r * stride);
        C all = M::template identity<C>();
        for (std::int64_t c = 0; c < n; ++c) all = M::combine(all, convert<C>(p[c]));
        y[r] = all;
      }
      return;
    }
    for (; r < rows; ++r) y[r] = reduce_dense<M, T, I>(reinterpret_cast<const T*>(x + r * stride), n);
  }
};

// y[c] = column c of `rows` rows combined, n <= kColumnBlock dense columns: four rows a step, runs of 64 rows.
template <class M, class T>
struct ColumnsBody {
  using C = AccumulatorOf<M, T>;
  template <Isa I>
  static ERGO_INLINE void run(const std::byte* x, std::int64_t stride, std::int64_t rows, std::int64_t n, C* y) {
    constexpr int W = kRegisterBytes<I> / int(sizeof(C));
    using P = Pack<C, W>;
    const auto at = [&](std::int64_t r, std::int64_t c) __attribute__((always_inline)) {
      return load_as<P>(reinterpret_cast<const T*>(x + r * stride) + c);
    };
    C run[kColumnBlock];
    std::int64_t whole = n - n % W;
    for (std::int64_t first = 0; first < rows; first += 64) {
      const std::int64_t last = rows - first < 64 ? rows : first + 64;
      C* to = first == 0 ? y : run;
      std::int64_t r = first;
      if (last - first >= 4) {
        for (std::int64_t c = 0; c < whole; c += W)
          M::combine(M::combine(at(r, c), at(r + 1, c)), M::combine(at(r + 2, c), at(r + 3, c))).store(to + c);
        r += 4;
      } else {
        for (std::int64_t c = 0; c < whole; c += W) at(r, c).store(to + c);
        r += 1;
      }
      for (; r + 4 <= last; r += 4)
        for (std::int64_t c = 0; c < whole; c += W)
          M::combine(P::load(to + c),
                     M::combine(M::combine(at(r, c), at(r + 1, c)), M::combine(at(r + 2, c), at(r + 3, c))))
              .store(to + c);
      for (; r < last; ++r)
        for (std::int64_t c = 0; c < whole; c += W) M::combine(P::load(to + c), at(r, c)).store(to + c);
      if (first)
        for (std::int64_t c = 0; c < whole; c += W) M::combine(P::load(y + c), P::load(run + c)).store(y + c);
    }
    for (std::int64_t c = whole; c < n; ++c) {
      C all = M::template identity<C>();
      for (std::int64_t r = 0; r < rows; ++r)
        all = M::combine(all, convert<C>(reinterpret_cast<const T*>(x + r * stride)[c]));
      y[c] = all;
    }
  }
};

// One dense run of any length.
template <class M, class T>
AccumulatorOf<M, T> reduce_run(const T* x, std::int64_t n) {
  using C = AccumulatorOf<M, T>;
  const auto* bytes = reinterpret_cast<const std::byte*>(x);
  C result = M::template identity<C>();
  if (n <= kChunk) {
    if (n) for_isa<RowsBody<M, T>>(bytes, std::int64_t(0), std::int64_t(1), n, &result);
    return result;
  }
  const std::int64_t parts = (n + kChunk - 1) / kChunk;
  const Scratch<C> part(parts);
  parallel_for(n, kChunk, [&](std::int64_t begin, std::int64_t end) {
    for_isa<RowsBody<M, T>>(bytes + begin * std::int64_t(sizeof(T)), std::int64_t(0), std::int64_t(1), end - begin,
                            part.data() + begin / kChunk);
  });
  fold_tree<M>(part.data(), parts, 1);
  return part.data()[0];
}

}  // namespace detail

namespace detail {
// One chunk of the inner product of x and y.
template <class T>
struct DotBody {
  using C = Compute<T>;
  template <Isa I>
  static ERGO_INLINE void run(const T* x, const T* y, std::int64_t n, C* result) {
    constexpr int W = kRegisterBytes<I> / int(sizeof(C));
    using P = Pack<C, W>;
    P total[8];
    std::int64_t i = 0;
    while (i + 8 * W <= n) {
      P acc[8];
      for (int step = 0; step < 32 && i + 8 * W <= n; ++step, i += 8 * W)
        for (int k = 0; k < 8; ++k) acc[k] = fma(load_as<P>(x + i + k * W), load_as<P>(y + i + k * W), acc[k]);
      for (int k = 0; k < 8; ++k) total[k] = total[k] + acc[k];
    }
    for (; i + W <= n; i += W) total[0] = fma(load_as<P>(x + i), load_as<P>(y + i), total[0]);
    for (int half = 4; half > 0; half /= 2)
      for (int k = 0; k < half; ++k) total[k] = total[k] + total[k + half];
    C rest = 0;
    for (; i < n; ++i) rest += C(x[i]) * C(y[i]);
    *result = total[0].sum() + rest;
  }
};
}  // namespace detail

// The sum of x[i] y[i] over n dense elements, on the fixed tree.
template <class T>
Compute<T> inner_product(const T* x, const T* y, std::int64_t n) {
  using C = Compute<T>;
  if (n <= detail::kChunk) {
    C r = 0;
    if (n) for_isa<detail::DotBody<T>>(x, y, n, &r);
    return r;
  }
  const std::int64_t parts = (n + detail::kChunk - 1) / detail::kChunk;
  const Scratch<C> part(parts);
  parallel_for(n, detail::kChunk, [&](std::int64_t begin, std::int64_t end) {
    for_isa<detail::DotBody<T>>(x + begin, y + begin, end - begin, part.data() + begin / detail::kChunk);
  });
  detail::fold_tree<SumOf>(part.data(), parts, 1);
  return part.data()[0];
}

}  // namespace ergo::inline ERGO_BUILD::cpu
