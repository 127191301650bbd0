// cast<U>(x): linear across dtypes, straight to the target in one rounding; its derivative is a cast back. To and from
// integers and bool it is piecewise constant (SEMANTICS section 1).
#pragma once

#include "ergo/core/handle.hpp"

namespace ergo::inline ERGO_BUILD {
namespace detail {

// On a CUDA device, by its back end.
template <class To, class From>
Ref<Array> cast_on_device(const Array& x);

template <class To, class From>
struct CastOp final : OpOf<CastOp<To, From>> {
  constexpr CastOp() : OpOf<CastOp>("cast", 1) {
    this->uses = Uses::nothing;
    this->differentiable = Floating<To> && Floating<From>;
    this->on_cuda = true;
  }
  void value(Args x, Ref<Array>* y, std::uint64_t) const {
    if constexpr (kCuda) {
      if (!x[0]->device.is_cpu()) {
        y[0] = cast_on_device<To, From>(*x[0]);
        return;
      }
    }
    const Ref<Array> from = dense(*x[0]);
    Ref<Array> r = Array::make(dtype_of<To>, from->shape);
    const From* p = data_of<From>(*from);
    To* q = data_of<To>(*r);
    parallel_for(r->numel(), 16384, [=](std::int64_t begin, std::int64_t end) {
      for (std::int64_t i = begin; i < end; ++i) q[i] = convert<To>(p[i]);
    });
    y[0] = std::move(r);
  }
  void vjp(Args g, Args, Args, Wanted wanted, Ref<Array>* dx) const;
  void jvp(Args t, Args, Args, Ref<Array>* ty) const {
    if (t[0]) dispatch(*this, t, ty);
  }
};
template <class To, class From>
inline constexpr CastOp<To, From> cast_op{};
template <class To, class From>
void CastOp<To, From>::vjp(Args g, Args, Args, Wanted wanted, Ref<Array>* dx) const {
  if (wanted[0]) dispatch(cast_op<From, To>, g, dx);
}

}  // namespace detail

// x with elements of type To.
template <TensorScalar To, class From>
Tensor<To> cast(const Tensor<From>& x) {
  if constexpr (std::is_same_v<To, From>) {
    return x;
  } else {
    detail::Array* in[] = {&x.array()};
    return Tensor<To>(detail::dispatch1(detail::cast_op<To, From>, in));
  }
}

}  // namespace ergo::inline ERGO_BUILD
