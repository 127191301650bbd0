// expect: jvp(f)(x, dx): dx has the type of x
#include "ergo/autograd/transforms.hpp"
#include "ergo/ops/reduction.hpp"

auto slope(const ergo::Tensor<float>& x) {
  const auto f = [](const ergo::Tensor<float>& p) { return sum(p); };
#ifdef RIGHT
  return ergo::jvp(f)(x, ergo::ones_like(x));
#else
  return ergo::jvp(f)(x, 1.0);  // wrong
#endif
}
