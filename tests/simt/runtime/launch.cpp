// Launches: the limits of a device, the pointers among the parameters, and the kernel's run.
#include <cstring>
#include <memory>
#include <new>

#include "cuda_runtime.h"
#include "engine/diagnosis.hpp"
#include "engine/grid.hpp"
#include "limits.hpp"
#include "ptx/translation.hpp"
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

// The parameters that are pointers, with their places in the list.
struct Pointer {
  const void* value;
  int place;
};
std::vector<Pointer> pointers_of(const KernelCall& k) {
  std::vector<Pointer> all;
  for (int i = 0; i < k.parameter_count; ++i) {
    if (k.parameters[i].pointer) all.push_back({*static_cast<void* const*>(k.parameters[i].value), i + 1});
  }
  return all;
}
std::string parameter(const Pointer& p) { return "parameter " + std::to_string(p.place) + " is "; }

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
  std::size_t bytes = 0;
  for (int i = 0; i < k.parameter_count; ++i) bytes += k.parameters[i].bytes;
  if (bytes > kMostParameterBytes) {
    return refuse(cudaErrorInvalidValue,
                  std::to_string(bytes) + " bytes of parameters; at most " + std::to_string(kMostParameterBytes));
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

// What a launch runs, the kernel of the host's compiler or its translation from PTX, with the parameters as it keeps
// them: one after the other, each aligned, as CUDA lays them out. KernelCall::Arguments and its table come before them.
struct Program {
  Launch launch;
  std::shared_ptr<char> memory;
  std::size_t parameters = 0, bytes = 0;  // where they begin and end

  Program(const cudaLaunchConfig_t& c, const KernelCall& k)
      : launch{c.gridDim, c.blockDim, c.dynamicSmemBytes, k.kernel, k.body} {
    using Table = KernelCall::Arguments;
    const auto count = static_cast<std::size_t>(k.parameter_count);
    const auto up = [](std::size_t n, std::size_t to) { return (n + to - 1) / to * to; };
    parameters = bytes = up(sizeof(Table) + count * sizeof(void*), kAlign);
    std::vector<std::size_t> at(count);
    for (std::size_t i = 0; i < count; ++i) {
      at[i] = up(bytes, k.parameters[i].align);
      bytes = at[i] + k.parameters[i].bytes;
    }
    memory.reset(static_cast<char*>(::operator new (bytes, std::align_val_t{kAlign})),
                 [](char* p) { ::operator delete (p, std::align_val_t{kAlign}); });
    auto* values = reinterpret_cast<const void**>(memory.get() + sizeof(Table));
    for (std::size_t i = 0; i < count; ++i) {
      values[i] = std::memcpy(memory.get() + at[i], k.parameters[i].value, k.parameters[i].bytes);
    }
    launch.arguments = new (memory.get()) Table{k.kernel, values};
    launch.argument_bytes = bytes;
  }
  std::size_t offset(int i) const {  // of a parameter among the parameters
    const auto* table = static_cast<const KernelCall::Arguments*>(launch.arguments);
    return static_cast<std::size_t>(static_cast<const char*>(table->value[i]) - memory.get()) - parameters;
  }

 private:
  static constexpr std::size_t kAlign = 64;
};

// Has a launch run the kernel that nvcc made. Refuses what the two compilers see differently, and a block larger than
// __launch_bounds__, for which nvcc may give the kernel more registers than such a block has.
cudaError_t use_translation(const KernelCall& k, Program& program) {
  const auto refuse = [&](cudaError_t e, const std::string& what) {
    return simt::refuse(e, "launch of " + kernel_signature(k.kernel) + " translated from PTX: " + what);
  };
  const ptx::Kernel* t = ptx::find(k.kernel);
  if (!t) return refuse(cudaErrorInvalidDeviceFunction, "the library of SIMT_PTX has no such kernel");
  if (t->parameters.size() != static_cast<std::size_t>(k.parameter_count)) {
    return refuse(cudaErrorInvalidValue, "it has " + std::to_string(t->parameters.size()) + " parameters, not " +
                                             std::to_string(k.parameter_count));
  }
  const dim3 b = program.launch.block;
  if (t->most_threads && b.x * b.y * b.z > t->most_threads) {
    return refuse(cudaErrorLaunchOutOfResources,
                  "block " + text(b) + ", __launch_bounds__ allows " + std::to_string(t->most_threads) + " threads");
  }
  if (t->shared + program.launch.shared > kShared) {
    return refuse(cudaErrorInvalidValue,
                  std::to_string(t->shared) + " bytes of static and " + std::to_string(program.launch.shared) +
                      " of dynamic shared memory; a block has at most " + std::to_string(kShared));
  }
  for (int i = 0; i < k.parameter_count; ++i) {
    const auto [offset, bytes] = t->parameters[static_cast<std::size_t>(i)];
    if (bytes != k.parameters[i].bytes || offset != program.offset(i)) {
      return refuse(cudaErrorInvalidValue, "parameter " + std::to_string(i + 1) + " has " + std::to_string(bytes) +
                                               " bytes at " + std::to_string(offset) + " there and " +
                                               std::to_string(k.parameters[i].bytes) + " at " +
                                               std::to_string(program.offset(i)) + " here");
    }
  }
  program.launch.body = t->body;
  program.launch.arguments = program.memory.get() + program.parameters;
  program.launch.argument_bytes = program.bytes - program.parameters;
  program.launch.shared += t->shared;
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
    const std::vector<Pointer> pointers = pointers_of(k);
    for (const Pointer& p : pointers) {
      const std::string wrong = mistake(r, p.value, device);
      if (wrong.empty()) continue;
      if (s->capture) s->capture->valid = false;
      // A GPU would fault while the kernel runs, and lose its context.
      r.devices[device].lost = cudaErrorIllegalAddress;
      return refuse(cudaErrorIllegalAddress, "launch of " + signature() + ": " + parameter(p) + wrong);
    }
    Program program(c, k);
    if (ptx::in_use()) {
      if (const cudaError_t e = use_translation(k, program)) return e;
    }
    const auto run = [program, device, signature, pointers] {
      for (const Pointer& p : pointers) {
        const std::string wrong = mistake_in_stream_order(p.value, device);
        if (!wrong.empty()) return refuse(cudaErrorIllegalAddress, signature() + " runs: " + parameter(p) + wrong);
      }
      switch (run_grid(program.launch, device)) {
        case Outcome::failed:
          return cudaErrorLaunchFailure;
        case Outcome::fault:
          return cudaErrorIllegalAddress;
        default:
          return check_ends(program.launch.kernel, program.memory.get(), program.bytes, device);
      }
    };
    Traffic traffic;
    traffic.kernel = k.kernel;
    return r.submit(*s, {"kernel", device, 1u << device, traffic, run});
  });
}

}  // namespace simt
