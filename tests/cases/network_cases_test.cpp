// The case table's rows of the network's operations, through every driver.
// label: threads
#include <doctest/doctest.h>

#include "support/case_drivers.hpp"

namespace cases_network_cases_test {

using namespace cases;

TEST_CASE("network: values against naive loops") { for_each_case(network_cases(), check_values); }
TEST_CASE("network: layouts") { for_each_case(network_cases(), check_layouts); }
TEST_CASE("network: derivatives in all modes") { for_each_case(network_cases(), check_derivatives); }
TEST_CASE("network: vmap") { for_each_case(network_cases(), check_vmap); }
TEST_CASE("network: bits do not depend on the number of threads") { for_each_case(network_cases(), check_threads); }

}  // namespace cases_network_cases_test
