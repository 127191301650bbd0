// expect: operands of different dtypes: cast<U>(x) one of them first
#include "ergo/core/tensor.hpp"
#include "ergo/ops/arithmetic.hpp"

auto add(const ergo::Tensor<float>& x, const ergo::Tensor<double>& y) {
#ifdef RIGHT
  return ergo::cast<double>(x) + y;
#else
  return x + y;  // wrong
#endif
}
