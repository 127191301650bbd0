// Results whose size the data say, on a device: the host waits for one count, then the kernels of kernels/compact.cuh
// write the result.
#pragma once

#include "ergo/core/tensor.hpp"
#include "ergo/cuda/views.hpp"
#include "ergo/kernels/compact.cuh"

namespace ergo::inline ERGO_BUILD::cuda {

namespace detail {
// How many flags there are: the one copy to the host.
template <class Flags>
std::int64_t count_flags(const Work& w, const char* name, const Flags& flags, std::int64_t n, void* workspace) {
  const Ref<Array> total = w.make(DType::int32, Shape{});
  launch_flag_count(w.stream(), name, flags, n, workspace, reinterpret_cast<unsigned*>(total->data));
  return Tensor<std::int32_t>(total).item();
}
}  // namespace detail

// The coordinates of x's elements other than 0, in row-major order: (count, rank), in the axes of `shape`, which has as
// many elements.
template <class T, class I>
Ref<Array> nonzero(const char* name, const Array& x, const Shape& shape) {
  const Work w(x.device);
  const std::int64_t n = x.numel();
  if (n == 0) return w.make(dtype_of<I>, Shape{0, shape.rank()});
  const Ref<Array> from = ergo::detail::dense(x);
  w.reads(*from);
  const Workspace scratch(w, flags_workspace(n));
  const NonzeroFlags<T> flags{ergo::detail::data_of<const T>(*from)};
  const std::int64_t count = detail::count_flags(w, name, flags, n, scratch.data());
  Ref<Array> y = w.make(dtype_of<I>, Shape{count, shape.rank()});
  if (y->numel() == 0) return y;
  StoreCoordinates<I> store{ergo::detail::data_of<I>(*y), shape.rank(), {}};
  for (int d = 0; d < shape.rank(); ++d) store.shape[d] = shape[d];
  launch_flag_store(w.stream(), name, flags, store, n, scratch.data());
  return y;
}

// As cpu::distinct, of index type I.
template <class T, class I>
void distinct(const char* name, const Array& x, Ref<Array>& first, Ref<Array>& inverse, Ref<Array>& counts) {
  const Work w(x.device);
  const std::int64_t n = x.numel();
  inverse = w.make(dtype_of<I>, x.shape);
  std::int64_t count = 0;
  if (n > 0) {
    const Ref<Array> from = ergo::detail::dense(x);
    w.reads(*from);
    const Workspace sort(w, sorted_workspace<T>(n)), tiles(w, flags_workspace(n));
    const auto sorted = launch_sorted<T>(
        w.stream(), name, row_major<const T, 2>(ergo::detail::data_of<const T>(*from), {1, n}), sort.data());
    const HeadFlags<SortKey<T>> heads{sorted.key};
    count = detail::count_flags(w, name, heads, n, tiles.data());
    first = w.make(dtype_of<I>, Shape{count});
    counts = w.make(dtype_of<I>, Shape{count});
    const Workspace starts(w, static_cast<std::size_t>(count) * 4);
    auto* const start = reinterpret_cast<std::uint32_t*>(starts.data());
    launch_flag_store(
        w.stream(), name, heads,
        StoreDistinct<I>{sorted.place, start, ergo::detail::data_of<I>(*first), ergo::detail::data_of<I>(*inverse)}, n,
        tiles.data());
    launch_run_lengths(w.stream(), name, start, ergo::detail::data_of<I>(*counts), count, n);
  } else {
    first = w.make(dtype_of<I>, Shape{0});
    counts = w.make(dtype_of<I>, Shape{0});
  }
}

}  // namespace ergo::inline ERGO_BUILD::cuda
