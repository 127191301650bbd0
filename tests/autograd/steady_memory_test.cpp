// label: serial
// A program that runs for long needs no more memory than one that has begun.
#include "ergo/autograd/curvature.hpp"

#include <doctest/doctest.h>

#include "ergo/autograd/checkpoint.hpp"
#include "ergo/ops/arithmetic.hpp"
#include "ergo/ops/exponential.hpp"
#include "ergo/ops/matmul.hpp"
#include "ergo/ops/reduction.hpp"
#include "ergo/ops/trigonometric.hpp"
#include "support/fresh.hpp"
#include "support/process.hpp"

namespace autograd_steady_memory_test {

using namespace ergo;
using Vec = Tensor<double>;

namespace {
struct Model {
  Vec w, v;
  ERGO_FIELDS(Model, w, v)
};
}  // namespace

TEST_CASE("resident memory grows by at most 1 MiB over 10^4 products with the Hessian") {
  Fresh fresh;
  const Model m{fresh.tensor<double>({20, 30}), fresh.tensor<double>({30})}, u{fresh.tensor<double>({20, 30}), fresh.tensor<double>({30})};
  const Vec x = fresh.tensor<double>({16, 20});
  const auto loss = [&](const Model& p) { return sum(square(matmul(tanh(matmul(x, p.w)), p.v))); };
  const int count = kSanitized ? 300 : 10000;
  std::int64_t resident = 0, live = 0;
  Model last;
  for (int i = 0; i < count; ++i) {
    if (i == 100) {
      resident = resident_bytes();
      live = memory_info().live;
    }
    last = hvp(loss)(m, u);
    if (i >= 100 && i % 1000 == 0) REQUIRE(memory_info().live == live);
  }
  CHECK(memory_info().live == live);
  const std::int64_t grown = resident_bytes() - resident;
  MESSAGE("resident memory grew by " << grown << " bytes from product 100 to " << count);
  if (!kSanitized) CHECK(grown <= 1 << 20);
}

TEST_CASE("every transform gives back all it took") {
  Fresh fresh(1);
  const Vec x = fresh.tensor<double>({6}), xs = fresh.tensor<double>({4, 6});
  const auto f = [](const Vec& p) { return sum(exp(p) * tanh(p)) + p[0] * p[-1]; };
  const std::int64_t live = memory_info().live;
  for (int i = 0; i < 5; ++i) {
    grad(f)(x);
    value_and_grad(f)(x);
    jvp(f)(x, x);
    hvp(f)(x, x);
    hessian(f)(x);
    jacobian(grad(f))(x);
    vmap(grad(f))(xs);
    per_sample_grad([](const Vec& m, const Vec& e) { return sum(m * e); })(x, xs);
    ggn_vp([](const Vec& p) { return exp(p); }, [](const Vec& y) { return sum(y * y); })(x, x);
    checkpoint(f)(x);
    grad(checkpoint(f))(x);
    grad([&](const Vec& p) { return sum(grad(checkpoint(f))(p)); })(x);
    {
      const auto [y, pull] = vjp(f, x);
      pull(Vec(1.0));
      pull(Vec(2.0));
    }
    { const auto unused = vjp(f, x); }
    CHECK(memory_info().live == live);
  }
}

}  // namespace autograd_steady_memory_test
