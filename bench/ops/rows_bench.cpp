// Reductions and row operations: the compulsory traffic (input and output once) beside a copy of that working set.
#include "bench/support/rows.hpp"
#include "ergo/autograd/transforms.hpp"
#include "ergo/ops/cross_entropy.hpp"
#include "ergo/ops/loss.hpp"
#include "ergo/ops/normalization.hpp"
#include "ergo/ops/random.hpp"
#include "ergo/ops/scan.hpp"
#include "ergo/ops/softmax.hpp"
#include "ergo/ops/statistics.hpp"

namespace {

using namespace ergo;
using bench::Goal;
using bench::Row;

// `arrays` of the shape's size are read or written.
template <class F>
void add(std::vector<Row>& rows, const std::string& name, const Shape& s, double arrays, Goal goal, F f) {
  rows.push_back({.name = name + " " + to_string(s),
                  .run = [f] { bench::keep(f()); },
                  .bytes = arrays * 4 * double(s.numel()),
                  .goal = goal});
}

void add_whole(std::vector<Row>& rows, std::int64_t n) {
  const auto x = normal(Key{1}, {n});
  const bool in_cache = n < 1000000;
  add(rows, "sum", {n}, 1, {.ratio = in_cache ? 1.9 : 1.2, .limit = 0.9}, [x] { return sum(x); });
  add(rows, "max", {n}, 1, {.ratio = 1}, [x] { return max(x); });
  add(rows, "norm", {n}, 1, {.ratio = 1}, [x] { return norm(x); });
  add(rows, "logsumexp", {n}, 1, {.ratio = 1}, [x] { return logsumexp(x); });
  add(rows, "cumsum", {n}, 2, {.ratio = 1}, [x] { return cumsum(x); });
}

// `forward`, `backward`: the goals of softmax, layer_norm and cross_entropy over PyTorch.
void add_rows(std::vector<Row>& rows, const Shape& s, double forward, double backward) {
  const auto x = normal(Key{1}, s), g = normal(Key{2}, s), gamma = normal(Key{3}, {s[1]}),
             beta = normal(Key{4}, {s[1]});
  std::vector<std::int64_t> classes;
  for (std::int64_t i = 0; i < s[0]; ++i) classes.push_back(i * 7 % s[1]);
  const auto labels = from_span<std::int64_t>(classes, {s[0]});
  const auto softmax_of = [](const Tensor<float>& p) { return softmax(p); };
  const auto log_softmax_of = [](const Tensor<float>& p) { return log_softmax(p); };
  using Three = std::tuple<Tensor<float>, Tensor<float>, Tensor<float>>;
  const auto norm_of = [](const Three& p) { return layer_norm(std::get<0>(p), std::get<1>(p), std::get<2>(p)); };
  const auto loss_of = [labels](const Tensor<float>& p) { return cross_entropy(p, labels); };
  const auto mse_of = [g](const Tensor<float>& p) { return mse(p, g); };
  const Goal even{.ratio = 1}, ahead{.ratio = forward}, ahead_twice{.ratio = backward};
  add(rows, "sum rows", s, 1, even, [x] { return sum(x, -1); });
  add(rows, "sum columns", s, 1, even, [x] { return sum(x, 0); });
  add(rows, "variance rows", s, 1, even, [x] { return variance(x, -1); });
  add(rows, "argmax rows", s, 1, even, [x] { return argmax(x, -1); });
  add(rows, "logsumexp rows", s, 1, even, [x] { return logsumexp(x, -1); });
  add(rows, "cumsum rows", s, 2, even, [x] { return cumsum(x, -1); });
  add(rows, "softmax", s, 2, ahead, [=] { return softmax_of(x); });
  add(rows, "softmax + backward", s, 5, ahead_twice, [=] { return vjp(softmax_of, x).second(g); });
  add(rows, "log_softmax", s, 2, even, [=] { return log_softmax_of(x); });
  add(rows, "log_softmax + backward", s, 5, even, [=] { return vjp(log_softmax_of, x).second(g); });
  add(rows, "layer_norm", s, 2, ahead, [=] { return layer_norm(x, gamma, beta); });
  add(rows, "layer_norm + backward", s, 5, ahead_twice, [=] { return vjp(norm_of, Three{x, gamma, beta}).second(g); });
  add(rows, "cross_entropy", s, 1, ahead, [=] { return loss_of(x); });
  add(rows, "cross_entropy + backward", s, 2, ahead_twice, [=] { return value_and_grad(loss_of)(x); });
  add(rows, "mse + backward", s, 3, even, [=] { return value_and_grad(mse_of)(x); });
}

}  // namespace

int main(int argc, char** argv) {
  return bench::rows_main(argc, argv, [](int) {
    std::vector<Row> rows;
    for (const std::int64_t n : {100000, 10000000}) add_whole(rows, n);
    add_rows(rows, {64, 10}, 10, 10);
    add_rows(rows, {2048, 256}, 1.6, 1.8);
    add_rows(rows, {8192, 1024}, 6, 4);
    return rows;
  });
}
