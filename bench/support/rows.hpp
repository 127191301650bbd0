// Rows of a benchmark, each named once: what is called, the least work it can be (flops, bytes), and its goal. A
// program that ends in `return bench::rows_main(...)` prints its rows as a table, beside what it measured of the
// machine, or serves them: bench/peers/beside.py asks for one call after the other and takes turns with PyTorch, which
// finds its counterpart by the row's name.
//
//   FILTER             rows whose name contains that (or --benchmark_filter=FILTER); several: any of them
//   --threads=2        instead of 1
//   --repeats=25       instead of 9
//   --benchmark_list_tests   names only; the status is 1 if there are none
//   --serve            one line of JSON per row, an empty line; then reads "row<TAB>contestant", answers seconds per
//   call
#pragma once

#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <iostream>
#include <map>
#include <string>
#include <vector>

#include "bench/support/contest.hpp"
#include "bench/support/limits.hpp"

namespace bench {

// What PERFORMANCE asks of a row; 0 where nothing is asked.
struct Goal {
  double ratio = 0;        // PyTorch's time over ours
  double limit = 0;        // fraction of the limit
  double nanoseconds = 0;  // of one item
};

struct Row {
  std::string name;  // "what (sizes)"
  std::function<void()> run;
  double items = 1;             // of one call: times are per item
  double flops = 0, bytes = 0;  // the least that one call computes and moves
  Traffic traffic = Traffic::copy;
  Goal goal = {};
  std::vector<std::pair<std::string, std::function<void()>>> peers = {};  // of other libraries, in this process
};

// Rates of this machine in this run, each measured once.
class Limits {
 public:
  explicit Limits(int threads) : threads_(threads) {}

  // Seconds that a call takes at least; 0 if its work is not known.
  double seconds(const Row& row) {
    double r = row.flops > 0 ? row.flops / peak() : 0;
    if (row.bytes > 0) r = std::max(r, row.bytes / rate(row.traffic, row.bytes));
    return r;
  }

 private:
  double peak() {
    if (peak_ == 0) peak_ = peak_flops<float>(threads_);
    return peak_;
  }
  // Working sets within half an octave share a measurement.
  double rate(Traffic traffic, double bytes) {
    const double set = std::min(std::max(bytes, 4096.0), double(1 << 28));
    double& r = rates_[{int(traffic), int(std::lround(2 * std::log2(set)))}];
    if (r == 0) r = bandwidth(traffic, std::int64_t(set) / 128 * 128, threads_);
    return r;
  }

