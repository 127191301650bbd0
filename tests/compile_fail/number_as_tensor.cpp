// expect: Tensor
#include "ergo/core/tensor.hpp"

ergo::Tensor<float> make() {
#ifdef RIGHT
  return ergo::Tensor<float>(2.5f);
#else
  return 2.5f;  // wrong
#endif
}
