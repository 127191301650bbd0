// One element in device code, where loops on the CPU have packs: the scalar-like type that a Pointwise struct, a
// functor of `map`, or a dual number over it computes with. Arithmetic is IEEE's; integers wrap; elementary functions
// are the device library's accurate ones (CUDA C++ Programming Guide, mathematical functions: at most 2 ulp but for
// float tan, erfc, sinh, pow: 4, and ndtr: 5).
#pragma once

#include <bit>
#include <cmath>
#include <cstdint>
#include <type_traits>

#include "ergo/kernels/common/launch.cuh"

namespace ergo::inline ERGO_BUILD::cuda {

template <class T>
struct Scalar;

// A truth value, what comparing two scalars gives.
template <>
struct Scalar<bool> {
  using value_type = bool;
  bool v;
  Scalar() = default;
  explicit constexpr Scalar(bool x) : v(x) {}
  explicit constexpr operator bool() const { return v; }

  friend constexpr Scalar operator&(Scalar a, Scalar b) { return Scalar(a.v && b.v); }
  friend constexpr Scalar operator|(Scalar a, Scalar b) { return Scalar(a.v || b.v); }
  friend constexpr Scalar operator^(Scalar a, Scalar b) { return Scalar(a.v != b.v); }
  friend constexpr Scalar operator!(Scalar a) { return Scalar(!a.v); }
  friend constexpr Scalar operator==(Scalar a, Scalar b) { return Scalar(a.v == b.v); }
  friend constexpr Scalar operator!=(Scalar a, Scalar b) { return Scalar(a.v != b.v); }
  friend constexpr Scalar operator<(Scalar a, Scalar b) { return Scalar(!a.v && b.v); }
  friend constexpr Scalar operator<=(Scalar a, Scalar b) { return Scalar(!a.v || b.v); }
  friend constexpr Scalar operator>(Scalar a, Scalar b) { return b < a; }
  friend constexpr Scalar operator>=(Scalar a, Scalar b) { return b <= a; }
  friend constexpr Scalar where(Scalar c, Scalar a, Scalar b) { return c.v ? a : b; }
  friend constexpr bool any(Scalar a) { return a.v; }  // of lanes, of which a scalar is one
};

// T: float, double, or an integer.
template <class T>
struct Scalar {
  using value_type = T;
  using Ring = typename std::conditional_t<std::is_integral_v<T>, std::make_unsigned<T>, std::type_identity<T>>::type;
  T v;
  Scalar() = default;
  explicit constexpr Scalar(T x) : v(x) {}
  template <class S>
  requires(std::is_arithmetic_v<S> && !std::is_same_v<S, T>) explicit constexpr Scalar(S x) : v(T(x)) {}
  template <class U>
  constexpr Scalar<U> to() const {
    return Scalar<U>(U(v));
  }
  // The bits as an integer, and as a U of the same size.
  constexpr auto bits() const { return as<std::conditional_t<sizeof(T) == 8, std::int64_t, std::int32_t>>(); }
  template <class U>
  constexpr Scalar<U> as() const {
    return Scalar<U>(std::bit_cast<U>(v));
  }

  friend constexpr Scalar operator+(Scalar a, Scalar b) { return Scalar(T(Ring(Ring(a.v) + Ring(b.v)))); }
  friend constexpr Scalar operator-(Scalar a, Scalar b) { return Scalar(T(Ring(Ring(a.v) - Ring(b.v)))); }
  friend constexpr Scalar operator*(Scalar a, Scalar b) { return Scalar(T(Ring(Ring(a.v) * Ring(b.v)))); }
  friend constexpr Scalar operator-(Scalar a) { return negated(a); }
  friend constexpr Scalar operator/(Scalar a, Scalar b) requires std::is_floating_point_v<T> {
    return Scalar(a.v / b.v);
  }
  friend constexpr Scalar operator&(Scalar a, Scalar b) requires std::is_integral_v<T> { return Scalar(T(a.v & b.v)); }
  constexpr Scalar& operator+=(Scalar b) { return *this = *this + b; }
  constexpr Scalar& operator-=(Scalar b) { return *this = *this - b; }
  constexpr Scalar& operator*=(Scalar b) { return *this = *this * b; }
  constexpr Scalar& operator/=(Scalar b) requires std::is_floating_point_v<T> { return *this = *this / b; }

