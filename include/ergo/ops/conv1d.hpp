// conv1d: cross-correlation of sequences (N, T, C_in) with weights (K, C_in / groups, C_out), as (N, T', C_out): a
// convolution of images of one row, so values and derivatives of every order are conv2d's.
#pragma once

#include "ergo/ops/axes.hpp"
#include "ergo/ops/convolution.hpp"

namespace ergo::inline ERGO_BUILD {

// A number for both ends, {before, after}, or Padding::same.
class Padding1d {
 public:
  template <Integer I>
  constexpr Padding1d(I both) : ends_{std::int64_t(both), std::int64_t(both)} {}
  template <Integer I, Integer J>
  constexpr Padding1d(I before, J after) : ends_{std::int64_t(before), std::int64_t(after)} {}
  constexpr Padding1d(Padding) : same_(true) {}
  Ends of(std::int64_t n, std::int64_t kernel, std::int64_t stride, std::int64_t dilation) const {
    return same_ ? Padding2d(Padding::same).columns(n, kernel, stride, dilation) : ends_;
  }

 private:
  Ends ends_{0, 0};
  bool same_ = false;
};

struct Conv1dOptions {
  std::int64_t stride = 1;
  Padding1d padding = 0;
  std::int64_t dilation = 1;
  std::int64_t groups = 1;
};

namespace detail {
void check_conv1d(Array& x, Array& w, const Conv1dOptions& o);
}

// The convolution of x (N, T, C_in), or one sequence (T, C_in), with w (K, C_in / groups, C_out).
template <Floating T>
Tensor<T> conv1d(const Tensor<T>& x, const Tensor<T>& w, const Conv1dOptions& options = {}) {
  detail::check_conv1d(x.array(), w.array(), options);
  const Shape rows = x.shape().first(x.rank() - 2) + Shape{1} + x.shape().last(2);
  const Tensor<T> images(detail::reshape(x.ref(), rows)), kernel(detail::reshape(w.ref(), Shape{1} + w.shape()));
  const Ends ends = options.padding.of(x.shape()[-2], w.shape()[0], options.stride, options.dilation);
  const Tensor<T> y = conv2d(images, kernel,
                             {.stride = {1, options.stride},
                              .padding = {{0, 0}, ends},
                              .dilation = {1, options.dilation},
                              .groups = options.groups});
  return Tensor<T>(detail::reshape(y.ref(), y.shape().first(y.rank() - 3) + y.shape().last(2)));
}

namespace detail {

// What conv2d would say, in this operation's words.
inline void check_conv1d(Array& x, Array& w, const Conv1dOptions& o) {
  Array* in[] = {&x, &w};
  const auto wrong = [&](const Message& why) { fail("conv1d", in, 2, why); };
  same_device("conv1d", in, 2);
  const int rank = x.shape.rank();
  if ((rank != 2 && rank != 3) || w.shape.rank() != 3)
    wrong("sequences (N, T, C_in) or (T, C_in) and weights (K, C_in / groups, C_out) are expected");
  if (o.groups < 1) wrong({"groups is ", o.groups, ", at least 1 is expected"});
  const std::int64_t channels = channels_of(o.groups, w.shape[1]), k = w.shape[0], n = x.shape[-2];
  if (channels < 0) wrong({o.groups, " groups of ", w.shape[1], " channels are more than there can be"});
  if (x.shape[-1] != channels)
    wrong({"channels ", x.shape[-1], " and ", channels, " differ (weights are (K, C_in / groups, C_out))"});
  if (w.shape[2] % o.groups != 0)
    wrong({"the ", w.shape[2], " output channels do not divide into ", o.groups, " groups"});
  if (k < 1) wrong("an empty kernel");
  if (!within_spatial(1, {o.stride, o.dilation})) wrong("stride and dilation are at least 1 and at most 2^28");
  if (k > kMostSpatial || n > kMostConvolved) wrong("kernels over 2^28 and sequences over 2^60 are not supported");
  const Ends ends = o.padding.of(n, k, o.stride, o.dilation);
  if (!within_spatial(0, {ends.before, ends.after})) wrong("padding is negative, or over 2^28");
  const std::int64_t wide = o.dilation * (k - 1) + 1, room = n + ends.before + ends.after;
  if (wide > room) wrong({"a kernel of ", wide, " is larger than the padded sequence of ", room});
}

}  // namespace detail

}  // namespace ergo::inline ERGO_BUILD
