// The exponential function and its kin on packs. x = k ln 2 + r with k whole and |r| <= ln 2 / 2; e^r is a minimax
// polynomial kept as 1 + r + t, so that whoever needs e^x - 1 or its last bit adds in the right order; the scale 2^k
// comes in two factors where the result may be subnormal. Measured errors: tests/cpu/math_test.cpp.
#pragma once

#include "ergo/cpu/math_basic.hpp"

namespace ergo::inline ERGO_BUILD::cpu {

template <class T, int W>
Pack<T, W> exp(const Pack<T, W>& x);
template <class T, int W>
Pack<T, W> exp2(const Pack<T, W>& x);
template <class T, int W>
Pack<T, W> expm1(const Pack<T, W>& x);
template <class T, int W>
Pack<T, W> sinh(const Pack<T, W>& x);
template <class T, int W>
Pack<T, W> cosh(const Pack<T, W>& x);
template <class T, int W>
Pack<T, W> tanh(const Pack<T, W>& x);

namespace detail {

// Coefficients are minimax polynomials, rounded one after the other with the rest fitted anew.
template <class T>
struct ExpTable;
template <>
struct ExpTable<float> {
  static constexpr float kLog2e = 0x1.715476p0f;
  static constexpr float kLn2 = 0x1.62e43p-1f, kLn2Rest = -0x1.05c61p-29f;    // ln 2 in two floats
  static constexpr float kLn2High = 0x1.62e4p-1f, kLn2Low = 0x1.7f7d1cp-20f;  // the first with 8 bits free for k
  static constexpr float kHighest = 89.0f, kLowest = -104.0f;                 // beyond: infinity, 0
  static constexpr float kNormal = 87.0f, kNormal2 = 125.0f;  // of smaller |x| e^x and 2^x are normal numbers
  static constexpr float kHighest2 = 128.0f, kLowest2 = -151.0f;
  static constexpr float kLinear = 0x1p-25f;  // |x| below which e^x - 1 is x
  // (e^r - 1 - r) / r^2 on |r| <= 0.3486, 2^-28 of e^r
  static constexpr float kTail[] = {0x1.fffffcp-2f, 0x1.555486p-3f, 0x1.555838p-5f, 0x1.12424p-7f, 0x1.6af40ap-10f};
  // (sinh(x) / x - 1) / x^2 in x^2 on |x| <= 1, 2^-31
  static constexpr float kSinh[] = {0x1.555556p-3f, 0x1.1110e4p-7f, 0x1.a01fc4p-13f, 0x1.75f062p-19f};
  // (tanh(x) / x - 1) / x^2 in x^2 on |x| <= kTanhSplit, 2^-30
  static constexpr float kTanhSplit = 1.0f, kTanhOne = 10.0f;  // from the second on tanh is 1
  static constexpr float kTanh[] = {-0x1.555552p-2f, 0x1.11103cp-3f, -0x1.b9f6dep-5f,  0x1.64c0a4p-6f,
                                    -0x1.18de98p-7f, 0x1.8f9f52p-9f, -0x1.aee91ap-11f, 0x1.e86d3ap-14f};
};
template <>
struct ExpTable<double> {
  static constexpr double kLog2e = 0x1.71547652b82fep0;
  static constexpr double kLn2 = 0x1.62e42fefa39efp-1, kLn2Rest = 0x1.abc9e3b39803fp-56;
  static constexpr double kLn2High = 0x1.62e42fefap-1, kLn2Low = 0x1.cf79abc9e3b3ap-40;
  static constexpr double kHighest = 710.0, kLowest = -746.0;
  static constexpr double kNormal = 708.0, kNormal2 = 1021.0;
  static constexpr double kHighest2 = 1024.0, kLowest2 = -1076.0;
  static constexpr double kLinear = 0x1p-54;
  // 2^-57
  static constexpr double kTail[] = {0x1.000000000000ap-1,  0x1.55555555554f8p-3,  0x1.55555555505c7p-5,
                                     0x1.1111111127e7dp-7,  0x1.6c16c184cbd59p-10, 0x1.a01a012b0184bp-13,
                                     0x1.a019983df5ae5p-16, 0x1.71df2073133b9p-19, 0x1.28af3267fe238p-22,
                                     0x1.ad8c448c251abp-26};
  // 2^-61
  static constexpr double kSinh[] = {0x1.5555555555556p-3,  0x1.111111111102p-7,   0x1.a01a01a036c5ap-13,
                                     0x1.71de3a3b6c322p-19, 0x1.ae646f955f2aap-26, 0x1.61171e57bc092p-33,
                                     0x1.b5bae633014c4p-41};
  // 2^-60
  static constexpr double kTanhSplit = 0.55, kTanhOne = 20.0;
  static constexpr double kTanh[] = {-0x1.555555555554fp-2,  0x1.111111111078fp-3,  -0x1.ba1ba1b97c9afp-5,
                                     0x1.664f485939477p-6,   -0x1.226e2f0d249d9p-7, 0x1.d6d29a64dc496p-9,
                                     -0x1.7d8fc3d0fa74cp-10, 0x1.3483284ddbc87p-11, -0x1.e96a4a01de6ebp-13,
                                     0x1.5d64381ad2793p-14,  -0x1.46e83214ed581p-16};
};

// e^x = 2^k (1 + r + t), |r| <= ln 2 / 2, t = O(r^2). The low bits of `whole` are those of k, the others the magic
// number's, which shifts into the exponent as nothing.
template <class A>
struct ExpParts {
  A r, t;
  Pack<SignedOf<typename A::value_type>, A::kLanes> whole;

