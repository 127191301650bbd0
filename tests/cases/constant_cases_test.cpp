// The case table's rows of operations with constant results, through every driver.
// label: threads
#include <doctest/doctest.h>

#include "support/case_drivers.hpp"

namespace cases_constant_cases_test {

using namespace cases;

TEST_CASE("constants: values against single elements") { for_each_case(constant_cases(), check_values); }
TEST_CASE("constants: layouts") { for_each_case(constant_cases(), check_layouts); }
TEST_CASE("constants: derivatives in all modes are 0") { for_each_case(constant_cases(), check_derivatives); }
TEST_CASE("constants: vmap") { for_each_case(constant_cases(), check_vmap); }
TEST_CASE("constants: bits do not depend on the number of threads") { for_each_case(constant_cases(), check_threads); }

}  // namespace cases_constant_cases_test
