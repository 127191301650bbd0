// optim::clip_by_global_norm: a gradient scaled down where it is longer than allowed. Differentiable.
#pragma once

#include <limits>

#include "ergo/ops/selection.hpp"
#include "ergo/ops/tree_norm.hpp"

namespace ergo::inline ERGO_BUILD::optim {

// {clipped, norm}: the gradient times max_norm / norm if its norm over all learned leaves exceeds max_norm, else itself
// bit for bit; and that norm (rank 0). A NaN or infinite norm makes the result NaN. An Error unless max_norm > 0.
template <class Tree>
auto clip_by_global_norm(const Tree& gradient, double max_norm) {
  if (!(max_norm > 0)) throw_error({"[clip_by_global_norm] max_norm ", max_norm, " is not above 0"});
  using R = detail::WidestLeaf<Tree>;
#if defined(__CUDACC__) || defined(ERGO_EMULATED)
  if (auto clipped = cuda::detail::clip_by_global_norm<R>(gradient, max_norm)) return *clipped;
#endif
  const Tensor<R> norm = tree::norm(gradient);
  constexpr double kLargest = double(std::numeric_limits<R>::max());
  const R most = R(max_norm < kLargest ? max_norm : kLargest);
  const Tensor<R> factor = most / maximum(norm, most) + (norm - norm);  // NaN unless the norm is finite
  return std::pair<Tree, Tensor<R>>{tree::scale(factor, gradient), norm};
}

}  // namespace ergo::inline ERGO_BUILD::optim
