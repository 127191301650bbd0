// Layouts that tests of reductions go through, (outer, n, inner) of any strides: both sides of every threshold of the
// launchers, alignments, strides of all signs, splits.
#pragma once

#include <random>

#include "ergo/kernels/common/view.cuh"
#include "support/device_array.hpp"

namespace test {

struct ReductionLayout {
  std::int64_t shape[3], stride[3], offset;

  std::int64_t outputs() const { return shape[0] * shape[2]; }
  // Elements of memory, and where x[0, 0, 0] lies in it.
  std::int64_t size() const { return first() + reach(+1) + 1; }
  std::int64_t first() const { return offset + reach(-1); }
  std::int64_t at(std::int64_t o, std::int64_t k, std::int64_t i) const {
    return first() + o * stride[0] + k * stride[1] + i * stride[2];
  }
  template <class T>
  ergo::cuda::View<const T, 3> view(const T* data) const {
    return {data + first(), {shape[0], shape[1], shape[2]}, {stride[0], stride[1], stride[2]}};
  }
  std::string text() const {
    std::string s;
    for (auto n : {shape[0], shape[1], shape[2], stride[0], stride[1], stride[2], offset}) s += std::to_string(n) + " ";
    return s;
  }

 private:
  std::int64_t reach(int sign) const {
    std::int64_t r = 0;
    for (int d = 0; d < 3; ++d)
      if (shape[d] > 1 && stride[d] * sign > 0) r += (shape[d] - 1) * stride[d] * sign;
    return r;
  }
};

inline ReductionLayout dense_layout(std::int64_t outer, std::int64_t n, std::int64_t inner, std::int64_t offset = 0) {
  return {{outer, n, inner}, {n * inner, inner, 1}, offset};
}

inline std::vector<ReductionLayout> reduction_layouts() {
  std::vector<ReductionLayout> all;
  for (std::int64_t n : {0, 1, 2, 3, 7, 16, 17, 33, 64, 65, 257, 1023, 1024, 1025, 2100})
    all.push_back(dense_layout(n < 100 ? 13 : 2, n, 1));
  for (std::int64_t n : {5, 100, 1500}) {
    all.push_back(dense_layout(3, n, 1, 1));                // not aligned
    all.push_back({{3, n, 1}, {n + 1, 1, 1}, 0});           // a gap behind each row
    all.push_back({{2, n, 3}, {3 * n + 16, 1, n + 4}, 3});  // two kept axes
    all.push_back({{3, n, 1}, {2 * n, 2, 1}, 0});           // every other
    all.push_back({{3, n, 1}, {n, -1, 1}, 0});              // backwards
    all.push_back({{1, n, 5}, {0, 5, -1}, 0});
    all.push_back({{3, n, 4}, {n, 0, 1}, 0});    // repeated
    all.push_back({{2, n, 3}, {2, 24, 8}, 0});   // kept axes far
    all.push_back({{20, n, 1}, {1, 20, 1}, 0});  // columns, written as rows
  }
  for (std::int64_t inner : {2, 3, 8, 16, 31, 32, 33, 144})
    for (std::int64_t n : {0, 1, 9, 16, 70, 300})
      if (inner < 32 || n < 100 || inner == 144) all.push_back(dense_layout(inner < 20 ? 5 : 2, n, inner));
  for (std::int64_t n : {3, 40}) {
    all.push_back(dense_layout(2, n, 32, 1));
    all.push_back({{2, n, 32}, {32 * n + 16, 48, 1}, 0});  // aligned, with gaps
    all.push_back({{2, n, 32}, {40 * n + 1, 33, 1}, 0});   // not aligned from the second row on
    all.push_back({{300, n, 2}, {2 * n, 2, 1}, 0});        // many small groups
  }
  all.push_back(dense_layout(0, 5, 3));
  all.push_back(dense_layout(3, 5, 0));
  // Splits.
  all.push_back(dense_layout(1, 4096, 1));
  all.push_back(dense_layout(1, 8191, 1));
  all.push_back(dense_layout(1, 8192, 1));
  all.push_back(dense_layout(3, 20001, 1, 1));
  all.push_back(dense_layout(1, 70001, 1));
  all.push_back(dense_layout(1, 1000, 32));
  all.push_back(dense_layout(2, 999, 33));
  all.push_back({{1, 9000, 2}, {0, 4, 2}, 0});
  all.push_back({{2, 9000, 1}, {3 * 9000, 3, 1}, 0});
  return all;
}

// Elements over the whole range of integers, in (-1, 1) for the others.
template <class T>
std::vector<typename DeviceArray<T>::Element> random_elements(std::int64_t n, std::mt19937& random) {
  std::vector<typename DeviceArray<T>::Element> x;
  x.reserve(std::size_t(n));
  for (std::int64_t i = 0; i < n; ++i) {
    const auto bits = std::int64_t(std::uint64_t(random()) << 32 | random());
    if constexpr (std::is_same_v<T, bool>)
      x.push_back(bits & 1);
    else if constexpr (std::is_integral_v<T>)
      x.push_back(T(bits));
    else
      x.push_back(T(double(bits) * 0x1p-63));
  }
  return x;
}

// What a launcher may use of the workspace, to the byte, and 0 for none.
inline std::byte* bytes_of(const DeviceArray<std::byte>& a) { return a.size() ? a.data() : nullptr; }

}  // namespace test
