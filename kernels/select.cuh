// The first k of the sorted order of rows, and single ranks of it: y (rows, k) and y (rows, count) hold places of x
// (rows, n); views of any strides. Order and keys are those of sort.cuh; ties go by place.
//
// Rows up to 2048 are sorted, as there, and only what is asked for is stored. Longer ones take a radix select (Alabi et
// al., 2012): for each byte of the key, from the highest, tiles count the digits of what still has the prefix of the
// wanted rank, each block finding that prefix from the counts of the passes before. Then the k elements before or at
// the wanted key are collected in order of place (flags, a scan over tiles) and those k are sorted. A single rank needs
// no sort: the wanted place is that of one of the equals of its key.
//
// A row with NaN has as any single rank its first NaN. Counts are integers, so no order of threads shows. Exact.
#pragma once

#include "ergo/kernels/common/flags.cuh"
#include "ergo/kernels/sort.cuh"

namespace ergo::inline ERGO_BUILD::cuda {

// What is selected from: row r of x stands for `times` rows, whose ranks are first, first + 1, ...
template <class T>
struct SelectKeys {
  using Key = SortKey<T>;
  ElementKeys<T> keys;
  unsigned times;
  std::int64_t first;
  __device__ __forceinline__ Key operator()(std::int64_t row, std::int64_t i) const { return keys(row / times, i); }
  __device__ __forceinline__ std::int64_t rank(std::int64_t row) const { return first + row % times; }
};
// The key of a row's wanted rank as far as passes have found it, and the rank among those of that prefix.
template <class Key>
struct Selected {
  Key prefix;
  unsigned rank;
};

// From the counts (passes, rows, 256) of passes done, highest byte first; nans (rows), if not null, are counted NaNs: a
// row with some wants its first. By the first warp, for the block: ends with a barrier.
template <class Key>
__device__ __forceinline__ Selected<Key> find_selected(const unsigned* counts, const unsigned* nans, std::int64_t row,
                                                       std::int64_t rows, std::int64_t n, int done,
                                                       std::int64_t wanted) {
  __shared__ __align__(16) Selected<Key> found;
  if (threadIdx.x < 32) {
    const unsigned lane = threadIdx.x;
    if (done > 0 && nans && nans[row] > 0) wanted = n - nans[row];
    Key prefix = 0;
    auto rank = unsigned(wanted);
    for (int pass = 0; pass < done; ++pass) {
      const unsigned* const own = counts + (pass * rows + row) * 256 + lane * 8;
      unsigned count[8], sum = 0;
#pragma unroll
      for (int d = 0; d < 8; ++d) sum += count[d] = own[d];
      unsigned scan = sum;
#pragma unroll
      for (unsigned offset = 1; offset < 32; offset *= 2) {
        const unsigned other = __shfl_up_sync(kFullMask, scan, offset);
        if (lane >= offset) scan += other;
      }
      const unsigned here = __ballot_sync(kFullMask, scan > rank);  // lanes that reach the rank; the first has it
      const int owner = __ffs(int(here)) - 1;
      unsigned left = rank - (scan - sum), digit = lane * 8;  // of meaning in the owner
      bool looking = true;
#pragma unroll
      for (int d = 0; d < 8; ++d) {
        looking = looking && left >= count[d];
        if (looking) {
          left -= count[d];
          ++digit;
        }
      }
      rank = __shfl_sync(kFullMask, left, owner);
      prefix = Key(prefix << 8) | Key(__shfl_sync(kFullMask, digit, owner));
    }
    if (lane == 0) found = {prefix, rank};
  }
  __syncthreads();
  return found;
}

// One pass: how often each digit occurs among the keys that have the prefix found so far.
template <class T>
__global__ void __launch_bounds__(kFlagBlock)
    select_count_kernel(SelectKeys<T> keys, unsigned* counts, unsigned* nans, std::int64_t rows, std::int64_t n,
                        unsigned tiles, int pass) {
  using Key = SortKey<T>;
  __shared__ unsigned count[256];
  __shared__ unsigned nan_count;
  const std::int64_t row = blockIdx.x / tiles, tile = blockIdx.x % tiles;
  count[threadIdx.x] = 0;
  if (threadIdx.x == 0) nan_count = 0;
  const Selected<Key> at = find_selected<Key>(counts, nans, row, rows, n, pass, keys.rank(row));
  const int shift = kSortBits<T> - 8 * (pass + 1);
  constexpr Key kNan = ~Key(0) >> (8 * sizeof(Key) - std::size_t(kSortBits<T>));
  unsigned own_nans = 0;
#pragma unroll 4
  for (int k = 0; k < kFlagItems; ++k) {
    const std::int64_t i = tile * kFlagTile + k * kFlagBlock + threadIdx.x;
    if (i >= n) break;
    const Key key = keys(row, i);
    own_nans += key == kNan;
    if (pass == 0 || key >> (shift + 8) == at.prefix) atomicAdd(&count[unsigned(key >> shift) & 255], 1u);
  }
  const bool counts_nans = pass == 0 && nans;
  if (counts_nans && own_nans > 0) atomicAdd(&nan_count, own_nans);
  __syncthreads();
  if (count[threadIdx.x] > 0) atomicAdd(counts + (pass * rows + row) * 256 + threadIdx.x, count[threadIdx.x]);
  if (counts_nans && threadIdx.x == 0 && nan_count > 0) atomicAdd(nans + row, nan_count);
}

// tile_counts (rows, 2, tiles): how many keys of a tile are less than the selected one, and how many equal it.
template <class T>
__global__ void __launch_bounds__(kFlagBlock)
    select_tiles_kernel(SelectKeys<T> keys, const unsigned* counts, const unsigned* nans, unsigned* tile_counts,
                        std::int64_t rows, std::int64_t n, unsigned tiles) {
  using Key = SortKey<T>;
  __shared__ unsigned less, equal;
  const std::int64_t row = blockIdx.x / tiles, tile = blockIdx.x % tiles;
  if (threadIdx.x == 0) less = equal = 0;
  const Selected<Key> at = find_selected<Key>(counts, nans, row, rows, n, kSortBits<T> / 8, keys.rank(row));
  unsigned own_less = 0, own_equal = 0;
  for (int k = 0; k < kFlagItems; ++k) {
    const std::int64_t i = tile * kFlagTile + k * kFlagBlock + threadIdx.x;
    if (i >= n) break;
    const Key key = keys(row, i);
    own_less += key < at.prefix;
    own_equal += key == at.prefix;
  }
  if (own_less > 0) atomicAdd(&less, own_less);
  if (own_equal > 0) atomicAdd(&equal, own_equal);
  __syncthreads();
  if (threadIdx.x == 0) {
    tile_counts[row * 2 * tiles + tile] = less;
    tile_counts[(row * 2 + 1) * tiles + tile] = equal;
  }
}

// Where selected elements go: all before the selected rank and it, into rows of k, those of smaller keys first.
template <class Key>
struct CollectFirst {
  Key* key;              // (rows, k)
  std::uint32_t* place;  // (rows, k)
  std::int64_t k;
  __device__ __forceinline__ void less(std::int64_t row, unsigned at, Key x, std::int64_t i) const {
    key[row * k + at] = x;
    place[row * k + at] = std::uint32_t(i);
  }
  __device__ __forceinline__ void equal(std::int64_t row, unsigned at, unsigned all_less, unsigned, Key x,
                                        std::int64_t i) const {
    if (at + all_less < k) less(row, all_less + at, x, i);
  }
};
// The place of the selected rank alone.
template <class I>
struct CollectRank {
  View<I, 2> y;  // (rows / times, times)
  unsigned times;
  template <class Key>
  __device__ __forceinline__ void less(std::int64_t, unsigned, Key, std::int64_t) const {}
  template <class Key>
  __device__ __forceinline__ void equal(std::int64_t row, unsigned at, unsigned, unsigned rank, Key,
                                        std::int64_t i) const {
    if (at == rank) y(row / times, row % times) = I(i);
  }
};
// before (rows, 2, tiles): the counts of the tiles before; totals (rows, 2).
template <class T, class Collect>
__global__ void __launch_bounds__(kFlagBlock)
    select_collect_kernel(SelectKeys<T> keys, const unsigned* counts, const unsigned* nans, const unsigned* before,
                          const unsigned* totals, std::int64_t rows, std::int64_t n, unsigned tiles, Collect collect) {
  using Key = SortKey<T>;
  const std::int64_t row = blockIdx.x / tiles, tile = blockIdx.x % tiles;
  const Selected<Key> at = find_selected<Key>(counts, nans, row, rows, n, kSortBits<T> / 8, keys.rank(row));
  bool less[kFlagItems], equal[kFlagItems];
  unsigned rank[kFlagItems];
  Key key[kFlagItems];
#pragma unroll
  for (int k = 0; k < kFlagItems; ++k) {
    const std::int64_t i = tile * kFlagTile + flag_element(k);
    key[k] = i < n ? keys(row, i) : Key(0);
    less[k] = i < n && key[k] < at.prefix;
    equal[k] = i < n && key[k] == at.prefix;
  }
  rank_flags(less, rank);
#pragma unroll
  for (int k = 0; k < kFlagItems; ++k)
    if (less[k])
      collect.less(row, before[row * 2 * tiles + tile] + rank[k], key[k], tile * kFlagTile + flag_element(k));
  rank_flags(equal, rank);
#pragma unroll
  for (int k = 0; k < kFlagItems; ++k)
    if (equal[k])
      collect.equal(row, before[(row * 2 + 1) * tiles + tile] + rank[k], totals[row * 2], at.rank, key[k],
                    tile * kFlagTile + flag_element(k));
}

// The collected elements as what is sorted, and where those go.
template <class K>
struct CollectedKeys {
  using Key = K;
  const Key* key;
  std::int64_t k;
  __device__ __forceinline__ Key operator()(std::int64_t row, std::int64_t i) const { return key[row * k + i]; }
};
template <class I>
struct StoreCollected {
  View<I, 2> y;
  const std::uint32_t* place;  // (rows, k)
  std::int64_t k;
  template <class Key>
  __device__ __forceinline__ void operator()(std::int64_t row, std::int64_t rank, Key, std::uint32_t at) const {
    y(row, rank) = I(place[row * k + at]);
  }
};
// Of a short row that is sorted whole.
template <class I>
struct StoreFirst {
  View<I, 2> y;
  template <class Key>
  __device__ __forceinline__ void operator()(std::int64_t row, std::int64_t rank, Key, std::uint32_t place) const {
    if (rank < y.shape[1]) y(row, rank) = I(place);
  }
};

// Ranks of short rows whose order (rows, n) is known.
template <int Block, class T, class I>
__global__ void __launch_bounds__(Block)
    pick_ranks_kernel(View<const T, 2> x, const std::uint32_t* order, View<I, 2> y, std::int64_t first) {
  const std::int64_t row = std::int64_t(blockIdx.x) * Block + threadIdx.x, n = x.shape[1];
  if (row >= x.shape[0]) return;
  const std::uint32_t* const own = order + row * n;
  const auto is_nan = [&](std::int64_t rank) {
    const auto v = widen(x(row, own[rank]));
    return v != v;
  };
  std::int64_t nan = n;  // the rank of the first NaN
  if (is_nan(n - 1)) {
    std::int64_t begin = 0;
    for (nan = n - 1; begin < nan;) {
      const std::int64_t middle = begin + (nan - begin) / 2;
      if (is_nan(middle))
        nan = middle;
      else
        begin = middle + 1;
    }
  }
  for (std::int64_t c = 0; c < y.shape[1]; ++c) y(row, c) = I(own[nan < n ? nan : first + c]);
}

namespace detail {

// Parts of the workspace of a selection.
template <class T>
struct SelectParts {
  using Key = SortKey<T>;
  static constexpr int kPasses = kSortBits<T> / 8;
  std::int64_t rows, n, tiles, k;
  std::size_t counts, nans, tile_counts, totals, key, place, sort, bytes;
  SelectParts(std::int64_t r, std::int64_t length, std::int64_t collected)
      : rows(r), n(length), tiles(sort_tiles(length, kFlagTile)), k(collected) {
    std::size_t at = 0;
    const auto part = [&](std::int64_t items, std::size_t size) {
      const std::size_t begin = at;
      at += in_sixteens(static_cast<std::size_t>(items) * size);
      return begin;
    };
    counts = part(rows * 256 * kPasses + rows, 4);  // what is cleared: digits, then NaNs
    nans = counts + static_cast<std::size_t>(rows * 256 * kPasses) * 4;
    tile_counts = part(rows * 2 * tiles, 4);
    totals = part(rows * 2, 4);
    key = part(rows * k, sizeof(Key));
    place = part(rows * k, 4);
    sort = at;
    bytes = at + (k > kBlockSortRow ? sort_long_workspace<Key>(rows, k) : 0);
  }
};

// Counts to the selected keys, then `collect` what they select.
template <class T, class Collect>
void select_long_rows(Stream& stream, const char* name, const SelectKeys<T>& keys, const SelectParts<T>& parts,
                      bool nan_wins, unsigned char* workspace, const Collect& collect) {
  const auto words = [&](std::size_t at) { return reinterpret_cast<unsigned*>(workspace + at); };
  unsigned *const counts = words(parts.counts), *const nans = nan_wins ? words(parts.nans) : nullptr;
  unsigned *const tile_counts = words(parts.tile_counts), *const totals = words(parts.totals);
  const auto tiles = unsigned(parts.tiles);
  const LaunchShape each{dim3(static_cast<unsigned>(parts.rows * parts.tiles)), dim3(kFlagBlock)};
  launch_clear_words(stream, name, counts, parts.rows * (256 * SelectParts<T>::kPasses + 1));
  for (int pass = 0; pass < SelectParts<T>::kPasses; ++pass)
    launch(stream, name, each, select_count_kernel<T>, keys, counts, nans, parts.rows, parts.n, tiles, pass);
  launch(stream, name, each, select_tiles_kernel<T>, keys, counts, nans, tile_counts, parts.rows, parts.n, tiles);
  launch(stream, name, {dim3(static_cast<unsigned>(parts.rows * 2)), dim3(128)}, sort_scan_kernel<128>, tile_counts,
         totals, tiles);
  launch(stream, name, each, select_collect_kernel<T, Collect>, keys, counts, nans, tile_counts, totals, parts.rows,
         parts.n, tiles, collect);
}

}  // namespace detail

template <class T>
std::size_t topk_workspace(std::int64_t rows, std::int64_t n, std::int64_t k) {
  return n <= kBlockSortRow || rows * k == 0 ? 0 : detail::SelectParts<T>(rows, n, k).bytes;
}
// x (rows, n), y (rows, k), k <= n, of an index type that holds n - 1; workspace aligned to 16. Throws an Error for
// rows of 2^31 elements.
template <class T, class I>
void launch_topk(Stream& stream, View<const T, 2> x, View<I, 2> y, bool descending, void* workspace) {
  const std::int64_t rows = x.shape[0], n = x.shape[1], k = y.shape[1];
  if (rows == 0 || k == 0) return;
  detail::check_sort_row("topk", n);
  const ElementKeys<T> elements{x, descending};
  if (n <= kBlockSortRow)
    return detail::sort_short_rows(stream, "topk", elements, StoreFirst<I>{y}, rows, int(n), kSortBits<T>);
  using Key = SortKey<T>;
  const detail::SelectParts<T> parts(rows, n, k);
  auto* const bytes = static_cast<unsigned char*>(workspace);
  auto* const key = reinterpret_cast<Key*>(bytes + parts.key);
  auto* const place = reinterpret_cast<std::uint32_t*>(bytes + parts.place);
  detail::select_long_rows(stream, "topk", SelectKeys<T>{elements, 1, k - 1}, parts, false, bytes,
                           CollectFirst<Key>{key, place, k});
  const CollectedKeys<Key> collected{key, k};
  const StoreCollected<I> store{y, place, k};
  if (k <= kBlockSortRow) return detail::sort_short_rows(stream, "topk", collected, store, rows, int(k), kSortBits<T>);
  const auto sorted = launch_sort_long_rows(stream, "topk", collected, rows, k, kSortBits<T>, bytes + parts.sort);
  launch(stream, "topk", {dim3(blocks_for(rows * k, 256)), dim3(256)}, sort_store_kernel<256, Key, StoreCollected<I>>,
         store, sorted.key, sorted.place, rows, k);
}

template <class T>
std::size_t ranks_workspace(std::int64_t rows, std::int64_t n, int count) {
  return n <= kBlockSortRow ? static_cast<std::size_t>(rows * n) * 4 : detail::SelectParts<T>(rows * count, n, 0).bytes;
}
// y (rows, count): the places in x (rows, n) of ranks first, first + 1, ...; of the first NaN if there is one. Floating
// T.
template <class T, class I>
void launch_ranks(Stream& stream, const char* name, View<const T, 2> x, View<I, 2> y, std::int64_t first,
                  void* workspace) {
  const std::int64_t rows = x.shape[0], n = x.shape[1], count = y.shape[1];
  if (rows == 0 || count == 0) return;
  detail::check_sort_row(name, n);
  const ElementKeys<T> elements{x, false};
  if (n <= kBlockSortRow) {
    auto* const order = static_cast<std::uint32_t*>(workspace);
    detail::sort_short_rows(stream, name, elements, StorePlaces<std::uint32_t>{row_major(order, {rows, n})}, rows,
                            int(n), kSortBits<T>);
    return launch(stream, name, {dim3(blocks_for(rows, 128)), dim3(128)}, pick_ranks_kernel<128, T, I>, x,
                  static_cast<const std::uint32_t*>(order), y, first);
  }
  const detail::SelectParts<T> parts(rows * count, n, 0);
  const auto times = unsigned(count);
  detail::select_long_rows(stream, name, SelectKeys<T>{elements, times, first}, parts, true,
                           static_cast<unsigned char*>(workspace), CollectRank<I>{y, times});
}

}  // namespace ergo::inline ERGO_BUILD::cuda
