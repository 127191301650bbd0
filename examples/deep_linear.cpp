// Learning in deep linear networks, theory over simulation (Saxe, McClelland, Ganguli 2013, arXiv 1312.6120): every
// mode of a task is learned along a logistic curve, strong modes first, and depth costs a finite delay if the start is
// an isometry.
//
//   examples/run deep_linear                                   modes and hierarchy
//   examples/run deep_linear --experiment depth                or isometry, mnist, all
//   examples/run deep_linear --experiment mnist --data ../shared/data/mnist
#include <ergo/algorithms/deep_linear_depth.hpp>
#include <ergo/algorithms/deep_linear_samples.hpp>
#include <ergo/data/glyphs.hpp>
#include <ergo/data/hierarchy.hpp>
#include <ergo/data/mnist.hpp>

#include <cmath>

#include "support/program.hpp"

using namespace ergo;
namespace dl = ergo::deep_linear;
using examples::number, examples::Plot, examples::Program;

// Gradient descent from a decoupled start against the logistic curve of each mode.
void modes_experiment(Program& program, const Key& key, double u0, double lr) {
  const std::int64_t n = 16, k = 8;
  const auto u = nn::init::orthogonal<double>(fold_in(key, 1), {n, k}),
             v = nn::init::orthogonal<double>(fold_in(key, 2), {n, k});
  const auto sigma31 = matmul(u * linspace<double>(2, 0.6, k), transpose(v));
  const auto task = dl::modes(sigma31);
  auto net = dl::decoupled<double>(fold_in(key, 3), task, std::vector<std::int64_t>{n, n, n}, u0);
  const auto before = dl::conserved(net, task);
  const auto every = std::max<std::int64_t>(1, std::int64_t(0.02 / lr));
  const auto curve =
      dl::train(net, eye<double>(n), sigma31, {.lr = lr, .steps = std::int64_t(8 / lr), .record_every = every});
  const auto after = dl::conserved(net, task), s = task.s.to_vector(), simulated = curve.strength.to_vector();

  Plot plot("Learning curves of the modes", {.x = "step", .y = "mode strength"});
  double worst = 0, drift = 0;
  program.print("singular values and half-learning times (theory, simulation, ratio):");
  for (std::size_t j = 0; j < s.size(); ++j) {
    std::vector<double> steps, theory, dots_at, dots;
    for (std::size_t i = 0; i < curve.step.size(); ++i) {
      const double t = double(curve.step[i]), exact = dl::mode_strength(t, s[j], u0, 1 / lr),
                   seen = simulated[i * s.size() + j];
      worst = std::max(worst, std::abs(seen - exact) / s[j]);
      steps.push_back(t);
      theory.push_back(exact);
      if (i % 12 == 0) dots_at.push_back(t), dots.push_back(seen);
      program.log({{"experiment", std::string("modes")},
                   {"mode", std::int64_t(j)},
                   {"step", t},
                   {"strength", seen},
                   {"theory", exact}});
    }
    plot.line(j == 0 ? "theory" : "", steps, theory).points(j == 0 ? "gradient descent" : "", dots_at, dots);
    const double expected = dl::learning_time(s[j], u0, s[j] / 2, 1 / lr, 3),
                 seen = curve.time_of(std::int64_t(j), s[j] / 2);
    program.print("  s = " + number(s[j]) + "   " + number(expected) + "   " + number(seen) + "   " +
                  number(seen / expected));
    drift = std::max(drift, std::abs(after[j] - before[j]));
  }
  program.plot("learning_curves", plot);
  const double bound = 6 * lr;  // the error is of first order in the learning rate
  program.check("A1 max |u - theory| / s", worst, examples::at_most(bound));
  program.check("A1 largest off-diagonal mode", dl::project(net, task).off_diagonal, examples::at_most(1e-10));
  program.check("A1 drift of a^2 - b^2", drift, examples::at_most(lr));
}

