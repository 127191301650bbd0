// label: simt
// device: emulated
// Work on several streams and devices: threads that read, overwrite and release what others work on, a device that is
// not the current one, pinned memory. Streams are lazy, so what is not waited for has not happened.
#include "ergo/cuda/backend.hpp"

#include <pthread.h>

#include <algorithm>
#include <exception>
#include <vector>

#include <doctest/doctest.h>

#include "ergo/core/make.hpp"
#include "ergo/core/tensor.hpp"
#include "ergo/ops/movement.hpp"

namespace cuda_streams_test {

using ergo::Device;
using ergo::Tensor;
using namespace ergo::cuda;

namespace {

constexpr std::int64_t kSide = 40;
constexpr int kRepeats = 8;  // each in another order, where orders are random
constexpr Device kFirst = Device::cuda(0), kSecond = Device::cuda(1);

// Runs f on a thread of its own; what it throws is thrown here.
template <class F>
void on_a_thread(F f) {
  struct Work {
    F f;
    std::exception_ptr error;
  } work{f, nullptr};
  const auto body = [](void* p) -> void* {
    auto& w = *static_cast<Work*>(p);
    try {
      w.f();
    } catch (...) { w.error = std::current_exception(); }
    return nullptr;
  };
  pthread_t thread;
  REQUIRE(pthread_create(&thread, nullptr, body, &work) == 0);
  pthread_join(thread, nullptr);
  if (work.error) std::rethrow_exception(work.error);
}
Tensor<float> filled(float value, Device d) { return ergo::full<float>({kSide, kSide}, value, d); }
// A copy that a kernel makes.
Tensor<float> copied(const Tensor<float>& x) { return ergo::transpose(x).contiguous(); }
bool all_are(const Tensor<float>& x, float value) {
  return x.to_vector() == std::vector<float>(std::size_t(kSide * kSide), value);
}
// As refill does, without a graph.
void overwrite(const Tensor<float>& x, const Tensor<float>& y) {
  detail::copy(x.array().data, *x.array().buffer, y.array().data, *y.array().buffer, y.array().buffer->bytes);
}

}  // namespace

TEST_CASE("kernels run on the device of their operands, whichever is current") {
  const Tensor<float> x = filled(3, kSecond), y = copied(x);
  CHECK(y.device() == kSecond);
  CHECK(all_are(y, 3));
  int device = -1;
  CHECK(cudaGetDevice(&device) == cudaSuccess);
  CHECK(device == 0);
}

TEST_CASE("what another thread's stream works on is read after that") {
  for (int repeat = 0; repeat < kRepeats; ++repeat) {
    const Tensor<float> x = filled(1, kFirst);
    Tensor<float> y;
    on_a_thread([&] { y = copied(x); });
    CHECK(all_are(y, 1));
  }
}

TEST_CASE("what another thread's stream reads is overwritten after that") {
  for (int repeat = 0; repeat < kRepeats; ++repeat) {
    const Tensor<float> x = filled(1, kFirst), two = filled(2, kFirst);
    Tensor<float> y;
    on_a_thread([&] { y = copied(x); });
    overwrite(x, two);
    CHECK(all_are(x, 2));
    CHECK(all_are(y, 1));
  }
}

TEST_CASE("memory that another thread's stream reads is used again after that") {
  for (int repeat = 0; repeat < kRepeats; ++repeat) {
    Tensor<float> x = filled(1, kFirst), y;
    on_a_thread([&] { y = copied(x); });
    x = {};
    const Tensor<float> next = filled(2, kFirst);
    CHECK(all_are(next, 2));
    CHECK(all_are(y, 1));
  }
}

TEST_CASE("memory that is copied to another device is used again after that") {
  for (int repeat = 0; repeat < kRepeats; ++repeat) {
    Tensor<float> x = filled(1, kFirst);
    const Tensor<float> y = x.to(kSecond);
    x = {};
    const Tensor<float> next = filled(2, kFirst);
    CHECK(all_are(next, 2));
    CHECK(all_are(y, 1));
  }
}

TEST_CASE("pinned memory may be used again when a copy returns, and holds what was copied to it") {
  const Tensor<float> x = filled(0, kFirst), host = ergo::zeros<float>({1});
  const std::size_t n = std::size_t(kSide * kSide), bytes = n * sizeof(float);
  float* pinned = nullptr;
  REQUIRE(cudaMallocHost(reinterpret_cast<void**>(&pinned), bytes) == cudaSuccess);
  std::fill_n(pinned, n, 1.0f);
  auto* const address = reinterpret_cast<std::byte*>(pinned);
  detail::copy(x.array().data, *x.array().buffer, address, *host.array().buffer, bytes);
  std::fill_n(pinned, n, 2.0f);
  CHECK(all_are(x, 1));
  const Tensor<float> y = copied(x);
  detail::copy(address, *host.array().buffer, y.array().data, *y.array().buffer, bytes);
  CHECK(std::vector<float>(pinned, pinned + n) == std::vector<float>(n, 1));
  CHECK(cudaFreeHost(pinned) == cudaSuccess);
}

}  // namespace cuda_streams_test
