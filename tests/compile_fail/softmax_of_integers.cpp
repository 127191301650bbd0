// expect: floating elements are needed: cast<float>(x) first
#include "ergo/ops/softmax.hpp"

auto shares(const ergo::Tensor<int>& x) {
#ifdef RIGHT
  return ergo::softmax(ergo::cast<float>(x), -1);
#else
  return ergo::softmax(x, -1);  // wrong
#endif
}