// A hierarchical task from small random starts, for linear and tanh networks: broad distinctions are learned first;
// competition delays the fine ones, and the nonlinearity delays all.
void hierarchy_experiment(Program& program, const Key& key, std::int64_t hidden, int simulations) {
  const std::int64_t items = 16, features = 300;
  const double lr = 0.01, eps = 1e-3;
  std::vector<double> linear(std::size_t(items), 0), curved(std::size_t(items), 0), index;
  std::vector<double> half_time(std::size_t(items), 0);
  auto progress = program.progress("hierarchy", simulations);
  for (int run = 0; run < simulations; ++run) {
    const Key own = fold_in(key, run);
    const auto y = data::synthetic::hierarchy(fold_in(own, 1), 4, features) / double(items);  // of one-hot inputs
    const auto x = eye<double>(items);
    const auto task = dl::modes(transpose(y));
    models::LinearNet<double> net, bent;
    net.weights = {normal<double>(fold_in(own, 2), {items, hidden}, 0, eps),
                   normal<double>(fold_in(own, 3), {hidden, features}, 0, eps)};
    bent = {net.weights, Activation::tanh};
    const auto a = matmul(transpose(task.v), net.weights[0]), b = transpose(matmul(net.weights[1], task.u));
    const auto start = (sum(square(a + b), 1) / 4.0).to_vector(), s = task.s.to_vector();
    const dl::TrainOptions options{.lr = lr, .steps = std::int64_t(12 / (s.back() * lr)), .record_every = 5};
    const auto straight = dl::train(net, x, transpose(y), options), other = dl::train_on_samples(bent, x, y, options);
    for (std::size_t j = 0; j < s.size(); ++j) {
      const auto mode = std::int64_t(j);
      const double theory = std::log(s[j] / start[j] - 1) / (2 * s[j] * lr);
      const double seen = straight.time_of(mode, s[j] / 2), slow = other.time_of(mode, s[j] / 2);
      half_time[j] += seen / simulations;
      linear[j] += (seen < 0 ? NAN : seen / theory - 1) / simulations;
      curved[j] += (slow < 0 ? INFINITY : slow / theory - 1) / simulations;  // not learned in time: the longest delay
      program.log({{"experiment", std::string("hierarchy")},
                   {"simulation", std::int64_t(run)},
                   {"mode", mode},
                   {"s", s[j]},
                   {"theory", theory},
                   {"linear", seen},
                   {"tanh", slow}});
    }
    progress.advance("simulation", run + 1);
  }
  int later = 0;
  double first = 0, least = 1, third = 0;
  for (std::size_t j = 0; j < linear.size(); ++j) {
    index.push_back(double(j + 1));
    later += curved[j] > linear[j];
    if (j < 5) first = std::max(first, linear[j]), least = std::min(least, linear[j]);
    if (j >= 11) third += linear[j] / 5;
  }
  program.print("hierarchy: delay of the half-learning time against theory, mode by mode (linear, tanh):");
  for (std::size_t j = 0; j < linear.size(); ++j)
    program.print("  " + std::to_string(j + 1) + "   " + number(linear[j]) + "   " + number(curved[j]));
  program.plot("delay",
               Plot("Fractional delay of the half-learning time", {.x = "mode", .y = "simulation / theory - 1"})
                   .points("linear network", index, linear)
                   .points("tanh network", index, curved));
  int ordered = 1;
  while (ordered < 8 && half_time[std::size_t(ordered)] > half_time[std::size_t(ordered - 1)]) ++ordered;
  program.check("A4 strongest modes learned in order", double(ordered), examples::at_least(8));
  program.check("A4 least delay of the first five modes", least, examples::at_least(0));
  program.check("A4 largest delay of the first five modes", first, examples::at_most(0.06));
  program.check("A4 mean delay of the last third", third, examples::at_least(0.08));
  program.check("A4 modes that tanh delays further, of 16", double(later), examples::at_least(14));
}

