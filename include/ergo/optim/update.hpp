// What optimisers share: one update of all learned leaves of a model and of the optimiser's state, in place where the
// memory belongs to that tree alone, else into fresh memory. All that can fail comes before the first element is
// written, so a step that throws changes nothing. On a CUDA device a step is one launch a dtype.
#pragma once

#include <optional>

#include "ergo/autograd/tree_algebra.hpp"
#include "ergo/core/make.hpp"
#include "ergo/cpu/optimizer.hpp"
#if defined(__CUDACC__) || defined(ERGO_EMULATED)
#include "ergo/cuda/optimizer.hpp"
#endif

namespace ergo::inline ERGO_BUILD {
namespace detail {

// What an optimiser keeps beside its state to be fast; no part of its value.
#if defined(__CUDACC__) || defined(ERGO_EMULATED)
using cuda::StepMemory;
#else
struct StepMemory {};
#endif

// A step number, on the CPU wherever the model is.
inline Tensor<std::int64_t> step_number(std::int64_t n) { return filled(Shape{}, n, Device::cpu()); }

// "[sgd] lr -1 ...": a number of the options that makes no sense.
[[noreturn, gnu::cold]] ERGO_ONCE void fail_option(const char* op, const char* option, double value, const char* why) {
  throw_error({"[", op, "] ", option, " ", value, " ", why});
}
inline void check_option(const char* op, const char* option, double value, bool holds, const char* why) {
  if (!holds) fail_option(op, option, value, why);
}

// A leaf of a tree that is to be updated: where it is read, and its successor if it may not be written in place.
struct Written {
  Ref<Array>* handle;
  Ref<Array> from, fresh;

