// Running combinations along the middle axis of x (outer, n, inner), of any strides; y is row-major:
//   y[o, k, i] = x[o, 0, i] + ... + x[o, k, i], from the last element backwards if `reverse`, without x[o, k, i] itself
// if `exclusive`. What is combined is a type of scan_monoids.cuh: sums, products and their slopes, extrema and their
// positions, log-sum-exp, linear recurrences of two inputs. Sums of floats are taken in double, products in double with
// exponents of their own, and rounded once an element; of integers and bool in int64, which y then holds
// (ergo/cpu/scan.hpp, scan_products.hpp).
//
// Rows (inner = 1): a warp takes 512 elements (256 where the state is a pair, 128 of two), four neighbours a lane and
// round, with a scan by shuffles; a block takes tiles of eight such segments. Columns (inner > 1, and rows of up to 16
// elements): a thread goes down each. Where there are too few rows or columns to fill a GPU, they are cut into tiles of
// fixed length: what tiles combine to, its running combinations by row, then each tile on its own: three launches.
// Which way is by shape alone, so the order of combining is fixed.
#pragma once

#include "ergo/kernels/common/view.cuh"
#include "ergo/kernels/scan_monoids.cuh"

namespace ergo::inline ERGO_BUILD::cuda {

namespace detail {

inline constexpr int kScanBlock = 256;
inline constexpr int kScanRound = 4;  // neighbours a lane
inline constexpr std::int64_t kScanColumnTile = 256;
template <class M>
inline constexpr int kScanItems = sizeof(typename M::State) > 16  ? 4  // a lane
                                  : sizeof(typename M::State) > 8 ? 8
                                                                  : 16;
// Blocks a multiprocessor must have room for: two, or ptxas spills wide states to have three; none said for others.
template <class M>
inline constexpr int kScanBlocks = sizeof(typename M::State) > 8 ? 2 : 0;
template <class M>
inline constexpr int kScanSegment = 32 * kScanItems<M>;  // of a warp
template <class M>
inline constexpr int kScanTile = kScanBlock* kScanItems<M>;

// What comes before each tile, (rows or columns, tiles): written by the launch that sums, read by the one that writes
// y.
template <class C>
struct ScanParts {
  C* sums;             // not null: sum tiles, write nothing else
  const C* before;     // null: nothing comes before
  std::int64_t tiles;  // of a row; a block takes all of them unless there are parts
};

// x[k], ..., x[k + 3] in scanning order, anything behind the end; `row` begins a row of x.
template <class T>
__device__ __forceinline__ void load_scan(const View<const T, 2>& x, const T* row, std::int64_t k, bool reverse,
                                          bool packs, Compute<T> (&v)[kScanRound]) {
  const std::int64_t n = x.shape[1];
  constexpr int W = kPackOf<T> < kScanRound ? kPackOf<T> : kScanRound;  // 0 of wide states
  if constexpr (W > 0) {
    if (packs && k + kScanRound <= n) {
      const T* from = row + (reverse ? n - kScanRound - k : k);
#pragma unroll
      for (int e = 0; e < kScanRound; e += W) {
        const auto pack = load_pack<W>(from + e);
#pragma unroll
        for (int w = 0; w < W; ++w) v[e + w] = widen(pack[w]);
      }
      if (reverse) {
        const Compute<T> a = v[0], b = v[1];
        v[0] = v[3];
        v[1] = v[2];
        v[2] = b;
        v[3] = a;
      }
      return;
    }
  }
#pragma unroll
  for (int e = 0; e < kScanRound; ++e) {
    const std::int64_t at = reverse ? n - 1 - (k + e) : k + e;
    v[e] = k + e < n ? widen(row[at * x.stride[1]]) : Compute<T>{};
  }
}

// Inputs of a scan: x, and a second of the same shape and strides if M takes two; what results are scaled by lies as y.
template <class M, int Rank>
struct ScanInputs {
  View<const typename M::In, Rank> x;
  const typename M::In* second;
};
template <class M, int Rank>
requires scan_scales<M>
struct ScanInputs<M, Rank> {
  View<const typename M::In, Rank> x;
  const typename M::In* second;
  const Scaled* scale;
};
template <class M, int Rank>
ScanInputs<M, Rank> scan_inputs(const View<const typename M::In, Rank>& x, const typename M::In* second,
                                [[maybe_unused]] const Scaled* scale) {
  if constexpr (scan_scales<M>)
    return {x, second, scale};
  else
    return {x, second};
}
template <class M, int Rank>
__device__ __forceinline__ Scaled scale_at([[maybe_unused]] const ScanInputs<M, Rank>& in,
                                           [[maybe_unused]] std::int64_t at) {
  if constexpr (scan_scales<M>)
    return in.scale[at];
  else
    return {};
}
// The elements k, ..., k + 3 of each input; `row` is where the row begins in x.
template <class M>
__device__ __forceinline__ void load_elements(const ScanInputs<M, 2>& in, std::int64_t row, std::int64_t k,
                                              bool reverse, bool packs,
                                              Compute<typename M::In> (&e)[M::kInputs][kScanRound]) {
  load_scan(in.x, in.x.data + row, k, reverse, packs, e[0]);
  if constexpr (M::kInputs == 2) load_scan(in.x, in.second + row, k, reverse, packs, e[1]);
}
// Element number `at` of each input's four.
template <class M, class C>
__device__ __forceinline__ ScanElement<M> element_of(const C (&e)[M::kInputs][kScanRound], int at) {
  if constexpr (M::kInputs == 2)
    return {{e[0][at], e[1][at]}};
  else
    return {{e[0][at]}};
}

// y[k], ... of 4 neighbours in scanning order.
template <class Out>
__device__ __forceinline__ void store_scan(Out* row, std::int64_t n, std::int64_t k, bool reverse, bool packs,
                                           const Compute<Out> (&v)[kScanRound]) {
  constexpr int W = kPackOf<Out> < kScanRound ? kPackOf<Out> : kScanRound;  // 0 of wide states
  if constexpr (W > 0) {
    if (packs && k + kScanRound <= n) {
      Out* to = row + (reverse ? n - kScanRound - k : k);
#pragma unroll
      for (int e = 0; e < kScanRound; e += W) {
        Pack<Out, W> pack;
#pragma unroll
        for (int w = 0; w < W; ++w) pack[w] = narrow<Out>(reverse ? v[kScanRound - 1 - (e + w)] : v[e + w]);
        store_pack(to + e, pack);
      }
      return;
    }
  }
#pragma unroll
  for (int e = 0; e < kScanRound; ++e)
    if (k + e < n) row[reverse ? n - 1 - (k + e) : k + e] = narrow<Out>(v[e]);
}

// x, y: (rows, n). `warp_rows`: a warp a row of at most kScanSegment elements; else a block a row, or a tile of it.
template <class M>
__global__ void __launch_bounds__(kScanBlock, kScanBlocks<M>)
    scan_rows_kernel(ScanInputs<M, 2> in, typename M::Out* y, ScanOptions options, ScanParts<typename M::State> parts,
                     bool warp_rows, bool packs) {
  using C = typename M::State;
  using Element = Compute<typename M::In>;
  constexpr int kRounds = kScanItems<M> / kScanRound;
  const std::int64_t n = in.x.shape[1];
  const int lane = int(threadIdx.x) % 32, warp = int(threadIdx.x) / 32;
  std::int64_t row = blockIdx.x, tile = 0, last = parts.tiles;
  if (warp_rows) {
    row = row * (kScanBlock / 32) + warp;
  } else if (parts.sums || parts.before) {
    tile = row % parts.tiles;
    row /= parts.tiles;
    last = tile + 1;
  }
  const bool mine = row < in.x.shape[0];
  const std::int64_t from = mine ? row * in.x.stride[0] : 0;
  C carry = parts.before ? parts.before[row * parts.tiles + tile] : M::identity();
  for (; tile < last; ++tile) {
    const std::int64_t first = tile * kScanTile<M> + (warp_rows ? 0 : warp * kScanSegment<M>)+lane * kScanRound;
    C v[kRounds][kScanRound], base[kRounds], segment = M::identity();
#pragma unroll
    for (int r = 0; r < kRounds; ++r) {
      const std::int64_t k = first + r * 32 * kScanRound;
      Element e[M::kInputs][kScanRound];
      load_elements<M>(in, from, mine ? k : n, options.reverse, packs, e);
#pragma unroll
      for (int i = 0; i < kScanRound; ++i) {
        const C one =
            mine && k + i < n ? M::lift(element_of<M>(e, i), options.reverse ? n - 1 - (k + i) : k + i) : M::identity();
        v[r][i] = i > 0 ? M::combine(v[r][i - 1], one) : one;
      }
      C through = v[r][kScanRound - 1];  // the lanes up to this one
#pragma unroll
      for (int offset = 1; offset < 32; offset *= 2) {
        const C below = shuffled_up(through, unsigned(offset));
        if (lane >= offset) through = M::combine(below, through);
      }
      const C below = shuffled_up(through, 1u);
      base[r] = M::combine(segment, lane > 0 ? below : M::identity());
      segment = M::combine(segment, shuffled_from(through, 31));
    }
    C before = carry;  // this warp's segment
    if (!warp_rows) {
      __shared__ C of_warp[kScanBlock / 32];
      __syncthreads();
      if (lane == 0) of_warp[warp] = segment;
      __syncthreads();
      C sum = M::identity(), mine_from = M::identity();
#pragma unroll
      for (int w = 0; w < kScanBlock / 32; ++w) {
        if (w == warp) mine_from = sum;
        sum = M::combine(sum, of_warp[w]);
      }
      before = M::combine(carry, mine_from);
      carry = M::combine(carry, sum);
    }
    if (!mine || parts.sums) continue;
#pragma unroll
    for (int r = 0; r < kRounds; ++r) {
      const std::int64_t k = first + r * 32 * kScanRound;
      Compute<typename M::Out> out[kScanRound];
      const C start = M::combine(before, base[r]);
      Element e[M::kInputs][kScanRound];
      if constexpr (M::kReads) load_elements<M>(in, from, k, options.reverse, packs, e);
#pragma unroll
      for (int i = 0; i < kScanRound; ++i) {
        ScanElement<M> element{};
        if constexpr (M::kReads) element = element_of<M>(e, i);
        const auto own_before = [&] { return i > 0 ? M::combine(start, v[r][i > 0 ? i - 1 : 0]) : start; };
        const auto own_after = [&] { return M::combine(start, v[r][i]); };
        const auto scale = [&] {
          return k + i < n ? scale_at(in, row * n + (options.reverse ? n - 1 - (k + i) : k + i)) : Scaled{};
        };
        out[i] = result_of<M>(own_before, own_after, element, options, scale);
      }
      store_scan(y + row * n, n, k, options.reverse, packs, out);
    }
  }
  if (parts.sums && threadIdx.x == 0) parts.sums[blockIdx.x] = carry;
}

// A thread goes down the rows of a tile of one column, `tile` rows. x, y: (outer, n, inner).
template <class M>
__global__ void __launch_bounds__(kScanBlock)
    scan_columns_kernel(ScanInputs<M, 3> in, View<typename M::Out, 3> y, ScanOptions options,
                        ScanParts<typename M::State> parts, std::int64_t tile) {
  using C = typename M::State;
  using T = typename M::In;
  using Out = typename M::Out;
  constexpr int kInFlight = 8;
  const View<const T, 3>& x = in.x;
  const std::int64_t n = x.shape[1], inner = x.shape[2], columns = x.shape[0] * inner;
  const std::int64_t thread = std::int64_t(blockIdx.x) * kScanBlock + int(threadIdx.x);
  const std::int64_t t = thread / columns, column = thread - t * columns;
  if (t >= parts.tiles) return;
  const std::int64_t o = column / inner, i = column - o * inner;
  const std::int64_t step = options.reverse ? -1 : 1, start = options.reverse ? n - 1 : 0;
  const std::int64_t part = column * parts.tiles + t;
  const std::int64_t from = o * x.stride[0] + start * x.stride[1] + i * x.stride[2];
  Out* to = y.data + o * y.stride[0] + start * y.stride[1] + i * y.stride[2];
  const std::int64_t from_step = step * x.stride[1], to_step = step * y.stride[1];
  std::int64_t k = t * tile;
  const std::int64_t end = n - k < tile ? n : k + tile;
  C sum = parts.before ? parts.before[part] : M::identity();
  const auto take = [&](const ScanElement<M>& element, std::int64_t at) {
    const C next = M::combine(sum, M::lift(element, start + step * at));
    if (!parts.sums)
      to[at * to_step] = narrow<Out>(result_of<M>([&] { return sum; }, [&] { return next; }, element, options,
                                                  [&] { return scale_at(in, to + at * to_step - y.data); }));
    sum = next;
  };
  const auto load = [&](std::int64_t at) {
    ScanElement<M> e;
    e.of[0] = widen(x.data[from + at * from_step]);
    if constexpr (M::kInputs == 2) e.of[1] = widen(in.second[from + at * from_step]);
    return e;
  };
  for (; k + kInFlight <= end; k += kInFlight) {
    ScanElement<M> e[kInFlight];
#pragma unroll
    for (int u = 0; u < kInFlight; ++u) e[u] = load(k + u);
#pragma unroll
    for (int u = 0; u < kInFlight; ++u) take(e[u], k + u);
  }
  for (; k < end; ++k) take(load(k), k);
  if (parts.sums) parts.sums[part] = sum;
}

struct ScanPlan {
  static constexpr std::int64_t kShortRow = 16, kEnoughRows = 256, kEnoughColumns = 32768;
  bool columns;
  std::int64_t tiles;  // 1, or more where rows or columns are cut
  bool cut() const { return tiles > 1; }

