// The case table: one row an operation (several where it has corners of its own), and everything that is checked or
// measured follows from the row. A row is data: plain functions per dtype, shapes, sampling ranges away from kinks, the
// highest order of derivative, a reference. The drivers (support/case_drivers.hpp) are compiled once.
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
  std::vector<double> sizes = {};  // what errors are relative to (sums: of the terms' sizes); none: 1 + |value|
};

struct Case {
  std::string name;                        // the public name, or "name: corner"
  std::vector<std::vector<Shape>> shapes;  // one list of input shapes a trial; the first is the one for derivatives
  std::vector<Range> ranges;               // one for all inputs, or one each
  Tensor<double> (*f64)(const Doubles&) = nullptr;  // differentiable in all inputs
  Tensor<float> (*f32)(const Floats&) = nullptr;
  Reference (*reference)(const Doubles&) = nullptr;  // independent of ergo's operations
  double (*scalar)(const double*) = nullptr;  // pointwise: the reference of one element; serves special values too
  int order = 3;                              // of derivatives checked; 0: the result is a constant
  double tolerance = 2e-6;                    // of float values, relative to the reference's size
  double tolerance64 = 1e-13;
  bool pointwise = false;
  bool vmaps = true;          // false: the result's shape depends on the data, which vmap refuses
  bool same_in_float = true;  // false: f32 draws other numbers than f64, to which the reference belongs
  std::vector<Shape> large;   // inputs over the parallel threshold; also the bench's
  Tensor<float> (*bare)(const Floats&) = nullptr;  // to count threads: f32 without what it puts around the operation
  std::string serial;           // why the operation never runs in parallel; empty: with `large` inputs it must
  std::string serial_gradient;  // the same of its first-order rule
};

// The public name of a row without its corner.
inline std::string public_name(const std::string& name) { return name.substr(0, name.find(':')); }

std::vector<Case> pointwise_cases();
std::vector<Case> reduction_cases();
std::vector<Case> loss_cases();
std::vector<Case> scan_cases();
std::vector<Case> norm_cases();
std::vector<Case> descriptive_cases();
std::vector<Case> movement_cases();
std::vector<Case> indexing_cases();
std::vector<Case> ordering_cases();
std::vector<Case> network_cases();
std::vector<Case> spatial_cases();
std::vector<Case> constant_cases();
std::vector<Case> random_cases();
std::vector<Case> attention_cases();

}  // namespace cases
