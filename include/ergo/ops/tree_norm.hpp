// tree::norm: the length of a tree as a vector. It stands here, above the rest of the tree algebra, for `norm`'s sake.
#pragma once

#include "ergo/autograd/tree_algebra.hpp"
#include "ergo/ops/joining.hpp"
#include "ergo/ops/statistics.hpp"
#include "ergo/ops/device_norm.hpp"

namespace ergo::inline ERGO_BUILD::tree {

// The Euclidean norm of all elements of all learned leaves, in the widest leaf's dtype (rank 0; 0 without leaves).
// It overflows only where the result does, and its derivatives at 0 are 0 (SEMANTICS section 4).
template <class A>
auto norm(const A& a) {
  using R = detail::WidestLeaf<A>;
#if defined(__CUDACC__) || defined(ERGO_EMULATED)
  if (auto length = cuda::detail::tree_norm<R>(a)) return *length;
#endif
  std::vector<Tensor<R>> of_leaf;
  tree::for_each([&](const auto& x) { of_leaf.push_back(ergo::norm(cast<R>(x))); }, a);
  if (of_leaf.empty()) return zeros<R>({});
  return of_leaf.size() == 1 ? of_leaf[0] : ergo::norm(stack(of_leaf));
}

}  // namespace ergo::inline ERGO_BUILD::tree
