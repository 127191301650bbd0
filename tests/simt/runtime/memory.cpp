// Device memory and pinned host memory.
#include <algorithm>
#include <cstdlib>
#include <cstring>

#include "engine/diagnosis.hpp"
#include "state.hpp"

using namespace simt;

namespace {

DeviceMemory::Block* find(const void* p) {
  const int device = DeviceMemory::device_of_address(p);
  return device < 0 ? nullptr : DeviceMemory::of(device).find(p);
}

std::string bytes_text(std::size_t n) { return std::to_string(n) + " bytes"; }

// Reserves a block of `device`, or leaves null.
cudaError_t allocate(Runtime& r, void** p, std::size_t bytes, int device, bool exists) {
  *p = nullptr;
  if (bytes == 0) return cudaSuccess;
  if (r.fail_allocation > 0 && --r.fail_allocation == 0) return cudaErrorMemoryAllocation;
  DeviceMemory::Block* block = DeviceMemory::of(device).allocate(bytes, exists);
  if (!block) return cudaErrorMemoryAllocation;
  *p = block->begin;
  Counters& c = r.counters;
  ++c.allocations;
  c.live_bytes += bytes;
  c.peak_bytes = std::max(c.peak_bytes, c.live_bytes);
  return cudaSuccess;
}

// Marks a block as freed in the order of the program; `name` is the call's.
cudaError_t close(Runtime& r, void* p, const char* name, DeviceMemory::Block** block) {
  DeviceMemory::Block* b = find(p);
  if (!b || b->begin != p) {
    return refuse(cudaErrorInvalidValue, std::string(name) + " of a pointer that no allocation returned");
  }
  if (b->closing) return refuse(cudaErrorInvalidValue, std::string(name) + " of memory that is free already");
  b->closing = true;
  ++r.counters.frees;
  r.counters.live_bytes -= b->bytes;
  *block = b;
  return cudaSuccess;
}

void release(DeviceMemory& memory, DeviceMemory::Block& block) {
  memory.open();
  const std::string damage = memory.damage(block);
  if (!damage.empty()) {
    diagnose("memory of " + bytes_text(block.bytes) + " was overwritten past its end, " + damage +
             ", found when it was freed");
  }
  memory.release(block);
}

}  // namespace

cudaError_t cudaMalloc(void** p, std::size_t bytes) {
  return call("cudaMalloc", [&](Runtime& r) {
    if (!p) return cudaErrorInvalidValue;
    *p = nullptr;
    if (const cudaError_t e = r.unsafe_in_capture("cudaMalloc")) return e;
    return allocate(r, p, bytes, r.current_device(), true);
  });
}

// Waits for the whole device, as CUDA's does.
cudaError_t cudaFree(void* p) {
  return call("cudaFree", [&](Runtime& r) {
    if (!p) return cudaSuccess;
    if (const cudaError_t e = r.unsafe_in_capture("cudaFree")) return e;
    DeviceMemory::Block* block = nullptr;
    if (const cudaError_t e = close(r, p, "cudaFree", &block)) return e;
    const int device = DeviceMemory::device_of_address(p);
    ++r.counters.host_waits;
    r.force_device(device);
    release(DeviceMemory::of(device), *block);
    return r.lost(device);
  });
}

// The address is known at once; the memory behind it exists in stream order only.
cudaError_t cudaMallocAsync(void** p, std::size_t bytes, cudaStream_t stream) {
  return call("cudaMallocAsync", [&](Runtime& r) {
    CUstream_st* s = r.stream(stream, "cudaMallocAsync");
    if (!s) return cudaErrorInvalidResourceHandle;
    if (!p) return cudaErrorInvalidValue;
    *p = nullptr;
    if (s->capture) {
      s->capture->valid = false;
      return refuse(cudaErrorNotSupported, "cudaMallocAsync in a capture: memory nodes are not emulated");
    }
    const int device = s->device;
    if (const cudaError_t e = allocate(r, p, bytes, device, false)) return e;
    if (!*p) return cudaSuccess;
    return r.submit(*s, {"allocation", device, 1u << device, {}, [device, q = *p] {
                           DeviceMemory::Block* b = DeviceMemory::of(device).find(q);
                           if (b && !b->freed) DeviceMemory::of(device).begin_to_exist(*b);
                           return cudaSuccess;
                         }});
  });
}
cudaError_t cudaMallocFromPoolAsync(void** p, std::size_t bytes, cudaMemPool_t, cudaStream_t stream) {
  return cudaMallocAsync(p, bytes, stream);
}

cudaError_t cudaFreeAsync(void* p, cudaStream_t stream) {
  return call("cudaFreeAsync", [&](Runtime& r) {
    CUstream_st* s = r.stream(stream, "cudaFreeAsync");
    if (!s) return cudaErrorInvalidResourceHandle;
    if (!p) return cudaSuccess;
    if (s->capture) {
      s->capture->valid = false;
      return refuse(cudaErrorNotSupported, "cudaFreeAsync in a capture: memory nodes are not emulated");
    }
    DeviceMemory::Block* block = nullptr;
    if (const cudaError_t e = close(r, p, "cudaFreeAsync", &block)) return e;
    const int device = DeviceMemory::device_of_address(p);
    return r.submit(*s, {"free", s->device, 1u << device, {}, [device, p] {
                           DeviceMemory& memory = DeviceMemory::of(device);
                           DeviceMemory::Block* b = memory.find(p);
                           if (b && !b->freed) release(memory, *b);
                           return cudaSuccess;
                         }});
  });
}

