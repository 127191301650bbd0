// Elements in device code: the type that kernels compute a storage type in, and packs that move as one access of up to
// 16 bytes.
#pragma once

#include "ergo/core/dtype.hpp"
#include "ergo/kernels/common/ptx.cuh"

namespace ergo::inline ERGO_BUILD::cuda {

// float for the 16-bit types, else the type itself.
template <class T>
__device__ __forceinline__ Compute<T> widen(T x) {
  if constexpr (std::is_same_v<T, bfloat16>)
    return __uint_as_float(unsigned{x.bits} << 16);
  else if constexpr (std::is_same_v<T, half>)
    return ptx::half_to_float(x.bits);
  else
    return x;
}
// Back, rounded to nearest even.
template <class T>
__device__ __forceinline__ T narrow(Compute<T> x) {
  if constexpr (std::is_same_v<T, bfloat16>)
    return bfloat16::from_bits(ptx::float_to_bfloat16(x));
  else if constexpr (std::is_same_v<T, half>)
    return half::from_bits(ptx::float_to_half(x));
  else
    return x;
}

// V elements, a power of two of at most 16 bytes together, aligned to their size: one load, one store.
template <class T, int V>
struct alignas(sizeof(T) * V) Pack {
  static_assert(V > 0 && (V & (V - 1)) == 0 && sizeof(T) * V <= 16);
  T at[V];
  __device__ __forceinline__ T& operator[](int i) { return at[i]; }
  __device__ __forceinline__ const T& operator[](int i) const { return at[i]; }
};
template <int V, class T>
__device__ __forceinline__ Pack<T, V> load_pack(const T* p) {
  return *reinterpret_cast<const Pack<T, V>*>(p);
}
template <int V, class T>
__device__ __forceinline__ void store_pack(T* p, const Pack<T, V>& x) {
  *reinterpret_cast<Pack<T, V>*>(p) = x;
}
// How many T a 16-byte pack holds.
template <class T>
inline constexpr int kPackOf = int(16 / sizeof(T));

// Whether p is aligned for packs of V elements: asked by launchers.
template <int V, class T>
bool aligned_for(const T* p) {
  return reinterpret_cast<std::uintptr_t>(p) % (sizeof(T) * V) == 0;
}

// exp as softmax and its kin take it: the fast one for float (2 ulp and an argument's worth), the exact one for double.
__device__ __forceinline__ float fast_exp(float x) { return __expf(x); }
__device__ __forceinline__ double fast_exp(double x) { return ::exp(x); }

}  // namespace ergo::inline ERGO_BUILD::cuda
