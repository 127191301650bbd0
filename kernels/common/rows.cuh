// Rows of a (rows, cols) view and the threads that share one: 8 lanes or the 32 of a warp, several rows a block, or a
// whole block whose size follows the length (Lanes = 0). A thread holds Each elements of its row in registers: packs of
// 16 bytes where all operands allow, else single elements a row's threads apart, so that neighbours read neighbours.
// Rows longer than the threads hold are walked in spans.
//
// Which threads add what depends on the length and on `packed` alone, so results repeat bit for bit.
#pragma once

#include <cmath>

#include "ergo/kernels/common/pack.cuh"
#include "ergo/kernels/common/reduce.cuh"
#include "ergo/kernels/common/view.cuh"

namespace ergo::inline ERGO_BUILD::cuda {

// Longer rows do not stay in registers.
inline constexpr std::int64_t kRowInRegisters = 8192;
// Longer ones are cut into chunks of this many, each a block's.
inline constexpr std::int64_t kRowChunk = 65536;

// Whether rows of these views can move in packs.
template <class T, class... Rest>
bool rows_packed(const View<T, 2>& x, const Rest&... rest) {
  constexpr int V = kPackOf<std::remove_const_t<T>>;
  const bool fits =
      x.stride[1] == 1 && x.shape[1] % V == 0 && (x.shape[0] <= 1 || x.stride[0] % V == 0) && aligned_for<V>(x.data);
  if constexpr (sizeof...(Rest) > 0)
    return fits && rows_packed(rest...);
  else
    return fits;
}

// Blocks for rows: `Lanes` threads a row, or one block of as many as hold `cols` elements.
template <int Lanes, int Each>
LaunchShape row_launch(std::int64_t rows, std::int64_t cols, unsigned block) {
  if constexpr (Lanes > 0)
    return {blocks_for(rows, block / Lanes), block};
  else
    return {static_cast<unsigned>(rows), (static_cast<unsigned>((cols + Each - 1) / Each) + 31) / 32 * 32};
}

// The row of this thread; it may lie behind the last.
template <int Lanes>
__device__ __forceinline__ std::int64_t row_of_thread() {
  if constexpr (Lanes > 0)
    return std::int64_t(blockIdx.x) * (blockDim.x / Lanes) + threadIdx.x / Lanes;
  else
    return blockIdx.x;
}

template <class T, int Lanes, int Each>
struct RowTile {
  using A = Compute<T>;
  static constexpr int kPack = kPackOf<T>, kPacks = Each / kPack;
  static_assert(Each % kPack == 0);

  int thread, threads;  // of those that share the row
  bool packed;

  __device__ __forceinline__ explicit RowTile(bool in_packs)
      : thread(int(Lanes > 0 ? threadIdx.x % (Lanes > 0 ? Lanes : 1) : threadIdx.x)),
        threads(Lanes > 0 ? Lanes : int(blockDim.x)),
        packed(in_packs) {}

