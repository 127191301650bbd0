// The case table's rows of pointwise operations, through every driver.
// label: threads
#include <doctest/doctest.h>

#include "support/case_drivers.hpp"

namespace cases_pointwise_cases_test {

using namespace cases;

TEST_CASE("pointwise: values against libm") { for_each_case(pointwise_cases(), check_values); }
TEST_CASE("pointwise: layouts") { for_each_case(pointwise_cases(), check_layouts); }
TEST_CASE("pointwise: derivatives in all modes") { for_each_case(pointwise_cases(), check_derivatives); }
TEST_CASE("pointwise: vmap") { for_each_case(pointwise_cases(), check_vmap); }
TEST_CASE("pointwise: special values") { for_each_case(pointwise_cases(), check_special_values); }
TEST_CASE("pointwise: bits do not depend on the number of threads") { for_each_case(pointwise_cases(), check_threads); }

}  // namespace cases_pointwise_cases_test
