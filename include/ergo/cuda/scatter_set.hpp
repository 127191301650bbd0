// scatter, scatter_max and scatter_min on tensors of a device. Bad indices as in indexing.hpp.
#pragma once

#include "ergo/cuda/indexing.hpp"
#include "ergo/kernels/scatter_set.cuh"

namespace ergo::inline ERGO_BUILD::cuda {

namespace detail {
// x as (L, n, inner), or a view of nothing for a null one.
template <class U>
View<const U, 3> rows_or_none(const Work& w, const Ref<Array>& x) {
  return x ? w.operand<U, 3>(*x) : View<const U, 3>{nullptr, {}, {}};
}
inline Ref<Array> grouped_on(const Work& w, const Array* x, const Shape& lead, std::initializer_list<int> groups) {
  return x ? grouped(*on_device_of(w, *x), lead, groups) : Ref<Array>();
}
}  // namespace detail

// x (lead..., extent, rest...) with rows (lead..., places..., rest...) put at indices (lead..., places...), as
// cpu::scatter_set; x or rows may be null.
template <class T, class I>
Ref<Array> scatter_set(const cpu::IndexNames& names, const Array* x, const Array* rows, const Array& indices, int axis,
                       int places, std::int64_t extent) {
  using U = detail::Bits<T>;
  const Work w(indices.device);
  Shape lead = indices.shape.first(indices.shape.rank() - places);
  if (x) ergo::detail::broadcast(lead, x->shape.first(x->shape.rank() - axis));
  if (rows) ergo::detail::broadcast(lead, rows->shape.first(rows->shape.rank() - (places + axis - 1)));
  const Shape rest = (x ? x : rows)->shape.last(axis - 1);
  const Ref<Array> old = detail::grouped_on(w, x, lead, {1, axis - 1}),
                   from = detail::grouped_on(w, rows, lead, {places, axis - 1}),
                   index = grouped(indices, lead, {places});
  Ref<Array> y = w.make((x ? x : rows)->dtype, lead + Shape{extent} + rest);
  const std::int64_t sets = lead.numel();
  const View<const I, 2> at = w.operand<I, 2>(*index);
  const Workspace scratch(w, scatter_winners_workspace(sets, extent, at.stride[0] == 0));
  launch_scatter_set<U, I>(w.stream(), detail::rows_or_none<U>(w, old), detail::rows_or_none<U>(w, from), at,
                           row_major(reinterpret_cast<U*>(y->data), {sets, extent, rest.numel()}), scratch.data(),
                           detail::index_fault(w, names, indices, x, extent));
  return y;
}

// g (lead..., extent, rest...) at the indices, 0 where a later position names the same destination.
template <class T, class I>
Ref<Array> take_winners(const cpu::IndexNames& names, const Array& g, const Array& indices, int axis, int places) {
  using U = detail::Bits<T>;
  const Work w(indices.device);
  Shape lead = g.shape.first(g.shape.rank() - axis);
  ergo::detail::broadcast(lead, indices.shape.first(indices.shape.rank() - places));
  const Shape rest = g.shape.last(axis - 1), own = indices.shape.last(places);
  const Ref<Array> from = grouped(*on_device_of(w, g), lead, {1, axis - 1}), index = grouped(indices, lead, {places});
  Ref<Array> y = w.make(g.dtype, lead + own + rest);
  const std::int64_t sets = lead.numel(), extent = g.shape[-axis];
  const View<const I, 2> at = w.operand<I, 2>(*index);
  const Workspace scratch(w, scatter_winners_workspace(sets, extent, at.stride[0] == 0));
  launch_take_winners<U, I>(w.stream(), w.operand<U, 3>(*from), at,
                            row_major(reinterpret_cast<U*>(y->data), {sets, own.numel(), rest.numel()}), scratch.data(),
                            detail::index_fault(w, names, indices, &g, extent));
  return y;
}

// x (lead..., extent, rest...) with the largest or smallest of what is there and the rows that go there.
template <bool Largest, class T, class I>
Ref<Array> scatter_extremum(const cpu::IndexNames& names, const Array& x, const Array& rows, const Array& indices,
                            int axis, int places) {
  const Work w(indices.device);
  Shape lead = indices.shape.first(indices.shape.rank() - places);
  ergo::detail::broadcast(lead, x.shape.first(x.shape.rank() - axis));
  ergo::detail::broadcast(lead, rows.shape.first(rows.shape.rank() - (places + axis - 1)));
  const std::int64_t extent = x.shape[-axis];
  const Ref<Array> old = grouped(*on_device_of(w, x), lead, {1, axis - 1}),
                   from = grouped(*on_device_of(w, rows), lead, {places, axis - 1}),
                   index = grouped(indices, lead, {places});
  Ref<Array> y = w.make(x.dtype, lead + x.shape.last(axis));
  const Workspace scratch(w, scatter_extremum_workspace<T>(y->numel()));
  launch_scatter_extremum<Largest, T, I>(w.stream(), names.op, w.operand<T, 3>(*old), w.operand<T, 3>(*from),
                                         w.operand<I, 2>(*index), ergo::detail::data_of<T>(*y), scratch.data(),
                                         detail::index_fault(w, names, indices, &x, extent));
  return y;
}

}  // namespace ergo::inline ERGO_BUILD::cuda
