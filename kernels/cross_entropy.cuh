// cross_entropy of logits x (rows, classes) with integer labels y (rows), and its gradient in the same launch:
//
//   target_k = weight_k ((1 - smoothing) [k = y] + smoothing / classes)
//   loss     = sum_k target_k (log(sum) - (x_k - top)),     top = max(x), sum = sum_k e^(x_k - top)
//   dx_k     = scale (total e^(x_k - top) / sum - target_k),   total = sum_k target_k
//
// for each row of each problem (vmap makes several); losses are kept or go to their sum or their mean over the weights
// of the labels that count; scale is 1, or one over those weights. Rows of up to 8192 stay in registers; longer ones
// take top, sum and what smoothing adds online, in one read, and a second one writes the gradient. Launches: 1 for the
// rows; 1 for sum or mean; 1 before, for a mean with weights or an ignored label, that counts.
//
// Computed in float for 16 and 32 bits, in double for double; all sums have trees fixed by the shapes. An ignored row
// is not read: loss 0, gradient 0. So is one whose label is outside [0, classes), which is reported. As on the CPU: a
// NaN makes its row NaN, as does a row of -infinity; +infinity shares with its equals; a class without target adds
// nothing, however impossible it is.
#pragma once

#include "ergo/kernels/common/labels.cuh"
#include "ergo/kernels/common/rows.cuh"

namespace ergo::inline ERGO_BUILD::cuda {

enum class LossReduction { none, sum, mean };

// ---- device code ----

template <class T>
struct CrossEntropyRows {
  View<const T, 2> x;
  Labels label;
  View<const T, 2> weight;  // (problems, classes); null: ones
  View<T, 1> loss;
  View<T, 2> dx;                                 // null: not wanted
  std::int64_t rows = 0, blocks = 0, parts = 0;  // of a problem
  Compute<T>* sums = nullptr;                    // (problems, blocks): of losses; null: each loss is kept
  const Compute<T>* counted = nullptr;           // (problems, parts): weights that count; null: `scale` is known
  Compute<T> scale = 1, smoothing = 0;
  bool ignores = false, packed = false;
  std::int64_t ignored = 0;
  std::int64_t* fault = nullptr;

  __device__ __forceinline__ bool is_ignored(std::int64_t y) const { return ignores && y == ignored; }
  __device__ __forceinline__ Compute<T> weight_of(std::int64_t problem, std::int64_t k) const {
    return weight.data ? widen(weight(problem, k)) : Compute<T>(1);
  }
};

// counted[problem, part]: the weights of the labels of a part of a problem's rows.
inline constexpr std::int64_t kCountedPart = 8192;
template <int Block, class T>
__global__ void __launch_bounds__(Block) counted_weights_kernel(CrossEntropyRows<T> p, Compute<T>* counted) {
  const std::int64_t problem = blockIdx.x / p.parts, begin = blockIdx.x % p.parts * kCountedPart;
  const std::int64_t end = begin + kCountedPart < p.rows ? begin + kCountedPart : p.rows;
  Compute<T> sum = 0;
  for (std::int64_t r = begin + threadIdx.x; r < end; r += Block) {
    const std::int64_t y = p.label.at(problem * p.rows + r);
    if (!p.is_ignored(y) && std::uint64_t(y) < std::uint64_t(p.x.shape[1])) sum += p.weight_of(problem, y);
  }
  sum = block_sum<Block>(sum);
  if (threadIdx.x == 0) counted[blockIdx.x] = sum;
}
// The sum of n values by all threads of the block.
template <class A>
__device__ __forceinline__ A sum_by_block(const A* x, std::int64_t n) {
  A sum = 0;
  for (std::int64_t i = threadIdx.x; i < n; i += blockDim.x) sum += x[i];
  return row_sum<0>(sum);
}
// loss[problem] from its blocks' sums.
template <int Block, class T>
__global__ void __launch_bounds__(Block) cross_entropy_total_kernel(CrossEntropyRows<T> p, bool mean) {
  const std::int64_t problem = blockIdx.x;
  const Compute<T> total = sum_by_block(p.sums + problem * p.blocks, p.blocks);
  const Compute<T> counted =
      p.counted ? sum_by_block(p.counted + problem * p.parts, p.parts) : static_cast<Compute<T>>(p.rows);
  if (threadIdx.x == 0) p.loss(problem) = narrow<T>(mean ? total / counted : total);
}

template <class T>
__device__ __forceinline__ Compute<T> gradient_scale(const CrossEntropyRows<T>& p, std::int64_t problem) {
  if (!p.counted || !p.dx.data) return p.scale;
  const Compute<T> counted = sum_by_block(p.counted + problem * p.parts, p.parts);
  return counted != 0 ? 1 / counted : Compute<T>(NAN);
}

// What a row's label means for it; label and row are valid for the threads of a row that counts.
template <class T>
struct RowTarget {
  using A = Compute<T>;
  std::int64_t row, label;  // row among those of all problems
  bool valid, counts;       // valid: there is such a row

