// What scan.cuh combines by. A type M says
//   In, Out, State, kInputs     elements read and written, what is combined, 1 or 2 inputs
//   identity() lift(e, k) combine(a, b)      a comes before b in scanning order; e stands at k of its row
//   result(state, e)            what is written, from the state up to the element, or before it if `exclusive`;
//   result(before, after, e)    or from both, if M::kBoth
//   kReads                      whether the result needs the element again
//   Alike                       what has the same states and combines them the same, one type for many T
//   kScales                     if there: whether the result takes an element of ScanInputs::scale too
#pragma once

#include "ergo/kernels/common/pack.cuh"

namespace ergo::inline ERGO_BUILD::cuda {

struct ScanOptions {
  bool reverse = false, exclusive = false;
};
template <class T>
using ScanResult = std::conditional_t<std::is_integral_v<T>, std::int64_t, T>;  // of sums and products

// How a linear recurrence h[k] = a[k] h[k - 1] + b[k] reads its inputs: `late` has a[k - 1] in place of a[k],
// `exclusive` b[k - 1] too.
enum class Recurrence { inclusive, late, exclusive };
// The running log-sum-exp y, its derivative by the element, exp(x[k] - y[k]), and by the one before, exp(y[k - 1] -
// y[k]).
enum class LogSumExp { value, weight, decay };

template <class A, class B>
struct ScanPair {
  A first;
  B second;
};
template <class M>
struct ScanElement {
  Compute<typename M::In> of[M::kInputs];
};

namespace detail {

template <class C>
__device__ __forceinline__ C shuffled_up(const C& a, unsigned offset) {
  if constexpr (std::is_arithmetic_v<C>)
    return __shfl_up_sync(kFullMask, a, offset);
  else
    return {shuffled_up(a.first, offset), shuffled_up(a.second, offset)};
}
template <class C>
__device__ __forceinline__ C shuffled_from(const C& a, int lane) {
  if constexpr (std::is_arithmetic_v<C>)
    return __shfl_sync(kFullMask, a, lane);
  else
    return {shuffled_from(a.first, lane), shuffled_from(a.second, lane)};
}
template <class M>
inline constexpr bool scan_scales = requires {
  M::kScales;
};
// `scale` gives the element of the further array, if M has one.
template <class M, class Before, class After, class Scale>
__device__ __forceinline__ Compute<typename M::Out> result_of(const Before& before, const After& after,
                                                              const ScanElement<M>& e, ScanOptions options,
                                                              [[maybe_unused]] const Scale& scale) {
  if constexpr (scan_scales<M>)
    return M::result(before(), after(), e, scale());
  else if constexpr (M::kBoth)
    return M::result(before(), after(), e);
  else
    return M::result(options.exclusive ? before() : after(), e);
}
template <class C>
__device__ __forceinline__ C scan_infinity() {
  return C(__builtin_huge_val());
}
// Numbers of any exponent: first in [1, 2) or (-2, -1], times 2 to the second, so that products and sums of them
// neither overflow nor vanish on the way. Zeros, infinities and NaN are `first`.
using Scaled = ScanPair<double, std::int64_t>;
__device__ __forceinline__ bool is_plain(double x) { return x == 0 || x - x != 0; }
__device__ __forceinline__ double power_of_2(std::int64_t e) {  // e in [-1022, 1023]
  return __longlong_as_double((e + 1023) << 52);
}
__device__ __forceinline__ Scaled scaled(double x) {
  if (is_plain(x)) return {x, 0};
  const bool tiny = x < 0x1p-1022 && x > -0x1p-1022;
  const std::int64_t bits = __double_as_longlong(tiny ? x * 0x1p54 : x);
  return {__longlong_as_double((bits & ~(std::int64_t{2047} << 52)) | std::int64_t{1023} << 52),
          (bits >> 52 & 2047) - (tiny ? 1077 : 1023)};
}
// Rounded once.
__device__ __forceinline__ double unscaled(const Scaled& a) {
  if (is_plain(a.first)) return a.first;
  if (a.second > 1023) return a.first * 0x1p1023 * 2;
  if (a.second >= -1022) return a.first * power_of_2(a.second);
  return a.first * 0x1p-1022 * power_of_2(a.second < -1100 ? -78 : a.second + 1022);
}
__device__ __forceinline__ Scaled times(const Scaled& a, const Scaled& b) {
  const double m = a.first * b.first;  // of magnitude below 4
  const bool up = (m >= 2 || m <= -2) && m - m == 0;
  return {up ? m * 0.5 : m, a.second + b.second + (up ? 1 : 0)};
}
__device__ __forceinline__ Scaled plus(const Scaled& a, const Scaled& b) {
  if (a.first == 0) return b;
  if (b.first == 0) return a;
  if (is_plain(a.first) || is_plain(b.first)) return {a.first + b.first, 0};
  const bool less = a.second < b.second;
  const Scaled high = less ? b : a, low = less ? a : b;
  const std::int64_t apart = high.second - low.second;
  if (apart > 200) return high;
  const Scaled sum = scaled(high.first + low.first * power_of_2(-apart));
  return {sum.first, sum.second + high.second};
}

// Sums and products: floats in double, or `Wide`, integers in int64, which wraps.
template <class T, class Wide = double>
struct ArithmeticScan {
  using In = T;
  using Out = ScanResult<T>;
  using State = std::conditional_t<std::is_integral_v<T>, std::int64_t, Wide>;
  using Ring = std::conditional_t<std::is_integral_v<T>, std::uint64_t, double>;
  static constexpr int kInputs = 1;
  static constexpr bool kReads = false, kBoth = false;
  template <class E>
  static __device__ __forceinline__ State lift(const E& e, std::int64_t) {
    if constexpr (std::is_arithmetic_v<State>)
      return State(e.of[0]);
    else
      return scaled(double(e.of[0]));
  }
  template <class E>
  static __device__ __forceinline__ Compute<Out> result(const State& s, const E&) {
    if constexpr (std::is_arithmetic_v<State>)
      return Compute<Out>(s);
    else
      return Compute<Out>(unscaled(s));
  }
};

}  // namespace detail

template <class T>
struct SumScan : detail::ArithmeticScan<T> {
  using typename detail::ArithmeticScan<T>::State, typename detail::ArithmeticScan<T>::Ring;
  using Alike = SumScan<State>;
  static __device__ __forceinline__ State identity() { return State(0); }
  static __device__ __forceinline__ State combine(State a, State b) { return State(Ring(a) + Ring(b)); }
};
// Floats as Scaled numbers, rounded once: where the product is one it comes out, whatever those of parts are.
template <class T>
struct ProductScan : detail::ArithmeticScan<T, detail::Scaled> {
  using Arithmetic = detail::ArithmeticScan<T, detail::Scaled>;
  using typename Arithmetic::State, typename Arithmetic::Ring;
  using Alike = ProductScan<std::conditional_t<std::is_integral_v<T>, std::int64_t, double>>;
  static __device__ __forceinline__ State identity() {
    if constexpr (std::is_integral_v<T>)
      return 1;
    else
      return {1.0, 0};
  }
  static __device__ __forceinline__ State combine(const State& a, const State& b) {
    if constexpr (std::is_integral_v<T>)
      return State(Ring(a) * Ring(b));
    else
      return detail::times(a, b);
  }
};
// The same, not rounded.
template <class T>
struct ScaledProductScan : ProductScan<T> {
  using Out = detail::Scaled;
  template <class E>
  static __device__ __forceinline__ Out result(const Out& s, const E&) {
    return s;
  }
};
// The slope of the product of the first input along the second: the state is both, of products of dual numbers.
template <class T>
struct ProductSlopeScan {
  using In = T;
  using Out = T;
  using Alike = ProductSlopeScan<double>;
  using State = ScanPair<detail::Scaled, detail::Scaled>;
  static constexpr int kInputs = 2;
  static constexpr bool kReads = false, kBoth = false;
  static __device__ __forceinline__ State identity() { return {{1.0, 0}, {0.0, 0}}; }
  static __device__ __forceinline__ State combine(const State& a, const State& b) {
    using namespace detail;
    return {times(a.first, b.first), plus(times(a.second, b.first), times(a.first, b.second))};
  }
  template <class E>
  static __device__ __forceinline__ State lift(const E& e, std::int64_t) {
    return {detail::scaled(double(e.of[0])), detail::scaled(double(e.of[1]))};
  }
  template <class E>
  static __device__ __forceinline__ Compute<T> result(const State& s, const E&) {
    return Compute<T>(detail::unscaled(s.second));
  }
};
// RecurrenceScan below of Scaled numbers, each result times the number at its place of a further array, as kScales says
// (ScanInputs::scale): with the products before each, the cotangent of running products.
template <class T, Recurrence Form>
struct ScaledRecurrenceScan {
  using In = T;
  using Out = T;
  using Alike = ScaledRecurrenceScan<double, Recurrence::inclusive>;
  using State = ScanPair<detail::Scaled, detail::Scaled>;
  static constexpr int kInputs = 2;
  static constexpr bool kReads = Form == Recurrence::late, kBoth = true, kScales = true;
  static __device__ __forceinline__ State identity() { return {{1.0, 0}, {0.0, 0}}; }
  static __device__ __forceinline__ State combine(const State& a, const State& b) {
    using namespace detail;
    // The product of many may be infinite before anything was there to be multiplied.
    const bool none = a.second.first == 0 && b.first.first == b.first.first;
    return {times(a.first, b.first), none ? b.second : plus(times(a.second, b.first), b.second)};
  }
  template <class E>
  static __device__ __forceinline__ State lift(const E& e, std::int64_t) {
    const detail::Scaled a = detail::scaled(double(e.of[0])), b = detail::scaled(double(e.of[1]));
    return {a, Form == Recurrence::late ? detail::times(a, b) : b};
  }
  template <class E>
  static __device__ __forceinline__ Compute<T> result(const State& before, const State&, const E& e,
                                                      const detail::Scaled& scale) {
    detail::Scaled h = before.second;
    if constexpr (Form == Recurrence::late) h = detail::plus(h, detail::scaled(double(e.of[1])));
    return Compute<T>(detail::unscaled(detail::times(h, scale)));
  }
};

// The largest, or the smallest, so far: NaN wins, of equals the first.
template <class T, bool Largest>
struct ExtremumScan {
  using In = T;
  using Out = T;
  using Alike = ExtremumScan<Compute<T>, Largest>;
  using State = Compute<T>;
  static constexpr int kInputs = 1;
  static constexpr bool kReads = false, kBoth = false;
  static __device__ __forceinline__ State identity() {
    constexpr std::int64_t lowest = std::is_signed_v<State> ? -(std::int64_t{1} << (sizeof(State) * 8 - 2)) * 2 : 0;
    if constexpr (std::is_floating_point_v<State>)
      return Largest ? -detail::scan_infinity<State>() : detail::scan_infinity<State>();
    else
      return Largest ? State(lowest) : State(~lowest);
  }
  static __device__ __forceinline__ bool wins(State b, State a) { return (Largest ? a < b : b < a) || b != b; }
  static __device__ __forceinline__ State combine(State a, State b) { return wins(b, a) ? b : a; }
  template <class E>
  static __device__ __forceinline__ State lift(const E& e, std::int64_t) {
    return e.of[0];
  }
  template <class E>
  static __device__ __forceinline__ State result(State s, const E&) {
    return s;
  }
};
// Where it stands; -1 is nowhere.
template <class T, bool Largest>
struct ArgExtremumScan {
  using In = T;
  using Out = std::int64_t;
  using Alike = ArgExtremumScan<Compute<T>, Largest>;
  using State = ScanPair<Compute<T>, std::int64_t>;
  static constexpr int kInputs = 1;
  static constexpr bool kReads = false, kBoth = false;
  static __device__ __forceinline__ State identity() { return {Compute<T>(0), -1}; }
  static __device__ __forceinline__ State combine(const State& a, const State& b) {
    const bool second =
        a.second < 0 || (b.second >= 0 && a.first == a.first && ExtremumScan<T, Largest>::wins(b.first, a.first));
    return second ? b : a;
  }
  template <class E>
  static __device__ __forceinline__ State lift(const E& e, std::int64_t k) {
    return {e.of[0], k};
  }
  template <class E>
  static __device__ __forceinline__ std::int64_t result(const State& s, const E&) {
    return s.second;
  }
};

// log(exp(x[0]) + ... + exp(x[k])) as the largest x so far and the sum of exp(x - it), infinities as their number. In
// double: each of a rising row scales what came before, and as floats a million scales near 1 would be off by per cent.
template <class T, LogSumExp What>
struct LogSumExpScan {
  using In = T;
  using Out = T;
  using Alike = LogSumExpScan<Compute<T>, LogSumExp::value>;
  using C = Compute<T>;
  using State = ScanPair<C, double>;
  static constexpr int kInputs = 1;
  static constexpr bool kReads = What == LogSumExp::weight, kBoth = What != LogSumExp::value;
  static __device__ __forceinline__ double below(C low, C high) {  // exp(low - high), 1 if they are one infinity
    return low == high ? 1.0 : ::exp(double(low) - double(high));
  }
  static __device__ __forceinline__ State identity() { return {-detail::scan_infinity<C>(), 0.0}; }
  static __device__ __forceinline__ State combine(const State& a, const State& b) {
    if (a.first < b.first || b.first != b.first) return {b.first, a.second * below(a.first, b.first) + b.second};
    return {a.first, a.second + b.second * below(b.first, a.first)};
  }
  template <class E>
  static __device__ __forceinline__ State lift(const E& e, std::int64_t) {
    return {e.of[0], 1.0};
  }
  template <class E>
  static __device__ __forceinline__ C result(const State& s, const E&) {
    return C(double(s.first) + ::log(s.second));
  }
  template <class E>
  static __device__ __forceinline__ C result(const State& before, const State& after, const E& e) {
    if constexpr (What == LogSumExp::weight)
      return after.first == -detail::scan_infinity<C>() ? C(0) : C(below(e.of[0], after.first) / after.second);
    else
      return C(before.second * below(before.first, after.first) / after.second);
  }
};

// h[k] = a[k] h[k - 1] + b[k], h[-1] = 0, as maps h -> first h + second. The inputs are a and b.
template <class T, Recurrence Form>
struct RecurrenceScan {
  using In = T;
  using Out = T;
  using Alike = RecurrenceScan<double, Recurrence::inclusive>;
  using State = ScanPair<double, double>;
  static constexpr int kInputs = 2;
  static constexpr bool kReads = Form == Recurrence::late, kBoth = Form != Recurrence::inclusive;
  static __device__ __forceinline__ State identity() { return {1.0, 0.0}; }
  static __device__ __forceinline__ State combine(const State& a, const State& b) {
    // A product of many a's may overflow before anything was there to be multiplied.
    const double carried = a.second == 0 && b.first == b.first ? 0.0 : b.first * a.second;
    return {a.first * b.first, carried + b.second};
  }
  template <class E>
  static __device__ __forceinline__ State lift(const E& e, std::int64_t) {
    const double a = double(e.of[0]), b = double(e.of[1]);
    return {a, Form == Recurrence::late ? a * b : b};
  }
  template <class E>
  static __device__ __forceinline__ Compute<T> result(const State& s, const E&) {
    return Compute<T>(s.second);
  }
  template <class E>
  static __device__ __forceinline__ Compute<T> result(const State& before, const State&, const E& e) {
    return Compute<T>(before.second + (Form == Recurrence::late ? double(e.of[1]) : 0.0));
  }
};

namespace detail {
// M over its own states: the running combinations of tiles.
template <class M>
struct ScanOfStates {
  using State = typename M::State;
  using In = State;
  using Out = State;
  static constexpr int kInputs = 1;
  static constexpr bool kReads = false, kBoth = false;
  static __device__ __forceinline__ State identity() { return M::identity(); }
  static __device__ __forceinline__ State combine(const State& a, const State& b) { return M::combine(a, b); }
  template <class E>
  static __device__ __forceinline__ State lift(const E& e, std::int64_t) {
    return e.of[0];
  }
  template <class E>
  static __device__ __forceinline__ State result(const State& s, const E&) {
    return s;
  }
};
}  // namespace detail

}  // namespace ergo::inline ERGO_BUILD::cuda
