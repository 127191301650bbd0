// Copies and fills. Pinned host memory is read and written when the copy runs, in stream order; pageable memory is read
// before the call returns, and a copy into it returns only when it is done.
#include <cstring>
#include <memory>
#include <vector>

#include "engine/diagnosis.hpp"
#include "engine/observer.hpp"
#include "state.hpp"

using namespace simt;

namespace {

// One end of a copy: where it is, and whether it is all there.
struct End {
  const void* p;
  std::size_t bytes;
  int device;  // -1: host

  End(const void* p_, std::size_t bytes_) : p(p_), bytes(bytes_), device(DeviceMemory::device_of_address(p_)) {}

  // What is wrong with it in the order of the program, or empty.
  std::string mistake() const {
    if (device < 0 || bytes == 0) return {};
    const DeviceMemory::Block* b = DeviceMemory::of(device).find(p);
    if (!b) return "an address of device " + std::to_string(device) + " outside every allocation";
    if (b->closing) return "device memory that has been freed";
    const auto offset = static_cast<std::size_t>(static_cast<const char*>(p) - b->begin);
    if (offset + bytes <= b->bytes) return {};
    return std::to_string(bytes) + " bytes from byte " + std::to_string(offset) + " of an allocation of " +
           std::to_string(b->bytes);
  }
  // The same when the copy runs: memory that is only about to be freed is still there.
  std::string mistake_in_stream_order() const {
    if (device < 0) return {};
    const DeviceMemory::Block* b = DeviceMemory::of(device).find(p);
    if (!b || b->freed) return "device memory that was freed before it in stream order";
    return b->exists ? std::string() : "memory of cudaMallocAsync before it exists in stream order";
  }
  unsigned mask() const { return device < 0 ? 0 : 1u << device; }
};

cudaError_t run_copy(const char* name, const End& to, const End& from, const void* source) {
  for (const End* end : {&to, &from}) {
    const std::string mistake = end->mistake_in_stream_order();
    if (!mistake.empty()) return refuse(cudaErrorIllegalAddress, std::string(name) + " touches " + mistake);
  }
  if (observer) {
    const std::string unwritten = to.device < 0 ? observer->unwritten(from.p, from.bytes) : std::string();
    if (!unwritten.empty()) return refuse(cudaErrorLaunchFailure, std::string(name) + " " + unwritten);
    if (to.device >= 0 && from.device >= 0) observer->copied(to.p, from.p, to.bytes);
    if (to.device >= 0 && from.device < 0) observer->written(to.p, to.bytes);
  }
  std::memmove(const_cast<void*>(to.p), source, to.bytes);
  return cudaSuccess;
}

bool fits(cudaMemcpyKind kind, bool to_device, bool from_device) {
  switch (kind) {
    case cudaMemcpyHostToHost:
      return !to_device && !from_device;
    case cudaMemcpyHostToDevice:
      return to_device && !from_device;
    case cudaMemcpyDeviceToHost:
      return !to_device && from_device;
    case cudaMemcpyDeviceToDevice:
      return to_device && from_device;
    default:
      return true;
  }
}

enum class Wait { if_pageable, always };

cudaError_t copy(Runtime& r, const char* name, void* to_, const void* from_, std::size_t bytes, cudaMemcpyKind kind,
                 CUstream_st& s, Wait wait) {
  if (bytes == 0) return cudaSuccess;
  const End to(to_, bytes), from(from_, bytes);
  const bool to_device = to.device >= 0, from_device = from.device >= 0;
  if (!to.p || !from.p) return refuse(cudaErrorInvalidValue, std::string(name) + " with a null pointer");
  if (!fits(kind, to_device, from_device)) {
    const auto side = [](bool device) { return device ? "device" : "host"; };
    return refuse(cudaErrorInvalidValue, std::string(name) + " from " + side(from_device) + " memory to " +
                                             side(to_device) + " memory, but its kind says otherwise");
  }
  for (const End* end : {&to, &from}) {
    const std::string mistake = end->mistake();
    if (!mistake.empty()) return refuse(cudaErrorInvalidValue, std::string(name) + " touches " + mistake);
  }
  Work work{"copy", s.device, to.mask() | from.mask(), {}, nullptr};
  if (to_device && from_device)
    work.traffic.on_device = bytes;
  else if (to_device)
    work.traffic.to_device = bytes;
  else if (from_device)
    work.traffic.to_host = bytes;
  const bool staged = !from_device && to_device && !s.capture && !r.is_pinned(from.p, bytes);
  if (staged) {
    const auto* begin = static_cast<const char*>(from.p);
    auto stage = std::make_shared<const std::vector<char>>(begin, begin + bytes);
    work.run = [=] { return run_copy(name, to, End(stage->data(), bytes), stage->data()); };
  } else {
    work.run = [=] { return run_copy(name, to, from, from.p); };
  }
  if (const cudaError_t e = r.submit(s, std::move(work))) return e;
  const bool pageable = !to_device && !r.is_pinned(to.p, bytes);
  if (!s.capture && (wait == Wait::always || pageable)) {
    ++r.counters.host_waits;
    r.force(OperationPtr(s.last));
  }
  return r.lost(s.device);
}

cudaError_t fill(Runtime& r, const char* name, void* p, int value, std::size_t bytes, CUstream_st& s) {
  if (bytes == 0) return cudaSuccess;
  const End to(p, bytes);
  if (to.device < 0) return refuse(cudaErrorInvalidValue, std::string(name) + " of host memory");
  const std::string mistake = to.mistake();
  if (!mistake.empty()) return refuse(cudaErrorInvalidValue, std::string(name) + " touches " + mistake);
  return r.submit(s, {"fill", s.device, to.mask(), {}, [=] {
                        const std::string late = to.mistake_in_stream_order();
                        if (!late.empty()) {
                          return refuse(cudaErrorIllegalAddress, std::string(name) + " touches " + late);
                        }
                        if (observer) observer->written(p, bytes);
                        std::memset(p, value, bytes);
                        return cudaSuccess;
                      }});
}

}  // namespace

