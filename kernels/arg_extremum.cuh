// y[o, i] = the k of the largest (smallest) x[o, k, i], for x (outer, n, inner) of any strides and y (outer, inner)
// row-major of int32 or int64, whichever holds n - 1: kernels and launches of reduction.cuh on pairs of value and
// position. Of equal elements the first; of NaN the first, before all others; -0 equals +0. The order of combination
// does not matter, so results are the same whatever the layout. And how many elements equal the largest (smallest).
#pragma once

#include "ergo/kernels/reduce.cuh"

namespace ergo::inline ERGO_BUILD::cuda {

template <class M, class T, class I>
struct ArgReduction {
  static_assert(std::is_same_v<I, std::int32_t> || std::is_same_v<I, std::int64_t>);
  using In = T;
  using Value = typename M::template Accumulator<T>;
  using Out = I;
  using Origin = NoOrigin;
  struct State {
    Value value;
    I at;
  };
  static __device__ __forceinline__ State identity() {
    return {M::template identity<T>(), I(std::make_unsigned_t<I>(-1) / 2)};
  }
  __device__ __forceinline__ State lift(T x, std::int64_t index, Origin) const { return {Value(widen(x)), I(index)}; }
  static __device__ __forceinline__ State combine(const State& a, const State& b) {
    const bool a_nan = a.value != a.value;
    const bool better = !a_nan && M::wins(b.value, a.value);
    const bool equal = a.value == b.value || (a_nan && b.value != b.value);
    return better || (equal && b.at < a.at) ? b : a;
  }
  __device__ __forceinline__ Out finish(const State& s) const { return s.at; }
};

// Bytes of device memory that launch_arg_extremum needs beside x and y, often 0.
template <class M, class T, class I>
std::size_t arg_extremum_workspace(const View<const T, 3>& x) {
  return reduction_workspace<ArgReduction<M, T, I>>(x);
}
// M: MaxOf or MinOf. n > 0 unless y is empty.
template <class M, class T, class I>
void launch_arg_extremum(Stream& stream, const char* name, const View<const T, 3>& x, I* y, std::byte* workspace) {
  launch_reduction(stream, name, ArgReduction<M, T, I>{}, x, y, workspace);
}

// y[o, i] = how many x[o, k, i] equal the extremum over k; where that is a NaN, how many are. T is floating: counts are
// exact to 2^24 for float, then rounded.
template <class M, class T>
struct ExtremumCount {
  using In = T;
  using Value = Compute<T>;
  using Out = Value;
  using Origin = NoOrigin;
  struct State {
    Value value, count;
  };
  static __device__ __forceinline__ State identity() { return {M::template identity<T>(), 0}; }
  __device__ __forceinline__ State lift(T x, std::int64_t, Origin) const { return {widen(x), 1}; }
  static __device__ __forceinline__ State combine(const State& a, const State& b) {
    const bool equal = a.value == b.value || (a.value != a.value && b.value != b.value);
    if (equal) return {a.value, a.count + b.count};
    return M::wins(b.value, a.value) ? b : a;
  }
  __device__ __forceinline__ Out finish(const State& s) const { return s.count; }
};

// Bytes of device memory that launch_extremum_count needs beside x and y, often 0.
template <class M, class T>
std::size_t extremum_count_workspace(const View<const T, 3>& x) {
  return reduction_workspace<ExtremumCount<M, T>>(x);
}
template <class M, class T>
void launch_extremum_count(Stream& stream, const char* name, const View<const T, 3>& x, Compute<T>* y,
                           std::byte* workspace) {
  launch_reduction(stream, name, ExtremumCount<M, T>{}, x, y, workspace);
}

}  // namespace ergo::inline ERGO_BUILD::cuda
