// The CUDA runtime as this library uses it: errors that say what failed and what ran before, the current device of a
// block of code, and the streams of threads. Of a CUDA or an emulated build only.
//
// A thread has one compute stream a device. All its work there is in order, so kernels need no events; beside it one
// copy stream, which prefetching uses (staging.hpp). A thread that ends hands its streams on, with whatever is pending,
// to the next thread: streams live as long as the process. No
// destructor throws, and none waits for a device, but that of a thread with kernels pending that may find its data bad.
#pragma once

#include <cuda_runtime.h>

#include <cstdio>
#include <mutex>
#include <string>
#include <vector>

#include "ergo/core/device.hpp"

namespace ergo::inline ERGO_BUILD::cuda {

inline constexpr int kMaxDevices = 16;

namespace detail {

// The launches a stream saw last, for errors that surface only when the host waits.
struct LaunchRing {
  static constexpr int kKept = 8;
  const char* name[kKept] = {};
  int next = 0;
  void add(const char* what) {
    name[next % kKept] = what;
    ++next;
  }
  ERGO_ONCE std::string text() const {
    std::string s;
    for (int i = next > kKept ? next - kKept : 0; i < next; ++i) {
      if (!s.empty()) s += ", ";
      s += name[i % kKept];
    }
    return s;
  }
};

// What kills a context: every later call fails, whatever it is.
inline bool is_lasting(cudaError_t e) {
  return e == cudaErrorIllegalAddress || e == cudaErrorLaunchFailure || (e >= 702 && e < 720);
}

inline std::string architectures() {
#if defined(__CUDA_ARCH_LIST__)
  std::string text;
  for (int arch : {__CUDA_ARCH_LIST__}) text += (text.empty() ? "sm_" : ", sm_") + std::to_string(arch / 10);
  return text;
#else
  return "the emulated device";
#endif
}
inline std::string architecture_of(int device) {
  int major = 0, minor = 0;
  cudaDeviceGetAttribute(&major, cudaDevAttrComputeCapabilityMajor, device);
  cudaDeviceGetAttribute(&minor, cudaDevAttrComputeCapabilityMinor, device);
  return "sm_" + std::to_string(10 * major + minor);
}

[[noreturn, gnu::cold]] ERGO_ONCE void fail(cudaError_t e, const char* what, const LaunchRing* ring) {
  (void)cudaGetLastError();  // one that does not last is told once
  std::string text = std::string("[") + what + "] CUDA: " + cudaGetErrorString(e) + " (" + cudaGetErrorName(e) + ")";
  if (e == cudaErrorNoDevice) text += "\n  (there is no GPU, or no driver: Device::cpu() runs everywhere)";
  if (e == cudaErrorNoKernelImageForDevice) {
    int device = 0;
    cudaGetDevice(&device);
    text += "\n  (built for " + architectures() + "; this GPU is " + architecture_of(device) + ")";
  }
  if (ring && ring->next) text += "\n  (the last launches: " + ring->text() + ")";
  if (is_lasting(e)) text += "\n  (a kernel failed: this process can use the device no more)";
  throw Error(text);
}

}  // namespace detail

// Throws an Error that names `what` unless a call succeeded.
inline void check(cudaError_t e, const char* what) {
  if (e != cudaSuccess) [[unlikely]]
    detail::fail(e, what, nullptr);
}

// Makes a device the current one for a block.
class OnDevice {
 public:
  explicit OnDevice(int index) {
    check(cudaGetDevice(&before_), "device");
    if (before_ != index) check(cudaSetDevice(index), "device");
    changed_ = before_ != index;
  }
  OnDevice(const OnDevice&) = delete;
  OnDevice& operator=(const OnDevice&) = delete;
  ~OnDevice() {
    if (changed_) (void)cudaSetDevice(before_);
  }

 private:
  int before_ = 0;
  bool changed_ = false;
};

// An event that does not time. Its life ends at once; the work that waits for it is not disturbed.
class Event {
 public:
  Event() { check(cudaEventCreateWithFlags(&event_, cudaEventDisableTiming), "event"); }
  Event(const Event&) = delete;
  Event& operator=(const Event&) = delete;
  ~Event() { (void)cudaEventDestroy(event_); }
  void record(cudaStream_t s) { check(cudaEventRecord(event_, s), "event"); }
  void make_wait(cudaStream_t s) const { check(cudaStreamWaitEvent(s, event_, 0), "event"); }
  void wait() const { check(cudaEventSynchronize(event_), "event"); }

