// Windows that slide along an axis, without a copy; the transpose adds overlapping windows up again.
#pragma once

#include "ergo/cpu/overlap.hpp"
#include "ergo/autograd/structural.hpp"
#include "ergo/ops/axes.hpp"

namespace ergo::inline ERGO_BUILD {

namespace detail {
AnyTensor windows(const AnyTensor& x, std::int64_t axis, std::int64_t size, std::int64_t step);
}

// The windows of `size` elements that begin at 0, step, 2 step, ... of an axis: their number replaces its extent, and
// the elements of a window are the last axis: (T, C) to (N, C, size) along axis 0. A view.
template <class T>
Tensor<T> sliding_window(const Tensor<T>& x, AnyInteger axis, AnyInteger size, AnyInteger step = 1) {
  return Tensor<T>(detail::windows(x, axis, size, step));
}

namespace detail {

struct Window {
  static constexpr auto name = "sliding_window";
  using any_device = void;
  int axis;  // from the back: 1 is the last
  std::int64_t size, step, extent;
  int core_of(int) const { return axis; }
  std::int64_t count() const { return (extent - size) / step + 1; }
  AnyTensor value(const AnyTensor& x) const {
    const Array& a = x.array();
    const int at = a.shape.rank() - axis;
    Shape s = a.shape + Shape{size};
    s[at] = count();
    const Ref<Array> r = Array::view(a, s);
    for (int d = 0; d < a.shape.rank(); ++d) r->stride[d] = a.stride[d];
    if (s[at] > 1) r->stride[at] *= step;  // of one window the stride is not used, and the product might overflow
    r->stride[a.shape.rank()] = a.stride[at];
    r->settle();
    return AnyTensor(r);
  }
  AnyTensor transpose(const AnyTensor& g, const Shape&) const;
};
struct AddWindows {
  static constexpr auto name = "sliding_window";
  using any_device = void;
  Window window;
  int core_of(int) const { return window.axis + 1; }
  AnyTensor value(const AnyTensor& g) const {
    Shape s = g.shape().first(g.rank() - 1);
    s[-window.axis] = window.extent;
    if (!g.device().is_cpu()) return on_device(g.array(), s);
    return AnyTensor(cpu::add_windows(g.array(), s, s.rank() - window.axis, window.step));
  }
  AnyTensor transpose(const AnyTensor& g, const Shape&) const { return linear_op(window, g); }

 private:
  // Place after place of the windows, all of them at once.
  AnyTensor on_device(const Array& g, const Shape& s) const {
    const Ref<Array> y = zeroed(g.dtype, s, g.device);
    for (std::int64_t i = 0; i < window.size && g.numel(); ++i) {
      const Ref<Array> to = SliceOp(window.axis, i, window.count(), window.step, false).view(*y),
                       from = SliceOp(1, i, 1, 1, true).view(g);
      Array* in[] = {to.get(), from.get()};
      Ref<Array> sum;
      with_floating(g.dtype, [&]<class T>(T) { Pointwise<Add, T, T, T>::op.value(in, &sum, 0); });
      copy_strided(*to, *sum);
    }
    return AnyTensor(y);
  }
};
inline AnyTensor Window::transpose(const AnyTensor& g, const Shape&) const { return linear_op(AddWindows{*this}, g); }

inline AnyTensor windows(const AnyTensor& x, std::int64_t axis, std::int64_t size, std::int64_t step) {
  const Array& a = x.array();
  const int at = resolve_axis("sliding_window", a, axis);
  if (size < 1 || step < 1) fail("sliding_window", a, {"size ", size, ", step ", step, ": both are at least 1"});
  if (size > a.shape[at])
    fail("sliding_window", a, {"a window of ", size, " exceeds axis ", at, " of extent ", a.shape[at]});
  if (a.shape.rank() == kMaxRank) fail("sliding_window", a, "9 axes are more than 8");
  return linear_op(Window{a.shape.rank() - at, size, step, a.shape[at]}, x);
}

}  // namespace detail
}  // namespace ergo::inline ERGO_BUILD
