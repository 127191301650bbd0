// Devices and their properties, attributes of kernels, errors.
#include <algorithm>
#include <cstring>

#include "engine/diagnosis.hpp"
#include "limits.hpp"
#include "state.hpp"

using namespace simt;

namespace {

// The devices are not alike, so that results that follow a device's processors differ.
constexpr int processors(int device) { return device == 0 ? 4 : 3; }

bool exists(int device) { return device >= 0 && device < kDevices; }

}  // namespace

cudaError_t cudaGetDeviceCount(int* count) {
  *count = kDevices;
  return cudaSuccess;
}
cudaError_t cudaGetDevice(int* device) {
  *device = simt::current_device;
  return cudaSuccess;
}
cudaError_t cudaSetDevice(int device) {
  if (!exists(device)) {
    return note(refuse(cudaErrorInvalidDevice, "cudaSetDevice(" + std::to_string(device) + "): there are " +
                                                   std::to_string(kDevices) + " devices"));
  }
  simt::current_device = device;
  return cudaSuccess;
}

cudaError_t cudaGetDeviceProperties(cudaDeviceProp* p, int device) {
  if (!exists(device)) return note(cudaErrorInvalidDevice);
  *p = {};
  const std::string name = "emulated device " + std::to_string(device);
  std::copy(name.begin(), name.end(), p->name);
  p->totalGlobalMem = DeviceMemory::of(device).total();
  p->sharedMemPerBlock = kSharedWithoutOptIn;
  p->sharedMemPerBlockOptin = kShared;
  p->sharedMemPerMultiprocessor = kSharedOfProcessor;
  p->major = 9;
  p->minor = 0;
  p->multiProcessorCount = processors(device);
  p->warpSize = 32;
  p->maxThreadsPerBlock = kMostThreads;
  p->maxThreadsPerMultiProcessor = 2048;
  p->regsPerBlock = 65536;
  const int threads[] = {1024, 1024, 64}, grid[] = {kMostGridX, kMostGridYZ, kMostGridYZ};
  std::copy(threads, threads + 3, p->maxThreadsDim);
  std::copy(grid, grid + 3, p->maxGridSize);
  p->l2CacheSize = 50 << 20;
  p->memoryBusWidth = 5120;
  p->unifiedAddressing = p->concurrentKernels = p->canMapHostMemory = 1;
  return cudaSuccess;
}

cudaError_t cudaDeviceGetAttribute(int* value, cudaDeviceAttr attribute, int device) {
  if (!exists(device)) return note(cudaErrorInvalidDevice);
  switch (attribute) {
    case cudaDevAttrMaxThreadsPerBlock:
      *value = kMostThreads;
      break;
    case cudaDevAttrMaxSharedMemoryPerBlock:
      *value = kSharedWithoutOptIn;
      break;
    case cudaDevAttrWarpSize:
      *value = 32;
      break;
    case cudaDevAttrMultiProcessorCount:
      *value = processors(device);
      break;
    case cudaDevAttrL2CacheSize:
      *value = 50 << 20;
      break;
    case cudaDevAttrMaxThreadsPerMultiProcessor:
      *value = 2048;
      break;
    case cudaDevAttrComputeCapabilityMajor:
      *value = 9;
      break;
    case cudaDevAttrComputeCapabilityMinor:
      *value = 0;
      break;
    case cudaDevAttrMaxSharedMemoryPerMultiprocessor:
      *value = kSharedOfProcessor;
      break;
    case cudaDevAttrMaxSharedMemoryPerBlockOptin:
      *value = kShared;
      break;
    case cudaDevAttrMemoryPoolsSupported:
      *value = 1;
      break;
    default:
      return note(refuse(cudaErrorInvalidValue, "cudaDeviceGetAttribute: an attribute that is not emulated"));
  }
  return cudaSuccess;
}

