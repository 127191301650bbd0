// Learning in deep linear networks, theory over simulation (Saxe, McClelland, Ganguli 2013, arXiv 1312.6120): every mode of a
// task is learned along a logistic curve, strong modes first, and depth costs a finite delay if the start is an isometry.
//
//   examples/run deep_linear                                   modes and hierarchy
//   examples/run deep_linear --experiment depth                or isometry, or all
#include <ergo/algorithms/deep_linear_depth.hpp>
#include <ergo/data/hierarchy.hpp>

#include <cmath>

#include "support/program.hpp"

using namespace ergo;
namespace dl = ergo::deep_linear;
using examples::number, examples::Plot, examples::Program;

// Gradient descent from a decoupled start against the logistic curve of each mode.
void modes_experiment(Program& program, const Key& key, double u0, double lr) {
  const std::int64_t n = 16, k = 8;
  const auto u = nn::init::orthogonal<double>(fold_in(key, 1), {n, k}), v = nn::init::orthogonal<double>(fold_in(key, 2), {n, k});
  const auto sigma31 = matmul(u * linspace<double>(2, 0.6, k), transpose(v));
  const auto task = dl::modes(sigma31);
  auto net = dl::decoupled<double>(fold_in(key, 3), task, std::vector<std::int64_t>{n, n, n}, u0);
  const auto before = dl::conserved(net, task);
  const auto every = std::max<std::int64_t>(1, std::int64_t(0.02 / lr));
  const auto curve = dl::train(net, eye<double>(n), sigma31, {.lr = lr, .steps = std::int64_t(8 / lr), .record_every = every});
  const auto after = dl::conserved(net, task), s = task.s.to_vector(), simulated = curve.strength.to_vector();

  Plot plot("Learning curves of the modes", {.x = "step", .y = "mode strength"});
  double worst = 0, drift = 0;
  program.print("singular values and half-learning times (theory, simulation, ratio):");
  for (std::size_t j = 0; j < s.size(); ++j) {
    std::vector<double> steps, theory, dots_at, dots;
    for (std::size_t i = 0; i < curve.step.size(); ++i) {
      const double t = double(curve.step[i]), exact = dl::mode_strength(t, s[j], u0, 1 / lr), seen = simulated[i * s.size() + j];
      worst = std::max(worst, std::abs(seen - exact) / s[j]);
      steps.push_back(t);
      theory.push_back(exact);
      if (i % 12 == 0) dots_at.push_back(t), dots.push_back(seen);
      program.log({{"experiment", std::string("modes")}, {"mode", std::int64_t(j)}, {"step", t}, {"strength", seen}, {"theory", exact}});
    }
    plot.line(j == 0 ? "theory" : "", steps, theory).points(j == 0 ? "gradient descent" : "", dots_at, dots);
    const double expected = dl::learning_time(s[j], u0, s[j] / 2, 1 / lr, 3), seen = curve.time_of(std::int64_t(j), s[j] / 2);
    program.print("  s = " + number(s[j]) + "   " + number(expected) + "   " + number(seen) + "   " + number(seen / expected));
    drift = std::max(drift, std::abs(after[j] - before[j]));
  }
  program.plot("learning_curves", plot);
  const double bound = 6 * lr;  // the error is of first order in the learning rate
  program.check("A1 max |u - theory| / s", worst, examples::at_most(bound));
  program.check("A1 largest off-diagonal mode", dl::project(net, task).off_diagonal, examples::at_most(1e-10));
  program.check("A1 drift of a^2 - b^2", drift, examples::at_most(lr));
}

