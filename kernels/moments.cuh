// The variance and the Euclidean norm of x[o, :, i], for x (outer, n, inner) of any strides, floating, and y (outer,
// inner) row-major: kernels and launches of reduction.cuh, one read of x.
//
// Variance: groups of N elements have their own mean and sum of squares about it, and are merged by
//   d = mean_b - mean_a,  mean = mean_a + d n_b / n,  squares = squares_a + squares_b + d^2 n_a n_b / n
// (Chan, Golub and LeVeque 1979), all relative to the row's first element. That element is within sqrt(n) standard
// deviations of the mean, so what the rounding of means adds to the variance is of order n eps^2: an offset of the data
// costs no accuracy, nor does a first element far from all others.
//
// Norm: three sums of squares, of small, medium and large elements, the outer two scaled by powers of two (Blue 1978):
// no square overflows or is lost, for at least 2^40 elements.
#pragma once

#include <cmath>

#include "ergo/kernels/reduction.cuh"

namespace ergo::inline ERGO_BUILD::cuda {

template <class T>
struct VarianceReduction {
  using In = T;
  using Out = T;
  using Origin = Compute<T>;
  struct State {
    Compute<T> count, mean, squares;  // the mean less the origin
  };
  using C = Compute<T>;
  C divisor;
  static __device__ __forceinline__ Origin origin(T first) { return widen(first); }
  static __device__ __forceinline__ State identity() { return {0, 0, 0}; }
  __device__ __forceinline__ State lift(T x, std::int64_t, Origin origin) const {
    const C d = widen(x) - origin;
    return {1, d, d - d};  // NaN for infinities, as any sum of squares has it
  }
  template <int N>
  __device__ __forceinline__ State group(const T (&x)[N], Origin origin) const {
    C d[N];
#pragma unroll
    for (int k = 0; k < N; ++k) d[k] = widen(x[k]) - origin;
    const C mean = sum(d) * (C(1) / N);
#pragma unroll
    for (int k = 0; k < N; ++k) d[k] = squared(widen(x[k]) - origin - mean);
    return {N, mean, sum(d)};
  }
  static __device__ __forceinline__ State combine(const State& a, const State& b) {
    const C count = a.count + b.count, share = count == 0 ? C(0) : b.count / count, d = b.mean - a.mean;
    // In this order, since the identity counts for 0 however far apart they are.
    return {count, a.mean + d * share, a.squares + b.squares + d * (d * (a.count * share))};
  }
  __device__ __forceinline__ Out finish(const State& s) const { return narrow<T>(s.squares / divisor); }

 private:
  static __device__ __forceinline__ C squared(C d) { return d * d; }
  template <int N>
  static __device__ __forceinline__ C sum(C (&d)[N]) {
    detail::fold_pairs<Sum, N / 2>(d);
    return d[0];
  }
  struct Sum {
    static __device__ __forceinline__ C combine(C a, C b) { return a + b; }
  };
};

template <class T>
struct NormReduction {
  using In = T;
  using Out = T;
  using Origin = NoOrigin;
  using C = Compute<T>;
  struct State {
    C small, medium, large;
  };
  static constexpr bool kFloat = sizeof(C) == 4;
  // Sizes from kSmall to kLarge are squared as they are.
  static constexpr C kSmall = C(kFloat ? 0x1p-63 : 0x1p-511), kLarge = C(kFloat ? 0x1p44 : 0x1p486);
  static constexpr C kUp = C(kFloat ? 0x1p86 : 0x1p537), kDown = C(kFloat ? 0x1p-84 : 0x1p-538);

  static __device__ __forceinline__ State identity() { return {0, 0, 0}; }
  __device__ __forceinline__ State lift(T x, std::int64_t, Origin) const {
    const C v = widen(x), size = v < 0 ? -v : v;
    const bool large = size > kLarge, small = size < kSmall;
    const C scaled = size * (large ? kDown : small ? kUp : C(1)), square = scaled * scaled;
    return {small ? square : C(0), large || small ? C(0) : square, large ? square : C(0)};
  }
  static __device__ __forceinline__ State combine(const State& a, const State& b) {
    return {a.small + b.small, a.medium + b.medium, a.large + b.large};
  }
  __device__ __forceinline__ Out finish(const State& s) const {
    C y;
    if (s.large > 0)  // the medium ones may be NaN
      y = std::sqrt(s.large + s.medium * kDown * kDown) / kDown;
    else if (s.small > 0 && !(s.medium > 0) && s.medium == s.medium)
      y = std::sqrt(s.small) / kUp;
    else if (s.small > 0)
      y = std::sqrt(s.medium + s.small / kUp / kUp);
    else
      y = std::sqrt(s.medium);
    return narrow<T>(y);
  }
};

// Bytes of device memory that launch_variance and launch_norm need beside x and y, often 0.
template <class T>
std::size_t variance_workspace(const View<const T, 3>& x) {
  return reduction_workspace<VarianceReduction<T>>(x);
}
template <class T>
std::size_t norm_workspace(const View<const T, 3>& x) {
  return reduction_workspace<NormReduction<T>>(x);
}
// The sum of squares about the mean over n - correction; NaN for n <= correction.
template <class T>
void launch_variance(Stream& stream, const char* name, const View<const T, 3>& x, T* y, std::byte* workspace,
                     double correction = 0) {
  const auto n = double(x.shape[1]);
  using C = Compute<T>;
  launch_reduction(stream, name, VarianceReduction<T>{n > correction ? C(n - correction) : C(__builtin_nan(""))}, x, y,
                   workspace);
}
// The root of the sum of squares; of nothing 0.
template <class T>
void launch_norm(Stream& stream, const char* name, const View<const T, 3>& x, T* y, std::byte* workspace) {
  launch_reduction(stream, name, NormReduction<T>{}, x, y, workspace);
}

}  // namespace ergo::inline ERGO_BUILD::cuda
