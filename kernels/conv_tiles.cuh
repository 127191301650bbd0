// Implicit matrix products on the cores for float and double: a block computes Tile x Tile results from tiles of its
// factors in shared memory, double-buffered, of kDepth steps of k; a thread computes 4 x 4 results, or 4 x 4 of each
// quarter of a tile of 128. Each result is summed over k in order.
#pragma once

#include "ergo/kernels/conv_product.cuh"

namespace ergo::inline ERGO_BUILD::cuda {

inline constexpr int kConvBlock = 256;

// The packs of V elements that one thread brings of a factor's tile: of one step of k or of one row, whichever is not
// along memory. Apart: threads that bring neighbouring lines along k take rows that lie so far apart.
template <class Factor, int Tile, int Depth, int V, bool AlongK, int Apart = 1>
struct ConvShare {
  static constexpr int kAcross = (AlongK ? Depth : Tile) / V, kStep = kConvBlock / kAcross;
  static constexpr int kPacks = Tile * Depth / (kConvBlock * V);
  static_assert(kConvBlock % kAcross == 0 && kPacks * kConvBlock * V == Tile * Depth);

  using Place = typename Factor::Place;
  int row, k;  // of the first pack in the tile
  Place row_place[AlongK ? kPacks : 1], k_place[AlongK ? 1 : kPacks];

