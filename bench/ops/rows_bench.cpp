// Reductions and row operations at the shapes of the goals: nanoseconds an element, bytes a second of the compulsory traffic
// (input and output once) beside a copy of that working set in this run.
//
//   --threads=2      instead of 1
//   --only=softmax   rows whose name contains that
//   --serve          for bench/peers/rows.py, which takes turns with PyTorch: reads names, answers seconds a call
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <iostream>
#include <random>
#include <string>
#include <vector>

#include "bench/support/contest.hpp"
#include "bench/support/limits.hpp"
#include "ergo/autograd/transforms.hpp"
#include "ergo/ops/cross_entropy.hpp"
#include "ergo/ops/normalization.hpp"
#include "ergo/ops/scan.hpp"
#include "ergo/ops/softmax.hpp"
#include "ergo/ops/statistics.hpp"

namespace {

using namespace ergo;

struct Row {
  std::string name;
  double elements, bytes;
  std::function<void()> run;
};

Tensor<float> normals(const Shape& s) {
  std::mt19937 random(1);
  std::normal_distribution<float> normal;
  std::vector<float> v(std::size_t(s.numel()));
  for (float& x : v) x = normal(random);
  return from_span<float>(v, s);
}

template <class F>
void add(std::vector<Row>& rows, const std::string& name, const Shape& s, double arrays, F f) {
  rows.push_back({name + " " + to_string(s), double(s.numel()), arrays * 4 * double(s.numel()), [f] { bench::keep(f()); }});
}

std::vector<Row> make_rows() {
  std::vector<Row> rows;
  for (const std::int64_t n : {std::int64_t(100000), std::int64_t(10000000)}) {
    const auto x = normals({n});
    add(rows, "sum", {n}, 1, [x] { return sum(x); });
    add(rows, "max", {n}, 1, [x] { return max(x); });
    add(rows, "norm", {n}, 1, [x] { return norm(x); });
    add(rows, "logsumexp", {n}, 1, [x] { return logsumexp(x); });
    add(rows, "cumsum", {n}, 2, [x] { return cumsum(x); });
  }
  for (const Shape& s : {Shape{64, 10}, Shape{2048, 256}, Shape{8192, 1024}}) {
    const auto x = normals(s), g = normals(s), gamma = normals({s[1]}), beta = normals({s[1]});
    std::vector<std::int64_t> v;
    for (std::int64_t i = 0; i < s[0]; ++i) v.push_back(i * 7 % s[1]);
    const auto labels = from_span<std::int64_t>(v, {s[0]});
    const auto softmax_of = [](const Tensor<float>& p) { return softmax(p); };
    const auto log_softmax_of = [](const Tensor<float>& p) { return log_softmax(p); };
    using Three = std::tuple<Tensor<float>, Tensor<float>, Tensor<float>>;
    const auto norm_of = [](const Three& p) { return layer_norm(std::get<0>(p), std::get<1>(p), std::get<2>(p)); };
    const auto loss_of = [labels](const Tensor<float>& p) { return cross_entropy(p, labels); };
    add(rows, "sum rows", s, 1, [x] { return sum(x, -1); });
    add(rows, "sum columns", s, 1, [x] { return sum(x, 0); });
    add(rows, "variance rows", s, 1, [x] { return variance(x, -1); });
    add(rows, "argmax rows", s, 1, [x] { return argmax(x, -1); });
    add(rows, "logsumexp rows", s, 1, [x] { return logsumexp(x, -1); });
    add(rows, "cumsum rows", s, 2, [x] { return cumsum(x, -1); });
    add(rows, "softmax", s, 2, [=] { return softmax_of(x); });
    add(rows, "softmax + backward", s, 5, [=] { return vjp(softmax_of, x).second(g); });
    add(rows, "log_softmax", s, 2, [=] { return log_softmax_of(x); });
    add(rows, "log_softmax + backward", s, 5, [=] { return vjp(log_softmax_of, x).second(g); });
    add(rows, "layer_norm", s, 2, [=] { return layer_norm(x, gamma, beta); });
    add(rows, "layer_norm + backward", s, 5, [=] { return vjp(norm_of, Three{x, gamma, beta}).second(g); });
    add(rows, "cross_entropy", s, 1, [=] { return loss_of(x); });
    add(rows, "cross_entropy + backward", s, 2, [=] { return value_and_grad(loss_of)(x); });
    add(rows, "mse + backward", s, 3, [=] { return value_and_grad([g](const Tensor<float>& p) { return mse(p, g); })(x); });
  }
  return rows;
}

// Seconds of one call, over a few milliseconds.
double sample(const Row& row) {
  row.run();
  long calls = 1;
  for (;;) {
    const double start = bench::wall_seconds();
    for (long i = 0; i < calls; ++i) row.run();
    const double spent = bench::wall_seconds() - start;
    if (spent > 3e-3) return spent / double(calls);
    calls = spent > 3e-4 ? long(double(calls) * 4e-3 / spent) + 1 : calls * 4;
  }
}

}  // namespace

int main(int argc, char** argv) {
  std::string only;
  bool serve = false;
  int threads = 1;
  for (int i = 1; i < argc; ++i) {
    const std::string argument = argv[i];
    if (argument.rfind("--only=", 0) == 0) only = argument.substr(7);
    if (argument.rfind("--threads=", 0) == 0) threads = std::atoi(argument.c_str() + 10);
    if (argument == "--serve") serve = true;
  }
  set_num_threads(threads);
  const std::vector<Row> rows = make_rows();
  if (serve) {
    for (const Row& row : rows) std::cout << row.name << "\t" << row.bytes << "\n";
    std::cout << std::endl;
    for (std::string name; std::getline(std::cin, name);)
      for (const Row& row : rows)
        if (row.name == name) std::cout << sample(row) << std::endl;
    return 0;
  }
  std::printf("%d thread%s, %s\n%-42s %10s %10s %8s %8s %8s\n", threads, threads > 1 ? "s" : "", cpu::name(cpu::isa()), "", "us",
              "median", "ns/elem", "GB/s", "% copy");
  for (const Row& row : rows) {
    if (row.name.find(only) == std::string::npos) continue;
    bench::Contest contest;
    contest.add(row.name, row.run);
    contest.run();
    const bench::Contestant& ours = contest.contestants()[0];
    const double rate = row.bytes / ours.minimum(), limit = bench::copy_bandwidth(std::int64_t(row.bytes) / 64 * 64 + 4096, threads);
    std::printf("%-42s %10.2f %10.2f %8.3f %8.1f %7.0f%%%s\n", row.name.c_str(), ours.minimum() * 1e6, ours.median() * 1e6,
                ours.minimum() * 1e9 / row.elements, rate / 1e9, 100 * rate / limit,
                ours.median() > 1.5 * ours.minimum() ? " *" : "");
    std::fflush(stdout);
  }
}