// Steps to learn against depth, for orthogonal and Gaussian starts; the best of many learning rates.
void depth_experiment(Program& program, const Key& key, std::int64_t n) {
  const std::int64_t rank = std::min<std::int64_t>(8, n);
  const auto u = nn::init::orthogonal<double>(fold_in(key, 1), {n, rank}),
             v = nn::init::orthogonal<double>(fold_in(key, 2), {n, rank});
  const auto sigma31 = matmul(u * linspace<double>(6, 2, rank), transpose(v));
  const auto run = [&](models::Start start, int matrices) {
    std::vector<double> rates;
    for (int i = 0; i < 12; ++i) rates.push_back(std::pow(10, -0.2 * i) / (6 * matrices));
    const auto net = models::linear_net<double>(
        fold_in(key, 100 + matrices), std::vector<std::int64_t>(std::size_t(matrices + 1), n), {.start = start});
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
    program.print("  " + std::to_string(d) + " matrices: orthogonal " + std::to_string(o.steps) + " steps at " +
                  number(o.lr) + ", Gaussian " + (g.steps < 0 ? "not within 1500" : std::to_string(g.steps)));
    program.log({{"experiment", std::string("depth")},
                 {"matrices", std::int64_t(d)},
                 {"orthogonal", o.steps},
                 {"gaussian", g.steps},
                 {"lr", o.lr}});
    progress.advance("matrices", d);
  }
  program.plot("depth", Plot("Steps to 5 % of the excess loss of the zero map",
                             {.x = "weight matrices", .y = "steps", .log_x = true, .log_y = true})
                            .line("orthogonal", depth, orthogonal)
                            .line("Gaussian", depth, gaussian));
  program.plot("learning_rate",
               Plot("Best learning rate", {.x = "weight matrices", .y = "learning rate", .log_x = true, .log_y = true})
                   .line("orthogonal", depth, rate));
  program.check("A6 orthogonal steps(64) / steps(8)", orthogonal[5] / orthogonal[2], examples::at_most(2.5));
  program.check("A6 Gaussian needs 5 times as many at 16", std::isnan(gaussian[3]) || gaussian[3] >= 5 * orthogonal[3]);
  program.check("A6 Gaussian does not learn at 32 and 64", std::isnan(gaussian[4]) && std::isnan(gaussian[5]));
  program.check("A6 learning rate times depth, 64 over 8", rate[5] * 64 / (rate[2] * 8), examples::at_least(0.5));
}

