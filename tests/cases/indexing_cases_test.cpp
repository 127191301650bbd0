// The case table's rows of indexing, through every driver.
// label: threads
#include <doctest/doctest.h>

#include "support/case_drivers.hpp"

namespace cases_indexing_cases_test {

using namespace cases;

TEST_CASE("indexing: values against a reading of single elements") { for_each_case(indexing_cases(), check_values); }
TEST_CASE("indexing: layouts") { for_each_case(indexing_cases(), check_layouts); }
TEST_CASE("indexing: derivatives in all modes") { for_each_case(indexing_cases(), check_derivatives); }
TEST_CASE("indexing: vmap") { for_each_case(indexing_cases(), check_vmap); }
TEST_CASE("indexing: bits do not depend on the number of threads") { for_each_case(indexing_cases(), check_threads); }

}  // namespace cases_indexing_cases_test
