// Draws from categories by a race: y[r] = the first k with the greatest x (rows, n)[r, k] - log E, E exponential with
// rate 1 drawn for each element of x from its lane's key: lane l has `each` elements, rows one after another.
//
// The draws are made where they are needed and stored nowhere: a thread makes those of a counter (16 bytes of random
// words), which may belong to two rows, and keeps what is in its own. A warp a row, a block where rows are long. The
// greatest of (value, -k) is one whatever the order. A row with a NaN, with +inf or with -inf alone draws 0, and *fault
// becomes the least such row.
#pragma once

#include "ergo/kernels/common/reduce.cuh"
#include "ergo/kernels/random.cuh"

namespace ergo::inline ERGO_BUILD::cuda {

inline constexpr int kRaceBlock = 256;
inline constexpr std::int64_t kRaceWarpRow = 1024;  // the longest row of a warp

// The leader of a race: its value, its category. `valid`: no logit so far is NaN or +inf.
template <class T>
struct RaceLeader {
  T value;
  std::int64_t category;
  bool valid;
  __device__ __forceinline__ void meet(T v, std::int64_t k, bool ok) {
    valid = valid && ok;
    if (v > value || (v == value && k < category)) {
      value = v;
      category = k;
    }
  }
};

// Rows of one warp (Row = 32) or one block.
template <int Row, class T, class I>
__global__ void __launch_bounds__(kRaceBlock)
    categorical_kernel(const T* x, Keys keys, I* y, std::int64_t rows, std::int64_t n, std::int64_t each,
                       std::int64_t* fault) {
  using Kind = cpu::LogExponentialDraw<T>;
  constexpr int kEach = kPerCounter<Kind>;
  const std::int64_t row = std::int64_t(blockIdx.x) * (kRaceBlock / Row) + threadIdx.x / Row;
  if (row >= rows) return;  // all of the row's threads
  const std::int64_t rows_of_lane = each / n, lane = row / rows_of_lane, begin = (row - lane * rows_of_lane) * n;
  const T* const logit = x + row * n - begin;
  const auto key = keys[lane];
  RaceLeader<T> leader{-T(INFINITY), n, true};
  for (std::int64_t c = begin / kEach + threadIdx.x % Row; c * kEach < begin + n; c += Row) {
    T race[kEach];
    make(Kind{}, random_block(key, std::uint64_t(c)), race);
#pragma unroll
    for (int i = 0; i < kEach; ++i) {
      const std::int64_t at = c * kEach + i;
      if (at < begin || at >= begin + n) continue;
      const T own = logit[at], v = own - race[i];
      leader.meet(v > -T(INFINITY) ? v : -T(INFINITY), v > -T(INFINITY) ? at - begin : n, own < T(INFINITY));
    }
  }
#pragma unroll
  for (int offset = 16; offset > 0; offset /= 2) {
    const T value = __shfl_xor_sync(kFullMask, leader.value, offset);
    const long long category = __shfl_xor_sync(kFullMask, static_cast<long long>(leader.category), offset);
    leader.meet(value, category, __shfl_xor_sync(kFullMask, int(leader.valid), offset) != 0);
  }
  if constexpr (Row > 32) {
    __shared__ T values[Row / 32];
    __shared__ std::int64_t categories[Row / 32];
    __shared__ bool valid[Row / 32];
    if (threadIdx.x % 32 == 0) {
      values[threadIdx.x / 32] = leader.value;
      categories[threadIdx.x / 32] = leader.category;
      valid[threadIdx.x / 32] = leader.valid;
    }
    __syncthreads();
    if (threadIdx.x == 0)
      for (int w = 1; w < Row / 32; ++w) leader.meet(values[w], categories[w], valid[w]);
  }
  if (threadIdx.x % Row != 0) return;
  const bool drawn = leader.valid && leader.category < n;
  y[row] = drawn ? I(leader.category) : I(0);
  if (!drawn) atomicMin(reinterpret_cast<long long*>(fault), static_cast<long long>(row));
}

// x (rows, n) row-major with n > 0, keys (rows n / each) in device memory, y (rows).
template <class T, class I>
void launch_categorical(Stream& stream, const T* x, Keys keys, I* y, std::int64_t rows, std::int64_t n,
                        std::int64_t each, std::int64_t* fault) {
  if (rows == 0) return;
  if (n <= kRaceWarpRow)
    launch(stream, "categorical", {dim3(blocks_for(rows, kRaceBlock / 32)), dim3(kRaceBlock)},
           categorical_kernel<32, T, I>, x, keys, y, rows, n, each, fault);
  else
    launch(stream, "categorical", {dim3(static_cast<unsigned>(rows)), dim3(kRaceBlock)},
           categorical_kernel<kRaceBlock, T, I>, x, keys, y, rows, n, each, fault);
}

}  // namespace ergo::inline ERGO_BUILD::cuda
