// What the tests of the SIMT layer share: launches as ergo's kernels are launched, arrays on the device, and each order
// of threads in turn.
#pragma once

#include <doctest/doctest.h>

#include <cuda_runtime.h>

#include <string>
#include <vector>

#include "simt/control.hpp"
#include "support/seed.hpp"

namespace simt_test {

constexpr unsigned kFullMask = 0xffffffffu;

struct LaunchShape {
  dim3 grid, block;
  std::size_t smem = 0;
  cudaStream_t stream = nullptr;
};

template <class... P, class... A>
cudaError_t launch(const LaunchShape& s, void (*kernel)(P...), const A&... args) {
  cudaLaunchConfig_t c{};
  c.gridDim = s.grid;
  c.blockDim = s.block;
  c.dynamicSmemBytes = s.smem;
  c.stream = s.stream;
  return cudaLaunchKernelEx(&c, kernel, static_cast<P>(args)...);
}

template <class T>
__device__ T* dynamic_smem() {
  return static_cast<T*>(simt::dynamic_shared());
}

// An array in the current device's memory.
template <class T>
class Array {
 public:
  explicit Array(std::size_t size) : size_(size) { REQUIRE(cudaMalloc(&data_, size * sizeof(T)) == cudaSuccess); }
  explicit Array(const std::vector<T>& values) : Array(values.size()) {
    REQUIRE(cudaMemcpy(data_, values.data(), size_ * sizeof(T), cudaMemcpyHostToDevice) == cudaSuccess);
  }
  Array(std::size_t size, T value) : Array(std::vector<T>(size, value)) {}
  Array(const Array&) = delete;
  Array& operator=(const Array&) = delete;
  ~Array() { cudaFree(data_); }

  T* data() const { return data_; }
  std::vector<T> host() const {
    std::vector<T> values(size_);
    CHECK(cudaMemcpy(values.data(), data_, size_ * sizeof(T), cudaMemcpyDeviceToHost) == cudaSuccess);
    return values;
  }

 private:
  T* data_ = nullptr;
  std::size_t size_;
};

// Sets options while it lives; by default forward order and lazy streams, whatever the environment says.
class With {
 public:
  explicit With(const simt::Options& options = {}) : before_(simt::options()) { simt::set_options(options); }
  ~With() { simt::set_options(before_); }
  With(const With&) = delete;
  With& operator=(const With&) = delete;

 private:
  simt::Options before_;
};

// Calls f() under every order of threads and streams: forward, reverse, and random ones of a fresh seed.
template <class F>
void in_every_order(F f) {
  const auto seed = static_cast<unsigned>(test_seed());
  using simt::Order;
  using simt::Streams;
  const simt::Options all[] = {{Order::forward, 1, Streams::lazy, 1},
                               {Order::reverse, 1, Streams::lazy, 1},
                               {Order::random, seed, Streams::lazy, 1},
                               {Order::random, seed + 1, Streams::random, seed},
                               {Order::forward, 1, Streams::random, seed + 1}};
  for (const auto& options : all) {
    const With with(options);
    CAPTURE(static_cast<int>(options.order));
    CAPTURE(static_cast<int>(options.streams));
    f();
  }
}

// Mistakes are expected while it lives: diagnoses are kept, not printed, and forgotten in the end, with the errors.
class Mistakes {
 public:
  Mistakes() {
    simt::take_diagnoses();
    simt::print_diagnoses(false);
  }
  ~Mistakes() {
    simt::recover();
    simt::print_diagnoses(true);
  }
  Mistakes(const Mistakes&) = delete;
  Mistakes& operator=(const Mistakes&) = delete;

  // The diagnoses since the last call, one after another.
  std::string text() const {
    std::string all;
    for (const auto& d : simt::take_diagnoses()) all += d + "\n";
    return all;
  }
};

// All of the parts stand in the text.
inline void check_text(const std::string& text, std::initializer_list<const char*> parts) {
  for (const char* part : parts) {
    CAPTURE(part);
    CHECK_MESSAGE(text.find(part) != std::string::npos, text);
  }
}

inline void synchronize() { CHECK(cudaDeviceSynchronize() == cudaSuccess); }

// Runs `launch_it`, waits, and checks the error and the words of the diagnosis; the device is fine afterwards.
template <class F>
void diagnosed(cudaError_t error, std::initializer_list<const char*> words, F launch_it) {
  in_every_order([&] {
    const Mistakes mistakes;
    cudaError_t e = launch_it();
    if (e == cudaSuccess) e = cudaDeviceSynchronize();
    CHECK(std::string(cudaGetErrorName(e)) == cudaGetErrorName(error));
    check_text(mistakes.text(), words);
  });
}
// The correct twin: no error, no diagnosis.
template <class F>
void clean(F launch_it) {
  in_every_order([&] {
    CHECK(launch_it() == cudaSuccess);
    synchronize();
    CHECK(simt::take_diagnoses().empty());
  });
}

}  // namespace simt_test
