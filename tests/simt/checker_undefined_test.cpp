// The checked build: undefined behaviour in kernels. Each mistake gives its diagnosis, its correct twin none.
// build: checked
#include "simt/support.hpp"

namespace simt_checker_undefined_test {

using namespace simt_test;

template <class T>
__global__ void add_kernel(T a, T b, T* y) {
  y[0] = a + b;
}
template <class T>
__global__ void multiply_kernel(T a, T b, T* y) {
  y[0] = a * b;
}
template <int = 0>
__global__ void shift_kernel(int a, int n, int* y) {
  y[0] = a << n;
}

TEST_CASE("integers that overflow, and shifts that are too long") {
  Array<int> y(1);
  Array<long long> z(1);
  constexpr int most = 0x7fffffff;
  diagnosed(cudaErrorLaunchFailure,
            {"undefined behaviour: 2147483647 + 1 overflows 'int'", "checker_undefined_test.cpp:11", "add_kernel<int>"},
            [&] {
              return launch({1, 1}, add_kernel<int>, most, 1, y.data());
            });
  diagnosed(cudaErrorLaunchFailure, {"65536 * -65536 overflows 'int'"}, [&] {
    return launch({1, 1}, multiply_kernel<int>, 65536, -65536, y.data());
  });
  clean([&] { return launch({1, 1}, add_kernel<int>, most, 0, y.data()); });
  clean([&] { return launch({1, 1}, multiply_kernel<long long>, 65536ll, -65536ll, z.data()); });
  diagnosed(cudaErrorLaunchFailure, {"1 of type 'int' is shifted by 32"}, [&] {
    return launch({1, 1}, shift_kernel<>, 1, 32, y.data());
  });
  clean([&] { return launch({1, 1}, shift_kernel<>, 1, 30, y.data()); });
}

template <int = 0>
__global__ void index_kernel(float* y, int offset) {
  __shared__ float tile[2][32];
  tile[0][static_cast<int>(threadIdx.x) + offset] = 1;  // the next row, if it were one array
  tile[1][threadIdx.x] = 1;
  __syncthreads();
  y[threadIdx.x] = tile[1][31 - threadIdx.x];
}

TEST_CASE("an index past one row of an array") {
  Array<float> y(32);
  diagnosed(cudaErrorLaunchFailure, {"index 32 of an array of type 'float [32]'", "index_kernel<0>"}, [&] {
    return launch({1, 32}, index_kernel<>, y.data(), 1);
  });
  clean([&] { return launch({1, 32}, index_kernel<>, y.data(), 0); });
}

template <class T>
__global__ void vector_kernel(const float* x, T* y, int offset) {
  y[0] = *reinterpret_cast<const T*>(x + offset);
}

TEST_CASE("a vector at an address that is not a multiple of its bytes") {
  Array<float> x(8, 1.0f);
  Array<float4> y(1);
  Array<double> z(1);
  const auto wide = [&](int offset) {
    return launch({1, 1}, vector_kernel<float4>, static_cast<const float*>(x.data()), y.data(), offset);
  };
  const auto narrow = [&](int offset) {
    return launch({1, 1}, vector_kernel<double>, static_cast<const float*>(x.data()), z.data(), offset);
  };
  diagnosed(cudaErrorIllegalAddress,
            {"a thread reads 16 bytes at an address 4 bytes past a multiple of that", "vector_kernel<float4>",
             "checker_undefined_test.cpp:"},
            [&] { return wide(1); });
  diagnosed(cudaErrorIllegalAddress, {"an address that is not aligned to the vector it moves"},
            [&] { return wide(2); });
  clean([&] { return wide(4); });
  diagnosed(cudaErrorIllegalAddress, {"a thread reads 8 bytes at an address 4 bytes past a multiple of that"},
            [&] { return narrow(3); });
  clean([&] { return narrow(2); });
}

}  // namespace simt_checker_undefined_test