  ERGO_INLINE auto exponent() const { return whole - A(FloatBits<typename A::value_type>::kMagic).bits(); }
};

// Of x + rest, |rest| much smaller than 1; |x| within kLowest and kHighest, give or take one.
template <class T, int W>
ERGO_INLINE ExpParts<Pack<T, W>> exp_parts(const Pack<T, W>& x, const Pack<T, W>& rest) {
  using A = Pack<T, W>;
  using Table = ExpTable<T>;
  const A magic(FloatBits<T>::kMagic), z = fma(x, A(Table::kLog2e), magic), k = z - magic;
  const A high = fma(-k, A(Table::kLn2High), x), low = fma(-k, A(Table::kLn2Low), rest);  // the first is exact
  const A r = high + low, lost = (high - r) + low;
  return {r, fma(r * r, polynomial(r, Table::kTail), lost), z.bits()};
}

// 2^k for k of a normal result.
template <class T, int W>
ERGO_INLINE Pack<T, W> power_of_two(const Pack<SignedOf<T>, W>& k) {
  return ((k + Pack<SignedOf<T>, W>(FloatBits<T>::kBias)) << FloatBits<T>::kFraction).template as<T>();
}
// x 2^k with one rounding, for any k that is at most twice that of a normal number.
template <class T, int W>
ERGO_INLINE Pack<T, W> scale(const Pack<T, W>& x, const Pack<SignedOf<T>, W>& k) {
  const auto half = k >> 1;
  return x * power_of_two<T, W>(half) * power_of_two<T, W>(k - half);
}

// Whether some |x| is above the limit, or NaN.
template <class T, int W>
ERGO_INLINE bool any_beyond(const Pack<T, W>& x, T limit) {
  return any_negative(Pack<T, W>(limit).bits() - abs(x).bits());
}

// 1 + r + t with little more than one rounding.
template <class A>
ERGO_INLINE A exp_of(const ExpParts<A>& e) {
  const A one(1), high = one + e.r;
  return high + (((one - high) + e.r) + e.t);
}

// 2^k (1 + r + t) where that is a normal number.
template <class T, int W>
ERGO_INLINE Pack<T, W> scale_normal(const ExpParts<Pack<T, W>>& e) {
  return (exp_of(e).bits() + (e.whole << FloatBits<T>::kFraction)).template as<T>();
}

// x within the bounds, NaN kept.
template <class T, int W>
ERGO_INLINE Pack<T, W> clamp(const Pack<T, W>& x, T lowest, T highest) {
  const Pack<T, W> lo(lowest), hi(highest), y = where(x < lo, lo, x);
  return where(hi < y, hi, y);
}

}  // namespace detail

// Packs whose results are all normal, nearly all, do without bounds and the second factor; the bits are the same.
template <class T, int W>
ERGO_INLINE Pack<T, W> exp(const Pack<T, W>& x) {
  using Table = detail::ExpTable<T>;
  if (!detail::any_beyond(x, Table::kNormal)) [[likely]] {
    const auto e = detail::exp_parts(x, Pack<T, W>{});
    return detail::scale_normal(e);
  }
  const auto e = detail::exp_parts(detail::clamp(x, Table::kLowest, Table::kHighest), Pack<T, W>{});
  return detail::scale(detail::exp_of(e), e.exponent());
}

namespace detail {

// 2^(k + f) = 2^k e^(f ln 2), |f| <= 1 / 2, of k plus the magic number.
template <class T, int W>
ERGO_INLINE ExpParts<Pack<T, W>> exp2_parts(const Pack<T, W>& whole, const Pack<T, W>& f) {
  using A = Pack<T, W>;
  using Table = ExpTable<T>;
  const A r = f * A(Table::kLn2);
  return {r, fma(r * r, polynomial(r, Table::kTail), f * A(Table::kLn2Rest)), whole.bits()};
}
template <class T, int W>
ERGO_INLINE ExpParts<Pack<T, W>> exp2_parts(const Pack<T, W>& x) {
  const Pack<T, W> magic(FloatBits<T>::kMagic), z = x + magic;
  return exp2_parts(z, x - (z - magic));  // exact
}

}  // namespace detail

template <class T, int W>
ERGO_INLINE Pack<T, W> exp2(const Pack<T, W>& x) {
  using Table = detail::ExpTable<T>;
  if (!detail::any_beyond(x, Table::kNormal2)) [[likely]] {
    const auto e = detail::exp2_parts(x);
    return detail::scale_normal(e);
  }
  const auto e = detail::exp2_parts(detail::clamp(x, Table::kLowest2, Table::kHighest2));
  return detail::scale(detail::exp_of(e), e.exponent());
}

// 2 (s r + (s - 1/2) + s t) with s = 2^(k - 1), which is finite where 2^k is not. The least arguments are their own
// result.
template <class T, int W>
ERGO_INLINE Pack<T, W> expm1(const Pack<T, W>& x) {
  using A = Pack<T, W>;
  using Table = detail::ExpTable<T>;
  const auto e = detail::exp_parts(detail::clamp(x, T(-40), Table::kHighest), A{});
  const A s = detail::power_of_two<T, W>(e.exponent() - Pack<detail::SignedOf<T>, W>(1)), half(0.5);
  const A y = fma(s, e.t, fma(s, e.r, s - half));
  return where(abs(x) < A(Table::kLinear), x, y + y);
}

namespace detail {

// e^|x| / 2 and e^-|x| / 2.
template <class A>
struct HalfExps {
  A up, down;
};
template <class T, int W>
ERGO_INLINE HalfExps<Pack<T, W>> half_exps(const Pack<T, W>& magnitude) {
  using A = Pack<T, W>;
  const auto e = exp_parts(clamp(magnitude, T(0), T(ExpTable<T>::kHighest + 1)), A{});
  const A up = scale(exp_of(e), e.exponent() - Pack<SignedOf<T>, W>(1));
  return {up, A(0.25) / up};
}

}  // namespace detail

template <class T, int W>
ERGO_INLINE Pack<T, W> cosh(const Pack<T, W>& x) {
  const auto h = detail::half_exps(abs(x));
  return h.up + h.down;
}

template <class T, int W>
ERGO_INLINE Pack<T, W> sinh(const Pack<T, W>& x) {
  using A = Pack<T, W>;
  const A a = abs(x), z = x * x;
  const auto h = detail::half_exps(a);
  const A small = fma(x * z, detail::polynomial(z, detail::ExpTable<T>::kSinh), x);
  return where(a < A(1), small, copysign(h.up - h.down, x));
}

// A polynomial near 0, 1 - 2 u / (1 + u) with u = e^(-2 |x|) beyond.
template <class T, int W>
ERGO_INLINE Pack<T, W> tanh(const Pack<T, W>& x) {
  using A = Pack<T, W>;
  using Table = detail::ExpTable<T>;
  const A a = abs(x), z = x * x, one(1), last(Table::kTanhOne);
  const A bounded = where(last < a, last, a);
  const auto e = detail::exp_parts(-(bounded + bounded), A{});
  const A u = detail::scale_normal(e);
  const A sum = one + u, lost = (one - sum) + u, ratio = (u + u) / sum;
  const A large = one - (ratio - ratio * lost);  // 1 / (sum + lost), for sum is near 1
  const A small = fma(a * z, detail::polynomial(z, Table::kTanh), a);
  return copysign(where(a < A(Table::kTanhSplit), small, large), x);
}

}  // namespace ergo::inline ERGO_BUILD::cpu
