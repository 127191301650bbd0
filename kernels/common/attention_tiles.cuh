// What the kernels of attention, forward and backward, share: tiles of rows in shared memory, their products by 16 x 16
// threads, and the scores, which know what queries see.
#pragma once

#include "ergo/kernels/common/pack.cuh"
#include "ergo/kernels/common/view.cuh"

namespace ergo::inline ERGO_BUILD::cuda {

inline constexpr std::int64_t kAttentionWidth = 256;  // the largest D and M
inline constexpr int kAttentionBlock = 256;           // 16 x 16 threads

// Which keys queries see and what is added to their scores: strides of 0 where an extent of 1 repeats, null where
// absent.
template <class T>
struct AttentionScores {
  View<const T, 5> bias;                // (L, B, H, T, S)
  View<const bool, 5> mask;             // the same
  View<const std::int64_t, 2> lengths;  // (L, B): keys from here on are padding
  double scale;
  std::int64_t window;  // 0: none; at most T + S
  bool causal;
};

__device__ __forceinline__ float power_of_two(float x) { return ::exp2f(x); }
__device__ __forceinline__ double power_of_two(double x) { return ::exp2(x); }
__device__ __forceinline__ float rounded_once(float a, float b, float c) { return __fmaf_rn(a, b, c); }  // a b + c
__device__ __forceinline__ double rounded_once(double a, double b, double c) { return __fma_rn(a, b, c); }
// e^x, for x <= 0.
template <class T>
__device__ __forceinline__ T attention_power(T x) {
  return power_of_two(x * T(1.44269504088896340736));
}

// Queries and keys of a tile: 16 threads of 1, 2 or 4 rows each, as shared memory allows.
template <class T, int Width>
inline constexpr int kAttentionTile = sizeof(T) == 8 ? (Width <= 128 ? 32 : 16) : (Width <= 128 ? 64 : 32);

// A tile of rows in shared memory, `Width` columns of them used, padded by a pack against bank conflicts.
template <class T, int Width>
inline constexpr int kAttentionPitch = Width + kPackOf<T>;

// Whether something of what this thread loads is not finite.
template <class T, int Rows, int Width>
__device__ __forceinline__ bool load_attention_rows(T* shared, const T* from, std::int64_t row_step,
                                                    std::int64_t column_step, std::int64_t rows, int n) {
  T zeros = 0;
  for (int i = int(threadIdx.x); i < Rows * Width; i += kAttentionBlock) {
    const int r = i / Width, c = i % Width;
    const T x = r < rows && c < n ? from[r * row_step + c * column_step] : T(0);
    shared[r * kAttentionPitch<T, Width> + c] = x;
    zeros += x * T(0);
  }
  return zeros != 0;
}

// acc[i][j] = a[row i of this thread] . b[column j of this thread]: rows ty R + i of a, rows tx + 16 j of b.
template <class T, int R, int Width>
__device__ __forceinline__ void dot_rows(const T* a, const T* b, int n, T (&acc)[R][R]) {
  constexpr int kPack = kPackOf<T>, kPitch = kAttentionPitch<T, Width>;
  const int tx = int(threadIdx.x) % 16, ty = int(threadIdx.x) / 16;
#pragma unroll
  for (int i = 0; i < R; ++i)
#pragma unroll
    for (int j = 0; j < R; ++j) acc[i][j] = 0;
#pragma unroll 2
  for (int c = 0; c < n; c += kPack) {
    Pack<T, kPack> left[R], right[R];
#pragma unroll
    for (int i = 0; i < R; ++i) left[i] = load_pack<kPack>(a + (ty * R + i) * kPitch + c);
#pragma unroll
    for (int j = 0; j < R; ++j) right[j] = load_pack<kPack>(b + (tx + 16 * j) * kPitch + c);
#pragma unroll
    for (int e = 0; e < kPack; ++e)
#pragma unroll
      for (int i = 0; i < R; ++i)
#pragma unroll
        for (int j = 0; j < R; ++j) acc[i][j] = rounded_once(left[i][e], right[j][e], acc[i][j]);
  }
}

// acc += w b: rows ty R + i of the weights w (tile, Rows + a pack), or of their transpose; columns of b in packs, pack
// tx + 16 j. spoilt, the same for the block: something in b is not finite, so weights of 0 have to leave theirs out.
template <bool Transposed, class T, int R, int Width, int Rows, int Packs>
__device__ __forceinline__ void add_weighted_rows(const T* w, const T* b, int inner, bool spoilt,
                                                  T (&acc)[R][Packs * kPackOf<T>]) {
  constexpr int kPack = kPackOf<T>, kPitch = kAttentionPitch<T, Width>, kScores = Rows + kPack;
  const int tx = int(threadIdx.x) % 16, ty = int(threadIdx.x) / 16;
  if (spoilt) {
#pragma unroll 1
    for (int k = 0; k < inner; ++k)
#pragma unroll
      for (int i = 0; i < R; ++i)
        if (const T left = Transposed ? w[k * kScores + ty * R + i] : w[(ty * R + i) * kScores + k]; left != 0)
#pragma unroll
          for (int c = 0; c < Packs * kPack; ++c)
            acc[i][c] += left * b[k * kPitch + (tx + c / kPack * 16) * kPack + c % kPack];
    return;
  }
#pragma unroll 4
  for (int k = 0; k < inner; ++k) {
    T left[R];
#pragma unroll
    for (int i = 0; i < R; ++i) left[i] = Transposed ? w[k * kScores + ty * R + i] : w[(ty * R + i) * kScores + k];
#pragma unroll
    for (int p = 0; p < Packs; ++p) {
      const Pack<T, kPack> right = load_pack<kPack>(b + k * kPitch + (tx + 16 * p) * kPack);
#pragma unroll
      for (int i = 0; i < R; ++i)
#pragma unroll
        for (int e = 0; e < kPack; ++e) acc[i][p * kPack + e] += left[i] * right[e];
    }
  }
}

// One (batch, head): whose keys which queries see.
template <class T>
struct AttentionSight {
  std::int64_t queries, offset, length, window;  // the query beside key 0 is -offset
  bool causal;
  const T* bias;
  const bool* mask;
  std::int64_t bias_step[2], mask_step[2];
  T scale;

