// y[o, i] = x[o, 0, i] + ... + x[o, n - 1, i], for x (outer, n, inner) of any strides and y (outer, inner) row-major,
// where + is a sum, a product, the larger or the smaller: kernels and launches of reduction.cuh. Accumulators are the
// CPU's (ergo/cpu/monoid.hpp): float for the 16-bit types and float, double for double, int64 for sums and products of
// integers and bool. A result of 16 bits is rounded once, behind the mean's division. NaN wins among the larger and the
// smaller. Of nothing: the identity, and a mean is NaN.
#pragma once

#include "ergo/kernels/reduction.cuh"

namespace ergo::inline ERGO_BUILD::cuda {

struct SumOf {
  template <class T>
  using Accumulator = std::conditional_t<std::is_integral_v<T>, std::int64_t, Compute<T>>;
  template <class T>
  using Result = std::conditional_t<std::is_integral_v<T>, std::int64_t, T>;
  template <class T>
  static __device__ __forceinline__ Accumulator<T> identity() {
    return 0;
  }
  template <class A>
  static __device__ __forceinline__ A combine(A a, A b) {
    if constexpr (std::is_integral_v<A>)
      return A(std::make_unsigned_t<A>(a) + std::make_unsigned_t<A>(b));  // wraps
    else
      return a + b;
  }
};
struct ProductOf {
  template <class T>
  using Accumulator = SumOf::Accumulator<T>;
  template <class T>
  using Result = SumOf::Result<T>;
  template <class T>
  static __device__ __forceinline__ Accumulator<T> identity() {
    return 1;
  }
  template <class A>
  static __device__ __forceinline__ A combine(A a, A b) {
    if constexpr (std::is_integral_v<A>)
      return A(std::make_unsigned_t<A>(a) * std::make_unsigned_t<A>(b));
    else
      return a * b;
  }
};

namespace detail {

// The least value of T, in the type that its extrema are taken in.
template <class T>
constexpr auto lowest_of() {
  if constexpr (std::is_integral_v<T>)
    return sizeof(T) == 1 ? std::int32_t(0) : T(std::is_signed_v<T> ? T(1) << (sizeof(T) * 8 - 1) : T(0));
  else
    return -Compute<T>(__builtin_inf());
}
template <class T>
constexpr auto highest_of() {
  if constexpr (std::is_integral_v<T>)
    return sizeof(T) == 1 ? std::int32_t(std::is_same_v<T, bool> ? 1 : 255) : T(~lowest_of<T>());
  else
    return Compute<T>(__builtin_inf());
}
// int32 for the 8-bit types, which have no negative numbers.
template <class T>
using ExtremumState = std::conditional_t<std::is_integral_v<T> && sizeof(T) == 1, std::int32_t, Compute<T>>;

}  // namespace detail

// The larger; of bools: any.
struct MaxOf {
  template <class T>
  using Accumulator = detail::ExtremumState<T>;
  template <class T>
  using Result = T;
  template <class T>
  static __device__ __forceinline__ Accumulator<T> identity() {
    return detail::lowest_of<T>();
  }
  template <class A>
  static __device__ __forceinline__ bool wins(A b, A a) {  // over a; a NaN over all
    return a < b || b != b;
  }
  template <class A>
  static __device__ __forceinline__ A combine(A a, A b) {
    return wins(b, a) ? b : a;
  }
};
// The smaller; of bools: all.
struct MinOf {
  template <class T>
  using Accumulator = detail::ExtremumState<T>;
  template <class T>
  using Result = T;
  template <class T>
  static __device__ __forceinline__ Accumulator<T> identity() {
    return detail::highest_of<T>();
  }
  template <class A>
  static __device__ __forceinline__ bool wins(A b, A a) {  // over a; a NaN over all
    return b < a || b != b;
  }
  template <class A>
  static __device__ __forceinline__ A combine(A a, A b) {
    return wins(b, a) ? b : a;
  }
};

// What elements are before they are combined; computed in float for the 16-bit types.
struct Itself {
  template <class C>
  __device__ __forceinline__ C operator()(C x) const {
    return x;
  }
};
struct Size {
  template <class C>
  __device__ __forceinline__ C operator()(C x) const {
    return x < 0 ? -x : x + C(0);  // of -0: +0
  }
};
struct Square {
  template <class C>
  __device__ __forceinline__ C operator()(C x) const {
    return x * x;
  }
};

template <class M, class T, class F = Itself>
struct MonoidReduction {
  using In = T;
  using State = typename M::template Accumulator<T>;
  using Out = typename M::template Result<T>;
  using Origin = NoOrigin;
  State divisor;  // of floating sums
  static __device__ __forceinline__ State identity() { return M::template identity<T>(); }
  __device__ __forceinline__ State lift(T x, std::int64_t, Origin) const { return State(F{}(widen(x))); }
  static __device__ __forceinline__ State combine(State a, State b) { return M::combine(a, b); }
  __device__ __forceinline__ Out finish(State s) const {
    if constexpr (std::is_integral_v<State>)
      return Out(s);
    else if constexpr (std::is_same_v<M, SumOf>)
      return narrow<Out>(s / divisor);
    else
      return narrow<Out>(s);
  }
};

// The type of a result: T, or int64 for sums and products of integers and bool.
template <class M, class T>
using ReduceResult = typename M::template Result<T>;

// Bytes of device memory that launch_reduce needs beside x and y, often 0.
template <class M, class T>
std::size_t reduce_workspace(const View<const T, 3>& x) {
  return reduction_workspace<MonoidReduction<M, T>>(x);
}
// y[o, i] = M over all k of F(x[o, k, i]), for floating sums over `divisor`: n for the mean.
template <class M, class T, class F = Itself>
void launch_reduce(Stream& stream, const char* name, const View<const T, 3>& x, ReduceResult<M, T>* y,
                   std::byte* workspace, double divisor = 1) {
  using P = MonoidReduction<M, T, F>;
  launch_reduction(stream, name, P{typename P::State(divisor)}, x, y, workspace);
}

}  // namespace ergo::inline ERGO_BUILD::cuda
