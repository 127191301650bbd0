// What a program claims about its own result: rows of criterion, threshold, value, ok.
#pragma once

#include <string>
#include <vector>

namespace examples {

// A condition on a value; NaN meets none.
struct Threshold {
  double least, most;
};
Threshold at_least(double least);
Threshold at_most(double most);
Threshold between(double least, double most);

struct Criterion {
  std::string what, threshold, value;
  bool ok = false;
};
Criterion criterion(std::string what, double value, Threshold threshold);
Criterion criterion(std::string what, bool holds);

// The rows in columns, under a heading; columns are as wide as they need to be.
std::string table(const std::vector<Criterion>& rows);

}  // namespace examples
