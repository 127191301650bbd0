// linalg::lanczos: Ritz pairs of a symmetric linear operator over trees, op(v) a tree like v, which is known by its
// products alone (a Hessian through hvp). After k steps from a vector v the k Ritz values are the nodes of a Gauss
// quadrature of v's spectral measure, exact for polynomials of degree 2k - 1 (Golub & Meurant 1994).
#pragma once

#include "ergo/linalg/krylov_basis.hpp"

namespace ergo::inline ERGO_BUILD {
namespace linalg {

struct LanczosOptions {
  Reorthogonalize reorthogonalize = Reorthogonalize::full;
  bool vectors = true;  // false: `vectors` stays empty, which saves as much memory as the basis takes
};

// What `lanczos` gives: `auto [values, vectors, alpha, beta]`, and more by name.
template <class Tree>
struct Lanczos {
  Tensor<double> values;      // (steps), Ritz values, ascending
  std::vector<Tree> vectors;  // Ritz vectors of norm 1, in the order of the values
  Tensor<double> alpha;       // (steps), the diagonal of the tridiagonal matrix
  Tensor<double> beta;        // (steps - 1), the entries beside it
  Tensor<double> residuals;   // (steps), |A y - value y| of each pair
  Tensor<double> weights;     // (steps), the quadrature's weights: squared first components, of sum 1
  std::int64_t steps = 0;     // fewer than asked for at an invariant subspace, and at most the number of elements
  bool invariant = false;     // the basis spans an invariant subspace: every Ritz pair is an eigenpair

  template <std::size_t I>
  auto get() const {
    return std::get<I>(std::tie(values, vectors, alpha, beta));
  }
};

// k steps from `start`, of any norm but 0. An Error for k < 1, a start that is zero or not finite, and an operator that
// gives a NaN, an infinity, or a tree of other shapes.
template <class Op, class Tree, Integer I>
Lanczos<Tree> lanczos(const Op& op, const Tree& start, I k, LanczosOptions options = {});

}  // namespace linalg

namespace detail {

// op on row j of the basis, as a vector. Both its sides are checked.
template <class R, class Op, class Tree>
Tensor<R> apply_operator(const char* name, const Op& op, const Tree& like, const LeafList& shapes, const Tensor<R>& v) {
  const Tree w = op(tree::unravel(like, v));
  check_like(name, shapes, w);
  return tree::ravel(w);
}
inline Tensor<double> vector_of(const std::vector<double>& v) { return from_span<double>(v, Shape{v.size()}); }

}  // namespace detail

template <class Op, class Tree, Integer I>
linalg::Lanczos<Tree> linalg::lanczos(const Op& op, const Tree& start, I k, LanczosOptions options) {
  using R = detail::WidestLeaf<Tree>;
  if (k < 1) throw_error({"[lanczos] ", k, " steps, where at least one is needed"});
  const detail::LeafList shapes = detail::plain_leaves("lanczos", start);
  const std::int64_t n = tree::numel(start), wanted = std::int64_t(k) < n ? std::int64_t(k) : n;
  detail::KrylovBasis<R> basis("lanczos", n, wanted + 1);
  basis.start(tree::ravel(start));
  bool more = true;
  while (more && basis.steps() < wanted)
    more = basis.extend(detail::apply_operator<R>("lanczos", op, start, shapes, basis.row(basis.steps())),
                        options.reorthogonalize);

  Lanczos<Tree> r;
  r.steps = basis.steps();
  r.invariant = !more;
  const double last = basis.beta.back();
  basis.beta.pop_back();
  const auto eigen = detail::tridiagonal_eigen("lanczos", basis.alpha, basis.beta);
  std::vector<double> residuals, weights;
  for (std::int64_t i = 0; i < r.steps; ++i) {
    const double first = eigen.vectors[std::size_t(i * r.steps)];
    weights.push_back(first * first);
    residuals.push_back(__builtin_fabs(last * eigen.vectors[std::size_t((i + 1) * r.steps - 1)]));
  }
  r.values = detail::vector_of(eigen.values);
  r.alpha = detail::vector_of(basis.alpha);
  r.beta = detail::vector_of(basis.beta);
  r.residuals = detail::vector_of(residuals);
  r.weights = detail::vector_of(weights);
  if (options.vectors)
    for (const auto& v : basis.combine(eigen.vectors.data(), r.steps)) r.vectors.push_back(tree::unravel(start, v));
  return r;
}

}  // namespace ergo::inline ERGO_BUILD

template <class Tree>
struct std::tuple_size<ergo::linalg::Lanczos<Tree>> : std::integral_constant<std::size_t, 4> {};
template <std::size_t I, class Tree>
struct std::tuple_element<I, ergo::linalg::Lanczos<Tree>> {
  using type = decltype(std::declval<const ergo::linalg::Lanczos<Tree>&>().template get<I>());
};
