// Integer labels as kernels read them, and the words that tell the host of one that names no class: kernels neither
// read outside nor stop, they write 0 and leave the least position of a bad label and its value.
#pragma once

#include <limits>

#include "ergo/kernels/common/view.cuh"

namespace ergo::inline ERGO_BUILD::cuda {

// Labels of any integer type.
struct Labels {
  const void* data;
  std::int64_t stride;
  int width;  // bytes

  template <class I>
  static Labels of(View<const I, 1> labels) {
    static_assert(std::is_integral_v<I> && (sizeof(I) == 1 || sizeof(I) == 4 || sizeof(I) == 8));
    return {labels.data, labels.stride[0], int(sizeof(I))};
  }
  __device__ __forceinline__ std::int64_t at(std::int64_t i) const {
    if (width == 1) return static_cast<const std::uint8_t*>(data)[i * stride];
    if (width == 4) return static_cast<const std::int32_t*>(data)[i * stride];
    return static_cast<const std::int64_t*>(data)[i * stride];
  }
};

// Where bad labels go: kFaultWords words, all kNoFault before. The first gets the least position of a bad label, the
// others its value, the same whichever thread comes first.
inline constexpr int kFaultWords = 3;
inline constexpr std::int64_t kNoFault = std::numeric_limits<std::int64_t>::max();
inline std::int64_t fault_value(const std::int64_t* fault) {
  return static_cast<std::int64_t>((std::uint64_t(fault[1]) << 32) | (std::uint64_t(fault[2]) & 0xffffffffu));
}

__device__ __forceinline__ void report_label(std::int64_t* fault, std::int64_t position, std::int64_t label) {
  if (!fault) return;
  auto* word = reinterpret_cast<long long*>(fault);
  // Half a label each, below the position: the least has the least position.
  const long long low = 0xffffffffll, high = (position < 0x7fffffff ? position : 0x7fffffff) << 32;
  atomicMin(word, static_cast<long long>(position));
  atomicMin(word + 1, high | ((label >> 32) & low));
  atomicMin(word + 2, high | (label & low));
}

}  // namespace ergo::inline ERGO_BUILD::cuda
