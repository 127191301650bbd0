// Schedules, clipping, moving averages.
#include <doctest/doctest.h>

#include <cmath>

#include "ergo/autograd/transforms.hpp"
#include "ergo/ops/arithmetic.hpp"
#include "ergo/optim/clip.hpp"
#include "ergo/optim/ema.hpp"
#include "ergo/optim/schedule.hpp"
#include "support/fresh.hpp"
#include "support/message.hpp"

namespace optim_tools_test {

using namespace ergo;
namespace schedule = ergo::optim::schedule;

namespace {
struct Model {
  Tensor<double> weight;
  State<Tensor<double>> mean;
  ERGO_FIELDS(Model, weight, mean)
};
}  // namespace

TEST_CASE("schedules") {
  const double pi = std::acos(-1.0);
  CHECK(schedule::constant(0.5)(7) == 0.5);
  const auto cosine = schedule::cosine(2, 100, 0.5);
  CHECK(cosine(0) == 2);
  CHECK(cosine(50) == doctest::Approx(1.25));
  CHECK(cosine(25) == doctest::Approx(0.5 + 1.5 * 0.5 * (1 + std::cos(pi / 4))));
  CHECK(cosine(100) == 0.5);
  CHECK(cosine(1000) == 0.5);
  const auto warm = schedule::warmup_cosine(1, 10, 110);
  CHECK(warm(0) == doctest::Approx(0.1));
  CHECK(warm(9) == 1);
  CHECK(warm(10) == 1);
  CHECK(warm(60) == doctest::Approx(0.5));
  CHECK(warm(110) == 0);
  const auto step = schedule::step(1, 30, 0.5);
  CHECK(step(29) == 1);
  CHECK(step(30) == 0.5);
  CHECK(step(89) == 0.25);
  CHECK(schedule::exponential(3, 0.5)(4) == 3 * 0.0625);

  CHECK(message_of([] { schedule::cosine(1, 0); }) == "[schedule.cosine] the number of steps must be positive");
  CHECK(message_of([] { schedule::warmup_cosine(1, 10, 10); }) ==
        "[schedule.warmup_cosine] warmup must be >= 0 and below the number of steps");
  CHECK(message_of([] { schedule::constant(-1); }) == "[schedule.constant] lr is below 0");
  CHECK(message_of([] { schedule::step(1, 0); }) == "[schedule.step] the number of steps must be positive");
}

TEST_CASE("clip_by_global_norm") {
  using Pair = std::pair<Tensor<float>, Tensor<double>>;
  const Pair g{tensor<float>({{3, 0}, {0, 0}}), tensor<double>({4})};
  const auto [clipped, norm] = optim::clip_by_global_norm(g, 2.5);
  CHECK(norm.item() == 5);
  CHECK(clipped.first.to_vector() == std::vector<float>{1.5f, 0, 0, 0});
  CHECK(clipped.second.to_vector() == std::vector<double>{2});
  const auto [same, again] = optim::clip_by_global_norm(g, 5);
  CHECK(again.item() == 5);
  CHECK(array_equal(same.first, g.first));
  CHECK(array_equal(same.second, g.second));
  const auto [none, zero] = optim::clip_by_global_norm(zeros<double>({3}), 1);
  CHECK(zero.item() == 0);
  CHECK(none.to_vector() == std::vector<double>(3, 0));

  // Its derivative is that of g / |g| outside the ball: orthogonal to g; and 0 stays 0.
  const Tensor<double> x = tensor<double>({3, 4}), weight = tensor<double>({1, 2});
  const auto f = [&](const Tensor<double>& v) { return tree::dot(optim::clip_by_global_norm(v, 1).first, weight); };
  const auto d = grad(f)(x);
  CHECK(d.at({0}) == doctest::Approx((1 - 0.6 * 2.2) / 5));
  CHECK(d.at({1}) == doctest::Approx((2 - 0.8 * 2.2) / 5));
  CHECK(array_equal(grad(f)(zeros<double>({2})), weight));
  CHECK(message_of([&] { optim::clip_by_global_norm(x, 0); }) == "[clip_by_global_norm] max_norm 0 is not above 0");
}

TEST_CASE("Ema") {
  Fresh fresh;
  Model model{fresh.tensor<double>({5}), {zeros<double>({2})}};
  optim::Ema ema{model, 0.75};
  std::vector<double> reference = model.weight.to_vector();
  for (int i = 0; i < 4; ++i) {
    model = {fresh.tensor<double>({5}), {full<double>({2}, i)}};
    ema.update(model);
    const auto w = model.weight.to_vector();
    for (std::size_t j = 0; j < 5; ++j) reference[j] = 0.75 * reference[j] + 0.25 * w[j];
  }
  for (std::size_t j = 0; j < 5; ++j) CHECK(ema.average.weight.at({j}) == doctest::Approx(reference[j]).epsilon(1e-13));
  CHECK(ema.average.mean.value.to_vector() == std::vector<double>{3, 3});
  const auto* place = ema.average.weight.array().data;
  ema.update(model);
  CHECK(ema.average.weight.array().data == place);  // in place once it is its own
  CHECK(message_of([&] { optim::Ema{model, 1.5}; }) == "[ema] decay 1.5 is not in [0, 1]");
}

TEST_CASE("clipping neither overflows nor hides what is not finite") {
  const auto [clipped, norm] = optim::clip_by_global_norm(tensor<float>({3e30f, 4e30f}), 1.0);
  CHECK(norm.item() == doctest::Approx(5e30));
  CHECK(allclose(clipped, tensor<float>({0.6f, 0.8f})));
  const std::pair two{tensor<double>({3e200}), tensor<double>({0, 4e200})};
  CHECK(optim::clip_by_global_norm(two, 1.0).second.item() == doctest::Approx(5e200));
  const auto [bad, infinite] = optim::clip_by_global_norm(tensor<double>({HUGE_VAL, 1}), 1.0);
  CHECK(std::isinf(infinite.item()));
  for (double v : bad.to_vector()) CHECK(std::isnan(v));
}

TEST_CASE("a bound on the norm beyond every float leaves a gradient as it is") {
  const auto g = tensor<float>({3, 4});
  for (const double most : {1e39, double(INFINITY)})
    CHECK(optim::clip_by_global_norm(g, most).first.to_vector() == std::vector<float>{3, 4});
}

}  // namespace optim_tools_test
