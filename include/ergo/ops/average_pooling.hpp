// Average pools of channels-last images (N, H, W, C), or one image (H, W, C): avg_pool2d over windows of a kernel,
// adaptive_avg_pool2d over so many windows, global_avg_pool over the plane. Linear, so a derivative of any order is an
// average or the transpose of one.
#pragma once

#include "ergo/ops/pooling.hpp"
#include "ergo/ops/reduction.hpp"
#include "ergo/ops/resample.hpp"

namespace ergo::inline ERGO_BUILD {

struct AvgPoolOptions {
  Spatial stride = 0;         // 0: the kernel's size
  Padding2d padding = 0;      // zeros; at most half the kernel
  bool ceil_mode = false;     // windows that begin inside may end outside
  bool count_padding = true;  // sums are divided by the window's size within the padded image, else within the image
};

// The mean of each window of `kernel` (a number, or {rows, columns}): x (N, H, W, C) to (N, OH, OW, C).
template <Floating T>
Tensor<T> avg_pool2d(const Tensor<T>& x, Spatial kernel, AvgPoolOptions options = {}) {
  constexpr auto op = "avg_pool2d";
  const detail::Array& a = x.array();
  detail::check_images(op, a);
  if (options.stride.h == 0 && options.stride.w == 0) options.stride = kernel;
  if (!detail::within_spatial(1, {kernel.h, kernel.w, options.stride.h, options.stride.w}))
    detail::fail(op, a, "kernel and stride are at least 1 and at most 2^28");
  const std::int64_t h = a.shape[-3], w = a.shape[-2];
  if (h == 0 || w == 0) detail::fail(op, a, "the image's plane is empty");
  const auto axis = [&](std::int64_t n, std::int64_t size, std::int64_t stride, Ends padding) {
    const std::int64_t out = detail::pooled_extent(op, a, n, size, stride, padding, options.ceil_mode);
    return detail::ResampleAxis{n, out, size, stride, padding.before, padding.after, options.count_padding};
  };
  return linear_op(
      detail::Resample<detail::Resampling::windows>{
          axis(h, kernel.h, options.stride.h, options.padding.rows(h, kernel.h, options.stride.h, 1)),
          axis(w, kernel.w, options.stride.w, options.padding.columns(w, kernel.w, options.stride.w, 1))},
      x);
}

// The means over the plane: x (N, H, W, C) to (N, C). Of an empty plane NaN.
template <Floating T>
Tensor<T> global_avg_pool(const Tensor<T>& x) {
  if (x.rank() < 3) detail::fail("global_avg_pool", x.array(), "an image (N, H, W, C) or (H, W, C) is expected");
  return mean(x, {-3, -2});
}

// The means of size.h by size.w windows, as equal as may be: the one of row o, of n, is [floor(o H / n), ceil((o + 1) H
// / n)). More of them than elements overlap. x (N, H, W, C) to (N, size.h, size.w, C).
template <Floating T>
Tensor<T> adaptive_avg_pool2d(const Tensor<T>& x, Spatial size) {
  constexpr auto op = "adaptive_avg_pool2d";
  detail::check_images(op, x.array());
  detail::check_wanted(op, x.array(), size.h, size.w);
  if (size.h == 1 && size.w == 1) return mean(x, {-3, -2}, true);
  return linear_op(detail::Resample<detail::Resampling::adaptive>{{x.shape()[-3], size.h}, {x.shape()[-2], size.w}}, x);
}

}  // namespace ergo::inline ERGO_BUILD
