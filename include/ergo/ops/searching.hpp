// Places in sorted rows: searchsorted.
#pragma once

#include "ergo/cpu/search.hpp"
#include "ergo/autograd/linear_op.hpp"
#include "ergo/ops/axes.hpp"
#if defined(__CUDACC__) || defined(ERGO_EMULATED)
#include "ergo/cuda/search.hpp"
#endif

namespace ergo::inline ERGO_BUILD {

struct SearchOptions {
  bool right = false;  // behind the elements equal to x; else before them
};

namespace detail {
using SearchSortedOnDevice = Ref<Array> (*)(const Array& sorted, const Array& x, int own, bool right);
#if defined(__CUDACC__) || defined(ERGO_EMULATED)
template <class T, class I>
inline constexpr SearchSortedOnDevice search_on_device = &ergo::cuda::search_sorted<T, I>;
#else
template <class, class>
inline constexpr SearchSortedOnDevice search_on_device = nullptr;
#endif
AnyTensor searched(const AnyTensor& sorted, const AnyTensor& x, SearchOptions options, DType index,
                   SearchSortedOnDevice device);
}  // namespace detail

// Where x would go to keep the order: how many elements of `sorted` come before each of x (or, `.right`, do not come
// behind it), int32 or what is asked for: searchsorted<int64_t>(edges, x). A row (n,) serves x of any shape; (..., n)
// serves x (..., m) row by row, leading axes broadcast. The order is that of sort: NaN last, -0 equal to +0. That rows
// are sorted is not checked. An n that the index type cannot hold is an Error. A constant to every transform.
template <Index I = std::int32_t, class T>
Tensor<I> searchsorted(const Tensor<T>& sorted, const Tensor<T>& x, SearchOptions options = {}) {
  return Tensor<I>(detail::searched(sorted, x, options, dtype_of<I>, detail::search_on_device<T, I>));
}

namespace detail {

struct SearchSorted {
  static constexpr auto name = "searchsorted";
  static constexpr bool constant = true;
  int own;  // axes of x that search one row
  bool right;
  DType index;
  SearchSortedOnDevice device;
  int core_of(int i) const { return i == 0 ? 1 : own; }
  AnyTensor value(const AnyTensor& sorted, const AnyTensor& x) const {
    return AnyTensor(cpu::search_sorted(sorted.array(), x.array(), own, right, index));
  }
#if defined(__CUDACC__) || defined(ERGO_EMULATED)
  AnyTensor cuda(const AnyTensor& sorted, const AnyTensor& x) const {
    return AnyTensor(device(sorted.array(), x.array(), own, right));
  }
#endif
};
inline AnyTensor searched(const AnyTensor& sorted, const AnyTensor& x, SearchOptions options, DType index,
                          SearchSortedOnDevice device) {
  Array* in[] = {&sorted.array(), &x.array()};
  same_device("searchsorted", in, 2);
  if (sorted.rank() == 0) fail("searchsorted", in, 2, "what is searched has a last axis, (n,) or (..., n)");
  const bool one = sorted.rank() == 1;
  if (!one && x.rank() == 0)
    fail("searchsorted", in, 2, "rows (..., n) serve (..., m): one row (n,) serves x of any shape");
  const int own = one ? x.rank() : 1;
  Shape lead = sorted.shape().first(sorted.rank() - 1);
  if (!broadcast(lead, x.shape().first(x.rank() - own)))
    fail("searchsorted", in, 2, "leading axes do not broadcast (rows (..., n) serve (..., m))");
  const std::int64_t n = sorted.shape()[-1];
  const std::int64_t most = index == DType::uint8 ? 255 : index == DType::int32 ? 0x7fffffff : n;
  if (n > most) fail("searchsorted", in, 2, {"places up to ", n, " do not fit ", index});
  return linear_op(SearchSorted{own, options.right, index, device}, sorted, x);
}

}  // namespace detail
}  // namespace ergo::inline ERGO_BUILD
