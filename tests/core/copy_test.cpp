// Strided copies against a loop that addresses every element by its own indices.
#include "ergo/core/copy.hpp"

#include <cstdint>
#include <cstring>
#include <vector>

#include <doctest/doctest.h>

#include "ergo/core/make.hpp"
#include "support/fresh.hpp"

namespace core_copy_test {

using ergo::DType;
using ergo::Shape;
using ergo::detail::Array;
using ergo::detail::Ref;

namespace {

// A view with the given byte strides over bytes of its own; `low` bytes lie before element 0.
struct View {
  std::vector<std::byte> bytes;
  Ref<Array> array;
};

// Random strides: axes in random order, gaps, some reversed; with `repeats`, some of stride 0.
View random_view(Fresh& fresh, DType dtype, const Shape& s, bool repeats) {
  const std::int64_t width = ergo::size_of(dtype);
  int order[ergo::kMaxRank];
  for (int d = 0; d < s.rank(); ++d) order[d] = d;
  for (int d = s.rank() - 1; d > 0; --d) std::swap(order[d], order[fresh.integer(0, d)]);
  if (fresh.coin())
    for (int d = 0; d < s.rank(); ++d) order[d] = s.rank() - 1 - d;  // row-major, from the last axis
  View v;
  v.array = Array::husk(dtype, s, ergo::Device::cpu());
  std::int64_t step = width, low = 0, high = width;
  for (int k = 0; k < s.rank(); ++k) {
    const int d = order[k];
    if (fresh.integer(0, 5) == 0) step += width * fresh.integer(1, 3);
    if (repeats && fresh.integer(0, 4) == 0) {
      v.array->stride[d] = 0;
      continue;
    }
    v.array->stride[d] = fresh.integer(0, 3) == 0 ? -step : step;
    const std::int64_t reach = v.array->stride[d] * (s[d] > 0 ? s[d] - 1 : 0);
    (reach < 0 ? low : high) += reach;
    step *= s[d] ? s[d] : 1;
  }
  v.bytes.resize(std::size_t(high - low));
  for (auto& b : v.bytes) b = std::byte(fresh.bits());
  v.array->data = v.bytes.data() - low;
  v.array->settle();
  return v;
}

std::int64_t offset_of(const Array& a, std::int64_t linear) {
  std::int64_t at = 0;
  for (int d = a.shape.rank(); d-- > 0; linear /= a.shape[d]) at += linear % a.shape[d] * a.stride[d];
  return at;
}

bool copies(const View& to, const View& from) {
  View expected{to.bytes, {}};
  const std::byte* origin = to.bytes.data();
  const std::int64_t width = ergo::size_of(from.array->dtype), zero = to.array->data - origin;
  for (std::int64_t i = 0; i < from.array->numel(); ++i)
    std::memcpy(expected.bytes.data() + zero + offset_of(*to.array, i), from.array->data + offset_of(*from.array, i),
                std::size_t(width));
  ergo::detail::copy_strided(*to.array, *from.array);
  return to.bytes == expected.bytes;  // nothing beside the elements was touched
}

constexpr DType kDTypes[] = {DType::uint8, DType::half, DType::float32, DType::float64};

}  // namespace

TEST_CASE("random views of random shapes, strides negative, zero and with gaps") {
  Fresh fresh;
  for (int i = 0; i < 4000; ++i) {
    Shape s;
    for (std::int64_t r = fresh.integer(0, 6); r > 0; --r) s.push(fresh.integer(0, 20) == 0 ? 0 : fresh.integer(1, 5));
    const DType t = kDTypes[fresh.integer(0, 3)];
    const View from = random_view(fresh, t, s, true), to = random_view(fresh, t, s, false);
    INFO("shape " << to_string(s) << ", case " << i);
    REQUIRE(copies(to, from));
  }
}

TEST_CASE("tiles: whole, ragged, with outer axes, for 1 and 3 threads") {
  Fresh fresh(1);
  for (const int threads : {1, 3}) {
    ergo::set_num_threads(threads);
    for (const Shape& s : {Shape{31, 33}, Shape{32, 32}, Shape{64, 65}, Shape{3, 70, 33}, Shape{40, 3, 50}, Shape{2, 3, 40, 41},
                           Shape{300, 200}, Shape{7, 129, 2, 65}, Shape{1, 5000}, Shape{5000, 2}}) {
      for (const DType t : kDTypes)
        for (int i = 0; i < 4; ++i) {
          const View from = random_view(fresh, t, s, i == 3), to = random_view(fresh, t, s, false);
          INFO("shape " << to_string(s) << ", " << to_string(t));
          REQUIRE(copies(to, from));
        }
    }
  }
  ergo::set_num_threads(0);
}

TEST_CASE("dense: what is row-major is shared, what is not is copied") {
  const auto x = ergo::arange<float>(6);
  CHECK(ergo::detail::dense(x.array()).get() == &x.array());
  Ref<Array> back = Array::view(x.array(), x.shape());
  back->stride[0] = -4;
  back->data += 20;
  back->settle();
  CHECK_FALSE(back->contiguous);
  const ergo::Tensor<float> reversed(back);
  CHECK(reversed.to_vector() == std::vector<float>{5, 4, 3, 2, 1, 0});
  CHECK(reversed.contiguous().span()[0] == 5);
}

TEST_CASE("fill: every width, zero and not, beyond the parallel grain") {
  for (const std::int64_t n : {0, 1, 7, 300000}) {
    const auto check = [n]<class T>(T value) {
      const auto x = ergo::full<T>({n}, value).to_vector();
      bool same = std::int64_t(x.size()) == n;
      for (const T v : x) same = same && v == value;
      CHECK(same);
    };
    check(true);
    check(std::uint8_t(7));
    check(std::int32_t(-3));
    check(std::int64_t(1) << 40);
    check(ergo::half(0.5f));
    check(ergo::bfloat16(-2.0f));
    check(1.5f);
    check(-2.5);
    check(0.0);
  }
}

}  // namespace core_copy_test
