// What translated PTX computes with: PTX's arithmetic where C++ has none or leaves it open (PTX ISA, "Instruction
// Set"). Included by the translation alone, which names everything here unqualified.
#pragma once

#include <bit>
#include <cmath>
#include <concepts>
#include <cstdint>
#include <limits>
#include <type_traits>
#include <utility>

#include "cuda_runtime.h"
#include "translation.hpp"

namespace simt::ptx {

using u8 = std::uint8_t;
using u16 = std::uint16_t;
using u32 = std::uint32_t;
using u64 = std::uint64_t;
using s8 = std::int8_t;
using s16 = std::int16_t;
using s32 = std::int32_t;
using s64 = std::int64_t;
using f32 = float;
using f64 = double;

[[noreturn]] void misaligned(u64 address, unsigned bytes);

// N values of T in memory. An address that is not a multiple of them all faults on a GPU.
template <class T, unsigned N = 1>
inline T* at(u64 address) {
  if constexpr (sizeof(T) * N > 1) {
    if (address % (sizeof(T) * N)) [[unlikely]]
      misaligned(address, sizeof(T) * N);
  }
  return reinterpret_cast<T*>(address);
}

// What a register holds before its first assignment.
inline constexpr f32 kUndefined32 = std::numeric_limits<f32>::quiet_NaN();
inline constexpr f64 kUndefined64 = std::numeric_limits<f64>::quiet_NaN();

// Integers.
template <class T>
T multiply_high(T a, T b) {
  __extension__ using Signed = __int128;
  __extension__ using Unsigned = unsigned __int128;
  using Wide = std::conditional_t<std::is_signed_v<T>, Signed, Unsigned>;
  return static_cast<T>(static_cast<Wide>(a) * static_cast<Wide>(b) >> (sizeof(T) * 8));
}
template <class T>
T low24(T a) {
  return static_cast<T>(static_cast<T>(static_cast<u32>(a) << 8) >> 8);
}
// Division by zero gives all ones on a GPU, and the remainder the dividend; neither is promised.
template <class T>
T quotient(T a, T b) {
  if (b == 0) return static_cast<T>(-1);
  if constexpr (std::is_signed_v<T>) {
    if (b == -1) return static_cast<T>(0 - static_cast<std::make_unsigned_t<T>>(a));
  }
  return static_cast<T>(a / b);
}
template <class T>
T remainder(T a, T b) {
  if (b == 0) return a;
  if constexpr (std::is_signed_v<T>) {
    if (b == -1) return 0;
  }
  return static_cast<T>(a % b);
}

// Bits.
inline u32 funnel_left(u32 low, u32 high, u32 n) { return static_cast<u32>((u64{high} << 32 | low) << n >> 32); }
inline u32 funnel_right(u32 low, u32 high, u32 n) { return static_cast<u32>((u64{high} << 32 | low) >> n); }
// The place of the highest bit that differs from the sign; all ones if there is none.
template <class T>
u32 leading_bit(T a) {
  using U = std::make_unsigned_t<T>;
  const auto u = static_cast<U>(a < 0 ? ~a : a);
  return u ? static_cast<u32>(std::numeric_limits<U>::digits - 1 - std::countl_zero(u)) : ~0u;
}
template <class T>
u32 leading_bit_shift(T a) {
  const u32 place = leading_bit(a);
  return place == ~0u ? place : static_cast<u32>(sizeof(T) * 8) - 1 - place;
}
// Bits past the end repeat the sign, which is that of the field, or of a where the field reaches beyond it.
template <class T>
T extract_bits(T a, u32 place, u32 length) {
  constexpr u32 kBits = sizeof(T) * 8;
  if (length == 0) return 0;
  const u32 last = place + length - 1 < kBits ? place + length - 1 : kBits - 1;
  const bool negative = std::is_signed_v<T> && (a >> last & 1);
  std::make_unsigned_t<T> field = 0;
  for (u32 i = 0; i < kBits; ++i) {
    const u32 from = place + i;
    const bool bit = i < length && from < kBits ? (a >> from & 1) != 0 : negative;
    field |= static_cast<std::make_unsigned_t<T>>(bit) << i;
  }
  return static_cast<T>(field);
}
template <class T>
T insert_bits(T a, T b, u32 place, u32 length) {
  constexpr u32 kBits = sizeof(T) * 8;
  if (length == 0 || place >= kBits) return b;
  const T field = length >= kBits ? ~T{0} : (T{1} << length) - 1;
  return (b & ~(field << place)) | (a & field) << place;
}
// A nibble of `order` names a byte of the pair (b, a), or with its highest bit that byte's sign eight times.
inline u32 permute_bytes(u32 a, u32 b, u32 order) {
  const u64 bytes = u64{b} << 32 | a;
  u32 result = 0;
  for (u32 i = 0; i < 4; ++i) {
    const u32 nibble = order >> 4 * i & 15;
    const auto byte = static_cast<u8>(bytes >> 8 * (nibble & 7));
    result |= u32{nibble & 8 ? static_cast<u8>(byte & 0x80 ? 0xff : 0) : byte} << 8 * i;
  }
  return result;
}
inline u32 logic3(u32 a, u32 b, u32 c, u32 truth) {
  u32 result = 0;
  for (u32 i = 0; i < 8; ++i) {
    if (truth >> i & 1) result |= (i & 4 ? a : ~a) & (i & 2 ? b : ~b) & (i & 1 ? c : ~c);
  }
  return result;
}

// Floating point.
template <std::floating_point T>
T flush(T x) {
  return std::fpclassify(x) == FP_SUBNORMAL ? std::copysign(T{0}, x) : x;
}
inline f64 high_word(f64 x) { return std::bit_cast<f64>(std::bit_cast<u64>(x) & ~u64{0xffffffff}); }
enum class Towards { rz, rm, rp };
// a b + c, rounded to zero, down or up. The error of the nearest is known: a b is exact in double, and so is the error
// of its sum with c.
template <Towards way>
f32 directed(f32 a, f32 b, f32 c) {
  const f32 nearest = std::fma(a, b, c);
  if (!std::isfinite(a) || !std::isfinite(b) || !std::isfinite(c)) return nearest;
  const f64 product = f64{a} * f64{b}, wide = f64{c}, sum = product + wide, part = sum - product;
  const f64 rest = (product - (sum - part)) + (wide - part);
  const f64 beyond = std::isinf(nearest) ? static_cast<f64>(nearest) : f64{nearest} - sum;
  const bool above = beyond > rest, below = beyond < rest;
  const bool down = way == Towards::rm || (way == Towards::rz && sum > 0);
  const bool up = way == Towards::rp || (way == Towards::rz && sum < 0);
  if (above && down) return std::nextafter(nearest, -std::numeric_limits<f32>::infinity());
  if (below && up) return std::nextafter(nearest, std::numeric_limits<f32>::infinity());
  if (way == Towards::rm && sum == 0 && rest == 0 && (std::signbit(f32(product)) || std::signbit(c))) return -0.0f;
  return nearest;
}
template <Towards way>
f32 directed_product(f32 a, f32 b) {
  return directed<way>(a, b, std::signbit(a) == std::signbit(b) ? 0.0f : -0.0f);
}
// A divisor beyond 2^126 gives 0, or NaN for infinity over it.
inline f32 divide_approximately(f32 a, f32 b) {
  const f32 size = std::fabs(b);
  return size > 0x1p126f && std::isfinite(size) ? a * std::copysign(0.0f, b) : a / b;
}
// Of a NaN and a number the number, or with NaN the NaN; -0 is less than +0.
template <bool NaN, class T>
T least(T a, T b) {
  if (a != a || b != b) return NaN ? std::numeric_limits<T>::quiet_NaN() : a != a ? b : a;
  return a < b || (a == b && std::signbit(a)) ? a : b;
}
template <bool NaN, class T>
T largest(T a, T b) {
  if (a != a || b != b) return NaN ? std::numeric_limits<T>::quiet_NaN() : a != a ? b : a;
  return a > b || (a == b && !std::signbit(a)) ? a : b;
}

// Conversions.
template <class T>
T round_rni(T x) {
  return std::nearbyint(x);
}
template <class T>
T round_rzi(T x) {
  return std::trunc(x);
}
template <class T>
T round_rmi(T x) {
  return std::floor(x);
}
template <class T>
T round_rpi(T x) {
  return std::ceil(x);
}
// Clamps. A NaN gives 0, but where float is 64 bits wide or the integer is, its highest bit alone.
template <class To, class From>
To to_integer(From x) {
  constexpr To kLow = std::numeric_limits<To>::min(), kHigh = std::numeric_limits<To>::max();
  if (x != x) {
    using U = std::make_unsigned_t<To>;
    const bool wide = sizeof(From) == 8 || sizeof(To) == 8;
    return wide ? static_cast<To>(U{1} << (sizeof(To) * 8 - 1)) : To{0};
  }
  if (x >= static_cast<From>(kHigh)) return kHigh;
  return x <= static_cast<From>(kLow) ? kLow : static_cast<To>(x);
}
template <class To, class From>
To saturate(From x) {
  if (std::cmp_greater(x, std::numeric_limits<To>::max())) return std::numeric_limits<To>::max();
  return std::cmp_less(x, std::numeric_limits<To>::min()) ? std::numeric_limits<To>::min() : static_cast<To>(x);
}
inline f32 saturate_float(f32 x) { return x > 0 ? (x < 1 ? x : 1.0f) : 0.0f; }

}  // namespace simt::ptx
