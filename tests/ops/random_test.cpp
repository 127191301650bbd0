// Draws: their distributions (limits at six standard errors, seeds are fresh), prefixes, mapping, parameters and their
// derivatives, threads, errors.
// label: threads
#include "ergo/ops/random.hpp"

#include <doctest/doctest.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <map>
#include <vector>

#include "../support/seed.hpp"
#include "ergo/autograd/transforms.hpp"

namespace ops_random_test {

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

template <class T>
std::vector<double> numbers(const Tensor<T>& x) {
  std::vector<double> v;
  for (const T e : x.to_vector()) v.push_back(double(e));
  return v;
}
// The mean of f over v.
template <class F>
double mean_of(const std::vector<double>& v, F f) {
  double s = 0;
  for (double x : v) s += f(x);
  return s / double(v.size());
}

template <class T>
double fraction_step() {
  return std::is_same_v<T, half> ? 0x1p-11 : std::is_same_v<T, bfloat16> ? 0x1p-8 : sizeof(T) == 4 ? 0x1p-24 : 0x1p-53;
}

}  // namespace

TEST_CASE_TEMPLATE("uniform", T, float, double, half, bfloat16) {
  const std::int64_t n = 200000;
  const auto v = numbers(uniform<T>(fresh(), {n}));
  CHECK(std::all_of(v.begin(), v.end(),
                    [](double x) { return x >= 0 && x < 1 && std::fmod(x, fraction_step<T>()) == 0; }));
  const double se = 1 / std::sqrt(double(n)), shift = fraction_step<T>() / 2;
  CHECK(std::abs(mean_of(v, [](double x) { return x; }) - 0.5 + shift) < 6 * 0.289 * se);
  CHECK(std::abs(mean_of(v, [](double x) { return x * x; }) - 1.0 / 3 + shift) < 6 * 0.3 * se);
  std::vector<int> counts(16);
  for (double x : v) ++counts[std::size_t(x * 16)];
  double chi = 0;
  for (int c : counts) chi += (c - double(n) / 16) * (c - double(n) / 16) / (double(n) / 16);
  CHECK(chi < 60);  // 15 degrees of freedom: probability 2e-7
  const auto scaled = numbers(uniform<T>(fresh(), {10000}, -3, 5.5));
  CHECK(std::all_of(scaled.begin(), scaled.end(), [](double x) { return x >= -3 && x < 5.5; }));
}

TEST_CASE_TEMPLATE("normal", T, float, double, half, bfloat16) {
  const std::int64_t n = 400000;
  const auto v = numbers(normal<T>(fresh(), {n}));
  const double se = 1 / std::sqrt(double(n)), coarse = std::is_same_v<T, bfloat16> ? 1e-3 : 0;
  CHECK(std::abs(mean_of(v, [](double x) { return x; })) < 6 * se + coarse);
  CHECK(std::abs(mean_of(v, [](double x) { return x * x; }) - 1) < 6 * 1.5 * se + coarse);
  CHECK(std::abs(mean_of(v, [](double x) { return x * x * x; })) < 6 * 4 * se + coarse);
  CHECK(std::abs(mean_of(v, [](double x) { return x * x * x * x; }) - 3) < 6 * 10 * se + 4 * coarse);
  for (double bound : {-2.5, -1.0, -0.1, 0.3, 1.5, 3.0}) {
    const double expected = 0.5 * std::erfc(-bound / std::sqrt(2.0));
    CHECK(std::abs(mean_of(v, [=](double x) { return x < bound; }) - expected) < 6 * 0.5 * se + 4 * coarse);
  }
  double neighbours = 0, pairs = 0;
  for (std::size_t i = 0; i + 2 < v.size(); ++i) {
    neighbours += v[i] * v[i + 1];
    pairs += v[i] * v[i] * v[i + 1] * v[i + 1];
  }
  CHECK(std::abs(neighbours / double(n)) < 6 * se + coarse);
  CHECK(std::abs(pairs / double(n) - 1) < 6 * 3 * se + 4 * coarse);
  const auto moved = numbers(normal<T>(fresh(), {n}, 10, 0.5));
  CHECK(std::abs(mean_of(moved, [](double x) { return x; }) - 10) < 6 * 0.5 * se + 10 * coarse);
}

