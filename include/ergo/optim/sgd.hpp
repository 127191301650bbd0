// optim::Sgd: stochastic gradient descent with momentum, by Polyak or Nesterov, and weight decay:
// g := g + weight_decay p, v := momentum v + g, p := p - lr v (Nesterov: p - lr (g + momentum v)).
#pragma once

#include "ergo/optim/update.hpp"

namespace ergo::inline ERGO_BUILD::optim {

struct SgdOptions {
  double lr = 0.01;
  double momentum = 0;
  bool nesterov = false;
  double weight_decay = 0;
  ERGO_FIELDS(SgdOptions, lr, momentum, nesterov, weight_decay)
};

// `Sgd opt{model, {.lr = 0.1}}; opt.step(model, gradient);` The velocity is a tree like the model, absent without
// momentum.
template <class Model>
struct Sgd {
  std::optional<Model> velocity;
  Tensor<std::int64_t> steps;  // taken so far
  SgdOptions options;          // may change between steps
  ERGO_FIELDS(Sgd, velocity, steps, options)

  Sgd() = default;
  explicit Sgd(const Model& model, SgdOptions given = {}) : steps(detail::step_number(0)), options(given) {
    check();
    if (options.momentum > 0) velocity = tree::zeros_like(model);
  }

  // One step against the gradient: in place where the model owns its storage alone. An Error, and nothing changed, for
  // options that make no sense and a gradient of other shapes.
  void step(Model& model, const Model& gradient) {
    check();
    if (options.momentum > 0 && !velocity) velocity = tree::zeros_like(model);
    if (velocity)
      detail::update_model("sgd", *this, memory_, &rule<true>, &Sgd::steps, model, gradient, *velocity);
    else
      detail::update_model("sgd", *this, memory_, &rule<false>, &Sgd::steps, model, gradient);
  }

 private:
  [[no_unique_address]] detail::StepMemory memory_;

  template <bool Momentum>
  static cpu::SgdRule<Momentum> rule(const Sgd& s) {
    s.check();
    const SgdOptions& o = s.options;
    detail::check_option("sgd", "momentum", o.momentum, Momentum || o.momentum == 0,
                         "is new to a captured step, which has no velocity");
    return {o.lr, o.momentum, o.weight_decay, Momentum && o.nesterov};
  }
  void check() const {
    detail::check_option("sgd", "lr", options.lr, options.lr >= 0 && options.lr < 1e300, "is not a finite number >= 0");
    detail::check_option("sgd", "momentum", options.momentum, options.momentum >= 0 && options.momentum < 1,
                         "is not in [0, 1)");
    detail::check_option("sgd", "weight_decay", options.weight_decay, options.weight_decay >= 0, "is below 0");
    detail::check_option("sgd", "momentum", options.momentum, !options.nesterov || options.momentum > 0,
                         "with nesterov, which needs a momentum");
  }
};

}  // namespace ergo::inline ERGO_BUILD::optim
