// Results whose shape the data say: mask_select, nonzero, unique. On a CUDA device they are the only operations for
// which the host waits, for one count, and x with 2^31 elements or more is an Error there. Inside vmap every example
// would have a shape of its own, so there what decides the shape may not be mapped: an Error.
#pragma once

#include "ergo/core/cast.hpp"
#include "ergo/cpu/compact.hpp"
#include "ergo/ops/indexing.hpp"
#include "ergo/ops/movement.hpp"
#if defined(__CUDACC__) || defined(ERGO_EMULATED)
#include "ergo/cuda/compact.hpp"
#endif

namespace ergo::inline ERGO_BUILD {

template <class T, class I = std::int32_t>
struct UniqueResult {
  Tensor<T> values;
  Tensor<I> inverse, counts;
};

namespace detail {

// x without the levels of grad and jvp, which see a constant; mapped by vmap it is an Error.
template <class T>
Tensor<T> deciding_shape(const char* op, const Tensor<T>& x, const char* instead) {
  Tensor<T> bare = stop_gradient(x);
  if (bare.array().depth != 0)
    fail(op, x.array(), {"inside vmap each example would have a shape of its own (", instead, ")"});
  return bare;
}
// Flat places of nonzero elements; `shape` has as many elements as x.
template <class I, class T>
Tensor<I> nonzero_in([[maybe_unused]] const char* op, const Tensor<T>& x, const Shape& shape) {
#if defined(__CUDACC__) || defined(ERGO_EMULATED)
  if (!x.device().is_cpu()) return Tensor<I>(ergo::cuda::nonzero<T, I>(op, x.array(), shape));
#endif
  const Ref<Array> flat = cpu::nonzero_places(x.array());
  const std::int64_t count = flat->numel();
  const int rank = shape.rank();
  const Tensor<I> y = make_tensor<I>(Shape{count, rank});
  const std::int64_t* const from = data_of<const std::int64_t>(*flat);
  I* const to = data_of<I>(y.array());
  parallel_for(count, 16384, [=](std::int64_t begin, std::int64_t end) {
    for (std::int64_t i = begin; i < end; ++i) {
      std::int64_t left = from[i];
      for (int d = rank - 1; d >= 0; --d) {
        to[i * rank + d] = I(left % shape[d]);
        left /= shape[d];
      }
    }
  });
  return y;
}
template <class I>
void check_places(const char* op, const AnyTensor& x, std::int64_t most) {
  if (!std::in_range<I>(most)) fail(op, x.array(), {"indices up to ", most, " do not fit ", dtype_of<I>});
}

}  // namespace detail

// The coordinates of the elements that are not 0 (NaN is one) in row-major order: x of rank r gives (count, r), int32
// or what is asked for: nonzero<int64_t>(x). A constant to every transform.
template <Index I = std::int32_t, class T>
Tensor<I> nonzero(const Tensor<T>& x) {
  for (int d = 0; d < x.rank(); ++d) detail::check_places<I>("nonzero", x, x.shape()[d] - 1);
  return detail::nonzero_in<I>("nonzero", detail::deciding_shape("nonzero", x, "where(x != 0, ...)"), x.shape());
}

// The elements of x, in row-major order, where the mask is true: (count,). x and mask broadcast. A cotangent goes back
// to those elements; the mask is a constant, and x alone may be mapped by vmap.
template <class T>
Tensor<T> mask_select(const Tensor<T>& x, const Tensor<bool>& mask) {
  detail::Array* in[] = {&x.array(), &mask.array()};
  detail::same_device("mask_select", in, 2);
  Shape s = x.shape();
  if (!detail::broadcast(s, mask.shape())) detail::fail("mask_select", in, 2, "shapes do not broadcast");
  const Tensor<bool> bare = detail::deciding_shape("mask_select", mask, "where(mask, x, 0)");
  const Tensor<bool> wide(detail::broadcast_to(bare.ref(), s));
  const Tensor<T> flat(detail::reshape(detail::broadcast_to(x.ref(), s), Shape{s.numel()}));
  const auto taken = [&]<class I>(I) {
    const Tensor<I> places = detail::nonzero_in<I>("mask_select", wide, Shape{s.numel()});
    return take(flat, Tensor<I>(detail::reshape(places.ref(), Shape{places.shape()[0]})));
  };
  return x.device().is_cpu() ? taken(std::int64_t{}) : taken(std::int32_t{});
}

// The distinct elements of x in sorted order, (count,); for each element of x which of them it is, in x's shape; and
// how often each occurs, (count,). -0 equals +0 and all NaNs are equal; of equals the first in row-major order stands,
// and receives the cotangent. Integers are int32 or what is asked for: unique<int64_t>(x).
template <Index I = std::int32_t, class T>
UniqueResult<T, I> unique(const Tensor<T>& x) {
  detail::check_places<I>("unique", x, x.numel());
  const Tensor<T> bare = detail::deciding_shape("unique", x, "sort(x)");
  const Tensor<T> flat(detail::reshape(x.ref(), Shape{x.numel()}));
#if defined(__CUDACC__) || defined(ERGO_EMULATED)
  if (!x.device().is_cpu()) {
    detail::Ref<detail::Array> first, inverse, counts;
    ergo::cuda::distinct<T, I>("unique", bare.array(), first, inverse, counts);
    return {take(flat, Tensor<I>(first)), Tensor<I>(inverse), Tensor<I>(counts)};
  }
#endif
  const cpu::Distinct d = cpu::distinct(bare.array());
  return {take(flat, Tensor<std::int64_t>(d.first)), cast<I>(Tensor<std::int64_t>(d.inverse)),
          cast<I>(Tensor<std::int64_t>(d.counts))};
}

}  // namespace ergo::inline ERGO_BUILD
