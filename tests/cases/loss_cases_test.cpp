// The case table's rows of losses, through every driver.
// label: threads
#include <doctest/doctest.h>

#include "support/case_drivers.hpp"

namespace cases_loss_cases_test {

using namespace cases;

TEST_CASE("losses: values against long double") { for_each_case(loss_cases(), check_values); }
TEST_CASE("losses: layouts") { for_each_case(loss_cases(), check_layouts); }
TEST_CASE("losses: derivatives in all modes") { for_each_case(loss_cases(), check_derivatives); }
TEST_CASE("losses: vmap") { for_each_case(loss_cases(), check_vmap); }
TEST_CASE("losses: bits do not depend on the number of threads") { for_each_case(loss_cases(), check_threads); }

}  // namespace cases_loss_cases_test
