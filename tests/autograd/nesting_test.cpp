// Transforms of transforms: orders, modes and levels that must not be confused.
#include "ergo/autograd/curvature.hpp"

#include <cmath>
#include <cstdint>
#include <utility>
#include <vector>

#include <doctest/doctest.h>

#include "ergo/ops/arithmetic.hpp"
#include "ergo/ops/exponential.hpp"
#include "ergo/ops/matmul.hpp"
#include "ergo/ops/movement.hpp"
#include "ergo/ops/reduction.hpp"
#include "ergo/ops/selection.hpp"
#include "ergo/ops/trigonometric.hpp"
#include "support/fresh.hpp"

namespace autograd_nesting_test {

using namespace ergo;
using Vec = Tensor<double>;

namespace {

double derivative(int order, double x) {  // of tanh
  const double t = std::tanh(x), s = 1 - t * t;
  return order == 0 ? t : order == 1 ? s : order == 2 ? -2 * t * s : order == 3 ? s * (6 * t * t - 2)
                                                                             : 8 * t * s * (2 - 3 * t * t);
}
// df for x of rank 0 by forward mode.
template <class F>
auto slope(F f) {
  return [f](const auto& x) { return jvp(f)(x, ones_like(x)).second; };
}
double worst(const Vec& a, const Vec& b) {
  REQUIRE(a.shape() == b.shape());
  const auto u = a.to_vector(), v = b.to_vector();
  double w = 0;
  for (std::size_t i = 0; i < u.size(); ++i) w = std::fmax(w, std::fabs(u[i] - v[i]) / (1 + std::fabs(v[i])));
  return w;
}

constexpr auto tanh_of = [](const auto& x) { return tanh(x); };
// A scalar function of a vector with a full Hessian, through one operation of each kind.
const auto f = [](const Vec& x) {
  const Vec m = reshape(exp(sin(x)), {2, 3});
  const Vec product = matmul(m, permute(m * 0.5 + 1.0, {1, 0}));
  return sum(tanh(product / 10.0)) + log(1.0 + sum(x * x)) * x[0] * x[-1];
};

}  // namespace

TEST_CASE("derivatives of tanh to the fourth order, in every order of modes") {
  Fresh fresh;
  for (int i = 0; i < 20; ++i) {
    const double at = fresh.uniform(-2, 2);
    const Vec x(at);
    CHECK(grad(tanh_of)(x).item() == doctest::Approx(derivative(1, at)).epsilon(1e-14));
    CHECK(grad(grad(tanh_of))(x).item() == doctest::Approx(derivative(2, at)).epsilon(1e-13));
    const double third = derivative(3, at);
    const auto near = [](double v) { return doctest::Approx(v).epsilon(1e-12).scale(1e-3); };
    CHECK(grad(grad(grad(tanh_of)))(x).item() == near(third));
    CHECK(slope(grad(grad(tanh_of)))(x).item() == near(third));
    CHECK(grad(slope(grad(tanh_of)))(x).item() == near(third));
    CHECK(grad(grad(slope(tanh_of)))(x).item() == near(third));
    CHECK(slope(slope(grad(tanh_of)))(x).item() == near(third));
    CHECK(slope(grad(slope(tanh_of)))(x).item() == near(third));
    CHECK(grad(slope(slope(tanh_of)))(x).item() == near(third));
    CHECK(slope(slope(slope(tanh_of)))(x).item() == near(third));
    CHECK(grad(grad(grad(grad(tanh_of))))(x).item() == near(derivative(4, at)));
    CHECK(slope(grad(slope(grad(tanh_of))))(x).item() == near(derivative(4, at)));
  }
}

TEST_CASE("H v: forward over reverse, reverse over reverse, reverse over forward, differences") {
  Fresh fresh(1);
  for (int i = 0; i < 10; ++i) {
    const Vec x = fresh.tensor<double>({6}), v = fresh.tensor<double>({6});
    const Vec a = hvp(f)(x, v);
    const Vec b = grad([&](const Vec& p) { return sum(grad(f)(p) * v); })(x);
    const Vec c = grad([&](const Vec& p) { return jvp(f)(p, v).second; })(x);
    const double h = 1e-5;
    const Vec d = (grad(f)(x + h * v) - grad(f)(x - h * v)) / (2 * h);
    CHECK(worst(a, b) <= 1e-10);
    CHECK(worst(a, c) <= 1e-10);
    CHECK(worst(a, d) <= 1e-5);
    const auto pulled = vjp(grad(f), x);  // H is symmetric
    CHECK(worst(a, pulled.second(v)) <= 1e-10);
  }
}

TEST_CASE("the Jacobian of the gradient is the Hessian, symmetric, and H v is its product") {
  Fresh fresh(2);
  const Vec x = fresh.tensor<double>({6}), v = fresh.tensor<double>({6});
  const Vec h = hessian(f)(x);
  CHECK(h.shape() == Shape{6, 6});
  CHECK(worst(jacobian(grad(f))(x), h) == 0);
  CHECK(worst(permute(h, {1, 0}), h) <= 1e-12);
  CHECK(worst(matmul(h, v), hvp(f)(x, v)) <= 1e-12);
  for (std::int64_t i = 0; i < 6; ++i)
    for (std::int64_t j = 0; j < 6; ++j) {  // differences of differences of values
      const double e = 1e-4;
      std::vector<double> ei(6), ej(6);
      ei[std::size_t(i)] = e;
      ej[std::size_t(j)] = e;
      const Vec a = from_span<double>(ei, {6}), b = from_span<double>(ej, {6});
      const double d = (f(x + a + b).item() - f(x + a - b).item() - f(x - a + b).item() + f(x - a - b).item()) / (4 * e * e);
      CHECK(h.at({i, j}) == doctest::Approx(d).epsilon(1e-5).scale(1));
    }
}

TEST_CASE("Gauss-Newton: J^T H J v") {
  Fresh fresh(3);
  const Vec w = fresh.tensor<double>({5, 4}), x = fresh.tensor<double>({4}), v = fresh.tensor<double>({4});
  const auto model = [&](const Vec& p) { return tanh(matmul(w, p)); };
  const auto loss = [](const Vec& y) { return sum(exp(y) * y); };
  const Vec j = jacobian(model)(x), h = hessian(loss)(model(x));
  CHECK(worst(ggn_vp(model, loss)(x, v), matmul(permute(j, {1, 0}), matmul(h, matmul(j, v)))) <= 1e-12);
}

// Levels that a naive implementation with one tag confuses (Siskind and Pearlmutter 2005; Manzyuk et al. 2019).
TEST_CASE("perturbation confusion: d/dx x d/dy (x + y) = 1") {
  const auto outer = [](const Vec& x) { return x * slope([&](const Vec& y) { return x + y; })(Vec(2.0)); };
  CHECK(slope(outer)(Vec(3.0)).item() == 1);
  CHECK(grad(outer)(Vec(3.0)).item() == 1);
  const auto reverse = [](const Vec& x) { return x * grad([&](const Vec& y) { return x + y; })(Vec(2.0)); };
  CHECK(slope(reverse)(Vec(3.0)).item() == 1);
  CHECK(grad(reverse)(Vec(3.0)).item() == 1);
}
TEST_CASE("perturbation confusion: d/dx x d/dy (x y) = 2 x, and a third level") {
  const auto product = [](const Vec& x) { return x * grad([&](const Vec& y) { return x * y; })(Vec(5.0)); };
  CHECK(grad(product)(Vec(3.0)).item() == 6);
  CHECK(slope(product)(Vec(3.0)).item() == 6);
  CHECK(grad(slope(product))(Vec(3.0)).item() == 2);
  // d/dx d/dy d/dz of x y z sin(x + y + z), all at the point of the outer ones.
  const auto all = grad([](const Vec& x) {
    return slope([&](const Vec& y) { return grad([&](const Vec& z) { return x * y * z * sin(x + y + z); })(Vec(0.3)); })(Vec(0.2));
  });
  const double x = 0.1, y = 0.2, z = 0.3, s = x + y + z;
  const double expected = (1 - (x * y + x * z + y * z)) * std::sin(s) + (x + y + z) * std::cos(s) - x * y * z * std::cos(s);
  CHECK(all(Vec(x)).item() == doctest::Approx(expected).epsilon(1e-13));
}
TEST_CASE("perturbation confusion: a function returned by a derivative is no derivative itself") {
  // The derivative of a curried function, used inside another derivative of the same kind (Manzyuk et al.).
  const auto shifted = [](const Vec& u) { return [u](const auto& g) { return [u, g](const Vec& x) { return g(x + u); }; }; };
  const auto shift_slope = [&](const auto& g) {
    return [&, g](const Vec& x) { return slope([&](const Vec& u) { return shifted(u)(g)(x); })(Vec(0.0)); };
  };
  const auto twice = shift_slope(shift_slope([](const Vec& x) { return exp(x); }));
  CHECK(twice(Vec(1.0)).item() == doctest::Approx(std::exp(1.0)).epsilon(1e-14));
}
TEST_CASE("the same variable at two levels") {
  const auto inner = [](const Vec& x) { return grad([&](const Vec& y) { return x * x * y * y * y; })(x); };  // 3 x^4
  CHECK(inner(Vec(2.0)).item() == 48);
  CHECK(grad(inner)(Vec(2.0)).item() == 96);
  CHECK(slope(grad(inner))(Vec(2.0)).item() == 144);
}
TEST_CASE("an inner derivative that does not depend on the outer variable is a constant") {
  const auto free = [](const Vec& x) { return x * grad([](const Vec& y) { return y * y; })(Vec(3.0)); };
  CHECK(grad(free)(Vec(1.0)).item() == 6);
  const auto none = [](const Vec& x) { return grad([&](const Vec&) { return x * x; })(Vec(3.0)); };
  CHECK(none(Vec(1.0)).item() == 0);
  CHECK(grad(none)(Vec(1.0)).item() == 0);
  CHECK(grad([](const Vec&) { return Vec(7.0); })(Vec(1.0)).item() == 0);
  CHECK(jvp([](const Vec&) { return Vec(7.0); })(Vec(1.0), Vec(1.0)).second.item() == 0);
  CHECK(hvp([](const Vec& x) { return sum(x) * 2.0; })(ones<double>({3}), ones<double>({3})).to_vector() ==
        std::vector<double>{0, 0, 0});
}

TEST_CASE("vmap between derivatives, derivatives between vmaps") {
  Fresh fresh(4);
  const Vec xs = fresh.tensor<double>({4, 6}), vs = fresh.tensor<double>({4, 6});
  const Vec h = vmap([](const Vec& x, const Vec& v) { return hvp(f)(x, v); })(xs, vs);
  for (int i = 0; i < 4; ++i) CHECK(worst(h[i], hvp(f)(xs[i], vs[i])) <= 1e-12);
  const Vec g = grad([&](const Vec& p) { return sum(vmap([](const Vec& x) { return f(x); })(p)); })(xs);
  for (int i = 0; i < 4; ++i) CHECK(worst(g[i], grad(f)(xs[i])) <= 1e-12);
  const Vec hs = vmap([](const Vec& x) { return hessian(f)(x); })(xs);
  for (int i = 0; i < 4; ++i) CHECK(worst(hs[i], hessian(f)(xs[i])) <= 1e-12);
  // The gradient of the sum of squares of all per-example gradients: 2 H g, one example at a time.
  const Vec deep = grad([&](const Vec& p) {
    const Vec each = vmap(grad(f))(p);
    return sum(each * each);
  })(xs);
  for (int i = 0; i < 4; ++i) CHECK(worst(deep[i], 2.0 * hvp(f)(xs[i], grad(f)(xs[i]))) <= 1e-11);
  // A mapped value captured by an inner derivative.
  const Vec scaled = vmap([](const Vec& x, const Vec& s) { return grad([&](const Vec& y) { return s * sum(y * y * x); })(x); })(
      xs, fresh.tensor<double>({4}) * 0.0 + 2.0);
  CHECK(worst(scaled, 4.0 * xs * xs) <= 1e-14);
}

TEST_CASE("thirty-two levels nest, the next is an Error, and the table is clean afterwards") {
  // The identity: an operation at level n costs 2^n of them.
  const auto deep = [](const auto& self, int n, const Vec& x) -> Vec {
    return n == 0 ? x : jvp([&](const Vec& y) { return self(self, n - 1, y); })(x, Vec(1.0)).first;
  };
  CHECK(deep(deep, 32, Vec(5.0)).item() == 5);
  CHECK_THROWS_WITH_AS(deep(deep, 33, Vec(5.0)), "[transform] more than 32 nested transforms", Error);
  CHECK(deep(deep, 32, Vec(5.0)).item() == 5);
}

TEST_CASE("an exception thrown by the function leaves no level open") {
  const auto broken = [](const Vec& x) -> Vec {
    if (x.numel() == 3) throw 7;
    return sum(x);
  };
  for (int i = 0; i < 100; ++i) {
    CHECK_THROWS_AS(grad(broken)(ones<double>({3})), int);
    CHECK_THROWS_AS(grad([&](const Vec& p) { return sum(hvp(broken)(p, p)); })(ones<double>({3})), int);
    CHECK_THROWS_AS(vmap(broken)(ones<double>({2, 3})), int);
  }
  CHECK(detail::levels.depth == 0);
  CHECK(grad(broken)(ones<double>({2})).to_vector() == std::vector<double>{1, 1});
}

// A partial that reads fewer operands than the operation has is one of a mapped tensor all the same: `where` under a
// vmap between two gradients, its condition not mapped.
TEST_CASE("grad of vmap of grad, through partials that ignore a mapped operand") {
  Fresh fresh(31);
  const Vec xs = fresh.tensor<double>({2}, 0.5, 1.5), c = fresh.tensor<double>({}, 0.5, 1.5);
  const auto inner = [](const Vec& p, const Vec& x) { return sum(where(p > 0.0, x * p * p, x)); };  // x p^2
  const auto outer = [&](const Vec& all) {
    return sum(vmap([&](const Vec& x) { return grad([&](const Vec& p) { return inner(p, x); })(c); })(all) * all);
  };
  const auto g = grad(outer)(xs).to_vector();  // of 2 c x^2
  for (int i = 0; i < 2; ++i) CHECK(std::fabs(g[std::size_t(i)] - 4 * c.item() * xs.to_vector()[std::size_t(i)]) < 1e-12);
  const auto quotient = [&](const Vec& all) {
    return sum(vmap([&](const Vec& x) {
      return jvp([&](const Vec& p) { return x / p; })(c, c).second;  // -x / c
    })(all));
  };
  const auto q = grad(quotient)(xs).to_vector();
  for (const double v : q) CHECK(std::fabs(v + 1 / c.item()) < 1e-12);
}

TEST_CASE("pow: the slope in x is 0 at y = 0, its own slope in y is 1 / x") {
  const Vec x(0.5), zero(0.0);
  const auto in_x = [&](const Vec& y) { return grad([&](const Vec& a) { return pow(a, y); })(x); };
  const auto in_y = [&](const Vec& a) { return grad([&](const Vec& y) { return pow(a, y); })(zero); };
  CHECK(in_x(zero).item() == 0);
  CHECK(grad(in_x)(zero).item() == doctest::Approx(2));
  CHECK(slope(in_x)(zero).item() == doctest::Approx(2));
  CHECK(grad(in_y)(x).item() == doctest::Approx(2));
  CHECK(grad([&](const Vec& a) { return pow(a, zero); })(zero).item() == 0);
}

}  // namespace autograd_nesting_test
