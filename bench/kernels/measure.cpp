#include "bench/kernels/measure.hpp"

#include <algorithm>
#include <chrono>
#include <cmath>

#include "ergo/ops/random.hpp"

namespace bench {
namespace {

using Clock = std::chrono::steady_clock;

// Two events that time what a stream does between them.
class Stopwatch {
 public:
  explicit Stopwatch(cuda::Stream& s) : stream_(s) {
    cuda::check(cudaEventCreate(&begin_), "event");
    cuda::check(cudaEventCreate(&end_), "event");
  }
  Stopwatch(const Stopwatch&) = delete;
  Stopwatch& operator=(const Stopwatch&) = delete;
  ~Stopwatch() {
    (void)cudaEventDestroy(begin_);
    (void)cudaEventDestroy(end_);
  }
  void start() { cuda::check(cudaEventRecord(begin_, stream_.handle), "event"); }
  // Microseconds since the start; waits for them.
  double stop() {
    cuda::check(cudaEventRecord(end_, stream_.handle), "event");
    stream_.synchronize("measure");
    float ms = 0;
    cuda::check(cudaEventElapsedTime(&ms, begin_, end_), "event");
    return 1e3 * double(ms);
  }

 private:
  cuda::Stream& stream_;
  cudaEvent_t begin_ = nullptr, end_ = nullptr;
};

}  // namespace

template <class T>
Tensor<T> random(std::uint64_t seed, const Shape& shape) {
  const DeviceScope scope(kDevice);
  return cast<T>(uniform<float>(Key{seed}, shape, -2, 2));
}
template Tensor<float> random(std::uint64_t, const Shape&);
template Tensor<bfloat16> random(std::uint64_t, const Shape&);

Timing measure(const std::vector<std::function<void()>>& calls, int samples) {
  const DeviceScope scope(kDevice);
  const cuda::OnDevice on(kDevice.index());
  cuda::Stream& stream = cuda::current_stream(kDevice);
  Stopwatch watch(stream);
  std::size_t next = 0;
  const auto run = [&] { calls[next++ % calls.size()](); };

  for (std::size_t i = 0; i < calls.size() + 3; ++i) run();  // memory, modules and plans are there from now on
  stream.synchronize("measure");
  Timing t;
  const int before = stream.launches.next;
  watch.start();
  for (int i = 0; i < 3; ++i) run();
  const double estimate = watch.stop() / 3;
  t.launches = double(stream.launches.next - before) / 3;
  t.calls = int(std::clamp(std::ceil(500 / std::max(estimate, 1.0)), 1.0, 200.0));
  t.samples = int(std::clamp(5e5 / std::max(estimate, 1.0), std::max(1.0, samples / 5.0), double(samples)));

  std::vector<double> device, host;
  for (int s = 0; s < t.samples; ++s) {
    const auto begin = Clock::now();
    watch.start();
    for (int i = 0; i < t.calls; ++i) run();
    host.push_back(std::chrono::duration<double, std::micro>(Clock::now() - begin).count() / t.calls);
    device.push_back(watch.stop() / t.calls);
  }
  std::sort(device.begin(), device.end());
  std::sort(host.begin(), host.end());
  const auto part = [&](const std::vector<double>& v, double q) {
    return v[std::size_t(std::lround(q * double(v.size() - 1)))];
  };
  t.median_us = part(device, 0.5);
  t.low_us = part(device, 0.1);
  t.high_us = part(device, 0.9);
  t.host_us = part(host, 0.5);
  return t;
}

double copy_speed(std::size_t bytes, int samples) {
  const auto n = std::int64_t(bytes / sizeof(float));
  const Tensor<float> from = random<float>(1, {n}), to = random<float>(2, {n});
  cuda::Stream& stream = cuda::current_stream(kDevice);
  const auto copy = [&] {
    cuda::check(cudaMemcpyAsync(to.array().data, from.array().data, bytes, cudaMemcpyDeviceToDevice, stream.handle),
                "copy");
  };
  return 2 * double(bytes) / (1e-6 * measure({copy}, samples).median_us);
}

}  // namespace bench
