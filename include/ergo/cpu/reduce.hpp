// Reductions over the trailing axes of an array of any strides, on a tree that the shape alone fixes: chunks of a fixed
// number of elements, eight vector accumulators in each, partial results folded by halves. So the bits do not depend on the
// number of threads, and the error of a float sum grows with the logarithm of its length.
#pragma once

#include "ergo/cpu/storage.hpp"

namespace ergo::inline ERGO_BUILD::cpu {

// Monoids of reductions: `identity<C>()` and `combine(a, b)` on scalars and packs; `Accumulator<T>` is what T adds up in.
struct SumOf {
  template <class T>
  using Accumulator = std::conditional_t<std::is_integral_v<T>, std::int64_t, Compute<T>>;
  template <class C>
  static constexpr C identity() {
    return C(0);
  }
  template <class A>
  static ERGO_INLINE A combine(const A& a, const A& b) {
    return a + b;
  }
};
struct ProductOf {
  template <class T>
  using Accumulator = SumOf::Accumulator<T>;
  template <class C>
  static constexpr C identity() {
    return C(1);
  }
  template <class A>
  static ERGO_INLINE A combine(const A& a, const A& b) {
    return a * b;
  }
};
// NaN wins.
struct MaxOf {
  template <class T>
  using Accumulator = std::conditional_t<std::is_same_v<T, bool>, std::uint8_t, Compute<T>>;
  template <class C>
  static constexpr C identity() {
    if constexpr (std::is_floating_point_v<C>)
      return -C(__builtin_inf());
    else
      return std::is_signed_v<C> ? C(C(1) << (sizeof(C) * 8 - 1)) : C(0);
  }
  template <class A>
  static ERGO_INLINE A combine(const A& a, const A& b) {
    if constexpr (std::is_arithmetic_v<A>)
      return a < b || b != b ? b : a;
    else
      return maximum(a, b);
  }
};
struct MinOf {
  template <class T>
  using Accumulator = MaxOf::Accumulator<T>;
  template <class C>
  static constexpr C identity() {
    if constexpr (std::is_floating_point_v<C>)
      return C(__builtin_inf());
    else
      return C(~MaxOf::identity<C>());
  }
  template <class A>
  static ERGO_INLINE A combine(const A& a, const A& b) {
    if constexpr (std::is_arithmetic_v<A>)
      return b < a || b != b ? b : a;
    else
      return minimum(a, b);
  }
};

namespace detail {

inline constexpr std::int64_t kChunk = 16384;    // elements of one run that are reduced without the tree
inline constexpr std::int64_t kRowsChunk = 256;  // rows that are reduced into a row without the tree


template <class M, class T>
using AccumulatorOf = typename M::template Accumulator<T>;

// One dense run of n elements.
template <class M, class T>
struct RunBody {
  using C = AccumulatorOf<M, T>;
  template <Isa I>
  static ERGO_INLINE void run(const T* x, std::int64_t n, C* result) {
    constexpr int W = kRegisterBytes<I> / int(sizeof(C));
    using P = Pack<C, W>;
    P acc[8];
    for (auto& a : acc) a = P(M::template identity<C>());
    std::int64_t i = 0;
    for (; i + 8 * W <= n; i += 8 * W)
      for (int k = 0; k < 8; ++k) acc[k] = M::combine(acc[k], load_as<P>(x + i + k * W));
    for (; i + W <= n; i += W) acc[0] = M::combine(acc[0], load_as<P>(x + i));
    if (i < n) {
      P tail = P(M::template identity<C>());
      for (int k = 0; i + k < n; ++k) tail.set(k, convert<C>(x[i + k]));
      acc[1] = M::combine(acc[1], tail);
    }
    for (int half = 4; half > 0; half /= 2)
      for (int k = 0; k < half; ++k) acc[k] = M::combine(acc[k], acc[k + half]);
    if constexpr (std::is_same_v<M, SumOf>)
      *result = acc[0].sum();
    else if constexpr (std::is_same_v<M, ProductOf>)
      *result = acc[0].product();
    else if constexpr (std::is_same_v<M, MaxOf>)
      *result = acc[0].max();
    else
      *result = acc[0].min();
  }
};
// y[c] combined with each of `rows` rows of n dense columns, in order.
template <class M, class T>
struct ColumnsBody {
  using C = AccumulatorOf<M, T>;
  template <Isa I>
  static ERGO_INLINE void run(const std::byte* x, std::int64_t row_stride, std::int64_t rows, std::int64_t n, C* y) {
    constexpr int W = kRegisterBytes<I> / int(sizeof(C));
    using P = Pack<C, W>;
    std::int64_t c = 0;
    for (; c + 4 * W <= n; c += 4 * W) {
      P a[4];
      for (int k = 0; k < 4; ++k) a[k] = P(M::template identity<C>());
      const std::byte* p = x + c * std::int64_t(sizeof(T));
      for (std::int64_t r = 0; r < rows; ++r, p += row_stride)
        for (int k = 0; k < 4; ++k) a[k] = M::combine(a[k], load_as<P>(reinterpret_cast<const T*>(p) + k * W));
      for (int k = 0; k < 4; ++k) a[k].store(y + c + k * W);
    }
    for (; c < n; c += W) {
      const int part = n - c < W ? int(n - c) : W;
      P a(M::template identity<C>());
      const std::byte* p = x + c * std::int64_t(sizeof(T));
      for (std::int64_t r = 0; r < rows; ++r, p += row_stride)
        a = M::combine(a, load_part_as<P>(reinterpret_cast<const T*>(p), part));
      a.store_part(y + c, part);
    }
  }
};

template <class M, class C>
void fold_tree(C* part, std::int64_t parts, std::int64_t width) {  // part[0] gets all, by halves
  for (std::int64_t h = 1; h < parts; h *= 2)
    for (std::int64_t i = 0; i + h < parts; i += 2 * h)
      for (std::int64_t c = 0; c < width; ++c)
        part[i * width + c] = M::combine(part[i * width + c], part[(i + h) * width + c]);
}

template <class C>
struct ScratchRun {  // uninitialised memory of the allocator
  explicit ScratchRun(std::int64_t n) : bytes(std::size_t(n) * sizeof(C)), p(static_cast<C*>(ergo::detail::allocate(bytes))) {}
  ScratchRun(const ScratchRun&) = delete;
  ScratchRun& operator=(const ScratchRun&) = delete;
  ~ScratchRun() { ergo::detail::deallocate(p, bytes); }
  std::size_t bytes;
  C* p;
};

template <class M, class T, class C>
C reduce_run(const T* x, std::int64_t n) {
  C result = M::template identity<C>();
  if (n <= kChunk) {
    if (n) for_isa<RunBody<M, T>>(x, n, &result);
    return result;
  }
  const std::int64_t parts = (n + kChunk - 1) / kChunk;
  ScratchRun<C> part(parts);
  parallel_for(n, kChunk, [&](std::int64_t begin, std::int64_t end) {
    for_isa<RunBody<M, T>>(x + begin, end - begin, part.p + begin / kChunk);
  });
  fold_tree<M>(part.p, parts, 1);
  return part.p[0];
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
    P acc[8];
    std::int64_t i = 0;
    for (; i + 8 * W <= n; i += 8 * W)
      for (int k = 0; k < 8; ++k) acc[k] = fma(load_as<P>(x + i + k * W), load_as<P>(y + i + k * W), acc[k]);
    for (; i < n; i += W) {
      const int part = n - i < W ? int(n - i) : W;
      acc[0] = fma(load_part_as<P>(x + i, part), load_part_as<P>(y + i, part), acc[0]);
    }
    for (int half = 4; half > 0; half /= 2)
      for (int k = 0; k < half; ++k) acc[k] = acc[k] + acc[k + half];
    *result = acc[0].sum();
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
  detail::ScratchRun<C> part(parts);
  parallel_for(n, detail::kChunk, [&](std::int64_t begin, std::int64_t end) {
    for_isa<detail::DotBody<T>>(x + begin, y + begin, end - begin, part.p + begin / detail::kChunk);
  });
  detail::fold_tree<SumOf>(part.p, parts, 1);
  return part.p[0];
}

// y = x reduced over its last `axes` axes; the result has the accumulator's type; 16-bit sums are rounded once, at the end. x at depth 0 on the CPU.
template <class M, class T>
  requires(!std::is_same_v<T, half> && !std::is_same_v<T, bfloat16>)
Ref<Array> reduce_last(const Array& given, int axes) {
  using C = detail::AccumulatorOf<M, T>;
  using Out = std::conditional_t<std::is_same_v<T, bool> && std::is_same_v<C, std::uint8_t>, bool, C>;
  const int kept = given.shape.rank() - axes;
  const Shape shape = given.shape.first(kept);
  const std::int64_t outer = shape.numel(), inner = given.shape.last(axes).numel();
  Ref<Array> y = Array::make(dtype_of<Out>, shape);
  Out* out = reinterpret_cast<Out*>(y->data);
  if (outer == 0) return y;
  constexpr auto width = std::int64_t(sizeof(T));

  // Columns: the reduced axes have one common stride, and the last kept axis is dense.
  ergo::detail::Walk<1> reduced;
  for (int d = kept; d < given.shape.rank(); ++d) {
    const std::int64_t step[1] = {given.stride[d]};
    reduced.add(given.shape[d], step);
  }
  reduced.finish();
  if (inner > 1 && kept >= 1 && given.stride[kept - 1] == width && given.shape[-axes - 1] >= 8 && reduced.rank == 1 &&
      reduced.stride[0][0] != width) {
    const std::int64_t columns = given.shape[-axes - 1], groups = outer / columns, row = reduced.stride[0][0];
    const std::int64_t parts = (inner + detail::kRowsChunk - 1) / detail::kRowsChunk;
    ergo::detail::Walk<1> lead;
    for (int d = 0; d < kept - 1; ++d) {
      const std::int64_t step[1] = {given.stride[d]};
      lead.add(given.shape[d], step);
    }
    lead.add(1, {0});
    lead.finish();
    detail::ScratchRun<C> part(groups * parts * columns);
    const std::int64_t grain = 1 + 4 * detail::kChunk / (detail::kRowsChunk * columns);
    parallel_for(groups * parts, grain, [&](std::int64_t begin, std::int64_t end) {
      for (std::int64_t t = begin; t < end; ++t) {
        const std::int64_t group = t / parts, r = t % parts * detail::kRowsChunk;
        const std::int64_t rows = inner - r < detail::kRowsChunk ? inner - r : detail::kRowsChunk;
        std::int64_t at = 0, index = group;
        for (int d = lead.rank - 1; d >= 0; --d) {
          at += index % lead.extent[d] * lead.stride[0][d];
          index /= lead.extent[d];
        }
        for_isa<detail::ColumnsBody<M, T>>(static_cast<const std::byte*>(given.data + at + r * row), row, rows, columns,
                                           part.p + t * columns);
      }
    });
    parallel_for(groups, 1 + detail::kChunk / (parts * columns), [&](std::int64_t begin, std::int64_t end) {
      for (std::int64_t group = begin; group < end; ++group) {
        C* p = part.p + group * parts * columns;
        detail::fold_tree<M>(p, parts, columns);
        for (std::int64_t c = 0; c < columns; ++c) out[group * columns + c] = convert<Out>(p[c]);
      }
    });
    return y;
  }

  const Ref<Array> dense = ergo::detail::dense(given);
  const T* x = reinterpret_cast<const T*>(dense->data);
  if (inner >= detail::kChunk) {  // few long runs: parallel inside each
    for (std::int64_t i = 0; i < outer; ++i) out[i] = convert<Out>(detail::reduce_run<M, T, C>(x + i * inner, inner));
    return y;
  }
  parallel_for(outer, 1 + detail::kChunk / (inner + 1), [&](std::int64_t begin, std::int64_t end) {
    for (std::int64_t i = begin; i < end; ++i)
      out[i] = convert<Out>(detail::reduce_run<M, T, C>(x + i * inner, inner));
  });
  return y;
}

template <class M, class T>
  requires(std::is_same_v<T, half> || std::is_same_v<T, bfloat16>)
Ref<Array> reduce_last(const Array& given, int axes) {
  return narrowed(*reduce_last<M, float>(*widened(given), axes), dtype_of<T>);
}

}  // namespace ergo::inline ERGO_BUILD::cpu
