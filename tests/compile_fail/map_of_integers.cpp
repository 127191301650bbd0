// expect: map works on floating tensors: cast<float>(x) first
#include "ergo/autograd/map.hpp"

struct Twice {
  template <class A>
  A operator()(A x) const {
    return x + x;
  }
};

auto twice(const ergo::Tensor<int>& x) {
#ifdef RIGHT
  return ergo::map(Twice{}, ergo::cast<float>(x));
#else
  return ergo::map(Twice{}, x);  // wrong
#endif
}
