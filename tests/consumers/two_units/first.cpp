#include <ergo/ergo.hpp>

#include <cstdio>

ergo::Tensor<double> second(const ergo::Tensor<double>& x);

int main() {
  const auto x = ergo::linspace<double>(-2, 2, 101);
  const auto here = ergo::grad([](const auto& v) { return ergo::sum(ergo::exp(v) * v); })(x);
  if (!ergo::array_equal(here, second(x))) return 1;
  std::puts("both units agree");
}
