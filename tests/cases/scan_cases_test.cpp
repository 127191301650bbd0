// The case table's rows of scans and segments, through every driver.
// label: threads
#include <doctest/doctest.h>

#include "support/case_drivers.hpp"

namespace cases_scan_cases_test {

using namespace cases;

TEST_CASE("scan: values against long double") { for_each_case(scan_cases(), check_values); }
TEST_CASE("scan: layouts") { for_each_case(scan_cases(), check_layouts); }
TEST_CASE("scan: derivatives in all modes") { for_each_case(scan_cases(), check_derivatives); }
TEST_CASE("scan: vmap") { for_each_case(scan_cases(), check_vmap); }
TEST_CASE("scan: bits do not depend on the number of threads") { for_each_case(scan_cases(), check_threads); }

}  // namespace cases_scan_cases_test
