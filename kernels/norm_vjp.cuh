// The gradients of layer_norm (norm.cuh), from the cotangent g and the statistics that forward left:
//
//   dx     = (h - mean(h) - normal mean(h normal)) scale,  h = g gamma
//   dgamma = sum of g normal, dbeta = sum of g over the rows of a group
//
// and of rms_norm (Centred = false), without mean(h) and dbeta.
//
// Two launches. Blocks of consecutive rows, a part, write dx and the sums of their rows for dgamma and dbeta, which
// stay in registers meanwhile; then columns of these sums are summed. Of rows longer than registers hold (4096; double
// 2048) x and g are read twice, and a part's sums gather in memory. How many rows a part has depends on the shape
// alone, and all sums have fixed trees, in float for 16 and 32 bits, in double for double.
#pragma once

#include "ergo/kernels/norm.cuh"

namespace ergo::inline ERGO_BUILD::cuda {

// ---- device code ----

template <class T>
struct LayerNormVjp {
  View<const T, 2> g, x, gamma;
  View<T, 2> dx, dgamma, dbeta;         // dgamma, dbeta: (groups, n)
  const Compute<T>* stats;              // (groups * rows, 3)
  Compute<T>* partial;                  // (groups, parts, 2, n): sums of g normal and of g
  std::int64_t rows, part_rows, parts;  // of a group; a part's; of a group
  bool packed;
};

// The sums over a row that its dx needs, added to; rx becomes normal, rg stays.
template <int Each, class A>
__device__ __forceinline__ void add_row_sums(const A (&rg)[Each], A (&rx)[Each], const A (&rw)[Each],
                                             const RowStats<A>& stats, A (&sums)[2]) {
#pragma unroll
  for (int i = 0; i < Each; ++i) {
    rx[i] = stats.normal(rx[i]);
    sums[0] += rg[i] * rw[i];
    sums[1] += rg[i] * rw[i] * rx[i];
  }
}

// A block takes the rows of a part, Block / Lanes at a time or one.
template <bool Centred, int Lanes, int Each, int Block, class T>
__global__ void __launch_bounds__(Block) layer_norm_vjp_kernel(LayerNormVjp<T> p) {
  using A = Compute<T>;
  constexpr int kAtOnce = Lanes > 0 ? Block / (Lanes > 0 ? Lanes : 1) : 1;
  const RowTile<T, Lanes, Each> tile(p.packed);
  const int own = int(threadIdx.x / (Lanes > 0 ? Lanes : 1024)), n = int(p.x.shape[1]);
  const std::int64_t group = blockIdx.x / p.parts, first = blockIdx.x % p.parts * p.part_rows;
  const std::int64_t last = first + p.part_rows < p.rows ? first + p.part_rows : p.rows;

  A rw[Each], dw[Each] = {}, db[Each] = {};
  tile.load(p.gamma.data + group * p.gamma.stride[0], p.gamma.stride[1], n, A(0), rw);
  for (std::int64_t at = first; at < last; at += kAtOnce) {
    const bool valid = at + own < last;
    const std::int64_t row = group * p.rows + (valid ? at + own : at);
    const int cols = valid ? n : 0;
    A rg[Each], rx[Each], sums[2] = {0, 0};
    tile.load(p.g.data + row * p.g.stride[0], p.g.stride[1], cols, A(0), rg);
    tile.load(p.x.data + row * p.x.stride[0], p.x.stride[1], cols, A(0), rx);
    const RowStats<A> stats(p.stats + row * kLayerNormStats);
    add_row_sums(rg, rx, rw, stats, sums);
    row_sum<Lanes>(sums);
    const A level = Centred ? sums[0] / A(n) : A(0), slope = sums[1] / A(n);
#pragma unroll
    for (int i = 0; i < Each; ++i) {
      if (valid) {
        dw[i] += rg[i] * rx[i];
        if constexpr (Centred) db[i] += rg[i];
      }
      rg[i] = (rg[i] * rw[i] - level - rx[i] * slope) * stats.scale;
    }
    tile.store(p.dx.data + row * p.dx.stride[0], p.dx.stride[1], cols, rg);
  }

  A* to = p.partial + std::int64_t(blockIdx.x) * 2 * n;
  if constexpr (Lanes == 0) {
#pragma unroll
    for (int i = 0; i < Each; ++i)
      if (const int c = tile.column(i); c < n) {
        to[c] = dw[i];
        if constexpr (Centred) to[n + c] = db[i];
      }
  } else {
    A* all = dynamic_smem<A>();  // (kAtOnce, n)
#pragma unroll
    for (int which = 0; which < (Centred ? 2 : 1); ++which) {
      __syncthreads();
#pragma unroll
      for (int i = 0; i < Each; ++i)
        if (const int c = tile.column(i); c < n) all[own * n + c] = which == 0 ? dw[i] : db[i];
      __syncthreads();
      for (int c = int(threadIdx.x); c < n; c += Block) {
        A sum = 0;
        for (int k = 0; k < kAtOnce; ++k) sum += all[k * n + c];
        to[which * n + c] = sum;
      }
    }
  }
}

// Rows of any length: their sums, then dx; what a part's rows add to dgamma and dbeta gathers in `partial`, each
// element at its thread's.
template <bool Centred, int Block, class T>
__global__ void __launch_bounds__(Block) layer_norm_long_vjp_kernel(LayerNormVjp<T> p) {
  using A = Compute<T>;
  constexpr int kEach = 8;
  const RowTile<T, 0, kEach> tile(p.packed);
  const std::int64_t group = blockIdx.x / p.parts, first = blockIdx.x % p.parts * p.part_rows;
  const std::int64_t last = first + p.part_rows < p.rows ? first + p.part_rows : p.rows;
  const std::int64_t n = p.x.shape[1], step = tile.span();
  const T* gamma = p.gamma.data + group * p.gamma.stride[0];
  A* to = p.partial + std::int64_t(blockIdx.x) * 2 * n;
  const auto left = [n](std::int64_t c) { return int(n - c < (1 << 30) ? n - c : 1 << 30); };

  for (std::int64_t at = first; at < last; ++at) {
    const std::int64_t row = group * p.rows + at;
    const T *g = p.g.data + row * p.g.stride[0], *x = p.x.data + row * p.x.stride[0];
    const RowStats<A> stats(p.stats + row * kLayerNormStats);
    A rg[kEach], rx[kEach], rw[kEach], sums[2] = {0, 0};
    const auto load = [&](std::int64_t c) {
      tile.load(g + c * p.g.stride[1], p.g.stride[1], left(c), A(0), rg);
      tile.load(x + c * p.x.stride[1], p.x.stride[1], left(c), A(0), rx);
      tile.load(gamma + c * p.gamma.stride[1], p.gamma.stride[1], left(c), A(0), rw);
    };
    for (std::int64_t c = 0; c < n; c += step) {
      load(c);
      add_row_sums(rg, rx, rw, stats, sums);
    }
    row_sum<0>(sums);
    const A level = Centred ? sums[0] / A(n) : A(0), slope = sums[1] / A(n);
    for (std::int64_t c = 0; c < n; c += step) {
      load(c);
#pragma unroll
      for (int i = 0; i < kEach; ++i) {
        const A normal = stats.normal(rx[i]);
        if (tile.column(i) < left(c)) {
          A* sum = to + c + tile.column(i);
          sum[0] = (at == first ? A(0) : sum[0]) + rg[i] * normal;
          if constexpr (Centred) sum[n] = (at == first ? A(0) : sum[n]) + rg[i];
        }
        rg[i] = (rg[i] * rw[i] - level - normal * slope) * stats.scale;
      }
      tile.store(p.dx.data + row * p.dx.stride[0] + c * p.dx.stride[1], p.dx.stride[1], left(c), rg);
    }
  }
}

// dgamma, dbeta from the parts' sums: blocks of 32 columns, 32 threads a column. blockIdx.x is (group, which, tile).
template <bool Centred, int Width, class T>
__global__ void __launch_bounds__(Width* Width) layer_norm_columns_kernel(LayerNormVjp<T> p) {
  using A = Compute<T>;
  __shared__ A sums[Width][Width];
  const std::int64_t n = p.x.shape[1], tiles = (n + Width - 1) / Width;
  const std::int64_t c = blockIdx.x % tiles * Width + threadIdx.x, of_group = blockIdx.x / tiles;
  const std::int64_t group = Centred ? of_group / 2 : of_group, which = Centred ? of_group % 2 : 0;
  A sum = 0;
  if (c < n) {
    const A* from = p.partial + (group * p.parts * 2 + which) * n + c;
    for (std::int64_t k = threadIdx.y; k < p.parts; k += Width) sum += from[k * 2 * n];
  }
  sums[threadIdx.y][threadIdx.x] = sum;
  __syncthreads();
  if (threadIdx.y != 0 || c >= n) return;
  for (int k = 1; k < Width; ++k) sum += sums[k][threadIdx.x];
  (which == 0 ? p.dgamma : p.dbeta)(group, c) = narrow<T>(sum);
}

// ---- launchers ----

namespace detail {

// A thread keeps five registers an element of rows that a block of at most so many threads shares.
template <class T>
inline constexpr int kLayerNormVjpBlock = sizeof(T) == 8 ? 256 : 512;
template <class T>
inline constexpr std::int64_t kLayerNormVjpRow = 8 * kLayerNormVjpBlock<T>;

// Rows that one block of the backward pass takes: enough blocks for a large device, few sums behind them.
template <class T>
std::int64_t layer_norm_part_rows(std::int64_t rows, std::int64_t n) {
  const auto bounded = [](std::int64_t r, std::int64_t low, std::int64_t high) {
    return r < low ? low : r > high ? high : r;
  };
  if (n > kLayerNormVjpRow<T>) return bounded((rows + 255) / 256, 1, 64);
  const std::int64_t some = bounded((rows + 1023) / 1024,
                                    n <= 64    ? 64
                                    : n <= 256 ? 16
                                               : 8,
                                    64),
                     many = (rows + 4095) / 4096;
  return some > many ? some : many;
}
template <class T>
std::int64_t layer_norm_parts(std::int64_t rows, std::int64_t n) {
  const std::int64_t each = layer_norm_part_rows<T>(rows, n);
  return (rows + each - 1) / each;
}

}  // namespace detail

// Bytes of workspace that the backward pass of (groups * rows, n) needs.
template <class T>
std::size_t layer_norm_vjp_workspace(std::int64_t groups, std::int64_t rows, std::int64_t n) {
  return static_cast<std::size_t>(groups * detail::layer_norm_parts<T>(rows, n) * 2 * n) * sizeof(Compute<T>);
}

template <class T>
struct LayerNormVjpCall {
  View<const T, 2> g, x;         // (groups * rows, n)
  const Compute<T>* stats;       // what forward left
  View<const T, 2> gamma;        // (groups, n)
  View<T, 2> dx, dgamma, dbeta;  // as x, gamma, gamma
};

namespace detail {

template <bool Centred, class T>
void launch_row_norm_vjp(Stream& stream, const char* name, const LayerNormVjpCall<T>& call, void* workspace) {
  using A = Compute<T>;
  const std::int64_t groups = call.gamma.shape[0], n = call.x.shape[1];
  if (groups == 0 || n == 0) return;
  const std::int64_t rows = call.x.shape[0] / groups;
  const LayerNormVjp<T> p{call.g,
                          call.x,
                          call.gamma,
                          call.dx,
                          call.dgamma,
                          call.dbeta,
                          call.stats,
                          static_cast<A*>(workspace),
                          rows,
                          layer_norm_part_rows<T>(rows, n),
                          layer_norm_parts<T>(rows, n),
                          rows_packed(call.g, call.x, call.gamma, call.dx)};
  if (const auto blocks = static_cast<unsigned>(groups * p.parts); blocks > 0) {
    constexpr int kBlock = kLayerNormVjpBlock<A>, kLong = Centred ? 512 : 256;  // without a spill
    if (n <= 64)
      launch(stream, name, {blocks, 256, std::size_t(32 * n) * sizeof(A)}, layer_norm_vjp_kernel<Centred, 8, 8, 256, T>,
             p);
    else if (n <= 256)
      launch(stream, name, {blocks, 256, std::size_t(8 * n) * sizeof(A)}, layer_norm_vjp_kernel<Centred, 32, 8, 256, T>,
             p);
    else if (n <= kLayerNormVjpRow<A>)
      launch(stream, name, {blocks, row_launch<0, 8>(rows, n, 0).block},
             layer_norm_vjp_kernel<Centred, 0, 8, kBlock, T>, p);
    else
      launch(stream, name, {blocks, kLong}, layer_norm_long_vjp_kernel<Centred, kLong, T>, p);
  }
  launch(stream, name, {static_cast<unsigned>((n + 31) / 32 * (Centred ? 2 : 1) * groups), dim3{32, 32}},
         layer_norm_columns_kernel<Centred, 32, T>, p);
}

}  // namespace detail

template <class T>
void launch_layer_norm_vjp(Stream& stream, const LayerNormVjpCall<T>& call, void* workspace) {
  detail::launch_row_norm_vjp<true>(stream, "layer_norm_vjp", call, workspace);
}
// The same without dbeta.
template <class T>
void launch_rms_norm_vjp(Stream& stream, const LayerNormVjpCall<T>& call, void* workspace) {
  detail::launch_row_norm_vjp<false>(stream, "rms_norm_vjp", call, workspace);
}

}  // namespace ergo::inline ERGO_BUILD::cuda
