// Splitting flat positions into axes: 32-bit arithmetic where the host has seen fewer than 2^31 positions, else 64-bit.
#pragma once

#include "ergo/kernels/common/view.cuh"

namespace ergo::inline ERGO_BUILD::cuda {

// FastDivisor for positions below 2^63. (A 64-bit division is a call in device code, which spills.)
struct WideDivisor {
  std::uint64_t divisor, multiplier;
  std::uint32_t shift;

  static WideDivisor of(std::int64_t d) {
    __extension__ using Product = unsigned __int128;
    const auto by = std::uint64_t(d), one = std::uint64_t{1};
    std::uint32_t s = 0;
    while (s < 63 && (one << s) < by) ++s;
    return {by, std::uint64_t((Product((one << s) - by) << 64) / by) + 1, s};
  }
  __device__ __forceinline__ std::uint64_t divide(std::uint64_t n) const {
    return (__umul64hi(n, multiplier) + n) >> shift;
  }
};
// Index: std::uint32_t or std::uint64_t.
template <class Index>
using Divisor = std::conditional_t<std::is_same_v<Index, std::uint32_t>, FastDivisor, WideDivisor>;

// Whether positions below n are split in 32 bits: asked by launchers.
constexpr bool fits_32_bits(std::int64_t n) { return n < (std::int64_t{1} << 31); }

}  // namespace ergo::inline ERGO_BUILD::cuda
