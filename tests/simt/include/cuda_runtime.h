// What a .cuh file of ergo includes, found in place of the toolkit's header where kernels are compiled for the CPU:
// device code's built-ins, the runtime's calls, and the launch of a kernel.
#pragma once

#include <memory>
#include <tuple>
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

// A call of a kernel, its types erased: body(arguments) is what each thread runs.
struct KernelCall {
  const void* kernel;
  void (*body)(void*);
  std::shared_ptr<void> arguments;
  std::size_t bytes;            // of `arguments`
  std::size_t parameter_bytes;  // as CUDA counts them
  // The parameters that are pointers, with their places in the list.
  struct Pointer {
    const void* value;
    int place;
  };
  const Pointer* pointers;
  int pointer_count;
};
cudaError_t launch(const cudaLaunchConfig_t&, const KernelCall&);

template <class T>
inline constexpr bool is_data_pointer = std::is_pointer_v<T> && !std::is_function_v<std::remove_pointer_t<T>>;

}  // namespace simt

template <class... P, class... A>
cudaError_t cudaLaunchKernelEx(const cudaLaunchConfig_t* config, void (*kernel)(P...), A&&... arguments) {
  static_assert((!std::is_reference_v<P> && ...), "a parameter of a kernel cannot be a reference");
  static_assert((std::is_trivially_copyable_v<P> && ...), "the parameters of a kernel must be trivially copyable");
  struct Call {
    void (*kernel)(P...);
    std::tuple<P...> arguments;
  };
  auto call = std::make_shared<Call>(Call{kernel, std::tuple<P...>(static_cast<P>(std::forward<A>(arguments))...)});
  simt::KernelCall::Pointer pointers[sizeof...(P) + 1];
  int count = 0, place = 0;
  const auto note = [&](const auto& parameter) {
    ++place;
    if constexpr (simt::is_data_pointer<std::remove_cvref_t<decltype(parameter)>>) {
      pointers[count++] = {const_cast<const void*>(static_cast<const volatile void*>(parameter)), place};
    }
  };
  std::apply([&](const auto&... parameter) { (note(parameter), ...); }, call->arguments);
  const auto body = [](void* p) {
    auto& c = *static_cast<Call*>(p);
    std::apply(c.kernel, c.arguments);
  };
  return simt::launch(*config, {reinterpret_cast<const void*>(kernel), body, call, sizeof(Call),
                                (sizeof(P) + ... + std::size_t{0}), pointers, count});
}
