// Instructions that C++ cannot express: one wrapper each, PTX under nvcc, the emulation elsewhere. This file and
// `dynamic_smem` hold the only #if of kernels/.
#pragma once

#include <type_traits>

#include "ergo/core/dtype.hpp"
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

// An asynchronous copy of 16 bytes from global to shared memory, both aligned to 16; zeros if not in range, the source
// must then still be an address that is valid. Commit closes a group of a thread's copies; wait returns when all but
// the Left youngest groups have arrived, for this thread.
__device__ __forceinline__ void cp_async16(void* shared, const void* global, bool in_range) {
#if defined(__CUDACC__)
  const auto to = static_cast<unsigned>(__cvta_generic_to_shared(shared));
  const int bytes = in_range ? 16 : 0;
  asm volatile("cp.async.cg.shared.global [%0], [%1], 16, %2;" ::"r"(to), "l"(global), "r"(bytes) : "memory");
#else
  simt::cp_async(shared, global, 16, in_range ? 16 : 0);
#endif
}
__device__ __forceinline__ void cp_async_commit() {
#if defined(__CUDACC__)
  asm volatile("cp.async.commit_group;" ::: "memory");
#else
  simt::cp_async_commit();
#endif
}
template <int Left>
__device__ __forceinline__ void cp_async_wait() {
#if defined(__CUDACC__)
  asm volatile("cp.async.wait_group %0;" ::"n"(Left) : "memory");
#else
  simt::cp_async_wait(Left);
#endif
}

// Four 8 x 8 matrices of 16-bit elements from shared memory into a warp's fragments; lanes 8 i to 8 i + 7 give the
// addresses of the rows of matrix i, aligned to 16 bytes. Transposed: of its columns.
template <bool Transposed>
__device__ __forceinline__ void ldmatrix_x4(unsigned (&r)[4], const void* row) {
#if defined(__CUDACC__)
  const auto from = static_cast<unsigned>(__cvta_generic_to_shared(row));
  if constexpr (Transposed)
    asm volatile("ldmatrix.sync.aligned.m8n8.x4.trans.shared.b16 {%0,%1,%2,%3}, [%4];"
                 : "=r"(r[0]), "=r"(r[1]), "=r"(r[2]), "=r"(r[3])
                 : "r"(from)
                 : "memory");
  else
    asm volatile("ldmatrix.sync.aligned.m8n8.x4.shared.b16 {%0,%1,%2,%3}, [%4];"
                 : "=r"(r[0]), "=r"(r[1]), "=r"(r[2]), "=r"(r[3])
                 : "r"(from)
                 : "memory");
#else
  simt::ldmatrix<4, Transposed>(r, row);
#endif
}

// d (16 x 8, float) += a (16 x 16, by rows) b (16 x 8, by columns) of a warp, on tensor cores; two elements a register.
template <class T>
__device__ __forceinline__ void mma_m16n8k16(float (&d)[4], const unsigned (&a)[4], const unsigned (&b)[2]) {
  constexpr bool kHalf = std::is_same_v<T, half>;
  static_assert(kHalf || std::is_same_v<T, bfloat16>);
#if defined(__CUDACC__)
  if constexpr (kHalf)
    asm volatile(
        "mma.sync.aligned.m16n8k16.row.col.f32.f16.f16.f32 {%0,%1,%2,%3}, {%4,%5,%6,%7}, {%8,%9}, {%0,%1,%2,%3};"
        : "+f"(d[0]), "+f"(d[1]), "+f"(d[2]), "+f"(d[3])
        : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b[0]), "r"(b[1]));
  else
    asm volatile(
        "mma.sync.aligned.m16n8k16.row.col.f32.bf16.bf16.f32 {%0,%1,%2,%3}, {%4,%5,%6,%7}, {%8,%9}, {%0,%1,%2,%3};"
        : "+f"(d[0]), "+f"(d[1]), "+f"(d[2]), "+f"(d[3])
        : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b[0]), "r"(b[1]));
#else
  if constexpr (kHalf)
    simt::mma_m16n8k16<simt::f16_to_float>(d, a, b);
  else
    simt::mma_m16n8k16<simt::bf16_to_float>(d, a, b);
#endif
}

}  // namespace ergo::inline ERGO_BUILD::cuda::ptx
