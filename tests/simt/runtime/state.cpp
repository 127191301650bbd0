#include "state.hpp"

#include <algorithm>
#include <cstdlib>
#include <cstring>

#include "engine/diagnosis.hpp"

namespace simt {

thread_local cudaError_t last_error = cudaSuccess;
thread_local int current_device = 0;
thread_local cudaStreamCaptureMode capture_mode = cudaStreamCaptureModeGlobal;
thread_local bool inside_work = false;

namespace {

Options options_of_environment() {
  Options o;
  const auto seed = [](const char* text) {
    const char* colon = std::strchr(text, ':');
    return colon ? static_cast<unsigned>(std::strtoul(colon + 1, nullptr, 10)) : 1u;
  };
  if (const char* s = std::getenv("SIMT_ORDER")) {
    o.order = std::strncmp(s, "reverse", 7) == 0  ? Order::reverse
              : std::strncmp(s, "random", 6) == 0 ? Order::random
                                                  : Order::forward;
    o.order_seed = seed(s);
  }
  if (const char* s = std::getenv("SIMT_STREAMS")) {
    o.streams = std::strncmp(s, "random", 6) == 0 ? Streams::random : Streams::lazy;
    o.streams_seed = seed(s);
  }
  return o;
}

constexpr std::size_t kMostPending = 16384;  // a GPU's queues are finite too

}  // namespace

// Never destroyed: a program may end with work pending, and its static destructors may still free and destroy.
Runtime& Runtime::instance() {
  static Runtime* runtime = [] {
    auto* r = new Runtime;
    for (int d = 0; d < kDevices; ++d) r->devices[d].legacy.device = r->devices[d].pool.device = d;
    r->options = options_of_environment();
    r->dice = Random(r->options.streams_seed);
    if (const char* s = std::getenv("SIMT_FAIL_ALLOC")) r->fail_allocation = std::strtol(s, nullptr, 10);
    return r;
  }();
  return *runtime;
}

int Runtime::current_device() const { return simt::current_device; }

cudaError_t refuse(cudaError_t e, const std::string& what) {
  diagnose(what);
  return e;
}

namespace {

template <class T>
T* live(const std::unordered_map<const void*, std::unique_ptr<T>>& handles, const T* handle, const char* call,
        const char* kind) {
  const auto it = handles.find(handle);
  if (it == handles.end()) {
    diagnose(std::string(call) + ": the handle is no " + kind);
    return nullptr;
  }
  if (it->second->alive) return it->second.get();
  diagnose(std::string(call) + ": the " + kind + " has been destroyed");
  return nullptr;
}

}  // namespace

CUstream_st* Runtime::stream(cudaStream_t handle, const char* call) {
  if (handle == nullptr || handle == cudaStreamLegacy) return &devices[current_device()].legacy;
  return live(streams, handle, call, "stream");
}

CUevent_st* Runtime::event(cudaEvent_t handle, const char* call) { return live(events, handle, call, "event"); }

std::vector<CUstream_st*> Runtime::blocking_streams(int device) const {
  std::vector<CUstream_st*> found;
  for (const auto& [handle, s] : streams) {
    if (s->blocking && s->device == device) found.push_back(s.get());
  }
  std::sort(found.begin(), found.end(), [](const auto* a, const auto* b) { return a->number < b->number; });
  return found;
}

bool Runtime::is_pinned(const void* p, std::size_t bytes) const {
  const auto* address = static_cast<const char*>(p);
  auto it = pinned.upper_bound(address);
  if (it == pinned.begin()) return false;
  --it;
  return address + bytes <= it->first + it->second;
}

void Runtime::open_memory(unsigned set) {
  for (int d = 0; d < kDevices; ++d) {
    if (set >> d & 1)
      DeviceMemory::of(d).open();
    else
      DeviceMemory::of(d).close();
  }
}

void Runtime::execute(Operation& o) {
  if (lost(o.work.device) == cudaSuccess) {
    open_memory(o.work.devices);
    inside_work = true;
    const cudaError_t e = o.work.run();
    inside_work = false;
    if (e != cudaSuccess) devices[o.work.device].lost = e;
  }
  o.done = true;
  o.after.clear();
  o.work.run = nullptr;
  o.finished = std::chrono::steady_clock::now();
}

void Runtime::wander(bool waiting) {
  if (options.streams != Streams::random) return;
  std::size_t steps = waiting ? dice.below(pending.size() + 1) : dice.below(4) == 0;
  for (; steps > 0; --steps) {
    std::vector<Operation*> ready;
    for (const auto& o : pending) {
      if (o->done) continue;
      if (std::all_of(o->after.begin(), o->after.end(), [](const auto& a) { return a->done; }))
        ready.push_back(o.get());
    }
    if (ready.empty()) return;
    execute(*ready[dice.below(ready.size())]);
  }
}

void Runtime::force(const OperationPtr& operation) {
  wander(true);
  std::vector<OperationPtr> stack;
  if (operation && !operation->done) stack.push_back(operation);
  while (!stack.empty()) {
    const OperationPtr o = stack.back();
    const std::size_t before = stack.size();
    if (!o->done) {
      for (const auto& a : o->after) {
        if (!a->done) stack.push_back(a);
      }
    }
    if (stack.size() > before) continue;
    stack.pop_back();
    if (!o->done) execute(*o);
  }
  while (!pending.empty() && pending.front()->done) pending.pop_front();
}

void Runtime::force_device(int device) {
  const std::vector<OperationPtr> all(pending.begin(), pending.end());
  for (const auto& o : all) {
    if (o->work.device == device) force(o);
  }
  while (!pending.empty() && pending.front()->done) pending.pop_front();
}

cudaError_t Runtime::submit(CUstream_st& s, Work work) {
  if (s.capture) {
    if (!s.capture->valid) return cudaErrorStreamCaptureInvalidated;
    auto& nodes = s.capture->graph.nodes;
    nodes.push_back({std::move(work), s.frontier});
    s.frontier = {nodes.size() - 1};
    return cudaSuccess;
  }
  const bool legacy = &s == &devices[s.device].legacy;
  const auto others = legacy ? blocking_streams(s.device) : std::vector<CUstream_st*>();
  for (CUstream_st* other : others) {
    if (!other->capture) continue;
    other->capture->valid = false;
    return refuse(cudaErrorStreamCaptureImplicit,
                  "work on the legacy stream while a stream that waits for it is captured: " + work.what);
  }
  if (const cudaError_t e = lost(s.device)) return e;
  count(work.traffic);
  auto o = std::make_shared<Operation>();
  o->work = std::move(work);
  const auto depend = [&](const OperationPtr& other) {
    if (other && !other->done) o->after.push_back(other);
  };
  depend(s.last);
  for (const auto& w : s.waits) depend(w);
  s.waits.clear();
  for (const CUstream_st* other : others) depend(other->last);
  if (!legacy && s.blocking) depend(devices[s.device].legacy.last);
  s.last = o;
  pending.push_back(o);
  if (pending.size() > kMostPending) force(OperationPtr(pending.front()));
  wander(false);
  return cudaSuccess;  // what went wrong just now, the next call says
}

cudaError_t Runtime::unsafe_in_capture(const char* name) {
  if (capture_mode == cudaStreamCaptureModeRelaxed) return cudaSuccess;
  const auto self = std::this_thread::get_id();
  for (const auto& c : captures) {
    const bool concerns =
        c->mode == cudaStreamCaptureModeGlobal || (c->mode == cudaStreamCaptureModeThreadLocal && c->thread == self);
    if (!concerns) continue;
    c->valid = false;
    return refuse(cudaErrorStreamCaptureUnsupported, std::string(name) + " while a stream is captured");
  }
  return cudaSuccess;
}

Options options() { return Runtime::instance().options; }

void set_options(const Options& o) {
  Runtime& r = Runtime::instance();
  const std::lock_guard lock(r.mutex);
  r.options = o;
  r.dice = Random(o.streams_seed);
}

void fail_allocation(long k) {
  Runtime& r = Runtime::instance();
  const std::lock_guard lock(r.mutex);
  r.fail_allocation = k;
}

void fail_pinned_allocation(long k) {
  Runtime& r = Runtime::instance();
  const std::lock_guard lock(r.mutex);
  r.fail_pinned_allocation = k;
}

void recover() {
  Runtime& r = Runtime::instance();
  const std::lock_guard lock(r.mutex);
  for (auto& d : r.devices) d.lost = cudaSuccess;
  for (const auto& o : r.pending) {
    o->done = true;
    o->after.clear();
    o->work.run = nullptr;
  }
  r.pending.clear();
  const auto forget = [](CUstream_st& s) {
    s.capture = nullptr;
    s.frontier.clear();
    s.waits.clear();
    s.origin = false;
  };
  for (auto& d : r.devices) forget(d.legacy);
  for (const auto& [handle, s] : r.streams) forget(*s);
  for (const auto& [handle, e] : r.events) e->capture = nullptr;
  r.captures.clear();
  last_error = cudaSuccess;
  take_diagnoses();
}

}  // namespace simt
