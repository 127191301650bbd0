// Operations of several steps on 16-bit operands compute in float and round once.
#include <cstdint>

#include <doctest/doctest.h>

#include "ergo/ops/comparison.hpp"
#include "ergo/ops/einsum.hpp"
#include "ergo/ops/matmul.hpp"
#include "ergo/ops/random.hpp"
#include "ergo/ops/reduction.hpp"
#include "support/seed.hpp"

namespace ops_sixteen_bits_test {

using namespace ergo;

namespace {

// The share of elements that are not `exact` rounded to T; float sums may fall to the other side of a tie.
template <class T>
double unequal(const Tensor<T>& y, const Tensor<double>& exact) {
  return mean(cast<double>(y != cast<T>(exact))).item();
}

}  // namespace

TEST_CASE_TEMPLATE("a dense layer with its activation, a product of three matrices", T, half, bfloat16) {
  const auto keys = split(Key{test_seed()}, 3);
  const auto x = normal<T>(keys[0], {40, 64}), w = normal<T>(keys[1], {64, 32}), b = normal<T>(keys[2], {32});
  const auto wide = [](const Tensor<T>& a) { return cast<double>(a); };
  for (const Activation a : {Activation::relu, Activation::tanh, Activation::gelu, Activation::silu}) {
    CHECK(unequal(linear(x, w, b, {.activation = a}), linear(wide(x), wide(w), wide(b), {.activation = a})) < 0.02);
    CHECK(unequal(linear(x, w, {.activation = a}), linear(wide(x), wide(w), {.activation = a})) < 0.02);
  }
  const auto spec = "ij,kj,kl->il";
  CHECK(unequal(einsum(spec, x, x, x), einsum(spec, wide(x), wide(x), wide(x))) < 0.02);
}

}  // namespace ops_sixteen_bits_test
