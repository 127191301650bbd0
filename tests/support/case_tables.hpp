// All tables of rows, for tests that go through the whole case table.
#pragma once

#include "support/cases.hpp"

namespace cases {

struct Table {
  const char* name;
  std::vector<Case> (*rows)();
};

inline constexpr Table kTables[] = {
    {"pointwise", pointwise_cases},     {"reduction", reduction_cases}, {"loss", loss_cases},
    {"descriptive", descriptive_cases}, {"movement", movement_cases},   {"indexing", indexing_cases},
    {"network", network_cases},         {"constant", constant_cases},   {"random", random_cases},     {"attention", attention_cases},
};

}  // namespace cases
