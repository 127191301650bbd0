// expect: grad(f)(x): x must be a tensor of floating elements or a tree of such
#include "ergo/autograd/transforms.hpp"
#include "ergo/ops/reduction.hpp"

auto slope(const ergo::Tensor<int>& x) {
  const auto f = [](const auto& p) { return sum(ergo::cast<float>(p)); };
#ifdef RIGHT
  return ergo::grad(f)(ergo::cast<float>(x));
#else
  return ergo::grad(f)(x);  // wrong
#endif
}
