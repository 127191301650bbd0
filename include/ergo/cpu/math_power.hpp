// Cube root and general power of packs.
#pragma once

#include "ergo/cpu/math_exp.hpp"
#include "ergo/cpu/math_log.hpp"

namespace ergo::inline ERGO_BUILD::cpu {

template <class T, int W>
Pack<T, W> cbrt(const Pack<T, W>& x);

// x^y as C defines it: x^0 = 1^y = 1, NaN for a negative x and a y that is no integer. The exponent of
// floats, y log2 x, is of double precision; doubles go one at a time through the C library.
template <class T, int W>
Pack<T, W> pow(const Pack<T, W>& x, const Pack<T, W>& y);

namespace detail {

template <class T>
struct CbrtTable;
template <>
struct CbrtTable<float> {
  static constexpr float kLift = 0x1p24f, kDrop = 0x1p-8f;                  // a subnormal times the first is normal
  static constexpr float kSecond = 0x1.965feap-1f, kThird = 0x1.428a3p-1f;  // 2^(-1/3), 2^(-2/3)
  // m^(-1/3) on [1, 2], 2^-11
  static constexpr float kInverse[] = {0x1.8ab912p0f, -0x1.9eb304p-1f, 0x1.456206p-2f, -0x1.991522p-5f};
};
template <>
struct CbrtTable<double> {
  static constexpr double kLift = 0x1p54, kDrop = 0x1p-18;
  static constexpr double kSecond = 0x1.965fea53d6e3dp-1, kThird = 0x1.428a2f98d728bp-1;
  // 2^-14
  static constexpr double kInverse[] = {0x1.ab85a2p0, -0x1.2c421ap0, 0x1.6416b2p-1, -0x1.c518c8p-3, 0x1.d46f8p-6};
};

// 2 atanh(s) / (s ln 2) in s^2 on [0, 0.0294], 2^-37
inline constexpr double kLog2Tail[] = {0x1.71547652bee21p+1, 0x1.ec709d1291cddp-1, 0x1.27778019ca573p-1,
                                       0x1.a58d705658d56p-2, 0x1.5cea2f6fc1947p-2};

// y log2(2^k (1 + f)), with s = f / (2 + f).
template <int W>
ERGO_INLINE Pack<double, W> power_exponent(const Pack<float, W>& k, const Pack<float, W>& f, const Pack<float, W>& y) {
  using D = Pack<double, W>;
  const D wide = f.template to<double>(), s = wide / (D(2) + wide);
  return y.template to<double>() * fma(s, polynomial(s * s, kLog2Tail), k.template to<double>());
}

// 2^z for z in halves, whose whole part and rest are small enough for floats.
template <int W>
ERGO_INLINE ExpParts<Pack<float, 2 * W>> exp2_parts_of(const Pack<double, W>& low, const Pack<double, W>& high) {
  using D = Pack<double, W>;
  const D magic(FloatBits<double>::kMagic), first = (low + magic) - magic, second = (high + magic) - magic;
  const auto narrow = [](const D& a, const D& b) __attribute__((always_inline)) {
    return join(a.template to<float>(), b.template to<float>());
  };
  return exp2_parts(narrow(first, second) + Pack<float, 2 * W>(FloatBits<float>::kMagic),
                    narrow(low - first, high - second));
}

}  // namespace detail

// |x| = 8^q y with y in [1, 8). A polynomial gives y^(-1/3), one step of third order refines it, and the root itself
// gets Newton's step: t - (t^3 - y) / (3 t^2).
template <class T, int W>
ERGO_INLINE Pack<T, W> cbrt(const Pack<T, W>& x) {
  using A = Pack<T, W>;
  using I = Pack<detail::SignedOf<T>, W>;
  using Bits = detail::FloatBits<T>;
  using Table = detail::CbrtTable<T>;
  const A a = abs(x);
  const auto subnormal = a < A(Bits::kMinNormal);
  const I bits = where(subnormal, a * A(Table::kLift), a).bits();
  // The biased exponent divided by 3: exact for all that occur, below 2^11.
  const I exponent = bits >> Bits::kFraction, third = (exponent * I(21846)) >> 16, left = exponent - third * I(3);
  const A m = ((bits & I(Bits::kFractionMask)) | A(1).bits()).template as<T>();
  // 127 = 3 * 42 + 1 and 1023 = 3 * 341: what is left of the unbiased exponent, in [0, 3).
  constexpr int kLeft = Bits::kBias % 3;
  const auto second = left == I((1 + kLeft) % 3), last = left == I((2 + kLeft) % 3);
  const A y = where(second, m + m, where(last, m * A(4), m));
  const A seed = detail::polynomial(m, Table::kInverse);
  const A r0 = where(second, seed * A(Table::kSecond), where(last, seed * A(Table::kThird), seed));
  const A h = fma(-(y * r0), r0 * r0, A(1));
  const A r = fma(r0 * h, fma(h, A(T(2) / T(9)), A(T(1) / T(3))), r0);
  const A square = r * r, t0 = y * square;
  const A t = fma(fma(-(t0 * t0), t0, y), square * A(T(1) / T(3)), t0);
  // (exponent - left' - bias) / 3, with left' the part of the unbiased exponent.
  const I q = third - I(Bits::kBias / 3) - where(left < I(kLeft), I(1), I(0));
  const A root = t * detail::power_of_two<T, W>(q);
  const A finite = where(subnormal, root * A(Table::kDrop), root);
  const A positive = where(a < A(detail::kInfinity<T>), finite, a);
  return where(a == A{}, x, copysign(positive, x));
}

template <class T, int W>
ERGO_INLINE Pack<T, W> pow(const Pack<T, W>& x, const Pack<T, W>& y) {
  using A = Pack<T, W>;
  if constexpr (std::is_same_v<T, double>) {
    return x.each([](double a, double b) { return __builtin_pow(a, b); }, y);
  } else if constexpr (W == 1) {
    return low(pow(join(x, x), join(y, y)));
  } else {
    using Table = detail::ExpTable<T>;
    const A a = abs(x), one(1), infinity(detail::kInfinity<T>), half = y * A(0.5);
    const bool special = detail::any_special(a);
    A k, f, magnitude;
    detail::split(a, special, k, f);
    const auto z0 = detail::power_exponent(low(k), low(f), low(y)),
               z1 = detail::power_exponent(high(k), high(f), high(y));
    if (!detail::any_beyond(join(z0.template to<float>(), z1.template to<float>()), Table::kNormal2)) [[likely]] {
      magnitude = detail::scale_normal(detail::exp2_parts_of(z0, z1));
    } else {
      const double lowest = Table::kLowest2, highest = Table::kHighest2;
      const auto e = detail::exp2_parts_of(detail::clamp(z0, lowest, highest), detail::clamp(z1, lowest, highest));
      magnitude = detail::scale(detail::exp_of(e), e.exponent());
    }
    if (special) {
      const auto zero = a == A{}, extreme = (zero | (a == infinity)) & (y == y);
      magnitude = where(extreme, where(zero ^ (y < A{}), A{}, infinity), where(a == a, magnitude, a));
    }
    const auto whole = y == round(y), odd = whole & (half != round(half));
    const A with_sign = where(odd, detail::or_bits(magnitude, detail::sign_bit(x)), magnitude);
    const A real = where((x < A{}) & (a < infinity) & !whole, A(detail::kNaN<T>), with_sign);
    return where((y == A{}) | (x == one) | ((x == -one) & (abs(y) == infinity)), one, real);
  }
}

}  // namespace ergo::inline ERGO_BUILD::cpu
