// label: simt
// device: emulated
// CUDA as a back end of the core, on two emulated devices: memory, copies, threads, failures.
#include "ergo/cuda/backend.hpp"

#include <pthread.h>

#include <string>
#include <vector>

#include <doctest/doctest.h>

#include "ergo/core/compare.hpp"
#include "ergo/core/tensor.hpp"
#include "ergo/kernels/common/launch.cuh"
#include "ergo/ops/movement.hpp"
#include "simt/control.hpp"
#include "support/message.hpp"

namespace cuda_backend_test {

using ergo::Device;
using ergo::Tensor;
using namespace ergo::cuda;

namespace {

// What the process asked of its devices while f ran.
template <class F>
simt::Counters counted(const F& f) {
  simt::reset_counters();
  f();
  return simt::counters();
}
std::int64_t live_bytes(int device) { return ergo::memory_info(Device::cuda(device)).live; }

template <class F>
void on_a_thread(F f) {
  pthread_t thread;
  REQUIRE(pthread_create(
              &thread, nullptr,
              [](void* p) -> void* {
                (*static_cast<F*>(p))();
                return nullptr;
              },
              &f) == 0);
  pthread_join(thread, nullptr);
}

}  // namespace

TEST_CASE("the devices") {
  CHECK(device_count() == 2);
  CHECK_NOTHROW(ergo::synchronize(Device::cuda(1)));
  CHECK(message_of([] { return ergo::zeros<float>({2}).to(Device::cuda(2)); }) ==
        "[device] cuda:2: this machine has 2 GPUs");
  const ergo::DeviceScope scope(Device::cuda(1));
  CHECK(ergo::default_device() == Device::cuda(1));
}

TEST_CASE_TEMPLATE("bytes to a device, between devices and back are the same", T, bool, std::uint8_t, std::int32_t,
                   std::int64_t, ergo::half, ergo::bfloat16, float, double) {
  for (const ergo::Shape& shape :
       {ergo::Shape{}, ergo::Shape{0}, ergo::Shape{3, 0, 2}, ergo::Shape{5}, ergo::Shape{7, 301}}) {
    const Tensor<T> x = ergo::cast<T>(ergo::reshape(ergo::arange<double>(shape.numel()), shape));
    const std::int64_t before[] = {live_bytes(0), live_bytes(1)};
    {
      const Tensor<T> there = x.to(Device::cuda(0));
      CHECK(there.device() == Device::cuda(0));
      CHECK(there.shape() == shape);
      CHECK(ergo::array_equal(there.cpu(), x));
      const Tensor<T> beyond = there.to(Device::cuda(1));
      CHECK(beyond.device() == Device::cuda(1));
      CHECK(ergo::array_equal(beyond.cpu(), x));
      CHECK(there.to(Device::cuda(0)).array().data == there.array().data);
    }
    CHECK(live_bytes(0) == before[0]);
    CHECK(live_bytes(1) == before[1]);
  }
}

TEST_CASE("copies and waits are counted, and are as few as can be") {
  const Tensor<float> x = ergo::arange<float>(1000);
  Tensor<float> there, back;
  const simt::Counters up = counted([&] { there = x.to(Device::cuda(0)); });
  CHECK(up.copies_to_device == 1);
  CHECK(up.bytes_to_device == 4000);
  CHECK(up.copies_to_host == 0);
  CHECK(up.host_waits == 0);
  const simt::Counters down = counted([&] { back = there.cpu(); });
  CHECK(down.copies_to_host == 1);
  CHECK(down.copies_to_device == 0);
  CHECK(down.host_waits == 1);
  const simt::Counters across = counted([&] { there = there.to(Device::cuda(1)); });
  CHECK(across.copies_on_device == 1);
  CHECK(across.copies_to_host == 0);
  CHECK(across.host_waits == 0);
  CHECK(ergo::array_equal(there.cpu(), x));
}

TEST_CASE("released blocks are used again") {
  const Tensor<float> x = ergo::zeros<float>({5000});
  for (int i = 0; i < 3; ++i) x.to(Device::cuda(0));
  CHECK(counted([&] {
          for (int i = 0; i < 100; ++i) x.to(Device::cuda(0));
        }).allocations == (Allocator::of(0).direct() ? 100 : 0));
  ergo::release_cached_memory();
  CHECK(ergo::memory_info(Device::cuda(0)).cached == 0);
}

TEST_CASE("strided views are laid out on the way to a device; views there keep to it") {
  const Tensor<float> x = ergo::reshape(ergo::arange<float>(24), {4, 6});
  const Tensor<float> t = ergo::transpose(x);
  CHECK(ergo::array_equal(t.to(Device::cuda(0)).cpu(), t));
  const Tensor<float> row = x.to(Device::cuda(0))[2];
  CHECK(row.device() == Device::cuda(0));
  CHECK(ergo::array_equal(row.cpu(), x[2]));
}

TEST_CASE("memory that runs out names what was asked and who holds what") {
  const Tensor<float> x = ergo::zeros<float>({1 << 20});
  const Tensor<float> holder = x.to(Device::cuda(0));
  ergo::release_cached_memory();
  std::string text;
  simt::fail_allocation(1);
  CHECK_NOTHROW(x.to(Device::cuda(0)));  // what was cached is given up, and the second try succeeds
  ergo::release_cached_memory();
  try {
    Allocator::of(0).allocate(std::size_t(1) << 40, current_stream(Device::cuda(0)));
  } catch (const ergo::OutOfMemory& e) { text = e.what(); }
  CAPTURE(text);
  CHECK(text.find("[memory] 1099511627776 bytes asked on cuda:0, ") == 0);
  CHECK(text.find(" in use by tensors, 0 cached; the") != std::string::npos);
  CHECK(text.find("largest: 4194304 tensor") != std::string::npos);
  CHECK(ergo::array_equal(holder.cpu(), x));
}

TEST_CASE("each thread has its stream; a tensor may end on another thread, a thread with work pending") {
  const Tensor<float> x = ergo::arange<float>(300);
  cudaStream_t own = current_stream(Device::cuda(0)).handle, others = nullptr;
  Tensor<float> there;
  on_a_thread([&] {
    others = current_stream(Device::cuda(0)).handle;
    there = x.to(Device::cuda(0));
    x.to(Device::cuda(1)).to(Device::cuda(0));  // pending when this thread ends
  });
  CHECK(own != others);
  on_a_thread([&] { CHECK(current_stream(Device::cuda(0)).handle == others); });
  CHECK(ergo::array_equal(there.cpu(), x));
  on_a_thread([&] { there = {}; });
  CHECK(live_bytes(0) == 0);
}

template <int = 0>
__global__ void past_the_end_kernel(float* y, int n) {
  y[n + static_cast<int>(threadIdx.x)] = 1;
}

TEST_CASE("after a kernel's fault every call says so, and nothing that ends throws") {
  simt::print_diagnoses(false);
  const Tensor<float> x = ergo::zeros<float>({64});
  {
    const Tensor<float> there = x.to(Device::cuda(0));
    auto* data = reinterpret_cast<float*>(there.array().data);
    Stream& s = current_stream(Device::cuda(0));
    launch(s, "fine", {1, 1}, past_the_end_kernel<>, data, 0);
    launch(s, "planted", {1, 1}, past_the_end_kernel<>, data, 1 << 20);
    const std::string text = message_of([&] { return there.cpu(); });
    CHECK(text.find("[copy] CUDA: ") == 0);
    CHECK(text.find("(the last launches: fine, planted)") != std::string::npos);
    CHECK(text.find("this process can use the device no more") != std::string::npos);
    CHECK(message_of([&] { return x.to(Device::cuda(0)); }).find("no more") != std::string::npos);
  }
  simt::recover();
  simt::take_diagnoses();
  simt::print_diagnoses(true);
}

}  // namespace cuda_backend_test
