// optim::schedule: learning rates as functions of the step, values that are called: `const auto lr =
// schedule::warmup_cosine(1e-3, 100, 2000); ... opt.options.lr = lr(step);`
#pragma once

#include <cmath>

#include "ergo/core/shape.hpp"

namespace ergo::inline ERGO_BUILD {
namespace detail {
inline void check_schedule(const char* name, bool holds, const char* why) {
  if (!holds) throw_error({"[schedule.", name, "] ", why});
}
}  // namespace detail

namespace optim::schedule {

// Always lr.
struct Constant {
  double lr;
  double operator()(std::int64_t) const { return lr; }
};
inline Constant constant(double lr) {
  detail::check_schedule("constant", lr >= 0, "lr is below 0");
  return {lr};
}

// A straight rise from 0 at step -1 to lr at step warmup - 1, then half a cosine down to `floor` at step `steps`, where
// it stays.
struct WarmupCosine {
  double lr;
  std::int64_t warmup, steps;
  double floor;
  double operator()(std::int64_t step) const {
    if (step < warmup) return lr * double(step + 1) / double(warmup);
    if (step >= steps) return floor;
    const double share = double(step - warmup) / double(steps - warmup);
    return floor + (lr - floor) * 0.5 * (1 + std::cos(3.14159265358979323846 * share));
  }
};
template <Integer W, Integer N>
WarmupCosine warmup_cosine(double lr, W warmup, N steps, double floor = 0) {
  detail::check_schedule("warmup_cosine", lr >= 0 && floor >= 0, "lr and floor must be >= 0");
  detail::check_schedule("warmup_cosine", std::cmp_greater_equal(warmup, 0) && std::cmp_less(warmup, steps),
                         "warmup must be >= 0 and below the number of steps");
  return {lr, std::int64_t(warmup), std::int64_t(steps), floor};
}
// Half a cosine from lr at step 0 down to `floor` at step `steps`, where it stays.
template <Integer N>
WarmupCosine cosine(double lr, N steps, double floor = 0) {
  detail::check_schedule("cosine", lr >= 0 && floor >= 0, "lr and floor must be >= 0");
  detail::check_schedule("cosine", std::cmp_greater(steps, 0), "the number of steps must be positive");
  return {lr, 0, std::int64_t(steps), floor};
}

// lr times `factor` once for every `every` steps.
struct Step {
  double lr;
  std::int64_t every;
  double factor;
  double operator()(std::int64_t step) const { return lr * std::pow(factor, double(step / every)); }
};
template <Integer N>
Step step(double lr, N every, double factor = 0.1) {
  detail::check_schedule("step", lr >= 0 && factor >= 0, "lr and factor must be >= 0");
  detail::check_schedule("step", std::cmp_greater(every, 0), "the number of steps must be positive");
  return {lr, std::int64_t(every), factor};
}

// lr times `decay` to the power of the step.
struct Exponential {
  double lr, decay;
  double operator()(std::int64_t step) const { return lr * std::pow(decay, double(step)); }
};
inline Exponential exponential(double lr, double decay) {
  detail::check_schedule("exponential", lr >= 0 && decay >= 0, "lr and decay must be >= 0");
  return {lr, decay};
}

}  // namespace optim::schedule
}  // namespace ergo::inline ERGO_BUILD
