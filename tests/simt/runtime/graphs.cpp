// Capture of streams into graphs, and their launch. A launch of a graph is one operation of its stream. Its nodes run
// in the order of capture, or, when streams are random, in any order that their dependencies allow.
#include <algorithm>

#include "engine/diagnosis.hpp"
#include "state.hpp"

using namespace simt;

namespace {

// Whether every node is, or comes before, one of `last`.
bool joined(const Graph& graph, const Frontier& last) {
  std::vector<bool> reached(graph.nodes.size());
  Frontier stack = last;
  while (!stack.empty()) {
    const std::size_t n = stack.back();
    stack.pop_back();
    if (reached[n]) continue;
    reached[n] = true;
    stack.insert(stack.end(), graph.nodes[n].after.begin(), graph.nodes[n].after.end());
  }
  return std::find(reached.begin(), reached.end(), false) == reached.end();
}

cudaError_t run_nodes(Runtime& r, const Graph& graph) {
  const bool random = r.options.streams == Streams::random;
  std::vector<bool> done(graph.nodes.size());
  for (std::size_t step = 0; step < graph.nodes.size(); ++step) {
    std::size_t chosen = step;
    if (random) {
      std::vector<std::size_t> ready;
      for (std::size_t n = 0; n < graph.nodes.size(); ++n) {
        const auto& after = graph.nodes[n].after;
        if (!done[n] && std::all_of(after.begin(), after.end(), [&](std::size_t a) { return done[a]; })) {
          ready.push_back(n);
        }
      }
      chosen = ready[r.dice.below(ready.size())];
    }
    done[chosen] = true;
    r.open_memory(graph.nodes[chosen].work.devices);
    if (const cudaError_t e = graph.nodes[chosen].work.run()) return e;
  }
  return cudaSuccess;
}

}  // namespace

cudaError_t cudaStreamBeginCapture(cudaStream_t stream, cudaStreamCaptureMode mode) {
  return call("cudaStreamBeginCapture", [&](Runtime& r) {
    CUstream_st* s = r.stream(stream, "cudaStreamBeginCapture");
    if (!s) return cudaErrorInvalidResourceHandle;
    if (s == &r.devices[s->device].legacy) {
      return refuse(cudaErrorStreamCaptureUnsupported, "cudaStreamBeginCapture of the legacy stream");
    }
    if (s->capture) return refuse(cudaErrorInvalidValue, "cudaStreamBeginCapture of a stream that is captured already");
    s->capture = std::make_shared<Capture>();
    s->capture->mode = mode;
    s->capture->thread = std::this_thread::get_id();
    s->origin = true;
    s->frontier.clear();
    r.captures.push_back(s->capture);
    return cudaSuccess;
  });
}

cudaError_t cudaStreamEndCapture(cudaStream_t stream, cudaGraph_t* graph) {
  return call("cudaStreamEndCapture", [&](Runtime& r) {
    *graph = nullptr;
    CUstream_st* s = r.stream(stream, "cudaStreamEndCapture");
    if (!s) return cudaErrorInvalidResourceHandle;
    if (!s->capture || !s->origin) {
      return refuse(cudaErrorStreamCaptureUnmatched, "cudaStreamEndCapture of a stream that began no capture");
    }
    const auto capture = s->capture;
    if (capture->mode != cudaStreamCaptureModeRelaxed && capture->thread != std::this_thread::get_id()) {
      return refuse(cudaErrorStreamCaptureWrongThread, "cudaStreamEndCapture on another thread than began the capture");
    }
    const Frontier last = s->frontier;
    for (const auto& [handle, event] : r.events) {
      if (event->capture == capture) event->capture = nullptr;
    }
    for (const auto& [handle, other] : r.streams) {
      if (other->capture != capture) continue;
      other->capture = nullptr;
      other->frontier.clear();
      other->origin = false;
    }
    std::erase(r.captures, capture);
    if (!capture->valid) return cudaErrorStreamCaptureInvalidated;
    if (!joined(capture->graph, last)) {
      return refuse(
          cudaErrorStreamCaptureUnjoined,
          "cudaStreamEndCapture: work of another stream was captured, and the first stream does not wait for it");
    }
    *graph = new CUgraph_st{capture->graph};
    return cudaSuccess;
  });
}

