// Places of flagged elements in order: ranks of flags within tiles, which kernels that compact rows share, and words
// set to zero before atomics count in them.
#pragma once

#include "ergo/kernels/common/launch.cuh"

namespace ergo::inline ERGO_BUILD::cuda {

inline constexpr int kFlagBlock = 256, kFlagItems = 16, kFlagTile = kFlagBlock * kFlagItems;

// The tile's element that item k of this thread is: a warp has consecutive ones, 32 at a time.
__device__ __forceinline__ int flag_element(int k) {
  return int(threadIdx.x / 32 * 32) * kFlagItems + int(threadIdx.x % 32) + k * 32;
}
// How many of the tile's flags stand before each of this thread's; gives how many there are in all. Begins with a
// barrier.
__device__ __forceinline__ unsigned rank_flags(const bool (&flag)[kFlagItems], unsigned (&rank)[kFlagItems]) {
  constexpr unsigned kWarps = kFlagBlock / 32;
  __shared__ unsigned flags_of_warp[kWarps];
  const unsigned lane = threadIdx.x % 32, warp = threadIdx.x / 32;
  unsigned own = 0;
#pragma unroll
  for (int k = 0; k < kFlagItems; ++k) {
    const unsigned set = __ballot_sync(kFullMask, flag[k]);
    rank[k] = own + unsigned(__popc(set & ((1u << lane) - 1)));
    own += unsigned(__popc(set));
  }
  __syncthreads();
  if (lane == 0) flags_of_warp[warp] = own;
  __syncthreads();
  unsigned before = 0, all = 0;
  for (unsigned w = 0; w < kWarps; ++w) {
    if (w < warp) before += flags_of_warp[w];
    all += flags_of_warp[w];
  }
#pragma unroll
  for (int k = 0; k < kFlagItems; ++k) rank[k] += before;
  return all;
}

template <int Block, class Word>
__global__ void __launch_bounds__(Block) clear_words_kernel(Word* words, std::int64_t n) {
  const std::int64_t i = std::int64_t(blockIdx.x) * Block + threadIdx.x;
  if (i < n) words[i] = Word{};
}
template <class Word>
void launch_clear_words(Stream& stream, const char* name, Word* words, std::int64_t n) {
  if (n > 0) launch(stream, name, {dim3(blocks_for(n, 256)), dim3(256)}, clear_words_kernel<256, Word>, words, n);
}

}  // namespace ergo::inline ERGO_BUILD::cuda
