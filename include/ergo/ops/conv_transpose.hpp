// conv_transpose2d: the transpose of conv2d in its image, with the weights' channel axes swapped. What goes from images
// (N, H, W, C_in) to (N, OH, OW, C_out) is conv2d's input gradient, so its own derivatives of every order are conv2d
// and conv2d's gradients:
//
//   y[n, i stride_h + u dilation_h - top, j stride_w + v dilation_w - left, o] += x[n, i, j, c] w[u, v, c, o]
#pragma once

#include "ergo/ops/convolution.hpp"
#include "ergo/ops/movement.hpp"

namespace ergo::inline ERGO_BUILD {

struct ConvTranspose2dOptions {
  Spatial stride = 1;
  Padding2d padding = 0;  // what conv2d's padding would be: it is cut off the result. same: the result is H * stride
  Spatial dilation = 1;
  std::int64_t groups = 1;
  Spatial output_padding = 0;  // rows and columns added at the end; less than the stride
};

namespace detail {

// The sizes of the convolution whose input gradient this is: it goes from (OH, OW, C_out) to (H, W, C_in).
inline cpu::Conv2dShape conv_transpose2d_sizes(Array& x, Array& w, const ConvTranspose2dOptions& o) {
  Array* in[] = {&x, &w};
  const auto wrong = [&](const Message& why) { fail("conv_transpose2d", in, 2, why); };
  same_device("conv_transpose2d", in, 2);
  if ((x.shape.rank() != 4 && x.shape.rank() != 3) || w.shape.rank() != 4)
    wrong("an image (N, H, W, C_in) or (H, W, C_in) and weights (KH, KW, C_in, C_out / groups) are expected");
  if (o.groups < 1) wrong({"groups is ", o.groups, ", at least 1 is expected"});
  const std::int64_t h = x.shape[-3], wide = x.shape[-2], c = x.shape[-1], kh = w.shape[0], kw = w.shape[1];
  if (c != w.shape[2])
    wrong({"channels ", c, " and ", w.shape[2], " differ (weights are (KH, KW, C_in, C_out / groups))"});
  if (c % o.groups != 0) wrong({"the ", c, " input channels do not divide into ", o.groups, " groups"});
  const std::int64_t channels = channels_of(o.groups, w.shape[3]);
  if (channels < 0) wrong({o.groups, " groups of ", w.shape[3], " channels are more than there can be"});
  if (kh < 1 || kw < 1) wrong("an empty kernel");
  if (h < 1 || wide < 1) wrong("the image's plane is empty");
  if (!within_spatial(1, {o.stride.h, o.stride.w, o.dilation.h, o.dilation.w}))
    wrong("stride and dilation are at least 1 and at most 2^28");
  if (o.output_padding.h < 0 || o.output_padding.w < 0 || o.output_padding.h >= o.stride.h ||
      o.output_padding.w >= o.stride.w)
    wrong({"output_padding ", Shape{o.output_padding.h, o.output_padding.w}, " is not less than the stride ",
           Shape{o.stride.h, o.stride.w}});
  if (o.padding.is_same() && (o.output_padding.h > 0 || o.output_padding.w > 0))
    wrong("Padding::same gives the result's size by itself, without output_padding");
  if (h > kMostSpatial || wide > kMostSpatial || kh > kMostSpatial || kw > kMostSpatial)
    wrong("axes and kernels of more than 2^28 are not supported");
  const Ends rows = o.padding.rows(h * o.stride.h, kh, o.stride.h, o.dilation.h),
             columns = o.padding.columns(wide * o.stride.w, kw, o.stride.w, o.dilation.w);
  if (!within_spatial(0, {rows.before, rows.after, columns.before, columns.after}))
    wrong("padding is negative, or over 2^28");
  const auto extent = [&](std::int64_t n, std::int64_t k, std::int64_t stride, std::int64_t dilation, Ends cut,
                          std::int64_t more) {
    return o.padding.is_same() ? n * stride : (n - 1) * stride + dilation * (k - 1) + 1 - cut.before - cut.after + more;
  };
  cpu::Conv2dShape s{0,
                     extent(h, kh, o.stride.h, o.dilation.h, rows, o.output_padding.h),
                     extent(wide, kw, o.stride.w, o.dilation.w, columns, o.output_padding.w),
                     channels,
                     kh,
                     kw,
                     c};
  if (s.h < 1 || s.w < 1) wrong({"the padding leaves a result of ", s.h, " by ", s.w});
  s.stride_h = o.stride.h;
  s.stride_w = o.stride.w;
  s.dilation_h = o.dilation.h;
  s.dilation_w = o.dilation.w;
  s.groups = o.groups;
  s.pad_top = rows.before;
  s.pad_bottom = rows.after;
  s.pad_left = columns.before;
  s.pad_right = columns.after;
  return s;
}

}  // namespace detail

// The transposed convolution of x (N, H, W, C_in), or one image (H, W, C_in), with w (KH, KW, C_in, C_out / groups), to
// (N, OH, OW, C_out): OH = (H - 1) stride + dilation (KH - 1) + 1 - padding + output_padding.
template <Floating T>
Tensor<T> conv_transpose2d(const Tensor<T>& x, const Tensor<T>& w, const ConvTranspose2dOptions& options = {}) {
  const cpu::Conv2dShape s = detail::conv_transpose2d_sizes(x.array(), w.array(), options);
  const Tensor<T> weights = permute(w, {0, 1, 3, 2});
  if (x.rank() == 4) return bilinear_op(detail::Conv2dInputGradient{{s}}, x, weights);
  const Tensor<T> batch(detail::reshape(x.ref(), Shape{1} + x.shape()));
  const Tensor<T> y = bilinear_op(detail::Conv2dInputGradient{{s}}, batch, weights);
  return Tensor<T>(detail::reshape(y.ref(), y.shape().last(3)));
}

}  // namespace ergo::inline ERGO_BUILD
