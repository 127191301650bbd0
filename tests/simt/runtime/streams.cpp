// Streams and events.
#include "engine/diagnosis.hpp"
#include "state.hpp"

using namespace simt;

namespace {

Work marker(int device) {
  return {"event", device, 0, {}, [] { return cudaSuccess; }};
}

cudaError_t wait_for(Runtime& r, CUstream_st& s) {
  ++r.counters.host_waits;
  if (&s == &r.devices[s.device].legacy) {
    for (const CUstream_st* other : r.blocking_streams(s.device)) r.force(OperationPtr(other->last));
  }
  r.force(OperationPtr(s.last));
  for (const auto& w : std::vector<OperationPtr>(s.waits)) r.force(w);
  return r.lost(s.device);
}

}  // namespace

cudaError_t cudaStreamCreateWithFlags(cudaStream_t* stream, unsigned flags) {
  return call("cudaStreamCreateWithFlags", [&](Runtime& r) {
    if (flags > cudaStreamNonBlocking) return cudaErrorInvalidValue;
    auto made = std::make_unique<CUstream_st>();
    CUstream_st& s = *made;
    s.number = static_cast<unsigned>(r.streams.size());
    r.streams.emplace(made.get(), std::move(made));
    s.device = r.current_device();
    s.blocking = flags != cudaStreamNonBlocking;
    *stream = &s;
    return cudaSuccess;
  });
}
cudaError_t cudaStreamCreate(cudaStream_t* stream) { return cudaStreamCreateWithFlags(stream, cudaStreamDefault); }
cudaError_t cudaStreamCreateWithPriority(cudaStream_t* stream, unsigned flags, int) {
  return cudaStreamCreateWithFlags(stream, flags);
}

// What is queued still runs, when something else waits for it.
cudaError_t cudaStreamDestroy(cudaStream_t stream) {
  return call("cudaStreamDestroy", [&](Runtime& r) {
    if (!stream || stream == cudaStreamLegacy) return cudaErrorInvalidResourceHandle;
    CUstream_st* s = r.stream(stream, "cudaStreamDestroy");
    if (!s) return cudaErrorInvalidResourceHandle;
    if (s->capture) {
      s->capture->valid = false;
      return refuse(cudaErrorStreamCaptureUnsupported, "cudaStreamDestroy of a stream that is captured");
    }
    s->alive = false;
    s->waits.clear();
    return cudaSuccess;
  });
}

cudaError_t cudaStreamSynchronize(cudaStream_t stream) {
  return call("cudaStreamSynchronize", [&](Runtime& r) {
    CUstream_st* s = r.stream(stream, "cudaStreamSynchronize");
    if (!s) return cudaErrorInvalidResourceHandle;
    if (s->capture) {
      s->capture->valid = false;
      return refuse(cudaErrorStreamCaptureUnsupported, "cudaStreamSynchronize of a stream that is captured");
    }
    return wait_for(r, *s);
  });
}

// A query that finds work unfinished lets it run: the next one succeeds.
cudaError_t cudaStreamQuery(cudaStream_t stream) {
  return call("cudaStreamQuery", [&](Runtime& r) {
    CUstream_st* s = r.stream(stream, "cudaStreamQuery");
    if (!s) return cudaErrorInvalidResourceHandle;
    if (s->capture) return r.unsafe_in_capture("cudaStreamQuery");
    if (!s->last || s->last->done) return r.lost(s->device);
    r.force(OperationPtr(s->last));
    return r.lost(s->device) ? r.lost(s->device) : cudaErrorNotReady;
  });
}

cudaError_t cudaStreamGetDevice(cudaStream_t stream, int* device) {
  return call("cudaStreamGetDevice", [&](Runtime& r) {
    CUstream_st* s = r.stream(stream, "cudaStreamGetDevice");
    if (!s) return cudaErrorInvalidResourceHandle;
    *device = s->device;
    return cudaSuccess;
  });
}

cudaError_t cudaDeviceSynchronize() {
  return call("cudaDeviceSynchronize", [](Runtime& r) {
    if (const cudaError_t e = r.unsafe_in_capture("cudaDeviceSynchronize")) return e;
    ++r.counters.host_waits;
    r.force_device(r.current_device());
    return r.lost(r.current_device());
  });
}

