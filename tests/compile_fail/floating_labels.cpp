// expect: labels are integers (cast<int32_t>(labels) first), or probabilities of the logits' dtype
#include "ergo/ops/cross_entropy.hpp"

auto loss(const ergo::Tensor<float>& logits, const ergo::Tensor<double>& labels) {
#ifdef RIGHT
  return ergo::cross_entropy(logits, ergo::cast<int>(labels));
#else
  return ergo::cross_entropy(logits, labels);  // wrong
#endif
}
