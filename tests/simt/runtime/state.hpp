// The state of the emulated runtime: devices, streams, work that waits to run, captures. One lock guards all of it, and
// is held while work runs: so one operation runs at a time, on whichever host thread waits for it.
#pragma once

#include <chrono>
#include <deque>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <thread>
#include <unordered_map>
#include <vector>

#include "cuda_runtime_api.h"
#include "engine/device_memory.hpp"
#include "engine/random.hpp"
#include "simt/control.hpp"

namespace simt {

// What an operation counts as.
struct Traffic {
  const void* kernel = nullptr;
  bool library = false;
  std::size_t to_device = 0, to_host = 0, on_device = 0;  // bytes
};

// An operation of a stream or node of a graph. `run` may be called many times; what it returns, if not cudaSuccess,
// ends the device's context.
struct Work {
  std::string what;  // "kernel", "copy", ...: a graph's update compares it
  int device = 0;
  unsigned devices = 0;  // whose memory it touches, a bit each
  Traffic traffic;
  std::function<cudaError_t()> run;
};

struct Operation {
  Work work;
  std::vector<std::shared_ptr<Operation>> after;  // what must have run before
  bool done = false;
  std::chrono::steady_clock::time_point finished;
};
using OperationPtr = std::shared_ptr<Operation>;

// A captured graph: nodes in the order of capture, each with the nodes that it comes after.
struct Graph {
  struct Node {
    Work work;
    std::vector<std::size_t> after;
  };
  std::vector<Node> nodes;
};

struct Capture {
  Graph graph;
  cudaStreamCaptureMode mode = cudaStreamCaptureModeGlobal;
  std::thread::id thread;
  bool valid = true;
};
using Frontier = std::vector<std::size_t>;  // the last nodes of a stream or event in a capture

}  // namespace simt

struct CUstream_st {
  int device = 0;
  unsigned number = 0;   // in the order of creation
  bool blocking = true;  // waits for the legacy stream and makes it wait
  bool alive = true;
  simt::OperationPtr last;
  std::vector<simt::OperationPtr> waits;  // of cudaStreamWaitEvent, for the next operation
  std::shared_ptr<simt::Capture> capture;
  simt::Frontier frontier;
  bool origin = false;  // of the capture
};
struct CUevent_st {
  int device = 0;
  bool timing = true, alive = true;
  simt::OperationPtr operation;
  std::shared_ptr<simt::Capture> capture;
  simt::Frontier frontier;
};
struct CUgraph_st {
  simt::Graph graph;
};
struct CUgraphExec_st {
  simt::Graph graph;
  int device = 0;
};
struct CUmemPoolHandle_st {
  int device = 0;
  unsigned long long threshold = 0;
};

namespace simt {

struct Device {
  cudaError_t lost = cudaSuccess;  // the error that ended its context; every later call returns it
  CUstream_st legacy;
  CUmemPoolHandle_st pool;
  std::unordered_map<const void*, int> dynamic_shared_limit;  // of kernels that asked for more than 48 KiB
};

// A range of pinned host memory, by its beginning.
using Pinned = std::map<const char*, std::size_t>;

struct Runtime {
  std::mutex mutex;
  Device devices[kDevices];
  // Handles, destroyed ones too, so that a stale one is known: their addresses are not used again.
  std::unordered_map<const void*, std::unique_ptr<CUstream_st>> streams;
  std::unordered_map<const void*, std::unique_ptr<CUevent_st>> events;
  std::deque<OperationPtr> pending;                // in the order of issue
  std::vector<std::shared_ptr<Capture>> captures;  // begun and not ended
  Pinned pinned;
  Options options;
  Random dice;
  long fail_allocation = 0, fail_pinned_allocation = 0;
  Counters counters;
  std::unordered_map<const void*, std::string> names;  // of kernels

  static Runtime& instance();

  int current_device() const;
  // The stream behind a handle, or null with a diagnosis.
  CUstream_st* stream(cudaStream_t handle, const char* call);
  CUevent_st* event(cudaEvent_t handle, const char* call);
  // The streams of a device that the legacy stream waits for, oldest first.
  std::vector<CUstream_st*> blocking_streams(int device) const;
  bool is_pinned(const void* p, std::size_t bytes) const;

  // Appends work to a stream, or to the graph that the stream is captured into.
  cudaError_t submit(CUstream_st& stream, Work work);
  // Runs an operation and what it depends on; nothing else when streams are lazy.
  void force(const OperationPtr& operation);
  void force_device(int device);
  void execute(Operation& operation);
  cudaError_t lost(int device) const { return devices[device].lost; }
  void count(const Traffic& traffic);
  void open_memory(unsigned devices);  // of these devices, and closes that of the others
  void close_memory() { open_memory(0); }
  // Whether a call that captures forbid may run now: not while this thread captures, nor while any thread captures in
  // global mode. If not, the captures concerned become invalid.
  cudaError_t unsafe_in_capture(const char* call);

 private:
  void wander(bool waiting);
};

// The error of this host thread, for cudaGetLastError.
extern thread_local cudaError_t last_error;
extern thread_local int current_device;
extern thread_local cudaStreamCaptureMode capture_mode;
extern thread_local bool inside_work;  // this thread runs a kernel or a host function right now

// Records an error of this thread.
inline cudaError_t note(cudaError_t e) {
  if (e != cudaSuccess && e != cudaErrorNotReady) last_error = e;
  return e;
}
// A mistake of the caller: says what, and returns the error.
cudaError_t refuse(cudaError_t e, const std::string& what);

// One call of the API: takes the lock, answers with the error of a lost context, and closes the devices' memory to the
// host on the way out. f(runtime) returns the call's status.
enum class Lost { matters, does_not };
template <class F>
cudaError_t call(const char* name, F f, Lost lost = Lost::matters) {
  if (inside_work) {
    return note(refuse(cudaErrorNotPermitted, std::string(name) + " from a kernel or a host function of a stream"));
  }
  Runtime& r = Runtime::instance();
  const std::lock_guard lock(r.mutex);
  cudaError_t e = lost == Lost::matters ? r.lost(r.current_device()) : cudaSuccess;
  if (e == cudaSuccess) e = f(r);
  r.close_memory();
  return note(e);
}

}  // namespace simt
