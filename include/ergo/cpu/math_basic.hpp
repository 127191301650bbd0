// Pointwise functions of packs that are exact or one instruction: sign and rounding, square root, remainder. All are as
// C defines them: NaN in, NaN out, and the sign of zero kept.
#pragma once

#include "ergo/cpu/pack.hpp"

namespace ergo::inline ERGO_BUILD::cpu {

template <class T, int W>
Pack<T, W> abs(const Pack<T, W>& x);  // of floats clears the sign, of integers wraps
template <class T, int W>
Pack<T, W> copysign(const Pack<T, W>& magnitude, const Pack<T, W>& sign);

template <class T, int W>
Pack<T, W> round(const Pack<T, W>& x);  // half to even
template <class T, int W>
Pack<T, W> trunc(const Pack<T, W>& x);
template <class T, int W>
Pack<T, W> floor(const Pack<T, W>& x);
template <class T, int W>
Pack<T, W> ceil(const Pack<T, W>& x);

template <class T, int W>
Pack<T, W> sqrt(const Pack<T, W>& x);
template <class T, int W>
Pack<T, W> rsqrt(const Pack<T, W>& x);  // 1 / sqrt(x), two roundings
template <class T, int W>
Pack<T, W> fmod(const Pack<T, W>& x, const Pack<T, W>& y);  // with the sign of x

namespace detail {

template <class T>
inline constexpr T kInfinity = T(__builtin_inf());
template <class T>
inline constexpr T kNaN = T(__builtin_nan(""));

// The layout of T, and the numbers that come with it.
template <class T>
struct FloatBits;
template <>
struct FloatBits<float> {
  static constexpr int kFraction = 23, kBias = 127;
  static constexpr std::int32_t kSign = -0x7fffffff - 1, kFractionMask = 0x7fffff;
  static constexpr float kInteger = 0x1p23f;  // from here on every value is an integer
  static constexpr float kMagic = 0x1.8p23f;  // added and subtracted, it rounds; the sum's low bits are the integer
  static constexpr float kMinNormal = 0x1p-126f;
};
template <>
struct FloatBits<double> {
  static constexpr int kFraction = 52, kBias = 1023;
  static constexpr std::int64_t kSign = -0x7fffffffffffffff - 1, kFractionMask = 0xfffffffffffff;
  static constexpr double kInteger = 0x1p52;
  static constexpr double kMagic = 0x1.8p52;
  static constexpr double kMinNormal = 0x1p-1022;
};

template <class T, int W>
ERGO_INLINE Pack<T, W> or_bits(const Pack<T, W>& a, const Pack<T, W>& b) {
  return (a.bits() | b.bits()).template as<T>();
}
template <class T, int W>
ERGO_INLINE Pack<T, W> sign_bit(const Pack<T, W>& x) {
  return (x.bits() & Pack<SignedOf<T>, W>(FloatBits<T>::kSign)).template as<T>();
}
// x with its sign flipped where `sign` has its sign bit set and no other.
template <class T, int W>
ERGO_INLINE Pack<T, W> xor_bits(const Pack<T, W>& x, const Pack<T, W>& sign) {
  return (x.bits() ^ sign.bits()).template as<T>();
}

// |x| rounded to an integer, half to even, where |x| is small enough to have a fraction.
template <class T, int W>
ERGO_INLINE Pack<T, W> round_magnitude(const Pack<T, W>& magnitude) {
  const Pack<T, W> integer(FloatBits<T>::kInteger);
  return where(magnitude < integer, (magnitude + integer) - integer, magnitude);
}

// c[0] + c[1] x + c[2] x^2 + ...
template <int N, class T, int W, int... K>
ERGO_INLINE Pack<T, W> polynomial(const Pack<T, W>& x, const T (&c)[N], std::integer_sequence<int, K...>) {
  Pack<T, W> r(c[N - 1]);
  ((r = fma(r, x, Pack<T, W>(c[N - 2 - K]))), ...);
  return r;
}
template <int N, class T, int W>
ERGO_INLINE Pack<T, W> polynomial(const Pack<T, W>& x, const T (&c)[N]) {
  return polynomial(x, c, std::make_integer_sequence<int, N - 1>{});
}

// f, which is written for doubles, of the lanes of x: for what float cannot hold on the way.
template <int W, class F>
ERGO_INLINE Pack<float, W> in_double(const Pack<float, W>& x, F f) {
  if constexpr (W == 1) {
    return f(x.template to<double>()).template to<float>();
  } else {
    return join(f(low(x).template to<double>()).template to<float>(),
                f(high(x).template to<double>()).template to<float>());
  }
}

// Instructions on 32 bytes, out of reach of functions without a target attribute: these have one, a loop that is
// compiled for AVX2 or more takes them in, and a functor on its way that was not inlined calls them.
#if defined(__x86_64__)
inline constexpr std::size_t kWide = 32;
struct SqrtWide {
  static __attribute__((target("avx"))) void apply(const Pack<float, 8>& x, Pack<float, 8>& y) {
    y.v = __builtin_ia32_sqrtps256(x.v);
  }
  static __attribute__((target("avx"))) void apply(const Pack<double, 4>& x, Pack<double, 4>& y) {
    y.v = __builtin_ia32_sqrtpd256(x.v);
  }
};
template <int Mode>  // 0 to nearest even, 1 down, 2 up, 3 towards zero
struct RoundWide {
  static __attribute__((target("avx"))) void apply(const Pack<float, 8>& x, Pack<float, 8>& y) {
    y.v = __builtin_ia32_roundps256(x.v, Mode | 8);
  }
  static __attribute__((target("avx"))) void apply(const Pack<double, 4>& x, Pack<double, 4>& y) {
    y.v = __builtin_ia32_roundpd256(x.v, Mode | 8);
  }
};
template <class F, class T, int W>
ERGO_INLINE Pack<T, W> wide(const Pack<T, W>& x) {
  if constexpr (sizeof(x.v) > kWide) {
    return join(wide<F>(low(x)), wide<F>(high(x)));
  } else {
    Pack<T, W> y;
    F::apply(x, y);
    return y;
  }
}
#else
inline constexpr std::size_t kWide = 1024;  // no pack is
template <int>
struct RoundWide;
template <class F, class T, int W>
Pack<T, W> wide(const Pack<T, W>& x);
#endif

}  // namespace detail

template <class T, int W>
ERGO_INLINE Pack<T, W> abs(const Pack<T, W>& x) {
  if constexpr (std::is_floating_point_v<T>) {
    using I = detail::SignedOf<T>;
    return (x.bits() & Pack<I, W>(I(~detail::FloatBits<T>::kSign))).template as<T>();
  } else if constexpr (std::is_signed_v<T>) {
    return where(x < Pack<T, W>{}, -x, x);
  } else {
    return x;
  }
}

template <class T, int W>
ERGO_INLINE Pack<T, W> copysign(const Pack<T, W>& magnitude, const Pack<T, W>& sign) {
  return detail::or_bits(abs(magnitude), detail::sign_bit(sign));
}

template <class T, int W>
ERGO_INLINE Pack<T, W> round(const Pack<T, W>& x) {
  if constexpr (sizeof(x.v) >= detail::kWide) {
    return detail::wide<detail::RoundWide<0>>(x);
  } else {
    return detail::or_bits(detail::round_magnitude(abs(x)), detail::sign_bit(x));
  }
}
template <class T, int W>
ERGO_INLINE Pack<T, W> trunc(const Pack<T, W>& x) {
  if constexpr (sizeof(x.v) >= detail::kWide) {
    return detail::wide<detail::RoundWide<3>>(x);
  } else {
    const Pack<T, W> a = abs(x), r = detail::round_magnitude(a);
    return detail::or_bits(where(a < r, r - Pack<T, W>(1), r), detail::sign_bit(x));
  }
}
template <class T, int W>
ERGO_INLINE Pack<T, W> floor(const Pack<T, W>& x) {
  if constexpr (sizeof(x.v) >= detail::kWide) {
    return detail::wide<detail::RoundWide<1>>(x);
  } else {
    const Pack<T, W> r = round(x);
    return copysign(where(x < r, r - Pack<T, W>(1), r), x);
  }
}
template <class T, int W>
ERGO_INLINE Pack<T, W> ceil(const Pack<T, W>& x) {
  if constexpr (sizeof(x.v) >= detail::kWide) {
    return detail::wide<detail::RoundWide<2>>(x);
  } else {
    const Pack<T, W> r = round(x);
    return copysign(where(r < x, r + Pack<T, W>(1), r), x);
  }
}

// The instruction: `__builtin_sqrt` would test for errno.
template <class T, int W>
ERGO_INLINE Pack<T, W> sqrt(const Pack<T, W>& x) {
#if defined(__x86_64__)
  if constexpr (sizeof(x.v) >= detail::kWide) {
    return detail::wide<detail::SqrtWide>(x);
  } else if constexpr (sizeof(x.v) < 16) {
    return low(sqrt(join(x, x)));
  } else {
    Pack<T, W> r;
    if constexpr (std::is_same_v<T, float>) {
      r.v = __builtin_ia32_sqrtps(x.v);
    } else {
      r.v = __builtin_ia32_sqrtpd(x.v);
    }
    return r;
  }
#else
  return x.each([](T a) { return T(__builtin_sqrt(a)); });
#endif
}

template <class T, int W>
ERGO_INLINE Pack<T, W> rsqrt(const Pack<T, W>& x) {
  return Pack<T, W>(1) / sqrt(x);
}

template <class T, int W>
ERGO_INLINE Pack<T, W> fmod(const Pack<T, W>& x, const Pack<T, W>& y) {
  if constexpr (std::is_same_v<T, float>) {
    return x.each([](float a, float b) { return __builtin_fmodf(a, b); }, y);
  } else {
    return x.each([](double a, double b) { return __builtin_fmod(a, b); }, y);
  }
}

}  // namespace ergo::inline ERGO_BUILD::cpu
