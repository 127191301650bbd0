// label: simt
// Pointwise operations on a CUDA device: the same values as on the CPU for every layout, first and second derivatives,
// one launch each, no copy to the host and no wait.
#include <random>
#include <vector>

#include <doctest/doctest.h>

#include "cuda/unary.hpp"
#include "ergo/autograd/map.hpp"
#include "ergo/autograd/transforms.hpp"
#include "ergo/core/compare.hpp"
#include "ergo/cuda/backend.hpp"
#include "ergo/ops/activation.hpp"
#include "ergo/ops/comparison.hpp"
#include "ergo/ops/logic.hpp"
#include "ergo/ops/movement.hpp"
#include "ergo/ops/rounding.hpp"
#include "ergo/ops/trigonometric.hpp"
#include "support/message.hpp"
#include "support/seed.hpp"
#if defined(ERGO_EMULATED)
#include "simt/control.hpp"
#endif

namespace cuda_pointwise_test {

using ergo::Device;
using ergo::Shape;
using ergo::Tensor;

using test::kDevice, test::sample, test::distance;

// Some of each kind; all others are in unary_test.cpp, which nvcc does not compile for a GPU that is not here.
TEST_CASE("unary operations and their gradients") {
  using T = float;
  ERGO_CASE(exp, -5, 5);
  ERGO_CASE(sqrt, 0.1, 10);
  ERGO_CASE(sin, -3, 3);
  ERGO_CASE(tanh, -3, 3);
  ERGO_CASE(relu, -3, 3);
  ERGO_CASE(erf, -2, 2);
  ERGO_CASE(floor, -9, 9);
  ERGO_CASE(softplus, -3, 3);
}
// Computed in float: what is rounded once shows in a few.
TEST_CASE("unary operations and their gradients in 16 bits") {
  using T = ergo::bfloat16;
  ERGO_CASE(log1p, -0.5, 10);
  ERGO_CASE(tanh, -3, 3);
}

TEST_CASE("broadcasting, views, numbers, masks: the bits of the CPU") {
  std::mt19937_64 random(test_seed());
  const Tensor<float> a = sample<float>({6, 8, 20}, -1, 1, random), row = sample<float>({20}, -1, 1, random),
                      column = sample<float>({8, 1}, -1, 1, random), odd = sample<float>({5, 7}, -1, 1, random);
  const auto same = [](const auto& f, const auto&... x) {
    const auto here = f(x...);
    const auto there = f(x.to(kDevice)...);
    CHECK(there.device() == kDevice);
    CHECK(ergo::array_equal(there.cpu(), here));
  };
  const auto add = [](const auto& x, const auto& y) { return x + y; };
  same(add, a, row);
  same(add, row, a);
  same(add, a, column);
  same(add, column, row);
  same(add, odd, odd[2]);
  same(add, odd[1], odd[3]);
  same([](const auto& x) { return 2 * x - 1; }, odd);
  same([](const auto& x) { return ergo::transpose(x) + ergo::transpose(x); }, odd);
  same([](const auto& x) { return ergo::permute(x, {2, 0, 1}) * 3; }, a);
  same([](const auto& x) { return x > 0; }, a);
  same([](const auto& x) { return ergo::logical_and(x > 0, x < 0.5); }, odd);
  same([](const auto& x, const auto& y) { return ergo::where(x > 0, x, y); }, a, row);
  same([](const auto& x) { return ergo::maximum(x, 0); }, a);
  same([](const auto& x) { return x * x; }, ergo::arange<std::int32_t>(1001));
  same([](const auto& x) { return -x; }, ergo::arange<std::int64_t>(77));
  same([](const auto& x) { return x + x; }, ergo::cast<std::uint8_t>(ergo::arange<std::int32_t>(256)));
}

#if defined(ERGO_EMULATED)
TEST_CASE("one launch for a value of any length, none for its copies; no wait") {
  const Tensor<float> x = ergo::ones<float>({1001}).to(kDevice), row = ergo::ones<float>({7}).to(kDevice);
  simt::reset_counters();
  const Tensor<float> y = ergo::exp(x);
  const Tensor<float> z = ergo::reshape(x, {143, 7}) + row;
  const simt::Counters c = simt::counters();
  CHECK(c.launches == 2);
  CHECK(c.copies_to_host + c.copies_to_device + c.copies_on_device == 0);
  CHECK(c.host_waits == 0);
}
#endif

TEST_CASE("a dying operand lends its memory") {
  const Tensor<float> x = ergo::ones<float>({1000}).to(kDevice);
  Tensor<float> y = ergo::exp(x);
  const void* memory = y.array().data;
  y = ergo::tanh(std::move(y));
  CHECK(y.array().data == memory);
}

TEST_CASE("operands on two devices; shapes that do not broadcast") {
  const Tensor<float> x = ergo::ones<float>({3}), there = x.to(kDevice);
  CHECK(message_of([&] { return x + there; }) == "[add] (3,) x (3,): operands on cpu and cuda:0: x.to(device) first");
  if (ergo::cuda::device_count() > 1)
    CHECK(message_of([&] { return there + x.to(Device::cuda(1)); }) ==
          "[add] (3,) x (3,): operands on cuda:0 and cuda:1: x.to(device) first");
  CHECK(message_of([&] { return there + ergo::ones<float>({2}).to(kDevice); }) ==
        "[add] (3,) x (2,): shapes do not broadcast");
}

struct Swish {
  template <class A>
  constexpr A operator()(A x, A b) const {
    return x / (A(1) + ergo::exp(-(b * x)));
  }
};

TEST_CASE("map to the third order") {
  using T = double;
  std::mt19937_64 random(test_seed());
  const Tensor<T> x = sample<T>({301}, -2, 2, random), b = sample<T>({301}, 0.5, 2, random);
  const auto third = [&](const Tensor<T>& at, const Tensor<T>& other) {
    const auto f = [&](const auto& t) { return ergo::map(Swish{}, t, other); };
    const auto slope = [](const auto& h) {
      return [h](const auto& t) {
        const auto one = ergo::ones_like(t);
        return ergo::jvp(h)(t, one).second;
      };
    };
    return std::vector{f(at), slope(f)(at), slope(slope(f))(at), slope(slope(slope(f)))(at)};
  };
  const auto here = third(x, b), there = third(x.to(kDevice), b.to(kDevice));
  for (std::size_t i = 0; i < here.size(); ++i) {
    CHECK(there[i].device() == kDevice);
    CHECK(distance(there[i].cpu(), here[i], 1) <= 64);
  }
}

}  // namespace cuda_pointwise_test
