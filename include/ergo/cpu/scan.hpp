// Running sums, products and extrema along an axis, forwards or backwards, with or without the element itself. Floats
// are taken in double and rounded once an element, so that the error does not grow along the axis; sums and products of
// integers are 64-bit integers.
#pragma once

#include "ergo/cpu/isa.hpp"
#include "ergo/cpu/monoid.hpp"
#include "ergo/cpu/scratch.hpp"
#include "ergo/cpu/storage.hpp"

namespace ergo::inline ERGO_BUILD::cpu {

struct ScanOptions {
  bool reverse = false, exclusive = false;
};

namespace detail {

template <class M, class T>
using ScanOf = std::conditional_t<std::is_integral_v<T>, AccumulatorOf<M, T>, double>;  // what is combined in
// Whether there are packs for it: those of integers only add.
template <class M, class C>
inline constexpr bool scans_by_packs = std::is_floating_point_v<C> || std::is_same_v<M, SumOf>;

// y[i] = carry, x[0], ..., x[i] combined, or up to x[i - 1], for n elements in the direction of `step`, which is 1 or
// -1; the carry moves on. x and y point at the first element taken.
template <class M, class T, class Out>
struct ScanRowBody {
  using C = ScanOf<M, T>;
  template <Isa I>
  static ERGO_INLINE void run(const T* x, Out* y, std::int64_t n, std::int64_t step, bool exclusive, C* carry) {
    C sum = *carry;
    std::int64_t i = 0;
    if constexpr (scans_by_packs<M, C>) {
      constexpr int W = 4;
      using P = Pack<C, W>;
      const P none(M::template identity<C>());
      for (; i + W <= n; i += W) {
        const std::int64_t at = step > 0 ? i : -i - (W - 1);
        P v = load_as<P>(x + at);
        if (step < 0) v = shuffle<3, 2, 1, 0>(v, v);
        const P once = M::combine(shuffle<4, 0, 1, 2>(v, none), v),
                prefix = M::combine(shuffle<4, 4, 0, 1>(once, none), once);
        P r = M::combine(P(sum), exclusive ? shuffle<4, 0, 1, 2>(prefix, none) : prefix);
        sum = M::combine(sum, C(prefix[3]));
        if (step < 0) r = shuffle<3, 2, 1, 0>(r, r);
        store_as(y + at, r);
      }
    }
    for (; i < n; ++i) {
      const C next = M::combine(sum, convert<C>(x[i * step]));
      y[i * step] = convert<Out>(exclusive ? sum : next);
      sum = next;
    }
    *carry = sum;
  }
};
// The same down n rows of `width` columns, `pitch` elements apart; carry[c] for each column.
template <class M, class T, class Out>
struct ScanColumnsBody {
  using C = ScanOf<M, T>;
  template <Isa I>
  static ERGO_INLINE void run(const T* x, Out* y, std::int64_t n, std::int64_t pitch, std::int64_t width,
                              bool exclusive, C* carry) {
    for (std::int64_t i = 0; i < n; ++i, x += pitch, y += pitch) {
      std::int64_t c = 0;
      if constexpr (scans_by_packs<M, C>) {
        constexpr int W = kRegisterBytes<I> / int(sizeof(C));
        using P = Pack<C, W>;
        for (; c + W <= width; c += W) {
          const P before = P::load(carry + c), after = M::combine(before, load_as<P>(x + c));
          after.store(carry + c);
          store_as(y + c, exclusive ? before : after);
        }
      }
      for (; c < width; ++c) {
        const C before = carry[c], after = M::combine(before, convert<C>(x[c]));
        carry[c] = after;
        y[c] = convert<Out>(exclusive ? before : after);
      }
    }
  }
};
template <class M, class T>
struct CombineRowBody {  // n elements combined, for the carry of the chunks behind
  using C = ScanOf<M, T>;
  template <Isa I>
  static ERGO_INLINE void run(const T* x, std::int64_t n, C* result) {
    C all = M::template identity<C>();
    std::int64_t i = 0;
    if constexpr (scans_by_packs<M, C>) {
      constexpr int W = kRegisterBytes<I> / int(sizeof(C));
      using P = Pack<C, W>;
      P a(all), b(all);
      for (; i + 2 * W <= n; i += 2 * W) {
        a = M::combine(a, load_as<P>(x + i));
        b = M::combine(b, load_as<P>(x + i + W));
      }
      all = fold_lanes<M>(M::combine(a, b));
    }
    for (; i < n; ++i) all = M::combine(all, convert<C>(x[i]));
    *result = all;
  }
};

// One long run: what chunks combine to, their running combinations, then every chunk on its own.
template <class M, class T, class Out>
void scan_run(const T* x, Out* y, std::int64_t n, ScanOptions options) {
  using C = ScanOf<M, T>;
  constexpr std::int64_t kScanChunk = 16384;
  const std::int64_t chunks = (n + kScanChunk - 1) / kScanChunk, step = options.reverse ? -1 : 1;
  const auto scan = [&](std::int64_t begin, std::int64_t end, C* carry) {
    const std::int64_t from = options.reverse ? end - 1 : begin;
    for_isa<ScanRowBody<M, T, Out>>(x + from, y + from, end - begin, step, options.exclusive, carry);
  };
  if (chunks == 1) {
    C carry = M::template identity<C>();
    return scan(0, n, &carry);
  }
  const Scratch<C> carries(chunks);
  C* carry = carries.data();
  parallel_for(n, kScanChunk, [&](std::int64_t begin, std::int64_t end) {
    for_isa<CombineRowBody<M, T>>(x + begin, end - begin, carry + begin / kScanChunk);
  });
  C sum = M::template identity<C>();
  for (std::int64_t k = 0; k < chunks; ++k) {
    C& here = carry[options.reverse ? chunks - 1 - k : k];
    const C next = M::combine(sum, here);
    here = sum;
    sum = next;
  }
  parallel_for(n, kScanChunk,
               [&](std::int64_t begin, std::int64_t end) { scan(begin, end, carry + begin / kScanChunk); });
}

}  // namespace detail

// Running combinations of x along an axis counted from the front; x at depth 0 on the CPU, Out its type, or int64 for
// sums and products of integers.
template <class M, class T, class Out>
requires(!std::is_same_v<T, half> && !std::is_same_v<T, bfloat16>) Ref<Array> cumulative(const Array& x, int axis,
                                                                                         ScanOptions options) {
  using C = detail::ScanOf<M, T>;
  const Ref<Array> from = ergo::detail::dense(x);
  Ref<Array> y = Array::make(dtype_of<Out>, x.shape);
  if (y->numel() == 0) return y;
  const T* p = reinterpret_cast<const T*>(from->data);
  Out* q = reinterpret_cast<Out*>(y->data);
  const std::int64_t n = x.shape[axis], inner = x.shape.last(x.shape.rank() - 1 - axis).numel(),
                     outer = y->numel() / n / inner;
  if (inner == 1) {
    const std::int64_t grain = n >= 16384 ? outer : 1 + 16383 / n;  // long runs are parallel in themselves
    parallel_for(outer, grain, [&](std::int64_t begin, std::int64_t end) {
      for (std::int64_t r = begin; r < end; ++r) detail::scan_run<M, T, Out>(p + r * n, q + r * n, n, options);
    });
    return y;
  }
  constexpr std::int64_t kBlock = 256;
  const std::int64_t blocks = (inner + kBlock - 1) / kBlock, width = inner < kBlock ? inner : kBlock;
  parallel_for(outer * blocks, 1 + 16383 / (n * width), [&](std::int64_t begin, std::int64_t end) {
    for (std::int64_t t = begin; t < end; ++t) {
      const std::int64_t c = t % blocks * kBlock,
                         at = t / blocks * n * inner + (options.reverse ? (n - 1) * inner : 0) + c;
      C carry[kBlock];
      for (C& each : carry) each = M::template identity<C>();
      for_isa<detail::ScanColumnsBody<M, T, Out>>(p + at, q + at, n, options.reverse ? -inner : inner,
                                                  inner - c < kBlock ? inner - c : kBlock, options.exclusive, carry);
    }
  });
  return y;
}
template <class M, class T, class Out>
requires(std::is_same_v<T, half> || std::is_same_v<T, bfloat16>) Ref<Array> cumulative(const Array& x, int axis,
                                                                                       ScanOptions options) {
  return narrowed(*cumulative<M, float, float>(*widened(x), axis, options), dtype_of<T>);
}

}  // namespace ergo::inline ERGO_BUILD::cpu
