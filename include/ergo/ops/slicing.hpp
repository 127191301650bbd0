// Parts of an axis: slice set_slice flip roll. A slice is a view, also with a negative step; bounds count from the back
// when negative and clamp, as in NumPy.
#pragma once

#include "ergo/ops/axes.hpp"
#include "ergo/ops/update.hpp"

namespace ergo::inline ERGO_BUILD {

// A bound left out: that end of the axis, in the step's direction.
struct None {};
inline constexpr None none{};

// Where a slice begins or ends: any integer, or `none`.
class Bound {
 public:
  constexpr Bound(None) : given_(false), value_(0) {}
  template <Integer I>
  constexpr Bound(I n) : given_(true), value_(AnyInteger(n)) {}
  constexpr bool given() const { return given_; }
  constexpr std::int64_t value() const { return value_; }

 private:
  bool given_;
  std::int64_t value_;
};

namespace detail {
AnyTensor sliced(const AnyTensor& x, std::int64_t axis, Bound begin, Bound end, std::int64_t step);
AnyTensor slice_set(const AnyTensor& x, const AnyTensor& y, std::int64_t axis, Bound begin, Bound end,
                    std::int64_t step);
AnyTensor flipped(const AnyTensor& x, const Axes& axes);
AnyTensor rolled(const AnyTensor& x, const Axes& shifts, const Axes& axes);
}  // namespace detail

// The elements begin, begin + step, ... short of end along an axis. A step of 0 is an Error.
template <class T>
Tensor<T> slice(const Tensor<T>& x, AnyInteger axis, Bound begin, Bound end = none, AnyInteger step = 1) {
  return Tensor<T>(detail::sliced(x, axis, begin, end, step));
}
// x with that slice replaced by y, which broadcasts to the slice's shape.
template <class T>
Tensor<T> set_slice(const Tensor<T>& x, const Tensor<T>& y, AnyInteger axis, Bound begin, Bound end = none,
                    AnyInteger step = 1) {
  return Tensor<T>(detail::slice_set(x, y, axis, begin, end, step));
}
// The elements in reverse order along the axes, the last if none is given; a view.
template <class T>
Tensor<T> flip(const Tensor<T>& x, const Axes& axes = {-1}) {
  return Tensor<T>(detail::flipped(x, axes));
}
// The elements moved by `shift` places along an axis, what leaves one end coming in at the other: element i goes to i +
// shift. `roll(x, {1, 2}, {0, 1})` moves along two.
template <class T>
Tensor<T> roll(const Tensor<T>& x, const Axes& shift, const Axes& axis = {-1}) {
  return Tensor<T>(detail::rolled(x, shift, axis));
}

namespace detail {

// NumPy's rule for bounds.
ERGO_ONCE SliceOp resolve_slice(const char* op, const Array& x, std::int64_t axis, Bound begin, Bound end,
                                std::int64_t step) {
  const int at = resolve_axis(op, x, axis);
  const std::int64_t n = x.shape[at];
  if (step == 0) fail(op, x, "the step is 0");
  const std::int64_t lowest = step > 0 ? 0 : -1, highest = step > 0 ? n : n - 1;
  const auto clamped = [&](const Bound& b, std::int64_t otherwise) {
    if (!b.given()) return otherwise;
    const std::int64_t i = b.value() < 0 ? b.value() + n : b.value();
    return i < lowest ? lowest : i > highest ? highest : i;
  };
  const std::int64_t from = clamped(begin, step > 0 ? lowest : highest), to = clamped(end, step > 0 ? highest : lowest);
  const std::int64_t span = step > 0 ? to - from : from - to;
  // Unsigned, because the lowest step has no negative.
  const std::uint64_t pace = step > 0 ? std::uint64_t(step) : -std::uint64_t(step);
  const std::int64_t count = span > 0 ? std::int64_t((std::uint64_t(span) - 1) / pace) + 1 : 0;
  return SliceOp(x.shape.rank() - at, count ? from : 0, count, count > 1 ? step : 1, false);
}
ERGO_ONCE AnyTensor sliced(const AnyTensor& x, std::int64_t axis, Bound begin, Bound end, std::int64_t step) {
  Array* in[] = {&x.array()};
  const SliceOp op = resolve_slice("slice", *in[0], axis, begin, end, step);
  if (op.step == 1 && op.count == in[0]->shape[-op.axis]) return x;
  return AnyTensor(dispatch1(op, in));
}

struct SetSlice {
  static constexpr auto name = "set_slice";
  using any_device = void;
  static constexpr bool indexed = false;
  SliceOp slice;
  std::int64_t extent;
  int core_of(int) const { return slice.axis; }
  Ref<Array> value(Array* x, Array* y, Array*) const {
    const Array& one = x ? *x : *y;
    Shape lead = one.shape.first(one.shape.rank() - slice.axis);
    if (x && y) broadcast(lead, y->shape.first(y->shape.rank() - slice.axis));
    Shape s = lead + one.shape.last(slice.axis);
    s[-slice.axis] = extent;
    const Ref<Array> r = x ? Array::make(one.dtype, s, one.device) : zeroed(one.dtype, s, one.device);
    if (x) assign(*r, *x);
    const Ref<Array> part = slice.view(*r);
    if (y)
      assign(*part, *y);
    else if (part->numel())
      assign(*part, *zeroed(one.dtype, Shape{}, one.device));
    return r;
  }
  Ref<Array> of_x(Array& g, Array*) const { return update(*this, &g, nullptr); }
  Ref<Array> of_y(Array& g, Array*) const {
    Array* in[] = {&g};
    return dispatch1(slice, in);
  }
};
ERGO_ONCE AnyTensor slice_set(const AnyTensor& x, const AnyTensor& y, std::int64_t axis, Bound begin, Bound end,
                              std::int64_t step) {
  Array* in[] = {&x.array(), &y.array()};
  const SliceOp op = resolve_slice("set_slice", *in[0], axis, begin, end, step);
  same_device("set_slice", in, 2);
  Shape part = in[0]->shape;
  part[-op.axis] = op.count;
  Shape both = part;
  if (!broadcast(both, in[1]->shape) || both != part)
    fail("set_slice", in, 2, {"the second does not broadcast to the slice, ", part});
  const Ref<Array> wide = broadcast_to(y.ref(), part);
  return AnyTensor(update(SetSlice{op, in[0]->shape[-op.axis]}, in[0], wide.get()));
}

// Its own transpose. Bit d of the mask: the axis d from the last.
struct Flip {
  static constexpr auto name = "flip";
  using any_device = void;
  int n;
  unsigned mask;
  int core_of(int) const { return n; }
  AnyTensor value(const AnyTensor& x) const {
    const Array& a = x.array();
    const Ref<Array> r = Array::view(a, a.shape);
    for (int d = 0; d < a.shape.rank(); ++d) {
      const int from_last = a.shape.rank() - 1 - d;
      const bool turn = from_last < n && (mask >> from_last & 1) && a.shape[d] > 1;
      r->stride[d] = turn ? -a.stride[d] : a.stride[d];
      if (turn) r->data += (a.shape[d] - 1) * a.stride[d];
    }
    r->settle();
    return AnyTensor(r);
  }
  AnyTensor transpose(const AnyTensor& g, const Shape&) const { return linear_op(*this, g); }
};
inline AnyTensor flipped(const AnyTensor& x, const Axes& axes) {
  const int rank = x.rank();
  const AxisSet set = resolve_axes("flip", x.array(), axes);
  Flip f{0, 0};
  for (int d = 0; d < rank; ++d) {
    if (!set[d]) continue;
    if (!f.n) f.n = rank - d;
    f.mask |= 1u << (rank - 1 - d);
  }
  return f.n ? linear_op(f, x) : x;
}

struct Roll {
  static constexpr auto name = "roll";
  using any_device = void;
  int axis;                    // from the back: 1 is the last
  std::int64_t shift, extent;  // 0 < shift < extent
  int core_of(int) const { return axis; }
  AnyTensor value(const AnyTensor& x) const {
    const Ref<Array> r = Array::make(x.dtype(), x.shape(), x.device());
    const auto part = [&](const Array& a, std::int64_t begin, std::int64_t count) {
      return SliceOp(axis, begin, count, 1, false).view(a);
    };
    copy_strided(*part(*r, shift, extent - shift), *part(x.array(), 0, extent - shift));
    copy_strided(*part(*r, 0, shift), *part(x.array(), extent - shift, shift));
    return AnyTensor(r);
  }
  AnyTensor transpose(const AnyTensor& g, const Shape&) const {
    return linear_op(Roll{axis, extent - shift, extent}, g);
  }
};
inline AnyTensor rolled(const AnyTensor& x, const Axes& shifts, const Axes& axes) {
  resolve_axes("roll", x.array(), axes);
  if (shifts.rank() != axes.rank()) fail("roll", x.array(), {shifts.rank(), " shifts for ", axes.rank(), " axes"});
  AnyTensor y = x;
  for (int i = 0; i < axes.rank(); ++i) {
    const int axis = resolve_axis("roll", x.array(), axes[i]);
    const std::int64_t n = x.shape()[axis];
    if (n == 0) continue;
    const std::int64_t shift = (shifts[i] % n + n) % n;
    if (shift) y = linear_op(Roll{x.rank() - axis, shift, n}, y);
  }
  return y;
}

}  // namespace detail
}  // namespace ergo::inline ERGO_BUILD
