// Segments and counts: what rows of one id have in common. segment_sum segment_mean segment_max segment_min bincount
// histogram. Ids are int32, int64 or uint8, in any order, repeated or missing, in [0, n): the first outside is an Error
// that names it and its place, on a device at the next wait. Of a segment without rows: 0, NaN, -inf, inf (of integers
// the least, the greatest).
//
// Sums are scatter_add's, in an order that the data alone fix. The derivative of an extremum is shared by the rows
// equal to it, as max shares it, at every order; of a segment with a NaN it is 0.
#pragma once

#include "ergo/cpu/count.hpp"
#include "ergo/ops/comparison.hpp"
#include "ergo/ops/indexing.hpp"
#include "ergo/ops/selection.hpp"
#if defined(__CUDACC__) || defined(ERGO_EMULATED)
#include "ergo/cuda/count.hpp"
#endif

namespace ergo::inline ERGO_BUILD {

namespace detail {
inline constexpr IndexNames kSegmentSum{"segment_sum", "ids", nullptr, "id"};
inline constexpr IndexNames kSegmentMean{"segment_mean", "ids", nullptr, "id"};
inline constexpr IndexNames kSegmentMax{"segment_max", "ids", nullptr, "id"};
inline constexpr IndexNames kSegmentMin{"segment_min", "ids", nullptr, "id"};
inline constexpr IndexNames kBincount{"bincount", "ids", nullptr, "id"};

template <class T, class I>
constexpr void require_segments() {
  require_index<I>();
  static_assert(!std::is_same_v<T, bool>, "segments of bools: cast<int32_t>(x) first");
}
template <class T, class I>
Tensor<T> segment_sums(const IndexNames& names, const Tensor<T>& x, const Tensor<I>& ids, std::int64_t n);
template <class T, class I>
Tensor<T> segment_means(const Tensor<T>& x, const Tensor<I>& ids, std::int64_t n);
template <class M, class T, class I>
Tensor<T> segment_extrema(const IndexNames& names, const Tensor<T>& x, const Tensor<I>& ids, std::int64_t n);
template <class Out, class I>
Tensor<Out> counted_ids(const IndexNames& names, const Tensor<I>& ids, std::int64_t n);
template <class Out, class T>
Tensor<Out> counted_between(const Tensor<T>& x, const Tensor<T>& edges);
}  // namespace detail

// x (m, ...), ids (m) to (n, ...): the sum of the rows of each id. Ids may have several axes, the first of x.
template <class T, class I>
Tensor<T> segment_sum(const Tensor<T>& x, const Tensor<I>& ids, AnyInteger n) {
  detail::require_segments<T, I>();
  return detail::segment_sums(detail::kSegmentSum, x, ids, n);
}
// The mean; NaN of none.
template <class T, class I>
Tensor<T> segment_mean(const Tensor<T>& x, const Tensor<I>& ids, AnyInteger n) {
  static_assert(Floating<T>, "the mean of integers or bools: cast<float>(x) first");
  detail::require_segments<T, I>();
  return detail::segment_means(x, ids, n);
}
// The largest element, NaN if there is one.
template <class T, class I>
Tensor<T> segment_max(const Tensor<T>& x, const Tensor<I>& ids, AnyInteger n) {
  detail::require_segments<T, I>();
  return detail::segment_extrema<cpu::MaxOf>(detail::kSegmentMax, x, ids, n);
}
// The smallest.
template <class T, class I>
Tensor<T> segment_min(const Tensor<T>& x, const Tensor<I>& ids, AnyInteger n) {
  detail::require_segments<T, I>();
  return detail::segment_extrema<cpu::MinOf>(detail::kSegmentMin, x, ids, n);
}
// How often each id in [0, n) occurs, (n): int32, or what is asked for: bincount<std::int64_t>(ids, n).
template <Index Out = std::int32_t, class I>
Tensor<Out> bincount(const Tensor<I>& ids, AnyInteger n) {
  detail::require_index<I>();
  static_assert(sizeof(Out) >= 4, "counts are int32 or int64");
  return detail::counted_ids<Out>(detail::kBincount, ids, n);
}
// The sum of the weights of each id; weights have the ids' shape.
template <class I, class T>
Tensor<T> bincount(const Tensor<I>& ids, AnyInteger n, const Tensor<T>& weights) {
  detail::require_segments<T, I>();
  detail::Array* in[] = {&ids.array(), &weights.array()};
  if (ids.shape() != weights.shape()) detail::fail("bincount", in, 2, "an id and a weight differ in shape");
  return detail::segment_sums(detail::kBincount, weights, ids, n);
}
// How many elements of x lie between edges (k + 1), which ascend: (k), int32 or what is asked for. edges[i] <= x <
// edges[i + 1], but the last bin has its end too; others, and NaN, are not counted.
template <Index Out = std::int32_t, class T>
Tensor<Out> histogram(const Tensor<T>& x, const Tensor<T>& edges) {
  static_assert(sizeof(Out) >= 4, "counts are int32 or int64");
  static_assert(!std::is_same_v<T, bool>, "a histogram of bools: cast<int32_t>(x) first");
  return detail::counted_between<Out>(x, edges);
}

namespace detail {

// How rows and ids lie: places axes of ids, which lead those of x.
struct Segments {
  int axis, places;  // the rows' axes and one, counted from the back; the ids' own
  std::int64_t n;

