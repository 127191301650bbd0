// label: simt
// Optimisers, moving averages and clipping on a CUDA device: the CPU's numbers, launches and copies counted, memory,
// errors, failing allocations.
#include <doctest/doctest.h>

#include "ergo/autograd/tree_algebra.hpp"
#include "ergo/core/compare.hpp"
#include "ergo/cuda/graph.hpp"
#include "ergo/optim/adam.hpp"
#include "ergo/optim/clip.hpp"
#include "ergo/optim/ema.hpp"
#include "ergo/optim/sgd.hpp"
#include "support/fresh.hpp"
#include "support/message.hpp"
#if defined(ERGO_EMULATED)
#include "simt/control.hpp"
#endif

namespace cuda_optim_test {

using namespace ergo;

namespace {

constexpr Device kDevice = Device::cuda(0);

// Leaves of two dtypes, one of more than a chunk, an empty one.
struct Net {
  Tensor<float> weight;
  std::vector<Tensor<float>> rest;
  std::optional<Tensor<bfloat16>> scale;
  Tensor<std::int32_t> permutation;
  ERGO_FIELDS(Net, weight, rest, scale, permutation)
};
Net random_net(Fresh& fresh) {
  return {fresh.tensor<float>({97, 101}),
          {fresh.tensor<float>({5}), fresh.tensor<float>({0, 3}), fresh.tensor<float>({})},
          fresh.tensor<bfloat16>({7}),
          arange<std::int32_t>(3)};
}
template <class A>
std::vector<double> elements(const A& a) {
  std::vector<double> v;
  tree::for_each(
      [&](const auto& x) {
        for (auto e : x.to_vector()) v.push_back(double(e));
      },
      a);
  return v;
}
std::int64_t live_bytes() { return memory_info(kDevice).live; }

// The most |a - b| / (1 + |b|).
double furthest(const std::vector<double>& a, const std::vector<double>& b) {
  double worst = a.size() == b.size() ? 0 : 1e9;
  for (std::size_t i = 0; i < a.size() && i < b.size(); ++i)
    worst = std::max(worst, std::abs(a[i] - b[i]) / (1 + std::abs(b[i])));
  return worst;
}
template <class A>
double distance(const A& a, const A& b) {
  double worst = 0;
  tree::zip(
      [&]<class T>(const Tensor<T>& x, const Tensor<T>& y) {
        const double unit = sizeof(T) == 2 ? 0x1p-7 : 0x1p-23;
        worst = std::max(worst, furthest(elements(x), elements(y)) / unit);
      },
      a, b);
  return worst;
}

// Four steps on the device beside four on the CPU. They may differ by some roundings: the device fuses sums of
// products, and the CPU does where its instructions can.
template <class Opt>
void compare(const Opt& given, const Net& start, Fresh& fresh) {
  Opt here = given, there = tree::to(given, kDevice);
  Net model = start, moved = tree::to(start, kDevice);
  for (int t = 0; t < 4; ++t) {
    const Net g = random_net(fresh);
    here.step(model, g);
    there.step(moved, tree::to(g, kDevice));
  }
  CHECK(distance(moved, model) < 4);
  CHECK(distance(there, here) < 4);
  CHECK(there.steps.item() == 4);
  CHECK(there.steps.device() == Device::cpu());
  CHECK(moved.weight.device() == kDevice);
}

}  // namespace

TEST_CASE("steps on a device are the CPU's") {
  Fresh fresh(1);
  const Net m = random_net(fresh);
  compare(optim::Sgd{m, {.lr = 0.125, .weight_decay = 0.25}}, m, fresh);
  compare(optim::Sgd{m, {.lr = 0.125, .momentum = 0.75, .nesterov = true, .weight_decay = 0.25}}, m, fresh);
  compare(optim::Adam{m, {.lr = 0.0625, .weight_decay = 0.5}}, m, fresh);
  compare(optim::AdamW{m, {.lr = 0.0625, .weight_decay = 0.5}}, m, fresh);
}

TEST_CASE("a moving average on a device") {
  Fresh fresh(2);
  Net model = random_net(fresh);
  optim::Ema here{model, 0.75}, there{tree::to(model, kDevice), 0.75};
  for (int i = 0; i < 3; ++i) {
    model = random_net(fresh);
    here.update(model);
    there.update(tree::to(model, kDevice));
  }
  CHECK(distance(there.average, here.average) < 2);
}

TEST_CASE("clipping on a device") {
  Fresh fresh(3);
  const Net g = random_net(fresh), moved = tree::to(g, kDevice);
  for (const double most : {0.5, 1e6}) {
    const auto [here, norm] = optim::clip_by_global_norm(g, most);
    const auto [there, length] = optim::clip_by_global_norm(moved, most);
    CHECK(length.device() == kDevice);
    CHECK(length.shape() == Shape{});
    CHECK(length.item() == doctest::Approx(norm.item()).epsilon(1e-6));
    CHECK(allclose(there.weight.cpu(), here.weight, {.rtol = 1e-6, .atol = 0}));
    CHECK(allclose(there.scale->cpu(), *here.scale, {.rtol = 0.01, .atol = 0}));
    CHECK(there.permutation.cpu().to_vector() == std::vector<std::int32_t>{0, 1, 2});
    if (most > 1) CHECK(array_equal(there.weight.cpu(), g.weight));
    CHECK(elements(moved) == elements(g));
  }
  CHECK(tree::norm(moved).item() == doctest::Approx(tree::norm(g).item()).epsilon(1e-6));
  const auto in_doubles = std::pair{tensor<double>({3e200}).to(kDevice), tensor<float>({0, 3e-30f}).to(kDevice)};
  CHECK(optim::clip_by_global_norm(in_doubles, 1).second.item() == doctest::Approx(3e200));
  const auto bad = optim::clip_by_global_norm(tensor<float>({HUGE_VALF, 1}).to(kDevice), 1);
  for (const float x : bad.first.to_vector()) CHECK(x != x);
  CHECK(tree::norm(zeros<float>({0}).to(kDevice)).item() == 0);
}

TEST_CASE("a captured step that clips its gradient") {
  Fresh fresh(8);
  Net model = tree::to(random_net(fresh), kDevice), eager = model;
  optim::Sgd opt{model, {.lr = 0.5}}, eager_opt = opt;
  const Net g = tree::to(random_net(fresh), kDevice);
  const auto work = [](Net& m, auto& o, const Net& gradient) {
    auto [clipped, norm] = optim::clip_by_global_norm(gradient, 1);
    o.step(m, clipped);
    return norm;
  };
  auto step = cuda::capture([&] { return work(model, opt, g); });
  (void)work(eager, eager_opt, g);
  for (int t = 0; t < 3; ++t) {
    cuda::refill(g.weight, fresh.tensor<float>({97, 101}));
    CHECK(step().item() == work(eager, eager_opt, g).item());
    CHECK(elements(model) == elements(eager));
  }
}

#if defined(ERGO_EMULATED)
TEST_CASE("a step is a launch a dtype, and nothing travels once addresses stay") {
  Fresh fresh(4);
  Net model = tree::to(random_net(fresh), kDevice);
  const Net g = tree::to(random_net(fresh), kDevice);
  optim::Adam opt{model};
  opt.step(model, g);
  const void* place = model.weight.array().data;
  for (int round = 0; round < 2; ++round) {
    simt::reset_counters();
    opt.step(model, g);
    const simt::Counters c = simt::counters();
    CHECK(c.launches == 2);
    CHECK(c.host_waits == 0);
    CHECK(c.copies_to_host == 0);
    CHECK(c.copies_to_device <= (round ? 0 : 2));
  }
  CHECK(model.weight.array().data == place);
  // A gradient elsewhere: its lists travel, one a dtype; the chunks stay.
  const Net other = tree::to(random_net(fresh), kDevice);
  simt::reset_counters();
  opt.step(model, other);
  CHECK(simt::counters().copies_to_device == 2);
  opt.step(model, g);
  CHECK(simt::counters().copies_to_device == 2);

  (void)optim::clip_by_global_norm(g, 1);
  simt::reset_counters();
  (void)tree::norm(g);
  CHECK(simt::counters().launches == 3);  // two dtypes, and the norm
  (void)optim::clip_by_global_norm(g, 1);
  CHECK(simt::counters().launches == 7);  // two more a dtype
  CHECK(simt::counters().host_waits == 0);
  CHECK(simt::counters().copies_to_host == 0);
}
#endif

TEST_CASE("in place exactly where the memory is the model's own; nothing stays behind") {
  Fresh fresh(5);
  const std::int64_t before = live_bytes();
  {
    Net model = tree::to(random_net(fresh), kDevice);
    const Net g = tree::to(random_net(fresh), kDevice), copy = model;
    const auto was = elements(copy);
    optim::Adam opt{model};
    opt.step(model, g);
    CHECK(elements(copy) == was);
    CHECK(elements(model) != was);
    const void* place = model.weight.array().data;
    CHECK(place != copy.weight.array().data);
    opt.step(model, g);
    CHECK(model.weight.array().data == place);
    const auto saved = opt;
    const auto means = elements(saved.first);
    opt.step(model, g);
    CHECK(elements(saved.first) == means);
    // A gradient that is a view.
    Tensor<float> p = fresh.tensor<float>({4, 3}), q = p.to(kDevice);
    const Tensor<float> whole = fresh.tensor<float>({2, 4, 3});
    optim::Sgd on_cpu{p, {.lr = 0.5}}, on_device{q, {.lr = 0.5}};
    on_cpu.step(p, whole[1]);
    on_device.step(q, whole.to(kDevice)[1]);
    CHECK(array_equal(q.cpu(), p));
  }
  CHECK(live_bytes() == before);
}

TEST_CASE("a step that throws changes nothing") {
  Fresh fresh(6);
  Net model = tree::to(random_net(fresh), kDevice);
  const Net copy = model, g = tree::to(random_net(fresh), kDevice);  // shared, so every leaf needs fresh memory
  optim::Adam opt{model};
  const auto before = elements(model);
  for (std::int64_t k = 1;; ++k) {
    const std::int64_t held = live_bytes();
    detail::local_cache.fail_in = k;
    bool failed = false;
    try {
      opt.step(model, g);
    } catch (const OutOfMemory&) { failed = true; }
    detail::local_cache.fail_in = 0;
    if (!failed) {
      CHECK(k > 12);
      break;
    }
    CHECK(live_bytes() <= held + 2048);  // lists that were made may stay
    CHECK(elements(model) == before);
    CHECK(elements(opt.first) == std::vector<double>(before.size(), 0));
    CHECK(opt.steps.item() == 0);
  }
  CHECK(elements(copy) == before);
  CHECK(elements(model) != before);
}

#if defined(ERGO_EMULATED)
TEST_CASE("leaves on several devices are named") {
  Fresh fresh(7);
  Net model = tree::to(random_net(fresh), kDevice), g = tree::to(random_net(fresh), kDevice);
  optim::Sgd opt{model};
  optim::Adam adam{model};
  const auto before = elements(model);
  g.rest[2] = g.rest[2].cpu();
  CHECK(message_of([&] { opt.step(model, g); }) == "[sgd] rest.2: gradient on cpu for a parameter on cuda:0");
  g.rest[2] = g.rest[2].to(kDevice);
  model.rest[0] = model.rest[0].to(Device::cuda(1));
  CHECK(message_of([&] { opt.step(model, g); }) ==
        "[sgd] rest.0: on cuda:1, where a step works on cuda:0: tree::to(tree, device)");
  model.rest[0] = model.rest[0].to(kDevice);
  adam.first.weight = adam.first.weight.cpu();
  CHECK(message_of([&] { adam.step(model, g); }) ==
        "[adam] weight: on cpu, where a step works on cuda:0: tree::to(tree, device)");
  CHECK(elements(model) == before);
}
#endif

TEST_CASE("step numbers stay on the CPU under any default device") {
  const DeviceScope scope(kDevice);
  Tensor<float> p = ones<float>({3});
  CHECK(p.device() == kDevice);
  optim::Adam opt{p};
  CHECK(opt.steps.device() == Device::cpu());
  opt.step(p, ones<float>({3}));
  CHECK(opt.steps.device() == Device::cpu());
  CHECK(opt.steps.item() == 1);
}

}  // namespace cuda_optim_test