TEST_CASE("rademacher, bernoulli") {
  const std::int64_t n = 200000;
  const double se = 1 / std::sqrt(double(n));
  for (double x : numbers(rademacher<bfloat16>(fresh(), {100}))) CHECK((x == 1 || x == -1));
  CHECK(std::abs(mean_of(numbers(rademacher(fresh(), {n})), [](double x) { return x; })) < 6 * se);
  CHECK(std::abs(mean_of(numbers(rademacher<double>(fresh(), {n})), [](double x) { return x; })) < 6 * se);
  for (double p : {0.001, 0.3, 0.5, 0.97}) {
    CHECK(std::abs(mean_of(numbers(bernoulli(fresh(), {n}, p)), [](double x) { return x; }) - p) <
          6 * std::sqrt(p * (1 - p)) * se);
  }
  CHECK(mean_of(numbers(bernoulli(fresh(), {n}, 0)), [](double x) { return x; }) == 0);
  CHECK(mean_of(numbers(bernoulli(fresh(), {n}, 1)), [](double x) { return x; }) == 1);
  const auto p = tensor<float>({0, 0.25, 1});
  const auto rows = bernoulli(fresh(), {n, 3}, p).to_vector();
  std::int64_t count[3] = {};
  for (std::size_t i = 0; i < rows.size(); ++i) count[i % 3] += rows[i];
  CHECK(count[0] == 0);
  CHECK(count[2] == n);
  CHECK(std::abs(double(count[1]) / double(n) - 0.25) < 6 * 0.44 * se);
}

TEST_CASE("randint") {
  const std::int64_t n = 120000;
  std::map<std::int64_t, int> counts;
  for (std::int32_t x : randint(fresh(), {n}, -2, 4).to_vector()) ++counts[x];
  CHECK(counts.size() == 6);
  CHECK(counts.begin()->first == -2);
  double chi = 0;
  for (auto [value, c] : counts) chi += (c - n / 6.0) * (c - n / 6.0) / (n / 6.0);
  CHECK(chi < 45);  // 5 degrees of freedom: probability 1e-8
  for (std::uint8_t x : randint<std::uint8_t>(fresh(), {1000}, 250, 256).to_vector()) CHECK(x >= 250);
  CHECK(randint(fresh(), {3}, 7, 8).to_vector() == std::vector<std::int32_t>{7, 7, 7});
  // A range that no 32-bit word could serve; each half gets half.
  const std::int64_t lo = std::numeric_limits<std::int64_t>::min(), hi = std::numeric_limits<std::int64_t>::max();
  std::int64_t negative = 0, third = 0;
  for (std::int64_t x : randint<std::int64_t>(fresh(), {n}, lo, hi).to_vector()) {
    negative += x < 0;
    third += x < lo / 3;
  }
  CHECK(std::abs(double(negative) / double(n) - 0.5) < 3 / std::sqrt(double(n)));
  CHECK(std::abs(double(third) / double(n) - 1.0 / 3) < 3 / std::sqrt(double(n)));
  // Element i is the floor of range times a 64-bit fraction.
  const Key key = fresh();
  const auto drawn = randint<std::int64_t>(key, {3001}, 10, 1000010).to_vector();
  for (std::size_t i = 0; i < drawn.size(); ++i) {
    const auto b = random_block(std::uint64_t(key.material.item()), i / 2);
    const long double fraction = (long double)(i % 2 ? b.high() : b.low()) / 0x1p64L;
    CHECK(drawn[i] == 10 + std::int64_t(fraction * 1000000));
  }
}

TEST_CASE("permutation") {
  for (std::int64_t n : {0, 1, 2, 511, 512, 513, 5000}) {
    auto p = permutation(fresh(), n).to_vector();
    std::sort(p.begin(), p.end());
    CHECK(p == arange<std::int32_t>(n).to_vector());
  }
  CHECK(permutation<std::int64_t>(fresh(), 3).dtype() == DType::int64);
  // All 24 orders of 4, equally often.
  std::map<std::vector<std::int32_t>, int> counts;
  const int trials = 48000;
  const auto all = vmap([](const Key& k) { return permutation(k, 4); })(split(fresh(), trials)).to_vector();
  for (std::size_t i = 0; i < all.size(); i += 4) ++counts[{all.begin() + long(i), all.begin() + long(i) + 4}];
  CHECK(counts.size() == 24);
  double chi = 0;
  for (const auto& [order, c] : counts) chi += (c - trials / 24.0) * (c - trials / 24.0) / (trials / 24.0);
  CHECK(chi < 90);  // 23 degrees of freedom: probability 6e-10
}

