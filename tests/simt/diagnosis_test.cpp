// Planted bugs that the plain build diagnoses: each gives its diagnosis, with kernel, block, thread and place, and its
// correct twin gives none and the right result. FIXED of a kernel is the twin.
#include "simt/support.hpp"

namespace simt_diagnosis_test {

using namespace simt_test;

template <bool FIXED>
__global__ void early_return_kernel(const float* x, float* y, int n) {
  __shared__ float tile[256];
  const int i = static_cast<int>(threadIdx.x);
  if (!FIXED && i >= n) return;
  if (i < n) tile[i] = x[i];
  __syncthreads();
  if (i < n) y[i] = tile[n - 1 - i];
}

TEST_CASE("a return before a barrier") {
  Array<float> x(256, 1.0f), y(256);
  const auto run = [&](auto kernel) { return launch({1, 256}, kernel, x.data(), y.data(), 200); };
  diagnosed(cudaErrorLaunchFailure,
            {"__syncthreads", "every thread of the block must reach it", "early_return_kernel<false>",
             "block (256, 1, 1): block (0, 0, 0), thread (", "diagnosis_test.cpp:"},
            [&] { return run(early_return_kernel<false>); });
  clean([&] { return run(early_return_kernel<true>); });
}

template <bool FIXED>
__global__ void divergent_barrier_kernel(float* y) {
  if (FIXED || threadIdx.x < 16) {
    __syncthreads();
  } else {
    __syncthreads();
  }
  y[threadIdx.x] = 1;
}

TEST_CASE("barriers in two branches") {
  Array<float> y(64);
  diagnosed(cudaErrorLaunchFailure,
            {"threads of one block wait at different __syncthreads", "divergent_barrier_kernel"}, [&] {
              return launch({2, 64}, divergent_barrier_kernel<false>, y.data());
            });
  clean([&] { return launch({1, 64}, divergent_barrier_kernel<true>, y.data()); });
}

template <bool FIXED>
__global__ void mixed_wait_kernel(float* y) {
  float v = static_cast<float>(threadIdx.x);
  if (FIXED || threadIdx.x < 40) v += __shfl_xor_sync(kFullMask, v, 1);
  if (threadIdx.x >= 40) __syncwarp(~0u << 8);
  y[threadIdx.x] = v;
}

TEST_CASE("a mask that names lanes which do not come") {
  Array<float> y(64);
  diagnosed(cudaErrorLaunchFailure, {"mixed_wait_kernel<false>", "warp operation"}, [&] {
    return launch({1, 64}, mixed_wait_kernel<false>, y.data());
  });
  clean([&] { return launch({1, 64}, mixed_wait_kernel<true>, y.data()); });
}

template <bool FIXED>
__global__ void absent_kernel(float* y) {
  float v = static_cast<float>(threadIdx.x);
  if (threadIdx.x < 16) v = __shfl_down_sync(FIXED ? 0xffffu : kFullMask, v, 1, 16);
  y[threadIdx.x] = v;
}

TEST_CASE("a mask that names lanes which have returned") {
  Array<float> y(32);
  diagnosed(cudaErrorLaunchFailure, {"every lane of the mask must call the operation", "absent_kernel<false>"}, [&] {
    return launch({1, 32}, absent_kernel<false>, y.data());
  });
  clean([&] { return launch({1, 32}, absent_kernel<true>, y.data()); });
}

template <bool FIXED>
__global__ void own_mask_kernel(float* y) {
  y[threadIdx.x] = __shfl_sync(FIXED ? kFullMask : 0xfffffffeu, static_cast<float>(threadIdx.x), 1);
}

TEST_CASE("a mask that does not name the caller") {
  Array<float> y(32);
  diagnosed(cudaErrorLaunchFailure, {"lane 0 calls a warp operation whose mask does not name it", "thread (0, 0, 0)"},
            [&] {
              return launch({1, 32}, own_mask_kernel<false>, y.data());
            });
  clean([&] { return launch({1, 32}, own_mask_kernel<true>, y.data()); });
}

template <bool FIXED>
__global__ void barrier_and_shuffle_kernel(float* y) {
  float v = 1;
  if (FIXED || threadIdx.x % 32 < 8) v += __shfl_xor_sync(FIXED ? kFullMask : 0x1ffu, v, 1);
  __syncthreads();
  y[threadIdx.x] = v;
}

TEST_CASE("lanes at a barrier and lanes in a shuffle that waits for them") {
  Array<float> y(64);
  diagnosed(cudaErrorLaunchFailure,
            {"deadlock: no thread of the block can run on", "16 threads (0 to 39) wait in a warp operation",
             "48 threads (8 to 63) wait at __syncthreads", "barrier_and_shuffle_kernel<false>"},
            [&] {
              return launch({1, 64}, barrier_and_shuffle_kernel<false>, y.data());
            });
  clean([&] { return launch({1, 64}, barrier_and_shuffle_kernel<true>, y.data()); });
}

template <bool FIXED>
__global__ void named_kernel(float* y) {
  simt::named_barrier_sync(1, FIXED || threadIdx.x % 2 ? 64 : 32);
  y[threadIdx.x] = 1;
}

TEST_CASE("a named barrier with two counts") {
  Array<float> y(64);
  diagnosed(cudaErrorLaunchFailure, {"barrier 1 is to wait for"}, [&] {
    return launch({1, 64}, named_kernel<false>, y.data());
  });
  clean([&] { return launch({1, 64}, named_kernel<true>, y.data()); });
}

// One block waits for what another one sets. By tickets, the other one has begun.
template <bool FIXED>
__global__ void later_block_kernel(unsigned* flag, unsigned* ticket) {
  const unsigned block = FIXED ? atomicAdd(ticket, 1u) : blockIdx.x;
  const unsigned sets = FIXED ? 0 : gridDim.x - 1, waits = FIXED ? gridDim.x - 1 : 0;
  if (block == sets) simt::store_release(flag, 1u);
  while (block == waits && simt::load_acquire(flag) == 0) {}
}

TEST_CASE("a block that waits for a later block") {
  const With forward;
  Array<unsigned> flag(1, 0u), ticket(1, 0u);
  const Mistakes mistakes;
  CHECK(launch({4, 1}, later_block_kernel<false>, flag.data(), ticket.data()) == cudaSuccess);
  CHECK(cudaDeviceSynchronize() == cudaErrorLaunchFailure);
  check_text(mistakes.text(), {"poll memory that nobody changes", "take a ticket", "block (0, 0, 0)"});
  simt::recover();
  CHECK(launch({4, 1}, later_block_kernel<true>, flag.data(), ticket.data()) == cudaSuccess);
  CHECK(cudaDeviceSynchronize() == cudaSuccess);
}

template <bool FIXED>
__global__ void unwaited_copy_kernel(const float* x, float* y) {
  __shared__ __align__(16) float tile[128];
  simt::cp_async(&tile[threadIdx.x * 4], x + threadIdx.x * 4, 16, 16);
  simt::cp_async_commit();
  if (FIXED) simt::cp_async_wait(0);
  y[threadIdx.x] = tile[threadIdx.x * 4];
}
template <bool FIXED>
__global__ void misaligned_copy_kernel(const float* x, float* y) {
  __shared__ __align__(16) float tile[8];
  simt::cp_async(tile, x + (FIXED ? 4 : 1), 16, 16);
  simt::cp_async_commit();
  simt::cp_async_wait(0);
  y[0] = tile[0];
}

TEST_CASE("cp.async without a wait, or between odd addresses") {
  Array<float> x(128, 1.0f), y(32);
  diagnosed(cudaErrorLaunchFailure, {"returns while its cp.async copies are on the way"}, [&] {
    return launch({1, 32}, unwaited_copy_kernel<false>, x.data(), y.data());
  });
  clean([&] { return launch({1, 32}, unwaited_copy_kernel<true>, x.data(), y.data()); });
  diagnosed(cudaErrorLaunchFailure, {"cp.async between addresses that are not multiples"}, [&] {
    return launch({1, 1}, misaligned_copy_kernel<false>, x.data(), y.data());
  });
  clean([&] { return launch({1, 1}, misaligned_copy_kernel<true>, x.data(), y.data()); });
}

template <int = 0>
__global__ void copy_kernel(const float* x, float* y, int n) {
  const int i = static_cast<int>(blockIdx.x * blockDim.x + threadIdx.x);
  if (i < n) y[i] = x[i];
}

TEST_CASE("host and freed pointers as parameters") {
  Array<float> x(32, 1.0f), y(32);
  const std::vector<float> host(32, 1.0f);
  diagnosed(cudaErrorIllegalAddress,
            {"launch of void simt_diagnosis_test::copy_kernel<0>", "parameter 1 is a host pointer"}, [&] {
              return launch({1, 32}, copy_kernel<>, host.data(), y.data(), 32);
            });
  float* p = nullptr;
  CHECK(cudaMalloc(&p, 128) == cudaSuccess);
  clean([&] { return launch({1, 32}, copy_kernel<>, x.data(), p, 32); });
  clean([&] { return launch({1, 32}, copy_kernel<>, x.data(), p + 32, 0); });
  CHECK(cudaFree(p) == cudaSuccess);
  diagnosed(cudaErrorIllegalAddress, {"parameter 2 is device memory that has been freed"}, [&] {
    return launch({1, 32}, copy_kernel<>, x.data(), p, 32);
  });
  float* pinned = nullptr;
  CHECK(cudaMallocHost(&pinned, 128) == cudaSuccess);
  clean([&] { return launch({1, 32}, copy_kernel<>, x.data(), pinned, 32); });
  CHECK(pinned[31] == 1);
  CHECK(cudaFreeHost(pinned) == cudaSuccess);
}

TEST_CASE("stream-ordered memory used too early, or freed too early") {
  const With lazy;
  Array<float> x(32, 1.0f);
  cudaStream_t a = nullptr, b = nullptr;
  for (cudaStream_t* s : {&a, &b}) CHECK(cudaStreamCreateWithFlags(s, cudaStreamNonBlocking) == cudaSuccess);
  {
    const Mistakes mistakes;
    float* p = nullptr;
    CHECK(cudaMallocAsync(&p, 128, a) == cudaSuccess);
    CHECK(launch({1, 32, 0, b}, copy_kernel<>, x.data(), p, 32) == cudaSuccess);
    CHECK(cudaStreamSynchronize(b) == cudaErrorIllegalAddress);
    check_text(mistakes.text(), {"parameter 2 is memory of cudaMallocAsync that does not exist yet in stream order"});
  }
  {
    const Mistakes mistakes;
    float* p = nullptr;
    CHECK(cudaMallocAsync(&p, 128, a) == cudaSuccess);
    CHECK(cudaStreamSynchronize(a) == cudaSuccess);
    CHECK(launch({1, 32, 0, b}, copy_kernel<>, x.data(), p, 32) == cudaSuccess);
    CHECK(cudaFreeAsync(p, a) == cudaSuccess);  // does not wait for b
    CHECK(cudaStreamSynchronize(a) == cudaSuccess);
    CHECK(cudaStreamSynchronize(b) == cudaErrorIllegalAddress);
    check_text(mistakes.text(), {"device memory that was freed before the kernel in stream order"});
  }
  for (cudaStream_t s : {a, b}) CHECK(cudaStreamDestroy(s) == cudaSuccess);
}

}  // namespace simt_diagnosis_test