cudaError_t cudaStreamIsCapturing(cudaStream_t stream, cudaStreamCaptureStatus* status) {
  return call("cudaStreamIsCapturing", [&](Runtime& r) {
    CUstream_st* s = r.stream(stream, "cudaStreamIsCapturing");
    if (!s) return cudaErrorInvalidResourceHandle;
    *status = !s->capture         ? cudaStreamCaptureStatusNone
              : s->capture->valid ? cudaStreamCaptureStatusActive
                                  : cudaStreamCaptureStatusInvalidated;
    return cudaSuccess;
  });
}

cudaError_t cudaThreadExchangeStreamCaptureMode(cudaStreamCaptureMode* mode) {
  std::swap(*mode, capture_mode);
  return cudaSuccess;
}

cudaError_t cudaGraphInstantiate(cudaGraphExec_t* exec, cudaGraph_t graph, unsigned long long) {
  return call("cudaGraphInstantiate", [&](Runtime& r) {
    if (!graph) return cudaErrorInvalidValue;
    *exec = new CUgraphExec_st{graph->graph, r.current_device()};
    return cudaSuccess;
  });
}

cudaError_t cudaGraphLaunch(cudaGraphExec_t exec, cudaStream_t stream) {
  return call("cudaGraphLaunch", [&](Runtime& r) {
    CUstream_st* s = r.stream(stream, "cudaGraphLaunch");
    if (!s) return cudaErrorInvalidResourceHandle;
    if (!exec) return cudaErrorInvalidValue;
    if (s->capture) {
      s->capture->valid = false;
      return refuse(cudaErrorNotSupported, "cudaGraphLaunch in a capture: child graphs are not emulated");
    }
    auto graph = std::make_shared<const Graph>(exec->graph);
    for (const auto& node : graph->nodes) r.count(node.work.traffic);
    ++r.counters.graph_launches;
    return r.submit(*s, {"graph", s->device, 0, {}, [&r, graph] { return run_nodes(r, *graph); }});
  });
}

cudaError_t cudaGraphUpload(cudaGraphExec_t exec, cudaStream_t) {
  return note(exec ? cudaSuccess : cudaErrorInvalidValue);
}

cudaError_t cudaGraphGetNodes(cudaGraph_t graph, cudaGraphNode_t* nodes, std::size_t* count) {
  if (!graph || !count) return note(cudaErrorInvalidValue);
  if (nodes) return note(refuse(cudaErrorNotSupported, "cudaGraphGetNodes: only the count is emulated"));
  *count = graph->graph.nodes.size();
  return cudaSuccess;
}

// Takes over the parameters of a graph of the same shape.
cudaError_t cudaGraphExecUpdate(cudaGraphExec_t exec, cudaGraph_t graph, cudaGraphExecUpdateResultInfo* info) {
  return call("cudaGraphExecUpdate", [&](Runtime&) {
    if (!exec || !graph || !info) return cudaErrorInvalidValue;
    *info = {};
    const auto& old = exec->graph.nodes;
    const auto& now = graph->graph.nodes;
    const bool same = std::equal(old.begin(), old.end(), now.begin(), now.end(), [](const auto& a, const auto& b) {
      return a.work.what == b.work.what && a.after == b.after;
    });
    if (!same) {
      info->result = cudaGraphExecUpdateErrorTopologyChanged;
      return cudaErrorGraphExecUpdateFailure;
    }
    exec->graph = graph->graph;
    return cudaSuccess;
  });
}

cudaError_t cudaGraphDestroy(cudaGraph_t graph) {
  delete graph;
  return cudaSuccess;
}
cudaError_t cudaGraphExecDestroy(cudaGraphExec_t exec) {
  delete exec;
  return cudaSuccess;
}
