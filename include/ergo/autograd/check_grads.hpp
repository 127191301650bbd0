// check_grads(f, x): compares forward mode, reverse mode and finite differences of f along random directions, to order
// 2 by default, and throws with the worst entry if they disagree. For users' own operations and models; double is
// advised.
#pragma once

#include "ergo/autograd/curvature.hpp"

namespace ergo::inline ERGO_BUILD {

struct CheckGradsOptions {
  int order = 2;            // 1 or 2
  double tolerance = 1e-5;  // relative, on doubles; 16 times the square root of epsilon at least on others
  std::uint64_t seed = 1;   // of the directions
};

namespace detail {
// A direction of +-1 entries scaled by position; independent of the random operations above this layer.
template <class A>
A direction_like(const A& a, std::uint64_t seed) {
  return tree::map(
      [&]<class T>(const Tensor<T>& x) {
        Ref<Array> r = Array::make(DType::float64, x.shape());
        for (std::int64_t i = 0, n = r->numel(); i < n; ++i) {
          seed = seed * 6364136223846793005u + 1442695040888963407u;
          data_of<double>(*r)[i] = double(std::int64_t(seed >> 11)) * 0x1p-52 - 1.0;
        }
        return cast<T>(Tensor<double>(std::move(r)));
      },
      a);
}
[[noreturn, gnu::cold]] ERGO_ONCE void fail_check(const std::string& what, double a, double b) {
  throw_error({"[check_grads] ", what, ": ", a, " and ", b, " disagree"});
}
inline void compare(const std::string& what, double a, double b, double tolerance) {
  const double scale = 1 + (a < 0 ? -a : a) + (b < 0 ? -b : b), distance = a < b ? b - a : a - b;
  if (!(distance <= tolerance * scale)) fail_check(what, a, b);
}
template <class X>
double value_of(const X& x) {
  return double(x.item());
}
}  // namespace detail

// Throws an Error unless the derivatives of the scalar-valued, or summed, f at x agree in all modes.
template <class F, class X>
void check_grads(const F& f, const X& x, CheckGradsOptions options = {}) {
  if (options.order < 1 || options.order > 2)
    throw_error({"[check_grads] order ", options.order, " is neither 1 nor 2"});
  constexpr bool wide = std::is_same_v<detail::WidestLeaf<X>, double>;
  const double h = wide ? 1e-5 : 1e-2,
               tolerance = wide ? options.tolerance : (options.tolerance > 0.02 ? options.tolerance : 0.02);
  const X u = detail::direction_like(x, options.seed), v = detail::direction_like(x, options.seed + 1);
  // One number from whatever f returns: its product with a fixed direction.
  const auto scalar = [&](const X& p) {
    const auto y = f(p);
    return tree::dot(y, detail::direction_like(y, options.seed + 2));
  };
  const auto along = [&](double s, const X& d) { return tree::axpy(s, d, x); };
  const double forward = detail::value_of(jvp(scalar)(x, u).second),
               reverse = detail::value_of(tree::dot(grad(scalar)(x), u));
  const double differences = (detail::value_of(scalar(along(h, u))) - detail::value_of(scalar(along(-h, u)))) / (2 * h);
  detail::compare("first order, forward and reverse mode", forward, reverse, tolerance);
  detail::compare("first order, reverse mode and differences", reverse, differences, tolerance);
  if (options.order < 2) return;
  const auto slope = [&](const X& p) { return tree::dot(grad(scalar)(p), u); };
  const double over_reverse = detail::value_of(tree::dot(hvp(scalar)(x, v), u));
  const double twice_reverse = detail::value_of(tree::dot(grad(slope)(x), v));
  const double of_slope = (detail::value_of(slope(along(h, v))) - detail::value_of(slope(along(-h, v)))) / (2 * h);
  detail::compare("second order, forward over reverse and reverse over reverse", over_reverse, twice_reverse,
                  tolerance);
  detail::compare("second order, reverse over reverse and differences of gradients", twice_reverse, of_slope,
                  tolerance);
}

}  // namespace ergo::inline ERGO_BUILD