  __device__ __forceinline__ AttentionSight(const AttentionScores<T>& s, std::int64_t rows, std::int64_t keys,
                                            std::int64_t l, std::int64_t b, std::int64_t h)
      : queries(rows),
        offset(keys - rows),
        length(keys),
        window(s.window),
        causal(s.causal),
        bias(s.bias.data ? s.bias.data + l * s.bias.stride[0] + b * s.bias.stride[1] + h * s.bias.stride[2] : nullptr),
        mask(s.mask.data ? s.mask.data + l * s.mask.stride[0] + b * s.mask.stride[1] + h * s.mask.stride[2] : nullptr),
        bias_step{s.bias.stride[3], s.bias.stride[4]},
        mask_step{s.mask.stride[3], s.mask.stride[4]},
        scale(T(s.scale)) {
    if (s.lengths.data) {
      const std::int64_t given = s.lengths.data[l * s.lengths.stride[0] + b * s.lengths.stride[1]];
      length = given < 0 ? 0 : given < keys ? given : keys;
    }
  }
  // Keys [low, high) that queries from `first` on, and queries before `last`, see.
  __device__ __forceinline__ std::int64_t low(std::int64_t first) const {
    const std::int64_t at = first + offset - window + 1;
    return window && at > 0 ? (at < length ? at : length) : 0;
  }
  __device__ __forceinline__ std::int64_t high(std::int64_t last) const {
    const std::int64_t ahead = causal ? 1 : window, at = last - 1 + offset + ahead;
    return ahead && at < length ? (at > 0 ? at : 0) : length;
  }
  // The score from a product, -infinity where the query (or none) does not see the key. Always one fused operation: the
  // compiler could choose otherwise forward than backward, and scores rounded in two ways are no exponents of one
  // weight.
  __device__ __forceinline__ T score(T product, std::int64_t query, std::int64_t key) const {
    constexpr T kHidden = -T(__builtin_huge_val());
    if (query >= queries || key < low(query) || key >= high(query + 1)) return kHidden;
    if (mask && !mask[query * mask_step[0] + key * mask_step[1]]) return kHidden;
    const T more = bias ? bias[query * bias_step[0] + key * bias_step[1]] : T(0);
    return more == kHidden ? kHidden : rounded_once(product, scale, more);
  }
};

}  // namespace ergo::inline ERGO_BUILD::cuda
