// Records of a run, one JSON object a line (metrics.jsonl), for whoever plots or compares runs later.
//
//   metrics.write({{"step", 100}, {"loss", 0.31}, {"eigenvalues", std::vector<double>{3.1, 2.2}}});
#pragma once

#include <cstdint>
#include <initializer_list>
#include <string>
#include <utility>
#include <variant>
#include <vector>

namespace examples {

using Value = std::variant<bool, std::int64_t, std::uint64_t, double, std::string, std::vector<double>>;
using Record = std::initializer_list<std::pair<const char*, Value>>;

class Metrics {
 public:
  Metrics() = default;  // writes nothing
  // Begins the file anew. A file that cannot be written is an Error, here and later.
  explicit Metrics(const std::string& path);

  // Appends a line, members in the order given; NaN and infinities become null, which is all that JSON has.
  void write(Record record);

 private:
  std::string path_;
};

}  // namespace examples
