// sort argsort.
// label: threads
#include <algorithm>
#include <limits>
#include <numeric>

#include "movement_support.hpp"

#include "ergo/ops/movement.hpp"
#include "ergo/ops/sorting.hpp"

namespace ops_sorting_test {

using namespace ergo;
using namespace movement;

namespace {

// The order of sorting by comparisons alone: NaN is the largest.
template <class T>
bool before(T a, T b) {
  if constexpr (std::is_integral_v<T>)
    return a < b;
  else
    return float(a) < float(b) || (!(float(a) != float(a)) && float(b) != float(b));
}
template <>
bool before(double a, double b) {
  return a < b || (!std::isnan(a) && std::isnan(b));
}
template <class T>
std::vector<std::int64_t> expected_order(const std::vector<T>& x, bool descending) {
  std::vector<std::int64_t> order(x.size());
  std::iota(order.begin(), order.end(), 0);
  std::stable_sort(order.begin(), order.end(), [&](std::int64_t i, std::int64_t j) {
    const T a = x[std::size_t(i)], b = x[std::size_t(j)];
    return descending ? before(b, a) : before(a, b);
  });
  return order;
}
template <class T>
std::vector<T> awkward(std::int64_t n) {
  std::vector<T> x;
  std::uniform_int_distribution<int> kind(0, 9);
  for (std::int64_t i = 0; i < n; ++i) {
    if constexpr (std::is_integral_v<T>) {
      x.push_back(kind(generator()) < 2 ? T(std::numeric_limits<T>::min()) : T(generator()()));
    } else {
      const double corners[] = {0.0, -0.0, INFINITY, -INFINITY, NAN, -double(NAN), 1e-310, -1e-40, 1.0, -1.0};
      const int k = kind(generator());
      x.push_back(k < 4 ? T(corners[kind(generator())]) : T(std::normal_distribution<double>()(generator())));
    }
  }
  return x;
}

template <class T>
void check_order() {
  for (std::int64_t n : {1, 2, 15, 16, 17, 31, 33, 100, 511, 512, 1000, 5000}) {
    const auto x = awkward<T>(n);
    Tensor<T> t = zeros<T>({n});
    for (std::int64_t i = 0; i < n; ++i) detail::data_of<T>(t.array())[i] = x[std::size_t(i)];
    for (bool descending : {false, true}) {
      const auto order = argsort<std::int64_t>(t, 0, {.descending = descending}).to_vector();
      REQUIRE(order == expected_order(x, descending));
      const auto sorted = sort(t, -1, {.descending = descending});
      REQUIRE(same_bytes(sorted, take(t, argsort(t, 0, {.descending = descending}))));
    }
  }
}

}  // namespace

TEST_CASE("the order, every dtype") {
  check_order<std::uint8_t>();
  check_order<std::int32_t>();
  check_order<std::int64_t>();
  check_order<half>();
  check_order<bfloat16>();
  check_order<float>();
  check_order<double>();
  const auto flags = tensor<bool>({true, false, true, false});
  CHECK(argsort(flags).to_vector() == std::vector<std::int32_t>{1, 3, 0, 2});
  CHECK(argsort(flags, 0, {.descending = true}).to_vector() == std::vector<std::int32_t>{0, 2, 1, 3});
}

TEST_CASE("along axes, strided, by threads") {
  const auto base = draw<float>({6, 40, 5});
  for (const auto& layout : layouts(base)) {
    const Tensor<float> x(layout);
    const auto y = sort(x, 1),
               z = argsort(x, -2, {.descending = true}).shape() == x.shape() ? sort(x, 1, {.descending = true}) : x;
    for (std::int64_t i = 0; i < 6; ++i) {
      for (std::int64_t k = 0; k < 5; ++k) {
        std::vector<float> column;
        for (std::int64_t j = 0; j < 40; ++j) column.push_back(base.at({i, j, k}));
        std::sort(column.begin(), column.end());
        for (std::int64_t j = 0; j < 40; ++j) {
          REQUIRE(y.at({i, j, k}) == column[std::size_t(j)]);
          REQUIRE(z.at({i, 39 - j, k}) == column[std::size_t(j)]);
        }
      }
    }
  }
  const auto rows = cast<float>(draw_normal({3000, 70}));
  const auto threads = num_threads();
  set_num_threads(1);
  const auto alone = argsort(rows);
  set_num_threads(3);
  CHECK(array_equal(alone, argsort(rows)));
  set_num_threads(threads);
}

TEST_CASE("empty, rank 0, index types") {
  CHECK(argsort(zeros<float>({0})).shape() == Shape{0});
  CHECK(sort(zeros<float>({3, 0}), 0).shape() == Shape{3, 0});
  CHECK(argsort<std::uint8_t>(zeros<float>({256})).at({255}) == 255);
  CHECK(ERROR_OF(argsort<std::uint8_t>(zeros<float>({257}))) ==
        "[argsort] (257,): indices of 257 places do not fit uint8");
  CHECK(ERROR_OF(argsort(Tensor<float>(1.0f))) == "[argsort] (): axis -1 is out of range for rank 0");
}

TEST_CASE("derivatives: to the elements chosen; vmap") {
  const auto x = draw_normal({3, 7}), v = draw_normal({3, 7}), w = draw_normal({3, 7});
  const auto loss = [&](const Tensor<double>& p) { return tree::dot(sort(p) * sort(p), w); };
  const auto places = argsort(x);
  const auto g = grad(loss)(x), h = hvp(loss)(x, v);
  for (std::int64_t i = 0; i < 3; ++i) {
    for (std::int64_t k = 0; k < 7; ++k) {
      const std::int64_t j = places.at({i, k});
      CHECK(g.at({i, j}) == doctest::Approx(2 * x.at({i, j}) * w.at({i, k})).epsilon(1e-14));
      CHECK(h.at({i, j}) == doctest::Approx(2 * v.at({i, j}) * w.at({i, k})).epsilon(1e-14));
    }
  }
  CHECK(array_equal(vmap([](const Tensor<double>& row) { return sort(row); })(x), sort(x)));
  CHECK(array_equal(vmap([](const Tensor<double>& row) { return argsort(row, 0, {.descending = true}); })(x),
                    argsort(x, 1, {.descending = true})));
  // Equal elements: the first in order.
  const auto tied = grad([](const Tensor<double>& p) { return slice(sort(p), 0, 0, 1); })(tensor<double>({2, 1, 1}));
  CHECK(array_equal(tied, tensor<double>({0, 1, 0})));
}

}  // namespace ops_sorting_test
