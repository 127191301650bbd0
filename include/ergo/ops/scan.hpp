// Running sums: cumsum. Linear; its derivative runs the other way. Floats are added in double and rounded once an
// element.
#pragma once

#include "ergo/autograd/structural.hpp"
#include "ergo/cpu/scan.hpp"
#include "ergo/ops/axes.hpp"
#if defined(__CUDACC__) || defined(ERGO_EMULATED)
#include "ergo/cuda/scan.hpp"
#endif

namespace ergo::inline ERGO_BUILD {

// reverse: from the last element to the first. exclusive: without the element itself.
using CumsumOptions = cpu::ScanOptions;

namespace detail {

template <class Out>
struct Cumsum {
  static constexpr auto name = "cumsum";
  int axis;  // from the back: 1 is the last
  CumsumOptions options;
  int core_of(int) const { return axis; }
  Tensor<Out> value(const Tensor<Out>& x) const {
    return Tensor<Out>(cpu::cumulative<cpu::SumOf, Out, Out>(x.array(), x.rank() - axis, options));
  }
#if defined(__CUDACC__) || defined(ERGO_EMULATED)
  Tensor<Out> cuda(const Tensor<Out>& x) const {
    return ergo::cuda::cumsum(name, x, x.rank() - axis, {options.reverse, options.exclusive});
  }
#endif
  Tensor<Out> transpose(const Tensor<Out>& g, const Shape&) const {
    return linear_op(Cumsum{axis, {.reverse = !options.reverse, .exclusive = options.exclusive}}, g);
  }
};
struct IntegerCumsum {
  static constexpr auto name = "cumsum";
  static constexpr bool constant = true;
  int axis;
  CumsumOptions options;
  int core_of(int) const { return axis; }
  template <class T>
  Tensor<std::int64_t> value(const Tensor<T>& x) const {
    return Tensor<std::int64_t>(cpu::cumulative<cpu::SumOf, T, std::int64_t>(x.array(), x.rank() - axis, options));
  }
#if defined(__CUDACC__) || defined(ERGO_EMULATED)
  template <class T>
  Tensor<std::int64_t> cuda(const Tensor<T>& x) const {
    return ergo::cuda::cumsum(name, x, x.rank() - axis, {options.reverse, options.exclusive});
  }
#endif
};

}  // namespace detail

// y[i] = x[0] + ... + x[i] along an axis, the last by default; of integers and bools a Tensor<int64_t>.
template <class T>
auto cumsum(const Tensor<T>& x, AnyInteger axis = -1, CumsumOptions options = {}) {
  const int from_back = x.rank() - detail::resolve_axis("cumsum", x.array(), axis);
  if constexpr (Floating<T>)
    return linear_op(detail::Cumsum<T>{from_back, options}, x);
  else
    return linear_op(detail::IntegerCumsum{from_back, options}, x);
}

}  // namespace ergo::inline ERGO_BUILD
