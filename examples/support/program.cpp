#include "support/program.hpp"

#include <cerrno>
#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <exception>
#include <filesystem>
#include <limits>
#include <memory>
#include <utility>

#define CXXOPTS_NO_REGEX
#include <cxxopts.hpp>

namespace examples {
namespace {

// An option's value from the text given, all of it.
struct Read {
  const std::string& name;
  const std::string& text;
  double least;

  void operator()(bool* value) const { *value = true; }
  void operator()(std::string* value) const { *value = text; }
  void operator()(int* value) const {
    const long long n = whole(std::strtoll);
    if (double(n) < least || n > std::numeric_limits<int>::max()) refuse("a whole number from " + number(least));
    *value = int(n);
  }
  void operator()(std::uint64_t* value) const {
    if (text.find('-') != std::string::npos) refuse("a whole number from 0");
    *value = whole(std::strtoull);
  }
  void operator()(double* value) const {
    char* end = nullptr;
    *value = std::strtod(text.c_str(), &end);
    if (text.empty() || *end != '\0' || !std::isfinite(*value) || *value < least)
      refuse("a number from " + number(least));
  }

 private:
  template <class N>
  N whole(N (*convert)(const char*, char**, int)) const {
    char* end = nullptr;
    errno = 0;
    const N n = convert(text.c_str(), &end, 10);
    if (text.empty() || *end != '\0' || errno != 0) refuse("a whole number from " + number(least));
    return n;
  }
  [[noreturn]] void refuse(const std::string& wanted) const {
    throw BadUsage("--" + name + ": \"" + text + "\" is not " + wanted);
  }
};

}  // namespace

Program::Program(std::string name, std::string purpose) : name_(std::move(name)), purpose_(std::move(purpose)) {
  flags_.out = "out/" + name_;
  options_ = {{"seed", "of all random numbers", std::to_string(flags_.seed), &flags_.seed},
              {"device", "cpu, cuda or cuda:1", flags_.device, &flags_.device},
              {"threads", "of the processor (default: all)", "", &flags_.threads, 1},
              {"out", "folder for metrics.jsonl and plots", flags_.out, &flags_.out},
              {"data", "folder of a real data set (default: embedded, synthetic data)", "", &flags_.data},
              {"quiet", "results only", "", &flags_.quiet},
              {"smoke", "a run of seconds that checks the program itself", "", &flags_.smoke}};
}

void Program::option(std::string name, int& value, std::string help, int least) {
  options_.push_back({std::move(name), std::move(help), std::to_string(value), &value, double(least)});
}
void Program::option(std::string name, double& value, std::string help, double least) {
  options_.push_back({std::move(name), std::move(help), number(value), &value, least});
}
void Program::option(std::string name, std::string& value, std::string help) {
  options_.push_back({std::move(name), std::move(help), value, &value});
}

bool Program::parse(int argc, char** argv) {
  cxxopts::Options parser(name_, purpose_);
  parser.add_options()("h,help", "prints this");
  for (const Option& option : options_) {
    // Words to cxxopts, numbers to us: its messages name neither the option nor the range.
    std::shared_ptr<cxxopts::Value> value = cxxopts::value<std::string>();
    if (std::holds_alternative<bool*>(option.value)) value = cxxopts::value<bool>();
    if (!option.initial.empty()) value = value->default_value(option.initial);
    parser.add_options()(option.name, option.help, value);
  }
  try {
    const cxxopts::ParseResult given = parser.parse(argc, argv);
    if (given.count("help") != 0) {
      std::fputs(parser.help().c_str(), stdout);
      return false;
    }
    if (!given.unmatched().empty()) throw BadUsage("\"" + given.unmatched().front() + "\" belongs to no option");
    for (const Option& option : options_) {
      if (given.count(option.name) == 0) continue;
      const bool flag = std::holds_alternative<bool*>(option.value);
      const std::string text = flag ? std::string() : given[option.name].as<std::string>();
      std::visit(Read{option.name, text, option.least}, option.value);
    }
  } catch (const cxxopts::exceptions::exception& e) { throw BadUsage(e.what()); }
  return true;
}

int Program::run_guarded(int argc, char** argv, void (*body)(const void*), const void* argument) {
  try {
    if (!parse(argc, argv)) return 0;
    start_ = now();
    body(argument);
    return finish();
  } catch (const BadUsage& e) {
    std::fprintf(stderr, "%s: %s (%s --help lists the options)\n", name_.c_str(), e.what(), name_.c_str());
    return 2;
  } catch (const std::exception& e) {
    std::fflush(stdout);
    std::fprintf(stderr, "%s: %s\n", name_.c_str(), e.what());
    return 1;
  }
}

void Program::begin(const std::string& backend) {
  std::error_code error;
  std::filesystem::create_directories(flags_.out, error);
  if (error) throw std::runtime_error("[" + name_ + "] --out " + flags_.out + ": " + error.message());
  metrics_ = Metrics(path("metrics.jsonl"));
  metrics_.write(
      {{"event", "run"}, {"program", name_}, {"backend", backend}, {"seed", flags_.seed}, {"smoke", flags_.smoke}});
  if (!flags_.quiet) print(name_ + ": " + purpose_);
  fact("backend", backend);
  fact("seed", std::to_string(flags_.seed));
}

void Program::fact(const std::string& name, const std::string& text) {
  metrics_.write({{"event", "fact"}, {"name", name}, {"text", text}});
  if (!flags_.quiet) print("  " + name + std::string(name.size() < 12 ? 12 - name.size() : 1, ' ') + text);
}

void Program::print(const std::string& line) const {
  std::printf("%s\n", line.c_str());
  std::fflush(stdout);
}

Progress Program::progress(std::string what, std::int64_t total) const {
  return Progress(std::move(what), total, flags_.quiet ? nullptr : stderr);
}

void Program::plot(const std::string& name, const Plot& plot) const {
  const std::string trouble = draw(plot, path(name));
  if (!trouble.empty()) print("no plot " + name + ": " + trouble + "; `gnuplot " + path(name) + ".gp` draws it later");
}

void Program::add(Criterion row) {
  metrics_.write({{"event", "criterion"},
                  {"criterion", row.what},
                  {"threshold", row.threshold},
                  {"value", row.value},
                  {"ok", row.ok}});
  criteria_.push_back(std::move(row));
}

int Program::finish() const {
  std::string failing;
  for (const Criterion& row : criteria_)
    if (!row.ok) failing += (failing.empty() ? "" : "; ") + row.what;
  if (!criteria_.empty()) print("\n" + table(criteria_));
  if (!failing.empty())
    print("Not shown: " + failing + ".");
  else if (!conclusion_.empty())
    print(conclusion_);
  return failing.empty() ? 0 : 1;
}

}  // namespace examples
