// Rotary positions: pairs of channels of x (L, T, H, D) turned by the angle position / base^(2 i / dims); the channels
// from `dims` on pass. One launch: a thread takes one pair (or one channel that passes) of one (l, t), makes its cosine
// and sine in double, and turns it in every head, so that a warp reads neighbouring channels.
#pragma once

#include "ergo/kernels/common/pack.cuh"
#include "ergo/kernels/common/view.cuh"

namespace ergo::inline ERGO_BUILD::cuda {

template <class T, class I>
struct RotaryCall {
  View<const T, 4> x;
  View<const I, 2> positions;  // (L, T)
  View<T, 4> y;
  std::int64_t dims;
  double log2_base;
  bool interleaved, inverse;
};

// ---- device code ----

inline constexpr int kRotaryBlock = 256;

// angle / pi less a multiple of 2, in [-1, 1]: without the tables that sin and cos keep for large angles. The rounding
// of the quotient is added back.
__device__ __forceinline__ double half_turns(double angle) {
  constexpr double kHigh = 0x1.45f306dc9c883p-2, kLow = -0x1.6b01ec5417056p-56;  // 1 / pi
  const double t = angle * kHigh, rest = ::fma(angle, kHigh, -t) + angle * kLow;
  return t - 2 * ::rint(t / 2) + rest;
}

template <class T, class I>
__global__ void __launch_bounds__(kRotaryBlock) rotary_kernel(RotaryCall<T, I> p) {
  const std::int64_t half = p.dims / 2, columns = p.x.shape[3] - half;
  const std::int64_t at = std::int64_t(blockIdx.x) * kRotaryBlock + threadIdx.x;
  if (at >= p.x.shape[0] * p.x.shape[1] * columns) return;
  const std::int64_t i = at % columns, t = at / columns % p.x.shape[1], l = at / columns / p.x.shape[1];
  if (i >= half) {
    for (std::int64_t h = 0; h < p.x.shape[2]; ++h) p.y(l, t, h, i + half) = p.x(l, t, h, i + half);
    return;
  }
  using A = Compute<T>;
  const double angle = double(p.positions(l, t)) * ::exp2(-2 * double(i) / double(p.dims) * p.log2_base);
  double sine, cosine;
  ::sincospi(half_turns(angle), &sine, &cosine);
  const A c = A(cosine), s = A(p.inverse ? -sine : sine);
  const std::int64_t a = p.interleaved ? 2 * i : i, b = p.interleaved ? 2 * i + 1 : i + half;
  for (std::int64_t h = 0; h < p.x.shape[2]; ++h) {
    const A first = widen(p.x(l, t, h, a)), second = widen(p.x(l, t, h, b));
    p.y(l, t, h, a) = narrow<T>(first * c - second * s);
    p.y(l, t, h, b) = narrow<T>(second * c + first * s);
  }
}

// ---- launchers ----

template <class T, class I>
void launch_rotary(Stream& stream, const RotaryCall<T, I>& call) {
  const std::int64_t all = call.x.shape[0] * call.x.shape[1] * (call.x.shape[3] - call.dims / 2);
  if (all == 0 || call.x.shape[2] == 0) return;
  launch(stream, "rotary", {blocks_for(all, kRotaryBlock), kRotaryBlock}, rotary_kernel<T, I>, call);
}

}  // namespace ergo::inline ERGO_BUILD::cuda
