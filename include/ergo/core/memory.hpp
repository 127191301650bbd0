// Memory as a user sees it: what the library holds, its peak, and giving back what is kept for reuse. The allocator is
// in allocator.hpp.
#pragma once

#include "ergo/core/allocator.hpp"
#include "ergo/core/ref.hpp"

namespace ergo::inline ERGO_BUILD {

// What the library holds on a device. On the CPU `live` and `cached` are exact for this thread and the large blocks of
// all; other threads' small blocks are counted to within 64 KiB each, and so is `peak`.
inline MemoryInfo memory_info(Device d = default_device()) {
  if (!d.is_cpu()) return detail::backend(d).memory_info(d);
  detail::LocalCache& l = detail::local_cache;
  detail::StoreLock lock;
  detail::report(l.balance);
  MemoryInfo info{detail::store.live, detail::store.cached, detail::store.peak};
  for (int c = 0; c < detail::kLocalClasses; ++c)
    info.cached += (l.active[c].count + l.full[c].count) * std::int64_t(detail::class_bytes(c));
  return info;
}

// Starts a new measurement of the peak.
inline void reset_peak_memory() {
  detail::StoreLock lock;
  detail::report(detail::local_cache.balance);
  detail::store.peak = detail::store.live;
}

// Returns to the system what this thread, finished threads and the large-block store keep for reuse.
ERGO_ONCE void release_cached_memory() {
  detail::close_local_cache();
  detail::release_store();
  if (const detail::Backend* b = detail::backend_or_null()) b->release_cached_memory();
}

}  // namespace ergo::inline ERGO_BUILD
