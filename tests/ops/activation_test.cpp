// Activations far out: the limits of values and derivatives, where infinity meets zero.
#include "ergo/ops/activation.hpp"

#include <limits>

#include <doctest/doctest.h>

#include "ergo/autograd/transforms.hpp"
#include "ergo/ops/reduction.hpp"

namespace ops_activation_test {

using namespace ergo;

namespace {

// First and second derivatives of f at -infinity, -1e30, 1e30, infinity.
template <class T, class F>
void check_limits(const char* name, F f, T below, T above) {
  CAPTURE(name);
  const T far = std::numeric_limits<T>::infinity();
  const auto x = tensor<T>({-far, T(-1e30), T(1e30), far});
  const auto first = grad([f](const auto& z) { return sum(f(z)); });
  const auto second = grad([first](const auto& z) { return sum(first(z)); });
  CHECK(first(x).to_vector() == std::vector<T>{below, below, above, above});
  CHECK(second(x).to_vector() == std::vector<T>{0, 0, 0, 0});
}

}  // namespace

TEST_CASE_TEMPLATE("derivatives at infinity are the limits", T, float, double) {
  check_limits<T>("sigmoid", [](const auto& x) { return sigmoid(x); }, 0, 0);
  check_limits<T>("tanh", [](const auto& x) { return tanh(x); }, 0, 0);
  check_limits<T>("relu", [](const auto& x) { return relu(x); }, 0, 1);
  check_limits<T>("gelu", [](const auto& x) { return gelu(x); }, 0, 1);
  check_limits<T>("gelu_tanh", [](const auto& x) { return gelu_tanh(x); }, 0, 1);
  check_limits<T>("silu", [](const auto& x) { return silu(x); }, 0, 1);
  check_limits<T>("softplus", [](const auto& x) { return softplus(x); }, 0, 1);
  check_limits<T>("log_sigmoid", [](const auto& x) { return log_sigmoid(x); }, 1, 0);
  check_limits<T>("elu", [](const auto& x) { return elu(x); }, 0, 1);
}

}  // namespace ops_activation_test
