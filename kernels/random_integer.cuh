// Random integers, the bits of the CPU (ops/random_integer.hpp), from the counters of a key (random.cuh): integers of a
// range, and permutations. A permutation is the result of Fisher and Yates' sequence of exchanges, done in parallel by
// deterministic reservations (Shun, Gu, Blelloch, Fineman, Gibbons 2015, "Sequential random permutation, list
// contraction and tree contraction are highly parallel"): exchanges that no earlier one touches are done together, and
// as exchanges of different elements commute, no schedule changes the result.
#pragma once

#include "ergo/kernels/random.cuh"

namespace ergo::inline ERGO_BUILD::cuda {

inline constexpr int kPermuteItems = 4;  // exchanges of a thread that wait together

// low + floor(range w / 2^64), w the 64 bits of an element; Wide, for ranges of 2^32 and more: with 64 bits more.
template <bool Wide, class T>
__global__ void __launch_bounds__(kDrawBlock)
    randint_kernel(std::uint64_t low, std::uint64_t range, Keys keys, T* y, KeyedGroups shape) {
  constexpr int kGroup = sizeof(T) == 8 ? 2 : 4, kEach = Wide ? 1 : 2;
#pragma unroll 1
  for (int k = 0; k < kDrawItems; ++k) {
    const std::int64_t index = (std::int64_t(blockIdx.x) * kDrawItems + k) * kDrawBlock + threadIdx.x;
    if (index >= shape.total) return;
    std::int64_t key, group;
    shape.locate(index, key, group);
    T x[kGroup];
#pragma unroll
    for (int c = 0; c < kGroup; c += kEach) {
      const auto b = random_block(keys[key], std::uint64_t((group * kGroup + c) / kEach));
      if constexpr (Wide) {
        const std::uint64_t rest = range * b.low(), more = __umul64hi(range, b.high());
        x[c] = T(low + __umul64hi(range, b.low()) + (rest + more < rest));
      } else {
        x[c] = T(low + __umul64hi(range, b.low()));
        x[c + 1] = T(low + __umul64hi(range, b.high()));
      }
    }
    store_group(y + key * shape.each + group * kGroup, x, shape.each - group * kGroup);
  }
}

// Fisher and Yates' exchanges, number i = n - 1 ... 0 of elements i and j_i = floor((i + 1) w_i / 2^64), by a block a
// key. The next exchanges, kPermuteItems a thread, claim their two elements, each for the first of the exchanges that
// asks; who has both claims goes first to both, so it may be done now, beside all others that do. The rest claim again.
// claim: a word an element, 0 at the start and at the end; holds i + 1 of an exchange that is not done.
template <int Block, class T>
__global__ void __launch_bounds__(Block)
    permutation_kernel(Keys keys, std::int64_t n, T* order, std::uint32_t* claims) {
  const auto key = keys[blockIdx.x];
  T* y = order + blockIdx.x * n;
  std::uint32_t* claim = claims + blockIdx.x * n;
  for (std::int64_t i = threadIdx.x; i < n; i += Block) {
    y[i] = T(i);
    claim[i] = 0;
  }
  for (std::int64_t end = n; end > 0; end -= Block * kPermuteItems) {
    std::uint32_t i[kPermuteItems], j[kPermuteItems];
    bool waits[kPermuteItems], done[kPermuteItems];
#pragma unroll
    for (int k = 0; k < kPermuteItems; ++k) {
      const std::int64_t at = end - 1 - threadIdx.x - k * Block;
      waits[k] = at >= 0;
      i[k] = j[k] = 0;
      if (!waits[k]) continue;
      const auto b = random_block(key, std::uint64_t(at / 2));
      i[k] = std::uint32_t(at);
      j[k] = std::uint32_t(__umul64hi(std::uint64_t(at) + 1, at % 2 ? b.high() : b.low()));
    }
    bool more = true;
    while (more) {
      __syncthreads();  // what was exchanged and released is seen by all
#pragma unroll
      for (int k = 0; k < kPermuteItems; ++k) {
        if (!waits[k]) continue;
        atomicMax(claim + i[k], i[k] + 1);
        atomicMax(claim + j[k], i[k] + 1);
      }
      __syncthreads();
      more = false;
#pragma unroll
      for (int k = 0; k < kPermuteItems; ++k) {
        done[k] = waits[k] && claim[i[k]] == i[k] + 1 && claim[j[k]] == i[k] + 1;
        waits[k] = waits[k] && !done[k];
        more = more || waits[k];
        if (!done[k]) continue;
        const T other = y[j[k]];
        y[j[k]] = y[i[k]];
        y[i[k]] = other;
      }
      more = __syncthreads_or(more);
#pragma unroll
      for (int k = 0; k < kPermuteItems; ++k) {
        if (!done[k]) continue;
        claim[i[k]] = 0;
        claim[j[k]] = 0;
      }
    }
  }
}

// Integers of [low, low + range), the bits of ops/random_integer.hpp.
template <class T>
void launch_randint(Stream& stream, std::int64_t low, std::uint64_t range, Keys keys, std::int64_t n_keys,
                    std::int64_t count, T* y) {
  const auto kernel = range >> 32 ? randint_kernel<true, T> : randint_kernel<false, T>;
  detail::over_keys(n_keys, count, sizeof(T) == 8 ? 2 : 4, [&](std::int64_t k, const KeyedGroups& shape) {
    launch(stream, "randint", detail::draw_shape(shape), kernel, std::uint64_t(low), range, keys + k, y + k * count,
           shape);
  });
}

// Bytes of device memory that launch_permutation works in.
inline std::size_t permutation_workspace(std::int64_t n_keys, std::int64_t n) {
  return std::size_t(n_keys) * std::size_t(n) * sizeof(std::uint32_t);
}
// 0 ... n - 1 in random order for each key, the order of ops/random_integer.hpp; n < 2^32 - 1.
template <class T>
void launch_permutation(Stream& stream, Keys keys, std::int64_t n_keys, std::int64_t n, T* y, void* workspace) {
  if (n_keys == 0 || n == 0) return;
  if (n >= 0xffffffff) throw_error({"[permutation] ", n, " elements: at most 2^32 - 2 on CUDA"});
  auto* claims = static_cast<std::uint32_t*>(workspace);
  if (n <= 128 * kPermuteItems)
    launch(stream, "permutation", {unsigned(n_keys), 128}, permutation_kernel<128, T>, keys, n, y, claims);
  else
    launch(stream, "permutation", {unsigned(n_keys), 1024}, permutation_kernel<1024, T>, keys, n, y, claims);
}

}  // namespace ergo::inline ERGO_BUILD::cuda
