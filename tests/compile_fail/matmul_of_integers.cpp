// expect: matmul
#include "ergo/core/tensor.hpp"
#include "ergo/ops/matmul.hpp"

auto product(const ergo::Tensor<int>& a, const ergo::Tensor<int>& b) {
#ifdef RIGHT
  return ergo::cast<int>(matmul(ergo::cast<float>(a), ergo::cast<float>(b)));
#else
  return matmul(a, b);  // wrong
#endif
}
