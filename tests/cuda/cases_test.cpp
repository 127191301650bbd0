// label: simt
// unit: own
// sources: cases/*.cpp support/device_drivers.cpp support/launch_costs.cpp cuda/launch_*.cpp
// The case table on a CUDA device: every row against the CPU, and what each costs in launches.
// Rows whose operations have no kernel yet are named here, and a row that is named without need fails.
// ERGO_SHOW_LAUNCHES=1 prints the launches.
#include <doctest/doctest.h>

#include <algorithm>
#include <set>
#include <string>
#include <vector>

#include "ergo/core/error.hpp"
#include "ergo/core/handle.hpp"
#include "support/case_tables.hpp"
#include "support/device_drivers.hpp"
#include "support/launch_costs.hpp"
#include "support/skip.hpp"

namespace cuda_cases_test {

using namespace cases;

namespace {

void run(const std::vector<Case>& rows, void (*check)(const Case&), const std::vector<std::string>& missing) {
  for (const Case& c : rows) {
    CAPTURE(c.name);
    std::string why;
    try {
      check(c);
    } catch (const ergo::Error& e) { why = e.what(); }
    const bool named = std::find(missing.begin(), missing.end(), public_name(c.name)) != missing.end();
    CAPTURE(why);
    if (named)
      CHECK(why.find("no CUDA kernel yet") != std::string::npos);
    else
      CHECK(why == "");
  }
}

const std::vector<std::string> kMissing = {};

}  // namespace

TEST_CASE("pointwise: values") { run(pointwise_cases(), check_device_values, kMissing); }
TEST_CASE("pointwise: derivatives") { run(pointwise_cases(), check_device_derivatives, kMissing); }
TEST_CASE("reduction: values") { run(reduction_cases(), check_device_values, kMissing); }
TEST_CASE("reduction: derivatives") { run(reduction_cases(), check_device_derivatives, kMissing); }
TEST_CASE("loss: values") { run(loss_cases(), check_device_values, kMissing); }
TEST_CASE("loss: derivatives") { run(loss_cases(), check_device_derivatives, kMissing); }
TEST_CASE("descriptive: values") { run(descriptive_cases(), check_device_values, kMissing); }
TEST_CASE("descriptive: derivatives") { run(descriptive_cases(), check_device_derivatives, kMissing); }
TEST_CASE("movement: values") { run(movement_cases(), check_device_values, kMissing); }
TEST_CASE("movement: derivatives") { run(movement_cases(), check_device_derivatives, kMissing); }
TEST_CASE("indexing: values") { run(indexing_cases(), check_device_values, kMissing); }
TEST_CASE("indexing: derivatives") { run(indexing_cases(), check_device_derivatives, kMissing); }
TEST_CASE("network: values") { run(network_cases(), check_device_values, kMissing); }
TEST_CASE("network: derivatives") { run(network_cases(), check_device_derivatives, kMissing); }
TEST_CASE("constant: values") { run(constant_cases(), check_device_values, kMissing); }
TEST_CASE("random: values") { run(random_cases(), check_device_values, kMissing); }
TEST_CASE("random: derivatives") { run(random_cases(), check_device_derivatives, kMissing); }

#if defined(ERGO_EMULATED)
TEST_CASE("launches: every row keeps to its line, and has one") {
  std::set<std::string> rows;
  for (auto* table : kTables)
    for (const Case& c : table()) {
      rows.insert(c.name);
      const auto& lines = launch_lines();
      const auto line = std::find_if(lines.begin(), lines.end(), [&](const LaunchLine& l) { return c.name == l.row; });
      CHECK_MESSAGE(line != lines.end(), "the row \"", c.name, "\" has no line in tests/cuda/launch_lines.cpp");
      if (line != lines.end()) check_line(*line, c);
    }
  for (const LaunchLine& l : launch_lines())
    CHECK_MESSAGE(rows.contains(l.row), "the line \"", l.row, "\" belongs to no row");
}
TEST_CASE("launches: beyond thresholds, of whole steps, of losses with their gradient") {
  const ergo::DeviceScope scope(ergo::Device::cuda(0));
  for (const LaunchProgram& p : launch_programs()) check_cost(p.name, p.part, launch_cost(p.prepare(), 9), p.launches);
  show_launches();
}
#else
TEST_CASE("launches") { skip("launches of operations", "a device has no counters; the emulated runtime counts"); }
#endif

}  // namespace cuda_cases_test
