// Rows put at places of an axis given by indices: scatter (set), scatter_max, scatter_min. y[..., i[j], ...] of x is
//
//   scatter       the last of the rows y[j] that name it; the others have no part and no cotangent
//   scatter_max   the largest of what x has there and of all rows that go there; NaN wins; equal elements share its
//                 cotangent
//
// Indices as in indexing.hpp: int32, int64 or uint8 in [0, n), a bad one is an Error. Adding is scatter_add, there.
#pragma once

#include "ergo/cpu/scatter_set.hpp"
#include "ergo/ops/comparison.hpp"
#include "ergo/ops/indexing.hpp"
#include "ergo/ops/selection.hpp"
#if defined(__CUDACC__) || defined(ERGO_EMULATED)
#include "ergo/cuda/scatter_set.hpp"
#endif

namespace ergo::inline ERGO_BUILD {

namespace detail {
inline constexpr IndexNames kScatter{"scatter", "indices", "x", "index"};
inline constexpr IndexNames kScatterMax{"scatter_max", "indices", "x", "index"};
inline constexpr IndexNames kScatterMin{"scatter_min", "indices", "x", "index"};

// What runs on a CUDA device; null in a CPU build.
struct ScatterKernels {
  using Set = Ref<Array> (*)(const IndexNames&, const Array* x, const Array* rows, const Array& indices, int axis,
                             int places, std::int64_t extent);
  using Winners = Ref<Array> (*)(const IndexNames&, const Array& g, const Array& indices, int axis, int places);
  Set set = nullptr;
  Winners winners = nullptr;
};
#if defined(__CUDACC__) || defined(ERGO_EMULATED)
template <class T, class I>
inline constexpr ScatterKernels set_on_device{&ergo::cuda::scatter_set<T, I>, &ergo::cuda::take_winners<T, I>};
#else
template <class, class>
inline constexpr ScatterKernels set_on_device;
#endif

// y as one row for each place of the indices: the shape of take(x, indices, axis).
Ref<Array> rows_for(const IndexNames& names, const AnyTensor& x, const AnyTensor& indices, const AnyTensor& y,
                    std::int64_t axis);
AnyTensor set_at(const AnyTensor& x, const AnyTensor& indices, const AnyTensor& y, std::int64_t axis,
                 const ScatterKernels& device);
template <bool Largest, class T, class I>
Tensor<T> extremum_at(const Tensor<T>& x, const Tensor<I>& indices, const Tensor<T>& y, std::int64_t axis);
}  // namespace detail

// x with y in place of what was at the places `indices` of an axis: y has, or broadcasts to, the shape of take(x,
// indices, axis). Of repeated indices the last in row-major order wins.
template <class T, class I>
Tensor<T> scatter(const Tensor<T>& x, const Tensor<I>& indices, const Tensor<T>& y, AnyInteger axis = 0) {
  detail::require_index<I>();
  return Tensor<T>(detail::set_at(x, indices, y, axis, detail::set_on_device<T, I>));
}
// The same with the largest of x and of what goes there; NaN wins, and -0 is less than +0 where the two meet. Equal
// elements have equal shares of the derivative, at every order; of integers it is a constant.
template <class T, class I>
Tensor<T> scatter_max(const Tensor<T>& x, const Tensor<I>& indices, const Tensor<T>& y, AnyInteger axis = 0) {
  detail::require_index<I>();
  return detail::extremum_at<true>(x, indices, y, axis);
}
// With the smallest.
template <class T, class I>
Tensor<T> scatter_min(const Tensor<T>& x, const Tensor<I>& indices, const Tensor<T>& y, AnyInteger axis = 0) {
  detail::require_index<I>();
  return detail::extremum_at<false>(x, indices, y, axis);
}

namespace detail {

// A row of g for each position that wins its destination, 0 for the others: what scatter is transposed in its rows.
struct TakeWinners {
  static constexpr auto name = "scatter";
  int axis, places;  // the axis of x from the back; how many axes of the indices are places
  std::int64_t extent;
  const ScatterKernels* device;
  int core_of(int i) const { return i == 0 ? axis : places; }
  AnyTensor value(const AnyTensor& g, const AnyTensor& indices) const {
    const Ref<Array> index = cpu::checked_indices(kScatter, indices.array(), &g.array(), extent);
    return AnyTensor(cpu::take_winners(g.array(), *index, axis, places));
  }
#if defined(__CUDACC__) || defined(ERGO_EMULATED)
  AnyTensor cuda(const AnyTensor& g, const AnyTensor& indices) const {
    return AnyTensor(device->winners(kScatter, g.array(), indices.array(), axis, places));
  }
#endif
  AnyTensor transpose(const AnyTensor& g, const Shape&, const AnyTensor& indices) const;
};
struct ScatterSet {
  static constexpr auto name = "scatter";
  static constexpr bool indexed = true;
  using any_device = void;
  TakeWinners take;  // its transpose in the rows; in x it is itself, without rows
  int core_of(int i) const { return i == 0 ? take.axis : i == 1 ? take.places + take.axis - 1 : take.places; }
  Ref<Array> value(Array* x, Array* y, Array* indices) const {
    if (!indices->device.is_cpu())
      return take.device->set(kScatter, x, y, *indices, take.axis, take.places, take.extent);
    const Ref<Array> index = cpu::checked_indices(kScatter, *indices, x, take.extent);
    return cpu::scatter_set(x, y, *index, take.axis, take.places, take.extent);
  }
  Ref<Array> of_x(Array& g, Array* indices) const { return update(*this, &g, nullptr, indices); }
  Ref<Array> of_y(Array& g, Array* indices) const {
    return linear_op(take, AnyTensor(Ref<Array>::share(&g)), AnyTensor(Ref<Array>::share(indices))).ref();
  }
};
inline AnyTensor TakeWinners::transpose(const AnyTensor& g, const Shape&, const AnyTensor& indices) const {
  return AnyTensor(update(ScatterSet{*this}, nullptr, &g.array(), &indices.array()));
}

inline Ref<Array> rows_for(const IndexNames& names, const AnyTensor& x, const AnyTensor& indices, const AnyTensor& y,
                           std::int64_t axis) {
  Array* in[] = {&x.array(), &indices.array(), &y.array()};
  const int at = resolve_axis(names.op, *in[0], axis);
  same_device(names.op, in, 3);
  const int rank = x.rank() - 1 + indices.rank();
  if (rank > kMaxRank) fail(names.op, in, 3, {rank, " axes are more than 8"});
  const Shape s = x.shape().first(at) + indices.shape() + x.shape().last(x.rank() - 1 - at);
  Shape both = s;
  if (!broadcast(both, y.shape()) || both != s)
    fail(names.op, in, 3, {"the last does not broadcast to the places of the first, ", s});
  return broadcast_to(y.ref(), s);
}
// An axis that has axes before it sees them as leading ones, which the indices share: x (lead..., n, rest...).
inline AnyTensor set_at(const AnyTensor& x, const AnyTensor& indices, const AnyTensor& y, std::int64_t axis,
                        const ScatterKernels& device) {
  const Ref<Array> rows = rows_for(kScatter, x, indices, y, axis);
  const int at = resolve_axis("scatter", x.array(), axis);
  const TakeWinners take{x.rank() - at, indices.rank(), x.shape()[at], &device};
  return AnyTensor(update(ScatterSet{take}, &x.array(), rows.get(), &indices.array()));
}

template <bool Largest, class T, class I>
struct ScatterExtremum {
  static constexpr auto name = Largest ? "scatter_max" : "scatter_min";
  static constexpr const IndexNames& names = Largest ? kScatterMax : kScatterMin;
  static constexpr Uses uses = Uses::all;
  static constexpr bool has_vjp = true;
  int axis, places;
  std::int64_t extent;
  int core_of(int i) const { return i == 0 ? axis : i == 1 ? places + axis - 1 : places; }
  Tensor<T> cpu(const Tensor<T>& x, const Tensor<T>& rows, const Tensor<I>& indices) const {
    const Ref<Array> index = cpu::checked_indices(names, indices.array(), &x.array(), extent);
    return Tensor<T>(cpu::scatter_extremum<Largest>(x.array(), rows.array(), *index, axis, places));
  }
#if defined(__CUDACC__) || defined(ERGO_EMULATED)
  Tensor<T> cuda(const Tensor<T>& x, const Tensor<T>& rows, const Tensor<I>& indices) const {
    return Tensor<T>(
        ergo::cuda::scatter_extremum<Largest, T, I>(names, x.array(), rows.array(), indices.array(), axis, places));
  }
#endif
  Tensor<T> definition(const Tensor<T>& x, const Tensor<T>& rows, const Tensor<I>& indices) const {
    const Tensor<T> held = stop_gradient(x), held_rows = stop_gradient(rows),
                    top = fused_op(*this, held, held_rows, indices);
    const Winners won(*this, top, held, held_rows, indices);
    const Tensor<T> mean = won.added(where(won.in_x, x, 0) / won.count, where(won.in_rows, rows, 0) / won.count_of_row);
    return where(top == top, mean, top);  // nothing equals a NaN
  }
  std::tuple<Tensor<T>, Tensor<T>, Tensor<I>> vjp(const Tensor<T>& g, const Tensor<T>& y, const Tensor<T>& x,
                                                  const Tensor<T>& rows, const Tensor<I>& indices) const {
    const Winners won(*this, stop_gradient(y), stop_gradient(x), stop_gradient(rows), indices);
    const Tensor<T> share = g / won.count;
    return {where(won.in_x, share, 0), where(won.in_rows, won.taken(share), 0), Tensor<I>()};
  }

