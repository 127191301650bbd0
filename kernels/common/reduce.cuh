// Reductions by the lanes of a warp and the threads of a block. The tree is fixed by the template arguments, so results
// repeat bit for bit; every thread gets the result. `op(a, b)` must be commutative.
#pragma once

#include "ergo/kernels/common/launch.cuh"

namespace ergo::inline ERGO_BUILD::cuda {

struct Add {
  template <class T>
  __device__ __forceinline__ T operator()(T a, T b) const {
    return a + b;
  }
};
// A NaN wins, unlike max and fmax.
struct Larger {
  template <class T>
  __device__ __forceinline__ T operator()(T a, T b) const {
    return a > b || a != a ? a : b;
  }
};

// Over the W neighbours (a power of two of at most 32) that lanes form; all lanes of the warp take part.
template <int W = 32, class T, class Op>
__device__ __forceinline__ T warp_reduce(T v, Op op) {
#pragma unroll
  for (int offset = W / 2; offset > 0; offset /= 2) v = op(v, __shfl_xor_sync(kFullMask, v, offset));
  return v;
}
template <int W = 32, class T>
__device__ __forceinline__ T warp_sum(T v) {
  return warp_reduce<W>(v, Add{});
}
template <int W = 32, class T>
__device__ __forceinline__ T warp_max(T v) {
  return warp_reduce<W>(v, Larger{});
}

// Over the block's Block threads (a multiple of 32). May be called again at once: the first barrier protects those who
// still read the last result.
template <int Block, class T, class Op>
__device__ __forceinline__ T block_reduce(T v, Op op) {
  static_assert(Block % 32 == 0 && Block <= 1024);
  v = warp_reduce(v, op);
  if constexpr (Block > 32) {
    __shared__ T part[Block / 32];
    __syncthreads();
    if (threadIdx.x % 32 == 0) part[threadIdx.x / 32] = v;
    __syncthreads();
    v = part[0];
#pragma unroll
    for (int w = 1; w < Block / 32; ++w) v = op(v, part[w]);
  }
  return v;
}
template <int Block, class T>
__device__ __forceinline__ T block_sum(T v) {
  return block_reduce<Block>(v, Add{});
}
template <int Block, class T>
__device__ __forceinline__ T block_max(T v) {
  return block_reduce<Block>(v, Larger{});
}

}  // namespace ergo::inline ERGO_BUILD::cuda
