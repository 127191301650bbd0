// The checked build: accesses outside a kernel's memory. Each mistake gives its diagnosis, its correct twin none.
// build: checked
#include "simt/support.hpp"

namespace simt_checker_memory_test {

using namespace simt_test;

constexpr int kStoreLine = __LINE__ + 3;
template <class T>
__global__ void store_kernel(T* y, long long i) {
  y[i] = T(1);
}
template <class T>
__global__ void load_kernel(const T* x, T* y, long long i) {
  y[0] = x[i];
}

TEST_CASE("global memory is checked to the byte, on both sides") {
  Array<float> y(200);
  const std::string place = "checker_memory_test.cpp:" + std::to_string(kStoreLine);
  const auto store = [&](long long i) { return launch({1, 1}, store_kernel<float>, y.data(), i); };
  diagnosed(
      cudaErrorIllegalAddress,
      {"a thread writes 4 bytes outside its memory: device memory past the end of an allocation of 800 bytes, from "
       "byte 800 on",
       "in void simt_checker_memory_test::store_kernel<float>(float*, long long)", place.c_str(),
       "block (0, 0, 0), thread (0, 0, 0)"},
      [&] { return store(200); });
  diagnosed(cudaErrorIllegalAddress, {"device memory 4 bytes before an allocation of 800 bytes"},
            [&] { return store(-1); });
  clean([&] { return store(199); });
}

TEST_CASE("a byte past three, and a vector of which the end is outside") {
  Array<char> bytes(3, char(7)), one(1);
  const auto load = [&](long long i) {
    return launch({1, 1}, load_kernel<char>, static_cast<const char*>(bytes.data()), one.data(), i);
  };
  diagnosed(cudaErrorIllegalAddress,
            {"a thread reads 1 byte outside its memory", "past the end of an allocation of 3 bytes, from byte 3 on"},
            [&] { return load(3); });
  clean([&] { return load(2); });
  Array<float> six(6, 1.0f);
  Array<float4> four(1);
  diagnosed(
      cudaErrorIllegalAddress,
      {"a thread reads 16 bytes outside its memory", "past the end of an allocation of 24 bytes, from byte 24 on"},
      [&] {
        return launch({1, 1}, load_kernel<float4>, reinterpret_cast<const float4*>(six.data()), four.data(), 1ll);
      });
}

template <int = 0>
__global__ void static_kernel(float* y, int offset) {
  __shared__ float before[64];
  __shared__ float tile[32];
  __shared__ float after[64];
  before[threadIdx.x] = after[threadIdx.x] = 0;
  float* p = tile;
  p[static_cast<int>(threadIdx.x) + offset] = 1;
  y[threadIdx.x] = before[threadIdx.x] + after[threadIdx.x];
}
template <int = 0>
__global__ void dynamic_kernel(float* y, int offset) {
  float* tile = dynamic_smem<float>();
  tile[static_cast<int>(threadIdx.x) + offset] = 1;
  y[threadIdx.x] = 1;
}

TEST_CASE("shared memory is checked to the byte") {
  Array<float> y(32);
  const auto in_static = [&](int offset) { return launch({1, 32}, static_kernel<>, y.data(), offset); };
  diagnosed(cudaErrorIllegalAddress, {"from byte 128 on of the 128 bytes of tile in shared memory"},
            [&] { return in_static(1); });
  clean([&] { return in_static(0); });
  const auto in_dynamic = [&](int offset) { return launch({1, 32, 128}, dynamic_kernel<>, y.data(), offset); };
  diagnosed(cudaErrorIllegalAddress, {"from byte 128 on of 128 bytes of dynamic shared memory"},
            [&] { return in_dynamic(1); });
  diagnosed(cudaErrorIllegalAddress, {"from byte -4 on of 128 bytes of dynamic shared memory"},
            [&] { return in_dynamic(-1); });
  clean([&] { return in_dynamic(0); });
}

// Pointers inside a struct: the launch cannot look at them, as it does at parameters that are pointers.
struct Holder {
  const float* x;
  float* y;
};
template <int = 0>
__global__ void holder_kernel(Holder h) {
  h.y[threadIdx.x] = h.x[threadIdx.x];
}

TEST_CASE("memory of the host, or of the other device") {
  Array<float> x(32, 1.0f), y(32);
  const std::vector<float> host(32, 1.0f);
  static float of_the_program[32];
  diagnosed(cudaErrorIllegalAddress, {"a thread reads 4 bytes outside its memory: host memory", "holder_kernel<0>"},
            [&] {
              return launch({1, 32}, holder_kernel<>, Holder{host.data(), y.data()});
            });
  diagnosed(cudaErrorIllegalAddress, {"a thread writes 4 bytes outside its memory: host memory"}, [&] {
    return launch({1, 32}, holder_kernel<>, Holder{x.data(), of_the_program});
  });
  clean([&] { return launch({1, 32}, holder_kernel<>, Holder{x.data(), y.data()}); });

  REQUIRE(cudaSetDevice(1) == cudaSuccess);
  Array<float> theirs(32, 1.0f);
  REQUIRE(cudaSetDevice(0) == cudaSuccess);
  diagnosed(cudaErrorIllegalAddress, {"memory of device 1; the kernel runs on device 0"}, [&] {
    return launch({1, 32}, holder_kernel<>, Holder{theirs.data(), y.data()});
  });
}

TEST_CASE("pinned memory of the host is the kernel's too, to its end") {
  Array<float> y(32);
  float* pinned = nullptr;
  REQUIRE(cudaMallocHost(&pinned, 31 * sizeof(float)) == cudaSuccess);
  for (int i = 0; i < 31; ++i) pinned[i] = 1;
  clean([&] { return launch({1, 31}, holder_kernel<>, Holder{pinned, y.data()}); });
  diagnosed(cudaErrorIllegalAddress, {"host memory"}, [&] {
    return launch({1, 32}, holder_kernel<>, Holder{pinned, y.data()});
  });
  CHECK(cudaFreeHost(pinned) == cudaSuccess);
}

TEST_CASE("memory that was freed, at once or in stream order, or that is not there yet") {
  Array<float> x(32, 1.0f);
  diagnosed(cudaErrorIllegalAddress, {"device memory that has been freed, byte ", " of an allocation of 128 bytes"},
            [&] {
              float* p = nullptr;
              CHECK(cudaMalloc(&p, 128) == cudaSuccess);
              CHECK(cudaFree(p) == cudaSuccess);
              return launch({1, 32}, holder_kernel<>, Holder{x.data(), p});
            });
  const With lazy;
  cudaStream_t a = nullptr, b = nullptr;
  for (cudaStream_t* s : {&a, &b}) REQUIRE(cudaStreamCreateWithFlags(s, cudaStreamNonBlocking) == cudaSuccess);
  const auto run = [&](bool allocated, bool freed) {
    const Mistakes mistakes;
    float* p = nullptr;
    CHECK(cudaMallocAsync(&p, 128, a) == cudaSuccess);
    if (allocated) CHECK(cudaStreamSynchronize(a) == cudaSuccess);
    CHECK(launch({1, 32, 0, b}, holder_kernel<>, Holder{x.data(), p}) == cudaSuccess);
    if (freed) {
      CHECK(cudaFreeAsync(p, a) == cudaSuccess);
      CHECK(cudaStreamSynchronize(a) == cudaSuccess);
    }
    const cudaError_t e = cudaStreamSynchronize(b);
    return e == cudaSuccess ? "fine" : mistakes.text();
  };
  check_text(run(true, true), {"device memory that has been freed, byte 0 of an allocation of 128 bytes"});
  check_text(run(false, false), {"memory of cudaMallocAsync that does not exist yet in stream order"});
  CHECK(run(true, false) == "fine");
  for (cudaStream_t s : {a, b}) CHECK(cudaStreamDestroy(s) == cudaSuccess);
}

// Lane 0 hands the address of a variable of its own to the others.
template <bool FIXED>
__global__ void stack_kernel(float* y) {
  volatile float mine = 1;
  const auto address = __shfl_sync(kFullMask, reinterpret_cast<unsigned long long>(&mine), 0);
  y[threadIdx.x] = FIXED ? mine : *reinterpret_cast<volatile float*>(address);
  __syncwarp();
}

TEST_CASE("the stack of another thread") {
  Array<float> y(32);
  diagnosed(cudaErrorIllegalAddress, {"the stack of another thread; local variables are a thread's own"}, [&] {
    return launch({1, 32}, stack_kernel<false>, y.data());
  });
  clean([&] { return launch({1, 32}, stack_kernel<true>, y.data()); });
}

}  // namespace simt_checker_memory_test
