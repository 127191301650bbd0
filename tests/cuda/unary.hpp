// Unary operations on a CUDA device and their gradients: the CPU's values, to so many units in the last place, for
// empty tensors, numbers and lengths around packs.
#pragma once

#include <random>
#include <string>
#include <vector>

#include <doctest/doctest.h>

#include "ergo/autograd/transforms.hpp"
#include "ergo/cuda/backend.hpp"
#include "support/seed.hpp"

namespace test {

using ergo::Device;
using ergo::Shape;
using ergo::Tensor;

inline constexpr Device kDevice = Device::cuda(0);

template <class T>
Tensor<T> sample(const Shape& s, double lo, double hi, std::mt19937_64& random) {
  std::vector<T> x;
  std::uniform_real_distribution<double> draw(lo, hi);
  for (std::int64_t i = 0; i < s.numel(); ++i) x.push_back(ergo::convert<T>(draw(random)));
  return ergo::from_span<T>(x, s);
}

// The largest |a - b| in units of the last place of b, or of `least` where b is smaller; NaN equals NaN.
template <class T>
double distance(const Tensor<T>& a, const Tensor<T>& b, double least = 1e-30) {
  const std::vector<T> p = a.to_vector(), q = b.to_vector();
  REQUIRE(p.size() == q.size());
  double most = 0;
  for (std::size_t i = 0; i < p.size(); ++i) {
    const double x = double(p[i]), y = double(q[i]);
    if ((x != x) != (y != y)) return 1e300;
    if (x != x || x == y) continue;
    const double unit = std::is_same_v<T, float> ? 0x1p-23 : std::is_same_v<T, double> ? 0x1p-52 : 0x1p-7;
    most = std::max(most, std::abs(x - y) / (std::max(std::abs(y), least) * unit));
  }
  return most;
}

template <class T, class F>
void check_unary(const std::string& name, double lo, double hi, double ulps, F f) {
  CAPTURE(name);
  std::mt19937_64 random(test_seed());
  for (const Shape& s : {Shape{}, Shape{0}, Shape{1}, Shape{1023}, Shape{5, 7, 3}, Shape{4096}}) {
    CAPTURE(s);
    const Tensor<T> x = sample<T>(s, lo, hi, random), there = x.to(kDevice);
    const auto y = f(there);
    CHECK(y.device() == kDevice);
    CHECK(distance(y.cpu(), f(x)) <= ulps);
    if (s.numel() == 0) continue;
    const auto total = [&](const Tensor<T>& t) { return f(t); };
    const Tensor<T> g = sample<T>(s, -1, 1, random);
    const auto [v, pull] = ergo::vjp(total, x);
    const auto [w, pull_there] = ergo::vjp(total, there);
    CHECK(distance(pull_there(g.to(kDevice)).cpu(), pull(g), 1) <= ulps);
  }
}

}  // namespace test

// ergo::f of T between two numbers.
#define ERGO_CASE(f, lo, hi) \
  test::check_unary<T>(#f, lo, hi, sizeof(T) == 2 ? 1.1 : 16, [](const auto& x) { return ergo::f(x); })
