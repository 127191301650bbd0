// What the order of elements says without sorting them all: topk, median, quantile. The order is that of sort: NaN is
// the largest, -0 equals +0, ties go by index.
//
//   auto [values, indices] = topk(logits, 5);
//   quantile(x, 0.9, -1)      // linear between the two elements that enclose the place 0.9 (n - 1)
//
// A cotangent goes to the elements chosen, the first of equals; median and quantile share it by their two weights.
#pragma once

#include "ergo/core/cast.hpp"
#include "ergo/cpu/select.hpp"
#include "ergo/ops/reduction.hpp"
#include "ergo/ops/slicing.hpp"
#include "ergo/ops/sorting.hpp"
#if defined(__CUDACC__) || defined(ERGO_EMULATED)
#include "ergo/cuda/select.hpp"
#endif

namespace ergo::inline ERGO_BUILD {

struct TopkOptions {
  bool largest = true;
};
template <class T, class I = std::int32_t>
struct TopkResult {
  Tensor<T> values;
  Tensor<I> indices;
};

namespace detail {
using TopPlaces = Ref<Array> (*)(const Array& x, bool descending, std::int64_t k);  // null in a CPU build
using RankPlaces = Ref<Array> (*)(const char* name, const Array& x, std::int64_t rank, int count);
#if defined(__CUDACC__) || defined(ERGO_EMULATED)
template <class T, class I>
inline constexpr TopPlaces top_on_device = &ergo::cuda::top_places<T, I>;
template <class T>
inline constexpr RankPlaces ranks_on_device = &ergo::cuda::rank_places<T, std::int32_t>;
#else
template <class, class>
inline constexpr TopPlaces top_on_device = nullptr;
template <class>
inline constexpr RankPlaces ranks_on_device = nullptr;
#endif
AnyTensor topk_places(const AnyTensor& x, std::int64_t k, std::int64_t axis, TopkOptions options, DType index,
                      TopPlaces device);
template <class T>
Tensor<T> quantile_over(const char* op, const Tensor<T>& x, double q, const Over& over);
}  // namespace detail

// The k largest (or smallest) elements along an axis, in order, and their indices, int32 or what is asked for:
// topk<int64_t>(x, k). k in [0, n], else an Error; so is an extent that the index type cannot hold, and on a device one
// of 2^31 or more.
template <Index I = std::int32_t, class T>
TopkResult<T, I> topk(const Tensor<T>& x, AnyInteger k, AnyInteger axis = -1, TopkOptions options = {}) {
  const AnyTensor places = detail::topk_places(x, k, axis, options, dtype_of<I>, detail::top_on_device<T, I>);
  return {Tensor<T>(detail::taken_along(x, places, axis, detail::along_on_device<T, I>)), Tensor<I>(places)};
}

// The element in the middle of the order of all elements, or along axes; of an even number the mean of the middle two.
// NaN if there is one; of nothing an Error, and on a device of 2^31 elements or more.
template <Floating T>
Tensor<T> median(const Tensor<T>& x) {
  return detail::quantile_over("median", x, 0.5, detail::Over::all(x));
}
template <Floating T>
Tensor<T> median(const Tensor<T>& x, const Axes& axes, bool keepdims = false) {
  return detail::quantile_over("median", x, 0.5, detail::Over::axes("median", x, axes, keepdims));
}
template <Floating T, std::same_as<bool> B>
void median(const Tensor<T>& x, B axis) = delete;  // an axis is an integer; keepdims comes behind the axes

// The q-quantile, q in [0, 1], of all elements or along axes: of n sorted elements what lies at the place q (n - 1),
// linear between the elements that enclose it: an infinity on either side of them is the result, NaN if both signs are.
// NaN if there is one; of nothing, and for other q, an Error, and on a device of 2^31 elements or more.
template <Floating T>
Tensor<T> quantile(const Tensor<T>& x, double q) {
  return detail::quantile_over("quantile", x, q, detail::Over::all(x));
}
template <Floating T>
Tensor<T> quantile(const Tensor<T>& x, double q, const Axes& axes, bool keepdims = false) {
  return detail::quantile_over("quantile", x, q, detail::Over::axes("quantile", x, axes, keepdims));
}
template <Floating T, std::same_as<bool> B>
void quantile(const Tensor<T>& x, double q, B axis) = delete;  // an axis is an integer; keepdims comes behind the axes

namespace detail {

struct Topk {
  static constexpr auto name = "topk";
  static constexpr bool constant = true;
  std::int64_t k;
  int axis;  // from the back
  bool largest;
  DType index;
  TopPlaces device;
  int core_of(int) const { return axis; }
  AnyTensor value(const AnyTensor& x) const {
    return AnyTensor(axis_from_last(*cpu::top_places(*axis_to_last(x.array(), axis), largest, k, index), axis));
  }
#if defined(__CUDACC__) || defined(ERGO_EMULATED)
  AnyTensor cuda(const AnyTensor& x) const {
    return AnyTensor(axis_from_last(*device(*axis_to_last(x.array(), axis), largest, k), axis));
  }
#endif
};
inline AnyTensor topk_places(const AnyTensor& x, std::int64_t k, std::int64_t axis, TopkOptions options, DType index,
                             TopPlaces device) {
  const Array& a = x.array();
  const int at = resolve_axis("topk", a, axis);
  const std::int64_t n = a.shape[at];
  if (k < 0 || k > n) fail("topk", a, {"k = ", k, " of ", n, " elements along axis ", at});
  const std::int64_t most = index == DType::uint8 ? 256 : index == DType::int32 ? std::int64_t(1) << 31 : n;
  if (n > most) fail("topk", a, {"indices of ", n, " places do not fit ", index});
  return linear_op(Topk{k, a.shape.rank() - at, options.largest, index, device}, x);
}

// Where the elements of one rank, or of two in a row, lie along the last axis: (..., n) to (..., count).
struct Ranks {
  static constexpr auto name = "quantile";
  static constexpr bool constant = true;
  static constexpr int core[] = {1};
  const char* op;  // whose
  std::int64_t rank;
  int count;
  RankPlaces device;
  AnyTensor value(const AnyTensor& x) const {
    return AnyTensor(cpu::rank_places(x.array(), rank, count, DType::int64));
  }
#if defined(__CUDACC__) || defined(ERGO_EMULATED)
  AnyTensor cuda(const AnyTensor& x) const { return AnyTensor(device(op, x.array(), rank, count)); }
#endif
};
// a + t (b - a), or (1 - t) a + t b where that would overflow or an end is infinite; a or b itself if t is 0 or 1, a if
// b equals it: of two infinities too.
struct Between {
  static constexpr auto name = "quantile";
  static constexpr Uses uses = Uses::inputs;
  template <class A>
  static ERGO_INLINE constexpr A value(const A& a, const A& b, const A& t) {
    const A apart = b - a;
    const A inside = where(apart - apart == A(0), a + t * apart, (A(1) - t) * a + t * b);
    return where(a == b, a, where(t == A(0), a, where(t == A(1), b, inside)));
  }
  template <int I, class A>
  static ERGO_INLINE constexpr A partial(const A&, const A& a, const A& b, const A& t) {
    if constexpr (I == 0)
      return A(1) - t;
    else if constexpr (I == 1)
      return t;
    else
      return b - a;
  }
};

template <class T>
Tensor<T> quantile_over(const char* op, const Tensor<T>& x, double q, const Over& over) {
  if (!(q >= 0 && q <= 1)) fail(op, x.array(), {"q = ", q, " is not in [0, 1]"});
  const std::int64_t n = over.count(x.shape());
  const LastAxis last(x, over);
  if (n == 0) {
    if (last.rows().shape().first(last.rows().rank() - 1).numel() != 0)
      fail(op, x.array(), "no elements along the reduced axes: nothing has no quantile");
    return last.result(sum(last.template rows<T>(), -1));
  }
  const double at = q * double(n - 1);
  const auto low = std::int64_t(at);
  const double t = at - double(low);
  const int count = t > 0 ? 2 : 1;
  const AnyTensor places = linear_op(Ranks{op, low, count, ranks_on_device<T>}, last.rows());
  const Tensor<T> ends(taken_along(last.rows(), places, -1, along_on_device<T, std::int32_t>));
  if (count == 1) return last.result(ends);
  // 16-bit ends meet in float, and the result is rounded once.
  using C = Compute<T>;
  const auto between = [&](const Tensor<C>& both) {
    const Tensor<C> a = slice(both, -1, 0, 1), b = slice(both, -1, 1, 2), weight{C(t)};  // a number, of any device
    Array* in[] = {&a.array(), &b.array(), &weight.array()};
    return Tensor<C>(dispatch1(Pointwise<Between, C, C, C, C>::op, in));
  };
  if constexpr (std::is_same_v<T, C>)
    return last.result(between(ends));
  else
    return last.result(cast<T>(between(cast<C>(ends))));
}

}  // namespace detail
}  // namespace ergo::inline ERGO_BUILD