  __device__ __forceinline__ explicit ConvShare(int thread)
      : row(AlongK ? row_of_line(thread / kAcross) : thread % kAcross * V),
        k(AlongK ? thread % kAcross * V : thread / kAcross) {}
  static __device__ __forceinline__ int row_of_line(int line) {
    return Apart == 1 ? line : line / (2 * Apart) * (2 * Apart) + line % (2 * Apart) / 2 + line % 2 * Apart;
  }
  template <class F>
  __device__ __forceinline__ void at_rows(int first, F place) {
#pragma unroll
    for (int i = 0; i < (AlongK ? kPacks : 1); ++i) row_place[i] = place(first + row + i * kStep);
  }
  template <class F>
  __device__ __forceinline__ void at_k(int first, F place) {
#pragma unroll
    for (int i = 0; i < (AlongK ? 1 : kPacks); ++i) k_place[i] = place(first + k + i * kStep);
  }
  // Of the i-th pack.
  __device__ __forceinline__ const Place& place_of_row(int i) const { return row_place[AlongK ? i : 0]; }
  __device__ __forceinline__ const Place& place_of_k(int i) const { return k_place[AlongK ? 0 : i]; }
  template <class T>
  __device__ __forceinline__ Pack<T, V> load(const Factor& f, int i, const T* data) const {
    const Place &r = place_of_row(i), &q = place_of_k(i);
    return load_or_zeros<V>(f.holds(r, q), data + (r.offset + q.offset));
  }
  __device__ __forceinline__ int row_of(int i) const { return row + (AlongK ? i * kStep : 0); }
  __device__ __forceinline__ int k_of(int i) const { return k + (AlongK ? 0 : i * kStep); }
};

// The block's tile: of which part of the product, and where. Neighbouring blocks share the rows of a.
struct ConvTile {
  int part, row, column;
  __device__ __forceinline__ ConvTile(unsigned tiles_m, unsigned tiles_n, int rows, int columns) {
    const unsigned rest = blockIdx.x / tiles_n, whole = rest / tiles_m;
    part = int(whole);
    row = int(rest - whole * tiles_m) * rows;
    column = int(blockIdx.x - rest * tiles_n) * columns;
  }
};

// Elements as they are computed with, from a pack to shared memory: along its row, or one a row.
template <bool AlongK, int Pitch, class T, int V>
__device__ __forceinline__ void spread_pack(const Pack<T, V>& p, Compute<T>* tile, int row, int k) {
  if constexpr (AlongK) {
#pragma unroll
    for (int e = 0; e < V; ++e) tile[(k + e) * Pitch + row] = widen(p[e]);
  } else {
    Pack<Compute<T>, V> wide;
#pragma unroll
    for (int e = 0; e < V; ++e) wide[e] = widen(p[e]);
    store_pack(tile + k * Pitch + row, wide);
  }
}

template <int Tile, int V, class P>
__global__ void __launch_bounds__(kConvBlock, Tile == 128 && V == 1 ? 1 : 2)
    conv_tile_kernel(P product, unsigned tiles_m, unsigned tiles_n) {
  using T = typename P::Element;
  using R = typename P::Result;
  using A = Compute<T>;
  constexpr int kDepth = Tile == 128 || sizeof(A) == 8 ? 8 : 16, kPitch = Tile + 4, kQuads = Tile / 64;
  constexpr int kWide = 16 / int(sizeof(A));                         // elements of one access to shared memory
  [[maybe_unused]] constexpr int kUnroll = Tile == 64 ? kDepth : 2;  // more does not fit 128 registers
  __shared__ __align__(16) A a_tile[2][kDepth * kPitch];
  __shared__ __align__(16) A b_tile[2][kDepth * kPitch];

  const ConvTile tile(tiles_m, tiles_n, Tile, Tile);
  P p = product;
  p.select(tile.part);
  const int thread = int(threadIdx.x), lane = thread % 32, warp = thread / 32;
  const int at_row = (warp / 2 * 4 + lane / 8) * 4, at_column = (warp % 2 * 8 + lane % 8) * 4;

  using ShareA = ConvShare<decltype(p.a), Tile, kDepth, V, P::kAlongKA>;
  using ShareB = ConvShare<decltype(p.b), Tile, kDepth, V, P::kAlongKB>;
  ShareA share_a(thread);
  ShareB share_b(thread);
  share_a.at_rows(tile.row, [&](int i) { return p.row_of_a(i); });
  share_b.at_rows(tile.column, [&](int j) { return p.row_of_b(j); });
  Pack<T, V> from_a[ShareA::kPacks], from_b[ShareB::kPacks];
  const auto load = [&](int k) {
    share_a.at_k(k, [&](int q) { return p.k_of_a(q); });
    share_b.at_k(k, [&](int q) { return p.k_of_b(q); });
#pragma unroll
    for (int i = 0; i < ShareA::kPacks; ++i) from_a[i] = share_a.load(p.a, i, p.a.data);
#pragma unroll
    for (int i = 0; i < ShareB::kPacks; ++i) from_b[i] = share_b.load(p.b, i, p.b.data);
  };

  A sum[4 * kQuads][4 * kQuads] = {};
  if (p.k_begin < p.k_end) load(p.k_begin);
  int buffer = 0;
  for (int k = p.k_begin; k < p.k_end; k += kDepth, buffer ^= 1) {
#pragma unroll
    for (int i = 0; i < ShareA::kPacks; ++i)
      spread_pack<P::kAlongKA, kPitch>(from_a[i], a_tile[buffer], share_a.row_of(i), share_a.k_of(i));
#pragma unroll
    for (int i = 0; i < ShareB::kPacks; ++i)
      spread_pack<P::kAlongKB, kPitch>(from_b[i], b_tile[buffer], share_b.row_of(i), share_b.k_of(i));
    __syncthreads();  // whoever fills this buffer next has passed the next barrier
    if (k + kDepth < p.k_end) load(k + kDepth);
#pragma unroll kUnroll
    for (int q = 0; q < kDepth; ++q) {
      A a[4 * kQuads], b[4 * kQuads];
#pragma unroll
      for (int quad = 0; quad < kQuads; ++quad) {
#pragma unroll
        for (int e = 0; e < 4; e += kWide) {
          const auto of_a = load_pack<kWide>(a_tile[buffer] + q * kPitch + quad * 64 + at_row + e);
          const auto of_b = load_pack<kWide>(b_tile[buffer] + q * kPitch + quad * 64 + at_column + e);
#pragma unroll
          for (int i = 0; i < kWide; ++i) {
            a[quad * 4 + e + i] = of_a[i];
            b[quad * 4 + e + i] = of_b[i];
          }
        }
      }
#pragma unroll
      for (int i = 0; i < 4 * kQuads; ++i)
#pragma unroll
        for (int j = 0; j < 4 * kQuads; ++j) sum[i][j] += a[i] * b[j];
    }
  }

#pragma unroll
  for (int i = 0; i < 4 * kQuads; ++i) {
    const std::int64_t offset = p.row_of_y(tile.row + i / 4 * 64 + at_row + i % 4);
    if (offset < 0) continue;
#pragma unroll
    for (int j = 0; j < 4 * kQuads; j += V) {
      const int column = tile.column + j / 4 * 64 + at_column + j % 4;
      if (column >= p.n) continue;
      Pack<R, V> results;
#pragma unroll
      for (int e = 0; e < V; ++e) results[e] = narrow<R>(sum[i][j + e]);
      store_pack(p.y + offset + column, results);
    }
  }
}

// dw = the sum of `parts` arrays of n elements, in order.
template <int V, class T>
__global__ void __launch_bounds__(kConvBlock)
    conv_sum_kernel(const Compute<T>* parts, T* dw, std::int64_t n, int count) {
  const std::int64_t i = (std::int64_t{blockIdx.x} * kConvBlock + threadIdx.x) * V;
  if (i >= n) return;
  auto sum = load_pack<V>(parts + i);
  for (int part = 1; part < count; ++part) {
    const auto next = load_pack<V>(parts + part * n + i);
#pragma unroll
    for (int e = 0; e < V; ++e) sum[e] += next[e];
  }
  Pack<T, V> results;
#pragma unroll
  for (int e = 0; e < V; ++e) results[e] = narrow<T>(sum[e]);
  store_pack(dw + i, results);
}

}  // namespace ergo::inline ERGO_BUILD::cuda