 private:
  // Which elements equal the extremum of their destination, and how many do; 1 where none does, at a NaN.
  struct Winners {
    const ScatterExtremum& op;
    const Tensor<I>& indices;
    Tensor<bool> in_x, in_rows;
    Tensor<T> count, count_of_row;
    Winners(const ScatterExtremum& f, const Tensor<T>& top, const Tensor<T>& x, const Tensor<T>& rows,
            const Tensor<I>& at)
        : op(f), indices(at), in_x(x == top), in_rows(rows == taken(top)) {
      const Tensor<T> found = added(cast<T>(in_x), cast<T>(in_rows));
      count = where(found > 0, found, 1);
      count_of_row = taken(count);
    }
    Take take() const { return {&names, op.axis, op.places, op.extent, &take_on_device<T, I>}; }
    Tensor<T> taken(const Tensor<T>& y) const {
      return Tensor<T>(linear_op(take(), static_cast<const AnyTensor&>(y), static_cast<const AnyTensor&>(indices)));
    }
    Tensor<T> added(const Tensor<T>& x, const Tensor<T>& rows) const {
      return Tensor<T>(update(ScatterAdd{take()}, &x.array(), &rows.array(), &indices.array()));
    }
  };
};
// Of integers.
template <bool Largest, class T, class I>
struct ScatterExtremumOfIntegers {
  static constexpr auto name = Largest ? "scatter_max" : "scatter_min";
  static constexpr bool constant = true;
  ScatterExtremum<Largest, T, I> f;
  int core_of(int i) const { return f.core_of(i); }
  Tensor<T> value(const Tensor<T>& x, const Tensor<T>& rows, const Tensor<I>& indices) const {
    return f.cpu(x, rows, indices);
  }
#if defined(__CUDACC__) || defined(ERGO_EMULATED)
  Tensor<T> cuda(const Tensor<T>& x, const Tensor<T>& rows, const Tensor<I>& indices) const {
    return f.cuda(x, rows, indices);
  }
#endif
};

template <bool Largest, class T, class I>
Tensor<T> extremum_at(const Tensor<T>& x, const Tensor<I>& indices, const Tensor<T>& y, std::int64_t axis) {
  static_assert(!std::is_same_v<T, bool>, "scatter_max and scatter_min of bools: cast<uint8_t>(x) first");
  if constexpr (!std::is_same_v<T, bool>) {
    using F = ScatterExtremum<Largest, T, I>;
    const Tensor<T> rows(AnyTensor(rows_for(F::names, x, indices, y, axis)));
    const int at = resolve_axis(F::name, x.array(), axis);
    const F f{x.rank() - at, indices.rank(), x.shape()[at]};
    if constexpr (Floating<T>)
      return fused_op(f, x, rows, indices);
    else
      return linear_op(ScatterExtremumOfIntegers<Largest, T, I>{f}, x, rows, indices);
  } else {
    return Tensor<T>();
  }
}

}  // namespace detail
}  // namespace ergo::inline ERGO_BUILD
