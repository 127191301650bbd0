// label: simt
// The largest and the smallest over every layout: exact, a NaN wins; all and any. They differ by one comparison and in
// what they begin with: but for bool a type has one of them.
#include <cmath>

#include <doctest/doctest.h>

#include "ergo/kernels/reduce.cuh"
#include "kernels/reduction_layouts.hpp"

namespace kernels_extremum_test {

using namespace ergo::cuda;
using test::DeviceArray;
using test::ReductionLayout;

Stream& stream() { return current_stream(ergo::Device::cuda()); }

template <class M, class T, class X>
auto extremum(const ReductionLayout& layout, const X& x) {
  const DeviceArray<T> in(x), out{std::size_t(layout.outputs())};
  const auto view = layout.view(static_cast<const T*>(in.data()));
  const DeviceArray<std::byte> workspace(reduce_workspace<M, T>(view));
  launch_reduce<M, T>(stream(), "max", view, out.data(), test::bytes_of(workspace));
  return out.host();
}
// The best, a NaN before all, by a plain loop.
template <class M, class T, class X>
T best_of(const ReductionLayout& layout, const X& x, std::int64_t o, std::int64_t i) {
  const auto at = [&](std::int64_t k) { return ergo::Compute<T>(x[std::size_t(layout.at(o, k, i))]); };
  std::int64_t best = 0;
  for (std::int64_t k = 1; k < layout.shape[1] && at(best) == at(best); ++k)
    if (at(k) != at(k) || (std::is_same_v<M, MaxOf> ? at(k) > at(best) : at(k) < at(best))) best = k;
  return T(x[std::size_t(layout.at(o, best, i))]);
}
template <class T>
bool same(T a, T b) {
  return a == b || (a != a && b != b);
}

// What is asked of each T.
template <class T>
using Asked = std::conditional_t<std::is_same_v<T, double> || std::is_same_v<T, std::uint8_t>, MinOf, MaxOf>;

template <class T, class X, class M = Asked<T>>
void check_layout(const ReductionLayout& layout, const X& x) {
  const auto y = extremum<M, T>(layout, x);
  if (layout.shape[1] == 0) return;  // the host's error
  for (std::int64_t o = 0, j = 0; o < layout.shape[0]; ++o)
    for (std::int64_t i = 0; i < layout.shape[2]; ++i, ++j)
      CHECK(same(T(y[std::size_t(j)]), best_of<M, T>(layout, x, o, i)));
}

TEST_CASE_TEMPLATE("extrema, every layout", T, bool, std::uint8_t, std::int32_t, float, double, ergo::bfloat16) {
  const unsigned seed = std::random_device{}();
  CAPTURE(seed);
  std::mt19937 random(seed);
  for (const auto& layout : test::reduction_layouts()) {
    CAPTURE(layout.text());
    auto x = test::random_elements<T>(layout.size(), random);
    if constexpr (sizeof(T) > 1) {
      const int kind = int(random() % 4);
      for (auto& e : x) {
        if (kind == 0) e = T(int(random() % 5) - 2);  // many equals
        if constexpr (ergo::Floating<T>) {
          if (kind == 1 && random() % 700 == 0) e = T(NAN);
          if (kind == 2) e = T(random() % 2 ? INFINITY : -INFINITY);
          if (kind == 3) e = T(random() % 2 ? 0.0f : -0.0f);
        }
      }
    }
    check_layout<T>(layout, x);
  }
}

TEST_CASE("the extremes of types are no identity's victims; rows of infinities and NaN") {
  for (const std::int64_t n : {3, 5000}) {
    const auto layout = test::dense_layout(1, n, 1);
    const auto size = std::size_t(n);
    check_layout<float>(layout, std::vector<float>(size, -INFINITY));
    check_layout<double>(layout, std::vector<double>(size, INFINITY));
    check_layout<float>(layout, std::vector<float>(size, NAN));
    check_layout<double>(layout, std::vector<double>(size, NAN));
    check_layout<std::int32_t>(layout, std::vector<std::int32_t>(size, INT32_MIN));
    check_layout<std::uint8_t>(layout, std::vector<std::uint8_t>(size, 255));
  }
}

TEST_CASE("all and any; of nothing true and false") {
  for (const std::int64_t n : {0, 1, 40, 1500, 9000}) {
    const auto layout = test::dense_layout(1, n, 1);
    std::vector<unsigned char> x(std::size_t(n), 1);
    CHECK(extremum<MinOf, bool>(layout, x)[0] == 1);
    CHECK(extremum<MaxOf, bool>(layout, x)[0] == (n > 0));
    if (n == 0) continue;
    x[std::size_t(n / 2)] = 0;
    CHECK(extremum<MinOf, bool>(layout, x)[0] == 0);
    CHECK(extremum<MaxOf, bool>(layout, x)[0] == (n > 1));
  }
}

}  // namespace kernels_extremum_test
