// Deep linear networks against closed forms: the criteria A1, A2, A3, A5, A7, A9 of Saxe, McClelland, Ganguli's theory,
// each printed with its threshold and value.
#include "ergo/algorithms/deep_linear_depth.hpp"

#include <doctest/doctest.h>

#include <algorithm>
#include <cmath>
#include <cstdio>

#include "support/seed.hpp"

namespace algorithms_deep_linear_test {

using namespace ergo;
namespace dl = ergo::deep_linear;

namespace {

Key fresh_key(int salt) { return fold_in(Key{test_seed()}, salt); }

void report(const char* criterion, const char* what, double value, const char* threshold) {
  std::printf("%-3s %-70s %12.6g   (%s)\n", criterion, what, value, threshold);
}

struct Task {
  Tensor<double> sigma31;
  dl::Modes modes;
};
Task task_of(const Key& key, std::int64_t n, const Tensor<double>& strengths) {
  const std::int64_t k = strengths.numel();
  const auto u = nn::init::orthogonal<double>(fold_in(key, 1), {n, k}),
             v = nn::init::orthogonal<double>(fold_in(key, 2), {n, k});
  const Tensor<double> sigma31 = matmul(u * strengths, transpose(v));
  return {sigma31, dl::modes(sigma31)};
}

double logistic_error(const Key& key, double lr, double* off_diagonal, double* drift) {
  const std::int64_t n = 16, k = 8;
  const double u0 = 1e-3;
  const Task task = task_of(key, n, linspace<double>(2, 0.6, k));
  auto net = dl::decoupled<double>(fold_in(key, 3), task.modes, std::vector<std::int64_t>{n, n, n}, u0);
  const auto before = dl::conserved(net, task.modes);
  const auto curve = dl::train(
      net, eye<double>(n), task.sigma31,
      {.lr = lr, .steps = std::int64_t(8 / lr), .record_every = std::max<std::int64_t>(1, std::int64_t(0.02 / lr))});
  const auto after = dl::conserved(net, task.modes), u = curve.strength.to_vector(), s = task.modes.s.to_vector();
  double worst = 0;
  for (std::size_t i = 0; i < curve.step.size(); ++i)
    for (std::size_t j = 0; j < s.size(); ++j)
      worst = std::max(
          worst, std::abs(u[i * s.size() + j] - dl::mode_strength(double(curve.step[i]), s[j], u0, 1 / lr)) / s[j]);
  *drift = 0;
  for (std::size_t j = 0; j < s.size(); ++j) *drift = std::max(*drift, std::abs(after[j] - before[j]));
  *off_diagonal = dl::project(net, task.modes).off_diagonal;
  return worst;
}

}  // namespace

TEST_CASE("A1: gradient descent from a decoupled start follows the logistic curve") {
  double off = 0, drift = 0;
  const double coarse = logistic_error(fresh_key(1), 0.01, &off, &drift),
               middle = logistic_error(fresh_key(1), 0.005, &off, &drift),
               fine = logistic_error(fresh_key(1), 0.001, &off, &drift);
  report("A1", "max |u - theory| / s at learning rate 0.001", fine, "<= 0.006");
  report("A1", "error at 0.01 over error at 0.005: first order", coarse / middle, "in [1.9, 2.1]");
  report("A1", "largest off-diagonal mode", off, "< 1e-10");
  report("A1", "drift of a^2 - b^2", drift, "<= learning rate 0.001");
  CHECK(fine <= 0.006);
  CHECK(coarse / middle >= 1.9);
  CHECK(coarse / middle <= 2.1);
  CHECK(off < 1e-10);
  CHECK(drift <= 0.001);
}

namespace {
struct Pair {  // a and b of one mode
  double a, b;
  friend Pair operator+(Pair x, Pair y) { return {x.a + y.a, x.b + y.b}; }
  friend Pair operator*(Pair x, double f) { return {x.a * f, x.b * f}; }
};
}  // namespace

TEST_CASE("A2: the unbalanced solution against Runge-Kutta") {
  double worst = 0;
  const double cases[][4] = {{1, 0.5, 0.1, 0.9}, {2, 0.3, 0.01, 1.5}, {0.7, 0.9, 0.2, 0.6}, {3, 0.05, 0.04, 2.9}};
  for (const auto& c : cases) {
    const double s = c[0], tau = 1.7, time = dl::learning_time_unbalanced(s, c[1], c[2], c[3], tau);
    const auto flow = [&](double, Pair p) { return Pair{p.b * (s - p.a * p.b) / tau, p.a * (s - p.a * p.b) / tau}; };
    constexpr int kSteps = 20000;
    Pair p{c[1], c[2]};
    for (int i = 0; i < kSteps; ++i) p = quadrature::rk4_step(flow, 0.0, p, time / kSteps);
    // The error in u, as one in time: du/dt = (a^2 + b^2)(s - u) / tau.
    const double u = p.a * p.b, speed = (p.a * p.a + p.b * p.b) * (s - u) / tau;
    worst = std::max(worst, std::abs(u - c[3]) / speed / time);
    CHECK(dl::learning_time_unbalanced(s, c[2], c[1], c[3], tau) == time);  // symmetric in the two
  }
  report("A2", "relative error of the time, four cases", worst, "<= 1e-9");
  CHECK(worst <= 1e-9);
}

TEST_CASE("A3: half-learning times from random starts, without a free parameter") {
  double least = 1e9, most = 0;
  const int starts = 5;  // each ratio is the mean over as many random starts
  for (const double eps : {1e-2, 1e-3, 1e-4}) {
    double mean[3] = {};
    for (int start = 0; start < starts; ++start) {
      const Key key = fold_in(fresh_key(int(1 / eps)), start);
      const std::int64_t n = 16;
      const double lr = 0.005;
      const Task task = task_of(key, n, tensor<double>({4, 2, 1}));
      models::LinearNet<double> net;
      for (int l = 0; l < 2; ++l) net.weights.push_back(normal<double>(fold_in(key, 10 + l), {n, n}, 0, eps));
      const Tensor<double> a = matmul(transpose(task.modes.v), net.weights[0]),
                           b = transpose(matmul(net.weights[1], task.modes.u));
      const auto effective = (sum(square(a + b), 1) / 4.0).to_vector(), s = task.modes.s.to_vector();
      const auto curve =
          dl::train(net, eye<double>(n), task.sigma31, {.lr = lr, .steps = std::int64_t(14 / lr), .record_every = 4});
      for (std::size_t j = 0; j < s.size(); ++j) {
        const double theory = std::log(s[j] / effective[j] - 1) / (2 * s[j] * lr);
        mean[j] += curve.time_of(std::int64_t(j), s[j] / 2) / theory / starts;
      }
    }
    for (double ratio : mean) {
      least = std::min(least, ratio);
      most = std::max(most, ratio);
    }
  }
  report("A3", "least ratio of half-learning time to theory", least, ">= 0.98");
  report("A3", "largest", most, "<= 1.06");
  CHECK(least >= 0.98);
  CHECK(most <= 1.06);
}

TEST_CASE("A5: depth delays learning by a finite time") {
  // The mode equation under discrete gradient descent at 0.02 of the optimal rate; time in units of that rate.
  const double s = 1, u0 = 0.05, uf = 0.9, fraction = 0.02;
  const auto time = [&](int depth) {
    const double matrices = depth - 1, lr = fraction * dl::optimal_learning_rate(depth, s);
    double a = std::pow(u0, 1 / matrices), u = u0;
    std::int64_t steps = 0;
    double before = u;
    while (u < uf) {
      before = u;
      a += lr * std::pow(a, matrices - 1) * (s - u);
      u = std::pow(a, matrices);
      ++steps;
    }
    return (double(steps) - (u - uf) / (u - before)) * fraction;
  };
  const double t3 = time(3), t30 = time(30), t300 = time(300), t1000 = time(1000), theory = s / u0 - s / uf;
  report("A5", "t(1000) - t(3), relative to s/u0 - s/uf", (t1000 - t3) / theory, "within 2 % of 1");
  report("A5", "t(1000) / t(300)", t1000 / t300, "<= 1.02");
  report("A5", "t(30) / t(3)", t30 / t3, ">= 3");
  CHECK(std::abs((t1000 - t3) / theory - 1) <= 0.02);
  CHECK(t1000 / t300 <= 1.02);
  CHECK(t30 / t3 >= 3);
  for (const int depth : {3, 4, 10, 100})  // the closed form and its quadrature, at the same small rate
    CHECK(dl::learning_time(s, u0, uf, 1, depth) * (depth - 1) == doctest::Approx(time(depth)).epsilon(0.02));
  CHECK(dl::learning_time(s, u0, uf, 1, 100000) * 99999 ==
        doctest::Approx(dl::learning_time(s, u0, uf, 1, dl::kInfiniteDepth)).epsilon(1e-3));
}

TEST_CASE("A7: products of orthogonal matrices stay isometries, of Gaussian ones collapse") {
  const Key key = fresh_key(70);
  {
    models::LinearNet<double> net = models::linear_net<double>(key, std::vector<int>(101, 64));
    const auto s = linalg::svdvals(dl::product(net)).to_vector();
    double worst = 0;
    for (double x : s) worst = std::max(worst, std::abs(x - 1));
    report("A7", "orthogonal, 100 factors: max |s - 1|", worst, "< 1e-10");
    CHECK(worst < 1e-10);
  }
  // The largest singular value of one product fluctuates more the more factors it has, so it is averaged over products.
  const std::int64_t n = 400;
  const int products = 6;
  double median[21] = {};
  for (const int l : {1, 2, 5, 20}) {
    double second = 0, fourth = 0, edge = 0;
    for (int r = 0; r < products; ++r) {
      Tensor<double> p = eye<double>(n);
      for (int i = 0; i < l; ++i)
        p = matmul(p, nn::init::scaled_normal<double>(fold_in(key, 1000 * l + 100 * r + i), {n, n}));
      const auto s = linalg::svdvals(p).to_vector();
      for (double x : s) second += x * x / double(n * products), fourth += x * x * x * x / double(n * products);
      edge += s[0] * s[0] / dl::fuss_catalan_edge(l) / products;
      median[l] += std::log10(s[std::size_t(n / 2)]) / products;
    }
    CAPTURE(l);
    report("A7", ("Gaussian, " + std::to_string(l) + " factors: largest s^2 over the Fuss-Catalan edge").c_str(), edge,
           "in (0.7, 1.05)");
    CHECK(edge > 0.7);
    CHECK(edge < 1.05);
    if (l > 5) continue;
    report("A7", "  mean s^2", second, "1 +- 0.1");
    report("A7", "  mean s^4 over L + 1", fourth / (l + 1), "1 +- 0.1");
    CHECK(std::abs(second - 1) <= 0.1);
    CHECK(std::abs(fourth / (l + 1) - 1) <= 0.1);
  }
  const double per_layer = (median[20] - median[1]) / 19;
  report("A7", "log10 of the median singular value, per layer from 1 to 20", per_layer, "in [-0.2, -0.1]");
  CHECK(per_layer < -0.1);
  CHECK(per_layer > -0.2);
}

namespace {
// Q of a square row-major matrix by Householder reflections as textbooks have them, beta = -sign(a11) |a|, signs left
// as they fall.
std::vector<double> textbook_q(std::vector<double> a, int n) {
  std::vector<double> q(std::size_t(n * n));
  for (int i = 0; i < n; ++i) q[std::size_t(i * n + i)] = 1;
  for (int k = 0; k + 1 < n; ++k) {
    std::vector<double> v(std::size_t(n), 0.0);
    double norm = 0;
    for (int i = k; i < n; ++i)
      v[std::size_t(i)] = a[std::size_t(i * n + k)], norm += v[std::size_t(i)] * v[std::size_t(i)];
    v[std::size_t(k)] += (v[std::size_t(k)] < 0 ? -1 : 1) * std::sqrt(norm);
    double vv = 0;
    for (double x : v) vv += x * x;
    for (int j = 0; j < n; ++j) {
      double along = 0, across = 0;
      for (int i = 0; i < n; ++i) {
        along += v[std::size_t(i)] * a[std::size_t(i * n + j)];
        across += v[std::size_t(i)] * q[std::size_t(j * n + i)];
      }
      for (int i = 0; i < n; ++i) {
        a[std::size_t(i * n + j)] -= 2 * along / vv * v[std::size_t(i)];
        q[std::size_t(j * n + i)] -= 2 * across / vv * v[std::size_t(i)];
      }
    }
  }
  return q;
}

struct HaarScores {  // in standard errors from what Haar's measure gives
  double trace, fourth, first, first_unfixed;
  int unfixed_negative;
};
HaarScores haar_scores(const Key& key, int n, int draws) {
  double trace2 = 0, trace4 = 0, fourth = 0, eighth = 0, first = 0, unfixed = 0;
  int negative = 0;
  for (int d = 0; d < draws; ++d) {
    const auto o = nn::init::orthogonal<double>(fold_in(key, d), {n, n}).to_vector();
    double t = 0;
    for (int i = 0; i < n; ++i) t += o[std::size_t(i * n + i)];
    trace2 += t * t / draws;
    trace4 += t * t * t * t / draws;
    fourth += std::pow(o[1], 4) / draws;
    eighth += std::pow(o[1], 8) / draws;
    first += o[0] / draws;
    const double u = textbook_q(normal<double>(fold_in(key, draws + d), {n, n}).to_vector(), n)[0];
    unfixed += u / draws;
    negative += u < 0;
  }
  const double sigma1 = std::sqrt(1.0 / n / draws);
  return {(trace2 - 1) / std::sqrt((trace4 - trace2 * trace2) / draws),
          (fourth - 3.0 / (n * (n + 2))) / std::sqrt((eighth - fourth * fourth) / draws), first / sigma1,
          unfixed / sigma1, negative};
}
}  // namespace

TEST_CASE("A9: nn::init::orthogonal is Haar distributed, QR without the sign fix is not") {
  const int n = 8, draws = 2000;
  HaarScores h = haar_scores(fresh_key(90), n, draws);
  // One run in a hundred leaves three standard errors by chance; it is then asked to confirm that on fresh draws.
  if (std::max({std::abs(h.trace), std::abs(h.fourth), std::abs(h.first)}) > 3)
    h = haar_scores(fresh_key(91), n, draws);
  report("A9", "E (tr O)^2 = 1, in standard errors", h.trace, "within 3");
  report("A9", "E O_ij^4 = 3 / (N (N + 2))", h.fourth, "within 3");
  report("A9", "E O_11 = 0", h.first, "within 3");
  report("A9", "control, no sign fix: E O_11", h.first_unfixed, "beyond 3: must fail");
  CHECK(std::abs(h.trace) <= 3);
  CHECK(std::abs(h.fourth) <= 3);
  CHECK(std::abs(h.first) <= 3);
  CHECK(std::abs(h.first_unfixed) > 3);
}

TEST_CASE("bad input is an Error that says what was expected") {
  const auto message = [](auto f) -> std::string {
    try {
      f();
    } catch (const Error& e) { return e.what(); }
    return "";
  };
  CHECK(message([] { dl::learning_time(1, 0.1, 1.2, 1, 3); }) ==
        "[deep_linear.learning_time] uf 1.2 >= s 1: never reached");
  CHECK(message([] { dl::learning_time(1, 0.1, 0.5, 1, 2); }) ==
        "[deep_linear.learning_time] depth 2: at least 3 layers (two matrices)");
  CHECK(message([] { dl::mode_strength(1, -1, 0.1, 1); }) ==
        "[deep_linear.mode_strength] s -1 is not a positive number");
  CHECK(message([] { dl::learning_time_unbalanced(1, 0.3, 0.3, 0.5, 1); }) ==
        "[deep_linear.learning_time_unbalanced] a0 = b0 = 0.3: use learning_time, the balanced form");
  const Task task = task_of(fresh_key(5), 6, tensor<double>({3, 2, 1}));
  CHECK(message([&] {
          dl::decoupled<double>(Key{1}, task.modes, std::vector<int>{6, 2, 6}, 0.1);
        }) == "[deep_linear.decoupled] layer 1 has 2 units for 3 modes");
  auto net = models::linear_net<double>(Key{1}, {6, 6, 6});
  CHECK(message([&] {
          dl::train(net, tensor<double>({{1, 2}, {0, 1}}), task.sigma31, {});
        }).find("Sigma11 (in, in), or its eigenvalues (in,), and Sigma31") != std::string::npos);
  CHECK(message([&] { dl::train(net, -eye<double>(6), task.sigma31, {}); }) ==
        "[deep_linear.train] (6, 6) and (6, 6): Sigma11 has a negative eigenvalue");
  CHECK(message([&] {
          dl::train(net, eye<double>(6), task.sigma31, {.lr = 50, .steps = 100});
        }).find("not finite at step") != std::string::npos);
  const Task full = task_of(fresh_key(6), 4, tensor<double>({4, 3, 2, 1}));
  auto square = models::linear_net<double>(Key{1}, {4, 4, 4});
  const int sign = dl::detail::determinant_sign(dl::product(square)) * dl::detail::determinant_sign(full.sigma31);
  auto flipped = square;
  if (sign > 0) flipped.weights[0] = flipped.weights[0] * tensor<double>({-1, 1, 1, 1});
  CHECK(message([&] { dl::train(flipped, eye<double>(4), full.sigma31, {}); }).find("opposite signs") !=
        std::string::npos);
}

}  // namespace algorithms_deep_linear_test
