// What one operation costs when it computes next to nothing, at every kind of level, and pointwise functions and chains
// where memory or arithmetic is the limit.
#include "bench/support/rows.hpp"
#include "ergo/autograd/map.hpp"
#include "ergo/autograd/curvature.hpp"
#include "ergo/ops/activation.hpp"
#include "ergo/ops/arithmetic.hpp"
#include "ergo/ops/comparison.hpp"
#include "ergo/ops/exponential.hpp"
#include "ergo/ops/movement.hpp"
#include "ergo/ops/random.hpp"
#include "ergo/ops/reduction.hpp"
#include "ergo/ops/rounding.hpp"
#include "ergo/ops/selection.hpp"
#include "ergo/ops/trigonometric.hpp"

namespace {

using namespace ergo;
using bench::Goal;
using bench::Row;

constexpr int kChain = 100;

// Operations on one element: nanoseconds of each, in a chain of multiplies.
void add_one_element(std::vector<Row>& rows) {
  const Tensor<float> x(1.01f), c(0.9999f);
  const auto chain = [c](const Tensor<float>& a) {
    Tensor<float> y = a;
    for (int i = 0; i < kChain; ++i) y = y * c;
    return y;
  };
  const auto row = [&](const std::string& name, Goal goal, auto f) {
    rows.push_back({.name = "one element: " + name, .run = [f] { bench::keep(f()); }, .items = kChain, .goal = goal});
  };
  const auto four = ones<float>({4});
  row("multiply", {.ratio = 35, .nanoseconds = 10}, [=] { return chain(x); });
  row("multiply by a number", {.ratio = 35}, [x] {
    Tensor<float> y = x;
    for (int i = 0; i < kChain; ++i) y = y * 0.9999f;
    return y;
  });
  row("multiply, recorded", {.ratio = 45, .nanoseconds = 20}, [=] { return vjp(chain, x); });
  row("multiply, forward + backward", {.ratio = 60, .nanoseconds = 60}, [=] { return value_and_grad(chain)(x); });
  row("multiply, jvp", {.ratio = 45}, [=] { return jvp(chain)(x, x); });
  row("multiply, hvp", {.ratio = 45}, [=] { return hvp(chain)(x, x); });
  row("multiply, vmap over 4", {.ratio = 45}, [=] { return vmap(chain)(four); });
  const auto tanh_of = [](const Tensor<float>& a) { return tanh(a); };
  rows.push_back({.name = "third derivative of tanh",
                  .run = [=] { bench::keep(grad(grad(grad(tanh_of)))(x)); },
                  .goal = {.ratio = 10, .nanoseconds = 800}});
}

struct GeluOfAffine {
  template <class A>
  constexpr A operator()(const A& x, const A& w, const A& b) const {
    return gelu_tanh(x * w + b);
  }
};

template <class F>
void add(std::vector<Row>& rows, const std::string& name, std::int64_t n, double arrays, Goal goal, F f) {
  rows.push_back({.name = name + " (" + std::to_string(n) + ",)",
                  .run = [f] { bench::keep(f()); },
                  .bytes = arrays * 4 * double(n),
                  .goal = goal});
}

// A function of one argument in cache, alone and with its derivative.
template <class F>
void add_unary(std::vector<Row>& rows, const std::string& name, const Tensor<float>& x, double ratio, F f) {
  const std::int64_t n = x.numel();
  const auto g = ones<float>({n});
  add(rows, name, n, 2, {.ratio = ratio}, [=] { return f(x); });
  add(rows, name + " + backward", n, 5, {.ratio = 1}, [=] { return vjp(f, x).second(g); });
}

#define UNARY(f, ratio) add_unary(rows, #f, x, ratio, [](const Tensor<float>& a) { return f(a); })
void add_functions(std::vector<Row>& rows, std::int64_t n) {
  auto x = uniform(Key{1}, {n}, 0.1f, 1.5f);
  UNARY(exp, 1.7);
  UNARY(tanh, 1.4);
  UNARY(expm1, 1);
  UNARY(log, 1);
  UNARY(log1p, 1);
  UNARY(sqrt, 1);
  UNARY(rsqrt, 1);
  UNARY(reciprocal, 1);
  UNARY(square, 1);
  UNARY(abs, 1);
  UNARY(sin, 1);
  UNARY(cos, 1);
  UNARY(tan, 1);
  UNARY(sinh, 1);
  x = normal(Key{2}, {n});
  UNARY(erf, 1);
  UNARY(sigmoid, 1);
  UNARY(log_sigmoid, 1);
  UNARY(softplus, 1);
  UNARY(relu, 1);
  UNARY(elu, 1);
  UNARY(gelu, 1);
  UNARY(gelu_tanh, 1);
  UNARY(silu, 1);
  UNARY(floor, 1);
}
#undef UNARY

// Functions of several arguments, and chains of them.
void add_chains(std::vector<Row>& rows, std::int64_t n) {
  const auto x = normal(Key{1}, {n}), w = normal(Key{2}, {n}), b = normal(Key{3}, {n});
  const auto positive = uniform(Key{4}, {n}, 0.5f, 2.0f);
  const bool big = n >= 10000000, small = n <= 1000;
  add(rows, "add", n, 3, {.ratio = 1}, [=] { return x + w; });
  add(rows, "multiply", n, 3, {.ratio = big ? 7.0 : small ? 2 : 1.05, .limit = 0.95}, [=] { return x * w; });
  add(rows, "divide", n, 3, {.ratio = 1}, [=] { return x / positive; });
  add(rows, "maximum", n, 3, {.ratio = 1}, [=] { return maximum(x, w); });
  add(rows, "pow", n, 3, {.ratio = 1}, [=] { return pow(positive, w); });
  add(rows, "greater", n, 2.25, {.ratio = 1}, [=] { return x > w; });
  add(rows, "where", n, 5.25, {.ratio = 1}, [=] { return where(x > 0, w, b); });
  add(rows, "x * w + b", n, 4, {.ratio = 1}, [=] { return x * w + b; });
  add(rows, "gelu_tanh(x * w + b)", n, 4, {.ratio = big ? 18.0 : 2}, [=] { return gelu_tanh(x * w + b); });
  add(rows, "gelu_tanh(x * w + b), map", n, 4, {.ratio = big ? 18.0 : 2}, [=] { return map(GeluOfAffine{}, x, w, b); });
  add(rows, "sum(square(x - w)) + backward", n, 3, {.ratio = 1},
      [=] { return value_and_grad([&](const Tensor<float>& p) { return sum(square(p - w)); })(x); });
  if (big) add(rows, "exp", n, 2, {.ratio = 9}, [=] { return exp(x); });
}

// One operand is broadcast along rows or columns, or lies transposed.
void add_layouts(std::vector<Row>& rows, const Shape& s) {
  const auto x = normal(Key{1}, s), row = normal(Key{2}, {s[1]}), column = normal(Key{3}, {s[0], 1});
  const auto other = normal(Key{4}, Shape{s[1], s[0]});
  const double bytes = 8 * double(s.numel());
  const auto add_row = [&](const std::string& name, double traffic, auto f) {
    rows.push_back(
        {.name = name + " " + to_string(s), .run = [f] { bench::keep(f()); }, .bytes = traffic, .goal = {.ratio = 1}});
  };
  add_row("add a row", bytes, [=] { return x + row; });
  add_row("multiply by a column", bytes, [=] { return x * column; });
  add_row("outer product by broadcasting", bytes / 2, [=] { return column * row; });
  const auto flipped = transpose(other);
  add_row("add a transposed matrix", bytes * 1.5, [=] { return x + flipped; });
}

}  // namespace

int main(int argc, char** argv) {
  return bench::rows_main(argc, argv, [](int) {
    std::vector<Row> rows;
    add_one_element(rows);
    add_functions(rows, 100000);
    for (const std::int64_t n : {1000, 100000, 10000000}) add_chains(rows, n);
    add_layouts(rows, {2048, 256});
    add_layouts(rows, {2048, 2048});
    return rows;
  });
}
