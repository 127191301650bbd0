// All tables of rows, for tests that go through the whole case table.
#pragma once

#include "support/cases.hpp"

namespace cases {

inline constexpr std::vector<Case> (*kTables[])() = {
    pointwise_cases, reduction_cases, loss_cases,     descriptive_cases, movement_cases,
    indexing_cases,  network_cases,   constant_cases, random_cases};

}  // namespace cases
