// The case table's rows of random draws, through every driver; then what only draws have: a key decides every bit,
// whatever the layout of a parameter and the number of threads, and mapped keys draw what a loop draws.
// label: threads
#include <doctest/doctest.h>

#include <cstring>
#include <string>
#include <vector>

#include "ergo/autograd/transforms.hpp"
#include "ergo/ops/categorical.hpp"
#include "ergo/ops/dropout.hpp"
#include "ergo/ops/joining.hpp"
#include "ergo/ops/movement.hpp"
#include "ergo/ops/repetition.hpp"
#include "ergo/ops/slicing.hpp"
#include "ergo/ops/truncated_normal.hpp"
#include "support/case_drivers.hpp"
#include "support/parallel_use.hpp"
#include "support/process.hpp"
#include "support/seed.hpp"

namespace cases_random_cases_test {

using namespace cases;

TEST_CASE("random: values against the words of the generator") { for_each_case(random_cases(), check_values); }
TEST_CASE("random: layouts") { for_each_case(random_cases(), check_layouts); }
TEST_CASE("random: derivatives in all modes") { for_each_case(random_cases(), check_derivatives); }
TEST_CASE("random: vmap") { for_each_case(random_cases(), check_vmap); }
TEST_CASE("random: bits do not depend on the number of threads") { for_each_case(random_cases(), check_threads); }

namespace {

using ergo::Key;

template <class T>
bool same_bits(const Tensor<T>& a, const Tensor<T>& b) {
  if (a.shape() != b.shape()) return false;
  const auto p = a.contiguous(), q = b.contiguous();
  return std::memcmp(p.span().data(), q.span().data(), std::size_t(a.numel()) * sizeof(T)) == 0;
}

// Each draw, its result in double, which holds every value exactly; x is a parameter where there is one.
template <class T>
struct Draw {
  const char* name;
  Tensor<double> (*of)(const Key&, const Tensor<T>& x);
};
template <class T>
std::vector<Draw<T>> all_draws() {
  using X = Tensor<T>;
  using ergo::cast;
  return {
      {"uniform", [](const Key& k, const X& x) { return cast<double>(ergo::uniform<T>(k, x.shape(), x - 1, x + 1)); }},
      {"normal", [](const Key& k, const X& x) { return cast<double>(ergo::normal<T>(k, x.shape(), x, x)); }},
      {"truncated_normal",
       [](const Key& k, const X& x) { return cast<double>(ergo::truncated_normal<T>(k, x.shape(), x, x + 1)); }},
      {"rademacher", [](const Key& k, const X& x) { return cast<double>(ergo::rademacher<T>(k, x.shape())); }},
      {"bernoulli", [](const Key& k, const X& x) { return cast<double>(ergo::bernoulli(k, x.shape(), x)); }},
      {"randint", [](const Key& k, const X& x) { return cast<double>(ergo::randint(k, x.shape(), -7, 1000)); }},
      {"permutation", [](const Key& k, const X& x) { return cast<double>(ergo::permutation(k, x.numel())); }},
      {"categorical", [](const Key& k, const X& x) { return cast<double>(ergo::categorical(k, x)); }},
      {"dropout", [](const Key& k, const X& x) { return cast<double>(ergo::dropout(k, x, 0.4)); }},
  };
}

std::vector<int> thread_counts() { return kSanitized ? std::vector<int>{1, 3} : std::vector<int>{1, 2, 3, 5, 8}; }
Key fresh_key(std::int64_t i) { return ergo::fold_in(Key(test_seed()), i); }

}  // namespace

TEST_CASE_TEMPLATE("random: a key decides every bit", T, float, double) {
  const auto x = ergo::uniform<T>(fresh_key(1), {kSanitized ? 120 : 300, 301});
  const Key key = fresh_key(2);
  // The same elements, the axes exchanged in memory; behind others; backwards with a gap.
  const Tensor<T> turned = ergo::transpose(ergo::transpose(x).contiguous());
  const Tensor<T> within = ergo::slice(ergo::concatenate({x, x}, 1), 1, 301);
  const Tensor<T> stepped = ergo::flip(ergo::slice(ergo::repeat(ergo::flip(x), 2), 1, 0, ergo::none, 2));
  REQUIRE(same_bits(x, turned));
  REQUIRE(same_bits(x, within));
  REQUIRE(same_bits(x, stepped));
  const int before = ergo::num_threads();
  for (const Draw<T>& one : all_draws<T>()) {
    const auto draw = one.of;
    const std::string name = one.name;
    CAPTURE(name);
    ergo::set_num_threads(1);
    const auto want = draw(key, x);
    for (int threads : thread_counts()) {
      CAPTURE(threads);
      ergo::set_num_threads(threads);
      for (const Tensor<T>* same : {&x, &turned, &within, &stepped}) CHECK(same_bits(draw(key, *same), want));
    }
    CHECK_FALSE(same_bits(draw(fresh_key(3), x), want));
  }
  ergo::set_num_threads(before);
}

TEST_CASE_TEMPLATE("random: mapped keys draw what a loop draws, in parallel too", T, float, double) {
  const auto x = ergo::uniform<T>(fresh_key(4), {5, 40, 130});
  const Key keys = ergo::split(fresh_key(5), 5);
  const int before = ergo::num_threads();
  for (const Draw<T>& one : all_draws<T>()) {
    const auto draw = one.of;
    const std::string name = one.name;
    CAPTURE(name);
    for (int threads : thread_counts()) {
      CAPTURE(threads);
      ergo::set_num_threads(threads);
      const auto both = ergo::vmap(draw)(keys, x);
      const auto only_keys = ergo::vmap([&](const Key& k) { return draw(k, x[0]); })(keys);
      const auto only_inputs = ergo::vmap([&](const Tensor<T>& part) { return draw(keys[0], part); })(x);
      for (int i = 0; i < 5; ++i) {
        CAPTURE(i);
        CHECK(same_bits(both[i], draw(keys[i], x[i])));
        CHECK(same_bits(only_keys[i], draw(keys[i], x[0])));
        CHECK(same_bits(only_inputs[i], draw(keys[0], x[i])));
      }
    }
  }
  ergo::set_num_threads(before);
}

TEST_CASE("random: draws alone run in parallel") {
  const Key key = fresh_key(6);
  const Shape s{300, 301};
  ergo::set_num_threads(8);
  CHECK(goes_parallel([&] { ergo::uniform(key, s); }));
  CHECK(goes_parallel([&] { ergo::normal(key, s); }));
  CHECK(goes_parallel([&] { ergo::truncated_normal(key, s, -1, 1); }));
  CHECK(goes_parallel([&] { ergo::rademacher(key, s); }));
  CHECK(goes_parallel([&] { ergo::bernoulli(key, s, 0.5); }));
  CHECK(goes_parallel([&] { ergo::randint(key, s, 0, 9); }));
  const Tensor<float> x = ergo::uniform(key, s);
  CHECK(goes_parallel([&] { ergo::categorical(key, x); }));
  CHECK(goes_parallel([&] { ergo::dropout(key, x, 0.5); }));
  // The exchanges of one permutation follow each other; those of many keys do not.
  CHECK_FALSE(goes_parallel([&] { ergo::permutation(key, 100000); }));
  const Key keys = ergo::split(key, 64);
  const auto order = [](const Key& k) { return ergo::permutation(k, 2000); };
  CHECK(goes_parallel([&] { ergo::vmap(order)(keys); }));
  const auto many = ergo::vmap(order)(keys);
  for (int i = 0; i < 64; ++i) CHECK(same_bits(many[i], order(keys[i])));
  ergo::set_num_threads(0);
}

}  // namespace cases_random_cases_test
