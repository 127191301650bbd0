// Closed forms of learning in deep linear networks (Saxe, McClelland, Ganguli 2013, arXiv 1312.6120). Everything here
// is in double and knows no network: mode strengths u(t), learning times for any depth, optimal learning rates, and the
// mean field of random nonlinear networks. A mode is one singular direction of the input-output correlations, of
// strength s; the product of the weights along it is u, from u0 at the start to s at the end. tau = 1 / learning rate;
// times are in steps.
#pragma once

#include <cmath>
#include <string>

#include "ergo/algorithms/quadrature.hpp"
#include "ergo/ops/matmul.hpp"

namespace ergo::inline ERGO_BUILD::deep_linear {

inline constexpr int kInfiniteDepth = 1 << 30;

namespace detail {
[[noreturn, gnu::cold]] ERGO_ONCE void fail(const char* function, const Message& why) {
  throw_error({"[deep_linear.", function, "] ", why});
}
inline void check_positive(const char* function, const char* name, double x) {
  if (!(x > 0) || std::isinf(x)) fail(function, {name, " ", x, " is not a positive number"});
}
inline void check_strength(const char* function, const char* name, double u, double s) {
  if (!(u > 0)) fail(function, {name, " ", u, " is not positive"});
  if (u >= s) fail(function, {name, " ", u, " >= s ", s, ": never reached"});
}
}  // namespace detail

// u(t) = s e^(2st/tau) / (e^(2st/tau) - 1 + s/u0): three layers, both weights equal along the mode (eq. 8 of the
// paper).
inline double mode_strength(double t, double s, double u0, double tau) {
  detail::check_positive("mode_strength", "s", s);
  detail::check_positive("mode_strength", "tau", tau);
  detail::check_strength("mode_strength", "u0", u0, s);
  const double decay = std::exp(-2 * s * t / tau);  // the growing exponential would overflow
  return s / (1 + (s / u0 - 1) * decay);
}

// The steepest stable learning rate along one mode: the inverse of (N_l - 1) s^((2 N_l - 4)/(N_l - 1)), the top
// eigenvalue of the Hessian where the mode is learned.
inline double optimal_learning_rate(int depth, double s) {
  if (depth < 3) detail::fail("optimal_learning_rate", {"depth ", depth, ": at least 3 layers (two matrices)"});
  detail::check_positive("optimal_learning_rate", "s", s);
  const double matrices = double(depth) - 1;
  return 1 / (matrices * std::pow(s, 2 * (matrices - 1) / matrices));
}

// Steps until u grows from u0 to uf in a network of `depth` layers whose matrices are equal along the mode:
// tau u' = (N_l - 1) u^(2 - 2/(N_l - 1)) (s - u). Closed for 3 layers and in the limit of infinitely many, where
// learning rates shrink as 1/N_l and the result is in units of tau/N_l; between, Simpson's rule.
inline double learning_time(double s, double u0, double uf, double tau, int depth) {
  const char* const name = "learning_time";
  detail::check_positive(name, "s", s);
  detail::check_positive(name, "tau", tau);
  if (depth < 3) detail::fail(name, {"depth ", depth, ": at least 3 layers (two matrices)"});
  detail::check_strength(name, "u0", u0, s);
  detail::check_strength(name, "uf", uf, s);
  if (uf <= u0) detail::fail(name, {"uf ", uf, " <= u0 ", u0, ": already reached"});
  const double logistic = std::log(uf * (s - u0) / (u0 * (s - uf)));
  if (depth == 3) return tau / (2 * s) * logistic;
  if (depth == kInfiniteDepth) return tau * (logistic / (s * s) + 1 / (s * u0) - 1 / (s * uf));
  const double matrices = double(depth) - 1, power = 2 - 2 / matrices;
  // In v = log(u / (s - u)) the integrand is smooth over the whole range: du / (s - u) = u dv / s.
  const auto integrand = [&](double v) {
    const double u = s / (1 + std::exp(-v));
    return std::pow(u, 1 - power) / s;
  };
  const double from = std::log(u0 / (s - u0)), to = std::log(uf / (s - uf));
  constexpr int kIntervals = 4096;
  const double h = (to - from) / kIntervals;
  double sum = integrand(from) + integrand(to);
  for (int i = 1; i < kIntervals; ++i) sum += integrand(from + h * i) * (i % 2 ? 4 : 2);
  return tau / matrices * sum * h / 3;
}

// The same for three layers whose two weights along the mode begin unequal, a0 > b0: c0 = a^2 - b^2 is conserved, and
// a = sqrt(c0) cosh(theta/2), b = sqrt(c0) sinh(theta/2) (derived for this library; checked against Runge-Kutta).
inline double learning_time_unbalanced(double s, double a0, double b0, double uf, double tau) {
  const char* const name = "learning_time_unbalanced";
  detail::check_positive(name, "s", s);
  detail::check_positive(name, "tau", tau);
  if (b0 > a0) std::swap(a0, b0);  // the equations are symmetric in the two
  if (a0 == b0) detail::fail(name, {"a0 = b0 = ", a0, ": use learning_time, the balanced form"});
  detail::check_positive(name, "b0", b0);
  const double u0 = a0 * b0;
  detail::check_strength(name, "u0 = a0 b0", u0, s);
  detail::check_strength(name, "uf", uf, s);
  const double c0 = a0 * a0 - b0 * b0, r0 = std::sqrt(c0 * c0 + 4 * s * s);
  const auto primitive = [&](double u) {
    const double half = std::tanh(std::asinh(2 * u / c0) / 2);
    return std::log((r0 + c0 + 2 * s * half) / (r0 - c0 - 2 * s * half));
  };
  return tau / r0 * (primitive(uf) - primitive(u0));
}

// The largest squared singular value of a product of `factors` square Gaussian matrices with entries N(0, 1/N), as N
// grows: (L + 1)^(L + 1) / L^L.
inline double fuss_catalan_edge(int factors) {
  if (factors < 1) detail::fail("fuss_catalan_edge", {factors, " factors: at least 1"});
  const double l = factors;
  return std::exp((l + 1) * std::log(l + 1) - l * std::log(l));
}

namespace detail {
struct Nonlinearity {  // phi and phi' on numbers
  double value, slope;
};
inline Nonlinearity nonlinearity(const char* function, Activation activation, double x) {
  switch (activation) {
    case Activation::none:
      return {x, 1};
    case Activation::relu:
      return {x > 0 ? x : 0, x > 0 ? 1.0 : 0.0};
    case Activation::tanh: {
      const double y = std::tanh(x);
      return {y, 1 - y * y};
    }
    default:
      fail(function, "the mean field is known for none, relu and tanh");
  }
}
template <class F>
double gaussian_mean(const F& f) {
  static const quadrature::Rule rule = quadrature::gauss_hermite(100);
  double sum = 0;
  for (std::size_t i = 0; i < rule.nodes.size(); ++i) sum += rule.weights[i] * f(rule.nodes[i]);
  return sum;
}
}  // namespace detail

// The variance of the next layer's activations, g^2 <phi(sqrt(q) z)^2> over z ~ N(0, 1), from the variance q of this
// one's.
inline double mean_field_variance(Activation activation, double gain, double q) {
  if (!(q >= 0)) detail::fail("mean_field_variance", {"q ", q, " is negative"});
  return gain * gain * detail::gaussian_mean([&](double z) {
           const double y = detail::nonlinearity("mean_field_variance", activation, std::sqrt(q) * z).value;
           return y * y;
         });
}
// The mean squared gain of one layer's Jacobian, g^2 <phi'(sqrt(q) z)^2>.
inline double chi(Activation activation, double gain, double q) {
  if (!(q >= 0)) detail::fail("chi", {"q ", q, " is negative"});
  return gain * gain * detail::gaussian_mean([&](double z) {
           const double slope = detail::nonlinearity("chi", activation, std::sqrt(q) * z).slope;
           return slope * slope;
         });
}
// The variance that a deep network settles to; 0 below the critical gain (1 for tanh).
inline double fixed_point(Activation activation, double gain) {
  if (activation != Activation::tanh) detail::fail("fixed_point", "only tanh has a finite fixed point for every gain");
  detail::check_positive("fixed_point", "gain", gain);
  if (gain <= 1) return 0;
  return quadrature::bisection([&](double q) { return mean_field_variance(activation, gain, q) - q; }, 1e-9,
                               gain * gain);
}

}  // namespace ergo::inline ERGO_BUILD::deep_linear
