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
#include "ergo/autograd/curvature.hpp"
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

// Elements of any dtype, from its own bytes: whole numbers that each of them holds exactly.
inline AnyTensor draw(DType d, const Shape& s) {
  const auto r = detail::Array::make(d, s);
  std::uniform_int_distribution<int> whole(0, d == DType::boolean ? 1 : 100);
  const auto fill = [&]<class T>(T) {
    for (std::int64_t i = 0; i < s.numel(); ++i) detail::data_of<T>(*r)[i] = convert<T>(whole(generator()));
  };
  switch (d) {
    case DType::boolean:
    case DType::uint8:
      fill(std::uint8_t{});
      break;
    case DType::int32:
      fill(std::int32_t{});
      break;
    case DType::int64:
      fill(std::int64_t{});
      break;
    case DType::half:
      fill(half{});
      break;
    case DType::bfloat16:
      fill(bfloat16{});
      break;
    case DType::float32:
      fill(float{});
      break;
    case DType::float64:
      fill(double{});
  }
  return AnyTensor(r);
}
template <class T>
Tensor<T> draw(const Shape& s) {
  return Tensor<T>(draw(dtype_of<T>, s));
}
inline Tensor<double> draw_normal(const Shape& s) {
  Tensor<double> r = zeros<double>(s);
  std::normal_distribution<double> normal;
  for (std::int64_t i = 0; i < s.numel(); ++i) detail::data_of<double>(r.array())[i] = normal(generator());
  return r;
}

inline bool same_bytes(const AnyTensor& x, const AnyTensor& y) {
  const auto a = detail::dense(x.array()), b = detail::dense(y.array());
  return a->shape == b->shape && std::memcmp(a->data, b->data, std::size_t(a->numel() * size_of(a->dtype))) == 0;
}
// Equal elements under other strides: the axes reversed in memory, every other element of a larger array, from the end.
inline std::vector<AnyTensor> layouts(const AnyTensor& x) {
  const Shape s = x.shape();
  std::vector<AnyTensor> r{x};
  if (s.rank() == 0) return r;
  std::int8_t back[kMaxRank];
  for (int d = 0; d < s.rank(); ++d) back[d] = std::int8_t(s.rank() - 1 - d);
  r.push_back(AnyTensor(detail::permute(detail::dense(*detail::permute(x.ref(), back)), back)));
  Shape wide = s;
  wide[-1] = 2 * s[-1] + 1;
  r.push_back(detail::sliced(detail::slice_set(draw(x.dtype(), wide), x, -1, none, 0, -2), -1, none, 0, -2));
  for (const auto& v : r) REQUIRE(same_bytes(v, x));
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
inline void check_places(const AnyTensor& y, const AnyTensor& x, const Shape& shape,
                         const std::vector<std::int64_t>& from) {
  REQUIRE(y.shape() == shape);
  REQUIRE(y.dtype() == x.dtype());
  const auto have = detail::dense(y.array()), given = detail::dense(x.array());
  const std::int64_t width = size_of(x.dtype()), zero = 0;
  int wrong = 0;
  for (std::size_t i = 0; i < from.size(); ++i) {
    const void* expected = from[i] == kZero ? static_cast<const void*>(&zero) : given->data + from[i] * width;
    wrong += std::memcmp(have->data + std::int64_t(i) * width, expected, std::size_t(width)) != 0;
  }
  CHECK(wrong == 0);
}
// op, of every dtype and layout, gives `shape` with elements from those sources.
template <class Op>
void check_moves(const Shape& input, Op op, const Shape& shape, const Source& source) {
  using Call = AnyTensor (*)(const AnyTensor&);
  const Call calls[] = {
      [](const AnyTensor& x) -> AnyTensor { return Op{}(Tensor<bool>(x)); },
      [](const AnyTensor& x) -> AnyTensor { return Op{}(Tensor<std::uint8_t>(x)); },
      [](const AnyTensor& x) -> AnyTensor { return Op{}(Tensor<std::int32_t>(x)); },
      [](const AnyTensor& x) -> AnyTensor { return Op{}(Tensor<std::int64_t>(x)); },
      [](const AnyTensor& x) -> AnyTensor { return Op{}(Tensor<half>(x)); },
      [](const AnyTensor& x) -> AnyTensor { return Op{}(Tensor<bfloat16>(x)); },
      [](const AnyTensor& x) -> AnyTensor { return Op{}(Tensor<float>(x)); },
      [](const AnyTensor& x) -> AnyTensor { return Op{}(Tensor<double>(x)); },
  };
  static_cast<void>(op);
  const auto from = sources(shape, source);
  const std::string what = "from " + to_string(input) + " to " + to_string(shape);
  INFO(what);
  for (int d = 0; d < 8; ++d) {
    const AnyTensor x = draw(DType(d), input);
    for (const auto& strided : layouts(x)) check_places(calls[d](strided), x, shape, from);
  }
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

  for (const auto& layout : layouts(x)) {
    const Tensor<double> strided(layout);
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
std::string error_of(F call) {
  try {
    call();
  } catch (const Error& e) { return e.what(); }
  return "no error";
}

}  // namespace movement

// An operation on x, and where the element at place p of its result comes from.
#define OP(...) [](const auto& x) { return __VA_ARGS__; }
#define FROM(...) [&](const ::movement::Place& p) -> std::int64_t { return __VA_ARGS__; }
// What the Error of an expression says.
#define ERROR_OF(...) ::movement::error_of([&] { static_cast<void>(__VA_ARGS__); })
