// linalg::conjugate_gradient: op(x) = b for a symmetric positive definite linear operator over trees, op(v) a tree like
// v (Hestenes & Stiefel 1952). One product an iteration; in exact arithmetic as many iterations as op has distinct
// eigenvalues.
#pragma once

#include "ergo/linalg/krylov_basis.hpp"
#include "ergo/ops/tree_norm.hpp"

namespace ergo::inline ERGO_BUILD {
namespace linalg {

struct ConjugateGradientOptions {
  double tolerance = 0;             // of |b - op(x)| over |b|; 0: 1e-10 for double, 1e-5 for shorter types
  std::int64_t max_iterations = 0;  // 0: ten times the number of elements
};

template <class Tree>
struct ConjugateGradient {
  Tree solution;
  double residual = 0;          // |b - op(x)| over |b|, by the recurrence
  std::int64_t iterations = 0;  // products with op
  bool converged =
      false;  // false: max_iterations came first, or op is not positive definite (the last iterate is given)
};

// x with op(x) = b, starting from 0. An Error if the tolerance is negative, or b or op gives a NaN, an infinity, or a
// tree of other shapes.
template <class Op, class Tree>
ConjugateGradient<Tree> conjugate_gradient(const Op& op, const Tree& b, ConjugateGradientOptions options = {}) {
  using R = detail::WidestLeaf<Tree>;
  const detail::LeafList shapes = detail::plain_leaves("conjugate_gradient", b);
  if (!(options.tolerance >= 0) || options.max_iterations < 0)
    throw_error({"[conjugate_gradient] tolerance ", options.tolerance, ", max_iterations ", options.max_iterations,
                 ": neither may be negative"});
  const double tolerance = options.tolerance > 0 ? options.tolerance : sizeof(R) == 8 ? 1e-10 : 1e-5;
  const std::int64_t most = options.max_iterations > 0 ? options.max_iterations : 10 * tree::numel(b);
  const auto finite = [](double x, const char* what) {
    if (x - x != 0) throw_error({"[conjugate_gradient] ", what, " has a NaN or infinity"});
    return x;
  };

  ConjugateGradient<Tree> r;
  r.solution = tree::zeros_like(b);
  // The system for b of length near 1, so that squares stay in range; by a power of two, so that nothing is rounded.
  const R scale = detail::scale_near<R>(finite(double(tree::norm(b).item()), "b"));
  Tree rest = scale == 1 ? b : tree::scale(R(1) / scale, b), direction = rest;
  double squares = double(tree::dot(rest, rest).item());
  const double size = __builtin_sqrt(squares);
  r.converged = squares == 0;
  while (!r.converged && r.iterations < most) {
    const Tree image = op(std::as_const(direction));
    ++r.iterations;
    detail::check_like("conjugate_gradient", shapes, image);
    const double curvature = finite(double(tree::dot(direction, image).item()), "the operator's result");
    if (!(curvature > 0)) break;
    const double step = squares / curvature;
    r.solution = tree::axpy(step, direction, r.solution);
    rest = tree::axpy(-step, image, rest);
    const double before = squares;
    squares = finite(double(tree::dot(rest, rest).item()), "the operator's result");
    r.converged = __builtin_sqrt(squares) <= tolerance * size;
    direction = tree::axpy(squares / before, direction, rest);
  }
  if (scale != 1) r.solution = tree::scale(scale, r.solution);
  r.residual = size > 0 ? __builtin_sqrt(squares) / size : 0;
  return r;
}

}  // namespace linalg
}  // namespace ergo::inline ERGO_BUILD
