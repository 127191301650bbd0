// How many elements fall into each of n bins, of L sets: bincount, whose bins are the elements themselves, and
// histogram, whose bins lie between ascending edges, half-open but for the last.
//   y (L, n)[l, b] = the number of j with bin(l, j) == b
//
// Integers are counted, so atomics leave the same numbers in every order. Up to 2048 bins a block counts its elements
// in shared memory and adds what it has to y; more are counted in y itself. Two launches: zeros, counts.
//
// A bin outside, of an id or between edges that do not ascend, is told by the least position (index.cuh); elements
// outside of the edges, and NaN, are in no bin.
#pragma once

#include "ergo/kernels/index.cuh"

namespace ergo::inline ERGO_BUILD::cuda {

inline constexpr int kCountBlock = 256, kCountTile = 4096, kSharedBins = 2048;

// Bins of ids (L, m), -1 for none.
template <class I>
struct IdBins {
  View<const I, 2> ids;
  std::int64_t n;
  std::int64_t* fault;
  __device__ __forceinline__ void begin(std::int64_t, std::int64_t) const {}
  __device__ __forceinline__ std::int64_t operator()(std::int64_t set, std::int64_t i) const {
    const I id = ids(set, i);
    if (index_in(id, n)) return std::int64_t(id);
    report_index(fault, own_position(ids, {set, i}));
    return -1;
  }
};
// Bins of x (L, m) between edges (L, n + 1).
template <class T>
struct EdgeBins {
  View<const T, 2> x, edges;
  std::int64_t n;
  std::int64_t* fault;
  // Each thread of a set's first block looks at a share of the edges.
  __device__ __forceinline__ void begin(std::int64_t set, std::int64_t first) const {
    for (std::int64_t i = threadIdx.x; first == 0 && i < n; i += kCountBlock)
      if (!(widen(edges(set, i)) <= widen(edges(set, i + 1)))) report_index(fault, own_position(edges, {set, i}));
  }
  __device__ __forceinline__ std::int64_t operator()(std::int64_t set, std::int64_t i) const {
    const auto v = widen(x(set, i));
    if (!(widen(edges(set, 0)) <= v && v <= widen(edges(set, n)))) return -1;
    std::int64_t low = 0, high = n;  // edges[low] <= v, and v < edges[high] or high == n
    while (high - low > 1) {
      const std::int64_t middle = low + (high - low) / 2;
      if (widen(edges(set, middle)) <= v)
        low = middle;
      else
        high = middle;
    }
    return low;
  }
};

template <class Out>
__global__ void __launch_bounds__(kCountBlock) count_zero_kernel(Out* y, std::int64_t total) {
  const std::int64_t i = std::int64_t(blockIdx.x) * kCountBlock + threadIdx.x;
  if (i < total) y[i] = Out(0);
}
// A block has kCountTile elements of one set, of `tiles`.
template <bool Shared, class Out, class Bins>
__global__ void __launch_bounds__(kCountBlock)
    count_kernel(Bins bins, std::int64_t m, std::int64_t n, Out* y, unsigned tiles) {
  using Word = std::conditional_t<sizeof(Out) == 8, unsigned long long, unsigned>;
  const unsigned set = blockIdx.x / tiles, tile = blockIdx.x - set * tiles;
  const std::int64_t first = std::int64_t(tile) * kCountTile, end = m - first < kCountTile ? m : first + kCountTile;
  Word* const counts = reinterpret_cast<Word*>(y) + std::int64_t(set) * n;
  bins.begin(set, first);
  if constexpr (Shared) {
    __shared__ unsigned own[kSharedBins];
    for (int b = int(threadIdx.x); b < n; b += kCountBlock) own[b] = 0;
    __syncthreads();
    for (std::int64_t i = first + threadIdx.x; i < end; i += kCountBlock)
      if (const std::int64_t bin = bins(set, i); bin >= 0) atomicAdd(&own[bin], 1u);
    __syncthreads();
    for (int b = int(threadIdx.x); b < n; b += kCountBlock)
      if (own[b]) atomicAdd(&counts[b], Word(own[b]));
  } else {
    for (std::int64_t i = first + threadIdx.x; i < end; i += kCountBlock)
      if (const std::int64_t bin = bins(set, i); bin >= 0) atomicAdd(&counts[bin], Word(1));
  }
}

namespace detail {
// y (sets, n), which may be empty: then ids are still looked at.
template <class Out, class Bins>
void count(Stream& stream, const char* name, const Bins& bins, std::int64_t sets, std::int64_t m, std::int64_t n,
           Out* y) {
  static_assert(sizeof(Out) == 4 || sizeof(Out) == 8);
  if (sets * n > 0)
    launch(stream, name, {dim3(blocks_for(sets * n, kCountBlock)), dim3(kCountBlock)}, count_zero_kernel<Out>, y,
           sets * n);
  if (sets == 0) return;
  const unsigned tiles = m > 0 ? blocks_for(m, kCountTile) : 1;  // edges are looked at without elements too
  const LaunchShape shape{dim3(unsigned(sets) * tiles), dim3(kCountBlock)};
  if (n <= kSharedBins)
    launch(stream, name, shape, count_kernel<true, Out, Bins>, bins, m, n, y, tiles);
  else
    launch(stream, name, shape, count_kernel<false, Out, Bins>, bins, m, n, y, tiles);
}
}  // namespace detail

// y (L, n) row-major, Out int32 or int64: how often each id in [0, n) is in ids (L, m).
template <class I, class Out>
void launch_bincount(Stream& stream, View<const I, 2> ids, View<Out, 2> y, std::int64_t* fault) {
  detail::count(stream, "bincount", IdBins<I>{ids, y.shape[1], fault}, y.shape[0], ids.shape[1], y.shape[1], y.data);
}
// y (L, n) row-major: how many of x (L, m) lie between the edges (L, n + 1), n > 0.
template <class T, class Out>
void launch_histogram(Stream& stream, View<const T, 2> x, View<const T, 2> edges, View<Out, 2> y, std::int64_t* fault) {
  detail::count(stream, "histogram", EdgeBins<T>{x, edges, y.shape[1], fault}, y.shape[0], x.shape[1], y.shape[1],
                y.data);
}

}  // namespace ergo::inline ERGO_BUILD::cuda
