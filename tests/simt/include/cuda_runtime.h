// What a .cuh file of ergo includes, found in place of the toolkit's header where kernels are compiled for the CPU:
// device code's built-ins, the runtime's calls, and the launch of a kernel.
#pragma once

#include <type_traits>
#include <utility>

#include "cuda_runtime_api.h"
#include "simt/atomics.hpp"
#include "simt/execution.hpp"
#include "simt/float16.hpp"
#include "simt/intrinsics.hpp"
#include "simt/tensor_core.hpp"
#include "simt/warp.hpp"

namespace simt {

// A call of a kernel, its types erased. Here and not more, since every kernel instantiates it.
struct KernelCall {
  struct Parameter {
    const void* value;
    std::size_t bytes, align;
    bool pointer;  // to data
  };
  // What body, one thread's run of the kernel, is handed.
  struct Arguments {
    void* kernel;
    const void* const* value;
  };
  void* kernel;
  void (*body)(void* arguments);
  const Parameter* parameters;
  int parameter_count;
};
cudaError_t launch(const cudaLaunchConfig_t&, const KernelCall&);

template <class T>
inline constexpr bool is_data_pointer = std::is_pointer_v<T> && !std::is_function_v<std::remove_pointer_t<T>>;

template <class... P, std::size_t... I>
cudaError_t launch(const cudaLaunchConfig_t& config, void (*kernel)(P...), std::index_sequence<I...>, const P&... p) {
  const KernelCall::Parameter parameters[] = {{&p, sizeof(P), alignof(P), is_data_pointer<P>}..., {}};
  return launch(config, {reinterpret_cast<void*>(kernel),
                         [](void* arguments) {
                           const auto& a = *static_cast<const KernelCall::Arguments*>(arguments);
                           reinterpret_cast<void (*)(P...)>(a.kernel)(*static_cast<const P*>(a.value[I])...);
                         },
                         parameters, static_cast<int>(sizeof...(P))});
}

}  // namespace simt

template <class... P, class... A>
cudaError_t cudaLaunchKernelEx(const cudaLaunchConfig_t* config, void (*kernel)(P...), A&&... arguments) {
  static_assert((!std::is_reference_v<P> && ...), "a parameter of a kernel cannot be a reference");
  static_assert((std::is_trivially_copyable_v<P> && ...), "the parameters of a kernel must be trivially copyable");
  return simt::launch<P...>(*config, kernel, std::index_sequence_for<P...>{},
                            static_cast<P>(std::forward<A>(arguments))...);
}
