// label: simt
// A network trained on a CUDA device: the same losses as on the CPU step by step, without a copy to the host, and with
// launches that do not depend on the batch.
#include <doctest/doctest.h>

#include <vector>

#include "ergo/autograd/transforms.hpp"
#include "ergo/cuda/backend.hpp"
#include "ergo/nn/layer_norm.hpp"
#include "ergo/nn/linear.hpp"
#include "ergo/ops/cross_entropy.hpp"
#include "ergo/optim/adam.hpp"
#include "ergo/ops/random.hpp"
#include "support/message.hpp"
#if defined(ERGO_EMULATED)
#include "simt/control.hpp"
#endif

namespace cuda_training_test {

using namespace ergo;

namespace {

struct Net {
  nn::Linear<float> first, second;
  nn::LayerNorm<float> norm;
  ERGO_FIELDS(Net, first, second, norm)
  Tensor<float> operator()(const Tensor<float>& x) const { return second(norm(gelu_tanh(first(x)))); }
};
Net make_net() {
  const Key keys = split(Key(5), 2);
  return {nn::linear(keys[0], 12, 24), nn::linear(keys[1], 24, 5), nn::layer_norm(24)};
}
constexpr auto loss = [](const Net& net, const Tensor<float>& x, const Tensor<std::int32_t>& labels) {
  return cross_entropy(net(x), labels);
};
std::vector<float> train(Device d, int steps) {
  const DeviceScope scope(d);
  Net net = make_net();
  optim::Adam<Net> adam{net, {.lr = 1e-2}};
  const auto x = normal(Key(1), {64, 12});
  const auto labels = randint<std::int32_t>(Key(2), {64}, 0, 5);
  std::vector<float> losses;
  for (int i = 0; i < steps; ++i) {
    const auto [value, gradient] = value_and_grad(loss)(net, x, labels);
    adam.step(net, gradient);
    losses.push_back(value.item());
  }
  return losses;
}

}  // namespace

TEST_CASE("losses follow those of the CPU") {
  const auto here = train(Device::cpu(), 20), there = train(Device::cuda(), 20);
  for (std::size_t i = 0; i < here.size(); ++i) {
    CAPTURE(i);
    CHECK(there[i] == doctest::Approx(here[i]).epsilon(1e-3));
  }
  CHECK(there.back() < 0.8f * there.front());
  CHECK(train(Device::cuda(), 20) == there);  // and repeat bit for bit
}

TEST_CASE("a label that names no class is told at the next wait") {
  const DeviceScope scope(Device::cuda());
  const auto logits = normal(Key(1), {4, 3});
  const auto labels = tensor<std::int32_t>({0, 2, 3, 1});
  const auto value = cross_entropy(logits, labels);
  const std::string text = message_of([&] { return value.item(); });
  CAPTURE(text);
  CHECK(text.find("[cross_entropy]") == 0);
  CHECK(text.find("3") != std::string::npos);
  CHECK(text.find("found on cuda:0") != std::string::npos);
  CHECK(cross_entropy(logits, tensor<std::int32_t>({0, 2, 2, 1})).item() > 0);
}

#if defined(ERGO_EMULATED)
TEST_CASE("a step asks the host for nothing") {
  const DeviceScope scope(Device::cuda());
  Net net = make_net();
  optim::Adam<Net> adam{net, {.lr = 1e-2}};
  const auto launches = [&](std::int64_t batch) {
    const auto x = normal(Key(1), {batch, 12});
    const auto labels = randint<std::int32_t>(Key(2), {batch}, 0, 5);
    for (int i = 0; i < 2; ++i) {
      simt::reset_counters();
      const auto gradient = grad(loss)(net, x, labels);
      adam.step(net, gradient);
    }
    const simt::Counters c = simt::counters();
    CHECK(c.copies_to_host == 0);
    CHECK(c.host_waits == 0);
    return c.launches + c.library_calls;
  };
  CHECK(launches(8) == launches(40));
}
#endif

}  // namespace cuda_training_test
