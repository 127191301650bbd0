// Tensor<T> as a value: reading it, its views, sharing and moving.
#include "ergo/core/handle.hpp"

#include <cstdint>
#include <string>
#include <vector>

#include <doctest/doctest.h>

#include "ergo/autograd/structural.hpp"
#include "ergo/core/make.hpp"
#include "ergo/ops/arithmetic.hpp"
#include "support/fresh.hpp"
#include "support/message.hpp"

namespace core_handle_test {

using namespace ergo;

namespace {
template <class T>
Tensor<T> reshaped(const Tensor<T>& x, const Shape& s) {
  return Tensor<T>(detail::reshape(x.ref(), s));
}
template <class T>
Tensor<T> permuted(const Tensor<T>& x, std::vector<std::int8_t> axis) {
  return Tensor<T>(detail::permute(x.ref(), axis.data()));
}
const std::string kEmpty = "[tensor] this tensor is empty: default-constructed, moved from, or a value that `uses` did not keep";
}  // namespace

TEST_CASE("a handle is one pointer; copies share storage") {
  static_assert(sizeof(Tensor<float>) == sizeof(void*));
  const auto x = ones<float>({2, 3});
  const auto y = x;
  CHECK(y.span().data() == x.span().data());
  CHECK(x.rank() == 2);
  CHECK(x.numel() == 6);
  CHECK(x.dtype() == DType::float32);
  CHECK(x.device() == Device::cpu());
  CHECK(x.shape()[-1] == 3);
}

TEST_CASE("item and at") {
  const auto x = tensor<float>({{1, 2, 3}, {4, 5, 6}});
  CHECK(x.at({0, 0}) == 1);
  CHECK(x.at({1, 2}) == 6);
  CHECK(x.at({-1, -3}) == 4);
  CHECK(x.at({std::size_t(1), -1}) == 6);
  CHECK(Tensor<double>(2.5).at({}) == 2.5);
  CHECK(reshaped(Tensor<float>(7), {1, 1, 1}).item() == 7);
  CHECK(tensor<bool>({true}).item());
  CHECK(message_of([&] { return x.item(); }) == "[item] (2, 3): 6 elements, where one is needed");
  CHECK(message_of([&] { return zeros<float>({0}).item(); }) == "[item] (0,): 0 elements, where one is needed");
  CHECK(message_of([&] { return x.at({0}); }) == "[at] (2, 3): 1 indices for 2 axes");
  CHECK(message_of([&] { return x.at({0, 0, 0}); }) == "[at] (2, 3): 3 indices for 2 axes");
  CHECK(message_of([&] { return x.at({0, 3}); }) == "[at] (2, 3): index 3 on axis 1 is out of range");
  CHECK(message_of([&] { return x.at({-3, 0}); }) == "[at] (2, 3): index -3 on axis 0 is out of range");
}

TEST_CASE("x[i] is a view of one of the leading axis") {
  const auto x = reshaped(arange<float>(24), {2, 3, 4});
  CHECK(x[1].shape() == Shape{3, 4});
  CHECK(x[1][2][3].item() == 23);
  CHECK(x[-1][-1][-1].item() == 23);
  CHECK(x[std::size_t(0)][1].to_vector() == std::vector<float>{4, 5, 6, 7});
  CHECK(x[1].span().data() == x.span().data() + 12);
  CHECK(x[0][0][0].shape() == Shape{});
  CHECK(message_of([&] { return x[2]; }) == "[index] (2, 3, 4): index 2 is not in [0, 2) of the leading axis");
  CHECK(message_of([&] { return x[-3]; }) == "[index] (2, 3, 4): index -3 is not in [0, 2) of the leading axis");
  CHECK(message_of([&] { return zeros<float>({0, 2})[0]; }) == "[index] (0, 2): index 0 is not in [0, 0) of the leading axis");
  CHECK(message_of([&] { return Tensor<float>(1)[0]; }) ==
        "[index] (): a tensor of rank 0 has no axis to index; x.item() reads it");
}

TEST_CASE("views of views read the elements that indices say") {
  Fresh fresh;
  for (int i = 0; i < 300; ++i) {
    const Shape s{fresh.integer(1, 4), fresh.integer(1, 4), fresh.integer(1, 4), fresh.integer(1, 4)};
    const auto x = reshaped(arange<std::int32_t>(s.numel()), s);
    std::vector<std::int8_t> p{0, 1, 2, 3};
    for (int d = 3; d > 0; --d) std::swap(p[std::size_t(d)], p[std::size_t(fresh.integer(0, d))]);
    const auto y = permuted(x, p);
    const std::int64_t k = fresh.integer(0, y.shape()[0] - 1);
    const auto z = y[k];
    std::vector<std::int32_t> expected;
    for (std::int64_t a = 0; a < z.shape()[0]; ++a)
      for (std::int64_t b = 0; b < z.shape()[1]; ++b)
        for (std::int64_t c = 0; c < z.shape()[2]; ++c) {
          const std::int64_t at[] = {k, a, b, c};
          std::int64_t from[4] = {};
          for (int d = 0; d < 4; ++d) from[p[std::size_t(d)]] = at[d];
          expected.push_back(x.at({from[0], from[1], from[2], from[3]}));
          REQUIRE(z.at({a, b, c}) == expected.back());
        }
    REQUIRE(z.to_vector() == expected);
    REQUIRE(z.contiguous().to_vector() == expected);
  }
}

TEST_CASE("span shows a contiguous tensor where it lies, and refuses the rest") {
  const auto x = reshaped(arange<float>(6), {2, 3});
  CHECK(x.span().size() == 6);
  const auto t = permuted(x, {1, 0});
  CHECK(message_of([&] { return t.span(); }) ==
        "[span] (3, 2): only a contiguous tensor on the CPU can be looked at in place: x.cpu().contiguous()");
  CHECK(t.contiguous().span()[1] == 3);
  CHECK(x.contiguous().span().data() == x.span().data());
  CHECK(zeros<float>({0, 3}).span().empty());
  CHECK(permuted(zeros<float>({0, 3}), {1, 0}).span().empty());  // nothing is contiguous
  CHECK(permuted(reshaped(x, {1, 6}), {1, 0}).span().size() == 6);  // extents of 1 do not matter
}

TEST_CASE("a default-constructed and a moved-from tensor are empty, and say so whatever is asked") {
  Tensor<float> x = ones<float>({3});
  const Tensor<float> y = std::move(x);
  const Tensor<float> never;
  CHECK(y.defined());
  for (const Tensor<float>* e : {static_cast<const Tensor<float>*>(&x), &never}) {
    CHECK_FALSE(e->defined());
    CHECK(message_of([&] { return e->shape(); }) == kEmpty);
    CHECK(message_of([&] { return e->rank(); }) == kEmpty);
    CHECK(message_of([&] { return e->numel(); }) == kEmpty);
    CHECK(message_of([&] { return e->device(); }) == kEmpty);
    CHECK(message_of([&] { return e->dtype(); }) == kEmpty);
    CHECK(message_of([&] { return e->item(); }) == kEmpty);
    CHECK(message_of([&] { return e->at({0}); }) == kEmpty);
    CHECK(message_of([&] { return (*e)[0]; }) == kEmpty);
    CHECK(message_of([&] { return e->to_vector(); }) == kEmpty);
    CHECK(message_of([&] { return e->span(); }) == kEmpty);
    CHECK(message_of([&] { return e->cpu(); }) == kEmpty);
    CHECK(message_of([&] { return e->contiguous(); }) == kEmpty);
    CHECK(message_of([&] { return *e + y; }) == kEmpty);
    CHECK(message_of([&] { return y + *e; }) == kEmpty);
    CHECK(message_of([&] { return -*e; }) == kEmpty);
    CHECK(message_of([&] { return *e * 2; }) == kEmpty);
    CHECK(message_of([&] { return zeros_like(*e); }) == kEmpty);
  }
  x = y;  // may be assigned again
  CHECK(x.to_vector() == std::vector<float>{1, 1, 1});
}

TEST_CASE("operations empty what they were given by std::move, unless they throw") {
  auto x = ones<float>({3});
  const auto data = x.span().data();
  const auto y = std::move(x) + 1;
  CHECK_FALSE(x.defined());
  CHECK(y.span().data() == data);  // the memory went along
  auto a = ones<float>({3});
  auto b = ones<float>({4});
  CHECK(message_of([&] { return std::move(a) + std::move(b); }) == "[add] (3,) x (4,): shapes do not broadcast");
  CHECK(a.to_vector() == std::vector<float>{1, 1, 1});
  CHECK(b.defined());
  const auto other = a;  // so that the product needs memory
  detail::local_cache.fail_in = 1;
  CHECK_THROWS_AS(std::move(a) * other, OutOfMemory);
  detail::local_cache.fail_in = 0;
  CHECK(a.to_vector() == std::vector<float>{1, 1, 1});
}

TEST_CASE("no other handle sees x += y") {
  auto x = ones<float>({3});
  const auto before = x;
  x += 1;
  CHECK(before.to_vector() == std::vector<float>{1, 1, 1});
  CHECK(x.to_vector() == std::vector<float>{2, 2, 2});
  const auto data = x.span().data();
  x *= x;
  CHECK(x.span().data() == data);  // alone on its memory: in place
  CHECK(x.to_vector() == std::vector<float>{4, 4, 4});
  auto z = reshaped(arange<float>(6), {2, 3});
  auto row = z[0];
  row += 100;  // z shares the bytes
  CHECK(z.at({0, 0}) == 0);
  CHECK(row.to_vector() == std::vector<float>{100, 101, 102});
  z = permuted(z, {1, 0});
  auto strided = z;
  z = {};
  strided += 1;  // alone, but not row-major
  CHECK(strided.to_vector() == std::vector<float>{1, 4, 2, 5, 3, 6});
  auto wide = Tensor<float>(1);
  wide += ones<float>({2});
  CHECK(wide.to_vector() == std::vector<float>{2, 2});
}

TEST_CASE("an AnyTensor becomes the Tensor of its own dtype only") {
  const AnyTensor any = ones<float>({2});
  CHECK(Tensor<float>(any).to_vector() == std::vector<float>{1, 1});
  CHECK(message_of([&] { return Tensor<double>(any); }) == "[tensor] a tensor of float used as one of double");
}

}  // namespace core_handle_test
