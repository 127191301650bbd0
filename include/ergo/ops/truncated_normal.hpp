// Normal numbers between two bounds, by inversion: z = Q(P(lo) + u (P(hi) - P(lo))) with P the normal distribution
// function and Q its inverse, good to double accuracy in both tails however far out the bounds lie. As a function of
// the bounds it is differentiable: dz/dlo = (1 - u) p(lo) / p(z), dz/dhi = u p(hi) / p(z), p the density.
#pragma once

#include "ergo/ops/exponential.hpp"
#include "ergo/ops/random.hpp"

namespace ergo::inline ERGO_BUILD {
namespace detail {

// c[0] + c[1] x + ...
template <class A, int N>
ERGO_INLINE constexpr A polynomial(const A& x, const double (&c)[N]) {
  if constexpr (requires { cpu::detail::polynomial(x, c); }) {
    return cpu::detail::polynomial(x, c);
  } else {
    A y(c[N - 1]);
    for (int i = N - 2; i >= 0; --i) y = y * x + A(c[i]);
    return y;
  }
}
// Q(p) for 0 < p <= 1/2 (negative), relative accuracy 1e-16: Wichura 1988, algorithm AS 241.
template <class A>
ERGO_INLINE constexpr A lower_normal_quantile(const A& p) {
  constexpr double a[] = {3.3871328727963666080e0,  1.3314166789178437745e+2, 1.9715909503065514427e+3,
                          1.3731693765509461125e+4, 4.5921953931549871457e+4, 6.7265770927008700853e+4,
                          3.3430575583588128105e+4, 2.5090809287301226727e+3};
  constexpr double b[] = {1,
                          4.2313330701600911252e+1,
                          6.8718700749205790830e+2,
                          5.3941960214247511077e+3,
                          2.1213794301586595867e+4,
                          3.9307895800092710610e+4,
                          2.8729085735721942674e+4,
                          5.2264952788528545610e+3};
  constexpr double c[] = {1.42343711074968357734e0,  4.63033784615654529590e0, 5.76949722146069140550e0,
                          3.64784832476320460504e0,  1.27045825245236838258e0, 2.41780725177450611770e-1,
                          2.27238449892691845833e-2, 7.74545014278341407640e-4};
  constexpr double d[] = {1,
                          2.05319162663775882187e0,
                          1.67638483018380384940e0,
                          6.89767334985100004550e-1,
                          1.48103976427480074590e-1,
                          1.51986665636164571966e-2,
                          5.47593808499534494600e-4,
                          1.05075007164441684324e-9};
  constexpr double e[] = {6.65790464350110377720e0,  5.46378491116411436990e0,  1.78482653991729133580e0,
                          2.96560571828504891230e-1, 2.65321895265761230930e-2, 1.24266094738807843860e-3,
                          2.71155556874348757815e-5, 2.01033439929228813265e-7};
  constexpr double f[] = {1,
                          5.99832206555887937690e-1,
                          1.36929880922735805310e-1,
                          1.48753612908506148525e-2,
                          7.86869131145613259100e-4,
                          1.84631831751005468180e-5,
                          1.42151175831644588870e-7,
                          2.04426310338993978564e-15};
  const A q = p - A(0.5), r = A(0.180625) - q * q;
  const A middle = q * polynomial(r, a) / polynomial(r, b);
  const A root = math::sqrt(-math::log(p)), near = root - A(1.6), far = root - A(5);
  const A tail =
      where(root <= A(5), polynomial(near, c) / polynomial(near, d), polynomial(far, e) / polynomial(far, f));
  return where(q >= A(-0.425), middle, -tail);
}

// x P(-x) / p(x) for x >= 30, its asymptotic series.
template <class A>
ERGO_INLINE constexpr A mills(const A& x) {
  const A w = A(1) / (x * x);
  return A(1) - w * (A(1) - w * (A(3) - w * (A(15) - w * A(105))));
}

struct TruncatedNormal {
  static constexpr auto name = "truncated_normal";
  // u in (0, 1), lo < hi. Bounds above 0 are mirrored, so that b <= 0 or the interval holds 0.
  template <class A>
  static ERGO_INLINE constexpr A value(const A& u, const A& lo, const A& hi) {
    const auto mirror = lo > A(0);
    const A a = where(mirror, -hi, lo), b = where(mirror, -lo, hi), t = where(mirror, A(1) - u, u);
    const A below_a = distribution(a), below_b = distribution(b);
    const A above_a = distribution(-a), above_b = distribution(-b);
    const A p = below_a + t * (below_b - below_a), rest = above_b + (A(1) - t) * (above_a - above_b);
    const auto upper = p > A(0.5);
    const A central = lower_normal_quantile(where(upper, rest, p)), z = where(upper, -central, central);
    const auto far = b < A(kFar);
    A inside = z;
    if (any(far)) [[unlikely]]
      inside = where(far, far_tail(t, a, b), z);
    const A bounded = where(inside < a, a, where(inside > b, b, inside));
    return where(mirror, -bounded, bounded);
  }
  template <int I, class A>
  static constexpr auto partial(const A& z, const A& u, const A& lo, const A& hi) {
    if constexpr (I == 0)
      return Constant<0>();
    else if constexpr (I == 1)
      return (A(1) - u) * exp(A(0.5) * ((z - lo) * (z + lo)));
    else
      return u * exp(A(0.5) * ((z - hi) * (z + hi)));
  }

