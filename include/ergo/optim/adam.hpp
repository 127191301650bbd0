// optim::Adam and AdamW: steps scaled by running means m of the gradient and v of its square (Kingma & Ba 2015),
// p := p - lr m' / (sqrt(v') + eps), m' = m / (1 - beta1^t), v' = v / (1 - beta2^t). Adam adds weight_decay p to the
// gradient; AdamW shrinks p by 1 - lr weight_decay beside the step (Loshchilov & Hutter 2019).
#pragma once

#include <cmath>

#include "ergo/optim/update.hpp"

namespace ergo::inline ERGO_BUILD::optim {

struct AdamOptions {
  double lr = 1e-3;
  double beta1 = 0.9;
  double beta2 = 0.999;
  double eps = 1e-8;
  double weight_decay = 0;
  ERGO_FIELDS(AdamOptions, lr, beta1, beta2, eps, weight_decay)
};
struct AdamWOptions {
  double lr = 1e-3;
  double beta1 = 0.9;
  double beta2 = 0.999;
  double eps = 1e-8;
  double weight_decay = 0.01;
  ERGO_FIELDS(AdamWOptions, lr, beta1, beta2, eps, weight_decay)
};

}  // namespace ergo::inline ERGO_BUILD::optim

namespace ergo::inline ERGO_BUILD::detail {

template <class Model, class Options>
struct AdamState {
  Model first, second;         // running means of the gradient and of its square
  Tensor<std::int64_t> steps;  // taken so far
  Options options;             // may change between steps
  ERGO_FIELDS(AdamState, first, second, steps, options)

  AdamState() = default;
  AdamState(const char* op, const Model& model, const Options& given)
      : first(tree::zeros_like(model)), second(tree::zeros_like(model)), steps(step_number(0)), options(given) {
    check(op);
  }

 protected:
  template <bool Decoupled>
  void take(Model& model, const Model& gradient) {
    update_model(kName<Decoupled>, *this, memory_, &rule<Decoupled>, &AdamState::steps, model, gradient, first, second);
  }

 private:
  [[no_unique_address]] StepMemory memory_;

  template <bool Decoupled>
  static constexpr const char* kName = Decoupled ? "adamw" : "adam";

  // Of the step after `steps`.
  template <bool Decoupled>
  static cpu::AdamRule rule(const AdamState& s) {
    s.check(kName<Decoupled>);
    const Options& o = s.options;
    const double t = double(s.steps.item()) + 1, shrunk = o.lr * o.weight_decay;
    return {.step = o.lr / (1 - std::pow(o.beta1, t)),
            .beta1 = o.beta1,
            .beta2 = o.beta2,
            .root = 1 / std::sqrt(1 - std::pow(o.beta2, t)),
            .eps = o.eps,
            .decay = Decoupled ? 0 : o.weight_decay,
            .shrink = Decoupled ? 1 - shrunk : 1};
  }
  void check(const char* op) const {
    check_option(op, "lr", options.lr, options.lr >= 0 && options.lr < 1e300, "is not a finite number >= 0");
    check_option(op, "beta1", options.beta1, options.beta1 >= 0 && options.beta1 < 1, "is not in [0, 1)");
    check_option(op, "beta2", options.beta2, options.beta2 >= 0 && options.beta2 < 1, "is not in [0, 1)");
    check_option(op, "eps", options.eps, options.eps > 0, "is not above 0");
    check_option(op, "weight_decay", options.weight_decay, options.weight_decay >= 0, "is below 0");
  }
};

}  // namespace ergo::inline ERGO_BUILD::detail

namespace ergo::inline ERGO_BUILD::optim {

// `Adam opt{model, {.lr = 1e-3}}; opt.step(model, gradient);`
template <class Model>
struct Adam : detail::AdamState<Model, AdamOptions> {
  Adam() = default;
  explicit Adam(const Model& model, AdamOptions given = {})
      : detail::AdamState<Model, AdamOptions>("adam", model, given) {}
  // One step against the gradient: in place where the model owns its storage alone. An Error, and nothing changed, for
  // options that make no sense and a gradient of other shapes.
  void step(Model& model, const Model& gradient) { this->template take<false>(model, gradient); }
};

// Adam whose weight decay stands beside the gradient's step.
template <class Model>
struct AdamW : detail::AdamState<Model, AdamWOptions> {
  AdamW() = default;
  explicit AdamW(const Model& model, AdamWOptions given = {})
      : detail::AdamState<Model, AdamWOptions>("adamw", model, given) {}
  // As Adam's.
  void step(Model& model, const Model& gradient) { this->template take<true>(model, gradient); }
};

}  // namespace ergo::inline ERGO_BUILD::optim
