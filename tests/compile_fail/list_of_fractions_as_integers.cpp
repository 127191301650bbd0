// expect: tensor
#include "ergo/core/tensor.hpp"

auto make() {
#ifdef RIGHT
  return ergo::tensor<float>({1.5});
#else
  return ergo::tensor<int>({1.5});  // wrong
#endif
}
