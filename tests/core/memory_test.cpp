// label: threads
#include "ergo/core/memory.hpp"

#include <pthread.h>
#include <sys/wait.h>

#include <cstdint>
#include <cstring>
#include <vector>

#include <doctest/doctest.h>

#include "ergo/core/make.hpp"
#include "ergo/ops/arithmetic.hpp"
#include "support/fresh.hpp"
#include "support/process.hpp"
#include "support/skip.hpp"

namespace core_memory_test {

using namespace ergo;
using detail::allocate;
using detail::class_bytes;
using detail::deallocate;
using detail::size_class;

namespace {
template <class F>
void on_another_thread(F f) {
  pthread_t thread;
  pthread_create(&thread, nullptr, [](void* g) -> void* { return (*static_cast<F*>(g))(), nullptr; }, &f);
  pthread_join(thread, nullptr);
}
}  // namespace

TEST_CASE("size classes hold what is asked and waste at most a quarter") {
  std::size_t last = 0;
  for (int c = 0; c < detail::kClasses; ++c) {
    CHECK(class_bytes(c) > last);
    CHECK(class_bytes(c) % 64 == 0);
    CHECK(size_class(class_bytes(c)) == c);
    CHECK(size_class(last + 1) == c);
    last = class_bytes(c);
  }
  CHECK(last == std::size_t(1) << 62);
  CHECK(class_bytes(detail::kLocalClasses - 1) == detail::kLocalBytes);
  Fresh fresh;
  for (int i = 0; i < 100000; ++i) {
    const std::size_t n = 1 + (fresh.bits() >> fresh.integer(2, 63));
    const std::size_t got = class_bytes(size_class(n));
    REQUIRE(got >= n);
    REQUIRE(got - n <= (n <= 1024 ? 63 : n / 4));
  }
}

TEST_CASE("blocks are 64-byte aligned, apart, and keep what is written") {
  Fresh fresh;
  struct Block {
    unsigned char* p;
    std::size_t n;
    unsigned char mark;
  };
  std::vector<Block> blocks;
  for (int i = 0; i < 3000; ++i) {
    if (!blocks.empty() && fresh.integer(0, 2) == 0) {
      const auto k = std::size_t(fresh.integer(0, std::int64_t(blocks.size()) - 1));
      const Block b = blocks[k];
      bool kept = true;
      for (std::size_t j = 0; j < b.n; ++j) kept = kept && b.p[j] == b.mark;
      REQUIRE(kept);
      deallocate(b.p, b.n);
      blocks[k] = blocks.back();
      blocks.pop_back();
      continue;
    }
    const auto n = std::size_t(fresh.integer(1, fresh.coin() ? 500 : 40000));
    auto* p = static_cast<unsigned char*>(allocate(n));
    REQUIRE(reinterpret_cast<std::uintptr_t>(p) % 64 == 0);
    blocks.push_back({p, n, static_cast<unsigned char>(fresh.bits())});
    std::memset(p, blocks.back().mark, n);
  }
  for (const Block& b : blocks) deallocate(b.p, b.n);
}

TEST_CASE("memory_info counts what is in use, kept, and the most that was") {
  const std::int64_t before = memory_info().live;
  {
    reset_peak_memory();
    const auto small = zeros<float>({4});
    CHECK(memory_info().live - before >= 16);
    CHECK(memory_info().live - before <= 1024);
    {
      const auto big = zeros<float>({1 << 20});
      CHECK(memory_info().live - before >= 4 << 20);
      CHECK(memory_info().live - before <= (4 << 20) + 2048);
      const auto view = big[3];
      CHECK(memory_info().live - before <= (4 << 20) + 3072);
    }
    CHECK(memory_info().peak - before >= 4 << 20);
    CHECK(memory_info().live - before <= 1024);
  }
  CHECK(memory_info().live == before);
  reset_peak_memory();
  CHECK(memory_info().peak == before);
}

TEST_CASE("release_cached_memory gives everything back that is not in use") {
  { const auto x = zeros<float>({1 << 20}); }
  {
    std::vector<Tensor<float>> many;
    for (int i = 0; i < 1000; ++i) many.push_back(zeros<float>({i % 300}));
  }
  if (detail::kReuseBlocks) CHECK(memory_info().cached >= 4 << 20);
  const std::int64_t live = memory_info().live;
  release_cached_memory();
  CHECK(memory_info().cached == 0);
  CHECK(memory_info().live == live);
  CHECK(ones<float>({3}).to_vector() == std::vector<float>{1, 1, 1});
}

TEST_CASE("a steady loop touches no new page") {
  if (!detail::kReuseBlocks) return skip("page faults", "the sanitizers' allocator does not reuse blocks");
  const auto step = [] {
    auto x = ones<float>({300, 1000});
    for (int i = 0; i < 5; ++i) x = x * 0.5 + x;
    auto y = ones<float>({1 << 22});
    y = y + 1;
    const auto small = x[0] + x[1];
    return small.at({0}) + y.at({5});
  };
  for (int i = 0; i < 3; ++i) step();
  const std::int64_t before = page_faults();
  float sum = 0;
  for (int i = 0; i < 20; ++i) sum += step();
  const std::int64_t faults = page_faults() - before;
  MESSAGE(faults << " page faults in 20 steps over 23 MB");
  CHECK(faults <= 20);
  CHECK(sum > 0);
}

TEST_CASE("blocks freed by another thread than their maker's are used again") {
  if (!detail::kReuseBlocks) return skip("blocks across threads", "the sanitizers' allocator does not reuse blocks");
  const auto round = [] {
    std::vector<Tensor<float>> made;
    for (int i = 0; i < 2000; ++i) made.push_back(zeros<float>({i % 500}));
    on_another_thread([&] { made.clear(); });
  };
  for (int i = 0; i < 3; ++i) round();
  const std::int64_t before = resident_bytes(), live = memory_info().live;
  for (int i = 0; i < 100; ++i) round();
  const std::int64_t grown = resident_bytes() - before;
  MESSAGE("grown by " << grown << " bytes over 100 rounds of 2000 tensors");
  CHECK(grown <= 2 << 20);
  CHECK(memory_info().live == live);
}

TEST_CASE("what a thread kept is the process's once it ends") {
  if (!detail::kReuseBlocks) return skip("caches of threads", "the sanitizers' allocator does not reuse blocks");
  release_cached_memory();
  on_another_thread([] {
    std::vector<Tensor<float>> made;
    for (int i = 0; i < 100; ++i) made.push_back(zeros<float>({200}));
  });
  const std::int64_t kept = memory_info().cached;
  CHECK(kept >= 100 * 800);
  release_cached_memory();
  CHECK(memory_info().cached == 0);
}

TEST_CASE("a thread that frees after its cache is gone frees all the same") {
  // A thread_local that is destroyed after the guard of the cache, because it was made before it.
  struct Late {
    Tensor<float> x;
    ~Late() { x = {}; }
  };
  const std::int64_t before = memory_info().live;
  on_another_thread([] {
    static thread_local Late late;
    late.x = zeros<float>({100});
  });
  CHECK(memory_info().live == before);
}

TEST_CASE("an allocation that fails throws, after what was cached has been tried") {
  CHECK_THROWS_AS(allocate(std::size_t(1) << 62), OutOfMemory);
  CHECK_THROWS_AS(allocate(SIZE_MAX), OutOfMemory);
  const std::int64_t live = memory_info().live;
  for (int k = 1; k < 5; ++k) {
    detail::local_cache.fail_in = k;
    CHECK_THROWS_AS(ones<float>({1000}) + ones<float>({1000}), OutOfMemory);
    CHECK(detail::local_cache.fail_in == 0);
    CHECK(memory_info().live == live);
  }
}

#if !defined(__SANITIZE_THREAD__)
TEST_CASE("a child forked while other threads allocate is not left with a held lock") {
  static bool stop = false;
  pthread_t busy[2];
  for (auto& thread : busy)
    pthread_create(&thread, nullptr, [](void*) -> void* {
      while (!__atomic_load_n(&stop, __ATOMIC_RELAXED)) deallocate(allocate(100000), 100000);
      return nullptr;
    }, nullptr);
  int good = 0;
  for (int i = 0; i < 100; ++i) {
    const pid_t child = fork();
    if (child == 0) {
      alarm(10);
      const auto x = ones<float>({100000}) + 1;
      _exit(x.at({7}) == 2 ? 0 : 1);
    }
    int status = -1;
    waitpid(child, &status, 0);
    good += WIFEXITED(status) && WEXITSTATUS(status) == 0;
    if (good <= i) break;
  }
  __atomic_store_n(&stop, true, __ATOMIC_RELAXED);
  for (auto& thread : busy) pthread_join(thread, nullptr);
  CHECK(good == 100);
}
#endif

}  // namespace core_memory_test
