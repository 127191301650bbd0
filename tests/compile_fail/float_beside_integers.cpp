// expect: a number beside a tensor takes the tensor's dtype
#include "ergo/core/tensor.hpp"
#include "ergo/ops/arithmetic.hpp"

auto shift(const ergo::Tensor<int>& x) {
#ifdef RIGHT
  return ergo::cast<float>(x) + 0.5;
#else
  return x + 0.5;  // wrong
#endif
}
