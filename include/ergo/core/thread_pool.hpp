// The process-wide thread pool behind parallel_for: workers on pthreads that spin for about 50 microseconds after their
// last share of work and then sleep on a futex, so that a loop costs well under a microsecond to start while the
// program is busy and nothing while it is not. The caller of a loop works too, and takes back the share of any worker
// that has not begun by the time its own is done: a worker that is slow to wake, or has no core, never delays a loop.
//
// Words shared between threads are plain integers accessed through the __atomic builtins (<atomic> and <thread> cost
// 0.5 s of compile time). Linux only.
#pragma once

#include <linux/futex.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cstdint>
#include <cstdlib>
#include <exception>

#include "ergo/core/config.hpp"

namespace ergo::inline ERGO_BUILD {

// Threads that a parallel loop may use, the calling one included: what set_num_threads asked for, else the environment
// variable ERGO_NUM_THREADS, else the cores this process may run on.
inline int num_threads();

// Sets num_threads() for the whole process, at most 256; less than 1 returns to the default. May exceed the cores.
void set_num_threads(std::int64_t n);

// Loops so far, in the whole process, in which a second thread ran some of the chunks.
inline std::int64_t parallel_runs();

namespace detail {

inline constexpr int kMaxThreads = 256;
inline constexpr int kSpins = 4000;              // pauses before a worker sleeps, about 50 us
inline constexpr int kSpinsOversubscribed = 50;  // with more threads than cores, spinning only takes a core from others
inline constexpr int kSpinsBetweenMoves = 500;
inline constexpr int kCallerSleeps = 1 << 30;  // a bit of ThreadPool::pending

// A parallel_for with its body erased. `run` executes the chunks [first, last).
struct Loop {
  std::int64_t items = 0, grain = 0, chunks = 0;
  const void* body = nullptr;
  void (*run)(const Loop&, std::int64_t first, std::int64_t last, int slot) = nullptr;
  int shares = 1;
  int failed_share = kMaxThreads;  // the lowest share that threw, and what; guarded by error_lock
  int error_lock = 0;
  std::exception_ptr* error = nullptr;
};

// Idle: spinning, or on the way to it. Work: a share was handed over and may be taken by the worker or taken back by
// the caller, whoever first exchanges it for idle. Asleep: waiting on the futex of this very word.
enum WorkerState : int { kIdle, kWork, kAsleep };

struct alignas(64) Worker {
  int state = kIdle;
  int processor = -1;  // where it last found itself; the caller's is workers[0]'s
};

// Never destroyed: workers outlive static destructors.
struct ThreadPool {
  int threads = 0;  // num_threads(), 0 before it is first asked for
  int spins = kSpins;
  int started = 0;                    // workers that exist; written by the owner of `busy`
  int start_limit = kMaxThreads - 1;  // lowered when the system refuses a thread
  bool fork_handler = false;
  std::int64_t runs = 0;
  alignas(64) int busy = 0;  // a loop is running; everything below belongs to its caller
  Loop* loop = nullptr;
  alignas(64) int pending = 0;  // shares handed over and not finished
  Worker workers[kMaxThreads];
};

inline constinit ThreadPool thread_pool{};
inline constinit thread_local bool in_parallel_loop = false;

inline void cpu_relax() {
#if defined(__x86_64__) || defined(__i386__)
  __builtin_ia32_pause();
#elif defined(__aarch64__)
  asm volatile("yield");
#endif
}

inline void futex_wait(int* word, int expected) {
  syscall(SYS_futex, word, FUTEX_WAIT_PRIVATE, expected, nullptr, nullptr, 0);
}

inline void futex_wake(int* word) { syscall(SYS_futex, word, FUTEX_WAKE_PRIVATE, 1, nullptr, nullptr, 0); }

inline int hardware_threads() {
  cpu_set_t set;
  CPU_ZERO(&set);
  if (sched_getaffinity(0, sizeof set, &set) == 0) return CPU_COUNT(&set) > 0 ? CPU_COUNT(&set) : 1;
  const long online = sysconf(_SC_NPROCESSORS_ONLN);
  return online > 0 ? static_cast<int>(online) : 1;
}

inline int default_threads() {
  std::int64_t n = 0;
  if (const char* text = std::getenv("ERGO_NUM_THREADS")) n = std::strtol(text, nullptr, 10);
  if (n < 1) n = hardware_threads();
  return n < kMaxThreads ? static_cast<int>(n) : kMaxThreads;
}

// Runs share `share` of `loop.shares`, a contiguous run of chunks, and keeps what it throws.
inline void run_share(Loop& loop, int share) noexcept {
  // Not chunks * share / shares, which may overflow.
  const std::int64_t each = loop.chunks / loop.shares, more = loop.chunks % loop.shares;
  const std::int64_t first = each * share + (share < more ? share : more);
  const std::int64_t last = first + each + (share < more ? 1 : 0);
  try {
    loop.run(loop, first, last, share);
  } catch (...) {
    while (__atomic_exchange_n(&loop.error_lock, 1, __ATOMIC_ACQUIRE) != 0) sched_yield();
    if (share < loop.failed_share) {
      loop.failed_share = share;
      *loop.error = std::current_exception();
    }
    __atomic_store_n(&loop.error_lock, 0, __ATOMIC_RELEASE);
  }
}

// True for whoever gets to run the share that was handed to this worker.
inline bool take_share(Worker& worker) {
  int expected = kWork;
  return __atomic_compare_exchange_n(&worker.state, &expected, kIdle, false, __ATOMIC_ACQ_REL, __ATOMIC_RELAXED);
}

// The processors on which neither the caller nor a lower worker was last seen, of those this thread may run on.
inline cpu_set_t processors_left(const Worker& worker, const cpu_set_t& all) {
  cpu_set_t left = all;
  for (const Worker* w = thread_pool.workers; w != &worker; ++w) {
    const int taken = __atomic_load_n(&w->processor, __ATOMIC_RELAXED);
    if (taken >= 0 && taken < CPU_SETSIZE) CPU_CLR(taken, &left);
  }
  return left;
}

// Moves this worker off a processor that the caller or a lower worker computes on. A woken thread often lands beside
// the one that woke it, and the two then take turns there, for tenths of a second, until the system balances its load.
ERGO_ONCE void spread_out(Worker& worker) {
  const int own = sched_getcpu();
  __atomic_store_n(&worker.processor, own, __ATOMIC_RELAXED);
  cpu_set_t all;
  bool alone = true;
  for (const Worker* w = thread_pool.workers; w != &worker && alone; ++w)
    alone = __atomic_load_n(&w->processor, __ATOMIC_RELAXED) != own;
  if (alone || sched_getaffinity(0, sizeof all, &all) != 0) return;
  const cpu_set_t left = processors_left(worker, all);
  if (CPU_COUNT(&left) == 0 || sched_setaffinity(0, sizeof left, &left) != 0) return;
  sched_setaffinity(0, sizeof all, &all);
  __atomic_store_n(&worker.processor, sched_getcpu(), __ATOMIC_RELAXED);
}

// Sleeps until there is work. Meanwhile a worker that is to have a processor of its own may not run beside the caller:
// woken there, it would wait for a processor that the caller does not leave, while another is idle.
ERGO_ONCE void sleep_until_woken(Worker& worker, bool apart) {
  cpu_set_t all, now;
  const bool known = apart && sched_getaffinity(0, sizeof all, &all) == 0;
  cpu_set_t left;
  if (known) left = processors_left(worker, all);
  const bool moved = known && CPU_COUNT(&left) > 0 && sched_setaffinity(0, sizeof left, &left) == 0;
  int expected = kIdle;
  if (__atomic_compare_exchange_n(&worker.state, &expected, kAsleep, false, __ATOMIC_ACQ_REL, __ATOMIC_RELAXED)) {
    while (__atomic_load_n(&worker.state, __ATOMIC_RELAXED) == kAsleep) futex_wait(&worker.state, kAsleep);
  }
  // What another set meanwhile stays.
  if (moved && sched_getaffinity(0, sizeof now, &now) == 0 && CPU_EQUAL(&now, &left)) {
    sched_setaffinity(0, sizeof all, &all);
  }
}

inline void wait_for_share(Worker& worker) {
  for (;;) {
    const int spins = __atomic_load_n(&thread_pool.spins, __ATOMIC_RELAXED);
    const bool apart = spins == kSpins;  // no more threads than cores
    for (int i = 0; i < spins; ++i) {
      if (i % kSpinsBetweenMoves == 0 && apart) spread_out(worker);
      if (__atomic_load_n(&worker.state, __ATOMIC_RELAXED) == kWork && take_share(worker)) return;
      cpu_relax();
    }
    sleep_until_woken(worker, apart);
  }
}

ERGO_ONCE void* worker_main(void* argument) {
  Worker& worker = *static_cast<Worker*>(argument);
  ThreadPool& pool = thread_pool;
  in_parallel_loop = true;
  for (;;) {
    wait_for_share(worker);
    run_share(*pool.loop, static_cast<int>(&worker - pool.workers));
    if (__atomic_fetch_sub(&pool.pending, 1, __ATOMIC_ACQ_REL) == (kCallerSleeps | 1)) futex_wake(&pool.pending);
  }
}

// After fork() the child has one thread: no workers, and no loop of another thread in progress.
inline void forget_workers() {
  ThreadPool& pool = thread_pool;
  for (int i = 0; i < kMaxThreads; ++i) pool.workers[i].state = kIdle;
  pool.started = 0;
  pool.pending = 0;
  pool.busy = 0;
}

// Starts workers until `wanted` exist or the system refuses. Called by the owner of the pool only. Signals are left to
// the threads of the program.
inline void start_workers(int wanted) {
  ThreadPool& pool = thread_pool;
  const int limit = __atomic_load_n(&pool.start_limit, __ATOMIC_RELAXED);
  if (wanted > limit) wanted = limit;
  if (pool.started >= wanted) return;
  if (!pool.fork_handler) pool.fork_handler = pthread_atfork(nullptr, nullptr, &forget_workers) == 0;
  pthread_attr_t attributes;
  if (pthread_attr_init(&attributes) != 0) return;
  pthread_attr_setdetachstate(&attributes, PTHREAD_CREATE_DETACHED);
  sigset_t all, before;
  sigfillset(&all);
  pthread_sigmask(SIG_SETMASK, &all, &before);
  while (pool.started < wanted) {
    pthread_t thread;
    // Slot 0 is the caller's.
    if (pthread_create(&thread, &attributes, &worker_main, &pool.workers[pool.started + 1]) != 0) {
      __atomic_store_n(&pool.start_limit, pool.started, __ATOMIC_RELAXED);
      break;
    }
    ++pool.started;
  }
  pthread_sigmask(SIG_SETMASK, &before, nullptr);
  pthread_attr_destroy(&attributes);
}

inline void wait_for_workers(int spins) {
  int& pending = thread_pool.pending;
  for (int i = 0; i < spins; ++i) {
    if (__atomic_load_n(&pending, __ATOMIC_ACQUIRE) == 0) return;
    cpu_relax();
  }
  int left = __atomic_fetch_or(&pending, kCallerSleeps, __ATOMIC_ACQ_REL) | kCallerSleeps;
  while (left != kCallerSleeps) {
    futex_wait(&pending, left);
    left = __atomic_load_n(&pending, __ATOMIC_ACQUIRE);
  }
}

// Runs the loop on up to `threads` threads, all of them if 0, and rethrows what the lowest chunk threw. Not inlined:
// one copy serves every parallel_for, and the body of each is compiled once.
ERGO_ONCE void run_loop(std::int64_t items, std::int64_t grain, const void* body,
                        void (*run)(const Loop&, std::int64_t, std::int64_t, int), int threads) {
  if (items <= 0) return;
  if (threads == 0) threads = num_threads();
  Loop loop;
  loop.items = items;
  loop.grain = grain < 1 ? 1 : grain;
  loop.chunks = (items - 1) / loop.grain + 1;
  loop.body = body;
  loop.run = run;
  ThreadPool& pool = thread_pool;
  if (threads < 2 || loop.chunks < 2 || in_parallel_loop || __atomic_exchange_n(&pool.busy, 1, __ATOMIC_ACQUIRE) != 0) {
    loop.run(loop, 0, loop.chunks, 0);
    return;
  }
  std::exception_ptr error;
  loop.error = &error;
  if (threads > kMaxThreads) threads = kMaxThreads;
  if (threads > loop.chunks) threads = static_cast<int>(loop.chunks);
  start_workers(threads - 1);
  loop.shares = threads - 1 < pool.started ? threads : pool.started + 1;
  in_parallel_loop = true;
  pool.loop = &loop;
  int handed_over = loop.shares - 1;
  __atomic_store_n(&pool.pending, handed_over, __ATOMIC_RELAXED);
  __atomic_store_n(&pool.workers[0].processor, sched_getcpu(), __ATOMIC_RELAXED);
  for (int i = 1; i < loop.shares; ++i) {
    if (__atomic_exchange_n(&pool.workers[i].state, kWork, __ATOMIC_ACQ_REL) == kAsleep) {
      futex_wake(&pool.workers[i].state);
    }
  }
  run_share(loop, 0);
  int taken_back = 0;
  for (int i = loop.shares - 1; i > 0; --i) {  // the last was woken last
    if (!take_share(pool.workers[i])) continue;
    run_share(loop, i);
    ++taken_back;
  }
  if (taken_back > 0) __atomic_fetch_sub(&pool.pending, taken_back, __ATOMIC_ACQ_REL);
  wait_for_workers(__atomic_load_n(&pool.spins, __ATOMIC_RELAXED));
  if (taken_back < handed_over) __atomic_fetch_add(&pool.runs, 1, __ATOMIC_RELAXED);
  in_parallel_loop = false;
  __atomic_store_n(&pool.busy, 0, __ATOMIC_RELEASE);
  if (error) std::rethrow_exception(static_cast<std::exception_ptr&&>(error));
}

}  // namespace detail

ERGO_ONCE void set_num_threads(std::int64_t n) {
  detail::ThreadPool& pool = detail::thread_pool;
  if (n < 1) n = detail::default_threads();
  if (n > detail::kMaxThreads) n = detail::kMaxThreads;
  __atomic_store_n(&pool.spins, n > detail::hardware_threads() ? detail::kSpinsOversubscribed : detail::kSpins,
                   __ATOMIC_RELAXED);
  __atomic_store_n(&pool.start_limit, detail::kMaxThreads - 1, __ATOMIC_RELAXED);
  __atomic_store_n(&pool.threads, static_cast<int>(n), __ATOMIC_RELAXED);
}

inline int num_threads() {
  const int n = __atomic_load_n(&detail::thread_pool.threads, __ATOMIC_RELAXED);
  if (n > 0) return n;
  set_num_threads(0);
  return __atomic_load_n(&detail::thread_pool.threads, __ATOMIC_RELAXED);
}

inline std::int64_t parallel_runs() { return __atomic_load_n(&detail::thread_pool.runs, __ATOMIC_RELAXED); }

}  // namespace ergo::inline ERGO_BUILD