// A hierarchical task from a small random start: broad distinctions are learned first, competition delays the fine ones.
void hierarchy_experiment(Program& program, const Key& key, std::int64_t hidden) {
  const std::int64_t items = 16, features = 300;
  const double lr = 0.01, eps = 1e-3;
  const auto y = data::synthetic::hierarchy(fold_in(key, 1), 4, features);  // (items, features)
  const auto sigma31 = transpose(y) / double(items);                       // inputs are one-hot, whitened
  const auto task = dl::modes(sigma31);
  models::LinearNet<double> net;
  net.weights = {normal<double>(fold_in(key, 2), {items, hidden}, 0, eps), normal<double>(fold_in(key, 3), {hidden, features}, 0, eps)};
  const auto a = matmul(transpose(task.v), net.weights[0]), b = transpose(matmul(net.weights[1], task.u));
  const auto start = (sum(square(a + b), 1) / 4.0).to_vector(), s = task.s.to_vector();
  const auto curve = dl::train(net, eye<double>(items), sigma31, {.lr = lr, .steps = 6000, .record_every = 5});

  std::vector<double> index, delay;
  int learned = 0, ordered = 0;
  double last = 0;
  for (std::size_t j = 0; j < s.size(); ++j) {
    const double theory = std::log(s[j] / start[j] - 1) / (2 * s[j] * lr), seen = curve.time_of(std::int64_t(j), s[j] / 2);
    if (seen < 0) continue;
    ++learned;
    ordered += seen >= last && j < 6;
    last = seen;
    index.push_back(double(j + 1));
    delay.push_back(seen / theory - 1);
    program.log({{"experiment", std::string("hierarchy")}, {"mode", std::int64_t(j)}, {"s", s[j]}, {"half_time", seen}, {"theory", theory}});
  }
  program.print("hierarchy: singular values " + number(s.front()) + " to " + number(s.back()) + "; " + std::to_string(learned) + " of " +
                std::to_string(s.size()) + " modes reached half their strength");
  program.plot("delay", Plot("Fractional delay of the half-learning time", {.x = "mode", .y = "simulation / theory - 1"}).points("linear network", index, delay));
  program.check("the six strongest modes are learned in order", double(ordered), examples::at_least(6));
  program.check("delay of the strongest mode", delay.front(), examples::at_most(0.06));
}

// Steps to learn against depth, for orthogonal and Gaussian starts; the best of many learning rates.
void depth_experiment(Program& program, const Key& key, std::int64_t n) {
  const std::int64_t rank = std::min<std::int64_t>(8, n);
  const auto u = nn::init::orthogonal<double>(fold_in(key, 1), {n, rank}), v = nn::init::orthogonal<double>(fold_in(key, 2), {n, rank});
  const auto sigma31 = matmul(u * linspace<double>(6, 2, rank), transpose(v));
  const auto run = [&](models::Start start, int matrices) {
    std::vector<double> rates;
    for (int i = 0; i < 12; ++i) rates.push_back(std::pow(10, -0.2 * i) / (6 * matrices));
    const auto net = models::linear_net<double>(fold_in(key, 100 + matrices), std::vector<std::int64_t>(std::size_t(matrices + 1), n), {.start = start});
    return dl::fastest(net, eye<double>(n), sigma31, rates, {.threshold = 0.05, .max_steps = 1500});
  };
  const std::vector<int> depths{2, 4, 8, 16, 32, 64};
  std::vector<double> depth, orthogonal, gaussian, rate;
  auto progress = program.progress("depth", std::ssize(depths));
  for (const int d : depths) {
    const auto o = run(models::Start::orthogonal, d), g = run(models::Start::gaussian, d);
    depth.push_back(d);
    orthogonal.push_back(double(o.steps));
    gaussian.push_back(g.steps < 0 ? NAN : double(g.steps));
    rate.push_back(o.lr);
    program.print("  " + std::to_string(d) + " matrices: orthogonal " + std::to_string(o.steps) + " steps at " + number(o.lr) + ", Gaussian " +
                  (g.steps < 0 ? "not within 1500" : std::to_string(g.steps)));
    program.log({{"experiment", std::string("depth")}, {"matrices", std::int64_t(d)}, {"orthogonal", o.steps}, {"gaussian", g.steps}, {"lr", o.lr}});
    progress.advance("matrices", d);
  }
  program.plot("depth", Plot("Steps to 5 % of the initial loss", {.x = "weight matrices", .y = "steps", .log_x = true, .log_y = true})
                            .line("orthogonal", depth, orthogonal).line("Gaussian", depth, gaussian));
  program.plot("learning_rate", Plot("Best learning rate", {.x = "weight matrices", .y = "learning rate", .log_x = true, .log_y = true}).line("orthogonal", depth, rate));
  program.check("A6 orthogonal steps(64) / steps(8)", orthogonal[5] / orthogonal[2], examples::at_most(2.5));
  program.check("A6 Gaussian needs 5 times as many at 16", std::isnan(gaussian[3]) || gaussian[3] >= 5 * orthogonal[3]);
  program.check("A6 Gaussian does not learn at 32 and 64", std::isnan(gaussian[4]) && std::isnan(gaussian[5]));
  program.check("A6 learning rate times depth, 64 over 8", rate[5] * 64 / (rate[2] * 8), examples::at_least(0.5));
}

