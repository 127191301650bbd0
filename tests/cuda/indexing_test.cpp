// label: simt
// Indexing, sorting and padding on a device: the CPU's bits, gradients, launches; and bad indices, told at the next
// wait.
#include "ergo/ops/indexing.hpp"

#include <pthread.h>
#include <unistd.h>

#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <string>
#include <vector>

#include <doctest/doctest.h>

#include "ergo/autograd/curvature.hpp"
#include "ergo/core/compare.hpp"
#include "ergo/ops/arithmetic.hpp"
#include "ergo/ops/movement.hpp"
#include "ergo/ops/padding.hpp"
#include "ergo/ops/reduction.hpp"
#include "ergo/ops/sorting.hpp"
#include "support/fresh.hpp"
#include "support/message.hpp"
#if defined(ERGO_EMULATED)
#include "simt/control.hpp"
#endif

namespace cuda_indexing_test {

using namespace ergo;

namespace {

constexpr Device kDevice = Device::cuda(0);
constexpr const char* kTold = "\n  (found on cuda:0, told at a wait: what was computed since is suspect)";

// n indices into [0, extent) of a shape; few destinations get most of them.
template <class I>
Tensor<I> indices(Fresh& fresh, const Shape& s, std::int64_t extent) {
  Tensor<I> r = detail::make_tensor<I>(s);
  for (std::int64_t i = 0; i < s.numel(); ++i)
    detail::data_of<I>(r.array())[i] = I(fresh.integer(0, fresh.coin() ? extent - 1 : extent > 3 ? 2 : extent - 1));
  return r;
}
template <class T>
Tensor<T> there(const Tensor<T>& x) {
  return x.to(kDevice);
}
// f of operands on the device is what it is of those on the CPU, bit for bit, without a wait.
template <class F, class... X>
void check_same(const F& f, const X&... x) {
  const auto want = f(x...);
  const DeviceScope scope(kDevice);
#if defined(ERGO_EMULATED)
  const auto waits = simt::counters().host_waits;
#endif
  const auto got = f(there(x)...);
#if defined(ERGO_EMULATED)
  CHECK(simt::counters().host_waits == waits);
#endif
  CHECK(got.device() == kDevice);
  REQUIRE(got.shape() == want.shape());
  const auto a = got.cpu(), b = want.contiguous();
  CHECK(std::memcmp(a.array().data, b.array().data, std::size_t(b.numel() * size_of(b.dtype()))) == 0);
}
#if defined(ERGO_EMULATED)
long launches_of(void (*f)()) {
  const auto before = simt::counters().launches;
  f();
  return simt::counters().launches - before;
}
#endif
template <class F>
void on_a_thread(F f) {
  pthread_t thread;
  REQUIRE(pthread_create(
              &thread, nullptr,
              [](void* p) -> void* {
                (*static_cast<F*>(p))();
                return nullptr;
              },
              &f) == 0);
  pthread_join(thread, nullptr);
}
// What a test case of this program says when it runs alone.
std::string output_of(const std::string& environment, const std::string& test_case) {
  char program[4096] = {};
  REQUIRE(readlink("/proc/self/exe", program, sizeof program - 1) > 0);
  std::FILE* p = popen((environment + " " + program + " --no-skip --test-case='" + test_case + "' 2>&1").c_str(), "r");
  std::string text;
  for (char line[512]; std::fgets(line, sizeof line, p);) text += line;
  CHECK(pclose(p) == 0);
  return text;
}

const Tensor<double>& table() {
  static const Tensor<double> t = reshape(arange<double>(12), {4, 3});
  return t;
}
Tensor<std::int32_t> bad() { return ergo::tensor<std::int32_t>({{0, 3}, {7, -1}}); }

template <class X, class I>
struct Types {
  using T = X;
  using Index = I;
};

}  // namespace

TEST_CASE_TEMPLATE("values are the CPU's, whatever the strides", P, Types<double, std::int32_t>,
                   Types<bfloat16, std::uint8_t>) {
  using T = typename P::T;
  using I = typename P::Index;
  Fresh fresh(1);
  CAPTURE(test_seed());
  const Tensor<T> x = fresh.tensor<T>({5, 9, 6});
  for (int axis = 0; axis < 3; ++axis) {
    const std::int64_t n = x.shape()[axis];
    CAPTURE(axis);
    const Tensor<I> i = indices<I>(fresh, {2, 7}, n);
    const auto at = [axis](const auto& a, const auto& j) { return take(a, j, axis); };
    check_same(at, x, i);
    check_same(at, x, indices<I>(fresh, {}, n));
    check_same(at, x, indices<I>(fresh, {0}, n));
    check_same(
        [axis](const auto& a, const auto& j) {
          return take(permute(a, {2, 0, 1}), transpose(j), axis - 2);
        },
        x, indices<I>(fresh, {2, 7}, 5));
    Shape s = x.shape(), one = s;
    s[axis] = 4;
    one[axis == 0 ? 1 : 0] = 1;
    const auto along = [axis](const auto& a, const auto& j) { return take_along_axis(a, j, axis); };
    check_same(along, x, indices<I>(fresh, s, n));
    check_same(along, x, indices<I>(fresh, one, n));
    s = x.shape();
    s[axis] = 300;
    s[axis == 2 ? 1 : 2] = 1;
    const Shape added = take(x, indices<I>(fresh, {300}, n), axis).shape();
    const auto add = [axis](const auto& a, const auto& j, const auto& y) { return scatter_add(a, j, y, axis); };
    check_same(add, x, indices<I>(fresh, {300}, n), fresh.tensor<T>(added));
    check_same(add, x, indices<I>(fresh, {300}, n), fresh.tensor<T>(s));
    check_same(add, x, indices<I>(fresh, {0}, n), fresh.tensor<T>({1}));
  }
  check_same([](const auto& j) { return one_hot<T>(j, 11); }, indices<I>(fresh, {3, 5}, 11));
  check_same([](const auto& j) { return one_hot<T>(transpose(j), 11); }, indices<I>(fresh, {3, 5}, 11));
  check_same([](const auto& a, const auto& j) { return embedding(a, j); }, fresh.tensor<T>({50, 32}),
             indices<I>(fresh, {4, 3}, 50));
}

TEST_CASE("integers wrap, booleans move") {
  Fresh fresh(2);
  const auto i = indices<std::int32_t>(fresh, {400}, 3);
  check_same([](const auto& a, const auto& j, const auto& y) { return scatter_add(a, j, y); },
             cast<std::uint8_t>(arange<std::int32_t>(3)), i, full<std::uint8_t>({400}, 7));
  check_same([](const auto& a, const auto& j) { return take(a, j); }, ergo::tensor<bool>({true, false, true}), i);
}

TEST_CASE("sort and argsort: stable, NaN last, any axis") {
  Fresh fresh(3);
  Tensor<double> x = fresh.tensor<double>({4, 70, 3});
  double* p = detail::data_of<double>(x.array());
  for (std::int64_t k = 0; k < x.numel(); ++k)
    p[k] = k % 11 == 3 ? std::nan("") : k % 7 == 2 ? (k & 1 ? 0.0 : -0.0) : std::round(4 * p[k]);
  for (const bool descending : {false, true})
    for (int axis = 0; axis < 3; ++axis) {
      check_same([&](const auto& a) { return argsort(a, axis, {.descending = descending}); }, x);
      check_same([&](const auto& a) { return sort(a, axis, {.descending = descending}); }, x);
    }
  check_same([](const auto& a) { return argsort<std::int64_t>(a); }, fresh.tensor<double>({3, 0}));
  check_same([](const auto& a) { return argsort<std::int64_t>(a); }, fresh.tensor<double>({2, 5000}));
}

TEST_CASE("pad by what is there already") {
  Fresh fresh(4);
  for (const Pad mode : {Pad::edge, Pad::reflect, Pad::wrap})
    check_same(
        [&](const auto& a) {
          return pad(a, {{2, 1}, {0, 0}, {1, 3}}, {.mode = mode});
        },
        fresh.tensor<double>({3, 2, 5}));
}

TEST_CASE("gradients are the CPU's bits; second derivatives its values") {
  Fresh fresh(5);
  CAPTURE(test_seed());
  const Tensor<double> x = fresh.tensor<double>({6, 5}), w = fresh.tensor<double>({700, 5}),
                       d = fresh.tensor<double>({6, 5});
  const auto i = indices<std::int32_t>(fresh, {700}, 6);
  const auto k = indices<std::int32_t>(fresh, {6, 40}, 5);
  const Tensor<double> v = fresh.tensor<double>({6, 40});
  const auto first = [](const auto& a, const auto& j, const auto& u, const auto& l, const auto& z) {
    return grad([&](const auto& t) { return sum(take(t, j) * u) + sum(take_along_axis(t, l) * z); })(a);
  };
  check_same(first, x, i, w, k, v);
  const auto cubed = [](const auto& a, const auto& j, const auto& u, const auto& l, const auto& e) {
    const auto f = [&](const auto& t) {
      const auto y = take(t, j), z = sort(take_along_axis(t, l), 0), s = scatter_add(t, j, y * y * u);
      return sum(y * y * y * u) + sum(z * z * z) + sum(s * s) +
             sum(pad(t, {{1, 2}, {2, 1}}, {.mode = Pad::reflect}) * 3.0);
    };
    return hvp(f)(a, e);
  };
  const Tensor<double> want = cubed(x, i, w, k, d);
  const DeviceScope scope(kDevice);
  CHECK(allclose(cubed(there(x), there(i), there(w), there(k), there(d)).cpu(), want, {1e-11, 1e-11}));
}

#if defined(ERGO_EMULATED)
TEST_CASE("launches") {
  static const Tensor<double> x = there(table());
  static const auto i = there(ergo::tensor<std::int32_t>({3, 0, 3}));
  static const auto k = there(ergo::tensor<std::int32_t>({{3, 0, 3}}));
  CHECK(launches_of([] { take(x, i); }) == 1);
  CHECK(launches_of([] { take_along_axis(x, k, 0); }) == 1);
  CHECK(launches_of([] { one_hot(i, 4); }) == 1);
  CHECK(launches_of([] { sort(x); }) == 2);
  CHECK(launches_of([] { scatter_add(x, i, x[0]); }) == 3);  // x is copied, indices are sorted, rows added
  CHECK(launches_of([] { take(transpose(x), i, 1); }) == 1);
}
#endif

TEST_CASE("bad indices: the CPU's message at the next wait, then all goes on") {
  const Tensor<double> x = there(table());
  const auto i = there(bad());
  const std::string want = message_of([] { take(table(), bad()); });
  CHECK(want == "[take] indices (2, 2), x (4, 3): index 7 at (1, 0) is not in [0, 4)");
  Tensor<double> y;
  CHECK_NOTHROW(y = take(x, i));
  CHECK(message_of([&] { synchronize(kDevice); }) == want + kTold);
  CHECK_NOTHROW(synchronize(kDevice));
  CHECK(array_equal(y.cpu(), reshape(ergo::tensor<double>({0, 1, 2, 9, 10, 11, 0, 0, 0, 0, 0, 0}), {2, 2, 3})));

  y = take(x, i);
  CHECK(message_of([&] { y.cpu(); }) == want + kTold);  // a copy to the host is a wait
  CHECK(y.cpu().at({0, 1, 0}) == 9);
  y = embedding(x, transpose(i));
  CHECK(message_of([&] { y.at({0, 0, 0}); }) == message_of([] { embedding(table(), transpose(bad())); }) + kTold);
  y = take_along_axis(x, there(full<std::int32_t>({1, 3}, 7)), 0);
  CHECK(message_of([&] { y.to_vector(); }) == message_of([] {
                                                take_along_axis(table(), full<std::int32_t>({1, 3}, 7), 0);
                                              }) + kTold);
  y = one_hot<double>(i, 4);
  CHECK(message_of([&] { synchronize(kDevice); }) == message_of([] { one_hot(bad(), 4); }) + kTold);
  y = scatter_add(x, i[1], x[1]);
  CHECK(message_of([&] { synchronize(kDevice); }) ==
        message_of([] { scatter_add(table(), bad()[1], table()[1]); }) + kTold);
  CHECK(array_equal(y.cpu(), table()));  // they went nowhere
  y = take(zeros<double>({0, 3}, kDevice), i[0]);
  CHECK(message_of([&] { synchronize(kDevice); }) == message_of([] {
                                                       take(zeros<double>({0, 3}), ergo::tensor<std::int32_t>({0, 3}));
                                                     }) + kTold);
}

TEST_CASE("several: the first is told; within a gradient, its own") {
  const Tensor<double> x = there(table());
  const auto i = there(bad());
  const std::string want = message_of([] { take(table(), bad()); });
  for (int k = 0; k < 3; ++k) take(x, i);
  const std::string text = message_of([&] { synchronize(kDevice); });
  CHECK(text.starts_with(want));
  CHECK(text.ends_with("what was computed since is suspect, 2 more found such)"));
  const DeviceScope scope(kDevice);
  const Tensor<double> g = grad([&](const auto& t) { return sum(take(t, i)); })(x);
  CHECK(message_of([&] { g.cpu(); }).starts_with(want));
  CHECK(array_equal(g.cpu(), reshape(ergo::tensor<double>({1, 1, 1, 0, 0, 0, 0, 0, 0, 1, 1, 1}), {4, 3})));
}

TEST_CASE("many operations without a wait") {
  const Tensor<double> x = there(table());
  const auto good = there(ergo::tensor<std::int32_t>({3})), one_bad = there(ergo::tensor<std::int32_t>({4}));
  const auto live = memory_info(kDevice).live;
#if defined(ERGO_EMULATED)
  const auto waits = simt::counters().host_waits;
#endif
  for (int k = 0; k < 600; ++k) take(x, good);
#if defined(ERGO_EMULATED)
  CHECK(simt::counters().host_waits - waits == 2);
#endif
  take(x, one_bad);
  CHECK_THROWS_AS(
      [&] {
        for (int k = 0; k < 300; ++k) take(x, good);
      }(),
      Error);
  synchronize(kDevice);
  CHECK(memory_info(kDevice).live == live);
}

TEST_CASE("each thread is told of its own; one that ends prints") {
  const Tensor<double> x = there(table());
  const auto i = there(bad());
  const std::string want = message_of([] { take(table(), bad()); });
  on_a_thread([&] {
    take(x, i);
    CHECK(message_of([] { synchronize(kDevice); }).starts_with(want));
  });
  std::FILE* file = std::tmpfile();
  const int before = dup(2);
  dup2(fileno(file), 2);
  Tensor<double> y;
  on_a_thread([&] { y = take(x, i); });
  dup2(before, 2);
  close(before);
  std::rewind(file);
  std::string said;
  for (char line[512]; std::fgets(line, sizeof line, file);) said += line;
  std::fclose(file);
  CHECK(said == "ergo: a thread ended before it was told: " + want + kTold + "\n");
  CHECK_NOTHROW(synchronize(kDevice));
  CHECK(y.cpu().at({0, 1, 0}) == 9);
}

TEST_CASE("alone: an operation that waits" * doctest::skip()) {
  const Tensor<double> x = there(table());
  CHECK(message_of([&] { take(x, there(bad())); }).starts_with("[take] indices (2, 2), x (4, 3): index 7"));
  CHECK_NOTHROW(synchronize(kDevice));
}
TEST_CASE("alone: nobody waits" * doctest::skip()) { CHECK_NOTHROW(take(there(table()), there(bad()))); }
TEST_CASE("ERGO_CUDA_SYNC=1, and the end of the process") {
  output_of("ERGO_CUDA_SYNC=1", "alone: an operation that waits");
  const std::string text = output_of("", "alone: nobody waits");
  CHECK(text.find("told: [take] indices (2, 2), x (4, 3): index 7 at (1, 0) is not in [0, 4)") != std::string::npos);
}

TEST_CASE("indices elsewhere are an Error at once") {
  const std::string text = message_of([] { take(there(table()), bad()); });
  CHECK(text == "[take] (4, 3) x (2, 2): operands on cuda:0 and cpu: x.to(device) first");
}

}  // namespace cuda_indexing_test