  __device__ __forceinline__ RowTarget(const CrossEntropyRows<T>& p, std::int64_t problem, std::int64_t of_problem,
                                       bool reports)
      : row(problem * p.rows + of_problem), label(0), valid(of_problem < p.rows), counts(false) {
    if (!valid) return;
    label = p.label.at(row);
    counts = !p.is_ignored(label);
    if (counts && std::uint64_t(label) >= std::uint64_t(p.x.shape[1])) {
      if (reports) report_label(p.fault, row, label);
      counts = false;
    }
  }
};

// A product in which a weight of 0 takes what is impossible.
template <class A>
__device__ __forceinline__ A weighed(A weight, A surprise) {
  return weight == 0 && (surprise == A(INFINITY) || surprise == A(-INFINITY)) ? A(0) : weight * surprise;
}
// What smoothing needs of a row: the sums of weight and of weight (x - top).
template <class A>
struct SmoothSums {
  A weights = 0, below = 0;
  __device__ __forceinline__ void add(A weight, A x, A top) {
    weights += weight;
    below += weighed(weight, below_top(x, top));
  }
  // `below` against a top that is at least as high.
  __device__ __forceinline__ A against(A top, A higher) const {
    return top == higher ? below : below + weighed(weights, top - higher);
  }
};

// Loss of a row, and the factors of its gradient: dx_k = e^(x_k - top) factor - [k = y] own - all weight_k.
template <class A>
struct RowLoss {
  A loss = 0, factor = 0, own = 0, all = 0;