// Singular values of products, and the Jacobian's mean square gain in tanh networks against mean field theory.
void isometry_experiment(Program& program, const Key& key, bool smoke) {
  const std::int64_t n = smoke ? 60 : 160;
  const int layers = smoke ? 20 : 100;
  const auto orthogonal =
      dl::product(models::linear_net<double>(fold_in(key, 1), std::vector<std::int64_t>(std::size_t(layers + 1), n)));
  const auto s = linalg::svdvals(orthogonal).to_vector();
  program.check("A7 orthogonal product: largest |s - 1|", std::max(std::abs(s.front() - 1), std::abs(s.back() - 1)),
                examples::at_most(1e-10));
  std::vector<double> gain_at, simulated, theory;
  double worst = 0;
  for (const double gain : {0.9, 0.95, 1.0, 1.05, 1.1}) {
    const auto x = normal<double>(fold_in(key, 3), {n});
    double mean = 0, q = gain * gain * sum(square(x)).item() / double(n), expected = gain * gain;
    constexpr int kNetworks = 4;  // at finite width the mean fluctuates from one network to the next
    for (int i = 0; i < kNetworks; ++i) {
      const auto net =
          models::linear_net<double>(fold_in(fold_in(key, 2), i), std::vector<std::int64_t>(std::size_t(layers + 1), n),
                                     {.activation = Activation::tanh, .gain = gain});
      for (double value : dl::jacobian_singular_values(net, x).to_vector())
        mean += value * value / double(n * kNetworks);
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
  program.plot("gains", Plot("Mean square singular value of the Jacobian", {.x = "gain", .y = "log10"})
                            .points("networks", gain_at, simulated)
                            .dashes("mean field", gain_at, theory));
  program.check("A8 largest |log10 mean s^2 - mean field|", worst, examples::at_most(smoke ? 0.3 : 0.12));
}

// Real images: time to learn against depth (decoupled starts, then random ones), and how far the directions of the
// inputs agree with those of the task. Training sees the second moments alone, so a step costs microseconds.
void mnist_experiment(Program& program, const Key& key, const std::vector<int>& depths, double u0) {
  const auto set =
      program.data().empty() ? data::synthetic::glyphs_dataset(key, 20000, 4000) : data::mnist(program.data());
  program.fact("images", set.name);
  const auto whole = dl::class_moments(set.train_images, set.train_labels, set.classes);
  const auto task = dl::modes(whole.sigma31, 1e-8);
  const std::int64_t k = task.s.numel(), in = whole.sigma11.shape()[0], out = set.classes;

  const double agreement = dl::consistency(whole.sigma11, task.v);
  const double control =
      dl::consistency(whole.sigma11, matmul(task.v, nn::init::orthogonal<double>(fold_in(key, 1), {k, k})));
  program.print("modes: " + std::to_string(k) + ", strengths " + number(task.s.at({0})) + " to " +
                number(task.s.at({k - 1})));
  program.print("consistency: " + number(agreement) + "; after a random rotation of the modes: " + number(control));
  program.check("B3 consistency over that of rotated modes", agreement / control, examples::at_most(0.35));
  if (set.name == "mnist")
    program.check("B3 |consistency - .125|", std::abs(agreement - 0.125), examples::at_most(0.01));
  if (set.name == "fashion-mnist")
    program.check("B3 |consistency - .281|", std::abs(agreement - 0.281), examples::at_most(0.01));

  const auto moments = dl::in_eigenbasis(whole);
  const auto rotated = dl::modes(moments.sigma31, 1e-8);
  const auto rates = [](int count, double lowest) {
    std::vector<double> r;
    for (int i = 0; i < count; ++i) r.push_back(1e-4 * std::pow(lowest / 1e-4, double(i) / (count - 1)));
    return r;
  };
  const auto sizes = [&](int depth, std::int64_t width) {
    std::vector<std::int64_t> s(std::size_t(depth), width);
    s.front() = in, s.back() = out;
    return s;
  };
  const auto steps = [](const dl::Fastest& f) {
    return f.steps < 0 ? std::string("not within 1500") : std::to_string(f.steps);
  };
  const dl::DepthOptions until{.threshold = 0.1, .max_steps = 1500};

  std::vector<double> depth, time, rate;
  for (const int d : depths) {
    const auto net = dl::decoupled<double>(fold_in(key, 100 + d), rotated, sizes(d, k), u0);
    const auto f = dl::fastest(net, moments.sigma11, moments.sigma31, rates(20, 1e-7), until);
    depth.push_back(d), time.push_back(f.steps < 0 ? NAN : double(f.steps)), rate.push_back(f.lr);
    program.print("  decoupled, depth " + std::to_string(d) + ": " + steps(f) + " steps at " + number(f.lr) +
                  ", times depth " + number(f.lr * d));
    program.log({{"experiment", std::string("mnist")},
                 {"start", std::string("decoupled")},
                 {"depth", std::int64_t(d)},
                 {"steps", f.steps},
                 {"lr", f.lr}});
  }
  program.plot("depth_of_images",
               Plot("Steps to a tenth of the excess loss of the zero map", {.x = "layers", .y = "steps", .log_x = true})
                   .line("decoupled", depth, time));
  double at_ten = NAN, at_hundred = NAN, least = INFINITY, most = 0;
  for (std::size_t i = 0; i < depth.size(); ++i) {
    if (depth[i] == 10) at_ten = time[i];
    if (depth[i] == 100) at_hundred = time[i];
    if (depth[i] >= 10) least = std::min(least, rate[i] * depth[i]), most = std::max(most, rate[i] * depth[i]);
  }
  if (!std::isnan(at_ten + at_hundred))
    program.check("B1 steps(100) / steps(10)", at_hundred / at_ten, examples::at_most(4));
  program.check("B1 rate times depth, largest over least from depth 10 on", most / least, examples::at_most(1.6));

  const auto random = [&](models::Start start, int d, int run) {
    const auto net = models::linear_net<double>(fold_in(key, 1000 * run + d), sizes(d, 32), {.start = start});
    return dl::fastest(net, moments.sigma11, moments.sigma31, rates(25, 1e-8), until);
  };
  for (int run = 0; run < 2; ++run) {
    std::vector<dl::Fastest> o, g;
    for (const int d : {5, 20, 50}) {
      o.push_back(random(models::Start::orthogonal, d, run)), g.push_back(random(models::Start::gaussian, d, run));
      program.print("  depth " + std::to_string(d) + ": orthogonal " + steps(o.back()) + ", Gaussian " +
                    steps(g.back()));
      program.log({{"experiment", std::string("mnist")},
                   {"start", std::string("random")},
                   {"depth", std::int64_t(d)},
                   {"orthogonal", o.back().steps},
                   {"gaussian", g.back().steps}});
    }
    program.check("B2 orthogonal steps(50) / steps(5)", double(o[2].steps) / double(o[0].steps),
                  examples::at_most(2.5));
    program.check("B2 Gaussian needs 3 times as many at 20", g[1].steps < 0 || g[1].steps >= 3 * o[1].steps);
    program.check("B2 Gaussian needs 10 times as many at 50, or fails",
                  g[2].steps < 0 || g[2].steps >= 10 * o[2].steps);
  }

  // Greedy pretraining sees the inputs through their moments: the rows of this matrix have the same.
  const std::vector<std::int64_t> five = sizes(5, 32);
  const auto inputs = diag(sqrt(moments.sigma11 / max(moments.sigma11) * double(in)));
  auto small = models::linear_net<double>(fold_in(key, 7), five, {.start = models::Start::gaussian});
  for (auto& w : small.weights) w = w * (0.01 * std::sqrt(double(w.shape()[0])));  // standard deviation .01
  const auto before =
      dl::fastest(small, moments.sigma11, moments.sigma31, rates(25, 1e-8), {.threshold = 0.1, .max_steps = 6000});
  const auto pretrained =
      dl::pretrain_greedily(models::linear_net<double>(fold_in(key, 8), five, {.start = models::Start::gaussian}),
                            inputs, {.lr = 0.6, .steps = 30});
  const auto after = dl::fastest(pretrained.net, moments.sigma11, moments.sigma31, rates(25, 1e-8), until);
  const auto orthogonal = random(models::Start::orthogonal, 5, 0);
  program.print("  5 layers: Gaussian of standard deviation .01 " + steps(before) + "; greedy pretraining " +
                std::to_string(pretrained.steps) + ", then " + steps(after) + "; orthogonal " + steps(orthogonal));
  program.check("B2 pretraining and training in fewer steps than small Gaussian",
                after.steps >= 0 && (before.steps < 0 || pretrained.steps + after.steps < before.steps));
  // Pretrained weights pass the inputs' strongest directions at full gain, which costs learning rate on this data.
  program.check("B2 steps after pretraining over orthogonal",
                after.steps < 0 ? INFINITY : double(after.steps) / double(orthogonal.steps), examples::at_most(3));
}

// "3,10,100": numbers of layers, at least 3.
std::vector<int> depths_of(const std::string& text) {
  std::vector<int> depths;
  std::size_t at = 0;
  while (at <= text.size()) {
    const std::size_t comma = std::min(text.find(',', at), text.size());
    const std::string word = text.substr(at, comma - at);
    if (word.empty() || word.size() > 6 || word.find_first_not_of("0123456789") != std::string::npos ||
        std::stoi(word) < 3)
      throw Error("[deep_linear] --depth " + text +
                  ": numbers of layers, at least 3, with commas between, are expected");
    depths.push_back(std::stoi(word));
    at = comma + 1;
  }
  return depths;
}

int main(int argc, char** argv) {
  Program program("deep_linear", "holds deep linear networks against the exact theory of their learning.");
  std::string experiment = "modes,hierarchy";
  std::string depth = "3,5,10,20,50,100";
  int hidden = 16, simulations = 3;
  double u0 = 1e-3, lr = 1e-3;
  program.option("experiment", experiment,
                 "modes, hierarchy, depth, isometry, mnist (a comma between several), or all");
  program.option("depth", depth, "layers of the networks of mnist");
  program.option("sims", simulations, "simulations that the delays of the hierarchy are averaged over");
  program.option("hidden", hidden, "hidden units of the hierarchy");
  program.option("u0", u0, "initial strength of each mode");
  program.option("lr", lr, "learning rate of the modes");
  return program.run(argc, argv, [&] {
    const Key key{program.seed()};
    const auto wanted = [&](const std::string& name) {
      return experiment == "all" || ("," + experiment + ",").find("," + name + ",") != std::string::npos;
    };
    program.fact("data",
                 wanted("mnist") && !program.data().empty() ? program.data() : "synthetic, drawn from the seed");
    program.fact("experiments", experiment);
    int run = 0;
    if (wanted("modes")) modes_experiment(program, fold_in(key, 1), u0, program.smoke() ? 0.01 : lr), ++run;
    if (wanted("hierarchy") && !program.smoke())
      hierarchy_experiment(program, fold_in(key, 2), hidden, simulations), ++run;
    if (wanted("depth")) depth_experiment(program, fold_in(key, 3), 24), ++run;
    if (wanted("isometry")) isometry_experiment(program, fold_in(key, 4), program.smoke()), ++run;
    if (wanted("mnist")) mnist_experiment(program, fold_in(key, 5), depths_of(depth), u0), ++run;
    if (!run)
      throw Error("[deep_linear] --experiment " + experiment +
                  ": modes, hierarchy, depth, isometry, mnist or all are expected");
    program.conclude("Gradient descent in deep linear networks follows its closed form.");
  });
}
