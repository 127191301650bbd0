// expect: matmul
#include "ergo/core/tensor.hpp"
#include "ergo/ops/matmul.hpp"

auto product(const ergo::Tensor<float>& a, const ergo::Tensor<double>& b) {
#ifdef RIGHT
  return matmul(ergo::cast<double>(a), b);
#else
  return matmul(a, b);  // wrong
#endif
}
