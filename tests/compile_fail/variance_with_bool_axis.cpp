// expect: variance
#include "ergo/core/tensor.hpp"
#include "ergo/ops/statistics.hpp"

auto spread(const ergo::Tensor<float>& x) {
#ifdef RIGHT
  return variance(x, 0, true) + variance(x, {.correction = 1});
#else
  return variance(x, true);  // wrong
#endif
}
