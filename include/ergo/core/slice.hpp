// The movement that a handle itself offers, differentiable like every operation: x[i] and slices, contiguous,
// to(device).
#pragma once

#include "ergo/core/copy.hpp"
#include "ergo/core/op.hpp"

namespace ergo::inline ERGO_BUILD::detail {

// The shape of input 0 of a node: a husk's, or, where nothing was kept, the cotangent's.
inline const Shape& shape_of(const Array* x, const Array& g) { return x ? x->shape : g.shape; }

// `count` elements from `begin` in steps of `step` (may be negative) along an axis counted from the back, which
// vanishes when `drops` (then count is 1). A view.
struct SliceOp final : CopiedOp<SliceOp> {
  int axis;  // from the back: 1 is the last
  std::int64_t begin, count, step;
  bool drops;
  SliceOp(int axis_from_back, std::int64_t b, std::int64_t n, std::int64_t s, bool d)
      : CopiedOp("slice", 1), axis(axis_from_back), begin(b), count(n), step(s), drops(d) {
    uses = Uses::nothing;
    on_cuda = true;
  }
  int core(int) const { return axis; }
  void value(Args x, Ref<Array>* y, std::uint64_t) const { y[0] = view(*x[0]); }
  Ref<Array> view(const Array& x) const {
    Shape s;
    const int at = x.shape.rank() - axis;
    for (int d = 0; d < x.shape.rank(); ++d)
      if (d != at)
        s.push(x.shape[d]);
      else if (!drops)
        s.push(count);
    Ref<Array> y = Array::view(x, s);
    for (int d = 0, k = 0; d < x.shape.rank(); ++d) {
      if (d == at && drops) continue;
      y->stride[k++] = d == at ? x.stride[d] * step : x.stride[d];
    }
    if (count) y->data += begin * x.stride[at];
    y->settle();
    return y;
  }
  inline void vjp(Args g, Args y, Args x, Wanted wanted,
                  Ref<Array>* dx) const;  // inline here: else the vtable is emitted always
  void jvp(Args t, Args, Args, Ref<Array>* ty) const {
    if (t[0]) dispatch(*this, t, ty);
  }
};

// The transpose of a slice: g in its place among zeros, `extent` long along the axis.
struct EmbedOp final : CopiedOp<EmbedOp> {
  SliceOp slice;
  std::int64_t extent;
  EmbedOp(const SliceOp& s, std::int64_t n) : CopiedOp("slice", 1), slice(s), extent(n) {
    uses = Uses::nothing;
    on_cuda = true;
  }
  int core(int) const { return slice.axis - (slice.drops ? 1 : 0); }
  void value(Args g, Ref<Array>* y, std::uint64_t) const {
    Shape s;
    const int lead = g[0]->shape.rank() - core(0);
    for (int d = 0; d < lead; ++d) s.push(g[0]->shape[d]);
    s.push(extent);
    for (int d = lead + (slice.drops ? 0 : 1); d < g[0]->shape.rank(); ++d) s.push(g[0]->shape[d]);
    Ref<Array> r = Array::make(g[0]->dtype, s, g[0]->device);
    const std::uint64_t zero = 0;
    fill_bytes(*r, &zero);
    copy_strided(*slice.view(*r), *g[0]);
    y[0] = std::move(r);
  }
  void vjp(Args g, Args, Args, Wanted wanted, Ref<Array>* dx) const {
    if (wanted[0]) dispatch(slice, g, dx);
  }
  void jvp(Args t, Args, Args, Ref<Array>* ty) const {
    if (t[0]) dispatch(*this, t, ty);
  }
};
inline void SliceOp::vjp(Args g, Args, Args x, Wanted wanted, Ref<Array>* dx) const {
  if (!wanted[0]) return;
  const Shape& s = shape_of(x[0], *g[0]);
  dispatch(EmbedOp(*this, s[-axis]), g, dx);
}

inline Ref<Array> select(Array& x, std::int64_t i) {
  if (x.shape.rank() == 0) fail("index", x, "a tensor of rank 0 has no axis to index; x.item() reads it");
  const std::int64_t n = x.shape[0], at = i < 0 ? i + n : i;
  if (at < 0 || at >= n) fail("index", x, {"index ", i, " is not in [0, ", n, ") of the leading axis"});
  Array* in[] = {&x};
  return dispatch1(SliceOp(x.shape.rank(), at, 1, 1, true), in);
}

// The identity that changes where or how the bytes lie.
struct ContiguousOp final : OpOf<ContiguousOp> {
  constexpr ContiguousOp() : OpOf("contiguous", 1) {
    uses = Uses::nothing;
    on_cuda = true;
  }
  void value(Args x, Ref<Array>* y, std::uint64_t) const { y[0] = dense(*x[0]); }
  void vjp(Args g, Args, Args, Wanted wanted, Ref<Array>* dx) const {
    if (wanted[0]) dx[0] = Ref<Array>::share(g[0]);
  }
  void jvp(Args t, Args, Args, Ref<Array>* ty) const {
    if (t[0]) ty[0] = Ref<Array>::share(t[0]);
  }
};
inline constexpr ContiguousOp contiguous_op{};
inline Ref<Array> contiguous(Array& x) {
  Array* in[] = {&x};
  return dispatch1(contiguous_op, in);
}

struct MoveOp final : CopiedOp<MoveOp> {
  Device from, to;
  MoveOp(Device f, Device t) : CopiedOp("to", 1), from(f), to(t) {
    uses = Uses::nothing;
    on_cuda = true;
  }
  void value(Args x, Ref<Array>* y, std::uint64_t) const { y[0] = to_device(*x[0], to); }
  void vjp(Args g, Args, Args, Wanted wanted, Ref<Array>* dx) const {
    if (wanted[0]) dispatch(MoveOp(to, from), g, dx);
  }
  void jvp(Args t, Args, Args, Ref<Array>* ty) const {
    if (t[0]) dispatch(*this, t, ty);
  }
};
inline Ref<Array> moved(Array& x, Device d) {
  if (x.device == d) return Ref<Array>::share(&x);
  if (!d.is_cpu()) backend(d);
  Array* in[] = {&x};
  return dispatch1(MoveOp(x.device, d), in);
}

}  // namespace ergo::inline ERGO_BUILD::detail
