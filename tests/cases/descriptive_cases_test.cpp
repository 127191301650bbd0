// The case table's rows of descriptive statistics and tensor products, through every driver.
// label: threads
#include <doctest/doctest.h>

#include "support/case_drivers.hpp"

namespace cases_descriptive_cases_test {

using namespace cases;

TEST_CASE("descriptive: values against long double") { for_each_case(descriptive_cases(), check_values); }
TEST_CASE("descriptive: layouts") { for_each_case(descriptive_cases(), check_layouts); }
TEST_CASE("descriptive: derivatives in all modes") { for_each_case(descriptive_cases(), check_derivatives); }
TEST_CASE("descriptive: vmap") { for_each_case(descriptive_cases(), check_vmap); }
TEST_CASE("descriptive: bits do not depend on the number of threads") { for_each_case(descriptive_cases(), check_threads); }

}  // namespace cases_descriptive_cases_test
