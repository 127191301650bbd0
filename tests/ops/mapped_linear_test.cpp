// linear under vmap with every subset of its operands mapped: gradients of the mapped program equal a loop's. And two
// corners of pow and leaky_relu.
#include <doctest/doctest.h>

#include "ergo/autograd/curvature.hpp"
#include "ergo/ops/joining.hpp"
#include "ergo/ops/matmul.hpp"
#include "ergo/ops/reduction.hpp"
#include "support/fresh.hpp"

namespace ops_mapped_linear_test {

using namespace ergo;
using D = Tensor<double>;
using Three = std::tuple<D, D, D>;

TEST_CASE("grad of vmap of linear, every subset of operands mapped") {
  Fresh fresh(1);
  for (int mapped = 1; mapped < 8; ++mapped) {
    const auto lead = [&](int bit, Shape s) { return mapped >> bit & 1 ? Shape{3} + s : s; };
    const Three all{fresh.tensor<double>(lead(0, {4, 2})), fresh.tensor<double>(lead(1, {2, 5})),
                    fresh.tensor<double>(lead(2, {5}))};
    const D weights = fresh.tensor<double>({3, 4, 5});
    const auto one = [](const D& t, int i, bool is_mapped) { return is_mapped ? t[i] : t; };
    const auto looped = [&](const Three& p) {
      std::vector<D> y;
      for (int i = 0; i < 3; ++i)
        y.push_back(linear(one(std::get<0>(p), i, mapped & 1), one(std::get<1>(p), i, mapped & 2),
                           one(std::get<2>(p), i, mapped & 4)));
      const D s = stack(y);
      return sum(s * s * weights);
    };
    const auto batched = [&](const Three& p) {
      const D index = tensor<double>({0, 0, 0});
      const auto call = [&](auto... which) {
        return vmap([&](const D&, const auto&... m) {
          const D* given[] = {&m...};
          int k = 0;
          const D& x = mapped & 1 ? *given[k++] : std::get<0>(p);
          const D& w = mapped & 2 ? *given[k++] : std::get<1>(p);
          const D& b = mapped & 4 ? *given[k++] : std::get<2>(p);
          return linear(x, w, b);
        })(index, which...);
      };
      std::vector<D> m;
      if (mapped & 1) m.push_back(std::get<0>(p));
      if (mapped & 2) m.push_back(std::get<1>(p));
      if (mapped & 4) m.push_back(std::get<2>(p));
      const D s = m.size() == 1 ? call(m[0]) : m.size() == 2 ? call(m[0], m[1]) : call(m[0], m[1], m[2]);
      return sum(s * s * weights);
    };
    CAPTURE(mapped);
    CHECK(batched(all).item() == doctest::Approx(looped(all).item()).epsilon(1e-13));
    const CloseOptions tight{.rtol = 1e-12, .atol = 1e-12};
    const Three a = grad(batched)(all), b = grad(looped)(all), ha = hvp(batched)(all, a), hb = hvp(looped)(all, a);
    CHECK(allclose(std::get<0>(a), std::get<0>(b), tight));
    CHECK(allclose(std::get<1>(a), std::get<1>(b), tight));
    CHECK(allclose(std::get<2>(a), std::get<2>(b), tight));
    CHECK(allclose(std::get<0>(ha), std::get<0>(hb), {.rtol = 1e-10, .atol = 1e-10}));
    CHECK(allclose(std::get<1>(ha), std::get<1>(hb), {.rtol = 1e-10, .atol = 1e-10}));
    CHECK(allclose(std::get<2>(ha), std::get<2>(hb), {.rtol = 1e-10, .atol = 1e-10}));
  }
}

TEST_CASE("integral powers have all their derivatives at 0") {
  const auto d = [](auto f) { return grad(f); };
  for (int n = 0; n < 4; ++n) {
    const auto f = [n](const D& x) { return pow(x, double(n)); };
    CHECK(d(f)(D(0.0)).item() == (n == 1));
    CHECK(d(d(f))(D(0.0)).item() == (n == 2 ? 2 : 0));
    CHECK(d(d(d(f)))(D(0.0)).item() == (n == 3 ? 6 : 0));
    CHECK(d(d(d(d(f))))(D(0.0)).item() == 0);
  }
  const D h = hessian([](const D& x) { return sum(pow(x, tensor<double>({0, 1, 2, 3}))); })(zeros<double>({4}));
  for (int i = 0; i < 4; ++i)
    for (int j = 0; j < 4; ++j) CHECK(h.at({i, j}) == (i == 2 && j == 2 ? 2 : 0));
}

TEST_CASE("the slope of leaky_relu is 0.01 in double too") {
  CHECK(leaky_relu(D(-1.0)).item() == -0.01);
  CHECK(leaky_relu(Tensor<float>(-1.0f)).item() == -0.01f);
}

}  // namespace ops_mapped_linear_test
