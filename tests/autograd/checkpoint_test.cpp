#include "ergo/autograd/checkpoint.hpp"

#include <utility>
#include <vector>

#include <doctest/doctest.h>

#include "ergo/autograd/curvature.hpp"
#include "ergo/ops/arithmetic.hpp"
#include "ergo/ops/exponential.hpp"
#include "ergo/ops/matmul.hpp"
#include "ergo/ops/reduction.hpp"
#include "ergo/ops/trigonometric.hpp"
#include "support/fresh.hpp"
#include "support/message.hpp"

namespace autograd_checkpoint_test {

using namespace ergo;
using Vec = Tensor<double>;

namespace {

struct Block {
  Vec w, b;
  ERGO_FIELDS(Block, w, b)
  Vec operator()(const Vec& x) const { return x + tanh(matmul(x, w) + b) * exp(-(x * x)); }
};
using Net = std::vector<Block>;
Net net(Fresh& fresh, int depth, int width) {
  Net n;
  for (int i = 0; i < depth; ++i) n.push_back({fresh.tensor<double>({width, width}), fresh.tensor<double>({width})});
  return n;
}
Vec run(const Net& n, Vec x, bool checkpointed) {
  for (const Block& b : n) {
    if (checkpointed)
      x = checkpoint([](const Block& p, const Vec& y) { return p(p(p(y))); })(b, x);
    else
      x = b(b(b(x)));
  }
  return sum(x * x);
}
bool same(const Net& a, const Net& b) {
  bool equal = a.size() == b.size();
  for (std::size_t i = 0; i < a.size(); ++i) equal = equal && array_equal(a[i].w, b[i].w) && array_equal(a[i].b, b[i].b);
  return equal;
}
// The most memory in use at once while f runs, beyond what was before.
template <class F>
std::int64_t peak_of(F&& f) {
  reset_peak_memory();
  const std::int64_t before = memory_info().live;
  f();
  return memory_info().peak - before;
}

}  // namespace

TEST_CASE("gradients are bit-identical, at a lower peak of memory") {
  Fresh fresh;
  const Net n = net(fresh, 12, 32);
  const Vec x = fresh.tensor<double>({256, 32});
  Net plain, saved;
  const auto gradient = [&](bool c) { return grad([&, c](const Net& p) { return run(p, x, c); })(n); };
  gradient(true);
  const std::int64_t with = peak_of([&] { saved = gradient(true); }), without = peak_of([&] { plain = gradient(false); });
  CHECK(same(plain, saved));
  MESSAGE("peak " << with << " bytes checkpointed, " << without << " plain");
  CHECK(with * 2 < without);
  const auto [y, g] = value_and_grad([&](const Net& p) { return run(p, x, true); })(n);
  CHECK(y.item() == run(n, x, false).item());
  CHECK(same(g, plain));
}

TEST_CASE("every mode and order agrees with the plain function") {
  Fresh fresh(1);
  const auto f = [](const Vec& x) { return exp(x) * tanh(x) + x * x[0]; };
  const auto c = checkpoint(f);
  const Vec x = fresh.tensor<double>({4}), v = fresh.tensor<double>({4});
  const auto scalar = [](auto g) { return [g](const Vec& p) { return sum(g(p) * g(p)); }; };
  CHECK(array_equal(c(x), f(x)));
  CHECK(array_equal(jvp(c)(x, v).second, jvp(f)(x, v).second));
  CHECK(array_equal(grad(scalar(c))(x), grad(scalar(f))(x)));
  CHECK(allclose(hvp(scalar(c))(x, v), hvp(scalar(f))(x, v), {.rtol = 1e-12}));
  const auto twice = [&](auto g) { return grad([=](const Vec& p) { return sum(grad(scalar(g))(p) * v); })(x); };
  CHECK(allclose(twice(c), twice(f), {.rtol = 1e-12}));
  CHECK(allclose(hessian(scalar(c))(x), hessian(scalar(f))(x), {.rtol = 1e-12, .atol = 1e-13}));
  const Vec xs = fresh.tensor<double>({3, 4});
  CHECK(array_equal(vmap(c)(xs), vmap(f)(xs)));
  CHECK(allclose(vmap(grad(scalar(c)))(xs), vmap(grad(scalar(f)))(xs), {.rtol = 1e-13}));
  CHECK(allclose(jacobian(c)(x), jacobian(f)(x), {.rtol = 1e-13, .atol = 1e-14}));
}

TEST_CASE("checkpoints within checkpoints, several results, shared arguments, integer arguments") {
  Fresh fresh(2);
  const Vec x = fresh.tensor<double>({3});
  const auto inner = [](const Vec& a) { return exp(a) * a; };
  const auto outer = checkpoint([&](const Vec& a) { return checkpoint(inner)(checkpoint(inner)(a)); });
  const auto total = [](auto f) { return [f](const Vec& a) { return sum(f(a)); }; };
  const auto plain = [&](const Vec& a) { return inner(inner(a)); };
  CHECK(array_equal(grad(total(outer))(x), grad(total(plain))(x)));
  const auto pair = [](const Vec& a, const Vec& b) { return std::pair{a * b, a + exp(b)}; };
  const auto use = [&](auto f) {
    return grad([f](const Vec& a) {
      const auto [p, q] = f(a, a);  // one tensor twice
      return sum(p * q) + sum(p);
    })(x);
  };
  CHECK(array_equal(use(checkpoint(pair)), use(pair)));
  const auto ids = tensor<std::int32_t>({2, 3, 4});
  const auto scaled = checkpoint([](const Vec& a, const Tensor<std::int32_t>& n) { return a * cast<double>(n) * a; });
  CHECK(grad([&](const Vec& a) { return sum(scaled(a, ids)); })(ones<double>({3})).to_vector() == std::vector<double>{4, 6, 8});
  const auto only_one = [&](auto f) { return grad([f](const Vec& a) { return sum(f(a, a * 2.0).second); })(x); };
  CHECK(array_equal(only_one(checkpoint(pair)), only_one(pair)));  // a result that is not used
}

TEST_CASE("what is captured and differentiated is an Error; a captured constant is fine") {
  const Vec c(3.0);
  CHECK(grad([&](const Vec& x) { return checkpoint([&](const Vec& y) { return y * c; })(x); })(Vec(2.0)).item() == 3);
  CHECK(message_of([] {
          return grad([](const Vec& x) { return checkpoint([&](const Vec& y) { return y * x; })(Vec(1.0)); })(Vec(2.0));
        }) == "[checkpoint] (): f captures a tensor that is being differentiated; pass it as an argument");
  CHECK(message_of([] {
          return grad([](const Vec& x) { return checkpoint([&](const Vec& y) { return y * x; })(x * 2.0); })(Vec(2.0));
        }) == "[checkpoint] (): f captures a tensor that is being differentiated; pass it as an argument");
  CHECK(message_of([] {
          return hvp([](const Vec& x) { return checkpoint([&](const Vec& y) { return y * x; })(x); })(Vec(2.0), Vec(1.0));
        }).starts_with("[checkpoint]"));
}

TEST_CASE("f that throws in the backward sweep leaves nothing behind") {
  const std::int64_t live = memory_info().live;
  {
    int calls = 0;
    const auto f = checkpoint([&](const Vec& x) {
      if (++calls == 2) throw 5;
      return exp(x);
    });
    CHECK_THROWS_AS(grad([&](const Vec& x) { return sum(f(x) * f(x)); })(ones<double>({100})), int);
    calls = 5;
    CHECK(grad([&](const Vec& x) { return sum(f(x)); })(zeros<double>({2})).to_vector() == std::vector<double>{1, 1});
  }
  CHECK(memory_info().live == live);
}

TEST_CASE("members of the result that are no tensors are those that f gave") {
  const auto f = checkpoint([](const Vec& x) { return std::tuple{sum(x * x), 3, std::string("three")}; });
  const Vec x = tensor<double>({1, 2});
  CHECK(std::get<1>(f(x)) == 3);
  const auto [value, slope] = value_and_grad(f)(x);
  CHECK(std::get<0>(value).item() == 5);
  CHECK(std::get<1>(value) == 3);
  CHECK(std::get<2>(value) == "three");
  CHECK(slope.to_vector() == std::vector<double>{2, 4});
}

TEST_CASE("f may capture what is mapped only") {
  const Vec w = tensor<double>({1, 2}), xs = tensor<double>({{1, 2}, {3, 4}, {5, 6}});
  const auto loss = [](const Vec& v, const Vec& x) {
    return checkpoint([&](const Vec& u) { return sum(square(u * x)); })(v);
  };
  CHECK(per_sample_grad(loss)(w, xs).to_vector() == Vec(2.0 * w * xs * xs).to_vector());
  CHECK(vmap([&](const Vec& x) { return loss(w, x); })(xs).to_vector() == sum(square(w * xs), 1).to_vector());
}

}  // namespace autograd_checkpoint_test
