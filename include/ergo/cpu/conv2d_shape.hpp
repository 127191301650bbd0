// The sizes of a two-dimensional convolution, and what follows from them alone.
#pragma once

#include <cstdint>

#include "ergo/core/config.hpp"

namespace ergo::inline ERGO_BUILD::cpu {

struct Conv2dShape {
  std::int64_t n, h, w, c_in, kh, kw, c_out;
  std::int64_t stride_h = 1, stride_w = 1;
  std::int64_t pad_top = 0, pad_bottom = 0, pad_left = 0, pad_right = 0;
  std::int64_t dilation_h = 1, dilation_w = 1;
  std::int64_t groups = 1;

  std::int64_t out_h() const { return (h + pad_top + pad_bottom - dilation_h * (kh - 1) - 1) / stride_h + 1; }
  std::int64_t out_w() const { return (w + pad_left + pad_right - dilation_w * (kw - 1) - 1) / stride_w + 1; }
};

namespace detail {

// Operands of few channels are short runs of K, or short columns of the weights' gradient; all taps make longer ones,
// if they are copied side by side.
inline bool merges_taps(const Conv2dShape& s, std::int64_t most_channels) {
  return s.groups == 1 && s.dilation_w == 1 && s.kw > 1 && s.c_in > 0 && s.c_in <= most_channels;
}
inline bool is_depthwise(const Conv2dShape& s) { return s.groups > 1 && s.groups == s.c_in && s.groups == s.c_out; }
// A product of two matrices, of pixels and weights.
inline bool is_plain_product(const Conv2dShape& s) {
  return s.groups == 1 && s.kh == 1 && s.kw == 1 && s.stride_h == 1 && s.stride_w == 1 && s.pad_top == 0 &&
         s.pad_bottom == 0 && s.pad_left == 0 && s.pad_right == 0;
}

// Whether that product, over `k` channels to `columns`, is left to gemm: where packed weights and a table of addresses
// do not pay, and for 16-bit floats, which would have to be widened beforehand.
template <class S>
bool uses_gemm(const Conv2dShape& s, std::int64_t k, std::int64_t columns) {
  return is_plain_product(s) && (sizeof(S) < sizeof(float) || s.n * s.h * s.w < 128 || k < 192 || columns < 32);
}

}  // namespace detail

}  // namespace ergo::inline ERGO_BUILD::cpu
