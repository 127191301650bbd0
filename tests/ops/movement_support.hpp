// Drivers for operations that move elements: values against an index map read element by element, and derivatives, vmap
// and layouts of any function from tensor to tensor, compiled once.
#pragma once

#include <doctest/doctest.h>

#include <cmath>
#include <functional>
#include <random>
#include <string>
#include <vector>

#include "../support/seed.hpp"
#include "ergo/autograd/transforms.hpp"
#include "ergo/core/tensor.hpp"
#include "ergo/ops/arithmetic.hpp"
#include "ergo/ops/slicing.hpp"

namespace movement {

using namespace ergo;
using Place = std::vector<std::int64_t>;

inline std::mt19937_64& generator() {
  static std::mt19937_64 g(test_seed());
  return g;
}

// Elements that T holds exactly, so that sums of a few are exact too.
template <class T>
Tensor<T> draw(const Shape& s) {
  std::vector<T> v;
  std::uniform_int_distribution<int> whole(0, std::is_same_v<T, bool> ? 1 : 100);
  for (std::int64_t i = 0; i < s.numel(); ++i) v.push_back(convert<T>(whole(generator())));
  Tensor<T> r = zeros<T>(s);
  for (std::size_t i = 0; i < v.size(); ++i) detail::data_of<T>(r.array())[i] = v[i];
  return r;
}
inline Tensor<double> draw_normal(const Shape& s) {
  Tensor<double> r = zeros<double>(s);
  std::normal_distribution<double> normal;
  for (std::int64_t i = 0; i < s.numel(); ++i) detail::data_of<double>(r.array())[i] = normal(generator());
  return r;
}

// Equal elements under other strides: the axes reversed in memory, every other element of a larger array, from the end.
template <class T>
std::vector<Tensor<T>> layouts(const Tensor<T>& x) {
  const Shape s = x.shape();
  std::vector<Tensor<T>> r{x};
  if (s.rank() == 0) return r;
  std::int8_t back[kMaxRank];
  for (int d = 0; d < s.rank(); ++d) back[d] = std::int8_t(s.rank() - 1 - d);
  const AnyTensor turned(detail::permute(x.ref(), back));
  r.push_back(Tensor<T>(AnyTensor(detail::permute(Tensor<T>(turned).contiguous().ref(), back))));
  Shape wide = s;
  wide[-1] = 2 * s[-1] + 1;
  r.push_back(slice(set_slice(draw<T>(wide), x, -1, none, 0, -2), -1, none, 0, -2));
  for (const auto& v : r) REQUIRE(array_equal(v, x));
  return r;
}

// Where the element at a place of the result comes from: a place of x, row-major, or none, which means zero.
using Source = std::function<std::int64_t(const Place&)>;
inline constexpr std::int64_t kZero = -1;

inline std::vector<std::int64_t> sources(const Shape& shape, const Source& source) {
  std::vector<std::int64_t> r;
  Place at(std::size_t(shape.rank()), 0);
  for (std::int64_t i = 0; i < shape.numel(); ++i) {
    r.push_back(source(at));
    for (int d = shape.rank() - 1; d >= 0; --d) {
      if (++at[std::size_t(d)] < shape[d]) break;
      at[std::size_t(d)] = 0;
    }
  }
  return r;
}
template <class T>
void check_places(const Tensor<T>& y, const Tensor<T>& x, const Shape& shape, const std::vector<std::int64_t>& from) {
  REQUIRE(y.shape() == shape);
  const std::vector<T> have = y.to_vector(), given = x.to_vector();
  int wrong = 0;
  for (std::size_t i = 0; i < have.size(); ++i)
    wrong += !(have[i] == (from[i] == kZero ? convert<T>(0) : given[std::size_t(from[i])]));
  CHECK(wrong == 0);
}
// op, of every dtype and layout, gives `shape` with elements from those sources.
template <class... T, class Op>
void check_moves_of(const Shape& input, Op op, const Shape& shape, const Source& source) {
  const auto from = sources(shape, source);
  const auto one = [&]<class U>(U) {
    const auto x = draw<U>(input);
    for (const auto& strided : layouts(x)) check_places<U>(op(strided), x, shape, from);
  };
  (one(T{}), ...);
}
template <class Op>
void check_moves(const Shape& input, Op op, const Shape& shape, const Source& source) {
  INFO("from " << to_string(input) << " to " << to_string(shape));
  check_moves_of<bool, std::uint8_t, std::int32_t, std::int64_t, half, bfloat16, float, double>(input, op, shape, source);
}

using Function = Tensor<double> (*)(const Tensor<double>&);

inline double gap(const Tensor<double>& a, const Tensor<double>& b) {
  REQUIRE(a.shape() == b.shape());
  double worst = 0;
  const auto p = a.to_vector(), q = b.to_vector();
  for (std::size_t i = 0; i < p.size(); ++i) worst = std::fmax(worst, std::fabs(p[i] - q[i]) / (1 + std::fabs(q[i])));
  return worst;
}

// A function as every transform sees it: adjointness, orders 2 and 3 by two spellings, vmap against a loop, layouts.
inline void check_transforms(const std::string& what, Function f, const Shape& shape) {
  INFO(what << " of " << to_string(shape));
  const auto call = [f](const Tensor<double>& x) { return f(x); };
  const auto loss = [f](const Tensor<double>& x) {  // cubic, so that its third derivative is the last that is not zero
    const auto y = f(x);
    return tree::dot(y, y * y);
  };
  const auto x = draw_normal(shape), v = draw_normal(shape);

  const auto [y, dy] = jvp(call)(x, v);
  const auto [same, pull] = vjp(call, x);
  const auto u = draw_normal(y.shape());
  CHECK(gap(y, same) == 0);
  const double left = tree::dot(u, dy).item(), right = tree::dot(pull(u), v).item();
  CHECK(std::fabs(left - right) <= 1e-12 * (1 + std::fabs(left)));

  // The functions here are affine: a difference of any length is the derivative.
  CHECK(gap(dy, f(x + v) - f(x)) < 1e-12);

  const auto g = grad(loss);
  const double h = 1e-4;
  const auto forward = jvp(g)(x, v).second;
  const auto reverse = grad([&](const Tensor<double>& p) { return tree::dot(g(p), v); })(x);
  CHECK(gap(forward, reverse) < 1e-11);
  CHECK(gap(forward, (g(x + h * v) - g(x - h * v)) / (2 * h)) < 1e-6);
  const auto second = [&](const Tensor<double>& p) { return hvp(loss)(p, v); };
  const auto third = jvp(second)(x, v).second;  // a quadratic: central differences are exact
  CHECK(gap(third, (second(x + v) - second(x - v)) / 2.0) < 1e-10);
  CHECK(gap(grad([&](const Tensor<double>& p) { return tree::dot(second(p), v); })(x), third) < 1e-10);

  for (const auto& strided : layouts(x)) {
    CHECK(gap(f(strided), y) == 0);
    CHECK(gap(g(strided), g(x)) < 1e-14);
  }

  const auto batch = draw_normal(Shape{3} + shape);
  const auto mapped = vmap(call)(batch), gradients = vmap(g)(batch), products = vmap(second)(batch);
  for (int i = 0; i < 3; ++i) {
    CHECK(gap(mapped[i], f(batch[i])) == 0);
    CHECK(gap(gradients[i], g(batch[i])) < 1e-14);
    CHECK(gap(products[i], second(batch[i])) < 1e-13);
  }
  const auto through = grad([&](const Tensor<double>& p) {
    const auto all = vmap(call)(p);
    return tree::dot(all, all * all);
  })(batch);
  CHECK(gap(through, gradients) < 1e-14);
  // Mapped over the rows and over the columns of a batch of batches.
  const auto deep = draw_normal(Shape{2, 2} + shape);
  const auto twice = vmap([&](const Tensor<double>& row) { return vmap(call)(row); })(deep);
  CHECK(gap(twice[1][0], f(deep[1][0])) == 0);
}

template <class F>
void check_error(F call, const std::string& text) {
  try {
    call();
    FAIL_CHECK("no error; expected: " << text);
  } catch (const Error& e) {
    CHECK(std::string(e.what()) == text);
  }
}

}  // namespace movement
