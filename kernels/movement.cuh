// Elements moved, not computed: strided copies and fills.
//
// A copy is to[i] = from[i] for every index i of up to 8 axes, each side with strides of its own in bytes; 0 repeats an
// element of the source, below 0 it is walked backwards. Elements of the destination must not overlap each other or the
// source. The host makes one of four kinds of it (copy_plan.cuh):
//   run        one dense stretch on both sides: packs of 16 bytes, whatever the width. Where the two sides are aligned
//              differently, a pack is cut out of the two that hold it; nothing outside the stretch is read.
//   rows       dense along the last axis on both sides: elements of the widest pack, up to 16 bytes, that divides
//              addresses, strides and row; if that is below 8 bytes and rows are long, each is a run of a warp.
//   transpose  another axis is dense in the source: tiles of 32 x 32, or 64 x 64 below 4 bytes, through shared memory,
//              batched over the other axes.
//   elements   all else: an element a thread and step, indices divided by multiplication.
// Index arithmetic is of 32 bits; a copy of 2^31 elements or more is cut along its first axis, so it is several
// launches. All results are exact.
#pragma once

#include "ergo/kernels/common/pack.cuh"
#include "ergo/kernels/common/view.cuh"
#include "ergo/kernels/copy_plan.cuh"

namespace ergo::inline ERGO_BUILD::cuda {

inline constexpr unsigned kMoveBlock = 256;  // threads
inline constexpr unsigned kMoveItems = 4;    // accesses of a thread that are in flight together

using Pack16 = Pack<std::uint32_t, 4>;

// Axes that a flat index, the last axis fastest, runs over; at least one.
struct Axes {
  int rank;
  FastDivisor extent[kMaxAxes];
  std::int64_t from_stride[kMaxAxes], to_stride[kMaxAxes];

