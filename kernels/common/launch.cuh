// How a kernel is launched: by this function, never by <<<>>>, so that shared memory beyond 48 KiB is asked for on every
// launch that needs it, a refused launch names its operation, and the stream remembers it for errors that come later.
#pragma once

#include "ergo/cuda/runtime.hpp"

namespace ergo::inline ERGO_BUILD::cuda {

struct LaunchShape {
  dim3 grid, block;
  std::size_t smem = 0;  // bytes of dynamic shared memory
};

// `name` is the operation's, a literal.
template <class... P, class... A>
void launch(Stream& stream, const char* name, const LaunchShape& s, void (*kernel)(P...), const A&... args) {
  if (s.smem > 48 * 1024)
    check(cudaFuncSetAttribute(kernel, cudaFuncAttributeMaxDynamicSharedMemorySize, int(s.smem)), name);
  cudaLaunchConfig_t c{};
  c.gridDim = s.grid;
  c.blockDim = s.block;
  c.dynamicSmemBytes = s.smem;
  c.stream = stream.handle;
  const cudaError_t e = cudaLaunchKernelEx(&c, kernel, static_cast<P>(args)...);
  if (e != cudaSuccess) detail::fail(e, name, &stream.launches);
  stream.launches.add(name);
}

}  // namespace ergo::inline ERGO_BUILD::cuda
