// How a strided copy is to be walked, decided on the host: axes of one element are dropped, the rest ordered by the
// destination's strides, and neighbours merged that are one axis to both sides. Order matters to speed alone, as every
// element goes to a place of its own.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstdlib>

#include "ergo/core/config.hpp"

namespace ergo::inline ERGO_BUILD::cuda {

inline constexpr int kMaxAxes = 8;

struct CopyCall {
  const std::byte* from;
  std::byte* to;
  int width;  // bytes an element: 1, 2, 4, 8, 16; addresses and strides are multiples of it
  int rank;
  std::int64_t extent[kMaxAxes], from_stride[kMaxAxes], to_stride[kMaxAxes];
};

// How it is copied: movement.cuh says what the kinds are.
struct CopyPlan {
  enum class Kind { run, rows, transpose, elements } kind;
  CopyCall call;  // its axes as they will be walked; elements as wide as they will be moved
  int dense;      // transpose: the axis along which the source is dense
};

namespace detail {

// Without axes of one element, ordered by the destination's strides, all of them >= 0, and merged.
inline CopyCall merged(const CopyCall& given) {
  CopyCall c = given;
  c.rank = 0;
  for (int d = 0; d < given.rank; ++d) {
    if (given.extent[d] == 1) continue;
    std::int64_t from = given.from_stride[d], to = given.to_stride[d];
    if (to < 0) {  // from the other end
      c.from += (given.extent[d] - 1) * from;
      c.to += (given.extent[d] - 1) * to;
      from = -from;
      to = -to;
    }
    int at = c.rank++;
    for (; at > 0 && c.to_stride[at - 1] < to; --at) {
      c.extent[at] = c.extent[at - 1];
      c.from_stride[at] = c.from_stride[at - 1];
      c.to_stride[at] = c.to_stride[at - 1];
    }
    c.extent[at] = given.extent[d];
    c.from_stride[at] = from;
    c.to_stride[at] = to;
  }
  int last = 0;
  for (int d = 1; d < c.rank; ++d) {
    const bool one =
        c.from_stride[last] == c.from_stride[d] * c.extent[d] && c.to_stride[last] == c.to_stride[d] * c.extent[d];
    if (!one) ++last;
    c.extent[last] = one ? c.extent[last] * c.extent[d] : c.extent[d];
    c.from_stride[last] = c.from_stride[d];
    c.to_stride[last] = c.to_stride[d];
  }
  if (c.rank == 0) {
    c.extent[0] = 1;
    c.from_stride[0] = c.to_stride[0] = c.width;
  }
  c.rank = last + 1;
  return c;
}

inline std::int64_t numel(const CopyCall& c) {
  std::int64_t n = 1;
  for (int d = 0; d < c.rank; ++d) n *= c.extent[d];
  return n;
}

}  // namespace detail

// Of a call that is not empty.
inline CopyPlan plan_copy(const CopyCall& given) {
  using Kind = CopyPlan::Kind;
  CopyCall c = detail::merged(given);
  const int last = c.rank - 1, width = c.width;
  if (c.from_stride[last] == width && c.to_stride[last] == width) {
    if (c.rank == 1) return {Kind::run, c, 0};
    const std::int64_t row = c.extent[last] * width;
    auto together =
        std::uint64_t(row) | reinterpret_cast<std::uintptr_t>(c.from) | reinterpret_cast<std::uintptr_t>(c.to);
    for (int d = 0; d < last; ++d) together |= std::uint64_t(c.from_stride[d]) | std::uint64_t(c.to_stride[d]);
    const int pack = int(std::min<std::uint64_t>(together & -together, 16));
    if (pack < 8 && row >= 256) return {Kind::rows, c, 0};
    c.width = pack;
    c.extent[last] = row / pack;
    c.from_stride[last] = c.to_stride[last] = pack;
    return {Kind::elements, c, 0};
  }
  for (int d = 0; d < last; ++d)
    if (std::abs(c.from_stride[d]) == width && c.from_stride[last] != 0 && c.to_stride[last] == width &&
        c.extent[d] >= 8 && c.extent[last] >= 8)
      return {Kind::transpose, c, d};
  return {Kind::elements, c, 0};
}

}  // namespace ergo::inline ERGO_BUILD::cuda
