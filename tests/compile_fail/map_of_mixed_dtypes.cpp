// expect: map: all tensors must have the same dtype: cast<U>(x) first
#include "ergo/autograd/map.hpp"

struct Scaled {
  template <class A>
  A operator()(A x, A s) const {
    return x * s;
  }
};

auto scaled(const ergo::Tensor<float>& x, const ergo::Tensor<double>& s) {
#ifdef RIGHT
  return ergo::map(Scaled{}, x, ergo::cast<float>(s));
#else
  return ergo::map(Scaled{}, x, s);  // wrong
#endif
}
