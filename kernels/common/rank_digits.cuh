// The heart of a stable radix sort: ranks of a tile's elements by one digit.
#pragma once

#include "ergo/kernels/common/launch.cuh"

namespace ergo::inline ERGO_BUILD::cuda {

// Ranks a tile of Block * Items elements stably by their digits below 256. Element k of a thread is the tile's number
// warp * 32 * Items + k * 32 + lane. counts (Block / 32, 256) is shared memory, and so is start (256), the number of
// elements of lower digits. Begins with a barrier; `start` may be read at once.
template <int Block, int Items>
__device__ __forceinline__ void rank_digits(const unsigned (&digit)[Items], unsigned* counts, unsigned* start,
                                            unsigned (&rank)[Items]) {
  constexpr int kWarps = Block / 32, kPerThread = 256 / Block;
  static_assert(Block % 32 == 0 && 256 % Block == 0);
  __shared__ unsigned of_warp[kWarps];
  const unsigned lane = threadIdx.x % 32, warp = threadIdx.x / 32;
  unsigned* const own = counts + warp * 256;
  __syncthreads();
  for (unsigned d = lane; d < 256; d += 32) own[d] = 0;
  __syncwarp();
#pragma unroll
  for (int k = 0; k < Items; ++k) {
    const unsigned peers = __match_any_sync(kFullMask, digit[k]);
    const unsigned before = own[digit[k]];
    rank[k] = before + unsigned(__popc(peers & ((1u << lane) - 1)));
    __syncwarp();
    if ((peers >> lane) == 1) own[digit[k]] = before + unsigned(__popc(peers));  // the last of equals
    __syncwarp();
  }
  __syncthreads();
  // Each thread has consecutive digits: sums over warps, then over the digits before.
  unsigned total[kPerThread], sum = 0;
#pragma unroll
  for (int p = 0; p < kPerThread; ++p) {
    const unsigned d = threadIdx.x * kPerThread + unsigned(p);
    unsigned run = 0;
    for (int w = 0; w < kWarps; ++w) {
      const unsigned c = counts[w * 256 + int(d)];
      counts[w * 256 + int(d)] = run;
      run += c;
    }
    total[p] = run;
    sum += run;
  }
  unsigned scan = sum;
#pragma unroll
  for (unsigned offset = 1; offset < 32; offset *= 2) {
    const unsigned other = __shfl_up_sync(kFullMask, scan, offset);
    if (lane >= offset) scan += other;
  }
  if (lane == 31) of_warp[warp] = scan;
  __syncthreads();
  unsigned before = scan - sum;
  for (unsigned w = 0; w < warp; ++w) before += of_warp[w];
#pragma unroll
  for (int p = 0; p < kPerThread; ++p) {
    start[threadIdx.x * kPerThread + unsigned(p)] = before;
    before += total[p];
  }
  __syncthreads();
#pragma unroll
  for (int k = 0; k < Items; ++k) rank[k] += start[digit[k]] + own[digit[k]];
}

}  // namespace ergo::inline ERGO_BUILD::cuda
