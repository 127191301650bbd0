// expect: sum
#include "ergo/core/tensor.hpp"
#include "ergo/ops/reduction.hpp"

auto total(const ergo::Tensor<float>& x) {
#ifdef RIGHT
  return sum(x, 0, true);
#else
  return sum(x, true);  // wrong
#endif
}