  static Segments of(const IndexNames& names, const AnyTensor& x, const AnyTensor& ids, std::int64_t n) {
    Array* in[] = {&x.array(), &ids.array()};
    same_device(names.op, in, 2);
    const int places = ids.rank();
    if (n < 0) fail(names.op, in, 2, {"a negative number of segments, ", n});
    if (x.rank() < places || x.shape().first(places) != ids.shape())
      fail(names.op, in, 2, "x must begin with the axes of the ids");
    if (x.rank() - places + 1 > kMaxRank) fail(names.op, in, 2, "9 axes are more than 8");
    return {x.rank() - places + 1, places, n};
  }
  template <class T, class I>
  Take take(const IndexNames& names) const {
    return {&names, axis, places, n, &add_on_device<T, I>};
  }
  template <class T, class I>
  Tensor<T> sum(const IndexNames& names, const Tensor<T>& x, const Tensor<I>& ids) const {
    return Tensor<T>(update(ScatterAdd{take<T, I>(names)}, nullptr, &x.array(), &ids.array()));
  }
  // y (n, ...) at the ids.
  template <class T, class I>
  Tensor<T> at(const IndexNames& names, const Tensor<T>& y, const Tensor<I>& ids) const {
    return Tensor<T>(
        linear_op(take<T, I>(names), static_cast<const AnyTensor&>(y), static_cast<const AnyTensor&>(ids)));
  }
};

template <class T, class I>
Tensor<T> segment_sums(const IndexNames& names, const Tensor<T>& x, const Tensor<I>& ids, std::int64_t n) {
  return Segments::of(names, x, ids, n).sum(names, x, ids);
}
template <class T, class I>
Tensor<T> segment_means(const Tensor<T>& x, const Tensor<I>& ids, std::int64_t n) {
  using C = Compute<T>;
  const Segments s = Segments::of(kSegmentMean, x, ids, n);
  Shape each{n};
  for (int d = 1; d < s.axis; ++d) each.push(1);
  const Tensor<C> counts = cast<C>(counted_ids<std::int64_t>(kSegmentMean, ids, n));
  return cast<T>(s.sum(kSegmentMean, cast<C>(x), ids) / Tensor<C>(reshape(counts.ref(), each)));
}

template <class M, class T, class I>
struct SegmentExtremumOp final : CopiedOp<SegmentExtremumOp<M, T, I>> {
  using C = Compute<T>;
  const IndexNames* names;
  Segments s;
  SegmentExtremumOp(const IndexNames& n, const Segments& given)
      : CopiedOp<SegmentExtremumOp>(n.op, 2), names(&n), s(given) {
    this->on_cuda = true;
    this->differentiable = Floating<T>;
  }
  int core(int i) const { return i == 0 ? s.places + s.axis - 1 : s.places; }
  void value(Args x, Ref<Array>* y, std::uint64_t) const {
#if defined(__CUDACC__) || defined(ERGO_EMULATED)
    if (!x[1]->device.is_cpu()) {
      y[0] =
          ergo::cuda::scatter_extremum<typename OfDevice<M>::type, T, I>(*names, *x[0], *x[1], s.axis, s.places, s.n);
      return;
    }
#endif
    y[0] =
        cpu::scatter_by<M>(nullptr, *x[0], *cpu::checked_indices(*names, *x[1], nullptr, s.n), s.axis, s.places, s.n);
  }
  void vjp(Args g, Args y, Args x, Wanted wanted, Ref<Array>* dx) const {
    if constexpr (Floating<T>) {
      if (!wanted[0]) return;
      const Equal e(*this, x, y);
      const Tensor<C> share = s.at(*names, cast<C>(handle<Tensor<T>>(g[0])) / e.count, e.ids);
      dx[0] = cotangent_of(names->op, cast<T>(where(e.set, share, C(0))).ref(), x[0]->shape);
    }
  }
  void jvp(Args t, Args y, Args x, Ref<Array>* ty) const {
    if constexpr (Floating<T>) {
      if (!t[0]) return;
      const Equal e(*this, x, y);
      ty[0] = cast<T>(s.sum(*names, where(e.set, cast<C>(handle<Tensor<T>>(t[0])), C(0)), e.ids) / e.count).ref();
    }
  }

