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
// elements have equal shares of the derivative, at every order, at a NaN it is 0; of integers it is a constant.
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
struct ScatterExtremumOp final : CopiedOp<ScatterExtremumOp<Largest, T, I>> {
  using C = Compute<T>;  // shares of 16 bits are counted and added in float, and rounded once
  static constexpr auto name = Largest ? "scatter_max" : "scatter_min";
  static constexpr const IndexNames* names = Largest ? &kScatterMax : &kScatterMin;
  int axis, places;
  std::int64_t extent;
  ScatterExtremumOp(int from_back, int p, std::int64_t n)
      : CopiedOp<ScatterExtremumOp>(name, 3), axis(from_back), places(p), extent(n) {
    this->on_cuda = true;
    this->differentiable = Floating<T>;
  }
  int core(int i) const { return i == 0 ? axis : i == 1 ? places + axis - 1 : places; }
  void value(Args x, Ref<Array>* y, std::uint64_t) const {
#if defined(__CUDACC__) || defined(ERGO_EMULATED)
    if (!x[2]->device.is_cpu()) {
      y[0] = ergo::cuda::scatter_extremum<Largest, T, I>(*names, *x[0], *x[1], *x[2], axis, places);
      return;
    }
#endif
    y[0] =
        cpu::scatter_extremum<Largest>(*x[0], *x[1], *cpu::checked_indices(*names, *x[2], x[0], extent), axis, places);
  }
  void vjp(Args g, Args y, Args x, Wanted wanted, Ref<Array>* dx) const {
    if constexpr (Floating<T>) {
      if (!wanted[0] && !wanted[1]) return;
      const Winners won(*this, x, y);
      const Tensor<C> share = cast<C>(handle<Tensor<T>>(g[0])) / won.count;
      const auto give = [&](int i, const Tensor<C>& d) { dx[i] = cotangent_of(name, cast<T>(d).ref(), x[i]->shape); };
      if (wanted[0]) give(0, where(won.in_x, share, C(0)));
      if (wanted[1]) give(1, where(won.in_rows, won.taken(share), C(0)));
    }
  }
  void jvp(Args t, Args y, Args x, Ref<Array>* ty) const {
    if constexpr (Floating<T>) {
      if (!t[0] && !t[1]) return;
      const Winners won(*this, x, y);
      Tensor<C> of_x, of_rows;
      if (t[0]) of_x = where(won.in_x, cast<C>(handle<Tensor<T>>(t[0])), C(0));
      if (t[1]) of_rows = where(won.in_rows, cast<C>(handle<Tensor<T>>(t[1])), C(0));
      ty[0] = broadcast_to(cast<T>((t[1] ? won.added(of_x, of_rows) : of_x) / won.count).ref(), y[0]->shape);
    }
  }

 private:
  // Which elements equal the extremum of their destination, and how many do; 1 where none does, at a NaN.
  struct Winners {
    const ScatterExtremumOp& op;
    Tensor<I> indices;
    Tensor<bool> in_x, in_rows;
    Tensor<C> count;
    Winners(const ScatterExtremumOp& f, Args x, Args y) : op(f), indices(handle<Tensor<I>>(x[2])) {
      const Tensor<T> top = stop_gradient(handle<Tensor<T>>(y[0]));
      in_x = stop_gradient(handle<Tensor<T>>(x[0])) == top;
      in_rows = stop_gradient(handle<Tensor<T>>(x[1])) == taken(top);
      count = maximum(added(cast<C>(in_x), cast<C>(in_rows)), C(1));
    }
    template <class U>
    Take take() const {
      return {names, op.axis, op.places, op.extent, &add_on_device<U, I>};
    }
    template <class U>
    Tensor<U> taken(const Tensor<U>& y) const {
      return Tensor<U>(linear_op(take<U>(), static_cast<const AnyTensor&>(y), static_cast<const AnyTensor&>(indices)));
    }
    // x may be missing, for zeros.
    Tensor<C> added(const Tensor<C>& x, const Tensor<C>& rows) const {
      return Tensor<C>(
          update(ScatterAdd{take<C>()}, x.defined() ? &x.array() : nullptr, &rows.array(), &indices.array()));
    }
  };
};

template <bool Largest, class T, class I>
Tensor<T> extremum_at(const Tensor<T>& x, const Tensor<I>& indices, const Tensor<T>& y, std::int64_t axis) {
  static_assert(!std::is_same_v<T, bool>, "scatter_max and scatter_min of bools: cast<uint8_t>(x) first");
  if constexpr (!std::is_same_v<T, bool>) {
    using F = ScatterExtremumOp<Largest, T, I>;
    const Ref<Array> rows = rows_for(*F::names, x, indices, y, axis);
    const int at = resolve_axis(F::name, x.array(), axis);
    Array* in[] = {&x.array(), rows.get(), &indices.array()};
    return Tensor<T>(dispatch1(F(x.rank() - at, indices.rank(), x.shape()[at]), in));
  } else {
    return Tensor<T>();
  }
}

}  // namespace detail
}  // namespace ergo::inline ERGO_BUILD
