// Whether something runs in parallel: the pool remembers its last loop, and only loops of several threads reach it.
#pragma once

#include "ergo/core/parallel.hpp"

// Whether f hands a loop to more than one thread; num_threads() must be 2 at least.
template <class F>
bool goes_parallel(const F& f) {
  ergo::detail::Loop*& last = ergo::detail::thread_pool.loop;
  last = nullptr;
  f();
  return last != nullptr;
}
