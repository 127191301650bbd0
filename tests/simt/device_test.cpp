// Two devices, the limits of a launch, errors and lost contexts, failing allocation, counters.
#include <cstring>

#include "simt/support.hpp"

namespace simt_device_test {

using namespace simt_test;

template <int = 0>
__global__ void fill_kernel(float* x, int n, float value) {
  const unsigned i = blockIdx.x * blockDim.x + threadIdx.x;
  if (static_cast<int>(i) < n) x[i] = value;
}

struct Pair {
  float *from, *to;
};
// Reaches memory through a struct, where no launch looks for pointers.
template <int = 0>
__global__ void pair_kernel(Pair p) {
  p.to[threadIdx.x] = p.from[threadIdx.x];
}

template <int = 0>
__global__ void shared_kernel(float* x) {
  float* tile = dynamic_smem<float>();
  tile[simt::dynamic_shared_size() / sizeof(float) - 1] = 1;
  *x = tile[simt::dynamic_shared_size() / sizeof(float) - 1];
}

struct Big {
  char bytes[4096];
};
template <int = 0>
__global__ void big_kernel(float* x, Big b) {
  *x = b.bytes[0];
}

// Sets the device while it lives.
struct OnDevice {
  explicit OnDevice(int d) { CHECK(cudaSetDevice(d) == cudaSuccess); }
  ~OnDevice() { cudaSetDevice(0); }
};

TEST_CASE("there are two devices, each with its memory") {
  int n = 0, device = -1;
  CHECK(cudaGetDeviceCount(&n) == cudaSuccess);
  CHECK(n == 2);
  CHECK(cudaGetDevice(&device) == cudaSuccess);
  CHECK(device == 0);
  cudaDeviceProp p;
  CHECK(cudaGetDeviceProperties(&p, 1) == cudaSuccess);
  CHECK(std::string(p.name) == "emulated device 1");
  CHECK(p.major * 10 + p.minor == 90);
  CHECK(p.sharedMemPerBlockOptin == 227 * 1024);
  int value = 0;
  CHECK(cudaDeviceGetAttribute(&value, cudaDevAttrWarpSize, 1) == cudaSuccess);
  CHECK(value == 32);
  CHECK(cudaGetDeviceProperties(&p, 2) == cudaErrorInvalidDevice);
  const Mistakes mistakes;
  CHECK(cudaSetDevice(2) == cudaErrorInvalidDevice);
  CHECK(cudaGetLastError() == cudaErrorInvalidDevice);
  CHECK(std::string(cudaGetErrorName(cudaErrorInvalidDevice)) == "cudaErrorInvalidDevice");
  CHECK(std::string(cudaGetErrorString(cudaErrorInvalidDevice)) == "invalid device ordinal");

  Array<float> on0(4);
  const OnDevice one(1);
  Array<float> on1(4);
  cudaPointerAttributes a;
  CHECK(cudaPointerGetAttributes(&a, on0.data() + 1) == cudaSuccess);
  CHECK(a.type == cudaMemoryTypeDevice);
  CHECK(a.device == 0);
  CHECK(cudaPointerGetAttributes(&a, on1.data()) == cudaSuccess);
  CHECK(a.device == 1);
  CHECK(cudaPointerGetAttributes(&a, &a) == cudaSuccess);
  CHECK(a.type == cudaMemoryTypeUnregistered);
}

TEST_CASE("kernels run on the current device, copies go between devices") {
  in_every_order([] {
    Array<float> on0(8);
    CHECK(launch({1, 32}, fill_kernel<>, on0.data(), 8, 2.0f) == cudaSuccess);
    synchronize();
    const OnDevice one(1);
    Array<float> on1(8);
    CHECK(cudaMemcpyPeerAsync(on1.data(), 1, on0.data(), 0, 32) == cudaSuccess);
    CHECK(on1.host() == std::vector<float>(8, 2.0f));
    CHECK(launch({1, 32}, fill_kernel<>, on1.data(), 8, 3.0f) == cudaSuccess);
    CHECK(on1.host() == std::vector<float>(8, 3.0f));
    CHECK(on0.host() == std::vector<float>(8, 2.0f));
  });
}

TEST_CASE("the wrong current device is an error") {
  const With forward;
  const Mistakes mistakes;
  Array<float> on0(8, 1.0f);
  cudaStream_t s = nullptr;
  cudaEvent_t e = nullptr;
  CHECK(cudaStreamCreateWithFlags(&s, cudaStreamNonBlocking) == cudaSuccess);
  CHECK(cudaEventCreate(&e) == cudaSuccess);
  {
    const OnDevice one(1);
    Array<float> on1(8, 1.0f);
    CHECK(launch({1, 32, 0, s}, fill_kernel<>, on1.data(), 8, 3.0f) == cudaErrorInvalidResourceHandle);
    check_text(mistakes.text(), {"fill_kernel<0>", "stream of device 0 while device 1 is current"});
    CHECK(cudaEventRecord(e, nullptr) == cudaErrorInvalidResourceHandle);
    check_text(mistakes.text(), {"event of device 0 in a stream of device 1"});
    CHECK(launch({1, 32}, fill_kernel<>, on0.data(), 8, 3.0f) == cudaErrorIllegalAddress);
    check_text(mistakes.text(), {"parameter 1 is memory of device 0, but the kernel is launched on device 1"});
    CHECK(cudaDeviceSynchronize() == cudaErrorIllegalAddress);  // and device 1 is lost
    CHECK(cudaSetDevice(0) == cudaSuccess);
    CHECK(cudaDeviceSynchronize() == cudaSuccess);
    simt::recover();
    cudaSetDevice(1);
#if !defined(__SANITIZE_ADDRESS__)
    CHECK(launch({1, 4}, pair_kernel<>, Pair{on0.data(), on1.data()}) == cudaSuccess);
    CHECK(cudaDeviceSynchronize() == cudaErrorIllegalAddress);
    check_text(mistakes.text(), {"memory of device 0", "runs on device 1", "pair_kernel<0>", "thread (0, 0, 0)"});
    simt::recover();
#endif
  }
  CHECK(cudaEventDestroy(e) == cudaSuccess);
  CHECK(cudaStreamDestroy(s) == cudaSuccess);
}

TEST_CASE("a launch beyond the limits is refused, and does not run") {
  const Mistakes mistakes;
  Array<float> x(4, 0.0f);
  const auto refused = [&](const LaunchShape& shape, cudaError_t error, std::initializer_list<const char*> words) {
    CHECK(launch(shape, fill_kernel<>, x.data(), 4, 1.0f) == error);
    CHECK(cudaGetLastError() == error);
    CHECK(cudaGetLastError() == cudaSuccess);
    check_text(mistakes.text(), words);
  };
  refused({1, 1025}, cudaErrorInvalidConfiguration, {"fill_kernel<0>", "block (1025, 1, 1)", "1 to 1024 threads"});
  refused({1, dim3(32, 33)}, cudaErrorInvalidConfiguration, {"block (32, 33, 1)"});
  refused({1, dim3(1, 1, 65)}, cudaErrorInvalidConfiguration, {"block (1, 1, 65)"});
  refused({1, 0}, cudaErrorInvalidConfiguration, {"block (0, 1, 1)"});
  refused({0, 32}, cudaErrorInvalidConfiguration, {"grid (0, 1, 1)"});
  refused({dim3(1, 65536), 32}, cudaErrorInvalidConfiguration, {"grid (1, 65536, 1)", "65535"});
  refused({dim3(0x80000000u), 32}, cudaErrorInvalidConfiguration, {"grid (2147483648, 1, 1)"});
  refused({1, 32, 48 * 1024 + 1}, cudaErrorInvalidValue, {"49153 bytes of dynamic shared memory", "49152"});
  CHECK(x.host() == std::vector<float>(4, 0.0f));

  void (*none)(float*, int, float) = nullptr;
  CHECK(launch({1, 32}, none, x.data(), 4, 1.0f) == cudaErrorInvalidDeviceFunction);
  CHECK(launch({1, 32}, big_kernel<>, x.data(), Big{}) == cudaErrorInvalidValue);
  check_text(mistakes.text(), {"null kernel", "4104 bytes of parameters; at most 4096"});
}

TEST_CASE("more than 48 KiB of shared memory after asking, on each device") {
  const Mistakes mistakes;
  Array<float> x(1, 0.0f);
  const std::size_t most = 227 * 1024;
  constexpr auto attribute = cudaFuncAttributeMaxDynamicSharedMemorySize;
  CHECK(launch({1, 1, most}, shared_kernel<>, x.data()) == cudaErrorInvalidValue);
  CHECK(cudaFuncSetAttribute(shared_kernel<>, attribute, static_cast<int>(most) + 1) == cudaErrorInvalidValue);
  CHECK(cudaFuncSetAttribute(shared_kernel<>, attribute, static_cast<int>(most)) == cudaSuccess);
  CHECK(launch({1, 1, most}, shared_kernel<>, x.data()) == cudaSuccess);
  CHECK(x.host()[0] == 1);
  cudaFuncAttributes a;
  CHECK(cudaFuncGetAttributes(&a, shared_kernel<>) == cudaSuccess);
  CHECK(a.maxDynamicSharedSizeBytes == static_cast<int>(most));
  const OnDevice one(1);
  Array<float> y(1, 0.0f);
  CHECK(launch({1, 1, most}, shared_kernel<>, y.data()) == cudaErrorInvalidValue);
  int blocks = 0;
  CHECK(cudaOccupancyMaxActiveBlocksPerMultiprocessor(&blocks, shared_kernel<>, 1024, 0) == cudaSuccess);
  CHECK(blocks == 2);
}

template <int = 0>
__global__ void trap_kernel(int* x) {
  if (threadIdx.x == 3) __trap();
  x[threadIdx.x] = 1;
}

TEST_CASE("after a trap every call says so, until the device is reset") {
  const With forward;
  const Mistakes mistakes;
  const OnDevice one(1);
  int *x = nullptr, *y = nullptr;
  CHECK(cudaMalloc(&x, 128) == cudaSuccess);
  cudaStream_t s = nullptr;
  CHECK(cudaStreamCreateWithFlags(&s, cudaStreamNonBlocking) == cudaSuccess);
  const std::size_t live = simt::counters().live_bytes;
  CHECK(launch({2, 32, 0, s}, trap_kernel<>, x) == cudaSuccess);
  CHECK(cudaStreamSynchronize(s) == cudaErrorLaunchFailure);
  check_text(mistakes.text(), {"__trap()", "trap_kernel<0>(int*)", "grid (2, 1, 1)",
                               "block (0, 0, 0), thread (3, 0, 0)", "device_test.cpp:"});
  CHECK(cudaMalloc(&y, 4) == cudaErrorLaunchFailure);
  CHECK(cudaFree(x) == cudaErrorLaunchFailure);
  CHECK(cudaMemset(x, 0, 4) == cudaErrorLaunchFailure);
  CHECK(launch({1, 32, 0, s}, trap_kernel<>, x) == cudaErrorLaunchFailure);
  CHECK(cudaStreamDestroy(s) == cudaErrorLaunchFailure);
  CHECK(cudaGetLastError() == cudaErrorLaunchFailure);
  CHECK(cudaPeekAtLastError() == cudaErrorLaunchFailure);
  cudaSetDevice(0);
  CHECK(cudaGetLastError() == cudaSuccess);
  cudaSetDevice(1);
  CHECK(cudaDeviceReset() == cudaSuccess);
  CHECK(simt::counters().live_bytes == live - 128);
  CHECK(cudaFree(x) == cudaErrorInvalidValue);
  CHECK(cudaMalloc(&x, 128) == cudaSuccess);
  CHECK(cudaFree(x) == cudaSuccess);
}

TEST_CASE("allocation fails when the device is full, or when a test says so") {
  void* p = &p;
  CHECK(cudaMalloc(&p, std::size_t{1} << 50) == cudaErrorMemoryAllocation);
  CHECK(p == nullptr);
  CHECK(cudaGetLastError() == cudaErrorMemoryAllocation);
  std::size_t free = 0, total = 0, now = 0;
  CHECK(cudaMemGetInfo(&free, &total) == cudaSuccess);
  CHECK(free <= total);
  simt::fail_allocation(2);
  void* first = nullptr;
  CHECK(cudaMalloc(&first, 1000) == cudaSuccess);
  CHECK(cudaMemGetInfo(&now, &total) == cudaSuccess);
  CHECK(now == free - 1000);
  CHECK(cudaMallocAsync(&p, 1000, nullptr) == cudaErrorMemoryAllocation);
  CHECK(p == nullptr);
  CHECK(cudaMalloc(&p, 1000) == cudaSuccess);
  CHECK(cudaFree(p) == cudaSuccess);
  CHECK(cudaFree(first) == cudaSuccess);
  CHECK(cudaGetLastError() == cudaErrorMemoryAllocation);
  CHECK(cudaMalloc(&p, 0) == cudaSuccess);
  CHECK(p == nullptr);
  CHECK(cudaFree(nullptr) == cudaSuccess);
}

TEST_CASE("counters of launches, copies, waits and memory") {
  const Mistakes mistakes;
  Array<float> x(100);
  std::vector<float> host(100);
  simt::reset_counters();
  const std::size_t live = simt::counters().live_bytes;
  float* y = nullptr;
  CHECK(cudaMalloc(&y, 400) == cudaSuccess);
  for (int i = 0; i < 3; ++i) CHECK(launch({1, 128}, fill_kernel<>, x.data(), 100, 1.0f) == cudaSuccess);
  CHECK(launch({1, 4}, pair_kernel<>, Pair{x.data(), y}) == cudaSuccess);
  CHECK(launch({1, 2000}, fill_kernel<>, x.data(), 100, 1.0f) == cudaErrorInvalidConfiguration);
  CHECK(cudaMemcpyAsync(y, x.data(), 400, cudaMemcpyDeviceToDevice) == cudaSuccess);
  CHECK(simt::counters().host_waits == 0);
  CHECK(cudaMemcpy(host.data(), y, 200, cudaMemcpyDeviceToHost) == cudaSuccess);
  CHECK(cudaMemcpy(y, host.data(), 100, cudaMemcpyHostToDevice) == cudaSuccess);
  CHECK(cudaFree(y) == cudaSuccess);
  const auto c = simt::counters();
  CHECK(c.launches == 4);
  CHECK(c.launches_of.at("simt_device_test::fill_kernel<0>") == 3);
  CHECK(c.launches_of.at("simt_device_test::pair_kernel<0>") == 1);
  CHECK(c.bytes_to_host == 200);
  CHECK(c.bytes_to_device == 100);
  CHECK(c.bytes_on_device == 400);
  CHECK(c.copies_to_host == 1);
  CHECK(c.host_waits == 3);
  CHECK(c.allocations == 1);
  CHECK(c.frees == 1);
  CHECK(c.live_bytes == live);
  CHECK(c.peak_bytes == live + 400);
  cudaGetLastError();
}

TEST_CASE("copies are checked") {
  const Mistakes mistakes;
  Array<float> x(10), y(20);
  std::vector<float> host(20);
  CHECK(cudaMemcpy(x.data(), host.data(), 44, cudaMemcpyHostToDevice) == cudaErrorInvalidValue);
  check_text(mistakes.text(), {"cudaMemcpy touches 44 bytes from byte 0 of an allocation of 40"});
  CHECK(cudaMemcpy(y.data(), x.data() + 5, 24, cudaMemcpyDefault) == cudaErrorInvalidValue);
  check_text(mistakes.text(), {"24 bytes from byte 20 of an allocation of 40"});
  CHECK(cudaMemcpy(host.data(), x.data(), 40, cudaMemcpyHostToDevice) == cudaErrorInvalidValue);
  check_text(mistakes.text(), {"from device memory to host memory, but its kind says otherwise"});
  CHECK(cudaMemset(host.data(), 0, 4) == cudaErrorInvalidValue);
  check_text(mistakes.text(), {"cudaMemset of host memory"});
  CHECK(cudaFree(x.data() + 1) == cudaErrorInvalidValue);
  check_text(mistakes.text(), {"cudaFree of a pointer that no allocation returned"});
  void* p = nullptr;
  CHECK(cudaMalloc(&p, 16) == cudaSuccess);
  CHECK(cudaFree(p) == cudaSuccess);
  CHECK(cudaFree(p) == cudaErrorInvalidValue);
  check_text(mistakes.text(), {"cudaFree of memory that is free already"});
  CHECK(cudaMemcpy(p, host.data(), 16, cudaMemcpyHostToDevice) == cudaErrorInvalidValue);
  check_text(mistakes.text(), {"device memory that has been freed"});
  CHECK(cudaMemcpy2DAsync(y.data(), 16, host.data(), 20, 12, 3, cudaMemcpyHostToDevice) == cudaSuccess);
  CHECK(cudaMemcpy2DAsync(y.data(), 8, host.data(), 20, 12, 3, cudaMemcpyHostToDevice) == cudaErrorInvalidValue);
}

}  // namespace simt_device_test
