// map(F{}, x...): one fused loop, derivatives to the third order from nested duals, branches, mixed layouts.
#include "ergo/autograd/map.hpp"

#include <cmath>
#include <cstdint>
#include <vector>

#include <doctest/doctest.h>

#include "ergo/autograd/curvature.hpp"
#include "ergo/ops/arithmetic.hpp"
#include "ergo/ops/exponential.hpp"
#include "ergo/ops/reduction.hpp"
#include "ergo/ops/selection.hpp"
#include "ergo/ops/trigonometric.hpp"
#include "support/fresh.hpp"
#include "support/message.hpp"

namespace autograd_map_test {

// At namespace scope and outside of ergo: a user's own.
struct Swish {
  template <class A>
  constexpr A operator()(A x, A b) const {
    return x / (A(1) + ergo::exp(-(b * x)));
  }
};
struct Cubic {
  template <class A>
  constexpr A operator()(A x) const {
    return x * x * x * A(0.5) - A(2) * x;
  }
};
struct Softsign {  // an `if` on values
  static constexpr bool branches = true;
  template <class A>
  constexpr A operator()(A x) const {
    if (x < A(0)) return x / (A(1) - x);
    return x / (A(1) + x);
  }
};
struct Clamped {
  template <class A>
  constexpr A operator()(A x, A lo) const {
    return where(x < lo, lo * lo, x * lo);
  }
};
struct Sum3 {
  template <class A>
  constexpr A operator()(A a, A b, A c) const {
    return ergo::tanh(a * b) + ergo::log(c) * a;
  }
};

using namespace ergo;
using Vec = Tensor<double>;

namespace {
template <class F>
auto slope(F f) {
  return [f](const auto& x) { return jvp(f)(x, ones_like(x)).second; };
}
constexpr auto swish = [](const Vec& x, const Vec& b) { return map(Swish{}, x, b); };
constexpr auto swish_of_operations = [](const Vec& x, const Vec& b) { return x / (1.0 + exp(-(b * x))); };
}  // namespace

TEST_CASE("values, in one kernel, with broadcasting, for every floating dtype") {
  Fresh fresh;
  const Vec x = fresh.tensor<double>({7, 1, 5}, -3, 3), b = fresh.tensor<double>({4, 1}, 0.5, 2);
  const std::int64_t before = detail::kernels_run;
  const Vec y = map(Swish{}, x, b);
  CHECK(detail::kernels_run == before + 1);
  CHECK(y.shape() == Shape{7, 4, 5});
  CHECK(allclose(y, swish_of_operations(x, b), {.rtol = 1e-15}));
  const auto z = map(Cubic{}, tensor<half>({0.5, 3}));
  CHECK(z.to_vector() == std::vector<half>{half(0.5 * 0.125 - 1), half(13.5 - 6)});
  CHECK(map(Cubic{}, tensor<float>({2})).item() == 0);
  CHECK(map(Cubic{}, zeros<double>({0, 3})).shape() == Shape{0, 3});
  CHECK(map(Cubic{}, Vec(2.0)).shape() == Shape{});
  CHECK(message_of([] { return map(Swish{}, zeros<double>({3}), zeros<double>({2})); }) ==
        "[map] (3,) x (2,): shapes do not broadcast");
}

TEST_CASE("derivatives to the third order, all modes, against closed forms and the same formula in operations") {
  Fresh fresh(1);
  const Vec x = fresh.tensor<double>({5}, -2, 2);
  const auto cubic = [](const Vec& a) { return map(Cubic{}, a); };
  const auto total = [](auto f) { return [f](const Vec& a) { return sum(f(a)); }; };
  CHECK(allclose(grad(total(cubic))(x), 1.5 * x * x - 2.0, {.rtol = 1e-14, .atol = 1e-14}));
  CHECK(allclose(slope(slope(cubic))(x), 3.0 * x, {.rtol = 1e-14}));
  CHECK(allclose(grad(total(grad(total(grad(total(cubic))))))(x), 3.0 * ones_like(x), {.rtol = 1e-14}));
  CHECK(allclose(slope(grad(total(slope(cubic))))(x), 3.0 * ones_like(x), {.rtol = 1e-14}));

  const Vec b = fresh.tensor<double>({3, 1}, 0.5, 2);
  const std::pair p{x, b}, u{fresh.tensor<double>({5}), fresh.tensor<double>({3, 1})};
  const auto both = [](auto f) { return [f](const std::pair<Vec, Vec>& q) { return sum(f(q.first, q.second) * f(q.first, q.second)); }; };
  const auto same = [](const std::pair<Vec, Vec>& a, const std::pair<Vec, Vec>& c) {
    return allclose(a.first, c.first, {.rtol = 1e-10, .atol = 1e-12}) && allclose(a.second, c.second, {.rtol = 1e-10, .atol = 1e-12});
  };
  CHECK(same(grad(both(swish))(p), grad(both(swish_of_operations))(p)));
  CHECK(same(hvp(both(swish))(p, u), hvp(both(swish_of_operations))(p, u)));
  const auto third = [&](auto f) {
    return grad([=](const std::pair<Vec, Vec>& q) { return tree::dot(hvp(both(f))(q, u), u); })(p);
  };
  CHECK(same(third(swish), third(swish_of_operations)));
  CHECK(allclose(jvp(both(swish))(p, u).second, tree::dot(grad(both(swish))(p), u), {.rtol = 1e-12}));
}

TEST_CASE("the first-order backward sweep of a map is one kernel for each argument") {
  const Vec x = ones<double>({4}), b = ones<double>({4});
  auto [y, pull] = vjp([](const std::pair<Vec, Vec>& p) { return map(Swish{}, p.first, p.second); }, std::pair{x, b});
  const std::int64_t before = detail::kernels_run;
  pull(ones<double>({4}));
  CHECK(detail::kernels_run == before + 2);
}

TEST_CASE("three arguments; strided inputs; vmap") {
  Fresh fresh(2);
  const Vec a = fresh.tensor<double>({6, 4}), c = fresh.tensor<double>({6, 4}, 1, 2);
  const std::int8_t swap[] = {1, 0};
  const Vec b(detail::permute(fresh.tensor<double>({4, 6}).ref(), swap));
  const auto by_hand = [](const Vec& x, const Vec& y, const Vec& z) { return tanh(x * y) + log(z) * x; };
  const auto mapped = [](const Vec& x, const Vec& y, const Vec& z) { return map(Sum3{}, x, y, z); };
  CHECK(allclose(mapped(a, b, c), by_hand(a, b, c), {.rtol = 1e-14, .atol = 1e-15}));
  CHECK(allclose(vmap(mapped)(a, b, c), by_hand(a, b, c), {.rtol = 1e-14, .atol = 1e-15}));
  CHECK(allclose(vmap([&](const Vec& x) { return mapped(x, b[0], c[0]); })(a), by_hand(a, b[0], c[0]), {.rtol = 1e-14, .atol = 1e-15}));
  const auto g = grad([&](const Vec& x) { return sum(mapped(x, x, c) * c); })(a);
  CHECK(allclose(g, grad([&](const Vec& x) { return sum(by_hand(x, x, c) * c); })(a), {.rtol = 1e-12, .atol = 1e-13}));
}

TEST_CASE("an if on values, one element at a time, in every lane and order") {
  Fresh fresh(3);
  const Vec x = fresh.tensor<double>({37}, -2, 2);
  const auto f = [](const Vec& a) { return map(Softsign{}, a); };
  const Vec d = 1.0 + abs(x), s = sign(x);
  const CloseOptions tight{.rtol = 1e-13, .atol = 1e-14};
  CHECK(allclose(f(x), x / d, tight));
  CHECK(allclose(slope(f)(x), 1.0 / (d * d), tight));
  CHECK(allclose(slope(slope(f))(x), -2.0 * s / (d * d * d), tight));
  CHECK(allclose(grad([&](const Vec& a) { return sum(slope(slope(f))(a)); })(x), 6.0 / (d * d * d * d), tight));
}

TEST_CASE("where on values chooses the derivative too") {
  const Vec x = tensor<double>({-1, 0.5, 3}), lo = tensor<double>({2, 2, 2});
  const auto [gx, glo] = grad([](const std::pair<Vec, Vec>& p) { return sum(map(Clamped{}, p.first, p.second)); })(std::pair{x, lo});
  CHECK(gx.to_vector() == std::vector<double>{0, 0, 2});
  CHECK(glo.to_vector() == std::vector<double>{4, 4, 3});
}

TEST_CASE("the fourth derivative is an Error that says what to write instead") {
  const auto f = [](const Vec& x) { return map(Cubic{}, x); };
  const std::string text =
      "[map] (): differentiated more than three times; write a Pointwise struct (value and partial) instead";
  CHECK(message_of([&] { return grad(grad(grad(grad(f))))(Vec(1.0)); }) == text);
  CHECK(message_of([&] { return slope(slope(slope(slope(f))))(Vec(1.0)); }) == text);
  CHECK(message_of([&] { return slope(grad(slope(grad(f))))(Vec(1.0)); }) == text);
  CHECK(grad(grad(grad(f)))(Vec(1.0)).item() == 3);
  CHECK(detail::levels.depth == 0);
}

}  // namespace autograd_map_test
