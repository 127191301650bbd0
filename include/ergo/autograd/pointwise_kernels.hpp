// What computes a pointwise operation on each device: the loop of the CPU and, in a CUDA build, the launcher of its
// kernel.
#pragma once

#include "ergo/cpu/math.hpp"
#include "ergo/cpu/pointwise.hpp"
#if defined(__CUDACC__) || defined(ERGO_EMULATED)
#include "ergo/cuda/cast.hpp"
#include "ergo/cuda/pointwise.hpp"
#endif

namespace ergo::inline ERGO_BUILD {

// The elementary functions: on packs and numbers, and on the scalars of device code.
namespace math {
using namespace cpu;
#if defined(__CUDACC__) || defined(ERGO_EMULATED)
using namespace cuda::elementary;
#endif
}  // namespace math

namespace detail {

#if defined(__CUDACC__) || defined(ERGO_EMULATED)
struct PointwiseKernels {
  cpu::Loop cpu;
  cuda::MapLaunch cuda;
};
// Of the functor G on a device; In and Out are the types that are stored.
template <class G, class Out, class... In>
constexpr PointwiseKernels kernels_of(const cpu::Loop& loop) {
  return {loop, &cuda::launch_map<G, Out, In...>};
}
template <class F>
using OnDeviceScalars = cuda::ValueOf<F>;
inline void run_pointwise(const Op& op, Args x, int n, DType out, const PointwiseKernels& k, const void* self,
                          Ref<Array>* y, std::uint64_t dying) {
  if (on_device(x, n))
    cuda::pointwise(op, x, n, out, k.cuda, self, y, dying);
  else
    cpu::pointwise(op, x, n, out, k.cpu, self, y, dying);
}
#else
struct PointwiseKernels {
  cpu::Loop cpu;
};
template <class G, class Out, class... In>
constexpr PointwiseKernels kernels_of(const cpu::Loop& loop) {
  return {loop};
}
template <class F>
struct OnDeviceScalars;
inline void run_pointwise(const Op& op, Args x, int n, DType out, const PointwiseKernels& k, const void* self,
                          Ref<Array>* y, std::uint64_t dying) {
  cpu::pointwise(op, x, n, out, k.cpu, self, y, dying);
}
#endif

// Of F::value, a stateless function.
template <class F, class Out, class... In>
inline constexpr PointwiseKernels pointwise_kernels =
    kernels_of<OnDeviceScalars<F>, Out, In...>(cpu::pointwise_loop<F, Compute<Out>, Compute<In>...>);

}  // namespace detail
}  // namespace ergo::inline ERGO_BUILD
