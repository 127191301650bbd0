// What all reductions along one axis share: y[o, i] = finish(lift(x[o, 0, i]) + ... + lift(x[o, n - 1, i])) for x
// (outer, n, inner) of any strides and y (outer, inner) row-major, where + is a policy's `combine`, commutative and
// associative but for rounding.
//
// A policy, trivially copyable, has the types In, Out, State (of 4 n bytes) and Origin (NoOrigin, or what its function
// `origin` makes of x[o, 0, i]), and
//
//   static State identity();
//   State lift(In x, std::int64_t index, Origin) const;
//   static State combine(State, State);
//   Out finish(State) const;
//   State group<N>(const In (&x)[N], Origin) const;  // optional: N elements at once
//
// Two kernels. Rows, where the elements of one result are dense: up to 32 lanes a result for as many as 1024 elements,
// else a block; packs of 16 bytes, four in flight, and single elements up to the first aligned one and behind the last.
// Columns, for all else: X x Y threads, X neighbouring results (packs of them where the layout allows it), each thread
// down every Y-th row, then a tree across the Y. Where a result has more than 64 Ki elements, or results are too few to
// fill a GPU, its elements are split; the parts' states go to the workspace and a second launch combines them.
//
// Determinism: trees are fixed by shape, strides and the alignment of x; never by the GPU. Rounding: chains of at most
// 32 combinations a thread and launch, each of a group folded by halves; the second launch's grow with n / 2^27.
#pragma once

#include "ergo/kernels/reduction_plan.cuh"

