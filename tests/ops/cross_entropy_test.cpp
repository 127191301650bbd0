// Corners of cross_entropy, mse and accuracy: extreme logits, ignored rows, options, transforms around it, messages.
#include <doctest/doctest.h>

#include <cmath>

#include "ergo/autograd/curvature.hpp"
#include "ergo/ops/cross_entropy.hpp"
#include "support/fresh.hpp"
#include "support/isas.hpp"
#include "support/message.hpp"

namespace ops_cross_entropy_test {

using namespace ergo;

namespace {

template <class T>
std::vector<T> values(const Tensor<T>& x) {
  return x.to_vector();
}
Tensor<std::int32_t> draw_labels(Fresh& fresh, std::int64_t rows, std::int64_t classes) {
  return fresh.tensor<std::int32_t>({rows}, 0, double(classes));
}

}  // namespace

TEST_CASE("loss and gradient of rows of any length, also at +-1e4") {
  Fresh fresh(1);
  on_each_isa([&] {
    for (const std::int64_t n : {1, 2, 3, 5, 8, 10, 16, 17, 33, 64, 100, 1000, 1023, 2048, 2500, 5000})
      for (const double offset : {0.0, 1e4, -1e4}) {
        const std::int64_t rows = fresh.integer(1, 80);
        const auto x = fresh.tensor<float>({rows, n}, offset - 8, offset + 8);
        const auto labels = draw_labels(fresh, rows, n);
        const auto [loss, g] = value_and_grad([&](const Tensor<float>& p) { return cross_entropy(p, labels); })(x);
        const float plain = cross_entropy(x, labels).item();
        const auto v = x.to_vector(), dx = g.to_vector();
        const auto y = labels.to_vector();
        long double want = 0;
        double worst = 0;
        for (std::int64_t r = 0; r < rows; ++r) {
          long double top = -1e30L, sum = 0;
          for (std::int64_t k = 0; k < n; ++k) top = std::max<long double>(top, v[std::size_t(r * n + k)]);
          for (std::int64_t k = 0; k < n; ++k) sum += std::exp(v[std::size_t(r * n + k)] - top);
          want += (top + std::log(sum) - v[std::size_t(r * n + y[std::size_t(r)])]) / rows;
          for (std::int64_t k = 0; k < n; ++k) {
            const long double slope =
                (std::exp(v[std::size_t(r * n + k)] - top) / sum - (k == y[std::size_t(r)] ? 1 : 0)) / rows;
            worst = std::max(worst, double(std::abs(slope - dx[std::size_t(r * n + k)])) * double(rows));
          }
        }
        CAPTURE(n);
        CHECK(std::abs(double(plain - want)) <= 1e-5);
        CHECK(loss.item() == doctest::Approx(double(plain)).epsilon(1e-6));
        CHECK(worst <= 1e-6);
      }
  });
}

TEST_CASE("ignored rows add nothing: not to the loss, nor to any derivative, whatever stands in them") {
  const auto x = tensor<double>({{1, 2, 3}, {NAN, 1e300, -INFINITY}, {0, 0, 1}});
  const auto labels = tensor<std::int64_t>({2, -1, 0});
  const auto counted = tensor<double>({{1, 2, 3}, {0, 0, 1}});
  const auto kept = tensor<std::int64_t>({2, 0});
  const auto f = [&](const Tensor<double>& p) { return cross_entropy(p, labels, {.ignore_label = -1}); };
  const auto g = [&](const Tensor<double>& p) { return cross_entropy(p, kept); };
  CHECK(f(x).item() == doctest::Approx(g(counted).item()));
  const auto a = grad(f)(x).to_vector(), b = grad(g)(counted).to_vector();
  for (int k = 0; k < 3; ++k) {
    CHECK(a[std::size_t(k)] == doctest::Approx(b[std::size_t(k)]));
    CHECK(a[std::size_t(3 + k)] == 0);
    CHECK(a[std::size_t(6 + k)] == doctest::Approx(b[std::size_t(3 + k)]));
  }
  CHECK(values(cross_entropy(x, labels, {.reduction = Reduction::none, .ignore_label = -1}))[1] == 0);
  const auto finite = tensor<double>({{1, 2, 3}, {4, -4, 0}, {0, 0, 1}});
  const auto h = hvp(f)(finite, ones<double>({3, 3}) * finite).to_vector();
  for (int k = 3; k < 6; ++k) CHECK(h[std::size_t(k)] == 0);
  const auto none = tensor<std::int64_t>({7, 7, 7});
  const auto all = [&](const Tensor<double>& p) { return cross_entropy(p, none, {.ignore_label = 7}); };
  CHECK(std::isnan(all(finite).item()));
  CHECK(values(grad(all)(finite)) == std::vector<double>(9, 0.0));
  CHECK(values(hvp(all)(finite, finite)) == std::vector<double>(9, 0.0));
}

TEST_CASE("impossible and certain classes") {
  const auto x = tensor<double>({{0, -INFINITY, 1}});
  CHECK(cross_entropy(x, tensor<std::int32_t>({1})).item() == INFINITY);
  CHECK(cross_entropy(x, tensor<std::int32_t>({2})).item() == doctest::Approx(std::log(1 + std::exp(-1.0))));
  const auto g =
      grad([](const Tensor<double>& p) { return cross_entropy(p, tensor<std::int32_t>({2})); })(x).to_vector();
  CHECK(g[1] == 0);
  CHECK(g[0] == doctest::Approx(1 / (1 + std::exp(1.0))));
  const auto sure = tensor<double>({{0, INFINITY, 1}});
  CHECK(cross_entropy(sure, tensor<std::int32_t>({1})).item() == 0);
  CHECK(cross_entropy(sure, tensor<std::int32_t>({0})).item() == INFINITY);
  // A probability of 0 on an impossible class costs nothing.
  CHECK(cross_entropy(x, tensor<double>({{0.5, 0, 0.5}})).item() ==
        doctest::Approx(0.5 * std::log(1 + M_E) + 0.5 * std::log(1 + 1 / M_E)));
}

TEST_CASE("label dtypes, ranks, options") {
  Fresh fresh(2);
  const auto x = fresh.tensor<double>({2, 3, 4});
  const auto y = tensor<std::int64_t>({{0, 3, 1}, {2, 2, 0}});
  const double loss = cross_entropy(x, y).item();
  CHECK(cross_entropy(x, cast<std::uint8_t>(y)).item() == loss);
  CHECK(cross_entropy(x, cast<std::int32_t>(y)).item() == loss);
  CHECK(cross_entropy(x[0][0], Tensor<std::int32_t>(0)).shape() == Shape{});
  std::vector<double> hot(24, 0.0);
  for (std::size_t r = 0; r < 6; ++r) hot[r * 4 + std::size_t(y.to_vector()[r])] = 1;
  const auto p = from_span<double>(hot, {2, 3, 4});
  CHECK(cross_entropy(x, p).item() == doctest::Approx(loss));
  CHECK(cross_entropy(x, p, {.label_smoothing = 0.3}).item() ==
        doctest::Approx(cross_entropy(x, y, {.label_smoothing = 0.3}).item()));
  const auto w = tensor<double>({1, 2, 3, 4});
  CHECK(cross_entropy(x, p, {.reduction = Reduction::sum, .weight = w}).item() ==
        doctest::Approx(cross_entropy(x, y, {.reduction = Reduction::sum, .weight = w}).item()));
  CHECK(std::isnan(cross_entropy(zeros<float>({0, 3}), zeros<std::int32_t>({0})).item()));
  CHECK(cross_entropy(zeros<float>({0, 3}), zeros<std::int32_t>({0}), {.reduction = Reduction::sum}).item() == 0);
  const auto h = cross_entropy(cast<half>(x), y);
  CHECK(double(float(h.item())) == doctest::Approx(loss).epsilon(2e-3));
  CHECK(float(grad([&](const Tensor<bfloat16>& z) { return cross_entropy(z, y); })(cast<bfloat16>(x)).at({0, 0, 0})) <
        0);
}

TEST_CASE("cross_entropy inside vmap, around it, and scaled") {
  Fresh fresh(3);
  const auto x = fresh.tensor<double>({5, 3, 4});
  const auto y = fresh.tensor<std::int32_t>({5, 3}, 0, 4);
  const auto w = fresh.tensor<double>({5, 4}, 0.5, 2);
  for (const Reduction reduction : {Reduction::mean, Reduction::sum, Reduction::none}) {
    const auto one = [&](const Tensor<double>& logits, const Tensor<std::int32_t>& labels,
                         const Tensor<double>& weight) {
      return sum(cross_entropy(logits, labels, {.reduction = reduction, .label_smoothing = 0.1, .weight = weight}));
    };
    const auto each = vmap(grad(one))(x, y, w);
    const auto around = grad([&](const Tensor<double>& p) { return 2.0 * sum(vmap(one)(p, y, w)); })(x);
    const auto outer = grad([&](const Tensor<double>& p) { return sum(square(vmap(grad(one))(p, y, w))); })(x);
    for (int i = 0; i < 5; ++i) {
      const auto alone = [&](const Tensor<double>& p) { return one(p, y[i], w[i]); };
      CHECK(allclose(each[i], grad(alone)(x[i]), {.rtol = 1e-12, .atol = 1e-13}));
      CHECK(allclose(around[i], 2.0 * grad(alone)(x[i]), {.rtol = 1e-12, .atol = 1e-13}));
      CHECK(allclose(outer[i], grad([&](const Tensor<double>& p) { return sum(square(grad(alone)(p))); })(x[i]),
                     {.rtol = 1e-11, .atol = 1e-12}));
    }
    const auto labels_only = vmap([&](const Tensor<std::int32_t>& labels) { return one(x[0], labels, w[0]); })(y);
    for (int i = 0; i < 5; ++i)
      CHECK(labels_only.at({i}) == doctest::Approx(one(x[0], y[i], w[0]).item()).epsilon(1e-12));
  }
}

TEST_CASE("mse and accuracy") {
  const auto a = tensor<float>({1, 2, 4}), b = tensor<float>({1, 0, 0});
  CHECK(mse(a, b).item() == doctest::Approx(20.0 / 3));
  CHECK(mse(a, b, {.reduction = Reduction::sum}).item() == 20);
  CHECK(values(mse(a, b, {.reduction = Reduction::none})) == std::vector<float>{0, 4, 16});
  CHECK(float(mse(full<half>({300}, 30.0f), full<half>({300}, 10.0f)).item()) == 400);
  CHECK(std::isnan(mse(zeros<float>({0}), zeros<float>({0})).item()));
  const auto logits = tensor<float>({{1, 3, 2}, {5, 1, 1}, {0, 0, 0}, {1, 2, 9}});
  CHECK(accuracy(logits, tensor<std::int32_t>({1, 0, 2, 2})).item() == 0.75f);
  CHECK(accuracy(logits, tensor<std::int64_t>({1, -1, 2, 2}), {.ignore_label = -1}).item() == float(2.0 / 3));
  CHECK(std::isnan(accuracy(zeros<float>({0, 3}), zeros<std::uint8_t>({0})).item()));
  const auto many = vmap([](const Tensor<float>& l, const Tensor<std::int32_t>& y) { return accuracy(l, y); })(
      tensor<float>({{{1, 2}, {2, 1}}, {{1, 2}, {3, 4}}}), tensor<std::int32_t>({{1, 0}, {0, 1}}));
  CHECK(values(many) == std::vector<float>{1, 0.5f});
}

TEST_CASE("what the losses refuse") {
  const auto x = zeros<float>({4, 3});
  CHECK(message_of([&] {
          cross_entropy(x, zeros<std::int32_t>({4, 1}));
        }) == "[cross_entropy] (4, 3) x (4, 1): labels must have the shape (4,) of logits without the classes");
  CHECK(message_of([&] { cross_entropy(x, zeros<float>({4})); }) ==
        "[cross_entropy] (4, 3) x (4,): probabilities must have the shape of the logits");
  CHECK(message_of([&] {
          cross_entropy(x, tensor<std::int32_t>({0, 3, 1, 2}));
        }) == "[cross_entropy] labels (4,), logits (4, 3): label 3 at (1,) is not in [0, 3)");
  CHECK(message_of([&] {
          cross_entropy(x, tensor<std::int64_t>({0, 1, -1, 2}));
        }) == "[cross_entropy] labels (4,), logits (4, 3): label -1 at (2,) is not in [0, 3)");
  CHECK(message_of([&] {
          grad([](const Tensor<float>& p) { return cross_entropy(p, full<std::uint8_t>({4}, 9)); })(x);
        }) == "[cross_entropy] labels (4,), logits (4, 3): label 9 at (0,) is not in [0, 3)");
  CHECK(message_of([&] { cross_entropy(x, zeros<std::int32_t>({4}), {.label_smoothing = 2}); }) ==
        "[cross_entropy] (4, 3) x (4,): .label_smoothing = 2 is not in [0, 1]");
  CHECK(message_of([&] { cross_entropy(x, zeros<std::int32_t>({4}), {.weight = ones<float>({4})}); }) ==
        "[cross_entropy] (4, 3) x (4,): .weight (4,) of float must be (3,) of float");
  CHECK(message_of([&] { cross_entropy(x, x, {.ignore_label = 1}); }) ==
        "[cross_entropy] (4, 3) x (4, 3): .ignore_label needs integer labels");
  CHECK(message_of([] {
          mse(zeros<float>({4, 1}), zeros<float>({4}));
        }) == "[mse] (4, 1) x (4,): shapes differ; losses do not broadcast: reshape one of them");
  CHECK(message_of([&] { accuracy(x, zeros<std::int32_t>({3})); }) ==
        "[accuracy] (4, 3) x (3,): labels must have the shape of logits without the classes");
}

}  // namespace ops_cross_entropy_test
