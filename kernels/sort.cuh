// Stable argsort of rows: y (rows, n) holds the places of x (rows, n) in sorted order; views of any strides.
//
// Elements become unsigned keys of the same order: -inf < ... < inf < NaN, all NaNs equal, -0 equal to +0; descending
// complements the key, so equal elements keep their order. Then, by the length of rows:
//   up to 32     a warp a row, each lane counts the elements before its own;
//   up to 2048   a block a row, radix sort by 8 bits from the lowest (LSD), elements in registers between passes;
//   above        LSD radix sort by tiles (sort_long.cuh).
// Within a tile, elements are ranked warp by warp with matches of equal digits (Merrill and Grimshaw, 2011, and CUB's
// block_radix_rank): no order of threads or blocks shows in the result. Exact.
#pragma once

#include "ergo/kernels/common/pack.cuh"
#include "ergo/kernels/sort_long.cuh"

namespace ergo::inline ERGO_BUILD::cuda {

// The unsigned type of T's keys, and how many low bits of it count.
template <class T>
using SortKey = std::conditional_t<sizeof(T) == 8, std::uint64_t, std::uint32_t>;
template <class T>
inline constexpr int kSortBits = int(8 * sizeof(T));

template <class Key>
__device__ __forceinline__ Key float_sort_key(Key bits, int width, Key infinity) {
  const Key sign = Key(1) << (width - 1), all = sign | (sign - 1), magnitude = bits & (sign - 1);
  if (magnitude > infinity) return all;
  if (magnitude == 0) return sign;
  return bits & sign ? all ^ bits : bits | sign;
}
template <class T>
__device__ __forceinline__ SortKey<T> sort_key(T x) {
  using Key = SortKey<T>;
  if constexpr (std::is_same_v<T, float>)
    return float_sort_key<Key>(__float_as_uint(x), 32, 0x7f800000u);
  else if constexpr (std::is_same_v<T, double>)
    return float_sort_key<Key>(std::uint64_t(__double_as_longlong(x)), 64, 0x7ff0000000000000u);
  else if constexpr (std::is_same_v<T, half>)
    return float_sort_key<Key>(x.bits, 16, 0x7c00u);
  else if constexpr (std::is_same_v<T, bfloat16>)
    return float_sort_key<Key>(x.bits, 16, 0x7f80u);
  else if constexpr (std::is_signed_v<T>)
    return Key(x) ^ (Key(1) << (sizeof(T) * 8 - 1));
  else
    return Key(x);
}

// What is sorted: gives the key of element i of a row.
template <class T>
struct ElementKeys {
  using Key = SortKey<T>;
  View<const T, 2> x;
  bool descending;
  __device__ __forceinline__ Key operator()(std::int64_t row, std::int64_t i) const {
    const Key key = sort_key(x(row, i));
    return descending ? Key(~key) & (~Key(0) >> (8 * sizeof(Key) - std::size_t(kSortBits<T>))) : key;
  }
};
// Where a sorted element goes: its place in the row.
template <class I>
struct StorePlaces {
  View<I, 2> y;
  template <class Key>
  __device__ __forceinline__ void operator()(std::int64_t row, std::int64_t rank, Key, std::uint32_t place) const {
    y(row, rank) = I(place);
  }
};

inline constexpr int kWarpSortRow = 32, kSmallSortRow = 512, kBlockSortRow = 2048;  // the longest rows of each way

// A warp a row of n <= 32.
template <int Block, class Keys, class Store>
__global__ void __launch_bounds__(Block) sort_warp_kernel(Keys keys, Store store, std::int64_t rows, int n) {
  using Key = typename Keys::Key;
  const std::int64_t row = std::int64_t(blockIdx.x) * (Block / 32) + threadIdx.x / 32;
  if (row >= rows) return;  // the whole warp
  const int lane = int(threadIdx.x % 32);
  const Key key = lane < n ? keys(row, lane) : Key(0);
  int rank = 0;
  for (int j = 0; j < n; ++j) {
    const Key other = __shfl_sync(kFullMask, key, j);
    rank += other < key || (other == key && j < lane);
  }
  if (lane < n) store(row, rank, key, std::uint32_t(lane));
}

// A block a row of n <= Block * Items. Elements past the end have the largest key and come last in order of place, so
// they stay behind all others in every pass.
template <int Block, int Items, class Keys, class Store>
__global__ void __launch_bounds__(Block) sort_block_kernel(Keys keys, Store store, int n, int bits) {
  using Key = typename Keys::Key;
  __shared__ __align__(16) Key key_at[Block * Items];
  __shared__ __align__(16) std::uint32_t place_at[Block * Items];
  __shared__ __align__(16) unsigned counts[Block / 32 * 256];
  __shared__ __align__(16) unsigned start[256];
  const std::int64_t row = blockIdx.x;
  const int first = int(threadIdx.x / 32 * 32) * Items + int(threadIdx.x % 32);
  Key key[Items];
  std::uint32_t place[Items];
#pragma unroll
  for (int k = 0; k < Items; ++k) {
    const int i = first + k * 32;
    key[k] = i < n ? keys(row, i) : ~Key(0);
    place[k] = std::uint32_t(i);
  }
  for (int shift = 0; shift < bits; shift += 8) {
    unsigned digit[Items], rank[Items];
#pragma unroll
    for (int k = 0; k < Items; ++k) digit[k] = unsigned(key[k] >> shift) & 255;
    rank_digits<Block>(digit, counts, start, rank);
#pragma unroll
    for (int k = 0; k < Items; ++k) {
      key_at[rank[k]] = key[k];
      place_at[rank[k]] = place[k];
    }
    __syncthreads();
#pragma unroll
    for (int k = 0; k < Items; ++k) {
      key[k] = key_at[first + k * 32];
      place[k] = place_at[first + k * 32];
    }
  }
#pragma unroll
  for (int k = 0; k < Items; ++k)
    if (first + k * 32 < n) store(row, first + k * 32, key[k], place[k]);
}

namespace detail {

inline void check_sort_row(const char* name, std::int64_t n) {
  if (n >= std::int64_t{1} << 31) throw_error({"[", name, "] on CUDA, rows have less than 2^31 elements, not ", n});
}

template <class Keys, class Store>
void sort_short_rows(Stream& stream, const char* name, const Keys& keys, const Store& store, std::int64_t rows, int n,
                     int bits) {
  const auto blocks = static_cast<unsigned>(rows);
  if (n <= kWarpSortRow)
    launch(stream, name, {dim3(blocks_for(rows, 4)), dim3(128)}, sort_warp_kernel<128, Keys, Store>, keys, store, rows,
           n);
  else if (n <= kSmallSortRow)
    launch(stream, name, {dim3(blocks), dim3(128)}, sort_block_kernel<128, 4, Keys, Store>, keys, store, n, bits);
  else
    launch(stream, name, {dim3(blocks), dim3(256)}, sort_block_kernel<256, 8, Keys, Store>, keys, store, n, bits);
}

}  // namespace detail

template <class T>
std::size_t argsort_workspace(std::int64_t rows, std::int64_t n) {
  return n <= kBlockSortRow || rows == 0 ? 0 : sort_long_workspace<SortKey<T>>(rows, n);
}
// x and y (rows, n), y of an index type that holds n - 1; workspace of argsort_workspace<T>(rows, n) bytes, aligned to
// 16. Throws an Error for rows of 2^31 elements.
template <class T, class I>
void launch_argsort(Stream& stream, View<const T, 2> x, View<I, 2> y, bool descending, void* workspace) {
  const std::int64_t rows = x.shape[0], n = x.shape[1];
  if (rows == 0 || n == 0) return;
  detail::check_sort_row("argsort", n);
  const ElementKeys<T> keys{x, descending};
  const StorePlaces<I> store{y};
  if (n <= kBlockSortRow) return detail::sort_short_rows(stream, "argsort", keys, store, rows, int(n), kSortBits<T>);
  const auto sorted = launch_sort_long_rows(stream, "argsort", keys, rows, n, kSortBits<T>, workspace);
  launch(stream, "argsort", {dim3(blocks_for(rows * n, 256)), dim3(256)},
         sort_store_kernel<256, SortKey<T>, StorePlaces<I>>, store, sorted.key, sorted.place, rows, n);
}

}  // namespace ergo::inline ERGO_BUILD::cuda
