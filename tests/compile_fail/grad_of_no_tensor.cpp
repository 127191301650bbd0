// expect: grad(f): f must return a Tensor of floating elements, or a pair or tuple that begins with one
#include "ergo/autograd/transforms.hpp"
#include "ergo/ops/reduction.hpp"

auto slope(const ergo::Tensor<float>& x) {
#ifdef RIGHT
  return ergo::grad([](const ergo::Tensor<float>& p) { return sum(p); })(x);
#else
  return ergo::grad([](const ergo::Tensor<float>& p) { return sum(p).item(); })(x);  // wrong
#endif
}
