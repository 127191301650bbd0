// Reductions of dense memory: one run, rows that lie at a stride, columns of rows, and sums over pairs of elements.
// Short serial runs in several accumulators, folded by halves; chunks of a fixed number of elements in parallel: the
// result's bits do not depend on the number of threads, and the error of a float sum grows with the logarithm of its
// length.
#pragma once

#include <cstring>

#include "ergo/core/parallel.hpp"
#include "ergo/cpu/isa.hpp"
#include "ergo/cpu/monoid.hpp"
#include "ergo/cpu/row_packs.hpp"
#include "ergo/cpu/scratch.hpp"

namespace ergo::inline ERGO_BUILD::cpu {

namespace detail {

inline constexpr std::int64_t kChunk = 16384;       // elements of one run that are reduced without the tree
inline constexpr std::int64_t kColumnRows = 1024;   // rows that are reduced into one without the tree
inline constexpr std::int64_t kColumnBlock = 1024;  // columns that are reduced together

// n >= 1 dense elements. Eight accumulators, combined every 32 steps; four of them go through the second half, for
// memory answers two streams faster than one.
template <class M, class T, Isa I>
ERGO_INLINE AccumulatorOf<M, T> reduce_dense(const T* x, std::int64_t n) {
  using C = AccumulatorOf<M, T>;
  constexpr int W = kRegisterBytes<I> / int(sizeof(C));
  using P = Pack<C, W>;
  const auto combine = [](const P& a, const P& b) __attribute__((always_inline)) { return M::combine(a, b); };
  P all(M::template identity<C>());
  const std::int64_t half = n / (8 * W) * (4 * W);
  const auto at = [&](std::int64_t i, int k) __attribute__((always_inline)) {
    return load_as<P>(x + i + k % 4 * W + (k < 4 ? 0 : half));
  };
  std::int64_t i = 0;
  while (i < half) {
    P acc[8];
    repeat<8>([&](auto k) __attribute__((always_inline)) { acc[k] = at(i, k); });
    i += 4 * W;
    const std::int64_t end = half - i < 31 * 4 * W ? half : i + 31 * 4 * W;
    for (; i < end; i += 4 * W)
      repeat<8>([&](auto k) __attribute__((always_inline)) { acc[k] = combine(acc[k], at(i, k)); });
    all = combine(all, fold<8>(acc, combine));
  }
  i = 2 * half;
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

// y[r] = n elements from x + r * stride (in bytes) combined, for each of `rows` rows; n <= kChunk. Rows shorter than a
// few registers lie on the lanes.
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

// A reduction with its types taken away, so that partition and tree are compiled once: kernels on chunks, and the
// element by element combination of what they give. x points at elements, y and to at accumulators.
struct Reducer {
  std::int64_t width, result_width;  // bytes of an element, of an accumulator
  void (*rows)(const std::byte* x, std::int64_t stride, std::int64_t rows, std::int64_t n, std::byte* y);
  void (*columns)(const std::byte* x, std::int64_t stride, std::int64_t rows, std::int64_t n, std::byte* y);
  void (*combine)(std::byte* to, const std::byte* y, std::int64_t n);
  void (*identity)(std::byte* to, std::int64_t n);
  DType dtype;
  bool again;  // elements and accumulators are of one type
};
template <class M, class T>
inline constexpr Reducer reducer_of = {
    std::int64_t(sizeof(T)),
    std::int64_t(sizeof(AccumulatorOf<M, T>)),
    [](const std::byte* x, std::int64_t stride, std::int64_t rows, std::int64_t n, std::byte* y) {
      for_isa<RowsBody<M, T>>(x, stride, rows, n, reinterpret_cast<AccumulatorOf<M, T>*>(y));
    },
    [](const std::byte* x, std::int64_t stride, std::int64_t rows, std::int64_t n, std::byte* y) {
      for_isa<ColumnsBody<M, T>>(x, stride, rows, n, reinterpret_cast<AccumulatorOf<M, T>*>(y));
    },
    [](std::byte* to, const std::byte* y, std::int64_t n) {
      using C = AccumulatorOf<M, T>;
      C* a = reinterpret_cast<C*>(to);
      const C* b = reinterpret_cast<const C*>(y);
      for (std::int64_t i = 0; i < n; ++i) a[i] = M::combine(a[i], b[i]);
    },
    [](std::byte* to, std::int64_t n) {
      using C = AccumulatorOf<M, T>;
      constexpr C nothing = M::template identity<C>();
      for (std::int64_t i = 0; i < n; ++i)
        reinterpret_cast<C*>(to)[i] = std::is_same_v<T, bool> ? C(nothing != 0) : nothing;
    },
    std::is_same_v<T, bool> && sizeof(AccumulatorOf<M, T>) == 1 ? DType::boolean : dtype_of<AccumulatorOf<M, T>>,
    std::is_same_v<T, AccumulatorOf<M, T>>};

// parts of `width` accumulators each combined into the first, by halves.
inline void fold_parts(const Reducer& r, std::byte* part, std::int64_t parts, std::int64_t width) {
  const std::int64_t step = width * r.result_width;
  for (std::int64_t h = 1; h < parts; h *= 2)
    for (std::int64_t i = 0; i + h < parts; i += 2 * h) r.combine(part + i * step, part + (i + h) * step, width);
}

// One dense run of any length to the accumulator at y.
inline void reduce_run(const Reducer& r, const std::byte* x, std::int64_t n, std::byte* y) {
  if (n == 0) return r.identity(y, 1);
  if (n <= kChunk) return r.rows(x, 0, 1, n, y);
  const std::int64_t parts = (n + kChunk - 1) / kChunk;
  const Scratch<std::byte> part(parts * r.result_width);
  parallel_for(n, kChunk, [&](std::int64_t begin, std::int64_t end) {
    r.rows(x + begin * r.width, 0, 1, end - begin, part.data() + begin / kChunk * r.result_width);
  });
  fold_parts(r, part.data(), parts, 1);
  std::memcpy(y, part.data(), std::size_t(r.result_width));
}
template <class M, class T>
AccumulatorOf<M, T> reduce_run(const T* x, std::int64_t n) {
  AccumulatorOf<M, T> y;
  reduce_run(reducer_of<M, T>, reinterpret_cast<const std::byte*>(x), n, reinterpret_cast<std::byte*>(&y));
  return y;
}

// The sum of x[i] y[i], or of (x[i] - y[i])^2, over one chunk.
template <class T, bool Distance>
struct PairsBody {
  using C = Compute<T>;
  template <Isa I>
  static ERGO_INLINE void run(const T* x, const T* y, std::int64_t n, C* result) {
    constexpr int W = kRegisterBytes<I> / int(sizeof(C));
    using P = Pack<C, W>;
    const auto add = [&](const P& sum, std::int64_t i) __attribute__((always_inline)) {
      const P a = load_as<P>(x + i), b = load_as<P>(y + i);
      if constexpr (Distance)
        return fma(a - b, a - b, sum);
      else
        return fma(a, b, sum);
    };
    P total;
    std::int64_t i = 0;
    while (i + 8 * W <= n) {
      P acc[8];
      const std::int64_t end = n - i < 32 * 8 * W ? n : i + 32 * 8 * W;
      for (; i + 8 * W <= end; i += 8 * W)
        repeat<8>([&](auto k) __attribute__((always_inline)) { acc[k] = add(acc[k], i + k * W); });
      total = total + fold<8>(
                          acc, [](const P& a, const P& b) __attribute__((always_inline)) { return a + b; });
    }
    for (; i + W <= n; i += W) total = add(total, i);
    C rest = 0;
    for (; i < n; ++i) rest += Distance ? (C(x[i]) - C(y[i])) * (C(x[i]) - C(y[i])) : C(x[i]) * C(y[i]);
    *result = total.sum() + rest;
  }
};
template <class T, bool Distance>
Compute<T> sum_of_pairs(const T* x, const T* y, std::int64_t n) {
  using C = Compute<T>;
  const std::int64_t parts = (n + kChunk - 1) / kChunk;
  C few = 0;
  if (parts <= 1) {
    if (n) for_isa<PairsBody<T, Distance>>(x, y, n, &few);
    return few;
  }
  const Scratch<C> part(parts);
  parallel_for(n, kChunk, [&](std::int64_t begin, std::int64_t end) {
    for_isa<PairsBody<T, Distance>>(x + begin, y + begin, end - begin, part.data() + begin / kChunk);
  });
  fold_tree<SumOf>(part.data(), parts, 1);
  return part.data()[0];
}

}  // namespace detail

// The sum of x[i] y[i] over n dense elements, on the fixed tree.
template <class T>
Compute<T> inner_product(const T* x, const T* y, std::int64_t n) {
  return detail::sum_of_pairs<T, false>(x, y, n);
}
// The sum of (x[i] - y[i])^2.
template <class T>
Compute<T> squared_distance(const T* x, const T* y, std::int64_t n) {
  return detail::sum_of_pairs<T, true>(x, y, n);
}

}  // namespace ergo::inline ERGO_BUILD::cpu
