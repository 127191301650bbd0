// The case table's rows of order and selection, through every driver.
// label: threads
#include <doctest/doctest.h>

#include "support/case_drivers.hpp"

namespace cases_ordering_cases_test {

using namespace cases;

TEST_CASE("ordering: values against naive loops") { for_each_case(ordering_cases(), check_values); }
TEST_CASE("ordering: layouts") { for_each_case(ordering_cases(), check_layouts); }
TEST_CASE("ordering: derivatives in all modes") { for_each_case(ordering_cases(), check_derivatives); }
TEST_CASE("ordering: vmap") { for_each_case(ordering_cases(), check_vmap); }
TEST_CASE("ordering: bits do not depend on the number of threads") { for_each_case(ordering_cases(), check_threads); }

}  // namespace cases_ordering_cases_test
