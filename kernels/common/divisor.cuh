// Splitting flat positions into axes: 32-bit arithmetic where the host has seen fewer than 2^31 positions, else 64-bit.
#pragma once

#include "ergo/kernels/common/view.cuh"

namespace ergo::inline ERGO_BUILD::cuda {

struct WideDivisor {
  std::uint64_t divisor;

  static WideDivisor of(std::int64_t d) { return {std::uint64_t(d)}; }
  __device__ __forceinline__ std::uint64_t divide(std::uint64_t n) const { return n / divisor; }
};
// Index: std::uint32_t or std::uint64_t.
template <class Index>
using Divisor = std::conditional_t<std::is_same_v<Index, std::uint32_t>, FastDivisor, WideDivisor>;

// Whether positions below n are split in 32 bits: asked by launchers.
constexpr bool fits_32_bits(std::int64_t n) { return n < (std::int64_t{1} << 31); }

}  // namespace ergo::inline ERGO_BUILD::cuda
