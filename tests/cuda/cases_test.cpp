// label: simt
// unit: own
// sources: cases/*.cpp support/device_drivers.cpp support/launch_costs.cpp cuda/launch_*.cpp
// The case table on a CUDA device: every row against the CPU, and what each costs in launches.
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

void check_tables(void (*check)(const Case&)) {
  for (const Table& table : kTables)
    for (const Case& c : table.rows()) {
      CAPTURE(table.name);
      CAPTURE(c.name);
      std::string why;
      try {
        check(c);
      } catch (const ergo::Error& e) { why = e.what(); }
      CHECK(why == "");
    }
}

}  // namespace

TEST_CASE("rows: values") { check_tables(check_device_values); }
TEST_CASE("rows: derivatives") { check_tables(check_device_derivatives); }

#if defined(ERGO_EMULATED)
TEST_CASE("launches: every row keeps to its line, and has one") {
  std::set<std::string> rows;
  for (const Table& table : kTables)
    for (const Case& c : table.rows()) {
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
