// linalg::extreme_eigenpairs: the outermost eigenvalues of a symmetric linear operator over trees and their vectors, by
// as many Lanczos steps as their residuals need.
#pragma once

#include "ergo/linalg/lanczos.hpp"
#include "ergo/ops/random.hpp"

namespace ergo::inline ERGO_BUILD {
namespace linalg {

// Which end of the spectrum; `both`: k pairs of the top, then k of the bottom.
enum class End { top, bottom, both };

struct ExtremeOptions {
  End end = End::top;
  double tolerance = 0;          // of |A y - value y| over |A|; 0: 1e-10 for double, 1e-4 for shorter types
  std::int64_t max_steps = 500;  // products with the operator
  Key key{0};                    // of the random start
};

template <class Tree>
struct ExtremeEigenpairs {
  Tensor<double> values;      // from the end inwards: descending for `top`, ascending for `bottom`
  std::vector<Tree> vectors;  // of norm 1
  Tensor<double> residuals;
  std::int64_t steps = 0;
  bool converged = false;  // false: max_steps came first
};

// The k outermost eigenpairs of a symmetric operator on trees like `like`, by Lanczos with full reorthogonalisation
// from a random vector, until their residuals are small. Of a multiple eigenvalue one pair is found, unless the steps
// exhaust the space. An Error for k < 1, k larger than the number of elements, and what `lanczos` refuses.
template <class Op, class Tree, Integer I>
ExtremeEigenpairs<Tree> extreme_eigenpairs(const Op& op, const Tree& like, I k, ExtremeOptions options = {});

}  // namespace linalg

template <class Op, class Tree, Integer I>
linalg::ExtremeEigenpairs<Tree> linalg::extreme_eigenpairs(const Op& op, const Tree& like, I k,
                                                           ExtremeOptions options) {
  using R = detail::WidestLeaf<Tree>;
  const char* name = "extreme_eigenpairs";
  const detail::LeafList shapes = detail::plain_leaves(name, like);
  const std::int64_t n = tree::numel(like), pairs = std::int64_t(k);
  if (pairs < 1 || pairs > n)
    throw_error({"[extreme_eigenpairs] ", pairs, " pairs asked of an operator on ", n, " elements"});
  if (options.max_steps < 1) throw_error({"[extreme_eigenpairs] max_steps ", options.max_steps, " is below 1"});
  const double tolerance = options.tolerance > 0 ? options.tolerance : sizeof(R) == 8 ? 1e-10 : 1e-4;
  const bool top = options.end != End::bottom, bottom = options.end != End::top;
  const std::int64_t limit = options.max_steps < n ? options.max_steps : n;

  detail::KrylovBasis<R> basis(name, n, (2 * pairs + 10 < limit ? 2 * pairs + 10 : limit) + 1);
  std::uint64_t draws = 0;
  const auto fresh = [&] { return normal<R>(fold_in(options.key, draws++), Shape{n}); };
  basis.start(fresh());
  ExtremeEigenpairs<Tree> r;
  detail::TridiagonalEigen eigen;
  std::vector<std::int64_t> chosen;
  std::vector<double> residuals;
  std::int64_t look = 2 * pairs + 4;
  for (;;) {
    const bool more = basis.extend(detail::apply_operator<R>(name, op, like, shapes, basis.row(basis.steps())),
                                   Reorthogonalize::full);
    const std::int64_t steps = basis.steps();
    const bool full = steps >= limit;
    // Behind an invariant subspace lie further copies of multiple eigenvalues: go on from a fresh direction.
    if (!more && !full && !basis.restart(fresh()))
      throw_error({"[extreme_eigenpairs] no direction is left beside an invariant subspace of ", steps, " vectors"});
    if (steps < look && !full) continue;
    look = steps + (steps / 8 > 4 ? steps / 8 : 4);
    const double last = basis.beta.back();
    eigen = detail::tridiagonal_eigen(name, basis.alpha, std::vector<double>(basis.beta.begin(), basis.beta.end() - 1));
    chosen.clear();
    residuals.clear();
    for (std::int64_t i = 0; top && i < pairs && i < steps; ++i) chosen.push_back(steps - 1 - i);
    for (std::int64_t i = 0; bottom && i < pairs && i < steps; ++i) chosen.push_back(i);
    r.converged = steps >= pairs;
    for (const std::int64_t i : chosen) {
      residuals.push_back(__builtin_fabs(last * eigen.vectors[std::size_t((i + 1) * steps - 1)]));
      r.converged = r.converged && residuals.back() <= tolerance * basis.norm();
    }
    if (r.converged || full) break;
  }
  r.steps = basis.steps();
  std::vector<double> values, rows;
  for (const std::int64_t i : chosen) {
    values.push_back(eigen.values[std::size_t(i)]);
    rows.insert(rows.end(), eigen.vectors.begin() + i * r.steps, eigen.vectors.begin() + (i + 1) * r.steps);
  }
  r.values = detail::vector_of(values);
  r.residuals = detail::vector_of(residuals);
  for (const auto& v : basis.combine(rows.data(), std::int64_t(chosen.size())))
    r.vectors.push_back(tree::unravel(like, v));
  return r;
}

}  // namespace ergo::inline ERGO_BUILD
