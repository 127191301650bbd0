// The error function, its complement, and the normal distribution function on packs.
#pragma once

#include "ergo/cpu/math_exp.hpp"

namespace ergo::inline ERGO_BUILD::cpu {

template <class T, int W>
Pack<T, W> erf(const Pack<T, W>& x);
template <class T, int W>
Pack<T, W> erfc(const Pack<T, W>& x);  // relative error small to the last subnormal of the tail
template <class T, int W>
Pack<T, W> ndtr(const Pack<T, W>& x);  // erfc(-x / sqrt(2)) / 2; floats likewise

// The normal distribution function and its density e^(-x^2 / 2) / sqrt(2 pi), which share an exponential.
template <class A>
struct NormalDistribution {
  A below, density;
};
template <class T, int W>
NormalDistribution<Pack<T, W>> normal_distribution(const Pack<T, W>& x);

namespace detail {

template <class T>
struct ErrorTable;
template <>
struct ErrorTable<float> {
  // erf(x) / x - 1 in x^2 on |x| <= 1, 2^-29
  static constexpr float kSmall[] = {0x1.06eba8p-3f, -0x1.81273ep-2f,  0x1.ce2ce6p-4f, -0x1.b7f71ap-6f,
                                     0x1.53f224p-8f, -0x1.a3515ep-11f, 0x1.4771f8p-14f};
  // log erfc(x) + 2 x on [kSplit, 4], 2^-29 of the erf that comes of it; from 4 on that is 1
  static constexpr float kSplit = 0.9f;
  static constexpr float kLogTail[] = {-0x1.3bd644p-13f, 0x1.be88d4p-1f, -0x1.461376p-1f, -0x1.aad686p-4f,
                                       0x1.6e5af8p-6f,   -0x1.93478p-9f, 0x1.a217aap-13f};
  // (x + c) e^(x^2) erfc(x) in (x - c) / (x + c) on [0, 10.3], 2^-28, for floats by way of double
  static constexpr double kCentre = 3.0, kLargest = 10.25;
  static constexpr double kTail[] = {0x1.12f21de16a65ap0,    -0x1.c44c47f246d13p-1, 0x1.2e3266468dbp-1,
                                     -0x1.3deadff0a1b09p-2,  0x1.e997db97b252bp-4,  -0x1.b7b2f55f997a9p-6,
                                     -0x1.4210b92712225p-10, 0x1.925ac454b8767p-9,  -0x1.faa8816e5e44ap-12,
                                     -0x1.45acc70894d1fp-12, 0x1.155adfb11e63ep-17};
  // e^(-a^2 / 2) / ndtr(-a) - sqrt(2 pi) a on [0, 14.6] as a quotient, 2^-28 of the whole. Where sums of so few terms
  // begin, 3 and 3/2, their roundings are small.
  static constexpr float kSlope = 0x1.40d932p1f;
  static constexpr float kNormalOver[] = {0x1.8p1f, 0x1.e49994p0f, 0x1.405d7ap-1f, 0x1.ccc21ep-4f, 0x1.348e66p-7f};
  static constexpr float kNormalUnder[] = {0x1.8p0f,       0x1.a12f58p0f,  0x1.b34136p-1f,
                                           0x1.06e5a8p-2f, 0x1.6fc7fep-5f, 0x1.ec5658p-9f};
  static constexpr float kNormalTail = 12.8f;  // ndtr(-a) is a normal number up to here
};
template <>
struct ErrorTable<double> {
  // 2^-56
  static constexpr double kSmall[] = {0x1.06eba8214db69p-3,   -0x1.812746b037a11p-2,  0x1.ce2f21a044572p-4,
                                      -0x1.b82ce312fe4a2p-6,  0x1.565bcd20b73fcp-8,   -0x1.c02db75e58adfp-11,
                                      0x1.f9a38aa860956p-14,  -0x1.f4d9dd76fa817p-17, 0x1.ba46224584031p-20,
                                      -0x1.628862d244203p-23, 0x1.0e212b892f158p-26,  -0x1.a8b3e1c673efp-30,
                                      0x1.18fa8050fd248p-33};
  static constexpr double kSplit = 1.0;
  // e^(x^2) erfc(x) in x - 3/2 on [3/4, 9/4], 2^-59, its first coefficient in two parts
  static constexpr double kNearFirst = 0x1.494daffa2ad68p-2,
                          kNear[] = {0x1.3168e29ff478dp-56,  -0x1.4f1988444caf7p-3, 0x1.37ea271bc54c8p-4,
                                     -0x1.0dc51d2941e4ep-5,  0x1.b65944f34e321p-7,  -0x1.513ed7600ea6fp-8,
                                     0x1.ee705e7449a0ap-10,  -0x1.5b0abfe5d815p-11, 0x1.d4509cbc4563ep-13,
                                     -0x1.30c0ec85d27dep-14, 0x1.7f998988ac0f4p-16, -0x1.d41571b206826p-18,
                                     0x1.156a8f7f8fa88p-19,  -0x1.40044cbaf2f7p-21, 0x1.681d8f4b708e3p-23,
                                     -0x1.8b066413c1a2ap-25, 0x1.a05d1bf3eecdap-27, -0x1.b745d035361ecp-29,
                                     0x1.1165f24c724ebp-30,  -0x1.0c5498ccde95fp-32};
  // x e^(x^2) erfc(x) in (x - 5) / (x + 5) on [9/4, 28], 2^-59
  static constexpr double kFarFirst = 0x1.1b676431ca63p-1,
                          kFar[] = {0x1.5e90b004cdep-56,    0x1.4b03636580961p-5,  -0x1.2912bc377cd6p-4,
                                    0x1.73ae9a86c34b3p-4,   -0x1.7f815ff38537cp-4, 0x1.5748f1cc9279bp-4,
                                    -0x1.0ff7ddce7bc8p-4,   0x1.8049fb1e065c5p-5,  -0x1.e468c3dc1a32cp-6,
                                    0x1.0ee73e5a3693ap-6,   -0x1.09a35cf740b76p-7, 0x1.be8672a0c212cp-9,
                                    -0x1.33bb0b9085084p-10, 0x1.3859284c300f2p-12, -0x1.214469c0f2919p-15,
                                    -0x1.a422194952bf1p-17, 0x1.13261f0573fb4p-17, -0x1.dfffa3187ec54p-20,
                                    -0x1.78bcf3820ee42p-24, 0x1.969e362665279p-24};
};

// erfc(a) for a >= 0, good to a float's last bit. a is one, so that its square is exact.
template <int W>
ERGO_INLINE Pack<double, W> erfc_for_float(const Pack<double, W>& magnitude) {
  using A = Pack<double, W>;
  using Table = ErrorTable<float>;
  const A largest(Table::kLargest), a = where(largest < magnitude, largest, magnitude), c(Table::kCentre), d = a + c;
  const auto e = exp_parts(-(a * a), A{});
  return polynomial((a - c) / d, Table::kTail) / d * scale_normal(e);
}

// The first 26 bits of x: products of two such are exact.
template <int W>
ERGO_INLINE Pack<double, W> head_of(const Pack<double, W>& x) {
  return (x.bits() & Pack<std::int64_t, W>(-0x8000000)).template as<double>();
}

// erfc(a) for a >= 3/4. a^2 is taken in two parts, for the exponential magnifies its rounding; g (1 + q) / a with what
// the sum and the quotient lose, for three roundings more would be too many.
template <int W>
ERGO_INLINE Pack<double, W> erfc_of_magnitude(const Pack<double, W>& magnitude) {
  using A = Pack<double, W>;
  using Table = ErrorTable<double>;
  const A largest(28), a = where(largest < magnitude, largest, magnitude), one(1), five(5);
  const A head = head_of(a);
  const auto e = exp_parts(-(head * head), -((a - head) * (a + head)));
  const auto near = a < A(2.25);
  const A first = where(near, A(Table::kNearFirst), A(Table::kFarFirst));
  const A others = where(near, polynomial(a - A(1.5), Table::kNear), polynomial((a - five) / (a + five), Table::kFar));
  const A g = first + others, g_lost = (first - g) + others, q = e.r + e.t;
  const A gq = g * q, n = g + gq, n_lost = (g - n) + gq + fma(g_lost, q, g_lost);
  const A d = where(near, one, a), d_head = where(near, one, head), d_tail = d - d_head;
  const A y = n / d, y_head = head_of(y), y_tail = y - y_head;
  const A remainder = ((n - y_head * d_head) - y_head * d_tail - y_tail * d_head) - y_tail * d_tail;
  return scale(y + (remainder + n_lost) / d, e.exponent());
}

}  // namespace detail

template <class T, int W>
ERGO_INLINE Pack<T, W> erfc(const Pack<T, W>& x) {
  if constexpr (std::is_same_v<T, float>) {
    return detail::in_double(
        x, [](const auto& d) __attribute__((always_inline)) {
          using D = std::remove_cvref_t<decltype(d)>;
          const D tail = detail::erfc_for_float(abs(d));
          return where(d < D{}, D(2) - tail, tail);
        });
  } else {
    using A = Pack<T, W>;
    const A a = abs(x), tail = detail::erfc_of_magnitude(a);
    const A small = (A(1) - x) - x * detail::polynomial(x * x, detail::ErrorTable<T>::kSmall);
    return where(a < A(0.75), small, where(x < A{}, A(2) - tail, tail));
  }
}

template <class T, int W>
ERGO_INLINE Pack<T, W> erf(const Pack<T, W>& x) {
  using A = Pack<T, W>;
  using Table = detail::ErrorTable<T>;
  const A a = abs(x), z = x * x, one(1), small = fma(x, detail::polynomial(z, Table::kSmall), x);
  A tail;
  if constexpr (std::is_same_v<T, float>) {
    // log erfc(b) = -2 b + rest with little lost in the sum, for the exponential magnifies it.
    const A four(4), b = where(four < a, four, a), line = b * A(-2), rest = detail::polynomial(b, Table::kLogTail);
    const A sum = line + rest;
    const auto e = detail::exp_parts(sum, (line - sum) + rest);
    tail = detail::scale_normal(e);
  } else {
    tail = detail::erfc_of_magnitude(a);
  }
  return where(a < A(Table::kSplit), small, copysign(one - tail, x));
}

namespace detail {

// e^(-a^2 / 2) as the parts of an exponential, and ndtr(-a) as their quotient: 2^k times the second. The exponential
// magnifies the rounding of a^2, which is therefore taken in two parts, the first exact.
template <int W>
ERGO_INLINE ExpParts<Pack<float, W>> normal_parts(const Pack<float, W>& a, Pack<float, W>& tail) {
  using A = Pack<float, W>;
  using I = Pack<std::int32_t, W>;
  using Table = ErrorTable<float>;
  const A head = ((a.bits() + I(0x800)) & I(-0x1000)).template as<float>(), half(-0.5f);
  const auto e = exp_parts(half * head * head, half * (a - head) * (a + head));
  const A d = polynomial(a, Table::kNormalUnder);
  const A p = d / fma(A(Table::kSlope) * a, d, polynomial(a, Table::kNormalOver));
  tail = fma(p, e.r + e.t, p);
  return e;
}

}  // namespace detail

template <class T, int W>
ERGO_INLINE NormalDistribution<Pack<T, W>> normal_distribution(const Pack<T, W>& x) {
  using A = Pack<T, W>;
  const A peak(0.39894228040143267794), one(1);  // 1 / sqrt(2 pi)
  if constexpr (std::is_same_v<T, float>) {
    const A magnitude = abs(x);
    A tail, density;
    if (!detail::any_beyond(x, detail::ErrorTable<T>::kNormalTail)) [[likely]] {
      const auto e = detail::normal_parts(magnitude, tail);
      tail = (tail.bits() + (e.whole << detail::FloatBits<T>::kFraction)).template as<T>();
      density = detail::scale_normal(e);
    } else {
      const A largest(14.5);
      const auto e = detail::normal_parts(where(largest < magnitude, largest, magnitude), tail);
      tail = detail::scale(tail, e.exponent());
      density = detail::scale(detail::exp_of(e), e.exponent());
    }
    return {where(x < A{}, tail, one - tail), peak * density};
  } else {
    return {A(0.5) * erfc(x * A(-0.70710678118654752440)), peak * exp(A(-0.5) * (x * x))};
  }
}

template <class T, int W>
ERGO_INLINE Pack<T, W> ndtr(const Pack<T, W>& x) {
  return normal_distribution(x).below;
}

}  // namespace ergo::inline ERGO_BUILD::cpu
