// Implicit matrix products on tensor cores for 16-bit types: a block computes 128 x Tile results, eight warps of 64 x
// 32 (Tile = 128) or 32 x 32 (Tile = 64), by mma.sync m16n8k16 with float accumulation. Tiles of 32 steps of k come to
// shared memory by cp.async, zeros outside the image by its zero fill, in a ring of four; a padding of 16 bytes a line
// keeps ldmatrix free of bank conflicts. So are copies of lines of 64 bytes, with that 80 apart, as the two lines that
// a quarter of a warp moves at once lie four apart. A factor whose neighbours in memory are neighbours in k is kept by
// rows, else by steps of k and transposed by ldmatrix. Asks for runs of channels that are multiples of 8 and addresses
// that are multiples of 16 bytes.
#pragma once

#include "ergo/kernels/conv_tiles.cuh"

namespace ergo::inline ERGO_BUILD::cuda {

inline constexpr int kTensorRows = 128, kTensorDepth = 32, kTensorStages = 4, kLinesApart = 4;

// A factor's tile of `Tile` rows in shared memory.
template <class Factor, class T, int Tile, bool AlongK>
struct TensorTile {
  static constexpr int kPitch = (AlongK ? kTensorDepth : Tile) + 8;
  static constexpr int kSize = (AlongK ? Tile : kTensorDepth) * kPitch;
  using Share = ConvShare<Factor, Tile, kTensorDepth, 8, AlongK, kLinesApart>;