cudaError_t cudaMemcpy(void* to, const void* from, std::size_t bytes, cudaMemcpyKind kind) {
  return call("cudaMemcpy", [&](Runtime& r) {
    if (const cudaError_t e = r.unsafe_in_capture("cudaMemcpy")) return e;
    return copy(r, "cudaMemcpy", to, from, bytes, kind, r.devices[r.current_device()].legacy, Wait::always);
  });
}

cudaError_t cudaMemcpyAsync(void* to, const void* from, std::size_t bytes, cudaMemcpyKind kind, cudaStream_t stream) {
  return call("cudaMemcpyAsync", [&](Runtime& r) {
    CUstream_st* s = r.stream(stream, "cudaMemcpyAsync");
    if (!s) return cudaErrorInvalidResourceHandle;
    return copy(r, "cudaMemcpyAsync", to, from, bytes, kind, *s, Wait::if_pageable);
  });
}

cudaError_t cudaMemcpyPeerAsync(void* to, int to_device, const void* from, int from_device, std::size_t bytes,
                                cudaStream_t stream) {
  return call("cudaMemcpyPeerAsync", [&](Runtime& r) {
    CUstream_st* s = r.stream(stream, "cudaMemcpyPeerAsync");
    if (!s) return cudaErrorInvalidResourceHandle;
    if (DeviceMemory::device_of_address(to) != to_device || DeviceMemory::device_of_address(from) != from_device) {
      return refuse(cudaErrorInvalidValue, "cudaMemcpyPeerAsync: a pointer is not of the device it is said to be of");
    }
    return copy(r, "cudaMemcpyPeerAsync", to, from, bytes, cudaMemcpyDeviceToDevice, *s, Wait::if_pageable);
  });
}

cudaError_t cudaMemcpy2DAsync(void* to, std::size_t to_pitch, const void* from, std::size_t from_pitch,
                              std::size_t width, std::size_t height, cudaMemcpyKind kind, cudaStream_t stream) {
  return call("cudaMemcpy2DAsync", [&](Runtime& r) {
    CUstream_st* s = r.stream(stream, "cudaMemcpy2DAsync");
    if (!s) return cudaErrorInvalidResourceHandle;
    if (width > to_pitch || width > from_pitch) return cudaErrorInvalidValue;
    for (std::size_t row = 0; row < height; ++row) {
      const cudaError_t e = copy(r, "cudaMemcpy2DAsync", static_cast<char*>(to) + row * to_pitch,
                                 static_cast<const char*>(from) + row * from_pitch, width, kind, *s, Wait::if_pageable);
      if (e) return e;
    }
    return cudaSuccess;
  });
}

cudaError_t cudaMemset(void* p, int value, std::size_t bytes) {
  return call("cudaMemset",
              [&](Runtime& r) { return fill(r, "cudaMemset", p, value, bytes, r.devices[r.current_device()].legacy); });
}

cudaError_t cudaMemsetAsync(void* p, int value, std::size_t bytes, cudaStream_t stream) {
  return call("cudaMemsetAsync", [&](Runtime& r) {
    CUstream_st* s = r.stream(stream, "cudaMemsetAsync");
    if (!s) return cudaErrorInvalidResourceHandle;
    return fill(r, "cudaMemsetAsync", p, value, bytes, *s);
  });
}
