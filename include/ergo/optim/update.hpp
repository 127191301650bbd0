// What optimisers share: one update of all learned leaves of a model and of the optimiser's state, in place where the
// memory belongs to that tree alone, else into fresh memory. All that can fail comes before the first element is
// written, so a step that throws changes nothing.
#pragma once

#include "ergo/autograd/tree_algebra.hpp"
#include "ergo/cpu/optimizer.hpp"

namespace ergo::inline ERGO_BUILD {
namespace detail {

// "[sgd] lr -1 ...": a number of the options that makes no sense.
[[noreturn, gnu::cold, gnu::noinline]] inline void fail_option(const char* op, const char* option, double value,
                                                               const char* why) {
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
    fresh = Array::make(a.dtype, a.shape);
  }
  const std::byte* in() const { return from ? from->data : (*handle)->data; }
  std::byte* out() const { return fresh ? fresh->data : (*handle)->data; }
  void finish() {
    if (fresh) *handle = std::move(fresh);
  }
};

inline void check_updated(const char* op, const Path& path, const AnyTensor& parameter, const AnyTensor& gradient) {
  const auto fail_at = [&](const Message& why) {
    const std::string at = path.text();
    throw_error({"[", op, "] ", (at.empty() ? "the model" : at), ": ", why});
  };
  if (!parameter.defined() || !gradient.defined()) fail_at("an empty tensor where numbers are expected");
  const Array &p = parameter.array(), &g = gradient.array();
  if (p.depth > 0 || g.depth > 0) fail_at("a step cannot be taken inside a transform (tree::axpy can)");
  if (p.shape != g.shape) fail_at({"gradient ", g.shape, " for a parameter ", p.shape});
  if (!p.device.is_cpu() || !g.device.is_cpu()) fail_at("parameters and gradients must be on the CPU");
}

// rule on (model, gradient, states...), leaf by leaf; `count` (or null) is raised by one with the rest.
template <class Rule, class Model, class... State>
void update_model(const char* op, const Rule& rule, Tensor<std::int64_t>* count, Model& model, const Model& gradient,
                  State&... states) {
  static_assert(sizeof...(State) == Rule::states);
  constexpr int kTrees = 1 + Rule::states;
  std::vector<Written> written;
  std::vector<Ref<Array>> gradients;
  std::vector<cpu::UpdateRun> runs;
  Tensor<std::int64_t> next;
  tree::walk<tree::Leaves::learned>(
      Path{nullptr, nullptr, 0},
      [&]<class T>(const Path& path, Tensor<T>& p, const Tensor<T>& g, auto&... s) {
        check_updated(op, path, p, g);
        (check_updated(op, path, s, g), ...);
        gradients.push_back(dense(g.array()));
        written.push_back({&p.ref(), {}, {}});
        (written.push_back({&s.ref(), {}, {}}), ...);
        cpu::UpdateRun r{};
        r.n = p.numel();
        r.kernel = &cpu::update_kernel<Rule, T>;
        runs.push_back(r);
      },
      model, gradient, states...);
  for (Written& w : written) w.prepare();
  if (count) next = Tensor<std::int64_t>(count->item() + 1);
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
  cpu::update_runs(rule, runs);
  for (Written& w : written) w.finish();
  if (count) *count = std::move(next);
}

}  // namespace detail
}  // namespace ergo::inline ERGO_BUILD
