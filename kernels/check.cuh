// Whether all elements meet a condition: *fault, which the caller has set to something larger, becomes the least
// position of one that does not, the same in every order. Nothing is written where all do.
#pragma once

#include "ergo/kernels/common/pack.cuh"

namespace ergo::inline ERGO_BUILD::cuda {

inline constexpr int kCheckBlock = 256;

template <class T, class Meets>
__global__ void __launch_bounds__(kCheckBlock)
    check_elements_kernel(const T* x, std::int64_t n, Meets meets, std::int64_t* fault) {
  const std::int64_t i = std::int64_t(blockIdx.x) * kCheckBlock + threadIdx.x;
  if (i < n && !meets(double(widen(x[i])))) atomicMin(reinterpret_cast<long long*>(fault), static_cast<long long>(i));
}

// Meets: a functor that says of a double whether it will do.
template <class T, class Meets>
void launch_check_elements(Stream& stream, const char* name, const T* x, std::int64_t n, const Meets& meets,
                           std::int64_t* fault) {
  if (n == 0) return;
  launch(stream, name, {dim3(blocks_for(n, kCheckBlock)), dim3(kCheckBlock)}, check_elements_kernel<T, Meets>, x, n,
         meets, fault);
}

}  // namespace ergo::inline ERGO_BUILD::cuda
