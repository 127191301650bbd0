// The case table's rows of attention, through every driver.
// label: threads
#include <doctest/doctest.h>

#include "support/case_drivers.hpp"

namespace cases_attention_cases_test {

using namespace cases;

TEST_CASE("attention: values against long double") { for_each_case(attention_cases(), check_values); }
TEST_CASE("attention: layouts") { for_each_case(attention_cases(), check_layouts); }
TEST_CASE("attention: derivatives in all modes") { for_each_case(attention_cases(), check_derivatives); }
TEST_CASE("attention: vmap") { for_each_case(attention_cases(), check_vmap); }
TEST_CASE("attention: bits do not depend on the number of threads") { for_each_case(attention_cases(), check_threads); }

}  // namespace cases_attention_cases_test
