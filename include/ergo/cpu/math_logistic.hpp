// x times the logistic function 1 / (1 + e^-u) of u(x), on packs: silu, and gelu in its tanh approximation. On the
// negative side e^u multiplies x before it is scaled, so that it may be smaller than any normal number; and where u is
// more than x itself it comes in two parts, for the exponential magnifies its rounding: |u| times.
#pragma once

#include "ergo/cpu/math_exp.hpp"

namespace ergo::inline ERGO_BUILD::cpu {

template <class T, int W>
Pack<T, W> silu(const Pack<T, W>& x);  // u = x; floats likewise
template <class T, int W>
Pack<T, W> gelu_tanh(const Pack<T, W>& x);  // u = 2 sqrt(2 / pi) (x + 0.044715 x^3)

namespace detail {

// u log2(e) = x (linear + cubic x^2): each in two numbers, the first linear one of 12 bits.
template <class T>
struct LogisticTable;
template <>
struct LogisticTable<float> {
  static constexpr float kLinear = 0x1.26ap+1f, kLinearRest = 0x1.d8437ap-12f;
  static constexpr float kCubic = 0x1.a5a7dp-4f, kCubicRest = -0x1.151aaep-29f;
  static constexpr float kSiluLowest = -125.0f, kGeluLowest = -12.0f;  // from there on the result is 0
  static constexpr float kGeluNormal = 9.9f;                           // of smaller |x| e^-|u| is a normal number
};
template <>
struct LogisticTable<double> {
  static constexpr double kLinear = 0x1.26ap+1, kLinearRest = 0x1.d84379ceb2977p-12;
  static constexpr double kCubic = 0x1.a5a7cf7572a98p-4, kCubicRest = -0x1.b91c940e4cfcfp-58;
  static constexpr double kSiluLowest = -770.0, kGeluLowest = -22.0;
  static constexpr double kGeluNormal = 21.0;
};

// x logistic(u) from e^-|u|, a normal number, or any; the same bits.
template <class T, int W>
ERGO_INLINE Pack<T, W> times_logistic_normal(const Pack<T, W>& x, const ExpParts<Pack<T, W>>& parts) {
  const Pack<T, W> e = scale_normal(parts);
  return where(x < Pack<T, W>{}, x * e, x) / (Pack<T, W>(1) + e);
}
template <class T, int W>
ERGO_INLINE Pack<T, W> times_logistic(const Pack<T, W>& x, const ExpParts<Pack<T, W>>& parts) {
  const Pack<T, W> e = exp_of(parts);
  const auto k = parts.exponent();
  return where(x < Pack<T, W>{}, scale(x * e, k), x) / (Pack<T, W>(1) + scale(e, k));
}

// e^-|u| of gelu_tanh. The sum w of the two terms is a multiple of a bit that the first constant is a multiple of too:
// what it lost is found by one difference. What the square lost is found from -|x|, which no compiler takes for the
// same product.
template <class T, int W>
ERGO_INLINE ExpParts<Pack<T, W>> gelu_parts(const Pack<T, W>& x) {
  using A = Pack<T, W>;
  using Table = LogisticTable<T>;
  const A down = -abs(x), square = x * x, lost = fma(down, down, -square);
  const A cubic(Table::kCubic), linear(Table::kLinear);
  const A w = fma(cubic, square, linear);
  const A rest =
      fma(cubic, square, linear - w) + fma(cubic, lost, fma(A(Table::kCubicRest), square, A(Table::kLinearRest)));
  const A magic(FloatBits<T>::kMagic), z = fma(down, w, magic), k = z - magic;
  return exp2_parts(z, fma(down, rest, fma(down, w, -k)));
}

}  // namespace detail

template <class T, int W>
ERGO_INLINE Pack<T, W> silu(const Pack<T, W>& x) {
  using A = Pack<T, W>;
  if (!detail::any_beyond(x, detail::ExpTable<T>::kNormal)) [[likely]]
    return detail::times_logistic_normal(x, detail::exp_parts(-abs(x), A{}));
  const A lowest(detail::LogisticTable<T>::kSiluLowest), bounded = where(x < lowest, lowest, x), down = -abs(bounded);
  return detail::times_logistic(bounded, detail::exp_parts(where(down < lowest, lowest, down), A{}));
}

template <class T, int W>
ERGO_INLINE Pack<T, W> gelu_tanh(const Pack<T, W>& x) {
  using A = Pack<T, W>;
  using Table = detail::LogisticTable<T>;
  if (!detail::any_beyond(x, Table::kGeluNormal)) [[likely]]
    return detail::times_logistic_normal(x, detail::gelu_parts(x));
  const A lowest(Table::kGeluLowest), bounded = where(x < lowest, lowest, x);
  return detail::times_logistic(bounded, detail::gelu_parts(where(-lowest < bounded, -lowest, bounded)));
}

}  // namespace ergo::inline ERGO_BUILD::cpu
