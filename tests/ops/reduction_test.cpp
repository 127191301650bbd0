// Corners of sum, mean, prod, all, any, max, min, argmax, argmin, cumsum that the case table's rows do not reach: dtypes,
// empty tensors, NaN, ties, accuracy, messages.
#include <doctest/doctest.h>

#include <cmath>

#include "ergo/autograd/curvature.hpp"
#include "ergo/ops/comparison.hpp"
#include "ergo/ops/extremum.hpp"
#include "ergo/ops/scan.hpp"
#include "support/fresh.hpp"
#include "support/isas.hpp"
#include "support/message.hpp"

namespace ops_reduction_test {

using namespace ergo;
using cpu::Isa;

namespace {

const float kInf = INFINITY, kNan = NAN;

template <class T>
std::vector<T> values(const Tensor<T>& x) {
  return x.to_vector();
}
}  // namespace

TEST_CASE("axes: none, one, a list, negative, kept") {
  const auto x = arange<float>(24);
  const Tensor<float> y(detail::reshape(x.ref(), Shape{2, 3, 4}));
  CHECK(sum(y).item() == 276);
  CHECK(sum(y).shape() == Shape{});
  CHECK(sum(y, {}).shape() == Shape{2, 3, 4});
  CHECK(array_equal(sum(y, {}), y));
  CHECK(values(sum(y, {0, 2})) == std::vector<float>{60, 92, 124});
  CHECK(values(sum(y, {2, 0})) == std::vector<float>{60, 92, 124});
  CHECK(sum(y, {-1, 0}, true).shape() == Shape{1, 3, 1});
  CHECK(values(sum(y, 1)) == std::vector<float>{12, 15, 18, 21, 48, 51, 54, 57});
  CHECK(max(y, {0, 1}).shape() == Shape{4});
  CHECK(values(max(y, {0, 1})) == std::vector<float>{20, 21, 22, 23});
  CHECK(max(y, {}).shape() == Shape{2, 3, 4});
  CHECK(sum(Tensor<float>(3.0f)).item() == 3);
  CHECK(max(Tensor<float>(3.0f)).item() == 3);
  CHECK(argmax(Tensor<float>(3.0f)).item() == 0);
}

TEST_CASE("integers and bools add to int64, keep their dtype in max") {
  const auto big = full<std::int32_t>({3}, 2000000000);
  static_assert(std::is_same_v<decltype(sum(big)), Tensor<std::int64_t>>);
  CHECK(sum(big).item() == 6000000000);
  CHECK(prod(full<std::int32_t>({3}, 2000)).item() == 8000000000);
  CHECK(cumsum(big, 0).to_vector() == std::vector<std::int64_t>{2000000000, 4000000000, 6000000000});
  CHECK(sum(full<std::uint8_t>({1000}, 255)).item() == 255000);
  Fresh fresh(1);
  const auto bits = fresh.tensor<float>({37, 70}) > 0.0f;
  std::int64_t count = 0;
  for (bool b : bits.to_vector()) count += b;
  CHECK(sum(bits).item() == count);
  CHECK(sum(sum(bits, 0)).item() == count);
  CHECK(cumsum(bits, -1)[36].to_vector()[69] == sum(bits[36]).item());
  static_assert(std::is_same_v<decltype(max(big)), Tensor<std::int32_t>>);
  CHECK(max(tensor<std::int32_t>({-3, -7, -5})).item() == -3);
  CHECK(min(tensor<std::uint8_t>({3, 7, 5})).item() == 3);
  CHECK(max(fresh.tensor<std::int64_t>({100, 33}, -1e15, -1)).item() < 0);
  CHECK(sum(full<std::int64_t>({2}, std::int64_t(1) << 62)).item() == std::numeric_limits<std::int64_t>::min());  // wraps
}

TEST_CASE("16-bit data are added in float and rounded once") {
  const auto h = full<half>({4096}, 60000.0f);
  CHECK(float(mean(h).item()) == float(half(60000.0f)));
  CHECK(std::isinf(float(sum(h).item())));
  const auto b = full<bfloat16>({3, 1000}, 1.0f);
  CHECK(float(sum(b).item()) == 3008);  // 3000 to nearest even
  CHECK(float(sum(b, 1).at({0})) == 1000);
  CHECK(float(cumsum(b, 1).at({0, 999})) == 1000);
  CHECK(float(max(tensor<half>({half(1.0f), half(3.0f), half(-2.0f)})).item()) == 3);
  CHECK(float(prod(full<half>({4}, 0.5f)).item()) == 0.0625f);
  CHECK(float(grad([](const Tensor<half>& x) { return mean(x); })(full<half>({3}, 1.0f)).at({0})) == float(half(1.0f / 3)));
}

TEST_CASE("of nothing") {
  const auto none = zeros<float>({0}), rows = zeros<float>({2, 0}), shut = zeros<float>({0, 3});
  CHECK(sum(none).item() == 0);
  CHECK(std::isnan(mean(none).item()));
  CHECK(prod(none).item() == 1);
  CHECK(all(zeros<bool>({0})).item());
  CHECK(!any(zeros<bool>({0})).item());
  CHECK(all(zeros<bool>({2, 0}), 1).to_vector() == std::vector<bool>{true, true});
  CHECK(values(sum(rows, 1)) == std::vector<float>{0, 0});
  CHECK(values(prod(rows, 1)) == std::vector<float>{1, 1});
  CHECK(sum(zeros<std::int32_t>({0})).item() == 0);
  CHECK(max(shut, 1).shape() == Shape{0});
  CHECK(argmin(shut, -1).shape() == Shape{0});
  CHECK(cumsum(none, 0).shape() == Shape{0});
  CHECK(message_of([&] { max(none); }) == "[max] (0,): no elements along the reduced axes: nothing has no largest or smallest element");
  CHECK(message_of([&] { min(rows, 1); }) == "[min] (2, 0): no elements along the reduced axes: nothing has no largest or smallest element");
  CHECK(message_of([&] { argmax(rows, -1); }) == "[argmax] (2, 0): no elements along the reduced axes: nothing has no largest or smallest element");
  const auto g = grad([](const Tensor<float>& x) { return sum(x) + prod(x); })(none);
  CHECK(g.shape() == Shape{0});
}

TEST_CASE("NaN wins, the first of equals is meant, all share the derivative") {
  Fresh fresh(2);
  for (std::int64_t n : {1, 2, 5, 16, 17, 31, 64, 100, 1000}) {
    const auto at = fresh.integer(0, n - 1);
    std::vector<float> v;
    for (std::int64_t i = 0; i < n; ++i) v.push_back(float(fresh.uniform(-1, 1)));
    on_each_isa([&] {
      std::vector<float> w = v;
      w[std::size_t(at)] = kNan;
      const auto x = from_span<float>(w, {n});
      CAPTURE(n);
      CHECK(std::isnan(max(x).item()));
      CHECK(std::isnan(min(x).item()));
      CHECK(argmax(x).item() == at);
      CHECK(argmin(x).item() == at);
      w[std::size_t(n - 1)] = kNan;
      CHECK(argmax(from_span<float>(w, {n})).item() == at);
      w = v;
      w[std::size_t(at)] = kInf;
      w[std::size_t(n - 1)] = kInf;
      CHECK(max(from_span<float>(w, {n})).item() == kInf);
      CHECK(argmax(from_span<float>(w, {n})).item() == at);
      const auto pair = from_span<float>(w, {n});
      const auto g = grad([](const Tensor<float>& y) { return max(y); })(pair).to_vector();
      const float share = at == n - 1 ? 1.0f : 0.5f;
      CHECK(g[std::size_t(at)] == share);
      CHECK(g[std::size_t(n - 1)] == share);
      CHECK(jvp([](const Tensor<float>& y) { return max(y); })(pair, ones<float>({n})).first.item() == kInf);
      CHECK(jvp([](const Tensor<float>& y) { return max(y); })(pair, ones<float>({n})).second.item() == 1);
    });
  }
  const auto ties = tensor<double>({{3, 1, 3, 3}, {2, 2, 0, 1}});
  CHECK(values(argmax(ties, 1)) == std::vector<std::int32_t>{0, 0});
  CHECK(values(grad([](const Tensor<double>& x) { return sum(max(x, 1)); })(ties)) ==
        std::vector<double>{1.0 / 3, 0, 1.0 / 3, 1.0 / 3, 0.5, 0.5, 0, 0});
  const auto pushed = jvp([](const Tensor<double>& x) { return max(x, 1); })(ties, tensor<double>({{1, 9, 2, 6}, {1, 2, 7, 7}}));
  CHECK(values(pushed.first) == std::vector<double>{3, 2});
  CHECK(values(pushed.second) == std::vector<double>{3, 1.5});
  // max^2 is quadratic in the shares: the Hessian is 2 share_i share_j, in both orders of the modes.
  const auto square = [](const Tensor<double>& x) { return max(x) * max(x); };
  const auto h = hessian(square)(tensor<double>({3, 1, 3}));
  CHECK(values(h) == std::vector<double>{0.5, 0, 0.5, 0, 0, 0, 0.5, 0, 0.5});
  CHECK(values(argmax<std::int64_t>(tensor<float>({{1, 5}, {7, 2}}))) == std::vector<std::int64_t>{2});
  CHECK(values(argmax(tensor<float>({{1, 5}, {7, 2}}), 0, true)) == std::vector<std::int32_t>{1, 0});
  CHECK(argmax(zeros<bool>({3})).item() == 0);
  CHECK(message_of([] { argmax<std::uint8_t>(zeros<float>({300})); }) ==
        "[argmax] (300,): 300 positions do not fit uint8: argmax<int64_t>(x)");
}

TEST_CASE("sums of many: exact, or within 1e-6, on every instruction set") {
  const std::int64_t n = std::int64_t(1) << 25;
  const auto many = ones<float>({n});
  const auto tenths = full<float>({10000000}, 0.1f);
  const double exact = double(0.1f) * 1e7;
  on_each_isa([&] {
    CHECK(sum(many).item() == float(n));
    CHECK(mean(many).item() == 1);
    CHECK(cumsum(many, 0).at({-1}) == float(n));
    CHECK(std::abs(double(sum(tenths).item()) - exact) <= 1e-6 * exact);
    CHECK(std::abs(double(cumsum(tenths).at({-1})) - exact) <= 1e-6 * exact);
    const Tensor<float> wide(detail::reshape(tenths.ref(), Shape{1000000, 10})), tall(detail::reshape(tenths.ref(), Shape{10000, 1000}));
    for (float s : sum(wide, 0).to_vector()) CHECK(std::abs(double(s) - exact / 10) <= 1e-7 * exact);
    for (float s : sum(tall, 0).to_vector()) CHECK(std::abs(double(s) - exact / 1000) <= 1e-9 * exact);
  });
}

TEST_CASE("sums over any axes of any strides equal naive ones, on every instruction set") {
  Fresh fresh(3);
  for (int trial = 0; trial < 60; ++trial) {
    Shape s;
    const auto rank = fresh.integer(1, 4);
    for (std::int64_t d = 0; d < rank; ++d) s.push(fresh.coin() ? fresh.integer(1, 4) : fresh.integer(5, d == 0 ? 150 : 20));
    const auto x = fresh.tensor<double>(s);
    std::int8_t order[8];
    for (int d = 0; d < rank; ++d) order[d] = std::int8_t(d);
    for (int d = 0; d < rank; ++d) std::swap(order[d], order[fresh.integer(d, rank - 1)]);
    Tensor<double> y(detail::permute(x.ref(), order));
    if (fresh.coin()) {  // backwards along the first axis
      detail::Array* in[] = {&y.array()};
      const std::int64_t n = y.shape()[0];
      y = Tensor<double>(detail::dispatch1(detail::SliceOp(int(rank), n - 1, n, -1, false), in));
    }
    std::vector<std::int64_t> axes;
    Shape left;
    for (int d = 0; d < rank; ++d)
      if (fresh.coin())
        axes.push_back(d);
      else
        left.push(y.shape()[d]);
    std::vector<double> most(std::size_t(left.numel()), -9.0);
    std::vector<long double> exact(most.size(), 0);
    const auto v = y.to_vector();
    for (std::size_t i = 0; i < v.size(); ++i) {
      std::int64_t rest = std::int64_t(i), at = 0, step = 1;
      for (int d = int(rank) - 1, a = int(axes.size()) - 1; d >= 0; --d) {
        const std::int64_t n = y.shape()[d], k = rest % n;
        rest /= n;
        if (a >= 0 && axes[std::size_t(a)] == d) {
          --a;
          continue;
        }
        at += k * step;
        step *= n;
      }
      exact[std::size_t(at)] += v[i];
      most[std::size_t(at)] = std::max(most[std::size_t(at)], v[i]);
    }
    const std::vector<double> want(exact.begin(), exact.end());
    const double terms = double(v.size()) / std::max(1.0, double(left.numel()));  // their sizes are at most 1 on average
    CAPTURE(to_string(y.shape()));
    on_each_isa([&] {
      const auto got = sum(y, Axes(axes));
      REQUIRE(got.shape() == left);
      CHECK(allclose(got, from_span<double>(want, left), {.rtol = 0, .atol = 4e-16 * (1 + terms)}));
      CHECK(array_equal(max(y, Axes(axes)), from_span<double>(most, left)));
      CHECK(allclose(sum(cast<float>(y), Axes(axes)), from_span<float>(std::vector<float>(want.begin(), want.end()), left), {.rtol = 0, .atol = 2e-7 * (1 + terms)}));
    });
  }
}

TEST_CASE("the derivative of a product with zeros is exact at every order") {
  const auto product = [](const Tensor<double>& x) { return prod(x); };
  CHECK(values(grad(product)(tensor<double>({2, 0, 3, 5}))) == std::vector<double>{0, 30, 0, 0});
  CHECK(values(grad(product)(tensor<double>({2, 0, 0, 5}))) == std::vector<double>{0, 0, 0, 0});
  CHECK(values(hessian(product)(tensor<double>({2, 0, 0, 5}))) ==
        std::vector<double>{0, 0, 0, 0, 0, 0, 10, 0, 0, 10, 0, 0, 0, 0, 0, 0});
  CHECK(values(grad([&](const Tensor<double>& x) { return sum(grad(product)(x)); })(tensor<double>({0, 0, 3}))) ==
        std::vector<double>{3, 3, 0});
}

TEST_CASE("what reductions refuse") {
  const auto x = zeros<float>({2, 3});
  CHECK(message_of([&] { sum(x, 2); }) == "[sum] (2, 3): axis 2 is out of range for rank 2");
  CHECK(message_of([&] { mean(x, {0, -2}); }) == "[mean] (2, 3): axis 0 is given twice");
  CHECK(message_of([&] { max(x, -3); }) == "[max] (2, 3): axis -3 is out of range for rank 2");
  CHECK(message_of([&] { cumsum(x, 5); }) == "[cumsum] (2, 3): axis 5 is out of range for rank 2");
  CHECK(message_of([&] { any(x > 0.0f, 7); }) == "[any] (2, 3): axis 7 is out of range for rank 2");
}

}  // namespace ops_reduction_test
