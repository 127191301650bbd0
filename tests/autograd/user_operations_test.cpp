// The four kinds of operation as a user writes them, in a file of their own and outside of namespace ergo; every order,
// every mode, and the mistakes that must be loud.
#include <array>
#include <cmath>
#include <cstdint>
#include <functional>
#include <tuple>
#include <vector>

#include <doctest/doctest.h>

#include "ergo/autograd/check_grads.hpp"
#include "ergo/autograd/fused_op.hpp"
#include "ergo/autograd/linear_op.hpp"
#include "ergo/autograd/pointwise_op.hpp"
#include "ergo/autograd/curvature.hpp"
#include "ergo/ops/arithmetic.hpp"
#include "ergo/ops/exponential.hpp"
#include "ergo/ops/reduction.hpp"
#include "support/fresh.hpp"
#include "support/message.hpp"

namespace autograd_user_operations_test {

namespace mine {

using ergo::Shape;
using ergo::Tensor;
using ergo::Uses;

// Pointwise: 1 / (1 + x^2), in terms of input and output.
struct Bell {
  static constexpr auto name = "bell";
  template <class A>
  static constexpr A value(const A& x) {
    return A(1) / (A(1) + x * x);
  }
  template <int, class A>
  static constexpr A partial(const A& y, const A& x) {
    return A(-2) * x * y * y;
  }
};
// Pointwise of two, with partials of the short forms: x y^2.
struct TimesSquare {
  static constexpr auto name = "times_square";
  static constexpr Uses uses = Uses::inputs;
  template <class A>
  static constexpr A value(const A& x, const A& y) {
    return x * y * y;
  }
  template <int I, class A>
  static constexpr A partial(const A&, const A& x, const A& y) {
    if constexpr (I == 0)
      return y * y;
    else
      return A(2) * x * y;
  }
};
// Linear: differences of neighbours along the last axis, its transpose written out. Any leading axes.
struct Difference {
  static constexpr auto name = "difference";
  static constexpr int core[] = {1};
  Tensor<double> value(const Tensor<double>& x) const {
    const auto n = x.shape()[-1];
    return slice_last(x, 1, n) - slice_last(x, 0, n - 1);
  }
  Tensor<double> transpose(const Tensor<double>& g, const Shape&) const { return linear_op(Spread{}, g); }

