// Launches: the limits of a device, the pointers among the parameters, and the kernel's run.
#include <cstring>

#include "cuda_runtime.h"
#include "engine/diagnosis.hpp"
#include "engine/grid.hpp"
#include "limits.hpp"
#include "state.hpp"

namespace simt {
namespace {

std::string text(dim3 d) { return tuple(d.x, d.y, d.z); }

// What a parameter that is a pointer must not be, in the order of the program; empty when it is fine.
std::string mistake(const Runtime& r, const void* p, int device) {
  if (!p || r.is_pinned(p, 0)) return {};
  const int owner = DeviceMemory::device_of_address(p);
  if (owner < 0) return "a host pointer; kernels reach device memory and pinned memory only";
  if (owner != device) {
    return "memory of device " + std::to_string(owner) + ", but the kernel is launched on device " +
           std::to_string(device);
  }
  const DeviceMemory::Block* b = DeviceMemory::of(owner).find(p);
  if (!b) return "an address of the device outside every allocation";
  return b->closing ? "device memory that has been freed" : std::string();
}

// The same when the kernel runs.
std::string mistake_in_stream_order(const void* p, int device) {
  if (!p || DeviceMemory::device_of_address(p) != device) return {};
  const DeviceMemory::Block* b = DeviceMemory::of(device).find(p);
  if (!b || b->freed) return "device memory that was freed before the kernel in stream order";
  return b->exists ? std::string() : "memory of cudaMallocAsync that does not exist yet in stream order";
}

std::string parameter(const KernelCall::Pointer& p) { return "parameter " + std::to_string(p.place) + " is "; }

// Looks at the ends of all blocks that a parameter, or a word of one, points into.
cudaError_t check_ends(const void* kernel, const void* arguments, std::size_t bytes, int device) {
  DeviceMemory& memory = DeviceMemory::of(device);
  for (std::size_t at = 0; at + sizeof(void*) <= bytes; at += sizeof(void*)) {
    const void* p = nullptr;
    std::memcpy(&p, static_cast<const char*>(arguments) + at, sizeof p);
    const DeviceMemory::Block* b = DeviceMemory::device_of_address(p) == device ? memory.find(p) : nullptr;
    if (!b || b->freed) continue;
    const std::string damage = memory.damage(*b);
    if (damage.empty()) continue;
    return refuse(cudaErrorIllegalAddress, "a kernel wrote past the end of an allocation of " +
                                               std::to_string(b->bytes) + " bytes: " + damage + "\n  in " +
                                               kernel_signature(kernel));
  }
  return cudaSuccess;
}

cudaError_t check_shape(Runtime& r, const cudaLaunchConfig_t& c, const KernelCall& k, int device) {
  const auto refuse = [&](cudaError_t e, const std::string& what) {
    return simt::refuse(e, "launch of " + kernel_signature(k.kernel) + ": " + what);
  };
  const dim3 g = c.gridDim, b = c.blockDim;
  if (g.x == 0 || g.y == 0 || g.z == 0 || g.x > kMostGridX || g.y > kMostGridYZ || g.z > kMostGridYZ) {
    return refuse(cudaErrorInvalidConfiguration,
                  "grid " + text(g) + "; sizes are 1 to " + tuple(kMostGridX, kMostGridYZ, kMostGridYZ));
  }
  if (b.x == 0 || b.y == 0 || b.z == 0 || b.x > 1024 || b.y > 1024 || b.z > 64 || b.x * b.y * b.z > kMostThreads) {
    return refuse(cudaErrorInvalidConfiguration,
                  "block " + text(b) + "; a block has 1 to 1024 threads, sizes are at most (1024, 1024, 64)");
  }
  if (k.parameter_bytes > kMostParameterBytes) {
    return refuse(cudaErrorInvalidValue, std::to_string(k.parameter_bytes) + " bytes of parameters; at most " +
                                             std::to_string(kMostParameterBytes));
  }
  const auto& limits = r.devices[device].dynamic_shared_limit;
  const auto limit = limits.find(k.kernel);
  const std::size_t allowed = limit == limits.end() ? kSharedWithoutOptIn : static_cast<std::size_t>(limit->second);
  if (c.dynamicSmemBytes > allowed) {
    return refuse(cudaErrorInvalidValue,
                  std::to_string(c.dynamicSmemBytes) + " bytes of dynamic shared memory; " + std::to_string(allowed) +
                      " are allowed, more after cudaFuncSetAttribute(MaxDynamicSharedMemorySize) on this device");
  }
  if (c.numAttrs != 0) return refuse(cudaErrorNotSupported, "launch attributes are not emulated");
  return cudaSuccess;
}

}  // namespace

cudaError_t launch(const cudaLaunchConfig_t& c, const KernelCall& k) {
  return call("cudaLaunchKernelEx", [&](Runtime& r) {
    if (!k.kernel) return refuse(cudaErrorInvalidDeviceFunction, "launch of a null kernel");
    CUstream_st* s = r.stream(c.stream, "cudaLaunchKernelEx");
    if (!s) return cudaErrorInvalidResourceHandle;
    const int device = r.current_device();
    const auto signature = [kernel = k.kernel] { return kernel_signature(kernel); };
    if (s->device != device) {
      return refuse(cudaErrorInvalidResourceHandle, "launch of " + signature() + " to a stream of device " +
                                                        std::to_string(s->device) + " while device " +
                                                        std::to_string(device) + " is current");
    }
    if (const cudaError_t e = check_shape(r, c, k, device)) return e;
    for (int i = 0; i < k.pointer_count; ++i) {
      const std::string wrong = mistake(r, k.pointers[i].value, device);
      if (wrong.empty()) continue;
      if (s->capture) s->capture->valid = false;
      // A GPU would fault while the kernel runs, and lose its context.
      r.devices[device].lost = cudaErrorIllegalAddress;
      return refuse(cudaErrorIllegalAddress, "launch of " + signature() + ": " + parameter(k.pointers[i]) + wrong);
    }
    std::vector<KernelCall::Pointer> pointers(k.pointers, k.pointers + k.pointer_count);
    const Launch launch{c.gridDim, c.blockDim, c.dynamicSmemBytes, k.kernel, k.body, k.arguments.get(), k.bytes};
    const auto run = [launch, device, signature, bytes = k.bytes, arguments = k.arguments,
                      pointers = std::move(pointers)] {
      for (const auto& p : pointers) {
        const std::string wrong = mistake_in_stream_order(p.value, device);
        if (!wrong.empty()) return refuse(cudaErrorIllegalAddress, signature() + " runs: " + parameter(p) + wrong);
      }
      switch (run_grid(launch, device)) {
        case Outcome::failed:
          return cudaErrorLaunchFailure;
        case Outcome::fault:
          return cudaErrorIllegalAddress;
        default:
          return check_ends(launch.kernel, arguments.get(), bytes, device);
      }
    };
    Traffic traffic;
    traffic.kernel = k.kernel;
    return r.submit(*s, {"kernel", device, 1u << device, traffic, run});
  });
}

}  // namespace simt
