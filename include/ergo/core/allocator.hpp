// The caching CPU allocator that every array header, node and buffer comes from.
//
// A block is 64-byte aligned and comes from its size class: 64-byte steps up to 1 KiB, then four classes an octave (at
// most 25 % waste). Blocks up to 32 KiB are kept in thread-local magazines of 64, exchanged with a process-wide store,
// so that a block freed by another thread than its maker's finds its way back; larger ones are kept in the store.
// Nothing is returned to the system before `release_cached_memory`, hence no page faults in a steady loop. Blocks of 1
// MiB and more ask for huge pages.
#pragma once

#include <pthread.h>
#include <sys/mman.h>
#include <unistd.h>

#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <string>
#include <utility>

#include "ergo/core/device.hpp"
#include "ergo/core/error.hpp"

namespace ergo::inline ERGO_BUILD::detail {

inline constexpr bool kReuseBlocks = !kSanitized;       // let a sanitizer see every block
inline constexpr std::size_t kLocalBytes = 32 << 10;    // classes up to this are cached by threads
inline constexpr std::size_t kHugeBytes = 1 << 20;      // and from this on backed by 2 MiB pages
inline constexpr std::int64_t kReportBytes = 64 << 10;  // a thread reports its balance of small blocks in such steps
inline constexpr int kMagazine = 64;
inline constexpr int kClasses = 16 + 4 * 52;      // up to 2^62 bytes
inline constexpr int kLocalClasses = 16 + 4 * 5;  // up to kLocalBytes

inline int size_class(std::size_t n) {
  if (n <= 1024) return n ? int((n - 1) / 64) : 0;
  const int e = 63 - __builtin_clzll(n - 1);
  return 16 + (e - 10) * 4 + int((n - 1) >> (e - 2) & 3);
}
inline std::size_t class_bytes(int c) {
  if (c < 16) return std::size_t(c + 1) * 64;
  return std::size_t((c - 16) % 4 + 5) << ((c - 16) / 4 + 8);
}

struct Block {
  Block* next;
  Block* next_chain;
};
struct Magazine {
  Block* head;
  int count;
};

// What this thread keeps. Trivially destructible and constant-initialised, so that access is one TLS address.
struct LocalCache {
  Magazine active[kLocalClasses], full[kLocalClasses];
  std::int64_t balance;  // bytes of small blocks taken less given back since the last report
  std::int64_t fail_in;  // tests: the allocation that many from now throws; 0: never
  int limit;             // of a magazine: kMagazine once the guard stands, which gives all back when the thread ends
  bool closed;
};
inline constinit thread_local LocalCache local_cache{};

// What all threads share: chains of small blocks, single large ones, and the totals.
struct Store {
  pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;
  Block* chains[kClasses] = {};
  std::int64_t live = 0, peak = 0, cached = 0;
  bool fork_handler = false;
};
inline constinit Store store{};
struct StoreLock {
  StoreLock() {
    lock();
    if (!store.fork_handler)
      store.fork_handler = pthread_atfork(&lock, &unlock, &unlock) == 0;  // nobody else is inside
  }
  StoreLock(const StoreLock&) = delete;
  ~StoreLock() { unlock(); }

