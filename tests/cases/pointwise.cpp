// Rows of the pointwise operations. References are libm's in double; ranges stay away from kinks by a margin that the
// differences do not cross.
#include <cmath>

#include "ergo/autograd/map.hpp"
#include "ergo/ops/activation.hpp"
#include "ergo/ops/inverse_trigonometric.hpp"
#include "ergo/ops/logarithm.hpp"
#include "ergo/ops/logic.hpp"
#include "ergo/ops/number_class.hpp"
#include "ergo/ops/rounding.hpp"
#include "ergo/ops/softsign.hpp"
#include "support/cases.hpp"

namespace cases {
namespace {

using namespace ergo;

const std::vector<std::vector<Shape>> kUnary = {{{7}}, {{}}, {{1}}, {{0}}, {{3, 5}}, {{2, 3, 4}}, {{37}}, {{4, 0, 2}}};
const std::vector<std::vector<Shape>> kBinary = {{{3, 4}, {4}}, {{}, {}}, {{5}, {}}, {{1}, {5}}, {{0}, {1}},
                                                 {{2, 1, 3}, {4, 1}}, {{33}, {33}}, {{3, 0}, {1, 1}}};

template <class F>
Case unary(const char* name, Range range, int order) {
  Case c;
  c.name = name;
  c.shapes = kUnary;
  c.ranges = {range};
  c.f64 = [](const Doubles& x) { return F{}(x[0]); };
  c.f32 = [](const Floats& x) { return F{}(x[0]); };
  c.order = order;
  c.tolerance = 3e-7;
  c.tolerance64 = 4e-15;
  c.pointwise = true;
  c.large = {{300, 301}};
  return c;
}

double sigmoid_of(double x) { return x < 0 ? std::exp(x) / (1 + std::exp(x)) : 1 / (1 + std::exp(-x)); }

#define UNARY(fn, range, order, expression)                                                              \
  [] {                                                                                                   \
    struct F {                                                                                           \
      Tensor<double> operator()(const Tensor<double>& x) const { return fn(x); }                         \
      Tensor<float> operator()(const Tensor<float>& x) const { return fn(x); }                           \
    };                                                                                                   \
    Case c = unary<F>(#fn, (range), order);                                               \
    c.scalar = [](const double* at) -> double {                                                          \
      const double x = at[0];                                                                            \
      return expression;                                                                                 \
    };                                                                                                   \
    return c;                                                                                            \
  }()
#define BINARY(title, expr, rangeA, rangeB, ord, expression)                                             \
  [] {                                                                                                   \
    Case c;                                                                                              \
    c.name = title;                                                                                      \
    c.shapes = kBinary;                                                                                  \
    c.ranges = {rangeA, rangeB};                                                             \
    c.f64 = [](const Doubles& v) -> Tensor<double> { const auto &a = v[0], &b = v[1]; return expr; };     \
    c.f32 = [](const Floats& v) -> Tensor<float> { const auto &a = v[0], &b = v[1]; return expr; };       \
    c.scalar = [](const double* at) -> double {                                                          \
      const double a = at[0], b = at[1];                                                                 \
      return expression;                                                                                 \
    };                                                                                                   \
    c.order = ord;                                                                                       \
    c.tolerance = 6e-7;                                                                                  \
    c.tolerance64 = 8e-15;                                                                               \
    c.pointwise = true;                                                                                  \
    c.large = {{300, 301}, {301}};                                                                       \
    return c;                                                                                            \
  }()

// SEMANTICS: a NaN of either operand is passed on.
double larger(double a, double b) { return std::isnan(a) || std::isnan(b) ? NAN : a < b ? b : a; }
double smaller(double a, double b) { return std::isnan(a) || std::isnan(b) ? NAN : b < a ? b : a; }
double softplus_of(double x) { return std::isnan(x) ? x : larger(x, 0) + std::log1p(std::exp(-std::abs(x))); }
double gelu_of(double x) { return x == -INFINITY ? -0.0 : 0.5 * x * std::erfc(-x / std::sqrt(2.0)); }
double silu_of(double x) { return x == -INFINITY ? -0.0 : x * sigmoid_of(x); }
double gelu_tanh_of(double x) {
  return x < -1e4 ? -0.0 : x > 1e4 ? x : x * sigmoid_of(1.59576912160573071176 * x * (1 + 0.044715 * x * x));
}
double log_add_exp_of(double a, double b) {
  if (std::isnan(a) || std::isnan(b)) return NAN;
  return a == b ? a + std::log(2.0) : larger(a, b) + std::log1p(std::exp(-std::abs(a - b)));
}

double log1mexp_of(double x) { return x > -0.6931 ? std::log(-std::expm1(x)) : std::log1p(-std::exp(x)); }
double logit_of(double x) {
  return x < 0.25 || x > 0.75 ? std::log(x) - std::log1p(-x) : std::log1p((2 * x - 1) / (1 - x));
}
double softsign_of(double x) { return std::isinf(x) ? std::copysign(1, x) : x / (1 + std::abs(x)); }
double selu_of(double x) { return 1.0507009873554804934 * (x < 0 ? 1.6732632423543772848 * std::expm1(x) : x); }
double mish_of(double x) { return x == -INFINITY ? -0.0 : x * std::tanh(softplus_of(x)); }
double product_at_zero(double x, double y, double logarithm) { return x == 0 && !std::isnan(y) ? 0 : x * logarithm; }
double number_of(double x) { return std::isnan(x) ? 3 : x == INFINITY ? 7 : x == -INFINITY ? -5 : x; }

template <class T>
Tensor<T> numbers_for(const Tensor<T>& x) {
  return nan_to_num(x, {.nan = 3, .posinf = 7, .neginf = -5});
}

// A user's function for map.
struct Gate {
  template <class A>
  constexpr A operator()(A x, A b) const {
    return x / (A(1) + ergo::exp(-(b * x)));
  }
};

}  // namespace

std::vector<Case> pointwise_cases() {
  std::vector<Case> rows = {
      UNARY(exp, (Range{-2, 2}), 3, std::exp(x)),
      UNARY(expm1, (Range{-2, 2}), 3, std::expm1(x)),
      UNARY(log, (Range{0.4, 3}), 3, std::log(x)),
      UNARY(log1p, (Range{-0.5, 2}), 3, std::log1p(x)),
      UNARY(sqrt, (Range{0.4, 3}), 3, std::sqrt(x)),
      UNARY(rsqrt, (Range{0.4, 3}), 3, 1 / std::sqrt(x)),
      UNARY(square, (Range{-2, 2}), 3, x * x),
      UNARY(reciprocal, (Range{0.5, 2}), 3, 1 / x),
      UNARY(abs, (Range{0.1, 2}), 3, std::abs(x)),
      UNARY(sign, (Range{0.1, 2}), 0, (std::isnan(x) ? x : x > 0 ? 1 : x < 0 ? -1 : 0.0)),
      UNARY(sin, (Range{-3, 3}), 3, std::sin(x)),
      UNARY(cos, (Range{-3, 3}), 3, std::cos(x)),
      UNARY(tan, (Range{-1, 1}), 3, std::tan(x)),
      UNARY(sinh, (Range{-2, 2}), 3, std::sinh(x)),
      UNARY(cosh, (Range{-2, 2}), 3, std::cosh(x)),
      UNARY(tanh, (Range{-2, 2}), 3, std::tanh(x)),
      UNARY(sigmoid, (Range{-3, 3}), 3, sigmoid_of(x)),
      UNARY(log_sigmoid, (Range{-3, 3}), 3, smaller(x, 0) - std::log1p(std::exp(-std::abs(x)))),
      UNARY(softplus, (Range{-3, 3}), 3, softplus_of(x)),
      UNARY(relu, (Range{0.1, 2}), 2, (x < 0 ? 0 : x)),
      UNARY(gelu, (Range{-3, 3}), 3, gelu_of(x)),
      UNARY(gelu_tanh, (Range{-3, 3}), 3, gelu_tanh_of(x)),
      UNARY(silu, (Range{-3, 3}), 3, silu_of(x)),
      UNARY(erf, (Range{-2, 2}), 3, std::erf(x)),
      UNARY(erfc, (Range{-2, 2}), 3, std::erfc(x)),
      UNARY(exp2, (Range{-2, 2}), 3, std::exp2(x)),
      UNARY(log2, (Range{0.4, 3}), 3, std::log2(x)),
      UNARY(log10, (Range{0.4, 3}), 3, std::log10(x)),
      UNARY(log1mexp, (Range{-3, -0.2}), 3, log1mexp_of(x)),
      UNARY(logit, (Range{0.15, 0.85}), 3, logit_of(x)),
      UNARY(cbrt, (Range{0.4, 3}), 3, std::cbrt(x)),
      UNARY(asin, (Range{-0.8, 0.8}), 3, std::asin(x)),
      UNARY(acos, (Range{-0.8, 0.8}), 3, std::acos(x)),
      UNARY(atan, (Range{-2, 2}), 3, std::atan(x)),
      UNARY(asinh, (Range{-2, 2}), 3, std::asinh(x)),
      UNARY(acosh, (Range{1.3, 3}), 3, std::acosh(x)),
      UNARY(atanh, (Range{-0.7, 0.7}), 3, std::atanh(x)),
      UNARY(softsign, (Range{0.1, 2}), 3, softsign_of(x)),
      UNARY(selu, (Range{-2, -0.1}), 3, selu_of(x)),
      UNARY(mish, (Range{-3, 3}), 3, mish_of(x)),
      UNARY(trunc, (Range{0.1, 0.9}), 0, std::trunc(x)),
      UNARY(numbers_for, (Range{-2, 2}), 3, number_of(x)),
      UNARY(floor, (Range{0.1, 0.9}), 0, std::floor(x)),
      UNARY(ceil, (Range{0.1, 0.9}), 0, std::ceil(x)),
      UNARY(round, (Range{0.1, 0.4}), 0, std::nearbyint(x)),
      BINARY("operator+", a + b, (Range{-2, 2}), (Range{-2, 2}), 3, a + b),
      BINARY("operator-", a - b, (Range{-2, 2}), (Range{-2, 2}), 3, a - b),
      BINARY("operator*", a * b, (Range{-2, 2}), (Range{-2, 2}), 3, a * b),
      BINARY("operator/", a / b, (Range{-2, 2}), (Range{0.5, 2}), 3, a / b),
      BINARY("pow", pow(a, b), (Range{0.4, 2}), (Range{-2, 2}), 3, std::pow(a, b)),
      BINARY("xlogy", xlogy(a, b), (Range{0.2, 2}), (Range{0.4, 2}), 3, product_at_zero(a, b, std::log(b))),
      BINARY("xlog1py", xlog1py(a, b), (Range{0.2, 2}), (Range{-0.5, 2}), 3, product_at_zero(a, b, std::log1p(b))),
      BINARY("atan2", atan2(a, b), (Range{0.3, 2}), (Range{0.3, 2}), 3, std::atan2(a, b)),
      BINARY("hypot", hypot(a, b), (Range{0.3, 2}), (Range{0.3, 2}), 3, std::hypot(a, b)),
      BINARY("copysign", copysign(a, b), (Range{-2, -0.1}), (Range{0.1, 2}), 3, std::copysign(a, b)),
      BINARY("lerp", lerp(a, b, 0.25), (Range{-2, 2}), (Range{-2, 2}), 3, a + 0.25 * (b - a)),
      BINARY("lerp: weight", lerp(0.5, b, a), (Range{-2, 2}), (Range{-2, 2}), 3, 0.5 + a * (b - 0.5)),
      BINARY("maximum", maximum(a, b), (Range{-2, -0.1}), (Range{0.1, 2}), 2, larger(a, b)),
      BINARY("minimum", minimum(a, b), (Range{-2, -0.1}), (Range{0.1, 2}), 2, smaller(a, b)),
      BINARY("log_add_exp", log_add_exp(a, b), (Range{-2, 2}), (Range{-2, 2}), 3, log_add_exp_of(a, b)),
      BINARY("leaky_relu", leaky_relu(a, b), (Range{-2, -0.1}), (Range{0.1, 1}), 3, (a < 0 ? a * b : a)),
      BINARY("elu", elu(a, b), (Range{-2, -0.1}), (Range{0.5, 2}), 3, (a < 0 ? b * std::expm1(a) : a)),
      BINARY("where", where(a < b, a * b, b), (Range{-2, -0.1}), (Range{0.1, 2}), 3, (a < b ? a * b : b)),
      BINARY("clip", clip(a * b, -1.5, 1.5), (Range{-1, 1}), (Range{-1, 1}), 3, smaller(larger(a * b, -1.5), 1.5)),
  };
  rows.push_back(BINARY("map", map(Gate{}, a, b), (Range{-2, 2}), (Range{-2, 2}), 3, a / (1 + std::exp(-(b * a)))));
  for (Case& c : rows)
    if (c.name == "numbers_for")
      c.name = "nan_to_num";
    else if (c.name == "operator+")
      c.large = {{1200, 700}, {700}};  // its gradient only sums
  // A negation is exact; comparisons and logic give bools, which count as 0 and 1 here.
  rows.push_back(UNARY(-, (Range{-2, 2}), 3, -x));
  rows.back().name = "operator-: unary";
  const auto comparison = [](const char* name, Tensor<double> (*f64)(const Doubles&), Tensor<float> (*f32)(const Floats&),
                             double (*scalar)(const double*)) {
    Case c;
    c.name = name;
    c.shapes = kBinary;
    c.f64 = f64;
    c.f32 = f32;
    c.scalar = scalar;
    c.order = 0;
    c.pointwise = true;
    c.large = {{300, 301}, {301}};
    return c;
  };
#define COMPARISON(title, expr)                                                                                    \
  comparison(                                                                                                      \
      title, [](const Doubles& v) { const auto &a = v[0], &b = v[1]; return cast<double>(expr); },                  \
      [](const Floats& v) { const auto &a = v[0], &b = v[1]; return cast<float>(expr); },                           \
      [](const double* at) { const double a = at[0], b = at[1]; return double(expr); })
  rows.push_back(COMPARISON("operator==", a == b));
  rows.push_back(COMPARISON("operator!=", a != b));
  rows.push_back(COMPARISON("operator<", a < b));
  rows.push_back(COMPARISON("operator<=", a <= b));
  rows.push_back(COMPARISON("operator>", a > b));
  rows.push_back(COMPARISON("operator>=", a >= b));
  const auto logic = [&](const char* name, auto f64, auto f32, double (*scalar)(const double*)) {
    rows.push_back(comparison(name, f64, f32, scalar));
  };
  logic(
      "logical_and", [](const Doubles& v) { return cast<double>(logical_and(v[0] > 0, v[1] > 0)); },
      [](const Floats& v) { return cast<float>(logical_and(v[0] > 0, v[1] > 0)); },
      [](const double* at) { return double(at[0] > 0 && at[1] > 0); });
  logic(
      "logical_or", [](const Doubles& v) { return cast<double>(logical_or(v[0] > 0, v[1] > 0)); },
      [](const Floats& v) { return cast<float>(logical_or(v[0] > 0, v[1] > 0)); },
      [](const double* at) { return double(at[0] > 0 || at[1] > 0); });
  logic(
      "logical_xor", [](const Doubles& v) { return cast<double>(logical_xor(v[0] > 0, v[1] > 0)); },
      [](const Floats& v) { return cast<float>(logical_xor(v[0] > 0, v[1] > 0)); },
      [](const double* at) { return double((at[0] > 0) != (at[1] > 0)); });
  logic(
      "logical_not", [](const Doubles& v) { return cast<double>(logical_not(v[0] > v[1])); },
      [](const Floats& v) { return cast<float>(logical_not(v[0] > v[1])); },
      [](const double* at) { return double(!(at[0] > at[1])); });
  const auto of_one = [&](const char* name, auto f64, auto f32, double (*scalar)(const double*)) {
    rows.push_back(comparison(name, f64, f32, scalar));
    rows.back().shapes = kUnary;
    rows.back().large = {{300, 301}};
  };
  of_one(
      "isnan", [](const Doubles& v) { return cast<double>(isnan(v[0])); },
      [](const Floats& v) { return cast<float>(isnan(v[0])); },
      [](const double* at) { return double(std::isnan(at[0])); });
  of_one(
      "isinf", [](const Doubles& v) { return cast<double>(isinf(v[0])); },
      [](const Floats& v) { return cast<float>(isinf(v[0])); },
      [](const double* at) { return double(std::isinf(at[0])); });
  of_one(
      "isfinite", [](const Doubles& v) { return cast<double>(isfinite(v[0])); },
      [](const Floats& v) { return cast<float>(isfinite(v[0])); },
      [](const double* at) { return double(std::isfinite(at[0])); });
  return rows;
}

}  // namespace cases
