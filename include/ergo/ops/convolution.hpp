// conv2d: cross-correlation of channels-last images (N, H, W, C_in) with weights (KH, KW, C_in / groups, C_out), as
// (N, OH, OW, C_out). The operation and its two gradients are bilinear and each other's transposes, so derivatives of
// every order run through the same three kernels.
#pragma once

#include "ergo/autograd/linear_op.hpp"
#include "ergo/cpu/conv2d.hpp"
#include "ergo/ops/spatial.hpp"
#if defined(__CUDACC__) || defined(ERGO_EMULATED)
#include "ergo/cuda/views.hpp"
#include "ergo/kernels/conv.cuh"
#endif

namespace ergo::inline ERGO_BUILD {

struct Conv2dOptions {
  Spatial stride = 1;
  Padding2d padding = 0;  // a number, {rows, columns}, {{top, bottom}, {left, right}}, or Padding::same
  Spatial dilation = 1;
  std::int64_t groups = 1;
};

namespace detail {

// Calls f(i, offset of a, offset of b), offsets in bytes, for the elements of broadcast leading axes of two dense
// arrays whose last four axes belong together.
template <class F>
void for_each_lead(const Shape& lead, const Array& a, const Array& b, const F& f) {
  const auto offset = [&](const Array& x, std::int64_t index) {
    const int own = x.shape.rank() - 4;
    std::int64_t at = 0;
    for (int d = lead.rank() - 1; d >= 0; --d) {
      const int k = d - (lead.rank() - own);
      if (k >= 0 && x.shape[k] != 1) at += index % lead[d] * x.stride[k];
      index /= lead[d];
    }
    return at;
  };
  for (std::int64_t i = 0, n = lead.product(); i < n; ++i) f(i, offset(a, i), offset(b, i));
}

// What the three operations share: the sizes (all but the batch), and operands whose axes before the last four are
// mapped.
struct ConvolutionSizes {
  static constexpr int core[] = {4, 4};
  cpu::Conv2dShape s;

  cpu::Conv2dShape of_batch(std::int64_t n) const {
    cpu::Conv2dShape full = s;
    full.n = n;
    return full;
  }
  Shape images(std::int64_t n) const { return {n, s.h, s.w, s.c_in}; }
  Shape results(std::int64_t n) const { return {n, s.out_h(), s.out_w(), s.c_out}; }
  Shape weights() const { return {s.kh, s.kw, s.c_in / s.groups, s.c_out}; }