cudaError_t cudaHostAlloc(void** p, std::size_t bytes, unsigned) {
  return call("cudaHostAlloc", [&](Runtime& r) {
    if (!p) return cudaErrorInvalidValue;
    *p = nullptr;
    if (const cudaError_t e = r.unsafe_in_capture("cudaHostAlloc")) return e;
    if (bytes == 0) return cudaSuccess;
    if (r.fail_pinned_allocation > 0 && --r.fail_pinned_allocation == 0) return cudaErrorMemoryAllocation;
    constexpr std::size_t kAlign = 256;
    void* memory = std::aligned_alloc(kAlign, (bytes + kAlign - 1) / kAlign * kAlign);
    if (!memory) return cudaErrorMemoryAllocation;
    std::memset(memory, 0xff, bytes);
    r.pinned[static_cast<const char*>(memory)] = bytes;
    *p = memory;
    return cudaSuccess;
  });
}
cudaError_t cudaMallocHost(void** p, std::size_t bytes) { return cudaHostAlloc(p, bytes, cudaHostAllocDefault); }

// Waits for every device: work in flight may still read or write the memory.
cudaError_t cudaFreeHost(void* p) {
  return call("cudaFreeHost", [&](Runtime& r) {
    if (!p) return cudaSuccess;
    if (const cudaError_t e = r.unsafe_in_capture("cudaFreeHost")) return e;
    if (!r.pinned.contains(static_cast<const char*>(p))) {
      return refuse(cudaErrorInvalidValue, "cudaFreeHost of a pointer that cudaHostAlloc did not return");
    }
    for (int d = 0; d < kDevices; ++d) r.force_device(d);
    r.pinned.erase(static_cast<const char*>(p));
    std::free(p);
    return cudaSuccess;
  });
}

cudaError_t cudaHostGetDevicePointer(void** device, void* host, unsigned) {
  return call("cudaHostGetDevicePointer", [&](Runtime& r) {
    if (!r.is_pinned(host, 0)) return cudaErrorInvalidValue;
    *device = host;
    return cudaSuccess;
  });
}

cudaError_t cudaMemGetInfo(std::size_t* free, std::size_t* total) {
  return call("cudaMemGetInfo", [&](Runtime& r) {
    const DeviceMemory& memory = DeviceMemory::of(r.current_device());
    *total = memory.total();
    *free = memory.total() - memory.used();
    return cudaSuccess;
  });
}

cudaError_t cudaPointerGetAttributes(cudaPointerAttributes* attributes, const void* p) {
  return call("cudaPointerGetAttributes", [&](Runtime& r) {
    void* plain = const_cast<void*>(p);
    const DeviceMemory::Block* b = find(p);
    if (b && !b->closing)
      *attributes = {cudaMemoryTypeDevice, DeviceMemory::device_of_address(p), plain, nullptr};
    else if (r.is_pinned(p, 0))
      *attributes = {cudaMemoryTypeHost, r.current_device(), plain, plain};
    else
      *attributes = {cudaMemoryTypeUnregistered, -2, nullptr, plain};
    return cudaSuccess;
  });
}

cudaError_t cudaDeviceGetDefaultMemPool(cudaMemPool_t* pool, int device) {
  return call("cudaDeviceGetDefaultMemPool", [&](Runtime& r) {
    if (device < 0 || device >= kDevices) return cudaErrorInvalidDevice;
    *pool = &r.devices[device].pool;
    return cudaSuccess;
  });
}
cudaError_t cudaMemPoolSetAttribute(cudaMemPool_t pool, cudaMemPoolAttr attribute, void* value) {
  return call("cudaMemPoolSetAttribute", [&](Runtime&) {
    if (attribute == cudaMemPoolAttrReleaseThreshold) pool->threshold = *static_cast<unsigned long long*>(value);
    return cudaSuccess;
  });
}
cudaError_t cudaMemPoolGetAttribute(cudaMemPool_t pool, cudaMemPoolAttr attribute, void* value) {
  return call("cudaMemPoolGetAttribute", [&](Runtime&) {
    const DeviceMemory& memory = DeviceMemory::of(pool->device);
    auto* bytes = static_cast<unsigned long long*>(value);
    switch (attribute) {
      case cudaMemPoolAttrReleaseThreshold:
        *bytes = pool->threshold;
        break;
      case cudaMemPoolAttrReservedMemHigh:
      case cudaMemPoolAttrUsedMemHigh:
        *bytes = memory.peak();
        break;
      case cudaMemPoolAttrReservedMemCurrent:
      case cudaMemPoolAttrUsedMemCurrent:
        *bytes = memory.used();
        break;
      default:
        *static_cast<int*>(value) = 1;
    }
    return cudaSuccess;
  });
}
cudaError_t cudaMemPoolTrimTo(cudaMemPool_t, std::size_t) {
  return call("cudaMemPoolTrimTo", [](Runtime&) { return cudaSuccess; });
}
