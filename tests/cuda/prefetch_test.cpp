// label: simt
// Batches that are prefetched to a device: the bits of batches that are not, in every order of streams; copies and
// waits; loops that end early, by an exception, with the thread or the program; memory that runs out.
#include <pthread.h>

#include <optional>
#include <vector>

#include <doctest/doctest.h>

#include "ergo/core/compare.hpp"
#include "ergo/cuda/graph.hpp"
#include "ergo/data/batches.hpp"
#include "ergo/ops/arithmetic.hpp"
#include "support/fresh.hpp"
#include "support/message.hpp"
#if defined(ERGO_EMULATED)
#include "simt/control.hpp"
#endif

namespace cuda_prefetch_test {

using namespace ergo;

namespace {

constexpr Device kDevice = Device::cuda(0);
const Key root{test_seed()};

struct Set {
  Tensor<float> x;
  Tensor<std::int32_t> y;
  data::Batches<float, std::int32_t> batches;

  explicit Set(std::int64_t n, data::BatchOptions options = {.batch_size = 8, .device = kDevice})
      : x(Fresh(1).tensor<float>({n, 3, 5})), y(arange<std::int32_t>(n)), batches(root, x, y, options) {}
  // On the CPU, batch by batch.
  data::Batches<float, std::int32_t>::Epoch plain(std::int64_t epoch) const {
    return data::Batches(root, x, y, {.batch_size = 8, .device = Device::cpu()}).epoch(epoch);
  }
};

// What a step makes of a batch on its device, kept there.
struct Results {
  std::vector<Tensor<float>> x;
  std::vector<Tensor<std::int32_t>> y;

  void step(const Tensor<float>& a, const Tensor<std::int32_t>& b) {
    x.push_back(a * -1.0f);
    y.push_back(b + 1);
  }  // Whether they are those of the epoch's batches on the CPU, as far as they go, bit for bit.
  bool match(const data::Batches<float, std::int32_t>::Epoch& plain) const {
    for (std::size_t i = 0; i < x.size(); ++i) {
      const auto [a, b] = plain[std::int64_t(i)];
      if (!array_equal(x[i].cpu(), a * -1.0f) || !array_equal(y[i].cpu(), b + 1)) return false;
    }
    return true;
  }
};
bool runs_through(const Set& set, std::int64_t epoch) {
  Results results;
  for (const auto& [a, b] : set.batches.epoch(epoch)) results.step(a, b);
  return std::ssize(results.x) == set.batches.batches_per_epoch() && results.match(set.plain(epoch));
}

template <class F>
void on_a_thread(F f) {
  pthread_t thread;
  REQUIRE(pthread_create(
              &thread, nullptr,
              [](void* p) -> void* {
                (*static_cast<F*>(p))();
                return nullptr;
              },
              &f) == 0);
  pthread_join(thread, nullptr);
}

}  // namespace

TEST_CASE("prefetched batches are those of the CPU, epoch by epoch") {
  const std::int64_t before = memory_info(kDevice).live;
  for (const std::int64_t n : {1, 8, 9, 60}) {
    const Set set(n);
    for (int epoch = 0; epoch < 3; ++epoch) CHECK(runs_through(set, epoch));
    CHECK(runs_through(set, 0));  // an epoch begins anew
  }
  CHECK(runs_through(Set(60, {.batch_size = 8, .drop_last = true, .device = kDevice}), 1));
  const data::Batches drawn(root, 10,
                            {.batch_size = 64, .sampling = data::Sampling::with_replacement, .device = kDevice});
  const data::Batches same(root, 10, {.batch_size = 64, .sampling = data::Sampling::with_replacement});
  for (const auto& [rows] : drawn.epoch(2)) CHECK(array_equal(rows.cpu(), std::get<0>(same.epoch(2)[0])));
  CHECK(memory_info(kDevice).live == before);
}

TEST_CASE("where batches lie") {
  const auto x = zeros<float>({4, 2});
  for (const auto& [a] : data::Batches(root, x).epoch(0)) CHECK(a.device() == Device::cpu());
  for (const auto& [a] : data::Batches(root, x.to(kDevice)).epoch(0)) CHECK(a.device() == kDevice);
  for (const auto& [a] : data::Batches(root, x.to(kDevice), {.device = Device::cpu()}).epoch(0))
    CHECK(a.device() == Device::cpu());
  for (const auto& [a, b] : data::Batches(root, x, x.to(kDevice)).epoch(0)) {
    CHECK(a.device() == Device::cpu());
    CHECK(b.device() == kDevice);
  }
  for (const auto& [a] : data::Batches(root, zeros<float>({4, 0}), {.device = kDevice}).epoch(0))
    CHECK(a.shape() == Shape{4, 0});
  CHECK(std::get<0>(data::Batches(root, x, {.device = kDevice}).epoch(0)[0]).device() == kDevice);
}

TEST_CASE("a loop may end early, by an exception, on another thread") {
  const std::int64_t before = memory_info(kDevice).live;
  const Set set(100);
  for (const int end : {1, 2, 5}) {
    Results results;
    for (const auto& [a, b] : set.batches.epoch(end)) {
      results.step(a, b);
      if (std::ssize(results.x) == end) break;
    }
    CHECK(results.match(set.plain(end)));
  }
  Results results;
  CHECK(message_of([&] {
          for (const auto& [a, b] : set.batches.epoch(0)) {
            results.step(a, b);
            if (std::ssize(results.x) == 3) throw Error("enough");
          }
        }) == "enough");
  CHECK(results.match(set.plain(0)));
  {
    const auto epoch = set.batches.epoch(1);
    auto at = epoch.begin();
    const auto step = [&] {
      const auto [a, b] = *at;
      results.step(a, b);
      ++at;
    };
    results = {};
    step();
    on_a_thread([&] {  // ends with work pending, and with a batch on its way
      step();
      step();
    });
    step();
    CHECK(results.match(set.plain(1)));
    ++at;  // what was sent ahead is not the batch that is asked for
    const auto [a, b] = *at;
    const auto [c, d] = *at;
    CHECK(array_equal(a.cpu(), std::get<0>(set.plain(1)[5])));
    CHECK(array_equal(c.cpu(), a.cpu()));
  }
  results = {};
  CHECK(memory_info(kDevice).live == before);
}

TEST_CASE("two loops at once, their batches mixed and kept; the data set may go before them") {
  auto set = std::make_unique<Set>(70);
  const auto plain = set->plain(0);
  const auto first = set->batches.epoch(0), second = set->batches.epoch(1);
  const auto other = set->plain(1);
  set.reset();
  auto at = first.begin(), from = second.begin();
  std::vector<Tensor<float>> kept;
  for (int i = 0; i < 8; ++i, ++at, ++from) {
    kept.push_back(std::get<0>(*at) + std::get<0>(*from));
    kept.push_back(std::get<0>(*from));
  }
  for (int i = 0; i < 8; ++i) {
    const auto a = std::get<0>(plain[i]), b = std::get<0>(other[i]);
    CHECK(array_equal(kept[std::size_t(2 * i)].cpu(), a + b));
    CHECK(array_equal(kept[std::size_t(2 * i + 1)].cpu(), b));
  }
}

TEST_CASE("batches refill what a graph reads; inside a capture there are none") {
  const Set set(64);
  const Tensor<float> x = zeros<float>({8, 3, 5}, kDevice);
  auto step = cuda::capture([&] { return x * 2.0f; });
  const auto plain = set.plain(0);
  std::int64_t i = 0;
  for (const auto& [a, b] : set.batches.epoch(0)) {
    cuda::refill(x, a);
    CHECK(array_equal(step().cpu(), std::get<0>(plain[i++]) * 2.0f));
  }
  const std::string text = message_of([&] {
    cuda::capture([&] {
      for (const auto& [a, b] : set.batches.epoch(0)) (void)(a * 2.0f);
    });
  });
  CHECK(text.starts_with("[batches] inside cuda::capture nothing is copied from the host"));
  CHECK(runs_through(set, 0));
}

TEST_CASE("a device that is not there") {
  const Set set(20, {.batch_size = 8, .device = Device::cuda(cuda::device_count())});
  CHECK(message_of([&] {
          (void)*set.batches.epoch(0).begin();
        }).starts_with("[device] " + to_string(Device::cuda(cuda::device_count())) + ": this machine has "));
}

#if defined(ERGO_EMULATED)
namespace {
class With {
 public:
  explicit With(unsigned seed) { simt::set_options({before_.order, before_.order_seed, simt::Streams::random, seed}); }
  With(const With&) = delete;
  With& operator=(const With&) = delete;
  ~With() { simt::set_options(before_); }

