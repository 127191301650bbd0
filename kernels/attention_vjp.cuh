// The gradients of attention (attention.cuh) from the cotangent g of y: with weights w made again from what forward
// kept,
//
//   delta = sum(g y) a row,  ds = w (g v' - delta),  dv = w' g,  dk = scale ds' q,  dq = scale ds k,  dbias = sum of ds
//
// Three launches: delta, a warp a row; dk and dv, a block a tile of keys, through the tiles of queries that see it, of
// each head that reads these keys; dq, a block a tile of queries, through its keys. A fourth one for the bias's
// gradient if that is asked for: a block a tile of it, through all that it was repeated to. So each sum is one block's,
// in an order that the shape fixes, and no weight leaves its block.
#pragma once

#include "ergo/kernels/attention.cuh"

namespace ergo::inline ERGO_BUILD::cuda {

// ---- device code ----

template <class T>
struct AttentionVjp {
  View<const T, 5> g, q, k, v, y, kept;
  const T* delta;  // (L, B, H, T)
  View<T, 5> dq, dk, dv;
  T* dbias;                     // (L, b, h, t, s), row-major, or null
  std::int64_t bias_extent[4];  // b, h, t, s: of the batch, heads, queries, keys, or 1
  AttentionScores<T> scores;
  std::int64_t tiles, across;  // of queries or keys; of the bias: of its t and its s
};

template <class T>
__global__ void __launch_bounds__(kAttentionBlock) attention_delta_kernel(AttentionVjp<T> p, T* delta) {
  const std::int64_t row = std::int64_t(blockIdx.x) * (kAttentionBlock / 32) + threadIdx.x / 32;
  const std::int64_t batch = p.q.shape[1], queries = p.q.shape[2], heads = p.q.shape[3], m = p.v.shape[4];
  if (row >= p.q.shape[0] * batch * heads * queries) return;
  const std::int64_t t = row % queries, h = row / queries % heads, b = row / queries / heads % batch,
                     l = row / queries / heads / batch;
  T sum = 0;
  for (std::int64_t c = threadIdx.x % 32; c < m; c += 32) sum += p.g(l, b, t, h, c) * p.y(l, b, t, h, c);
  for (int step = 16; step > 0; step /= 2) sum += __shfl_xor_sync(kFullMask, sum, step);
  if (threadIdx.x % 32 == 0) delta[row] = sum;
}

// Of this thread's scores: weights, and the scores' cotangents from those of weights, both 0 where a key is hidden.
template <class T, int R>
__device__ __forceinline__ void attention_weights(const AttentionVjp<T>& p, const AttentionSight<T>& sight,
                                                  std::int64_t l, std::int64_t b, std::int64_t h, std::int64_t q0,
                                                  std::int64_t k0, T (&s)[R][R], T (&d)[R][R]) {
  const int tx = int(threadIdx.x) % 16, ty = int(threadIdx.x) / 16;
  const T *delta = p.delta + ((l * p.q.shape[1] + b) * p.q.shape[3] + h) * sight.queries,
          *kept = &p.kept(l, b, h, 0, 0);
#pragma unroll
  for (int i = 0; i < R; ++i) {
    const std::int64_t t = q0 + ty * R + i;
    const std::int64_t row = t < sight.queries ? t : 0;
    const T base = kept[row * p.kept.stride[3]], share = kept[row * p.kept.stride[3] + p.kept.stride[4]];
    const T level = delta[row];
#pragma unroll
    for (int j = 0; j < R; ++j) {
      const T power = attention_power(sight.score(s[i][j], t, k0 + tx + 16 * j) - base);
      s[i][j] = power == 0 ? T(0) : power * share;
      d[i][j] = power == 0 ? T(0) : s[i][j] * (d[i][j] - level);
    }
  }
}
template <class T, int R, int Pitch>
__device__ __forceinline__ void store_scores(T* shared, const T (&s)[R][R]) {
  const int tx = int(threadIdx.x) % 16, ty = int(threadIdx.x) / 16;
#pragma unroll
  for (int i = 0; i < R; ++i)
#pragma unroll
    for (int j = 0; j < R; ++j) shared[(ty * R + i) * Pitch + tx + 16 * j] = s[i][j];
}
// Rows ty R + i of a tile that begins at x (rows, stride), scaled.
template <class T, int R, int N>
__device__ __forceinline__ void store_rows(T* x, std::int64_t row_step, std::int64_t column_step, std::int64_t rows,
                                           int n, T factor, const T (&acc)[R][N]) {
  constexpr int kPack = kPackOf<T>;
  const int tx = int(threadIdx.x) % 16, ty = int(threadIdx.x) / 16;
#pragma unroll
  for (int i = 0; i < R; ++i)
#pragma unroll
    for (int c = 0; c < N; ++c)
      if (const int column = (tx + c / kPack * 16) * kPack + c % kPack; ty * R + i < rows && column < n)
        x[(ty * R + i) * row_step + column * column_step] = acc[i][c] * factor;
}

template <class T, int Width>
__global__ void __launch_bounds__(kAttentionBlock, 1) attention_keys_kernel(AttentionVjp<T> p) {
  constexpr int kTile = kAttentionTile<T, Width>, R = kTile / 16, kPack = kPackOf<T>, kPacks = Width / (16 * kPack);
  constexpr int kPitch = kAttentionPitch<T, Width>, kScores = kTile + kPack;
  T *sk = dynamic_smem<T>(), *sv = sk + kTile * kPitch, *sq = sv + kTile * kPitch, *sg = sq + kTile * kPitch,
    *sw = sg + kTile * kPitch;
  const std::int64_t queries = p.q.shape[2], keys = p.k.shape[2], heads = p.q.shape[3], key_heads = p.k.shape[3];
  const std::int64_t batch = p.q.shape[1], group = heads / key_heads;
  const int n = int(p.q.shape[4]), m = int(p.v.shape[4]);
  const std::int64_t tile = blockIdx.x % p.tiles, kh = blockIdx.x / p.tiles % key_heads;
  const std::int64_t outer = blockIdx.x / p.tiles / key_heads, b = outer % batch, l = outer / batch;
  const std::int64_t k0 = tile * kTile, k1 = k0 + kTile < keys ? k0 + kTile : keys;

  load_attention_rows<T, kTile, Width>(sk, &p.k(l, b, k0, kh, 0), p.k.stride[2], p.k.stride[4], k1 - k0, n);
  load_attention_rows<T, kTile, Width>(sv, &p.v(l, b, k0, kh, 0), p.v.stride[2], p.v.stride[4], k1 - k0, m);
  T dk[R][kPacks * kPack] = {}, dv[R][kPacks * kPack] = {};
  for (std::int64_t h = kh * group; h < (kh + 1) * group; ++h) {
    const AttentionSight<T> sight(p.scores, queries, keys, l, b, h);
    for (std::int64_t q0 = 0; q0 < queries; q0 += kTile) {
      const std::int64_t rows = queries - q0 < kTile ? queries - q0 : kTile;
      if (sight.high(q0 + rows) <= k0 || sight.low(q0) >= k1) continue;
      __syncthreads();
      const bool q_spoilt =
          load_attention_rows<T, kTile, Width>(sq, &p.q(l, b, q0, h, 0), p.q.stride[2], p.q.stride[4], rows, n);
      const bool g_spoilt =
          load_attention_rows<T, kTile, Width>(sg, &p.g(l, b, q0, h, 0), p.g.stride[2], p.g.stride[4], rows, m);
      const bool spoilt = __syncthreads_or(q_spoilt || g_spoilt);
      T s[R][R], d[R][R];
      dot_rows<T, R, Width>(sq, sk, n, s);
      dot_rows<T, R, Width>(sg, sv, m, d);
      attention_weights(p, sight, l, b, h, q0, k0, s, d);
      store_scores<T, R, kScores>(sw, s);
      __syncthreads();
      add_weighted_rows<true, T, R, Width, kTile, kPacks>(sw, sg, int(rows), spoilt, dv);
      __syncthreads();
      store_scores<T, R, kScores>(sw, d);
      __syncthreads();
      add_weighted_rows<true, T, R, Width, kTile, kPacks>(sw, sq, int(rows), spoilt, dk);
    }
  }
  store_rows(&p.dk(l, b, k0, kh, 0), p.dk.stride[2], p.dk.stride[4], k1 - k0, n, T(p.scores.scale), dk);
  store_rows(&p.dv(l, b, k0, kh, 0), p.dv.stride[2], p.dv.stride[4], k1 - k0, m, T(1), dv);
}

template <class T, int Width>
__global__ void __launch_bounds__(kAttentionBlock, 1) attention_queries_kernel(AttentionVjp<T> p) {
  constexpr int kTile = kAttentionTile<T, Width>, R = kTile / 16, kPack = kPackOf<T>, kPacks = Width / (16 * kPack);
  constexpr int kPitch = kAttentionPitch<T, Width>, kScores = kTile + kPack;
  T *sq = dynamic_smem<T>(), *sg = sq + kTile * kPitch, *sk = sg + kTile * kPitch, *sv = sk + kTile * kPitch,
    *sw = sv + kTile * kPitch;
  const std::int64_t queries = p.q.shape[2], keys = p.k.shape[2], heads = p.q.shape[3], batch = p.q.shape[1];
  const int n = int(p.q.shape[4]), m = int(p.v.shape[4]);
  const std::int64_t tile = blockIdx.x % p.tiles, h = blockIdx.x / p.tiles % heads,
                     outer = blockIdx.x / p.tiles / heads;
  const std::int64_t b = outer % batch, l = outer / batch, kh = h / (heads / p.k.shape[3]);
  const std::int64_t q0 = tile * kTile, q1 = q0 + kTile < queries ? q0 + kTile : queries;
  const AttentionSight<T> sight(p.scores, queries, keys, l, b, h);

  load_attention_rows<T, kTile, Width>(sq, &p.q(l, b, q0, h, 0), p.q.stride[2], p.q.stride[4], q1 - q0, n);
  load_attention_rows<T, kTile, Width>(sg, &p.g(l, b, q0, h, 0), p.g.stride[2], p.g.stride[4], q1 - q0, m);
  T dq[R][kPacks * kPack] = {};
  const std::int64_t high = sight.high(q1);
  for (std::int64_t k0 = sight.low(q0) / kTile * kTile; k0 < high; k0 += kTile) {
    const std::int64_t left = high - k0 < kTile ? high - k0 : kTile;
    __syncthreads();
    load_attention_rows<T, kTile, Width>(sv, &p.v(l, b, k0, kh, 0), p.v.stride[2], p.v.stride[4], left, m);
    const bool spoilt = __syncthreads_or(
        load_attention_rows<T, kTile, Width>(sk, &p.k(l, b, k0, kh, 0), p.k.stride[2], p.k.stride[4], left, n));
    T s[R][R], d[R][R];
    dot_rows<T, R, Width>(sq, sk, n, s);
    dot_rows<T, R, Width>(sg, sv, m, d);
    attention_weights(p, sight, l, b, h, q0, k0, s, d);
    store_scores<T, R, kScores>(sw, d);
    __syncwarp();  // a row is made and read by one warp
    add_weighted_rows<false, T, R, Width, kTile, kPacks>(sw, sk, int(left), spoilt, dq);
  }
  store_rows(&p.dq(l, b, q0, h, 0), p.dq.stride[2], p.dq.stride[4], q1 - q0, n, T(p.scores.scale), dq);
}

template <class T, int Width>
__global__ void __launch_bounds__(kAttentionBlock, 1) attention_bias_kernel(AttentionVjp<T> p) {
  constexpr int kTile = kAttentionTile<T, Width>, R = kTile / 16, kPack = kPackOf<T>;
  constexpr int kPitch = kAttentionPitch<T, Width>, kScores = kTile + kPack;
  T *sq = dynamic_smem<T>(), *sg = sq + kTile * kPitch, *sk = sg + kTile * kPitch, *sv = sk + kTile * kPitch,
    *sw = sv + kTile * kPitch;
  const std::int64_t queries = p.q.shape[2], keys = p.k.shape[2], heads = p.q.shape[3], batch = p.q.shape[1];
  const std::int64_t group = p.k.shape[3] ? heads / p.k.shape[3] : 0;
  const int n = int(p.q.shape[4]), m = int(p.v.shape[4]);
  const std::int64_t ks = blockIdx.x % p.across, qs = blockIdx.x / p.across % p.tiles;
  const std::int64_t corner = blockIdx.x / p.across / p.tiles, h0 = corner % p.bias_extent[1],
                     b0 = corner / p.bias_extent[1] % p.bias_extent[0],
                     l = corner / p.bias_extent[1] / p.bias_extent[0];
  const bool all_queries = p.bias_extent[2] == 1, all_keys = p.bias_extent[3] == 1;
  const std::int64_t b1 = p.bias_extent[0] == 1 ? batch : b0 + 1, h1 = p.bias_extent[1] == 1 ? heads : h0 + 1;
  const std::int64_t q_from = all_queries ? 0 : qs * kTile, k_from = all_keys ? 0 : ks * kTile;
  const std::int64_t q_to = !all_queries && q_from + kTile < queries ? q_from + kTile : queries;
  const std::int64_t k_to = !all_keys && k_from + kTile < keys ? k_from + kTile : keys;

  T sum[R][R] = {};
  for (std::int64_t b = b0; b < b1; ++b)
    for (std::int64_t h = h0; h < h1; ++h) {
      const AttentionSight<T> sight(p.scores, queries, keys, l, b, h);
      for (std::int64_t q0 = q_from; q0 < q_to; q0 += kTile)
        for (std::int64_t k0 = k_from; k0 < k_to; k0 += kTile) {
          const std::int64_t rows = q_to - q0 < kTile ? q_to - q0 : kTile, left = k_to - k0 < kTile ? k_to - k0 : kTile;
          if (sight.high(q0 + rows) <= k0 || sight.low(q0) >= k0 + left) continue;
          const std::int64_t kh = h / group;
          __syncthreads();
          load_attention_rows<T, kTile, Width>(sq, &p.q(l, b, q0, h, 0), p.q.stride[2], p.q.stride[4], rows, n);
          load_attention_rows<T, kTile, Width>(sg, &p.g(l, b, q0, h, 0), p.g.stride[2], p.g.stride[4], rows, m);
          load_attention_rows<T, kTile, Width>(sk, &p.k(l, b, k0, kh, 0), p.k.stride[2], p.k.stride[4], left, n);
          load_attention_rows<T, kTile, Width>(sv, &p.v(l, b, k0, kh, 0), p.v.stride[2], p.v.stride[4], left, m);
          __syncthreads();
          T s[R][R], d[R][R];
          dot_rows<T, R, Width>(sq, sk, n, s);
          dot_rows<T, R, Width>(sg, sv, m, d);
          attention_weights(p, sight, l, b, h, q0, k0, s, d);
#pragma unroll
          for (int i = 0; i < R; ++i)
#pragma unroll
            for (int j = 0; j < R; ++j) sum[i][j] += d[i][j];
        }
    }
  store_scores<T, R, kScores>(sw, sum);
  __syncthreads();
  T* to = p.dbias + corner * p.bias_extent[2] * p.bias_extent[3];
  const std::int64_t rows = all_queries ? 1 : q_to - q_from, columns = all_keys ? 1 : k_to - k_from;
  for (std::int64_t i = threadIdx.x; i < rows * columns; i += kAttentionBlock) {
    const std::int64_t r = i / columns, c = i % columns;
    T total = 0;
    for (std::int64_t t = r; t < (all_queries ? kTile : r + 1); ++t)
      for (std::int64_t u = c; u < (all_keys ? kTile : c + 1); ++u) total += sw[t * kScores + u];
    to[((all_queries ? 0 : q_from) + r) * p.bias_extent[3] + (all_keys ? 0 : k_from) + c] = total;
  }
}

// ---- launchers ----

template <class T>
struct AttentionVjpCall {
  View<const T, 5> g, q, k, v, y, kept;  // y and kept: what forward gave
  AttentionScores<T> scores;
  View<T, 5> dq, dk, dv;
  T* dbias;                     // null: not asked for
  std::int64_t bias_extent[4];  // b, h, t, s: of the batch, heads, queries, keys, or 1
};
// delta: room for a number for each row of scores.
template <class T>
void launch_attention_vjp(Stream& stream, const AttentionVjpCall<T>& call, T* delta) {
  constexpr auto name = "attention_vjp";
  AttentionVjp<T> p{call.g,  call.q,  call.k,     call.v, call.y,      call.kept, delta, call.dq,
                    call.dk, call.dv, call.dbias, {},     call.scores, 1,         1};
  for (int d = 0; d < 4; ++d) p.bias_extent[d] = call.bias_extent[d];
  const std::int64_t outer = p.q.shape[0] * p.q.shape[1], rows = outer * p.q.shape[2] * p.q.shape[3];
  if (rows > 0)
    launch(stream, name, {detail::attention_blocks(name, (rows - 1) / (kAttentionBlock / 32) + 1), kAttentionBlock},
           attention_delta_kernel<T>, p, delta);
  detail::for_attention_width(p.q.shape[4], p.v.shape[4], [&](auto width) {
    constexpr int kWidth = decltype(width)::value, kTile = kAttentionTile<T, kWidth>;
    constexpr std::size_t memory = detail::attention_memory<T, kWidth>(4, 1);
    const auto tiles = [](std::int64_t n) { return (n + kTile - 1) / kTile; };
    p.tiles = tiles(p.k.shape[2]);
    if (const auto blocks = detail::attention_blocks(name, outer * p.k.shape[3] * p.tiles); blocks > 0)
      launch(stream, name, {blocks, kAttentionBlock, memory}, attention_keys_kernel<T, kWidth>, p);
    p.tiles = tiles(p.q.shape[2]);
    if (const auto blocks = detail::attention_blocks(name, outer * p.q.shape[3] * p.tiles); blocks > 0)
      launch(stream, name, {blocks, kAttentionBlock, memory}, attention_queries_kernel<T, kWidth>, p);
    if (!p.dbias) return;
    p.tiles = tiles(p.bias_extent[2]);
    p.across = tiles(p.bias_extent[3]);
    const std::int64_t corners = p.q.shape[0] * p.bias_extent[0] * p.bias_extent[1];
    if (const auto blocks = detail::attention_blocks(name, corners * p.tiles * p.across); blocks > 0)
      launch(stream, name, {blocks, kAttentionBlock, memory}, attention_bias_kernel<T, kWidth>, p);
  });
}

}  // namespace ergo::inline ERGO_BUILD::cuda
