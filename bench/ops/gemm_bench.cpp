// Matrix products beside every peer that is installed, in one process: GFLOP/s (best of the repeats), fraction of the
// peak measured in this run, and the strongest peer's time over ours.
//
//   --repeats=25     instead of 9
//   --type=float     one type only; --threads=2, --shape=64x512x784, --kind=NT likewise
//   --serve, --benchmark_filter=TEXT   the same products as rows (bench/support/rows.hpp): for bench/peers/beside.py,
//                    which adds PyTorch, or a table of some
#include <cstdio>
#include <cstring>
#include <memory>
#include <random>
#include <string>
#include <vector>

#include "bench/peers/gemm_peers.hpp"
#include "bench/support/contest.hpp"
#include "bench/support/limits.hpp"
#include "bench/support/rows.hpp"
#include "ergo/cpu/gemm.hpp"

namespace {

struct Product {
  const char* kind;
  bench::GemmCase shape;
};

const Product kProducts[] = {
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

// Both operands, the result, and the views that a product takes.
template <class T>
struct Operands {
  bench::GemmCase g;
  std::vector<T> a, b, c;

  explicit Operands(const bench::GemmCase& shape)
      : g(shape), a(std::size_t(g.m * g.k)), b(std::size_t(g.k * g.n)), c(std::size_t(g.m * g.n)) {
    std::mt19937 random(7);
    std::uniform_real_distribution<double> uniform(-1, 1);
    for (T& x : a) x = T(uniform(random));
    for (T& x : b) x = T(uniform(random));
  }
  void multiply() {
    using ergo::cpu::MatrixView;
    ergo::cpu::gemm(MatrixView<const T>{a.data(), g.m, g.k, g.transpose_a ? 1 : g.k, g.transpose_a ? g.m : 1},
                    MatrixView<const T>{b.data(), g.k, g.n, g.transpose_b ? 1 : g.n, g.transpose_b ? g.k : 1},
                    MatrixView<T>{c.data(), g.m, g.n, g.n, 1});
  }
};

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
  for (const Product& row : kProducts) {
    const bench::GemmCase& g = row.shape;
    char shape[64];
    std::snprintf(shape, sizeof shape, "%ldx%ldx%ld", long(g.m), long(g.n), long(g.k));
    if (!options.shape.empty() && options.shape != shape) continue;
    if (!options.kind.empty() && options.kind != row.kind) continue;
    Operands<T> operands(g);
    bench::Contest contest;
    contest.add("ergo", [&] { operands.multiply(); });
    for (const bench::GemmPeer& peer : peers) {
      const auto& run = peer_function<T>(peer);
      if (run) contest.add(peer.name, [&] { run(g, operands.a.data(), operands.b.data(), operands.c.data()); });
    }
    bench::ContestOptions contest_options = options.contest;
    if (threads > 1) {
      contest_options.pause_seconds = 30e-3;   // OpenBLAS spins for 2^26 cycles,
      contest_options.sample_seconds = 10e-3;  // and whoever waited as long must wake its threads first
    }
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

template <class T>
void add_rows(std::vector<bench::Row>& rows, const char* type, const std::vector<bench::GemmPeer>& peers) {
  for (const Product& product : kProducts) {
    const bench::GemmCase& g = product.shape;
    const auto operands = std::make_shared<Operands<T>>(g);
    const double m = double(g.m), n = double(g.n), k = double(g.k), wide = double(sizeof(T)) / 4;
    bench::Row row{.name = std::string("gemm ") + type + " " + product.kind + " (" + std::to_string(g.m) + ", " +
                           std::to_string(g.n) + ", " + std::to_string(g.k) + ")",
                   .run = [operands] { operands->multiply(); },
                   .flops = 2 * m * n * k * wide,  // in units of float's peak
                   .goal = {.ratio = 1}};
    for (const bench::GemmPeer& peer : peers) {
      if (const auto& run = peer_function<T>(peer))
        row.peers.push_back({peer.name, [run, operands] {
                               run(operands->g, operands->a.data(), operands->b.data(), operands->c.data());
                             }});
    }
    rows.push_back(std::move(row));
  }
}

}  // namespace

int main(int argc, char** argv) {
  for (int i = 1; i < argc; ++i) {
    if (std::strcmp(argv[i], "--serve") != 0 && std::strncmp(argv[i], "--benchmark_", 12) != 0) continue;
    const std::vector<bench::GemmPeer> peers = bench::gemm_peers();
    return bench::rows_main(argc, argv, [&](int threads) {
      for (const bench::GemmPeer& peer : peers)
        if (peer.set_threads) peer.set_threads(threads);
      std::vector<bench::Row> rows;
      add_rows<float>(rows, "float", peers);
      add_rows<double>(rows, "double", peers);
      return rows;
    });
  }
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
