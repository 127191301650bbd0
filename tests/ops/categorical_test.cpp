// Draws from categories: frequencies, exclusion, layouts, mapping, errors.
#include "ergo/ops/categorical.hpp"

#include <doctest/doctest.h>

#include <cmath>
#include <vector>

#include "../support/seed.hpp"
#include "ergo/autograd/transforms.hpp"

namespace ops_categorical_test {

using namespace ergo;

namespace {

const Key root{test_seed()};
int draws = 0;
Key fresh() { return fold_in(root, draws++); }

template <class F>
std::string error_of(F f) {
  try {
    f();
  } catch (const Error& e) { return e.what(); }
  return "no error";
}

}  // namespace

TEST_CASE_TEMPLATE("frequencies are the softmax of the logits", T, float, double, half) {
  const int n = 100000;
  const std::vector<double> p = {0.5, 0.25, 0.2, 0.0499, 0.0001};
  Tensor<T> logits = full<T>({n, 5}, 0);
  std::vector<T> rows;
  for (int i = 0; i < n; ++i)
    for (double share : p) rows.push_back(T(float(std::log(share) + 3)));
  const auto drawn = categorical(fresh(), from_span<T>(rows, {n, 5})).to_vector();
  std::vector<int> counts(5);
  for (std::int32_t k : drawn) ++counts[std::size_t(k)];
  for (std::size_t k = 0; k < 5; ++k)
    CHECK(std::abs(counts[k] - n * p[k]) <
          6 * std::sqrt(n * p[k]) + 2 + (std::is_same_v<T, half> ? 0.002 * n * p[k] : 0));
}

TEST_CASE("excluded categories are never drawn; extreme logits are fine") {
  const double none = -INFINITY;
  const auto logits = tensor<float>({{none, 0, none}, {none, none, -3e38}, {3e38, none, 0}, {0, -1e4, none}});
  for (int i = 0; i < 200; ++i)
    CHECK(categorical(fresh(), logits).to_vector() == std::vector<std::int32_t>{1, 2, 0, 0});
}

TEST_CASE("shapes, index types, layouts, mapping") {
  const Key key = fresh();
  const auto logits = normal<float>(fresh(), {2, 3, 7});
  CHECK(categorical(key, logits).shape() == Shape{2, 3});
  CHECK(categorical<std::int64_t>(key, logits).to_vector().size() == 6);
  CHECK(categorical(key, logits[0][0]).shape() == Shape{});
  CHECK(categorical(key, zeros<float>({0, 4})).shape() == Shape{0});
  CHECK(categorical(key, zeros<float>({0, 0})).shape() == Shape{0});
  const std::int8_t order[] = {2, 1, 0};
  const Tensor<float> turned(detail::permute(logits.ref(), order));
  CHECK(array_equal(categorical(key, turned), categorical(key, turned.contiguous())));
  const Key keys = split(key, 2);
  const auto both = vmap([](const Key& k, const Tensor<float>& x) { return categorical(k, x); })(keys, logits);
  const auto one = vmap([&](const Key& k) { return categorical(k, logits); })(keys);
  const auto shared = vmap([&](const Tensor<float>& x) { return categorical(key, x); })(logits);
  for (int i = 0; i < 2; ++i) {
    CHECK(array_equal(both[i], categorical(keys[i], logits[i])));
    CHECK(array_equal(one[i], categorical(keys[i], logits)));
    CHECK(array_equal(shared[i], categorical(key, logits[i])));
  }
  // A constant to derivatives.
  const auto g =
      grad([&](const Tensor<float>& x) { return tree::dot(x, x * cast<float>(categorical(key, x))); })(logits[0][0]);
  CHECK(g.shape() == Shape{7});
}

TEST_CASE("errors") {
  const Key key{1};
  const double none = -INFINITY;
  CHECK(error_of([&] { categorical(key, Tensor<float>(1.0f)); }) ==
        "[categorical] (): logits need an axis of categories");
  CHECK(error_of([&] {
          categorical(key, zeros<float>({3, 0}));
        }) == "[categorical] (3, 0): there are no categories to draw from");
  CHECK(error_of([&] {
          categorical(key, tensor<float>({{0, 1}, {none, none}}));
        }) == "[categorical] (2, 2): row 1 has no category with a logit above -inf");
  CHECK(error_of([&] {
          categorical(key, tensor<float>({{0, NAN}}));
        }) == "[categorical] (1, 2): row 0 has a logit that is NaN or +inf");
  CHECK(error_of([&] {
          categorical(key, tensor<float>({INFINITY, 0}));
        }) == "[categorical] (2,): row 0 has a logit that is NaN or +inf");
  CHECK(error_of([&] { categorical<std::uint8_t>(key, zeros<float>({257})); }) ==
        "[categorical] (257,): categories do not fit uint8: categorical<int64_t>(key, logits)");
  CHECK(error_of([&] { categorical(Key{}, zeros<float>({2})); }) ==
        "[categorical] this key is empty: make one, Key{seed}");
}

}  // namespace ops_categorical_test
