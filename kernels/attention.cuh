// Attention, y = softmax(scale q k' + bias) v for every (batch, head), of q (L, B, T, H, D), k (L, B, S, K, D) and v
// (L, B, S, K, M); query head h reads head h / (H / K) of k and v. The weights (T, S) are never in memory.
//
// One launch: a block takes a tile of queries and goes through the keys that it sees, tile by tile, with a running
// maximum and sum a row (Milakov and Gimelshein 2018; Dao et al. 2022). Weights are powers of two of how far scores are
// below the maximum; tiles of keys that no query of the block sees are skipped. A row leaves two numbers for the
// backward pass, m and r, with which a weight is e^(score - m) r: not the one logarithm m - log r, as a large m would
// swallow log r. r is 0 if the row sees nothing: then y is 0. A weight of 0 leaves out its value, NaN or not: tiles of
// values that are not all finite go through a product of their own. Products by fused multiply-adds from shared memory,
// each thread a square of scores; float and double. Sums are in an order that the shape fixes.
#pragma once

#include "ergo/kernels/common/attention_tiles.cuh"

namespace ergo::inline ERGO_BUILD::cuda {

// ---- device code ----

template <class T>
struct AttentionForward {
  View<const T, 5> q, k, v;
  View<T, 5> y;
  T* kept;  // (L, B, H, T, 2), row-major
  AttentionScores<T> scores;
  std::int64_t tiles;  // of queries
};

// The largest, and the sum, over the 16 threads of a row.
template <class T>
__device__ __forceinline__ T largest_of_row(T x) {
#pragma unroll
  for (int step = 8; step > 0; step /= 2) {
    const T other = __shfl_xor_sync(kFullMask, x, step);
    x = x < other ? other : x;
  }
  return x;
}
template <class T>
__device__ __forceinline__ T sum_of_row(T x) {
#pragma unroll
  for (int step = 8; step > 0; step /= 2) x += __shfl_xor_sync(kFullMask, x, step);
  return x;
}

template <class T, int Width>
__global__ void __launch_bounds__(kAttentionBlock, 1) attention_kernel(AttentionForward<T> p) {
  constexpr int kTile = kAttentionTile<T, Width>, R = kTile / 16, kPack = kPackOf<T>, kPacks = Width / (16 * kPack);
  constexpr int kPitch = kAttentionPitch<T, Width>, kScores = kTile + kPack;
  T *sq = dynamic_smem<T>(), *sk = sq + kTile * kPitch, *sv = sk + kTile * kPitch, *sw = sv + kTile * kPitch;
  const int tx = int(threadIdx.x) % 16, ty = int(threadIdx.x) / 16;
  const std::int64_t queries = p.q.shape[2], keys = p.k.shape[2], heads = p.q.shape[3];
  const int n = int(p.q.shape[4]), m = int(p.v.shape[4]);
  const std::int64_t tile = blockIdx.x % p.tiles, h = blockIdx.x / p.tiles % heads,
                     outer = blockIdx.x / p.tiles / heads;
  const std::int64_t b = outer % p.q.shape[1], l = outer / p.q.shape[1], kh = h / (heads / p.k.shape[3]);
  const std::int64_t q0 = tile * kTile, q1 = q0 + kTile < queries ? q0 + kTile : queries;
  const AttentionSight<T> sight(p.scores, queries, keys, l, b, h);

  load_attention_rows<T, kTile, Width>(sq, &p.q(l, b, q0, h, 0), p.q.stride[2], p.q.stride[4], q1 - q0, n);
  T acc[R][kPacks * kPack] = {}, top[R], total[R] = {};
#pragma unroll
  for (int i = 0; i < R; ++i) top[i] = -T(__builtin_huge_val());
  const std::int64_t high = sight.high(q1);
  for (std::int64_t k0 = sight.low(q0) / kTile * kTile; k0 < high; k0 += kTile) {
    const std::int64_t left = high - k0 < kTile ? high - k0 : kTile;
    __syncthreads();
    load_attention_rows<T, kTile, Width>(sk, &p.k(l, b, k0, kh, 0), p.k.stride[2], p.k.stride[4], left, n);
    const bool spoilt = __syncthreads_or(
        load_attention_rows<T, kTile, Width>(sv, &p.v(l, b, k0, kh, 0), p.v.stride[2], p.v.stride[4], left, m));
    T s[R][R];
    dot_rows<T, R, Width>(sq, sk, n, s);
#pragma unroll
    for (int i = 0; i < R; ++i) {
      T most = top[i];
#pragma unroll
      for (int j = 0; j < R; ++j) {
        s[i][j] = sight.score(s[i][j], q0 + ty * R + i, k0 + tx + 16 * j);
        most = most < s[i][j] ? s[i][j] : most;  // a NaN shows in the sum
      }
      most = largest_of_row(most);
      const T base = most == -T(__builtin_huge_val()) ? T(0) : most, shrink = attention_power(top[i] - base);
      T sum = 0;
#pragma unroll
      for (int j = 0; j < R; ++j) {
        const T w = attention_power(s[i][j] - base);
        sw[(ty * R + i) * kScores + tx + 16 * j] = w;
        sum += w;
      }
      total[i] = total[i] * shrink + sum_of_row(sum);
      top[i] = most;
#pragma unroll
      for (int c = 0; c < kPacks * kPack; ++c) acc[i][c] *= shrink;
    }
    __syncwarp();  // a row of weights is made and read by one warp
    add_weighted_rows<false, T, R, Width, kTile, kPacks>(sw, sv, int(left), spoilt, acc);
  }
#pragma unroll
  for (int i = 0; i < R; ++i) {
    const std::int64_t t = q0 + ty * R + i;
    if (t >= q1) continue;
    const bool empty = total[i] == 0;
    const T share = empty ? T(0) : 1 / total[i];
    if (tx == 0) {
      T* kept = p.kept + 2 * (((l * p.q.shape[1] + b) * heads + h) * queries + t);
      kept[0] = top[i] == -T(__builtin_huge_val()) ? T(0) : top[i];
      kept[1] = share;
    }
    T* y = &p.y(l, b, t, h, 0);
#pragma unroll
    for (int c = 0; c < kPacks * kPack; ++c)
      if (const int column = (tx + c / kPack * 16) * kPack + c % kPack; column < m)
        y[column * p.y.stride[4]] = empty ? T(0) : acc[i][c] * share;
  }
}

// ---- launchers ----

namespace detail {

// Bytes of shared memory of so many tiles of rows and of scores.
template <class T, int Width>
constexpr std::size_t attention_memory(int rows, int scores) {
  constexpr int kTile = kAttentionTile<T, Width>;
  return static_cast<std::size_t>(kTile) *
         static_cast<std::size_t>(rows * kAttentionPitch<T, Width> + scores * (kTile + kPackOf<T>)) * sizeof(T);
}
// f(a width of tiles that holds n and m columns).
template <class F>
void for_attention_width(std::int64_t n, std::int64_t m, const F& f) {
  const std::int64_t most = n < m ? m : n;
  if (most <= 64)
    f(std::integral_constant<int, 64>{});
  else if (most <= 128)
    f(std::integral_constant<int, 128>{});
  else
    f(std::integral_constant<int, int(kAttentionWidth)>{});
}

// Blocks along the one axis of a grid.
inline unsigned attention_blocks(const char* name, std::int64_t n) {
  if (n > 0x7fffffff)
    throw Error({"[", name, "] ", n, " tiles of queries or keys are more than a grid's 2^31 - 1 blocks"});
  return static_cast<unsigned>(n);
}

}  // namespace detail

// y and kept (L, B, H, T, 2; row-major). D and M are at most kAttentionWidth.
template <class T>
void launch_attention(Stream& stream, View<const T, 5> q, View<const T, 5> k, View<const T, 5> v,
                      const AttentionScores<T>& scores, View<T, 5> y, T* kept) {
  if (q.shape[0] * q.shape[1] * q.shape[2] * q.shape[3] == 0) return;
  detail::for_attention_width(q.shape[4], v.shape[4], [&](auto width) {
    constexpr int kWidth = decltype(width)::value, kTile = kAttentionTile<T, kWidth>;
    const std::int64_t tiles = (q.shape[2] + kTile - 1) / kTile;
    launch(stream, "attention",
           {detail::attention_blocks("attention", q.shape[0] * q.shape[1] * q.shape[3] * tiles), kAttentionBlock,
            detail::attention_memory<T, kWidth>(3, 1)},
           attention_kernel<T, kWidth>, AttentionForward<T>{q, k, v, y, kept, scores, tiles});
  });
}

}  // namespace ergo::inline ERGO_BUILD::cuda
