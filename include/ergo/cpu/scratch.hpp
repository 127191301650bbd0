// Working memory of a kernel, from the caching allocator: 64-byte aligned, not initialised, taken before anything is
// written (a failed allocation changes nothing) and warm from the last call, so that a steady loop has no page faults.
#pragma once

#include <cstddef>
#include <cstdint>

#include "ergo/core/allocator.hpp"

namespace ergo::inline ERGO_BUILD::cpu {

// Room for n elements of T, for as long as it lives; none is taken for n = 0.
template <class T>
class Scratch {
 public:
  explicit Scratch(std::int64_t n) : bytes_(std::size_t(n) * sizeof(T)) {
    if (bytes_ > 0) data_ = static_cast<T*>(ergo::detail::allocate(bytes_));
  }
  Scratch(const Scratch&) = delete;
  Scratch& operator=(const Scratch&) = delete;
  ~Scratch() {
    if (data_) ergo::detail::deallocate(data_, bytes_);
  }
  T* data() const { return data_; }

 private:
  std::size_t bytes_;
  T* data_ = nullptr;
};

}  // namespace ergo::inline ERGO_BUILD::cpu