// Singular values of products, and the Jacobian's mean square gain in tanh networks against mean field theory.
void isometry_experiment(Program& program, const Key& key, bool smoke) {
  const std::int64_t n = smoke ? 60 : 160;
  const int layers = smoke ? 20 : 100;
  const auto orthogonal = dl::product(models::linear_net<double>(fold_in(key, 1), std::vector<std::int64_t>(std::size_t(layers + 1), n)));
  const auto s = linalg::svdvals(orthogonal).to_vector();
  program.check("A7 orthogonal product: largest |s - 1|", std::max(std::abs(s.front() - 1), std::abs(s.back() - 1)), examples::at_most(1e-10));
  std::vector<double> gain_at, simulated, theory;
  double worst = 0;
  for (const double gain : {0.9, 0.95, 1.0, 1.05, 1.1}) {
    const auto x = normal<double>(fold_in(key, 3), {n});
    double mean = 0, q = gain * gain * sum(square(x)).item() / double(n), expected = gain * gain;
    constexpr int kNetworks = 4;  // at finite width the mean fluctuates from one network to the next
    for (int i = 0; i < kNetworks; ++i) {
      const auto net = models::linear_net<double>(fold_in(fold_in(key, 2), i),
                                                  std::vector<std::int64_t>(std::size_t(layers + 1), n),
                                                  {.activation = Activation::tanh, .gain = gain});
      for (double value : dl::jacobian_singular_values(net, x).to_vector()) mean += value * value / double(n * kNetworks);
    }
    for (int l = 1; l < layers; ++l) {
      expected *= dl::chi(Activation::tanh, gain, q);
      q = dl::mean_field_variance(Activation::tanh, gain, q);
    }
    gain_at.push_back(gain);
    simulated.push_back(std::log10(mean));
    theory.push_back(std::log10(expected));
    worst = std::max(worst, std::abs(simulated.back() - theory.back()));
  }
  program.plot("gains", Plot("Mean square singular value of the Jacobian", {.x = "gain", .y = "log10"}).points("networks", gain_at, simulated).dashes("mean field", gain_at, theory));
  program.check("A8 largest |log10 mean s^2 - mean field|", worst, examples::at_most(smoke ? 0.3 : 0.12));
}

int main(int argc, char** argv) {
  Program program("deep_linear", "holds deep linear networks against the exact theory of their learning.");
  std::string experiment = "modes,hierarchy";
  int hidden = 16;
  double u0 = 1e-3, lr = 1e-3;
  program.option("experiment", experiment, "modes, hierarchy, depth, isometry (a comma between several), or all");
  program.option("hidden", hidden, "hidden units of the hierarchy");
  program.option("u0", u0, "initial strength of each mode");
  program.option("lr", lr, "learning rate of the modes");
  return program.run(argc, argv, [&] {
    const Key key{program.seed()};
    const auto wanted = [&](const std::string& name) { return experiment == "all" || ("," + experiment + ",").find("," + name + ",") != std::string::npos; };
    program.fact("data", "synthetic, drawn from the seed");
    program.fact("experiments", experiment);
    int run = 0;
    if (wanted("modes")) modes_experiment(program, fold_in(key, 1), u0, program.smoke() ? 0.01 : lr), ++run;
    if (wanted("hierarchy") && !program.smoke()) hierarchy_experiment(program, fold_in(key, 2), hidden), ++run;
    if (wanted("depth")) depth_experiment(program, fold_in(key, 3), 24), ++run;
    if (wanted("isometry")) isometry_experiment(program, fold_in(key, 4), program.smoke()), ++run;
    if (!run) throw Error("[deep_linear] --experiment " + experiment + ": modes, hierarchy, depth, isometry or all are expected");
    program.conclude("Gradient descent in deep linear networks follows its closed form.");
  });
}
