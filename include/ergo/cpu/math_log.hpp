// Logarithms of packs. x = 2^k m with m in [sqrt(1/2), sqrt(2)); log m is kept as f + t with f = m - 1, which is exact,
// so that the sum with k ln 2 rounds once. Zero gives minus infinity, negative numbers NaN.
#pragma once

#include "ergo/cpu/math_basic.hpp"

namespace ergo::inline ERGO_BUILD::cpu {

template <class T, int W>
Pack<T, W> log(const Pack<T, W>& x);
template <class T, int W>
Pack<T, W> log2(const Pack<T, W>& x);
template <class T, int W>
Pack<T, W> log10(const Pack<T, W>& x);
template <class T, int W>
Pack<T, W> log1p(const Pack<T, W>& x);

namespace detail {

template <class T>
struct LogTable;
template <>
struct LogTable<float> {
  static constexpr std::int32_t kSqrtHalf = 0x3f3504f3;
  static constexpr float kLift = 0x1p23f;  // makes subnormals normal
  static constexpr float kLn2High = 0x1.62e4p-1f, kLn2Low = 0x1.7f7d1cp-20f;
  static constexpr float kLog10Of2High = 0x1.344p-2f, kLog10Of2Low = 0x1.3509f8p-18f;
  static constexpr float kLog2e = 0x1.715476p0f, kLog2eRest = 0x1.4ae0cp-26f;
  static constexpr float kLog10e = 0x1.bcb7b2p-2f, kLog10eRest = -0x1.5b235ep-27f;
  static constexpr float kLinear = 0x1p-25f;  // |x| below which log(1 + x) is x
  // (log(1 + f) - f + f^2 / 2) / f^3, 2^-27 of log(1 + f)
  static constexpr float kTail[] = {0x1.555554p-2f, -0x1.000232p-2f, 0x1.99a04ep-3f, -0x1.546f32p-3f,
                                    0x1.22d11p-3f,  -0x1.0d9be6p-3f, 0x1.05ab66p-3f, -0x1.390728p-4f};
};
template <>
struct LogTable<double> {
  static constexpr std::int64_t kSqrtHalf = 0x3fe6a09e667f3bcd;
  static constexpr double kLift = 0x1p52;
  static constexpr double kLn2High = 0x1.62e42fefap-1, kLn2Low = 0x1.cf79abc9e3b3ap-40;
  static constexpr double kLog10Of2High = 0x1.34413509f78p-2, kLog10Of2Low = 0x1.fef311f12b358p-46;
  static constexpr double kLog2e = 0x1.71547652b82fep0, kLog2eRest = 0x1.777d0ffda0d24p-56;
  static constexpr double kLog10e = 0x1.bcb7b1526e50ep-2, kLog10eRest = 0x1.95355baaafad3p-57;
  static constexpr double kLinear = 0x1p-54;
  // (2 atanh(s) / s - 2) / s^2 in s^2 with s = f / (2 + f), 2^-59
  static constexpr double kTail[] = {0x1.555555555559ap-1, 0x1.999999997d1c3p-2, 0x1.249249448a17bp-2,
                                     0x1.c71c4fcce8dc2p-3, 0x1.7466ba7a287c9p-3, 0x1.3994b2ab4d4a8p-3,
                                     0x1.2f8e25a864084p-3};
};

// log x = k ln 2 + f + t for x > 0 and finite.
template <class A>
struct LogParts {
  A k, f, t;
};

// x = 2^k (1 + f). `special`: some x may be subnormal.
template <class T, int W>
ERGO_INLINE void split(const Pack<T, W>& x, bool special, Pack<T, W>& k, Pack<T, W>& f) {
  using A = Pack<T, W>;
  using I = Pack<SignedOf<T>, W>;
  using Table = LogTable<T>;
  A normal = x, lifted{};
  if (special) {
    const auto subnormal = x < A(FloatBits<T>::kMinNormal);
    normal = where(subnormal, x * A(Table::kLift), x);
    lifted = where(subnormal, A(FloatBits<T>::kFraction), A{});
  }
  const I origin(Table::kSqrtHalf), from = normal.bits() - origin;
  f = ((from & I(FloatBits<T>::kFractionMask)) + origin).template as<T>() - A(1);
  // The exponent as a number, by way of the magic number's low bits: 64-bit integers have no conversion before AVX-512.
  const A magic(FloatBits<T>::kMagic), whole = ((from >> FloatBits<T>::kFraction) + magic.bits()).template as<T>();
  k = (whole - magic) - lifted;
}

template <class T, int W>
ERGO_INLINE LogParts<Pack<T, W>> log_parts(const Pack<T, W>& x, bool special) {
  using A = Pack<T, W>;
  using Table = LogTable<T>;
  A k, f;
  split(x, special, k, f);
  if constexpr (sizeof(T) == 4) {
    return {k, f, f * f * fma(f, polynomial(f, Table::kTail), A(-0.5))};
  } else {
    const A half_square = A(0.5) * f * f, s = f / (A(2) + f), z = s * s;
    return {k, f, fma(s, fma(z, polynomial(z, Table::kTail), half_square), -half_square)};
  }
}

// Whether some x is not a positive, normal, finite number.
template <class T, int W>
ERGO_INLINE bool any_special(const Pack<T, W>& x) {
  const auto least = Pack<T, W>(FloatBits<T>::kMinNormal).bits(), infinite = Pack<T, W>(kInfinity<T>).bits();
  const Pack<SignedOf<T>, W> one(1);
  return any_negative((x.bits() - least) | ((infinite - one) - x.bits()));
}

// `finite` where x is an ordinary argument of a logarithm, else what C says.
template <class T, int W>
ERGO_INLINE Pack<T, W> log_of_special(const Pack<T, W>& x, const Pack<T, W>& finite) {
  using A = Pack<T, W>;
  const A zero{}, infinity(kInfinity<T>);
  const A positive = where(x < infinity, finite, x);
  return where(zero < x, positive, where(x == zero, -infinity, A(kNaN<T>)));
}

// `finish` of the parts of x, and what C says where there are none.
template <class T, int W, class F>
ERGO_INLINE Pack<T, W> logarithm(const Pack<T, W>& x, F finish) {
  if (!any_special(x)) [[likely]]
    return finish(log_parts(x, false));
  return log_of_special(x, finish(log_parts(x, true)));
}

// (f + t) times a constant given in two parts.
template <class T, int W>
ERGO_INLINE Pack<T, W> times(const LogParts<Pack<T, W>>& e, T high, T rest) {
  using A = Pack<T, W>;
  const A sum = e.f + e.t, lost = (e.f - sum) + e.t;
  return fma(sum, A(high), fma(sum, A(rest), lost * A(high)));
}

}  // namespace detail

template <class T, int W>
ERGO_INLINE Pack<T, W> log(const Pack<T, W>& x) {
  using A = Pack<T, W>;
  using Table = detail::LogTable<T>;
  return detail::logarithm(
      x, [](const auto& e) __attribute__((always_inline)) {
        return fma(e.k, A(Table::kLn2High), e.f + fma(e.k, A(Table::kLn2Low), e.t));
      });
}

template <class T, int W>
ERGO_INLINE Pack<T, W> log2(const Pack<T, W>& x) {
  using Table = detail::LogTable<T>;
  return detail::logarithm(
      x, [](const auto& e)
             __attribute__((always_inline)) { return e.k + detail::times(e, Table::kLog2e, Table::kLog2eRest); });
}

template <class T, int W>
ERGO_INLINE Pack<T, W> log10(const Pack<T, W>& x) {
  using A = Pack<T, W>;
  using Table = detail::LogTable<T>;
  return detail::logarithm(
      x, [](const auto& e) __attribute__((always_inline)) {
        const A fraction = fma(e.k, A(Table::kLog10Of2Low), detail::times(e, Table::kLog10e, Table::kLog10eRest));
        return fma(e.k, A(Table::kLog10Of2High), fraction);
      });
}

// log(u) + c / u, with u = 1 + x rounded and c what the rounding lost.
template <class T, int W>
ERGO_INLINE Pack<T, W> log1p(const Pack<T, W>& x) {
  using A = Pack<T, W>;
  using Table = detail::LogTable<T>;
  const A one(1), u = one + x, back = u - one, c = (one - (u - back)) + (x - back);
  const A y = detail::logarithm(
      u, [&](const auto& e) __attribute__((always_inline)) {
        return fma(e.k, A(Table::kLn2High), e.f + (e.t + fma(e.k, A(Table::kLn2Low), c / u)));
      });
  return where(abs(x) < A(Table::kLinear), x, y);
}

}  // namespace ergo::inline ERGO_BUILD::cpu
