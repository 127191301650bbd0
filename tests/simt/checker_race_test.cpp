// The checked build: data races in shared and global memory. Each with its diagnosis, and a twin without one (FIXED).
// build: checked
#include "simt/support.hpp"

namespace simt_checker_race_test {

using namespace simt_test;

template <bool FIXED>
__global__ void reverse_kernel(float* y) {
  __shared__ float tile[256];
  tile[threadIdx.x] = 1;
  if (FIXED) __syncthreads();
  y[threadIdx.x] = tile[blockDim.x - 1 - threadIdx.x];
}

TEST_CASE("shared memory read before the barrier") {
  Array<float> y(256);
  diagnosed(cudaErrorLaunchFailure, {"of tile in shared memory", "reverse_kernel<false>", "checker_race_test.cpp:1"},
            [&] {
              return launch({1, 256}, reverse_kernel<false>, y.data());
            });
  clean([&] { return launch({1, 256}, reverse_kernel<true>, y.data()); });
}

}  // namespace simt_checker_race_test
