// All tables of rows, for tests that go through the whole case table.
#pragma once

#include "support/cases.hpp"

namespace cases {

struct Table {
  const char* name;
  std::vector<Case> (*rows)();
};

// clang-format off
inline constexpr Table kTables[] = {
    {"pointwise", pointwise_cases},
    {"reduction", reduction_cases},
    {"norm", norm_cases},
    {"loss", loss_cases},
    {"descriptive", descriptive_cases},
    {"scan", scan_cases},
    {"movement", movement_cases},
    {"indexing", indexing_cases},
    {"ordering", ordering_cases},
    {"network", network_cases},
    {"attention", attention_cases},
    {"spatial", spatial_cases},
    {"constant", constant_cases},
    {"random", random_cases},
};
// clang-format on

}  // namespace cases
