// label: simt
// device: emulated
// Sums have the same bits on devices that are not alike: no count of parts follows the device's processors.
#include <random>

#include <doctest/doctest.h>

#include "ergo/kernels/reduce.cuh"
#include "support/device_array.hpp"
#include "support/seed.hpp"

namespace kernels_devices_test {

using namespace ergo::cuda;
using test::DeviceArray;

// The sums of x (outer, n, inner) along its middle axis, on a device.
std::vector<float> sums(int device, const std::vector<float>& x, const std::int64_t (&shape)[3]) {
  const OnDevice on(device);
  const DeviceArray<float> in(x), out(std::size_t(shape[0] * shape[2]));
  const View<const float, 3> view = row_major<const float>(in.data(), shape);
  const DeviceArray<std::byte> workspace(reduce_workspace<SumOf, float>(view));
  launch_reduce<SumOf, float>(current_stream(ergo::Device::cuda(device)), "sum", view, out.data(), workspace.data());
  return out.host();
}

TEST_CASE("sums in parts") {
  CAPTURE(test_seed());
  std::mt19937 random{unsigned(test_seed())};
  int processors[2] = {};
  for (int d = 0; d < 2; ++d)
    CHECK(cudaDeviceGetAttribute(&processors[d], cudaDevAttrMultiProcessorCount, d) == cudaSuccess);
  CHECK(processors[0] != processors[1]);
  constexpr std::int64_t kShapes[][3] = {{1, 200000, 1}, {3, 30001, 1}, {1, 9000, 8}, {2, 9999, 3}};
  for (const auto& shape : kShapes) {
    CAPTURE(shape[1]);
    std::vector<float> x(std::size_t(shape[0] * shape[1] * shape[2]));
    for (float& e : x) e = std::uniform_real_distribution<float>(-1, 1)(random);
    CHECK(sums(0, x, shape) == sums(1, x, shape));
  }
}

}  // namespace kernels_devices_test
