// Running sums: y[o, k, i] = x[o, 0, i] + ... + x[o, k, i], from the last element backwards if `reverse`, without x[o,
// k, i] itself if `exclusive`; x (outer, n, inner) of any strides, y row-major. Floats are added in double and rounded
// once an element, integers and bool in int64, which y then holds (ergo/cpu/scan.hpp).
//
// Rows (inner = 1): a warp takes 512 elements, four neighbours a lane and round, with a scan by shuffles; a block takes
// tiles of eight such segments. Columns (inner > 1, and rows of up to 16 elements): a thread goes down each. Where
// there are too few rows or columns to fill a GPU, they are cut into tiles of fixed length: sums of tiles, their
// running sums, then each tile on its own: three launches. Which way is by shape alone, so the order of additions is
// fixed.
#pragma once

#include "ergo/kernels/common/pack.cuh"
#include "ergo/kernels/common/view.cuh"

namespace ergo::inline ERGO_BUILD::cuda {

struct ScanOptions {
  bool reverse = false, exclusive = false;
};
template <class T>
using ScanResult = std::conditional_t<std::is_integral_v<T>, std::int64_t, T>;

namespace detail {

template <class T>
using ScanOf = std::conditional_t<std::is_integral_v<T>, std::int64_t, double>;  // what is added in

template <class C>
__device__ __forceinline__ C scan_add(C a, C b) {
  if constexpr (std::is_integral_v<C>)
    return C(std::make_unsigned_t<C>(a) + std::make_unsigned_t<C>(b));  // wraps
  else
    return a + b;
}

inline constexpr int kScanBlock = 256, kScanItems = 16, kScanTile = kScanBlock * kScanItems;
inline constexpr int kScanSegment = 32 * kScanItems;  // of a warp
inline constexpr int kScanRound = 4;                  // neighbours a lane
inline constexpr std::int64_t kScanColumnTile = 256;

// What comes before each tile, (outer, tiles, inner): written by the launch that sums, read by the one that writes y.
template <class C>
struct ScanParts {
  C* sums;             // not null: sum tiles, write nothing else
  const C* before;     // null: nothing comes before
  std::int64_t tiles;  // of a row; a block takes all of them unless there are parts
};

// x[k], ..., x[k + 3] in scanning order, 0 behind the end.
template <class T>
__device__ __forceinline__ void load_scan(const View<const T, 2>& x, const T* row, std::int64_t k, bool reverse,
                                          bool packs, ScanOf<T> (&v)[kScanRound]) {
  const std::int64_t n = x.shape[1];
  if (packs && k + kScanRound <= n) {
    constexpr int W = kPackOf<T> < kScanRound ? kPackOf<T> : kScanRound;
    const T* from = row + (reverse ? n - kScanRound - k : k);
#pragma unroll
    for (int e = 0; e < kScanRound; e += W) {
      const auto pack = load_pack<W>(from + e);
#pragma unroll
      for (int w = 0; w < W; ++w) v[e + w] = ScanOf<T>(widen(pack[w]));
    }
    if (reverse) {
      const ScanOf<T> a = v[0], b = v[1];
      v[0] = v[3];
      v[1] = v[2];
      v[2] = b;
      v[3] = a;
    }
    return;
  }
#pragma unroll
  for (int e = 0; e < kScanRound; ++e) {
    const std::int64_t at = reverse ? n - 1 - (k + e) : k + e;
    v[e] = k + e < n ? ScanOf<T>(widen(row[at * x.stride[1]])) : ScanOf<T>(0);
  }
}

// y[k], ... of 4 neighbours in scanning order.
template <class Out, class C>
__device__ __forceinline__ void store_scan(Out* row, std::int64_t n, std::int64_t k, bool reverse, bool packs,
                                           const C (&v)[kScanRound]) {
  if (packs && k + kScanRound <= n) {
    constexpr int W = kPackOf<Out> < kScanRound ? kPackOf<Out> : kScanRound;
    Out* to = row + (reverse ? n - kScanRound - k : k);
#pragma unroll
    for (int e = 0; e < kScanRound; e += W) {
      Pack<Out, W> pack;
#pragma unroll
      for (int w = 0; w < W; ++w) pack[w] = narrow<Out>(Compute<Out>(reverse ? v[kScanRound - 1 - (e + w)] : v[e + w]));
      store_pack(to + e, pack);
    }
    return;
  }
#pragma unroll
  for (int e = 0; e < kScanRound; ++e)
    if (k + e < n) row[reverse ? n - 1 - (k + e) : k + e] = narrow<Out>(Compute<Out>(v[e]));
}

// x, y: (rows, n). WarpRows: a warp a row of at most kScanSegment elements; else a block a row, or a tile of it.
template <bool WarpRows, class T, class Out>
__global__ void __launch_bounds__(kScanBlock)
    scan_rows_kernel(View<const T, 2> x, Out* y, ScanOptions options, ScanParts<ScanOf<T>> parts, bool packs) {
  using C = ScanOf<T>;
  constexpr int kRounds = kScanItems / kScanRound;
  const std::int64_t n = x.shape[1];
  const int lane = int(threadIdx.x) % 32, warp = int(threadIdx.x) / 32;
  std::int64_t row = blockIdx.x, tile = 0, last = parts.tiles;
  if constexpr (WarpRows) {
    row = row * (kScanBlock / 32) + warp;
  } else if (parts.sums || parts.before) {
    tile = row % parts.tiles;
    row /= parts.tiles;
    last = tile + 1;
  }
  const bool mine = row < x.shape[0];
  const T* from = mine ? x.data + row * x.stride[0] : x.data;
  C carry = parts.before ? parts.before[row * parts.tiles + tile] : C(0);
  for (; tile < last; ++tile) {
    const std::int64_t first = tile * kScanTile + (WarpRows ? 0 : warp * kScanSegment) + lane * kScanRound;
    C v[kRounds][kScanRound], base[kRounds], segment = 0;
#pragma unroll
    for (int r = 0; r < kRounds; ++r) {
      const std::int64_t k = first + r * 32 * kScanRound;
      load_scan(x, from, mine ? k : n, options.reverse, packs, v[r]);
#pragma unroll
      for (int e = 1; e < kScanRound; ++e) v[r][e] = scan_add(v[r][e - 1], v[r][e]);
      C through = v[r][kScanRound - 1];  // the lanes up to this one
#pragma unroll
      for (int offset = 1; offset < 32; offset *= 2) {
        const C below = __shfl_up_sync(kFullMask, through, unsigned(offset));
        if (lane >= offset) through = scan_add(below, through);
      }
      const C below = __shfl_up_sync(kFullMask, through, 1u);
      base[r] = scan_add(segment, lane > 0 ? below : C(0));
      segment = scan_add(segment, __shfl_sync(kFullMask, through, 31));
    }
    C before = carry;  // this warp's segment
    if constexpr (!WarpRows) {
      __shared__ C of_warp[kScanBlock / 32];
      __syncthreads();
      if (lane == 0) of_warp[warp] = segment;
      __syncthreads();
      C sum = 0, mine_from = 0;
#pragma unroll
      for (int w = 0; w < kScanBlock / 32; ++w) {
        if (w == warp) mine_from = sum;
        sum = scan_add(sum, of_warp[w]);
      }
      before = scan_add(carry, mine_from);
      carry = scan_add(carry, sum);
    }
    if (!mine || parts.sums) continue;
#pragma unroll
    for (int r = 0; r < kRounds; ++r) {
      C out[kScanRound];
      const C start = scan_add(before, base[r]);
#pragma unroll
      for (int e = 0; e < kScanRound; ++e)
        out[e] = !options.exclusive ? scan_add(start, v[r][e]) : e > 0 ? scan_add(start, v[r][e - 1]) : start;
      store_scan(y + row * n, n, first + r * 32 * kScanRound, options.reverse, packs, out);
    }
  }
  if (parts.sums && threadIdx.x == 0) parts.sums[blockIdx.x] = carry;
}

// A thread goes down the rows of a tile of one column, `tile` rows. x, y: (outer, n, inner).
template <class T, class Out>
__global__ void __launch_bounds__(kScanBlock)
    scan_columns_kernel(View<const T, 3> x, View<Out, 3> y, ScanOptions options, ScanParts<ScanOf<T>> parts,
                        std::int64_t tile) {
  using C = ScanOf<T>;
  constexpr int kInFlight = 8;
  const std::int64_t n = x.shape[1], inner = x.shape[2], columns = x.shape[0] * inner;
  const std::int64_t thread = std::int64_t(blockIdx.x) * kScanBlock + int(threadIdx.x);
  const std::int64_t t = thread / columns, column = thread - t * columns;
  if (t >= parts.tiles) return;
  const std::int64_t o = column / inner, i = column - o * inner;
  const std::int64_t step = options.reverse ? -1 : 1, start = options.reverse ? n - 1 : 0;
  const std::int64_t part = (o * parts.tiles + t) * inner + i;
  const T* from = x.data + o * x.stride[0] + start * x.stride[1] + i * x.stride[2];
  Out* to = y.data + o * y.stride[0] + start * y.stride[1] + i * y.stride[2];
  const std::int64_t from_step = step * x.stride[1], to_step = step * y.stride[1];
  std::int64_t k = t * tile;
  const std::int64_t end = n - k < tile ? n : k + tile;
  C sum = parts.before ? parts.before[part] : C(0);
  const auto take = [&](T element, std::int64_t at) {
    const C next = scan_add(sum, C(widen(element)));
    if (!parts.sums) to[at * to_step] = narrow<Out>(Compute<Out>(options.exclusive ? sum : next));
    sum = next;
  };
  for (; k + kInFlight <= end; k += kInFlight) {
    T e[kInFlight];
#pragma unroll
    for (int u = 0; u < kInFlight; ++u) e[u] = from[(k + u) * from_step];
#pragma unroll
    for (int u = 0; u < kInFlight; ++u) take(e[u], k + u);
  }
  for (; k < end; ++k) take(from[k * from_step], k);
  if (parts.sums) parts.sums[part] = sum;
}

struct ScanPlan {
  static constexpr std::int64_t kShortRow = 16, kEnoughRows = 256, kEnoughColumns = 32768;
  bool columns;
  std::int64_t tiles;  // 1, or more where rows or columns are cut
  bool cut() const { return tiles > 1; }

