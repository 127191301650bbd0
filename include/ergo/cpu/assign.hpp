// Whole arrays set on the CPU: zeros, and one array broadcast into another.
#pragma once

#include "ergo/cpu/storage.hpp"

namespace ergo::inline ERGO_BUILD::cpu {

inline Ref<Array> zeros(DType d, const Shape& s) {
  Ref<Array> r = Array::make(d, s);
  const std::uint64_t bits = 0;
  ergo::detail::fill_bytes(*r, &bits);
  return r;
}

// Copies x, which broadcasts, into y of any strides.
inline void assign(const Array& y, const Array& x) {
  const Ref<Array> wide = Array::view(x, y.shape);
  const int gained = y.shape.rank() - x.shape.rank();
  for (int d = 0; d < y.shape.rank(); ++d)
    wide->stride[d] = d < gained || x.shape[d - gained] == 1 ? 0 : x.stride[d - gained];
  ergo::detail::copy_strided(y, *wide);
}

}  // namespace ergo::inline ERGO_BUILD::cpu
