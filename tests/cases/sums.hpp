// What the rows of operations that sum products share: references that loop over places, in long double.
#pragma once

#include <cmath>

#include "cases/moved_elements.hpp"

namespace cases {

using Real = long double;

// The elements of a tensor by their place; an extent of 1 stands for any.
struct Elements {
  Shape shape;
  std::vector<double> v;
  explicit Elements(const Tensor<double>& x) : Elements(x, x.shape()) {}
  Elements(const Tensor<double>& x, const Shape& as) : shape(as), v(x.to_vector()) {}
  Real operator()(const Place& p) const { return v[std::size_t(position(shape, p))]; }
};

// Calls f(place) for each place of the shape, row-major.
template <class F>
void for_each_place(const Shape& s, const F& f) {
  Place at(std::size_t(s.rank()), 0);
  for (std::int64_t i = 0, n = s.numel(); i < n; ++i) {
    f(at);
    for (int d = s.rank() - 1; d >= 0 && ++at[std::size_t(d)] == s[d]; --d) at[std::size_t(d)] = 0;
  }
}

// A sum of products as it grows.
struct Sum {
  Real value = 0, size = 0;
  std::int64_t terms = 0;
  void add(Real product) {
    value += product;
    size += std::abs(product);
    ++terms;
  }
};
// The sums that each(place, sum) fills for each place.
template <class F>
Reference sums(const Shape& shape, const F& each) {
  Reference r{shape, {}};
  for_each_place(shape, [&](const Place& p) {
    Sum s;
    each(p, s);
    r.values.push_back(double(s.value));
    r.sizes.push_back(std::sqrt(double(s.terms)) * double(s.size));
  });
  return r;
}

template <class Op>
Case row(const std::string& name, const Shapes& shapes, const std::vector<Shape>& large, Op,
         Reference (*reference)(const Doubles&)) {
  Case c;
  c.name = name;
  c.shapes = shapes;
  c.large = large;
  c.f64 = [](const Doubles& in) -> Tensor<double> { return Op{}(in); };
  c.f32 = [](const Floats& in) -> Tensor<float> { return Op{}(in); };
  c.reference = reference;
  c.tolerance = 4e-7;
  c.tolerance64 = 1e-15;
  return c;
}

}  // namespace cases
