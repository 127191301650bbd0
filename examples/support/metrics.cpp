#include "support/metrics.hpp"

#include <cerrno>
#include <cstring>
#include <fstream>
#include <stdexcept>

#include <nlohmann/json.hpp>

namespace examples {
namespace {

[[noreturn]] void fail(const std::string& path) {
  throw std::runtime_error("[metrics] " + path + ": cannot be written (" + std::strerror(errno) + ")");
}

}  // namespace

Metrics::Metrics(const std::string& path) : path_(path) {
  if (!std::ofstream(path_)) fail(path_);
}

void Metrics::write(Record record) {
  if (path_.empty()) return;
  nlohmann::ordered_json line = nlohmann::ordered_json::object();
  for (const auto& entry : record) std::visit([&](const auto& value) { line[entry.first] = value; }, entry.second);
  // Text that is not UTF-8 (a path, say) is replaced, not an exception in the middle of a run.
  std::ofstream file(path_, std::ios::app);
  file << line.dump(-1, ' ', false, nlohmann::ordered_json::error_handler_t::replace) << '\n' << std::flush;
  if (!file) fail(path_);
}

}  // namespace examples
