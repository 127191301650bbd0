// Kernels that write or read where nothing is theirs: the plain build finds stores just past the end of memory, and
// memory faults end the launch, not the program. The address sanitizer reports these by itself, and ends the program.
#if !defined(__SANITIZE_ADDRESS__)

#include "simt/support.hpp"

namespace simt_fault_test {

using namespace simt_test;

template <bool FIXED>
__global__ void one_past_kernel(const float* x, float* y, int n) {
  const int i = static_cast<int>(threadIdx.x);
  if (FIXED ? i < n : i <= n) y[i] = x[0];
}

TEST_CASE("a store one past the end of device memory, or of dynamic shared memory") {
  Array<float> x(1, 1.0f);
  in_every_order([&] {
    const Mistakes mistakes;
    Array<float> y(200);
    launch({1, 256}, one_past_kernel<false>, x.data(), y.data(), 200);
    CHECK(cudaDeviceSynchronize() == cudaErrorIllegalAddress);
    check_text(mistakes.text(), {"wrote past the end of an allocation of 800 bytes: 4 bytes from byte 800 on",
                                 "one_past_kernel<false>"});
    simt::recover();
  });
  Array<float> y(200);
  clean([&] { return launch({1, 256}, one_past_kernel<true>, x.data(), y.data(), 200); });
}

template <int = 0>
__global__ void shared_past_kernel(float* y, int offset) {
  float* tile = dynamic_smem<float>();
  tile[static_cast<int>(threadIdx.x) + offset] = 1;
  y[threadIdx.x] = tile[threadIdx.x];
}

TEST_CASE("a store past dynamic shared memory, by one and by many") {
  Array<float> y(100);
  const auto run = [&](int offset) { return launch({1, 100, 400}, shared_past_kernel<>, y.data(), offset); };
  diagnosed(cudaErrorLaunchFailure, {"wrote byte 400 of 400 bytes of dynamic shared memory", "shared_past_kernel<0>"},
            [&] { return run(1); });
  diagnosed(cudaErrorIllegalAddress, {"touches byte ", " of 400 bytes of dynamic shared memory"},
            [&] { return run(500); });
  clean([&] { return run(0); });
}

template <int = 0>
__global__ void deep_kernel(float* y, int n) {
  volatile float big[40000];
  for (int i = 0; i < n; ++i) big[i] = static_cast<float>(i);
  y[threadIdx.x] = big[n - 1];
}
template <int = 0>
__global__ void null_kernel(const float* x, float* y) {
  y[threadIdx.x] = *const_cast<const volatile float*>(x + threadIdx.x);
}
template <int = 0>
__global__ void divide_kernel(int* y, int n) {
  y[threadIdx.x] = 7 / *const_cast<volatile int*>(&n);
}

TEST_CASE("stack overflow, null pointers and division by zero end the launch, not the program") {
  Array<float> y(32);
  diagnosed(cudaErrorIllegalAddress, {"stack overflow", "deep_kernel<0>", "thread ("}, [&] {
    return launch({1, 32}, deep_kernel<>, y.data(), 40000);
  });
  diagnosed(cudaErrorIllegalAddress, {"null pointer", "null_kernel<0>"}, [&] {
    return launch({1, 32}, null_kernel<>, static_cast<const float*>(nullptr), y.data());
  });
  Array<int> z(32);
  diagnosed(cudaErrorIllegalAddress, {"divides an integer by zero", "divide_kernel<0>"}, [&] {
    return launch({1, 32}, divide_kernel<>, z.data(), 0);
  });
  clean([&] { return launch({1, 32}, divide_kernel<>, z.data(), 2); });
  CHECK(z.host() == std::vector<int>(32, 3));
}

template <int = 0>
__global__ void far_kernel(float* y, long long offset) {
  y[offset] = 1;
}

TEST_CASE("memory far outside every allocation") {
  Array<float> y(32);
  diagnosed(cudaErrorIllegalAddress, {"touches device memory at ", "outside every allocation", "far_kernel<0>"}, [&] {
    return launch({1, 1}, far_kernel<>, y.data(), 1ll << 30);
  });
  clean([&] { return launch({1, 1}, far_kernel<>, y.data(), 31ll); });
}

}  // namespace simt_fault_test

#else

#include "support/skip.hpp"

#include <doctest/doctest.h>

TEST_CASE("faults in kernels") { skip("faults in kernels", "the address sanitizer reports them by itself"); }

#endif
