// Combining rows at places given by indices: scatter_add, the gradients of take, embedding and take_along_axis, and the
// sums and extrema of segments.
//   y (L, extent, inner)[l, i (L, m)[l, j], c] += rows (L, m, inner)[l, j, c]        onto what y holds, or onto zeros;
// or the extremum in place of the sum: NaN wins, and where no row goes is that of nothing.
// Views of any strides; an axis of rows or indices broadcasts by stride 0.
//
// Sums (SEMANTICS section 6): what goes to one destination is taken in order of position, in runs of 128, each run
// summed in order, the runs' sums by a binary tree; 16-bit types in float, rounded once; integers wrap. The bits depend
// on the data alone, and are the CPU's.
//
// A stable sort of the indices brings what goes to one destination together: m up to 2048 in a launch, else by tiles.
// Then each position of the sorted order, with each pack of the inner axis, has a thread. One where a run begins sums
// the run: its warp reads rows that are 32 packs wide. A destination with a single run is done with that; the sums of
// others go to the workspace, where a block folds them.
#pragma once

#include <cstring>

#include "ergo/kernels/index.cuh"
#include "ergo/kernels/reduce.cuh"
#include "ergo/kernels/sort.cuh"

namespace ergo::inline ERGO_BUILD::cuda {

inline constexpr unsigned kScatterRun = 128, kScatterFoldBlock = 256;

// Indices as keys to sort; one out of range goes behind all destinations.
template <class I>
struct IndexKeys {
  using Key = std::uint32_t;
  View<const I, 2> indices;
  std::int64_t extent;
  std::int64_t* fault;
  __device__ __forceinline__ Key operator()(std::int64_t set, std::int64_t i) const {
    const I index = indices(set, i);
    if (index_in(index, extent)) return Key(index);
    report_index(fault, own_position(indices, {set, i}));
    return Key(extent);
  }
};
struct StoreKeys {
  std::uint32_t *key, *place;
  std::int64_t n;
  __device__ __forceinline__ void operator()(std::int64_t set, std::int64_t rank, std::uint32_t k,
                                             std::uint32_t p) const {
    key[set * n + rank] = k;
    place[set * n + rank] = p;
  }
};

// The first of key[begin..end), in ascending order, that is not less than k; `end` if all are.
__device__ __forceinline__ std::uint32_t first_not_less(const std::uint32_t* key, std::uint32_t begin,
                                                        std::uint32_t end, std::uint32_t k) {
  while (begin < end) {
    const std::uint32_t middle = begin + (end - begin) / 2;
    if (key[middle] < k)
      begin = middle + 1;
    else
      end = middle;
  }
  return begin;
}

// Sums of destinations with several runs are 2 * ceil(m / 128) rows a set: of three runs one after another two belong
// to one destination and begin 128 positions apart, so at most two begin in 128 positions, and if two do, the second is
// its destination's first.
__device__ __forceinline__ std::int64_t sum_slot(std::uint32_t position, bool first) {
  return std::int64_t(position / kScatterRun) * 2 + first;
}

template <class Index, class U>
__global__ void __launch_bounds__(kIndexBlock)
    scatter_fill_kernel(View<U, 3> y, U value, Divisor<Index> inner, Divisor<Index> rows) {
  const Index total = Index(y.numel()), first = Index(blockIdx.x) * (kIndexBlock * kIndexInFlight) + threadIdx.x;
#pragma unroll
  for (int k = 0; k < kIndexInFlight; ++k) {
    const Index i = first + Index(k) * kIndexBlock;
    if (i >= total) return;
    const Index row = inner.divide(i), lead = rows.divide(row);
    y(lead, row - lead * rows.divisor, i - row * inner.divisor) = value;
  }
}

// key and place (L, m), or (m) for all sets with key_stride 0; sums (L, slots, inner). A thread has V elements of the
// inner axis, which packs divides by V.
template <class M, int V, class Index, class T>
__global__ void __launch_bounds__(kIndexBlock)
    scatter_runs_kernel(View<const T, 3> rows, const std::uint32_t* key, const std::uint32_t* place,
                        std::int64_t key_stride, View<T, 3> y, Compute<T>* sums, std::int64_t slots, bool adds,
                        Divisor<Index> packs, Divisor<Index> positions) {
  using A = Compute<T>;
  const Index i = Index(blockIdx.x) * kIndexBlock + threadIdx.x;
  if (i >= Index(rows.shape[0]) * positions.divisor * packs.divisor) return;
  const Index at = packs.divide(i), c = (i - at * packs.divisor) * V, set = positions.divide(at);
  const auto p = std::uint32_t(at - set * positions.divisor), m = std::uint32_t(rows.shape[1]);
  key += std::int64_t(set) * key_stride;
  place += std::int64_t(set) * key_stride;
  const std::uint32_t k = key[p];
  if (k >= std::uint64_t(y.shape[1])) return;
  const bool first = p == 0 || key[p - 1] != k;
  if (!first) {
    if (p < kScatterRun || key[p - kScatterRun] != k) return;
    if ((p - first_not_less(key, 0, p - kScatterRun, k)) % kScatterRun != 0) return;
  }
  std::uint32_t end = p + 1;
  if (end < m && key[end] == k) end = first_not_less(key, end, m - p < kScatterRun ? m : p + kScatterRun, k + 1);
  const bool whole = first && !(end < m && key[end] == k);

  const T* const from = &rows(set, 0, c);
  A sum[V];
  const auto first_row = load_pack<V>(from + std::int64_t(place[p]) * rows.stride[1]);
#pragma unroll
  for (int v = 0; v < V; ++v) sum[v] = widen(first_row[v]);
  std::uint32_t r = p + 1;
  for (; r + 4 <= end; r += 4) {  // four rows in flight, added in order
    Pack<T, V> row[4];
#pragma unroll
    for (int q = 0; q < 4; ++q) row[q] = load_pack<V>(from + std::int64_t(place[r + unsigned(q)]) * rows.stride[1]);
#pragma unroll
    for (int q = 0; q < 4; ++q)
#pragma unroll
      for (int v = 0; v < V; ++v) sum[v] = M::combine(sum[v], widen(row[q][v]));
  }
  for (; r < end; ++r) {
    const auto row = load_pack<V>(from + std::int64_t(place[r]) * rows.stride[1]);
#pragma unroll
    for (int v = 0; v < V; ++v) sum[v] = M::combine(sum[v], widen(row[v]));
  }
  if (whole) {
    T* const to = &y(set, k, c);
    Pack<T, V> out{};
    if (adds) out = load_pack<V>(to);
#pragma unroll
    for (int v = 0; v < V; ++v) out[v] = narrow<T>(adds ? M::combine(A(widen(out[v])), sum[v]) : sum[v]);
    store_pack<V>(to, out);
  } else {
    A* const to = sums + (std::int64_t(set) * slots + sum_slot(p, first)) * rows.shape[2] + c;
    constexpr int W = V * sizeof(A) > 16 ? int(16 / sizeof(A)) : V;
#pragma unroll
    for (int v = 0; v < V; v += W) {
      Pack<A, W> out;
#pragma unroll
      for (int w = 0; w < W; ++w) out[w] = sum[v + w];
      store_pack<W>(to + v, out);
    }
  }
}

// A block folds the runs of the destination, if there is one, that has several and begins in one window of 128 sorted
// positions; for 1 << columns elements of the inner axis, which is `tiles` of those long.
template <class M, int Block, class T>
__global__ void __launch_bounds__(Block)
    scatter_fold_kernel(const std::uint32_t* key, std::int64_t key_stride, View<T, 3> y, Compute<T>* sums,
                        std::int64_t slots, std::uint32_t m, bool adds, unsigned windows, unsigned tiles,
                        unsigned columns) {
  using A = Compute<T>;
  constexpr std::uint32_t kNone = 0xffffffffu;
  __shared__ std::uint32_t begin, runs;
  const unsigned tile = blockIdx.x % tiles, window = blockIdx.x / tiles % windows;
  const std::int64_t set = blockIdx.x / tiles / windows;
  key += set * key_stride;
  if (threadIdx.x == 0) begin = kNone;
  __syncthreads();
  const std::uint32_t p = window * kScatterRun + threadIdx.x;
  if (threadIdx.x < kScatterRun && p < m && m - p > kScatterRun && key[p + kScatterRun] == key[p] &&
      (p == 0 || key[p - 1] != key[p]) && key[p] < std::uint64_t(y.shape[1])) {
    begin = p;  // by one thread at most: the next such destination begins more than 128 positions later
    runs = (first_not_less(key, p, m, key[p] + 1) - p + kScatterRun - 1) / kScatterRun;
  }
  __syncthreads();
  if (begin == kNone) return;
  const std::uint32_t row = threadIdx.x >> columns, rows = Block >> columns;
  const std::int64_t c = (std::int64_t(tile) << columns) + (threadIdx.x & ((1u << columns) - 1)), inner = y.shape[2];
  A* const column = sums + set * slots * inner + c;
  const auto sum_of = [&](std::uint32_t run) -> A& {
    return column[sum_slot(begin + run * kScatterRun, run == 0) * inner];
  };
  for (std::uint32_t half_width = 1; half_width < runs; half_width *= 2) {
    if (c < inner)
      for (std::uint32_t run = 2 * half_width * row; run + half_width < runs; run += 2 * half_width * rows)
        sum_of(run) = M::combine(sum_of(run), sum_of(run + half_width));
    __syncthreads();
  }
  if (row == 0 && c < inner) {
    T& to = y(set, key[begin], c);
    to = narrow<T>(adds ? M::combine(A(widen(to)), sum_of(0)) : sum_of(0));
  }
}

namespace detail {

constexpr std::int64_t scatter_slots(std::int64_t m) {
  return m <= kScatterRun ? 0 : 2 * ((m + kScatterRun - 1) / kScatterRun);
}
inline std::size_t scatter_sort_bytes(std::int64_t key_sets, std::int64_t m) {
  return m <= kBlockSortRow ? 2 * in_sixteens(static_cast<std::size_t>(key_sets * m) * 4)
                            : in_sixteens(sort_long_workspace<std::uint32_t>(key_sets, m));
}

// `value` all over y (not empty); zeros in the widest units.
template <class U>
void scatter_fill_units(Stream& stream, const char* name, const View<U, 3>& to, U value) {
  const LaunchShape shape = index_shape(to.numel(), kIndexInFlight);
  if (fits_32_bits(to.numel()))
    launch(stream, name, shape, scatter_fill_kernel<std::uint32_t, U>, to, value, FastDivisor::of(to.shape[2]),
           FastDivisor::of(to.shape[1]));
  else
    launch(stream, name, shape, scatter_fill_kernel<std::uint64_t, U>, to, value, WideDivisor::of(to.shape[2]),
           WideDivisor::of(to.shape[1]));
}
template <class M, class T>
void scatter_fill(Stream& stream, const char* name, const View<T, 3>& y) {
  using U = Unit<int(sizeof(T))>;
  if constexpr (std::is_same_v<M, SumOf>) {
    if (unit_bytes(View<const T, 3>(y), y) == 16)
      scatter_fill_units<Unit<16>>(stream, name, in_units<16>(y), {});
    else
      scatter_fill_units<U>(stream, name, in_units<int(sizeof(T))>(y), {});
  } else {
    const T none = convert<T>(std::is_same_v<M, MaxOf> ? lowest_of<T>() : highest_of<T>());
    U bits;
    std::memcpy(&bits, &none, sizeof bits);
    scatter_fill_units<U>(stream, name, in_units<int(sizeof(T))>(y), bits);
  }
}

template <class I>
SortedRows<std::uint32_t> scatter_sort(Stream& stream, const char* name, const View<const I, 2>& indices,
                                       std::int64_t key_sets, std::int64_t extent, void* workspace,
                                       std::int64_t* fault) {
  const std::int64_t m = indices.shape[1];
  int bits = 1;
  while (extent >> bits) ++bits;
  const IndexKeys<I> keys{indices, extent, fault};
  if (m > kBlockSortRow) return launch_sort_long_rows(stream, name, keys, key_sets, m, bits, workspace);
  auto* const key = static_cast<std::uint32_t*>(workspace);
  auto* const place = key + in_sixteens(static_cast<std::size_t>(key_sets * m) * 4) / 4;
  sort_short_rows(stream, name, keys, StoreKeys{key, place, m}, key_sets, int(m), bits);
  return {key, place};
}

template <class M, int V, class T>
void scatter_runs(Stream& stream, const char* name, const View<const T, 3>& rows,
                  const SortedRows<std::uint32_t>& sorted, std::int64_t key_stride, const View<T, 3>& y,
                  Compute<T>* sums, bool adds) {
  const std::int64_t m = rows.shape[1], packs = rows.shape[2] / V, total = rows.shape[0] * m * packs;
  const LaunchShape shape = index_shape(total, 1);
  const auto with = [&](auto kernel, auto by_packs, auto by_positions) {
    launch(stream, name, shape, kernel, rows, sorted.key, sorted.place, key_stride, y, sums, scatter_slots(m), adds,
           by_packs, by_positions);
  };
  if (fits_32_bits(total))
    with(scatter_runs_kernel<M, V, std::uint32_t, T>, FastDivisor::of(packs), FastDivisor::of(m));
  else
    with(scatter_runs_kernel<M, V, std::uint64_t, T>, WideDivisor::of(packs), WideDivisor::of(m));
}

// T: a floating or, to be summed, an unsigned type.
template <class M, class T, class I>
void scatter(Stream& stream, const char* name, const View<T, 3>& y, const View<const T, 3>& rows,
             const View<const I, 2>& indices, bool adds, void* workspace, std::int64_t* fault) {
  const std::int64_t lead = y.shape[0], extent = y.shape[1], inner = y.shape[2], m = indices.shape[1];
  if (y.numel() == 0) return check_indices(stream, name, with_inner_axis(indices), extent, fault);
  if (!adds) scatter_fill<M>(stream, name, y);
  if (m == 0) return;
  check_sort_row(name, m);
  check_sort_row(name, extent);
  const bool shared = indices.stride[0] == 0 || lead == 1;
  const std::int64_t key_sets = shared ? 1 : lead, key_stride = shared ? 0 : m;
  const auto sorted = scatter_sort(stream, name, indices, key_sets, extent, workspace, fault);
  auto* const sums = reinterpret_cast<Compute<T>*>(static_cast<char*>(workspace) + scatter_sort_bytes(key_sets, m));
  if (unit_bytes(rows, y) == 16)
    scatter_runs<M, kPackOf<T>>(stream, name, rows, sorted, key_stride, y, sums, adds);
  else
    scatter_runs<M, 1>(stream, name, rows, sorted, key_stride, y, sums, adds);
  if (m <= kScatterRun) return;
  unsigned columns = 0;
  while (columns < 5 && (std::int64_t{1} << columns) < inner) ++columns;
  const auto windows = blocks_for(m, kScatterRun), tiles = blocks_for(inner, std::int64_t{1} << columns);
  launch(stream, name, {dim3(static_cast<unsigned>(lead) * windows * tiles), dim3(kScatterFoldBlock)},
         scatter_fold_kernel<M, kScatterFoldBlock, T>, sorted.key, key_stride, y, sums, scatter_slots(m),
         std::uint32_t(m), adds, windows, tiles, columns);
}

}  // namespace detail

// Bytes for a scatter of m rows of `inner` in each of `lead` sets; indices of all sets are one if `shared`.
template <class T>
std::size_t scatter_add_workspace(std::int64_t lead, std::int64_t m, std::int64_t inner, bool shared) {
  return detail::scatter_sort_bytes(shared ? 1 : lead, m) +
         static_cast<std::size_t>(lead * detail::scatter_slots(m) * inner) * sizeof(Compute<T>);
}
// y (L, extent, inner), rows (L, m, inner), indices (L, m), which all sets share if their stride[0] is 0. Without
// `adds`, y is overwritten, with 0 where no row goes. The workspace is aligned to 16 bytes. Bad indices as in
// index.cuh: their rows go nowhere. Throws an Error if m or extent is 2^31 or more.
template <class T, class I>
void launch_scatter_add(Stream& stream, View<T, 3> y, View<const T, 3> rows, View<const I, 2> indices, bool adds,
                        void* workspace, std::int64_t* fault) {
  static_assert(!std::is_same_v<T, bool>);
  if constexpr (std::is_integral_v<T>)  // unsigned, as sums wrap
    detail::scatter<SumOf>(stream, "scatter_add", detail::in_units<int(sizeof(T))>(y),
                           detail::in_units<int(sizeof(T))>(rows), indices, adds, workspace, fault);
  else
    detail::scatter<SumOf>(stream, "scatter_add", y, rows, indices, adds, workspace, fault);
}
// The extremum, M being MaxOf or MinOf, of the rows that go to a place; else as without `adds`.
template <class M, class T, class I>
void launch_scatter_extremum(Stream& stream, const char* name, View<T, 3> y, View<const T, 3> rows,
                             View<const I, 2> indices, void* workspace, std::int64_t* fault) {
  static_assert(!std::is_same_v<T, bool>);
  detail::scatter<M>(stream, name, y, rows, indices, false, workspace, fault);
}

}  // namespace ergo::inline ERGO_BUILD::cuda
