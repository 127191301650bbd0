// Movement that only changes shape: reshape flatten permute transpose swap_axes move_axis squeeze expand_dims
// broadcast_to meshgrid. Views wherever strides allow (all but some reshapes); any dtype; derivatives of every order
// are the movement back.
#pragma once

#include "ergo/autograd/structural.hpp"
#include "ergo/ops/axes.hpp"

namespace ergo::inline ERGO_BUILD {

namespace detail {
AnyTensor reshaped(const AnyTensor& x, Shape to);
AnyTensor flattened(const AnyTensor& x, std::int64_t first);
AnyTensor permuted(const char* op, const AnyTensor& x, const Axes& axes);
AnyTensor reversed_axes(const AnyTensor& x);
AnyTensor swapped(const AnyTensor& x, std::int64_t a, std::int64_t b);
AnyTensor axes_moved(const AnyTensor& x, const Axes& from, const Axes& to);
AnyTensor squeezed(const AnyTensor& x, const Axes* axes);
AnyTensor expanded(const AnyTensor& x, const Axes& axes);
AnyTensor broadcasted(const AnyTensor& x, const Shape& to);
template <class T>
std::vector<Tensor<T>> mesh(const Tensor<T>* axis, std::size_t n);
}  // namespace detail

// The elements in row-major order under another shape; one extent may be -1, which is inferred.
template <class T>
Tensor<T> reshape(const Tensor<T>& x, const Shape& shape) {
  return Tensor<T>(detail::reshaped(x, shape));
}
// The axes from `first` on as one: (n,) of all elements; `flatten(x, 1)` keeps the batch, (B, ...) to (B, n).
template <class T>
Tensor<T> flatten(const Tensor<T>& x, AnyInteger first = 0) {
  return Tensor<T>(detail::flattened(x, first));
}
// Axis i of the result is axis axes[i] of x; all of them, once each.
template <class T>
Tensor<T> permute(const Tensor<T>& x, const Axes& axes) {
  return Tensor<T>(detail::permuted("permute", x, axes));
}
// The axes in reverse order; with `axes` as permute.
template <class T>
Tensor<T> transpose(const Tensor<T>& x) {
  return Tensor<T>(detail::reversed_axes(x));
}
template <class T>
Tensor<T> transpose(const Tensor<T>& x, const Axes& axes) {
  return Tensor<T>(detail::permuted("transpose", x, axes));
}
template <class T>
Tensor<T> swap_axes(const Tensor<T>& x, AnyInteger a, AnyInteger b) {
  return Tensor<T>(detail::swapped(x, a, b));
}
// Axis from[i] of x becomes axis to[i] of the result; the others keep their order.
template <class T>
Tensor<T> move_axis(const Tensor<T>& x, const Axes& from, const Axes& to) {
  return Tensor<T>(detail::axes_moved(x, from, to));
}
// Without the given axes, which have extent 1; without all such axes if none are given.
template <class T>
Tensor<T> squeeze(const Tensor<T>& x) {
  return Tensor<T>(detail::squeezed(x, nullptr));
}
template <class T>
Tensor<T> squeeze(const Tensor<T>& x, const Axes& axes) {
  return Tensor<T>(detail::squeezed(x, &axes));
}
// With new axes of extent 1; `axes` are places in the result.
template <class T>
Tensor<T> expand_dims(const Tensor<T>& x, const Axes& axes) {
  return Tensor<T>(detail::expanded(x, axes));
}
// x repeated along axes of extent 1 and new leading ones (NumPy broadcasting); no copy.
template <class T>
Tensor<T> broadcast_to(const Tensor<T>& x, const Shape& shape) {
  return Tensor<T>(detail::broadcasted(x, shape));
}
// From n vectors, n tensors of shape (len 0, ..., len n - 1): the i-th varies along axis i alone ('ij' order).
template <class T>
std::vector<Tensor<T>> meshgrid(std::initializer_list<Tensor<T>> axes) {
  return detail::mesh(axes.begin(), axes.size());
}
template <class T>
std::vector<Tensor<T>> meshgrid(const std::vector<Tensor<T>>& axes) {
  return detail::mesh(axes.data(), axes.size());
}

namespace detail {

ERGO_ONCE AnyTensor reshaped(const AnyTensor& x, Shape to) {
  const Array& a = x.array();
  const Shape given = to;
  int inferred = -1;
  for (int d = 0; d < to.rank(); ++d) {
    if (to[d] >= 0) continue;
    if (to[d] != -1 || inferred >= 0)
      fail("reshape", a, {given, " is no shape (one extent may be -1, the others count)"});
    inferred = d;
    to[d] = 1;
  }
  const std::int64_t have = a.numel(), known = to.numel();
  if (inferred >= 0) {
    if (known == 0) fail("reshape", a, {"the -1 of ", given, " cannot be inferred beside an extent of 0"});
    if (have % known) fail("reshape", a, {have, " elements do not divide into ", given});
    to[inferred] = have / known;
  } else if (known != have) {
    fail("reshape", a, {have, " elements do not fill ", given, " of ", known});
  }
  return AnyTensor(reshape(x.ref(), to));
}
inline AnyTensor flattened(const AnyTensor& x, std::int64_t first) {
  const Array& a = x.array();
  const int rank = a.shape.rank(),
            keep = rank == 0 && (first == 0 || first == -1) ? 0 : resolve_axis("flatten", a, first);
  return AnyTensor(reshape(x.ref(), a.shape.first(keep) + Shape{a.shape.last(rank - keep).numel()}));
}

inline AnyTensor permuted_by(const AnyTensor& x, const std::int8_t* axis) {
  bool same = true;
  for (int d = 0; d < x.rank(); ++d) same = same && axis[d] == d;
  return same ? x : AnyTensor(permute(x.ref(), axis));
}
inline AnyTensor permuted(const char* op, const AnyTensor& x, const Axes& axes) {
  const Array& a = x.array();
  resolve_axes(op, a, axes);
  if (axes.rank() != a.shape.rank())
    fail(op, a, {axes.rank(), " axes given for rank ", a.shape.rank(), " (all are needed)"});
  std::int8_t axis[kMaxRank];
  for (int d = 0; d < axes.rank(); ++d) axis[d] = std::int8_t(resolve_axis(op, a, axes[d]));
  return permuted_by(x, axis);
}
inline AnyTensor reversed_axes(const AnyTensor& x) {
  std::int8_t axis[kMaxRank];
  for (int d = 0, n = x.rank(); d < n; ++d) axis[d] = std::int8_t(n - 1 - d);
  return permuted_by(x, axis);
}
inline AnyTensor swapped(const AnyTensor& x, std::int64_t a, std::int64_t b) {
  const int i = resolve_axis("swap_axes", x.array(), a), j = resolve_axis("swap_axes", x.array(), b);
  std::int8_t axis[kMaxRank];
  for (int d = 0; d < x.rank(); ++d) axis[d] = std::int8_t(d == i ? j : d == j ? i : d);
  return permuted_by(x, axis);
}
inline AnyTensor axes_moved(const AnyTensor& x, const Axes& from, const Axes& to) {
  const Array& a = x.array();
  const AxisSet taken = resolve_axes("move_axis", a, from), placed = resolve_axes("move_axis", a, to);
  if (from.rank() != to.rank()) fail("move_axis", a, {from.rank(), " axes move to ", to.rank(), " places"});
  std::int8_t axis[kMaxRank];
  for (int i = 0; i < from.rank(); ++i)
    axis[resolve_axis("move_axis", a, to[i])] = std::int8_t(resolve_axis("move_axis", a, from[i]));
  for (int d = 0, next = 0; d < a.shape.rank(); ++d) {
    if (placed[d]) continue;
    while (taken[next]) ++next;
    axis[d] = std::int8_t(next++);
  }
  return permuted_by(x, axis);
}

ERGO_ONCE AnyTensor squeezed(const AnyTensor& x, const Axes* axes) {
  const Array& a = x.array();
  const AxisSet given = axes ? resolve_axes("squeeze", a, *axes) : AxisSet{};
  Shape to;
  for (int d = 0; d < a.shape.rank(); ++d) {
    if (given[d] && a.shape[d] != 1) fail("squeeze", a, {"axis ", d, " has extent ", a.shape[d], ", not 1"});
    if (!given[d] && (axes || a.shape[d] != 1)) to.push(a.shape[d]);
  }
  return AnyTensor(reshape(x.ref(), to));
}
ERGO_ONCE AnyTensor expanded(const AnyTensor& x, const Axes& axes) {
  const Array& a = x.array();
  const int rank = a.shape.rank() + axes.rank();
  if (rank > kMaxRank) fail("expand_dims", a, {rank, " axes are more than 8"});
  AxisSet added;
  for (std::int64_t given : axes) {
    if (given < -rank || given >= rank)
      fail("expand_dims", a, {"axis ", given, " is out of range for a result of rank ", rank});
    const int axis = int(given < 0 ? given + rank : given);
    if (added[axis]) fail("expand_dims", a, {"axis ", axis, " is given twice"});
    added.mask |= 1u << axis;
  }
  Shape to;
  for (int d = 0, next = 0; d < rank; ++d) to.push(added[d] ? 1 : a.shape[next++]);
  return AnyTensor(reshape(x.ref(), to));
}

ERGO_ONCE AnyTensor broadcasted(const AnyTensor& x, const Shape& to) {
  const Array& a = x.array();
  Shape both = a.shape;
  to.numel();  // an Error if it is no shape
  if (!broadcast(both, to) || both != to) fail("broadcast_to", a, {"does not broadcast to ", to});
  return AnyTensor(broadcast_to(x.ref(), to));
}
template <class T>
std::vector<Tensor<T>> mesh(const Tensor<T>* axis, std::size_t n) {
  Shape shape;
  for (std::size_t i = 0; i < n; ++i) {
    if (axis[i].rank() != 1) fail("meshgrid", axis[i].array(), "each axis is a vector");
    shape.push(axis[i].numel());
  }
  std::vector<Tensor<T>> r;
  for (std::size_t i = 0; i < n; ++i) {
    Shape column{axis[i].numel()};
    for (std::size_t d = i + 1; d < n; ++d) column.push(1);
    r.push_back(Tensor<T>(broadcasted(reshaped(axis[i], column), shape)));
  }
  return r;
}

}  // namespace detail
}  // namespace ergo::inline ERGO_BUILD
