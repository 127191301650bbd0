// What average pools and upsampling are: a linear operation on the two axes of an image, and its transpose. Both are
// gathers, and each other's derivative of every order.
#pragma once

#include "ergo/autograd/linear_op.hpp"
#include "ergo/cpu/resample.hpp"
#include "ergo/cpu/storage.hpp"
#include "ergo/ops/spatial.hpp"
#if defined(__CUDACC__) || defined(ERGO_EMULATED)
#include "ergo/cuda/resample.hpp"
#endif

namespace ergo::inline ERGO_BUILD::detail {

using cpu::ResampleAxis;
using cpu::Resampling;

constexpr const char* name_of(Resampling kind) {
  return kind == Resampling::windows    ? "avg_pool2d"
         : kind == Resampling::adaptive ? "adaptive_avg_pool2d"
         : kind == Resampling::nearest  ? "upsample_nearest2d"
         : kind == Resampling::linear   ? "upsample_bilinear2d"
                                        : "upsample_bicubic2d";
}

// x (..., h.in, w.in, C) to (..., h.out, w.out, C); Transposed: the other way round.
template <Resampling Kind, bool Transposed = false>
struct Resample {
  static constexpr auto name = name_of(Kind);
  ResampleAxis h, w;
  int core_of(int) const { return 3; }
  template <class T>
  Tensor<T> value(const Tensor<T>& x) const {
    using C = Compute<T>;
    const bool stored = cpu::is_storage_only(x.dtype());
    const Ref<Array> from = stored ? cpu::widened(x.array()) : dense(x.array());
    const Shape lead = from->shape.first(from->shape.rank() - 3);
    const std::int64_t c = from->shape[-1];
    Ref<Array> y = Array::make(dtype_of<C>, lead + Shape{Transposed ? h.in : h.out, Transposed ? w.in : w.out, c});
    if (y->numel()) cpu::resample<C>(Kind, h, w, Transposed, lead.product(), c, data_of<C>(*from), data_of<C>(*y));
    return Tensor<T>(stored ? cpu::narrowed(*y, x.dtype()) : std::move(y));
  }
#if defined(__CUDACC__) || defined(ERGO_EMULATED)
  template <class T>
  Tensor<T> cuda(const Tensor<T>& x) const {
    return ergo::cuda::resample<Kind>(name, h, w, Transposed, x);
  }
#endif
  template <class T>
  Tensor<T> transpose(const Tensor<T>& g, const Shape&) const {
    return linear_op(Resample<Kind, !Transposed>{h, w}, g);
  }
};

// The shape of images (..., H, W, C) that an operation takes, checked.
inline void check_images(const char* op, const Array& x) {
  if (x.shape.rank() < 3) fail(op, x, "an image (N, H, W, C) or (H, W, C) is expected");
  const std::int64_t h = x.shape[-3], w = x.shape[-2];
  if (h > kMostSpatial || w > kMostSpatial || h >= (std::int64_t(1) << 31) / (w + 1))
    fail(op, x, "planes of 2^31 elements and more are not supported, nor axes of more than 2^28");
}
// The extents that are wanted, checked: of such planes, and of nothing only nothing.
inline void check_wanted(const char* op, const Array& x, std::int64_t h, std::int64_t w) {
  if (!within_spatial(1, {h, w}) || h >= (std::int64_t(1) << 31) / (w + 1))
    fail(op, x, {"the result's plane of ", h, " by ", w, " is empty, or of 2^31 elements and more"});
  if (x.shape[-3] == 0 || x.shape[-2] == 0) fail(op, x, "the image's plane is empty");
}

}  // namespace ergo::inline ERGO_BUILD::detail
