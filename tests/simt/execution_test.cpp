// Grids, blocks and their barriers.
#include "simt/support.hpp"

namespace simt_execution_test {

using namespace simt_test;

template <int = 0>
__global__ void number_kernel(unsigned* out) {
  const unsigned block = blockIdx.x + gridDim.x * (blockIdx.y + gridDim.y * blockIdx.z);
  const unsigned thread = threadIdx.x + blockDim.x * (threadIdx.y + blockDim.y * threadIdx.z);
  const unsigned threads = blockDim.x * blockDim.y * blockDim.z;
  out[block * threads + thread] = block * 100000 + thread;
}

TEST_CASE("every thread of every block runs once, with its own indices") {
  in_every_order([] {
    const dim3 grid(3, 2, 2), block(5, 4, 3);
    Array<unsigned> out(12 * 60, 0u);
    CHECK(launch({grid, block}, number_kernel<>, out.data()) == cudaSuccess);
    const auto host = out.host();
    for (unsigned b = 0; b < 12; ++b) {
      for (unsigned t = 0; t < 60; ++t) REQUIRE(host[b * 60 + t] == b * 100000 + t);
    }
  });
}

// Static shared memory, reversed: needs the barrier.
template <int BLOCK>
__global__ void __launch_bounds__(BLOCK) reverse_kernel(const float* x, float* y) {
  __shared__ float tile[BLOCK];
  tile[threadIdx.x] = x[blockIdx.x * BLOCK + threadIdx.x];
  __syncthreads();
  y[blockIdx.x * BLOCK + threadIdx.x] = tile[BLOCK - 1 - threadIdx.x];
}

template <int BLOCK>
void reverse(unsigned blocks) {
  std::vector<float> x(blocks * BLOCK), want(x.size());
  for (std::size_t i = 0; i < x.size(); ++i) x[i] = static_cast<float>(i);
  for (std::size_t i = 0; i < x.size(); ++i) want[i] = x[i / BLOCK * BLOCK + BLOCK - 1 - i % BLOCK];
  Array<float> dx(x), dy(x.size());
  CHECK(launch({blocks, BLOCK}, reverse_kernel<BLOCK>, dx.data(), dy.data()) == cudaSuccess);
  CHECK(dy.host() == want);
}

TEST_CASE("__syncthreads separates writes and reads of shared memory") {
  in_every_order([] {
    reverse<1>(3);
    reverse<33>(2);
    reverse<256>(4);
    reverse<1024>(2);
  });
}

// Dynamic shared memory of two types, and barriers in a loop whose bound varies by block.
template <int = 0>
__global__ void rotate_kernel(int* out) {
  int* tile = dynamic_smem<int>();
  auto* bytes = reinterpret_cast<unsigned char*>(tile + blockDim.x);
  tile[threadIdx.x] = static_cast<int>(threadIdx.x);
  bytes[threadIdx.x] = static_cast<unsigned char>(threadIdx.x);
  for (unsigned round = 0; round <= blockIdx.x; ++round) {
    __syncthreads();
    const int next = tile[(threadIdx.x + 1) % blockDim.x];
    __syncthreads();
    tile[threadIdx.x] = next;
  }
  out[blockIdx.x * blockDim.x + threadIdx.x] = tile[threadIdx.x] + 1000 * bytes[threadIdx.x];
}

TEST_CASE("dynamic shared memory holds what the launch asked for") {
  in_every_order([] {
    const unsigned threads = 70;
    Array<int> out(5 * threads);
    CHECK(launch({5, threads, threads * 5}, rotate_kernel<>, out.data()) == cudaSuccess);
    const auto host = out.host();
    for (unsigned b = 0; b < 5; ++b) {
      for (unsigned t = 0; t < threads; ++t) {
        REQUIRE(host[b * threads + t] == static_cast<int>((t + b + 1) % threads + 1000 * t));
      }
    }
  });
}

template <int = 0>
__global__ void unwritten_kernel(unsigned* out) {
  const unsigned* tile = dynamic_smem<unsigned>();
  out[threadIdx.x] = tile[threadIdx.x];
}

TEST_CASE("unwritten shared memory reads as NaN") {
  Array<unsigned> out(32, 0u);
  CHECK(launch({1, 32, 128}, unwritten_kernel<>, out.data()) == cudaSuccess);
  for (const unsigned word : out.host()) CHECK(word == 0xffffffffu);
}

template <int = 0>
__global__ void vote_kernel(const int* p, int* out) {
  const int mine = p[threadIdx.x];
  const int any = __syncthreads_or(mine);
  const int all = __syncthreads_and(mine);
  const int count = __syncthreads_count(mine);
  if (threadIdx.x % 50 == 0) out[threadIdx.x / 50] = (any != 0) + 10 * (all != 0) + 100 * count;
}

TEST_CASE("barriers with a vote") {
  in_every_order([] {
    std::vector<int> p(100, 0);
    Array<int> out(2);
    const auto run = [&] {
      Array<int> dp(p);
      CHECK(launch({1, 100}, vote_kernel<>, dp.data(), out.data()) == cudaSuccess);
      const auto host = out.host();
      CHECK(host[0] == host[1]);
      return host[0];
    };
    CHECK(run() == 0);
    p[77] = 5;
    CHECK(run() == 101);
    p.assign(100, -1);
    CHECK(run() == 10011);
  });
}

// Half the warps produce, half consume, through two named barriers.
template <int = 0>
__global__ void producer_consumer_kernel(int* out) {
  __shared__ int slot[64];
  const unsigned t = threadIdx.x;
  int sum = 0;
  for (int round = 0; round < 4; ++round) {
    if (t < 64) {
      if (round > 0) simt::named_barrier_sync(2, 128);
      slot[t] = round * 100 + static_cast<int>(t);
      simt::named_barrier_arrive(1, 128);
    } else {
      simt::named_barrier_sync(1, 128);
      sum += slot[t - 64];
      if (round < 3) simt::named_barrier_arrive(2, 128);
    }
  }
  if (t >= 64) out[t - 64] = sum;
}

TEST_CASE("named barriers, arriving and waiting") {
  in_every_order([] {
    Array<int> out(64);
    CHECK(launch({1, 128}, producer_consumer_kernel<>, out.data()) == cudaSuccess);
    const auto host = out.host();
    for (int i = 0; i < 64; ++i) REQUIRE(host[static_cast<std::size_t>(i)] == 600 + 4 * i);
  });
}

// cp.async in two stages: the copy of the next tile is on the way while this one is summed.
template <int BLOCK>
__global__ void staged_sum_kernel(const float* x, float* y, int tiles, int valid) {
  __shared__ __align__(16) float tile[2][BLOCK * 4];
  const unsigned t = threadIdx.x;
  const auto fetch = [&](int k) {
    const int at = (k * BLOCK + static_cast<int>(t)) * 4;
    simt::cp_async(&tile[k % 2][t * 4], x + at, 16, at < valid ? 16 : 0);
    simt::cp_async_commit();
  };
  float sum = 0;
  fetch(0);
  for (int k = 0; k < tiles; ++k) {
    if (k + 1 < tiles)
      fetch(k + 1);
    else
      simt::cp_async_commit();
    simt::cp_async_wait(1);
    __syncthreads();
    for (int i = 0; i < 4; ++i) sum += tile[k % 2][(BLOCK - 1 - t) * 4 + static_cast<unsigned>(i)];
    __syncthreads();
  }
  y[t] = sum;
}

TEST_CASE("cp.async arrives at its wait, and fills with zeros past the end") {
  in_every_order([] {
    constexpr int block = 64, tiles = 3;
    std::vector<float> x(block * tiles * 4);
    for (std::size_t i = 0; i < x.size(); ++i) x[i] = static_cast<float>(i % 17);
    const int valid = block * 2 * 4 + 40;
    Array<float> dx(x), dy(block);
    CHECK(launch({1, block}, staged_sum_kernel<block>, dx.data(), dy.data(), tiles, valid) == cudaSuccess);
    const auto host = dy.host();
    for (int t = 0; t < block; ++t) {
      float want = 0;
      for (int k = 0; k < tiles; ++k) {
        const int at = (k * block + block - 1 - t) * 4;
        for (int i = 0; i < 4 && at < valid; ++i) want += x[static_cast<std::size_t>(at + i)];
      }
      REQUIRE(host[static_cast<std::size_t>(t)] == want);
    }
  });
}

}  // namespace simt_execution_test
