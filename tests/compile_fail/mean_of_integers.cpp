// expect: the mean of integers or bools: cast<float>(x) first
#include "ergo/ops/reduction.hpp"

auto average(const ergo::Tensor<int>& x) {
#ifdef RIGHT
  return ergo::mean(ergo::cast<float>(x));
#else
  return ergo::mean(x);  // wrong
#endif
}
