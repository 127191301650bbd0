#include "ergo/core/device.hpp"

#include <pthread.h>

#include <cstdlib>
#include <string>
#include <vector>

#include <doctest/doctest.h>

#include "ergo/core/tensor.hpp"
#include "support/message.hpp"

namespace core_device_test {

using ergo::Device;
using ergo::DeviceScope;

TEST_CASE("devices are named and parsed") {
  CHECK(Device::parse("cpu") == Device::cpu());
  CHECK(Device::parse("cuda") == Device::cuda());
  CHECK(Device::parse("cuda:1") == Device::cuda(1));
  CHECK(Device::parse("cuda:126").index() == 126);
  CHECK(to_string(Device::cpu()) == "cpu");
  CHECK(to_string(Device::cuda(3)) == "cuda:3");
  CHECK(Device::cpu().is_cpu());
  CHECK(Device::cuda().is_cuda());
  CHECK(Device::cpu() != Device::cuda());
  CHECK(Device() == Device::cpu());
}

TEST_CASE("what is no device is an Error") {
  for (const char* text : {"", "CPU", "cuda:", "cuda:-1", "cuda:x", "cuda:127", "cuda:1000", "cuda:1 ", "gpu"})
    CHECK(message_of([&] { return Device::parse(text); }) ==
          "[device] \"" + std::string(text) + "\" is not a device (cpu, cuda or cuda:1)");
  CHECK(message_of([] { return Device::cuda(-1); }) == "[device] a CUDA device has an index from 0 to 126");
  CHECK(message_of([] { return Device::cuda(127); }) == "[device] a CUDA device has an index from 0 to 126");
}

TEST_CASE("a CPU build has no CUDA device and says so") {
  if (ergo::detail::backend_or_null()) return;
  const std::string text = "[device] cuda:0: this program was built without CUDA";
  const auto x = ergo::ones<float>({2});
  CHECK(ergo::cuda::device_count() == 0);
  CHECK(message_of([&] { return x.to(Device::cuda()); }) == text);
  CHECK(message_of([&] { ergo::set_default_device(Device::cuda()); }) == text);
  CHECK(message_of([&] { DeviceScope scope(Device::cuda()); }) == text);
  CHECK(message_of([&] { return ergo::zeros<float>({2}, Device::cuda()); }) == text);
  CHECK(message_of([&] { return ergo::memory_info(Device::cuda()); }) == text);
  CHECK(message_of([&] { ergo::synchronize(Device::cuda()); }) == text);
  CHECK(ergo::default_device() == Device::cpu());  // nothing changed
  CHECK(x.to(Device::cpu()).to_vector() == std::vector<float>{1, 1});
}

TEST_CASE("a scope changes the default of its thread, for its block, exceptions included") {
  ergo::synchronize();
  CHECK(ergo::default_device() == Device::cpu());
  {
    const DeviceScope outer(Device::cpu());
    CHECK(ergo::detail::scoped_device.set);
    try {
      const DeviceScope inner(Device::cpu());
      throw 1;
    } catch (int) {}
    CHECK(ergo::detail::scoped_device.set);
    bool other = true;
    pthread_t thread;
    pthread_create(
        &thread, nullptr,
        [](void* seen) -> void* {
          *static_cast<bool*>(seen) = ergo::detail::scoped_device.set;
          return nullptr;
        },
        &other);
    pthread_join(thread, nullptr);
    CHECK_FALSE(other);
  }
  CHECK_FALSE(ergo::detail::scoped_device.set);
  ergo::set_default_device(Device::cpu());
  CHECK(ergo::zeros<float>({1}).device() == Device::cpu());
}

// A back end in host memory, so that the seam itself is exercised: what is asked of it, and that nothing else is.
namespace {
using ergo::detail::Array;
using ergo::detail::Buffer;
int allocated = 0, freed = 0, copied = 0, waited = 0, read = 0;
const ergo::detail::Backend fake = {
    [](Buffer& b) { ++allocated, b.data = static_cast<std::byte*>(std::malloc(b.bytes + 1)); },
    [](Buffer& b) noexcept { ++freed, std::free(b.data); },
    [](std::byte* to, Buffer&, const std::byte* from, Buffer&, std::size_t n) { ++copied, std::memcpy(to, from, n); },
    [](const Array&, const Array&) { FAIL("all is row-major here"); },
    [](const Array& y, std::uint64_t bits) {
      const std::int64_t width = ergo::size_of(y.dtype);
      for (std::int64_t i = 0; i < y.numel(); ++i) std::memcpy(y.data + i * width, &bits, std::size_t(width));
    },
    [](Device) { ++waited; },
    [](Device) {
      return ergo::MemoryInfo{1, 2, 3};
    },
    [] {},
    [] { return 2; },
    [](const char*) { ++read; },
    [](Device, std::size_t) -> ergo::detail::Staging& { throw ergo::Error("nothing is staged here"); },
    [](ergo::detail::Staging&) noexcept {},
    [](ergo::detail::Staging&, std::size_t) { return ergo::detail::Ref<Buffer>(); },
    [](ergo::detail::Staging&, Buffer&) {},
};
}  // namespace

TEST_CASE("a back end lends memory and copies; tensors move there and back") {
  if (ergo::detail::backend_or_null()) return;
  ergo::detail::install_backend(&fake);
  {
    const Device d = Device::cuda(1);
    CHECK(ergo::cuda::device_count() == 2);
    CHECK(ergo::memory_info(d).cached == 2);
    const auto x = ergo::tensor<float>({{1, 2, 3}, {4, 5, 6}});
    const auto y = x.to(d);
    CHECK(y.device() == d);
    CHECK(y.to(d).ref().get() == y.ref().get());  // already there
    CHECK(y.cpu().to_vector() == x.to_vector());
    CHECK(y.to_vector() == x.to_vector());
    CHECK(y.at({1, -1}) == 6);
    CHECK(y[1].cpu().to_vector() == std::vector<float>{4, 5, 6});
    CHECK(message_of([&] { return y.span(); }) ==
          "[span] (2, 3): only a contiguous tensor on the CPU can be looked at in place: x.cpu().contiguous()");
    {
      const DeviceScope scope(d);
      CHECK(ergo::ones<double>({3}).device() == d);
      CHECK(ergo::Tensor<float>(2.5f).device() == d);
      CHECK(ergo::ones<double>({3}, Device::cpu()).device() == Device::cpu());
      CHECK(ergo::zeros_like(x).device() == Device::cpu());
    }
    CHECK(ergo::zeros_like(y).device() == d);
    ergo::set_default_device(d);
    CHECK(ergo::arange<float>(4).device() == d);
    CHECK(ergo::arange<float>(4).to_vector() == std::vector<float>{0, 1, 2, 3});
    ergo::set_default_device(Device::cpu());
    ergo::synchronize(d);
    CHECK(waited == 1);
    CHECK(copied > 0);
    CHECK(read == 3);  // twice to_vector, once at
  }
  CHECK(allocated > 0);
  CHECK(freed == allocated);
  ergo::detail::install_backend(nullptr);
}

}  // namespace core_device_test
