// upsample_nearest2d upsample_bilinear2d upsample_bicubic2d: channels-last images (N, H, W, C), or one image (H, W, C),
// at another size, larger or smaller. Pixels have their centres at halves: result o lies at (o + 1/2) n / m - 1/2 of an
// axis that goes from n to m, and edges are clamped. Nearest takes the pixel that this place is in (of two the second),
// bicubic is Keys's (1981) with a = -0.75. Nothing is smoothed on the way to a smaller size. Linear, with an exact
// transpose.
#pragma once

#include "ergo/ops/resample.hpp"

namespace ergo::inline ERGO_BUILD {

// A whole factor for both axes, or the extents {h, w} themselves.
class ImageSize {
 public:
  template <Integer I>
  constexpr ImageSize(I factor) : h_(std::int64_t(factor)), w_(h_), factor_(true) {}
  template <Integer I, Integer J>
  constexpr ImageSize(I h, J w) : h_(std::int64_t(h)), w_(std::int64_t(w)) {}

  // Of images x, checked.
  Spatial of(const char* op, const detail::Array& x) const {
    detail::check_images(op, x);
    std::int64_t h = h_, w = w_;
    if (factor_) {
      if (!detail::within_spatial(1, {h})) detail::fail(op, x, {"the factor is ", h, ", at least 1 is expected"});
      h *= x.shape[-3];
      w *= x.shape[-2];
    }
    if (!factor_ || (h && w)) detail::check_wanted(op, x, h, w);
    return {h, w};
  }

 private:
  std::int64_t h_, w_;
  bool factor_ = false;
};

namespace detail {
template <Resampling Kind, class T>
Tensor<T> upsampled(const Tensor<T>& x, const ImageSize& size) {
  const Spatial to = size.of(name_of(Kind), x.array());
  return linear_op(Resample<Kind>{{x.shape()[-3], to.h}, {x.shape()[-2], to.w}}, x);
}
}  // namespace detail

template <Floating T>
Tensor<T> upsample_nearest2d(const Tensor<T>& x, ImageSize size) {
  return detail::upsampled<detail::Resampling::nearest>(x, size);
}
template <Floating T>
Tensor<T> upsample_bilinear2d(const Tensor<T>& x, ImageSize size) {
  return detail::upsampled<detail::Resampling::linear>(x, size);
}
template <Floating T>
Tensor<T> upsample_bicubic2d(const Tensor<T>& x, ImageSize size) {
  return detail::upsampled<detail::Resampling::cubic>(x, size);
}

}  // namespace ergo::inline ERGO_BUILD
