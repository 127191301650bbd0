// label: threads
// Several user threads at once: each has its own transforms, all share tensors, the allocator and the pool.
#include "ergo/autograd/curvature.hpp"

#include <pthread.h>

#include <vector>

#include <doctest/doctest.h>

#include "ergo/ops/arithmetic.hpp"
#include "ergo/ops/exponential.hpp"
#include "ergo/ops/matmul.hpp"
#include "ergo/ops/reduction.hpp"
#include "ergo/ops/trigonometric.hpp"
#include "support/fresh.hpp"
#include "support/process.hpp"

namespace autograd_threads_test {

using namespace ergo;
using Vec = Tensor<double>;

namespace {

constexpr int kUsers = 4, kRounds = kSanitized ? 10 : 60;

struct Model {
  Vec w, v;
  ERGO_FIELDS(Model, w, v)
};
Vec loss(const Model& m, const Vec& x) { return sum(square(matmul(tanh(matmul(x, m.w)), m.v))); }

// Runs body(user) on kUsers threads at once.
template <class Body>
void at_once(const Body& body) {
  struct Start {
    const Body* body;
    int user;
  } starts[kUsers];
  pthread_t threads[kUsers];
  for (int i = 0; i < kUsers; ++i) {
    starts[i] = {&body, i};
    pthread_create(&threads[i], nullptr, [](void* argument) -> void* {
      const Start& s = *static_cast<Start*>(argument);
      return (*s.body)(s.user), nullptr;
    }, &starts[i]);
  }
  for (pthread_t t : threads) pthread_join(t, nullptr);
}

}  // namespace

TEST_CASE("gradients, products with Hessians and maps on shared tensors, bit for bit what one thread gives") {
  set_num_threads(3);
  Fresh fresh;
  const Model m{fresh.tensor<double>({40, 50}), fresh.tensor<double>({50})}, u{fresh.tensor<double>({40, 50}), fresh.tensor<double>({50})};
  const Vec x = fresh.tensor<double>({64, 40});
  const auto f = [&](const Model& p) { return loss(p, x); };
  const auto each = [](const Model& p, const Vec& e) { return loss(p, Vec(detail::reshape(e.ref(), {1, 40}))); };
  const Model g = grad(f)(m), h = hvp(f)(m, u), s = per_sample_grad(each)(m, x);
  const std::int64_t live = memory_info().live;
  int wrong[kUsers] = {};
  at_once([&](int user) {
    for (int i = 0; i < kRounds; ++i) {
      if (i % 3 == user % 3)
        wrong[user] += !array_equal(grad(f)(m).w, g.w);
      else if (i % 3 == (user + 1) % 3)
        wrong[user] += !array_equal(hvp(f)(m, u).w, h.w);
      else if (i % 6 == 0)
        wrong[user] += !array_equal(per_sample_grad(each)(m, x).w, s.w);
    }
  });
  for (int w : wrong) CHECK(w == 0);
  CHECK(memory_info().live == live);
  set_num_threads(0);
}

TEST_CASE("handles are copied, dropped and handed over while others read them") {
  Fresh fresh(1);
  const Vec shared = fresh.tensor<double>({1000});
  const double expected = sum(shared).item();
  const std::int64_t live = memory_info().live;
  Vec slots[kUsers];
  pthread_mutex_t locks[kUsers];
  for (auto& l : locks) pthread_mutex_init(&l, nullptr);
  int wrong[kUsers] = {};
  at_once([&](int user) {
    for (int i = 0; i < 20 * kRounds; ++i) {
      const Vec copy = shared;              // the count of one array, from all threads
      const Vec view = copy[i % 1000];      // and of its buffer
      Vec made = copy + double(user);       // made here, freed by whoever takes it
      const int at = (user + i) % kUsers;
      pthread_mutex_lock(&locks[at]);
      std::swap(made, slots[at]);
      pthread_mutex_unlock(&locks[at]);
      if (made.defined()) {
        const double shift = made.at({5}) - shared.at({5});
        wrong[user] += !(shift > -0.5 && shift < kUsers);
      }
      wrong[user] += view.item() != shared.at({i % 1000});
    }
  });
  for (auto& s : slots) s = {};
  for (int w : wrong) CHECK(w == 0);
  CHECK(sum(shared).item() == expected);
  CHECK(memory_info().live == live);
}

TEST_CASE("a pullback made by one thread runs on another") {
  const Vec x = tensor<double>({1, 2, 3});
  auto made = vjp([](const Vec& p) { return p * p; }, x);
  Vec results[kUsers];
  // One at a time: a pullback writes to its record, like any handle it has one user at once.
  for (int user = 0; user < kUsers; ++user) {
    struct Call {
      decltype(made.second)* pull;
      Vec* result;
    } call{&made.second, &results[user]};
    pthread_t thread;
    pthread_create(&thread, nullptr, [](void* argument) -> void* {
      Call& c = *static_cast<Call*>(argument);
      *c.result = (*c.pull)(ones<double>({3}));
      return nullptr;
    }, &call);
    pthread_join(thread, nullptr);
  }
  for (const Vec& r : results) CHECK(r.to_vector() == std::vector<double>{2, 4, 6});
}

TEST_CASE("transforms open on many threads at once do not mix") {
  int wrong[kUsers] = {};
  at_once([&](int user) {
    const Vec x(1.0 + user);
    for (int i = 0; i < 5 * kRounds; ++i) {
      const Vec third = grad(grad(grad([&](const Vec& p) { return p * p * p * p * x; })))(x);
      wrong[user] += third.item() != 24 * (1.0 + user) * (1.0 + user);
    }
  });
  for (int w : wrong) CHECK(w == 0);
}

TEST_CASE("threads that share a pullback take turns") {
  Fresh fresh;
  const Vec x = fresh.tensor<double>({64});
  const auto [y, pull] = vjp([](const Vec& q) {
    Vec r = q;
    for (int i = 0; i < 20; ++i) r = tanh(r * q + q);
    return r;
  }, x);
  const std::vector<double> expected = pull(y).to_vector();
  int wrong[kUsers] = {};
  at_once([&, p = pull, g = y](int user) {
    for (int i = 0; i < 10 * kRounds; ++i) wrong[user] += p(g).to_vector() != expected;
  });
  for (const int count : wrong) CHECK(count == 0);
}

}  // namespace autograd_threads_test
