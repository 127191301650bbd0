// Keys: derivation by Philox, batches, mapping, trees.
#include "ergo/ops/key.hpp"

#include <doctest/doctest.h>

#include <cmath>
#include <set>
#include <vector>

#include "../support/seed.hpp"
#include "ergo/autograd/transforms.hpp"
#include "ergo/ops/random.hpp"

namespace ops_key_test {

using namespace ergo;

namespace {

std::int64_t bits(const Key& key) { return key.material.item(); }
template <class F>
std::string error_of(F f) {
  try {
    f();
  } catch (const Error& e) { return e.what(); }
  return "no error";
}

struct WithKey {
  Tensor<float> weight;
  Key key;
  Tensor<double> bias;
  ERGO_FIELDS(WithKey, weight, key, bias)
};

}  // namespace

TEST_CASE("a key is made from any integer, and derived by the generator") {
  const auto seed = std::int64_t(test_seed());
  CHECK(bits(Key{seed}) == seed);
  CHECK(bits(Key{test_seed()}) == seed);
  CHECK(bits(Key{std::uint8_t(200)}) == 200);
  const Key key{seed};
  const auto derived = [&](std::int64_t i, RandomUse use) {
    return std::int64_t(random_block(std::uint64_t(seed), std::uint64_t(i), use).low());
  };
  const auto [a, b] = split(key);
  CHECK(bits(a) == derived(0, RandomUse::split));
  CHECK(bits(b) == derived(1, RandomUse::split));
  const Key batch = split(key, 5);
  CHECK(batch.material.shape() == Shape{5});
  for (int i = 0; i < 5; ++i) CHECK(bits(batch[i]) == derived(i, RandomUse::split));
  CHECK(bits(batch[-1]) == bits(batch[4]));
  CHECK(bits(split(key, 2)[1]) == bits(split(key, 100)[1]));
  CHECK(bits(fold_in(key, -7)) == derived(-7, RandomUse::fold));
  const auto numbers = tensor<std::int32_t>({{3, 1}, {0, -2}});
  const Key folded = fold_in(key, numbers);
  CHECK(folded.material.shape() == Shape{2, 2});
  CHECK(folded.material.at({1, 1}) == bits(fold_in(key, -2)));
  CHECK(bits(fold_in(batch, 9)[3]) == bits(fold_in(batch[3], 9)));
  CHECK(split(key, 0).material.shape() == Shape{0});
  CHECK(bits(split(batch).second[2]) == bits(split(batch[2]).second));
}

TEST_CASE("derived keys are all different") {
  std::set<std::int64_t> seen;
  const Key key{test_seed()};
  for (const std::int64_t k : split(key, 20000).material.to_vector()) seen.insert(k);
  for (const std::int64_t k : fold_in(key, arange<std::int32_t>(20000)).material.to_vector()) seen.insert(k);
  for (const std::int64_t k : split(fold_in(key, 0), 20000).material.to_vector()) seen.insert(k);
  CHECK(seen.size() == 60000);
}

TEST_CASE("derived streams are independent") {
  const Key key{test_seed()};
  const auto [a, b] = split(key);
  const std::int64_t n = 100000;
  const std::vector<Tensor<double>> draws = {normal<double>(key, {n}), normal<double>(a, {n}), normal<double>(b, {n}),
                                             normal<double>(fold_in(key, 0), {n}),
                                             normal<double>(fold_in(key, 1), {n})};
  for (std::size_t i = 0; i < draws.size(); ++i) {
    for (std::size_t j = 0; j < i; ++j) {
      const double correlation = tree::dot(draws[i], draws[j]).item() / double(n);
      CHECK(std::abs(correlation) < 6 / std::sqrt(double(n)));
    }
  }
}

TEST_CASE("mapped derivation equals a loop") {
  const Key keys = split(Key{test_seed()}, 6);
  const auto numbers = arange<std::int64_t>(6);
  const auto mapped = vmap([](const Key& k, const Tensor<std::int64_t>& i) {
    const auto [a, b] = split(fold_in(k, i));
    return std::pair{split(b, 3), fold_in(a, 4)};
  })(keys, numbers);
  CHECK(mapped.first.material.shape() == Shape{6, 3});
  for (int i = 0; i < 6; ++i) {
    const auto [a, b] = split(fold_in(keys[i], i));
    CHECK(array_equal(mapped.first[i].material, split(b, 3).material));
    CHECK(bits(mapped.second[i]) == bits(fold_in(a, 4)));
  }
}

TEST_CASE("a key is a member of trees: mapped, not learned") {
  static_assert(detail::count_members<WithKey>() == std::tuple_size_v<decltype(std::declval<WithKey&>().ergo_fields())>);
  const WithKey model{ones<float>({3}), split(Key{1}, 3), ones<double>({3})};
  CHECK(tree::numel(model) == 6);
  const auto drawn = vmap([](const WithKey& m) { return m.weight * normal(m.key, {2}); })(model);
  for (int i = 0; i < 3; ++i) CHECK(array_equal(drawn[i], normal(model.key[i], {2})));
  const WithKey like = tree::normal_like(Key{5}, model);
  CHECK(array_equal(like.key.material, model.key.material));
  CHECK(array_equal(like.weight, normal<float>(fold_in(Key{5}, 0), {3})));
  CHECK(array_equal(like.bias, normal<double>(fold_in(Key{5}, 1), {3})));
  CHECK(array_equal(tree::rademacher_like(Key{5}, model).bias, rademacher<double>(fold_in(Key{5}, 1), {3})));
}

TEST_CASE("errors") {
  CHECK(error_of([] { split(Key{}); }) == "[split] this key is empty: make one, Key{seed}");
  CHECK(error_of([] { fold_in(Key{}, 1); }) == "[fold_in] this key is empty: make one, Key{seed}");
  CHECK(error_of([] { split(Key{1}, -1); }) == "[split] -1 keys: the number must not be negative");
  CHECK(error_of([] { split(split(Key{1}, 4), 2); }) ==
        "[split] (4,): a batch of keys where one is needed: take keys[i], or map over the keys with vmap");
  CHECK(error_of([] { fold_in(split(Key{1}, 4), arange<std::int32_t>(3)); }) ==
        "[fold_in] (4,) x (3,): keys and numbers do not broadcast");
}

}  // namespace ops_key_test