  // kernel(n, a, b, y) for each element of the leading axes; `tail(n)` is the result's shape. Where b is not mapped and
  // holds the weights, all leading axes of a are one batch.
  template <class T, class Tail, class Kernel>
  Tensor<T> run(const Tensor<T>& a, const Tensor<T>& b, bool b_is_weights, const Tail& tail,
                const Kernel& kernel) const {
    const Ref<Array> x = dense(a.array()), w = dense(b.array());
    Shape lead = x->shape.first(x->shape.rank() - 4);
    broadcast(lead, w->shape.first(w->shape.rank() - 4));
    const std::int64_t n = x->shape[-4];
    Ref<Array> y = Array::make(x->dtype, lead + tail(n), x->device);
    if (y->numel() == 0) return Tensor<T>(std::move(y));
    if (x->numel() == 0 || w->numel() == 0) {
      const std::uint64_t zero = 0;
      fill_bytes(*y, &zero);
    } else if (b_is_weights && w->shape.first(w->shape.rank() - 4).product() == 1) {
      kernel(n * lead.product(), data_of<T>(*x), data_of<T>(*w), data_of<T>(*y));
    } else {
      const std::int64_t step = tail(n).product();
      for_each_lead(lead, *x, *w, [&](std::int64_t i, std::int64_t at_x, std::int64_t at_w) {
        kernel(n, reinterpret_cast<const T*>(x->data + at_x), reinterpret_cast<const T*>(w->data + at_w),
               data_of<T>(*y) + i * step);
      });
    }
    return Tensor<T>(std::move(y));
  }
};

struct Conv2d : ConvolutionSizes {
  static constexpr auto name = "conv2d";
  template <class T>
  Tensor<T> value(const Tensor<T>& x, const Tensor<T>& w) const {
    return run(
        x, w, true, [&](std::int64_t n) { return results(n); },
        [&](std::int64_t n, const T* px, const T* pw, T* py) { cpu::conv2d<T>(of_batch(n), px, pw, py); });
  }
#if defined(__CUDACC__) || defined(ERGO_EMULATED)
  template <class T>
  Tensor<T> cuda(const Tensor<T>& x, const Tensor<T>& w) const {
    const ergo::cuda::Work work = ergo::cuda::work_on(x, w);
    work.reads(x.array());
    work.reads(w.array());
    return run(
        x, w, true, [&](std::int64_t n) { return results(n); },
        [&](std::int64_t n, const T* px, const T* pw, T* py) {
          launch_conv2d<T>(work.stream(), of_batch(n), px, pw, py);
        });
  }
#endif
  template <int I, class T>
  Tensor<T> transpose(const Tensor<T>& g, const Tensor<T>& other, const Shape&) const;
};
struct Conv2dInputGradient : ConvolutionSizes {  // (g, w) to the gradient of x
  static constexpr auto name = "conv2d_input_gradient";
  template <class T>
  Tensor<T> value(const Tensor<T>& g, const Tensor<T>& w) const {
    return run(
        g, w, true, [&](std::int64_t n) { return images(n); },
        [&](std::int64_t n, const T* pg, const T* pw, T* py) {
          cpu::conv2d_input_gradient<T>(of_batch(n), pg, pw, py);
        });
  }
#if defined(__CUDACC__) || defined(ERGO_EMULATED)
  template <class T>
  Tensor<T> cuda(const Tensor<T>& g, const Tensor<T>& w) const {
    const ergo::cuda::Work work = ergo::cuda::work_on(g, w);
    work.reads(g.array());
    work.reads(w.array());
    return run(
        g, w, true, [&](std::int64_t n) { return images(n); },
        [&](std::int64_t n, const T* pg, const T* pw, T* py) {
          launch_conv2d_input_gradient<T>(work.stream(), of_batch(n), pg, pw, py);
        });
  }
#endif
  template <int I, class T>
  Tensor<T> transpose(const Tensor<T>& g, const Tensor<T>& other, const Shape&) const;
};
struct Conv2dWeightGradient : ConvolutionSizes {  // (x, g) to the gradient of w
  static constexpr auto name = "conv2d_weight_gradient";
  template <class T>
  Tensor<T> value(const Tensor<T>& x, const Tensor<T>& g) const {
    return run(
        x, g, false, [&](std::int64_t) { return weights(); },
        [&](std::int64_t n, const T* px, const T* pg, T* py) {
          cpu::conv2d_weight_gradient<T>(of_batch(n), px, pg, py);
        });
  }
#if defined(__CUDACC__) || defined(ERGO_EMULATED)
  template <class T>
  Tensor<T> cuda(const Tensor<T>& x, const Tensor<T>& g) const {
    const ergo::cuda::Work work = ergo::cuda::work_on(x, g);
    work.reads(x.array());
    work.reads(g.array());
    return run(
        x, g, false, [&](std::int64_t) { return weights(); },
        [&](std::int64_t n, const T* px, const T* pg, T* py) {
          const auto size = of_batch(n);
          const ergo::cuda::Workspace scratch(work, ergo::cuda::conv2d_weight_gradient_workspace<T>(size));
          launch_conv2d_weight_gradient<T>(work.stream(), size, px, pg, py, scratch.data());
        });
  }
#endif
  template <int I, class T>
  Tensor<T> transpose(const Tensor<T>& g, const Tensor<T>& other, const Shape&) const;
};

template <int I, class T>
Tensor<T> Conv2d::transpose(const Tensor<T>& g, const Tensor<T>& other, const Shape&) const {
  if constexpr (I == 0)
    return bilinear_op(Conv2dInputGradient{{s}}, g, other);
  else
    return bilinear_op(Conv2dWeightGradient{{s}}, other, g);
}
template <int I, class T>
Tensor<T> Conv2dInputGradient::transpose(const Tensor<T>& g, const Tensor<T>& other, const Shape&) const {
  if constexpr (I == 0)
    return bilinear_op(Conv2d{{s}}, g, other);
  else
    return bilinear_op(Conv2dWeightGradient{{s}}, g, other);
}
template <int I, class T>
Tensor<T> Conv2dWeightGradient::transpose(const Tensor<T>& g, const Tensor<T>& other, const Shape&) const {
  if constexpr (I == 0)
    return bilinear_op(Conv2dInputGradient{{s}}, other, g);
  else
    return bilinear_op(Conv2d{{s}}, other, g);
}

// The sizes of a convolution, checked.
inline cpu::Conv2dShape conv2d_sizes(const char* op, Array& x, Array& w, const Conv2dOptions& options) {
  Array* in[] = {&x, &w};
  const auto wrong = [&](const Message& why) { fail(op, in, 2, why); };
  if (x.shape.rank() != 4 || w.shape.rank() != 4)
    wrong("an image (N, H, W, C_in) or (H, W, C_in) and weights (KH, KW, C_in / groups, C_out) are expected");
  if (options.groups < 1) wrong({"groups is ", options.groups, ", at least 1 is expected"});
  const std::int64_t channels = channels_of(options.groups, w.shape[2]);
  if (channels < 0) wrong({options.groups, " groups of ", w.shape[2], " channels are more than there can be"});
  if (x.shape[3] != channels)
    wrong({"channels ", x.shape[3], " and ", channels, " differ (weights are (KH, KW, C_in / groups, C_out))"});
  if (w.shape[3] % options.groups != 0)
    wrong({"the ", w.shape[3], " output channels do not divide into ", options.groups, " groups"});
  if (w.shape[0] < 1 || w.shape[1] < 1) wrong("an empty kernel");
  if (!within_spatial(1, {options.stride.h, options.stride.w, options.dilation.h, options.dilation.w}))
    wrong("stride and dilation are at least 1 and at most 2^28");
  cpu::Conv2dShape s{x.shape[0], x.shape[1], x.shape[2], x.shape[3], w.shape[0], w.shape[1], w.shape[3]};
  s.stride_h = options.stride.h;
  s.stride_w = options.stride.w;
  s.dilation_h = options.dilation.h;
  s.dilation_w = options.dilation.w;
  s.groups = options.groups;
  if (s.kh > kMostSpatial || s.kw > kMostSpatial || s.h > kMostConvolved || s.w > kMostConvolved)
    wrong("kernels over 2^28 and axes over 2^60 are not supported");
  const Ends rows = options.padding.rows(s.h, s.kh, s.stride_h, s.dilation_h);
  const Ends columns = options.padding.columns(s.w, s.kw, s.stride_w, s.dilation_w);
  if (!within_spatial(0, {rows.before, rows.after, columns.before, columns.after}))
    wrong("padding is negative, or over 2^28");
  s.pad_top = rows.before;
  s.pad_bottom = rows.after;
  s.pad_left = columns.before;
  s.pad_right = columns.after;
  const std::int64_t high = s.dilation_h * (s.kh - 1) + 1, wide = s.dilation_w * (s.kw - 1) + 1;
  if (high > s.h + rows.before + rows.after || wide > s.w + columns.before + columns.after)
    wrong({"a kernel of ", high, " by ", wide, " is larger than the padded image of ", s.h + rows.before + rows.after,
           " by ", s.w + columns.before + columns.after});
  return s;
}

}  // namespace detail

// The convolution of x (N, H, W, C_in), or one image (H, W, C_in), with w (KH, KW, C_in / groups, C_out).
template <Floating T>
Tensor<T> conv2d(const Tensor<T>& x, const Tensor<T>& w, Conv2dOptions options = {}) {
  if (x.rank() == 3) {
    const Tensor<T> y = conv2d(Tensor<T>(detail::reshape(x.ref(), Shape{1} + x.shape())), w, options);
    return Tensor<T>(detail::reshape(y.ref(), y.shape().last(3)));
  }
  const cpu::Conv2dShape s = detail::conv2d_sizes("conv2d", x.array(), w.array(), options);
  return bilinear_op(detail::Conv2d{{s}}, x, w);
}

}  // namespace ergo::inline ERGO_BUILD
