// Operations by index on tensors of a device: take, take_along_axis, one_hot in a launch, scatter_add by a sort, and
// argsort. Indices that are out of range read as 0, go nowhere, and are told at the next wait (faults.hpp).
#pragma once

#include "ergo/cpu/gather.hpp"
#include "ergo/cuda/faults.hpp"
#include "ergo/kernels/scatter.cuh"

namespace ergo::inline ERGO_BUILD::cuda {

namespace detail {
template <class T>
using Bits = Unit<int(sizeof(T))>;

// Where a kernel tells of indices outside [0, extent); `of`, what they point into, is for the message and may be null.
inline std::int64_t* index_fault(const Work& w, const cpu::IndexNames& names, const Array& indices, const Array* of,
                                 std::int64_t extent) {
  Ref<Array> husk = of ? Array::husk(of->dtype, of->shape, of->device) : Ref<Array>();
  return FaultList::expect(w.stream(), indices, [&names, husk, extent](const Array& read) {
    cpu::checked_indices(names, read, husk.get(), extent);
  });
}
}  // namespace detail

// y (lead..., places..., rest...) = x (lead..., n, rest...)[..., indices (lead..., places...), ...], as cpu::gather.
template <class T, class I>
Ref<Array> gather(const cpu::IndexNames& names, const Array& x, const Array& indices, int axis, int places) {
  using U = detail::Bits<T>;
  const Work w(x.device);
  Shape lead = x.shape.first(x.shape.rank() - axis);
  ergo::detail::broadcast(lead, indices.shape.first(indices.shape.rank() - places));
  const Ref<Array> from = grouped(x, lead, {1, axis - 1}), index = grouped(indices, lead, {places});
  Ref<Array> y = w.make(x.dtype, lead + indices.shape.last(places) + x.shape.last(axis - 1));
  launch_gather<U, I>(w.stream(), w.operand<U, 3>(*from), w.operand<I, 2>(*index),
                      row_major(reinterpret_cast<U*>(y->data), {from->shape[0], index->shape[1], from->shape[2]}),
                      detail::index_fault(w, names, indices, &x, x.shape[-axis]));
  return y;
}

// y (lead..., m, rest...) = x (lead..., n, rest...) at indices (lead..., m, rest...) along axis `axis` from the back;
// other axes broadcast.
template <class T, class I>
Ref<Array> gather_along(const cpu::IndexNames& names, const Array& x, const Array& indices, int axis, int) {
  using U = detail::Bits<T>;
  const Work w(x.device);
  Shape lead = x.shape.first(x.shape.rank() - axis), rest = x.shape.last(axis - 1);
  ergo::detail::broadcast(lead, indices.shape.first(indices.shape.rank() - axis));
  ergo::detail::broadcast(rest, indices.shape.last(axis - 1));
  const auto wide = [&](const Array& a) {
    const Shape s = a.shape.first(a.shape.rank() - axis) + Shape{a.shape[-axis]} + rest;
    const Ref<Array> r = Array::view(a, s);
    for (int d = 0; d < s.rank(); ++d) r->stride[d] = a.shape[d] != s[d] ? 0 : a.stride[d];
    r->settle();
    return grouped(*r, lead, {1, axis - 1});
  };
  const Ref<Array> from = wide(x), index = wide(indices);
  Ref<Array> y = w.make(x.dtype, lead + Shape{indices.shape[-axis]} + rest);
  launch_take_along_axis<U, I>(
      w.stream(), w.operand<U, 3>(*from), w.operand<I, 3>(*index),
      row_major(reinterpret_cast<U*>(y->data), {from->shape[0], index->shape[1], from->shape[2]}),
      detail::index_fault(w, names, indices, &x, x.shape[-axis]));
  return y;
}

namespace detail {
// y (lead..., extent, rest...) of rows (lead..., places..., rest...) at indices (lead..., places...), x first if there
// is one: launch(work, y, rows, indices, workspace).
template <class T, class I, class Launch>
Ref<Array> scattered(const Array* x, const Array& rows, const Array& indices, int axis, int places, std::int64_t extent,
                     const Launch& launch) {
  const Work w(indices.device);
  Shape lead = rows.shape.first(rows.shape.rank() - (places + axis - 1));
  ergo::detail::broadcast(lead, indices.shape.first(indices.shape.rank() - places));
  if (x) ergo::detail::broadcast(lead, x->shape.first(x->shape.rank() - axis));
  const Shape rest = rows.shape.last(axis - 1);
  const Ref<Array> from = grouped(*on_device_of(w, rows), lead, {places, axis - 1}),
                   index = grouped(indices, lead, {places});
  Ref<Array> y = w.make(rows.dtype, lead + Shape{extent} + rest);
  if (x) ergo::detail::assign(*y, *on_device_of(w, *x));
  const std::int64_t sets = from->shape[0], m = from->shape[1], inner = from->shape[2];
  const View<const I, 2> at = w.operand<I, 2>(*index);
  const Workspace scratch(w, scatter_add_workspace<T>(sets, m, inner, at.stride[0] == 0 || sets == 1));
  launch(w, row_major(reinterpret_cast<T*>(y->data), {sets, extent, inner}), w.operand<T, 3>(*from), at,
         scratch.data());
  return y;
}
}  // namespace detail

// x (lead..., extent, rest...), zeros if null, with rows (lead..., places..., rest...) added at indices (lead...,
// places...), as cpu::scatter_add, bit for bit. `of`: what the message about a bad index shows.
template <class T, class I>
Ref<Array> scatter_add(const cpu::IndexNames& names, const Array* x, const Array& rows, const Array& indices, int axis,
                       int places, std::int64_t extent) {
  return detail::scattered<T, I>(
      x, rows, indices, axis, places, extent,
      [&](const Work& w, const View<T, 3>& y, const View<const T, 3>& from, const View<const I, 2>& at, void* scratch) {
        launch_scatter_add<T, I>(w.stream(), y, from, at, x != nullptr, scratch,
                                 detail::index_fault(w, names, indices, x, extent));
      });
}
// The extremum of the rows that go to a place, M being MaxOf or MinOf; of none that of nothing.
template <class M, class T, class I>
Ref<Array> scatter_extremum(const cpu::IndexNames& names, const Array& rows, const Array& indices, int axis, int places,
                            std::int64_t extent) {
  return detail::scattered<T, I>(
      nullptr, rows, indices, axis, places, extent,
      [&](const Work& w, const View<T, 3>& y, const View<const T, 3>& from, const View<const I, 2>& at, void* scratch) {
        launch_scatter_extremum<M, T, I>(w.stream(), names.op, y, from, at, scratch,
                                         detail::index_fault(w, names, indices, nullptr, extent));
      });
}

// (...) ids in [0, n) to (..., n): the element `one` at the id.
template <class T, class I>
Ref<Array> one_hot(const cpu::IndexNames& names, const Array& ids, std::int64_t n, DType dtype, const void* one) {
  using U = detail::Bits<T>;
  const Work w(ids.device);
  const Ref<Array> index = grouped(ids, Shape{}, {ids.shape.rank()});
  Ref<Array> y = w.make(dtype, ids.shape + Shape{n});
  U bits;
  std::memcpy(&bits, one, sizeof bits);
  const View<const I, 2> at = w.operand<I, 2>(*index);
  launch_one_hot<U, I>(w.stream(), View<const I, 1>{at.data, {at.shape[1]}, {at.stride[1]}},
                       row_major(reinterpret_cast<U*>(y->data), {at.shape[1], n}), bits,
                       detail::index_fault(w, names, ids, nullptr, n));
  return y;
}

// The places, of type I, of x's elements along its last axis in sorted order.
template <class T, class I>
Ref<Array> argsort_last(const Array& x, bool descending) {
  const Work w(x.device);
  const Ref<Array> from = as_rows(x);
  Ref<Array> y = w.make(dtype_of<I>, x.shape);
  const std::int64_t rows = from->shape[0], n = from->shape[1];
  if (rows * n == 0) return y;
  const Workspace scratch(w, argsort_workspace<T>(rows, n));
  launch_argsort<T, I>(w.stream(), w.operand<T, 2>(*from), row_major(reinterpret_cast<I*>(y->data), {rows, n}),
                       descending, scratch.data());
  return y;
}

}  // namespace ergo::inline ERGO_BUILD::cuda