  int threads_;
  double peak_ = 0;
  std::map<std::pair<int, int>, double> rates_;
};

namespace detail {

// Seconds of one call over `target` seconds; what was preempted is measured again.
inline double sample(const std::function<void()>& run, double target = 3e-3) {
  run();
  long calls = 1;
  for (int again = 0;;) {
    const double cpu = seconds(CLOCK_PROCESS_CPUTIME_ID), start = wall_seconds();
    for (long i = 0; i < calls; ++i) run();
    const double spent = wall_seconds() - start, busy = seconds(CLOCK_PROCESS_CPUTIME_ID) - cpu;
    if (spent < target)
      calls = spent > target / 10 ? long(double(calls) * 1.3 * target / spent) + 1 : calls * 4;
    else if (busy > 0.8 * spent || ++again > 4)
      return spent / double(calls);
  }
}

inline void serve(const std::vector<Row>& rows, Limits& limits) {
  for (const Row& row : rows) {
    std::printf("{\"name\": \"%s\", \"items\": %.17g, \"limit\": %.6g, \"goal_ratio\": %g, \"goal_limit\": %g, ",
                row.name.c_str(), row.items, limits.seconds(row) / row.items, row.goal.ratio, row.goal.limit);
    std::printf("\"goal_ns\": %g, \"peers\": [", row.goal.nanoseconds);
    for (std::size_t i = 0; i < row.peers.size(); ++i)
      std::printf("%s\"%s\"", i ? ", " : "", row.peers[i].first.c_str());
    std::printf("]}\n");
  }
  std::printf("\n");
  std::fflush(stdout);
  for (std::string line; std::getline(std::cin, line);) {
    const std::string name = line.substr(0, line.find('\t')), who = line.substr(line.find('\t') + 1);
    for (const Row& row : rows) {
      if (row.name != name) continue;
      const std::function<void()>* run = &row.run;
      for (const auto& peer : row.peers)
        if (peer.first == who) run = &peer.second;
      std::printf("%.9g\n", sample(*run) / row.items);
    }
    std::fflush(stdout);
  }
}

// 12.3 ns, 4.56 us, 78.9 ms.
inline std::string duration(double s) {
  const char* unit = s < 1e-6 ? "ns" : s < 1e-3 ? "us" : "ms";
  const double v = s * (s < 1e-6 ? 1e9 : s < 1e-3 ? 1e6 : 1e3);
  char text[32];
  std::snprintf(text, sizeof text, "%.*f %s", v < 10 ? 2 : v < 100 ? 1 : 0, v, unit);
  return text;
}

inline void table(const std::vector<Row>& rows, Limits& limits, int threads, const ContestOptions& options) {
  std::printf("%d thread%s, %s; least and median of %d repeats. %%limit: of this machine's rates in this run\n",
              threads, threads > 1 ? "s" : "", ergo::cpu::name(ergo::cpu::isa()), options.repeats);
  std::printf("%-52s %10s %10s %7s %6s\n", "", "ergo", "median", "%limit", "goal");
  for (const Row& row : rows) {
    Contest contest;
    contest.add("ergo", row.run);
    for (const auto& [name, run] : row.peers) contest.add(name, run);
    contest.run(options);
    const std::vector<Contestant>& all = contest.contestants();
    const double ours = all[0].minimum() / row.items, limit = limits.seconds(row) / row.items;
    std::printf("%-52s %10s %10s ", row.name.c_str(), duration(ours).c_str(),
                duration(all[0].median() / row.items).c_str());
    limit > 0 ? std::printf("%6.0f%% ", 100 * limit / ours) : std::printf("%7s ", "");
    if (row.goal.limit > 0) std::printf("%5.0f%%", 100 * row.goal.limit);
    if (row.goal.nanoseconds > 0) std::printf("<= %.3g ns", row.goal.nanoseconds);
    for (std::size_t i = 1; i < all.size(); ++i)
      std::printf("  %s %s (%.2f)", all[i].name.c_str(), duration(all[i].minimum() / row.items).c_str(),
                  all[i].minimum() / all[0].minimum());
    std::printf("%s\n", all[0].median() > 1.5 * all[0].minimum() ? "  noisy" : "");
    std::fflush(stdout);
  }
}

}  // namespace detail

// The program: rows come from make(), called once the number of threads is set.
inline int rows_main(int argc, char** argv, const std::function<std::vector<Row>(int threads)>& make) {
  std::vector<std::string> filters;
  bool serve = false, list = false;
  int threads = 1;
  ContestOptions options;
  for (int i = 1; i < argc; ++i) {
    const std::string a = argv[i];
    const auto value = [&](const char* flag) {
      return a.rfind(flag, 0) == 0 ? a.c_str() + std::string(flag).size() : nullptr;
    };
    if (const char* text = value("--threads=")) {
      threads = std::max(1, std::atoi(text));
    } else if (const char* count = value("--repeats=")) {
      options.repeats = std::max(1, std::atoi(count));
    } else if (const char* part = value("--benchmark_filter=")) {
      filters.push_back(part);
    } else if (a == "--serve") {
      serve = true;
    } else if (a == "--benchmark_list_tests") {
      list = true;
    } else if (a[0] != '-') {
      filters.push_back(a);
    }  // what else Google Benchmark takes means nothing here
  }
  ergo::set_num_threads(threads);
  if (threads > 1) options.pause_seconds = 5e-3;
  std::vector<Row> rows = make(threads);
  if (!filters.empty()) {
    std::erase_if(rows, [&](const Row& row) {
      for (const std::string& f : filters)
        if (row.name.find(f) != std::string::npos) return false;
      return true;
    });
  }
  if (list) {
    for (const Row& row : rows) std::printf("%s\n", row.name.c_str());
    return rows.empty();
  }
  Limits limits(threads);
  if (serve)
    detail::serve(rows, limits);
  else
    detail::table(rows, limits, threads, options);
  return 0;
}

}  // namespace bench
