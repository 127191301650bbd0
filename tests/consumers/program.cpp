// A first program, on the umbrella header: a tensor, its text, a gradient.
#include <ergo/ergo.hpp>

#include <iostream>

int main() {
  const ergo::Tensor<float> x = ergo::tensor<float>({{1, 2}, {3, 4}});
  const auto gradient = ergo::grad([](const auto& v) { return ergo::sum(v * v); })(x);
  std::cout << ergo::to_string(x) << '\n' << ergo::to_string(gradient) << '\n';
  return ergo::array_equal(gradient, 2 * x) ? 0 : 1;
}
