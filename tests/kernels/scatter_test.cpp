// label: simt
// Kernels of scatter_add against a scalar loop that follows SEMANTICS section 6, and the CPU's own, bit for bit.
#include <cmath>
#include <cstring>
#include <limits>
#include <random>

#include <doctest/doctest.h>

#include "ergo/core/tensor.hpp"
#include "ergo/cpu/scatter.hpp"
#include "ergo/kernels/scatter.cuh"
#include "support/device_array.hpp"
#include "support/seed.hpp"

namespace kernels_scatter_test {

using namespace ergo::cuda;
using ergo::bfloat16;
using test::DeviceArray;

constexpr std::int64_t kNone = std::numeric_limits<std::int64_t>::max();

Stream& stream() { return current_stream(ergo::Device::cuda()); }

// What sums are computed in.
template <class T>
using Sum = std::conditional_t<std::is_same_v<T, bfloat16>, float,
                               std::conditional_t<std::is_same_v<T, std::int32_t>, std::uint32_t, T>>;

// The sum of values in order by runs of 128 and a binary tree over the runs.
template <class A>
A section_6_sum(const std::vector<A>& x) {
  std::vector<A> runs;
  for (std::size_t i = 0; i < x.size(); ++i)
    if (i % 128 == 0)
      runs.push_back(x[i]);
    else
      runs.back() = A(runs.back() + x[i]);
  while (runs.size() > 1) {
    std::vector<A> halved;
    for (std::size_t i = 0; i < runs.size(); i += 2)
      halved.push_back(i + 1 < runs.size() ? A(runs[i] + runs[i + 1]) : runs[i]);
    runs = halved;
  }
  return runs[0];
}

// What y (extent) becomes at one place of lead and inner.
template <class T>
void scatter_reference(std::vector<T>& y, const std::vector<T>& rows, const std::vector<std::int64_t>& indices,
                       bool adds) {
  std::vector<std::vector<Sum<T>>> of(y.size());
  for (std::size_t j = 0; j < rows.size(); ++j)
    if (indices[j] >= 0 && indices[j] < std::int64_t(y.size())) of[std::size_t(indices[j])].push_back(Sum<T>(rows[j]));
  for (std::size_t d = 0; d < y.size(); ++d) {
    if (of[d].empty()) {
      if (!adds) y[d] = T(0.0f);
    } else {
      const Sum<T> sum = section_6_sum(of[d]);
      y[d] = T(adds ? Sum<T>(Sum<T>(y[d]) + sum) : sum);
    }
  }
}

template <class T>
std::vector<T> numbers(std::mt19937& random, std::int64_t n) {
  std::vector<T> x(static_cast<std::size_t>(n));
  for (T& v : x) {
    if constexpr (std::is_integral_v<T>)
      v = T(std::uint64_t(random()) << 32 | random());
    else
      v = T(std::ldexp(float(int(random() % 2048) - 1024), int(random() % 12) - 6));
  }
  return x;
}
template <class T>
std::int64_t different(const std::vector<T>& a, const std::vector<T>& b) {
  std::int64_t n = a.size() == b.size() ? 0 : 1;
  for (std::size_t i = 0; n == 0 && i < a.size(); ++i)
    if (std::memcmp(&a[i], &b[i], sizeof(T)) != 0 && (a[i] == a[i] || b[i] == b[i])) ++n;
  return n;
}

struct Case {
  std::int64_t lead, extent, m, inner;
  bool adds = false, shared = false;
  std::int64_t offset = 0, gap = 0;  // of rows and y: elements before, and after each row
  std::vector<std::int64_t> bad = {};
  bool one_index = false;  // most rows go to one place
};

template <class T>
using IndexOf = std::conditional_t<std::is_same_v<T, double>, std::int64_t, std::int32_t>;

template <class T, class I = IndexOf<T>>
void check_scatter(const Case& s, std::vector<T> given_rows = {}, std::vector<I> given_indices = {}) {
  const std::uint64_t seed = test_seed();
  CAPTURE(seed);
  CAPTURE(s.lead);
  CAPTURE(s.extent);
  CAPTURE(s.m);
  CAPTURE(s.inner);
  CAPTURE(s.adds);
  std::mt19937 random{unsigned(seed)};
  const std::int64_t width = s.inner + s.gap, sets = s.shared ? 1 : s.lead;
  const auto rows = given_rows.empty() ? numbers<T>(random, s.offset + s.lead * s.m * width) : given_rows;
  auto y = numbers<T>(random, s.offset + s.lead * s.extent * width);
  auto indices = given_indices;
  if (indices.empty())
    for (std::int64_t j = 0; j < sets * s.m; ++j)
      indices.push_back(s.one_index && random() % 16 ? I(s.extent / 2) : I(random() % unsigned(s.extent)));
  for (const std::int64_t at : s.bad) indices[std::size_t(at)] = random() % 2 ? I(s.extent) : I(-1);

  const DeviceArray<T> from(rows), to(y);
  const DeviceArray<I> by(indices);
  const DeviceArray<std::int64_t> fault(std::vector<std::int64_t>{kNone});
  const DeviceArray<unsigned char> workspace(scatter_add_workspace<T>(s.lead, s.m, s.inner, s.shared));
  const std::int64_t rows_at[3] = {s.m * width, width, 1}, y_at[3] = {s.extent * width, width, 1};
  launch_scatter_add<T, I>(
      stream(), View<T, 3>{to.data() + s.offset, {s.lead, s.extent, s.inner}, {y_at[0], y_at[1], 1}},
      View<T, 3>{from.data() + s.offset, {s.lead, s.m, s.inner}, {rows_at[0], rows_at[1], 1}},
      View<I, 2>{by.data(), {s.lead, s.m}, {s.shared ? 0 : s.m, 1}}, s.adds, workspace.data(), fault.data());
  const auto result = to.host();

  for (std::int64_t l = 0; l < s.lead; ++l)
    for (std::int64_t c = 0; c < s.inner; ++c) {
      std::vector<T> column, parts;
      std::vector<std::int64_t> places;
      for (std::int64_t d = 0; d < s.extent; ++d)
        column.push_back(y[std::size_t(s.offset + l * y_at[0] + d * y_at[1] + c)]);
      for (std::int64_t j = 0; j < s.m; ++j) {
        parts.push_back(rows[std::size_t(s.offset + l * rows_at[0] + j * rows_at[1] + c)]);
        places.push_back(std::int64_t(indices[std::size_t((s.shared ? 0 : l * s.m) + j)]));
      }
      scatter_reference(column, parts, places, s.adds);
      for (std::int64_t d = 0; d < s.extent; ++d)
        y[std::size_t(s.offset + l * y_at[0] + d * y_at[1] + c)] = column[std::size_t(d)];
    }
  CHECK(different(result, y) == 0);  // what lies between rows is untouched
  std::int64_t first = kNone;
  for (const std::int64_t at : s.bad) first = std::min(first, at);
  CHECK(fault.host()[0] == first);

  if (s.gap == 0 && s.offset == 0 && s.bad.empty() && !s.adds && s.extent * s.m > 0) {
    const std::vector<std::int64_t> wide(indices.begin(), indices.end());
    const auto index = ergo::from_span<std::int64_t>(wide, s.shared ? ergo::Shape{s.m} : ergo::Shape{s.lead, s.m});
    const auto x = ergo::from_span<T>(rows, {s.lead, s.m, s.inner});
    const ergo::Tensor<T> cpu(ergo::cpu::scatter_add(nullptr, x.array(), index.array(), 2, 1, s.extent));
    CHECK(different(result, cpu.to_vector()) == 0);
  }
}

TEST_CASE_TEMPLATE("onto zeros and onto what is there", T, std::int32_t, bfloat16, float, double) {
  for (const bool adds : {false, true}) {
    check_scatter<T>({2, 5, 40, 3, adds});
    check_scatter<T>({1, 7, 300, 16, adds});
    check_scatter<T>({1, 3, 700, 33, adds});
    check_scatter<T>({2, 50, 20, 48, adds});
  }
}
TEST_CASE("indices of one byte") {
  for (const bool adds : {false, true}) check_scatter<float, std::uint8_t>({2, 50, 20, 48, adds});
}
TEST_CASE("lengths on both sides of runs and of the ways to sort") {
  for (const std::int64_t m : {1, 2, 32, 33, 127, 128, 129, 255, 256, 257, 512, 513, 2048, 2049, 4100}) {
    check_scatter<float>({1, 1, m, 1});
    check_scatter<float>({1, 4, m, 4, true});
    check_scatter<double>({1, 9, m, 1, false, false, 0, 0, {}, true});
  }
}
TEST_CASE("keys of two and three bytes, many empty destinations") {
  check_scatter<float>({1, 300, 500, 2});
  check_scatter<float>({1, 255, 400, 1});
  check_scatter<float>({1, 256, 400, 1});
  check_scatter<float>({1, 70000, 100, 1});
  check_scatter<bfloat16>({1, 66000, 2500, 1, false, false, 0, 0, {}, true});
}
TEST_CASE("sets with indices of their own, or shared") {
  check_scatter<float>({37, 5, 9, 1});
  check_scatter<float>({3, 4, 600, 5, true});
  check_scatter<float>({3, 4, 600, 8, false, true});
  check_scatter<double>({2, 3, 2300, 2, true, true});
  check_scatter<double>({2, 3, 2300, 2, false, false});
}
TEST_CASE("inner axes around the fold's columns") {
  for (const std::int64_t inner : {1, 2, 3, 31, 32, 33, 70}) {
    check_scatter<float>({1, 2, 400, inner});
    check_scatter<bfloat16>({1, 2, 300, 8 * ((inner + 7) / 8)});
  }
}
TEST_CASE_TEMPLATE("gaps and alignment", T, bfloat16, float, double) {
  for (const std::int64_t offset : {0, 1, 8})
    for (const std::int64_t gap : {0, 1, 8})
      for (const bool adds : {false, true}) check_scatter<T>({2, 3, 150, 16, adds, false, offset, gap});
}
TEST_CASE("rows and destinations across memory") {
  std::mt19937 random{unsigned(test_seed())};
  const auto rows = numbers<float>(random, 5 * 20);
  const DeviceArray<float> from(rows), to(5 * 3);
  const DeviceArray<std::int32_t> by(std::vector<std::int32_t>(20, 1));
  const DeviceArray<unsigned char> workspace(scatter_add_workspace<float>(1, 20, 5, false));
  launch_scatter_add<float, std::int32_t>(stream(), View<float, 3>{to.data(), {1, 3, 5}, {15, 1, 3}},
                                          View<float, 3>{from.data(), {1, 20, 5}, {100, 1, 20}},
                                          row_major(by.data(), {1, 20}), false, workspace.data(), nullptr);
  const auto y = to.host();
  for (std::size_t c = 0; c < 5; ++c) {
    CHECK(y[3 * c + 1] ==
          section_6_sum(std::vector<float>(rows.begin() + 20 * int(c), rows.begin() + 20 * int(c) + 20)));
    CHECK(y[3 * c] == 0);
    CHECK(y[3 * c + 2] == 0);
  }
}

TEST_CASE_TEMPLATE("an id repeated among terms that cancel", T, float, double) {
  std::mt19937 random{unsigned(test_seed())};
  for (const std::int64_t repeats : {100, 10000})
    for (const std::int64_t inner : {1, 4}) {
      std::vector<IndexOf<T>> ids;
      std::vector<T> rows;
      while (std::int64_t(ids.size()) < repeats + repeats / 10) {
        ids.push_back(std::int64_t(ids.size()) % 11 == 10 ? IndexOf<T>(random() % 6) : 3);
        for (std::int64_t c = 0; c < inner; ++c) {
          const T scale = std::is_same_v<T, float> ? T(1e8) : T(1e17), terms[] = {scale, T(1), T(-scale)};
          rows.push_back(terms[random() % 3]);
        }
      }
      check_scatter<T>({1, 6, std::int64_t(ids.size()), inner}, rows, ids);
      check_scatter<T>({1, 6, std::int64_t(ids.size()), inner, true}, rows, ids);
    }
}
TEST_CASE_TEMPLATE("NaN, infinities and zeros of both signs", T, bfloat16, float, double) {
  const float inf = std::numeric_limits<float>::infinity(), nan = std::numeric_limits<float>::quiet_NaN();
  const std::vector<T> rows = {T(-0.0f), T(-0.0f), T(-0.0f), T(inf),  T(1.0f),
                               T(inf),   T(-inf),  T(nan),   T(0.0f), T(-0.0f)};
  const std::vector<IndexOf<T>> ids = {0, 1, 1, 2, 2, 3, 3, 4, 5, 5};
  check_scatter<T>({1, 7, 10, 1}, rows, ids);  // the sum of zeros below zero is one
  check_scatter<T>({1, 7, 10, 1, true}, rows, ids);
}

TEST_CASE("rows of indices out of range go nowhere, and the first is told") {
  check_scatter<float>({1, 5, 30, 3, false, false, 0, 0, {29, 4, 11}});
  check_scatter<float>({3, 5, 400, 4, true, false, 0, 0, {900, 450}});
  check_scatter<float>({2, 5, 2500, 1, false, true, 0, 0, {2000, 31}});
  check_scatter<double>({1, 1, 3, 2, false, false, 0, 0, {0, 1, 2}});
  check_scatter<float, std::uint8_t>({1, 40, 300, 2, false, false, 0, 0, {200}});
  std::vector<std::int64_t> all;
  for (std::int64_t i = 0; i < 300; ++i) all.push_back(i);
  check_scatter<float>({1, 5, 300, 2, true, false, 0, 0, all});
}
TEST_CASE("nothing to add, or nowhere to") {
  check_scatter<float>({1, 5, 0, 3});
  check_scatter<float>({1, 5, 0, 3, true});
  check_scatter<float>({0, 5, 4, 3});
  check_scatter<float>({1, 5, 4, 0, false, false, 0, 0, {2}});
  check_scatter<float>({1, 1, 4, 0});
}
TEST_CASE("positions that need 64 bits are split alike") {
  const DeviceArray<float> rows(std::vector<float>{1, 2, 3, 4, 5, 6}), y(4);
  const DeviceArray<std::uint32_t> key(std::vector<std::uint32_t>{0, 1, 1}), place(std::vector<std::uint32_t>{1, 0, 2});
  const View<float, 3> to = row_major(y.data(), {1, 2, 2});
  launch(stream(), "test", {dim3(1), dim3(kIndexBlock)}, scatter_fill_kernel<std::uint64_t, float>, to, 0.0f,
         WideDivisor::of(2), WideDivisor::of(2));
  CHECK(y.host() == std::vector<float>{0, 0, 0, 0});
  launch(stream(), "test", {dim3(1), dim3(kIndexBlock)}, scatter_runs_kernel<SumOf, 1, std::uint64_t, float>,
         row_major(rows.data(), {1, 3, 2}), key.data(), place.data(), 3, to, nullptr, 0, false, WideDivisor::of(2),
         WideDivisor::of(3));
  launch(stream(), "test", {dim3(1), dim3(kIndexBlock)}, scatter_runs_kernel<SumOf, 2, std::uint64_t, float>,
         row_major(rows.data(), {1, 3, 2}), key.data(), place.data(), 3, to, nullptr, 0, true, WideDivisor::of(1),
         WideDivisor::of(3));
  CHECK(y.host() == std::vector<float>{6, 8, 12, 16});
}

template <class M, class T, class I = IndexOf<T>>
void check_extremum(std::int64_t lead, std::int64_t extent, std::int64_t m, std::int64_t inner, std::int64_t gap = 0) {
  CAPTURE(extent);
  CAPTURE(m);
  CAPTURE(inner);
  constexpr bool largest = std::is_same_v<M, MaxOf>;
  std::mt19937 random{unsigned(test_seed())};
  const std::int64_t width = inner + gap;
  auto rows = numbers<T>(random, lead * m * width);
  if constexpr (!std::is_integral_v<T>)
    for (std::size_t i = 5; i < rows.size(); i += 97) rows[i] = ergo::convert<T>(double(NAN));
  std::vector<I> indices;
  for (std::int64_t j = 0; j < lead * m; ++j)
    indices.push_back(random() % 3 ? I(extent / 2) : I(random() % unsigned(extent)));
  const DeviceArray<T> from(rows), to{std::size_t(lead * extent * inner)};
  const DeviceArray<I> by(indices);
  const DeviceArray<std::int64_t> fault(std::vector<std::int64_t>{kNone});
  const DeviceArray<unsigned char> workspace(scatter_add_workspace<T>(lead, m, inner, false));
  launch_scatter_extremum<M, T, I>(stream(), "segment_max", row_major(to.data(), {lead, extent, inner}),
                                   View<T, 3>{from.data(), {lead, m, inner}, {m * width, width, 1}},
                                   View<I, 2>{by.data(), {lead, m}, {m, 1}}, workspace.data(), fault.data());
  const auto y = to.host();
  std::int64_t wrong = 0;
  for (std::int64_t l = 0; l < lead; ++l)
    for (std::int64_t d = 0; d < extent; ++d)
      for (std::int64_t c = 0; c < inner; ++c) {
        long double best = largest ? -HUGE_VALL : HUGE_VALL;
        if (std::is_same_v<T, std::int32_t>) best = largest ? INT32_MIN : INT32_MAX;
        for (std::int64_t j = 0; j < m; ++j) {
          if (std::int64_t(indices[std::size_t(l * m + j)]) != d) continue;
          const T e = rows[std::size_t((l * m + j) * width + c)];
          const auto v = [&] {
            if constexpr (std::is_integral_v<T>)
              return static_cast<long double>(e);
            else
              return static_cast<long double>(double(e));
          }();
          if (std::isnan(v) || (!std::isnan(best) && (largest ? v > best : v < best))) best = v;
        }
        const T given = y[std::size_t((l * extent + d) * inner + c)];
        long double got;
        if constexpr (std::is_integral_v<T>)
          got = static_cast<long double>(given);
        else
          got = static_cast<long double>(double(given));
        wrong += std::isnan(best) ? !std::isnan(got) : got != best;
      }
  CHECK(wrong == 0);
  CHECK(fault.host()[0] == kNone);
}
TEST_CASE_TEMPLATE("extrema of what goes to a place", T, std::int32_t, bfloat16, float, double) {
  using M = std::conditional_t<std::is_same_v<T, std::int32_t>, MinOf, MaxOf>;  // the two differ by one comparison
  for (const std::int64_t m : {1, 40, 127, 128, 129, 700}) {
    check_extremum<M, T>(2, 5, m, 3);
    check_extremum<M, T>(1, 9, m, 16);
  }
  check_extremum<M, T>(1, 60, 2500, 1);
  check_extremum<M, T>(1, 4, 300, 33, 2);
  check_extremum<M, T>(1, 3, 0, 4);
}
TEST_CASE("the smallest of floats") {
  for (const std::int64_t m : {40, 129, 700}) check_extremum<MinOf, float>(2, 5, m, 3);
}

}  // namespace kernels_scatter_test
