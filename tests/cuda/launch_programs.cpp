// What the table of rows does not show: sizes beyond thresholds, whole steps of an optimiser, losses with their
// gradient.
#include <memory>

#include "ergo/autograd/map.hpp"
#include "ergo/autograd/transforms.hpp"
#include "ergo/ops/cross_entropy.hpp"
#include "ergo/ops/dropout.hpp"
#include "ergo/ops/extremum.hpp"
#include "ergo/ops/matmul.hpp"
#include "ergo/ops/normalization.hpp"
#include "ergo/ops/random.hpp"
#include "ergo/ops/random_integer.hpp"
#include "ergo/ops/reduction.hpp"
#include "ergo/ops/softmax.hpp"
#include "ergo/optim/adam.hpp"
#include "ergo/optim/clip.hpp"
#include "ergo/optim/sgd.hpp"
#include "support/fresh.hpp"
#include "support/launch_costs.hpp"

namespace cases {
namespace {

using namespace ergo;

struct Squash {
  template <class A>
  constexpr A operator()(A x) const {
    return x / (A(1) + x * x);
  }
};

Tensor<float> fresh(const Shape& s) { return Fresh(std::uint64_t(s.numel())).tensor<float>(s).to(default_device()); }

// The value of f at a tensor of shape s, and its first-order rule.
template <class F>
void add(std::vector<LaunchProgram>& all, const std::string& name, F f, const Shape& s, int value, int vjp) {
  all.push_back({name, "value", value, [=]() -> std::function<void()> { return [f, x = fresh(s)] { f(x); }; }});
  all.push_back({name, "vjp", vjp, [=]() -> std::function<void()> {
                   auto [y, pull] = ergo::vjp(f, fresh(s));
                   return [pull = pull, g = fresh(y.shape())] { pull(g); };
                 }});
}
using Leaves = std::vector<Tensor<float>>;
Leaves leaves(int n) {
  Leaves r;
  for (int i = 0; i < n; ++i) r.push_back(fresh({3 + i, 70}));
  return r;
}
template <class Optimiser>
struct Training {
  Leaves model = leaves(100), gradient = leaves(100);
  Optimiser optimiser{model};
};
template <class Optimiser>
std::function<void()> step_of() {
  return [t = std::make_shared<Training<Optimiser>>()] { t->optimiser.step(t->model, t->gradient); };
}

}  // namespace

std::vector<LaunchProgram> launch_programs() {
  std::vector<LaunchProgram> all;
  for (const std::int64_t n : {1, 1000, 1048577})
    add(
        all, "map of " + std::to_string(n), [](const auto& x) { return map(Squash{}, x); }, {n}, 1, 1);
  const auto sums = [](const auto& x) { return sum(x, -1); };
  add(all, "sum of 3 rows of 1000", sums, {3, 1000}, 1, 0);
  add(all, "sum of 3 rows of 200000, split", sums, {3, 200000}, 2, 0);
  add(
      all, "max of 3 rows of 200000, split", [](const auto& x) { return max(x, -1); }, {3, 200000}, 2, 3);
  for (const std::int64_t n : {64, 8192, 65536}) {
    add(
        all, "softmax of rows of " + std::to_string(n), [](const auto& x) { return softmax(x); }, {2, n}, 1, 1);
    add(
        all, "log_softmax of rows of " + std::to_string(n), [](const auto& x) { return log_softmax(x); }, {2, n}, 1, 1);
  }
  add(
      all, "softmax of rows of 70000, cut", [](const auto& x) { return softmax(x); }, {2, 70000}, 2, 2);
  for (const std::int64_t n : {64, 8192, 20000})
    add(
        all, "layer_norm of rows of " + std::to_string(n),
        [w = fresh({n}), b = fresh({n})](const auto& x) { return layer_norm(x, w, b); }, {5, n}, 1, 2);

  const auto draw = [&](const char* name, auto f) {
    all.push_back({name, "value", 1, [=]() -> std::function<void()> { return [f, key = Key(7)] { f(key); }; }});
  };
  draw("uniform, one key", [](const Key& key) { uniform(key, {300}); });
  draw("normal, one key", [](const Key& key) { normal(key, {300}); });
  draw("randint, one key", [](const Key& key) { randint(key, {300}, 0, 9); });
  all.push_back({"dropout, one key", "value", 1,
                 []() -> std::function<void()> { return [x = fresh({300}), key = Key(7)] { dropout(key, x, 0.5); }; }});

  const auto loss = [&](const std::string& name, int launches, const CrossEntropyOptions& options) {
    all.push_back({name, "gradient", launches, [=]() -> std::function<void()> {
                     const auto labels = zeros<std::int32_t>({30});
                     const auto f = [=](const Tensor<float>& x) { return cross_entropy(x, labels, options); };
                     return [=, x = fresh({30, 100})] { value_and_grad(f)(x); };
                   }});
  };
  all.push_back({"the seed of a gradient", "gradient", 1, []() -> std::function<void()> {
                   return [x = fresh({})] { grad([](const Tensor<float>& t) { return t; })(x); };
                 }});
  loss("cross_entropy, its gradient, the seed", 3, {});
  loss("the same, smoothed", 3, {.label_smoothing = 0.1});
  loss("the same, ignoring a label: the counted first", 4, {.ignore_label = 1});

  all.push_back({"sgd over 100 tensors", "step", 1, [] { return step_of<optim::Sgd<Leaves>>(); }});
  all.push_back({"adam over 100 tensors", "step", 1, [] { return step_of<optim::Adam<Leaves>>(); }});
  all.push_back({"clip_by_global_norm of 100 tensors", "value", 2,
                 []() -> std::function<void()> { return [g = leaves(100)] { optim::clip_by_global_norm(g, 1); }; }});
  all.push_back({"tree::norm of 100 tensors", "value", 2,
                 []() -> std::function<void()> { return [g = leaves(100)] { tree::norm(g); }; }});
  return all;
}

}  // namespace cases
