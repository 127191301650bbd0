// label: simt
// max_pool2d, triangles and categorical draws on a device, and the parameters that draws refuse.
#include <doctest/doctest.h>

#include <cmath>
#include <cstring>
#include <limits>
#include <string>

#include "ergo/autograd/curvature.hpp"
#include "ergo/core/compare.hpp"
#include "ergo/ops/arithmetic.hpp"
#include "ergo/ops/categorical.hpp"
#include "ergo/ops/diagonal.hpp"
#include "ergo/ops/movement.hpp"
#include "ergo/ops/pooling.hpp"
#include "ergo/ops/reduction.hpp"
#include "support/fresh.hpp"
#include "support/message.hpp"
#if defined(ERGO_EMULATED)
#include "simt/control.hpp"
#endif

namespace cuda_windows_test {

using namespace ergo;

namespace {

constexpr Device kDevice = Device::cuda(0);
const std::string kTold = "\n  (found on cuda:0, told at a wait: what was computed since is suspect)";

// f of x on the device is what it is on the CPU, bit for bit, without a wait.
template <class F, class T>
void check_same(const F& f, const Tensor<T>& x) {
  const auto want = f(x);
  const Tensor<T> there = x.to(kDevice);
  const DeviceScope scope(kDevice);
#if defined(ERGO_EMULATED)
  const auto waits = simt::counters().host_waits;
#endif
  const auto got = f(there);
#if defined(ERGO_EMULATED)
  CHECK(simt::counters().host_waits == waits);
#endif
  CHECK(got.device() == kDevice);
  REQUIRE(got.shape() == want.shape());
  const auto a = got.cpu(), b = want.contiguous();
  CHECK(std::memcmp(a.array().data, b.array().data, std::size_t(b.numel() * size_of(b.dtype()))) == 0);
}
template <class T>
Tensor<T> cubed(const Tensor<T>& x) {
  return x * x * x;
}
// Of few values, so that windows have equals.
template <class T>
Tensor<T> images(Fresh& fresh, const Shape& s) {
  Tensor<T> x = detail::make_tensor<T>(s);
  for (std::int64_t i = 0; i < s.numel(); ++i)
    detail::data_of<T>(x.array())[i] =
        i % 41 == 40 ? convert<T>(std::nan("")) : convert<T>(double(fresh.integer(-4, 4)) / 4);
  return x;
}

}  // namespace

TEST_CASE_TEMPLATE("max_pool2d: values and gradients", T, double, bfloat16) {
  Fresh fresh(1);
  CAPTURE(test_seed());
  for (const Shape& s : {Shape{2, 7, 6, 8}, Shape{5, 9, 3}, Shape{2, 2, 4, 4, 1}, Shape{0, 4, 4, 2}})
    for (const PoolOptions& options : {PoolOptions{}, PoolOptions{.stride = 1, .padding = 1, .ceil_mode = true}}) {
      const auto pooled = [&](const auto& x) { return max_pool2d(x, {3, 2}, options); };
      const Tensor<T> x = images<T>(fresh, s);
      check_same(pooled, x);
      check_same([&](const auto& a) { return grad([&](const auto& t) { return sum(pooled(t) * pooled(t)); })(a); },
                 fresh.tensor<T>(s));
    }
  check_same([](const auto& x) { return max_pool2d(transpose(x, {0, 2, 1, 3}), 2); }, images<T>(fresh, {2, 6, 8, 5}));
}

TEST_CASE("max_pool2d: second order and vmap") {
  Fresh fresh(2);
  const Tensor<double> x = fresh.tensor<double>({3, 4, 6, 2}), d = fresh.tensor<double>({3, 4, 6, 2});
  const auto second = [](const auto& a, const auto& u) {
    return hvp([](const auto& t) { return sum(cubed(max_pool2d(t, 2))); })(a, u);
  };
  const auto mapped = [](const auto& a) {
    return vmap([](const auto& t) { return grad([](const auto& v) { return sum(cubed(max_pool2d(v, 2))); })(t); })(a);
  };
  const Tensor<double> want = second(x, d), want_mapped = mapped(x);
  const DeviceScope scope(kDevice);
  CHECK(allclose(second(x.to(kDevice), d.to(kDevice)).cpu(), want, {1e-12, 1e-12}));
  CHECK(allclose(mapped(x.to(kDevice)).cpu(), want_mapped, {1e-12, 1e-12}));
}

TEST_CASE_TEMPLATE("triangles", T, float, bool) {
  Fresh fresh(3);
  for (const Shape& s : {Shape{5, 8}, Shape{3, 4, 16}, Shape{2, 7, 3}, Shape{1, 1}, Shape{0, 3}, Shape{3, 0}})
    for (const int k : {0, 1, -2, 5, -9}) {
      const Tensor<T> x = fresh.tensor<T>(s, -100, 100);
      check_same([k](const auto& a) { return tril(a, k); }, x);
      check_same([k](const auto& a) { return triu(transpose(a), k); }, x);
    }
  if constexpr (Floating<T>)
    check_same([](const auto& a) { return grad([](const auto& t) { return sum(tril(t) * tril(t)); })(a); },
               fresh.tensor<T>({4, 5}));
}

TEST_CASE_TEMPLATE("categorical: the CPU's draws", T, float, double) {
  Fresh fresh(4);
  const auto drawn = [](const auto& x) { return categorical(Key{7}, x); };
  for (const Shape& s : {Shape{3, 5}, Shape{4}, Shape{1, 1}, Shape{0, 3}, Shape{2, 70, 33}, Shape{2, 3000}})
    check_same(drawn, fresh.tensor<T>(s, -2, 2));
  Tensor<T> x = fresh.tensor<T>({200, 6});
  for (int i = 0; i < 200; ++i) detail::data_of<T>(x.array())[6 * i + i % 6] = -std::numeric_limits<T>::infinity();
  check_same(drawn, x);
  check_same(drawn, transpose(fresh.tensor<T>({6, 9})));
#if defined(ERGO_EMULATED)
  const Tensor<T> there = x.to(kDevice);
  const auto before = simt::counters().launches;
  categorical<std::uint8_t>(Key{1}, there);
  CHECK(simt::counters().launches - before == 1);  // the key travels with it
#endif
}

TEST_CASE("what cannot be drawn from is told at the next wait") {
  const float inf = std::numeric_limits<float>::infinity();
  for (const float wrong : {inf, -inf, std::nanf("")}) {
    const auto x = ergo::tensor<float>({{0.f, 1.f}, {wrong, -inf}, {2.f, 0.f}});
    const std::string want = message_of([&] { categorical(Key{1}, x); });
    Tensor<std::int32_t> y;
    CHECK_NOTHROW(y = categorical(Key{1}, x.to(kDevice)));
    CHECK(message_of([&] { y.cpu(); }) == want + kTold);
    CHECK(y.cpu().at({1}) == 0);
  }
  const DeviceScope scope(kDevice);
  const auto deviation = ergo::tensor<float>({{1.f, 2.f}, {0.f, -3.f}}, Device::cpu());
  const auto of_normal = [&](const auto& d) { return normal(Key{1}, {2, 2}, 0, d); };
  const std::string want = "[normal] (2, 2): the standard deviation is -3 at (1, 1), not finite and at least 0";
  const Tensor<float> there = deviation.to(kDevice);
  CHECK_NOTHROW(of_normal(there));
  CHECK(message_of([&] { synchronize(); }) == want + kTold);
  CHECK_NOTHROW(of_normal(transpose(there)));
  CHECK(message_of([&] { synchronize(); }) == want + kTold);
  CHECK_NOTHROW(of_normal(there * there));
  const Tensor<double> p = ergo::tensor<double>({0.5, 1.5});
  CHECK_NOTHROW(bernoulli(Key{1}, {2}, p));
  CHECK(message_of([&] { synchronize(); }) ==
        "[bernoulli] (2,): the probability is 1.5 at (1,), not in [0, 1]" + kTold);
}

}  // namespace cuda_windows_test
