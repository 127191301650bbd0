// How a kernel is launched: by this function, never by <<<>>>, so that shared memory beyond 48 KiB is asked for on
// every launch that needs it, a refused launch names its operation, and the stream remembers it for errors that come
// later. And how a kernel names its dynamic shared memory.
#pragma once

#include "ergo/cuda/runtime.hpp"

namespace ergo::inline ERGO_BUILD::cuda {

inline constexpr unsigned kFullMask = 0xffffffffu;

struct LaunchShape {
  dim3 grid, block;
  std::size_t smem = 0;  // bytes of dynamic shared memory
};

namespace detail {

// What a launch has beside its kernel's types.
inline cudaLaunchConfig_t configured(Stream& stream, const char* name, const LaunchShape& s, const void* kernel) {
  if (s.smem > 48 * 1024)
    check(cudaFuncSetAttribute(kernel, cudaFuncAttributeMaxDynamicSharedMemorySize, int(s.smem)), name);
  cudaLaunchConfig_t c{};
  c.gridDim = s.grid;
  c.blockDim = s.block;
  c.dynamicSmemBytes = s.smem;
  c.stream = stream.handle;
  return c;
}
inline void launched(Stream& stream, const char* name, cudaError_t e) {
  if (e != cudaSuccess) fail(e, name, &stream.launches);
  stream.launches.add(name);
}

}  // namespace detail

// `name` is the operation's, a literal.
template <class... P, class... A>
void launch(Stream& stream, const char* name, const LaunchShape& s, void (*kernel)(P...), const A&... args) {
  const cudaLaunchConfig_t c = detail::configured(stream, name, s, reinterpret_cast<const void*>(kernel));
  detail::launched(stream, name, cudaLaunchKernelEx(&c, kernel, static_cast<P>(args)...));
}

// The block's dynamic shared memory, aligned to 128 bytes. A function, since an `extern __shared__` array can neither
// change its type between templates nor be emulated.
template <class T>
__device__ __forceinline__ T* dynamic_smem() {
#if defined(__CUDACC__)
  extern __shared__ __align__(128) unsigned char ergo_dynamic_smem[];
  return reinterpret_cast<T*>(ergo_dynamic_smem);
#else
  return static_cast<T*>(simt::dynamic_shared());
#endif
}

// Blocks of `each` that cover n; at least 1.
constexpr unsigned blocks_for(std::int64_t n, std::int64_t each) {
  return n <= each ? 1u : static_cast<unsigned>((n + each - 1) / each);
}

}  // namespace ergo::inline ERGO_BUILD::cuda
