// Running combinations whose state is more than one number: linear recurrences of two inputs, the running log-sum-exp,
// and the place of the running extremum. As in scan.hpp: rows in a run each, long ones in chunks of fixed length;
// columns sixteen side by side, so that what a line of memory holds is used at once. States are in double.
#pragma once

#include "ergo/cpu/math.hpp"
#include "ergo/cpu/scan.hpp"

namespace ergo::inline ERGO_BUILD::cpu {

// How a linear recurrence h[k] = a[k] h[k - 1] + b[k], h[-1] = 0, reads its inputs: `late` has a[k - 1] in place of
// a[k], `exclusive` b[k - 1] too.
enum class Recurrence { inclusive, late, exclusive };
// The running log-sum-exp y, its derivative by the element, exp(x[k] - y[k]), and by the one before, exp(y[k - 1] -
// y[k]).
enum class LogSumExp { value, weight, decay };

namespace detail {

// A kind of state: `run` takes n elements `step` apart from x[0] (and x[1]), the first of them at k of its row,
// writes y unless it is null, and moves the state on; combine(a, b) has a before b.
template <class T, Recurrence Form>
struct RecurrenceOf {
  using In = T;
  using Out = T;
  static constexpr int inputs = 2;
  struct State {
    double product = 1, value = 0;
  };
  static State combine(const State& a, const State& b) {
    // A product of many a's may overflow before anything was there to be multiplied.
    const double carried = a.value == 0 && b.product == b.product ? 0 : b.product * a.value;
    return {a.product * b.product, carried + b.value};
  }
  static void run(const T* const* x, T* y, std::int64_t n, std::int64_t step, std::int64_t, ScanOptions, State* state) {
    State s = *state;
    for (std::int64_t i = 0; i < n; ++i) {
      const double a = x[0][i * step], b = x[1][i * step];
      double out = s.value;
      if constexpr (Form == Recurrence::late) {
        out = s.value + b;
        s.value = a * out;
      } else {
        s.value = a * s.value + b;
        if constexpr (Form == Recurrence::inclusive) out = s.value;
      }
      s.product *= a;
      if (y) y[i * step] = T(out);
    }
    *state = s;
  }
};

// Where the running extremum stands: of equals, and of NaNs, the first in scanning order.
template <class M, class T>
struct PlaceOf {
  using In = T;
  using Out = std::int64_t;
  static constexpr int inputs = 1;
  struct State {
    T value{};
    std::int64_t at = -1;
  };
  static bool wins(T b, T a) { return a == a && M::combine(a, b) != a; }
  static State combine(const State& a, const State& b) {
    return a.at < 0 || (b.at >= 0 && wins(b.value, a.value)) ? b : a;
  }
  static void run(const T* const* x, std::int64_t* y, std::int64_t n, std::int64_t step, std::int64_t k, ScanOptions,
                  State* state) {
    State s = *state;
    for (std::int64_t i = 0; i < n; ++i) {
      const T v = x[0][i * step];
      if (s.at < 0 || wins(v, s.value)) s = {v, step > 0 ? k + i : k - i};
      if (y) y[i * step] = s.at;
    }
    *state = s;
  }
};

template <class T>
struct ExpBody {
  template <Isa I>
  static ERGO_INLINE void run(T* x, std::int64_t n) {  // n: whole packs of any set
    constexpr int W = kRegisterBytes<I> / int(sizeof(T));
    for (std::int64_t i = 0; i < n; i += W) exp(Pack<T, W>::load(x + i)).store(x + i);
  }
};
template <class T>
struct AddLogBody {
  template <Isa I>
  static ERGO_INLINE void run(const T* top, T* sum, std::int64_t n) {
    constexpr int W = kRegisterBytes<I> / int(sizeof(T));
    using P = Pack<T, W>;
    for (std::int64_t i = 0; i < n; i += W) (P::load(top + i) + log(P::load(sum + i))).store(sum + i);
  }
};
// The largest element so far and the sum of exp(x - it), infinities as their number: one exponential an element, of the
// distance to the largest before it. In double: each of a rising row scales what came before, and as floats a million
// scales near 1 would be off by per cent.
template <class T, LogSumExp What>
struct LogSumExpOf {
  using In = T;
  using Out = T;
  static constexpr int inputs = 1;
  static constexpr std::int64_t kBlock = 256;
  struct State {
    T top = -T(__builtin_inf());
    double sum = 0;
  };
  static double below(T low, T high) { return low == high ? 1.0 : __builtin_exp(double(low) - double(high)); }
  static State combine(const State& a, const State& b) {
    if (a.top < b.top || b.top != b.top) return {b.top, a.sum * below(a.top, b.top) + b.sum};
    return {a.top, a.sum + b.sum * below(b.top, a.top)};
  }
  static void run(const T* const* x, T* y, std::int64_t n, std::int64_t step, std::int64_t, ScanOptions options,
                  State* state) {
    for (std::int64_t i = 0; i < n; i += kBlock)
      block(x[0] + i * step, y ? y + i * step : nullptr, n - i < kBlock ? n - i : kBlock, step, options, state);
  }

