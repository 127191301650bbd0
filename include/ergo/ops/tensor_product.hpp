// Products of tensors by way of matmul and broadcasting: outer, tensordot, kron.
#pragma once

#include "ergo/ops/matmul.hpp"
#include "ergo/ops/movement.hpp"

namespace ergo::inline ERGO_BUILD {

// (m, n) of vectors (m) and (n): a[i] b[j].
template <class T>
Tensor<T> outer(const Tensor<T>& a, const Tensor<T>& b) {
  detail::Array* in[] = {&a.array(), &b.array()};
  detail::same_device("outer", in, 2);
  if (a.rank() != 1 || b.rank() != 1) detail::fail("outer", in, 2, "two vectors are expected: flatten them");
  return expand_dims(a, 1) * expand_dims(b, 0);
}

// a (I..., K...) and b (K..., J...) summed over the last n axes of a, which are the first n of b: (I..., J...).
template <Floating T>
Tensor<T> tensordot(const Tensor<T>& a, const Tensor<T>& b, AnyInteger n = 2) {
  detail::Array* in[] = {&a.array(), &b.array()};
  detail::same_device("tensordot", in, 2);
  const std::int64_t axes = std::int64_t(n);
  if (axes < 0 || axes > a.rank() || axes > b.rank())
    detail::fail("tensordot", in, 2, {"there are not ", axes, " axes to contract in both"});
  const int k = int(axes);
  if (a.shape().last(k) != b.shape().first(k))
    detail::fail("tensordot", in, 2,
                 {"the last ", k, " axes of the first and the first ", k, " of the second differ: ", a.shape().last(k),
                  " and ", b.shape().first(k)});
  const Shape left = a.shape().first(a.rank() - k), right = b.shape().last(b.rank() - k);
  const std::int64_t inner = a.shape().last(k).numel();
  const Tensor<T> y = matmul(reshape(a, {left.numel(), inner}), reshape(b, {inner, right.numel()}));
  return reshape(y, left + right);
}

// The Kronecker product: b times each element of a, extents multiplied; missing leading axes count as 1.
template <class T>
Tensor<T> kron(const Tensor<T>& a, const Tensor<T>& b) {
  detail::Array* in[] = {&a.array(), &b.array()};
  detail::same_device("kron", in, 2);
  const int rank = a.rank() > b.rank() ? a.rank() : b.rank();
  if (rank > 4) detail::fail("kron", in, 2, "at most four axes are supported");
  Shape left, right, all;  // (m, 1, n, 1, ...) and (1, p, 1, q, ...) make (m, p, n, q, ...)
  for (int d = 0; d < rank; ++d) {
    const int i = d - (rank - a.rank()), j = d - (rank - b.rank());
    const std::int64_t m = i < 0 ? 1 : a.shape()[i], p = j < 0 ? 1 : b.shape()[j];
    left.push(m);
    left.push(1);
    right.push(1);
    right.push(p);
    all.push(m * p);
  }
  return reshape(reshape(a, left) * reshape(b, right), all);
}

}  // namespace ergo::inline ERGO_BUILD
