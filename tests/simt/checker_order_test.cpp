// The checked build: kernels that look suspicious and are correct. None gives a diagnosis, in any order of threads.
// build: checked
#include "simt/support.hpp"

namespace simt_checker_order_test {

using namespace simt_test;

template <class T>
std::vector<T> all(std::size_t n, T value) {
  return std::vector<T>(n, value);
}

template <int = 0>
__global__ void one_word_kernel(const float* x, float* y) {
  __shared__ float word;
  if (threadIdx.x == 0) word = x[0];
  __syncthreads();
  y[blockIdx.x * blockDim.x + threadIdx.x] = word + x[0];
}

TEST_CASE("all threads of all blocks read one word") {
  Array<float> x(1, 1.0f), y(256);
  clean([&] { return launch({4, 64}, one_word_kernel<>, x.data(), y.data()); });
  CHECK(y.host() == all(256, 2.0f));
}

// Neighbours write the bytes of one word, in shared and in global memory, in one block and in several.
template <class T>
__global__ void bytes_kernel(T* y) {
  __shared__ T tile[64];
  tile[threadIdx.x] = static_cast<T>(threadIdx.x);
  y[threadIdx.x * gridDim.x + blockIdx.x] = tile[threadIdx.x];
}

TEST_CASE("disjoint bytes of one word") {
  Array<unsigned char> bytes(256);
  Array<unsigned short> halves(256);
  clean([&] { return launch({4, 64}, bytes_kernel<unsigned char>, bytes.data()); });
  clean([&] { return launch({4, 64}, bytes_kernel<unsigned short>, halves.data()); });
}

template <int = 0>
__global__ void reuse_kernel(const float* x, float* y, int tiles) {
  __shared__ float tile[2][64];
  float sum = 0;
  for (int t = 0; t < tiles; ++t) {
    tile[t % 2][threadIdx.x] = x[t * 64 + static_cast<int>(threadIdx.x)];
    __syncthreads();  // one barrier a tile: the other half is written next
    sum += tile[t % 2][63 - threadIdx.x];
  }
  y[threadIdx.x] = sum;
}

TEST_CASE("a tile is used again behind a barrier, two of them in turn") {
  Array<float> x(64 * 9, 1.0f), y(64);
  clean([&] { return launch({1, 64}, reuse_kernel<>, x.data(), y.data(), 9); });
  CHECK(y.host() == all(64, 9.0f));
}

template <int = 0>
__global__ void warp_kernel(float* y) {
  __shared__ float tile[128];
  float v = 1;
  for (unsigned lanes = 16; lanes > 0; lanes /= 2) {
    tile[threadIdx.x] = v;
    __syncwarp();
    v += tile[threadIdx.x ^ lanes];
    __syncwarp();
  }
  // A shuffle orders its lanes too, and so do halves of a warp their own.
  tile[threadIdx.x] = v;
  v = __shfl_xor_sync(kFullMask, v, 1);
  tile[threadIdx.x ^ 1] = v;
  const unsigned half = threadIdx.x % 32 < 16 ? 0xffffu : 0xffff0000u;
  __syncwarp(half);
  y[threadIdx.x] = tile[threadIdx.x / 16 * 16 + 15 - threadIdx.x % 16];
}

TEST_CASE("an exchange within warps, without a barrier of the block") {
  Array<float> y(128);
  clean([&] { return launch({1, 128}, warp_kernel<>, y.data()); });
  CHECK(y.host() == all(128, 32.0f));
}

// cp.async into one half of a tile while the other is read.
template <int = 0>
__global__ void pipeline_kernel(const float* x, float* y, int tiles) {
  __shared__ __align__(16) float tile[2][128];
  const auto load = [&](int t) {
    if (t < tiles) {
      simt::cp_async(&tile[t % 2][threadIdx.x * 4], x + t * 128 + static_cast<int>(threadIdx.x) * 4, 16, 16);
    }
    simt::cp_async_commit();
  };
  load(0);
  float sum = 0;
  for (int t = 0; t < tiles; ++t) {
    load(t + 1);
    simt::cp_async_wait(1);
    __syncthreads();
    sum += tile[t % 2][127 - threadIdx.x];
    __syncthreads();
  }
  y[threadIdx.x] = sum;
}

TEST_CASE("copies on the way to the other half of a tile") {
  Array<float> x(128 * 5, 1.0f), y(32);
  clean([&] { return launch({1, 32}, pipeline_kernel<>, x.data(), y.data(), 5); });
  CHECK(y.host() == all(32, 5.0f));
}

// An inclusive scan in one pass (Merrill and Garland 2016): each block adds what it finds behind it, which is the sum
// of a block, or of all up to one.
template <int = 0>
__global__ void look_back_kernel(const unsigned* x, unsigned* y, unsigned* ticket, unsigned* state, unsigned* sums,
                                 unsigned* prefixes) {
  __shared__ unsigned block, before, tile[64];
  if (threadIdx.x == 0) block = atomicAdd(ticket, 1u);
  __syncthreads();
  tile[threadIdx.x] = x[block * 64 + threadIdx.x];
  for (unsigned d = 1; d < 64; d *= 2) {
    __syncthreads();
    const unsigned add = threadIdx.x >= d ? tile[threadIdx.x - d] : 0;
    __syncthreads();
    tile[threadIdx.x] += add;
  }
  __syncthreads();
  if (threadIdx.x == 0) {
    sums[block] = tile[63];
    __threadfence();
    atomicExch(state + block, 1u);
    unsigned sum = 0;
    for (unsigned b = block; b-- > 0;) {
      unsigned s = 0;
      while ((s = atomicAdd(state + b, 0u)) == 0) {}
      __threadfence();
      sum += s == 2 ? prefixes[b] : sums[b];
      if (s == 2) break;
    }
    prefixes[block] = sum + tile[63];
    simt::store_release(state + block, 2u);
    before = sum;
  }
  __syncthreads();
  y[block * 64 + threadIdx.x] = before + tile[threadIdx.x];
}

TEST_CASE("a scan that looks back, with tickets") {
  constexpr unsigned kBlocks = 20;
  Array<unsigned> x(kBlocks * 64, 1u), y(kBlocks * 64), words(1 + kBlocks), sums(2 * kBlocks);
  clean([&] {
    CHECK(cudaMemset(words.data(), 0, (1 + kBlocks) * sizeof(unsigned)) == cudaSuccess);
    return launch({kBlocks, 64}, look_back_kernel<>, static_cast<const unsigned*>(x.data()), y.data(), words.data(),
                  words.data() + 1, sums.data(), sums.data() + kBlocks);
  });
  CHECK(y.host().back() == kBlocks * 64);
}

// The sum of threadFenceReduction in the CUDA samples: the writes and reads of parts are volatile.
template <int = 0>
__global__ void volatile_kernel(volatile float* parts, unsigned* count, float* y) {
  if (threadIdx.x != 0) return;
  parts[blockIdx.x] = 1;
  __threadfence();
  if (atomicInc(count, gridDim.x) != gridDim.x - 1) return;
  float sum = 0;
  for (unsigned b = 0; b < gridDim.x; ++b) sum += parts[b];
  y[0] = sum;
}
// One thread fences for all: the barrier before it makes their writes its own.
template <int = 0>
__global__ void one_fence_kernel(float* parts, unsigned* count, float* y) {
  __shared__ bool last;
  parts[blockIdx.x * blockDim.x + threadIdx.x] = 1;
  __syncthreads();
  if (threadIdx.x == 0) {
    __threadfence();
    last = atomicAdd(count, 1u) == gridDim.x - 1;
    __threadfence();
  }
  __syncthreads();
  if (!last) return;
  float sum = 0;
  for (unsigned i = threadIdx.x; i < gridDim.x * blockDim.x; i += blockDim.x) sum += parts[i];
  if (threadIdx.x == 0) y[0] = sum;
}

TEST_CASE("the last block adds up, by volatile parts or by one thread's fences") {
  Array<float> parts(8 * 64, 0.0f), y(1);
  Array<unsigned> count(1, 0u);
  const auto run = [&](auto kernel) {
    CHECK(cudaMemset(count.data(), 0, 4) == cudaSuccess);
    return launch({8, 64}, kernel, parts.data(), count.data(), y.data());
  };
  clean([&] { return run(volatile_kernel<>); });
  CHECK(y.host()[0] == 8);
  clean([&] { return run(one_fence_kernel<>); });
  CHECK(y.host()[0] == 8);
}

// Warps pass a word on within a block, by a flag in shared memory.
template <int = 0>
__global__ void flag_in_block_kernel(float* y) {
  __shared__ float word;
  __shared__ unsigned flag;
  if (threadIdx.x == 0) flag = 0;
  __syncthreads();
  if (threadIdx.x == 0) {
    word = 1;
    __threadfence_block();
    atomicExch(&flag, 1u);
  } else if (threadIdx.x == 32) {
    while (atomicAdd(&flag, 0u) == 0) {}
    __threadfence_block();
    y[0] = word;
  }
}

TEST_CASE("a fence and a flag within a block") {
  Array<float> y(1);
  clean([&] { return launch({1, 64}, flag_in_block_kernel<>, y.data()); });
  CHECK(y.host()[0] == 1);
}

// More operations of a warp, and more barriers, than a clock counts.
template <int = 0>
__global__ void long_kernel(float* y, int n) {
  __shared__ float tile[32];
  for (int i = 0; i < n; ++i) {
    tile[threadIdx.x] = 1;
    __syncwarp();
    y[threadIdx.x] = tile[31 - threadIdx.x];
    __syncwarp();
  }
  for (int i = 0; i < n; ++i) {
    tile[threadIdx.x] = 1;
    __syncthreads();
    y[threadIdx.x] = tile[31 - threadIdx.x];
    __syncthreads();
  }
}

TEST_CASE("clocks at their end") {
  const With forward;
  Array<float> y(32);
  CHECK(launch({1, 32}, long_kernel<>, y.data(), 40000) == cudaSuccess);
  synchronize();
}

}  // namespace simt_checker_order_test
