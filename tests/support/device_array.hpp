// Elements in the memory of the current device, for tests of kernels on bare pointers: allocated one by one and to
// their exact size, so that a checker of memory sees every access outside.
#pragma once

#include <vector>

#include "ergo/cuda/runtime.hpp"

namespace test {

// As a std::vector<bool> has no data(), elements of bool come and go as unsigned char.
template <class T>
class DeviceArray {
 public:
  using Element = std::conditional_t<std::is_same_v<T, bool>, unsigned char, T>;

  explicit DeviceArray(std::size_t n) : size_(n) {
    void* p = nullptr;
    ergo::cuda::check(cudaMalloc(&p, n * sizeof(T) + (n == 0)), "test");
    data_ = static_cast<T*>(p);
  }
  explicit DeviceArray(const std::vector<Element>& x) : DeviceArray(x.size()) {
    ergo::cuda::check(cudaMemcpy(data_, x.data(), x.size() * sizeof(T), cudaMemcpyHostToDevice), "test");
    ergo::cuda::check(cudaDeviceSynchronize(), "test");  // cudaMemcpy may return before the bytes are there
  }
  DeviceArray(const DeviceArray&) = delete;
  DeviceArray& operator=(const DeviceArray&) = delete;
  ~DeviceArray() { (void)cudaFree(data_); }

  T* data() const { return data_; }
  std::size_t size() const { return size_; }
  // The elements from `first` on. Waits for the whole device first.
  std::vector<Element> host(std::size_t first = 0) const {
    std::vector<Element> x(size_ - first);
    ergo::cuda::check(cudaDeviceSynchronize(), "test");
    ergo::cuda::check(cudaMemcpy(x.data(), data_ + first, x.size() * sizeof(T), cudaMemcpyDeviceToHost), "test");
    return x;
  }

 private:
  T* data_ = nullptr;
  std::size_t size_;
};

}  // namespace test
