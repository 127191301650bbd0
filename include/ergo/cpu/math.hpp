// The elementary functions, of packs and of single numbers: the same formula, so that an element does not depend on
// whether it fell into a whole register. Accuracy in units of the last place, all of it measured in
// tests/cpu/math_test.cpp and logistic_test.cpp: float exp log tanh erf erfc within 1, ndtr within 3 (6 without fused
// multiply-adds), silu and gelu_tanh within 3.5 (the tail of gelu_tanh 200 without), all else within 2; special values
// as C defines them.
#pragma once

#include "ergo/cpu/math_basic.hpp"
#include "ergo/cpu/math_error.hpp"
#include "ergo/cpu/math_exp.hpp"
#include "ergo/cpu/math_inverse.hpp"
#include "ergo/cpu/math_log.hpp"
#include "ergo/cpu/math_logistic.hpp"
#include "ergo/cpu/math_power.hpp"
#include "ergo/cpu/math_trig.hpp"

namespace ergo::inline ERGO_BUILD::cpu {

#define ERGO_SCALAR(f)                                             \
  ERGO_INLINE float f(float x) { return f(Pack<float, 4>(x))[0]; } \
  ERGO_INLINE double f(double x) { return f(Pack<double, 2>(x))[0]; }
ERGO_SCALAR(abs)
ERGO_SCALAR(round)
ERGO_SCALAR(trunc)
ERGO_SCALAR(floor)
ERGO_SCALAR(ceil)
ERGO_SCALAR(sqrt)
ERGO_SCALAR(rsqrt)
ERGO_SCALAR(exp)
ERGO_SCALAR(exp2)
ERGO_SCALAR(expm1)
ERGO_SCALAR(sinh)
ERGO_SCALAR(cosh)
ERGO_SCALAR(tanh)
ERGO_SCALAR(log)
ERGO_SCALAR(log2)
ERGO_SCALAR(log10)
ERGO_SCALAR(log1p)
ERGO_SCALAR(cbrt)
ERGO_SCALAR(sin)
ERGO_SCALAR(cos)
ERGO_SCALAR(tan)
ERGO_SCALAR(asin)
ERGO_SCALAR(acos)
ERGO_SCALAR(atan)
ERGO_SCALAR(asinh)
ERGO_SCALAR(acosh)
ERGO_SCALAR(atanh)
ERGO_SCALAR(erf)
ERGO_SCALAR(erfc)
ERGO_SCALAR(ndtr)
ERGO_SCALAR(silu)
ERGO_SCALAR(gelu_tanh)
#undef ERGO_SCALAR

#define ERGO_SCALAR(f)                                                                         \
  ERGO_INLINE float f(float x, float y) { return f(Pack<float, 4>(x), Pack<float, 4>(y))[0]; } \
  ERGO_INLINE double f(double x, double y) { return f(Pack<double, 2>(x), Pack<double, 2>(y))[0]; }
ERGO_SCALAR(copysign)
ERGO_SCALAR(fmod)
ERGO_SCALAR(pow)
ERGO_SCALAR(atan2)
#undef ERGO_SCALAR

}  // namespace ergo::inline ERGO_BUILD::cpu
