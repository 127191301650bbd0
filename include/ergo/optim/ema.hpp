// optim::Ema: an exponential moving average of a model's parameters, which often evaluates better than the last ones.
#pragma once

#include "ergo/optim/update.hpp"

namespace ergo::inline ERGO_BUILD::optim {

// `Ema ema{model, 0.999}; ... ema.update(model);` then evaluate `ema.average`.
template <class Model>
struct Ema {
  Model average;
  double decay = 0.999;
  ERGO_FIELDS(Ema, average, decay)

  Ema() = default;
  explicit Ema(const Model& model, double decay_per_update = 0.999) : average(model), decay(decay_per_update) {
    check();
  }

  // average := decay average + (1 - decay) model on the learned leaves; all else (State, integers) becomes the model's.
  void update(const Model& model) {
    Model next = model;
    detail::update_model(
        "ema", *this, memory_,
        +[](const Ema& e) {
          e.check();
          return cpu::AverageRule{1 - e.decay};
        },
        nullptr, average, model);
    tree::zip([](auto& to, const auto& from) { to = from; }, next, std::as_const(average));
    average = std::move(next);
  }

 private:
  [[no_unique_address]] detail::StepMemory memory_;

  void check() const { detail::check_option("ema", "decay", decay, decay >= 0 && decay <= 1, "is not in [0, 1]"); }
};

}  // namespace ergo::inline ERGO_BUILD::optim
