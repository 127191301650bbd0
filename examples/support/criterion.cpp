#include "support/criterion.hpp"

#include "support/text.hpp"

#include <algorithm>
#include <limits>
#include <utility>

namespace examples {
namespace {

constexpr double kInfinity = std::numeric_limits<double>::infinity();

std::string padded(const std::string& text, std::size_t width) {
  return text + std::string(width > text.size() ? width - text.size() : 0, ' ');
}

}  // namespace

Threshold at_least(double least) { return {least, kInfinity}; }
Threshold at_most(double most) { return {-kInfinity, most}; }
Threshold between(double least, double most) { return {least, most}; }

Criterion criterion(std::string what, double value, Threshold threshold) {
  const auto [least, most] = threshold;
  const std::string text = most == kInfinity     ? ">= " + number(least)
                           : least == -kInfinity ? "<= " + number(most)
                                                 : number(least) + " to " + number(most);
  return {std::move(what), text, number(value), value >= least && value <= most};
}
Criterion criterion(std::string what, bool holds) { return {std::move(what), "true", holds ? "true" : "false", holds}; }

std::string table(const std::vector<Criterion>& rows) {
  std::vector<std::vector<std::string>> cells = {{"criterion", "threshold", "value", "ok"}};
  for (const Criterion& row : rows) cells.push_back({row.what, row.threshold, row.value, row.ok ? "yes" : "NO"});
  std::vector<std::size_t> widths(4, 0);
  for (const auto& row : cells)
    for (std::size_t i = 0; i < 3; ++i) widths[i] = std::max(widths[i], row[i].size());
  std::string text;
  for (const auto& row : cells) {
    for (std::size_t i = 0; i < 4; ++i) text += padded(row[i], widths[i]) + (i < 3 ? "  " : "\n");
  }
  return text;
}

}  // namespace examples
