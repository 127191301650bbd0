// group_norm and batch_norm of channels-last x (batch, middle, channels), with gamma and beta (leads, channels) for
// batch / leads examples each:
//
//   y = (x - mean) / sqrt(variance + eps) gamma + beta
//
// with a mean and a variance an example and group of neighbouring channels. batch_norm has groups of one channel.
//
// Three launches (four where the first is split). The column reduction of reduction.cuh takes the moments of each
// channel, about its first element and merged as by Chan et al. 1983; a warp a group (a thread, where it is one
// channel) merges those of its channels and leaves the three numbers of norm.cuh; then one pass writes y. So an offset
// of the data costs no accuracy. Trees are fixed by shape, strides and alignment; float for 16 and 32 bits, double for
// double.
#pragma once

#include "ergo/kernels/moments.cuh"
#include "ergo/kernels/norm.cuh"

namespace ergo::inline ERGO_BUILD::cuda {

// ---- device code ----

// Mean less the first element, and squares about the mean, of one channel.
template <class A>
struct ChannelMoment {
  A mean, squares;
};
template <class T>
struct ChannelMoments : VarianceReduction<T> {
  using Out = ChannelMoment<Compute<T>>;
  using State = typename VarianceReduction<T>::State;
  __device__ __forceinline__ Out finish(const State& s) const { return {s.mean, s.squares}; }
};

template <class T>
struct ChannelStats {
  View<const T, 3> x;
  const ChannelMoment<Compute<T>>* moments;  // (batch, channels)
  Compute<T>* stats;                         // (batch, groups, 3)
  T *mean, *variance;                        // (batch, groups) or null
  std::int64_t groups, depth;                // channels a group
  Compute<T> eps;
};

// Lanes threads a group; all moments relative to the first element of its first channel.
template <int Lanes, class T>
__global__ void __launch_bounds__(256) channel_stats_kernel(ChannelStats<T> p) {
  using A = Compute<T>;
  const std::int64_t at = row_of_thread<Lanes>();
  const bool valid = at < p.x.shape[0] * p.groups;
  const std::int64_t b = valid ? at / p.groups : 0, first = valid ? at % p.groups * p.depth : 0;
  const std::int64_t depth = valid ? p.depth : 0;
  const int lane = int(threadIdx.x % Lanes);
  const auto origin = [&](std::int64_t c) { return widen(p.x.data[b * p.x.stride[0] + (first + c) * p.x.stride[2]]); };
  const ChannelMoment<A>* own = p.moments + b * p.x.shape[2] + first;

  const A zero = valid ? origin(0) : A(0);
  A sum = 0;
  for (std::int64_t c = lane; c < depth; c += Lanes) sum += (origin(c) - zero) + own[c].mean;
  A off = row_sum<Lanes>(sum) / A(p.depth);
  A sums[2] = {0, 0};
  for (std::int64_t c = lane; c < depth; c += Lanes) {
    const A d = (origin(c) - zero) + own[c].mean - off;
    sums[0] += d;
    sums[1] += own[c].squares + A(p.x.shape[1]) * (d * d);
  }
  row_sum<Lanes>(sums);
  if (!valid || lane != 0) return;
  const A left = sums[0] / A(p.depth), about = sums[1] / (A(p.x.shape[1]) * A(p.depth)), apart = about - left * left;
  const A spread = apart == apart ? apart : about;  // infinity where both are
  off += left;
  const A variance = spread < 0 ? A(0) : spread, center = zero + off, scale = 1 / std::sqrt(variance + p.eps);
  const A rest = zero * zero > off * off ? (zero - center) + off : (off - center) + zero;
  A* to = p.stats + at * kLayerNormStats;
  to[0] = center;
  to[1] = -rest * scale;
  to[2] = scale;
  if (p.mean) p.mean[at] = narrow<T>(center);
  if (p.variance) p.variance[at] = narrow<T>(variance);
}

// Blocks numbered from 0 over both axes of a grid, the first of which has room for `most`; there may be some too many.
inline dim3 numbered_blocks(std::int64_t n, std::int64_t most) {
  const std::int64_t rows = n > most ? (n + most - 1) / most : 1;
  return {static_cast<unsigned>((n + rows - 1) / rows), static_cast<unsigned>(rows)};
}
__device__ __forceinline__ std::int64_t block_number() { return std::int64_t(blockIdx.y) * gridDim.x + blockIdx.x; }
inline constexpr std::int64_t kMostBlocks = 0x7fffffff;

// A block's part of (batch, middle, channels): `width` packs of V channels, Block / width rows at once, `chunk` rows.
struct ChannelTiles {
  int width;
  std::int64_t tiles, chunks, chunk;  // of the channels; of the rows; rows of one
};
template <int V, int Block>
struct ChannelTile {
  std::int64_t b, part, c, row, end, step;
  bool mine;
  __device__ __forceinline__ ChannelTile(const ChannelTiles& t, std::int64_t batch, std::int64_t middle,
                                         std::int64_t channels) {
    const std::int64_t block = block_number(), tile = block % t.tiles, rest = block / t.tiles;
    part = rest % t.chunks;
    b = rest / t.chunks;
    c = (tile * t.width + (int(threadIdx.x) & (t.width - 1))) * V;
    step = Block / t.width;
    row = part * t.chunk + int(threadIdx.x) / t.width;
    end = (part + 1) * t.chunk < middle ? (part + 1) * t.chunk : middle;
    mine = c < channels && b < batch;
  }
};
template <class T>
struct ChannelNorm {
  View<const T, 3> x;
  View<const T, 2> gamma, beta;  // (leads, channels)
  View<T, 3> y;
  const Compute<T>* stats;               // (batch, groups, 3)
  std::int64_t examples, groups, depth;  // of a lead; of an example; channels a group
  ChannelTiles tiles;
};

// V > 1: channels lie side by side, and all else that positions depend on is a multiple of V.
template <int V, int Block, class T>
__global__ void __launch_bounds__(Block) channel_norm_kernel(ChannelNorm<T> p) {
  using A = Compute<T>;
  constexpr int kInFlight = V > 4 ? 2 : 4;  // by the registers that three numbers a channel leave
  ChannelTile<V, Block> at(p.tiles, p.x.shape[0], p.x.shape[1], p.x.shape[2]);
  if (!at.mine) return;
  A center[V], factor[V], shift[V];
#pragma unroll
  for (int v = 0; v < V; ++v) {
    const std::int64_t lead = at.b / p.examples, c = at.c + v;
    const RowStats<A> stats(p.stats + (at.b * p.groups + c / p.depth) * kLayerNormStats);
    const A weight = widen(p.gamma(lead, c));
    center[v] = stats.mean;
    factor[v] = stats.scale * weight;
    shift[v] = stats.rest * weight + widen(p.beta(lead, c));
  }
  const T* x = p.x.data + at.b * p.x.stride[0] + at.c * p.x.stride[2];
  T* y = p.y.data + at.b * p.y.stride[0] + at.c * p.y.stride[2];
  for (std::int64_t r = at.row; r < at.end; r += kInFlight * at.step) {
    Pack<T, V> rx[kInFlight];
#pragma unroll
    for (int u = 0; u < kInFlight; ++u)
      if (r + u * at.step < at.end) rx[u] = load_pack<V>(x + (r + u * at.step) * p.x.stride[1]);
#pragma unroll
    for (int u = 0; u < kInFlight; ++u) {
      if (r + u * at.step >= at.end) break;
#pragma unroll
      for (int v = 0; v < V; ++v) rx[u][v] = narrow<T>((widen(rx[u][v]) - center[v]) * factor[v] + shift[v]);
      store_pack(y + (r + u * at.step) * p.y.stride[1], rx[u]);
    }
  }
}

// ---- launchers ----

namespace detail {

inline constexpr int kChannelBlock = 256;

// Rows a thread: at most 32, 8 where that fills a GPU no better.
inline ChannelTiles channel_tiles(std::int64_t batch, std::int64_t middle, std::int64_t channels, int pack) {
  const std::int64_t packs = (channels + pack - 1) / pack;
  // 8 rows at once where there are as many, else more channels side by side.
  const int width = power_of_two_from(packs, kChannelBlock / power_of_two_from(middle, 8));
  const std::int64_t height = kChannelBlock / width, tiles = ceil_divide(packs, width);
  const auto chunks = [&](std::int64_t each) { return ceil_divide(middle, each * height); };
  const std::int64_t each = batch * tiles * chunks(32) >= 512 ? 32 : 8;
  return {width, tiles, chunks(each), each * height};
}

// Whether channels of these views can move in packs.
template <class T, class... Rest>
bool channels_packed(const View<T, 3>& x, const Rest&... rest) {
  constexpr int V = kPackOf<std::remove_const_t<T>>;
  const bool fits = x.stride[2] == 1 && x.shape[2] % V == 0 && (x.shape[0] <= 1 || x.stride[0] % V == 0) &&
                    (x.shape[1] <= 1 || x.stride[1] % V == 0) && aligned_for<V>(x.data);
  if constexpr (sizeof...(Rest) > 0)
    return fits && channels_packed(rest...);
  else
    return fits;
}

template <class T>
std::size_t channel_moments_bytes(const View<const T, 3>& x) {
  const auto bytes = static_cast<std::size_t>(x.shape[0] * x.shape[2]) * sizeof(ChannelMoment<Compute<T>>);
  return (bytes + 255) / 256 * 256;
}

}  // namespace detail

template <class T>
struct ChannelNormCall {
  View<const T, 3> x;            // (batch, middle, channels)
  View<const T, 2> gamma, beta;  // (leads, channels)
  std::int64_t groups;           // of channels
  double eps;
  View<T, 3> y;
  Compute<T>* stats;   // (batch, groups, kLayerNormStats)
  T *mean, *variance;  // (batch, groups), null where nobody asks
};
// Bytes of workspace that launch_channel_norm needs.
template <class T>
std::size_t channel_norm_workspace(const View<const T, 3>& x) {
  return detail::channel_moments_bytes(x) + reduction_workspace<ChannelMoments<T>>(x);
}
template <class T>
void launch_channel_norm(Stream& stream, const char* name, const ChannelNormCall<T>& call, std::byte* workspace,
                         std::int64_t most_blocks = kMostBlocks) {
  const View<const T, 3>& x = call.x;
  if (x.shape[0] * x.shape[1] * x.shape[2] == 0) return;
  const std::int64_t depth = x.shape[2] / call.groups, rows = x.shape[0] * call.groups;
  auto* moments = reinterpret_cast<ChannelMoment<Compute<T>>*>(workspace);
  launch_reduction(stream, name, ChannelMoments<T>{}, x, moments, workspace + detail::channel_moments_bytes(x));

  const ChannelStats<T> stats{
      x, moments, call.stats, call.mean, call.variance, call.groups, depth, static_cast<Compute<T>>(call.eps)};
  if (depth == 1)
    launch(stream, name, row_launch<1, 1>(rows, 1, 256), channel_stats_kernel<1, T>, stats);
  else
    launch(stream, name, row_launch<32, 1>(rows, depth, 256), channel_stats_kernel<32, T>, stats);

  constexpr int kPack = kPackOf<T>, kBlock = detail::kChannelBlock;
  const bool packed = detail::channels_packed(x, call.y);
  const ChannelNorm<T> p{
      x,           call.gamma, call.beta,
      call.y,      call.stats, x.shape[0] / call.gamma.shape[0],
      call.groups, depth,      detail::channel_tiles(x.shape[0], x.shape[1], x.shape[2], packed ? kPack : 1)};
  const LaunchShape shape{numbered_blocks(x.shape[0] * p.tiles.tiles * p.tiles.chunks, most_blocks), kBlock};
  if (packed)
    launch(stream, name, shape, channel_norm_kernel<kPack, kBlock, T>, p);
  else
    launch(stream, name, shape, channel_norm_kernel<1, kBlock, T>, p);
}

}  // namespace ergo::inline ERGO_BUILD::cuda
