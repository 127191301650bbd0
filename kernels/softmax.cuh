// softmax, log_softmax and logsumexp along the rows of x (rows, cols), and their vjps; views of any strides.
//
//   softmax      y = e^(x - top) / sum,      dx = y (g - sum(g y))
//   log_softmax  y = (x - top) - log(sum),   dx = g - e^y sum(g)
//   logsumexp    y = top + log(sum)  (rows), dx = g softmax(x)
//
// with top = max(x) and sum = sum(e^(x - top)) over the row. Rows of up to 8192 stay in registers: one read, one write.
// Longer ones take maximum and sum in one pass and are read once more to write, by a block a row; those over 65536 by a
// block a chunk of that length, in two launches with the chunks' figures in between. The vjp of logsumexp weighs x anew
// and not by e^(x - y), which the rounding of a large y would spoil.
//
// Computed in float for 16 and 32 bits (fast_exp), in double for double. Sums have trees fixed by the shape and the
// alignment. As on the CPU: a NaN makes its row NaN; +infinity shares equally with its equals; a row of -infinity is
// NaN, or 0 (log_softmax: -infinity) with `empty_is_zero`; its logsumexp is -infinity with gradient 0.
#pragma once

#include "ergo/kernels/common/rows.cuh"

namespace ergo::inline ERGO_BUILD::cuda {

enum class Weighing { softmax, log_softmax, logsumexp };
// What a launch of rows longer than registers does: all of a row in one block, or of a chunk its figures, or its
// results from all chunks' figures.
enum class RowStage { whole, figures, results };

// ---- device code ----

// y (rows, cols), or (rows, 1) for logsumexp; with `scale` (rows) softmax is multiplied by it.
template <class T>
struct WeighedRows {
  View<const T, 2> x;
  View<T, 2> y;
  const T* scale;
  std::int64_t scale_stride;
  bool empty_is_zero, packed;
  Compute<T>* figures;  // (rows, chunks, 2): top, sum
  std::int64_t chunks = 1;
  RowStage stage = RowStage::whole;
};

// What a row's elements are multiplied by, or have subtracted.
template <Weighing W, class T>
__device__ __forceinline__ Compute<T> row_factor(const WeighedRows<T>& p, std::int64_t row, Compute<T> top,
                                                 Compute<T> sum) {
  using A = Compute<T>;
  if (top == A(-INFINITY) && sum == sum) {
    if (!p.empty_is_zero) return A(NAN);
    return W == Weighing::softmax ? A(0) : A(INFINITY);
  }
  if constexpr (W == Weighing::log_softmax) return std::log(sum);
  return fast_quotient(p.scale ? widen(p.scale[row * p.scale_stride]) : A(1), sum);
}

template <Weighing W, int Lanes, int Each, int Block, class T>
__global__ void __launch_bounds__(Block) softmax_kernel(WeighedRows<T> p) {
  using A = Compute<T>;
  const RowTile<T, Lanes, Each> tile(p.packed);
  const std::int64_t row = row_of_thread<Lanes>();
  const bool valid = row < p.x.shape[0];
  const int cols = valid ? int(p.x.shape[1]) : 0;

  A rx[Each], top = A(-INFINITY), sum = 0;
  tile.load(p.x.data + row * p.x.stride[0], p.x.stride[1], cols, A(-INFINITY), rx);
#pragma unroll
  for (int i = 0; i < Each; ++i) top = ::max(top, rx[i]);
  top = row_top<Lanes>(top);
#pragma unroll
  for (int i = 0; i < Each; ++i) {
    const A weight = weight_below(rx[i], top);
    sum += weight;
    if constexpr (W == Weighing::softmax) rx[i] = weight;
  }
  sum = row_sum<Lanes>(sum);

  if constexpr (W == Weighing::logsumexp) {
    if (valid && tile.thread == 0) p.y(row, 0) = narrow<T>(top + std::log(sum));
  } else if (valid) {
    const A factor = row_factor<W>(p, row, top, sum);
#pragma unroll
    for (int i = 0; i < Each; ++i) rx[i] = W == Weighing::softmax ? rx[i] * factor : below_top(rx[i], top) - factor;
    tile.store(p.y.data + row * p.y.stride[0], p.y.stride[1], cols, rx);
  }
}

// Rows of any length; blockIdx.x counts chunks, row by row.
template <Weighing W, int Block, class T>
__global__ void __launch_bounds__(Block) softmax_online_kernel(WeighedRows<T> p) {
  using A = Compute<T>;
  constexpr int kEach = 8;
  const RowTile<T, 0, kEach> tile(p.packed);
  // One result a row needs one block.
  const std::int64_t blocks = W == Weighing::logsumexp && p.stage == RowStage::results ? 1 : p.chunks;
  const std::int64_t row = blockIdx.x / blocks, chunk = blockIdx.x % blocks, cols = p.x.shape[1];
  const std::int64_t begin = chunk * kRowChunk, end = begin + kRowChunk < cols ? begin + kRowChunk : cols;
  const T* x = p.x.data + row * p.x.stride[0];

  A rx[kEach];
  OnlineWeight<A> weight;
  if (p.stage != RowStage::results) {
    for (std::int64_t c = begin; c < end; c += tile.span()) {
      tile.load(x + c * p.x.stride[1], p.x.stride[1], int(end - c), A(-INFINITY), rx);
      weight.add(rx);
    }
  } else {
    for (std::int64_t k = tile.thread; k < p.chunks; k += tile.threads) {
      const A* figures = p.figures + (row * p.chunks + k) * 2;
      const A higher = ::max(weight.top, figures[0]);
      weight.sum = weight.against(higher) + OnlineWeight<A>{figures[0], figures[1]}.against(higher);
      weight.top = higher;
    }
  }
  weight = weight.template over_row<0>();
  if (p.stage == RowStage::figures) {
    if (tile.thread == 0) {
      A* figures = p.figures + std::int64_t(blockIdx.x) * 2;
      figures[0] = weight.top;
      figures[1] = weight.sum;
    }
    return;
  }

  if constexpr (W == Weighing::logsumexp) {
    if (tile.thread == 0) p.y(row, 0) = narrow<T>(weight.top + std::log(weight.sum));
  } else {
    const A top = weight.top, factor = row_factor<W>(p, row, top, weight.sum);
    T* y = p.y.data + row * p.y.stride[0];
    for (std::int64_t c = begin; c < end; c += tile.span()) {
      tile.load(x + c * p.x.stride[1], p.x.stride[1], int(end - c), A(0), rx);
#pragma unroll
      for (int i = 0; i < kEach; ++i)
        rx[i] = W == Weighing::softmax ? weight_below(rx[i], top) * factor : below_top(rx[i], top) - factor;
      tile.store(y + c * p.y.stride[1], p.y.stride[1], int(end - c), rx);
    }
  }
}

// g, y, dx (rows, cols): y is the result of softmax, or of log_softmax.
template <class T>
struct WeighedVjp {
  View<const T, 2> g, y;
  View<T, 2> dx;
  bool packed;
  Compute<T>* figures;  // (rows, chunks)
  std::int64_t chunks = 1;
  RowStage stage = RowStage::whole;
};
template <bool Log, int Each, class A>
__device__ __forceinline__ A vjp_sum(const A (&rg)[Each], const A (&ry)[Each]) {
  A sum = 0;
#pragma unroll
  for (int i = 0; i < Each; ++i) sum += Log ? rg[i] : rg[i] * ry[i];
  return sum;
}
template <bool Log, int Each, class A>
__device__ __forceinline__ void vjp_result(A (&rg)[Each], const A (&ry)[Each], A sum) {
#pragma unroll
  for (int i = 0; i < Each; ++i) rg[i] = Log ? rg[i] - fast_exp(ry[i]) * sum : ry[i] * (rg[i] - sum);
}

template <bool Log, int Lanes, int Each, int Block, class T>
__global__ void __launch_bounds__(Block) softmax_vjp_kernel(WeighedVjp<T> p) {
  using A = Compute<T>;
  const RowTile<T, Lanes, Each> tile(p.packed);
  const std::int64_t row = row_of_thread<Lanes>();
  const int cols = row < p.y.shape[0] ? int(p.y.shape[1]) : 0;

  A rg[Each], ry[Each];
  tile.load(p.g.data + row * p.g.stride[0], p.g.stride[1], cols, A(0), rg);
  tile.load(p.y.data + row * p.y.stride[0], p.y.stride[1], cols, A(0), ry);
  const A sum = row_sum<Lanes>(vjp_sum<Log>(rg, ry));
  vjp_result<Log>(rg, ry, sum);
  tile.store(p.dx.data + row * p.dx.stride[0], p.dx.stride[1], cols, rg);
}
template <bool Log, int Block, class T>
__global__ void __launch_bounds__(Block) softmax_vjp_online_kernel(WeighedVjp<T> p) {
  using A = Compute<T>;
  constexpr int kEach = 8;
  const RowTile<T, 0, kEach> tile(p.packed);
  const std::int64_t row = blockIdx.x / p.chunks, chunk = blockIdx.x % p.chunks, cols = p.y.shape[1];
  const std::int64_t begin = chunk * kRowChunk, end = begin + kRowChunk < cols ? begin + kRowChunk : cols;
  const T *g = p.g.data + row * p.g.stride[0], *y = p.y.data + row * p.y.stride[0];

  A rg[kEach], ry[kEach] = {}, sum = 0;
  if (p.stage != RowStage::results) {
    for (std::int64_t c = begin; c < end; c += tile.span()) {
      tile.load(g + c * p.g.stride[1], p.g.stride[1], int(end - c), A(0), rg);
      if constexpr (!Log) tile.load(y + c * p.y.stride[1], p.y.stride[1], int(end - c), A(0), ry);
      sum += vjp_sum<Log>(rg, ry);
    }
  } else {
    for (std::int64_t k = tile.thread; k < p.chunks; k += tile.threads) sum += p.figures[row * p.chunks + k];
  }
  sum = row_sum<0>(sum);
  if (p.stage == RowStage::figures) {
    if (tile.thread == 0) p.figures[blockIdx.x] = sum;
    return;
  }
  T* dx = p.dx.data + row * p.dx.stride[0];
  for (std::int64_t c = begin; c < end; c += tile.span()) {
    tile.load(g + c * p.g.stride[1], p.g.stride[1], int(end - c), A(0), rg);
    tile.load(y + c * p.y.stride[1], p.y.stride[1], int(end - c), A(0), ry);
    vjp_result<Log>(rg, ry, sum);
    tile.store(dx + c * p.dx.stride[1], p.dx.stride[1], int(end - c), rg);
  }
}

// ---- launchers ----

// Bytes that every launcher here needs as workspace; 0 for rows of up to 65536.
template <class T>
std::size_t softmax_workspace(std::int64_t rows, std::int64_t cols) {
  if (cols <= kRowChunk) return 0;
  return static_cast<std::size_t>(rows) * blocks_for(cols, kRowChunk) * 2 * sizeof(Compute<T>);
}

namespace detail {

template <Weighing W, class T>
void launch_weighing(Stream& stream, const char* name, WeighedRows<T> p) {
  const std::int64_t rows = p.x.shape[0], cols = p.x.shape[1];
  if (rows == 0 || (cols == 0 && W != Weighing::logsumexp)) return;
  p.packed = W == Weighing::logsumexp ? rows_packed(p.x) : rows_packed(p.x, p.y);
  if (cols <= 64) {
    launch(stream, name, row_launch<8, 8>(rows, cols, 128), softmax_kernel<W, 8, 8, 128, T>, p);
  } else if (cols <= 256) {
    launch(stream, name, row_launch<32, 8>(rows, cols, 128), softmax_kernel<W, 32, 8, 128, T>, p);
  } else if (cols <= 1024) {
    launch(stream, name, row_launch<32, 32>(rows, cols, 128), softmax_kernel<W, 32, 32, 128, T>, p);
  } else if (cols <= kRowInRegisters) {
    launch(stream, name, row_launch<0, 8>(rows, cols, 0), softmax_kernel<W, 0, 8, 1024, T>, p);
  } else {
    p.chunks = blocks_for(cols, kRowChunk);
    const auto blocks = static_cast<unsigned>(rows * p.chunks);
    p.stage = p.chunks == 1 ? RowStage::whole : RowStage::figures;
    launch(stream, name, {blocks, 1024}, softmax_online_kernel<W, 1024, T>, p);
    if (p.chunks == 1) return;
    p.stage = RowStage::results;
    launch(stream, name, {W == Weighing::logsumexp ? static_cast<unsigned>(rows) : blocks, 1024},
           softmax_online_kernel<W, 1024, T>, p);
  }
}

template <bool Log, class T>
void launch_weighing_vjp(Stream& stream, const char* name, WeighedVjp<T> p) {
  const std::int64_t rows = p.y.shape[0], cols = p.y.shape[1];
  if (rows == 0 || cols == 0) return;
  p.packed = rows_packed(p.g, p.y, p.dx);
  if (cols <= 64) {
    launch(stream, name, row_launch<8, 8>(rows, cols, 128), softmax_vjp_kernel<Log, 8, 8, 128, T>, p);
  } else if (cols <= 256) {
    launch(stream, name, row_launch<32, 8>(rows, cols, 128), softmax_vjp_kernel<Log, 32, 8, 128, T>, p);
  } else if (cols <= 1024) {
    launch(stream, name, row_launch<32, 32>(rows, cols, 128), softmax_vjp_kernel<Log, 32, 32, 128, T>, p);
  } else if (cols <= kRowInRegisters) {
    launch(stream, name, row_launch<0, 8>(rows, cols, 0), softmax_vjp_kernel<Log, 0, 8, 1024, T>, p);
  } else {
    p.chunks = blocks_for(cols, kRowChunk);
    const auto blocks = static_cast<unsigned>(rows * p.chunks);
    p.stage = p.chunks == 1 ? RowStage::whole : RowStage::figures;
    launch(stream, name, {blocks, 512}, softmax_vjp_online_kernel<Log, 512, T>, p);
    if (p.chunks == 1) return;
    p.stage = RowStage::results;
    launch(stream, name, {blocks, 512}, softmax_vjp_online_kernel<Log, 512, T>, p);
  }
}

}  // namespace detail

// y = softmax(x), both (rows, cols). `workspace`: softmax_workspace<T>(rows, cols) bytes, in every launcher here.
template <class T>
void launch_softmax(Stream& stream, View<const T, 2> x, View<T, 2> y, bool empty_is_zero, void* workspace) {
  auto* figures = static_cast<Compute<T>*>(workspace);
  detail::launch_weighing<Weighing::softmax, T>(stream, "softmax", {x, y, nullptr, 0, empty_is_zero, false, figures});
}
// y = log(softmax(x)).
template <class T>
void launch_log_softmax(Stream& stream, View<const T, 2> x, View<T, 2> y, bool empty_is_zero, void* workspace) {
  auto* figures = static_cast<Compute<T>*>(workspace);
  detail::launch_weighing<Weighing::log_softmax, T>(stream, "log_softmax",
                                                    {x, y, nullptr, 0, empty_is_zero, false, figures});
}
// y (rows) = log(sum(exp(x))); of rows without elements -infinity.
template <class T>
void launch_logsumexp(Stream& stream, View<const T, 2> x, View<T, 1> y, void* workspace) {
  const View<T, 2> column{y.data, {y.shape[0], 1}, {y.stride[0], 1}};
  auto* figures = static_cast<Compute<T>*>(workspace);
  detail::launch_weighing<Weighing::logsumexp, T>(stream, "logsumexp", {x, column, nullptr, 0, true, false, figures});
}

// dx from the cotangent g and the result y of softmax, all (rows, cols).
template <class T>
void launch_softmax_vjp(Stream& stream, View<const T, 2> g, View<const T, 2> y, View<T, 2> dx, void* workspace) {
  auto* figures = static_cast<Compute<T>*>(workspace);
  detail::launch_weighing_vjp<false, T>(stream, "softmax_vjp", {g, y, dx, false, figures});
}
template <class T>
void launch_log_softmax_vjp(Stream& stream, View<const T, 2> g, View<const T, 2> y, View<T, 2> dx, void* workspace) {
  auto* figures = static_cast<Compute<T>*>(workspace);
  detail::launch_weighing_vjp<true, T>(stream, "log_softmax_vjp", {g, y, dx, false, figures});
}
// dx = g[r] softmax(x), with g (rows); 0 in rows of -infinity.
template <class T>
void launch_logsumexp_vjp(Stream& stream, View<const T, 1> g, View<const T, 2> x, View<T, 2> dx, void* workspace) {
  auto* figures = static_cast<Compute<T>*>(workspace);
  detail::launch_weighing<Weighing::softmax, T>(stream, "logsumexp_vjp",
                                                {x, dx, g.data, g.stride[0], true, false, figures});
}

}  // namespace ergo::inline ERGO_BUILD::cuda