  friend constexpr Scalar<bool> operator==(Scalar a, Scalar b) { return Scalar<bool>(a.v == b.v); }
  friend constexpr Scalar<bool> operator!=(Scalar a, Scalar b) { return Scalar<bool>(a.v != b.v); }
  friend constexpr Scalar<bool> operator<(Scalar a, Scalar b) { return Scalar<bool>(a.v < b.v); }
  friend constexpr Scalar<bool> operator<=(Scalar a, Scalar b) { return Scalar<bool>(a.v <= b.v); }
  friend constexpr Scalar<bool> operator>(Scalar a, Scalar b) { return Scalar<bool>(a.v > b.v); }
  friend constexpr Scalar<bool> operator>=(Scalar a, Scalar b) { return Scalar<bool>(a.v >= b.v); }
  friend constexpr Scalar where(Scalar<bool> c, Scalar a, Scalar b) { return c.v ? a : b; }

 private:
  static constexpr Scalar negated(Scalar a) {
    if constexpr (std::is_integral_v<T>)
      return Scalar(T(Ring(Ring(0) - Ring(a.v))));
    else
      return Scalar(-a.v);
  }
};

// The elementary functions of scalars; `math` takes them up beside those of packs.
namespace elementary {

template <class T>
constexpr Scalar<T> abs(Scalar<T> x) {
  if constexpr (std::is_floating_point_v<T>)
    return Scalar<T>(x.v < 0 ? -x.v : x.v + T(0));  // of -0: 0
  else
    return x.v < T(0) ? -x : x;
}

#define ERGO_ELEMENTARY(f, of_float, of_double)                                                                 \
  __host__ __device__ __forceinline__ Scalar<float> f(Scalar<float> x) { return Scalar<float>(of_float(x.v)); } \
  __host__ __device__ __forceinline__ Scalar<double> f(Scalar<double> x) { return Scalar<double>(of_double(x.v)); }
ERGO_ELEMENTARY(round, ::rintf, ::rint)
ERGO_ELEMENTARY(trunc, ::truncf, ::trunc)
ERGO_ELEMENTARY(floor, ::floorf, ::floor)
ERGO_ELEMENTARY(ceil, ::ceilf, ::ceil)
ERGO_ELEMENTARY(sqrt, ::sqrtf, ::sqrt)
ERGO_ELEMENTARY(rsqrt, ::rsqrtf, ::rsqrt)
ERGO_ELEMENTARY(exp, ::expf, ::exp)
ERGO_ELEMENTARY(exp2, ::exp2f, ::exp2)
ERGO_ELEMENTARY(expm1, ::expm1f, ::expm1)
ERGO_ELEMENTARY(sinh, ::sinhf, ::sinh)
ERGO_ELEMENTARY(cosh, ::coshf, ::cosh)
ERGO_ELEMENTARY(tanh, ::tanhf, ::tanh)
ERGO_ELEMENTARY(log, ::logf, ::log)
ERGO_ELEMENTARY(log2, ::log2f, ::log2)
ERGO_ELEMENTARY(log10, ::log10f, ::log10)
ERGO_ELEMENTARY(log1p, ::log1pf, ::log1p)
ERGO_ELEMENTARY(cbrt, ::cbrtf, ::cbrt)
ERGO_ELEMENTARY(sin, ::sinf, ::sin)
ERGO_ELEMENTARY(cos, ::cosf, ::cos)
ERGO_ELEMENTARY(tan, ::tanf, ::tan)
ERGO_ELEMENTARY(asin, ::asinf, ::asin)
ERGO_ELEMENTARY(acos, ::acosf, ::acos)
ERGO_ELEMENTARY(atan, ::atanf, ::atan)
ERGO_ELEMENTARY(asinh, ::asinhf, ::asinh)
ERGO_ELEMENTARY(acosh, ::acoshf, ::acosh)
ERGO_ELEMENTARY(atanh, ::atanhf, ::atanh)
ERGO_ELEMENTARY(erf, ::erff, ::erf)
ERGO_ELEMENTARY(erfc, ::erfcf, ::erfc)
ERGO_ELEMENTARY(ndtr, ::normcdff, ::normcdf)
#undef ERGO_ELEMENTARY

#define ERGO_ELEMENTARY(f, of_float, of_double)                                              \
  __host__ __device__ __forceinline__ Scalar<float> f(Scalar<float> x, Scalar<float> y) {    \
    return Scalar<float>(of_float(x.v, y.v));                                                \
  }                                                                                          \
  __host__ __device__ __forceinline__ Scalar<double> f(Scalar<double> x, Scalar<double> y) { \
    return Scalar<double>(of_double(x.v, y.v));                                              \
  }
ERGO_ELEMENTARY(copysign, ::copysignf, ::copysign)
ERGO_ELEMENTARY(fmod, ::fmodf, ::fmod)
ERGO_ELEMENTARY(pow, ::powf, ::pow)
ERGO_ELEMENTARY(atan2, ::atan2f, ::atan2)
#undef ERGO_ELEMENTARY

__host__ __device__ __forceinline__ float fused(float a, float b, float c) { return ::fmaf(a, b, c); }
__host__ __device__ __forceinline__ double fused(double a, double b, double c) { return ::fma(a, b, c); }

// x / (1 + e^-(u + rest)). Half of the exponent twice, so that nothing underflows before the result does.
template <class T>
__host__ __device__ __forceinline__ Scalar<T> logistic_product(T x, T u, T rest) {
  const Scalar<T> below(u < 0 ? u / 2 : -u / 2);
  const T h = exp(below).v * (1 + (u < 0 ? rest : -rest) / 2), w = h * h;
  return Scalar<T>(u < 0 ? x * h * h / (1 + w) : x / (1 + w));
}
template <class T>
__host__ __device__ __forceinline__ Scalar<T> silu(Scalar<T> x) {
  const T t = x.v < T(-1e4) ? T(-1e4) : x.v;  // no infinity times 0
  return logistic_product(t, t, T(0));
}
// x / (1 + e^-u), u = 2 sqrt(2 / pi) (x + 0.044715 x^3) in two parts: the exponential magnifies what rounding loses.
template <class T>
__host__ __device__ __forceinline__ Scalar<T> gelu_tanh(Scalar<T> given) {
  constexpr double kScale = 1.59576912160573071176, kCubic = 0.044715;
  constexpr T scale = T(kScale), scale_rest = T(kScale - double(scale)), cubic = T(kCubic),
              cubic_rest = T(kCubic - double(cubic));
  const T x = given.v < T(-1e3) ? T(-1e3) : given.v > T(1e3) ? T(1e3) : given.v;
  const T square = x * x, square_rest = fused(x, x, -square);
  const T t = cubic * square, t_rest = fused(cubic, square, -t) + cubic * square_rest + cubic_rest * square;
  const T c = 1 + t, b = c - 1, c_rest = (1 - (c - b)) + (t - b) + t_rest;
  const T s = scale * x, s_rest = fused(scale, x, -s) + scale_rest * x;
  const T u = s * c;
  return logistic_product(given.v < T(-1e3) ? x : given.v, u, fused(s, c, -u) + s * c_rest + s_rest * c);
}

}  // namespace elementary
}  // namespace ergo::inline ERGO_BUILD::cuda