 private:
  static constexpr double kFar = -36;  // P is 4e-284 there

  template <class A>
  static ERGO_INLINE constexpr A distribution(const A& x) {
    return A(0.5) * math::erfc(x * A(-0.70710678118654752440));
  }
  // Bounds so far out that P underflows: x = -z solves P(-x) = v P(b), that is, with m as below,
  // (x^2 - b^2) / 2 + log(x / |b|) - log(m(x) / m(b)) = -log v. Newton's steps begin where the first term alone would.
  template <class A>
  static ERGO_INLINE constexpr A far_tail(const A& t, const A& a, const A& b) {
    const A nearest = where(b < A(kFar), -b, A(-kFar)), farthest = where(-a < nearest, nearest, -a),
            at_nearest = mills(nearest);
    const A gap =
        where(farthest < A(__builtin_inf()), (nearest - farthest) * (nearest + farthest), A(-__builtin_inf()));
    const A ratio =
        where(gap < A(-1400), A(0), math::exp(A(0.5) * gap) * (nearest / farthest) * (mills(farthest) / at_nearest));
    const A target = -math::log(ratio + t * (A(1) - ratio));
    A x = math::sqrt(nearest * nearest + A(2) * target);
    for (int step = 0; step < 3; ++step) {
      const A excess =
          A(0.5) * ((x - nearest) * (x + nearest)) + math::log(x / nearest * (at_nearest / mills(x))) - target;
      x = x - excess / (x + A(1) / x);
    }
    return -x;
  }
};

}  // namespace detail

// Standard normal numbers, given that they lie in [lo, hi], lo < hi; bounds are numbers or tensors, infinite ones too.
template <Floating T = float, detail::ParameterOf<T> A, detail::ParameterOf<T> B>
Tensor<T> truncated_normal(const Key& key, const Shape& shape, const A& lo, const B& hi) {
  const auto low = cast<double>(detail::parameter<T>("truncated_normal", lo, shape));
  const auto high = cast<double>(detail::parameter<T>("truncated_normal", hi, shape));
  detail::require("truncated_normal", high - low, detail::Requirement::positive, "hi - lo");
  using Draw = cpu::UniformDraw<double, 52>;  // odd multiples of 2^-53: never 0 or 1
  const auto u = detail::draw<double>("truncated_normal", Draw{0x1p-53, 1 + 0x1p-53}, key, shape);
  return cast<T>(pointwise_op(detail::TruncatedNormal{}, u, low, high));
}

}  // namespace ergo::inline ERGO_BUILD
