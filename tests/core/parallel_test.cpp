// label: threads
#include "ergo/core/parallel.hpp"

#include <pthread.h>
#include <sched.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include <cstdint>
#include <stdexcept>
#include <string>
#include <vector>

#include <doctest/doctest.h>

#include "support/skip.hpp"

namespace core_parallel_test {

namespace {

constexpr int kThreadCounts[] = {1, 2, 3, 5, 8};

struct ThreadsScope {
  explicit ThreadsScope(int n) { ergo::set_num_threads(n); }
  ~ThreadsScope() { ergo::set_num_threads(0); }
};

double seconds() {
  timespec t;
  clock_gettime(CLOCK_MONOTONIC, &t);
  return static_cast<double>(t.tv_sec) + 1e-9 * static_cast<double>(t.tv_nsec);
}

// Long enough for a sleeping worker to wake up and take a share.
void work_for(double duration) {
  const double end = seconds() + duration;
  while (seconds() < end) {}
}

std::vector<std::int64_t> chunk_bounds(std::int64_t n, std::int64_t grain) {
  std::vector<std::int64_t> bounds(static_cast<std::size_t>(n), -1);  // at a chunk's begin: its end
  ergo::parallel_for(n, grain,
                     [&](std::int64_t begin, std::int64_t end) { bounds[static_cast<std::size_t>(begin)] = end; });
  return bounds;
}

}  // namespace

TEST_CASE("every item is visited once, in chunks that do not depend on the number of threads") {
  for (const std::int64_t n : {1, 2, 7, 8, 9, 63, 64, 65, 1000}) {
    for (const std::int64_t grain : {1, 3, 8, 64, 5000}) {
      std::vector<std::int64_t> expected(static_cast<std::size_t>(n), -1);
      for (std::int64_t begin = 0; begin < n; begin += grain) {
        expected[static_cast<std::size_t>(begin)] = begin + grain < n ? begin + grain : n;
      }
      for (const int threads : kThreadCounts) {
        const ThreadsScope scope(threads);
        REQUIRE(chunk_bounds(n, grain) == expected);
      }
    }
  }
}

TEST_CASE("empty and degenerate loops") {
  int calls = 0;
  ergo::parallel_for(0, 4, [&](std::int64_t, std::int64_t) { ++calls; });
  ergo::parallel_for(-3, 4, [&](std::int64_t, std::int64_t) { ++calls; });
  CHECK(calls == 0);
  ergo::parallel_for(
      3, 0, [&](std::int64_t begin, std::int64_t end) { CHECK(end == begin + 1); }, 1);
  // A grain beyond n, and sums that would overflow if computed carelessly.
  std::int64_t end_seen = 0;
  ergo::parallel_for(INT64_MAX, INT64_MAX - 1, [&](std::int64_t begin, std::int64_t end) {
    if (begin != 0) end_seen = end;
  });
  CHECK(end_seen == INT64_MAX);
}

TEST_CASE("num_threads follows set_num_threads and stays in range") {
  ergo::set_num_threads(5);
  CHECK(ergo::num_threads() == 5);
  ergo::set_num_threads(100000);
  CHECK(ergo::num_threads() == 256);
  setenv("ERGO_NUM_THREADS", "3", 1);
  ergo::set_num_threads(0);
  CHECK(ergo::num_threads() == 3);
  setenv("ERGO_NUM_THREADS", "many", 1);
  ergo::set_num_threads(0);
  CHECK(ergo::num_threads() >= 1);
  unsetenv("ERGO_NUM_THREADS");
  ergo::set_num_threads(0);
  CHECK(ergo::num_threads() >= 1);
}

TEST_CASE("long loops really run on several threads, and are counted; short ones are not") {
  const ThreadsScope scope(2);
  const std::int64_t before = ergo::parallel_runs();
  pthread_t seen[2] = {};
  ergo::parallel_for(2, 1, [&](std::int64_t begin, std::int64_t) {
    work_for(0.05);
    seen[begin] = pthread_self();
  });
  CHECK(ergo::parallel_runs() == before + 1);
  CHECK(pthread_equal(seen[0], seen[1]) == 0);
  CHECK(pthread_equal(seen[0], pthread_self()) != 0);
  ergo::parallel_for(2, 2, [](std::int64_t, std::int64_t) { work_for(0.001); });  // one chunk
  ergo::parallel_for(
      2, 1, [](std::int64_t, std::int64_t) { work_for(0.001); }, 1);
  CHECK(ergo::parallel_runs() == before + 1);
}

TEST_CASE("each thread gets one contiguous run of chunks, and its own slot") {
  for (const int threads : kThreadCounts) {
    const ThreadsScope scope(threads);
    std::vector<int> slots(37, -1);
    int in_use[8] = {};
    int clashes = 0;
    ergo::parallel_for(37, 1, [&](std::int64_t begin, std::int64_t, int slot) {
      if (__atomic_exchange_n(&in_use[slot], 1, __ATOMIC_ACQ_REL) != 0)
        __atomic_fetch_add(&clashes, 1, __ATOMIC_RELAXED);
      work_for(0.0002);
      slots[static_cast<std::size_t>(begin)] = slot;
      __atomic_store_n(&in_use[slot], 0, __ATOMIC_RELEASE);
    });
    CHECK(clashes == 0);
    for (std::size_t i = 0; i < slots.size(); ++i) {
      CHECK(slots[i] >= 0);
      CHECK(slots[i] < threads);
      if (i > 0) CHECK(slots[i] >= slots[i - 1]);
    }
  }
}

TEST_CASE("nested loops run inline on the thread they are met on") {
  const ThreadsScope scope(3);
  std::vector<int> visits(6 * 50, 0);
  int foreign = 0;
  ergo::parallel_for(6, 1, [&](std::int64_t outer, std::int64_t) {
    const pthread_t self = pthread_self();
    ergo::parallel_for(50, 4, [&](std::int64_t begin, std::int64_t end) {
      if (pthread_equal(self, pthread_self()) == 0) __atomic_fetch_add(&foreign, 1, __ATOMIC_RELAXED);
      for (std::int64_t i = begin; i < end; ++i) ++visits[static_cast<std::size_t>(outer * 50 + i)];
    });
  });
  CHECK(foreign == 0);
  CHECK(visits == std::vector<int>(6 * 50, 1));
}

TEST_CASE("the exception of the lowest chunk reaches the caller, and the pool goes on") {
  for (const int threads : kThreadCounts) {
    const ThreadsScope scope(threads);
    for (int repeat = 0; repeat < 20; ++repeat) {
      std::string what;
      try {
        ergo::parallel_for(64, 1, [](std::int64_t begin, std::int64_t) {
          if (begin == 11 || begin == 40 || begin == 63) throw std::runtime_error(std::to_string(begin));
        });
      } catch (const std::runtime_error& error) { what = error.what(); }
      CHECK(what == "11");
    }
    CHECK_NOTHROW(ergo::parallel_for(64, 1, [](std::int64_t, std::int64_t) {}));
  }
}

TEST_CASE("several user threads may run loops at once") {
  const ThreadsScope scope(3);
  struct Result {
    std::int64_t sum = 0;
    bool good = true;
  } results[4];
  pthread_t users[4];
  for (int i = 0; i < 4; ++i) {
    pthread_create(
        &users[i], nullptr,
        [](void* argument) -> void* {
          Result& result = *static_cast<Result*>(argument);
          for (int repeat = 0; repeat < 300; ++repeat) {
            std::int64_t partial[16] = {};
            ergo::parallel_for(1600, 100, [&](std::int64_t begin, std::int64_t end) {
              for (std::int64_t k = begin; k < end; ++k) partial[begin / 100] += k;
            });
            std::int64_t sum = 0;
            for (const std::int64_t value : partial) sum += value;
            result.good = result.good && sum == 1600 * 1599 / 2;
            result.sum += sum;
          }
          return nullptr;
        },
        &results[i]);
  }
  for (int i = 0; i < 4; ++i) pthread_join(users[i], nullptr);
  for (const Result& result : results) {
    CHECK(result.good);
    CHECK(result.sum == std::int64_t{300} * 1600 * 1599 / 2);
  }
}

TEST_CASE("more threads than cores finish fast, awake or asleep") {
  for (const int threads : {2, 3, 5, 8, 64}) {
    const ThreadsScope scope(threads);
    ergo::parallel_for(threads, 1, [](std::int64_t, std::int64_t) {});  // starts the workers
    const double start = seconds();
    int visits[64] = {};
    for (int repeat = 0; repeat < 200; ++repeat) {
      ergo::parallel_for(threads, 1, [&](std::int64_t begin, std::int64_t) { ++visits[begin]; });
    }
    const double per_loop = (seconds() - start) / 200;
    for (int i = 0; i < threads; ++i) CHECK(visits[i] == 200);
    MESSAGE(threads << " threads: " << per_loop * 1e6 << " us per empty loop");
    CHECK(per_loop < 0.02);  // the bound that catches waiting for the scheduler's time slices, not a benchmark
    usleep(2000);
  }
}

// A worker that shares the caller's processor moves off it; where it may run stays what it was.
TEST_CASE("threads spread over the processors and stay as free as before") {
  const int threads = ergo::num_threads();
  if (threads < 2) return skip("workers that move", "this process has one processor");
  cpu_set_t before;
  REQUIRE(sched_getaffinity(0, sizeof before, &before) == 0);
  int together = 0, restricted = 0, loops = 0;
  for (int repeat = 0; loops < 200 && repeat < 20000; ++repeat) {  // on a busy machine the caller often runs both
    int processor[2] = {-1, -1};
    bool free[2] = {};
    const std::int64_t ran = ergo::parallel_runs();
    ergo::parallel_for(
        2, 1,
        [&](std::int64_t begin, std::int64_t) {
          work_for(1e-4);
          cpu_set_t own;
          processor[begin] = sched_getcpu();
          free[begin] = sched_getaffinity(0, sizeof own, &own) == 0 && CPU_EQUAL(&own, &before);
        },
        2);
    restricted += !free[0] || !free[1];
    if (ergo::parallel_runs() == ran) continue;  // the caller ran both shares
    ++loops;
    together += processor[0] == processor[1];
    if (repeat % 50 == 0) usleep(3000);  // the worker sleeps, and wakes somewhere
  }
  MESSAGE(loops << " loops on two threads, " << together << " of them ended on one processor");
  CHECK(restricted == 0);
  CHECK(loops == 200);
  CHECK(together <= loops / 2);
}

// No sanitizer survives what these two do: start threads in a forked child, live in a small address space.
TEST_CASE("a forked child starts its own workers") {
  if (ergo::detail::kSanitized) return skip("a forked child's workers", "a sanitizer does not survive them");
  const ThreadsScope scope(3);
  ergo::parallel_for(8, 1, [](std::int64_t, std::int64_t) { work_for(0.001); });
  const pid_t child = fork();
  if (child == 0) {
    alarm(20);  // a child that waits for its parent's workers must not hang the test
    const std::int64_t before = ergo::parallel_runs();
    int visits[8] = {};
    ergo::parallel_for(8, 1, [&](std::int64_t begin, std::int64_t) {
      work_for(0.02);
      ++visits[begin];
    });
    bool good = ergo::parallel_runs() == before + 1;
    for (const int count : visits) good = good && count == 1;
    _exit(good ? 0 : 1);
  }
  int status = -1;
  waitpid(child, &status, 0);
  CHECK(WIFEXITED(status));
  CHECK(WEXITSTATUS(status) == 0);
}

TEST_CASE("a process that may not create threads runs its loops alone") {
  if (ergo::detail::kSanitized) return skip("a process without threads", "a sanitizer does not survive it");
  const pid_t child = fork();
  if (child == 0) {
    alarm(20);
    // Thread stacks do not fit any more: pthread_create fails, for root too.
    const rlimit limit{1 << 20, 1 << 20};
    setrlimit(RLIMIT_AS, &limit);
    ergo::set_num_threads(4);
    int visits[8] = {};
    ergo::parallel_for(8, 1, [&](std::int64_t begin, std::int64_t) { ++visits[begin]; });
    bool good = true;
    for (const int count : visits) good = good && count == 1;
    _exit(good ? 0 : 1);
  }
  int status = -1;
  waitpid(child, &status, 0);
  CHECK(WIFEXITED(status));
  CHECK(WEXITSTATUS(status) == 0);
}

}  // namespace core_parallel_test
