// The same work in units of different -m flags. The linker keeps one of their copies of each inline function, whichever
// comes first, so the results must be the same bits in every order of linking.
#pragma once

#include <ergo/core/tensor.hpp>

#include <ergo/autograd/transforms.hpp>
#include <ergo/ops/arithmetic.hpp>
#include <ergo/ops/matmul.hpp>
#include <ergo/ops/movement.hpp>
#include <ergo/ops/reduction.hpp>
#include <ergo/ops/trigonometric.hpp>

#include <vector>

inline std::vector<float> work() {
  const auto x = ergo::reshape(ergo::linspace<float>(-3, 3, 37 * 41), {37, 41});
  const auto loss = [&](const auto& w) { return ergo::sum(ergo::tanh(ergo::matmul(x, w)) * 0.37f); };
  const auto w = ergo::reshape(ergo::linspace<float>(-1, 1, 41 * 19), {41, 19});
  return ergo::grad(loss)(w).to_vector();
}
