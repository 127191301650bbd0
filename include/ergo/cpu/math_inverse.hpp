// Inverse circular and hyperbolic functions of packs. Outside their domain they are NaN, and the sign of zero is kept.
#pragma once

#include "ergo/cpu/math_basic.hpp"
#include "ergo/cpu/math_log.hpp"

namespace ergo::inline ERGO_BUILD::cpu {

template <class T, int W>
Pack<T, W> asin(const Pack<T, W>& x);
template <class T, int W>
Pack<T, W> acos(const Pack<T, W>& x);
template <class T, int W>
Pack<T, W> atan(const Pack<T, W>& x);
// The angle of the point (x, y), from -pi to pi, with C's special values.
template <class T, int W>
Pack<T, W> atan2(const Pack<T, W>& y, const Pack<T, W>& x);
template <class T, int W>
Pack<T, W> asinh(const Pack<T, W>& x);
template <class T, int W>
Pack<T, W> acosh(const Pack<T, W>& x);
template <class T, int W>
Pack<T, W> atanh(const Pack<T, W>& x);

namespace detail {

template <class T>
struct InverseTable;
template <>
struct InverseTable<float> {
  static constexpr float kPi = 0x1.921fb6p1f, kPiRest = -0x1.777a5cp-24f;
  // (atan(t) / t - 1) / t^2 in t^2 on |t| <= 1/2, 2^-29 of atan
  static constexpr float kAtan[] = {-0x1.555556p-2f, 0x1.9998f2p-3f,  -0x1.247348p-3f,
                                    0x1.c2d782p-4f,  -0x1.51538ap-4f, 0x1.5a2b0ep-5f};
  // (asin(s) / s - 1) / s^2 in s^2 on |s| <= 1/2, 2^-29 of asin
  static constexpr float kAsin[] = {0x1.555554p-3f, 0x1.33343p-4f,  0x1.6d5bbap-5f,
                                    0x1.fd8da2p-6f, 0x1.18f91ep-6f, 0x1.13fed4p-5f};
};
template <>
struct InverseTable<double> {
  static constexpr double kPi = 0x1.921fb54442d18p1, kPiRest = 0x1.1a62633145c07p-53;
  // 2^-59 and 2^-57
  static constexpr double kAtan[] = {
      -0x1.5555555555555p-2, 0x1.99999999998e1p-3,  -0x1.2492492488296p-3, 0x1.c71c71c01b24cp-4,  -0x1.745d16026efd7p-4,
      0x1.3b138e6372dcap-4,  -0x1.110ea50256abfp-4, 0x1.e1a7b2562efc5p-5,  -0x1.ad44da04adea3p-5, 0x1.7b20b751c966ap-5,
      -0x1.37d750492dd9bp-5, 0x1.99b4e0c058248p-6,  -0x1.2dfbaab9786efp-7};
  static constexpr double kAsin[] = {
      0x1.5555555555556p-3, 0x1.3333333332ecap-4,  0x1.6db6db6e31f13p-5, 0x1.f1c71c1db0623p-6, 0x1.6e8bb1c8209a2p-6,
      0x1.1c4d35cf95421p-6, 0x1.c9cf07674736ap-7,  0x1.782651caa6547p-7, 0x1.52420b04b37bep-7, 0x1.65a9c4dfcf8b2p-8,
      0x1.1d189408314eep-6, -0x1.e6aaa8a0a04ccp-7, 0x1.d72b2bc8155f8p-6};
};

// atan(n / d) for 0 <= n <= d, d > 0: by pi / 4 and (n - d) / (n + d) where that difference is exact.
template <class T, int W>
ERGO_INLINE Pack<T, W> atan_of_quotient(const Pack<T, W>& n, const Pack<T, W>& d) {
  using A = Pack<T, W>;
  using Table = InverseTable<T>;
  const auto steep = A(T(0.5)) * d < n;
  const A t = where(steep, n - d, n) / where(steep, n + d, d), z = t * t;
  const A turned = (z * t * polynomial(z, Table::kAtan) + A(Table::kPiRest / 4)) + t;
  return where(steep, A(Table::kPi / 4) + turned, fma(z * t, polynomial(z, Table::kAtan), t));
}

// asin(sqrt(z)) = s + s z P(z) for z <= 1/4 and s its root.
template <class T, int W>
ERGO_INLINE Pack<T, W> asin_part(const Pack<T, W>& z, const Pack<T, W>& s) {
  return fma(z * s, polynomial(z, InverseTable<T>::kAsin), s);
}

// x without the lower half of its fraction: products of two such are exact.
template <class T, int W>
ERGO_INLINE Pack<T, W> first_half(const Pack<T, W>& x) {
  using I = SignedOf<T>;
  return (x.bits() & Pack<I, W>(I(-(I(1) << (sizeof(T) == 4 ? 12 : 27))))).template as<T>();
}

// n - q d to the last bit or so, for q the rounded quotient.
template <class T, int W>
ERGO_INLINE Pack<T, W> remainder_of(const Pack<T, W>& n, const Pack<T, W>& q, const Pack<T, W>& d) {
  const Pack<T, W> q_head = first_half(q), q_tail = q - q_head, d_head = first_half(d), d_tail = d - d_head;
  return ((n - q_head * d_head) - q_head * d_tail - q_tail * d_head) - q_tail * d_tail;
}

// log(1 + u + rest), where rest is what the rounding of u lost.
template <class T, int W>
ERGO_INLINE Pack<T, W> log1p_of(const Pack<T, W>& u, const Pack<T, W>& rest) {
  return log1p(u) + rest / (Pack<T, W>(1) + u);
}

// log(1 + a + b + b_rest) for 0 <= b, and a + log 2 beyond 2^60, where that is the logarithm of 2 a.
template <class T, int W>
ERGO_INLINE Pack<T, W> log1p_of_sum(const Pack<T, W>& a, const Pack<T, W>& b, const Pack<T, W>& b_rest) {
  using A = Pack<T, W>;
  const auto large = A(T(0x1p60)) < a;
  const A u = a + b, back = u - a, rest = (a - (u - back)) + (b - back) + b_rest;
  const A y = log1p_of(where(large, a, u), where(large, A{}, rest));
  return where(large, y + A(T(0.69314718055994530942)), y);
}

}  // namespace detail

template <class T, int W>
ERGO_INLINE Pack<T, W> asin(const Pack<T, W>& x) {
  using A = Pack<T, W>;
  using Table = detail::InverseTable<T>;
  const A a = abs(x), half(T(0.5));
  const auto steep = half < a;
  const A z = where(steep, (A(1) - a) * half, a * a), s = where(steep, sqrt(z), a);
  const A cubic = z * s * detail::polynomial(z, Table::kAsin);
  // Beyond 1/2 pi / 2 - 2 asin(root): the root in two parts, the square of the first exact.
  const A head = detail::first_half(s), tail = (z - head * head) / where(s == A{}, A(1), s + head);
  const A small = (cubic + cubic) - (A(Table::kPiRest / 2) - (tail + tail)), quarter(Table::kPi / 4);
  return copysign(where(steep, quarter - (small - (quarter - (head + head))), s + cubic), x);
}

template <class T, int W>
ERGO_INLINE Pack<T, W> acos(const Pack<T, W>& x) {
  using A = Pack<T, W>;
  using Table = detail::InverseTable<T>;
  const A a = abs(x), half(T(0.5)), zero{};
  const auto steep = half < a;
  const A z = where(steep, (A(1) - a) * half, a * a), s = where(steep, sqrt(z), x), part = detail::asin_part(z, s);
  const A near = where(x < zero, A(Table::kPi) - (part + part - A(Table::kPiRest)), part + part);
  return where(steep, near, A(Table::kPi / 2) - (part - A(Table::kPiRest / 2)));
}

template <class T, int W>
ERGO_INLINE Pack<T, W> atan(const Pack<T, W>& x) {
  using A = Pack<T, W>;
  using Table = detail::InverseTable<T>;
  const A one(1), a = abs(x);
  const auto beyond = one < a;
  // 1 / a as a quotient of ordinary numbers, for infinity over infinity would be NaN.
  const A most(T(0x1p100)), bounded = where(most < a, most, a);
  const A y = detail::atan_of_quotient(where(beyond, one, a), where(beyond, bounded, one));
  return copysign(where(beyond, A(Table::kPi / 2) - (y - A(Table::kPiRest / 2)), y), x);
}

template <class T, int W>
ERGO_INLINE Pack<T, W> atan2(const Pack<T, W>& y, const Pack<T, W>& x) {
  using A = Pack<T, W>;
  using Table = detail::InverseTable<T>;
  const A zero{}, one(1), infinity(detail::kInfinity<T>), a = abs(y), b = abs(x);
  const auto swapped = b < a;
  A n = where(swapped, b, a), d = where(swapped, a, b);
  const auto same = (n == infinity) | (d == zero);  // of both: their angle is that of (1, 1), or of (1, 0)
  d = where(same, one, d);
  n = where(n == infinity, one, n);
  const auto endless = d == infinity;
  const A shrink = where(A(T(sizeof(T) == 4 ? 0x1p126 : 0x1p1022)) < d, A(T(0.25)), one);  // for their sum
  const A acute = detail::atan_of_quotient(where(endless, zero, n * shrink), where(endless, one, d * shrink));
  const A angle = where(swapped, A(Table::kPi / 2) - (acute - A(Table::kPiRest / 2)), acute);
  const A turned = where(copysign(one, x) < zero, A(Table::kPi) - (angle - A(Table::kPiRest)), angle);
  return where(x == x, where(y == y, copysign(turned, y), y), x);
}

template <class T, int W>
ERGO_INLINE Pack<T, W> asinh(const Pack<T, W>& x) {
  using A = Pack<T, W>;
  const A a = abs(x), square = a * a, one(1);
  return copysign(detail::log1p_of_sum(a, square / (one + sqrt(one + square)), A{}), x);
}

template <class T, int W>
ERGO_INLINE Pack<T, W> acosh(const Pack<T, W>& x) {
  using A = Pack<T, W>;
  const A one(1), t = x - one, square = (t + t) + t * t, root = sqrt(square);
  const A rest = detail::remainder_of(square, root, root) / where(t == A{}, one, root + root);
  return where(x < one, A(detail::kNaN<T>), detail::log1p_of_sum(t, root, rest));
}

template <class T, int W>
ERGO_INLINE Pack<T, W> atanh(const Pack<T, W>& x) {
  using A = Pack<T, W>;
  const A one(1), a = abs(x), d = one - a, lost = (one - d) - a;  // 1 - a = d + lost
  const A n = a + a, u = n / d;
  const A y = A(T(0.5)) * detail::log1p_of(u, (detail::remainder_of(n, u, d) - u * lost) / d);
  const A at_one = where(a == one, A(detail::kInfinity<T>), A(detail::kNaN<T>));
  return copysign(where(a < one, y, where(a == a, at_one, x)), x);
}

}  // namespace ergo::inline ERGO_BUILD::cpu
