// What every example program shares: its options, the facts it prints before it starts, progress, metrics.jsonl and
// plots under --out, the table of criteria at its end, and the exit status that follows from it.
//
//   int main(int argc, char** argv) {
//     examples::Program program("fit", "Fits a line to noisy points.");
//     int steps = 1000;
//     program.option("steps", steps, "gradient steps");
//     return program.run(argc, argv, [&] {
//       auto progress = program.progress("fitting", steps);
//       ...
//       program.check("mean squared error", error, examples::at_most(1e-3));
//       program.conclude("The line was found.");
//     });
//   }
//
// Exit status: 0 if every criterion holds, 1 if one fails or an Error ended the run, 2 for a command line that makes no
// sense. The sources beside this header know nothing of ergo, so they are compiled once for every kind of build.
#pragma once

#include <cstdint>
#include <stdexcept>
#include <string>
#include <variant>
#include <vector>

#include <ergo/core/device.hpp>
#include <ergo/core/thread_pool.hpp>
#include <ergo/cpu/isa.hpp>

#include "support/criterion.hpp"
#include "support/metrics.hpp"
#include "support/plot.hpp"
#include "support/progress.hpp"
#include "support/text.hpp"

namespace examples {

// The options that all programs have.
struct Flags {
  std::uint64_t seed = 1;
  std::string device = "cpu";
  int threads = 0;   // 0: all
  std::string out;   // out/NAME
  std::string data;  // empty: the embedded, synthetic data
  bool quiet = false, smoke = false;
};

// A command line that makes no sense.
class BadUsage : public std::runtime_error {
 public:
  using std::runtime_error::runtime_error;
};

class Program {
 public:
  Program(std::string name, std::string purpose);

  // A further option --name, before `run`; the variable holds the default. Numbers below `least` are refused.
  void option(std::string name, int& value, std::string help, int least = 1);
  void option(std::string name, double& value, std::string help, double least = 0);
  void option(std::string name, std::string& value, std::string help);

  // Reads the command line, chooses device and threads, runs the body, prints the table and the closing sentence. Every
  // exception becomes a message and an exit status.
  template <class Body>
  int run(int argc, char** argv, const Body& body) {
    const auto whole = [this, &body] {
      begin(use_backend(flags_));
      body();
    };
    return run_guarded(
        argc, argv, [](const void* f) { (*static_cast<decltype(&whole)>(f))(); }, &whole);
  }

  std::uint64_t seed() const { return flags_.seed; }
  const std::string& data() const { return flags_.data; }
  bool smoke() const { return flags_.smoke; }
  // Since the body began.
  double seconds() const { return now() - start_; }
  // `file` in the folder --out.
  std::string path(const std::string& file) const { return flags_.out + "/" + file; }

  // A line of what is about to run: data, parameters, expected time.
  void fact(const std::string& name, const std::string& text);
  // A result, on standard output.
  void print(const std::string& line) const;
  // A bar, or lines, or nothing under --quiet; see Progress.
  Progress progress(std::string what, std::int64_t total) const;
  // A line of metrics.jsonl.
  void log(Record record) { metrics_.write(record); }
  // NAME.svg and NAME.png in the folder --out; without gnuplot it says so and goes on.
  void plot(const std::string& name, const Plot& plot) const;

  // A row of the table at the end; every one must hold.
  void check(std::string what, double value, Threshold threshold) { add(criterion(std::move(what), value, threshold)); }
  void check(std::string what, bool holds) { add(criterion(std::move(what), holds)); }
  // The last line of a run whose criteria hold: what was shown.
  void conclude(std::string sentence) { conclusion_ = std::move(sentence); }

 private:
  struct Option {
    std::string name, help, initial;  // `initial`: the default in words
    std::variant<bool*, int*, std::uint64_t*, double*, std::string*> value;
    double least = 0;
  };

  // Makes device and threads the defaults of all that follows; returns them in words.
  static std::string use_backend(const Flags& flags) {
    ergo::Device device;
    try {
      device = ergo::Device::parse(flags.device);
    } catch (const ergo::Error&) { throw BadUsage("--device: \"" + flags.device + "\" is none of cpu, cuda, cuda:1"); }
    ergo::set_default_device(device);
    if (flags.threads > 0) ergo::set_num_threads(flags.threads);
    const int threads = ergo::num_threads();
    return ergo::to_string(device) + " (" + ergo::cpu::name(ergo::cpu::isa()) + ", " + std::to_string(threads) +
           (threads == 1 ? " thread)" : " threads)");
  }

  int run_guarded(int argc, char** argv, void (*body)(const void*), const void* argument);
  bool parse(int argc, char** argv);  // false: --help was asked for and given
  void begin(const std::string& backend);
  void add(Criterion row);
  int finish() const;

  std::string name_, purpose_, conclusion_;
  Flags flags_;
  std::vector<Option> options_;
  std::vector<Criterion> criteria_;
  Metrics metrics_;
  double start_ = 0;
};

}  // namespace examples
