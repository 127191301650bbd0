// expect: F must be a stateless struct at namespace scope, not a lambda that captures
#include "ergo/autograd/map.hpp"

struct Scaled {
  template <class A>
  A operator()(A x, A s) const {
    return x * s;
  }
};

auto scaled(const ergo::Tensor<float>& x, float s) {
#ifdef RIGHT
  return ergo::map(Scaled{}, x, ergo::Tensor<float>(s));
#else
  return ergo::map([s](auto v) { return v * s; }, x);  // wrong
#endif
}
