// label: simt
// unit: own
// sources: cases/*.cpp support/device_drivers.cpp
// The case table on a CUDA device: every row against the CPU. Rows whose operations have no kernel yet are named here,
// and a row that is named without need fails.
#include <doctest/doctest.h>

#include <algorithm>
#include <string>
#include <vector>

#include "ergo/core/error.hpp"
#include "support/device_drivers.hpp"

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
TEST_CASE("movement: values") { run(movement_cases(), check_device_values, kMissing); }
TEST_CASE("movement: derivatives") { run(movement_cases(), check_device_derivatives, kMissing); }
TEST_CASE("indexing: values") { run(indexing_cases(), check_device_values, kMissing); }
TEST_CASE("indexing: derivatives") { run(indexing_cases(), check_device_derivatives, kMissing); }
TEST_CASE("network: values") { run(network_cases(), check_device_values, kMissing); }
TEST_CASE("network: derivatives") { run(network_cases(), check_device_derivatives, kMissing); }
TEST_CASE("constant: values") { run(constant_cases(), check_device_values, kMissing); }
TEST_CASE("random: values") { run(random_cases(), check_device_values, kMissing); }
TEST_CASE("random: derivatives") { run(random_cases(), check_device_derivatives, kMissing); }

}  // namespace cuda_cases_test
