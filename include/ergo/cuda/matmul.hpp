// Matrix products of arrays on a device, of any strides and with broadcast leading axes, handed to cuBLAS as one batch.
#pragma once

#include "ergo/cuda/blas.hpp"
#include "ergo/cuda/views.hpp"

namespace ergo::inline ERGO_BUILD::cuda {

namespace detail {

// x (..., r, c) with leading axes that broadcast to `lead`, as (batch, r, c); a copy where they are no one axis.
inline Ref<Array> as_batch(const Array& x, const Shape& lead) {
  const int own = x.shape.rank() - 2;
  ergo::detail::Walk<1> batch;
  for (int d = 0; d < lead.rank(); ++d) {
    const int at = d - (lead.rank() - own);
    const std::int64_t step[1] = {at < 0 || x.shape[at] == 1 ? 0 : x.stride[at]};
    batch.add(lead[d], step);
  }
  batch.finish();
  if (batch.rank > 1) {
    const Ref<Array> wide = Array::make(x.dtype, lead + x.shape.last(2), x.device);
    ergo::detail::assign(*wide, x);
    return as_batch(*wide, lead);
  }
  Ref<Array> r = Array::view(x, Shape{batch.extent[0]} + x.shape.last(2));
  r->stride[0] = batch.stride[0][0];
  for (int d = 0; d < 2; ++d) r->stride[1 + d] = x.stride[own + d];
  r->settle();
  return r;
}

}  // namespace detail

// (..., m, k) x (..., k, n); inner sizes agree and leading axes broadcast, checked by the caller.
template <class T>
Ref<Array> matmul(const char* name, const Array& a, const Array& b) {
  Shape lead = a.shape.first(a.shape.rank() - 2);
  ergo::detail::broadcast(lead, b.shape.first(b.shape.rank() - 2));
  const Work w(a.device);
  Ref<Array> y = w.make(dtype_of<T>, lead + Shape{a.shape[-2], b.shape[-1]});
  if (y->numel() == 0) return y;
  const Ref<Array> to = detail::as_batch(*y, lead);
  const auto multiply = [&](const Array& left, const Array& right) {
    const Ref<Array> p = detail::as_batch(left, lead), q = detail::as_batch(right, lead);
    return gemm<T>(w.stream(), name, w.operand<T, 3>(*p), w.operand<T, 3>(*q), w.result<T, 3>(*to));
  };
  if (multiply(a, b)) return y;
  const auto copied = [](const Array& x) {
    const Ref<Array> r = Array::make(x.dtype, x.shape, x.device);
    ergo::detail::copy_strided(*r, x);
    return r;
  };
  if (!multiply(*copied(a), *copied(b))) throw_error({"[", name, "] cuBLAS takes no such product"});
  return y;
}

// x (..., k) w (k, n) + bias (n), rounded once; null where cublasLt has no kernel for it.
template <class T>
Ref<Array> affine(const char* name, const Array& x, const Array& w, const Array& bias) {
  const Work work(x.device);
  const Ref<Array> rows = as_rows(x), b = ergo::detail::dense(bias);
  Ref<Array> y = work.make(dtype_of<T>, x.shape.first(x.shape.rank() - 1) + w.shape.last(1));
  const Ref<Array> to = as_rows(*y);
  const View<const T, 1> of_bias = work.operand<T, 1>(*b);
  if (!linear<T>(work.stream(), name, work.operand<T, 2>(*rows), work.operand<T, 2>(w), of_bias.data,
                 work.result<T, 2>(*to)))
    return {};
  return y;
}

}  // namespace ergo::inline ERGO_BUILD::cuda