TEST_CASE("a longer draw begins with the shorter; mapped keys draw what a loop draws; empty and rank 0") {
  const auto check = [](auto draw) {
    const Key key = fresh();
    const auto longer = draw(key, Shape{70001}), shorter = draw(key, Shape{997});
    CHECK(std::equal(shorter.span().begin(), shorter.span().end(), longer.span().begin()));
    CHECK(draw(key, Shape{}).item() == longer.at({0}));
    CHECK(draw(key, Shape{3, 0, 2}).numel() == 0);
    const Key keys = split(key, 5);
    const auto mapped = vmap([&](const Key& k) { return draw(k, Shape{3, 7}); })(keys);
    REQUIRE(mapped.shape() == Shape{5, 3, 7});
    for (int i = 0; i < 5; ++i) CHECK(array_equal(mapped[i], draw(keys[i], Shape{3, 7})));
    const auto unmapped =
        vmap([&](const Tensor<std::int32_t>&) { return draw(key, Shape{4}); })(arange<std::int32_t>(3));
    for (int i = 0; i < 3; ++i) CHECK(array_equal(unmapped[i], draw(key, Shape{4})));
    const auto twice = vmap(vmap([&](const Key& k) { return draw(k, Shape{2}); }))(
        fold_in(key, tensor<std::int32_t>({{1, 2}, {3, 4}, {5, 6}})));
    CHECK(array_equal(twice[2][1], draw(fold_in(key, 6), Shape{2})));
    std::vector<std::remove_cvref_t<decltype(longer.to_vector())>> results;
    for (int threads : {1, 3, 8}) {
      set_num_threads(threads);
      results.push_back(draw(key, Shape{50000}).to_vector());
    }
    CHECK(results[0] == results[1]);
    CHECK(results[0] == results[2]);
  };
  check([](const Key& k, const Shape& s) { return uniform(k, s); });
  check([](const Key& k, const Shape& s) { return uniform<double>(k, s, 2, 3); });
  check([](const Key& k, const Shape& s) { return normal(k, s, 1, 2); });
  check([](const Key& k, const Shape& s) { return normal<double>(k, s); });
  check([](const Key& k, const Shape& s) { return rademacher(k, s); });
  check([](const Key& k, const Shape& s) { return randint(k, s, 0, 1000); });
  check([](const Key& k, const Shape& s) { return randint<std::int64_t>(k, s, 0, std::int64_t(1) << 40); });
}

TEST_CASE("parameters broadcast, are mapped, and have derivatives") {
  const Key key = fresh();
  const auto z = normal<double>(key, {4, 3}), u = uniform<double>(key, {4, 3});
  const auto mean = tensor<double>({1, 2, 3}), deviation = tensor<double>({{0.5}, {1}, {2}, {0}});
  const auto x = normal<double>(key, {4, 3}, mean, deviation);
  const auto y = uniform<double>(key, {4, 3}, mean, deviation + 10);
  for (int i = 0; i < 4; ++i) {
    for (int j = 0; j < 3; ++j) {
      CHECK(x.at({i, j}) == doctest::Approx(mean.at({j}) + deviation.at({i, 0}) * z.at({i, j})));
      CHECK(y.at({i, j}) == doctest::Approx(mean.at({j}) + (deviation.at({i, 0}) + 10 - mean.at({j})) * u.at({i, j})));
    }
  }
  const auto of_mean = grad([&](const Tensor<double>& m) {
    return tree::dot(normal<double>(key, {4, 3}, m, deviation), z);
  })(mean);
  const auto of_deviation = grad([&](const Tensor<double>& d) {
    return tree::dot(normal<double>(key, {4, 3}, 0, d), z);
  })(deviation);
  for (int j = 0; j < 3; ++j)
    CHECK(of_mean.at({j}) == doctest::Approx(z.at({0, j}) + z.at({1, j}) + z.at({2, j}) + z.at({3, j})));
  for (int i = 0; i < 4; ++i) CHECK(of_deviation.at({i, 0}) == doctest::Approx(tree::dot(z[i], z[i]).item()));
  const auto scalar = [&](const Tensor<double>& a) { return uniform<double>(key, {}, a * a, a * a * a + 10); };
  const double a = 1.5, d1 = 2 * a * (1 - u.at({0, 0})) + 3 * a * a * u.at({0, 0}),
               d2 = 2 * (1 - u.at({0, 0})) + 6 * a * u.at({0, 0});
  CHECK(grad(scalar)(Tensor<double>(a)).item() == doctest::Approx(d1));
  CHECK(grad(grad(scalar))(Tensor<double>(a)).item() == doctest::Approx(d2));
  CHECK(jvp(scalar)(Tensor<double>(a), Tensor<double>(1.0)).second.item() == doctest::Approx(d1));
  const auto mapped = vmap([&](const Tensor<double>& m) { return normal<double>(key, {2}, m, 3); })(mean);
  for (int j = 0; j < 3; ++j) CHECK(array_equal(mapped[j], normal<double>(key, {2}, mean[j], 3)));
  const auto p = tensor<double>({0.1, 0.5, 0.9});
  const auto coins =
      vmap([](const Key& k, const Tensor<double>& q) { return bernoulli(k, {50}, q); })(split(key, 3), p);
  for (int j = 0; j < 3; ++j) CHECK(array_equal(coins[j], bernoulli(split(key, 3)[j], {50}, p[j])));
}