  __device__ __forceinline__ void locate(std::uint32_t index, std::int64_t& from, std::int64_t& to) const {
    for (int d = rank - 1; d > 0; --d) {
      const std::uint32_t rest = extent[d].divide(index), at = index - rest * extent[d].divisor;
      from += at * from_stride[d];
      to += at * to_stride[d];
      index = rest;
    }
    from += index * from_stride[0];
    to += index * to_stride[0];
  }
};

template <class Element>
__global__ void __launch_bounds__(kMoveBlock)
    copy_elements_kernel(const std::byte* from, std::byte* to, Axes axes, std::uint32_t count) {
  Element x[kMoveItems];
  std::int64_t at[kMoveItems];
  const std::uint32_t first = blockIdx.x * (kMoveBlock * kMoveItems) + threadIdx.x;
#pragma unroll
  for (unsigned k = 0; k < kMoveItems; ++k) {
    std::int64_t source = 0;
    at[k] = 0;
    if (first + k * kMoveBlock >= count) continue;
    axes.locate(first + k * kMoveBlock, source, at[k]);
    x[k] = *reinterpret_cast<const Element*>(from + source);
  }
#pragma unroll
  for (unsigned k = 0; k < kMoveItems; ++k)
    if (first + k * kMoveBlock < count) *reinterpret_cast<Element*>(to + at[k]) = x[k];
}

// The 16 bytes from byte `offset` < 16 of (a, b).
__device__ __forceinline__ Pack16 straddling(const Pack16& a, const Pack16& b, unsigned offset) {
  std::uint32_t w[8];
#pragma unroll
  for (int i = 0; i < 4; ++i) {
    w[i] = a[i];
    w[i + 4] = b[i];
  }
#pragma unroll
  for (int i = 0; i < 6; ++i) w[i] = offset & 8 ? w[i + 2] : w[i];
#pragma unroll
  for (int i = 0; i < 5; ++i) w[i] = offset & 4 ? w[i + 1] : w[i];
  Pack16 r;
#pragma unroll
  for (int i = 0; i < 4; ++i) r[i] = __funnelshift_r(w[i], w[i + 1], 8 * (offset & 3));
  return r;
}

// Copies `bytes` <= 64 Group bytes by Group threads, of which this is thread t.
template <int Group>
__device__ __forceinline__ void copy_run(const std::byte* from, std::byte* to, int bytes, int t) {
  int head = ::min(int(-reinterpret_cast<std::uintptr_t>(to) & 15), bytes), packs = (bytes - head) / 16;
  const auto offset = unsigned(reinterpret_cast<std::uintptr_t>(from + head) & 15);
  if (offset) {  // leave out the packs whose two source packs do not lie within the run
    if (packs > 0 && head < int(offset)) {
      head += 16;
      --packs;
    }
    if (packs > 0 && bytes - head - 16 * packs < int(16 - offset)) --packs;
  }
  const auto* source = reinterpret_cast<const Pack16*>(from + head - offset);
  auto* target = reinterpret_cast<Pack16*>(to + head);
  Pack16 x[kMoveItems];
  if (offset) {
#pragma unroll
    for (unsigned k = 0; k < kMoveItems; ++k)
      if (const int p = t + int(k) * Group; p < packs) x[k] = straddling(source[p], source[p + 1], offset);
  } else {
#pragma unroll
    for (unsigned k = 0; k < kMoveItems; ++k)
      if (const int p = t + int(k) * Group; p < packs) x[k] = source[p];
  }
#pragma unroll
  for (unsigned k = 0; k < kMoveItems; ++k)
    if (const int p = t + int(k) * Group; p < packs) target[p] = x[k];
  for (int i = t; i < head; i += Group) to[i] = from[i];
  for (int i = head + 16 * packs + t; i < bytes; i += Group) to[i] = from[i];
}

// Rows of `bytes` bytes, each cut into `pieces` of 64 Group bytes; axes: of the rows.
template <int Group>
__global__ void __launch_bounds__(kMoveBlock)
    copy_rows_kernel(const std::byte* from, std::byte* to, Axes axes, std::int64_t bytes, FastDivisor pieces,
                     std::uint32_t count) {
  constexpr int kPiece = Group * 16 * int(kMoveItems);
  const std::uint32_t piece = blockIdx.x * (kMoveBlock / Group) + threadIdx.x / Group;
  if (piece >= count) return;
  const std::uint32_t row = pieces.divide(piece);
  std::int64_t source = std::int64_t(piece - row * pieces.divisor) * kPiece, target = source;
  const std::int64_t left = bytes - source;
  axes.locate(row, source, target);
  copy_run<Group>(from + source, to + target, left < kPiece ? int(left) : kPiece, int(threadIdx.x % Group));
}

// Elements along a side of a tile: 64 of the narrow ones, for as many bytes in flight. A row of it in shared memory is
// a word longer (or an element, if that is more), so that columns are free of bank conflicts.
template <class Element>
inline constexpr unsigned kTile = sizeof(Element) < 4 ? 64 : 32;
template <class Element>
inline constexpr unsigned kTileRow = kTile<Element> + (sizeof(Element) < 4 ? 4 / sizeof(Element) : 1);

// What is transposed: `rows` is the axis along which the source is dense, `columns` that of the destination.
struct TiledAxes {
  std::uint32_t rows, columns;
  std::int64_t from_row, to_row, from_column, to_column;  // strides
  FastDivisor tiles_down, tiles_across;
  Axes outer;
};

// Blocks of (32, 8) threads, a tile each.
template <class Element>
__global__ void __launch_bounds__(kMoveBlock)
    copy_transposed_kernel(const std::byte* from, std::byte* to, TiledAxes axes) {
  constexpr unsigned kSide = kTile<Element>, kRow = kTileRow<Element>, kHalves = kSide / 32, kSteps = kSide / 8;
  __shared__ __align__(16) Element tile[kSide * kRow];
  const std::uint32_t above = axes.tiles_across.divide(blockIdx.x);
  const std::uint32_t across = (blockIdx.x - above * axes.tiles_across.divisor) * kSide;
  const std::uint32_t batch = axes.tiles_down.divide(above);
  const std::uint32_t down = (above - batch * axes.tiles_down.divisor) * kSide;
  std::int64_t source = 0, target = 0;
  axes.outer.locate(batch, source, target);
  source += down * axes.from_row + across * axes.from_column;
  target += down * axes.to_row + across * axes.to_column;
  const std::uint32_t rows = axes.rows - down, columns = axes.columns - across;
  Element x[kSteps][kHalves];
#pragma unroll
  for (unsigned k = 0; k < kSteps; ++k)
#pragma unroll
    for (unsigned h = 0; h < kHalves; ++h)
      if (const unsigned r = threadIdx.x + 32 * h, c = threadIdx.y + 8 * k; r < rows && c < columns)
        x[k][h] = *reinterpret_cast<const Element*>(from + source + r * axes.from_row + c * axes.from_column);
#pragma unroll
  for (unsigned k = 0; k < kSteps; ++k)
#pragma unroll
    for (unsigned h = 0; h < kHalves; ++h)
      if (const unsigned r = threadIdx.x + 32 * h, c = threadIdx.y + 8 * k; r < rows && c < columns)
        tile[c * kRow + r] = x[k][h];
  __syncthreads();
#pragma unroll
  for (unsigned k = 0; k < kSteps; ++k)
#pragma unroll
    for (unsigned h = 0; h < kHalves; ++h)
      if (const unsigned c = threadIdx.x + 32 * h, r = threadIdx.y + 8 * k; r < rows && c < columns)
        *reinterpret_cast<Element*>(to + target + r * axes.to_row + c * axes.to_column) = tile[c * kRow + r];
}

// `pattern` is the element, repeated over 8 bytes.
template <int = 0>
__global__ void __launch_bounds__(kMoveBlock) fill_kernel(std::byte* to, std::int64_t bytes, std::uint64_t pattern) {
  const auto gap = std::int64_t(-reinterpret_cast<std::uintptr_t>(to) & 15);
  const std::int64_t head = gap < bytes ? gap : bytes, packs = (bytes - head) / 16;
  auto* target = reinterpret_cast<Pack<std::uint64_t, 2>*>(to + head);
  const std::int64_t first = std::int64_t(blockIdx.x) * (kMoveBlock * kMoveItems) + threadIdx.x;
#pragma unroll
  for (unsigned k = 0; k < kMoveItems; ++k)
    if (const std::int64_t p = first + k * kMoveBlock; p < packs) target[p] = {{pattern, pattern}};
  if (first >= 16) return;  // the ends, which begin with an element each
  const auto mine = std::byte(pattern >> (first % 8 * 8) & 0xff);
  if (first < head) to[first] = mine;
  if (const std::int64_t i = head + 16 * packs + first; i < bytes) to[i] = mine;
}

namespace detail {

inline Axes axes_of(const CopyCall& c, int skip_a = -1, int skip_b = -1) {
  Axes a{};
  for (int d = 0; d < c.rank; ++d) {
    if (d == skip_a || d == skip_b) continue;
    a.extent[a.rank] = FastDivisor::of(c.extent[d]);
    a.from_stride[a.rank] = c.from_stride[d];
    a.to_stride[a.rank++] = c.to_stride[d];
  }
  if (a.rank == 0) a.extent[a.rank++] = FastDivisor::of(1);
  return a;
}

template <class Element>
void launch_planned(Stream& stream, const CopyPlan& plan) {
  const CopyCall& c = plan.call;
  if (plan.kind == CopyPlan::Kind::transpose) {
    const int row = plan.dense, column = c.rank - 1;
    constexpr std::int64_t kSide = kTile<Element>;
    const std::int64_t down = (c.extent[row] + kSide - 1) / kSide, across = (c.extent[column] + kSide - 1) / kSide;
    const std::int64_t outer = numel(c) / (c.extent[row] * c.extent[column]);
    const TiledAxes axes{std::uint32_t(c.extent[row]), std::uint32_t(c.extent[column]),
                         c.from_stride[row],           c.to_stride[row],
                         c.from_stride[column],        c.to_stride[column],
                         FastDivisor::of(down),        FastDivisor::of(across),
                         axes_of(c, row, column)};
    launch(stream, "copy", {unsigned(down * across * outer), dim3(32, kMoveBlock / 32)},
           copy_transposed_kernel<Element>, c.from, c.to, axes);
  } else {
    const std::int64_t n = numel(c);
    launch(stream, "copy", {blocks_for(n, kMoveBlock * kMoveItems), kMoveBlock}, copy_elements_kernel<Element>, c.from,
           c.to, axes_of(c), std::uint32_t(n));
  }
}

template <int Group>
void launch_rows(Stream& stream, const CopyCall& c) {
  constexpr int kPiece = Group * 16 * int(kMoveItems);
  const std::int64_t bytes = c.extent[c.rank - 1] * c.width, pieces = (bytes + kPiece - 1) / kPiece;
  const std::int64_t count = pieces * (numel(c) / c.extent[c.rank - 1]);
  launch(stream, "copy", {blocks_for(count, kMoveBlock / Group), kMoveBlock}, copy_rows_kernel<Group>, c.from, c.to,
         axes_of(c, c.rank - 1), bytes, FastDivisor::of(pieces), std::uint32_t(count));
}

}  // namespace detail

// Copies; `most` elements are moved by one launch, except in a run.
inline void launch_copy(Stream& stream, const CopyCall& call, std::int64_t most = 0x7fffffff) {
  if (detail::numel(call) == 0) return;
  const CopyPlan plan = plan_copy(call);
  if (plan.kind == CopyPlan::Kind::run) return detail::launch_rows<int(kMoveBlock)>(stream, plan.call);
  if (detail::numel(plan.call) > most) {
    CopyCall slice = plan.call;
    const std::int64_t n = slice.extent[0], each = std::max<std::int64_t>(1, most / (detail::numel(slice) / n));
    for (std::int64_t i = 0; i < n; i += each) {
      slice.extent[0] = std::min(each, n - i);
      launch_copy(stream, slice, most);
      slice.from += each * slice.from_stride[0];
      slice.to += each * slice.to_stride[0];
    }
    return;
  }
  if (plan.kind == CopyPlan::Kind::rows) return detail::launch_rows<32>(stream, plan.call);
  switch (plan.call.width) {
    case 1:
      return detail::launch_planned<std::uint8_t>(stream, plan);
    case 2:
      return detail::launch_planned<std::uint16_t>(stream, plan);
    case 4:
      return detail::launch_planned<std::uint32_t>(stream, plan);
    case 8:
      return detail::launch_planned<std::uint64_t>(stream, plan);
    default:
      return detail::launch_planned<Pack16>(stream, plan);
  }
}

// `count` elements of `width` bytes, aligned to it, become the low bytes of `bits`.
inline void launch_fill(Stream& stream, std::byte* to, std::int64_t count, int width, std::uint64_t bits) {
  if (count == 0) return;
  if (width < 8) bits &= (std::uint64_t{1} << 8 * width) - 1;
  for (int w = width; w < 8; w *= 2) bits |= bits << 8 * w;
  launch(stream, "fill", {blocks_for(count * width, 16 * kMoveBlock * kMoveItems), kMoveBlock}, fill_kernel<>, to,
         count * width, bits);
}

}  // namespace ergo::inline ERGO_BUILD::cuda
