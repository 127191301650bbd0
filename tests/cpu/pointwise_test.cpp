// The engine of pointwise operations over rows: operands broadcast along rows, columns and axes between them, of every
// width, at lengths around whole packs, batches of row values and chunks of the partition.
#include <doctest/doctest.h>

#include <cstdint>
#include <vector>

#include "ergo/core/tensor.hpp"
#include "ergo/cpu/isa.hpp"
#include "ergo/ops/arithmetic.hpp"
#include "ergo/ops/movement.hpp"
#include "ergo/ops/selection.hpp"
#include "ergo/ops/slicing.hpp"

namespace cpu_pointwise_test {

using namespace ergo;
using Place = std::vector<std::int64_t>;

namespace {

template <class T>
Tensor<T> numbers(const Shape& s, int seed) {
  std::vector<T> v;
  for (std::int64_t i = 0; i < s.numel(); ++i) v.push_back(T((i * 37 + seed * 11) % 101));
  return from_span<T>(v, s);
}
template <class T>
Tensor<bool> odd(const Tensor<T>& x) {
  return x > T(50);
}

// Element p of x against a result of p.size() axes.
template <class T>
T at(const Tensor<T>& x, const Place& p) {
  const detail::Array& a = x.array();
  const std::byte* q = a.data;
  const std::size_t hidden = p.size() - std::size_t(a.shape.rank());
  for (int d = 0; d < a.shape.rank(); ++d)
    if (a.shape[d] != 1) q += p[hidden + std::size_t(d)] * a.stride[d];
  T v;
  std::memcpy(&v, q, sizeof v);
  return v;
}

// y = f(x...) element by element.
template <class T, class F, class... X>
bool holds(const Tensor<T>& y, F f, const X&... x) {
  Place p(std::size_t(y.shape().rank()), 0);
  for (std::int64_t i = 0; i < y.numel(); ++i) {
    std::int64_t left = i;
    for (int d = y.shape().rank(); d-- > 0; left /= y.shape()[d]) p[std::size_t(d)] = left % y.shape()[d];
    if (at(y, p) != f(at(x, p)...)) return false;
  }
  return true;
}

template <class T>
void check_rows(std::int64_t rows, std::int64_t n) {
  CAPTURE(rows);
  CAPTURE(n);
  const auto add = [](T a, T b) { return T(a + b); };
  const auto choose = [](bool c, T a, T b) { return c ? a : b; };
  const auto x = numbers<T>({rows, n}, 1), row = numbers<T>({n}, 2), column = numbers<T>({rows, 1}, 3);
  CHECK(holds(x + row, add, x, row));
  CHECK(holds(column + x, add, column, x));
  CHECK(holds(column + row, add, column, row));
  CHECK(holds(column + broadcast_to(column, {rows, n}), add, column, column));
  CHECK(holds(where(odd(column), x, row), choose, odd(column), x, row));
  CHECK(holds(where(odd(x), column, column * column), choose, odd(x), column, column * column));
  CHECK(holds(where(odd(row), x, numbers<T>({}, 4)), choose, odd(row), x, numbers<T>({}, 4)));
  const auto flipped = slice(x, 0, none, none, -1);
  CHECK(holds(flipped + column, add, flipped, column));
  const auto every_other = slice(numbers<T>({2 * rows, n}, 5), 0, none, none, 2);
  CHECK(holds(every_other + column, add, every_other, column));
}

}  // namespace

TEST_CASE("rows of every length and number") {
  const cpu::Isa before = cpu::isa();
  for (int set = 0; set <= int(cpu::machine_isa()); ++set) {
    cpu::set_isa(cpu::Isa(set));
    for (const std::int64_t n : {1, 7, 63, 64, 65, 100, 256, 1000}) {
      for (const std::int64_t rows : {1, 2, 70, 90, 170}) {
        check_rows<float>(rows, n);
        check_rows<double>(rows, n);
      }
    }
    check_rows<std::int32_t>(90, 77);
    check_rows<std::int64_t>(90, 77);
    check_rows<std::uint8_t>(170, 77);
    check_rows<float>(3, 20000);
    check_rows<float>(1000, 130);
    check_rows<float>(0, 100);
    check_rows<float>(100, 0);
  }
  cpu::set_isa(before);
}

TEST_CASE("axes that are broadcast between others") {
  const auto add = [](float a, float b) { return a + b; };
  const auto x = numbers<float>({3, 5, 7, 65}, 1);
  for (const Shape& s : {Shape{5, 1, 65}, Shape{3, 1, 7, 1}, Shape{3, 5, 1, 1}, Shape{1, 7, 65}, Shape{3, 1, 1, 65}}) {
    const auto other = numbers<float>(s, 2);
    CHECK(holds(x + other, add, x, other));
    const auto moved = permute(numbers<float>({7, 3, 5, 65}, 3), {1, 2, 0, 3});
    CHECK(holds(moved + other, add, moved, other));
    CHECK(holds(slice(other, -1, none, none, -1) + x, add, slice(other, -1, none, none, -1), x));
  }
}

TEST_CASE("any number of threads gives the same rows") {
  const auto x = numbers<float>({300, 333}, 1), column = numbers<float>({300, 1}, 2);
  const auto add = [](float a, float b) { return a + b; };
  const int before = num_threads();
  for (const int threads : {1, 2, 3, 5, 8}) {
    set_num_threads(threads);
    CHECK(holds(x + column, add, x, column));
  }
  set_num_threads(before);
}

}  // namespace cpu_pointwise_test
