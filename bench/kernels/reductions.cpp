// Rows of reductions, softmax, layer_norm and cross_entropy.
#include "bench/kernels/measure.hpp"
#include "ergo/autograd/transforms.hpp"
#include "ergo/ops/cross_entropy.hpp"
#include "ergo/ops/extremum.hpp"
#include "ergo/ops/normalization.hpp"
#include "ergo/ops/random_integer.hpp"
#include "ergo/ops/reduction.hpp"
#include "ergo/ops/softmax.hpp"
#include "ergo/ops/statistics.hpp"

namespace bench {
namespace {

template <class T>
Row row_of(const std::string& op, const Shape& s, double operands, double inputs) {
  const double bytes = double(s.numel()) * sizeof(T);
  return {
      .op = op, .shape = text(s), .dtype = dtype_name<T>(), .bytes = operands * bytes, .input_bytes = inputs * bytes};
}

template <class T, class F>
void add_reduction(Rows& rows, const std::string& op, const Shape& s, F f) {
  rows.push_back(row_of<T>(op, s, 1, 1));
  rows.back().make = [=](std::uint64_t seed) -> std::function<void()> {
    return [f, x = random<T>(seed, s)] { (void)f(x); };
  };
}

// A function of rows, and its vjp from the result and its cotangent.
template <class T, class F>
void add_rows(Rows& rows, const std::string& op, const Shape& s, F f) {
  rows.push_back(row_of<T>(op, s, 2, 1));
  rows.back().make = [=](std::uint64_t seed) -> std::function<void()> {
    return [f, x = random<T>(seed, s)] { (void)f(x); };
  };
  rows.push_back(row_of<T>(op + " vjp", s, 3, 2));
  rows.back().make = [=](std::uint64_t seed) -> std::function<void()> {
    auto pull = vjp(f, random<T>(seed, s)).second;
    return [pull, g = random<T>(seed + 1, s)] { (void)pull(g); };
  };
}

template <class T>
void add_layer_norm(Rows& rows, const Shape& s) {
  const Shape c{s[1]};
  rows.push_back(row_of<T>("layer_norm", s, 2, 1));
  rows.back().make = [=](std::uint64_t seed) -> std::function<void()> {
    return [x = random<T>(seed, s), gamma = random<T>(seed + 1, c), beta = random<T>(seed + 2, c)] {
      (void)layer_norm(x, gamma, beta);
    };
  };
  using Operands = std::vector<Tensor<T>>;
  rows.push_back(row_of<T>("layer_norm vjp", s, 3, 2));
  rows.back().make = [=](std::uint64_t seed) -> std::function<void()> {
    auto pull = vjp([](const Operands& p) { return layer_norm(p[0], p[1], p[2]); },
                    Operands{random<T>(seed, s), random<T>(seed + 1, c), random<T>(seed + 2, c)})
                    .second;
    return [pull, g = random<T>(seed + 3, s)] { (void)pull(g); };
  };
}

template <class T>
void add_cross_entropy(Rows& rows, const Shape& s) {
  const auto labels = [=](std::uint64_t seed) {
    const DeviceScope scope(kDevice);
    return randint(Key{seed}, {s[0]}, 0, int(s[1]));
  };
  rows.push_back(row_of<T>("cross_entropy", s, 1, 1));
  rows.back().make = [=](std::uint64_t seed) -> std::function<void()> {
    return [x = random<T>(seed, s), y = labels(seed + 1)] { (void)cross_entropy(x, y); };
  };
  rows.push_back(row_of<T>("cross_entropy with gradient", s, 2, 1));
  rows.back().make = [=](std::uint64_t seed) -> std::function<void()> {
    const auto both = value_and_grad([](const auto& x, const auto& y) { return cross_entropy(x, y); });
    return [both, x = random<T>(seed, s), y = labels(seed + 1)] { (void)both(x, y); };
  };
}

template <class T>
void add_all(Rows& rows, bool tiny) {
  const std::int64_t n = tiny ? 24 : 8192;
  const Shape s{n, n};
  add_reduction<T>(rows, "sum rows", s, [](const auto& x) { return sum(x, 1); });
  add_reduction<T>(rows, "sum columns", s, [](const auto& x) { return sum(x, 0); });
  add_reduction<T>(rows, "sum all", s, [](const auto& x) { return sum(x); });
  add_reduction<T>(rows, "max rows", s, [](const auto& x) { return max(x, 1); });
  add_reduction<T>(rows, "max columns", s, [](const auto& x) { return max(x, 0); });
  add_reduction<T>(rows, "argmax rows", s, [](const auto& x) { return argmax(x, 1); });
  add_reduction<T>(rows, "variance rows", s, [](const auto& x) { return variance(x, 1); });
  add_reduction<T>(rows, "variance columns", s, [](const auto& x) { return variance(x, 0); });
  const std::vector<Shape> shapes =
      tiny ? std::vector<Shape>{{3, 33}, {2, 1500}} : std::vector<Shape>{{65536, 1024}, {8192, 8192}, {1344, 50000}};
  for (const Shape& r : shapes) {
    add_rows<T>(rows, "softmax", r, [](const auto& x) { return softmax(x); });
    add_rows<T>(rows, "log_softmax", r, [](const auto& x) { return log_softmax(x); });
  }
  add_layer_norm<T>(rows, tiny ? Shape{8, 48} : Shape{8192, 4096});
  add_cross_entropy<T>(rows, tiny ? Shape{6, 70} : Shape{8192, 50000});
}

}  // namespace

void add_reductions(Rows& rows, bool tiny) {
  add_all<float>(rows, tiny);
  add_all<bfloat16>(rows, tiny);
}

}  // namespace bench
