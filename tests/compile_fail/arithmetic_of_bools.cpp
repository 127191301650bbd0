// expect: bools combine by logical_and, logical_or, logical_xor, logical_not
#include "ergo/core/tensor.hpp"
#include "ergo/ops/arithmetic.hpp"
#include "ergo/ops/logic.hpp"

auto both(const ergo::Tensor<bool>& x, const ergo::Tensor<bool>& y) {
#ifdef RIGHT
  return logical_and(x, y);
#else
  return x * y;  // wrong
#endif
}
