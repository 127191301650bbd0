// Cooperative groups of a block: the block, and its tiles of 1 to 32 lanes. No grid groups, no clusters.
#pragma once

#include "cuda_runtime.h"

namespace cooperative_groups {

struct thread_block {
  static void sync(SIMT_AT) { __syncthreads(at); }
  static unsigned thread_rank() { return simt::thread_rank(); }
  static unsigned size() { return blockDim.x * blockDim.y * blockDim.z; }
  static unsigned num_threads() { return size(); }
  static dim3 group_index() { return blockIdx; }
  static dim3 thread_index() { return threadIdx; }
  static dim3 group_dim() { return blockDim; }
};
inline thread_block this_thread_block() { return {}; }
inline void sync(const thread_block&, SIMT_AT) { __syncthreads(at); }

template <unsigned N>
struct thread_block_tile {
  static_assert(N >= 1 && N <= 32 && (N & (N - 1)) == 0, "a tile has 1, 2, 4, 8, 16 or 32 lanes");

  static unsigned thread_rank() { return simt::lane() % N; }
  static constexpr unsigned size() { return N; }
  static constexpr unsigned num_threads() { return N; }
  static unsigned meta_group_rank() { return simt::thread_rank() / N; }
  static unsigned meta_group_size() { return thread_block::size() / N; }

  static void sync(SIMT_AT) { __syncwarp(mask(), at); }
  template <class T>
  static T shfl(T v, unsigned source, SIMT_AT) {
    return __shfl_sync(mask(), v, static_cast<int>(source), N, at);
  }
  template <class T>
  static T shfl_xor(T v, unsigned lanes, SIMT_AT) {
    return __shfl_xor_sync(mask(), v, static_cast<int>(lanes), N, at);
  }
  template <class T>
  static T shfl_up(T v, unsigned delta, SIMT_AT) {
    return __shfl_up_sync(mask(), v, delta, N, at);
  }
  template <class T>
  static T shfl_down(T v, unsigned delta, SIMT_AT) {
    return __shfl_down_sync(mask(), v, delta, N, at);
  }
  static unsigned ballot(int p, SIMT_AT) { return __ballot_sync(mask(), p, at) >> shift(); }
  static int any(int p, SIMT_AT) { return __any_sync(mask(), p, at); }
  static int all(int p, SIMT_AT) { return __all_sync(mask(), p, at); }
  template <class T>
  static unsigned match_any(T v, SIMT_AT) {
    return __match_any_sync(mask(), v, at) >> shift();
  }

 private:
  static unsigned shift() { return simt::lane() / N * N; }
  static unsigned mask() { return static_cast<unsigned>((1ull << N) - 1) << shift(); }
};
template <unsigned N, class Parent>
thread_block_tile<N> tiled_partition(const Parent&) {
  return {};
}

template <class T>
struct plus {
  T operator()(T a, T b) const { return a + b; }
};
template <class T>
struct less {  // the lesser, as the toolkit's
  T operator()(T a, T b) const { return b < a ? b : a; }
};
template <class T>
struct greater {
  T operator()(T a, T b) const { return a < b ? b : a; }
};
template <unsigned N, class T, class Op>
T reduce(const thread_block_tile<N>& tile, T v, Op op) {
  for (unsigned lanes = N / 2; lanes > 0; lanes /= 2) v = op(v, tile.shfl_xor(v, lanes));
  return v;
}

}  // namespace cooperative_groups