  void prepare() {
    const Array& a = **handle;
    if (unique(a.refs) && a.contiguous && unique(a.buffer->refs) && !a.buffer->borrowed) return;
    from = dense(a);
    fresh = Array::make(a.dtype, a.shape, a.device);
  }
  const std::byte* in() const { return from ? from->data : (*handle)->data; }
  std::byte* out() const { return fresh ? fresh->data : (*handle)->data; }
#if defined(__CUDACC__) || defined(ERGO_EMULATED)
  // The step comes after what was done with the memory before.
  void order(const cuda::Work& w) const {
    if (from)
      w.reads(*from);
    else
      cuda::detail::write_on(w.stream(), *(*handle)->buffer);
  }
#endif
  void finish() {
    if (fresh) *handle = std::move(fresh);
  }
};

// One array of the model or of the state, and the gradient; all on the device of the first, `device`.
ERGO_ONCE void check_updated(const char* op, const Path& path, const AnyTensor& parameter, const AnyTensor& gradient,
                             std::optional<Device>& device) {
  const auto fail_at = [&](const Message& why) {
    const std::string at = path.text();
    throw_error({"[", op, "] ", (at.empty() ? "the model" : at), ": ", why});
  };
  if (!parameter.defined() || !gradient.defined()) fail_at("an empty tensor where numbers are expected");
  const Array &p = parameter.array(), &g = gradient.array();
  if (p.depth > 0 || g.depth > 0) fail_at("a step cannot be taken inside a transform (tree::axpy can)");
  if (p.shape != g.shape) fail_at({"gradient ", g.shape, " for a parameter ", p.shape});
  if (!device) device = p.device;
  if (p.device != *device) fail_at({"on ", p.device, ", where a step works on ", *device, ": tree::to(tree, device)"});
  if (g.device != *device) fail_at({"gradient on ", g.device, " for a parameter on ", *device});
}

#if defined(__CUDACC__) || defined(ERGO_EMULATED)
// A replay reads and writes where the captured step did, so that must be the same place.
template <class Model>
[[noreturn, gnu::cold]] void fail_shared(const char* op, const Model& model, std::size_t leaf) {
  std::string name;
  tree::for_each_named(
      [&](std::string at, const auto&) {
        if (leaf-- == 0) name = at.empty() ? "the model" : std::move(at);
      },
      model);
  throw_error(
      {"[", op, "] ", name, ": a captured step works in place, and somebody shares the memory, or the state's"});
}
// All that can fail comes before the first launch, here too.
ERGO_ONCE void update_runs_on(Device device, StepMemory& memory, const void* rule, const void* stored,
                              const std::vector<cpu::UpdateRun>& runs, const std::vector<cuda::UpdateLaunch>& launches,
                              const std::vector<Written>& written, const std::vector<Ref<Array>>& gradients) {
  const cuda::Work w(device);
  cuda::UpdateGroups<cuda::UpdateLaunch> groups;
  for (std::size_t i = 0; i < runs.size(); ++i) {
    cuda::AnyUpdate t{runs[i].in, runs[i].gradient, runs[i].out, nullptr, {}, {}, runs[i].n};
    for (int k = 0; k < cpu::kMostStates; ++k) {
      t.s_in[k] = runs[i].s_in[k];
      t.s_out[k] = runs[i].s_out[k];
    }
    groups.add(launches[i], t);
  }
  groups.send(w, memory);
  for (const Ref<Array>& g : gradients) w.reads(*g);
  for (const Written& a : written) a.order(w);
  for (const auto& g : groups) g.function(w.stream(), rule, g.on_device(), g.chunks_on_device(), g.n_chunks, stored);
}
#endif

// The optimiser's rule on (model, gradient, states...), leaf by leaf; its `count`, unless null, is raised by one with
// the rest.
template <class Rule, class Optimiser, class Model, class... State>
void update_model(const char* op, Optimiser& optimiser, [[maybe_unused]] StepMemory& memory,
                  Rule (*rule_of)(const Optimiser&), std::type_identity_t<Tensor<std::int64_t> Optimiser::*> count,
                  Model& model, const Model& gradient, State&... states) {
  const Rule rule = rule_of(optimiser);
  static_assert(sizeof...(State) == Rule::states);
  constexpr int kTrees = 1 + Rule::states;
  std::optional<Device> device;
  std::vector<Written> written;
  std::vector<Ref<Array>> gradients;
  std::vector<cpu::UpdateRun> runs;
#if defined(__CUDACC__) || defined(ERGO_EMULATED)
  std::vector<cuda::UpdateLaunch> launches;
#endif
  Tensor<std::int64_t> next;
  tree::walk<tree::Leaves::learned>(
      Path{nullptr, nullptr, 0},
      [&]<class T>(const Path& path, Tensor<T>& p, const Tensor<T>& g, auto&... s) {
        check_updated(op, path, p, g, device);
        (check_updated(op, path, s, g, device), ...);
        gradients.push_back(dense(g.array()));
        written.push_back({&p.ref(), {}, {}});
        (written.push_back({&s.ref(), {}, {}}), ...);
        cpu::UpdateRun r{};
        r.n = p.numel();
        r.kernel = &cpu::update_kernel<Rule, T>;
        runs.push_back(r);
#if defined(__CUDACC__) || defined(ERGO_EMULATED)
        launches.push_back(&cuda::launch_update_of<Rule, T>);
#endif
      },
      model, gradient, states...);
  for (Written& w : written) w.prepare();
  if (count) next = step_number((optimiser.*count).item() + 1);
  for (std::size_t i = 0; i < runs.size(); ++i) {
    const Written* w = &written[i * kTrees];
    runs[i].in = w[0].in();
    runs[i].out = w[0].out();
    runs[i].gradient = gradients[i]->data;
    for (int k = 0; k < Rule::states; ++k) {
      runs[i].s_in[k] = w[k + 1].in();
      runs[i].s_out[k] = w[k + 1].out();
    }
  }
#if defined(__CUDACC__) || defined(ERGO_EMULATED)
  if (device && !device->is_cpu() && cuda::detail::recording && cuda::detail::recording->capturing) {
    for (std::size_t i = 0; i < written.size(); ++i)
      if (written[i].fresh) fail_shared(op, model, i / kTrees);
    auto replayed = std::make_unique<cuda::ReplayedRule<Rule, Optimiser>>(op, optimiser, memory.anchor, rule_of, count);
    const void* stored = replayed->stored();
    cuda::detail::recording->before.push_back(std::move(replayed));
    update_runs_on(*device, memory, &rule, stored, runs, launches, written, gradients);
    return;  // the replays count
  }
  if (device && !device->is_cpu())
    update_runs_on(*device, memory, &rule, nullptr, runs, launches, written, gradients);
  else
#endif
    cpu::update_runs(rule, runs);
  for (Written& w : written) w.finish();
  if (count) optimiser.*count = std::move(next);
}

}  // namespace detail
}  // namespace ergo::inline ERGO_BUILD
