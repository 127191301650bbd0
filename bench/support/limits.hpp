// The limits of this machine, measured in the run that a figure comes from: multiply-adds per second, and bytes per
// second of a copy at a working-set size.
#pragma once

#include <cstdint>
#include <vector>

#include "bench/support/contest.hpp"
#include "ergo/core/parallel.hpp"
#include "ergo/cpu/isa.hpp"
#include "ergo/cpu/pack.hpp"

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

// Bytes per second, read and written together, of copying half of `bytes` to the other half.
inline double copy_bandwidth(std::int64_t bytes, int threads) {
  const std::int64_t half = bytes / 2, passes = 1 + (std::int64_t(32) << 20) / half;
  std::vector<std::vector<char>> memory(std::size_t(threads), std::vector<char>(std::size_t(half) * 2, 1));
  double best = 1e30;
  for (int repeat = 0; repeat < 7; ++repeat) {
    const double start = wall_seconds();
    ergo::parallel_for(
        threads, 1,
        [&](std::int64_t t, std::int64_t) {
          char* p = memory[std::size_t(t)].data();
          for (std::int64_t i = 0; i < passes; ++i) {
            __builtin_memcpy(p, p + half, std::size_t(half));
            keep(*p);
          }
        },
        threads);
    best = std::min(best, wall_seconds() - start);
  }
  return 2.0 * double(half) * double(passes) * threads / best;
}

}  // namespace bench
