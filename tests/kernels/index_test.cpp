// label: simt
// Kernels that gather by index against loops: every width, unit, index type and layout; indices out of range.
#include <cmath>
#include <cstring>
#include <limits>
#include <random>

#include <doctest/doctest.h>

#include "ergo/kernels/index.cuh"
#include "support/device_array.hpp"
#include "support/seed.hpp"

namespace kernels_index_test {

using namespace ergo::cuda;
using ergo::bfloat16;
using test::DeviceArray;

constexpr std::int64_t kNone = std::numeric_limits<std::int64_t>::max();

Stream& stream() { return current_stream(ergo::Device::cuda()); }

// Bytes at random, taken as numbers: what moves is bits.
template <class T>
std::vector<T> random_bits(std::mt19937& random, std::int64_t n) {
  std::vector<T> x(static_cast<std::size_t>(n));
  for (T& v : x) {
    const std::uint64_t bits = std::uint64_t(random()) << 32 | random();
    std::memcpy(static_cast<void*>(&v), &bits, sizeof v);
  }
  return x;
}
template <class T>
bool same_bits(const T& a, const T& b) {
  return std::memcmp(&a, &b, sizeof(T)) == 0;
}
template <class I>
std::vector<I> random_indices(std::mt19937& random, std::int64_t count, std::int64_t n) {
  std::vector<I> x(static_cast<std::size_t>(count));
  for (I& v : x) v = I(random() % unsigned(n));
  return x;
}

struct Layout {
  std::int64_t offset = 0, row_gap = 0;
  bool across = false;  // the inner axis is not the one without gaps
};
// A view of (a, b, c) in an array that begins `offset` elements before it, and the array's length.
template <class T>
View<T, 3> laid_out(T* data, const std::int64_t (&shape)[3], const Layout& l) {
  if (l.across)
    return {data + l.offset, {shape[0], shape[1], shape[2]}, {shape[1] * shape[2] + l.row_gap, 1, shape[1]}};
  const std::int64_t row = shape[2] + l.row_gap;
  return {data + l.offset, {shape[0], shape[1], shape[2]}, {shape[1] * row, row, 1}};
}
std::int64_t length(const std::int64_t (&shape)[3], const Layout& l) {
  return l.offset + shape[0] * (l.across ? shape[1] * shape[2] + l.row_gap : shape[1] * (shape[2] + l.row_gap));
}

template <class T>
using IndexOf = std::conditional_t<sizeof(T) == 8, std::int64_t, std::int32_t>;

template <class T, class I = IndexOf<T>>
void check_gather(std::int64_t lead, std::int64_t n, std::int64_t m, std::int64_t inner, Layout lx = {}, Layout ly = {},
                  bool shared_indices = false, std::vector<std::int64_t> bad = {}) {
  const std::uint64_t seed = test_seed();
  CAPTURE(seed);
  CAPTURE(lead);
  CAPTURE(n);
  CAPTURE(m);
  CAPTURE(inner);
  std::mt19937 random{unsigned(seed)};
  const auto x = random_bits<T>(random, length({lead, n, inner}, lx));
  const std::int64_t sets = shared_indices ? 1 : lead;
  auto indices = random_indices<I>(random, sets * m, n);
  for (const std::int64_t at : bad) indices[std::size_t(at)] = random() % 2 ? I(n) : I(-1);
  // Between the rows of y lies what was there before.
  const DeviceArray<T> in(x), out(random_bits<T>(random, length({lead, m, inner}, ly)));
  const DeviceArray<I> by(indices);
  const DeviceArray<std::int64_t> fault(std::vector<std::int64_t>{kNone});
  const auto y_view = laid_out(out.data(), {lead, m, inner}, ly);
  launch_gather<T, I>(stream(), laid_out(in.data(), {lead, n, inner}, lx),
                      View<I, 2>{by.data(), {lead, m}, {shared_indices ? 0 : m, 1}}, y_view, fault.data());
  const auto y = out.host();
  const auto from = laid_out(x.data(), {lead, n, inner}, lx);
  const View<const T, 3> to{
      y.data() + ly.offset, {lead, m, inner}, {y_view.stride[0], y_view.stride[1], y_view.stride[2]}};
  std::int64_t wrong = 0;
  for (std::int64_t l = 0; l < lead; ++l)
    for (std::int64_t j = 0; j < m; ++j) {
      const auto index = std::int64_t(indices[std::size_t((shared_indices ? 0 : l * m) + j)]);
      for (std::int64_t c = 0; c < inner; ++c) {
        T expected;
        std::memset(static_cast<void*>(&expected), 0, sizeof expected);
        if (index >= 0 && index < n) expected = from(l, index, c);
        wrong += !same_bits(to(l, j, c), expected);
      }
    }
  CHECK(wrong == 0);
  std::int64_t first = kNone;
  for (const std::int64_t at : bad) first = std::min(first, at);
  CHECK(fault.host()[0] == first);
}

TEST_CASE_TEMPLATE("gather moves rows of every width", T, unsigned char, bfloat16, float, double) {
  for (const std::int64_t inner : {1, 2, 3, 4, 8, 12, 16, 33, 64}) check_gather<T>(1, 10, 7, inner);
  check_gather<T>(3, 5, 4, 48);
  check_gather<T>(2, 200, 9, 5);
  check_gather<T>(1, 4, 300, 4);   // more rows than a block
  check_gather<T>(1, 3, 1, 5000);  // rows longer than a block
  check_gather<T>(2, 6, 5, 8, {}, {}, true);
}
TEST_CASE_TEMPLATE("gather from and to any strides and alignments", T, unsigned char, bfloat16, float, double) {
  for (const std::int64_t offset : {0, 1, 2, 4})
    for (const std::int64_t gap : {0, 1, 8}) {
      check_gather<T>(2, 5, 4, 32, {offset, gap, false}, {});
      check_gather<T>(2, 5, 4, 16, {}, {offset, gap, false});
    }
  check_gather<T>(2, 5, 4, 16, {1, 2, true}, {});
  check_gather<T>(2, 5, 4, 16, {0, 0, false}, {0, 0, true});
  check_gather<T>(2, 5, 4, 1, {0, 3, true}, {2, 1, false});
}

TEST_CASE("an index out of range gives zeros, and the first is told") {
  check_gather<float>(1, 10, 400, 8, {}, {}, false, {399, 17, 250});
  check_gather<double>(3, 10, 50, 3, {}, {}, false, {149, 120});
  check_gather<float>(4, 10, 50, 3, {}, {}, true, {7, 49});  // shared: in the indices' own shape
  check_gather<bfloat16>(1, 0 + 1, 3, 5, {}, {}, false, {0});
  check_gather<float, unsigned char>(1, 100, 30, 4, {}, {}, false, {11});
  SUBCASE("that int64 holds and int32 does not") {
    const DeviceArray<double> in(std::vector<double>{1, 2}), out(2);
    const DeviceArray<std::int64_t> by(std::vector<std::int64_t>{std::int64_t{1} << 32, 1});
    launch_gather<double, std::int64_t>(stream(), row_major(in.data(), {1, 2, 1}), row_major(by.data(), {1, 2}),
                                        row_major(out.data(), {1, 2, 1}), nullptr);
    CHECK(out.host() == std::vector<double>{0, 2});
  }
}

TEST_CASE("nothing to gather: only the indices are looked at") {
  check_gather<float>(1, 5, 0, 4);
  check_gather<float>(0, 5, 3, 4);
  check_gather<float>(1, 5, 300, 0, {}, {}, false, {299, 280});
  check_gather<float>(2, 5, 3, 0);
}

template <int = 0>
__global__ void divide_kernel(const std::uint64_t* n, std::uint64_t* q, WideDivisor d, int count) {
  const int i = int(blockIdx.x * blockDim.x + threadIdx.x);
  if (i < count) q[i] = d.divide(n[i]);
}
TEST_CASE("64-bit division by multiplication") {
  std::mt19937_64 random{test_seed()};
  const std::uint64_t one = 1, most = (one << 63) - 1;
  for (std::uint64_t d : {one, 2 * one, 3 * one, 7 * one, one << 31, (one << 31) + 1, 10000000019 * one, one << 40,
                          (one << 62) - 1, one << 62, (one << 62) + 1, most}) {
    std::vector<std::uint64_t> n = {0, 1, d - 1, d, most, most - 1};
    for (int i = 0; i < 300; ++i) n.push_back(random() >> (1 + random() % 63));
    for (int i = 0; i < 50; ++i) {
      const std::uint64_t at = d * (random() % (most / d + 1));
      n.insert(n.end(), {at, at ? at - 1 : 0});
    }
    const DeviceArray<std::uint64_t> in(n), out(n.size());
    launch(stream(), "test", {blocks_for(std::int64_t(n.size()), 128), 128}, divide_kernel<>, in.data(), out.data(),
           WideDivisor::of(std::int64_t(d)), int(n.size()));
    const auto q = out.host();
    std::int64_t wrong = 0;
    for (std::size_t i = 0; i < n.size(); ++i) wrong += q[i] != n[i] / d;
    CAPTURE(d);
    CHECK(wrong == 0);
  }
}

TEST_CASE("positions that need 64 bits are split alike") {
  const std::vector<float> x = {1, 2, 3, 4, 5, 6};
  const DeviceArray<float> in(x), out(8);
  const DeviceArray<std::int32_t> by(std::vector<std::int32_t>{2, 0, 1, 2});
  launch(stream(), "test", {dim3(1), dim3(kIndexBlock)}, gather_kernel<std::uint64_t, float, std::int32_t>,
         row_major(in.data(), {1, 3, 2}), row_major(by.data(), {1, 4}), row_major(out.data(), {1, 4, 2}),
         WideDivisor::of(2), WideDivisor::of(4), nullptr);
  CHECK(out.host() == std::vector<float>{5, 6, 1, 2, 3, 4, 5, 6});
  launch(stream(), "test", {dim3(1), dim3(kIndexBlock)}, take_along_kernel<std::uint64_t, float, std::int32_t>,
         row_major(in.data(), {1, 3, 2}), row_major(by.data(), {1, 2, 2}), row_major(out.data(), {1, 2, 2}),
         WideDivisor::of(2), WideDivisor::of(2), nullptr);
  launch(stream(), "test", {dim3(1), dim3(kIndexBlock)}, one_hot_kernel<4, std::uint64_t, float, std::int32_t>,
         row_major(by.data(), {1}), row_major(out.data() + 4, {1, 3}), 7.0f, WideDivisor::of(3), nullptr);
  launch(stream(), "test", {dim3(1), dim3(kIndexBlock)}, one_hot_kernel<1, std::uint64_t, float, std::int32_t>,
         row_major(by.data(), {1}), row_major(out.data() + 7, {1, 1}), 7.0f, WideDivisor::of(1), nullptr);
  CHECK(out.host() == std::vector<float>{5, 2, 3, 6, 0, 0, 7, 0});
}

template <class T, class I = IndexOf<T>>
void check_take_along(std::int64_t lead, std::int64_t n, std::int64_t m, std::int64_t inner, bool x_has_lead,
                      bool indices_have_inner, std::vector<std::int64_t> bad = {}) {
  const std::uint64_t seed = test_seed();
  CAPTURE(seed);
  std::mt19937 random{unsigned(seed)};
  const std::int64_t own_inner = indices_have_inner ? inner : 1;
  const auto x = random_bits<T>(random, (x_has_lead ? lead : 1) * n * inner);
  auto indices = random_indices<I>(random, lead * m * own_inner, n);
  for (const std::int64_t at : bad) indices[std::size_t(at)] = I(-1);
  const DeviceArray<T> in(x), out(std::size_t(lead * m * inner));
  const DeviceArray<I> by(indices);
  const DeviceArray<std::int64_t> fault(std::vector<std::int64_t>{kNone});
  View<T, 3> from = row_major(in.data(), {lead, n, inner});
  if (!x_has_lead) from.stride[0] = 0;
  View<I, 3> index = row_major(by.data(), {lead, m, own_inner});
  index.shape[2] = inner;
  if (!indices_have_inner) index.stride[2] = 0;
  launch_take_along_axis<T, I>(stream(), from, index, row_major(out.data(), {lead, m, inner}), fault.data());
  const auto y = out.host();
  std::int64_t wrong = 0;
  for (std::int64_t l = 0; l < lead; ++l)
    for (std::int64_t j = 0; j < m; ++j)
      for (std::int64_t c = 0; c < inner; ++c) {
        const auto i = std::int64_t(indices[std::size_t((l * m + j) * own_inner + (indices_have_inner ? c : 0))]);
        T expected;
        std::memset(static_cast<void*>(&expected), 0, sizeof expected);
        if (i >= 0 && i < n) expected = x[std::size_t(((x_has_lead ? l : 0) * n + i) * inner + c)];
        wrong += !same_bits(y[std::size_t((l * m + j) * inner + c)], expected);
      }
  CHECK(wrong == 0);
  std::int64_t first = kNone;
  for (const std::int64_t at : bad) first = std::min(first, at);
  CHECK(fault.host()[0] == first);
}

TEST_CASE_TEMPLATE("take_along_axis has an index for each element", T, unsigned char, bfloat16, float, double) {
  check_take_along<T>(3, 5, 7, 4, true, true);
  check_take_along<T>(2, 300, 1100, 1, true, true);
  check_take_along<T>(4, 9, 2, 6, false, true, {40, 17});
  check_take_along<T>(4, 9, 2, 6, true, false, {7});
  check_take_along<T>(2, 9, 0, 6, true, true);
}

template <class T, class I = IndexOf<T>>
void check_one_hot(std::int64_t m, std::int64_t n, std::int64_t offset, T one, std::vector<std::int64_t> bad = {}) {
  const std::uint64_t seed = test_seed();
  CAPTURE(seed);
  CAPTURE(m);
  CAPTURE(n);
  std::mt19937 random{unsigned(seed)};
  auto ids = random_indices<I>(random, m, n ? n : 1);
  for (const std::int64_t at : bad) ids[std::size_t(at)] = I(n);
  const DeviceArray<I> by(ids);
  using Element = typename DeviceArray<T>::Element;
  const DeviceArray<T> out(std::vector<Element>(std::size_t(m * n + offset), Element(2.0f)));
  const DeviceArray<std::int64_t> fault(std::vector<std::int64_t>{kNone});
  launch_one_hot<T, I>(stream(), row_major(by.data(), {m}), row_major(out.data() + offset, {m, n}), one, fault.data());
  const auto y = out.host();
  std::int64_t wrong = 0;
  for (std::int64_t r = 0; r < m; ++r)
    for (std::int64_t k = 0; k < n; ++k) {
      T expected;
      std::memset(static_cast<void*>(&expected), 0, sizeof expected);
      if (std::int64_t(ids[std::size_t(r)]) == k) expected = one;
      wrong += std::memcmp(&y[std::size_t(r * n + k + offset)], &expected, sizeof(T)) != 0;
    }
  CHECK(wrong == 0);
  std::int64_t first = kNone;
  for (const std::int64_t at : bad) first = std::min(first, at);
  CHECK(fault.host()[0] == first);
}
TEST_CASE_TEMPLATE("one_hot", T, bool, bfloat16, float, double) {
  const T one = T(1.0f);
  for (const std::int64_t offset : {0, 1})
    for (const std::int64_t n : {1, 2, 3, 10, 33}) check_one_hot<T>(37, n, offset, one);
  check_one_hot<T>(3, 1500, 0, one);
  check_one_hot<T>(5, 40, 0, one, {3, 1});
  check_one_hot<T>(300, 7, 1, one, {299, 150});
  check_one_hot<T>(3, 0, 0, one, {0, 1, 2});
  check_one_hot<T>(0, 3, 0, one);
}
TEST_CASE("indices of one byte") {
  check_gather<float, unsigned char>(2, 200, 9, 5);
  check_take_along<float, unsigned char>(4, 9, 2, 6, false, true, {40, 17});
  check_one_hot<float, unsigned char>(5, 40, 0, 1.0f, {3, 1});
}

}  // namespace kernels_index_test
