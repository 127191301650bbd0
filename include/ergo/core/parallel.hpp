// Deterministic parallel loops. `parallel_for(n, grain, f)` calls f(begin, end) on consecutive chunks of `grain` items:
// the partition depends on the problem, never on the number of threads, so whatever each chunk computes has the same
// bits for 1, 2 or 8 of them. One process-wide pool (core/thread_pool.hpp) runs the chunks; each thread gets a
// contiguous run of them. A loop inside a loop, and a loop of a second user thread while the pool is busy, runs inline.
#pragma once

#include <cstdint>

#include "ergo/core/thread_pool.hpp"

namespace ergo::inline ERGO_BUILD {

// Calls f(begin, end) for [0, grain), [grain, 2 grain), ... up to n, on at most `threads` threads (0: num_threads()),
// the caller among them. If f takes a third argument it is given a slot in [0, threads): chunks that run at the same
// time have different slots, so it may index scratch memory that the caller allocated beforehand. An exception of f
// ends the run of chunks it occurs in; the one from the lowest chunk is rethrown here, whatever the number of threads.
template <class F>
void parallel_for(std::int64_t n, std::int64_t grain, const F& f, int threads = 0) {
  const auto run = [](const detail::Loop& self, std::int64_t first, std::int64_t last, [[maybe_unused]] int slot) {
    const F& body = *static_cast<const F*>(self.body);
    for (std::int64_t chunk = first; chunk < last; ++chunk) {
      const std::int64_t begin = chunk * self.grain;
      const std::int64_t end = self.items - begin > self.grain ? begin + self.grain : self.items;
      if constexpr (requires { body(begin, end, slot); }) {
        body(begin, end, slot);
      } else {
        body(begin, end);
      }
    }
  };
  detail::run_loop(n, grain, &f, run, threads);
}

}  // namespace ergo::inline ERGO_BUILD
