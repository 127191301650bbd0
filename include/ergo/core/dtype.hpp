// The eight scalar types of tensors, and the two 16-bit ones among them: storage formats whose arithmetic is float's.
// Conversions round once, to nearest even; NaN stays NaN, what is too large becomes an infinity (SEMANTICS:
// accumulation).
#pragma once

#include <bit>
#include <cstddef>
#include <cstdint>
#include <string>
#include <type_traits>

#include "ergo/core/config.hpp"

namespace ergo::inline ERGO_BUILD {

// A float of 8 exponent and 7 fraction bits.
struct bfloat16 {
  std::uint16_t bits;
  bfloat16() = default;
  explicit constexpr bfloat16(float x) : bits(round(x)) {}
  explicit constexpr bfloat16(double x);
  template <class I>
  requires std::is_integral_v<I>
  explicit constexpr bfloat16(I x);
  static constexpr bfloat16 from_bits(std::uint16_t b) {
    bfloat16 r(0.0f);
    r.bits = b;
    return r;
  }
  explicit constexpr operator float() const { return std::bit_cast<float>(std::uint32_t(bits) << 16); }
  explicit constexpr operator double() const { return double(float(*this)); }
  friend constexpr bool operator==(bfloat16 a, bfloat16 b) { return float(a) == float(b); }
  friend constexpr bool operator!=(bfloat16 a, bfloat16 b) { return float(a) != float(b); }

 private:
  static constexpr std::uint16_t round(float x) {
    const auto u = std::bit_cast<std::uint32_t>(x);
    if ((u & 0x7fffffffu) > 0x7f800000u) return std::uint16_t((u >> 16) | 0x40u);  // NaN, quiet
    return std::uint16_t((u + 0x7fffu + ((u >> 16) & 1u)) >> 16);
  }
};

// IEEE binary16: 5 exponent and 10 fraction bits.
struct half {
  std::uint16_t bits;
  half() = default;
  explicit constexpr half(float x) : bits(round(x)) {}
  explicit constexpr half(double x);
  template <class I>
  requires std::is_integral_v<I>
  explicit constexpr half(I x) : half(double(x)) {}
  static constexpr half from_bits(std::uint16_t b) {
    half r(0.0f);
    r.bits = b;
    return r;
  }
  explicit constexpr operator float() const {
    const std::uint32_t sign = std::uint32_t(bits & 0x8000u) << 16, body = bits & 0x7fffu;
    if (body >= 0x7c00u) return std::bit_cast<float>(sign | 0x7f800000u | (body & 0x3ffu) << 13);  // infinity, NaN
    if (body >= 0x400u) return std::bit_cast<float>(sign | ((body << 13) + (112u << 23)));         // normal
    const float magnitude = float(body) * 0x1p-24f;                                                // subnormal, zero
    return std::bit_cast<float>(sign | std::bit_cast<std::uint32_t>(magnitude));
  }
  explicit constexpr operator double() const { return double(float(*this)); }
  friend constexpr bool operator==(half a, half b) { return float(a) == float(b); }
  friend constexpr bool operator!=(half a, half b) { return float(a) != float(b); }

