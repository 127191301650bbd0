// expect: not defined for this dtype: cast<float>(x) first
#include "ergo/core/tensor.hpp"
#include "ergo/ops/arithmetic.hpp"

auto halves(const ergo::Tensor<int>& x) {
#ifdef RIGHT
  return ergo::cast<float>(x) / 2;
#else
  return x / 2;  // wrong
#endif
}
