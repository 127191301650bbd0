// Runs of elements repeated.
#pragma once

#include "ergo/cpu/storage.hpp"

namespace ergo::inline ERGO_BUILD::cpu {

namespace detail {
template <class Unit>
void replicate_units(std::byte* y, const std::byte* x, std::int64_t times, std::int64_t n) {
  for (std::int64_t i = 0; i < n; ++i) {
    Unit u;
    std::memcpy(&u, x + i * std::int64_t(sizeof(Unit)), sizeof(Unit));
    for (std::int64_t t = 0; t < times; ++t, y += sizeof(Unit)) std::memcpy(y, &u, sizeof(Unit));
  }
}
}  // namespace detail

// y (runs, times, inner) = x (runs, inner), both dense; `bytes` are those of one run.
inline void replicate(const Array& y, const Array& x, std::int64_t times, std::int64_t bytes) {
  if (y.numel() == 0) return;
  const std::int64_t runs = x.numel() * size_of(x.dtype) / bytes;
  parallel_for(runs, 1 + 65536 / (times * bytes), [&](std::int64_t begin, std::int64_t end) {
    std::byte* to = y.data + begin * times * bytes;
    const std::byte* from = x.data + begin * bytes;
    switch (bytes) {
      case 1:
        return detail::replicate_units<std::uint8_t>(to, from, times, end - begin);
      case 2:
        return detail::replicate_units<std::uint16_t>(to, from, times, end - begin);
      case 4:
        return detail::replicate_units<std::uint32_t>(to, from, times, end - begin);
      case 8:
        return detail::replicate_units<std::uint64_t>(to, from, times, end - begin);
      default:
        break;
    }
    for (std::int64_t i = begin; i < end; ++i, from += bytes)
      for (std::int64_t t = 0; t < times; ++t, to += bytes) std::memcpy(to, from, std::size_t(bytes));
  });
}

}  // namespace ergo::inline ERGO_BUILD::cpu
