// Random inputs of a row of the case table.
#pragma once

#include <random>

#include "ergo/core/tensor.hpp"
#include "support/cases.hpp"
#include "support/seed.hpp"

namespace cases {

inline std::mt19937_64 generator(const Case& c, int salt = 0) {
  std::uint64_t h = test_seed() + std::uint64_t(salt) * 7919;
  for (char ch : c.name) h = h * 1099511628211u + std::uint64_t(std::uint8_t(ch));
  return std::mt19937_64(h);
}
inline Tensor<double> sample(const Shape& s, Range r, std::mt19937_64& g) {
  std::uniform_real_distribution<double> u(r.lo, r.hi);
  std::vector<double> v(std::size_t(s.numel()));
  for (double& x : v) x = u(g);
  return ergo::from_span<double>(v, s);
}
inline Range range_of(const Case& c, std::size_t i) {
  return c.ranges.empty() ? Range{} : c.ranges[i < c.ranges.size() ? i : 0];
}
inline Doubles sample_inputs(const Case& c, const std::vector<Shape>& shapes, std::mt19937_64& g) {
  Doubles x;
  for (std::size_t i = 0; i < shapes.size(); ++i) x.push_back(sample(shapes[i], range_of(c, i), g));
  return x;
}
inline Doubles directions_like(const Doubles& x, std::mt19937_64& g) {
  Doubles d;
  for (const auto& t : x) d.push_back(sample(t.shape(), {-1, 1}, g));
  return d;
}
inline Floats to_floats(const Doubles& x) {
  Floats r;
  for (const auto& t : x) r.push_back(ergo::cast<float>(t));
  return r;
}
inline Doubles to_doubles(const Floats& x) {
  Doubles r;
  for (const auto& t : x) r.push_back(ergo::cast<double>(t));
  return r;
}

}  // namespace cases
