// array_equal and allclose: whole-tensor comparisons that give a plain bool.
#pragma once

#include "ergo/core/handle.hpp"

namespace ergo::inline ERGO_BUILD {

struct CloseOptions {
  double rtol = 1e-5, atol = 1e-8;
};

// Equal shapes and equal elements; NaN equals nothing.
template <TensorScalar T>
bool array_equal(const Tensor<T>& x, const Tensor<T>& y) {
  if (x.shape() != y.shape()) return false;
  const auto a = detail::readable("array_equal", x.array()), b = detail::readable("array_equal", y.array());
  const T *p = detail::data_of<T>(*a), *q = detail::data_of<T>(*b);
  for (std::int64_t i = 0, n = a->numel(); i < n; ++i)
    if (!(p[i] == q[i])) return false;
  return true;
}

// |x - y| <= atol + rtol |y| everywhere; infinities of one sign are close, NaN is close to nothing. Shapes must be
// equal.
template <TensorScalar T>
bool allclose(const Tensor<T>& x, const Tensor<T>& y, CloseOptions options = {}) {
  detail::Array* in[] = {&x.array(), &y.array()};
  if (x.shape() != y.shape()) detail::fail("allclose", in, 2, "shapes differ");
  const auto a = detail::readable("allclose", x.array()), b = detail::readable("allclose", y.array());
  const T *p = detail::data_of<T>(*a), *q = detail::data_of<T>(*b);
  for (std::int64_t i = 0, n = a->numel(); i < n; ++i) {
    const double u = double(p[i]), v = double(q[i]);
    if (u == v) continue;
    const double distance = u > v ? u - v : v - u, size = v < 0 ? -v : v;
    if (!(distance <= options.atol + options.rtol * size) || size - size != 0) return false;
  }
  return true;
}

}  // namespace ergo::inline ERGO_BUILD
