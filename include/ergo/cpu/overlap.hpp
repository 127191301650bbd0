// The sum of overlapping windows: the transpose of a sliding window. Each element gathers what lies over it in order of
// the windows' positions, so the bits do not depend on the number of threads.
#pragma once

#include "ergo/cpu/storage.hpp"

namespace ergo::inline ERGO_BUILD::cpu {

namespace detail {
// y (outer, extent, inner) from g (outer, count, inner, size), both dense; elements [begin, end) of y's (outer,
// extent).
template <class T>
void add_windows_run(const T* g, T* y, std::int64_t extent, std::int64_t inner, std::int64_t count, std::int64_t size,
                     std::int64_t step, std::int64_t begin, std::int64_t end) {
  for (std::int64_t row = begin; row < end; ++row) {
    const std::int64_t i = row % extent;
    const T* over = g + row / extent * count * inner * size;
    const std::int64_t first = i < size ? 0 : (i - size) / step + 1, last = i / step < count ? i / step : count - 1;
    for (std::int64_t c = 0; c < inner; ++c) {
      T sum = 0;
      for (std::int64_t w = first; w <= last; ++w) sum += over[(w * inner + c) * size + (i - w * step)];
      y[row * inner + c] = sum;
    }
  }
}
}  // namespace detail

// y of shape `s` from windows g of shape s + (size,) but for the number of windows on axis `axis`; floating, at depth
// 0.
inline Ref<Array> add_windows(const Array& g, const Shape& s, int axis, std::int64_t step) {
  if (is_storage_only(g.dtype)) return narrowed(*add_windows(*widened(g), s, axis, step), g.dtype);
  const Ref<Array> from = ergo::detail::dense(g), y = Array::make(g.dtype, s);
  if (y->numel() == 0) return y;
  const std::int64_t extent = s[axis], count = g.shape[axis], size = g.shape[-1];
  const std::int64_t inner = s.last(s.rank() - 1 - axis).numel(), rows = y->numel() / inner;
  parallel_for(rows, 1 + 16384 / (inner * size), [&](std::int64_t begin, std::int64_t end) {
    if (g.dtype == DType::float64)
      detail::add_windows_run(reinterpret_cast<const double*>(from->data), reinterpret_cast<double*>(y->data), extent,
                              inner, count, size, step, begin, end);
    else
      detail::add_windows_run(reinterpret_cast<const float*>(from->data), reinterpret_cast<float*>(y->data), extent,
                              inner, count, size, step, begin, end);
  });
  return y;
}

}  // namespace ergo::inline ERGO_BUILD::cpu
