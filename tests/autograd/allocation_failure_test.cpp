// Every allocation of a training step fails once: the step throws, nothing leaks, the model is as it was or fully updated.
#include "ergo/autograd/curvature.hpp"

#include <string>
#include <utility>
#include <vector>

#include <doctest/doctest.h>

#include "ergo/autograd/checkpoint.hpp"
#include "ergo/ops/arithmetic.hpp"
#include "ergo/ops/exponential.hpp"
#include "ergo/ops/matmul.hpp"
#include "ergo/ops/reduction.hpp"
#include "ergo/ops/trigonometric.hpp"
#include "support/fresh.hpp"

namespace autograd_allocation_failure_test {

using namespace ergo;
using Vec = Tensor<float>;

namespace {

struct Layer {
  Vec w, b;
  ERGO_FIELDS(Layer, w, b)
};
using Model = std::vector<Layer>;
Vec forward(const Model& m, Vec x) {
  for (const Layer& l : m) x = tanh(matmul(x, l.w) + l.b);
  return x;
}
std::vector<std::vector<float>> values(const Model& m) {
  std::vector<std::vector<float>> v;
  tree::for_each([&](const Vec& x) { v.push_back(x.to_vector()); }, m);
  return v;
}
// Runs f with the k-th allocation failing for k = 1, 2, ... until it gets through; `check(failed)` after each.
template <class F, class Check>
int fail_each_allocation(F&& f, Check&& check) {
  for (int k = 1;; ++k) {
    bool failed = false;
    detail::local_cache.fail_in = k;
    try {
      f();
    } catch (const OutOfMemory&) {
      failed = true;
    }
    detail::local_cache.fail_in = 0;
    check(failed);
    if (!failed) return k;
  }
}

}  // namespace

TEST_CASE("value_and_grad: throws OutOfMemory, leaks nothing, leaves the model and the levels as they were") {
  Fresh fresh;
  const Model m{{fresh.tensor<float>({5, 70}), fresh.tensor<float>({70})}, {fresh.tensor<float>({70, 3}), fresh.tensor<float>({3})}};
  const Vec x = fresh.tensor<float>({40, 5});
  const auto loss = [&](const Model& p) { return sum(square(forward(p, x))); };
  const auto before = values(m);
  const auto expected = values(value_and_grad(loss)(m).second);
  const std::int64_t live = memory_info().live;
  const int k = fail_each_allocation([&] { value_and_grad(loss)(m); },
                                     [&](bool) {
                                       REQUIRE(memory_info().live == live);
                                       REQUIRE(detail::levels.depth == 0);
                                       REQUIRE_FALSE(detail::in_parallel_loop);
                                     });
  MESSAGE((k - 1) << " allocations failed in turn");
  CHECK(k > 30);
  CHECK(values(m) == before);
  CHECK(values(value_and_grad(loss)(m).second) == expected);
}

TEST_CASE("second order, vmap and checkpoints fail as cleanly") {
  Fresh fresh(1);
  const Vec x = fresh.tensor<float>({30}), v = fresh.tensor<float>({30}), xs = fresh.tensor<float>({4, 30});
  const auto f = [](const Vec& p) { return sum(exp(p) * tanh(p)) + p[0] * p[-1]; };
  const std::int64_t live = memory_info().live;
  const auto check = [&](bool) {
    REQUIRE(memory_info().live == live);
    REQUIRE(detail::levels.depth == 0);
  };
  const int counts[] = {
      fail_each_allocation([&] { hvp(f)(x, v); }, check),
      fail_each_allocation([&] { grad([&](const Vec& p) { return sum(grad(f)(p) * v); })(x); }, check),
      fail_each_allocation([&] { vmap(grad(f))(xs); }, check),
      fail_each_allocation([&] { grad(checkpoint(f))(x); }, check),
      fail_each_allocation([&] { jacobian(grad(f))(x); }, check),
  };
  for (const int n : counts) CHECK(n > 10);
}

TEST_CASE("a pullback that failed can be called again") {
  Fresh fresh(2);
  const Vec x = fresh.tensor<float>({200});
  const auto [y, pull] = vjp([](const Vec& p) { return exp(p) * tanh(p) + p * p; }, x);
  const auto expected = pull(ones<float>({200})).to_vector();
  const Vec g = ones<float>({200});
  const std::int64_t live = memory_info().live;
  std::vector<float> last;
  const int k = fail_each_allocation([&, p = pull] { last = p(g).to_vector(); },
                                     [&](bool) { REQUIRE(memory_info().live == live); });
  CHECK(k > 5);
  CHECK(last == expected);
  CHECK(pull(g).to_vector() == expected);
}

TEST_CASE("an update of one tensor in place is done or not done; what std::move gave survives a failure") {
  Fresh fresh(3);
  for (const std::int64_t n : {1, 8, 500, 20000}) {
    const auto start = fresh.tensor<float>({n}).to_vector();
    const Vec g = fresh.tensor<float>({n});
    Vec p;
    const auto expected = (from_span<float>(start, {n}) - 0.1 * g).to_vector();
    for (int k = 1; k < 20; ++k) {
      p = from_span<float>(start, {n});
      detail::local_cache.fail_in = k;
      bool failed = false;
      try {
        p = std::move(p) - 0.1 * g;
      } catch (const OutOfMemory&) {
        failed = true;
      }
      detail::local_cache.fail_in = 0;
      REQUIRE(p.defined());
      REQUIRE(p.to_vector() == (failed ? start : expected));
      if (!failed) break;
      REQUIRE(k < 19);
    }
  }
}

TEST_CASE("a whole training step with updates in place: each tensor as it was or updated, none half, nothing lost") {
  Fresh fresh(4);
  const Vec x = fresh.tensor<float>({40, 5});
  const Model start{{fresh.tensor<float>({5, 70}), fresh.tensor<float>({70})}, {fresh.tensor<float>({70, 3}), fresh.tensor<float>({3})}};
  const auto loss = [&](const Model& p) { return sum(square(forward(p, x))); };
  // The update: all that needs memory first, then the writing, which needs none.
  const auto step = [&](Model& m) {
    const auto [value, g] = value_and_grad(loss)(m);
    Model scaled = tree::scale(0.01f, g);
    const auto add = [](Vec& p, Vec& d) { p = std::move(p) - std::move(d); };
    tree::zip(add, m, scaled);
  };
  const auto copy = [](const Model& m) { return tree::map([](const Vec& p) { return p + 0; }, m); };
  Model updated = copy(start);
  step(updated);
  const auto old_values = values(start), new_values = values(updated);
  const std::int64_t live = memory_info().live;
  for (int k = 1, failures = 0;; ++k) {
    {
      Model m = copy(start);
      detail::local_cache.fail_in = k;
      bool failed = false;
      try {
        step(m);
      } catch (const OutOfMemory&) {
        failed = true;
      }
      detail::local_cache.fail_in = 0;
      const auto now = values(m);
      const bool whole = now == old_values || now == new_values;
      INFO("allocation " << k);
      REQUIRE(whole);
      REQUIRE((failed || now == new_values));
      failures += failed;
      if (!failed) {
        CHECK(failures == k - 1);
        break;
      }
    }
    REQUIRE(memory_info().live == live);
  }
}

}  // namespace autograd_allocation_failure_test
