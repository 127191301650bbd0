// What operations share in reading their arguments: axes that count from either end, operands on one
// device.
#pragma once

#include "ergo/core/handle.hpp"

namespace ergo::inline ERGO_BUILD {

namespace detail {

[[noreturn, gnu::cold]] ERGO_ONCE void fail_axis(const char* op, const Array& x, std::int64_t axis) {
  fail(op, x, {"axis ", axis, " is out of range for rank ", x.shape.rank()});
}

// The axis counted from the front, 0 <= result < rank; negative ones count from the back.
inline int resolve_axis(const char* op, const Array& x, std::int64_t axis) {
  const int rank = x.shape.rank();
  if (axis < -rank || axis >= rank) fail_axis(op, x, axis);
  return int(axis < 0 ? axis + rank : axis);
}

// Which axes of an array are meant.
struct AxisSet {
  unsigned mask = 0;
  bool operator[](int axis) const { return mask >> axis & 1; }
  int count() const { return __builtin_popcount(mask); }
  static AxisSet all(int rank) { return {(1u << rank) - 1}; }
};

// The axes counted from the front; one out of range or given twice is an Error.
inline AxisSet resolve_axes(const char* op, const Array& x, const Axes& axes) {
  AxisSet set;
  for (std::int64_t given : axes) {
    const int axis = resolve_axis(op, x, given);
    if (set[axis]) fail(op, x, {"axis ", axis, " is given twice"});
    set.mask |= 1u << axis;
  }
  return set;
}

// All operands lie on the device of the first.
inline void same_device(const char* op, Args x, int n) {
  for (int i = 1; i < n; ++i)
    if (x[i]->device != x[0]->device)
      fail(op, x, n, {"operands on ", x[0]->device, " and ", x[i]->device, ": x.to(device) first"});
}

}  // namespace detail
}  // namespace ergo::inline ERGO_BUILD
