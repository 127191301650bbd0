// label: simt
// Unary operations on a CUDA device: the same values and gradients as on the CPU. pointwise_test.cpp has the others.
#include "cuda/unary.hpp"
#include "ergo/ops/activation.hpp"
#include "ergo/ops/rounding.hpp"
#include "ergo/ops/trigonometric.hpp"

namespace cuda_unary_test {

TEST_CASE("unary operations and their gradients") {
  using T = float;
  ERGO_CASE(expm1, -2, 5);
  ERGO_CASE(log, 0.1, 10);
  ERGO_CASE(log1p, -0.5, 10);
  ERGO_CASE(rsqrt, 0.1, 10);
  ERGO_CASE(square, -3, 3);
  ERGO_CASE(abs, -3, 3);
  ERGO_CASE(sign, -3, 3);
  ERGO_CASE(cos, -3, 3);
  ERGO_CASE(sinh, -3, 3);
  ERGO_CASE(cosh, -3, 3);
  ERGO_CASE(sigmoid, -6, 6);
  ERGO_CASE(ceil, -9, 9);
  ERGO_CASE(round, -9, 9);
  ERGO_CASE(reciprocal, 0.1, 3);
  ERGO_CASE(silu, 0, 3);
  ERGO_CASE(gelu, 0, 3);
}

}  // namespace cuda_unary_test
