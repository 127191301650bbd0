// The checked build: data races in shared and global memory. Each gives its diagnosis in every order of threads, its
// correct twin (FIXED) none.
// build: checked
#include "simt/support.hpp"

namespace simt_checker_race_test {

using namespace simt_test;

// Launches the kernel with the mistake, and expects the words; then the correct one.
template <class... P>
void check_race(const LaunchShape& shape, void (*wrong)(P...), void (*right)(P...),
                std::initializer_list<const char*> words, P... arguments) {
  diagnosed(cudaErrorLaunchFailure, words, [&] { return launch(shape, wrong, arguments...); });
  clean([&] { return launch(shape, right, arguments...); });
}

constexpr int kReverseLine = __LINE__ + 4;
template <bool FIXED>
__global__ void reverse_kernel(float* y) {
  __shared__ float tile[256];
  tile[threadIdx.x] = 1;
  if (FIXED) __syncthreads();
  y[threadIdx.x] = tile[blockDim.x - 1 - threadIdx.x];
}

TEST_CASE("shared memory read before the barrier") {
  Array<float> y(256);
  // What comes first, the read or the write, depends on the order: an unwritten read is a mistake of its own.
  const std::string place = "checker_race_test.cpp:" + std::to_string(kReverseLine + 2);
  diagnosed(cudaErrorLaunchFailure, {"of tile in shared memory", "reverse_kernel<false>", place.c_str()}, [&] {
    return launch({1, 256}, reverse_kernel<false>, y.data());
  });
  clean([&] { return launch({1, 256}, reverse_kernel<true>, y.data()); });
}

template <bool FIXED>
__global__ void again_kernel(float* y) {
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
  Array<float> y(128);
  check_race({1, 128}, again_kernel<false>, again_kernel<true>,
             {"data race: a thread ", " 4 bytes, byte 0 of 4 of tile in shared memory, which thread (",
              " of the block ", ", and no barrier lies between", "the other at ", "again_kernel<false>"},
             y.data());
}

template <bool FIXED>
__global__ void neighbour_kernel(float* y) {
  __shared__ float tile[64];
  tile[threadIdx.x] = 0;
  __syncwarp();
  tile[threadIdx.x] += 1;
  if (FIXED) __syncwarp();
  y[threadIdx.x] = tile[threadIdx.x ^ 1];
}
// Only the lower lanes meet.
template <bool FIXED>
__global__ void half_kernel(float* y) {
  __shared__ float tile[32];
  tile[threadIdx.x] = 1;
  __syncthreads();
  tile[threadIdx.x] = 2;
  if (threadIdx.x < 16) __syncwarp(0xffffu);
  if (threadIdx.x < 16) y[threadIdx.x] = tile[FIXED ? 15 - threadIdx.x : 31 - threadIdx.x];
}

TEST_CASE("lanes of a warp that have not met") {
  Array<float> y(64);
  check_race({1, 64}, neighbour_kernel<false>, neighbour_kernel<true>, {"data race", "of tile in shared memory"},
             y.data());
  check_race({1, 32}, half_kernel<false>, half_kernel<true>, {"data race", "of tile in shared memory"}, y.data());
}

// Warps 0 and 1 meet at barrier 1, the others do not come.
template <bool FIXED>
__global__ void named_kernel(float* y) {
  __shared__ float tile[96];
  tile[threadIdx.x] = 1;
  __syncthreads();
  tile[threadIdx.x] = 2;
  if (threadIdx.x < 64) {
    simt::named_barrier_sync(1, 64);
    y[threadIdx.x] = tile[(threadIdx.x + 32) % (FIXED ? 64 : 96)];
  }
}
// A warp says that the tile is full, another waits for it; what the first does afterwards is not waited for.
template <bool FIXED>
__global__ void producer_kernel(float* y) {
  __shared__ float tile[32];
  if (threadIdx.x < 32) {
    tile[threadIdx.x] = 1;
    simt::named_barrier_arrive(1, 64);
    if (!FIXED) tile[threadIdx.x] = 2;
  } else {
    simt::named_barrier_sync(1, 64);
    y[threadIdx.x - 32] = tile[63 - threadIdx.x];
  }
}

TEST_CASE("named barriers order those who come, up to where they come") {
  Array<float> y(96);
  check_race({1, 96}, named_kernel<false>, named_kernel<true>, {"data race", "of tile in shared memory"}, y.data());
  check_race({1, 64}, producer_kernel<false>, producer_kernel<true>, {"data race", "of tile in shared memory"},
             y.data());
}

enum class Missing { nothing, wait, barrier, barrier_before };
template <Missing WHAT>
__global__ void copies_kernel(const float* x, float* y) {
  __shared__ __align__(16) float tile[128];
  float sum = 0;
  for (int round = 0; round < 2; ++round) {
    simt::cp_async(&tile[threadIdx.x * 4], x + threadIdx.x * 4, 16, 16);
    simt::cp_async_commit();
    if (WHAT != Missing::wait) simt::cp_async_wait(0);
    if (WHAT != Missing::barrier) __syncthreads();
    sum += tile[127 - threadIdx.x];
    if (WHAT == Missing::wait) simt::cp_async_wait(0);
    if (WHAT != Missing::barrier_before) __syncthreads();
  }
  y[threadIdx.x] = sum;
}

TEST_CASE("cp.async: its wait, then a barrier, then the reads; a barrier before the next") {
  Array<float> x(128, 1.0f), y(32);
  const auto run = [&](auto kernel) { return launch({1, 32}, kernel, x.data(), y.data()); };
  diagnosed(cudaErrorLaunchFailure,
            {"a cp.async of thread (", "still writes: its wait, and then a barrier, must come first"},
            [&] { return run(copies_kernel<Missing::wait>); });
  // In forward order the first thread reads what no copy has yet written.
  diagnosed(cudaErrorLaunchFailure, {"of tile in shared memory", "copies_kernel<"},
            [&] { return run(copies_kernel<Missing::barrier>); });
  diagnosed(cudaErrorLaunchFailure, {"data race: ", "of tile in shared memory"},
            [&] { return run(copies_kernel<Missing::barrier_before>); });
  clean([&] { return run(copies_kernel<Missing::nothing>); });
}

template <bool FIXED>
__global__ void histogram_kernel(unsigned* y) {
  __shared__ unsigned count[8];
  if (threadIdx.x < 8) count[threadIdx.x] = 0;
  __syncthreads();
  if (FIXED)
    atomicAdd(&count[threadIdx.x % 8], 1u);
  else
    count[threadIdx.x % 8] += 1;
  __syncthreads();
  if (threadIdx.x < 8) y[threadIdx.x] = count[threadIdx.x];
}
// An atomic and a plain read of one word.
template <bool FIXED>
__global__ void mixed_kernel(unsigned* y) {
  __shared__ unsigned count;
  if (threadIdx.x == 0) count = 0;
  __syncthreads();
  atomicAdd(&count, 1u);
  if (FIXED) __syncthreads();
  if (threadIdx.x == 40) y[0] = count;
}

TEST_CASE("sums without atomics, and atomics mixed with plain reads") {
  Array<unsigned> y(8);
  check_race({1, 64}, histogram_kernel<false>, histogram_kernel<true>, {"data race", "of count in shared memory"},
             y.data());
  check_race({1, 64}, mixed_kernel<false>, mixed_kernel<true>, {"data race", "of count in shared memory"}, y.data());
}

template <bool FIXED>
__global__ void global_kernel(float* y) {
  y[threadIdx.x] = 1;
  if (FIXED) __syncthreads();
  y[blockDim.x + threadIdx.x] = y[(threadIdx.x + 1) % blockDim.x];
}
template <bool FIXED>
__global__ void blocks_kernel(float* y) {
  y[FIXED ? blockIdx.x * blockDim.x + threadIdx.x : threadIdx.x] = 1;
}

TEST_CASE("global memory, within a block and between blocks") {
  Array<float> y(128, 0.0f);
  check_race({1, 64}, global_kernel<false>, global_kernel<true>,
             {"data race", " of an allocation of 512 bytes, which thread (", "and no barrier lies between"}, y.data());
  check_race({2, 64}, blocks_kernel<false>, blocks_kernel<true>,
             {"data race: a thread writes 4 bytes", ", 0, 0) of block (", " writes, and neither atomics nor a flag"},
             y.data());
}

// The last block to come adds up what all have written. What is missing: a fence before the count, or one behind it.
enum class Fence { both, none, before, behind };
template <Fence FENCE>
__global__ void last_block_kernel(float* parts, unsigned* count, float* y) {
  __shared__ bool last;
  parts[blockIdx.x * blockDim.x + threadIdx.x] = 1;
  if (FENCE == Fence::both || FENCE == Fence::before) __threadfence();
  __syncthreads();
  if (threadIdx.x == 0) last = atomicAdd(count, 1u) == gridDim.x - 1;
  __syncthreads();
  if (!last) return;
  if (FENCE == Fence::both || FENCE == Fence::behind) __threadfence();
  float sum = 0;
  for (unsigned b = 0; b < gridDim.x; ++b) sum += parts[b * blockDim.x + threadIdx.x];
  y[threadIdx.x] = sum;
  if (threadIdx.x == 0) *count = 0;
}

TEST_CASE("a count that tells which block is the last needs fences on both sides") {
  Array<float> parts(4 * 64), y(64);
  Array<unsigned> count(1, 0u);
  const auto run = [&](auto kernel) {
    CHECK(cudaMemset(count.data(), 0, 4) == cudaSuccess);
    return launch({4, 64}, kernel, parts.data(), count.data(), y.data());
  };
  for (const auto kernel :
       {last_block_kernel<Fence::none>, last_block_kernel<Fence::before>, last_block_kernel<Fence::behind>}) {
    diagnosed(cudaErrorLaunchFailure,
              {"data race: a thread reads 4 bytes", "neither atomics nor a flag between fences"},
              [&] { return run(kernel); });
  }
  clean([&] { return run(last_block_kernel<Fence::both>); });
}

// Block 0 writes and then sets a flag; the block that comes behind it waits for the flag.
template <bool FIXED>
__global__ void flag_kernel(unsigned* ticket, unsigned* flag, float* x, float* y) {
  const unsigned block = atomicAdd(ticket, 1u);
  if (block == 0) {
    x[0] = 1;
    if (FIXED)
      simt::store_release(flag, 1u);
    else
      atomicExch(flag, 1u);
  } else {
    while (simt::load_acquire(flag) == 0) {}
    y[0] = x[0];
  }
}

TEST_CASE("a flag that is set without a release") {
  Array<unsigned> words(2, 0u);
  Array<float> x(1), y(1);
  const auto run = [&](auto kernel) {
    CHECK(cudaMemset(words.data(), 0, 8) == cudaSuccess);
    return launch({2, 1}, kernel, words.data(), words.data() + 1, x.data(), y.data());
  };
  diagnosed(cudaErrorLaunchFailure, {"data race: a thread reads 4 bytes", "neither atomics nor a flag between fences"},
            [&] { return run(flag_kernel<false>); });
  clean([&] { return run(flag_kernel<true>); });
}

}  // namespace simt_checker_race_test
