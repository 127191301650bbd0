// expect: embedding
#include "ergo/core/tensor.hpp"
#include "ergo/ops/indexing.hpp"

auto rows(const ergo::Tensor<float>& table, const ergo::Tensor<float>& ids) {
#ifdef RIGHT
  return embedding(table, ergo::cast<int>(ids));
#else
  return embedding(table, ids);  // wrong
#endif
}
