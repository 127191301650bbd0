// What a row of the case table costs at its large inputs, on all threads: `bench/run cases` prints the table. As a test
// each row is timed once, so that none is without its figure.
// label: long
#include <doctest/doctest.h>

#include <cstdio>
#include <cstdlib>

#include "support/case_drivers.hpp"
#include "support/case_tables.hpp"

namespace cases_measure_test {

using namespace cases;

TEST_CASE("every row is measured") {
  const char* asked = std::getenv("ERGO_MEASURE");
  const int repeats = asked ? std::atoi(asked) : 1;
  if (asked) std::printf("%-36s %14s %14s %14s\n", "row", "elements", "forward us", "gradient us");
  for (const Table& table : kTables)
    for (const Case& c : table.rows()) {
      CAPTURE(c.name);
      const Cost cost = measure(c, repeats);
      CHECK(cost.forward > 0);
      CHECK((cost.gradient > 0 || c.order == 0));
      if (asked)
        std::printf("%-36s %14lld %14.2f %14.2f\n", c.name.c_str(), static_cast<long long>(cost.elements),
                    1e6 * cost.forward, 1e6 * cost.gradient);
    }
}

}  // namespace cases_measure_test