 private:
  static constexpr std::uint16_t round(float x) {
    const auto u = std::bit_cast<std::uint32_t>(x);
    const auto sign = std::uint16_t((u >> 16) & 0x8000u);
    const std::uint32_t body = u & 0x7fffffffu;
    if (body > 0x7f800000u) return std::uint16_t(sign | 0x7e00u | (body >> 13 & 0x3ffu));  // NaN, quiet
    if (body >= 0x47800000u) return std::uint16_t(sign | 0x7c00u);                         // 65536 and more
    if (body >= 0x38800000u) {                                                             // normal
      const std::uint32_t r = body + 0xfffu + ((body >> 13) & 1u) - (112u << 23);
      return std::uint16_t(sign | (r >> 13));
    }
    // Subnormal: adding one half rounds at the unit of 2^-24 in the float adder.
    const float aligned = std::bit_cast<float>(body) + 0.5f;
    return std::uint16_t(sign | (std::bit_cast<std::uint32_t>(aligned) - 0x3f000000u));
  }
};

namespace detail {
// double to float, rounded to odd: a second rounding to a type at least two bits shorter is then right.
constexpr float round_to_odd(double x) {
  const auto f = float(x);
  if (double(f) == x || !(x == x) || double(f) - double(f) != 0) return f;
  const auto u = std::bit_cast<std::uint32_t>(f);
  if (u & 1u) return f;
  const bool away = (double(f) < x) == (x > 0);  // the neighbour with an odd last bit that encloses x
  return std::bit_cast<float>(away ? u + 1 : u - 1);
}
// The same from an integer to double.
template <class I>
constexpr double integer_to_odd(I x) {
  if constexpr (sizeof(I) == 8) {
    constexpr I limit = I(1) << 53;
    if (x > limit || (std::is_signed_v<I> && x < I(0) - limit)) return double((x >> 11) | I((x & 0x7ff) != 0)) * 2048;
  }
  return double(x);
}
}  // namespace detail
constexpr bfloat16::bfloat16(double x) : bfloat16(detail::round_to_odd(x)) {}
template <class I>
requires std::is_integral_v<I>
constexpr bfloat16::bfloat16(I x) : bfloat16(detail::integer_to_odd(x)) {}
constexpr half::half(double x) : half(detail::round_to_odd(x)) {}

enum class DType : std::uint8_t { boolean, uint8, int32, int64, half, bfloat16, float32, float64 };

namespace detail {
template <class T>
constexpr int dtype_index() {
  return std::is_same_v<T, bool>           ? 0
         : std::is_same_v<T, std::uint8_t> ? 1
         : std::is_same_v<T, std::int32_t> ? 2
         : std::is_same_v<T, std::int64_t> ? 3
         : std::is_same_v<T, half>         ? 4
         : std::is_same_v<T, bfloat16>     ? 5
         : std::is_same_v<T, float>        ? 6
         : std::is_same_v<T, double>       ? 7
                                           : -1;
}
}  // namespace detail

template <class T>
concept TensorScalar = detail::dtype_index<T>()
>= 0;  // what a Tensor may hold
template <class T>
concept Floating = detail::dtype_index<T>()
>= 4;
template <class T>
concept Index = detail::dtype_index<T>()
>= 1 && detail::dtype_index<T>() <= 3;  // indices, labels

template <TensorScalar T>
inline constexpr DType dtype_of = DType(detail::dtype_index<T>());

constexpr bool is_floating(DType d) { return d >= DType::half; }
constexpr std::int64_t size_of(DType d) {
  constexpr std::int64_t bytes[] = {1, 1, 4, 8, 2, 2, 4, 8};
  return bytes[int(d)];
}
inline std::string to_string(DType d) {
  constexpr const char* names[] = {"bool", "uint8", "int32", "int64", "half", "bfloat16", "float", "double"};
  return names[int(d)];
}

// What arithmetic on T is done in: float for the 16-bit types, T otherwise.
template <class T>
using Compute = std::conditional_t<std::is_same_v<T, half> || std::is_same_v<T, bfloat16>, float, T>;

// A number as T: truncated and saturated to integers (NaN to 0), wrapped between integers, `x != 0` to bool, one
// rounding to floating types (SEMANTICS section 1, cast).
template <TensorScalar T, class From>
constexpr T convert(From x) {
  if constexpr (std::is_same_v<T, From>) {
    return x;
  } else if constexpr (std::is_same_v<From, half> || std::is_same_v<From, bfloat16>) {
    return convert<T>(float(x));
  } else if constexpr (std::is_same_v<T, bool>) {
    return x != From(0);
  } else if constexpr (std::is_integral_v<T> && std::is_floating_point_v<From>) {
    constexpr int digits = int(sizeof(T)) * 8 - (std::is_signed_v<T> ? 1 : 0);
    constexpr From limit = From(std::uint64_t(1) << (digits - 1)) * 2;  // 2^digits
    constexpr T largest = T(std::make_unsigned_t<T>(~std::make_unsigned_t<T>(0)) >> (std::is_signed_v<T> ? 1 : 0));
    constexpr T smallest = std::is_signed_v<T> ? T(-largest - 1) : T(0);
    if (x != x) return T(0);
    if (x >= limit) return largest;
    if (x <= From(smallest)) return smallest;
    return T(x);
  } else if constexpr (std::is_same_v<T, half> || std::is_same_v<T, bfloat16>) {
    return T(x);
  } else {
    return static_cast<T>(x);
  }
}

}  // namespace ergo::inline ERGO_BUILD
