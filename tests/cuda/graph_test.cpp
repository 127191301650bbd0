// label: simt
// Captured functions: a training step that replays as the eager one bit for bit, memory of the graph and of others,
// optimisers that move and end, what a capture refuses.
#include "ergo/cuda/graph.hpp"

#include <pthread.h>

#include <doctest/doctest.h>

#include "ergo/autograd/transforms.hpp"
#include "ergo/core/compare.hpp"
#include "ergo/nn/linear.hpp"
#include "ergo/ops/loss.hpp"
#include "ergo/optim/adam.hpp"
#include "ergo/optim/ema.hpp"
#include "ergo/optim/sgd.hpp"
#include "support/fresh.hpp"
#include "support/message.hpp"
#if defined(ERGO_EMULATED)
#include "simt/control.hpp"
#endif

namespace cuda_graph_test {

using namespace ergo;

namespace {

constexpr Device kDevice = Device::cuda(0);
std::int64_t live_bytes() { return memory_info(kDevice).live; }

struct Net {
  nn::Linear<float> hidden, out;
  ERGO_FIELDS(Net, hidden, out)
  Tensor<float> operator()(const Tensor<float>& x) const { return out(tanh(hidden(x))); }
};
Net random_net(Fresh& fresh) {
  return tree::to(Net{{fresh.tensor<float>({5, 7}), fresh.tensor<float>({7})},
                      {fresh.tensor<float>({7, 3}), fresh.tensor<float>({3})}},
                  kDevice);
}
template <class A>
std::vector<float> elements(const A& a) {
  std::vector<float> v;
  tree::for_each(
      [&](const auto& x) {
        for (auto e : x.to_vector()) v.push_back(float(e));
      },
      a);
  return v;
}
// One step of training; the loss.
template <class Opt>
Tensor<float> train(Net& model, Opt& opt, const Tensor<float>& x, const Tensor<float>& y) {
  const auto [loss, gradient] = value_and_grad(
      [](const Net& m, const Tensor<float>& in, const Tensor<float>& to) { return mse(m(in), to); })(model, x, y);
  opt.step(model, gradient);
  return loss;
}
// `steps` of training by replays beside eager ones: new batches, a new learning rate each time.
template <class Opt>
void compare(const Opt& start, const Net& given, Fresh& fresh, int steps) {
  Net model = given, eager = given;
  Opt opt = start, eager_opt = start;
  const Tensor<float> x = zeros<float>({4, 5}, kDevice), y = zeros<float>({4, 3}, kDevice);
  Tensor<float> in = fresh.tensor<float>({4, 5}), to = fresh.tensor<float>({4, 3});
  cuda::refill(x, in);
  cuda::refill(y, to);
  auto step = cuda::capture([&] { return train(model, opt, x, y); });
  (void)train(eager, eager_opt, in.to(kDevice), to.to(kDevice));
  CHECK(elements(model) == elements(eager));
  CHECK(opt.steps.item() == 1);
  for (int t = 1; t < steps; ++t) {
    in = fresh.tensor<float>({4, 5});
    to = fresh.tensor<float>({4, 3});
    opt.options.lr = eager_opt.options.lr = 0.05 / t;
    cuda::refill(x, in);
    cuda::refill(y, to);
    const Tensor<float>& loss = step();
    const Tensor<float> same = train(eager, eager_opt, in.to(kDevice), to.to(kDevice));
    CHECK(loss.item() == same.item());
    if (t % 10 == 0) release_cached_memory();
  }
  CHECK(elements(model) == elements(eager));
  CHECK(elements(opt) == elements(eager_opt));
  CHECK(opt.steps.item() == steps);
  // An eager step goes on where the replays were, and they after it.
  for (int round = 0; round < 2; ++round) {
    (void)train(eager, eager_opt, in.to(kDevice), to.to(kDevice));
    if (round == 0)
      (void)train(model, opt, x, y);
    else
      step();
    CHECK(elements(model) == elements(eager));
  }
}

}  // namespace

TEST_CASE("a captured step of training replays as the eager one, bit for bit") {
  CAPTURE(test_seed());
  Fresh fresh(1);
  const std::int64_t before = live_bytes();
  {
    const Net net = random_net(fresh);
    compare(optim::Adam{net, {.lr = 0.05, .weight_decay = 0.01}}, net, fresh, 100);
    compare(optim::AdamW{net}, net, fresh, 5);
    compare(optim::Sgd{net, {.lr = 0.1, .momentum = 0.9}}, net, fresh, 5);
    compare(optim::Sgd{net}, net, fresh, 5);
  }
  CHECK(live_bytes() == before);
}

TEST_CASE("a function without a result, of two steps and a moving average") {
  Fresh fresh(2);
  Net model = random_net(fresh), eager = model;
  optim::Adam opt{model}, eager_opt = opt;
  optim::Ema ema{model, 0.75}, eager_ema = ema;
  const Tensor<float> x = fresh.tensor<float>({4, 5}).to(kDevice), y = fresh.tensor<float>({4, 3}).to(kDevice);
  const auto work = [&](Net& m, auto& o, auto& e) {
    (void)train(m, o, x, y);
    (void)train(m, o, x, y);
    e.update(m);
  };
  auto step = cuda::capture([&] { work(model, opt, ema); });
  static_assert(std::is_void_v<decltype(step())>);
  for (int t = 0; t < 4; ++t) {
    if (t == 2) ema.decay = eager_ema.decay = 0.5;
    if (t) step();
    work(eager, eager_opt, eager_ema);
    CHECK(elements(model) == elements(eager));
    CHECK(elements(ema.average) == elements(eager_ema.average));
    CHECK(opt.steps.item() == 2 * t + 2);
  }
}

#if defined(ERGO_EMULATED)
TEST_CASE("a replay is one launch of a graph and one of each rule; nothing is copied, nobody waits") {
  Fresh fresh(3);
  Net model = random_net(fresh);
  optim::Adam opt{model};
  const Tensor<float> x = fresh.tensor<float>({4, 5}).to(kDevice), y = fresh.tensor<float>({4, 3}).to(kDevice);
  auto step = cuda::capture([&] { return train(model, opt, x, y); });
  step();
  simt::reset_counters();
  for (int t = 0; t < 3; ++t) step();
  const simt::Counters c = simt::counters();
  CHECK(c.graph_launches == 3);
  CHECK(c.host_waits == 0);
  CHECK(c.copies_to_device == 0);
  CHECK(c.copies_to_host == 0);
  CHECK(c.allocations == 0);
}
#endif

TEST_CASE("memory that a graph works on stays, whoever lets it go") {
  const std::int64_t before = live_bytes();
  {
    std::optional<Tensor<float>> x = ones<float>({1000}, kDevice);
    const Tensor<float> sum = zeros<float>({1000}, kDevice);
    auto step = cuda::capture([&] {
      const Tensor<float> twice = *x + *x;
      return twice * twice + sum;
    });
    x.reset();
    CHECK(step().to_vector() == std::vector<float>(1000, 4));
    std::vector<Tensor<float>> others;  // they would get its block
    for (int i = 0; i < 4; ++i) others.push_back(full<float>({1000}, 9, kDevice));
    release_cached_memory();
    CHECK(step().to_vector() == std::vector<float>(1000, 4));
    cuda::refill(sum, ones<float>({1000}));
    const Tensor<float> y = step();
    CHECK(y.to_vector() == std::vector<float>(1000, 5));
    auto moved = std::move(step);
    cuda::refill(sum, full<float>({1000}, 2));
    CHECK(moved().to_vector() == std::vector<float>(1000, 6));
    CHECK(y.to_vector() == std::vector<float>(1000, 6));  // the result is one and the same
    step = cuda::capture([&] { return sum + sum; });
    moved = std::move(step);
    CHECK(moved().to_vector() == std::vector<float>(1000, 4));
    CHECK(y.to_vector() == std::vector<float>(1000, 6));
  }
  CHECK(live_bytes() == before);
}

TEST_CASE("threads replay a graph in turn") {
  Tensor<float> x = ones<float>({100}, kDevice);
  const Tensor<float> sum = zeros<float>({100}, kDevice);
  auto step = cuda::capture([&] { cuda::refill(sum, sum + x); });
  struct Replays {
    decltype(step)& graph;
    const Tensor<float>& x;
  } replays{step, x};
  for (int t = 0; t < 4; ++t) {
    pthread_t thread;
    REQUIRE(pthread_create(
                &thread, nullptr,
                [](void* p) -> void* {
                  const auto& r = *static_cast<Replays*>(p);
                  cuda::refill(r.x, full<float>({100}, 2));
                  r.graph();
                  return nullptr;
                },
                &replays) == 0);
    pthread_join(thread, nullptr);
    step();
    CHECK(sum.to_vector() == std::vector<float>(100, float(1 + 4 * (t + 1))));
  }
}

TEST_CASE("an optimiser may move, and its end is noticed") {
  Fresh fresh(4);
  Net model = random_net(fresh);
  const Tensor<float> x = fresh.tensor<float>({4, 5}).to(kDevice), y = fresh.tensor<float>({4, 3}).to(kDevice);
  auto opt = std::make_optional<optim::Adam<Net>>(model);
  auto step = cuda::capture([&] { return train(model, *opt, x, y); });
  optim::Adam<Net> there = std::move(*opt);
  opt.reset();
  step();
  CHECK(there.steps.item() == 2);
  const auto copy = there;
  step();
  CHECK(there.steps.item() == 3);
  CHECK(copy.steps.item() == 2);
  const auto was = elements(model);
  there.options.lr = -1;
  CHECK(message_of([&] { step(); }) == "[adam] lr -1 is not a finite number >= 0");
  CHECK(there.steps.item() == 3);
  CHECK(elements(model) == was);
  there.options.lr = 0.1;
  step();
  CHECK(there.steps.item() == 4);
  { const optim::Adam<Net> last = std::move(there); }
  CHECK(message_of([&] { step(); }) == "[adam] a captured step is replayed after the end of its optimiser");
}

TEST_CASE("what a capture refuses") {
  Fresh fresh(5);
  const Tensor<float> x = fresh.tensor<float>({3}).to(kDevice);
  const std::string read =
      " inside cuda::capture the host reads nothing, as no replay comes back here: return the tensor";
  const auto refused = [](auto f) { return message_of([&] { (void)cuda::capture(f); }); };
  CHECK(refused([&] { return sum(x).item(); }) == "[item]" + read);
  CHECK(refused([&] { return x.at({1}); }) == "[at]" + read);
  CHECK(refused([&] { return x.to_vector(); }) == "[to_vector]" + read);
  CHECK(refused([&] { return x.cpu(); }) == "[to]" + read);
  CHECK(refused([&] { return ones<float>({3}).to(kDevice); }) ==
        "[to] inside cuda::capture nothing is copied from the host, as no replay would read it again: "
        "cuda::refill before it");
  CHECK(refused([&] { synchronize(kDevice); }) == "[synchronize] inside cuda::capture there is nothing to wait for");
  CHECK(refused([&] { return cuda::capture([&] { return x + x; })(); }) ==
        "[capture] inside cuda::capture there is no other capture");
  // In the second run alone.
  int runs = 0;
  CHECK(refused([&] { return ++runs == 2 ? sum(x).item() : 0; }) == "[item]" + read);
  CHECK(runs == 2);
  Net model = random_net(fresh);
  optim::Sgd opt{model};
  std::vector<Net> kept;
  const Net g = random_net(fresh);
  CHECK(refused([&] {
          kept.push_back(model);
          opt.step(model, g);
        }) == "[sgd] hidden.weight: a captured step works in place, and somebody shares the memory, or the state's");
  CHECK(opt.steps.item() == 1);
  // All as before.
  CHECK((x + x).to_vector()[0] == 2 * x.to_vector()[0]);
  CHECK(cuda::capture([&] { return x + x; })().to_vector()[0] == 2 * x.to_vector()[0]);
  CHECK(message_of([&] { cuda::refill(x, ones<float>({2})); }) ==
        "[refill] (3,) x (2,): equal shapes, outside transforms, and row-major on a CUDA device to copy to");
}

#if defined(ERGO_EMULATED)
TEST_CASE("one device") {
  const Tensor<float> x = ones<float>({3}, kDevice), there = ones<float>({3}, Device::cuda(1));
  CHECK(message_of([&] { (void)cuda::capture([&] { return there + there; }); }) ==
        "[capture] a captured function works on one device, cuda:0, and comes to cuda:1");
  CHECK(cuda::capture([&] { return there + there; }, Device::cuda(1))().to_vector() == std::vector<float>(3, 2));
}

// A block that only the second run needs, and failing allocations.
TEST_CASE("runs that differ, and memory that ends") {
  const std::int64_t before = live_bytes();
  {
    const Tensor<float> x = ones<float>({300}, kDevice);
    int runs = 0;
    auto step = cuda::capture([&] { return ++runs == 2 ? (x + x) * (x + x) * x : x + x; });
    CHECK(step().to_vector() == std::vector<float>(300, 4));
  }
  {
    Fresh fresh(6);
    Net model = random_net(fresh);
    optim::Adam opt{model};
    const Tensor<float> x = fresh.tensor<float>({4, 5}).to(kDevice), y = fresh.tensor<float>({4, 3}).to(kDevice);
    for (std::int64_t k = 20;; k += 60) {
      detail::local_cache.fail_in = k;
      bool failed = false;
      try {
        auto step = cuda::capture([&] { return train(model, opt, x, y); });
      } catch (const OutOfMemory&) { failed = true; }
      detail::local_cache.fail_in = 0;
      if (!failed) break;
    }
    auto step = cuda::capture([&] { return train(model, opt, x, y); });
    CHECK(step().item() > 0);
  }
  CHECK(live_bytes() == before);
}
#endif

}  // namespace cuda_graph_test
