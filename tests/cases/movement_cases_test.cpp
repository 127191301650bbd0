// The case table's rows of movement, through every driver.
// label: threads
#include <doctest/doctest.h>

#include "support/case_drivers.hpp"

namespace cases_movement_cases_test {

using namespace cases;

TEST_CASE("movement: values against a reading of single elements") { for_each_case(movement_cases(), check_values); }
TEST_CASE("movement: layouts") { for_each_case(movement_cases(), check_layouts); }
TEST_CASE("movement: derivatives in all modes") { for_each_case(movement_cases(), check_derivatives); }
TEST_CASE("movement: vmap") { for_each_case(movement_cases(), check_vmap); }
TEST_CASE("movement: bits do not depend on the number of threads") { for_each_case(movement_cases(), check_threads); }

}  // namespace cases_movement_cases_test
