// label: simt
// Where the largest and the smallest are, over every layout: a NaN wins, of equals the first; and how many of them
// there are. Largest and smallest differ by one comparison and in what they begin with: a type has one of them.
#include <cmath>

#include <doctest/doctest.h>

#include "ergo/kernels/arg_extremum.cuh"
#include "kernels/reduction_layouts.hpp"

namespace kernels_arg_extremum_test {

using namespace ergo::cuda;
using test::DeviceArray;
using test::ReductionLayout;

Stream& stream() { return current_stream(ergo::Device::cuda()); }

template <class M, class I, class T, class X>
auto position(const ReductionLayout& layout, const X& x) {
  const DeviceArray<T> in(x);
  const DeviceArray<I> out{std::size_t(layout.outputs())};
  const auto view = layout.view(static_cast<const T*>(in.data()));
  const DeviceArray<std::byte> workspace(arg_extremum_workspace<M, T, I>(view));
  const int before = stream().launches.next;
  launch_arg_extremum<M, T, I>(stream(), "argmax", view, out.data(), test::bytes_of(workspace));
  CHECK(stream().launches.next - before == (layout.outputs() == 0 ? 0 : workspace.size() ? 2 : 1));
  return out.host();
}

// The first that no other is better than, a NaN before all, by a plain loop.
template <class M, class T, class X>
std::int64_t first_best(const ReductionLayout& layout, const X& x, std::int64_t o, std::int64_t i) {
  const auto at = [&](std::int64_t k) { return ergo::Compute<T>(x[std::size_t(layout.at(o, k, i))]); };
  std::int64_t best = 0;
  for (std::int64_t k = 1; k < layout.shape[1] && !(at(best) != at(best)); ++k)
    if (at(k) != at(k) || (std::is_same_v<M, MaxOf> ? at(k) > at(best) : at(k) < at(best))) best = k;
  return best;
}
// How many equal the best; of NaN how many are NaN.
template <class M, class T, class X>
void check_counts(const ReductionLayout& layout, const X& x) {
  const DeviceArray<T> in(x);
  const DeviceArray<ergo::Compute<T>> out{std::size_t(layout.outputs())};
  const auto view = layout.view(static_cast<const T*>(in.data()));
  const DeviceArray<std::byte> workspace(extremum_count_workspace<M, T>(view));
  launch_extremum_count<M, T>(stream(), "max", view, out.data(), test::bytes_of(workspace));
  const auto counts = out.host();
  for (std::int64_t o = 0, j = 0; o < layout.shape[0]; ++o)
    for (std::int64_t i = 0; i < layout.shape[2]; ++i, ++j) {
      const auto at = [&](std::int64_t k) { return ergo::Compute<T>(x[std::size_t(layout.at(o, k, i))]); };
      std::int64_t count = 0;
      if (layout.shape[1] > 0) {
        const auto best = at(first_best<M, T>(layout, x, o, i));
        for (std::int64_t k = 0; k < layout.shape[1]; ++k) count += best != best ? at(k) != at(k) : at(k) == best;
      }
      CHECK(std::int64_t(counts[std::size_t(j)]) == count);
    }
}
// What is asked of each T.
template <class T>
using Asked = std::conditional_t<std::is_same_v<T, double> || std::is_same_v<T, std::uint8_t>, MinOf, MaxOf>;
template <class T>
using Position = std::conditional_t<std::is_same_v<T, double>, std::int64_t, std::int32_t>;

template <class T, class X, class M = Asked<T>>
void check_layout(const ReductionLayout& layout, const X& x) {
  const auto at = position<M, Position<T>, T>(layout, x);
  if constexpr (ergo::Floating<T>) check_counts<M, T>(layout, x);
  for (std::int64_t o = 0, j = 0; o < layout.shape[0]; ++o)
    for (std::int64_t i = 0; i < layout.shape[2]; ++i, ++j) {
      if (layout.shape[1] == 0) continue;  // the host's error
      CHECK(at[std::size_t(j)] == first_best<M, T>(layout, x, o, i));
    }
}

TEST_CASE_TEMPLATE("positions of extrema, every layout", T, std::uint8_t, std::int32_t, float, double, ergo::bfloat16) {
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

}  // namespace kernels_arg_extremum_test
