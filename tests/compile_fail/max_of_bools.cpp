// expect: max and min of bools: write any(x), all(x)
#include "ergo/ops/extremum.hpp"

auto some(const ergo::Tensor<bool>& x) {
#ifdef RIGHT
  return ergo::any(x);
#else
  return ergo::max(x);  // wrong
#endif
}
