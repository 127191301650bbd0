// Dropout: the mask's law, linearity to any order, mapping, dtypes, edges.
// label: threads
#include "ergo/ops/dropout.hpp"

#include <doctest/doctest.h>

#include <cmath>
#include <vector>

#include "../support/seed.hpp"
#include "ergo/autograd/curvature.hpp"
#include "ergo/ops/arithmetic.hpp"

namespace ops_dropout_test {

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

TEST_CASE_TEMPLATE("kept elements are scaled, dropped ones zero, whatever the length", T, float, double, half,
                   bfloat16) {
  const Key key = fresh();
  const double p = 0.3;
  for (std::int64_t n : {0, 1, 7, 8, 9, 4095, 4097, 100000}) {
    const auto x = normal<T>(fresh(), {n}), y = dropout(key, x, p);
    const auto mask = dropout(key, ones<T>({100000}), p).to_vector();  // begins as every shorter one
    const auto before = x.to_vector(), after = y.to_vector();
    bool scaled = true, by_words = true;
    for (std::size_t i = 0; i < before.size(); ++i) {
      const T kept = T(Compute<T>(before[i]) * Compute<T>(1 / (1 - p)));
      scaled = scaled && after[i] == (mask[i] == T(0) ? T(0) : kept);
      // A word below p 2^32, counted from the most negative, drops.
      const auto word = random_block(std::uint64_t(key.material.item()), i / 4).word[i % 4];
      by_words = by_words && (mask[i] == T(0)) == (double(std::int32_t(word)) + 0x1p31 < std::floor(p * 0x1p32));
    }
    CHECK_MESSAGE(scaled, n << " elements");
    CHECK_MESSAGE(by_words, n << " elements");
  }
  double dropped = 0;
  const std::int64_t n = 400000;
  for (const T e : dropout(fresh(), ones<T>({n}), p).to_vector()) dropped += e == T(0);
  CHECK(std::abs(dropped / double(n) - p) < 6 * 0.46 / std::sqrt(double(n)));
}

TEST_CASE("edges: 0 gives x itself, 1 zeros, NaN is dropped with the rest") {
  const Key key = fresh();
  const auto x = tensor<float>({1, -0.0, NAN, INFINITY});
  CHECK(dropout(key, x, 0).array().data == x.array().data);
  CHECK(array_equal(dropout(key, x, 1), zeros<float>({4})));
  const auto all = full<float>({64}, NAN), y = dropout(key, all, 0.5), mask = dropout(key, ones<float>({64}), 0.5);
  for (int i = 0; i < 64; ++i) CHECK(std::isnan(y.at({i})) == (mask.at({i}) != 0));
  CHECK(dropout(key, Tensor<float>(3.0f), 0.5).rank() == 0);
  CHECK(grad([&](const Tensor<float>& a) { return tree::dot(dropout(key, a, 1), a); })(tensor<float>({1, 2}))
            .to_vector() == std::vector<float>{0, 0});
}

TEST_CASE("linear: derivatives of every order use the same mask") {
  const Key key = fresh();
  const auto x = normal<double>(fresh(), {40}), v = normal<double>(fresh(), {40}),
             mask = dropout(key, ones<double>({40}), 0.4);
  const auto f = [&](const Tensor<double>& a) {
    const auto y = dropout(key, a, 0.4);
    return tree::dot(y * y, y);
  };
  CHECK(allclose(grad(f)(x), 3.0 * mask * mask * mask * x * x, {.rtol = 1e-12, .atol = 1e-12}));
  CHECK(allclose(hvp(f)(x, v), 6.0 * mask * mask * mask * x * v, {.rtol = 1e-12, .atol = 1e-12}));
  const auto twice = grad([&](const Tensor<double>& a) { return tree::dot(grad(f)(a), v); })(x);
  CHECK(allclose(twice, hvp(f)(x, v), {.rtol = 1e-12, .atol = 1e-12}));
  CHECK(array_equal(jvp([&](const Tensor<double>& a) { return dropout(key, a, 0.4); })(x, v).second,
                    dropout(key, v, 0.4)));
}

TEST_CASE("mapped inputs, mapped keys, both, and layouts") {
  const Key key = fresh(), keys = split(key, 3);
  const auto x = normal<float>(fresh(), {3, 5, 4});
  const auto shared = vmap([&](const Tensor<float>& a) { return dropout(key, a, 0.5); })(x);
  const auto both = vmap([](const Key& k, const Tensor<float>& a) { return dropout(k, a, 0.5); })(keys, x);
  const auto one = vmap([&](const Key& k) { return dropout(k, x[0], 0.5); })(keys);
  for (int i = 0; i < 3; ++i) {
    CHECK(array_equal(shared[i], dropout(key, x[i], 0.5)));
    CHECK(array_equal(both[i], dropout(keys[i], x[i], 0.5)));
    CHECK(array_equal(one[i], dropout(keys[i], x[0], 0.5)));
  }
  // The gradient of an input that all keys share is the sum over the keys.
  const auto total = grad([&](const Tensor<double>& a) {
    const auto y = vmap([&](const Key& k) { return dropout(k, a, 0.5); })(keys);
    return tree::dot(y, ones<double>({3, 4}));
  })(ones<double>({4}));
  Tensor<double> expected = zeros<double>({4});
  for (int i = 0; i < 3; ++i) expected = expected + dropout(keys[i], ones<double>({4}), 0.5);
  CHECK(array_equal(total, expected));
  const std::int8_t order[] = {2, 0, 1};
  const Tensor<float> turned(detail::permute(x.ref(), order));
  CHECK(array_equal(dropout(key, turned, 0.5), dropout(key, turned.contiguous(), 0.5)));
}

TEST_CASE("threads do not matter") {
  const Key key = fresh();
  const auto x = normal<float>(fresh(), {3, 30001});
  std::vector<std::vector<float>> results;
  for (int threads : {1, 2, 3, 8}) {
    set_num_threads(threads);
    results.push_back(dropout(key, x, 0.2).to_vector());
  }
  for (const auto& r : results) CHECK(r == results[0]);
}

TEST_CASE("errors") {
  CHECK(error_of([] {
          dropout(Key{1}, ones<float>({2, 3}), 1.5);
        }) == "[dropout] (2, 3): the probability 1.5 is not in [0, 1]");
  CHECK(error_of([] {
          dropout(Key{1}, ones<float>({2, 3}), NAN);
        }) == "[dropout] (2, 3): the probability nan is not in [0, 1]");
  CHECK(error_of([] { dropout(Key{}, ones<float>({2}), 0.5); }) == "[dropout] this key is empty: make one, Key{seed}");
  CHECK(error_of([] { dropout(split(Key{1}, 2), ones<float>({2}), 0.5); }) ==
        "[dropout] (2,): a batch of keys where one is needed: take keys[i], or map over the keys with vmap");
}

}  // namespace ops_dropout_test
