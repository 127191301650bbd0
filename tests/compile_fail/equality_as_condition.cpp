// expect: bool
#include "ergo/core/tensor.hpp"
#include "ergo/ops/comparison.hpp"
#include "ergo/ops/reduction.hpp"

int same(const ergo::Tensor<float>& x, const ergo::Tensor<float>& y) {
#ifdef RIGHT
  if (all(x == y).item()) return 1;
#else
  if (x == y) return 1;  // wrong
#endif
  return 0;
}