 private:
  // The rows equal to their segment's extremum, and how many there are, 1 where there is none.
  struct Equal {
    Tensor<I> ids;
    Tensor<bool> set;
    Tensor<C> count;
    Equal(const SegmentExtremumOp& op, Args x, Args y) : ids(handle<Tensor<I>>(x[1])) {
      const Tensor<T> top = stop_gradient(handle<Tensor<T>>(y[0]));
      set = stop_gradient(handle<Tensor<T>>(x[0])) == op.s.at(*op.names, top, ids);
      count = maximum(op.s.sum(*op.names, cast<C>(set), ids), C(1));
    }
  };
};
template <class M, class T, class I>
Tensor<T> segment_extrema(const IndexNames& names, const Tensor<T>& x, const Tensor<I>& ids, std::int64_t n) {
  if constexpr (std::is_same_v<T, bool>) {
    return {};
  } else {
    const Segments s = Segments::of(names, x, ids, n);
    Array* in[] = {&x.array(), &ids.array()};
    return Tensor<T>(dispatch1(SegmentExtremumOp<M, T, I>(names, s), in));
  }
}

template <class Out>
struct CountIds {
  static constexpr auto name = "bincount";
  static constexpr bool constant = true;
  const IndexNames* names;
  int places;
  std::int64_t n;
  int core_of(int) const { return places; }
  template <class I>
  Tensor<Out> value(const Tensor<I>& ids) const {
    return Tensor<Out>(cpu::bincount<Out>(*cpu::checked_indices(*names, ids.array(), nullptr, n), places, n));
  }
#if defined(__CUDACC__) || defined(ERGO_EMULATED)
  template <class I>
  Tensor<Out> cuda(const Tensor<I>& ids) const {
    return Tensor<Out>(ergo::cuda::bincount<I, Out>(*names, ids.array(), places, n));
  }
#endif
};
template <class Out, class I>
Tensor<Out> counted_ids(const IndexNames& names, const Tensor<I>& ids, std::int64_t n) {
  if (n < 0) fail(names.op, ids.array(), {"a negative number of bins, ", n});
  return linear_op(CountIds<Out>{&names, ids.rank(), n}, ids);
}

template <class Out>
struct CountBetween {
  static constexpr auto name = "histogram";
  static constexpr bool constant = true;
  int places;
  int core_of(int i) const { return i == 0 ? places : 1; }
  template <class T>
  Tensor<Out> value(const Tensor<T>& x, const Tensor<T>& edges) const {
    using C = Compute<T>;
    if constexpr (std::is_same_v<T, C>)
      return Tensor<Out>(cpu::histogram<T, Out>(x.array(), places, edges.array()));
    else
      return Tensor<Out>(cpu::histogram<C, Out>(*cpu::widened(x.array()), places, *cpu::widened(edges.array())));
  }
#if defined(__CUDACC__) || defined(ERGO_EMULATED)
  template <class T>
  Tensor<Out> cuda(const Tensor<T>& x, const Tensor<T>& edges) const {
    return Tensor<Out>(ergo::cuda::histogram<T, Out>(x.array(), places, edges.array()));
  }
#endif
};
template <class Out, class T>
Tensor<Out> counted_between(const Tensor<T>& x, const Tensor<T>& edges) {
  Array* in[] = {&x.array(), &edges.array()};
  same_device("histogram", in, 2);
  if (edges.rank() != 1 || edges.numel() < 2) fail("histogram", in, 2, "edges have one axis and at least two places");
  return linear_op(CountBetween<Out>{x.rank()}, x, edges);
}

}  // namespace detail
}  // namespace ergo::inline ERGO_BUILD
