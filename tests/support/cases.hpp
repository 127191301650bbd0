// The case table: one row an operation (several where it has corners of its own), and everything that is checked or measured
// follows from the row. A row is data: plain functions per dtype, shapes, sampling ranges away from kinks, the highest order
// of derivative, a reference. The drivers (support/case_drivers.hpp) are compiled once.
#pragma once

#include <functional>
#include <span>
#include <string>
#include <vector>

#include "ergo/core/tensor.hpp"

namespace cases {

using ergo::Shape;
using ergo::Tensor;
using Doubles = std::vector<Tensor<double>>;
using Floats = std::vector<Tensor<float>>;

struct Range {
  double lo = -2, hi = 2;
};

// Values that an independent reference computes: row-major elements, in double or better.
struct Reference {
  Shape shape;
  std::vector<double> values;
};

struct Case {
  std::string name;                    // the public name, or "name: corner"
  std::vector<std::vector<Shape>> shapes;  // one list of input shapes a trial; the first is the one for derivatives
  std::vector<Range> ranges;           // one for all inputs, or one each
  Tensor<double> (*f64)(const Doubles&) = nullptr;  // differentiable in all inputs
  Tensor<float> (*f32)(const Floats&) = nullptr;
  Reference (*reference)(const Doubles&) = nullptr;  // independent of ergo's operations
  double (*scalar)(const double*) = nullptr;          // pointwise: the reference of one element; serves special values too
  int order = 3;                       // of derivatives checked; 0: the result is a constant
  double tolerance = 2e-6;             // of float values against the reference, relative to 1 + |value|
  double tolerance64 = 1e-13;
  bool pointwise = false;
  bool vmaps = true;
  std::vector<Shape> large;            // inputs over the parallel threshold; also the bench's
};

// The public name of a row without its corner.
inline std::string public_name(const std::string& name) { return name.substr(0, name.find(':')); }

std::vector<Case> pointwise_cases();
std::vector<Case> reduction_cases();
std::vector<Case> movement_cases();
std::vector<Case> indexing_cases();
std::vector<Case> network_cases();

}  // namespace cases
