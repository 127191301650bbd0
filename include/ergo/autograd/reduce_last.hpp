// Reductions over the last axes of an array, where it lies.
#pragma once

#include "ergo/cpu/reduce.hpp"
#if defined(__CUDACC__) || defined(ERGO_EMULATED)
#include "ergo/cuda/reduce.hpp"
#endif

namespace ergo::inline ERGO_BUILD::detail {

// The sum over the last axes of x, an array of floats on a CUDA device, over `divisor`; rounded once.
inline Ref<Array> sum_on_device(const char* name, const Array& x, int axes, double divisor);

#if defined(__CUDACC__) || defined(ERGO_EMULATED)
template <class M>
struct OfDevice;
template <>
struct OfDevice<cpu::SumOf> : std::type_identity<cuda::SumOf> {};
template <>
struct OfDevice<cpu::ProductOf> : std::type_identity<cuda::ProductOf> {};
template <>
struct OfDevice<cpu::MaxOf> : std::type_identity<cuda::MaxOf> {};
template <>
struct OfDevice<cpu::MinOf> : std::type_identity<cuda::MinOf> {};

// x reduced by M over its last `axes` axes; the result, row-major, has the accumulator's type, or T if that is bool or
// of 16 bits. x at depth 0.
template <class M, class T>
Ref<Array> reduce_last(const char* name, const Array& x, int axes) {
  if (x.device.is_cpu()) return cpu::reduce_last<M, T>(x, axes);
  return cuda::reduce_last<typename OfDevice<M>::type, T>(name, x, axes);
}
inline Ref<Array> sum_on_device(const char* name, const Array& x, int axes, double divisor) {
  switch (x.dtype) {
    case DType::float64:
      return cuda::reduce_last<cuda::SumOf, double>(name, x, axes, divisor);
    case DType::half:
      return cuda::reduce_last<cuda::SumOf, half>(name, x, axes, divisor);
    case DType::bfloat16:
      return cuda::reduce_last<cuda::SumOf, bfloat16>(name, x, axes, divisor);
    default:
      return cuda::reduce_last<cuda::SumOf, float>(name, x, axes, divisor);
  }
}
#else
template <class M, class T>
Ref<Array> reduce_last(const char*, const Array& x, int axes) {
  return cpu::reduce_last<M, T>(x, axes);
}
inline Ref<Array> sum_on_device(const char*, const Array& x, int, double) {
  backend(x.device);  // an Error
  return {};
}
#endif

}  // namespace ergo::inline ERGO_BUILD::detail
