// A program run by the library, in every mode that gives its first and second derivatives.
#pragma once

#include <string>
#include <vector>

#include "programs/program.hpp"

namespace programs {

struct Found {
  const char* mode;
  int derivative;  // 0 the value, 1 and 2 the slopes, 3 the mixed second derivative, as Derivatives::of
  double value;
};
std::vector<Found> run_modes(const Program& p);

}  // namespace programs
