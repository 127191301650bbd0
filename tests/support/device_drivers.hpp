// A row of the case table on a CUDA device against the same row on the CPU: values in both dtypes for every trial, the
// first-order rule, second order at the first shapes; what a value costs in launches, copies and waits.
#pragma once

#include "support/cases.hpp"

namespace cases {

void check_device_values(const Case&);
void check_device_derivatives(const Case&);

}  // namespace cases
