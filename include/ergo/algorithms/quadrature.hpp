// Small numerics in double that several algorithms stand on: expectations under a normal distribution, roots, and the
// classical Runge-Kutta step.
#pragma once

#include <cmath>
#include <utility>
#include <vector>

#include "ergo/core/error.hpp"

namespace ergo::inline ERGO_BUILD::quadrature {

struct Rule {
  std::vector<double> nodes, weights;
};

// E f(z) = sum of weights[i] f(nodes[i]) for z ~ N(0, 1), exact for polynomials of degree below 2 n: Gauss-Hermite in
// the probabilists' form. Nodes by Newton's method on the orthonormal recurrence.
ERGO_ONCE Rule gauss_hermite(int n) {
  if (n < 1 || n > 200) throw_error({"[quadrature.gauss_hermite] ", n, " nodes: 1 to 200 are possible"});
  Rule rule{std::vector<double>(std::size_t(n)), std::vector<double>(std::size_t(n))};
  double z = 0;
  for (int i = 0; i < (n + 1) / 2; ++i) {
    const auto& x = rule.nodes;
    const double root2 = std::sqrt(2.0);
    if (i == 0)  // first guesses for the physicists' polynomial, from the largest root down
      z = std::sqrt(2.0 * n + 1) - 1.85575 * std::pow(2.0 * n + 1, -1.0 / 6);
    else if (i == 1)
      z -= 1.14 * std::pow(double(n), 0.426) / z;
    else if (i == 2)
      z = 1.86 * z - 0.86 * x[0] / root2;
    else if (i == 3)
      z = 1.91 * z - 0.91 * x[1] / root2;
    else
      z = 2 * z - x[std::size_t(i - 2)] / root2;
    double slope = 1;
    for (int step = 0; step < 100; ++step) {
      double p = 0.75112554446494248286, before = 0;  // pi^(-1/4)
      for (int k = 0; k < n; ++k)
        before = std::exchange(p, z * std::sqrt(2.0 / (k + 1)) * p - std::sqrt(double(k) / (k + 1)) * before);
      slope = std::sqrt(2.0 * n) * before;
      const double dz = p / slope;
      z -= dz;
      if (std::abs(dz) < 1e-15 * (1 + std::abs(z))) break;
    }
    const double weight = 2 / (slope * slope * std::sqrt(3.14159265358979323846));
    rule.nodes[std::size_t(i)] = z * root2;
    rule.nodes[std::size_t(n - 1 - i)] = -z * root2;
    rule.weights[std::size_t(i)] = rule.weights[std::size_t(n - 1 - i)] = weight;
  }
  if (n % 2) rule.nodes[std::size_t(n / 2)] = 0;
  return rule;
}

// One step of length h of the classical fourth-order Runge-Kutta method for y' = f(t, y); Y has + and * by a number.
template <class F, class Y>
Y rk4_step(const F& f, double t, const Y& y, double h) {
  const Y k1 = f(t, y), k2 = f(t + h / 2, y + k1 * (h / 2)), k3 = f(t + h / 2, y + k2 * (h / 2)),
          k4 = f(t + h, y + k3 * h);
  return y + (k1 + k2 * 2.0 + k3 * 2.0 + k4) * (h / 6);
}

// A root of f in [lo, hi], where its signs differ, to the last bits.
template <class F>
double bisection(const F& f, double lo, double hi) {
  double at_lo = f(lo);
  const double at_hi = f(hi);
  if (!(at_lo <= 0) == !(at_hi <= 0) && at_lo != 0 && at_hi != 0)
    throw_error({"[quadrature.bisection] f has the values ", at_lo, " and ", at_hi, " at the ends: no change of sign"});
  for (int i = 0; i < 200; ++i) {
    const double middle = lo + (hi - lo) / 2;
    if (middle <= lo || middle >= hi) break;
    const double at = f(middle);
    if (!(at <= 0) == !(at_lo <= 0)) {
      lo = middle;
      at_lo = at;
    } else {
      hi = middle;
    }
  }
  return lo + (hi - lo) / 2;
}

}  // namespace ergo::inline ERGO_BUILD::quadrature
