// Numbers that carry derivatives, of the interpreter alone: Jet in two directions to second order, Dual over it in one
// more. An elementary function is four closed forms, its value and three derivatives.
#pragma once

#include <cmath>

namespace programs {

using Real = long double;

struct Elementary {
  Real (*d[4])(Real);
};

struct Jet {  // of f(x + s u + t v): f, f_s, f_t, f_st
  Real v = 0, a = 0, b = 0, ab = 0;
};
inline Jet operator+(const Jet& x, const Jet& y) { return {x.v + y.v, x.a + y.a, x.b + y.b, x.ab + y.ab}; }
inline Jet operator*(const Jet& x, Real c) { return {x.v * c, x.a * c, x.b * c, x.ab * c}; }
inline Jet operator*(const Jet& x, const Jet& y) {
  return {x.v * y.v, x.a * y.v + x.v * y.a, x.b * y.v + x.v * y.b, x.ab * y.v + x.a * y.b + x.b * y.a + x.v * y.ab};
}
inline Jet apply(const Elementary& f, const Jet& x, int k = 0) {
  const Real first = f.d[k + 1](x.v);
  return {f.d[k](x.v), first * x.a, first * x.b, first * x.ab + f.d[k + 2](x.v) * x.a * x.b};
}
template <class F>  // each part by itself
Jet jittered(const Jet& x, F&& f) {
  return {f(x.v), f(x.a), f(x.b), f(x.ab)};
}
inline Real real(const Jet& x) { return x.v; }
inline Real size(const Jet& x) { return std::fabs(x.v) + std::fabs(x.a) + std::fabs(x.b) + std::fabs(x.ab); }

template <class S>
struct Dual {  // f and its derivative in one more direction
  S v, d;
};
template <class S>
Dual<S> operator+(const Dual<S>& x, const Dual<S>& y) {
  return {x.v + y.v, x.d + y.d};
}
template <class S>
Dual<S> operator*(const Dual<S>& x, Real c) {
  return {x.v * c, x.d * c};
}
template <class S>
Dual<S> operator*(const Dual<S>& x, const Dual<S>& y) {
  return {x.v * y.v, x.d * y.v + x.v * y.d};
}
template <class S>
Dual<S> apply(const Elementary& f, const Dual<S>& x) {
  return {apply(f, x.v), apply(f, x.v, 1) * x.d};
}
template <class S, class F>
Dual<S> jittered(const Dual<S>& x, F&& f) {
  return {jittered(x.v, f), jittered(x.d, f)};
}
template <class S>
Real real(const Dual<S>& x) {
  return real(x.v);
}
template <class S>
Real size(const Dual<S>& x) {
  return size(x.v) + size(x.d);
}

template <class S>
struct Constant;
template <>
struct Constant<Jet> {
  static Jet of(Real c) { return {c, 0, 0, 0}; }
};
template <class S>
struct Constant<Dual<S>> {
  static Dual<S> of(Real c) { return {Constant<S>::of(c), Constant<S>::of(0)}; }
};

namespace elementary {

inline Real phi(Real x) { return std::exp(-x * x / 2) * 0.398942280401432677939946L; }
inline Real cdf(Real x) { return std::erfc(-x * 0.707106781186547524400844L) / 2; }
inline Real sig(Real x) { return 1 / (1 + std::exp(-x)); }
constexpr Real kErf = 1.12837916709551257389616L;  // 2 / sqrt(pi)

inline const Elementary negate{[](Real x) -> Real { return -x; }, [](Real x) -> Real { return x * 0 - 1; },
                               [](Real x) -> Real { return x * 0; }, [](Real x) -> Real { return x * 0; }};
inline const Elementary exp{[](Real x) -> Real { return std::exp(x); }, [](Real x) -> Real { return std::exp(x); },
                            [](Real x) -> Real { return std::exp(x); }, [](Real x) -> Real { return std::exp(x); }};
inline const Elementary expm1{[](Real x) -> Real { return std::expm1(x); }, [](Real x) -> Real { return std::exp(x); },
                              [](Real x) -> Real { return std::exp(x); }, [](Real x) -> Real { return std::exp(x); }};
inline const Elementary log{[](Real x) -> Real { return std::log(x); }, [](Real x) -> Real { return 1 / x; },
                            [](Real x) -> Real { return -1 / (x * x); },
                            [](Real x) -> Real { return 2 / (x * x * x); }};
inline const Elementary log1p{[](Real x) -> Real { return std::log1p(x); }, [](Real x) -> Real { return 1 / (1 + x); },
                              [](Real x) -> Real { return -1 / ((1 + x) * (1 + x)); },
                              [](Real x) -> Real { return 2 / ((1 + x) * (1 + x) * (1 + x)); }};
inline const Elementary sqrt{[](Real x) -> Real { return std::sqrt(x); },
                             [](Real x) -> Real { return 0.5L / std::sqrt(x); },
                             [](Real x) -> Real { return -0.25L / (x * std::sqrt(x)); },
                             [](Real x) -> Real { return 0.375L / (x * x * std::sqrt(x)); }};
inline const Elementary rsqrt{[](Real x) -> Real { return 1 / std::sqrt(x); },
                              [](Real x) -> Real { return -0.5L / (x * std::sqrt(x)); },
                              [](Real x) -> Real { return 0.75L / (x * x * std::sqrt(x)); },
                              [](Real x) -> Real { return -1.875L / (x * x * x * std::sqrt(x)); }};
inline const Elementary square{[](Real x) -> Real { return x * x; }, [](Real x) -> Real { return 2 * x; },
                               [](Real x) -> Real { return x * 0 + 2; }, [](Real x) -> Real { return x * 0; }};
inline const Elementary reciprocal{[](Real x) -> Real { return 1 / x; }, [](Real x) -> Real { return -1 / (x * x); },
                                   [](Real x) -> Real { return 2 / (x * x * x); },
                                   [](Real x) -> Real { return -6 / (x * x * x * x); }};
inline const Elementary abs{[](Real x) -> Real { return std::fabs(x); },
                            [](Real x) -> Real { return x > 0   ? 1
                                                        : x < 0 ? -1
                                                                : 0; },
                            [](Real x) -> Real { return x * 0; }, [](Real x) -> Real { return x * 0; }};
inline const Elementary sin{[](Real x) -> Real { return std::sin(x); }, [](Real x) -> Real { return std::cos(x); },
                            [](Real x) -> Real { return -std::sin(x); }, [](Real x) -> Real { return -std::cos(x); }};
inline const Elementary cos{[](Real x) -> Real { return std::cos(x); }, [](Real x) -> Real { return -std::sin(x); },
                            [](Real x) -> Real { return -std::cos(x); }, [](Real x) -> Real { return std::sin(x); }};
inline const Elementary tanh{[](Real x) -> Real { return std::tanh(x); },
                             [](Real x) -> Real { return 1 - std::tanh(x) * std::tanh(x); },
                             [](Real x) -> Real {
                               const Real t = std::tanh(x);
                               return -2 * t * (1 - t * t);
                             },
                             [](Real x) -> Real {
                               const Real t = std::tanh(x);
                               return (1 - t * t) * (6 * t * t - 2);
                             }};
inline const Elementary sinh{[](Real x) -> Real { return std::sinh(x); }, [](Real x) -> Real { return std::cosh(x); },
                             [](Real x) -> Real { return std::sinh(x); }, [](Real x) -> Real { return std::cosh(x); }};
inline const Elementary sigmoid{[](Real x) -> Real { return sig(x); },
                                [](Real x) -> Real { return sig(x) * (1 - sig(x)); },
                                [](Real x) -> Real {
                                  const Real s = sig(x);
                                  return s * (1 - s) * (1 - 2 * s);
                                },
                                [](Real x) -> Real {
                                  const Real s = sig(x);
                                  return s * (1 - s) * (1 - 6 * s + 6 * s * s);
                                }};
inline const Elementary softplus{
    [](Real x) -> Real { return x > 0 ? x + std::log1p(std::exp(-x)) : std::log1p(std::exp(x)); }, sigmoid.d[0],
    sigmoid.d[1], sigmoid.d[2]};
inline const Elementary relu{[](Real x) -> Real { return x > 0 ? x : 0; }, [](Real x) -> Real { return x > 0 ? 1 : 0; },
                             [](Real x) -> Real { return x * 0; }, [](Real x) -> Real { return x * 0; }};
inline const Elementary erf{[](Real x) -> Real { return std::erf(x); },
                            [](Real x) -> Real { return kErf * std::exp(-x * x); },
                            [](Real x) -> Real { return -2 * x * kErf * std::exp(-x * x); },
                            [](Real x) -> Real { return (4 * x * x - 2) * kErf * std::exp(-x * x); }};
inline const Elementary gelu{
    [](Real x) -> Real { return x * cdf(x); }, [](Real x) -> Real { return cdf(x) + x * phi(x); },
    [](Real x) -> Real { return phi(x) * (2 - x * x); }, [](Real x) -> Real { return phi(x) * (x * x * x - 4 * x); }};
inline const Elementary atan{
    [](Real x) -> Real { return std::atan(x); }, [](Real x) -> Real { return 1 / (1 + x * x); },
    [](Real x) -> Real { return -2 * x / ((1 + x * x) * (1 + x * x)); },
    [](Real x) -> Real { return (6 * x * x - 2) / ((1 + x * x) * (1 + x * x) * (1 + x * x)); }};
inline const Elementary asinh{
    [](Real x) -> Real { return std::asinh(x); }, [](Real x) -> Real { return 1 / std::sqrt(1 + x * x); },
    [](Real x) -> Real { return -x / ((1 + x * x) * std::sqrt(1 + x * x)); },
    [](Real x) -> Real { return (2 * x * x - 1) / ((1 + x * x) * (1 + x * x) * std::sqrt(1 + x * x)); }};
}  // namespace elementary
}  // namespace programs
