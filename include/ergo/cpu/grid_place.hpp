// Where grid_sample reads: a coordinate in [-1, 1], whose ends are the outer edges of the first and the last pixel,
// becomes a place along an axis of n pixels, and the place one or two pixels with their weights. Shared by loops and
// kernels; `Round` has floor(x) and nearest(x), half to even.
#pragma once

#include <cstdint>

#include "ergo/core/config.hpp"

namespace ergo::inline ERGO_BUILD {

enum class GridMode { bilinear, nearest };
// What lies outside the image: zeros; the nearest pixel of the border; the image reflected at its outer edges.
enum class GridPadding { zeros, border, reflection };

namespace cpu {

// Pixels `at` and at + 1, those of them that are inside, what they count for, and how fast the place moves with the
// coordinate.
template <class A>
struct GridPlace {
  std::int64_t at;
  bool inside[2];
  A weight[2], slope;
};

template <class A, class Round>
constexpr GridPlace<A> grid_place(GridMode mode, GridPadding padding, std::int64_t n, A coordinate,
                                  const Round& round) {
  const A size = A(n), last = A(n - 1);
  A p = ((coordinate + A(1)) * size - A(1)) * A(0.5), slope = size * A(0.5);
  if (padding == GridPadding::reflection) {
    const A u = p + A(0.5), turns = round.floor(u / size), rest = u - turns * size;
    const bool back = turns - A(2) * round.floor(turns * A(0.5)) != A(0);
    p = (back ? size - rest : rest) - A(0.5);
    if (back) slope = -slope;
  }
  if (padding != GridPadding::zeros) {
    if (p <= A(0) || p >= last) slope = A(0);  // at the outer centres too: beyond them nothing changes
    p = p < A(0) ? A(0) : p > last ? last : p;
  }
  const A cell = mode == GridMode::nearest ? round.nearest(p) : round.floor(p);
  const A near = cell < A(-2) ? A(-2) : cell > size ? size : cell;
  const std::int64_t at = near == near ? std::int64_t(near) : 0;  // a NaN is at the first pixel, and counts for NaN
  GridPlace<A> r{at, {at >= 0 && at < n, at >= -1 && at < n - 1}, {p - p + A(1), A(0)}, slope};
  if (mode == GridMode::nearest) {
    r.inside[1] = false;
    r.slope = A(0);
  } else {
    r.weight[1] = p - cell;
    r.weight[0] = A(1) - r.weight[1];
  }
  return r;
}

}  // namespace cpu
}  // namespace ergo::inline ERGO_BUILD