  __device__ __forceinline__ int span() const { return threads * Each; }
  // The column of register i.
  __device__ __forceinline__ int column(int i) const {
    return packed ? (i / kPack * threads + thread) * kPack + i % kPack : i * threads + thread;
  }
  // Of the n elements at p; `fill` behind them. All loads are under way before the first is converted.
  __device__ __forceinline__ void load(const T* p, std::int64_t stride, int n, A fill, A (&r)[Each]) const {
    if (packed) {
      Pack<T, kPack> raw[kPacks];
#pragma unroll
      for (int k = 0; k < kPacks; ++k)
        if (const int c = column(k * kPack); c < n) raw[k] = load_pack<kPack>(p + c);
#pragma unroll
      for (int k = 0; k < kPacks; ++k) {
        const bool valid = column(k * kPack) < n;
#pragma unroll
        for (int j = 0; j < kPack; ++j) r[k * kPack + j] = valid ? widen(raw[k][j]) : fill;
      }
    } else {
      T raw[Each];
#pragma unroll
      for (int i = 0; i < Each; ++i)
        if (const int c = i * threads + thread; c < n) raw[i] = p[c * stride];
#pragma unroll
      for (int i = 0; i < Each; ++i) r[i] = i * threads + thread < n ? widen(raw[i]) : fill;
    }
  }
  // Pack k of these alone; r stays where nothing is.
  __device__ __forceinline__ void load_one(const T* p, std::int64_t stride, int n, int k, A (&r)[kPack]) const {
    if (packed) {
      const int c = column(k * kPack);
      if (c >= n) return;
      const Pack<T, kPack> raw = load_pack<kPack>(p + c);
#pragma unroll
      for (int j = 0; j < kPack; ++j) r[j] = widen(raw[j]);
    } else {
#pragma unroll
      for (int j = 0; j < kPack; ++j)
        if (const int c = (k * kPack + j) * threads + thread; c < n) r[j] = widen(p[c * stride]);
    }
  }
  __device__ __forceinline__ void store(T* p, std::int64_t stride, int n, const A (&r)[Each]) const {
    if (packed) {
#pragma unroll
      for (int k = 0; k < kPacks; ++k) {
        const int c = column(k * kPack);
        if (c >= n) continue;
        Pack<T, kPack> to;
#pragma unroll
        for (int j = 0; j < kPack; ++j) to[j] = narrow<T>(r[k * kPack + j]);
        store_pack(p + c, to);
      }
    } else {
#pragma unroll
      for (int i = 0; i < Each; ++i)
        if (const int c = i * threads + thread; c < n) p[c * stride] = narrow<T>(r[i]);
    }
  }
};

// N values at once over the threads of a row; every one of them gets the results. All threads of the block take part.
template <int Lanes, int N, class A, class Op>
__device__ __forceinline__ void row_reduce(A (&v)[N], Op op) {
#pragma unroll
  for (int i = 0; i < N; ++i) v[i] = warp_reduce < Lanes == 0 ? 32 : Lanes > (v[i], op);
  if constexpr (Lanes == 0) {
    __shared__ A part[N][32];
    __syncthreads();
    if (threadIdx.x % 32 == 0) {
#pragma unroll
      for (int i = 0; i < N; ++i) part[i][threadIdx.x / 32] = v[i];
    }
    __syncthreads();
    const int warps = int(blockDim.x / 32);
#pragma unroll
    for (int i = 0; i < N; ++i) {
      v[i] = part[i][0];
      for (int w = 1; w < warps; ++w) v[i] = op(v[i], part[i][w]);
    }
  }
}
template <int Lanes, int N, class A>
__device__ __forceinline__ void row_sum(A (&v)[N]) {
  row_reduce<Lanes>(v, Add{});
}
template <int Lanes, class A>
__device__ __forceinline__ A row_sum(A x) {
  A v[1] = {x};
  row_reduce<Lanes>(v, Add{});
  return v[0];
}

// Softmax and its kin: a row's weights e^(x - top) against its largest number. A NaN does not raise `top` but reaches
// every sum; where top is +infinity its equals weigh 1 and all others 0.
struct Highest {
  template <class A>
  __device__ __forceinline__ A operator()(A a, A b) const {
    return ::max(a, b);  // of a number and a NaN the number
  }
};
template <class A>
__device__ __forceinline__ A below_top(A x, A top) {
  return x == top ? A(0) : x - top;
}
template <class A>
__device__ __forceinline__ A weight_below(A x, A top) {
  return x == top ? A(1) : fast_exp(x - top);
}
// a / b for b in [2^-126, 2^126], within 2 units of the last place of float, without a call.
__device__ __forceinline__ float fast_quotient(float a, float b) { return __fdividef(a, b); }
__device__ __forceinline__ double fast_quotient(double a, double b) { return a / b; }
template <int Lanes, class A>
__device__ __forceinline__ A row_top(A x) {
  A v[1] = {x};
  row_reduce<Lanes>(v, Highest{});
  return v[0];
}

// The largest number met and the sum of the weights against it; a row of -infinity alone leaves some number as sum.
template <class A>
struct OnlineWeight {
  A top = A(-INFINITY), sum = A(0);

  // The sum against a top that is at least as high.
  __device__ __forceinline__ A against(A higher) const { return top == higher ? sum : sum * fast_exp(top - higher); }
  template <int N>
  __device__ __forceinline__ void add(const A (&x)[N]) {
    A higher = top;
#pragma unroll
    for (int i = 0; i < N; ++i) higher = ::max(higher, x[i]);
    sum = against(higher);
    top = higher;
#pragma unroll
    for (int i = 0; i < N; ++i) sum += weight_below(x[i], top);
  }
  // Over the threads of a row.
  template <int Lanes>
  __device__ __forceinline__ OnlineWeight over_row() const {
    OnlineWeight all;
    all.top = row_top<Lanes>(top);
    all.sum = row_sum<Lanes>(against(all.top));
    return all;
  }
};

}  // namespace ergo::inline ERGO_BUILD::cuda