namespace ergo::inline ERGO_BUILD::cuda {

struct NoOrigin {};

namespace detail {

// Any trivially copyable value of 4 n bytes from the lane `offset` away.
template <class S>
__device__ __forceinline__ S shuffle_xor(const S& x, int offset) {
  static_assert(sizeof(S) % 4 == 0);
  struct Words {
    unsigned at[sizeof(S) / 4];
  };
  Words w = std::bit_cast<Words>(x);
#pragma unroll
  for (std::size_t i = 0; i < sizeof(S) / 4; ++i) w.at[i] = __shfl_xor_sync(kFullMask, w.at[i], offset);
  return std::bit_cast<S>(w);
}

template <class P>
__device__ __forceinline__ typename P::Origin origin_of([[maybe_unused]] const P& p,
                                                        [[maybe_unused]] const typename P::In* first) {
  if constexpr (std::is_same_v<typename P::Origin, NoOrigin>)
    return {};
  else
    return p.origin(*first);
}

// s[0] = s[0], ..., s[2 M - 1] combined, neighbours first. By recursion: nvcc does not unroll nested halving.
template <class P, int M, class S, int Size>
__device__ __forceinline__ void fold_pairs(S (&s)[Size]) {
#pragma unroll
  for (int k = 0; k < M; ++k) s[k] = P::combine(s[2 * k], s[2 * k + 1]);
  if constexpr (M > 1) fold_pairs<P, M / 2>(s);
}

// x[0], ..., x[N - 1] combined, neighbours first; index(k) is the position of x[k] along the reduced axis.
template <int N, class P, class Index>
__device__ __forceinline__ typename P::State fold_group(const P& p, const typename P::In (&x)[N], Index index,
                                                        typename P::Origin origin) {
  if constexpr (requires { p.template group<N>(x, origin); }) {
    return p.template group<N>(x, origin);
  } else {
    typename P::State s[N / 2];
#pragma unroll
    for (int k = 0; k < N / 2; ++k)
      s[k] = P::combine(p.lift(x[2 * k], index(2 * k), origin), p.lift(x[2 * k + 1], index(2 * k + 1), origin));
    if constexpr (N > 2) fold_pairs<P, N / 4>(s);
    return s[0];
  }
}

// The lane's share of elements [begin, end) of the dense row at x.
template <class P>
__device__ __forceinline__ typename P::State reduce_run(const P& p, const typename P::In* x, std::int64_t begin,
                                                        std::int64_t end, int lane, int lanes,
                                                        typename P::Origin origin) {
  using T = typename P::In;
  constexpr int V = kPackOf<T>, kInFlight = V > 8 ? 2 : 4;
  const int misaligned = int(reinterpret_cast<std::uintptr_t>(x + begin) / sizeof(T) % V);
  const std::int64_t aligned = begin + (misaligned ? V - misaligned : 0), first = aligned < end ? aligned : end;
  typename P::State s = P::identity();
  for (std::int64_t i = begin + lane; i < first; i += lanes) s = P::combine(s, p.lift(x[i], i, origin));
  const std::int64_t step = std::int64_t(lanes) * V;
  std::int64_t i = first + lane * V;
  for (; i + (kInFlight - 1) * step + V <= end; i += kInFlight * step) {
    T e[kInFlight * V];
#pragma unroll
    for (int u = 0; u < kInFlight; ++u) {
      const auto pack = load_pack<V>(x + i + u * step);
#pragma unroll
      for (int v = 0; v < V; ++v) e[u * V + v] = pack[v];
    }
    s = P::combine(s, fold_group<kInFlight * V>(
                          p, e, [&](int k) { return i + k / V * step + k % V; }, origin));
  }
  for (; i + V <= end; i += step) {
    const auto pack = load_pack<V>(x + i);
    s = P::combine(s, fold_group<V>(
                          p, pack.at, [&](int k) { return i + k; }, origin));
  }
  for (i = first + (end - first) / V * V + lane; i < end; i += lanes) s = P::combine(s, p.lift(x[i], i, origin));
  return s;
}

// Where results go: to y, or as states (outer, splits, inner) to be combined by another launch.
template <class P>
struct ReduceTarget {
  typename P::Out* y;
  typename P::State* parts;  // null: to y
  std::int64_t splits, chunk;
};

// A task is one part of one result; `lanes` threads each, a power of two up to 32, or the block.
template <int Block, class P>
__global__ void __launch_bounds__(Block)
    reduce_rows_kernel(P p, View<const typename P::In, 3> x, ReduceTarget<P> to, int lanes) {
  using State = typename P::State;
  const std::int64_t n = x.shape[1], inner = x.shape[2], rows = x.shape[0] * inner;
  const int lane = int(threadIdx.x) & (lanes - 1);
  std::int64_t row = std::int64_t(blockIdx.x) * (Block / lanes) + int(threadIdx.x) / lanes, split = 0;
  if (to.splits > 1) {
    split = row % to.splits;
    row /= to.splits;
  }
  const bool mine = row < rows;
  const std::int64_t o = inner == 1 ? row : row / inner, i = row - o * inner;
  State s = P::identity();
  if (mine && n > 0) {
    const auto* from = x.data + o * x.stride[0] + i * x.stride[2];
    const std::int64_t begin = split * to.chunk, end = n - begin < to.chunk ? n : begin + to.chunk;
    s = reduce_run(p, from, begin, end, lane, lanes, origin_of(p, from));
  }
  for (int offset = (lanes < 32 ? lanes : 32) / 2; offset > 0; offset /= 2) s = P::combine(s, shuffle_xor(s, offset));
  if (lanes > 32) {
    __shared__ __align__(16) unsigned char memory[Block / 32 * sizeof(State)];
    State* part = reinterpret_cast<State*>(memory);
    if (threadIdx.x % 32 == 0) part[threadIdx.x / 32] = s;
    __syncthreads();
    if (threadIdx.x == 0)
      for (int w = 1; w < Block / 32; ++w) s = P::combine(s, part[w]);
  }
  if (!mine || lane != 0) return;
  if (to.parts)
    to.parts[(o * to.splits + split) * inner + i] = s;
  else
    to.y[row] = p.finish(s);
}

// y[0], ..., y[V - 1] in stores of at most 16 bytes; y is aligned to 16 where V > 1.
template <int V, class T>
__device__ __forceinline__ void store_run(T* y, const T (&x)[V]) {
  constexpr int W = V < kPackOf<T> ? V : kPackOf<T>;
#pragma unroll
  for (int v = 0; v < V; v += W) {
    Pack<T, W> pack;
#pragma unroll
    for (int k = 0; k < W; ++k) pack[k] = x[v + k];
    store_pack(y + v, pack);
  }
}

template <int V, class T>
__device__ __forceinline__ void load_run(const T* p, T (&x)[V]) {
  if constexpr (V == 1) {
    x[0] = *p;
  } else {
    const auto pack = load_pack<V>(p);
#pragma unroll
    for (int v = 0; v < V; ++v) x[v] = pack[v];
  }
}

// `width` packs of V neighbouring results a block, a power of two; Block / width threads for each. V > 1: x.stride[2]
// is 1, all else that positions depend on is a multiple of V.
template <int Block, int V, class P>
__global__ void __launch_bounds__(Block)
    reduce_columns_kernel(P p, View<const typename P::In, 3> x, ReduceTarget<P> to, int width) {
  using T = typename P::In;
  using State = typename P::State;
  constexpr int kInFlight = V == 1 ? 8 : sizeof(State) * V >= 128 ? 2 : 4;  // by the registers that states leave
  const std::int64_t n = x.shape[1], inner = x.shape[2], packs = inner / V;
  const int tx = int(threadIdx.x) & (width - 1), ty = int(threadIdx.x) / width, height = Block / width;
  std::int64_t tile = blockIdx.x, split = 0;
  if (to.splits > 1) {
    split = tile % to.splits;
    tile /= to.splits;
  }
  const std::int64_t column = tile * width + tx;
  const bool mine = column < x.shape[0] * packs;
  const std::int64_t o = column / packs, i = (column - o * packs) * V;
  State s[V];
#pragma unroll
  for (int v = 0; v < V; ++v) s[v] = P::identity();
  if (mine && n > 0) {
    const T* from = x.data + o * x.stride[0] + i * x.stride[2];
    typename P::Origin origin[V];
#pragma unroll
    for (int v = 0; v < V; ++v) origin[v] = origin_of(p, from + v);
    const std::int64_t begin = split * to.chunk, end = n - begin < to.chunk ? n : begin + to.chunk;
    const std::int64_t jump = height * x.stride[1];
    std::int64_t r = begin + ty;
    from += r * x.stride[1];
    for (; r + (kInFlight - 1) * height < end; r += kInFlight * height, from += kInFlight * jump) {
      T e[V][kInFlight];
#pragma unroll
      for (int u = 0; u < kInFlight; ++u) {
        T pack[V];
        load_run(from + u * jump, pack);
#pragma unroll
        for (int v = 0; v < V; ++v) e[v][u] = pack[v];
      }
#pragma unroll
      for (int v = 0; v < V; ++v)
        s[v] = P::combine(s[v], fold_group<kInFlight>(
                                    p, e[v], [&](int u) { return r + u * height; }, origin[v]));
    }
    for (; r < end; r += height, from += jump) {
      T pack[V];
      load_run(from, pack);
#pragma unroll
      for (int v = 0; v < V; ++v) s[v] = P::combine(s[v], p.lift(pack[v], r, origin[v]));
    }
  }
  __shared__ __align__(16) unsigned char memory[Block * sizeof(State)];
  State* part = reinterpret_cast<State*>(memory);
  const int team = width < 32 ? 32 : width;  // threads whose results one row of `part` holds
#pragma unroll
  for (int v = 0; v < V; ++v) {
    for (int offset = 16; offset >= width; offset /= 2) s[v] = P::combine(s[v], shuffle_xor(s[v], offset));
    if (team < Block) {
      if ((int(threadIdx.x) & (team - 1)) < width) part[int(threadIdx.x) / team * width + tx] = s[v];
      __syncthreads();
      if (ty == 0)
        for (int w = 1; w < Block / team; ++w) s[v] = P::combine(s[v], part[w * width + tx]);
      __syncthreads();
    }
  }
  if (!mine || ty != 0) return;
  if (to.parts) {
#pragma unroll
    for (int v = 0; v < V; ++v) to.parts[(o * to.splits + split) * inner + i + v] = s[v];
  } else {
    typename P::Out y[V];
#pragma unroll
    for (int v = 0; v < V; ++v) y[v] = p.finish(s[v]);
    store_run<V>(to.y + o * inner + i, y);
  }
}

// The second launch: states instead of elements.
template <class P>
struct MergeStates {
  using In = typename P::State;
  using State = typename P::State;
  using Out = typename P::Out;
  using Origin = NoOrigin;
  P p;
  static __device__ __forceinline__ State identity() { return P::identity(); }
  __device__ __forceinline__ State lift(const State& x, std::int64_t, Origin) const { return x; }
  static __device__ __forceinline__ State combine(const State& a, const State& b) { return P::combine(a, b); }
  __device__ __forceinline__ Out finish(const State& s) const { return p.finish(s); }
};

template <class P>
ReducePlan plan_reduction(const View<const typename P::In, 3>& x, bool y_aligned) {
  using T = typename P::In;
  constexpr int V = kPackOf<T>;
  const bool kept_dense = x.shape[2] > 1 && x.stride[2] == 1;
  const bool packs = kept_dense && x.shape[2] % V == 0 && (x.stride[0] % V == 0 || x.shape[0] == 1) &&
                     (x.stride[1] % V == 0 || x.shape[1] <= 1) && aligned_for<V>(x.data) && y_aligned;
  ReducePlan plan = x.shape[1] > 1 && x.stride[1] == 1 && !kept_dense ? ReducePlan::of_rows(x)
                                                                      : ReducePlan::of_columns(x, packs ? V : 1);
  plan.split();
  return plan;
}

}  // namespace detail

// Bytes of device memory that launch_reduction needs beside x and y, often 0.
template <class P>
std::size_t reduction_workspace(View<const typename P::In, 3> x) {
  x = detail::merged(x);
  const std::int64_t outputs = x.shape[0] * x.shape[2];
  if (outputs == 0) return 0;
  const std::int64_t wide = detail::plan_reduction<P>(x, true).splits,
                     narrow = detail::plan_reduction<P>(x, false).splits;
  const std::int64_t splits = wide > narrow ? wide : narrow;
  return splits > 1 ? std::size_t(outputs * splits) * sizeof(typename P::State) : 0;
}

// y (outer, inner) row-major; one launch, or two where elements are split. `workspace` is aligned to 16 bytes, and may
// be null where it is empty.
template <class P>
void launch_reduction(Stream& stream, const char* name, P p, View<const typename P::In, 3> x, typename P::Out* y,
                      std::byte* workspace) {
  using namespace detail;
  using State = typename P::State;
  x = merged(x);
  const std::int64_t outer = x.shape[0], inner = x.shape[2];
  if (outer * inner == 0) return;
  const ReducePlan plan = plan_reduction<P>(x, reinterpret_cast<std::uintptr_t>(y) % 16 == 0);
  auto* parts = plan.splits > 1 ? reinterpret_cast<State*>(workspace) : nullptr;
  const ReduceTarget<P> to{y, parts, plan.splits, plan.chunk};
  if (plan.rows)
    launch(stream, name, plan.shape(), reduce_rows_kernel<kReduceBlock, P>, p, x, to, plan.width);
  else if (plan.pack > 1)
    launch(stream, name, plan.shape(), reduce_columns_kernel<kReduceBlock, kPackOf<typename P::In>, P>, p, x, to,
           plan.width);
  else
    launch(stream, name, plan.shape(), reduce_columns_kernel<kReduceBlock, 1, P>, p, x, to, plan.width);
  if (!parts) return;
  using Merge = MergeStates<P>;
  const View<const State, 3> states = merged<State>(row_major(parts, {outer, plan.splits, inner}));
  const ReducePlan second = ReducePlan::of_columns(states, 1);
  launch(stream, name, second.shape(), reduce_columns_kernel<kReduceBlock, 1, Merge>, Merge{p}, states,
         ReduceTarget<Merge>{y, nullptr, 1, plan.splits}, second.width);
}

}  // namespace ergo::inline ERGO_BUILD::cuda
