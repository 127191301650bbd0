// label: simt
// Scatters that set or take an extremum, and the transpose of the first, against loops over rows in order: dtypes,
// units, shared indices, strides, absent operands, bad indices.
#include <cmath>
#include <cstring>
#include <limits>
#include <random>

#include <doctest/doctest.h>

#include "ergo/kernels/scatter_set.cuh"
#include "support/device_array.hpp"
#include "support/message.hpp"
#include "support/seed.hpp"

namespace kernels_scatter_set_test {

using namespace ergo::cuda;
using ergo::bfloat16;
using test::DeviceArray;

Stream& stream() { return current_stream(ergo::Device::cuda()); }

struct Sizes {
  std::int64_t lead, extent, m, inner;
};
template <class I>
std::vector<I> draw_indices(std::mt19937& random, std::int64_t n, std::int64_t extent) {
  std::vector<I> v;
  for (std::int64_t i = 0; i < n; ++i) v.push_back(I(random() % std::uint64_t(extent)));
  return v;
}
template <class T>
std::vector<T> draw(std::mt19937& random, std::int64_t n) {
  std::vector<T> v;
  const float inf = std::numeric_limits<float>::infinity();
  const float corners[] = {0.0f, -0.0f, inf, -inf, NAN, -1.0f};
  for (std::int64_t i = 0; i < n; ++i) {
    if constexpr (std::is_integral_v<T>)
      v.push_back(T(random() * 7919u));
    else
      v.push_back(random() % 4 == 0 ? T(corners[random() % 6]) : T(float(random() % 64) - 32));
  }
  return v;
}
template <class T>
bool same(const T& a, const T& b) {
  if constexpr (!std::is_integral_v<T>)
    if (float(a) != float(a)) return float(b) != float(b);
  return std::memcmp(&a, &b, sizeof a) == 0;
}

// transposed: the inner axis of x and rows is not their fastest.
template <class T>
using IndexOf = std::conditional_t<sizeof(T) == 8, std::int64_t, std::int32_t>;

template <class U, class I = IndexOf<U>>
void check_set(Sizes s, bool with_x, bool with_rows, bool shared, bool transposed = false) {
  CAPTURE(s.extent);
  CAPTURE(s.m);
  CAPTURE(s.inner);
  const std::uint64_t seed = test_seed();
  CAPTURE(seed);
  std::mt19937 random{unsigned(seed)};
  const auto x = draw<U>(random, s.lead * s.extent * s.inner), rows = draw<U>(random, s.lead * s.m * s.inner);
  const auto index = draw_indices<I>(random, (shared ? 1 : s.lead) * s.m, s.extent);
  const DeviceArray<U> x_in(x), rows_in(rows), out(std::vector<U>(x.size(), U(77))), back(std::vector<U>(rows.size()));
  const DeviceArray<I> index_in(index);
  const DeviceArray<unsigned char> workspace(scatter_winners_workspace(s.lead, s.extent, shared));
  View<U, 3> vx = row_major(x_in.data(), {s.lead, s.extent, s.inner});
  View<U, 3> vr = row_major(rows_in.data(), {s.lead, s.m, s.inner});
  if (transposed) {
    vx.stride[1] = 1;
    vx.stride[2] = s.extent;
    vr.stride[1] = 1;
    vr.stride[2] = s.m;
  }
  const auto at = [&](const std::vector<U>& v, const View<U, 3>& view, std::int64_t l, std::int64_t j, std::int64_t c) {
    return v[std::size_t(l * view.stride[0] + j * view.stride[1] + c * view.stride[2])];
  };
  View<I, 2> vi = row_major(index_in.data(), {s.lead, s.m});
  if (shared) vi.stride[0] = 0;
  View<const U, 3> given_x = vx, given_rows = vr;
  if (!with_x) given_x = {nullptr, {}, {}};
  if (!with_rows) given_rows = {nullptr, {}, {}};
  launch_scatter_set<U, I>(stream(), given_x, given_rows, vi, row_major(out.data(), {s.lead, s.extent, s.inner}),
                           workspace.data(), nullptr);
  const auto y = out.host();
  launch_take_winners<U, I>(stream(), vx, vi, row_major(back.data(), {s.lead, s.m, s.inner}), workspace.data(),
                            nullptr);
  const auto taken = back.host();
  std::int64_t wrong = 0;
  for (std::int64_t l = 0; l < s.lead; ++l)
    for (std::int64_t c = 0; c < s.inner; ++c) {
      std::vector<U> column;
      for (std::int64_t d = 0; d < s.extent; ++d) column.push_back(with_x ? at(x, vx, l, d, c) : U(0));
      for (std::int64_t j = 0; j < s.m; ++j) {
        const auto to = std::size_t(index[std::size_t((shared ? 0 : l) * s.m + j)]);
        column[to] = with_rows ? at(rows, vr, l, j, c) : U(0);
        bool last = true;
        for (std::int64_t k = j + 1; k < s.m; ++k)
          last = last && std::size_t(index[std::size_t((shared ? 0 : l) * s.m + k)]) != to;
        wrong += taken[std::size_t((l * s.m + j) * s.inner + c)] != (last ? at(x, vx, l, std::int64_t(to), c) : U(0));
      }
      for (std::int64_t d = 0; d < s.extent; ++d)
        wrong += y[std::size_t((l * s.extent + d) * s.inner + c)] != column[std::size_t(d)];
    }
  CHECK(wrong == 0);
}

template <bool Largest, class T, class I = IndexOf<T>>
void check_extremum(Sizes s) {
  const std::uint64_t seed = test_seed();
  CAPTURE(seed);
  std::mt19937 random{unsigned(seed)};
  const auto x = draw<T>(random, s.lead * s.extent * s.inner), rows = draw<T>(random, s.lead * s.m * s.inner);
  const auto index = draw_indices<I>(random, s.lead * s.m, s.extent);
  const DeviceArray<T> x_in(x), rows_in(rows), out(x.size());
  const DeviceArray<I> index_in(index);
  const std::size_t bytes = scatter_extremum_workspace<T>(std::int64_t(x.size()));
  const DeviceArray<unsigned char> workspace(bytes);
  launch_scatter_extremum<Largest, T, I>(stream(), "scatter_max", row_major(x_in.data(), {s.lead, s.extent, s.inner}),
                                         row_major(rows_in.data(), {s.lead, s.m, s.inner}),
                                         row_major(index_in.data(), {s.lead, s.m}), out.data(),
                                         bytes ? workspace.data() : nullptr, nullptr);
  const auto y = out.host();
  auto expected = x;
  const auto wins = [](T a, T b) {  // b over a: NaN over all, +0 over -0 where the largest wins
    if constexpr (std::is_integral_v<T>) {
      return Largest ? a < b : b < a;
    } else {
      const auto p = double(a), q = double(b);
      if (std::isnan(p)) return false;
      if (std::isnan(q)) return true;
      if (p == q) return std::signbit(p) != std::signbit(q) && std::signbit(p) == Largest;
      return Largest ? p < q : q < p;
    }
  };
  for (std::int64_t l = 0; l < s.lead; ++l)
    for (std::int64_t j = 0; j < s.m; ++j)
      for (std::int64_t c = 0; c < s.inner; ++c) {
        T& to = expected[std::size_t((l * s.extent + std::int64_t(index[std::size_t(l * s.m + j)])) * s.inner + c)];
        const T row = rows[std::size_t((l * s.m + j) * s.inner + c)];
        if (wins(to, row)) to = row;
      }
  std::int64_t wrong = 0;
  for (std::size_t i = 0; i < y.size(); ++i) wrong += !same(y[i], expected[i]);
  CHECK(wrong == 0);
}

TEST_CASE_TEMPLATE("set, every width: rows in units of 16 bytes and single elements", U, std::uint8_t, std::uint16_t,
                   std::uint32_t, std::uint64_t) {
  for (const std::int64_t inner : {1, 3, 16, 33})
    for (const bool shared : {false, true}) {
      check_set<U>({2, 9, 30, inner}, true, true, shared);
      check_set<U>({3, 200, 70, inner}, false, true, shared);
      check_set<U>({1, 60, 20, inner}, true, false, shared);
    }
}
TEST_CASE("set: other strides, one destination, many rows, nothing") {
  check_set<std::uint32_t>({2, 9, 30, 8}, true, true, false, true);
  check_set<std::uint32_t>({1, 1, 1500, 4}, true, true, false);
  check_set<std::uint32_t>({1, 3000, 1100, 1}, true, true, true);
  check_set<std::uint32_t>({2, 9, 0, 4}, true, true, false);
  check_set<std::uint32_t>({2, 9, 5, 0}, true, true, false);
  check_set<std::uint32_t>({0, 9, 5, 3}, true, true, false);
}
TEST_CASE("indices of one byte") {
  for (const std::int64_t inner : {1, 16})
    check_set<std::uint32_t, std::uint8_t>({1, 60, 20, inner}, true, true, false);
  check_extremum<true, float, std::uint8_t>({1, 200, 50, 3});
}
TEST_CASE_TEMPLATE("extrema", T, std::uint8_t, std::int32_t, bfloat16, float, double) {
  check_extremum<true, T>({2, 9, 70, 5});
  check_extremum<true, T>({1, 200, 50, 3});
  check_extremum<true, T>({3, 4, 2, 0});
  if constexpr (sizeof(T) == 4) {  // the smallest differ by the order of keys, of integers and of floats
    check_extremum<false, T>({2, 9, 70, 5});
    check_extremum<false, T>({3, 4, 0, 3});
  }
}
TEST_CASE("a bad index is told and goes nowhere") {
  const DeviceArray<float> x(std::vector<float>{1, 2, 3}), rows(std::vector<float>{7, 8, 9}), y(3), back(3);
  const DeviceArray<std::int32_t> index(std::vector<std::int32_t>{2, 5, -1});
  const DeviceArray<std::int64_t> fault(std::vector<std::int64_t>{99});
  const DeviceArray<unsigned char> workspace(scatter_winners_workspace(1, 3, true));
  const auto word = [](const DeviceArray<float>& a) {
    return row_major(reinterpret_cast<std::uint32_t*>(a.data()), {1, 3, 1});
  };
  const auto at = row_major(index.data(), {1, 3});
  launch_scatter_set<std::uint32_t, std::int32_t>(stream(), word(x), word(rows), at, word(y), workspace.data(),
                                                  fault.data());
  CHECK(y.host() == std::vector<float>{1, 2, 7});
  CHECK(fault.host()[0] == 1);
  launch_take_winners<std::uint32_t, std::int32_t>(stream(), word(x), at, word(back), workspace.data(), nullptr);
  CHECK(back.host() == std::vector<float>{3, 0, 0});
  const DeviceArray<std::int64_t> other(std::vector<std::int64_t>{99});
  launch_scatter_extremum<true, float, std::int32_t>(stream(), "scatter_max", row_major(x.data(), {1, 3, 1}),
                                                     row_major(rows.data(), {1, 3, 1}), at, y.data(), nullptr,
                                                     other.data());
  CHECK(y.host() == std::vector<float>{1, 2, 7});
  CHECK(other.host()[0] == 1);
}

TEST_CASE("positions of 32 bits: more are an Error both ways") {
  const DeviceArray<std::uint32_t> x(3);
  const DeviceArray<std::int32_t> index(std::vector<std::int32_t>{0});
  const DeviceArray<unsigned char> workspace(scatter_winners_workspace(1, 3, true));
  const auto row = row_major(x.data(), {1, 3, 1});
  const View<const std::int32_t, 2> at{index.data(), {1, 0xffffffffLL}, {0, 0}};
  const View<std::uint32_t, 3> rows{x.data(), {1, 0xffffffffLL, 1}, {0, 0, 0}};
  const std::string told = "[scatter] on CUDA, rows are less than 2^32 - 1, not 4294967295";
  CHECK(message_of([&] {
          launch_scatter_set<std::uint32_t, std::int32_t>(stream(), row, rows, at, row, workspace.data(), nullptr);
        }) == told);
  CHECK(message_of([&] {
          launch_take_winners<std::uint32_t, std::int32_t>(stream(), row, at, rows, workspace.data(), nullptr);
        }) == told);
}

}  // namespace kernels_scatter_set_test
