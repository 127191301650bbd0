// What keeps only some elements of x (n): places of nonzero elements, and distinct elements of a sorted row.
//
//   flags     tiles of 4096 count what is wanted, a scan over tiles gives the total, which the host reads, for the size
//             of the result is known by the data alone;
//   places    each tile ranks its flags and stores them behind those of the tiles before: in order of place.
//
// Distinct elements are the heads of runs of equal keys in the stable order of sort.cuh. Counts are integers and ranks
// fixed by places, so no order of threads shows. Exact.
#pragma once

#include "ergo/kernels/common/flags.cuh"
#include "ergo/kernels/sort.cuh"

namespace ergo::inline ERGO_BUILD::cuda {

// Elements other than 0; NaN is one, -0 is not.
template <class T>
struct NonzeroFlags {
  const T* x;
  __device__ __forceinline__ bool operator()(std::int64_t i) const { return widen(x[i]) != Compute<T>(0); }
};
// Sorted keys unlike the one before.
template <class Key>
struct HeadFlags {
  const Key* key;
  __device__ __forceinline__ bool operator()(std::int64_t i) const { return i == 0 || key[i] != key[i - 1]; }
};

// The coordinates in a shape of `rank` axes of each flagged element: y (count, rank).
template <class I>
struct StoreCoordinates {
  I* y;
  int rank;
  std::int64_t shape[8];
  __device__ __forceinline__ void operator()(std::int64_t i, bool flag, unsigned at) const {
    if (!flag) return;
    std::int64_t left = i;
    for (int d = rank - 1; d >= 0; --d) {
      y[std::int64_t(at) * rank + d] = I(left % shape[d]);
      left /= shape[d];
    }
  }
};
// Of each head: the place of its element, and where its run begins; of all: which head's run they are in.
template <class I>
struct StoreDistinct {
  const std::uint32_t* place;
  std::uint32_t* start;
  I *first, *inverse;
  __device__ __forceinline__ void operator()(std::int64_t i, bool flag, unsigned at) const {
    const std::uint32_t p = place[i];
    if (flag) {
      first[at] = I(p);
      start[at] = std::uint32_t(i);
    }
    inverse[p] = I(at + flag - 1);
  }
};

template <class Flags>
__global__ void __launch_bounds__(kFlagBlock) flag_count_kernel(Flags flags, unsigned* counts, std::int64_t n) {
  __shared__ unsigned total;
  if (threadIdx.x == 0) total = 0;
  __syncthreads();
  unsigned own = 0;
  for (int k = 0; k < kFlagItems; ++k) {
    const std::int64_t i = std::int64_t(blockIdx.x) * kFlagTile + k * kFlagBlock + threadIdx.x;
    if (i < n) own += flags(i);
  }
  if (own > 0) atomicAdd(&total, own);
  __syncthreads();
  if (threadIdx.x == 0) counts[blockIdx.x] = total;
}
// before (tiles): the flags of the tiles before.
template <class Flags, class Store>
__global__ void __launch_bounds__(kFlagBlock)
    flag_store_kernel(Flags flags, Store store, const unsigned* before, std::int64_t n) {
  const std::int64_t first = std::int64_t(blockIdx.x) * kFlagTile;
  bool flag[kFlagItems];
  unsigned rank[kFlagItems];
#pragma unroll
  for (int k = 0; k < kFlagItems; ++k) {
    const std::int64_t i = first + flag_element(k);
    flag[k] = i < n && flags(i);
  }
  rank_flags(flag, rank);
#pragma unroll
  for (int k = 0; k < kFlagItems; ++k) {
    const std::int64_t i = first + flag_element(k);
    if (i < n) store(i, flag[k], before[blockIdx.x] + rank[k]);
  }
}
// The lengths of `count` runs of n elements from where they begin.
template <int Block, class I>
__global__ void __launch_bounds__(Block)
    run_lengths_kernel(const std::uint32_t* start, I* lengths, std::int64_t count, std::int64_t n) {
  const std::int64_t u = std::int64_t(blockIdx.x) * Block + threadIdx.x;
  if (u < count) lengths[u] = I((u + 1 < count ? std::int64_t(start[u + 1]) : n) - std::int64_t(start[u]));
}

// A sorted row as it is stored.
template <class Key>
struct StoreSorted {
  Key* key;
  std::uint32_t* place;
  __device__ __forceinline__ void operator()(std::int64_t, std::int64_t rank, Key k, std::uint32_t p) const {
    key[rank] = k;
    place[rank] = p;
  }
};

// Bytes of tile counts for n elements.
inline std::size_t flags_workspace(std::int64_t n) {
  return static_cast<std::size_t>(detail::sort_tiles(n, kFlagTile)) * 4;
}
// Counts flags of n > 0 elements: *total, and in the workspace what launch_flag_store needs. Throws an Error for 2^31
// elements.
template <class Flags>
void launch_flag_count(Stream& stream, const char* name, const Flags& flags, std::int64_t n, void* workspace,
                       unsigned* total) {
  detail::check_sort_row(name, n);
  const auto tiles = static_cast<unsigned>(detail::sort_tiles(n, kFlagTile));
  auto* const counts = static_cast<unsigned*>(workspace);
  launch(stream, name, {dim3(tiles), dim3(kFlagBlock)}, flag_count_kernel<Flags>, flags, counts, n);
  launch(stream, name, {dim3(1), dim3(128)}, sort_scan_kernel<128>, counts, total, tiles);
}
template <class Flags, class Store>
void launch_flag_store(Stream& stream, const char* name, const Flags& flags, const Store& store, std::int64_t n,
                       const void* workspace) {
  const auto tiles = static_cast<unsigned>(detail::sort_tiles(n, kFlagTile));
  launch(stream, name, {dim3(tiles), dim3(kFlagBlock)}, flag_store_kernel<Flags, Store>, flags, store,
         static_cast<const unsigned*>(workspace), n);
}

// Bytes for the sorted keys and places of n elements.
template <class T>
std::size_t sorted_workspace(std::int64_t n) {
  using Key = SortKey<T>;
  return n <= kBlockSortRow ? detail::in_sixteens(static_cast<std::size_t>(n) * sizeof(Key)) + std::size_t(n) * 4
                            : sort_long_workspace<Key>(1, n);
}
// x (1, n), n > 0, sorted: keys and places, which lie in the workspace, aligned to 16.
template <class T>
SortedRows<SortKey<T>> launch_sorted(Stream& stream, const char* name, View<const T, 2> x, void* workspace) {
  using Key = SortKey<T>;
  const std::int64_t n = x.shape[1];
  detail::check_sort_row(name, n);
  const ElementKeys<T> keys{x, false};
  if (n > kBlockSortRow) return launch_sort_long_rows(stream, name, keys, 1, n, kSortBits<T>, workspace);
  auto* const bytes = static_cast<unsigned char*>(workspace);
  auto* const key = reinterpret_cast<Key*>(bytes);
  auto* const place =
      reinterpret_cast<std::uint32_t*>(bytes + detail::in_sixteens(static_cast<std::size_t>(n) * sizeof(Key)));
  detail::sort_short_rows(stream, name, keys, StoreSorted<Key>{key, place}, 1, int(n), kSortBits<T>);
  return {key, place};
}
template <class I>
void launch_run_lengths(Stream& stream, const char* name, const std::uint32_t* start, I* lengths, std::int64_t count,
                        std::int64_t n) {
  if (count > 0)
    launch(stream, name, {dim3(blocks_for(count, 256)), dim3(256)}, run_lengths_kernel<256, I>, start, lengths, count,
           n);
}

}  // namespace ergo::inline ERGO_BUILD::cuda
