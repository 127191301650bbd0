// label: simt
// Strided copies of every kind, triangles, fills, and casts between all types, against loops over elements on the host.
#include <algorithm>
#include <cmath>
#include <cstring>
#include <limits>
#include <string>

#include <doctest/doctest.h>

#include "ergo/kernels/cast.cuh"
#include "ergo/kernels/movement.cuh"
#include "ergo/kernels/triangle.cuh"
#include "support/device_array.hpp"
#include "support/fresh.hpp"

namespace kernels_movement_test {

using namespace ergo::cuda;
using test::DeviceArray;
using Kind = CopyPlan::Kind;
using Bytes = std::vector<std::byte>;

Stream& stream() { return current_stream(ergo::Device::cuda()); }

// One side of a copy in elements: strides, and elements before the first that is used.
struct Side {
  std::vector<std::int64_t> stride;
  std::int64_t offset = 0;
};

// Elements from the lowest to the highest that a side touches, and the place of index 0 among them.
void span_of(const std::vector<std::int64_t>& extent, const Side& s, std::int64_t& size, std::int64_t& origin) {
  std::int64_t low = 0, high = 0;
  for (std::size_t d = 0; d < extent.size(); ++d) {
    if (extent[d] == 0) continue;
    (s.stride[d] < 0 ? low : high) += (extent[d] - 1) * s.stride[d];
  }
  origin = s.offset - low;
  size = s.offset + high - low + 1;
}

void check_copy(Kind kind, int width, const std::vector<std::int64_t>& extent, const Side& from, const Side& to,
                std::int64_t most = 0x7fffffff) {
  CAPTURE(test_seed());
  CAPTURE(width);
  std::string shape;
  for (const std::int64_t n : extent) shape += std::to_string(n) + " ";
  CAPTURE(shape);
  Fresh fresh(std::uint64_t(width) * 31 + extent.size());
  const auto w = std::size_t(width);
  std::int64_t from_size, from_origin, to_size, to_origin;
  span_of(extent, from, from_size, from_origin);
  span_of(extent, to, to_size, to_origin);
  Bytes x(std::size_t(from_size) * w), y(std::size_t(to_size) * w);
  for (auto& b : x) b = std::byte(fresh.bits());
  for (auto& b : y) b = std::byte(fresh.bits());
  const DeviceArray<std::byte> in(x), out(y);
  CopyCall call{in.data() + from_origin * width, out.data() + to_origin * width, width, int(extent.size()), {}, {}, {}};
  std::int64_t n = 1;
  for (std::size_t d = 0; d < extent.size(); ++d) {
    n *= extent[d];
    call.extent[d] = extent[d];
    call.from_stride[d] = from.stride[d] * width;
    call.to_stride[d] = to.stride[d] * width;
  }
  for (std::int64_t i = 0; i < n; ++i) {
    std::int64_t rest = i, f = from_origin, t = to_origin;
    for (std::size_t d = extent.size(); d-- > 0; rest /= extent[d]) {
      f += rest % extent[d] * from.stride[d];
      t += rest % extent[d] * to.stride[d];
    }
    std::memcpy(y.data() + t * width, x.data() + f * width, w);
  }
  if (n > 0) CHECK(plan_copy(call).kind == kind);
  launch_copy(stream(), call, most);
  CHECK((out.host() == y));
}

TEST_CASE("a dense run of any length, each side at any alignment") {
  for (const int width : {1, 2, 4, 8})
    for (const std::int64_t n : {1, 2, 3, 15, 16, 17, 31, 33, 100, 1023})
      check_copy(Kind::run, width, {n}, {{1}, n % 3}, {{1}, n % 5});
  for (const std::int64_t at : {0, 1, 2, 3, 4, 5, 8, 11, 15}) {
    for (const std::int64_t to : {0, 1, 7, 8, 12}) check_copy(Kind::run, 1, {200}, {{1}, at}, {{1}, to});
    check_copy(Kind::run, 1, {30 + at}, {{1}, at}, {{1}, 13});
  }
  check_copy(Kind::run, 4, {4095}, {{1}}, {{1}});  // a block moves 16 KiB
  check_copy(Kind::run, 4, {4097}, {{1}}, {{1}});
  check_copy(Kind::run, 2, {20001}, {{1}, 1}, {{1}, 2});
}

TEST_CASE("axes that are one axis to both sides are merged") {
  check_copy(Kind::run, 4, {3, 1, 5, 7}, {{35, 9, 7, 1}}, {{35, 1000, 7, 1}});
  check_copy(Kind::run, 2, {3, 5, 7}, {{1, 3, 15}}, {{1, 3, 15}});        // both in the same order
  check_copy(Kind::run, 8, {6, 5}, {{-5, -1}}, {{-5, -1}});               // both backwards
  check_copy(Kind::run, 4, {1, 1}, {{5, 3}}, {{7, 2}});                   // one element
  check_copy(Kind::run, 4, {}, {{}}, {{}});                               // rank 0
  check_copy(Kind::elements, 4, {4, 3, 5}, {{30, 10, 2}}, {{15, 5, 1}});  // a step of 2, one axis
}

TEST_CASE("nothing is copied of nothing") {
  check_copy(Kind::run, 4, {0}, {{1}}, {{1}});
  check_copy(Kind::run, 4, {3, 0, 2}, {{0, 2, 1}}, {{0, 2, 1}});
}

TEST_CASE("rows go by the widest pack that divides them") {
  for (const int width : {1, 2, 4, 8})
    for (const std::int64_t row : {1, 2, 3, 4, 7, 8, 16, 30})
      for (const std::int64_t pitch : {row, row + 1, row + 2, row + 16})
        if (pitch > row) check_copy(Kind::elements, width, {5, row}, {{pitch, 1}}, {{row + 32, 1}, 2});
  check_copy(Kind::elements, 4, {3, 5, 12}, {{100, 16, 1}}, {{60, 12, 1}});
  check_copy(Kind::elements, 4, {40, 12}, {{0, 1}}, {{12, 1}});      // one row, repeated
  check_copy(Kind::elements, 4, {40, 12}, {{-16, 1}}, {{12, 1}});    // from the last to the first
  check_copy(Kind::elements, 8, {65, 33}, {{34, 1}, 1}, {{33, 1}});  // 8 bytes suffice
}

TEST_CASE("long rows of any alignment") {
  check_copy(Kind::rows, 4, {5, 65}, {{66, 1}}, {{67, 1}, 1});
  check_copy(Kind::rows, 2, {7, 129}, {{130, 1}, 1}, {{129, 1}});
  check_copy(Kind::rows, 2, {2, 3, 1025}, {{4000, 1027, 1}, 3}, {{1025 * 3, 1025, 1}});  // a piece is 2 KiB
  check_copy(Kind::rows, 1, {9, 256}, {{257, 1}}, {{256, 1}});
  check_copy(Kind::rows, 1, {3, 2049}, {{2051, 1}}, {{2049, 1}});
  check_copy(Kind::elements, 1, {9, 255}, {{257, 1}}, {{255, 1}});
  check_copy(Kind::rows, 1, {3, 300}, {{-301, 1}}, {{300, 1}});
  check_copy(Kind::rows, 1, {3, 300}, {{0, 1}}, {{300, 1}, 5});
}

TEST_CASE("transposes") {
  for (const int width : {1, 2, 4, 8})
    for (const std::int64_t n : {8, 31, 32, 33, 63, 64, 65})
      for (const std::int64_t m : {8, 32, 37, 64, 70}) check_copy(Kind::transpose, width, {n, m}, {{1, n}}, {{m, 1}});
  check_copy(Kind::transpose, 4, {3, 33, 40}, {{33 * 40, 1, 33}}, {{33 * 40, 40, 1}});               // batched
  check_copy(Kind::transpose, 4, {2, 12, 20, 9}, {{2160, 1, 108, 12}, 1}, {{2400, 200, 10, 1}, 1});  // 2 outer axes
  check_copy(Kind::elements, 2, {2, 9, 10, 3}, {{270, 10, 1, 90}}, {{270, 30, 3, 1}});               // NHWC of 3
  check_copy(Kind::transpose, 2, {2, 9, 10, 8}, {{720, 10, 1, 90}}, {{720, 80, 8, 1}});              // of 8 channels
  check_copy(Kind::transpose, 4, {34, 33}, {{-1, 40}}, {{33, 1}});                                   // backwards
  check_copy(Kind::transpose, 8, {34, 33}, {{1, -40}}, {{35, 1}});
  check_copy(Kind::elements, 4, {7, 33}, {{1, 7}}, {{33, 1}});  // too narrow for tiles
  check_copy(Kind::elements, 4, {33, 7}, {{1, 33}}, {{7, 1}});
}

TEST_CASE("elements with any strides, up to 8 axes") {
  for (const int width : {1, 2, 4, 8}) {
    check_copy(Kind::elements, width, {1023}, {{1}}, {{2}, 1});
    check_copy(Kind::elements, width, {1025}, {{3}}, {{1}});
    check_copy(Kind::elements, width, {2049}, {{0}}, {{1}});
    check_copy(Kind::elements, width, {300}, {{-1}}, {{1}});
    check_copy(Kind::elements, width, {5, 6, 7}, {{1, 0, -5}}, {{90, 14, 2}});
    check_copy(Kind::elements, width, {2, 3, 2, 3, 2, 3, 2, 3}, {{1, 2, 8, 16, 50, 100, 300, 600}},
               {{2000, 600, 300, 90, 44, 14, 6, 2}});
  }
}

TEST_CASE("what one launch cannot index is cut into slices") {
  check_copy(Kind::elements, 4, {1025}, {{3}}, {{1}}, 100);
  check_copy(Kind::elements, 4, {7, 5, 9}, {{200, 20, 2}}, {{45, 9, 1}}, 20);  // through two axes
  check_copy(Kind::elements, 2, {6, 40}, {{48, 1}}, {{40, 1}}, 10);
  check_copy(Kind::transpose, 4, {5, 33, 34}, {{33 * 34, 1, 33}}, {{33 * 34, 34, 1}}, 3000);
  check_copy(Kind::transpose, 4, {33, 34}, {{1, 33}}, {{34, 1}}, 500);
  check_copy(Kind::rows, 1, {9, 300}, {{301, 1}}, {{300, 1}}, 1000);
}

// Matrices with `gap` elements behind each row, or transposed in memory.
template <class U>
void check_triangle(std::int64_t lead, std::int64_t rows, std::int64_t cols, std::int64_t gap, bool transposed) {
  CAPTURE(test_seed());
  CAPTURE(rows);
  CAPTURE(cols);
  Fresh fresh(std::uint64_t(rows * 100 + cols));
  const std::int64_t pitch = (transposed ? rows : cols) + gap, size = lead * pitch * (transposed ? cols : rows);
  std::vector<U> x;
  for (std::int64_t i = 0; i < size; ++i) x.push_back(U(fresh.bits()));
  const DeviceArray<U> in(x);
  View<const U, 3> v{in.data(), {lead, rows, cols}, {pitch * (transposed ? cols : rows), pitch, 1}};
  if (transposed) std::swap(v.stride[1], v.stride[2]);
  for (const bool lower : {true, false})
    for (std::int64_t k = -rows; k <= cols; ++k) {
      const DeviceArray<U> y{std::size_t(lead * rows * cols)};
      launch_triangle(stream(), v, y.data(), k, lower);
      const auto out = y.host();
      std::int64_t wrong = 0;
      for (std::int64_t l = 0, i = 0; l < lead; ++l)
        for (std::int64_t r = 0; r < rows; ++r)
          for (std::int64_t c = 0; c < cols; ++c, ++i) {
            const bool kept = lower ? c - r <= k : c - r >= k;
            wrong += out[std::size_t(i)] != (kept ? x[std::size_t(&v(l, r, c) - in.data())] : U(0));
          }
      CHECK(wrong == 0);
    }
}
TEST_CASE_TEMPLATE("triangles", U, std::uint8_t, std::uint16_t, std::uint32_t, std::uint64_t) {
  check_triangle<U>(1, 5, 16, 0, false);  // in packs
  check_triangle<U>(3, 17, 32, 16, false);
  check_triangle<U>(2, 4, 7, 0, false);
  check_triangle<U>(2, 6, 16, 1, false);
  check_triangle<U>(2, 5, 16, 0, true);
  check_triangle<U>(1, 1, 1, 0, false);
  check_triangle<U>(0, 3, 4, 0, false);
  check_triangle<U>(2, 3, 0, 0, false);
}

TEST_CASE("fills") {
  for (const int width : {1, 2, 4, 8})
    for (const std::size_t n : {0u, 1u, 2u, 7u, 15u, 16u, 17u, 40u, 1000u, 5000u})
      for (const std::size_t offset : {0u, 1u, 3u}) {
        const std::uint64_t bits = 0xf1e2d3c4b5a69788u;
        const std::size_t w = std::size_t(width);
        Bytes y((n + offset + 1) * w, std::byte{7});
        const DeviceArray<std::byte> out(y);
        for (std::size_t i = offset; i < offset + n; ++i) std::memcpy(y.data() + i * w, &bits, w);
        launch_fill(stream(), out.data() + offset * w, std::int64_t(n), width, bits);
        CHECK((out.host() == y));
      }
}

template <class T>
std::vector<T> special_values() {
  std::vector<T> x;
  if constexpr (std::is_same_v<T, bool>) {
    x = {false, true};
  } else if constexpr (std::is_integral_v<T>) {
    using L = std::numeric_limits<T>;
    x = {T(0), T(1), T(-1), L::min(), L::max(), T(L::min() + 1), T(L::max() - 1)};
    for (int k = 0; k < int(sizeof(T)) * 8; ++k)
      for (const int d : {-1, 0, 1}) x.push_back(T((std::uint64_t(1) << k) + std::uint64_t(std::int64_t(d))));
  } else {
    using L = std::numeric_limits<double>;
    for (const double v : {0.0,
                           0.5,
                           1.0,
                           1.5,
                           254.5,
                           255.0,
                           255.5,
                           256.0,
                           65504.0,
                           65519.0,
                           65520.0,
                           0x1p-24,
                           0x1p-25,
                           0x1.8p-25,
                           0x1p31,
                           0x1p32,
                           0x1p53,
                           0x1p62,
                           0x1p63,
                           0x1p64,
                           1e-40,
                           1e-46,
                           1e-310,
                           3.4e38,
                           3.5e38,
                           1e300,
                           0x1.fefp127,
                           0x1.ffp127,
                           0x1.fffffp127,
                           L::infinity(),
                           L::quiet_NaN(),
                           1 + 0x1p-8,
                           1 + 0x1p-8 + 0x1p-40,
                           1 + 0x1p-11,
                           1 + 0x1p-11 + 0x1p-45,
                           2147483646.5,
                           2147483647.5,
                           9007199254740993.0})
      for (const double s : {1.0, -1.0}) x.push_back(ergo::convert<T>(s * v));
  }
  return x;
}

template <class T>
T random_bits(Fresh& fresh) {
  const std::uint64_t u = fresh.bits();
  if constexpr (std::is_same_v<T, bool>) {
    return bool(u & 1);
  } else {
    T x;
    std::memcpy(&x, &u, sizeof x);
    return x;
  }
}

template <class To, class From>
void check_cast(std::int64_t offset) {
  Fresh fresh(std::uint64_t(offset) + 99);
  std::vector<From> x = special_values<From>();
  for (int i = 0; i < 300; ++i) x.push_back(random_bits<From>(fresh));
  // NaNs of any payload, and numbers around the limits of integers
  for (int i = 0; i < 60; ++i) {
    if constexpr (!std::is_integral_v<From>)
      x.push_back(ergo::convert<From>(fresh.uniform(-1, 1) * std::exp2(double(i + 6))));
    if constexpr (sizeof(From) == 8 && std::is_same_v<From, double>)
      x.push_back(std::bit_cast<double>(fresh.bits() | 0x7ff0000000000000u));
    if constexpr (std::is_same_v<From, float>)
      x.push_back(std::bit_cast<float>(std::uint32_t(fresh.bits()) | 0x7f800000u));
    if constexpr (std::is_same_v<From, ergo::half>) x.push_back(From::from_bits(std::uint16_t(fresh.bits() | 0x7c00u)));
  }
  const std::size_t n = x.size();
  std::vector<typename DeviceArray<From>::Element> padded(n + std::size_t(offset));
  for (std::size_t i = 0; i < n; ++i) padded[i + std::size_t(offset)] = x[i];
  const DeviceArray<From> in(padded);
  const DeviceArray<To> out(n + std::size_t(offset));
  launch_cast(stream(), in.data() + offset, out.data() + offset, std::int64_t(n));
  const auto y = out.host(std::size_t(offset));
  for (std::size_t i = 0; i < n; ++i) {
    const To expected = ergo::convert<To>(static_cast<From>(x[i]));
    CAPTURE(i);
    CHECK(std::memcmp(&y[i], &expected, sizeof(To)) == 0);
  }
}

template <class From>
void check_casts_of() {
  for (const std::int64_t offset : {0, 1}) {
    CAPTURE(offset);
    check_cast<bool, From>(offset);
    check_cast<std::uint8_t, From>(offset);
    check_cast<std::int32_t, From>(offset);
    check_cast<std::int64_t, From>(offset);
    check_cast<ergo::half, From>(offset);
    check_cast<ergo::bfloat16, From>(offset);
    check_cast<float, From>(offset);
    check_cast<double, From>(offset);
  }
}

TEST_CASE_TEMPLATE("casts have the bits of convert", From, bool, std::uint8_t, std::int32_t, std::int64_t, ergo::half,
                   ergo::bfloat16, float, double) {
  CAPTURE(test_seed());
  check_casts_of<From>();
}

TEST_CASE("casts of every length") {
  for (const std::size_t n : {0u, 1u, 2u, 3u, 4u, 5u, 4095u, 4096u, 4097u}) {
    std::vector<float> x(n);
    for (std::size_t i = 0; i < n; ++i) x[i] = float(i) + 0.25f;
    const DeviceArray<float> in(x);
    const DeviceArray<ergo::bfloat16> out(n);
    launch_cast(stream(), in.data(), out.data(), std::int64_t(n));
    const auto y = out.host();
    for (std::size_t i = 0; i < n; ++i) CHECK(y[i].bits == ergo::bfloat16(x[i]).bits);
  }
}

}  // namespace kernels_movement_test