 private:
  static void block(const T* x, T* y, std::int64_t n, std::int64_t step, ScanOptions options, State* state) {
    alignas(64) double distance[kBlock], top[kBlock], sum[kBlock];
    bool up[kBlock];
    State s = *state;
    const T first = s.top;
    for (std::int64_t i = 0; i < n; ++i) {
      const T v = x[i * step];
      const double from = double(v) - double(s.top), d = v < s.top ? from : -from;
      up[i] = s.top < v || v != v;
      distance[i] = v == s.top ? 0 : d;
      if (up[i]) s.top = v;
      top[i] = s.top;
    }
    const std::int64_t whole = (n + 15) / 16 * 16;
    for (std::int64_t i = n; i < whole; ++i) distance[i] = top[i] = 0, sum[i] = 1;
    for_isa<ExpBody<double>>(distance, whole);
    for (std::int64_t i = 0; i < n; ++i) {
      const double before = s.sum, e = distance[i];
      s.sum = up[i] ? before * e + 1 : before + e;
      if constexpr (What == LogSumExp::weight)
        sum[i] = top[i] == -__builtin_inf() ? 0 : (up[i] ? 1 : e) / s.sum;
      else if constexpr (What == LogSumExp::decay)
        sum[i] = (up[i] ? e : 1) * before / s.sum;
      else
        sum[i] = options.exclusive ? before : s.sum;
    }
    *state = s;
    if (!y) return;
    if constexpr (What == LogSumExp::value) {
      if (options.exclusive) {
        for (std::int64_t i = n; i-- > 1;) top[i] = top[i - 1];
        top[0] = first;
      }
      for_isa<AddLogBody<double>>(static_cast<const double*>(top), static_cast<double*>(sum), whole);
    }
    for (std::int64_t i = 0; i < n; ++i) y[i * step] = T(sum[i]);
  }
};

// One long run, in chunks.
template <class S>
void state_run(const typename S::In* const* x, typename S::Out* y, std::int64_t n, ScanOptions options) {
  using State = typename S::State;
  constexpr std::int64_t kStateChunk = 16384;
  const std::int64_t chunks = (n + kStateChunk - 1) / kStateChunk, step = options.reverse ? -1 : 1;
  // Chunk c of the scanning order; y null: only its state.
  const auto scan = [&](std::int64_t c, typename S::Out* to, State* state) {
    const std::int64_t k = c * kStateChunk, from = options.reverse ? n - 1 - k : k;
    const typename S::In* at[S::inputs];
    for (int i = 0; i < S::inputs; ++i) at[i] = x[i] + from;
    S::run(at, to ? to + from : nullptr, n - k < kStateChunk ? n - k : kStateChunk, step, from, options, state);
  };
  if (chunks == 1) {
    State state;
    return scan(0, y, &state);
  }
  const Scratch<State> states(chunks);
  State* const state = states.data();
  parallel_for(chunks, 1, [&](std::int64_t begin, std::int64_t end) {
    for (std::int64_t c = begin; c < end; ++c) {
      state[c] = {};
      scan(c, nullptr, state + c);
    }
  });
  State all;
  for (std::int64_t c = 0; c < chunks; ++c) {
    const State next = S::combine(all, state[c]);
    state[c] = all;
    all = next;
  }
  parallel_for(chunks, 1, [&](std::int64_t begin, std::int64_t end) {
    for (std::int64_t c = begin; c < end; ++c) scan(c, y, state + c);
  });
}

// Of arrays x[0] (and x[1]) of one shape, row-major, along an axis counted from the front.
template <class S>
void run_states(const typename S::In* const* x, typename S::Out* to, const Shape& shape, int axis,
                ScanOptions options) {
  using In = typename S::In;
  const std::int64_t n = shape[axis], inner = shape.last(shape.rank() - 1 - axis).numel(),
                     outer = shape.first(axis).numel();
  const auto shifted = [&](std::int64_t by, const In** at) {
    for (int i = 0; i < S::inputs; ++i) at[i] = x[i] + by;
  };
  if (inner == 1) {
    const std::int64_t grain = n >= 16384 ? outer : 1 + 16383 / n;  // long runs are parallel in themselves
    parallel_for(outer, grain, [&](std::int64_t begin, std::int64_t end) {
      for (std::int64_t r = begin; r < end; ++r) {
        const In* at[S::inputs];
        shifted(r * n, at);
        state_run<S>(at, to + r * n, n, options);
      }
    });
    return;
  }
  constexpr std::int64_t kColumns = 16, kRows = 256;
  const std::int64_t blocks = (inner + kColumns - 1) / kColumns, width = inner < kColumns ? inner : kColumns;
  parallel_for(outer * blocks, 1 + 16383 / (n * width), [&](std::int64_t begin, std::int64_t end) {
    for (std::int64_t t = begin; t < end; ++t) {
      const std::int64_t first = t % blocks * kColumns, wide = inner - first < kColumns ? inner - first : kColumns;
      typename S::State state[kColumns] = {};
      for (std::int64_t k = 0; k < n; k += kRows)
        for (std::int64_t c = 0; c < wide; ++c) {
          const std::int64_t row = options.reverse ? n - 1 - k : k, offset = (t / blocks * n + row) * inner + first + c;
          const In* at[S::inputs];
          shifted(offset, at);
          S::run(at, to + offset, n - k < kRows ? n - k : kRows, options.reverse ? -inner : inner, row, options,
                 state + c);
        }
    }
  });
}

}  // namespace detail

// Running states of kind S along an axis counted from the front; S::inputs arrays of one shape at depth 0 on the CPU.
template <class S>
Ref<Array> running(const Array* const* given, int axis, ScanOptions options) {
  using In = typename S::In;
  using Out = typename S::Out;
  Ref<Array> from[S::inputs];
  const In* x[S::inputs];
  for (int i = 0; i < S::inputs; ++i) {
    from[i] = ergo::detail::dense(*given[i]);
    x[i] = reinterpret_cast<const In*>(from[i]->data);
  }
  Ref<Array> y = Array::make(dtype_of<Out>, given[0]->shape);
  if (y->numel() > 0) detail::run_states<S>(x, reinterpret_cast<Out*>(y->data), given[0]->shape, axis, options);
  return y;
}

}  // namespace ergo::inline ERGO_BUILD::cpu
