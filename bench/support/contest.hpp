// Timing by ratios within one run: each repeat runs every contestant once, in turn, so that whatever slows the machine
// down meets all of them. Wall time counts; a sample during which the process had less than 80 % of a processor was
// preempted and is taken again. Reported are minimum and median over the repeats.
#pragma once

#include <time.h>

#include <algorithm>
#include <functional>
#include <string>
#include <utility>
#include <vector>

namespace bench {

inline double seconds(clockid_t clock) {
  timespec t;
  clock_gettime(clock, &t);
  return double(t.tv_sec) + 1e-9 * double(t.tv_nsec);
}
inline double wall_seconds() { return seconds(CLOCK_MONOTONIC); }

// Keeps a value that nothing reads from being optimised away.
template <class T>
inline void keep(const T& x) {
  asm volatile("" : : "r"(&x) : "memory");
}

struct Contestant {
  std::string name;
  std::function<void()> run;
  std::vector<double> samples;  // seconds of one call

  double minimum() const { return *std::min_element(samples.begin(), samples.end()); }
  double median() const {
    std::vector<double> sorted = samples;
    std::nth_element(sorted.begin(), sorted.begin() + long(sorted.size() / 2), sorted.end());
    return sorted[sorted.size() / 2];
  }
};

struct ContestOptions {
  int repeats = 9;
  double sample_seconds = 3e-3;
  double pause_seconds = 0;  // between contestants: lets the threads of one library stop spinning before the next
};

class Contest {
 public:
  // The first contestant added is ours.
  void add(std::string name, std::function<void()> run) {
    contestants_.push_back({std::move(name), std::move(run), {}});
  }

  void run(const ContestOptions& options = {}) {
    std::vector<long> calls;
    for (Contestant& c : contestants_) {
      c.run();  // warms up: packs of worker threads, scratch memory, page tables
      pause(options);
      long n = 1;
      while (sample(c, n).first * double(n) < options.sample_seconds / 2 && n < 1L << 24) n *= 2;
      const double once = sample(c, n).first;
      calls.push_back(std::max(1L, long(options.sample_seconds / once)));
    }
    for (int repeat = 0; repeat < options.repeats; ++repeat) {
      for (std::size_t i = 0; i < contestants_.size(); ++i) {
        pause(options);
        std::pair<double, double> taken = sample(contestants_[i], calls[i]);
        for (int again = 0; again < 4 && taken.second < 0.8; ++again) taken = sample(contestants_[i], calls[i]);
        contestants_[i].samples.push_back(taken.first);
      }
    }
  }

  const std::vector<Contestant>& contestants() const { return contestants_; }

 private:
  static void pause(const ContestOptions& options) {
    if (options.pause_seconds <= 0) return;
    timespec t{0, long(options.pause_seconds * 1e9)};
    nanosleep(&t, nullptr);
  }

  // Seconds of one call, and the processors that the process had meanwhile. One call before the clock starts wakes the
  // threads.
  static std::pair<double, double> sample(const Contestant& c, long calls) {
    c.run();
    const double cpu = seconds(CLOCK_PROCESS_CPUTIME_ID), wall = wall_seconds();
    for (long i = 0; i < calls; ++i) c.run();
    const double elapsed = wall_seconds() - wall;
    return {elapsed / double(calls), (seconds(CLOCK_PROCESS_CPUTIME_ID) - cpu) / elapsed};
  }

  std::vector<Contestant> contestants_;
};

}  // namespace bench
