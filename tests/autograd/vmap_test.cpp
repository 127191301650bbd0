// vmap against loops, bit for bit where the kernel is the same, with a number of kernels that does not grow with the batch.
#include <cstdint>
#include <utility>
#include <vector>

#include <doctest/doctest.h>

#include "ergo/autograd/curvature.hpp"
#include "ergo/ops/arithmetic.hpp"
#include "ergo/ops/comparison.hpp"
#include "ergo/ops/exponential.hpp"
#include "ergo/ops/indexing.hpp"
#include "ergo/ops/matmul.hpp"
#include "ergo/ops/movement.hpp"
#include "ergo/ops/random.hpp"
#include "ergo/ops/reduction.hpp"
#include "ergo/ops/selection.hpp"
#include "ergo/ops/trigonometric.hpp"
#include "ergo/ops/normalization.hpp"
#include "support/fresh.hpp"
#include "support/message.hpp"
#include "support/seed.hpp"

namespace autograd_vmap_test {

using namespace ergo;
using Vec = Tensor<double>;
using Ids = Tensor<std::int32_t>;

namespace {

struct Layer {
  Vec w, b;
  State<Vec> calls;
  ERGO_FIELDS(Layer, w, b, calls)
};
Layer layer(Fresh& fresh) { return {fresh.tensor<double>({4, 3}), fresh.tensor<double>({3}), {Vec(0.0)}}; }
Vec loss(const Layer& m, const Vec& x, const Vec& y) {
  const Vec e = tanh(matmul(x, m.w) + m.b) - y;
  return sum(e * e);
}
// Kernels that f() runs on this thread.
template <class F>
std::int64_t kernels_of(F&& f) {
  const std::int64_t before = detail::kernels_run;
  f();
  return detail::kernels_run - before;
}
template <class T>
bool close(const Tensor<T>& a, const Tensor<T>& b) {
  return allclose(a, b, {.rtol = 1e-12, .atol = 1e-12});
}

}  // namespace

TEST_CASE("pointwise, reductions, products and movement over the leading axis") {
  Fresh fresh;
  const Vec xs = fresh.tensor<double>({5, 2, 3}), ys = fresh.tensor<double>({5, 3}), w = fresh.tensor<double>({3, 4});
  const auto f = [&](const Vec& x, const Vec& y) {
    const Vec z = x * y + Vec(0.5);          // ranks 2 and 1
    return std::pair{matmul(exp(z), w), sum(permute(z, {1, 0}), 0)};
  };
  const auto [a, b] = vmap(f)(xs, ys);
  CHECK(a.shape() == Shape{5, 2, 4});
  CHECK(b.shape() == Shape{5, 2});
  for (int i = 0; i < 5; ++i) {
    const auto [c, d] = f(xs[i], ys[i]);
    CHECK(close(a[i], c));
    CHECK(close(b[i], d));
  }
}

TEST_CASE("mapped and unmapped operands of every rank, in both places") {
  Fresh fresh(1);
  const Shape shapes[] = {{}, {3}, {2, 3}, {1, 3}, {4, 2, 3}, {2, 1}};
  for (const Shape& s : shapes)
    for (const Shape& t : shapes) {
      const Vec x = fresh.tensor<double>(Shape{3} + s), y = fresh.tensor<double>(Shape{3} + t), c = fresh.tensor<double>(t);
      const Vec both = vmap([](const Vec& a, const Vec& b) { return a - b; })(x, y);
      const Vec left = vmap([&](const Vec& a) { return a - c; })(x), right = vmap([&](const Vec& a) { return c - a; })(x);
      for (int i = 0; i < 3; ++i) {
        REQUIRE(array_equal(both[i], x[i] - y[i]));
        REQUIRE(array_equal(left[i], x[i] - c));
        REQUIRE(array_equal(right[i], c - x[i]));
      }
    }
}

TEST_CASE("integers, bools, conditions; what f captures is not mapped; what does not depend on the map is repeated") {
  Fresh fresh(2);
  const Vec table = fresh.tensor<double>({6, 2}), xs = fresh.tensor<double>({3, 2});
  const Ids ids = tensor<std::int32_t>({{5, 0}, {1, 1}, {3, 4}});
  const auto rows = vmap([&](const Ids& i, const Vec& x) { return where(x > 0.0, embedding(table, i), x); })(ids, xs);
  CHECK(rows.shape() == Shape{3, 2, 2});
  for (int i = 0; i < 3; ++i) CHECK(array_equal(rows[i], where(xs[i] > 0.0, embedding(table, ids[i]), xs[i])));
  CHECK(array_equal(vmap([](const Ids& i) { return i + 1; })(ids), ids + 1));
  CHECK(array_equal(vmap([&](const Vec&) { return table; })(xs)[2], table));
  CHECK(array_equal(vmap([&](const Vec& x) { return x > 0.0; })(xs), xs > 0.0));
}

TEST_CASE("trees go in and out, State and integer leaves too") {
  Fresh fresh(3);
  const Layer layers{fresh.tensor<double>({4, 4, 3}), fresh.tensor<double>({4, 3}), {fresh.tensor<double>({4})}};
  const auto f = [](const Layer& m) { return Layer{m.w * 2.0, m.b + sum(m.w), {m.calls.value + 1.0}}; };
  const Layer r = vmap(f)(layers);
  for (int i = 0; i < 4; ++i) {
    const Layer one = f(Layer{layers.w[i], layers.b[i], {layers.calls.value[i]}});
    CHECK(close(r.w[i], one.w));
    CHECK(close(r.b[i], one.b));
    CHECK(close(r.calls.value[i], one.calls.value));
  }
}

TEST_CASE("a carried leaf that the function leaves empty stays empty") {
  const auto [x, ids] = vmap([](const Vec& v) { return std::pair{v * 2.0, Ids()}; })(ones<double>({3}));
  CHECK(x.to_vector() == std::vector<double>{2, 2, 2});
  CHECK_FALSE(ids.defined());
  const auto [y, g] = value_and_grad([](const Vec& v) { return std::pair{v * 2.0, Ids()}; })(Vec(1.0));
  CHECK_FALSE(y.second.defined());
}

TEST_CASE("per-example gradients equal a loop's, and grad of a vmap; kernels do not grow with the batch") {
  Fresh fresh(4);
  const Layer m = layer(fresh);
  const auto f = [](const Layer& p, const Vec& x, const Vec& y) { return loss(p, x, y); };
  std::int64_t kernels[2] = {}, nested[2] = {};
  int k = 0;
  for (const int n : {3, 17}) {
    const Vec xs = fresh.tensor<double>({n, 4}), ys = fresh.tensor<double>({n, 3});
    Layer each, of_sum;
    kernels[k] = kernels_of([&] { each = per_sample_grad(f)(m, xs, ys); });
    nested[k] = kernels_of([&] {
      of_sum = grad([&](const Layer& p) { return sum(vmap([&](const Vec& x, const Vec& y) { return f(p, x, y); })(xs, ys)); })(m);
    });
    ++k;
    CHECK(each.w.shape() == Shape{n, 4, 3});
    CHECK(each.calls.value.shape() == Shape{n});
    for (int i = 0; i < n; ++i) {
      const Layer one = grad(f)(m, xs[i], ys[i]);
      CHECK(close(each.w[i], one.w));
      CHECK(close(each.b[i], one.b));
    }
    CHECK(close(sum(each.w, 0), of_sum.w));
    CHECK(close(sum(each.b, 0), of_sum.b));
  }
  MESSAGE("kernels: " << kernels[0] << " for vmap(grad), " << nested[0] << " for grad(vmap)");
  CHECK(kernels[0] == kernels[1]);
  CHECK(nested[0] == nested[1]);
}

TEST_CASE("second order under vmap: kernels do not grow with the batch either") {
  Fresh fresh(5);
  const auto f = [](const Vec& x) { return sum(tanh(x * x) * exp(x)); };
  std::int64_t kernels[2] = {};
  int k = 0;
  for (const int n : {2, 30}) {
    const Vec x = fresh.tensor<double>({n, 5}), v = fresh.tensor<double>({n, 5});
    kernels[k++] = kernels_of([&] { vmap([&](const Vec& a, const Vec& b) { return hvp(f)(a, b); })(x, v); });
  }
  CHECK(kernels[0] == kernels[1]);
}

TEST_CASE("maps within maps") {
  Fresh fresh(6);
  const Vec x = fresh.tensor<double>({3, 4, 2}), y = fresh.tensor<double>({4, 2});
  const auto f = [](const Vec& a, const Vec& b) { return sum(a * b); };
  const Vec z = vmap([&](const Vec& a) { return vmap(f)(a, y); })(x);
  const Vec outer = vmap([&](const Vec& a) { return vmap([&](const Vec& b) { return f(a, b); })(y); })(reshape(x, {12, 2}));
  for (int i = 0; i < 3; ++i)
    for (int j = 0; j < 4; ++j) CHECK(z.at({i, j}) == doctest::Approx(f(x[i][j], y[j]).item()));
  for (int i = 0; i < 12; ++i)
    for (int j = 0; j < 4; ++j) CHECK(outer.at({i, j}) == doctest::Approx(f(reshape(x, {12, 2})[i], y[j]).item()));
}

TEST_CASE("keys: mapped ones draw what a loop draws, an unmapped one gives every example the same") {
  const Key key{7};
  const Key keys = split(key, 5);
  const auto draws = vmap([](const Key& k) { return normal<double>(k, {3}); })(keys);
  for (int i = 0; i < 5; ++i) CHECK(array_equal(draws[i], normal<double>(keys[i], {3})));
  const auto folded = vmap([](const Key& k) { return uniform<float>(k, {2}); })(fold_in(key, tensor<std::int32_t>({3, 1, 4})));
  CHECK(array_equal(folded[1], uniform<float>(fold_in(key, 1), {2})));
  const auto same = vmap([&](const Vec& x) { return x + uniform<double>(key, {}); })(zeros<double>({4}));
  CHECK(array_equal(same, zeros<double>({4}) + uniform<double>(key, {})));
}

TEST_CASE("batches of none and of one") {
  const auto f = [](const Vec& x) { return sum(exp(x) * x); };
  CHECK(vmap(f)(zeros<double>({0, 3})).shape() == Shape{0});
  CHECK(vmap(grad(f))(zeros<double>({0, 3})).shape() == Shape{0, 3});
  const Vec x = tensor<double>({{1, 2}});
  CHECK(array_equal(vmap(grad(f))(x)[0], grad(f)(x[0])));
}

TEST_CASE("what cannot be mapped is an Error") {
  const auto f = [](const Vec& x, const Vec& y) { return x + y; };
  CHECK(message_of([&] { return vmap(f)(zeros<double>({3}), zeros<double>({4, 2})); }) ==
        "[vmap] (3,) x (4, 2): leading axes differ");
  CHECK(message_of([&] { return vmap(f)(zeros<double>({3}), Vec(1.0)); }) ==
        "[vmap] (): a tensor of rank 0 has no leading axis to map over");
  CHECK(message_of([&] { return vmap([](const Ids& i) { return i; })(Ids()); }) == "[vmap] an argument holds an empty tensor");
  CHECK(message_of([&] { return vmap([](int n) { return Vec(double(n)); })(3); }) ==
        "[vmap] no argument has a tensor to map over");
  CHECK(message_of([&] { return vmap([](const Vec& x) { return x + zeros<double>({2}); })(zeros<double>({5, 3})); }) ==
        "[add] (5, 3) x (2,): shapes do not broadcast");  // the mapped axis is shown
  CHECK(message_of([&] { return vmap([](const Vec& x) { return x.to_vector(), x; })(zeros<double>({5, 3})); }) ==
        "[to_vector] (3,): a value mapped by vmap is many values; return it from the mapped function");
  CHECK(message_of([&] { return vmap([](const Vec& x) { return to_string(x), x; })(zeros<double>({5, 3})); }) ==
        "[to_string] (3,): a value mapped by vmap is many values; return it from the mapped function");
  CHECK(vmap(f)(zeros<double>({3}), ones<double>({3, 2})).shape() == Shape{3, 2});
}

TEST_CASE("forward mode of an update whose indices alone are mapped") {
  const auto x = reshape(arange<double>(12), {3, 4});
  const auto added = [&](const Vec& t, const Ids& i) { return scatter_add(t, i, ones<double>({1, 4})); };
  for (const auto& ids : {Ids(tensor<std::int32_t>({{0}})), Ids(tensor<std::int32_t>({{0}, {2}, {1}}))}) {
    const Vec tangents = vmap([&](const Ids& i) { return jvp([&](const Vec& t) { return added(t, i); })(x, x).second; })(ids);
    CHECK(tangents.to_vector() == Vec(broadcast_to(x, ids.shape().first(1) + x.shape())).to_vector());
    const Vec curved = vmap([&](const Ids& i) { return hvp([&](const Vec& t) { return sum(square(added(t, i))); })(x, x); })(ids);
    CHECK(curved.to_vector() == Vec(broadcast_to(2.0 * x, ids.shape().first(1) + x.shape())).to_vector());
  }
}

TEST_CASE("a batch of one keeps its axis through layer_norm") {
  const Vec x = normal<double>(Key{test_seed()}, {3, 4});
  const auto f = [&](const Vec& gamma) { return sum(square(layer_norm(x, gamma, zeros<double>({4})))); };
  for (const std::int64_t n : {1, 2}) {
    const Vec gamma = normal<double>(Key{test_seed() + 1}, {n, 4}), values = vmap(f)(gamma), slopes = vmap(grad(f))(gamma);
    CHECK(values.shape() == Shape{n});
    REQUIRE(slopes.shape() == Shape{n, 4});
    for (std::int64_t i = 0; i < n; ++i) {
      CHECK(values[i].item() == doctest::Approx(f(gamma[i]).item()).epsilon(1e-14));
      CHECK(allclose(slopes[i], grad(f)(gamma[i]), {.rtol = 1e-12}));
    }
  }
}

}  // namespace autograd_vmap_test
