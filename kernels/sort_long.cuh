// Stable sort of long rows of unsigned keys with their places: LSD radix sort by 8 bits. In each pass digits are
// counted by tile, each digit's counts are scanned over the tiles, and each tile brings its elements into order in
// shared memory and writes them where they belong, in runs. Counts are integers and ranks fixed by places, so no order
// of threads or blocks shows in the result.
#pragma once

#include "ergo/kernels/common/rank_digits.cuh"
#include "ergo/kernels/common/view.cuh"

namespace ergo::inline ERGO_BUILD::cuda {

// Long rows. Tiles of 4096 keys of 4 bytes, 2048 of 8.
inline constexpr int kSortBlock = 256;
template <class Key>
inline constexpr int kSortItems = int(64 / sizeof(Key));
template <class Key>
inline constexpr int kSortTile = kSortBlock* kSortItems<Key>;

template <int Block, class Keys>
__global__ void __launch_bounds__(Block)
    sort_keys_kernel(Keys keys, typename Keys::Key* key, std::int64_t rows, std::int64_t n) {
  const std::int64_t i = std::int64_t(blockIdx.x) * Block + threadIdx.x;
  if (i < rows * n) key[i] = keys(i / n, i % n);
}
template <int Block, class Key, class Store>
__global__ void __launch_bounds__(Block)
    sort_store_kernel(Store store, const Key* key, const std::uint32_t* place, std::int64_t rows, std::int64_t n) {
  const std::int64_t i = std::int64_t(blockIdx.x) * Block + threadIdx.x;
  if (i < rows * n) store(i / n, i % n, key[i], place[i]);
}

// counts (rows, 256, tiles): how often each digit occurs in each tile.
template <class Key>
__global__ void __launch_bounds__(kSortBlock)
    sort_count_kernel(const Key* key, unsigned* counts, std::int64_t n, unsigned tiles, int shift) {
  __shared__ unsigned count[256];
  const std::int64_t row = blockIdx.x / tiles, tile = blockIdx.x % tiles;
  count[threadIdx.x] = 0;
  __syncthreads();
#pragma unroll
  for (int k = 0; k < kSortItems<Key>; ++k) {
    const std::int64_t i = tile * kSortTile<Key> + k * kSortBlock + threadIdx.x;
    if (i < n) atomicAdd(&count[unsigned(key[row * n + i] >> shift) & 255], 1u);
  }
  __syncthreads();
  counts[(row * 256 + threadIdx.x) * tiles + tile] = count[threadIdx.x];
}

// Of each digit of each row, which is a block: the sums of the counts of the tiles before, in place, and of all.
template <int Block>
__global__ void __launch_bounds__(Block) sort_scan_kernel(unsigned* counts, unsigned* totals, unsigned tiles) {
  __shared__ unsigned of_warp[Block / 32];
  const unsigned lane = threadIdx.x % 32, warp = threadIdx.x / 32;
  unsigned* const c = counts + std::int64_t(blockIdx.x) * tiles;
  unsigned carry = 0;
  for (unsigned first = 0; first < tiles; first += Block) {
    const unsigned t = first + threadIdx.x, own = t < tiles ? c[t] : 0;
    unsigned scan = own;
#pragma unroll
    for (unsigned offset = 1; offset < 32; offset *= 2) {
      const unsigned other = __shfl_up_sync(kFullMask, scan, offset);
      if (lane >= offset) scan += other;
    }
    __syncthreads();
    if (lane == 31) of_warp[warp] = scan;
    __syncthreads();
    unsigned before = carry;
    for (unsigned w = 0; w < Block / 32; ++w) {
      if (w == warp && t < tiles) c[t] = before + scan - own;
      before += of_warp[w];
    }
    carry = before;
  }
  if (threadIdx.x == 0) totals[blockIdx.x] = carry;
}

// One pass: elements go where their digit's turn is in the row. A null place_in is 0, 1, 2, ...
template <class Key>
__global__ void __launch_bounds__(kSortBlock)
    sort_scatter_kernel(const Key* key_in, const std::uint32_t* place_in, Key* key_out, std::uint32_t* place_out,
                        const unsigned* counts, const unsigned* totals, std::int64_t n, unsigned tiles, int shift) {
  constexpr int kItems = kSortItems<Key>, kTile = kSortTile<Key>;
  __shared__ __align__(16) Key key_at[kTile];
  __shared__ __align__(16) std::uint32_t place_at[kTile];
  __shared__ __align__(16) unsigned of_warps[kSortBlock / 32 * 256];
  __shared__ __align__(16) unsigned start[256];
  __shared__ __align__(16) unsigned base[256];
  __shared__ unsigned total_of[8];
  const std::int64_t row = blockIdx.x / tiles, tile = blockIdx.x % tiles;
  const int first = int(threadIdx.x / 32 * 32) * kItems + int(threadIdx.x % 32);
  const std::int64_t left = n - tile * kTile, origin = row * n + tile * kTile;
  const int here = left < kTile ? int(left) : kTile;
  Key key[kItems];
  unsigned digit[kItems], rank[kItems];
#pragma unroll
  for (int k = 0; k < kItems; ++k) {
    const int i = first + k * 32;
    key[k] = i < here ? key_in[origin + i] : ~Key(0);
    digit[k] = unsigned(key[k] >> shift) & 255;
  }
  // Where each digit begins in the row: the totals of lower digits. Then, of this tile: its count among the tiles.
  const unsigned lane = threadIdx.x % 32, warp = threadIdx.x / 32, own = totals[row * 256 + threadIdx.x];
  unsigned scan = own;
#pragma unroll
  for (unsigned offset = 1; offset < 32; offset *= 2) {
    const unsigned other = __shfl_up_sync(kFullMask, scan, offset);
    if (lane >= offset) scan += other;
  }
  if (lane == 31) total_of[warp] = scan;
  rank_digits<kSortBlock>(digit, of_warps, start, rank);
  unsigned before = scan - own + counts[(row * 256 + threadIdx.x) * tiles + tile];
  for (unsigned w = 0; w < warp; ++w) before += total_of[w];
  base[threadIdx.x] = before - start[threadIdx.x];  // wraps, and back below
#pragma unroll
  for (int k = 0; k < kItems; ++k) {
    const int i = first + k * 32;
    key_at[rank[k]] = key[k];
    place_at[rank[k]] = place_in && i < here ? place_in[origin + i] : std::uint32_t(tile * kTile + i);
  }
  __syncthreads();
#pragma unroll
  for (int k = 0; k < kItems; ++k) {
    const int s = int(threadIdx.x) + k * kSortBlock;
    if (s < here) {
      const std::int64_t to = row * n + std::int64_t(base[unsigned(key_at[s] >> shift) & 255] + unsigned(s));
      key_out[to] = key_at[s];
      place_out[to] = place_at[s];
    }
  }
}

template <class Key>
struct SortedRows {
  const Key* key;              // (rows, n)
  const std::uint32_t* place;  // (rows, n)
};

namespace detail {
constexpr std::int64_t sort_tiles(std::int64_t n, int tile) { return (n + tile - 1) / tile; }
constexpr std::size_t in_sixteens(std::size_t bytes) { return (bytes + 15) / 16 * 16; }
}  // namespace detail

// Bytes that launch_sort_long_rows needs: keys and places twice, counts of digits.
template <class Key>
std::size_t sort_long_workspace(std::int64_t rows, std::int64_t n) {
  const auto elements = static_cast<std::size_t>(rows * n);
  const auto counts = static_cast<std::size_t>(rows * 256 * (detail::sort_tiles(n, kSortTile<Key>) + 1));
  return 2 * detail::in_sixteens(elements * sizeof(Key)) + 2 * detail::in_sixteens(elements * 4) + counts * 4;
}
// Rows of any length by tiles: 1 + 3 launches a byte of the key. The result lies in the workspace, aligned to 16 bytes.
template <class Keys>
SortedRows<typename Keys::Key> launch_sort_long_rows(Stream& stream, const char* name, const Keys& keys,
                                                     std::int64_t rows, std::int64_t n, int bits, void* workspace) {
  using Key = typename Keys::Key;
  const std::int64_t tiles = detail::sort_tiles(n, kSortTile<Key>);
  const auto elements = static_cast<std::size_t>(rows * n);
  auto* bytes = static_cast<unsigned char*>(workspace);
  const auto part = [&](std::size_t size) {
    unsigned char* const p = bytes;
    bytes += detail::in_sixteens(size);
    return p;
  };
  Key* key[2];
  std::uint32_t* place[2];
  for (auto& k : key) k = reinterpret_cast<Key*>(part(elements * sizeof(Key)));
  for (auto& p : place) p = reinterpret_cast<std::uint32_t*>(part(elements * 4));
  auto* const counts = reinterpret_cast<unsigned*>(bytes);
  unsigned* const totals = counts + rows * 256 * tiles;
  const dim3 grid(static_cast<unsigned>(rows * tiles)), block(kSortBlock);
  launch(stream, name, {dim3(blocks_for(rows * n, 256)), dim3(256)}, sort_keys_kernel<256, Keys>, keys, key[0], rows,
         n);
  int now = 0;
  for (int shift = 0; shift < bits; shift += 8, now ^= 1) {
    launch(stream, name, {grid, block}, sort_count_kernel<Key>, key[now], counts, n, unsigned(tiles), shift);
    launch(stream, name, {dim3(static_cast<unsigned>(rows * 256)), dim3(128)}, sort_scan_kernel<128>, counts, totals,
           unsigned(tiles));
    launch(stream, name, {grid, block}, sort_scatter_kernel<Key>, key[now], shift == 0 ? nullptr : place[now],
           key[now ^ 1], place[now ^ 1], counts, totals, n, unsigned(tiles), shift);
  }
  return {key[now], place[now]};
}

}  // namespace ergo::inline ERGO_BUILD::cuda
