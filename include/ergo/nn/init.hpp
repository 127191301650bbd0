// nn::init: random weights. The fans of a shape (..., in, out) are the products of its axes but the last, and but the
// one before the last: for (in, out) they are in and out, for a kernel (KH, KW, C_in, C_out) KH KW C_in and KH KW
// C_out.
#pragma once

#include "ergo/linalg/qr.hpp"
#include "ergo/ops/arithmetic.hpp"
#include "ergo/ops/movement.hpp"
#include "ergo/ops/random.hpp"

namespace ergo::inline ERGO_BUILD {
namespace detail {

struct Fans {
  double in, out;
};
ERGO_ONCE Fans fans_of(const char* name, const Shape& shape) {
  if (shape.rank() < 2)
    throw_error({"[nn.init.", name, "] ", shape, ": weights have at least two axes, (..., in, out)"});
  for (std::int64_t n : shape)
    if (n < 1) throw_error({"[nn.init.", name, "] ", shape, ": an extent is below 1"});
  const std::int64_t before = shape.first(shape.rank() - 2).numel();
  return {double(before * shape[-2]), double(before * shape[-1])};
}

}  // namespace detail

namespace nn::init {

// N(0, gain^2 / in): keeps the mean square of a linear layer's activations at gain = 1 (the deep linear networks'
// Gaussian).
template <Floating T = float>
Tensor<T> scaled_normal(const Key& key, const Shape& shape, double gain = 1) {
  return normal<T>(key, shape, 0, gain / __builtin_sqrt(detail::fans_of("scaled_normal", shape).in));
}
// N(0, 1 / in), for linear layers, tanh and selu (LeCun et al. 1998).
template <Floating T = float>
Tensor<T> lecun_normal(const Key& key, const Shape& shape) {
  return normal<T>(key, shape, 0, 1 / __builtin_sqrt(detail::fans_of("lecun_normal", shape).in));
}
// N(0, 2 / in), for relu and its kin (He et al. 2015).
template <Floating T = float>
Tensor<T> he_normal(const Key& key, const Shape& shape) {
  return normal<T>(key, shape, 0, __builtin_sqrt(2 / detail::fans_of("he_normal", shape).in));
}
// Uniform on [-a, a), a = sqrt(6 / (in + out)) (Glorot & Bengio 2010).
template <Floating T = float>
Tensor<T> glorot_uniform(const Key& key, const Shape& shape) {
  const detail::Fans fans = detail::fans_of("glorot_uniform", shape);
  const double bound = __builtin_sqrt(6 / (fans.in + fans.out));
  return uniform<T>(key, shape, -bound, bound);
}
// gain times a matrix with orthonormal columns, or rows where it is wide, Haar distributed: Q of a Gaussian matrix with
// the signs of R's diagonal (Mezzadri 2007). Axes before the last are taken together, so a kernel is (KH KW C_in,
// C_out).
template <Floating T = float>
Tensor<T> orthogonal(const Key& key, const Shape& shape, double gain = 1) {
  detail::fans_of("orthogonal", shape);
  const std::int64_t columns = shape[-1], rows = shape.numel() / columns;
  const bool wide = rows < columns;
  const Tensor<double> gaussian = normal<double>(key, wide ? Shape{columns, rows} : Shape{rows, columns});
  const Tensor<double> q = linalg::qr(gaussian).q;
  return cast<T>(gain * reshape(wide ? transpose(q) : q, shape));
}

}  // namespace nn::init
}  // namespace ergo::inline ERGO_BUILD
