// Lanczos with full reorthogonalisation on the Hessian of a classifier's loss: the sizes of a name are (batch, steps,
// layers...). At least the products' flop, and the basis read twice a step.
#include "bench/support/rows.hpp"
#include "ergo/autograd/curvature.hpp"
#include "ergo/linalg/lanczos.hpp"
#include "ergo/models/mlp.hpp"
#include "ergo/ops/cross_entropy.hpp"

namespace {

using namespace ergo;
using bench::Row;

using Net = models::Mlp<float>;

void add(std::vector<Row>& rows, std::int64_t batch, int steps, const std::vector<std::int64_t>& layers,
         bench::Goal goal) {
  const Net net = models::mlp(Key{1}, layers);
  const auto x = normal(Key{2}, {batch, layers.front()});
  const auto y = randint(Key{4}, {batch}, 0, int(layers.back()));
  const auto loss = [x, y](const Net& m) { return cross_entropy(m(x), y); };
  const Net start = tree::normal_like(Key{3}, net);
  double weights = 0, after = 0;
  std::string name = "lanczos of the Hessian (" + std::to_string(batch) + ", " + std::to_string(steps);
  for (std::size_t i = 0; i < layers.size(); ++i) {
    name += ", " + std::to_string(layers[i]);
    if (i == 0) continue;
    weights += double(layers[i - 1] * layers[i]);
    if (i > 1) after += double(layers[i - 1] * layers[i]);
  }
  rows.push_back({.name = name + ")",
                  .run =
                      [=] {
                        bench::keep(linalg::lanczos([&](const Net& v) { return hvp(loss)(net, v); }, start, steps,
                                                    {.vectors = false}));
                      },
                  .flops = 2.0 * double(batch) * steps * (3 * weights + 5 * after),
                  .goal = goal});
}

}  // namespace

int main(int argc, char** argv) {
  return bench::rows_main(argc, argv, [](int) {
    std::vector<Row> rows;
    add(rows, 64, 20, {784, 512, 512, 10}, {.ratio = 4.2});
    add(rows, 128, 20, {784, 256, 128, 10}, {.ratio = 1});
    return rows;
  });
}
