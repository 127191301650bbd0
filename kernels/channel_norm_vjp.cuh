// The gradients of group_norm and batch_norm (channel_norm.cuh), from the cotangent g and the statistics that forward
// left:
//
//   dx     = (h - mean(h) - normal mean(h normal)) scale,  h = g gamma, means over an example's group
//   dgamma = sum of g normal, dbeta = sum of g over all but the channels, of the examples of one gamma
//
// Three launches. Blocks take the sums of g and of g normal, channel by channel, of parts of an example's rows; from
// these come, in one launch, a group's two means (a warp each) and dgamma and dbeta (columns of 32 threads); one pass
// writes dx. Parts depend on shape and alignment alone; sums have fixed trees, in float for 16 and 32 bits, in double
// for double.
#pragma once

#include "ergo/kernels/channel_norm.cuh"

namespace ergo::inline ERGO_BUILD::cuda {

// ---- device code ----

template <class T>
struct ChannelNormVjp {
  View<const T, 3> g, x;
  View<const T, 2> gamma;  // (leads, channels)
  View<T, 3> dx;
  View<T, 2> dgamma, dbeta;              // (leads, channels)
  const Compute<T>* stats;               // (batch, groups, 3)
  Compute<T>* partial;                   // (batch, parts, 2, channels): sums of g and of g normal
  Compute<T>* means;                     // (batch, groups, 2): of h and of h normal
  std::int64_t examples, groups, depth;  // of a lead; of an example; channels a group
  ChannelTiles tiles;
};

template <int V, int Block, class T>
__global__ void __launch_bounds__(Block) channel_sums_kernel(ChannelNormVjp<T> p) {
  using A = Compute<T>;
  constexpr int kInFlight = 4;
  __shared__ A part[2][Block];
  const std::int64_t n = p.x.shape[2];
  ChannelTile<V, Block> at(p.tiles, p.x.shape[0], p.x.shape[1], n);
  A sums[2][V] = {};
  if (at.mine) {
    A mean[V], rest[V], scale[V];
#pragma unroll
    for (int v = 0; v < V; ++v) {
      const RowStats<A> stats(p.stats + (at.b * p.groups + (at.c + v) / p.depth) * kLayerNormStats);
      mean[v] = stats.mean;
      rest[v] = stats.rest;
      scale[v] = stats.scale;
    }
    const T* g = p.g.data + at.b * p.g.stride[0] + at.c * p.g.stride[2];
    const T* x = p.x.data + at.b * p.x.stride[0] + at.c * p.x.stride[2];
    for (std::int64_t r = at.row; r < at.end; r += kInFlight * at.step) {
      Pack<T, V> rg[kInFlight], rx[kInFlight];
#pragma unroll
      for (int u = 0; u < kInFlight; ++u) {
        const std::int64_t row = r + u * at.step;
        if (row >= at.end) break;
        rg[u] = load_pack<V>(g + row * p.g.stride[1]);
        rx[u] = load_pack<V>(x + row * p.x.stride[1]);
      }
#pragma unroll
      for (int u = 0; u < kInFlight; ++u) {
        if (r + u * at.step >= at.end) break;
#pragma unroll
        for (int v = 0; v < V; ++v) {
          const A cotangent = widen(rg[u][v]);
          sums[0][v] += cotangent;
          sums[1][v] += cotangent * ((widen(rx[u][v]) - mean[v]) * scale[v] + rest[v]);
        }
      }
    }
  }
  // Down the block's rows, a channel at a time.
  const int tx = int(threadIdx.x) & (p.tiles.width - 1), ty = int(threadIdx.x) / p.tiles.width;
#pragma unroll
  for (int v = 0; v < V; ++v) {
    part[0][threadIdx.x] = sums[0][v];
    part[1][threadIdx.x] = sums[1][v];
    __syncthreads();
    for (int half = int(at.step) / 2; half > 0; half /= 2) {
      if (ty < half) {
        part[0][threadIdx.x] += part[0][int(threadIdx.x) + half * p.tiles.width];
        part[1][threadIdx.x] += part[1][int(threadIdx.x) + half * p.tiles.width];
      }
      __syncthreads();
    }
    if (ty == 0 && at.mine) {
      A* to = p.partial + (at.b * p.tiles.chunks + at.part) * 2 * n + at.c + v;
      to[0] = part[0][tx];
      to[n] = part[1][tx];
    }
    __syncthreads();
  }
}

// The first `of_means` blocks: a warp an example's group. The others: 32 channels of one lead, for dgamma or dbeta.
template <int Width, class T>
__global__ void __launch_bounds__(Width* Width) channel_totals_kernel(ChannelNormVjp<T> p, std::int64_t of_means) {
  using A = Compute<T>;
  __shared__ A part[Width][Width];
  const std::int64_t n = p.x.shape[2], parts = p.tiles.chunks, block = block_number();
  if (block < of_means) {
    const std::int64_t at = block * Width + threadIdx.y;
    if (at >= p.x.shape[0] * p.groups) return;
    const std::int64_t b = at / p.groups, first = at % p.groups * p.depth;
    A level = 0, slope = 0;
    for (std::int64_t i = threadIdx.x; i < parts * p.depth; i += Width) {
      const std::int64_t c = first + i % p.depth;
      const A* from = p.partial + (b * parts + i / p.depth) * 2 * n + c;
      const A weight = widen(p.gamma(b / p.examples, c));
      level += weight * from[0];
      slope += weight * from[n];
    }
    const A share = 1 / (A(p.x.shape[1]) * A(p.depth));
    level = warp_sum(level);
    slope = warp_sum(slope);
    if (threadIdx.x == 0) {
      p.means[at * 2] = level * share;
      p.means[at * 2 + 1] = slope * share;
    }
    return;
  }
  const std::int64_t tiles = (n + Width - 1) / Width, of_lead = (block - of_means) / tiles;
  const std::int64_t c = (block - of_means) % tiles * Width + threadIdx.x, lead = of_lead / 2, which = of_lead % 2;
  const bool valid = c < n && lead < p.gamma.shape[0];
  A sum = 0;
  if (valid) {
    const A* from = p.partial + (lead * p.examples * parts * 2 + which) * n + c;
    for (std::int64_t k = threadIdx.y; k < p.examples * parts; k += Width) sum += from[k * 2 * n];
  }
  part[threadIdx.y][threadIdx.x] = sum;
  __syncthreads();
  if (threadIdx.y != 0 || !valid) return;
  for (int k = 1; k < Width; ++k) sum += part[k][threadIdx.x];
  (which == 0 ? p.dbeta : p.dgamma)(lead, c) = narrow<T>(sum);
}

template <int V, int Block, class T>
__global__ void __launch_bounds__(Block) channel_norm_vjp_kernel(ChannelNormVjp<T> p) {
  using A = Compute<T>;
  constexpr int kInFlight = 4;
  ChannelTile<V, Block> at(p.tiles, p.x.shape[0], p.x.shape[1], p.x.shape[2]);
  if (!at.mine) return;
  // dx = (g weight - ((x - center) slope + level)) scale: a slope times the scale's square might overflow.
  A center[V], weight[V], slope[V], level[V], scale[V];
#pragma unroll
  for (int v = 0; v < V; ++v) {
    const std::int64_t c = at.c + v, group = at.b * p.groups + c / p.depth;
    const RowStats<A> stats(p.stats + group * kLayerNormStats);
    center[v] = stats.mean;
    weight[v] = widen(p.gamma(at.b / p.examples, c));
    slope[v] = p.means[group * 2 + 1] * stats.scale;
    level[v] = p.means[group * 2] + p.means[group * 2 + 1] * stats.rest;
    scale[v] = stats.scale;
  }
  const T* g = p.g.data + at.b * p.g.stride[0] + at.c * p.g.stride[2];
  const T* x = p.x.data + at.b * p.x.stride[0] + at.c * p.x.stride[2];
  T* dx = p.dx.data + at.b * p.dx.stride[0] + at.c * p.dx.stride[2];
  for (std::int64_t r = at.row; r < at.end; r += kInFlight * at.step) {
    Pack<T, V> rg[kInFlight], rx[kInFlight];
#pragma unroll
    for (int u = 0; u < kInFlight; ++u) {
      const std::int64_t row = r + u * at.step;
      if (row >= at.end) break;
      rg[u] = load_pack<V>(g + row * p.g.stride[1]);
      rx[u] = load_pack<V>(x + row * p.x.stride[1]);
    }
#pragma unroll
    for (int u = 0; u < kInFlight; ++u) {
      const std::int64_t row = r + u * at.step;
      if (row >= at.end) break;
#pragma unroll
      for (int v = 0; v < V; ++v)
        rg[u][v] =
            narrow<T>((widen(rg[u][v]) * weight[v] - ((widen(rx[u][v]) - center[v]) * slope[v] + level[v])) * scale[v]);
      store_pack(dx + row * p.dx.stride[1], rg[u]);
    }
  }
}

// ---- launchers ----

template <class T>
struct ChannelNormVjpCall {
  View<const T, 3> g, x;     // (batch, middle, channels)
  const Compute<T>* stats;   // what forward left
  View<const T, 2> gamma;    // (leads, channels)
  std::int64_t groups;       // of channels
  View<T, 3> dx;             // as x
  View<T, 2> dgamma, dbeta;  // as gamma
};

namespace detail {

template <class T>
bool channel_vjp_packed(const ChannelNormVjpCall<T>& call) {
  return channels_packed(call.g, call.x, call.dx);
}
template <class T>
ChannelTiles channel_vjp_tiles(const ChannelNormVjpCall<T>& call) {
  return channel_tiles(call.x.shape[0], call.x.shape[1], call.x.shape[2], channel_vjp_packed(call) ? kPackOf<T> : 1);
}

}  // namespace detail

// Bytes of workspace that launch_channel_norm_vjp needs.
template <class T>
std::size_t channel_norm_vjp_workspace(const ChannelNormVjpCall<T>& call) {
  const std::int64_t sums = detail::channel_vjp_tiles(call).chunks * 2 * call.x.shape[2];
  return static_cast<std::size_t>(call.x.shape[0] * (sums + 2 * call.groups)) * sizeof(Compute<T>);
}
template <class T>
void launch_channel_norm_vjp(Stream& stream, const char* name, const ChannelNormVjpCall<T>& call, void* workspace,
                             std::int64_t most_blocks = kMostBlocks) {
  const std::int64_t batch = call.x.shape[0], n = call.x.shape[2], leads = call.gamma.shape[0];
  if (n == 0 || leads == 0) return;
  constexpr int kPack = kPackOf<T>, kBlock = detail::kChannelBlock;
  const bool packed = detail::channel_vjp_packed(call);
  const ChannelTiles tiles = detail::channel_vjp_tiles(call);
  auto* partial = static_cast<Compute<T>*>(workspace);
  const ChannelNormVjp<T> p{call.g,        call.x,      call.gamma,
                            call.dx,       call.dgamma, call.dbeta,
                            call.stats,    partial,     partial + batch * tiles.chunks * 2 * n,
                            batch / leads, call.groups, n / call.groups,
                            tiles};
  const LaunchShape shape{numbered_blocks(batch * tiles.tiles * tiles.chunks, most_blocks), kBlock};
  const bool some = batch * call.x.shape[1] > 0;
  if (some && packed)
    launch(stream, name, shape, channel_sums_kernel<kPack, kBlock, T>, p);
  else if (some)
    launch(stream, name, shape, channel_sums_kernel<1, kBlock, T>, p);
  const std::int64_t of_means = some ? detail::ceil_divide(batch * call.groups, 32) : 0;
  const std::int64_t of_totals = detail::ceil_divide(n, 32) * 2 * leads;
  launch(stream, name, {numbered_blocks(of_means + of_totals, most_blocks), dim3{32, 32}}, channel_totals_kernel<32, T>,
         p, of_means);
  if (some && packed)
    launch(stream, name, shape, channel_norm_vjp_kernel<kPack, kBlock, T>, p);
  else if (some)
    launch(stream, name, shape, channel_norm_vjp_kernel<1, kBlock, T>, p);
}

}  // namespace ergo::inline ERGO_BUILD::cuda
