// Running sums along an axis, forwards or backwards, with or without the element itself. Floats are added in double and
// rounded once an element, so that the error does not grow along the axis; integers give 64-bit integers.
#pragma once

#include "ergo/cpu/isa.hpp"
#include "ergo/cpu/scratch.hpp"
#include "ergo/cpu/storage.hpp"

namespace ergo::inline ERGO_BUILD::cpu {

struct ScanOptions {
  bool reverse = false, exclusive = false;
};

namespace detail {

template <class T>
using ScanOf = std::conditional_t<std::is_integral_v<T>, std::int64_t, double>;  // what is added in

// y[i] = carry + x[0] + ... + x[i], or up to x[i - 1], for n elements in the direction of `step`, which is 1 or -1; the
// carry moves on. x and y point at the first element taken.
template <class T, class Out>
struct ScanRowBody {
  using C = ScanOf<T>;
  template <Isa I>
  static ERGO_INLINE void run(const T* x, Out* y, std::int64_t n, std::int64_t step, bool exclusive, C* carry) {
    constexpr int W = 4;
    using P = Pack<C, W>;
    C sum = *carry;
    std::int64_t i = 0;
    for (; i + W <= n; i += W) {
      const std::int64_t at = step > 0 ? i : -i - (W - 1);
      P v = load_as<P>(x + at);
      if (step < 0) v = shuffle<3, 2, 1, 0>(v, v);
      const P zero, once = v + shuffle<4, 0, 1, 2>(v, zero), prefix = once + shuffle<4, 4, 0, 1>(once, zero);
      P r = P(sum) + (exclusive ? shuffle<4, 0, 1, 2>(prefix, zero) : prefix);
      sum += prefix[3];
      if (step < 0) r = shuffle<3, 2, 1, 0>(r, r);
      store_as(y + at, r);
    }
    for (; i < n; ++i) {
      const C next = sum + convert<C>(x[i * step]);
      y[i * step] = convert<Out>(exclusive ? sum : next);
      sum = next;
    }
    *carry = sum;
  }
};
// The same down n rows of `width` columns, `pitch` elements apart; carry[c] for each column.
template <class T, class Out>
struct ScanColumnsBody {
  using C = ScanOf<T>;
  template <Isa I>
  static ERGO_INLINE void run(const T* x, Out* y, std::int64_t n, std::int64_t pitch, std::int64_t width,
                              bool exclusive, C* carry) {
    constexpr int W = kRegisterBytes<I> / int(sizeof(C));
    using P = Pack<C, W>;
    for (std::int64_t i = 0; i < n; ++i, x += pitch, y += pitch) {
      std::int64_t c = 0;
      for (; c + W <= width; c += W) {
        const P before = P::load(carry + c), after = before + load_as<P>(x + c);
        after.store(carry + c);
        store_as(y + c, exclusive ? before : after);
      }
      for (; c < width; ++c) {
        const C before = carry[c], after = before + convert<C>(x[c]);
        carry[c] = after;
        y[c] = convert<Out>(exclusive ? before : after);
      }
    }
  }
};
template <class T>
struct SumRowBody {  // the sum of n elements, for the carry of the chunks behind
  using C = ScanOf<T>;
  template <Isa I>
  static ERGO_INLINE void run(const T* x, std::int64_t n, C* result) {
    constexpr int W = kRegisterBytes<I> / int(sizeof(C));
    using P = Pack<C, W>;
    P a, b;
    std::int64_t i = 0;
    for (; i + 2 * W <= n; i += 2 * W) {
      a = a + load_as<P>(x + i);
      b = b + load_as<P>(x + i + W);
    }
    C sum = (a + b).sum();
    for (; i < n; ++i) sum += convert<C>(x[i]);
    *result = sum;
  }
};

// One long run: sums of chunks, their running sums, then every chunk on its own.
template <class T, class Out>
void scan_run(const T* x, Out* y, std::int64_t n, ScanOptions options) {
  using C = ScanOf<T>;
  constexpr std::int64_t kScanChunk = 16384;
  const std::int64_t chunks = (n + kScanChunk - 1) / kScanChunk, step = options.reverse ? -1 : 1;
  const auto scan = [&](std::int64_t begin, std::int64_t end, C* carry) {
    const std::int64_t from = options.reverse ? end - 1 : begin;
    for_isa<ScanRowBody<T, Out>>(x + from, y + from, end - begin, step, options.exclusive, carry);
  };
  if (chunks == 1) {
    C carry = 0;
    return scan(0, n, &carry);
  }
  const Scratch<C> carries(chunks);
  C* carry = carries.data();
  parallel_for(n, kScanChunk, [&](std::int64_t begin, std::int64_t end) {
    for_isa<SumRowBody<T>>(x + begin, end - begin, carry + begin / kScanChunk);
  });
  C sum = 0;
  for (std::int64_t k = 0; k < chunks; ++k) {
    C& here = carry[options.reverse ? chunks - 1 - k : k];
    const C next = sum + here;
    here = sum;
    sum = next;
  }
  parallel_for(n, kScanChunk,
               [&](std::int64_t begin, std::int64_t end) { scan(begin, end, carry + begin / kScanChunk); });
}

}  // namespace detail

// Running sums of x along an axis counted from the front; x at depth 0 on the CPU, Out its type, or int64 for integers.
template <class T, class Out>
requires(!std::is_same_v<T, half> && !std::is_same_v<T, bfloat16>) Ref<Array> cumulative_sum(const Array& x, int axis,
                                                                                             ScanOptions options) {
  using C = detail::ScanOf<T>;
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
      for (std::int64_t r = begin; r < end; ++r) detail::scan_run(p + r * n, q + r * n, n, options);
    });
    return y;
  }
  constexpr std::int64_t kBlock = 256;
  const std::int64_t blocks = (inner + kBlock - 1) / kBlock, width = inner < kBlock ? inner : kBlock;
  parallel_for(outer * blocks, 1 + 16383 / (n * width), [&](std::int64_t begin, std::int64_t end) {
    for (std::int64_t t = begin; t < end; ++t) {
      const std::int64_t c = t % blocks * kBlock,
                         at = t / blocks * n * inner + (options.reverse ? (n - 1) * inner : 0) + c;
      C carry[kBlock] = {};
      for_isa<detail::ScanColumnsBody<T, Out>>(p + at, q + at, n, options.reverse ? -inner : inner,
                                               inner - c < kBlock ? inner - c : kBlock, options.exclusive, carry);
    }
  });
  return y;
}
template <class T, class Out>
requires(std::is_same_v<T, half> || std::is_same_v<T, bfloat16>) Ref<Array> cumulative_sum(const Array& x, int axis,
                                                                                           ScanOptions options) {
  return narrowed(*cumulative_sum<float, float>(*widened(x), axis, options), dtype_of<T>);
}

}  // namespace ergo::inline ERGO_BUILD::cpu
