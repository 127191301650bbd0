// Kernels along the last axis of arrays: (..., n) seen as rows (m, n), leading axes broadcast where there are several.
#pragma once

#include "ergo/cuda/views.hpp"

namespace ergo::inline ERGO_BUILD::cuda {

// x (..., n) with its leading axes broadcast to `lead`, as rows (m, n).
inline Ref<Array> as_rows(const Array& x, const Shape& lead) {
  const Shape s = lead + x.shape.last(1);
  if (x.shape == s) return as_rows(x);
  const Ref<Array> wide = Array::view(x, s);
  const int gained = s.rank() - x.shape.rank();
  for (int d = 0; d < s.rank(); ++d)
    wide->stride[d] = d < gained || x.shape[d - gained] != s[d] ? 0 : x.stride[d - gained];
  wide->settle();
  return as_rows(*wide);
}

// y of x's shape by launch(stream, rows of x, rows of y).
template <class T, class Launch>
Tensor<T> rows_to_rows(const Tensor<T>& x, const Launch& launch) {
  const Work w = work_on(x);
  const Ref<Array> from = as_rows(x.array());
  Ref<Array> y = w.make(dtype_of<T>, x.shape());
  launch(w, w.operand<T, 2>(*from), w.result<T, 2>(*as_rows(*y)));
  return Tensor<T>(std::move(y));
}
// The same of two operands whose leading axes broadcast.
template <class T, class Launch>
Tensor<T> rows_to_rows(const Tensor<T>& a, const Tensor<T>& b, const Launch& launch) {
  const Work w = work_on(a, b);
  Shape lead = a.shape().first(a.rank() - 1);
  ergo::detail::broadcast(lead, b.shape().first(b.rank() - 1));
  const Ref<Array> left = as_rows(a.array(), lead), right = as_rows(b.array(), lead);
  Ref<Array> y = w.make(dtype_of<T>, lead + a.shape().last(1));
  launch(w, w.operand<T, 2>(*left), w.operand<T, 2>(*right), w.result<T, 2>(*as_rows(*y)));
  return Tensor<T>(std::move(y));
}

}  // namespace ergo::inline ERGO_BUILD::cuda
