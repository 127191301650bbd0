// What kernels see of a tensor: pointer, shape, strides in elements; trivially copyable, a kernel's parameter.
#pragma once

#include <cstdint>
#include <type_traits>

#include "ergo/kernels/common/launch.cuh"

namespace ergo::inline ERGO_BUILD::cuda {

template <class T, int Rank>
struct View {
  T* data;
  std::int64_t shape[Rank], stride[Rank];

  template <class... I>
  requires(sizeof...(I) == Rank) constexpr T& operator()(I... i) const {
    std::int64_t at = 0;
    int axis = 0;
    ((at += std::int64_t(i) * stride[axis++]), ...);
    return data[at];
  }
  constexpr std::int64_t numel() const {
    std::int64_t n = 1;
    for (int d = 0; d < Rank; ++d) n *= shape[d];
    return n;
  }
  // Read only: what launchers take for inputs. A template, so that nvcc does not warn of a View<const T> to itself.
  template <class C>
  requires(std::is_same_v<C, const T> && !std::is_const_v<T>) constexpr operator View<C, Rank>() const {
    View<C, Rank> v{data, {}, {}};
    for (int d = 0; d < Rank; ++d) {
      v.shape[d] = shape[d];
      v.stride[d] = stride[d];
    }
    return v;
  }
};

// Row-major without gaps.
template <class T, int Rank>
constexpr View<T, Rank> row_major(T* data, const std::int64_t (&shape)[Rank]) {
  View<T, Rank> v{data, {}, {}};
  std::int64_t n = 1;
  for (int d = Rank; d-- > 0;) {
    v.shape[d] = shape[d];
    v.stride[d] = n;
    n *= shape[d];
  }
  return v;
}

// Division of indices below 2^31 by a divisor that the host knows: a multiplication and a shift (Granlund and
// Montgomery, 1994, section 4; the sum fits 32 bits because n does not use the last).
struct FastDivisor {
  std::uint32_t divisor, multiplier, shift;

  static FastDivisor of(std::int64_t d) {
    std::uint32_t s = 0;
    while (s < 31 && (std::uint32_t{1} << s) < std::uint32_t(d)) ++s;
    const std::uint64_t one = 1;
    const std::uint64_t m = ((one << 32) * ((one << s) - std::uint64_t(d))) / std::uint64_t(d) + 1;
    return {std::uint32_t(d), std::uint32_t(m), s};
  }
  __device__ __forceinline__ std::uint32_t divide(std::uint32_t n) const {
    return (__umulhi(n, multiplier) + n) >> shift;
  }
};

}  // namespace ergo::inline ERGO_BUILD::cuda