 private:
  static void lock() { pthread_mutex_lock(&store.mutex); }
  static void unlock() { pthread_mutex_unlock(&store.mutex); }
};

inline void report(std::int64_t& balance) {  // with the lock held
  store.live += balance;
  if (store.live > store.peak) store.peak = store.live;
  balance = 0;
}

inline void give_chain(Block* head, int c) {  // with the lock held
  head->next_chain = store.chains[c];
  store.chains[c] = head;
}
inline void close_local_cache() {
  LocalCache& l = local_cache;
  StoreLock lock;
  for (int c = 0; c < kLocalClasses; ++c)
    for (Magazine* m : {&l.active[c], &l.full[c]})
      if (m->head) {
        store.cached += m->count * std::int64_t(class_bytes(c));
        give_chain(m->head, c);
        *m = {};
      }
  report(l.balance);
}
struct LocalCacheGuard {
  ~LocalCacheGuard() {
    close_local_cache();
    local_cache.limit = 0;
    local_cache.closed = true;
  }
};
// Before this thread's first block, taken or given back.
inline void guard_local_cache() {
  if (local_cache.limit) return;
  local_cache.limit = kMagazine;
  static thread_local LocalCacheGuard guard;
  (void)&guard;
}

[[noreturn, gnu::cold]] ERGO_ONCE void fail_memory(std::size_t bytes) {
  const long pages = sysconf(_SC_AVPHYS_PAGES), page = sysconf(_SC_PAGESIZE);
  StoreLock lock;
  throw OutOfMemory({"[memory] ", bytes, " bytes asked on cpu, ",
                     (pages > 0 ? std::to_string(std::int64_t(pages) * page) : std::string("unknown")),
                     " free in the system, ", store.live, " in use by tensors, ", store.cached, " cached"});
}
inline void* system_allocate(std::size_t bytes) {
  const bool huge = bytes >= kHugeBytes;
  void* p = nullptr;  // not aligned_alloc, which may insist on a multiple of the alignment
  if (posix_memalign(&p, huge ? std::size_t(2) << 20 : 64, bytes)) return nullptr;
  if (huge) madvise(p, bytes, MADV_HUGEPAGE);
  return p;
}
void release_store();

ERGO_ONCE void* allocate_slow(std::size_t bytes) {
  LocalCache& l = local_cache;
  if (bytes > std::size_t(1) << 62) fail_memory(bytes);
  const int c = size_class(bytes);
  if (c < kLocalClasses && !l.closed) {
    guard_local_cache();
    if (l.full[c].head) {
      std::swap(l.active[c], l.full[c]);
    } else {
      StoreLock lock;
      if (Block* chain = store.chains[c]) {
        store.chains[c] = chain->next_chain;
        int n = 0;
        for (Block* b = chain; b; b = b->next) ++n;
        store.cached -= std::int64_t(n) * std::int64_t(class_bytes(c));
        l.active[c] = {chain, n};
      }
    }
    if (Magazine& m = l.active[c]; m.head) {
      Block* b = m.head;
      m.head = b->next;
      --m.count;
      return b;
    }
  } else {
    StoreLock lock;
    if (Block* b = store.chains[c]) {
      if (b->next) {
        b->next->next_chain = b->next_chain;
        store.chains[c] = b->next;
      } else {
        store.chains[c] = b->next_chain;
      }
      store.cached -= std::int64_t(class_bytes(c));
      std::int64_t taken = std::int64_t(class_bytes(c));
      report(taken);
      return b;
    }
  }
  void* p = system_allocate(class_bytes(c));
  if (!p) {  // what is cached may be what is missing
    release_store();
    p = system_allocate(class_bytes(c));
  }
  const bool local = c < kLocalClasses && !l.closed;  // counted by `allocate` already
  if (!p) {
    if (local) l.balance -= std::int64_t(class_bytes(c));
    fail_memory(bytes);
  }
  if (!local) {
    StoreLock lock;
    std::int64_t taken = std::int64_t(class_bytes(c));
    report(taken);
  }
  return p;
}

ERGO_ONCE void deallocate_slow(void* p, int c) noexcept {
  LocalCache& l = local_cache;
  auto* b = static_cast<Block*>(p);
  const auto bytes = std::int64_t(class_bytes(c));
  if (c < kLocalClasses && !l.closed) {
    guard_local_cache();
    if (!kReuseBlocks) return std::free(p);
    Magazine& m = l.active[c];
    if (m.count == kMagazine) {
      if (l.full[c].head) {
        StoreLock lock;
        store.cached += std::int64_t(l.full[c].count) * bytes;
        give_chain(l.full[c].head, c);
      }
      l.full[c] = m;
      m = {};
    }
    b->next = m.head;
    m.head = b;
    ++m.count;
    return;
  }
  StoreLock lock;
  store.live -= bytes;
  if (!kReuseBlocks) return std::free(p);
  b->next = nullptr;
  give_chain(b, c);
  store.cached += bytes;
}

[[gnu::cold]] ERGO_ONCE void report_locally() noexcept {
  StoreLock lock;
  report(local_cache.balance);
}
[[noreturn, gnu::cold]] ERGO_ONCE void fail_injected(std::size_t bytes) {
  throw OutOfMemory({"[memory] ", bytes, " bytes asked: a failure injected by a test"});
}

// At least `bytes` bytes, 64-byte aligned, not initialised; OutOfMemory if there are none. The `_inline` forms are for
// array headers, made with every operation.
ERGO_INLINE void* allocate_inline(std::size_t bytes) {
  LocalCache& l = local_cache;
  if (l.fail_in && --l.fail_in == 0) [[unlikely]]
    fail_injected(bytes);
  if (bytes <= kLocalBytes && !l.closed) [[likely]] {
    const int c = size_class(bytes);
    l.balance += std::int64_t(class_bytes(c));
    if (l.balance > kReportBytes) [[unlikely]]
      report_locally();
    Magazine& m = l.active[c];
    if (Block* b = m.head) [[likely]] {
      m.head = b->next;
      --m.count;
      return b;
    }
  }
  return allocate_slow(bytes);
}

// Gives back what `allocate(bytes)` returned.
ERGO_INLINE void deallocate_inline(void* p, std::size_t bytes) noexcept {
  LocalCache& l = local_cache;
  const int c = size_class(bytes);
  if (bytes <= kLocalBytes && !l.closed) [[likely]] {
    l.balance -= std::int64_t(class_bytes(c));
    if (l.balance < -kReportBytes) [[unlikely]]
      report_locally();
    Magazine& m = l.active[c];
    if (kReuseBlocks && m.count < l.limit) [[likely]] {
      auto* b = static_cast<Block*>(p);
      b->next = m.head;
      m.head = b;
      ++m.count;
      return;
    }
  }
  deallocate_slow(p, c);
}

ERGO_ONCE void* allocate(std::size_t bytes) { return allocate_inline(bytes); }
ERGO_ONCE void deallocate(void* p, std::size_t bytes) noexcept { deallocate_inline(p, bytes); }

inline void release_store() {
  StoreLock lock;
  for (int c = 0; c < kClasses; ++c)
    while (Block* chain = store.chains[c]) {
      store.chains[c] = chain->next_chain;
      while (Block* b = chain) {
        chain = b->next;
        std::free(b);
      }
    }
  store.cached = 0;
}

}  // namespace ergo::inline ERGO_BUILD::detail
