// The limits of this machine, measured in the run that a figure comes from: multiply-adds per second, and bytes per
// second copied, read or written at a working-set size.
#pragma once

#include <algorithm>
#include <cstdint>
#include <vector>

#include "bench/support/contest.hpp"
#include "ergo/core/parallel.hpp"
#include "ergo/cpu/isa.hpp"
#include "ergo/cpu/pack_storage.hpp"

namespace bench {

// Independent chains of multiply-adds, enough to hide their latency in both units.
struct MultiplyAdds {
  template <ergo::cpu::Isa I, class T>
  static ERGO_INLINE void run(long n, T* result) {
    constexpr int kLanes = ergo::cpu::kRegisterBytes<I> / int(sizeof(T)), kChains = 12;
    using V = ergo::cpu::detail::Vector<T, kLanes>;
    V chain[kChains], factor = T(0.999) - V{}, term = T(0.001) - V{};
    for (int c = 0; c < kChains; ++c) chain[c] = T(c) - V{};  // equal chains would be computed once
    for (long i = 0; i < n; ++i) {
#pragma GCC unroll 12
      for (int c = 0; c < kChains; ++c) chain[c] = chain[c] * factor + term;
    }
    V sum = chain[0];
    for (int c = 1; c < kChains; ++c) sum += chain[c];
    *result = sum[0];
  }
};

// Operations per second (a multiply-add is two) on `threads` threads: the best of a few runs.
template <class T>
double peak_flops(int threads) {
  const int lanes = ergo::cpu::isa() == ergo::cpu::Isa::avx512 ? 64
                    : ergo::cpu::isa() == ergo::cpu::Isa::avx2 ? 32
                                                               : 16;
  const long n = 400000;
  double best = 1e30;
  for (int repeat = 0; repeat < 15; ++repeat) {
    const double start = wall_seconds();
    ergo::parallel_for(
        threads, 1,
        [&](std::int64_t, std::int64_t) {
          T result;
          ergo::cpu::for_isa<MultiplyAdds, long, T*>(n, &result);
          keep(result);
        },
        threads);
    best = std::min(best, wall_seconds() - start);
  }
  return 2.0 * 12 * lanes / int(sizeof(T)) * double(n) * threads / best;
}

enum class Traffic { copy, read, fill };

// Sum and fill n bytes at p, a multiple of 512; p is aligned to 64.
struct ReadMemory {
  template <ergo::cpu::Isa I>
  static ERGO_INLINE void run(const char* p, std::int64_t n, float* result) {
    constexpr int kBytes = ergo::cpu::kRegisterBytes<I>;
    using V = ergo::cpu::Pack<float, kBytes / 4>;
    V sum[8] = {};
    for (std::int64_t i = 0; i + 8 * kBytes <= n; i += 8 * kBytes)
      for (int k = 0; k < 8; ++k) sum[k] = sum[k] + V::load(reinterpret_cast<const float*>(p + i + k * kBytes));
    for (int k = 1; k < 8; ++k) sum[0] = sum[0] + sum[k];
    sum[0].store(result);
  }
};
struct FillMemory {
  template <ergo::cpu::Isa I>
  static ERGO_INLINE void run(char* p, std::int64_t n, bool past_caches) {
    constexpr int kBytes = ergo::cpu::kRegisterBytes<I>;
    const ergo::cpu::Pack<float, kBytes / 4> one(1.0f);
    for (std::int64_t i = 0; i + kBytes <= n; i += kBytes) {
      if (past_caches)
        ergo::cpu::stream(reinterpret_cast<float*>(p + i), one);
      else
        one.store(reinterpret_cast<float*>(p + i));
    }
    if (past_caches) ergo::cpu::stream_fence();
  }
};

// Bytes per second on `threads` threads that share a working set of `bytes`: of copying one half of it to the other
// (read and written together), of reading it, of writing it (past the caches from 16 MiB on).
inline double bandwidth(Traffic traffic, std::int64_t bytes, int threads) {
  const std::int64_t own = std::max<std::int64_t>(bytes / threads / 1024, 1) * 1024;
  const std::int64_t passes = 1 + (std::int64_t(16) << 20) / own;
  std::vector<std::vector<char>> memory(std::size_t(threads), std::vector<char>(std::size_t(own) + 64, 1));
  double best = 1e30;
  for (int repeat = 0; repeat < 7; ++repeat) {
    const double start = wall_seconds();
    ergo::parallel_for(
        threads, 1,
        [&](std::int64_t t, std::int64_t) {
          char* p = memory[std::size_t(t)].data();
          p += (64 - reinterpret_cast<std::uintptr_t>(p) % 64) % 64;
          alignas(64) float sums[16];
          for (std::int64_t i = 0; i < passes; ++i) {
            if (traffic == Traffic::copy)
              __builtin_memcpy(p, p + own / 2, std::size_t(own / 2));
            else if (traffic == Traffic::read)
              ergo::cpu::for_isa<ReadMemory, const char*, std::int64_t, float*>(p, own, sums);
            else
              ergo::cpu::for_isa<FillMemory, char*, std::int64_t, bool>(p, own, bytes >= (16 << 20));
            keep(*p);
            keep(sums);
          }
        },
        threads);
    best = std::min(best, wall_seconds() - start);
  }
  return double(own) * double(passes) * threads / best;
}

}  // namespace bench
