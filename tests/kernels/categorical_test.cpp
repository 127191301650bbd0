// label: simt
// Draws from categories against the same race on the host, and the check of elements: lanes of one row and of several,
// rows of a warp and of a block, what cannot be drawn from.
#include <cmath>
#include <limits>

#include <doctest/doctest.h>

#include "ergo/kernels/categorical.cuh"
#include "ergo/kernels/check.cuh"
#include "support/device_array.hpp"
#include "support/fresh.hpp"

namespace kernels_categorical_test {

using namespace ergo::cuda;
using test::DeviceArray;
namespace cpu = ergo::cpu;

constexpr std::int64_t kNone = std::numeric_limits<std::int64_t>::max();

Stream& stream() { return current_stream(ergo::Device::cuda()); }

// Logits of lanes times rows, n categories each; those of `spoilt` rows cannot be drawn from.
template <class T>
void check_draws(std::int64_t lanes, std::int64_t rows_of_lane, std::int64_t n,
                 const std::vector<std::int64_t>& spoilt = {}) {
  using I = std::conditional_t<std::is_same_v<T, double>, std::int64_t, std::int32_t>;
  CAPTURE(test_seed());
  CAPTURE(rows_of_lane);
  CAPTURE(n);
  const T inf = std::numeric_limits<T>::infinity();
  const std::int64_t rows = lanes * rows_of_lane, each = rows_of_lane * n;
  Fresh fresh(std::uint64_t(31 * rows + n));
  std::vector<std::int64_t> keys;
  for (std::int64_t l = 0; l < lanes; ++l) keys.push_back(std::int64_t(fresh.bits()));
  std::vector<T> x, race(std::size_t(rows * n));
  for (std::int64_t i = 0; i < rows * n; ++i)
    x.push_back(n > 1 && i % n == i / n % n ? -inf : T(fresh.uniform(-2, 2)));  // one a row is never drawn
  for (std::size_t s = 0; s < spoilt.size(); ++s)
    for (std::int64_t k = 0; k < n; ++k) {
      T& at = x[std::size_t(spoilt[s] * n + k)];
      if (s % 3 == 2)
        at = -inf;
      else if (k == n - 1)
        at = s % 3 ? inf : T(NAN);
    }
  cpu::draw(cpu::LogExponentialDraw<T>{}, keys.data(), lanes, each, race.data());

  const DeviceArray<T> logits(x);
  const DeviceArray<std::int64_t> by(keys), fault(std::vector<std::int64_t>{kNone});
  const DeviceArray<I> y{std::size_t(rows)};
  launch_categorical<T, I>(stream(), logits.data(), by.data(), y.data(), rows, n, each, fault.data());
  const auto drawn = y.host();
  std::int64_t first = kNone, wrong = 0;
  for (const std::int64_t row : spoilt) first = std::min(first, row);
  for (std::int64_t r = 0; r < rows; ++r) {
    std::int64_t best = 0;
    const auto value = [&](std::int64_t k) { return x[std::size_t(r * n + k)] - race[std::size_t(r * n + k)]; };
    for (std::int64_t k = 1; k < n; ++k)
      if (value(k) > value(best)) best = k;
    for (const std::int64_t row : spoilt)
      if (row == r) best = 0;
    wrong += std::int64_t(drawn[std::size_t(r)]) != best;
  }
  CHECK(wrong == 0);
  CHECK(fault.host()[0] == first);
}

TEST_CASE_TEMPLATE("the winners of the race", T, float, double) {
  for (const std::int64_t n : {1, 2, 3, 5, 31, 32, 33, 127, 1024, 1025, 3000}) {
    check_draws<T>(3, 1, n);
    check_draws<T>(2, n < 100 ? 9 : 2, n);
  }
  check_draws<T>(1, 1000, 4);
  check_draws<T>(0, 1, 4);
}
TEST_CASE_TEMPLATE("rows that cannot be drawn from give 0, and the first is told", T, float, double) {
  for (const std::int64_t n : {2, 7, 100, 1500}) check_draws<T>(2, 10, n, {17, 5, 11});
  check_draws<T>(1, 40, 3, {39});
}

struct AtMostOne {
  __device__ bool operator()(double x) const { return x <= 1; }
};
TEST_CASE_TEMPLATE("the first element that does not meet a condition", T, float, double, ergo::bfloat16) {
  for (const std::int64_t n : {0, 1, 255, 256, 257, 5000}) {
    CAPTURE(n);
    for (const std::int64_t bad : {std::int64_t(-1), std::int64_t(0), n / 2, n - 1}) {
      std::vector<T> x(std::size_t(n), T(1.0f));
      if (bad >= 0 && n > 0) x[std::size_t(bad)] = bad % 2 ? T(2.0f) : T(float(NAN));
      if (bad >= 0 && n > 0) x[std::size_t(n - 1)] = T(3.0f);
      const DeviceArray<T> in(x);
      const DeviceArray<std::int64_t> fault(std::vector<std::int64_t>{kNone});
      launch_check_elements(stream(), "test", static_cast<const T*>(in.data()), n, AtMostOne{}, fault.data());
      CHECK(fault.host()[0] == (bad >= 0 && n > 0 ? bad : kNone));
    }
  }
}

}  // namespace kernels_categorical_test
