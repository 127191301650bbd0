// Column-major matrices for the tests of cuBLAS and cublasLt, on the device and as doubles.
#pragma once

#include <cublasLt.h>
#include <cublas_v2.h>

#include <random>
#include <type_traits>

#include "simt/support.hpp"

namespace simt_test {

template <class T>
constexpr cudaDataType kType = CUDA_R_32F;
template <>
constexpr cudaDataType kType<double> = CUDA_R_64F;
template <>
constexpr cudaDataType kType<__half> = CUDA_R_16F;
template <>
constexpr cudaDataType kType<__nv_bfloat16> = CUDA_R_16BF;
template <class T>
using Scalar = std::conditional_t<std::is_same_v<T, double>, double, float>;

// A column-major matrix on the device with its values as doubles, `count` of them `stride` apart, columns `ld` apart.
template <class T>
struct Matrices {
  int rows, cols, ld;
  long long stride;
  std::vector<T> values;
  Array<T> device;

  static std::vector<T> random(std::size_t n, std::mt19937& r) {
    std::vector<T> v(n);
    for (auto& x : v) x = static_cast<T>(std::uniform_real_distribution<float>(-1, 1)(r));
    return v;
  }
  Matrices(int rows_, int cols_, int count, std::mt19937& r, int pad = 3, bool broadcast = false)
      : rows(rows_),
        cols(cols_),
        ld(rows_ + pad),
        stride(broadcast ? 0 : static_cast<long long>(ld) * cols_ + 5),
        values(random(static_cast<std::size_t>(stride * (count - 1) + static_cast<long long>(ld) * cols_), r)),
        device(values) {}
  double at(int z, int i, int j) const {
    return static_cast<double>(values[static_cast<std::size_t>(z * stride + i + static_cast<long long>(j) * ld)]);
  }
};

// Element (i, j) of op(A) op(B) in batch z.
double dot(const auto& a, const auto& b, bool ta, bool tb, int z, int i, int j, int k) {
  double sum = 0;
  for (int q = 0; q < k; ++q) sum += (ta ? a.at(z, q, i) : a.at(z, i, q)) * (tb ? b.at(z, j, q) : b.at(z, q, j));
  return sum;
}

}  // namespace simt_test
