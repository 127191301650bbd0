// Sine, cosine, tangent of packs. x = k pi / 2 + r with |r| <= pi / 4, the multiple subtracted in pieces of pi / 2
// whose products with k are exact: good to the last bit up to |x| = 2^20; larger arguments go one at a time through the
// C library.
#pragma once

#include "ergo/cpu/math_basic.hpp"

namespace ergo::inline ERGO_BUILD::cpu {

template <class T, int W>
Pack<T, W> sin(const Pack<T, W>& x);
template <class T, int W>
Pack<T, W> cos(const Pack<T, W>& x);
template <class T, int W>
Pack<T, W> tan(const Pack<T, W>& x);

namespace detail {

template <class T>
struct TrigTable;
template <>
struct TrigTable<float> {
  // (sin(r) / r - 1) / r^2 and (cos(r) - 1 + r^2 / 2) / r^4 in r^2 on |r| <= pi / 4: 2^-28 and 2^-33
  static constexpr float kSin[] = {-0x1.555546p-3f, 0x1.11077ap-7f, -0x1.995492p-13f};
  static constexpr float kCos[] = {0x1.55554ap-5f, -0x1.6c0c1ap-10f, 0x1.99e0e4p-16f};
};
template <>
struct TrigTable<double> {
  static constexpr double kTwoOverPi = 0x1.45f306dc9c883p-1;
  // pi / 2 in three parts, two of them with 20 bits free for k
  static constexpr double kFirst = 0x1.921fb544p0, kSecond = 0x1.0b4611a6p-34, kThird = 0x1.3198a2e037073p-69;
  static constexpr double kLimit = 0x1p20;
  // 2^-58 and 2^-64
  static constexpr double kSin[] = {-0x1.5555555555549p-3, 0x1.111111110f88dp-7,   -0x1.a01a019c11152p-13,
                                    0x1.71de35759a337p-19, -0x1.ae5e639d5b1dcp-26, 0x1.5d9206e892dbdp-33};
  static constexpr double kCos[] = {0x1.555555555554cp-5,   -0x1.6c16c16c1520bp-10, 0x1.a01a019cbc047p-16,
                                    -0x1.27e4f80f7b902p-22, 0x1.1ee9eeaee1525p-29,  -0x1.8fafa12d66124p-37};
  // As for float, to 2^-32 and 2^-37: doubles that will be rounded to float
  static constexpr double kSinShort[] = {-0x1.555556p-3, 0x1.111176p-7, -0x1.a05ba4p-13, 0x1.7ccd06p-19};
  static constexpr double kCosShort[] = {0x1.555556p-5, -0x1.6c1762p-10, 0x1.a075d2p-16, -0x1.3719a2p-22};
};

// x = k pi / 2 + r + rest; k mod 4 is in the low bits of `quadrant`.
template <class A>
struct Reduced {
  A r, rest;
  Pack<SignedOf<typename A::value_type>, A::kLanes> quadrant;
};

template <int W>
ERGO_INLINE Reduced<Pack<double, W>> reduce(const Pack<double, W>& x) {
  using A = Pack<double, W>;
  using Table = TrigTable<double>;
  const A magic(FloatBits<double>::kMagic), z = fma(x, A(Table::kTwoOverPi), magic), k = z - magic;
  const A a = fma(-k, A(Table::kFirst), x), b = k * A(Table::kSecond);  // both exact
  const A high = a - b, moved = high - a;
  const A lost = (a - (high - moved)) - (b + moved);
  const A low = fma(-k, A(Table::kThird), lost), r = high + low;
  return {r, (high - r) + low, z.bits()};
}
// The same for a result in float: no rest.
template <int W>
ERGO_INLINE Pack<double, W> reduce_short(const Pack<double, W>& x, const Pack<double, W>& k) {
  using A = Pack<double, W>;
  using Table = TrigTable<double>;
  return fma(-k, A(0x1.0b4611a626331p-34), fma(-k, A(Table::kFirst), x));
}
template <int W>
ERGO_INLINE Reduced<Pack<float, W>> reduce(const Pack<float, W>& x) {
  const auto multiple = [](const auto& d) __attribute__((always_inline)) {
    using D = std::remove_cvref_t<decltype(d)>;
    const D magic(FloatBits<double>::kMagic);
    return fma(d, D(TrigTable<double>::kTwoOverPi), magic) - magic;
  };
  const auto a = low(x).template to<double>(), b = high(x).template to<double>();
  const auto ka = multiple(a), kb = multiple(b);
  const Pack<float, W> r = join(reduce_short(a, ka).template to<float>(), reduce_short(b, kb).template to<float>());
  const Pack<float, W> k = join(ka.template to<float>(), kb.template to<float>());
  return {r, Pack<float, W>{}, k.template to<std::int32_t>()};
}

template <class T, int W>
ERGO_INLINE Pack<T, W> sin_reduced(const Reduced<Pack<T, W>>& e) {
  using A = Pack<T, W>;
  const A z = e.r * e.r, cubic = z * e.r * polynomial(z, TrigTable<T>::kSin);
  if constexpr (sizeof(T) == 4) return e.r + cubic;
  return e.r + fma(e.rest, fma(z, A(-0.5), A(1)), cubic);
}
template <class T, int W>
ERGO_INLINE Pack<T, W> cos_reduced(const Reduced<Pack<T, W>>& e) {
  using A = Pack<T, W>;
  const A one(1), z = e.r * e.r, half = z * A(0.5), high = one - half;
  const A quartic = z * z * polynomial(z, TrigTable<T>::kCos);
  const A low = ((one - high) - half) + quartic;
  if constexpr (sizeof(T) == 4) return high + low;
  return high + fma(-e.r, e.rest, low);
}

// Lanes beyond the limit, through the C library. Never inlined: it is rare and its calls would cost every loop
// registers.
template <class T>
__attribute__((noinline, cold)) inline void trig_beyond(int which, const T* x, T* y, int n) {
  for (int i = 0; i < n; ++i) {
    if (!(__builtin_fabs(double(x[i])) > TrigTable<double>::kLimit)) continue;
    if constexpr (sizeof(T) == 4) {
      y[i] = which == 0 ? __builtin_sinf(x[i]) : which == 1 ? __builtin_cosf(x[i]) : __builtin_tanf(x[i]);
    } else {
      y[i] = which == 0 ? __builtin_sin(x[i]) : which == 1 ? __builtin_cos(x[i]) : __builtin_tan(x[i]);
    }
  }
}
template <class T, int W>
ERGO_INLINE Pack<T, W> with_beyond(int which, const Pack<T, W>& x, const Pack<T, W>& y) {
  if (!any(Pack<T, W>(T(TrigTable<double>::kLimit)) < abs(x))) [[likely]]
    return y;
  T in[W], out[W];
  x.store(in);
  y.store(out);
  trig_beyond(which, in, out, W);
  return Pack<T, W>::load(out);
}

// Sine of the angle that is `turn` quarters ahead of x.
template <class T, int W>
ERGO_INLINE Pack<T, W> sin_ahead(const Pack<T, W>& x, int turn) {
  using I = Pack<SignedOf<T>, W>;
  auto e = reduce(x);
  const I quadrant = e.quadrant + I(SignedOf<T>(turn));
  const auto odd = (quadrant & I(1)) == I(1);
  const Pack<T, W> y = where(odd, cos_reduced(e), sin_reduced(e));
  return xor_bits(y, ((quadrant & I(2)) << (int(sizeof(T)) * 8 - 2)).template as<T>());
}

}  // namespace detail

template <class T, int W>
ERGO_INLINE Pack<T, W> sin(const Pack<T, W>& x) {
  return detail::with_beyond(0, x, where(x == Pack<T, W>{}, x, detail::sin_ahead(x, 0)));
}

template <class T, int W>
ERGO_INLINE Pack<T, W> cos(const Pack<T, W>& x) {
  return detail::with_beyond(1, x, detail::sin_ahead(x, 1));
}

template <class T, int W>
ERGO_INLINE Pack<T, W> tan(const Pack<T, W>& x) {
  using A = Pack<T, W>;
  if constexpr (std::is_same_v<T, float>) {
    const A y = detail::in_double(
        x, [](const auto& d) __attribute__((always_inline)) {
          using D = std::remove_cvref_t<decltype(d)>;
          using I = Pack<std::int64_t, D::kLanes>;
          using Table = detail::TrigTable<double>;
          const D magic(detail::FloatBits<double>::kMagic), sum = fma(d, D(Table::kTwoOverPi), magic);
          const D r = detail::reduce_short(d, sum - magic), z = r * r;
          const D s = fma(z * r, detail::polynomial(z, Table::kSinShort), r);
          const D c = fma(z * z, detail::polynomial(z, Table::kCosShort), fma(z, D(-0.5), D(1)));
          const auto odd = (sum.bits() & I(1)) == I(1);
          return where(odd, -c, s) / where(odd, s, c);
        });
    return detail::with_beyond(2, x, where(x == A{}, x, y));
  } else {
    // Numerator and denominator as sums; the quotient of the leading parts gets the first-order correction.
    using I = Pack<std::int64_t, W>;
    using Table = detail::TrigTable<double>;
    const auto e = detail::reduce(x);
    const A one(1), z = e.r * e.r, half = z * A(0.5);
    const A s_low = fma(e.rest, one - half, z * e.r * detail::polynomial(z, Table::kSin));
    const A s = e.r + s_low, s_lost = (e.r - s) + s_low;
    const A c_high = one - half,
            c_low = fma(-e.r, e.rest, fma(z * z, detail::polynomial(z, Table::kCos), (one - c_high) - half));
    const A c = c_high + c_low, c_lost = (c_high - c) + c_low;
    const auto odd = (e.quadrant & I(1)) == I(1);
    const A p = where(odd, -c, s), p_lost = where(odd, -c_lost, s_lost);
    const A q = where(odd, s, c), q_lost = where(odd, s_lost, c_lost);
    const A y = p / q, exact = y + (p_lost - y * q_lost) / q;
    return detail::with_beyond(2, x, where(x == A{}, x, exact));
  }
}

}  // namespace ergo::inline ERGO_BUILD::cpu