  template <class M>
  static ScanPlan of(const std::int64_t (&shape)[3]) {
    const std::int64_t outer = shape[0], n = shape[1], inner = shape[2];
    const bool columns = inner > 1 || n <= kShortRow;
    const std::int64_t length = columns ? kScanColumnTile : kScanTile<M>;
    const bool enough = outer * inner >= (columns ? kEnoughColumns : kEnoughRows);
    return {columns, enough || n <= length ? 1 : (n + length - 1) / length};
  }
};

// Of x (rows, n), all tiles of a row in one block.
template <class M>
void launch_scan_rows(Stream& stream, const char* name, const ScanInputs<M, 2>& in, typename M::Out* y,
                      ScanOptions options, ScanParts<typename M::State> parts) {
  const View<const typename M::In, 2>& x = in.x;
  const std::int64_t rows = x.shape[0], n = x.shape[1];
  const auto aligned = [](const void* p) { return reinterpret_cast<std::uintptr_t>(p) % 16 == 0; };
  const bool packs = x.stride[1] == 1 && n % kScanRound == 0 && (x.stride[0] % kScanRound == 0 || rows == 1) &&
                     aligned(x.data) && aligned(in.second) && aligned(y);
  const bool cut = parts.sums || parts.before;
  if (!cut) parts.tiles = (n + kScanTile<M> - 1) / kScanTile<M>;
  const bool warp_rows = n <= kScanSegment<M>;
  const unsigned blocks = warp_rows ? blocks_for(rows, kScanBlock / 32) : unsigned(cut ? rows * parts.tiles : rows);
  launch(stream, name, {blocks, kScanBlock}, scan_rows_kernel<M>, in, y, options, parts, warp_rows, packs);
}
template <class M>
void launch_scan_columns(Stream& stream, const char* name, const ScanInputs<M, 3>& in,
                         const View<typename M::Out, 3>& y, ScanOptions options,
                         const ScanParts<typename M::State>& parts) {
  launch(stream, name, {blocks_for(in.x.shape[0] * in.x.shape[2] * parts.tiles, kScanBlock), kScanBlock},
         scan_columns_kernel<M>, in, y, options, parts, parts.tiles > 1 ? kScanColumnTile : in.x.shape[1]);
}

}  // namespace detail

// Bytes of device memory that launch_scan needs beside its inputs and y, often 0.
template <class M>
std::size_t scan_workspace(const View<const typename M::In, 3>& x) {
  const auto plan = detail::ScanPlan::of<M>(x.shape);
  return plan.cut() ? std::size_t(x.shape[0] * plan.tiles * x.shape[2]) * sizeof(typename M::State) : 0;
}
// One launch, or three where rows or columns are cut. `second`, of x's shape and strides, for an M of two inputs;
// `scale`, row-major as y, for one that scales.
// `workspace` is aligned to 16 bytes, and may be null where it is empty.
template <class M>
void launch_scan(Stream& stream, const char* name, const View<const typename M::In, 3>& x, const typename M::In* second,
                 typename M::Out* y, std::byte* workspace, ScanOptions options = {},
                 const detail::Scaled* scale = nullptr) {
  using namespace detail;
  using C = typename M::State;
  using Out = typename M::Out;
  const std::int64_t outer = x.shape[0], n = x.shape[1], inner = x.shape[2];
  if (x.numel() == 0) return;
  const ScanPlan plan = ScanPlan::of<M>(x.shape);
  C* sums = plan.cut() ? reinterpret_cast<C*>(workspace) : nullptr;
  const auto run_over_tiles = [&] {
    using Tiles = ScanOfStates<typename M::Alike>;
    const auto tiles = row_major(static_cast<const C*>(sums), {outer * inner, plan.tiles});
    launch_scan_rows<Tiles>(stream, name, {tiles, nullptr}, sums, {false, true}, {});
  };
  if (plan.columns) {
    ScanInputs<M, 3> from = scan_inputs<M, 3>(x, second, scale);
    View<Out, 3> to = row_major(y, {outer, n, inner});
    if (inner == 1) {  // short rows: neighbouring threads take neighbouring rows
      from.x = {x.data, {1, n, outer}, {0, x.stride[1], x.stride[0]}};
      to = {y, {1, n, outer}, {0, 1, n}};
    }
    if (sums) {
      launch_scan_columns<M>(stream, name, from, to, options, {sums, nullptr, plan.tiles});
      run_over_tiles();
    }
    launch_scan_columns<M>(stream, name, from, to, options, {nullptr, sums, plan.tiles});
  } else {
    const auto from = scan_inputs<M, 2>({x.data, {outer, n}, {x.stride[0], x.stride[1]}}, second, scale);
    if (sums) {
      launch_scan_rows<M>(stream, name, from, y, options, {sums, nullptr, plan.tiles});
      run_over_tiles();
    }
    launch_scan_rows<M>(stream, name, from, y, options, {nullptr, sums, plan.tiles});
  }
}

// Running sums.
template <class T>
std::size_t cumsum_workspace(const View<const T, 3>& x) {
  return scan_workspace<SumScan<T>>(x);
}
template <class T>
void launch_cumsum(Stream& stream, const char* name, const View<const T, 3>& x, ScanResult<T>* y, std::byte* workspace,
                   ScanOptions options = {}) {
  launch_scan<SumScan<T>>(stream, name, x, nullptr, y, workspace, options);
}

// Bytes of device memory that launch_product_cotangent needs.
template <class T>
std::size_t product_cotangent_workspace(const View<const T, 3>& x) {
  using Back = ScaledRecurrenceScan<T, Recurrence::late>;
  const std::size_t forth = scan_workspace<ScaledProductScan<T>>(x), back = scan_workspace<Back>(x);
  return std::size_t(x.numel()) * sizeof(detail::Scaled) + (forth < back ? back : forth);
}
// What a cotangent g of running products by `options` is to x: y[k] = (x[0] ... x[k - 1]) (g[k] + x[k + 1] (g[k + 1] +
// ...)), the brackets by a scan backwards, whose results are scaled by the products. x, g row-major; two scans.
template <class T>
void launch_product_cotangent(Stream& stream, const char* name, const View<const T, 3>& x, const T* g, T* y,
                              std::byte* workspace, ScanOptions options) {
  auto* const products = reinterpret_cast<detail::Scaled*>(workspace);
  std::byte* const rest = workspace + std::size_t(x.numel()) * sizeof(detail::Scaled);
  const ScanOptions back{!options.reverse, false};
  launch_scan<ScaledProductScan<T>>(stream, name, x, nullptr, products, rest, {options.reverse, true});
  if (options.exclusive)
    launch_scan<ScaledRecurrenceScan<T, Recurrence::exclusive>>(stream, name, x, g, y, rest, back, products);
  else
    launch_scan<ScaledRecurrenceScan<T, Recurrence::late>>(stream, name, x, g, y, rest, back, products);
}

}  // namespace ergo::inline ERGO_BUILD::cuda
