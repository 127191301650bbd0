// linalg::hutchinson_trace: the trace of a linear operator over trees from its products with random signs v,
// E v . op(v) = tr op (Hutchinson 1990). One probe has the variance 2 (|H|_F^2 - sum of H_ii^2), H the symmetric part.
#pragma once

#include "ergo/linalg/krylov_basis.hpp"
#include "ergo/ops/random.hpp"

namespace ergo::inline ERGO_BUILD {
namespace linalg {

struct HutchinsonTrace {
  double trace = 0;
  double standard_error = 0;  // of the mean over the probes; NaN for a single one
};

// The mean of n probes on trees like `like`. Probe i depends on the key and i alone. An Error for n < 1 and for an
// operator that gives a NaN, an infinity, or a tree of other shapes.
template <class Op, class Tree, Integer I>
HutchinsonTrace hutchinson_trace(const Key& key, const Op& op, const Tree& like, I n) {
  if (n < 1) throw_error({"[hutchinson_trace] ", n, " probes, where at least one is needed"});
  const detail::LeafList shapes = detail::plain_leaves("hutchinson_trace", like);
  const auto probes = std::int64_t(n);
  double mean = 0, squares = 0;  // Welford's running mean and sum of squared deviations
  for (std::int64_t i = 0; i < probes; ++i) {
    const Tree v = tree::rademacher_like(fold_in(key, i), like);
    const Tree image = op(v);
    detail::check_like("hutchinson_trace", shapes, image);
    const double sample = double(tree::dot(v, image).item());
    if (sample - sample != 0) throw_error({"[hutchinson_trace] the operator gave a NaN or infinity at probe ", i});
    const double off = sample - mean;
    mean += off / double(i + 1);
    squares += off * (sample - mean);
  }
  const double count = double(probes);
  return {mean, __builtin_sqrt(squares / (count - 1) / count)};
}

}  // namespace linalg
}  // namespace ergo::inline ERGO_BUILD
