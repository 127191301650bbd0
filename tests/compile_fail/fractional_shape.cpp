// expect: zeros
#include "ergo/core/tensor.hpp"

auto make(double n) {
#ifdef RIGHT
  return ergo::zeros<float>({std::int64_t(n), 2});
#else
  return ergo::zeros<float>({n, 2});  // wrong
#endif
}
