// Sorting: sort, argsort. Always stable, descending too; NaN is last, first when descending; -0 equals +0.
#pragma once

#include "ergo/cpu/sort.hpp"
#include "ergo/ops/indexing.hpp"

namespace ergo::inline ERGO_BUILD {

struct SortOptions {
  bool descending = false;
};

namespace detail {
using ArgsortLast = Ref<Array> (*)(const Array& x, bool descending);  // on a CUDA device; null in a CPU build
#if defined(__CUDACC__) || defined(ERGO_EMULATED)
template <class T, class I>
inline constexpr ArgsortLast argsort_on_device = &ergo::cuda::argsort_last<T, I>;
#else
template <class, class>
inline constexpr ArgsortLast argsort_on_device = nullptr;
#endif
AnyTensor argsorted(const char* op, const AnyTensor& x, std::int64_t axis, SortOptions options, DType index,
                    ArgsortLast device);
}  // namespace detail

// The indices that sort x along an axis, int32 or what is asked for: argsort<int64_t>(x). An extent that the index type
// cannot hold is an Error. A constant to every transform.
template <Index I = std::int32_t, class T>
Tensor<I> argsort(const Tensor<T>& x, AnyInteger axis = -1, SortOptions options = {}) {
  return Tensor<I>(detail::argsorted("argsort", x, axis, options, dtype_of<I>, detail::argsort_on_device<T, I>));
}
// x in order along an axis; a cotangent goes to the elements chosen.
template <class T>
Tensor<T> sort(const Tensor<T>& x, AnyInteger axis = -1, SortOptions options = {}) {
  const DType index =
      x.device().is_cpu() ? DType::int64 : DType::int32;  // a row on a device has less than 2^31 elements
  const AnyTensor places =
      detail::argsorted("sort", x, axis, options, index, detail::argsort_on_device<T, std::int32_t>);
  return Tensor<T>(detail::taken_along(x, places, axis, detail::along_on_device<T, std::int32_t>));
}

namespace detail {

struct Argsort {
  static constexpr auto name = "argsort";
  static constexpr bool constant = true;
  int axis;  // from the back
  bool descending;
  DType index;
  ArgsortLast device;
  int core_of(int) const { return axis; }
  AnyTensor value(const AnyTensor& x) const {
    return AnyTensor(axis_from_last(*cpu::argsort_last(*axis_to_last(x.array(), axis), descending, index), axis));
  }
#if defined(__CUDACC__) || defined(ERGO_EMULATED)
  AnyTensor cuda(const AnyTensor& x) const {
    return AnyTensor(axis_from_last(*device(*axis_to_last(x.array(), axis), descending), axis));
  }
#endif
};
inline AnyTensor argsorted(const char* op, const AnyTensor& x, std::int64_t axis, SortOptions options, DType index,
                           ArgsortLast device) {
  const Array& a = x.array();
  const int at = resolve_axis(op, a, axis);
  const std::int64_t n = a.shape[at];
  const std::int64_t most = index == DType::uint8 ? 256 : index == DType::int32 ? std::int64_t(1) << 31 : n;
  if (n > most) fail(op, a, {"indices of ", n, " places do not fit ", index});
  return linear_op(Argsort{a.shape.rank() - at, options.descending, index, device}, x);
}

}  // namespace detail
}  // namespace ergo::inline ERGO_BUILD
