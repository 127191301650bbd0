// One fault for each tool of compute-sanitizer, which must find it before its silence about a kernel means anything:
// device_planted memcheck|racecheck|initcheck|synccheck; without a fault: device_planted none.
#include <cstdio>
#include <string>

#include "ergo/kernels/common/launch.cuh"

namespace planted {

using namespace ergo;

constexpr int kBlock = 64;

// Writes one element beyond y (n,).
template <int>
__global__ void beyond_kernel(int* y, int n) {
  y[n - kBlock + 1 + int(threadIdx.x)] = 1;
}
// Reads what another warp wrote to shared memory, without a barrier.
template <int>
__global__ void race_kernel(int* y) {
  int* s = cuda::dynamic_smem<int>();
  s[threadIdx.x] = int(threadIdx.x);
  y[threadIdx.x] = s[kBlock - 1 - threadIdx.x];
}
// Half of a warp waits for the others, which never come.
template <int>
__global__ void divergent_kernel(int* y) {
  int* s = cuda::dynamic_smem<int>();
  s[threadIdx.x] = 1;
  __syncthreads();
  if (threadIdx.x < kBlock - 16) {
    s[threadIdx.x] += 1;
    __syncthreads();
  }
  y[threadIdx.x] = s[threadIdx.x];
}
template <int>
__global__ void copy_kernel(const int* x, int* y) {
  y[threadIdx.x] = x[threadIdx.x];
}

void run(const std::string& fault) {
  cuda::Stream& stream = cuda::current_stream(Device::cuda(0));
  int *x = nullptr, *y = nullptr;
  cuda::check(cudaMalloc(reinterpret_cast<void**>(&x), kBlock * sizeof(int)), "planted");
  cuda::check(cudaMalloc(reinterpret_cast<void**>(&y), kBlock * sizeof(int)), "planted");
  const cuda::LaunchShape shape{1, kBlock, kBlock * sizeof(int)};
  if (fault != "initcheck") cuda::check(cudaMemsetAsync(x, 0, kBlock * sizeof(int), stream.handle), "planted");
  if (fault == "memcheck")
    cuda::launch(stream, "planted", shape, beyond_kernel<0>, y, kBlock);
  else if (fault == "racecheck")
    cuda::launch(stream, "planted", shape, race_kernel<0>, y);
  else if (fault == "synccheck")
    cuda::launch(stream, "planted", shape, divergent_kernel<0>, y);
  else if (fault == "initcheck" || fault == "none")
    cuda::launch(stream, "planted", shape, copy_kernel<0>, static_cast<const int*>(x), y);
  else
    throw_error({"[planted] \"", fault, "\" is no fault"});
  stream.synchronize("planted");
  cuda::check(cudaFree(x), "planted");
  cuda::check(cudaFree(y), "planted");
}

}  // namespace planted

int main(int argc, char** argv) {
  try {
    planted::run(argc > 1 ? argv[1] : "none");
  } catch (const std::exception& e) {
    std::fprintf(stderr, "%s\n", e.what());
    return 1;
  }
}