 private:
  cudaEvent_t event_ = nullptr;
};

class FaultList;

// A stream of a device and what was launched on it.
struct Stream {
  int device = 0;
  cudaStream_t handle = nullptr;
  detail::LaunchRing launches;
  FaultList* faults = nullptr;              // what its kernels tell of bad data (cuda/faults.hpp); null: none has yet
  void (*raise_faults)(Stream&) = nullptr;  // not null while a kernel may tell something
  bool keeps_blocks = false;                // the allocator leaves what this stream freed to it

  // Waits for all work of this stream; a kernel's error, and data that one found bad, surface here.
  ERGO_ONCE void synchronize(const char* what = "synchronize") {
    if (const cudaError_t e = cudaStreamSynchronize(handle); e != cudaSuccess) detail::fail(e, what, &launches);
    waited();
  }
  // The host has waited for all work of this stream: data that was found bad is an Error now.
  void waited() {
    if (raise_faults) raise_faults(*this);
  }
  // What `other` was given before now comes first.
  ERGO_ONCE void wait_for(const Stream& other) {
    if (other.handle == handle) return;
    const OnDevice on(other.device);
    Event e;
    e.record(other.handle);
    e.make_wait(handle);
  }
};

namespace detail {

// Streams that no thread has at the moment. Never destroyed.
struct IdleStreams {
  std::mutex mutex;
  std::vector<Stream*> of[kMaxDevices];
  static IdleStreams& instance() {
    static auto* all = new IdleStreams;
    return *all;
  }
};
struct ThreadStreams {
  Stream *of[kMaxDevices] = {}, *copying[kMaxDevices] = {};
  ThreadStreams() { IdleStreams::instance(); }
  ~ThreadStreams() {
    for (Stream* s : of)
      if (s && s->raise_faults) print_faults(*s);
    IdleStreams& idle = IdleStreams::instance();
    const std::lock_guard lock(idle.mutex);
    for (int d = 0; d < kMaxDevices; ++d)
      for (Stream* s : {of[d], copying[d]})
        if (s) idle.of[d].push_back(s);
  }

 private:
  // Nobody will wait for the stream on this thread's account: what was found is said at least.
  static void print_faults(Stream& s) noexcept {
    try {
      const OnDevice on(s.device);
      if (cudaStreamSynchronize(s.handle) == cudaSuccess) s.waited();
    } catch (const std::exception& e) {
      std::fprintf(stderr, "ergo: a thread ended before it was told: %s\n", e.what());
    }
  }
};

ERGO_ONCE Stream* take_stream(int device) {
  IdleStreams& idle = IdleStreams::instance();
  {
    const std::lock_guard lock(idle.mutex);
    auto& list = idle.of[device];
    if (!list.empty()) {
      Stream* s = list.back();
      list.pop_back();
      return s;
    }
    list.reserve(list.capacity() + 1);  // so that giving it back cannot throw
  }
  const OnDevice on(device);
  cudaStream_t handle = nullptr;
  check(cudaStreamCreateWithFlags(&handle, cudaStreamNonBlocking), "stream");
  return new Stream{device, handle, {}, nullptr, nullptr, false};
}
inline void give_stream(Stream* s) noexcept {
  IdleStreams& idle = IdleStreams::instance();
  const std::lock_guard lock(idle.mutex);
  idle.of[s->device].push_back(s);  // in room that was made when it was taken
}
inline ThreadStreams& thread_streams() {
  static thread_local ThreadStreams streams;
  return streams;
}
ERGO_ONCE Stream& thread_stream(Stream* (ThreadStreams::*streams)[kMaxDevices], Device d) {
  const int index = d.index();
  if (index >= kMaxDevices) throw_error({"[device] ", d, ": at most ", kMaxDevices, " devices are used"});
  Stream*& s = (thread_streams().*streams)[index];
  if (!s) s = take_stream(index);
  return *s;
}
// This thread's copy stream on a device.
inline Stream& copy_stream(Device d) { return thread_stream(&ThreadStreams::copying, d); }

// Makes a stream this thread's on its device for a block.
class OnStream {
 public:
  explicit OnStream(Stream& s) : place_(thread_streams().of[s.device]), before_(place_) { place_ = &s; }
  OnStream(const OnStream&) = delete;
  OnStream& operator=(const OnStream&) = delete;
  ~OnStream() { place_ = before_; }

 private:
  Stream*& place_;
  Stream* before_;
};

}  // namespace detail

// This thread's compute stream on a device. [device] Error: there is no such device.
inline Stream& current_stream(Device d) { return detail::thread_stream(&detail::ThreadStreams::of, d); }

}  // namespace ergo::inline ERGO_BUILD::cuda
