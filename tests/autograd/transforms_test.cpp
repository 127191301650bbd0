// What goes in and what comes out: trees of every kind, aux results, further arguments, escaped tensors.
#include "ergo/autograd/curvature.hpp"

#include <pthread.h>

#include <array>
#include <cmath>
#include <cstdint>
#include <optional>
#include <string>
#include <tuple>
#include <utility>
#include <vector>

#include <doctest/doctest.h>

#include "ergo/ops/arithmetic.hpp"
#include "ergo/ops/comparison.hpp"
#include "ergo/ops/exponential.hpp"
#include "ergo/ops/reduction.hpp"
#include "ergo/ops/selection.hpp"
#include "support/fresh.hpp"
#include "support/message.hpp"

namespace autograd_transforms_test {

using namespace ergo;
using Vec = Tensor<double>;
using List = std::vector<double>;

namespace {

enum class Kind { plain, squared };
struct Nothing {};
// A tree with a leaf of every kind.
struct Everything {
  Vec w;
  Tensor<float> single;
  Tensor<bfloat16> narrow;
  State<Vec> running;
  Tensor<std::int32_t> ids;
  Tensor<bool> mask;
  double number = 0;
  int count = 0;
  Kind kind = Kind::plain;
  std::string name;
  Nothing nothing;
  std::vector<Vec> list;
  std::array<Vec, 2> array;
  std::optional<Vec> present, absent;
  std::pair<Vec, int> pair;
  std::tuple<Vec, std::vector<std::pair<Vec, Kind>>> nested;
  std::vector<std::string> words;
  ERGO_FIELDS(Everything, w, single, narrow, running, ids, mask, number, count, kind, name, nothing, list, array, present,
              absent, pair, nested, words)
};
Everything everything() {
  Everything e;
  e.w = tensor<double>({1, 2});
  e.single = tensor<float>({3});
  e.narrow = tensor<bfloat16>({0.5});
  e.running.value = tensor<double>({10});
  e.ids = tensor<std::int32_t>({1, 0});
  e.mask = tensor<bool>({true});
  e.number = 4;
  e.count = 5;
  e.kind = Kind::squared;
  e.name = "every";
  e.list = {Vec(1.0), Vec(2.0)};
  e.array = {Vec(3.0), Vec(4.0)};
  e.present = Vec(5.0);
  e.pair = {Vec(6.0), 7};
  e.nested = {Vec(7.0), {{Vec(8.0), Kind::plain}}};
  e.words = {"a", "b"};
  return e;
}
struct Result {
  Vec a;
  Tensor<std::int32_t> ids;
  std::vector<Vec> more;
  ERGO_FIELDS(Result, a, ids, more)
};
// Sum of squares of all learned leaves, weighted by what is carried and static.
Vec energy(const Everything& e) {
  Vec s = sum(e.w * e.w) * e.number + sum(cast<double>(e.single * e.single)) + sum(cast<double>(e.narrow * e.narrow));
  for (const auto& x : e.list) s += x * x;
  for (const auto& x : e.array) s += x * x * e.running.value[0];
  if (e.present) s += *e.present * *e.present;
  s += e.pair.first * e.pair.first * double(e.pair.second);
  s += std::get<0>(e.nested) * std::get<0>(e.nested) + std::get<1>(e.nested)[0].first;
  return s;
}

}  // namespace

TEST_CASE("the gradient is a tree of the argument's type: learned leaves differentiated, the rest as it was") {
  const Everything e = everything();
  const Everything g = grad([](const Everything& x) { return energy(x); })(e);
  CHECK(g.w.to_vector() == List{8, 16});
  CHECK(g.single.item() == 6);
  CHECK(g.narrow.item() == bfloat16(1.0f));
  CHECK(g.running.value.to_vector() == List{10});
  CHECK(g.ids.to_vector() == std::vector<std::int32_t>{1, 0});
  CHECK(g.mask.item());
  CHECK(g.number == 4);
  CHECK(g.count == 5);
  CHECK(g.kind == Kind::squared);
  CHECK(g.name == "every");
  CHECK(g.list[1].item() == 4);
  CHECK(g.array[0].item() == 60);
  CHECK(g.present->item() == 10);
  CHECK_FALSE(g.absent);
  CHECK(g.pair.first.item() == 84);
  CHECK(g.pair.second == 7);
  CHECK(std::get<0>(g.nested).item() == 14);
  CHECK(std::get<1>(g.nested)[0].first.item() == 1);
  CHECK(g.words == std::vector<std::string>{"a", "b"});

  const auto h = hvp([](const Everything& x) { return energy(x); })(e, g);
  CHECK(h.w.to_vector() == List{64, 128});
  CHECK(h.pair.first.item() == 14 * 84);
  CHECK(std::get<1>(h.nested)[0].first.item() == 0);
}

TEST_CASE("forward mode on a tree, and vjp of one with a tree of results") {
  const Everything e = everything();
  const auto [y, dy] = jvp([](const Everything& x) { return energy(x); })(e, grad([](const Everything& x) { return energy(x); })(e));
  CHECK(y.item() == doctest::Approx(energy(e).item()));
  CHECK(dy.item() == doctest::Approx(64 + 256 + 36 + 1 + 4 + 16 + 3600 + 6400 + 100 + 84 * 84 + 196 + 1));
  const auto f = [](const Everything& x) { return Result{x.w * x.w, x.ids, {x.w[0] * x.list[1], Vec(3.0)}}; };
  const auto [r, pull] = vjp(f, e);
  CHECK(r.a.to_vector() == List{1, 4});
  CHECK(r.ids.to_vector() == std::vector<std::int32_t>{1, 0});
  for (int i = 0; i < 3; ++i) {  // as often as asked
    const Everything d = pull(Result{tensor<double>({1, 10}), r.ids, {Vec(100.0), Vec(5.0)}});
    CHECK(d.w.to_vector() == List{2 + 200, 40});
    CHECK(d.list[0].item() == 0);
    CHECK(d.list[1].item() == 100);
    CHECK(d.name == "every");
  }
  CHECK(message_of([p = pull, ids = r.ids] { return p(Result{Vec(1.0), ids, {Vec(1.0), Vec(1.0)}}); }) ==
        "[vjp] (2,) x (): leaves of the two trees differ in shape");
  CHECK(message_of([p = pull, a = r.a, ids = r.ids] { return p(Result{a, ids, {Vec(1.0)}}); }) == "[tree] more: lists of 2 and 1 elements");
  CHECK(pull(Result{tensor<double>({1, 10}), r.ids, {Vec(100.0), Vec(5.0)}}).w.to_vector() == List{202, 40});
}

TEST_CASE("several arguments are one tree; further ones reach f as they are") {
  const auto f = [](const std::pair<Vec, Vec>& p, double scale, const std::string& name, const Tensor<std::int32_t>& ids) {
    CHECK(name == "rest");
    CHECK(ids.item() == 3);
    return sum(p.first * p.second) * scale;
  };
  const auto g = grad(f)(std::pair{tensor<double>({1, 2}), tensor<double>({3, 4})}, 2.0, std::string("rest"), Tensor<std::int32_t>(3));
  CHECK(g.first.to_vector() == List{6, 8});
  CHECK(g.second.to_vector() == List{2, 4});
  const auto rest_is_constant = grad([](const Vec& x, const Vec& y) { return sum(x * y); })(tensor<double>({1, 2}), tensor<double>({5, 6}));
  CHECK(rest_is_constant.to_vector() == List{5, 6});
}

TEST_CASE("value_and_grad: the value, aux results that outlive the transform, State handed back") {
  const auto f = [](const Vec& x) {
    return std::tuple{sum(x * x), exp(x), std::string("aux"), State<Vec>{x * 2.0}, Tensor<std::int32_t>(4)};
  };
  const auto [y, g] = value_and_grad(f)(tensor<double>({1, 2}));
  CHECK(std::get<0>(y).item() == 5);
  CHECK(g.to_vector() == List{2, 4});
  CHECK((std::get<1>(y) * 1.0).to_vector()[0] == std::exp(1.0));  // usable: it is a plain tensor now
  CHECK(std::get<2>(y) == "aux");
  CHECK((std::get<3>(y).value + 1.0).to_vector() == List{3, 5});
  CHECK(std::get<4>(y).item() == 4);
  const auto [pair, h] = value_and_grad([](const Vec& x) { return std::pair{sum(x), x}; })(tensor<double>({1, 2}));
  CHECK((pair.second + 1.0).to_vector() == List{2, 3});
  // aux of an inner transform is differentiated by the outer one
  const Vec through = grad([](const Vec& x) {
    const auto [loss_and_aux, inner] = value_and_grad([](const Vec& z) { return std::pair{sum(z), z * z}; })(x);
    return sum(loss_and_aux.second * inner);
  })(tensor<double>({1, 2}));
  CHECK(through.to_vector() == List{2, 4});
}

TEST_CASE("a scalar is one element of any rank; anything else is an Error with the hint") {
  CHECK(grad([](const Vec& x) { return x; })(zeros<double>({1, 1})).shape() == Shape{1, 1});
  CHECK(message_of([] { return grad([](const Vec& x) { return x * 2.0; })(zeros<double>({3})); }) ==
        "[grad] (3,): the function must return one element (sum or mean it; vjp and jacobian take any shape)");
  CHECK(message_of([] { return grad([](const Vec& x) { return x * 2.0; })(zeros<double>({0})); }) ==
        "[grad] (0,): the function must return one element (sum or mean it; vjp and jacobian take any shape)");
}

TEST_CASE("stop_gradient is constant to every transform, and lets a value out") {
  const Vec x = tensor<double>({1, 2});
  CHECK(grad([](const Vec& p) { return sum(p * stop_gradient(p)); })(x).to_vector() == List{1, 2});
  CHECK(grad([](const Vec& p) { return sum(stop_gradient(p * p)); })(x).to_vector() == List{0, 0});
  CHECK(jvp([](const Vec& p) { return p * stop_gradient(p); })(x, ones<double>({2})).second.to_vector() == List{1, 2});
  CHECK(hvp([](const Vec& p) { return sum(p * p * stop_gradient(p)); })(x, ones<double>({2})).to_vector() == List{2, 4});
  CHECK(vmap([](const Vec& p) { return stop_gradient(p) * p; })(x).to_vector() == List{1, 4});
  Vec kept;
  grad([&](const Vec& p) {
    kept = stop_gradient(p * 3.0);
    return sum(p);
  })(x);
  CHECK((kept + 1.0).to_vector() == List{4, 7});
}

TEST_CASE("a tensor that escaped its transform is an Error when used, and can still be read") {
  Vec escaped;
  const auto store = [&](const Vec& p) {
    escaped = p * p;
    return sum(p);
  };
  const std::string text =
      ": a tensor of a finished transform, or of another thread's, is used here\n"
      "  (return it from the function, or store stop_gradient of it)";
  grad(store)(tensor<double>({1, 2}));
  CHECK(escaped.to_vector() == List{1, 4});
  CHECK(escaped.at({1}) == 4);
  CHECK(message_of([&] { return escaped + 1.0; }) == "[add] (2,) x ()" + text);
  CHECK(message_of([&] { return sum(escaped); }) == "[sum] (2,)" + text);
  CHECK(message_of([&] { return escaped[0]; }) == "[slice] (2,)" + text);
  CHECK(message_of([&] { return grad([&](const Vec& p) { return sum(p * escaped); })(ones<double>({2})); }) ==
        "[multiply] (2,) x (2,)" + text);
  CHECK(message_of([&] { return vmap([&](const Vec& p) { return p * escaped; })(ones<double>({2})); }) ==
        "[multiply] () x (2,)" + text);
  jvp(store)(tensor<double>({3, 4}), ones<double>({2}));
  CHECK(escaped.to_vector() == List{9, 16});
  CHECK(message_of([&] { return escaped * 2.0; }) == "[multiply] (2,) x ()" + text);
  vmap(store)(ones<double>({5, 2}));
  CHECK(message_of([&] { return escaped * 2.0; }) == "[multiply] (2,) x ()" + text);
  CHECK(message_of([&] { return escaped.to_vector(); }) ==
        "[to_vector] (2,): a value mapped by vmap is many values; return it from the mapped function");
  // The same depth opened again is another level.
  Vec of_first;
  grad([&](const Vec& p) { return of_first = p * 1.0, sum(p); })(ones<double>({2}));
  CHECK(message_of([&] { return grad([&](const Vec& p) { return sum(p * of_first); })(ones<double>({2})); }) ==
        "[multiply] (2,) x (2,)" + text);
  CHECK(grad([](const Vec& p) { return sum(p * p); })(tensor<double>({1, 2})).to_vector() == List{2, 4});
}

TEST_CASE("a tensor traced by another thread's transform is an Error there, its value readable") {
  struct Shared {
    Vec traced;
    std::string text, value;
    bool inner = false;
  } shared;
  grad([&](const Vec& p) {
    shared.traced = p * 3.0;
    pthread_t thread;
    pthread_create(&thread, nullptr, [](void* argument) -> void* {
      Shared& s = *static_cast<Shared*>(argument);
      s.text = message_of([&] { return s.traced + 1.0; });
      s.value = std::to_string(s.traced.item());
      // A level of this thread at the same depth does not adopt it.
      s.inner = message_of([&] { return grad([&](const Vec& q) { return q * s.traced; })(Vec(1.0)); }) != "no error";
      return nullptr;
    }, &shared);
    pthread_join(thread, nullptr);
    return sum(shared.traced);
  })(Vec(2.0));
  CHECK(shared.text ==
        "[add] () x (): a tensor of a finished transform, or of another thread's, is used here\n"
        "  (return it from the function, or store stop_gradient of it)");
  CHECK(shared.value == "6.000000");
  CHECK(shared.inner);
}

TEST_CASE("reading inside a transform: item, to_vector, branches on values") {
  const auto f = [](const Vec& x) {
    Vec y = x;
    for (int i = 0; i < 3; ++i)
      if (y.item() < 10) y = y * y;
    return y;
  };
  CHECK(grad(f)(Vec(2.0)).item() == 32);   // x^4
  CHECK(grad(f)(Vec(20.0)).item() == 1);
  CHECK(grad([](const Vec& x) { return where(x > 1.0, x * x, x); })(Vec(3.0)).item() == 6);
  CHECK(message_of([] { return vmap([](const Vec& x) { return x.item() > 0 ? x : -x; })(ones<double>({3})); }) ==
        "[item] (): a value mapped by vmap is many values; return it from the mapped function");
}

TEST_CASE("integer and bool results carry no derivative and are no obstacle") {
  const auto f = [](const Vec& x) {
    const auto positive = x > 0.0;
    return sum(where(positive, x * x, -x)) + sum(cast<double>(cast<std::int32_t>(x)));
  };
  CHECK(grad(f)(tensor<double>({2, -3})).to_vector() == List{4, -1});
  CHECK(jvp(f)(tensor<double>({2, -3}), ones<double>({2})).second.item() == 3);
  CHECK(hvp(f)(tensor<double>({2, -3}), ones<double>({2})).to_vector() == List{2, 0});
}

TEST_CASE("an unused argument has gradient zero of its own shape and dtype") {
  const auto g = grad([](const std::pair<Vec, Tensor<float>>& p) { return sum(p.first); })(
      std::pair{ones<double>({2}), ones<float>({3, 1})});
  CHECK(g.second.to_vector() == std::vector<float>{0, 0, 0});
  CHECK(g.second.shape() == Shape{3, 1});
}

TEST_CASE("a tied tensor gathers from both uses; results alias inputs without harm") {
  const Vec x = tensor<double>({1, 2});
  const auto [y, pull] = vjp([](const Vec& p) { return std::pair{p, p}; }, x);
  CHECK(pull(std::pair{tensor<double>({1, 2}), tensor<double>({10, 20})}).to_vector() == List{11, 22});
  CHECK(pull(std::pair{x, x}).to_vector() == List{2, 4});
  CHECK(x.to_vector() == List{1, 2});
  CHECK(jvp([](const Vec& p) { return p; })(x, x).second.to_vector() == List{1, 2});
}

TEST_CASE("cotangents that are given are not written over") {
  const Vec g = tensor<double>({1, 2});
  auto [y, pull] = vjp([](const Vec& x) { return -(x + x) * 3.0; }, ones<double>({2}));
  CHECK(pull(g).to_vector() == List{-6, -12});
  CHECK(g.to_vector() == List{1, 2});
  auto [z, pull2] = vjp([](const Vec& x) { return std::pair{x + 1.0, x * 2.0}; }, ones<double>({2}));
  CHECK(pull2(std::pair{g, g}).to_vector() == List{3, 6});
  CHECK(g.to_vector() == List{1, 2});
}

TEST_CASE("mismatched tangents are Errors") {
  const auto f = [](const Vec& x) { return sum(x); };
  CHECK(message_of([&] { return jvp(f)(zeros<double>({2}), zeros<double>({3})); }) ==
        "[jvp] (2,) x (3,): leaves of the two trees differ in shape");
  CHECK(message_of([&] { return hvp(f)(zeros<double>({2}), zeros<double>({2, 1})); }) ==
        "[jvp] (2,) x (2, 1): leaves of the two trees differ in shape");
  using Pairs = std::vector<std::pair<Vec, Vec>>;
  const Pairs a{{Vec(1.0), Vec(2.0)}}, none;
  const auto g = [](const Pairs& p) { return p[0].first * p[0].second; };
  CHECK(message_of([&] { return jvp(g)(a, none); }) == "[tree] the root: lists of 1 and 0 elements");
  CHECK(message_of([&] { return grad(g)(Pairs{{Vec(), Vec(2.0)}}); }) == "[tree] 0.0: a learned leaf is an empty tensor");
  CHECK(message_of([&] { return grad([](const Vec& x) { return x; })(Vec()); }) ==
        "[tree] the root: a learned leaf is an empty tensor");
}

TEST_CASE("dense Jacobians: the shape of y then of x; of a tree, through its flat form") {
  const Vec x = tensor<double>({{1, 2, 3}, {4, 5, 6}});
  const Vec j = jacobian([](const Vec& p) { return sum(p * p, 0); })(x);
  CHECK(j.shape() == Shape{3, 2, 3});
  for (int a = 0; a < 3; ++a)
    for (int b = 0; b < 2; ++b)
      for (int c = 0; c < 3; ++c) CHECK(j.at({a, b, c}) == (a == c ? 2 * x.at({b, c}) : 0));
  CHECK(jacobian([](const Vec& p) { return sum(p); })(x).shape() == Shape{2, 3});
  using Pair = std::pair<Vec, Vec>;
  const Pair p{tensor<double>({1, 2}), Vec(3.0)};
  const auto product = [](const Pair& q) { return q.first * q.second; };
  CHECK(jacobian(product)(p).to_vector() == List{3, 0, 1, 0, 3, 2});
  CHECK(hessian([&](const Pair& q) { return sum(product(q)); })(p).to_vector() == List{0, 0, 1, 0, 0, 1, 1, 1, 0});
}

}  // namespace autograd_transforms_test
