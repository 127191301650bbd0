// label: simt
// ptx: yes
// What kernels are made of: conversions, packs, divisions by multiplication, reductions of warps and blocks.
#include <cmath>
#include <random>

#include <doctest/doctest.h>

#include "ergo/kernels/common/pack.cuh"
#include "ergo/kernels/common/reduce.cuh"
#include "ergo/kernels/common/view.cuh"
#include "support/device_array.hpp"

namespace kernels_common_test {

using namespace ergo::cuda;
using test::DeviceArray;

template <class T>
__global__ void round_trip_kernel(const T* x, float* wide, T* back, int n) {
  const int i = int(blockIdx.x * blockDim.x + threadIdx.x);
  if (i >= n) return;
  wide[i] = widen(x[i]);
  back[i] = narrow<T>(widen(x[i]));
}

TEST_CASE_TEMPLATE("every 16-bit value widens as on the CPU, and back", T, ergo::half, ergo::bfloat16) {
  std::vector<T> x;
  for (int i = 0; i < 65536; ++i) x.push_back(T::from_bits(std::uint16_t(i)));
  const DeviceArray<T> in(x), back(x.size());
  const DeviceArray<float> wide(x.size());
  launch(current_stream(ergo::Device::cuda()), "test", {256, 256}, round_trip_kernel<T>, in.data(), wide.data(),
         back.data(), 65536);
  const auto w = wide.host();
  const auto b = back.host();
  for (std::size_t i = 0; i < x.size(); ++i) {
    const float expected = float(x[i]);
    if (std::isnan(expected)) {
      CHECK(std::isnan(w[i]));
      CHECK(std::isnan(float(b[i])));
    } else {
      CHECK(std::bit_cast<std::uint32_t>(w[i]) == std::bit_cast<std::uint32_t>(expected));
      CHECK(b[i].bits == x[i].bits);
    }
  }
}

template <class T>
__global__ void narrow_kernel(const float* x, T* y, int n) {
  const int i = int(blockIdx.x * blockDim.x + threadIdx.x);
  if (i < n) y[i] = narrow<T>(x[i]);
}

TEST_CASE_TEMPLATE("narrowing rounds to nearest even as on the CPU", T, ergo::half, ergo::bfloat16) {
  const unsigned seed = std::random_device{}();
  CAPTURE(seed);
  std::mt19937 random(seed);
  std::vector<float> x;
  for (int i = 0; i < 20000; ++i) x.push_back(std::bit_cast<float>(std::uint32_t(random())));
  for (int i = 0; i < 65536; i += 7) {  // halfway between neighbours
    const auto bits = std::bit_cast<std::uint32_t>(float(T::from_bits(std::uint16_t(i))));
    x.push_back(std::bit_cast<float>(bits + (sizeof(T) == 2 && std::is_same_v<T, ergo::half> ? 0x1000u : 0x8000u)));
  }
  const DeviceArray<float> in(x);
  const DeviceArray<T> out(x.size());
  launch(current_stream(ergo::Device::cuda()), "test", {blocks_for(std::int64_t(x.size()), 256), 256}, narrow_kernel<T>,
         in.data(), out.data(), int(x.size()));
  const auto y = out.host();
  for (std::size_t i = 0; i < x.size(); ++i) {
    CAPTURE(x[i]);
    if (std::isnan(x[i]))
      CHECK(std::isnan(float(y[i])));
    else
      CHECK(y[i].bits == T(x[i]).bits);
  }
}

template <int = 0>
__global__ void divide_kernel(const std::uint32_t* n, std::uint32_t* q, FastDivisor d, int count) {
  const int i = int(blockIdx.x * blockDim.x + threadIdx.x);
  if (i < count) q[i] = d.divide(n[i]);
}

TEST_CASE("division by multiplication") {
  const unsigned seed = std::random_device{}();
  CAPTURE(seed);
  std::mt19937 random(seed);
  for (std::uint32_t d :
       {1u, 2u, 3u, 5u, 7u, 28u, 255u, 256u, 257u, 65535u, 1u << 20, (1u << 30) + 1, (1u << 31) - 1}) {
    std::vector<std::uint32_t> n = {0, 1, d - 1, d, (1u << 31) - 1, (1u << 31) - 2};
    for (int i = 0; i < 500; ++i) n.push_back(std::uint32_t(random()) >> (1 + random() % 31));
    for (int i = 1; i < 50; ++i) {
      const std::uint64_t at = std::uint64_t(d) * (random() % ((1u << 31) / d + 1));
      if (at > 0 && at < 1u << 31) n.insert(n.end(), {std::uint32_t(at), std::uint32_t(at - 1)});
    }
    const DeviceArray<std::uint32_t> in(n), out(n.size());
    launch(current_stream(ergo::Device::cuda()), "test", {blocks_for(std::int64_t(n.size()), 128), 128},
           divide_kernel<>, in.data(), out.data(), FastDivisor::of(d), int(n.size()));
    const auto q = out.host();
    for (std::size_t i = 0; i < n.size(); ++i) {
      CAPTURE(n[i]);
      CAPTURE(d);
      CHECK(q[i] == n[i] / d);
    }
  }
}

template <int Block>
__global__ void block_kernel(const float* x, float* sum, float* largest) {
  const float mine = x[blockIdx.x * Block + threadIdx.x];
  const float s = block_sum<Block>(mine), twice = block_sum<Block>(2 * mine), m = block_max<Block>(mine);
  sum[blockIdx.x * Block + threadIdx.x] = twice == 2 * s ? s : -1.0f;
  largest[blockIdx.x * Block + threadIdx.x] = m;
}
template <int Block>
void check_block() {
  std::vector<float> x;
  for (int i = 0; i < 2 * Block; ++i) x.push_back(float((i * 37) % 101) - 50.0f);
  x[Block + Block / 2] = NAN;
  const DeviceArray<float> in(x), sum(x.size()), largest(x.size());
  launch(current_stream(ergo::Device::cuda()), "test", {2, Block}, block_kernel<Block>, in.data(), sum.data(),
         largest.data());
  const auto s = sum.host(), m = largest.host();
  float total = 0, most = -100;
  for (int i = 0; i < Block; ++i) {
    total += x[std::size_t(i)];
    most = std::max(most, x[std::size_t(i)]);
  }
  for (std::size_t i = 0; i < Block; ++i) {
    CHECK(s[i] == total);
    CHECK(m[i] == most);
    CHECK(std::isnan(m[Block + i]));
  }
}
TEST_CASE("sums and maxima of a block reach every thread; a NaN wins") {
  check_block<32>();
  check_block<64>();
  check_block<256>();
  check_block<1024>();
}

}  // namespace kernels_common_test
