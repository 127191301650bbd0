// Casts of dense arrays: to[i] = from[i] as SEMANTICS section 1 defines it (truncated and saturated to integers, NaN to
// 0; x != 0 to bool; one rounding to floating types), the bits of ergo::convert for all pairs of types, NaNs' included.
// A thread has 4 packs in flight, of 16 bytes on the side of the wider type. Read once, written once, no arithmetic
// between elements.
#pragma once

#include "ergo/kernels/common/pack.cuh"

namespace ergo::inline ERGO_BUILD::cuda {

inline constexpr int kCastBlock = 256;  // threads
inline constexpr int kCastItems = 4;    // packs of a thread

// A NaN of float as double and back, quiet, its sign and the first bits of its fraction kept: the hardware's
// conversions keep neither.
__device__ __forceinline__ double nan_to_double(float x) {
  const std::uint64_t u = __float_as_uint(x);
  return __longlong_as_double((long long)((u & 0x80000000u) << 32 | 0x7ff8000000000000u | (u & 0x7fffffu) << 29));
}
__device__ __forceinline__ float nan_to_float(double x) {
  const auto u = std::uint64_t(__double_as_longlong(x));
  return __uint_as_float(std::uint32_t(u >> 32 & 0x80000000u) | 0x7fc00000u | std::uint32_t(u >> 29 & 0x7fffffu));
}

// ergo::convert, bit for bit.
template <class To, class From>
__device__ __forceinline__ To cast_element(From x) {
  constexpr bool kShort = std::is_same_v<To, half> || std::is_same_v<To, bfloat16>;
  if constexpr (std::is_same_v<To, From>) {
    return x;
  } else if constexpr (std::is_same_v<From, half>) {
    return cast_element<To>((x.bits & 0x7fff) > 0x7c00 ? float(x) : widen(x));
  } else if constexpr (std::is_same_v<From, bfloat16>) {
    return cast_element<To>(widen(x));
  } else if constexpr (kShort && std::is_same_v<From, float>) {
    return x != x ? To(x) : narrow<To>(x);
  } else if constexpr (kShort && std::is_same_v<From, double>) {
    return x != x ? To(nan_to_float(x)) : narrow<To>(ergo::detail::round_to_odd(x));
  } else if constexpr (kShort && sizeof(From) == 1) {
    return narrow<To>(float(x));
  } else if constexpr (kShort) {
    return narrow<To>(ergo::detail::round_to_odd(ergo::detail::integer_to_odd(x)));
  } else if constexpr (std::is_same_v<To, double> && std::is_same_v<From, float>) {
    return x != x ? nan_to_double(x) : double(x);
  } else if constexpr (std::is_same_v<To, float> && std::is_same_v<From, double>) {
    return x != x ? nan_to_float(x) : float(x);
  } else {
    return convert<To>(x);
  }
}

template <int V, class To, class From>
__global__ void __launch_bounds__(kCastBlock) cast_kernel(const From* from, To* to, std::int64_t count) {
  const std::int64_t first = std::int64_t(blockIdx.x) * (kCastBlock * kCastItems) + threadIdx.x, packs = count / V;
  Pack<From, V> x[kCastItems];
#pragma unroll
  for (int k = 0; k < kCastItems; ++k)
    if (const std::int64_t p = first + k * kCastBlock; p < packs) x[k] = load_pack<V>(from + p * V);
#pragma unroll
  for (int k = 0; k < kCastItems; ++k)
    if (const std::int64_t p = first + k * kCastBlock; p < packs) {
      Pack<To, V> y;
#pragma unroll
      for (int i = 0; i < V; ++i) y[i] = cast_element<To>(x[k][i]);
      store_pack(to + p * V, y);
    }
  if (const std::int64_t i = packs * V + first; i < count) to[i] = cast_element<To>(from[i]);
}

// Of `count` elements.
template <class To, class From>
void launch_cast(Stream& stream, const From* from, To* to, std::int64_t count) {
  constexpr int V = int(16 / (sizeof(To) > sizeof(From) ? sizeof(To) : sizeof(From)));
  if (count == 0) return;
  const bool packed = aligned_for<V>(from) && aligned_for<V>(to);
  launch(stream, "cast", {blocks_for(count, (packed ? V : 1) * kCastBlock * kCastItems), kCastBlock},
         packed ? cast_kernel<V, To, From> : cast_kernel<1, To, From>, from, to, count);
}

}  // namespace ergo::inline ERGO_BUILD::cuda
