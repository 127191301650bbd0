#include "support/program.hpp"

#include <cerrno>
#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <exception>
#include <filesystem>
#include <limits>
#include <type_traits>
#include <utility>

#define CXXOPTS_NO_REGEX
#include <cxxopts.hpp>

namespace examples {
namespace {

[[noreturn]] void refuse(const std::string& name, const std::string& text, const std::string& wanted) {
  throw BadUsage("--" + name + ": \"" + text + "\" is not " + wanted);
}

// A whole number of type I, all of `text`.
template <class I>
I whole_number(const std::string& name, const std::string& text, I least) {
  const std::string wanted = least == std::numeric_limits<I>::min() ? "a whole number of 64 bits"
                                                                    : "a whole number from " + std::to_string(least);
  char* end = nullptr;
  errno = 0;
  if (text.empty() || text.find_first_not_of("+-0123456789") != std::string::npos) refuse(name, text, wanted);
  if constexpr (std::is_unsigned_v<I>) {
    const unsigned long long value = std::strtoull(text.c_str(), &end, 10);
    if (errno != 0 || *end != '\0' || text[0] == '-') refuse(name, text, wanted);
    return I(value);
  } else {
    const long long value = std::strtoll(text.c_str(), &end, 10);
    if (errno != 0 || *end != '\0' || value < least || value > std::numeric_limits<I>::max()) refuse(name, text, wanted);
    return I(value);
  }
}

double real_number(const std::string& name, const std::string& text, double least) {
  char* end = nullptr;
  const double value = std::strtod(text.c_str(), &end);
  if (text.empty() || *end != '\0' || !std::isfinite(value) || value < least)
    refuse(name, text, "a number from " + number(least));
  return value;
}

}  // namespace

Program::Program(std::string name, std::string purpose) : name_(std::move(name)), purpose_(std::move(purpose)) {
  flags_.out = "out/" + name_;
  const auto text = [this](const char* flag, std::string& value, const char* help) {
    options_.push_back({flag, help, value, false, [&value](const std::string& given) { value = given; }});
  };
  const auto flag = [this](const char* flag_name, bool& value, const char* help) {
    options_.push_back({flag_name, help, "", true, [&value](const std::string&) { value = true; }});
  };
  options_.push_back({"seed", "of all random numbers", std::to_string(flags_.seed), false, [this](const std::string& given) {
                        flags_.seed = whole_number<std::uint64_t>("seed", given, 0);
                      }});
  text("device", flags_.device, "cpu, cuda or cuda:1");
  options_.push_back({"threads", "of the processor (default: all)", "", false, [this](const std::string& given) {
                        flags_.threads = whole_number<int>("threads", given, 1);
                      }});
  text("out", flags_.out, "folder for metrics.jsonl and plots");
  text("data", flags_.data, "folder of a real data set (default: embedded, synthetic data)");
  flag("quiet", flags_.quiet, "results only");
  flag("smoke", flags_.smoke, "a run of seconds that checks the program itself");
}

void Program::option(std::string name, int& value, std::string help, int least) {
  const auto set = [&value, name, least](const std::string& given) { value = whole_number<int>(name, given, least); };
  options_.push_back({name, std::move(help), std::to_string(value), false, set});
}
void Program::option(std::string name, double& value, std::string help, double least) {
  const auto set = [&value, name, least](const std::string& given) { value = real_number(name, given, least); };
  options_.push_back({name, std::move(help), number(value), false, set});
}
void Program::option(std::string name, std::string& value, std::string help) {
  options_.push_back({name, std::move(help), value, false, [&value](const std::string& given) { value = given; }});
}

bool Program::parse(int argc, char** argv) {
  cxxopts::Options parser(name_, purpose_);
  parser.add_options()("h,help", "prints this");
  for (const Option& option : options_) {
    auto value = option.is_flag ? std::shared_ptr<cxxopts::Value>(cxxopts::value<bool>())
                                : std::shared_ptr<cxxopts::Value>(cxxopts::value<std::string>());
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
      option.set(option.is_flag ? std::string() : given[option.name].as<std::string>());
    }
  } catch (const cxxopts::exceptions::exception& e) {
    throw BadUsage(e.what());
  }
  return true;
}

int Program::run_guarded(int argc, char** argv, const std::function<void()>& body) {
  try {
    if (!parse(argc, argv)) return 0;
    start_ = std::chrono::steady_clock::now();
    body();
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
  metrics_.write({{"event", "run"}, {"program", name_}, {"backend", backend}, {"seed", flags_.seed}, {"smoke", flags_.smoke}});
  if (!flags_.quiet) print(name_ + ": " + purpose_);
  fact("backend", backend);
  fact("seed", std::to_string(flags_.seed));
}

double Program::seconds() const {
  return std::chrono::duration<double>(std::chrono::steady_clock::now() - start_).count();
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
  metrics_.write({{"event", "criterion"}, {"criterion", row.what}, {"threshold", row.threshold}, {"value", row.value}, {"ok", row.ok}});
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
