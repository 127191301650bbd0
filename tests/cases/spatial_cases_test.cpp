// The case table's rows of operations on the axes of images, through every driver.
// label: threads
#include <doctest/doctest.h>

#include "support/case_drivers.hpp"

namespace cases_spatial_cases_test {

using namespace cases;

TEST_CASE("images: values against long double") { for_each_case(spatial_cases(), check_values); }
TEST_CASE("images: layouts") { for_each_case(spatial_cases(), check_layouts); }
TEST_CASE("images: derivatives in all modes") { for_each_case(spatial_cases(), check_derivatives); }
TEST_CASE("images: vmap") { for_each_case(spatial_cases(), check_vmap); }
TEST_CASE("images: bits do not depend on the number of threads") { for_each_case(spatial_cases(), check_threads); }

}  // namespace cases_spatial_cases_test
