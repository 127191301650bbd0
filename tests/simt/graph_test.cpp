// Capture of streams into graphs: replay, several streams, update, and what a capture forbids.
#include <thread>

#include "simt/support.hpp"

namespace simt_graph_test {

using namespace simt_test;

// y = a y + x
template <int = 0>
__global__ void scale_add_kernel(float* y, const float* x, float a, int n) {
  const unsigned i = blockIdx.x * blockDim.x + threadIdx.x;
  if (static_cast<int>(i) < n) y[i] = a * y[i] + x[i];
}

constexpr int kSize = 50;
constexpr std::size_t kBytes = kSize * sizeof(float);
cudaError_t scale_add(float* y, const float* x, float a, cudaStream_t s) {
  return launch({2, 32, 0, s}, scale_add_kernel<>, y, x, a, kSize);
}

struct Fixture {
  cudaStream_t a = nullptr, b = nullptr;
  cudaEvent_t fork = nullptr, join = nullptr;
  cudaGraph_t graph = nullptr;
  cudaGraphExec_t exec = nullptr;
  Array<float> x{kSize, 1.0f}, y{kSize, 0.0f}, z{kSize, 0.0f};

  Fixture() {
    for (cudaStream_t* s : {&a, &b}) REQUIRE(cudaStreamCreateWithFlags(s, cudaStreamNonBlocking) == cudaSuccess);
    for (cudaEvent_t* e : {&fork, &join}) REQUIRE(cudaEventCreateWithFlags(e, cudaEventDisableTiming) == cudaSuccess);
    REQUIRE(cudaDeviceSynchronize() == cudaSuccess);
  }
  ~Fixture() {
    if (exec) cudaGraphExecDestroy(exec);
    if (graph) cudaGraphDestroy(graph);
    cudaEventDestroy(fork);
    cudaEventDestroy(join);
    cudaStreamDestroy(a);
    cudaStreamDestroy(b);
  }
  Fixture(const Fixture&) = delete;
  Fixture& operator=(const Fixture&) = delete;
  void begin(cudaStreamCaptureMode mode = cudaStreamCaptureModeThreadLocal) {
    REQUIRE(cudaStreamBeginCapture(a, mode) == cudaSuccess);
  }
  // y and z by two streams, each from x, then y += z.
  void capture(float factor) {
    begin();
    CHECK(cudaEventRecord(fork, a) == cudaSuccess);
    CHECK(cudaStreamWaitEvent(b, fork) == cudaSuccess);
    CHECK(scale_add(y.data(), x.data(), factor, a) == cudaSuccess);
    CHECK(scale_add(z.data(), x.data(), 1, b) == cudaSuccess);
    CHECK(cudaEventRecord(join, b) == cudaSuccess);
    CHECK(cudaStreamWaitEvent(a, join) == cudaSuccess);
    CHECK(scale_add(y.data(), z.data(), 1, a) == cudaSuccess);
    cudaStreamCaptureStatus status = cudaStreamCaptureStatusNone;
    CHECK(cudaStreamIsCapturing(b, &status) == cudaSuccess);
    CHECK(status == cudaStreamCaptureStatusActive);
    CHECK(cudaStreamEndCapture(a, &graph) == cudaSuccess);
    CHECK(cudaStreamIsCapturing(b, &status) == cudaSuccess);
    CHECK(status == cudaStreamCaptureStatusNone);
  }
};

TEST_CASE("a captured graph of two streams replays") {
  in_every_order([] {
    Fixture f;
    f.capture(2);
    CHECK(f.y.host()[0] == 0);  // nothing ran
    std::size_t nodes = 0;
    CHECK(cudaGraphGetNodes(f.graph, nullptr, &nodes) == cudaSuccess);
    CHECK(nodes == 3);
    CHECK(cudaGraphInstantiate(&f.exec, f.graph, 0) == cudaSuccess);
    simt::reset_counters();
    float y = 0, z = 0;
    for (int round = 0; round < 4; ++round) {
      CHECK(cudaGraphLaunch(f.exec, f.a) == cudaSuccess);
      z += 1;
      y = 2 * y + 1 + z;
    }
    CHECK(cudaStreamSynchronize(f.a) == cudaSuccess);
    CHECK(f.y.host() == std::vector<float>(kSize, y));
    CHECK(simt::counters().graph_launches == 4);
    CHECK(simt::counters().launches == 12);

    // The same shape with another factor.
    const cudaGraph_t old = f.graph;
    f.capture(3);
    cudaGraphExecUpdateResultInfo info;
    CHECK(cudaGraphExecUpdate(f.exec, f.graph, &info) == cudaSuccess);
    CHECK(cudaGraphDestroy(old) == cudaSuccess);
    CHECK(cudaGraphLaunch(f.exec, f.b) == cudaSuccess);
    CHECK(cudaStreamSynchronize(f.b) == cudaSuccess);
    z += 1;
    CHECK(f.y.host()[kSize - 1] == 3 * y + 1 + z);
  });
}

TEST_CASE("events of a capture serve again after it") {
  in_every_order([] {
    Fixture f;
    f.capture(2);
    CHECK(cudaStreamWaitEvent(f.b, f.join) == cudaSuccess);
    cudaStreamCaptureStatus status = cudaStreamCaptureStatusActive;
    CHECK(cudaStreamIsCapturing(f.b, &status) == cudaSuccess);
    CHECK(status == cudaStreamCaptureStatusNone);
    CHECK(scale_add(f.y.data(), f.x.data(), 1, f.a) == cudaSuccess);
    CHECK(cudaEventRecord(f.join, f.a) == cudaSuccess);
    CHECK(cudaStreamWaitEvent(f.b, f.join) == cudaSuccess);
    CHECK(scale_add(f.y.data(), f.x.data(), 1, f.b) == cudaSuccess);
    CHECK(cudaStreamSynchronize(f.b) == cudaSuccess);
    CHECK(f.y.host()[0] == 2);
  });
}

TEST_CASE("a graph of another shape does not update") {
  Fixture f;
  f.capture(2);
  CHECK(cudaGraphInstantiate(&f.exec, f.graph, 0) == cudaSuccess);
  cudaGraphDestroy(f.graph);
  f.begin();
  CHECK(scale_add(f.y.data(), f.x.data(), 1, f.a) == cudaSuccess);
  CHECK(cudaStreamEndCapture(f.a, &f.graph) == cudaSuccess);
  cudaGraphExecUpdateResultInfo info;
  CHECK(cudaGraphExecUpdate(f.exec, f.graph, &info) == cudaErrorGraphExecUpdateFailure);
  CHECK(info.result == cudaGraphExecUpdateErrorTopologyChanged);
  cudaGetLastError();
}

TEST_CASE("copies and fills are captured, and read pinned memory at each replay") {
  in_every_order([] {
    Fixture f;
    float* pinned = nullptr;
    CHECK(cudaMallocHost(&pinned, kBytes) == cudaSuccess);
    for (int i = 0; i < kSize; ++i) pinned[i] = 5;
    f.begin();
    CHECK(cudaMemcpyAsync(f.x.data(), pinned, kBytes, cudaMemcpyHostToDevice, f.a) == cudaSuccess);
    CHECK(cudaMemsetAsync(f.y.data(), 0, kBytes, f.a) == cudaSuccess);
    CHECK(scale_add(f.y.data(), f.x.data(), 1, f.a) == cudaSuccess);
    CHECK(cudaStreamEndCapture(f.a, &f.graph) == cudaSuccess);
    CHECK(cudaGraphInstantiate(&f.exec, f.graph, 0) == cudaSuccess);
    for (int round = 0; round < 3; ++round) {
      pinned[7] = static_cast<float>(round);
      CHECK(cudaGraphLaunch(f.exec, f.a) == cudaSuccess);
      CHECK(cudaStreamSynchronize(f.a) == cudaSuccess);
      CHECK(f.y.host()[7] == static_cast<float>(round));
      CHECK(f.y.host()[8] == 5);
    }
    CHECK(cudaFreeHost(pinned) == cudaSuccess);
  });
}

// Runs `call` in a capture, which it must spoil.
template <class F>
void spoils(cudaError_t error, const char* words, F call,
            cudaStreamCaptureMode mode = cudaStreamCaptureModeThreadLocal) {
  CAPTURE(words);
  const Mistakes mistakes;
  Fixture f;
  f.begin(mode);
  CHECK(scale_add(f.y.data(), f.x.data(), 1, f.a) == cudaSuccess);
  CHECK(call(f) == error);
  check_text(mistakes.text(), {words});
  cudaStreamCaptureStatus status = cudaStreamCaptureStatusNone;
  CHECK(cudaStreamIsCapturing(f.a, &status) == cudaSuccess);
  CHECK(status == cudaStreamCaptureStatusInvalidated);
  CHECK(cudaStreamEndCapture(f.a, &f.graph) == cudaErrorStreamCaptureInvalidated);
  CHECK(f.graph == nullptr);
  CHECK(f.y.host()[0] == 0);
}

TEST_CASE("what a capture forbids is named") {
  spoils(cudaErrorStreamCaptureUnsupported, "cudaMalloc while a stream is captured", [](Fixture&) {
    void* p = nullptr;
    return cudaMalloc(&p, 16);
  });
  spoils(cudaErrorStreamCaptureUnsupported, "cudaDeviceSynchronize while",
         [](Fixture&) { return cudaDeviceSynchronize(); });
  spoils(cudaErrorStreamCaptureUnsupported, "cudaStreamSynchronize of a stream that is captured",
         [](Fixture& f) { return cudaStreamSynchronize(f.a); });
  spoils(cudaErrorStreamCaptureUnsupported, "cudaMemcpy while a stream is captured", [](Fixture& f) {
    float host = 0;
    return cudaMemcpy(&host, f.y.data(), 4, cudaMemcpyDeviceToHost);
  });
  spoils(cudaErrorNotSupported, "cudaMallocAsync in a capture", [](Fixture& f) {
    void* p = nullptr;
    return cudaMallocAsync(&p, 16, f.a);
  });
  spoils(cudaErrorStreamCaptureIsolation, "an event recorded outside the capture", [](Fixture& f) {
    CHECK(cudaEventRecord(f.join, f.b) == cudaSuccess);
    return cudaStreamWaitEvent(f.a, f.join);
  });
  // From another thread only a global capture is concerned.
  const auto elsewhere = [](Fixture&) {
    cudaError_t e = cudaSuccess;
    std::thread([&] {
      void* p = nullptr;
      e = cudaMalloc(&p, 16);
      if (p) cudaFree(p);
    }).join();
    return e;
  };
  spoils(cudaErrorStreamCaptureUnsupported, "cudaMalloc while", elsewhere, cudaStreamCaptureModeGlobal);
  Fixture f;
  f.begin();
  CHECK(elsewhere(f) == cudaSuccess);
  CHECK(cudaStreamEndCapture(f.a, &f.graph) == cudaSuccess);
}

TEST_CASE("a stream that joined a capture must be joined again") {
  const Mistakes mistakes;
  Fixture f;
  f.begin();
  CHECK(cudaEventRecord(f.fork, f.a) == cudaSuccess);
  CHECK(cudaStreamWaitEvent(f.b, f.fork) == cudaSuccess);
  CHECK(scale_add(f.z.data(), f.x.data(), 1, f.b) == cudaSuccess);
  CHECK(cudaStreamEndCapture(f.b, &f.graph) == cudaErrorStreamCaptureUnmatched);
  CHECK(cudaStreamEndCapture(f.a, &f.graph) == cudaErrorStreamCaptureUnjoined);
  check_text(mistakes.text(), {"the first stream does not wait for it"});
  CHECK(f.z.host()[0] == 0);
}

// With random streams, a join missing inside a graph shows: b's node may run before a's.
TEST_CASE("random streams run the nodes of a graph in any order that their events allow") {
  int wrong = 0;
  for (unsigned seed = 0; seed < 20; ++seed) {
    Fixture f;
    f.begin();
    CHECK(cudaEventRecord(f.fork, f.a) == cudaSuccess);
    CHECK(cudaStreamWaitEvent(f.b, f.fork) == cudaSuccess);
    CHECK(scale_add(f.y.data(), f.x.data(), 1, f.a) == cudaSuccess);
    CHECK(scale_add(f.z.data(), f.y.data(), 1, f.b) == cudaSuccess);  // does not wait for y
    CHECK(cudaEventRecord(f.join, f.b) == cudaSuccess);
    CHECK(cudaStreamWaitEvent(f.a, f.join) == cudaSuccess);
    CHECK(cudaStreamEndCapture(f.a, &f.graph) == cudaSuccess);
    CHECK(cudaGraphInstantiate(&f.exec, f.graph, 0) == cudaSuccess);
    const With random({simt::Order::forward, 1, simt::Streams::random, seed});
    CHECK(cudaGraphLaunch(f.exec, f.a) == cudaSuccess);
    CHECK(cudaStreamSynchronize(f.a) == cudaSuccess);
    wrong += f.z.host()[0] != 1;
  }
  CHECK(wrong >= 3);
  CHECK(wrong <= 17);
}

}  // namespace simt_graph_test
