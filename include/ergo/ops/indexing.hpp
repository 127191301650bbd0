// Indexing by integer tensors: take take_along_axis gather_rows embedding scatter_add one_hot. Indices are int32, int64
// or uint8 and lie in [0, n): a negative one never wraps, the first bad one is an Error that names it, its place and n,
// and nothing outside is read or written.
#pragma once

#include "ergo/cpu/scatter.hpp"
#include "ergo/ops/axes.hpp"
#include "ergo/ops/update.hpp"
#if defined(__CUDACC__) || defined(ERGO_EMULATED)
#include "ergo/cuda/indexing.hpp"
#endif

namespace ergo::inline ERGO_BUILD {

namespace detail {
using cpu::IndexNames;
inline constexpr IndexNames kTake{"take", "indices", "x", "index"};
inline constexpr IndexNames kGatherRows{"gather_rows", "indices", "x", "index"};
inline constexpr IndexNames kEmbedding{"embedding", "ids", "table", "id"};
inline constexpr IndexNames kTakeAlong{"take_along_axis", "indices", "x", "index"};
inline constexpr IndexNames kScatterAdd{"scatter_add", "indices", "x", "index"};
inline constexpr IndexNames kOneHot{"one_hot", "ids", nullptr, "id"};
inline constexpr IndexNames kPad{"pad", "indices", "x", "index"};

// What runs on a CUDA device, for a dtype and a type of indices: operations are erased, kernels are compiled for what a
// program uses. Null where nothing does: in a CPU build, and for gradients of integers.
struct IndexKernels {
  using Move = Ref<Array> (*)(const IndexNames&, const Array& x, const Array& indices, int axis, int places);
  using Add = Ref<Array> (*)(const IndexNames&, const Array* x, const Array& rows, const Array& indices, int axis,
                             int places, std::int64_t extent);
  using Hot = Ref<Array> (*)(const IndexNames&, const Array& ids, std::int64_t n, DType, const void* one);
  Move move = nullptr;
  Add add = nullptr;
  Hot hot = nullptr;
};
#if defined(__CUDACC__) || defined(ERGO_EMULATED)
template <class T, class I>
constexpr IndexKernels::Add adds =
    Floating<T> ? &ergo::cuda::scatter_add<std::conditional_t<Floating<T>, T, float>, I> : nullptr;
template <class T, class I>
inline constexpr IndexKernels take_on_device{&ergo::cuda::gather<T, I>, adds<T, I>};
template <class T, class I>
inline constexpr IndexKernels along_on_device{&ergo::cuda::gather_along<T, I>, adds<T, I>};
template <class T, class I>
inline constexpr IndexKernels add_on_device{&ergo::cuda::gather<T, I>, &ergo::cuda::scatter_add<T, I>};
template <class T, class I>
inline constexpr IndexKernels hot_on_device{nullptr, nullptr, &ergo::cuda::one_hot<T, I>};
#else
template <class, class>
inline constexpr IndexKernels take_on_device;
template <class, class>
inline constexpr IndexKernels along_on_device;
template <class, class>
inline constexpr IndexKernels add_on_device;
template <class, class>
inline constexpr IndexKernels hot_on_device;
#endif

AnyTensor taken(const IndexNames& names, const AnyTensor& x, const AnyTensor& indices, std::int64_t axis,
                const IndexKernels& device);
AnyTensor taken_along(const AnyTensor& x, const AnyTensor& indices, std::int64_t axis, const IndexKernels& device);
AnyTensor added_at(const AnyTensor& x, const AnyTensor& indices, const AnyTensor& y, std::int64_t axis,
                   const IndexKernels& device);
AnyTensor hot(const AnyTensor& ids, std::int64_t n, DType d, const void* one, const IndexKernels& device);
void check_table(const AnyTensor& table);

template <class I>
constexpr void require_index() {
  static_assert(Index<I>,
                "indices are Tensor<int32_t>, Tensor<int64_t> or Tensor<uint8_t>: cast<int32_t>(indices) first");
}
}  // namespace detail

// The places `indices` of an axis, whose extent the indices' shape replaces: (N, D) at (B, T) along axis 0 is (B, T,
// D).
template <class T, class I>
Tensor<T> take(const Tensor<T>& x, const Tensor<I>& indices, AnyInteger axis = 0) {
  detail::require_index<I>();
  return Tensor<T>(detail::taken(detail::kTake, x, indices, axis, detail::take_on_device<T, I>));
}
// Rows of x (N, ...) by index, which is take along axis 0.
template <class T, class I>
Tensor<T> gather_rows(const Tensor<T>& x, const Tensor<I>& indices) {
  detail::require_index<I>();
  return Tensor<T>(detail::taken(detail::kGatherRows, x, indices, 0, detail::take_on_device<T, I>));
}
// Rows of a table (N, D) by id: ids (...) to (..., D).
template <class T, class I>
Tensor<T> embedding(const Tensor<T>& table, const Tensor<I>& ids) {
  detail::require_index<I>();
  detail::check_table(table);
  return Tensor<T>(detail::taken(detail::kEmbedding, table, ids, 0, detail::take_on_device<T, I>));
}
// y[..., i, ...] = x[..., indices[..., i, ...], ...]: x and indices have one rank and broadcast on all other axes.
template <class T, class I>
Tensor<T> take_along_axis(const Tensor<T>& x, const Tensor<I>& indices, AnyInteger axis = -1) {
  detail::require_index<I>();
  return Tensor<T>(detail::taken_along(x, indices, axis, detail::along_on_device<T, I>));
}
// x with y added at the places `indices` of an axis: y has, or broadcasts to, the shape of take(x, indices, axis).
// Repeated indices add up, in an order that the data alone fix.
template <class T, class I>
Tensor<T> scatter_add(const Tensor<T>& x, const Tensor<I>& indices, const Tensor<T>& y, AnyInteger axis = 0) {
  detail::require_index<I>();
  static_assert(!std::is_same_v<T, bool>, "scatter_add is not defined for bools: cast<int32_t>(x) first");
  return Tensor<T>(detail::added_at(x, indices, y, axis, detail::add_on_device<T, I>));
}
// (...) ids in [0, n) to (..., n): 1 at the id, 0 elsewhere. A constant to every transform.
template <TensorScalar T = float, class I>
Tensor<T> one_hot(const Tensor<I>& ids, AnyInteger n) {
  detail::require_index<I>();
  const T one = convert<T>(1);
  return Tensor<T>(detail::hot(ids, n, dtype_of<T>, &one, detail::hot_on_device<T, I>));
}

namespace detail {

// A view with the axis, counted from the back, as the last one, and back again.
inline Ref<Array> axis_to_last(const Array& a, int axis) {
  Permute p{axis, {}};
  for (int d = 0; d < axis; ++d) p.axis[d] = std::int8_t(d + 1 < axis ? d + 1 : 0);
  return p.value(AnyTensor(Ref<Array>::share(const_cast<Array*>(&a)))).ref();
}
inline Ref<Array> axis_from_last(const Array& a, int axis) {
  Permute p{axis, {}};
  for (int d = 0; d < axis; ++d) p.axis[d] = std::int8_t(d > 0 ? d - 1 : axis - 1);
  return p.value(AnyTensor(Ref<Array>::share(const_cast<Array*>(&a)))).ref();
}

struct Take {
  static constexpr auto name = "take";
  const IndexNames* names;
  int axis, places;  // the axis of x from the back; how many axes of the indices are places
  std::int64_t extent;
  const IndexKernels* device;
  int core_of(int i) const { return i == 0 ? axis : places; }
  AnyTensor value(const AnyTensor& x, const AnyTensor& indices) const {
    const Ref<Array> index = cpu::checked_indices(*names, indices.array(), &x.array(), extent);
    return AnyTensor(cpu::gather(x.array(), *index, axis, places));
  }
#if defined(__CUDACC__) || defined(ERGO_EMULATED)
  AnyTensor cuda(const AnyTensor& x, const AnyTensor& indices) const {
    return AnyTensor(device->move(*names, x.array(), indices.array(), axis, places));
  }
#endif
  AnyTensor transpose(const AnyTensor& g, const Shape& of_x, const AnyTensor& indices) const;
};

struct ScatterAdd {
  static constexpr auto name = "scatter_add";
  static constexpr bool indexed = true;
  using any_device = void;
  Take take;  // its transpose
  int core_of(int i) const { return i == 0 ? take.axis : i == 1 ? take.places + take.axis - 1 : take.places; }
  Ref<Array> value(Array* x, Array* y, Array* indices) const {
    if (!y) {  // nothing is added; the result has the leading axes of both, as with y
      Shape lead = x->shape.first(x->shape.rank() - take.axis);
      broadcast(lead, indices->shape.first(indices->shape.rank() - take.places));
      return broadcast_to(Ref<Array>::share(x), lead + x->shape.last(take.axis));
    }
    if (!indices->device.is_cpu())
      return take.device->add(*take.names, x, *y, *indices, take.axis, take.places, take.extent);
    const Ref<Array> index = cpu::checked_indices(*take.names, *indices, x, take.extent);
    return cpu::scatter_add(x, *y, *index, take.axis, take.places, take.extent);
  }
  Ref<Array> of_x(Array& g, Array*) const { return Ref<Array>::share(&g); }
  Ref<Array> of_y(Array& g, Array* indices) const {
    return linear_op(take, AnyTensor(Ref<Array>::share(&g)), AnyTensor(Ref<Array>::share(indices))).ref();
  }
};
inline AnyTensor Take::transpose(const AnyTensor& g, const Shape& of_x, const AnyTensor& indices) const {
  Take back = *this;
  // If x is one table for all leading axes of the indices, these are places like the others: their contributions meet
  // in one table at once, instead of in a table each.
  if (of_x.rank() == axis) back.places = indices.rank();
  return AnyTensor(update(ScatterAdd{back}, nullptr, &g.array(), &indices.array()));
}

ERGO_ONCE AnyTensor taken(const IndexNames& names, const AnyTensor& x, const AnyTensor& indices, std::int64_t axis,
                          const IndexKernels& device) {
  Array* in[] = {&x.array(), &indices.array()};
  const int at = resolve_axis(names.op, *in[0], axis), rank = x.rank() - 1 + indices.rank();
  same_device(names.op, in, 2);
  if (rank > kMaxRank) fail(names.op, in, 2, {"the result's ", rank, " axes are more than 8"});
  return linear_op(Take{&names, x.rank() - at, indices.rank(), x.shape()[at], &device}, x, indices);
}
inline void check_table(const AnyTensor& table) {
  if (table.rank() != 2) fail("embedding", table.array(), "a table has two axes, (number, size)");
}

ERGO_ONCE AnyTensor added_at(const AnyTensor& x, const AnyTensor& indices, const AnyTensor& y, std::int64_t axis,
                             const IndexKernels& device) {
  Array* in[] = {&x.array(), &indices.array(), &y.array()};
  const int at = resolve_axis("scatter_add", *in[0], axis), behind = x.rank() - 1 - at;
  same_device("scatter_add", in, 3);
  const int rank = x.rank() - 1 + indices.rank();
  if (rank > kMaxRank) fail("scatter_add", in, 3, {rank, " axes are more than 8"});
  const Shape s = x.shape().first(at) + indices.shape() + x.shape().last(behind);
  Shape both = s;
  if (!broadcast(both, y.shape()) || both != s)
    fail("scatter_add", in, 3, {"the last does not broadcast to the places of the first, ", s});
  const Ref<Array> wide = broadcast_to(y.ref(), s);
  const Take take{&kScatterAdd, behind + 1, indices.rank(), x.shape()[at], &device};
  return AnyTensor(update(ScatterAdd{take}, in[0], wide.get(), in[1]));
}

struct TakeAlong {
  static constexpr auto name = "take_along_axis";
  int axis;  // from the back
  std::int64_t extent;
  const IndexKernels* device;
  int core_of(int) const { return axis; }
  Ref<Array> checked(const Array& indices, const Array* x) const {
    return dense(*axis_to_last(*cpu::checked_indices(kTakeAlong, indices, x, extent), axis));
  }
  AnyTensor value(const AnyTensor& x, const AnyTensor& indices) const {
    const Ref<Array> index = checked(indices.array(), &x.array());
    return AnyTensor(axis_from_last(*cpu::gather(*axis_to_last(x.array(), axis), *index, 1, 1), axis));
  }
#if defined(__CUDACC__) || defined(ERGO_EMULATED)
  AnyTensor cuda(const AnyTensor& x, const AnyTensor& indices) const {
    return AnyTensor(device->move(kTakeAlong, x.array(), indices.array(), axis, 1));
  }
#endif
  AnyTensor transpose(const AnyTensor& g, const Shape&, const AnyTensor& indices) const;
};
struct ScatterAlong {
  static constexpr auto name = "take_along_axis";
  static constexpr bool indexed = true;
  using any_device = void;
  TakeAlong take;  // its transpose
  int core_of(int) const { return take.axis; }
  Ref<Array> value(Array* x, Array* y, Array* indices) const {
    if (!y) return Ref<Array>::share(x);
    const Ref<Array> rows = axis_to_last(*y, take.axis), onto = x ? axis_to_last(*x, take.axis) : Ref<Array>();
    if (!indices->device.is_cpu()) {
      const Ref<Array> places = axis_to_last(*indices, take.axis);
      return axis_from_last(*take.device->add(kTakeAlong, onto.get(), *rows, *places, 1, 1, take.extent), take.axis);
    }
    const Ref<Array> index = take.checked(*indices, x);
    return axis_from_last(*cpu::scatter_add(onto.get(), *rows, *index, 1, 1, take.extent), take.axis);
  }
  Ref<Array> of_x(Array& g, Array*) const { return Ref<Array>::share(&g); }
  Ref<Array> of_y(Array& g, Array* indices) const {
    return linear_op(take, AnyTensor(Ref<Array>::share(&g)), AnyTensor(Ref<Array>::share(indices))).ref();
  }
};
inline AnyTensor TakeAlong::transpose(const AnyTensor& g, const Shape&, const AnyTensor& indices) const {
  return AnyTensor(update(ScatterAlong{*this}, nullptr, &g.array(), &indices.array()));
}
ERGO_ONCE AnyTensor taken_along(const AnyTensor& x, const AnyTensor& indices, std::int64_t axis,
                                const IndexKernels& device) {
  Array* in[] = {&x.array(), &indices.array()};
  const int at = resolve_axis(kTakeAlong.op, *in[0], axis);
  same_device(kTakeAlong.op, in, 2);
  if (x.rank() != indices.rank()) fail(kTakeAlong.op, in, 2, "ranks differ");
  Shape a = x.shape(), b = indices.shape();
  a[at] = b[at] = 1;
  if (!broadcast(a, b)) fail(kTakeAlong.op, in, 2, {"shapes do not broadcast on axes other than ", at});
  return linear_op(TakeAlong{x.rank() - at, x.shape()[at], &device}, x, indices);
}

struct OneHot {
  static constexpr auto name = "one_hot";
  static constexpr bool constant = true;
  std::int64_t n;
  DType dtype;
  std::uint64_t one;
  const IndexKernels* device;
  AnyTensor value(const AnyTensor& ids) const {
    const Ref<Array> id = cpu::checked_indices(kOneHot, ids.array(), nullptr, n);
    const Ref<Array> r = zeroed(dtype, ids.shape() + Shape{n}, Device::cpu());
    const auto* p = data_of<const std::int64_t>(*id);
    const std::int64_t width = size_of(dtype);
    parallel_for(id->numel(), 16384, [&](std::int64_t begin, std::int64_t end) {
      for (std::int64_t i = begin; i < end; ++i)
        std::memcpy(r->data + (i * n + p[i]) * width, &one, std::size_t(width));
    });
    return AnyTensor(r);
  }
#if defined(__CUDACC__) || defined(ERGO_EMULATED)
  AnyTensor cuda(const AnyTensor& ids) const { return AnyTensor(device->hot(kOneHot, ids.array(), n, dtype, &one)); }
#endif
};
inline AnyTensor hot(const AnyTensor& ids, std::int64_t n, DType d, const void* one, const IndexKernels& device) {
  const Array& a = ids.array();
  if (n < 0) fail("one_hot", a, "a negative number of classes");
  if (a.shape.rank() == kMaxRank) fail("one_hot", a, "9 axes are more than 8");
  OneHot f{n, d, 0, &device};
  std::memcpy(&f.one, one, std::size_t(size_of(d)));
  return linear_op(f, ids);
}

}  // namespace detail
}  // namespace ergo::inline ERGO_BUILD
