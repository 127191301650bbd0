// Planted bugs that no diagnosis names, but that some order of threads, blocks or streams turns into a wrong result: a
// test that compares sees them. The correct twin (FIXED) is right in every order.
#include "simt/support.hpp"

namespace simt_race_test {

using namespace simt_test;

// In how many of the orders `run` gives something else than `want`.
template <class F>
int wrong_orders(const std::vector<float>& want, F run) {
  int wrong = 0;
  in_every_order([&] { wrong += run() != want; });
  return wrong;
}
std::vector<float> count(std::size_t n) {
  std::vector<float> v(n);
  for (std::size_t i = 0; i < n; ++i) v[i] = static_cast<float>(i + 1);
  return v;
}

template <bool FIXED>
__global__ void reverse_kernel(const float* x, float* y) {
  __shared__ float tile[256];
  tile[threadIdx.x] = x[threadIdx.x];
  if (FIXED) __syncthreads();
  y[threadIdx.x] = tile[255 - threadIdx.x];
  if (FIXED) __syncthreads();
  tile[threadIdx.x] = -1;  // for the next launch
}

TEST_CASE("shared memory read before the barrier") {
  const auto x = count(256);
  const std::vector<float> want(x.rbegin(), x.rend());
  const auto run = [&](auto kernel) {
    Array<float> dx(x), y(256);
    CHECK(launch({1, 256}, kernel, dx.data(), y.data()) == cudaSuccess);
    return y.host();
  };
  CHECK(wrong_orders(want, [&] { return run(reverse_kernel<false>); }) == 5);
  CHECK(wrong_orders(want, [&] { return run(reverse_kernel<true>); }) == 0);
}

template <bool FIXED>
__global__ void neighbour_kernel(const float* x, float* y) {
  __shared__ float tile[64];
  tile[threadIdx.x] = x[threadIdx.x];
  if (FIXED) __syncwarp();
  y[threadIdx.x] = tile[threadIdx.x ^ 1];
  if (FIXED) __syncwarp();
  tile[threadIdx.x] = -1;
}

TEST_CASE("a missing __syncwarp") {
  const auto x = count(64);
  std::vector<float> want(64);
  for (std::size_t i = 0; i < 64; ++i) want[i] = x[i ^ 1];
  const auto run = [&](auto kernel) {
    Array<float> dx(x), y(64);
    CHECK(launch({1, 64}, kernel, dx.data(), y.data()) == cudaSuccess);
    return y.host();
  };
  CHECK(wrong_orders(want, [&] { return run(neighbour_kernel<false>); }) == 5);
  CHECK(wrong_orders(want, [&] { return run(neighbour_kernel<true>); }) == 0);
}

// The tile is written again while slower threads may still read it: only some orders show it.
template <bool FIXED>
__global__ void rewrite_kernel(float* y) {
  __shared__ float tile;
  float sum = 0;
  for (int round = 0; round < 4; ++round) {
    if (threadIdx.x == 0) tile = static_cast<float>(round);
    __syncthreads();
    sum += tile;
    if (FIXED) __syncthreads();
  }
  y[threadIdx.x] = sum;
}

TEST_CASE("shared memory written again without a barrier after the reads") {
  const auto run = [&](auto kernel) {
    Array<float> y(128);
    CHECK(launch({1, 128}, kernel, y.data()) == cudaSuccess);
    return y.host();
  };
  const std::vector<float> want(128, 6.0f);
  CHECK(wrong_orders(want, [&] { return run(rewrite_kernel<false>); }) >= 1);
  CHECK(wrong_orders(want, [&] { return run(rewrite_kernel<true>); }) == 0);
}

// Each block reads what another block of the same launch writes.
template <bool FIXED>
__global__ void other_block_kernel(float* y) {
  if (!FIXED || blockIdx.y == 0) y[blockIdx.x] = static_cast<float>(blockIdx.x);
  const unsigned from = FIXED ? blockIdx.x : (blockIdx.x + 1) % gridDim.x;
  y[gridDim.x + blockIdx.x] = y[from];
}

TEST_CASE("a block reads another block's result") {
  const auto run = [&](auto kernel) {
    Array<float> y(16);
    CHECK(launch({8, 1}, kernel, y.data()) == cudaSuccess);
    auto host = y.host();
    for (std::size_t b = 0; b < 8; ++b) host[b] = host[8 + b] == host[8 + b] ? 1.0f : 0.0f;  // NaN: not yet written
    host.resize(8);
    return host;
  };
  const std::vector<float> want(8, 1.0f);
  CHECK(wrong_orders(want, [&] { return run(other_block_kernel<false>); }) == 5);
  CHECK(wrong_orders(want, [&] { return run(other_block_kernel<true>); }) == 0);
}

template <bool FIXED>
__global__ void tail_kernel(float* y, int n) {
  const int i = static_cast<int>(blockIdx.x * blockDim.x + threadIdx.x);
  if (i < (FIXED ? n : n / 32 * 32)) y[i] = 1;
}

TEST_CASE("a tail that nobody writes is NaN") {
  const auto run = [&](auto kernel) {
    Array<float> y(100);
    CHECK(launch({2, 64}, kernel, y.data(), 100) == cudaSuccess);
    return y.host();
  };
  const std::vector<float> want(100, 1.0f);
  CHECK(wrong_orders(want, [&] { return run(tail_kernel<false>); }) == 5);
  CHECK(wrong_orders(want, [&] { return run(tail_kernel<true>); }) == 0);
}

}  // namespace simt_race_test