cudaError_t cudaDeviceCanAccessPeer(int* can, int device, int peer) {
  if (!exists(device) || !exists(peer)) return note(cudaErrorInvalidDevice);
  *can = 0;
  return cudaSuccess;
}
cudaError_t cudaDeviceGetStreamPriorityRange(int* least, int* greatest) {
  *least = 0;
  *greatest = -5;
  return cudaSuccess;
}
cudaError_t cudaRuntimeGetVersion(int* version) {
  *version = 13000;
  return cudaSuccess;
}
cudaError_t cudaDriverGetVersion(int* version) { return cudaRuntimeGetVersion(version); }

// Drops the current device's work, memory, streams and errors.
cudaError_t cudaDeviceReset() {
  return call(
      "cudaDeviceReset",
      [](Runtime& r) {
        const int device = r.current_device();
        r.devices[device].lost = cudaErrorInvalidResourceHandle;  // what is queued does not run
        r.force_device(device);
        Device& d = r.devices[device];
        DeviceMemory& memory = DeviceMemory::of(device);
        r.counters.live_bytes -= memory.used();
        memory.release_all();
        for (const auto& [handle, s] : r.streams) {
          if (s->device == device) s->alive = false;
        }
        for (const auto& [handle, e] : r.events) {
          if (e->device == device) e->alive = false;
        }
        d.dynamic_shared_limit.clear();
        d.lost = cudaSuccess;
        last_error = cudaSuccess;
        return cudaSuccess;
      },
      Lost::does_not);
}

cudaError_t cudaFuncSetAttribute(const void* kernel, cudaFuncAttribute attribute, int value) {
  return call("cudaFuncSetAttribute", [&](Runtime& r) {
    if (!kernel) return cudaErrorInvalidDeviceFunction;
    if (attribute != cudaFuncAttributeMaxDynamicSharedMemorySize) return cudaSuccess;
    if (value < 0 || static_cast<std::size_t>(value) > kShared) {
      return refuse(cudaErrorInvalidValue, "cudaFuncSetAttribute: " + std::to_string(value) +
                                               " bytes of dynamic shared memory; a block has at most " +
                                               std::to_string(kShared));
    }
    r.devices[r.current_device()].dynamic_shared_limit[kernel] = value;
    return cudaSuccess;
  });
}

cudaError_t cudaFuncGetAttributes(cudaFuncAttributes* a, const void* kernel) {
  return call("cudaFuncGetAttributes", [&](Runtime& r) {
    if (!kernel) return cudaErrorInvalidDeviceFunction;
    *a = {};
    a->maxThreadsPerBlock = kMostThreads;
    a->numRegs = 32;  // nobody knows here
    a->ptxVersion = a->binaryVersion = 90;
    const auto& limits = r.devices[r.current_device()].dynamic_shared_limit;
    const auto limit = limits.find(kernel);
    a->maxDynamicSharedSizeBytes = limit == limits.end() ? static_cast<int>(kSharedWithoutOptIn) : limit->second;
    return cudaSuccess;
  });
}

// By threads and dynamic shared memory alone: registers are not known.
cudaError_t cudaOccupancyMaxActiveBlocksPerMultiprocessor(int* blocks, const void* kernel, int block_size,
                                                          std::size_t dynamic_shared) {
  return call("cudaOccupancyMaxActiveBlocksPerMultiprocessor", [&](Runtime&) {
    if (!kernel) return cudaErrorInvalidDeviceFunction;
    if (block_size < 1 || block_size > static_cast<int>(kMostThreads)) return cudaErrorInvalidValue;
    const int by_threads = 2048 / ((block_size + 31) / 32 * 32);
    const int by_memory = static_cast<int>(kSharedOfProcessor / (dynamic_shared + 1024));
    *blocks = std::min({by_threads, by_memory, 32});
    return cudaSuccess;
  });
}

cudaError_t cudaGetLastError() {
  const cudaError_t e = cudaPeekAtLastError();
  last_error = cudaSuccess;
  return e;
}

// An error that ended a device's context comes back at every call.
cudaError_t cudaPeekAtLastError() {
  Runtime& r = Runtime::instance();
  const std::lock_guard lock(r.mutex);
  const cudaError_t lost = r.lost(r.current_device());
  return lost ? lost : last_error;
}
