// The case table's rows of reductions, scans, the softmax family, normalisation and losses, through every driver.
// label: threads
#include <doctest/doctest.h>

#include "support/case_drivers.hpp"

namespace cases_reduction_cases_test {

using namespace cases;

TEST_CASE("reductions: values against long double") { for_each_case(reduction_cases(), check_values); }
TEST_CASE("reductions: layouts") { for_each_case(reduction_cases(), check_layouts); }
TEST_CASE("reductions: derivatives in all modes") { for_each_case(reduction_cases(), check_derivatives); }
TEST_CASE("reductions: vmap") { for_each_case(reduction_cases(), check_vmap); }
TEST_CASE("reductions: bits do not depend on the number of threads") { for_each_case(reduction_cases(), check_threads); }

}  // namespace cases_reduction_cases_test