  static __device__ __forceinline__ void copy(T* tile, const Factor& f, const Share& share) {
#pragma unroll
    for (int i = 0; i < Share::kPacks; ++i) {
      const auto &r = share.place_of_row(i), &q = share.place_of_k(i);
      const bool there = f.holds(r, q);
      const int row = share.row_of(i), k = share.k_of(i);
      ptx::cp_async16(tile + (AlongK ? row * kPitch + k : k * kPitch + row),
                      there ? f.data + (r.offset + q.offset) : f.data, there);
    }
  }
  // 16 rows by 16 steps of k: the fragment of a, and two fragments of b, whose registers are {0, 1} and {2, 3} if
  // matrices follow each other along k first.
  template <bool KFirst>
  static __device__ __forceinline__ void fragments(unsigned (&r)[4], const T* tile, int row, int k, int lane) {
    const int inner = lane % 8, first = lane / 8 % 2 * 8, second = lane / 16 * 8;
    const int of_row = row + (KFirst ? second : first), of_k = k + (KFirst ? first : second);
    ptx::ldmatrix_x4<!AlongK>(r, tile + (AlongK ? (of_row + inner) * kPitch + of_k : (of_k + inner) * kPitch + of_row));
  }
};

template <int Tile, class P>
struct TensorShape {
  using T = typename P::Element;
  using TileA = TensorTile<decltype(P::a), T, kTensorRows, P::kAlongKA>;
  using TileB = TensorTile<decltype(P::b), T, Tile, P::kAlongKB>;
  static constexpr int kStage = TileA::kSize + TileB::kSize;
  static constexpr std::size_t kBytes = std::size_t(kTensorStages) * kStage * sizeof(T);
};

// A warp's results, from its row and column on. 16-bit ones go through shared memory, `own` to the warp, so that they
// are written by packs of 16 bytes, four to a row; of floats the pairs of a fragment fill sectors as they are.
inline constexpr int kStorePitch = 40;
template <int Fragments, class P, class T>
__device__ __forceinline__ void store_fragments(const P& p, const float (&sum)[Fragments][4][4], T* own, int row,
                                                int column, int lane) {
  using R = typename P::Result;
  if constexpr (sizeof(R) == 2) {
    __syncthreads();  // the last stages have been read
#pragma unroll
    for (int i = 0; i < 2 * Fragments; ++i)
#pragma unroll
      for (int j = 0; j < 4; ++j)
        store_pack(own + (i * 8 + lane / 4) * kStorePitch + j * 8 + lane % 4 * 2,
                   Pack<R, 2>{narrow<R>(sum[i / 2][j][i % 2 * 2]), narrow<R>(sum[i / 2][j][i % 2 * 2 + 1])});
    __syncwarp();
    const int at = column + lane % 4 * 8, line = lane / 8 + lane / 4 % 2 * kLinesApart;
#pragma unroll
    for (int i = 0; i < 2 * Fragments; ++i) {
      const std::int64_t offset = p.row_of_y(row + i * 8 + line);
      if (offset >= 0 && at < p.n)
        store_pack(p.y + offset + at, load_pack<8>(own + (i * 8 + line) * kStorePitch + lane % 4 * 8));
    }
  } else {
#pragma unroll
    for (int i = 0; i < 2 * Fragments; ++i) {
      const std::int64_t offset = p.row_of_y(row + i * 8 + lane / 4);
#pragma unroll
      for (int j = 0; j < 4; ++j) {
        const int at = column + j * 8 + lane % 4 * 2;
        if (offset >= 0 && at < p.n)
          store_pack(p.y + offset + at,
                     Pack<R, 2>{narrow<R>(sum[i / 2][j][i % 2 * 2]), narrow<R>(sum[i / 2][j][i % 2 * 2 + 1])});
      }
    }
  }
}

template <int Tile, class P>
__global__ void __launch_bounds__(kConvBlock, 2) conv_tensor_kernel(P product, unsigned tiles_m, unsigned tiles_n) {
  using S = TensorShape<Tile, P>;
  using T = typename P::Element;
  constexpr int kWarpsAcross = Tile / 32, kWarpRows = kTensorRows * kWarpsAcross / 8, kFragments = kWarpRows / 16;
  static_assert(8 * kWarpRows * kStorePitch <= kTensorStages * S::kStage);
  T* const shared = dynamic_smem<T>();

  const ConvTile tile(tiles_m, tiles_n, kTensorRows, Tile);
  P p = product;
  p.select(tile.part);
  const int thread = int(threadIdx.x), lane = thread % 32, warp = thread / 32;
  const int at_row = warp / kWarpsAcross * kWarpRows, at_column = warp % kWarpsAcross * 32;

  typename S::TileA::Share share_a(thread);
  typename S::TileB::Share share_b(thread);
  share_a.at_rows(tile.row, [&](int i) { return p.row_of_a(i); });
  share_b.at_rows(tile.column, [&](int j) { return p.row_of_b(j); });
  const auto copy = [&](int stage, int k) {
    if (k < p.k_end) {
      share_a.at_k(k, [&](int q) { return p.k_of_a(q); });
      share_b.at_k(k, [&](int q) { return p.k_of_b(q); });
      T* const to = shared + stage * S::kStage;
      S::TileA::copy(to, p.a, share_a);
      S::TileB::copy(to + S::TileA::kSize, p.b, share_b);
    }
    ptx::cp_async_commit();  // a group a step, an empty one at the end
  };

  float sum[kFragments][4][4] = {};
#pragma unroll 1  // unrolled, it takes registers
  for (int stage = 0; stage < kTensorStages - 1; ++stage) copy(stage, p.k_begin + stage * kTensorDepth);
  int stage = 0;
  for (int k = p.k_begin; k < p.k_end; k += kTensorDepth) {
    ptx::cp_async_wait<kTensorStages - 2>();
    __syncthreads();  // this stage has arrived for all, and nobody reads the one that is filled next
    copy((stage + kTensorStages - 1) % kTensorStages, k + (kTensorStages - 1) * kTensorDepth);
    const T* const a_tile = shared + stage * S::kStage;
    const T* const b_tile = a_tile + S::TileA::kSize;
#pragma unroll
    for (int q = 0; q < kTensorDepth; q += 16) {
      unsigned a[kFragments][4], b[2][4];
#pragma unroll
      for (int i = 0; i < kFragments; ++i) S::TileA::template fragments<false>(a[i], a_tile, at_row + i * 16, q, lane);
#pragma unroll
      for (int j = 0; j < 2; ++j) S::TileB::template fragments<true>(b[j], b_tile, at_column + j * 16, q, lane);
#pragma unroll
      for (int i = 0; i < kFragments; ++i)
#pragma unroll
        for (int j = 0; j < 4; ++j) {
          const unsigned of_b[2] = {b[j / 2][j % 2 * 2], b[j / 2][j % 2 * 2 + 1]};
          ptx::mma_m16n8k16<T>(sum[i][j], a[i], of_b);
        }
    }
    stage = (stage + 1) % kTensorStages;
  }
  ptx::cp_async_wait<0>();
  store_fragments(p, sum, shared + warp * kWarpRows * kStorePitch, tile.row + at_row, tile.column + at_column, lane);
}

}  // namespace ergo::inline ERGO_BUILD::cuda
