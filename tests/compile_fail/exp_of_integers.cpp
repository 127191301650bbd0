// expect: this operation is not defined for this dtype: cast<float>(x) first
#include "ergo/core/tensor.hpp"
#include "ergo/ops/exponential.hpp"

auto growth(const ergo::Tensor<int>& x) {
#ifdef RIGHT
  return exp(ergo::cast<float>(x));
#else
  return exp(x);  // wrong
#endif
}
