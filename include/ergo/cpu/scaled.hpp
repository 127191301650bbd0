// Numbers of any exponent: a double in [1, 2) or (-2, -1] times a power of two, so that products and sums of them
// neither overflow nor vanish on the way. Zeros, infinities and NaN are their mantissa. Where plain doubles stay
// normal, they have the same bits.
#pragma once

#include <cstdint>
#include <cstring>

#include "ergo/cpu/isa.hpp"

namespace ergo::inline ERGO_BUILD::cpu {

struct Scaled {
  double mantissa = 1;
  std::int64_t exponent = 0;

  static ERGO_INLINE std::uint64_t bits_of(double x) {
    std::uint64_t bits;
    std::memcpy(&bits, &x, sizeof bits);
    return bits;
  }
  static ERGO_INLINE double of_bits(std::uint64_t bits) {
    double x;
    std::memcpy(&x, &bits, sizeof x);
    return x;
  }
  static ERGO_INLINE double power(std::int64_t e) {  // 2^e, e in [-1022, 1023]
    return of_bits(std::uint64_t(e + 1023) << 52);
  }
  // Whether x is neither zero, denormal, infinite nor NaN.
  static ERGO_INLINE bool is_normal(double x) {
    return (bits_of(x) << 1) - (std::uint64_t{1} << 53) < std::uint64_t{2046} << 53;
  }

  Scaled() = default;
  Scaled(double m, std::int64_t e) : mantissa(m), exponent(e) {}
  explicit ERGO_INLINE Scaled(double x) : mantissa(x) {
    if (!is_normal(x)) {
      if (x == 0 || x - x != 0) return;
      x *= 0x1p54;
      exponent = -54;
    }
    const std::uint64_t bits = bits_of(x);
    exponent += std::int64_t(bits >> 52 & 2047) - 1023;
    mantissa = of_bits((bits & ~(std::uint64_t{2047} << 52)) | std::uint64_t{1023} << 52);
  }
  // Whether the exponent has no meaning.
  bool is_plain() const { return mantissa == 0 || mantissa - mantissa != 0; }
  // Rounded once.
  ERGO_INLINE double value() const {
    if (exponent >= -1022 && exponent <= 1023) return mantissa * power(exponent);
    if (is_plain()) return mantissa;
    if (exponent > 1023) return mantissa * 0x1p1023 * 2;
    return mantissa * 0x1p-1022 * power(exponent < -1100 ? -78 : exponent + 1022);
  }
  friend ERGO_INLINE Scaled operator*(const Scaled& a, const Scaled& b) {
    const double m = a.mantissa * b.mantissa;  // of magnitude below 4
    const std::int64_t up = (m >= 2 || m <= -2) && m - m == 0;
    return {up ? m * 0.5 : m, a.exponent + b.exponent + up};
  }
  friend ERGO_INLINE Scaled operator+(const Scaled& a, const Scaled& b) {
    if (a.mantissa == 0) return b;
    if (b.mantissa == 0) return a;
    if (a.is_plain() || b.is_plain()) return {a.mantissa + b.mantissa, 0};
    const bool less = a.exponent < b.exponent;
    const Scaled &high = less ? b : a, &low = less ? a : b;
    const std::int64_t apart = high.exponent - low.exponent;
    if (apart > 200) return high;
    Scaled sum(high.mantissa + low.mantissa * power(-apart));
    sum.exponent += high.exponent;
    return sum;
  }
};

}  // namespace ergo::inline ERGO_BUILD::cpu
