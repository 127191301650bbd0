// Matrix products beside every peer that is installed, in one process: GFLOP/s (best of the repeats), fraction of the
// peak measured in this run, and the strongest peer's time over ours.
//
//   --repeats=25     instead of 9
//   --type=float     one type only; --threads=2, --shape=64x512x784, --kind=NT likewise
#include <cstdio>
#include <cstring>
#include <random>
#include <string>
#include <vector>

#include "bench/peers/gemm_peers.hpp"
#include "bench/support/contest.hpp"
#include "bench/support/limits.hpp"
#include "ergo/cpu/gemm.hpp"

namespace {

struct Row {
  const char* kind;
  bench::GemmCase shape;
};

const Row kRows[] = {
    {"NN", {8, 8, 8, false, false}},          {"NN", {16, 16, 16, false, false}},
    {"NN", {32, 32, 32, false, false}},       {"NN", {64, 64, 64, false, false}},
    {"NN", {128, 128, 128, false, false}},    {"NN", {192, 192, 192, false, false}},
    {"NN", {256, 256, 256, false, false}},    {"NN", {384, 384, 384, false, false}},
    {"NN", {512, 512, 512, false, false}},    {"NN", {768, 768, 768, false, false}},
    {"NN", {1024, 1024, 1024, false, false}}, {"NT", {32, 32, 32, false, true}},
    {"NT", {64, 64, 64, false, true}},        {"NT", {128, 128, 128, false, true}},
    {"NT", {256, 256, 256, false, true}},     {"NT", {512, 512, 512, false, true}},
    {"NT", {1024, 1024, 1024, false, true}},  {"TN", {64, 64, 64, true, false}},
    {"TN", {256, 256, 256, true, false}},     {"TN", {512, 512, 512, true, false}},
    {"TN", {1024, 1024, 1024, true, false}},  {"NN", {64, 512, 784, false, false}},
    {"NT", {64, 512, 784, false, true}},      {"NN", {64, 512, 512, false, false}},
    {"NT", {64, 512, 512, false, true}},      {"TN", {784, 512, 64, true, false}},
    {"NN", {64, 10, 512, false, false}},      {"NT", {64, 10, 512, false, true}},
    {"TN", {512, 10, 64, true, false}},       {"NN", {1, 512, 512, false, false}},
    {"NT", {1, 512, 512, false, true}},       {"NN", {512, 1, 512, false, false}},
    {"NN", {16, 64, 64, false, false}},       {"NT", {16, 64, 64, false, true}},
};

struct Options {
  std::string type, shape, kind;
  int threads = 0;
  bench::ContestOptions contest{.repeats = 9, .sample_seconds = 3e-3, .pause_seconds = 0};
};

template <class T>
const auto& peer_function(const bench::GemmPeer& peer) {
  if constexpr (sizeof(T) == 4) {
    return peer.run_float;
  } else {
    return peer.run_double;
  }
}

template <class T>
void run_type(const Options& options, const char* name, int threads, const std::vector<bench::GemmPeer>& peers) {
  using namespace ergo::cpu;
  ergo::set_num_threads(threads);
  for (const bench::GemmPeer& peer : peers) {
    if (peer.set_threads) peer.set_threads(threads);
  }
  const double peak = bench::peak_flops<T>(threads);
  std::printf("\n%s, %d thread%s: peak %.1f GFLOP/s (%s)\n", name, threads, threads > 1 ? "s" : "", peak / 1e9,
              ergo::cpu::name(isa()));
  std::printf("%-18s %8s %6s %7s  ", "shape (m n k)", "ergo", "%peak", "ratio");
  for (const bench::GemmPeer& peer : peers) {
    if (peer_function<T>(peer)) std::printf(" %9s", peer.name.c_str());
  }
  std::printf("\n");
  std::mt19937 random(7);
  std::uniform_real_distribution<double> uniform(-1, 1);
  for (const Row& row : kRows) {
    const bench::GemmCase& g = row.shape;
    char shape[64];
    std::snprintf(shape, sizeof shape, "%ldx%ldx%ld", long(g.m), long(g.n), long(g.k));
    if (!options.shape.empty() && options.shape != shape) continue;
    if (!options.kind.empty() && options.kind != row.kind) continue;
    std::vector<T> a(std::size_t(g.m * g.k)), b(std::size_t(g.k * g.n)), c(std::size_t(g.m * g.n));
    for (T& x : a) x = T(uniform(random));
    for (T& x : b) x = T(uniform(random));
    const MatrixView<const T> va{a.data(), g.m, g.k, g.transpose_a ? 1 : g.k, g.transpose_a ? g.m : 1};
    const MatrixView<const T> vb{b.data(), g.k, g.n, g.transpose_b ? 1 : g.n, g.transpose_b ? g.k : 1};
    const MatrixView<T> vc{c.data(), g.m, g.n, g.n, 1};
    bench::Contest contest;
    contest.add("ergo", [&] { gemm(va, vb, vc); });
    for (const bench::GemmPeer& peer : peers) {
      const auto& run = peer_function<T>(peer);
      if (run) contest.add(peer.name, [&g, &run, &a, &b, &c] { run(g, a.data(), b.data(), c.data()); });
    }
    bench::ContestOptions contest_options = options.contest;
    if (threads > 1) contest_options.pause_seconds = 5e-3;
    contest.run(contest_options);
    const double flops = 2.0 * double(g.m) * double(g.n) * double(g.k);
    const std::vector<bench::Contestant>& all = contest.contestants();
    double strongest = 1e30;
    for (std::size_t i = 1; i < all.size(); ++i) strongest = std::min(strongest, all[i].minimum());
    const double ours = all[0].minimum();
    std::printf("%s %-15s %8.1f %5.0f%% %7.2f%s ", row.kind, shape, flops / ours / 1e9, 100 * flops / ours / peak,
                strongest / ours, all[0].median() > 1.5 * ours ? "*" : " ");
    for (std::size_t i = 1; i < all.size(); ++i) {
      std::printf(" %8.1f%s", flops / all[i].minimum() / 1e9, flops / all[i].minimum() > 1.03 * peak ? "!" : " ");
    }
    std::printf("\n");
    std::fflush(stdout);
  }
}

}  // namespace

int main(int argc, char** argv) {
  Options options;
  for (int i = 1; i < argc; ++i) {
    const std::string argument = argv[i];
    if (argument.rfind("--repeats=", 0) == 0) options.contest.repeats = std::atoi(argument.c_str() + 10);
    if (argument.rfind("--type=", 0) == 0) options.type = argument.substr(7);
    if (argument.rfind("--shape=", 0) == 0) options.shape = argument.substr(8);
    if (argument.rfind("--kind=", 0) == 0) options.kind = argument.substr(7);
    if (argument.rfind("--threads=", 0) == 0) options.threads = std::atoi(argument.c_str() + 10);
  }
  const std::vector<bench::GemmPeer> peers = bench::gemm_peers();
  std::printf(
      "ratio: time of the strongest peer over ours. * median over 1.5 minimum (a busy machine), ! above the peak\n");
  for (const int threads : {1, 2}) {
    if (options.threads != 0 && options.threads != threads) continue;
    if (options.type != "double") run_type<float>(options, "float", threads, peers);
    if (options.type != "float") run_type<double>(options, "double", threads, peers);
  }
}
