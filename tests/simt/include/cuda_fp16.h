// IEEE half as the toolkit's headers have it: __half and, unless CUDA_NO_HALF is defined, half in the global namespace,
// where it makes ergo::half ambiguous after `using namespace ergo`.
#pragma once

#include "cuda_runtime.h"

struct alignas(2) __half_raw {
  unsigned short x;
};
struct alignas(2) __half {
  unsigned short __x;
  __half() = default;
  __half(__half_raw r) : __x(r.x) {}
  __half(float f) : __x(simt::float_to_f16(f)) {}
  operator float() const { return simt::f16_to_float(__x); }
  operator __half_raw() const { return {__x}; }
};
struct alignas(4) __half2 {
  __half x, y;
};
#ifndef CUDA_NO_HALF
typedef __half half;
typedef __half2 half2;
#endif

inline float __half2float(__half h) { return float(h); }
inline __half __float2half(float f) { return f; }
inline __half __float2half_rn(float f) { return f; }
inline __half2 __floats2half2_rn(float a, float b) { return {a, b}; }
inline __half2 __float22half2_rn(float2 v) { return {v.x, v.y}; }
inline float2 __half22float2(__half2 h) { return {float(h.x), float(h.y)}; }
inline unsigned short __half_as_ushort(__half h) { return h.__x; }
inline __half __ushort_as_half(unsigned short x) { return __half_raw{x}; }
