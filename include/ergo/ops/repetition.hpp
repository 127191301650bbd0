// Repetition: tile (the whole, end to end) and repeat (each element in place). Their transposes sum the copies.
#pragma once

#include "ergo/cpu/assign.hpp"
#include "ergo/autograd/structural.hpp"
#include "ergo/ops/axes.hpp"

namespace ergo::inline ERGO_BUILD {

namespace detail {
AnyTensor tiled(const AnyTensor& x, const Shape& times);
AnyTensor repeated(const AnyTensor& x, std::int64_t times, std::int64_t axis);
}  // namespace detail

// x laid out times[i] times along axis i; both are aligned at the last axis, the shorter one filled up with ones.
template <class T>
Tensor<T> tile(const Tensor<T>& x, const Shape& times) {
  return Tensor<T>(detail::tiled(x, times));
}
// Each place along the axis `times` times in a row: {1, 2} twice is {1, 1, 2, 2}.
template <class T>
Tensor<T> repeat(const Tensor<T>& x, AnyInteger times, AnyInteger axis = -1) {
  return Tensor<T>(detail::repeated(x, times, axis));
}

namespace detail {

// Along the axis: runs of `inner` elements, each `times` times in a row; for repeat a run is all behind one place of
// the axis, for tile all of the axis and behind.
struct Copies {
  using any_device = void;
  static constexpr auto name = "repeat";
  int axis;  // from the back: 1 is the last
  std::int64_t extent, times;
  bool in_place;
  int core_of(int) const { return axis; }
  std::int64_t inner(const Shape& s) const { return s.last(axis - 1).numel() * (in_place ? 1 : extent); }
  AnyTensor value(const AnyTensor& x) const {
    Shape s = x.shape();
    s[-axis] = extent * times;
    const Ref<Array> r = Array::make(x.dtype(), s, x.device()), from = dense(x.array());
    if (x.device().is_cpu()) {
      cpu::replicate(*r, *from, times, inner(s) * size_of(x.dtype()));
    } else if (const std::int64_t run = inner(s), width = size_of(x.dtype()); r->numel()) {
      const Ref<Array> to = Array::view(*r, Shape{x.numel() / run, times, run});
      to->set_row_major();
      const Ref<Array> wide = Array::view(*from, to->shape);
      wide->stride[0] = run * width;
      wide->stride[1] = 0;
      wide->stride[2] = width;
      copy_strided(*to, *wide);
    }
    return AnyTensor(r);
  }
  AnyTensor transpose(const AnyTensor& g, const Shape&) const;
};
struct SumCopies {
  using any_device = void;
  static constexpr auto name = "repeat";
  Copies copies;
  int core_of(int) const { return copies.axis; }
  AnyTensor value(const AnyTensor& g) const {
    Shape s = g.shape();
    s[-copies.axis] = copies.extent;
    // (runs, times, inner) as (runs, inner, times), summed over the last.
    const Ref<Array> whole = dense(g.array());
    const std::int64_t inner = copies.inner(s), runs = inner ? s.numel() / inner : 0;
    const Ref<Array> three = Array::view(*whole, Shape{runs, copies.times, inner});
    three->set_row_major();
    std::swap(three->shape[1], three->shape[2]);
    std::swap(three->stride[1], three->stride[2]);
    three->settle();
    const Ref<Array> r =
        with_floating(g.dtype(), [&]<class T>(T) { return reduce_last<cpu::SumOf, T>(name, *three, 1); });
    r->shape = s;
    r->set_row_major();
    return AnyTensor(r);
  }
  AnyTensor transpose(const AnyTensor& g, const Shape&) const { return linear_op(copies, g); }
};
inline AnyTensor Copies::transpose(const AnyTensor& g, const Shape&) const { return linear_op(SumCopies{*this}, g); }

inline AnyTensor copied(const char* op, const AnyTensor& x, int axis, std::int64_t times, bool in_place) {
  const std::int64_t n = x.shape()[axis];
  std::int64_t together;
  if (times < 0 || __builtin_mul_overflow(n, times, &together))
    fail(op, x.array(), {"cannot be repeated ", times, " times along axis ", axis});
  return times == 1 ? x : linear_op(Copies{x.rank() - axis, n, times, in_place}, x);
}
inline AnyTensor tiled(const AnyTensor& x, const Shape& times) {
  Shape s = x.shape();
  for (int missing = times.rank() - s.rank(); missing > 0; --missing) s = Shape{1} + s;
  AnyTensor y(reshape(x.ref(), s));
  for (int d = 1; d <= times.rank(); ++d) y = copied("tile", y, s.rank() - d, times[-d], false);
  return y;
}
inline AnyTensor repeated(const AnyTensor& x, std::int64_t times, std::int64_t axis) {
  return copied("repeat", x, resolve_axis("repeat", x.array(), axis), times, true);
}

}  // namespace detail
}  // namespace ergo::inline ERGO_BUILD
