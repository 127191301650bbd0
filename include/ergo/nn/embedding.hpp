// nn::Embedding: a table of vectors, one for each id. Entries are N(0, scale^2).
#pragma once

#include "ergo/nn/init.hpp"
#include "ergo/ops/indexing.hpp"

namespace ergo::inline ERGO_BUILD::nn {

template <class T>
struct Embedding {
  Tensor<T> weight;  // (n, d)
  ERGO_FIELDS(Embedding, weight)

  // The rows of ids (...): (..., d). An id outside [0, n) is an Error.
  template <Index I>
  Tensor<T> operator()(const Tensor<I>& ids) const {
    return ergo::embedding(weight, ids);
  }
};

struct EmbeddingOptions {
  double scale = 1;
};

// A table of n vectors of size d. An Error if n or d is below 1.
template <Floating T = float, Integer N, Integer D>
Embedding<T> embedding(const Key& key, N n, D d, EmbeddingOptions options = {}) {
  const Shape shape{n, d};
  if (shape[0] < 1 || shape[1] < 1) throw_error({"[nn.embedding] table ", shape, ": an extent is below 1"});
  return {normal<T>(key, shape, 0, options.scale)};
}

}  // namespace ergo::inline ERGO_BUILD::nn
