// What a row of the case table is checked for. Each driver takes erased functions, so it is compiled once for all rows.
#pragma once

#include "support/cases.hpp"

namespace cases {

void check_values(const Case& c);       // float and double against the reference, every shape
void check_layouts(const Case& c);      // transposed, stepped, broadcast and offset inputs give the contiguous result
void check_derivatives(const Case& c);  // all modes to the row's order against differences and each other
void check_vmap(const Case& c);  // vmap of value, gradient and hvp equal loops, with as many kernels for any batch
void check_special_values(const Case& c);  // NaN, infinities, -0, denormals, in the body and the tail of a vector
void check_threads(const Case& c);  // 1, 2, 3, 5, 8 threads: the same bits, forward and backward, both in parallel

// Seconds of the operation, and of its pullback (0 if there is none), at the row's large inputs, or at its first shapes
// if it has none: the least of so many runs.
struct Cost {
  std::int64_t elements;  // of the inputs
  double forward, gradient;
};
Cost measure(const Case& c, int repeats);

// Runs `check` on all rows; a failure names the row.
void for_each_case(const std::vector<Case>& rows, void (*check)(const Case&));

}  // namespace cases