cudaError_t cudaStreamWaitEvent(cudaStream_t stream, cudaEvent_t event, unsigned) {
  return call("cudaStreamWaitEvent", [&](Runtime& r) {
    CUstream_st* s = r.stream(stream, "cudaStreamWaitEvent");
    CUevent_st* e = r.event(event, "cudaStreamWaitEvent");
    if (!s || !e) return cudaErrorInvalidResourceHandle;
    if (e->capture) {  // the stream joins the capture
      if (!e->capture->valid) return cudaErrorStreamCaptureInvalidated;
      if (s->capture && s->capture != e->capture) return cudaErrorStreamCaptureIsolation;
      if (s == &r.devices[s->device].legacy) return cudaErrorStreamCaptureImplicit;
      if (!s->capture) {
        s->capture = e->capture;
        s->frontier.clear();
      }
      s->frontier.insert(s->frontier.end(), e->frontier.begin(), e->frontier.end());
      return cudaSuccess;
    }
    if (s->capture) {
      s->capture->valid = false;
      return refuse(cudaErrorStreamCaptureIsolation,
                    "a captured stream waits for an event recorded outside the capture");
    }
    if (e->operation && !e->operation->done) s->waits.push_back(e->operation);
    return cudaSuccess;
  });
}

cudaError_t cudaLaunchHostFunc(cudaStream_t stream, cudaHostFn_t function, void* data) {
  return call("cudaLaunchHostFunc", [&](Runtime& r) {
    CUstream_st* s = r.stream(stream, "cudaLaunchHostFunc");
    if (!s) return cudaErrorInvalidResourceHandle;
    if (!function) return cudaErrorInvalidValue;
    return r.submit(*s, {"host function", s->device, 0, {}, [=] {
                           function(data);
                           return cudaSuccess;
                         }});
  });
}

cudaError_t cudaEventCreateWithFlags(cudaEvent_t* event, unsigned flags) {
  return call("cudaEventCreateWithFlags", [&](Runtime& r) {
    auto made = std::make_unique<CUevent_st>();
    CUevent_st& e = *made;
    r.events.emplace(made.get(), std::move(made));
    e.device = r.current_device();
    e.timing = !(flags & cudaEventDisableTiming);
    *event = &e;
    return cudaSuccess;
  });
}
cudaError_t cudaEventCreate(cudaEvent_t* event) { return cudaEventCreateWithFlags(event, cudaEventDefault); }

cudaError_t cudaEventDestroy(cudaEvent_t event) {
  return call("cudaEventDestroy", [&](Runtime& r) {
    CUevent_st* e = r.event(event, "cudaEventDestroy");
    if (!e) return cudaErrorInvalidResourceHandle;
    e->alive = false;
    e->operation = nullptr;
    e->capture = nullptr;
    return cudaSuccess;
  });
}

cudaError_t cudaEventRecord(cudaEvent_t event, cudaStream_t stream) {
  return call("cudaEventRecord", [&](Runtime& r) {
    CUevent_st* e = r.event(event, "cudaEventRecord");
    CUstream_st* s = r.stream(stream, "cudaEventRecord");
    if (!e || !s) return cudaErrorInvalidResourceHandle;
    if (e->device != s->device) {
      return refuse(cudaErrorInvalidResourceHandle, "cudaEventRecord of an event of device " +
                                                        std::to_string(e->device) + " in a stream of device " +
                                                        std::to_string(s->device));
    }
    e->capture = s->capture;
    if (s->capture) {
      e->frontier = s->frontier;
      return s->capture->valid ? cudaSuccess : cudaErrorStreamCaptureInvalidated;
    }
    const cudaError_t status = r.submit(*s, marker(s->device));
    e->operation = s->last;
    return status;
  });
}

cudaError_t cudaEventSynchronize(cudaEvent_t event) {
  return call("cudaEventSynchronize", [&](Runtime& r) {
    CUevent_st* e = r.event(event, "cudaEventSynchronize");
    if (!e) return cudaErrorInvalidResourceHandle;
    if (e->capture) {
      e->capture->valid = false;
      return refuse(cudaErrorCapturedEvent, "cudaEventSynchronize of an event recorded in a capture");
    }
    ++r.counters.host_waits;
    r.force(OperationPtr(e->operation));
    return r.lost(e->device);
  });
}

cudaError_t cudaEventQuery(cudaEvent_t event) {
  return call("cudaEventQuery", [&](Runtime& r) {
    CUevent_st* e = r.event(event, "cudaEventQuery");
    if (!e) return cudaErrorInvalidResourceHandle;
    if (e->capture) return cudaErrorCapturedEvent;
    if (!e->operation || e->operation->done) return r.lost(e->device);
    r.force(OperationPtr(e->operation));
    return r.lost(e->device) ? r.lost(e->device) : cudaErrorNotReady;
  });
}

cudaError_t cudaEventElapsedTime(float* milliseconds, cudaEvent_t start, cudaEvent_t end) {
  return call("cudaEventElapsedTime", [&](Runtime& r) {
    CUevent_st *a = r.event(start, "cudaEventElapsedTime"), *b = r.event(end, "cudaEventElapsedTime");
    if (!a || !b || !a->timing || !b->timing || !a->operation || !b->operation) return cudaErrorInvalidResourceHandle;
    if (!a->operation->done || !b->operation->done) return cudaErrorNotReady;
    *milliseconds = std::chrono::duration<float, std::milli>(b->operation->finished - a->operation->finished).count();
    return cudaSuccess;
  });
}
