// Fresh random numbers and tensors for the tests: SplitMix64 seeded by test_seed(), independent of the library's own
// generator. Two objects with different streams give different numbers.
#pragma once

#include <cstdint>

#include "ergo/core/make.hpp"
#include "support/seed.hpp"

class Fresh {
 public:
  explicit Fresh(std::uint64_t stream = 0) : state_(test_seed() ^ (stream * 0x9e3779b97f4a7c15u)) {}

  std::uint64_t bits() {
    std::uint64_t z = state_ += 0x9e3779b97f4a7c15u;
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
    return z ^ (z >> 31);
  }
  double uniform(double low = 0, double high = 1) { return low + (high - low) * (double(bits() >> 11) * 0x1p-53); }
  std::int64_t integer(std::int64_t low, std::int64_t high) {  // both included
    return low + std::int64_t(bits() % std::uint64_t(high - low + 1));
  }
  bool coin() { return bits() >> 63; }

  // Uniform in [low, high); integers and bools are converted as `cast` does.
  template <class T>
  ergo::Tensor<T> tensor(const ergo::Shape& shape, double low = -1, double high = 1) {
    ergo::Tensor<T> x = ergo::detail::make_tensor<T>(shape);
    T* p = ergo::detail::data_of<T>(x.array());
    for (std::int64_t i = 0; i < x.numel(); ++i) p[i] = ergo::convert<T>(uniform(low, high));
    return x;
  }

 private:
  std::uint64_t state_;
};
