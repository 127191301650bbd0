// expect: full
#include "ergo/core/tensor.hpp"

auto make() {
#ifdef RIGHT
  return ergo::full<float>({2}, 0.5);
#else
  return ergo::full<int>({2}, 0.5);  // wrong
#endif
}