  static ScanPlan of(const std::int64_t (&shape)[3]) {
    const std::int64_t outer = shape[0], n = shape[1], inner = shape[2];
    const bool columns = inner > 1 || n <= kShortRow;
    const std::int64_t length = columns ? kScanColumnTile : kScanTile;
    const bool enough = outer * inner >= (columns ? kEnoughColumns : kEnoughRows);
    return {columns, enough || n <= length ? 1 : (n + length - 1) / length};
  }
};

// Of x (rows, n), all tiles of a row in one block.
template <class T, class Out>
void launch_scan_rows(Stream& stream, const char* name, const View<const T, 2>& x, Out* y, ScanOptions options,
                      ScanParts<ScanOf<T>> parts) {
  const std::int64_t rows = x.shape[0], n = x.shape[1];
  const bool packs = x.stride[1] == 1 && n % kScanRound == 0 && (x.stride[0] % kScanRound == 0 || rows == 1) &&
                     reinterpret_cast<std::uintptr_t>(x.data) % 16 == 0 &&
                     reinterpret_cast<std::uintptr_t>(y) % 16 == 0;
  const bool cut = parts.sums || parts.before;
  if (!cut) parts.tiles = (n + kScanTile - 1) / kScanTile;
  if (n <= kScanSegment)
    launch(stream, name, {blocks_for(rows, kScanBlock / 32), kScanBlock}, scan_rows_kernel<true, T, Out>, x, y, options,
           parts, packs);
  else
    launch(stream, name, {unsigned(cut ? rows * parts.tiles : rows), kScanBlock}, scan_rows_kernel<false, T, Out>, x, y,
           options, parts, packs);
}
template <class T, class Out>
void launch_scan_columns(Stream& stream, const char* name, const View<const T, 3>& x, const View<Out, 3>& y,
                         ScanOptions options, const ScanParts<ScanOf<T>>& parts) {
  launch(stream, name, {blocks_for(x.shape[0] * x.shape[2] * parts.tiles, kScanBlock), kScanBlock},
         scan_columns_kernel<T, Out>, x, y, options, parts, parts.tiles > 1 ? kScanColumnTile : x.shape[1]);
}

}  // namespace detail

// Bytes of device memory that launch_cumsum needs beside x and y, often 0.
template <class T>
std::size_t cumsum_workspace(const View<const T, 3>& x) {
  const auto plan = detail::ScanPlan::of(x.shape);
  return plan.cut() ? std::size_t(x.shape[0] * plan.tiles * x.shape[2]) * sizeof(detail::ScanOf<T>) : 0;
}
// One launch, or three where rows or columns are cut. `workspace` is aligned to 16 bytes, and may be null where it is
// empty.
template <class T>
void launch_cumsum(Stream& stream, const char* name, const View<const T, 3>& x, ScanResult<T>* y, std::byte* workspace,
                   ScanOptions options = {}) {
  using namespace detail;
  using C = ScanOf<T>;
  using Out = ScanResult<T>;
  const std::int64_t outer = x.shape[0], n = x.shape[1], inner = x.shape[2];
  if (x.numel() == 0) return;
  const ScanPlan plan = ScanPlan::of(x.shape);
  C* sums = plan.cut() ? reinterpret_cast<C*>(workspace) : nullptr;
  const ScanOptions exclusive{false, true};
  if (plan.columns) {
    View<const T, 3> from = x;
    View<Out, 3> to = row_major(y, {outer, n, inner});
    if (inner == 1) {  // short rows: neighbouring threads take neighbouring rows
      from = {x.data, {1, n, outer}, {0, x.stride[1], x.stride[0]}};
      to = {y, {1, n, outer}, {0, 1, n}};
    }
    if (sums) {
      launch_scan_columns(stream, name, from, to, options, {sums, nullptr, plan.tiles});
      const auto of_tiles = row_major(sums, {outer, plan.tiles, inner});
      launch_scan_columns<C, C>(stream, name, of_tiles, of_tiles, exclusive, {nullptr, nullptr, 1});
    }
    launch_scan_columns(stream, name, from, to, options, {nullptr, sums, plan.tiles});
  } else {
    const View<const T, 2> from{x.data, {outer, n}, {x.stride[0], x.stride[1]}};
    if (sums) {
      launch_scan_rows<T, Out>(stream, name, from, y, options, {sums, nullptr, plan.tiles});
      launch_scan_rows<C, C>(stream, name, row_major(sums, {outer, plan.tiles}), sums, exclusive, {});
    }
    launch_scan_rows<T, Out>(stream, name, from, y, options, {nullptr, sums, plan.tiles});
  }
}

}  // namespace ergo::inline ERGO_BUILD::cuda
