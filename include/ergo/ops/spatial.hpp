// How convolutions and pools take their sizes: one number for both axes of an image, or {rows, columns}; padding also
// {{top, bottom}, {left, right}}, or Padding::same.
#pragma once

#include "ergo/core/shape.hpp"

namespace ergo::inline ERGO_BUILD {

struct Spatial {
  std::int64_t h, w;
  template <Integer I>
  constexpr Spatial(I both) : h(std::int64_t(both)), w(std::int64_t(both)) {}
  template <Integer I, Integer J>
  constexpr Spatial(I rows, J columns) : h(std::int64_t(rows)), w(std::int64_t(columns)) {}
};

struct Ends {  // what is added before and after an axis
  std::int64_t before, after;
};

namespace detail {
// Strides, dilations, paddings, kernels and windows beyond this are refused, and axes that they go over beyond
// kMostConvolved, some well before: products of two of the former, and sums of such with an axis, stay in 64 bits.
inline constexpr std::int64_t kMostSpatial = std::int64_t(1) << 28, kMostConvolved = std::int64_t(1) << 60;
inline bool within_spatial(std::int64_t least, std::initializer_list<std::int64_t> values) {
  for (std::int64_t v : values)
    if (v < least || v > kMostSpatial) return false;
  return true;
}
// The channels of `groups` times `each`, -1 if they are more than there can be.
inline std::int64_t channels_of(std::int64_t groups, std::int64_t each) {
  std::int64_t all;
  return __builtin_mul_overflow(groups, each, &all) ? -1 : all;
}
}  // namespace detail

// same: the output has ceil(n / stride) elements, an odd one of the padding is at the end.
enum class Padding { same };

class Padding2d {
 public:
  template <Integer I>
  constexpr Padding2d(I all) : rows_{std::int64_t(all), std::int64_t(all)}, columns_(rows_) {}
  template <Integer I, Integer J>
  constexpr Padding2d(I rows, J columns)
      : rows_{std::int64_t(rows), std::int64_t(rows)}, columns_{std::int64_t(columns), std::int64_t(columns)} {}
  constexpr Padding2d(Ends rows, Ends columns) : rows_(rows), columns_(columns) {}
  constexpr Padding2d(Padding) : same_(true) {}

  constexpr bool is_same() const { return same_; }
  Ends rows(std::int64_t n, std::int64_t kernel, std::int64_t stride, std::int64_t dilation) const {
    return same_ ? of_same(n, kernel, stride, dilation) : rows_;
  }
  Ends columns(std::int64_t n, std::int64_t kernel, std::int64_t stride, std::int64_t dilation) const {
    return same_ ? of_same(n, kernel, stride, dilation) : columns_;
  }

 private:
  static Ends of_same(std::int64_t n, std::int64_t kernel, std::int64_t stride, std::int64_t dilation) {
    const std::int64_t out = (n + stride - 1) / stride, all = (out - 1) * stride + (kernel - 1) * dilation + 1 - n;
    return all <= 0 ? Ends{0, 0} : Ends{all / 2, all - all / 2};
  }
  Ends rows_{0, 0}, columns_{0, 0};
  bool same_ = false;
};

}  // namespace ergo::inline ERGO_BUILD
