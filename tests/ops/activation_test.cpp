// Activations far out: the limits of values and derivatives, where infinity meets zero.
#include "ergo/ops/activation.hpp"

#include <cmath>
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

TEST_CASE("log_add_exp keeps the tails of its second and third derivatives") {
  const auto f = [](const auto& t) { return log_add_exp(t, 0); };
  for (const double at : {-700.0, -100.0, -20.0, 0.0, 20.0, 100.0, 700.0}) {
    const Tensor<double> x(at);
    const double e = std::exp(-std::fabs(at)), second = e / ((1 + e) * (1 + e));
    CHECK(grad(grad(f))(x).item() == doctest::Approx(second).epsilon(1e-13).scale(0));
    CHECK(grad(grad(grad(f)))(x).item() ==
          doctest::Approx((at < 0 ? 1 : -1) * second * (1 - e) / (1 + e)).epsilon(1e-13).scale(second));
  }
  CHECK(grad(grad(f))(Tensor<float>(-90.0f)).item() == doctest::Approx(8.194e-40).epsilon(1e-3).scale(0));
  CHECK(grad(grad(f))(Tensor<float>(90.0f)).item() == doctest::Approx(8.194e-40).epsilon(1e-3).scale(0));
}

}  // namespace ops_activation_test
