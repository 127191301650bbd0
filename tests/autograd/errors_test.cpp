// Golden texts of mistakes inside transforms, and that nothing is left open, half done or wrong after each.
// again: cuda
#include <string>
#include <utility>
#include <vector>

#include <doctest/doctest.h>

#include "ergo/autograd/checkpoint.hpp"
#include "ergo/autograd/curvature.hpp"
#include "ergo/ops/arithmetic.hpp"
#include "ergo/ops/indexing.hpp"
#include "ergo/ops/matmul.hpp"
#include "ergo/ops/movement.hpp"
#include "ergo/ops/reduction.hpp"
#include "support/message.hpp"

namespace autograd_errors_test {

using namespace ergo;
using Vec = Tensor<float>;

namespace {

const Vec x34 = ones<float>({3, 4}), table = ones<float>({5, 2});
const auto ids = tensor<std::int32_t>({0, 7});

// The text of f's error inside each transform; the last check says that the thread is as it was.
template <class F>
void same_in_every_mode(const F& f, const Vec& x, const std::string& text) {
  CHECK(message_of([&] { f(x); }) == text);
  CHECK(message_of([&] { grad([&](const Vec& p) { return sum(f(p)); })(x); }) == text);
  CHECK(message_of([&] { jvp(f)(x, x); }) == text);
  CHECK(message_of([&] { hvp([&](const Vec& p) { return sum(f(p)); })(x, x); }) == text);
  CHECK(message_of([&] { grad([&](const Vec& p) { return sum(checkpoint(f)(p)); })(x); }) == text);
  CHECK(detail::levels.depth == 0);
  CHECK(grad([](const Vec& p) { return sum(p * p); })(ones<float>({2})).to_vector() == std::vector<float>{2, 2});
}

}  // namespace

TEST_CASE("a mistake reads the same inside grad, jvp, hvp and checkpoint") {
  same_in_every_mode([](const Vec& x) { return matmul(x, table); }, x34, "[matmul] (3, 4) x (5, 2): inner sizes 4 and 5 differ");
  same_in_every_mode([](const Vec& x) { return x + table; }, x34, "[add] (3, 4) x (5, 2): shapes do not broadcast");
  same_in_every_mode([](const Vec& x) { return reshape(x, {5, 2}); }, x34,
                     "[reshape] (3, 4): 12 elements do not fill (5, 2) of 10");
  same_in_every_mode([](const Vec& x) { return sum(x, 2); }, x34, "[sum] (3, 4): axis 2 is out of range for rank 2");
  same_in_every_mode([](const Vec& x) { return x[3]; }, x34, "[index] (3, 4): index 3 is not in [0, 3) of the leading axis");
  same_in_every_mode([](const Vec& x) { return embedding(x, ids); }, table,
                     "[embedding] ids (2,), table (5, 2): id 7 at (1,) is not in [0, 5)");
}

TEST_CASE("an index past the table inside a mapped gradient") {
  const auto f = [](const Vec& t, const Tensor<std::int32_t>& i) { return sum(embedding(t, i)); };
  const auto many = tensor<std::int32_t>({{0, 1}, {2, 9}});
  const std::string text = message_of([&] { return per_sample_grad(f)(table, many); });
  CHECK(text.starts_with("[embedding] "));
  CHECK(text.find("id 9 at (1, 1) is not in [0, 5)") != std::string::npos);
  CHECK(detail::levels.depth == 0);
}

TEST_CASE("transforms say what they expected") {
  CHECK(message_of([] { return grad([](const Vec& x) { return x; })(x34); }) ==
        "[grad] (3, 4): the function must return one element (sum or mean it; vjp and jacobian take any shape)");
  CHECK(message_of([] { return value_and_grad([](const Vec& x) { return std::pair{x, 1}; })(x34); }) ==
        "[grad] (3, 4): the function must return one element (sum or mean it; vjp and jacobian take any shape)");
  CHECK(message_of([] { return hessian([](const Vec& x) { return x; })(table); }) ==
        "[grad] (5, 2): the function must return one element (sum or mean it; vjp and jacobian take any shape)");
  CHECK(message_of([] { return jvp([](const Vec& x) { return x; })(x34, table); }) ==
        "[jvp] (3, 4) x (5, 2): leaves of the two trees differ in shape");
  CHECK(message_of([] { return vjp([](const Vec& x) { return sum(x, 0); }, x34).second(x34); }) ==
        "[vjp] (4,) x (3, 4): leaves of the two trees differ in shape");
  CHECK(message_of([] { return vmap([](const Vec& a, const Vec& b) { return a + b; })(x34, table); }) ==
        "[vmap] (3, 4) x (5, 2): leading axes differ");
  CHECK(message_of([] { return grad([](const Vec& x) { return sum(x); })(Vec()); }) ==
        "[tree] the root: a learned leaf is an empty tensor");
  CHECK(message_of([] { return grad([](const Vec&) { return Vec(); })(x34); }) ==
        "[tree] the root: a learned leaf is an empty tensor");
}

TEST_CASE("a function that throws in the middle of an update leaves its argument alone") {
  Vec w = ones<float>({3});
  const auto step = [&] { w = std::move(w) - grad([](const Vec& p) { return sum(p * x34); })(w); };
  CHECK(message_of(step) == "[multiply] (3,) x (3, 4): shapes do not broadcast");
  CHECK(w.defined());
  CHECK(w.to_vector() == std::vector<float>{1, 1, 1});
}

}  // namespace autograd_errors_test
