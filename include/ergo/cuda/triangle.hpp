// tril and triu on a device: a launch.
#pragma once

#include "ergo/cuda/views.hpp"
#include "ergo/kernels/triangle.cuh"

namespace ergo::inline ERGO_BUILD::cuda {

// Matrices x (..., R, C) with zeros above diagonal k, or below it; elements of T's width.
template <class T>
Ref<Array> triangle(const Array& x, std::int64_t k, bool lower) {
  using U = Unit<int(sizeof(T))>;
  const Work w(x.device);
  const Ref<Array> from = grouped(x, x.shape.first(x.shape.rank() - 2), {1, 1});
  Ref<Array> y = w.make(x.dtype, x.shape);
  launch_triangle<U>(w.stream(), w.operand<U, 3>(*from), reinterpret_cast<U*>(y->data), k, lower);
  return y;
}

}  // namespace ergo::inline ERGO_BUILD::cuda
