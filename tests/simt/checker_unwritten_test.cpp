// The checked build: reads of memory that nobody has written. Each gives its diagnosis; what was written, by whomever,
// none.
// build: checked
#include <cublas_v2.h>

#include "simt/support.hpp"

namespace simt_checker_unwritten_test {

using namespace simt_test;

template <int = 0>
__global__ void fill_kernel(float* y, int n) {
  if (static_cast<int>(threadIdx.x) < n) y[threadIdx.x] = 1;
}
template <class T>
__global__ void copy_kernel(const T* x, T* y, int n) {
  if (static_cast<int>(threadIdx.x) < n) y[threadIdx.x] = x[threadIdx.x];
}
template <class T>
cudaError_t run_copy(const Array<T>& x, const Array<T>& y, int n) {
  return launch({1, 128}, copy_kernel<T>, static_cast<const T*>(x.data()), y.data(), n);
}

TEST_CASE("a kernel reads an element that the kernel before has left out") {
  Array<float> y(100);
  const auto run = [&](int written) {
    Array<float> x(100);
    launch({1, 128}, fill_kernel<>, x.data(), written);
    CHECK(run_copy(x, y, 100) == cudaSuccess);
    return cudaDeviceSynchronize();
  };
  diagnosed(cudaErrorLaunchFailure,
            {"a thread reads 4 bytes of which nobody has written byte 396 of an allocation of 400 bytes",
             "copy_kernel<float>", "thread (99, 0, 0)", "checker_unwritten_test.cpp:"},
            [&] { return run(99); });
  clean([&] { return run(100); });
}

TEST_CASE("a copy to the host reads what nobody has written; one on the device passes it on") {
  Array<float> y(100);
  const auto run = [&](int written, bool through_another) {
    Array<float> x(100);
    std::vector<float> host(100);
    launch({1, 128}, fill_kernel<>, x.data(), written);
    if (through_another) CHECK(cudaMemcpy(y.data(), x.data(), 400, cudaMemcpyDeviceToDevice) == cudaSuccess);
    return cudaMemcpy(host.data(), through_another ? y.data() : x.data(), 400, cudaMemcpyDeviceToHost);
  };
  const char* message = "cudaMemcpy reads 400 bytes of which nobody has written byte 396 of an allocation of 400 bytes";
  diagnosed(cudaErrorLaunchFailure, {message}, [&] { return run(99, false); });
  diagnosed(cudaErrorLaunchFailure, {message}, [&] { return run(99, true); });
  clean([&] { return run(100, true); });
}

TEST_CASE("copies, fills and atomics") {
  Array<unsigned> count(32);
  const auto add = [&] {
    return launch(
        {2, 64}, +[](unsigned* c) { atomicAdd(c + threadIdx.x % 32, 1u); }, count.data());
  };
  diagnosed(cudaErrorLaunchFailure, {"a thread reads 4 bytes of which nobody has written byte"}, add);
  CHECK(cudaMemset(count.data(), 0, 128) == cudaSuccess);
  clean(add);
  const std::vector<unsigned> host(32, 1u);
  CHECK(cudaMemcpy(count.data(), host.data(), 128, cudaMemcpyHostToDevice) == cudaSuccess);
  clean(add);
}

template <bool FIXED>
__global__ void shared_kernel(float* y) {
  __shared__ float tile[32];
  float* dynamic = dynamic_smem<float>();
  if (FIXED || threadIdx.x != 5) tile[threadIdx.x] = 1;
  dynamic[threadIdx.x] = tile[threadIdx.x];
  y[threadIdx.x] = dynamic[threadIdx.x];
}
template <bool FIXED>
__global__ void next_block_kernel(float* y) {
  float* tile = dynamic_smem<float>();
  if (FIXED || blockIdx.x == 0) tile[threadIdx.x] = 1;
  y[blockIdx.x * blockDim.x + threadIdx.x] = tile[threadIdx.x];
}

TEST_CASE("shared memory is unwritten in every block") {
  Array<float> y(64);
  diagnosed(cudaErrorLaunchFailure,
            {"a thread reads 4 bytes of which nobody has written byte 20 of 128 of tile in shared memory"}, [&] {
              return launch({1, 32, 128}, shared_kernel<false>, y.data());
            });
  clean([&] { return launch({1, 32, 128}, shared_kernel<true>, y.data()); });
  diagnosed(cudaErrorLaunchFailure, {"of 128 of dynamic shared memory", "block (1, 0, 0)"}, [&] {
    return launch({2, 32, 128}, next_block_kernel<false>, y.data());
  });
  clean([&] { return launch({2, 32, 128}, next_block_kernel<true>, y.data()); });
}

TEST_CASE("a product reads its operands and writes its result") {
  cublasHandle_t handle = nullptr;
  REQUIRE(cublasCreate(&handle) == CUBLAS_STATUS_SUCCESS);
  Array<float> b(16, 1.0f);
  const float one = 1, zero = 0;
  const auto run = [&](int written) {
    Array<float> a(16), c(16);
    launch({1, 32}, fill_kernel<>, a.data(), written);
    cublasSgemm(handle, CUBLAS_OP_N, CUBLAS_OP_N, 4, 4, 4, &one, a.data(), 4, b.data(), 4, &zero, c.data(), 4);
    std::vector<float> host(16);
    return cudaMemcpy(host.data(), c.data(), 64, cudaMemcpyDeviceToHost);
  };
  diagnosed(cudaErrorLaunchFailure,
            {"cublasSgemm: operand A reads 16 bytes of which nobody has written byte 60 of an allocation of 64 bytes"},
            [&] { return run(15); });
  clean([&] { return run(16); });
  // With beta, C is an operand.
  Array<float> c(16);
  diagnosed(cudaErrorLaunchFailure, {"operand C reads 16 bytes of which nobody has written"}, [&] {
    cublasSgemm(handle, CUBLAS_OP_N, CUBLAS_OP_N, 4, 4, 4, &one, b.data(), 4, b.data(), 4, &one, c.data(), 4);
    return cudaSuccess;
  });
  CHECK(cublasDestroy(handle) == CUBLAS_STATUS_SUCCESS);
}

// Structs with padding before, between and behind: written member by member, read and copied whole.
struct Inside {
  float value;
  long long place;
};
struct Behind {
  long long place;
  float value;
  bool valid;
};
template <class T>
__global__ void members_kernel(T* y, bool leave_out) {
  __shared__ T tile[32];
  tile[threadIdx.x].place = threadIdx.x;
  if (!leave_out || threadIdx.x != 7) tile[threadIdx.x].value = 1;
  if constexpr (requires { tile[0].valid; }) tile[threadIdx.x].valid = true;
  __syncthreads();
  y[threadIdx.x] = tile[31 - threadIdx.x];
}
template <class T>
__global__ void global_members_kernel(T* y) {
  y[threadIdx.x].place = threadIdx.x;
  y[threadIdx.x].value = 1;
  if constexpr (requires { y[0].valid; }) y[threadIdx.x].valid = true;
}
template <class T>
void check_padding() {
  Array<T> x(32), y(32);
  clean([&] { return launch({1, 32}, members_kernel<T>, y.data(), false); });
  diagnosed(cudaErrorLaunchFailure, {"of which nobody has written", "of tile in shared memory"}, [&] {
    return launch({1, 32}, members_kernel<T>, y.data(), true);
  });
  clean([&] { return launch({1, 32}, global_members_kernel<T>, x.data()); });
  clean([&] { return run_copy(x, y, 32); });
  std::vector<T> host(32);
  clean([&] { return cudaMemcpy(host.data(), x.data(), 32 * sizeof(T), cudaMemcpyDeviceToHost); });
}

TEST_CASE("padding is not expected to be written") {
  check_padding<Inside>();
  check_padding<Behind>();
}

}  // namespace simt_checker_unwritten_test