TEST_CASE("draws are constants") {
  const Key key = fresh();
  const auto g = grad([&](const Tensor<double>& x) { return x * normal<double>(key, {}); })(Tensor<double>(3.0));
  CHECK(g.item() == normal<double>(key, {}).item());
}

TEST_CASE("errors") {
  const Key key{1};
  CHECK(error_of([] { normal(Key{}, {2}); }) == "[normal] this key is empty: make one, Key{seed}");
  CHECK(error_of([&] { uniform(split(key, 5), {2}); }) ==
        "[uniform] (5,): a batch of keys where one is needed: take keys[i], or map over the keys with vmap");
  CHECK(error_of([&] { uniform(key, {2}, 3, 2.5); }) ==
        "[uniform] bounds 3 and 2.5: the first must be below the second, both finite");
  CHECK(error_of([&] { uniform(key, {2}, 0, NAN); }) ==
        "[uniform] bounds 0 and nan: the first must be below the second, both finite");
  CHECK(error_of([&] { uniform(key, {2}, -3e38, 3e38); }) ==
        "[uniform] bounds -3e+38 and 3e+38: the first must be below the second, both finite");
  CHECK(error_of([&] {
          uniform(key, {2}, tensor<float>({0, 4}), 3);
        }) == "[uniform] (2,): hi - lo is -1 at (1,), not positive and finite");
  CHECK(error_of([&] {
          normal(key, {2}, tensor<float>({1, 2, 3}), 1);
        }) == "[normal] (3,): this parameter does not broadcast to the shape (2,)");
  CHECK(error_of([&] {
          normal(key, {1}, tensor<float>({1, 2, 3}), 1);
        }) == "[normal] (3,): this parameter does not broadcast to the shape (1,)");
  CHECK(error_of([&] { normal(key, {2}, 0, -1); }) == "[normal] the standard deviation -1 is negative or NaN");
  CHECK(error_of([&] {
          normal(key, {2}, 0, tensor<float>({1, NAN}));
        }) == "[normal] (2,): the standard deviation is nan at (1,), not finite and at least 0");
  CHECK(error_of([&] { bernoulli(key, {2}, 1.5); }) == "[bernoulli] (): the probability is 1.5, not in [0, 1]");
  CHECK(error_of([&] {
          bernoulli(key, {2, 2}, tensor<float>({{0, 0.5}, {1, NAN}}));
        }) == "[bernoulli] (2, 2): the probability is nan at (1, 1), not in [0, 1]");
  CHECK(error_of([&] {
          vmap([&](const Tensor<float>& p) { return bernoulli(key, {2}, p); })(tensor<float>({0.5, -1}));
        }) == "[bernoulli] (2,): the probability is -1 at (1,), not in [0, 1]");
  CHECK(error_of([&] { randint(key, {2}, 3, 3); }) == "[randint] bounds 3 and 3: the first must be below the second");
  CHECK(error_of([&] { randint(key, {2}, -1, 3u); }) == "no error");
  CHECK(error_of([&] { randint<std::uint8_t>(key, {2}, 0, 257); }) ==
        "[randint] bounds 0 and 257 do not fit uint8: randint<int64_t>(...)");
  CHECK(error_of([&] { permutation(key, -1); }) == "[permutation] -1 elements: the number must not be negative");
  CHECK(error_of([&] { permutation<std::uint8_t>(key, 257); }) ==
        "[permutation] 257 elements do not fit uint8: permutation<int64_t>(key, n)");
  CHECK(error_of([&] { normal(key, {-2}); }) == "[shape] (-2,): an extent is negative");
}

}  // namespace ops_random_test
