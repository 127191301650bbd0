// What the rows of operations that move elements share: references that read x one element at a time, and a cube behind
// the operation, so that derivatives up to the third say something.
#pragma once

#include <functional>

#include "ergo/ops/arithmetic.hpp"
#include "support/cases.hpp"

namespace cases {

using Place = std::vector<std::int64_t>;
inline constexpr std::int64_t kZero = -1;

// The position of a place in a row-major tensor of shape s; broadcast: an extent of 1 stands for any, axes are aligned
// at the last.
inline std::int64_t position(const Shape& s, const Place& at) {
  std::int64_t p = 0;
  const std::size_t gained = at.size() - std::size_t(s.rank());
  for (int d = 0; d < s.rank(); ++d) p = p * s[d] + (s[d] == 1 ? 0 : at[gained + std::size_t(d)]);
  return p;
}
// The cubes of what `value` says for each place of the shape.
inline Reference cubes(const Shape& shape, const std::function<double(const Place&)>& value) {
  Reference r{shape, {}};
  Place at(std::size_t(shape.rank()), 0);
  for (std::int64_t i = 0; i < shape.numel(); ++i) {
    const double v = value(at);
    r.values.push_back(v * v * v);
    for (int d = shape.rank() - 1; d >= 0; --d) {
      if (++at[std::size_t(d)] < shape[d]) break;
      at[std::size_t(d)] = 0;
    }
  }
  return r;
}
// The same, of the element of x at a position that `from` gives; kZero means 0.
inline Reference moved(const Tensor<double>& x, const Shape& shape,
                       const std::function<std::int64_t(const Place&)>& from) {
  const auto v = x.to_vector();
  return cubes(shape, [&](const Place& p) {
    const std::int64_t at = from(p);
    return at == kZero ? 0.0 : v[std::size_t(at)];
  });
}
template <class T>
Tensor<T> cube(const Tensor<T>& y) {
  return y * y * y;
}

using Shapes = std::vector<std::vector<Shape>>;

template <class Op>
Case moving_row(const std::string& name, const Shapes& shapes, const std::vector<Shape>& large, Op,
                Reference (*reference)(const Doubles&)) {
  Case c;
  c.name = name;
  c.shapes = shapes;
  c.large = large;
  c.f64 = [](const Doubles& in) { return cube(Op{}(in)); };
  c.f32 = [](const Floats& in) { return cube(Op{}(in)); };
  c.bare = [](const Floats& in) -> Tensor<float> { return Op{}(in); };
  c.reference = reference;
  return c;
}

}  // namespace cases

// An operation on x, or on x and y; what it is expected to give, from the place p.
#define OP(...)                                             \
  [](const auto& in) {                                      \
    [[maybe_unused]] const auto &x = in[0], &y = in.back(); \
    return __VA_ARGS__;                                     \
  }
#define MOVED(result, ...)                                                                                 \
  [](const Doubles& in) {                                                                                 \
    const Tensor<double>& x = in[0];                                                                      \
    [[maybe_unused]] const Shape s = x.shape();                                                           \
    return moved(x, result, [&]([[maybe_unused]] const Place& p) -> std::int64_t { return __VA_ARGS__; }); \
  }
