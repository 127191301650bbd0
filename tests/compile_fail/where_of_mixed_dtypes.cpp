// expect: where(c, a, b): a and b have different dtypes: cast<U>(x) one of them first
#include "ergo/core/tensor.hpp"
#include "ergo/ops/selection.hpp"

auto choose(const ergo::Tensor<bool>& c, const ergo::Tensor<float>& a, const ergo::Tensor<double>& b) {
#ifdef RIGHT
  return where(c, ergo::cast<double>(a), b);
#else
  return where(c, a, b);  // wrong
#endif
}
