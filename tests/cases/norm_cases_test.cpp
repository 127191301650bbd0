// The case table's rows of norms, through every driver.
// label: threads
#include <doctest/doctest.h>

#include "support/case_drivers.hpp"

namespace cases_norm_cases_test {

using namespace cases;

TEST_CASE("norms: values against long double") { for_each_case(norm_cases(), check_values); }
TEST_CASE("norms: layouts") { for_each_case(norm_cases(), check_layouts); }
TEST_CASE("norms: derivatives in all modes") { for_each_case(norm_cases(), check_derivatives); }
TEST_CASE("norms: vmap") { for_each_case(norm_cases(), check_vmap); }
TEST_CASE("norms: bits do not depend on the number of threads") { for_each_case(norm_cases(), check_threads); }

}  // namespace cases_norm_cases_test
