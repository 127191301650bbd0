#include "ergo/core/compare.hpp"

#include <cmath>

#include <doctest/doctest.h>

#include "ergo/core/make.hpp"
#include "support/message.hpp"

namespace core_compare_test {

using namespace ergo;

TEST_CASE("array_equal: shapes and every element") {
  const auto x = tensor<float>({{1, 2}, {3, 4}});
  CHECK(array_equal(x, tensor<float>({{1, 2}, {3, 4}})));
  CHECK_FALSE(array_equal(x, tensor<float>({{1, 2}, {3, 5}})));
  CHECK_FALSE(array_equal(x, tensor<float>({1, 2, 3, 4})));
  CHECK(array_equal(zeros<float>({0, 3}), zeros<float>({0, 3})));
  CHECK_FALSE(array_equal(zeros<float>({0, 3}), zeros<float>({3, 0})));
  CHECK(array_equal(tensor<float>({0.0}), tensor<float>({-0.0})));
  CHECK_FALSE(array_equal(tensor<float>({NAN}), tensor<float>({NAN})));
  CHECK(array_equal(tensor<bool>({true}), tensor<bool>({true})));
  CHECK(array_equal(x[1], tensor<float>({3, 4})));
}

TEST_CASE("allclose: |x - y| <= atol + rtol |y|") {
  const auto one = [](double v) { return tensor<double>({v}); };
  CHECK(allclose(one(1 + 0.9e-5), one(1)));
  CHECK_FALSE(allclose(one(1 + 1.1e-5), one(1)));
  CHECK(allclose(one(1.1), one(1), {.rtol = 0.11}));
  CHECK_FALSE(allclose(one(1.1), one(1), {.rtol = 0, .atol = 0.05}));
  CHECK(allclose(one(0.05), one(0), {.atol = 0.05}));
  CHECK_FALSE(allclose(one(0.0501), one(0), {.atol = 0.05}));
  CHECK(allclose(one(2), one(1), {.rtol = 0.5}) == false);  // the second is the measure
  CHECK(allclose(one(1), one(2), {.rtol = 0.5}));
  CHECK(allclose(one(INFINITY), one(INFINITY)));
  CHECK_FALSE(allclose(one(INFINITY), one(-INFINITY)));
  CHECK_FALSE(allclose(one(1), one(INFINITY)));
  CHECK_FALSE(allclose(one(INFINITY), one(1), {.rtol = 1e300, .atol = 1e300}));
  CHECK_FALSE(allclose(one(NAN), one(NAN)));
  CHECK_FALSE(allclose(one(NAN), one(1), {.rtol = INFINITY}));
  CHECK(allclose(zeros<float>({0}), zeros<float>({0})));
  CHECK(allclose(tensor<half>({1}), tensor<half>({1.0009765625}), {.rtol = 1e-3}));
  CHECK(allclose(tensor<int>({3}), tensor<int>({3})));
  CHECK(message_of([&] { return allclose(zeros<float>({2, 1}), zeros<float>({2})); }) ==
        "[allclose] (2, 1) x (2,): shapes differ");
}

}  // namespace core_compare_test
