// The inner product, of which derivative rules, trees and matmul of vectors make use.
#pragma once

#include "ergo/autograd/structural.hpp"

namespace ergo::inline ERGO_BUILD::detail {

// All elements of the last `axes` axes of a * b, summed: the inner product, without the product in memory.
struct Dot {
  using any_device = void;
  static constexpr auto name = "dot";
  int axes;
  int core_of(int) const { return axes; }
  template <class T>
  Tensor<T> value(const Tensor<T>& a, const Tensor<T>& b) const;
  template <int I, class T>
  Tensor<T> transpose(const Tensor<T>& g, const Tensor<T>& other, const Shape& s) const {
    Shape wide = g.shape();
    for (int d = 0; d < axes; ++d) wide.push(1);
    const Ref<Array> scale = reshape(g.ref(), wide);
    return Tensor<T>(sum_to(multiply(scale, other.ref()), s));
  }
};
template <class T>
Tensor<T> Dot::value(const Tensor<T>& a, const Tensor<T>& b) const {
  if (a.rank() == axes && b.rank() == axes && a.device().is_cpu()) {
    const Ref<Array> x = dense(a.array()), y = dense(b.array());
    Ref<Array> r = Array::make(dtype_of<T>, Shape{});
    *data_of<T>(*r) = convert<T>(cpu::inner_product(data_of<T>(*x), data_of<T>(*y), x->numel()));
    return Tensor<T>(std::move(r));
  }
  const Ref<Array> product = multiply(a.ref(), b.ref());  // mapped: one row a lane
  return Tensor<T>(reduce_last<cpu::SumOf, T>(name, *product, axes));
}
template <class T>
Ref<Array> dot(const Ref<Array>& a, const Ref<Array>& b) {
  return bilinear_op(Dot{a->shape.rank()}, Tensor<T>(a), Tensor<T>(b)).ref();
}

}  // namespace ergo::inline ERGO_BUILD::detail
