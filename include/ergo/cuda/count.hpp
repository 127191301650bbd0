// bincount and histogram on tensors of a device, by kernels/count.cuh.
#pragma once

#include "ergo/cpu/count.hpp"
#include "ergo/cuda/indexing.hpp"
#include "ergo/kernels/count.cuh"

namespace ergo::inline ERGO_BUILD::cuda {

// As cpu::bincount; ids out of range are told at the next wait.
template <class I, class Out>
Ref<Array> bincount(const cpu::IndexNames& names, const Array& ids, int places, std::int64_t n) {
  const Work w(ids.device);
  const Shape lead = ids.shape.first(ids.shape.rank() - places);
  const Ref<Array> from = grouped(ids, lead, {places});
  Ref<Array> y = w.make(dtype_of<Out>, lead + Shape{n});
  launch_bincount<I, Out>(w.stream(), w.operand<I, 2>(*from),
                          row_major(reinterpret_cast<Out*>(y->data), {from->shape[0], n}),
                          detail::index_fault(w, names, ids, nullptr, n));
  return y;
}
// As cpu::histogram; edges that do not ascend are told at the next wait.
template <class T, class Out>
Ref<Array> histogram(const Array& x, int places, const Array& edges) {
  const Work w(x.device);
  Shape lead = x.shape.first(x.shape.rank() - places);
  ergo::detail::broadcast(lead, edges.shape.first(edges.shape.rank() - 1));
  const std::int64_t n = edges.shape[-1] - 1;
  const Ref<Array> from = grouped(x, lead, {places}), ends = grouped(edges, lead, {1});
  Ref<Array> y = w.make(dtype_of<Out>, lead + Shape{n});
  std::int64_t* const fault =
      FaultList::expect(w.stream(), edges, [](const Array& read) { cpu::check_edges<T>(read); });
  launch_histogram<T, Out>(w.stream(), w.operand<T, 2>(*from), w.operand<T, 2>(*ends),
                           row_major(reinterpret_cast<Out*>(y->data), {from->shape[0], n}), fault);
  return y;
}

}  // namespace ergo::inline ERGO_BUILD::cuda