  template <class T>
  __device__ __forceinline__ RowLoss(const CrossEntropyRows<T>& p, const RowTarget<T>& target, std::int64_t problem,
                                     A top, A sum, SmoothSums<A> smooth, A scale) {
    if (!target.counts) return;
    const A log_sum = top == A(-INFINITY) ? A(NAN) : std::log(sum);
    own = p.weight_of(problem, target.label) * (1 - p.smoothing);
    all = p.smoothing / A(p.x.shape[1]);
    loss = weighed(own, log_sum - below_top(widen(p.x(target.row, target.label)), top));
    A total = own;
    if (all != 0) {
      loss += all * (weighed(smooth.weights, log_sum) - smooth.below);
      total += all * smooth.weights;
    }
    factor = log_sum == log_sum ? total * scale / sum : A(NAN);
    own *= scale;
    all *= scale;
  }
};

template <int Lanes, int Each, int Block, class T>
__global__ void __launch_bounds__(Block) cross_entropy_kernel(CrossEntropyRows<T> p) {
  using A = Compute<T>;
  const RowTile<T, Lanes, Each> tile(p.packed);
  const std::int64_t problem = blockIdx.x / p.blocks, block = blockIdx.x % p.blocks;
  const std::int64_t of_problem =
      Lanes > 0 ? block * (Block / (Lanes > 0 ? Lanes : 1)) + threadIdx.x / (Lanes > 0 ? Lanes : 1) : block;
  const A scale = gradient_scale(p, problem);
  const RowTarget<T> target(p, problem, of_problem, tile.thread == 0);
  const int classes = int(p.x.shape[1]), cols = target.counts ? classes : 0;

  A rx[Each], top = A(-INFINITY);
  tile.load(p.x.data + target.row * p.x.stride[0], p.x.stride[1], cols, A(-INFINITY), rx);
#pragma unroll
  for (int i = 0; i < Each; ++i) top = ::max(top, rx[i]);
  top = row_top<Lanes>(top);
  SmoothSums<A> smooth;
  if (p.smoothing != 0) {
#pragma unroll
    for (int i = 0; i < Each; ++i)
      if (const int c = tile.column(i); c < cols) smooth.add(p.weight_of(problem, c), rx[i], top);
    A sums[] = {smooth.weights, smooth.below};
    row_sum<Lanes>(sums);
    smooth = {sums[0], sums[1]};
  }
  A sum = 0;
#pragma unroll
  for (int i = 0; i < Each; ++i) sum += rx[i] = weight_below(rx[i], top);
  sum = row_sum<Lanes>(sum);

  const RowLoss<A> row(p, target, problem, top, sum, smooth, scale);
  if (p.sums) {
    const A total = Lanes > 0 ? block_sum < Lanes == 0 ? 32 : Block > (tile.thread == 0 ? row.loss : A(0)) : row.loss;
    if (threadIdx.x == 0) p.sums[blockIdx.x] = total;
  } else if (target.valid && tile.thread == 0) {
    p.loss(target.row) = narrow<T>(row.loss);
  }
  if (!p.dx.data || !target.valid) return;
#pragma unroll
  for (int i = 0; i < Each; ++i) {
    const int c = tile.column(i);
    rx[i] = target.counts ? rx[i] * row.factor - (c == target.label ? row.own : A(0)) : A(0);
    if (row.all != 0 && c < cols) rx[i] -= row.all * p.weight_of(problem, c);
  }
  tile.store(p.dx.data + target.row * p.dx.stride[0], p.dx.stride[1], classes, rx);
}

// A block a row of any length; Smooth: the call has smoothing.
template <bool Smooth, int Block, class T>
__global__ void __launch_bounds__(Block) cross_entropy_online_kernel(CrossEntropyRows<T> p) {
  using A = Compute<T>;
  constexpr int kEach = 8;
  const RowTile<T, 0, kEach> tile(p.packed);
  const std::int64_t problem = blockIdx.x / p.blocks, classes = p.x.shape[1], step = tile.span();
  const A scale = gradient_scale(p, problem);
  const RowTarget<T> target(p, problem, blockIdx.x % p.blocks, tile.thread == 0);
  const std::int64_t cols = target.counts ? classes : 0;
  const T* x = p.x.data + target.row * p.x.stride[0];
  const auto left = [classes](std::int64_t c) { return int(classes - c < (1 << 30) ? classes - c : 1 << 30); };

  A rx[kEach];
  OnlineWeight<A> weight;
  SmoothSums<A> smooth;
  for (std::int64_t c = 0; c < cols; c += step) {
    tile.load(x + c * p.x.stride[1], p.x.stride[1], left(c), A(-INFINITY), rx);
    const A before = weight.top;
    weight.add(rx);
    if constexpr (!Smooth) continue;
    smooth.below = smooth.against(before, weight.top);
#pragma unroll
    for (int i = 0; i < kEach; ++i)
      if (tile.column(i) < left(c)) smooth.add(p.weight_of(problem, c + tile.column(i)), rx[i], weight.top);
  }
  const A own_top = weight.top;
  weight = weight.template over_row<0>();
  if constexpr (Smooth) {
    A sums[] = {smooth.weights, smooth.against(own_top, weight.top)};
    row_sum<0>(sums);
    smooth = {sums[0], sums[1]};
  }

  const RowLoss<A> row(p, target, problem, weight.top, weight.sum, smooth, scale);
  if (threadIdx.x == 0) {
    if (p.sums)
      p.sums[blockIdx.x] = row.loss;
    else
      p.loss(target.row) = narrow<T>(row.loss);
  }
  if (!p.dx.data) return;
  T* dx = p.dx.data + target.row * p.dx.stride[0];
  for (std::int64_t c = 0; c < classes; c += step) {
    if (target.counts) tile.load(x + c * p.x.stride[1], p.x.stride[1], left(c), A(0), rx);
#pragma unroll
    for (int i = 0; i < kEach; ++i) {
      const std::int64_t k = c + tile.column(i);
      rx[i] =
          target.counts ? weight_below(rx[i], weight.top) * row.factor - (k == target.label ? row.own : A(0)) : A(0);
      if (Smooth && k < classes) rx[i] -= row.all * p.weight_of(problem, k);
    }
    tile.store(dx + c * p.dx.stride[1], p.dx.stride[1], left(c), rx);
  }
}

// ---- launchers ----

template <class T>
struct CrossEntropyCall {
  View<const T, 2> logits;       // (problems * rows, classes)
  Labels labels;                 // problems * rows
  View<T, 1> loss;               // (problems), or of reduction none (problems * rows)
  View<T, 2> gradient = {};      // of the loss, as logits; null: not wanted
  View<const T, 2> weight = {};  // (problems, classes); null: ones
  std::int64_t problems = 1;
  LossReduction reduction = LossReduction::mean;
  bool ignores = false;
  std::int64_t ignore_label = 0;
  double smoothing = 0;
  std::int64_t* fault = nullptr;  // kFaultWords words of device or pinned memory, or null
};

namespace detail {
inline std::int64_t cross_entropy_blocks(std::int64_t rows, std::int64_t classes) {
  const std::int64_t each = classes <= 64 ? 16 : classes <= 1024 ? 4 : 1;
  return (rows + each - 1) / each;
}
inline std::int64_t cross_entropy_parts(std::int64_t rows) { return (rows + kCountedPart - 1) / kCountedPart; }
}  // namespace detail

// Bytes of workspace for any call with problems of `rows` rows.
template <class T>
std::size_t cross_entropy_workspace(std::int64_t problems, std::int64_t rows, std::int64_t classes) {
  const std::int64_t each = detail::cross_entropy_blocks(rows, classes) + detail::cross_entropy_parts(rows);
  return static_cast<std::size_t>(problems * each) * sizeof(Compute<T>);
}

template <class T>
void launch_cross_entropy(Stream& stream, const CrossEntropyCall<T>& call, void* workspace) {
  using A = Compute<T>;
  constexpr auto name = "cross_entropy";
  constexpr int kEach = sizeof(A) == 8 ? 16 : 8;  // of a block's rows in registers
  constexpr unsigned kBlock = sizeof(A) == 8 ? 512 : 1024;
  if (call.problems == 0) return;
  const std::int64_t rows = call.logits.shape[0] / call.problems, classes = call.logits.shape[1];
  const bool kept = call.reduction == LossReduction::none, mean = call.reduction == LossReduction::mean;
  CrossEntropyRows<T> p{call.logits, call.labels, call.weight, call.loss, call.gradient};
  p.rows = rows;
  p.blocks = detail::cross_entropy_blocks(rows, classes);
  p.parts = detail::cross_entropy_parts(rows);
  p.sums = kept ? nullptr : static_cast<A*>(workspace);
  p.scale = mean ? 1 / static_cast<A>(rows) : A(1);
  p.smoothing = static_cast<A>(call.smoothing);
  p.ignores = call.ignores;
  p.ignored = call.ignore_label;
  p.packed = p.dx.data ? rows_packed(p.x, p.dx) : rows_packed(p.x);
  p.fault = call.fault;

  const auto problems = static_cast<unsigned>(call.problems), blocks = static_cast<unsigned>(call.problems * p.blocks);
  if (mean && (call.ignores || call.weight.data) && rows > 0) {
    A* counted = p.sums + call.problems * p.blocks;
    launch(stream, name, {static_cast<unsigned>(call.problems * p.parts), 256}, counted_weights_kernel<256, T>, p,
           counted);
    p.counted = counted;
  }
  if (rows > 0) {
    if (classes <= 64)
      launch(stream, name, {blocks, 128}, cross_entropy_kernel<8, 8, 128, T>, p);
    else if (classes <= 256)
      launch(stream, name, {blocks, 128}, cross_entropy_kernel<32, 8, 128, T>, p);
    else if (classes <= 1024)
      launch(stream, name, {blocks, 128}, cross_entropy_kernel<32, 32, 128, T>, p);
    else if (classes <= kRowInRegisters)
      launch(stream, name, {blocks, row_launch<0, kEach>(rows, classes, 0).block},
             cross_entropy_kernel<0, kEach, int(kRowInRegisters / kEach), T>, p);
    else if (call.smoothing == 0)
      launch(stream, name, {blocks, kBlock}, cross_entropy_online_kernel<false, kBlock, T>, p);
    else
      launch(stream, name, {blocks, 512}, cross_entropy_online_kernel<true, 512, T>, p);
  }
  if (!kept) launch(stream, name, {problems, 1024}, cross_entropy_total_kernel<1024, T>, p, mean);
}

}  // namespace ergo::inline ERGO_BUILD::cuda