 private:
  simt::Options before_ = simt::options();
};
}  // namespace

// The results of lazy streams are looked at by all tests above.
TEST_CASE("whatever runs first, the results are the same: 20 orders of streams") {
  const Set set(400);
  int right = 0;
  for (unsigned seed = 1; seed <= 20; ++seed) {
    const With random(unsigned(test_seed()) + seed);
    right += runs_through(set, 0) && runs_through(set, 1) && runs_through(set, 2);
  }
  CHECK(right == 20);
}

TEST_CASE("a steady loop copies each column once, waits for pinned memory alone, and holds two batches") {
  const Set set(160);  // 20 batches of 480 and 32 bytes
  const auto sweep = [&](int epoch) {
    for (const auto& [a, b] : set.batches.epoch(epoch)) (void)(a * 2.0f);
  };
  synchronize(kDevice);
  release_cached_memory();
  simt::reset_counters();
  const std::size_t before = simt::counters().live_bytes;
  sweep(0);
  simt::Counters c = simt::counters();
  CHECK(c.peak_bytes - before <= 2 * (512 + 64) + 512);  // as the allocator rounds them, and one result
  simt::reset_counters();
  sweep(1);
  c = simt::counters();
  CHECK(c.copies_to_device == 2 * 20);
  CHECK(c.bytes_to_device == 160 * (60 + 4));
  CHECK(c.copies_to_host == 0);
  CHECK(c.host_waits == 2 * 20);  // each for the copy out of the pinned memory that is filled next
  if (!cuda::Allocator::of(0).direct()) CHECK(c.allocations == 0);
}

TEST_CASE("memory that runs out: the loop goes on without what it cannot have") {
  for (long k = 1; k <= 12; ++k) {
    const std::int64_t before = memory_info(kDevice).live;
    {
      const Set set(60);
      release_cached_memory();
      simt::fail_allocation(k);
      CHECK(runs_through(set, k));
      release_cached_memory();
      simt::fail_allocation(0);
      simt::fail_pinned_allocation(k);
      CHECK(runs_through(set, k));
      simt::fail_pinned_allocation(0);
    }
    CHECK(memory_info(kDevice).live == before);
  }
}
#endif

TEST_CASE("a program may end with a batch on its way") {
  static const auto epoch = Set(40).batches.epoch(0);
  static auto at = epoch.begin();
  const auto [a, b] = *at;
  CHECK(a.device() == kDevice);
}

}  // namespace cuda_prefetch_test
