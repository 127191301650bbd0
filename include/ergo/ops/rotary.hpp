// rotary: queries and keys turned by their positions, so that their products depend on how far apart they are (Su et
// al. 2021). Linear in x; the derivative is the turn back.
#pragma once

#include "ergo/autograd/linear_op.hpp"
#include "ergo/cpu/rotary.hpp"
#include "ergo/cpu/rows.hpp"
#include "ergo/ops/axes.hpp"
#if defined(__CUDACC__) || defined(ERGO_EMULATED)
#include "ergo/cuda/rotary.hpp"
#endif

namespace ergo::inline ERGO_BUILD {

struct RotaryOptions {
  double base = 10000;
  bool interleaved = false;  // pairs of channels 2 i and 2 i + 1; else i and i + dims / 2
  AnyInteger dims = -1;      // how many channels turn, the others pass; -1: all
};

namespace detail {

struct Rotary {
  static constexpr auto name = "rotary";
  static constexpr int core[] = {3, 1};
  RotaryRule rule;
  template <class T, class I>
  Tensor<T> value(const Tensor<T>& x, const Tensor<I>& positions) const {
    using namespace ergo::cpu::detail;
    using C = Compute<T>;
    Shape lead = x.shape().first(x.rank() - 3);
    broadcast(lead, positions.shape().first(positions.rank() - 1));
    const Ref<Array> from = computable(*Aligned<1>::aligned(x.array(), 3, lead)), at = dense(positions.array());
    const Shape own = x.shape().last(3), places = at->shape;
    Ref<Array> y = Array::make(dtype_of<C>, lead + own);
    if (y->numel() == 0) return Tensor<T>(stored_as(std::move(y), dtype_of<T>));
    // Row (lead..., t) reads the position of its own leading axes, or that which they share.
    const auto place = [&](std::int64_t row) {
      std::int64_t index = row % own[0], block = own[0], left = row / own[0];
      for (int d = lead.rank() - 1, k = places.rank() - 2; k >= 0; --d, --k) {
        if (places[k] != 1) index += left % lead[d] * block;
        block *= places[k];
        left /= lead[d];
      }
      return index;
    };
    ergo::cpu::rotary(data_of<C>(*from), data_of<C>(*y), lead.product() * own[0], own[1], own[2], data_of<I>(*at),
                      at->numel(), place, rule);
    return Tensor<T>(stored_as(std::move(y), dtype_of<T>));
  }
#if defined(__CUDACC__) || defined(ERGO_EMULATED)
  template <class T, class I>
  Tensor<T> cuda(const Tensor<T>& x, const Tensor<I>& positions) const {
    return ergo::cuda::rotary(x, positions, rule);
  }
#endif
  template <class T, class I>
  Tensor<T> transpose(const Tensor<T>& g, const Shape&, const Tensor<I>& positions) const {
    Rotary back = *this;
    back.rule.inverse = !rule.inverse;
    return linear_op(back, g, positions);
  }
};

}  // namespace detail

// x (..., T, H, D) with each pair of channels turned by position / base^(2 i / dims), the positions (T) or with leading
// axes that broadcast to those of x.
template <class T, class I>
requires Index<I> Tensor<T> rotary(const Tensor<T>& x, const Tensor<I>& positions, const RotaryOptions& options = {}) {
  static_assert(Floating<T>, "rotary: floating elements are needed: cast<float>(x) first");
  if constexpr (Floating<T>) {
    detail::Array* in[] = {&x.array(), &positions.array()};
    detail::same_device("rotary", in, 2);
    const auto refuse = [&](const Message& why) { detail::fail("rotary", in, 2, why); };
    if (x.rank() < 3) refuse("x is (..., T, H, D): time, heads, width");
    const std::int64_t given = options.dims, dims = given == -1 ? x.shape()[-1] : given;
    if (dims < 0 || dims > x.shape()[-1] || dims % 2 != 0)
      refuse({dims, " channels to turn: an even number of at most ", x.shape()[-1], " is needed"});
    Shape lead = x.shape().first(x.rank() - 3);
    const Shape before = lead;
    if (positions.rank() < 1 || positions.shape()[-1] != x.shape()[-3])
      refuse({"positions are one for each of ", x.shape()[-3], " places: (T)"});
    if (!detail::broadcast(lead, positions.shape().first(positions.rank() - 1)) || lead != before)
      refuse("leading axes of the positions do not broadcast to those of x");
    if (std::isnan(options.base)) refuse(".base is NaN");
    if (options.base <= 0) refuse(".base is not positive");
    if (std::isinf(options.base)) refuse(".base is infinite");
    return linear_op(detail::Rotary{{dims, options.base, options.interleaved, false}}, x, positions);
  } else {
    return x;
  }
}

}  // namespace ergo::inline ERGO_BUILD
