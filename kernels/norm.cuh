// layer_norm along the rows of x (groups * rows, n), with gamma and beta (groups, n), one group usually:
//
//   normal = (x - mean) / sqrt(variance + eps),  y = normal gamma + beta
//
// A row leaves three numbers, as on the CPU: its rounded mean, what the rounding left over the deviation, and
// 1 / deviation; normal = (x - mean) scale + rest. So an offset costs no accuracy.
//
// rms_norm is the same about 0 (Centred = false): normal = x / sqrt(mean of x^2 + eps), no beta.
//
// One launch. Rows of up to 8192 stay in registers: mean, centred squares, results in one read; longer ones take a mean
// and centred squares a thread, merged as by Chan et al. 1983, and are read again. Sums have trees fixed by the length
// and the alignment. Statistics in float for 16 and 32 bits, in double for double.
#pragma once

#include "ergo/kernels/common/rows.cuh"

namespace ergo::inline ERGO_BUILD::cuda {

inline constexpr int kLayerNormStats = 3;  // mean, rest, scale

// ---- device code ----

template <class T>
struct LayerNormRows {
  View<const T, 2> x, gamma, beta;  // gamma, beta: (groups, n); no beta where rows are not centred
  View<T, 2> y;
  Compute<T>* stats;  // (groups * rows, 3)
  std::int64_t rows;  // of a group
  Compute<T> eps;
  bool packed;
};

// From the sums of deviations from a rounded mean and of their squares.
template <class A>
struct RowStats {
  A mean, rest, scale;
  __device__ __forceinline__ RowStats(A center, A deviations, A squares, std::int64_t n, A eps) : mean(center) {
    const A off = deviations / A(n), variance = squares / A(n) - off * off;
    scale = 1 / std::sqrt((variance < 0 ? A(0) : variance) + eps);
    rest = -off * scale;
  }
  __device__ __forceinline__ explicit RowStats(const A* kept) : mean(kept[0]), rest(kept[1]), scale(kept[2]) {}
  __device__ __forceinline__ void keep(A* to) const {
    to[0] = mean;
    to[1] = rest;
    to[2] = scale;
  }
  __device__ __forceinline__ A normal(A x) const { return (x - mean) * scale + rest; }
};

// The n elements from column c on of a row: normalised, weighed and written.
template <bool Centred, class T, int Lanes, int Each>
__device__ __forceinline__ void write_normalised(const LayerNormRows<T>& p, const RowTile<T, Lanes, Each>& tile,
                                                 std::int64_t row, std::int64_t c, int n,
                                                 const RowStats<Compute<T>>& stats, Compute<T> (&rx)[Each]) {
  using A = Compute<T>;
  const std::int64_t group = row / p.rows;
  const T* gamma = p.gamma.data + group * p.gamma.stride[0] + c * p.gamma.stride[1];
  constexpr int kPack = kPackOf<T>;
#pragma unroll
  for (int k = 0; k < Each / kPack; ++k) {
    A rw[kPack] = {};
    tile.load_one(gamma, p.gamma.stride[1], n, k, rw);
    if constexpr (Centred) {
      A rb[kPack] = {};
      tile.load_one(p.beta.data + group * p.beta.stride[0] + c * p.beta.stride[1], p.beta.stride[1], n, k, rb);
#pragma unroll
      for (int j = 0; j < kPack; ++j) rx[k * kPack + j] = stats.normal(rx[k * kPack + j]) * rw[j] + rb[j];
    } else {
#pragma unroll
      for (int j = 0; j < kPack; ++j) rx[k * kPack + j] = rx[k * kPack + j] * stats.scale * rw[j];
    }
  }
  tile.store(p.y.data + row * p.y.stride[0] + c * p.y.stride[1], p.y.stride[1], n, rx);
}

template <bool Centred, int Lanes, int Each, int Block, class T>
__global__ void __launch_bounds__(Block) layer_norm_kernel(LayerNormRows<T> p) {
  using A = Compute<T>;
  const RowTile<T, Lanes, Each> tile(p.packed);
  const std::int64_t row = row_of_thread<Lanes>();
  const bool valid = row < p.x.shape[0];
  const int n = int(p.x.shape[1]), cols = valid ? n : 0;

  A rx[Each], mean = 0;
  tile.load(p.x.data + row * p.x.stride[0], p.x.stride[1], cols, A(0), rx);
  if constexpr (Centred) {
    A sum = 0;
#pragma unroll
    for (int i = 0; i < Each; ++i) sum += rx[i];
    mean = row_sum<Lanes>(sum) / A(n);
  }
  A sums[2] = {0, 0};
#pragma unroll
  for (int i = 0; i < Each; ++i) {
    const A d = tile.column(i) < cols ? rx[i] - mean : A(0);
    if constexpr (Centred) sums[0] += d;
    sums[1] += d * d;
  }
  row_sum<Lanes>(sums);
  if (!valid) return;
  const RowStats<A> stats(mean, sums[0], sums[1], n, p.eps);
  if (tile.thread == 0) stats.keep(p.stats + row * kLayerNormStats);
  write_normalised<Centred>(p, tile, row, 0, cols, stats, rx);
}

// Count, mean and centred squares of what a thread has met.
template <class A>
struct Moments {
  A count = 0, mean = 0, squares = 0;
  // The elements of x whose flag is set.
  template <int N>
  __device__ __forceinline__ void add(const A (&x)[N], unsigned valid) {
    const A more = A(__popc(valid));
    if (more == 0) return;
    A sum = 0, square = 0;
#pragma unroll
    for (int i = 0; i < N; ++i) sum += valid >> i & 1 ? x[i] : A(0);
    const A center = sum / more;
#pragma unroll
    for (int i = 0; i < N; ++i) {
      const A d = valid >> i & 1 ? x[i] - center : A(0);
      square += d * d;
    }
    const A apart = center - mean, share = more / (count + more);
    mean += apart * share;
    squares += square + apart * apart * count * share;
    count += more;
  }
};

// A block a row of any length.
template <bool Centred, int Block, class T>
__global__ void __launch_bounds__(Block) layer_norm_long_kernel(LayerNormRows<T> p) {
  using A = Compute<T>;
  constexpr int kEach = 8;
  const RowTile<T, 0, kEach> tile(p.packed);
  const std::int64_t row = blockIdx.x, n = p.x.shape[1], step = tile.span();
  const T* x = p.x.data + row * p.x.stride[0];
  const auto left = [n](std::int64_t c) { return int(n - c < (1 << 30) ? n - c : 1 << 30); };

  A rx[kEach];
  Moments<A> own;
  for (std::int64_t c = 0; c < n; c += step) {
    tile.load(x + c * p.x.stride[1], p.x.stride[1], left(c), A(0), rx);
    unsigned valid = 0;
#pragma unroll
    for (int i = 0; i < kEach; ++i) valid |= unsigned(tile.column(i) < left(c)) << i;
    own.add(rx, valid);
  }
  const A mean = Centred ? row_sum<0>(own.mean * own.count) / A(n) : A(0),
          apart = own.count == 0 ? A(0) : own.mean - mean;
  A sums[2] = {Centred ? own.count * apart : A(0), own.squares + own.count * apart * apart};
  row_sum<0>(sums);
  const RowStats<A> stats(mean, sums[0], sums[1], n, p.eps);
  if (threadIdx.x == 0) stats.keep(p.stats + row * kLayerNormStats);
  for (std::int64_t c = 0; c < n; c += step) {
    tile.load(x + c * p.x.stride[1], p.x.stride[1], left(c), A(0), rx);
    write_normalised<Centred>(p, tile, row, c, left(c), stats, rx);
  }
}

// ---- launchers ----

namespace detail {

template <bool Centred, class T>
void launch_row_norm(Stream& stream, const char* name, const LayerNormRows<T>& p) {
  // Elements a thread: of a warp's rows, and of a block's.
  constexpr int kLane = sizeof(Compute<T>) == 8 ? 16 : 32, kEach = sizeof(Compute<T>) == 8 ? 16 : 8;
  const std::int64_t rows = p.x.shape[0], n = p.x.shape[1];
  if (n <= 64)
    launch(stream, name, row_launch<8, 8>(rows, n, 128), layer_norm_kernel<Centred, 8, 8, 128, T>, p);
  else if (n <= 256)
    launch(stream, name, row_launch<32, 8>(rows, n, 128), layer_norm_kernel<Centred, 32, 8, 128, T>, p);
  else if (n <= 32 * kLane)
    launch(stream, name, row_launch<32, kLane>(rows, n, 128), layer_norm_kernel<Centred, 32, kLane, 128, T>, p);
  else if (n <= kRowInRegisters)
    launch(stream, name, row_launch<0, kEach>(rows, n, 0),
           layer_norm_kernel<Centred, 0, kEach, int(kRowInRegisters / kEach), T>, p);
  else
    launch(stream, name, {static_cast<unsigned>(rows), 512}, layer_norm_long_kernel<Centred, 512, T>, p);
}

}  // namespace detail

// y and stats (rows, kLayerNormStats) of x (rows, n), in as many groups of rows as gamma and beta (groups, n) have.
template <class T>
void launch_layer_norm(Stream& stream, View<const T, 2> x, View<const T, 2> gamma, View<const T, 2> beta, double eps,
                       View<T, 2> y, Compute<T>* stats) {
  if (x.shape[0] == 0 || x.shape[1] == 0) return;
  detail::launch_row_norm<true, T>(stream, "layer_norm",
                                   {x, gamma, beta, y, stats, x.shape[0] / gamma.shape[0], static_cast<Compute<T>>(eps),
                                    rows_packed(x, gamma, beta, y)});
}
template <class T>
void launch_rms_norm(Stream& stream, View<const T, 2> x, View<const T, 2> gamma, double eps, View<T, 2> y,
                     Compute<T>* stats) {
  if (x.shape[0] == 0 || x.shape[1] == 0) return;
  detail::launch_row_norm<false, T>(
      stream, "rms_norm",
      {x, gamma, {}, y, stats, x.shape[0] / gamma.shape[0], static_cast<Compute<T>>(eps), rows_packed(x, gamma, y)});
}

}  // namespace ergo::inline ERGO_BUILD::cuda
