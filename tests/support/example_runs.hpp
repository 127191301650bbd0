// An example program run twice in one process, on the CPU and on a CUDA device, and what the two runs left.
#pragma once

#include <doctest/doctest.h>

#include <cctype>
#include <cmath>
#include <cstdlib>
#include <sstream>
#include <string>
#include <vector>

#include "ergo/core/device.hpp"
#include "support/captured.hpp"

struct ExampleRun {
  int status = -1;
  std::vector<std::string> output, metrics;  // lines

  // The numbers under a key of metrics.jsonl, in order of their lines.
  std::vector<double> numbers(const std::string& key) const {
    std::vector<double> found;
    for (const std::string& line : metrics)
      if (const auto at = line.find("\"" + key + "\":"); at != std::string::npos)
        found.push_back(std::strtod(line.c_str() + at + key.size() + 3, nullptr));
    return found;
  }
  // How many lines of metrics.jsonl have this text.
  std::ptrdiff_t lines_with(const std::string& text) const {
    std::ptrdiff_t n = 0;
    for (const std::string& line : metrics) n += line.find(text) != std::string::npos;
    return n;
  }
};

inline std::vector<std::string> lines_of(const std::string& text) {
  std::istringstream in(text);
  std::vector<std::string> lines;
  for (std::string line; std::getline(in, line);) lines.push_back(line);
  return lines;
}
inline ExampleRun run_example(int (*program)(int, char**), const std::string& device,
                              const std::vector<std::string>& options) {
  const Folder out;
  std::vector<std::string> words{"example", "--quiet", "--device", device, "--out", out.path};
  words.insert(words.end(), options.begin(), options.end());
  std::vector<char*> argv;
  for (std::string& word : words) argv.push_back(word.data());
  const ergo::Device before = ergo::default_device();
  const Captured c = captured([&] { return program(int(argv.size()), argv.data()); });
  ergo::set_default_device(before);
  INFO(c.err);
  CHECK(c.err.empty());
  return {c.status, lines_of(c.out), lines_of(file_text(out.path + "/metrics.jsonl"))};
}

// A line without its numbers and the width of its blanks.
inline std::string words_of(const std::string& line) {
  std::string words;
  for (std::size_t i = 0; i < line.size(); ++i) {
    const bool number = std::isdigit(static_cast<unsigned char>(line[i])) || line[i] == '-' || line[i] == '+';
    if (number) {
      char* end = nullptr;
      std::strtod(line.c_str() + i, &end);
      if (end != line.c_str() + i) {
        i = std::size_t(end - line.c_str()) - 1;
        words += '#';
        continue;
      }
    }
    if (line[i] != ' ' || !words.ends_with(' ')) words += line[i];
  }
  return words;
}

// Both runs end well and say the same, but for numbers.
inline void check_alike(const ExampleRun& here, const ExampleRun& there) {
  CHECK(here.status == 0);
  CHECK(there.status == 0);
  CHECK(here.lines_with("\"backend\":\"cpu (") == 1);
  CHECK(there.lines_with("\"backend\":\"cuda:0 (") == 1);
  REQUIRE(here.metrics.size() == there.metrics.size());
  REQUIRE(here.output.size() == there.output.size());
  CHECK(here.output.size() > 3);
  for (std::size_t i = 0; i < here.output.size(); ++i) CHECK(words_of(there.output[i]) == words_of(here.output[i]));
  CHECK(there.lines_with("\"ok\":true") > 0);
  CHECK(there.lines_with("\"ok\":false") == 0);
  CHECK(there.lines_with("\"event\":\"criterion\"") == here.lines_with("\"event\":\"criterion\""));
}

// The numbers of a key agree to `tolerance`, relative to the largest: the first to `first`.
inline void check_close(const ExampleRun& here, const ExampleRun& there, const std::string& key, double first,
                        double tolerance) {
  const auto a = here.numbers(key), b = there.numbers(key);
  CAPTURE(key);
  REQUIRE(a.size() == b.size());
  REQUIRE(!a.empty());
  double largest = 0, worst = 0;
  for (const double v : a) largest = std::fmax(largest, std::fabs(v));
  for (std::size_t i = 0; i < a.size(); ++i) worst = std::fmax(worst, std::fabs(a[i] - b[i]));
  CHECK(std::fabs(a[0] - b[0]) <= first * largest);
  CHECK(worst <= tolerance * largest);
  MESSAGE(key << ": first difference " << std::fabs(a[0] - b[0]) / largest << ", worst " << worst / largest);
}
