// Rows of pointwise operations and their vjps.
#include "bench/kernels/measure.hpp"
#include "ergo/autograd/transforms.hpp"
#include "ergo/ops/activation.hpp"
#include "ergo/ops/arithmetic.hpp"
#include "ergo/ops/comparison.hpp"
#include "ergo/ops/exponential.hpp"
#include "ergo/ops/selection.hpp"
#include "ergo/ops/trigonometric.hpp"

namespace bench {
namespace {

template <class T, class F>
void add_unary(Rows& rows, const std::string& op, const Shape& s, F f) {
  const double bytes = double(s.numel()) * sizeof(T);
  rows.push_back({.op = op, .shape = text(s), .dtype = dtype_name<T>(), .bytes = 2 * bytes, .input_bytes = bytes});
  rows.back().make = [=](std::uint64_t seed) -> std::function<void()> {
    return [f, x = random<T>(seed, s)] { (void)f(x); };
  };
  rows.push_back(
      {.op = op + " vjp", .shape = text(s), .dtype = dtype_name<T>(), .bytes = 3 * bytes, .input_bytes = 2 * bytes});
  rows.back().make = [=](std::uint64_t seed) -> std::function<void()> {
    auto pull = vjp(f, random<T>(seed, s)).second;
    return [pull, g = random<T>(seed + 1, s)] { (void)pull(g); };
  };
}

// f(x, y) with y of a shape that broadcasts to x's.
template <class T, class F>
void add_binary(Rows& rows, const std::string& op, const Shape& s, const Shape& other, bool with_vjp, F f) {
  const double bytes = double(s.numel()) * sizeof(T), small = double(other.numel()) * sizeof(T);
  rows.push_back(
      {.op = op, .shape = text(s), .dtype = dtype_name<T>(), .bytes = 2 * bytes + small, .input_bytes = bytes + small});
  rows.back().make = [=](std::uint64_t seed) -> std::function<void()> {
    return [f, x = random<T>(seed, s), y = random<T>(seed + 1, other)] { (void)f(x, y); };
  };
  if (!with_vjp) return;
  using Pair = std::pair<Tensor<T>, Tensor<T>>;
  rows.push_back({.op = op + " vjp",
                  .shape = text(s),
                  .dtype = dtype_name<T>(),
                  .bytes = 3 * bytes + 2 * small,
                  .input_bytes = 2 * bytes + small});
  rows.back().make = [=](std::uint64_t seed) -> std::function<void()> {
    auto pull =
        vjp([f](const Pair& p) { return f(p.first, p.second); }, Pair{random<T>(seed, s), random<T>(seed + 1, other)})
            .second;
    return [pull, g = random<T>(seed + 2, s)] { (void)pull(g); };
  };
}

template <class T>
void add_where(Rows& rows, const Shape& s) {
  const double n = double(s.numel()), bytes = n * sizeof(T);
  rows.push_back({.op = "where",
                  .shape = text(s),
                  .dtype = dtype_name<T>(),
                  .bytes = 3 * bytes + n,
                  .input_bytes = 2 * bytes + n});
  rows.back().make = [=](std::uint64_t seed) -> std::function<void()> {
    return
        [c = random<T>(seed + 2, s) > 0, x = random<T>(seed, s), y = random<T>(seed + 1, s)] { (void)where(c, x, y); };
  };
  using Pair = std::pair<Tensor<T>, Tensor<T>>;
  rows.push_back({.op = "where vjp",
                  .shape = text(s),
                  .dtype = dtype_name<T>(),
                  .bytes = 3 * bytes + n,
                  .input_bytes = bytes + n});
  rows.back().make = [=](std::uint64_t seed) -> std::function<void()> {
    const Tensor<bool> c = random<T>(seed + 2, s) > 0;
    auto pull = vjp([c](const Pair& p) { return where(c, p.first, p.second); },
                    Pair{random<T>(seed, s), random<T>(seed + 1, s)})
                    .second;
    return [pull, g = random<T>(seed + 3, s)] { (void)pull(g); };
  };
}

template <class T>
void add_all(Rows& rows, std::int64_t n) {
  const Shape s{n, n};
  add_unary<T>(rows, "exp", s, [](const auto& x) { return exp(x); });
  add_unary<T>(rows, "tanh", s, [](const auto& x) { return tanh(x); });
  add_unary<T>(rows, "gelu", s, [](const auto& x) { return gelu(x); });
  const auto product = [](const auto& x, const auto& y) { return x * y; };
  const double extra = double(s.numel()) * sizeof(T);
  add_binary<T>(rows, "add", s, s, false, [](const auto& x, const auto& y) { return x + y; });
  rows.back().bytes = 3 * extra;
  add_binary<T>(rows, "mul", s, s, true, product);
  rows.back().bytes = 5 * extra;
  add_binary<T>(rows, "mul row", s, {n}, true, product);
  add_binary<T>(rows, "mul column", s, {n, 1}, true, product);
  add_where<T>(rows, s);
}

}  // namespace

void add_pointwise(Rows& rows, bool tiny) {
  const std::int64_t n = tiny ? 24 : 8192;
  add_all<float>(rows, n);
  add_all<bfloat16>(rows, n);
}

}  // namespace bench