  static Tensor<double> slice_last(const Tensor<double>& x, std::int64_t begin, std::int64_t end) {
    ergo::detail::Array* in[] = {&x.array()};
    return Tensor<double>(ergo::detail::dispatch1(ergo::detail::SliceOp(1, begin, end - begin, 1, false), in));
  }
  struct Spread {  // y_0 = -g_0, y_i = g_{i-1} - g_i, y_n = g_{n-1}
    static constexpr auto name = "difference";
    static constexpr int core[] = {1};
    Tensor<double> value(const Tensor<double>& g) const {
      Shape s = g.shape();
      const std::int64_t n = s[-1];
      s[-1] = n + 1;
      const auto from = g.to_vector();
      std::vector<double> y(std::size_t(s.numel()));
      for (std::int64_t row = 0; row < s.first(s.rank() - 1).numel(); ++row)
        for (std::int64_t i = 0; i < n; ++i) {
          y[std::size_t(row * (n + 1) + i)] -= from[std::size_t(row * n + i)];
          y[std::size_t(row * (n + 1) + i + 1)] += from[std::size_t(row * n + i)];
        }
      return ergo::from_span<double>(y, s);
    }
    Tensor<double> transpose(const Tensor<double>& g, const Shape&) const { return linear_op(Difference{}, g); }
  };
};
// Linear with a parameter: x scaled by whole numbers, row by row.
struct ScaleBy {
  static constexpr auto name = "scale_by";
  Tensor<double> value(const Tensor<double>& x, const Tensor<std::int32_t>& n) const { return x * ergo::cast<double>(n); }
  Tensor<double> transpose(const Tensor<double>& g, const Shape&, const Tensor<std::int32_t>& n) const { return linear_op(*this, g, n); }
};
// Bilinear: the convolution of two vectors around a circle.
struct Circular {
  static constexpr auto name = "circular";
  static constexpr int core[] = {1, 1};
  int sign = 1;  // -1: correlation
  Tensor<double> value(const Tensor<double>& a, const Tensor<double>& b) const {
    Shape lead = a.shape().first(a.rank() - 1);
    ergo::detail::broadcast(lead, b.shape().first(b.rank() - 1));
    const std::int64_t n = a.shape()[-1];
    const Shape s = lead + Shape{n};
    const auto x = Tensor<double>(ergo::detail::broadcast_to(a.ref(), s)).to_vector();
    const auto z = Tensor<double>(ergo::detail::broadcast_to(b.ref(), s)).to_vector();
    std::vector<double> y(x.size());
    for (std::int64_t row = 0; row < lead.numel(); ++row)
      for (std::int64_t i = 0; i < n; ++i)
        for (std::int64_t j = 0; j < n; ++j)
          y[std::size_t(row * n + (sign > 0 ? (i + j) % n : (j - i + n) % n))] += x[std::size_t(row * n + i)] * z[std::size_t(row * n + j)];
    return ergo::from_span<double>(y, s);
  }
  // Convolution: both are correlations of the other factor with g. Correlation c(a, b): of a, c(b... ) by reversal.
  template <int I>
  Tensor<double> transpose(const Tensor<double>& g, const Tensor<double>& other, const Shape&) const {
    if (sign > 0) return bilinear_op(Circular{-1}, other, g);
    if constexpr (I == 0)
      return bilinear_op(Circular{-1}, g, other);
    else
      return bilinear_op(Circular{1}, other, g);
  }
};
// Fused: log(1 + sum x^2) over the last axis, with a residual, a vjp that is fused again, and its definition.
struct LogEnergyGrad;
struct LogEnergy {
  static constexpr auto name = "log_energy";
  static constexpr int core[] = {1};
  static constexpr bool has_vjp = true;
  std::tuple<Tensor<double>, Tensor<double>> cpu(const Tensor<double>& x) const {  // y, and the energies
    const Tensor<double> e = ergo::sum(x * x, -1);
    return {ergo::log(1.0 + e), e};
  }
  Tensor<double> definition(const Tensor<double>& x) const { return ergo::log(1.0 + ergo::sum(x * x, -1)); }
  Tensor<double> vjp(const Tensor<double>& g, const std::tuple<Tensor<double>, Tensor<double>>& y, const Tensor<double>& x) const;
};
struct LogEnergyGrad {
  static constexpr auto name = "log_energy_grad";
  static constexpr int core[] = {0, 0, 1};
  static inline int calls = 0;
  Tensor<double> cpu(const Tensor<double>& g, const Tensor<double>& energy, const Tensor<double>& x) const {
    ++calls;
    return scaled(2.0 * g / (1.0 + energy), x);
  }
  Tensor<double> definition(const Tensor<double>& g, const Tensor<double>&, const Tensor<double>& x) const {
    return scaled(2.0 * g / (1.0 + ergo::sum(x * x, -1)), x);  // from the inputs, not from the residual
  }
  static Tensor<double> scaled(const Tensor<double>& s, const Tensor<double>& x) {
    return Tensor<double>(ergo::detail::reshape(s.ref(), s.shape() + Shape{1})) * x;
  }
};
inline Tensor<double> LogEnergy::vjp(const Tensor<double>& g, const std::tuple<Tensor<double>, Tensor<double>>& y,
                                     const Tensor<double>& x) const {
  const Tensor<double>& energy = std::get<1>(y);
  if (!energy.defined()) return LogEnergyGrad{}.definition(g, energy, x);  // forward mode below: a definition ran
  return fused_op(LogEnergyGrad{}, g, energy, x);
}
// Fused without a vjp: its definition serves.
struct Affine2 {
  static constexpr auto name = "affine2";
  Tensor<double> cpu(const Tensor<double>& x, const Tensor<double>& y) const { return x * y + x; }
  Tensor<double> definition(const Tensor<double>& x, const Tensor<double>& y) const { return x * y + x; }
};

// Mistakes.
struct WrongRule : Bell {
  template <int, class A>
  static constexpr A partial(const A& y, const A& x) {
    return A(-1.9) * x * y * y;
  }
};
struct WrongUses : Bell {  // reads x and y, keeps neither
  static constexpr Uses uses = Uses::nothing;
};
struct WrongTranspose {
  static constexpr auto name = "wrong_transpose";
  Tensor<double> value(const Tensor<double>& x) const { return x * 2.0; }
  Tensor<double> transpose(const Tensor<double>& g, const Shape&) const { return g * 3.0; }
};
struct ForgetfulFused {
  static constexpr auto name = "forgetful";
  static constexpr Uses uses = Uses::nothing;
  static constexpr bool has_vjp = true;
  Tensor<double> cpu(const Tensor<double>& x) const { return ergo::exp(x); }
  Tensor<double> definition(const Tensor<double>& x) const { return ergo::exp(x); }
  Tensor<double> vjp(const Tensor<double>& g, const Tensor<double>& y, const Tensor<double>&) const { return g * y; }
};

}  // namespace mine

using namespace ergo;
using Vec = Tensor<double>;

namespace {

const auto bell = [](const Vec& x) { return pointwise_op(mine::Bell{}, x); };
const auto difference = [](const Vec& x) { return linear_op(mine::Difference{}, x); };
const auto circular = [](const Vec& a, const Vec& b) { return bilinear_op(mine::Circular{}, a, b); };
const auto log_energy = [](const Vec& x) { return fused_op(mine::LogEnergy{}, x); };

// v with further axes of extent 1.
Vec reshape_to(const Vec& v, int trailing) {
  Shape s = v.shape();
  for (int i = 0; i < trailing; ++i) s.push(1);
  return Vec(detail::reshape(v.ref(), s));
}
// A user's operation, and the same in the library's: every mode and order to 3 must agree.
using Function = std::function<Vec(const Vec&)>;  // erased, so that all of this is compiled once
void same_derivatives(const Function& f, const Function& g, const Vec& x, const Vec& u) {
  const CloseOptions tight{.rtol = 1e-11, .atol = 1e-12};
  const auto scalar = [](const Function& h) { return [&h](const Vec& p) { return sum(h(p) * h(p)); }; };
  const auto third = [&](const Function& h) { return grad([&](const Vec& p) { return sum(hvp(scalar(h))(p, u) * u); })(x); };
  const auto all_forward = [&](const Function& h) {
    return jvp([&](const Vec& p) { return jvp([&](const Vec& q) { return jvp(scalar(h))(q, u).second; })(p, u).second; })(x, u).second;
  };
  CHECK(allclose(f(x), g(x), tight));
  CHECK(allclose(jvp(f)(x, u).second, jvp(g)(x, u).second, tight));
  CHECK(allclose(grad(scalar(f))(x), grad(scalar(g))(x), tight));
  CHECK(allclose(hvp(scalar(f))(x, u), hvp(scalar(g))(x, u), tight));
  CHECK(allclose(grad([&](const Vec& p) { return sum(grad(scalar(f))(p) * u); })(x), hvp(scalar(g))(x, u), tight));
  CHECK(allclose(third(f), third(g), {.rtol = 1e-9, .atol = 1e-10}));
  CHECK(allclose(all_forward(f), all_forward(g), {.rtol = 1e-9, .atol = 1e-10}));
  const Vec xs(detail::broadcast_to(x.ref(), Shape{3} + x.shape()));
  const Vec scales = reshape_to(tensor<double>({1, 2, -1}), x.rank());
  CHECK(allclose(vmap(grad(scalar(f)))(xs * scales), vmap(grad(scalar(g)))(xs * scales), tight));
  for (int i = 0; i < 3; ++i) CHECK(allclose(vmap(f)(xs * scales)[i], f((xs * scales)[i]), tight));
}

}  // namespace

TEST_CASE("a pointwise operation") {
  Fresh fresh;
  const auto plain = [](const Vec& x) { return 1.0 / (1.0 + x * x); };
  same_derivatives(bell, plain, fresh.tensor<double>({2, 5}), fresh.tensor<double>({2, 5}));
  const auto ours = [](const Vec& x) { return pointwise_op(mine::TimesSquare{}, x, x + 1.0); };
  const auto theirs = [](const Vec& x) { return x * (x + 1.0) * (x + 1.0); };
  same_derivatives(ours, theirs, fresh.tensor<double>({4}), fresh.tensor<double>({4}));
  CHECK(pointwise_op(mine::Bell{}, tensor<half>({1, 2})).to_vector() == std::vector<half>{half(0.5), half(0.2)});
  CHECK(message_of([] { return pointwise_op(mine::TimesSquare{}, ones<double>({2}), ones<double>({3})); }) ==
        "[times_square] (2,) x (3,): shapes do not broadcast");
}

TEST_CASE("a linear operation, and one with a parameter") {
  Fresh fresh(1);
  const auto plain = [](const Vec& x) {
    const auto n = x.shape()[-1];
    return mine::Difference::slice_last(x, 1, n) - mine::Difference::slice_last(x, 0, n - 1);
  };
  same_derivatives(difference, plain, fresh.tensor<double>({3, 6}), fresh.tensor<double>({3, 6}));
  CHECK(difference(tensor<double>({1, 4, 9})).to_vector() == std::vector<double>{3, 5});
  const auto n = tensor<std::int32_t>({2, 0, -1});
  const auto scaled = [&](const Vec& x) { return linear_op(mine::ScaleBy{}, x, n); };
  const auto by_hand = [&](const Vec& x) { return x * cast<double>(n); };
  same_derivatives(scaled, by_hand, fresh.tensor<double>({2, 3}), fresh.tensor<double>({2, 3}));
  const auto ns = tensor<std::int32_t>({{1, 2, 3}, {4, 5, 6}});  // the parameter mapped as well
  const Vec x = fresh.tensor<double>({2, 3});
  CHECK(array_equal(vmap([](const Vec& a, const Tensor<std::int32_t>& m) { return linear_op(mine::ScaleBy{}, a, m); })(x, ns),
                    x * cast<double>(ns)));
}

TEST_CASE("a bilinear operation") {
  Fresh fresh(2);
  const Vec x = fresh.tensor<double>({5}), u = fresh.tensor<double>({5}), c = fresh.tensor<double>({5});
  // As a product with the circulant matrix, rank by rank.
  std::vector<double> one_hot(5 * 5 * 5);
  for (int i = 0; i < 5; ++i)
    for (int j = 0; j < 5; ++j) one_hot[std::size_t((i * 5 + j) * 5 + (i + j) % 5)] = 1;
  const Vec table = from_span<double>(one_hot, {5, 5, 5});
  const auto by_table = [&](const Vec& a, const Vec& b) {
    const Vec outer = Vec(detail::reshape(a.ref(), {5, 1, 1})) * Vec(detail::reshape(b.ref(), {5, 1}));
    return sum(outer * table, {0, 1});
  };
  same_derivatives([&](const Vec& a) { return circular(a, c); }, [&](const Vec& a) { return by_table(a, c); }, x, u);
  same_derivatives([&](const Vec& a) { return circular(c, a); }, [&](const Vec& a) { return by_table(c, a); }, x, u);
  same_derivatives([&](const Vec& a) { return circular(a, a); }, [&](const Vec& a) { return by_table(a, a); }, x, u);
}

TEST_CASE("a fused operation with a residual and a fused vjp, and one without a vjp") {
  Fresh fresh(3);
  const auto plain = [](const Vec& x) { return log(1.0 + sum(x * x, -1)); };
  same_derivatives(log_energy, plain, fresh.tensor<double>({3, 4}), fresh.tensor<double>({3, 4}));
  mine::LogEnergyGrad::calls = 0;
  grad([](const Vec& x) { return sum(log_energy(x)); })(fresh.tensor<double>({3, 4}));
  CHECK(mine::LogEnergyGrad::calls == 1);  // the fast path at first order
  const Vec y = fresh.tensor<double>({4});
  same_derivatives([&](const Vec& x) { return fused_op(mine::Affine2{}, x, y); }, [&](const Vec& x) { return x * y + x; },
                   fresh.tensor<double>({4}), fresh.tensor<double>({4}));
}

TEST_CASE("check_grads accepts right rules of every kind") {
  Fresh fresh(4);
  const Vec x = fresh.tensor<double>({2, 5});
  CHECK_NOTHROW(check_grads(bell, x));
  CHECK_NOTHROW(check_grads(difference, x));
  CHECK_NOTHROW(check_grads([&](const Vec& p) { return circular(p, p); }, x));
  CHECK_NOTHROW(check_grads(log_energy, x));
  CHECK_NOTHROW(check_grads([](const std::pair<Vec, Vec>& p) { return sum(exp(p.first) * p.second); }, std::pair{x, x}));
  CHECK_NOTHROW(check_grads([](const Tensor<float>& p) { return sum(exp(p) * p); }, fresh.tensor<float>({4})));
  CHECK_NOTHROW(check_grads(bell, x, {.order = 1}));
}

TEST_CASE("check_grads catches a wrong partial, a wrong transpose, a derivative that is cut off") {
  Fresh fresh(5);
  const Vec x = fresh.tensor<double>({3}, 0.5, 1.5);
  CHECK(message_of([&] { check_grads([](const Vec& p) { return pointwise_op(mine::WrongRule{}, p); }, x); })
            .starts_with("[check_grads] first order, reverse mode and differences: "));
  CHECK(message_of([&] { check_grads([](const Vec& p) { return linear_op(mine::WrongTranspose{}, p); }, x); })
            .starts_with("[check_grads] first order, forward and reverse mode: "));
  CHECK(message_of([&] { check_grads([](const Vec& p) { return p * stop_gradient(p); }, x); })
            .starts_with("[check_grads] first order, reverse mode and differences: "));
  // Right at first order, wrong at second: the slope is computed from a stopped value.
  CHECK(message_of([&] { check_grads([](const Vec& p) { return stop_gradient(p * p) + (p - stop_gradient(p)) * stop_gradient(2.0 * p); }, x); })
            .starts_with("[check_grads] second order, reverse over reverse and differences of gradients: "));
  CHECK(message_of([&] { check_grads(bell, x, {.order = 3}); }) == "[check_grads] order 3 is neither 1 nor 2");
}

TEST_CASE("a wrong `uses` is loud: NaN in loops, an Error on tensors") {
  const Vec x = tensor<double>({0.5, 2});
  const auto wrong = [](const Vec& p) { return sum(pointwise_op(mine::WrongUses{}, p)); };
  const Vec g = grad(wrong)(x);
  CHECK(std::isnan(g.at({0})));
  CHECK(std::isnan(g.at({1})));
  CHECK(std::isnan(value_and_grad([&](const Vec& p) { return sum(grad(wrong)(p)); })(x).first.item()));
  const auto inside = [&](const Vec& p) { return sum(p * pointwise_op(mine::WrongUses{}, p)); };
  CHECK_THROWS_AS(hvp(inside)(x, x), Error);
  CHECK(message_of([&] { return grad([](const Vec& p) { return sum(fused_op(mine::ForgetfulFused{}, p)); })(x); }) ==
        "[tensor] this tensor is empty: default-constructed, moved from, or a value that `uses` did not keep");
  CHECK(message_of([&] { check_grads([](const Vec& p) { return pointwise_op(mine::WrongUses{}, p); }, x); })
            .starts_with("[check_grads] first order, forward and reverse mode: "));
}

}  // namespace autograd_user_operations_test
