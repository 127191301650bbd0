// Matrix products: matmul, and linear with its bias and activation.
#pragma once

#include "ergo/autograd/inner_product.hpp"
#include "ergo/cpu/matmul.hpp"
#include "ergo/ops/activation.hpp"
#if defined(__CUDACC__) || defined(ERGO_EMULATED)
#include "ergo/cuda/matmul.hpp"
#endif

namespace ergo::inline ERGO_BUILD {

template <Floating T>
Tensor<T> matmul(const Tensor<T>& a, const Tensor<T>& b);

namespace detail {

// The last two axes exchanged: a view.
template <class T>
Tensor<T> transposed(const Tensor<T>& x) {
  const Permute swap{2, {1, 0}};
  return Tensor<T>(linear_op(swap, static_cast<const AnyTensor&>(x)));
}
// All leading axes and rows as rows.
template <class T>
Tensor<T> as_matrix(const Tensor<T>& x) {
  if (x.rank() == 2) return x;
  const std::int64_t columns = x.shape()[-1];
  return Tensor<T>(
      reshape(x.ref(), Shape{columns ? x.numel() / columns : x.shape().first(x.rank() - 1).numel(), columns}));
}
// The gradient of the right factor: a^T g, leading axes summed where the factor (shape s) has none.
template <class T>
Tensor<T> right_gradient(const Tensor<T>& a, const Tensor<T>& g, const Shape& s) {
  if (s.rank() == 2 && a.rank() == g.rank()) return matmul(transposed(as_matrix(a)), as_matrix(g));
  return matmul(transposed(a), g);
}

// The rows of (..., m, n) summed: (..., n).
template <class T>
Ref<Array> sum_rows(const Tensor<T>& g) {
  const Shape lead = g.shape().first(g.rank() - 2);
  return reshape(sum_to(g.ref(), lead + Shape{1, g.shape()[-1]}), lead + g.shape().last(1));
}

struct MatMul {
  static constexpr auto name = "matmul";
  static constexpr int core[] = {2, 2};
  template <class T>
  Tensor<T> value(const Tensor<T>& a, const Tensor<T>& b) const {
    return Tensor<T>(cpu::matmul<T>(a.array(), b.array()));
  }
#if defined(__CUDACC__) || defined(ERGO_EMULATED)
  template <class T>
  Tensor<T> cuda(const Tensor<T>& a, const Tensor<T>& b) const {
    return Tensor<T>(ergo::cuda::matmul<T>(name, a.array(), b.array()));
  }
#endif
  template <int I, class T>
  Tensor<T> transpose(const Tensor<T>& g, const Tensor<T>& other, const Shape& s) const {
    if constexpr (I == 0)
      return matmul(g, transposed(other));
    else
      return right_gradient(other, g, s);
  }
};

// x w + b on the last axis of x, the bias added while the product is in cache.
struct Affine {
  static constexpr auto name = "linear";
  static constexpr Uses uses = Uses::others;
  static constexpr int core[] = {2, 2, 1};
  static constexpr bool has_vjp = true;
  template <class T>
  Tensor<T> cpu(const Tensor<T>& x, const Tensor<T>& w, const Tensor<T>& b) const {
    if (b.rank() > 1) return definition(x, w, b);  // mapped: a bias a lane
    const Ref<Array> bias = dense(b.array());
    return Tensor<T>(ergo::cpu::matmul<T>(x.array(), w.array(), data_of<T>(*bias)));
  }
#if defined(__CUDACC__) || defined(ERGO_EMULATED)
  template <class T>
  Tensor<T> cuda(const Tensor<T>& x, const Tensor<T>& w, const Tensor<T>& b) const {
    if (b.rank() == 1 && w.rank() == 2)
      if (Ref<Array> y = ergo::cuda::affine<T>(name, x.array(), w.array(), b.array())) return Tensor<T>(std::move(y));
    return definition(x, w, b);
  }
#endif
  template <class T>
  Tensor<T> definition(const Tensor<T>& x, const Tensor<T>& w, const Tensor<T>& b) const {
    if (b.rank() <= 1) return matmul(x, w) + b;
    return matmul(x, w) + Tensor<T>(reshape(b.ref(), b.shape().first(b.rank() - 1) + Shape{1, b.shape()[-1]}));
  }
  template <class T>
  auto vjp(const Tensor<T>& g, const Tensor<T>&, const Tensor<T>& x, const Tensor<T>& w, const Tensor<T>&,
           Wanted wanted) const {
    Tensor<T> dx, dw, db;
    if (wanted[0]) dx = matmul(g, transposed(w));
    // Mapped, w and b have leading axes of their own.
    if (wanted[1]) dw = right_gradient(x, g, shape_of(wanted.in[1].x.get(), g.array()));
    if (wanted[2]) {
      const Shape& s = shape_of(wanted.in[2].x.get(), g.array());
      db = s.rank() > 1 ? Tensor<T>(sum_rows(g)) : g;
      db = Tensor<T>(sum_to(db.ref(), s));
    }
    return std::tuple{std::move(dx), std::move(dw), std::move(db)};
  }
};

[[noreturn, gnu::cold]] ERGO_ONCE void fail_inner(const char* op, Array& a, Array& b, std::int64_t m, std::int64_t n) {
  Array* in[] = {&a, &b};
  fail(op, in, 2, {"inner sizes ", m, " and ", n, " differ"});
}

}  // namespace detail

// (..., m, k) x (..., k, n) gives (..., m, n); leading axes broadcast. A tensor of rank 1 is a row on the left, a
// column on the right, and its axis vanishes from the result, as in NumPy.
template <Floating T>
Tensor<T> matmul(const Tensor<T>& a, const Tensor<T>& b) {
  detail::Array* in[] = {&a.array(), &b.array()};
  if (a.rank() == 0 || b.rank() == 0) detail::fail("matmul", in, 2, "a tensor of rank 0 is no matrix; multiply with *");
  const std::int64_t ka = a.shape()[-1], kb = b.rank() == 1 ? b.shape()[0] : b.shape()[-2];
  if (ka != kb) detail::fail_inner("matmul", a.array(), b.array(), ka, kb);
  if (a.rank() == 1 && b.rank() == 1) return Tensor<T>(detail::dot<T>(a.ref(), b.ref()));
  if (a.rank() == 1) {
    const Tensor<T> y = matmul(Tensor<T>(detail::reshape(a.ref(), Shape{1, ka})), b);
    return Tensor<T>(detail::reshape(y.ref(), y.shape().first(y.rank() - 2) + Shape{y.shape()[-1]}));
  }
  if (b.rank() == 1) {
    const Tensor<T> y = matmul(a, Tensor<T>(detail::reshape(b.ref(), Shape{kb, 1})));
    return Tensor<T>(detail::reshape(y.ref(), y.shape().first(y.rank() - 1)));
  }
  Shape lead = a.shape().first(a.rank() - 2);
  if (!detail::broadcast(lead, b.shape().first(b.rank() - 2)))
    detail::fail("matmul", in, 2, "leading axes do not broadcast");
  return bilinear_op(detail::MatMul{}, a, b);
}

// What follows a dense layer. Functions that take one are inlined into their caller, so that only what a constant names
// is compiled: the others with their derivatives would cost every program seconds.
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wshadow"  // g++ compares with ergo::none, the bound of a slice
enum class Activation { none, relu, tanh, sigmoid, gelu, gelu_tanh, silu, softplus };
#pragma GCC diagnostic pop

template <Floating T>
ERGO_INLINE Tensor<T> activate(Tensor<T> x, Activation activation) {
  switch (activation) {
    case Activation::none:
      return x;
    case Activation::relu:
      return relu(std::move(x));
    case Activation::tanh:
      return tanh(std::move(x));
    case Activation::sigmoid:
      return sigmoid(std::move(x));
    case Activation::gelu:
      return gelu(std::move(x));
    case Activation::gelu_tanh:
      return gelu_tanh(std::move(x));
    case Activation::silu:
      return silu(std::move(x));
    case Activation::softplus:
      return softplus(std::move(x));
  }
  throw_error({"[activate] unknown activation ", int(activation)});
}

struct LinearOptions {
  Activation activation = Activation::none;
};

namespace detail {
// Whether it does not matter that the product is rounded first: for 16-bit types a product of their own then serves.
constexpr bool commutes_with_rounding(Activation a) { return a == Activation::none || a == Activation::relu; }

template <class T>
Tensor<T> affine(const Tensor<T>& x, const Tensor<T>& w, const Tensor<T>& b) {
  Array* in[] = {&x.array(), &w.array(), &b.array()};
  if (x.rank() == 0 || w.rank() != 2 || b.rank() != 1)
    fail("linear", in, 3, "x (..., in), weight (in, out) and bias (out,) are expected");
  if (x.shape()[-1] != w.shape()[0])
    fail("linear", in, 3, {"inner sizes ", x.shape()[-1], " and ", w.shape()[0], " differ"});
  if (b.shape()[0] != w.shape()[1])
    fail("linear", in, 3, {"the bias has ", b.shape()[0], " entries, the weight ", w.shape()[1], " columns"});
  if (x.rank() > 1) return fused_op(Affine{}, x, w, b);
  const Tensor<T> y = fused_op(Affine{}, Tensor<T>(reshape(x.ref(), Shape{1, x.shape()[0]})), w, b);
  return Tensor<T>(reshape(y.ref(), Shape{w.shape()[1]}));
}
template <class T>
Tensor<T> without_bias(const Tensor<T>& x, const Tensor<T>& w) {
  Array* in[] = {&x.array(), &w.array()};
  if (x.rank() == 0 || w.rank() != 2) fail("linear", in, 2, "x (..., in) and weight (in, out) are expected");
  if (x.shape()[-1] != w.shape()[0]) fail_inner("linear", x.array(), w.array(), x.shape()[-1], w.shape()[0]);
  return matmul(x, w);
}
}  // namespace detail

// x w + b: x (..., in), w (in, out), b (out,) gives (..., out).
template <Floating T>
Tensor<T> linear(const Tensor<T>& x, const Tensor<T>& w, const Tensor<T>& b) {
  return detail::affine(x, w, b);
}
// Without bias.
template <Floating T>
Tensor<T> linear(const Tensor<T>& x, const Tensor<T>& w) {
  return detail::without_bias(x, w);
}
// activation(x w + b) and activation(x w), rounded once.
template <Floating T>
ERGO_INLINE Tensor<T> linear(const Tensor<T>& x, const Tensor<T>& w, const Tensor<T>& b, LinearOptions options) {
  using C = Compute<T>;
  if constexpr (!std::is_same_v<C, T>) {
    if (!detail::commutes_with_rounding(options.activation))
      return cast<T>(activate(detail::affine(cast<C>(x), cast<C>(w), cast<C>(b)), options.activation));
  }
  return activate(detail::affine(x, w, b), options.activation);
}
template <Floating T>
ERGO_INLINE Tensor<T> linear(const Tensor<T>& x, const Tensor<T>& w, LinearOptions options) {
  using C = Compute<T>;
  if constexpr (!std::is_same_v<C, T>) {
    if (!detail::commutes_with_rounding(options.activation))
      return cast<T>(activate(detail::without_bias(cast<C>(x), cast<C>(w)), options.activation));
  }
  return activate(detail::without_bias(x, w), options.activation);
}

}  // namespace ergo::inline ERGO_BUILD
