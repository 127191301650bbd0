// flags: -O0
// library: headers
// label: threads
// Backward and release are loops: a chain of a million operations, unoptimised, on a thread with a stack of 256 KiB.
#include "ergo/autograd/curvature.hpp"

#include <limits.h>
#include <pthread.h>

#include <cmath>

#include <doctest/doctest.h>

#include "ergo/ops/arithmetic.hpp"
#include "support/process.hpp"

namespace autograd_long_chain_test {

using namespace ergo;
using Vec = Tensor<double>;

namespace {

// Sanitizers make frames and nodes several times as large: there the chain is shorter.
constexpr int kLength = kSanitized ? 20000 : 1000000;

struct Results {
  double gradient = 0, second = 0, pulled = 0;
  bool threw = false;
};
void* run(void* argument) {
  Results& r = *static_cast<Results*>(argument);
  const auto chain = [](const Vec& x) {
    Vec y = x;
    for (int i = 0; i < kLength / 2; ++i) {
      y = y * 1.0000001;
      y = y + x;
    }
    return y;
  };
  r.gradient = grad(chain)(Vec(1.0)).item();
  {
    const auto [y, pull] = vjp(chain, Vec(1.0));  // the tape is kept, used, and released
    r.pulled = pull(Vec(1.0)).item();
  }
  const auto shorter = [](const Vec& x) {
    Vec y = x;
    for (int i = 0; i < kLength / 20; ++i) y = y + x * x;
    return y;
  };
  r.second = hvp(shorter)(Vec(1.0), Vec(1.0)).item();
  try {  // unwinding is a loop too
    grad([&](const Vec& x) -> Vec { return chain(x), throw 1, x; })(Vec(1.0));
  } catch (int) {
    r.threw = true;
  }
  return nullptr;
}

}  // namespace

TEST_CASE("10^6 operations: forward, backward, destruction on a stack of 256 KiB") {
  pthread_attr_t attributes;
  pthread_attr_init(&attributes);
  REQUIRE(pthread_attr_setstacksize(&attributes, kSanitized ? 1 << 20 : 256 << 10) == 0);
  pthread_t thread;
  Results r;
  const std::int64_t live = memory_info().live;
  REQUIRE(pthread_create(&thread, &attributes, &run, &r) == 0);
  pthread_join(thread, nullptr);
  pthread_attr_destroy(&attributes);
  // y_k = a y_(k-1) + x: dy/dx = a^n + (a^n - 1) / (a - 1).
  const double a = 1.0000001, power = std::pow(a, kLength / 2), expected = power + (power - 1) / (a - 1);
  CHECK(r.gradient == doctest::Approx(expected).epsilon(1e-9));
  CHECK(r.pulled == r.gradient);
  CHECK(r.second == kLength / 10);
  CHECK(r.threw);
  CHECK(memory_info().live == live);
}

}  // namespace autograd_long_chain_test
