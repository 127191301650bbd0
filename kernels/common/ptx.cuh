// Instructions that C++ cannot express: one wrapper each, PTX under nvcc, the emulation elsewhere. This file and
// `dynamic_smem` hold the only #if of kernels/.
#pragma once

#include "ergo/kernels/common/launch.cuh"

namespace ergo::inline ERGO_BUILD::cuda::ptx {

// Conversions of the 16-bit types by their bits, rounded to nearest even (the portable rounding costs about eight
// instructions).
__device__ __forceinline__ std::uint16_t float_to_bfloat16(float x) {
#if defined(__CUDACC__)
  std::uint16_t r;
  asm("cvt.rn.bf16.f32 %0, %1;" : "=h"(r) : "f"(x));
  return r;
#else
  return simt::float_to_bf16(x);
#endif
}
__device__ __forceinline__ std::uint16_t float_to_half(float x) {
#if defined(__CUDACC__)
  std::uint16_t r;
  asm("cvt.rn.f16.f32 %0, %1;" : "=h"(r) : "f"(x));
  return r;
#else
  return simt::float_to_f16(x);
#endif
}
__device__ __forceinline__ float half_to_float(std::uint16_t x) {
#if defined(__CUDACC__)
  float r;
  asm("cvt.f32.f16 %0, %1;" : "=f"(r) : "h"(x));
  return r;
#else
  return simt::f16_to_float(x);
#endif
}

}  // namespace ergo::inline ERGO_BUILD::cuda::ptx
