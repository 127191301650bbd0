// Streams, events, stream-ordered memory, pinned and pageable copies, host functions; several host threads.
#include <thread>

#include "simt/support.hpp"

namespace simt_stream_test {

using namespace simt_test;

template <int = 0>
__global__ void add_kernel(float* x, int n, float a) {
  const unsigned i = blockIdx.x * blockDim.x + threadIdx.x;
  if (static_cast<int>(i) < n) x[i] += a;
}
template <int = 0>
__global__ void copy_kernel(const float* x, float* y, int n) {
  const unsigned i = blockIdx.x * blockDim.x + threadIdx.x;
  if (static_cast<int>(i) < n) y[i] = x[i];
}
constexpr int kSize = 100;

struct Stream {
  cudaStream_t s = nullptr;
  explicit Stream(unsigned flags = cudaStreamNonBlocking) {
    REQUIRE(cudaStreamCreateWithFlags(&s, flags) == cudaSuccess);
  }
  ~Stream() { cudaStreamDestroy(s); }
  Stream(const Stream&) = delete;
  Stream& operator=(const Stream&) = delete;
  operator cudaStream_t() const { return s; }
};
struct Event {
  cudaEvent_t e = nullptr;
  explicit Event(unsigned flags = cudaEventDisableTiming) {
    REQUIRE(cudaEventCreateWithFlags(&e, flags) == cudaSuccess);
  }
  ~Event() { cudaEventDestroy(e); }
  Event(const Event&) = delete;
  Event& operator=(const Event&) = delete;
  operator cudaEvent_t() const { return e; }
};
struct PinnedFloats {
  float* p = nullptr;
  explicit PinnedFloats(float value) {
    REQUIRE(cudaMallocHost(&p, kSize * sizeof(float)) == cudaSuccess);
    for (int i = 0; i < kSize; ++i) p[i] = value;
  }
  ~PinnedFloats() { cudaFreeHost(p); }
  PinnedFloats(const PinnedFloats&) = delete;
  PinnedFloats& operator=(const PinnedFloats&) = delete;
};
constexpr std::size_t kBytes = kSize * sizeof(float);

cudaError_t add(float* x, float a, cudaStream_t s) { return launch({1, 128, 0, s}, add_kernel<>, x, kSize, a); }
cudaError_t copy(const float* x, float* y, cudaStream_t s) {
  return launch({1, 128, 0, s}, copy_kernel<>, x, y, kSize);
}

TEST_CASE("work of a stream runs in order, across streams as events say") {
  in_every_order([] {
    Stream a, b;
    Event ready, used;
    Array<float> x(kSize, 1.0f), y(kSize), z(kSize);
    for (int round = 0; round < 3; ++round) {
      CHECK(add(x.data(), 1, a) == cudaSuccess);
      CHECK(cudaEventRecord(ready, a) == cudaSuccess);
      CHECK(cudaStreamWaitEvent(b, ready) == cudaSuccess);
      CHECK(copy(x.data(), y.data(), b) == cudaSuccess);
      CHECK(cudaEventRecord(used, b) == cudaSuccess);
      CHECK(cudaStreamWaitEvent(a, used) == cudaSuccess);
      CHECK(add(x.data(), 10, a) == cudaSuccess);
      CHECK(cudaStreamSynchronize(b) == cudaSuccess);
      CHECK(y.host()[5] == static_cast<float>(2 + 11 * round));
    }
    CHECK(cudaStreamSynchronize(a) == cudaSuccess);
    CHECK(x.host()[kSize - 1] == 34);
  });
}

TEST_CASE("lazy streams: what the host did not wait for has not run") {
  const With lazy;
  Stream a, b;
  Array<float> x(kSize, 1.0f), y(kSize);
  PinnedFloats host(0);
  CHECK(add(x.data(), 1, a) == cudaSuccess);
  CHECK(cudaMemcpyAsync(host.p, x.data(), kBytes, cudaMemcpyDeviceToHost, a) == cudaSuccess);
  CHECK(host.p[0] == 0);                              // copy not waited for
  CHECK(copy(x.data(), y.data(), b) == cudaSuccess);  // no event: reads the old x
  CHECK(cudaStreamSynchronize(b) == cudaSuccess);
  CHECK(cudaStreamSynchronize(a) == cudaSuccess);
  CHECK(host.p[0] == 2);
  CHECK(y.host()[0] == 1);
  // A pinned buffer is read when the copy runs: reused too early, the new contents arrive.
  host.p[0] = 5;
  CHECK(cudaMemcpyAsync(x.data(), host.p, kBytes, cudaMemcpyHostToDevice, a) == cudaSuccess);
  host.p[0] = 6;
  CHECK(cudaStreamSynchronize(a) == cudaSuccess);
  CHECK(x.host()[0] == 6);
  // Pageable memory is staged by the call.
  std::vector<float> pageable(kSize, 7);
  CHECK(cudaMemcpyAsync(x.data(), pageable.data(), kBytes, cudaMemcpyHostToDevice, a) == cudaSuccess);
  pageable.assign(kSize, 8);
  // And a copy into it waits.
  CHECK(cudaMemcpyAsync(pageable.data(), x.data(), kBytes, cudaMemcpyDeviceToHost, a) == cudaSuccess);
  CHECK(pageable[3] == 7);
}

TEST_CASE("random streams: what another stream may overwrite early is overwritten in some run") {
  int early = 0;
  for (unsigned seed = 0; seed < 20; ++seed) {
    const With random({simt::Order::forward, 1, simt::Streams::random, seed});
    Stream a, b;
    Array<float> x(kSize, 1.0f), y(kSize);
    for (int i = 0; i < 8; ++i) {
      CHECK(copy(x.data(), y.data(), a) == cudaSuccess);
      CHECK(add(x.data(), 1, b) == cudaSuccess);  // does not wait for the copy
      CHECK(cudaStreamSynchronize(a) == cudaSuccess);
      const bool wrong = y.host()[0] != static_cast<float>(1 + i);
      CHECK(cudaStreamSynchronize(b) == cudaSuccess);
      if (wrong) {
        ++early;
        break;
      }
    }
  }
  CHECK(early >= 10);
}

TEST_CASE("the legacy stream waits for blocking streams, and they for it") {
  in_every_order([] {
    Stream blocking(cudaStreamDefault);
    Array<float> x(kSize, 1.0f);
    CHECK(add(x.data(), 1, blocking) == cudaSuccess);
    CHECK(launch({1, 128}, add_kernel<>, x.data(), kSize, 0.0f) == cudaSuccess);
    CHECK(add(x.data(), 2, blocking) == cudaSuccess);
    std::vector<float> host(kSize);
    CHECK(cudaMemcpy(host.data(), x.data(), kBytes, cudaMemcpyDeviceToHost) == cudaSuccess);
    CHECK(host[0] == 4);
  });
}

TEST_CASE("events and streams are queried and timed") {
  const With lazy;
  Stream a;
  Event start(cudaEventDefault), end(cudaEventDefault), untimed;
  Array<float> x(kSize, 1.0f);
  CHECK(cudaEventQuery(start) == cudaSuccess);
  CHECK(cudaEventRecord(start, a) == cudaSuccess);
  CHECK(add(x.data(), 1, a) == cudaSuccess);
  CHECK(cudaEventRecord(end, a) == cudaSuccess);
  float ms = -1;
  CHECK(cudaEventElapsedTime(&ms, start, end) == cudaErrorNotReady);
  CHECK(cudaStreamQuery(a) == cudaErrorNotReady);
  CHECK(cudaStreamQuery(a) == cudaSuccess);
  CHECK(cudaEventSynchronize(end) == cudaSuccess);
  CHECK(cudaEventElapsedTime(&ms, start, end) == cudaSuccess);
  CHECK(ms >= 0);
  CHECK(cudaEventElapsedTime(&ms, start, untimed) == cudaErrorInvalidResourceHandle);
  CHECK(cudaGetLastError() == cudaErrorInvalidResourceHandle);
  CHECK(cudaGetLastError() == cudaSuccess);
}

TEST_CASE("host functions run in stream order and may not call CUDA") {
  in_every_order([] {
    const Mistakes mistakes;
    Stream a;
    struct Data {
      int calls = 0;
      cudaError_t inside = cudaSuccess;
    } data;
    const auto f = [](void* p) {
      auto& d = *static_cast<Data*>(p);
      ++d.calls;
      d.inside = cudaStreamQuery(nullptr);
    };
    CHECK(cudaLaunchHostFunc(a, f, &data) == cudaSuccess);
    CHECK(cudaStreamSynchronize(a) == cudaSuccess);
    CHECK(data.calls == 1);
    CHECK(data.inside == cudaErrorNotPermitted);
  });
}

TEST_CASE("stream-ordered memory") {
  in_every_order([] {
    Stream a;
    Array<float> x(kSize, 3.0f), y(kSize);
    const std::size_t before = simt::counters().live_bytes;
    float* p = nullptr;
    CHECK(cudaMallocAsync(&p, kBytes, a) == cudaSuccess);
    CHECK(copy(x.data(), p, a) == cudaSuccess);
    CHECK(copy(p, y.data(), a) == cudaSuccess);
    CHECK(cudaFreeAsync(p, a) == cudaSuccess);
    CHECK(simt::counters().live_bytes == before);
    CHECK(cudaStreamSynchronize(a) == cudaSuccess);
    CHECK(y.host() == x.host());
  });
}

TEST_CASE("unwritten device memory reads as NaN") {
  Array<unsigned> x(10);
  for (const unsigned word : x.host()) CHECK(word == 0xffffffffu);
  CHECK(cudaMemset(x.data(), 1, 40) == cudaSuccess);
  for (const unsigned word : x.host()) CHECK(word == 0x01010101u);
}

TEST_CASE("a destroyed stream's work still runs, and its handle is dead") {
  const Mistakes mistakes;
  Array<float> x(kSize, 1.0f);
  cudaStream_t s = nullptr;
  CHECK(cudaStreamCreateWithFlags(&s, cudaStreamNonBlocking) == cudaSuccess);
  CHECK(add(x.data(), 1, s) == cudaSuccess);
  CHECK(cudaStreamDestroy(s) == cudaSuccess);
  CHECK(add(x.data(), 1, s) == cudaErrorInvalidResourceHandle);
  check_text(mistakes.text(), {"stream has been destroyed"});
  CHECK(cudaDeviceSynchronize() == cudaSuccess);
  CHECK(x.host()[0] == 2);
}

TEST_CASE("host threads with a stream each") {
  in_every_order([] {
    std::vector<std::thread> threads;
    std::vector<int> wrong(4);
    for (std::size_t t = 0; t < wrong.size(); ++t) {
      threads.emplace_back([t, &wrong] {
        cudaSetDevice(static_cast<int>(t) % 2);
        cudaStream_t s = nullptr;
        cudaStreamCreateWithFlags(&s, cudaStreamNonBlocking);
        for (int round = 0; round < 20; ++round) {
          const float value = static_cast<float>(t * 100) + static_cast<float>(round);
          std::vector<float> host(kSize, value);
          float* x = nullptr;
          cudaMallocAsync(&x, kBytes, s);
          cudaMemcpyAsync(x, host.data(), kBytes, cudaMemcpyHostToDevice, s);
          for (int i = 0; i < 3; ++i) add(x, 1, s);
          cudaMemcpyAsync(host.data(), x, kBytes, cudaMemcpyDeviceToHost, s);
          cudaFreeAsync(x, s);
          for (const float v : host) wrong[t] += v != value + 3;
        }
        launch({1, 32, 0, s}, add_kernel<>, static_cast<float*>(nullptr), 0, 0.0f);  // pending as the thread ends
        wrong[t] += cudaGetLastError() != cudaSuccess;
      });
    }
    for (auto& t : threads) t.join();
    CHECK(wrong == std::vector<int>(4, 0));
    simt::recover();
  });
}

}  // namespace simt_stream_test
