// Networks of dense layers: training step, gradient, Hessian-vector product, per-sample gradients; one pass of Adam.
// The first number of a name is the batch, the others the layers' sizes.
#include "bench/support/rows.hpp"
#include "ergo/autograd/curvature.hpp"
#include "ergo/models/linear_net.hpp"
#include "ergo/models/mlp.hpp"
#include "ergo/ops/cross_entropy.hpp"
#include "ergo/ops/loss.hpp"
#include "ergo/optim/adam.hpp"
#include "ergo/optim/sgd.hpp"

namespace {

using namespace ergo;
using bench::Row;
using bench::Traffic;

using Net = models::Mlp<float>;

struct Sizes {
  std::int64_t batch;
  std::vector<std::int64_t> layers;

  std::string text() const {
    std::string r = " (" + std::to_string(batch);
    for (const auto n : layers) r += ", " + std::to_string(n);
    return r + ")";
  }
  double weights(std::size_t first = 0) const {  // from layer `first` on
    double r = 0;
    for (std::size_t i = first; i + 1 < layers.size(); ++i) r += double(layers[i] * layers[i + 1]);
    return r;
  }
  // The first layer has no input gradient.
  double gradient_flops() const { return 2 * double(batch) * (2 * weights() + weights(1)); }
  double hvp_flops() const { return 2 * double(batch) * (3 * weights() + 5 * weights(1)); }
};

struct GoalsOfNet {
  bench::Goal step = {.ratio = 1}, hvp = {.ratio = 1}, per_sample = {.ratio = 1};
};

template <class Loss, class Y>
void add_curvature(std::vector<Row>& rows, const std::string& name, const Sizes& s, const Net& net, const Loss& loss,
                   const Tensor<float>& x, const Y& y, const GoalsOfNet& goals) {
  rows.push_back({.name = name + " gradient" + s.text(),
                  .run = [=] { bench::keep(value_and_grad(loss)(net, x, y)); },
                  .flops = s.gradient_flops(),
                  .goal = {.ratio = 1}});
  const Net v = tree::normal_like(Key{3}, net);
  rows.push_back({.name = name + " hvp" + s.text(),
                  .run = [=] { bench::keep(hvp(loss)(net, v, x, y)); },
                  .flops = s.hvp_flops(),
                  .goal = goals.hvp});
  rows.push_back({.name = name + " per-sample gradients" + s.text(),
                  .run = [=] { bench::keep(per_sample_grad(loss)(net, x, y)); },
                  .flops = s.gradient_flops(),
                  .bytes = 4 * double(s.batch) * double(tree::numel(net)),
                  .traffic = Traffic::fill,
                  .goal = goals.per_sample});
}

// A classifier with relu, trained by Adam.
void add_classifier(std::vector<Row>& rows, const Sizes& s, const GoalsOfNet& goals) {
  const Net net = models::mlp(Key{1}, s.layers);
  const auto x = normal(Key{2}, {s.batch, s.layers.front()});
  const auto y = randint(Key{4}, {s.batch}, 0, int(s.layers.back()));
  const auto loss = [](const Net& m, const Tensor<float>& images, const Tensor<std::int32_t>& labels) {
    return cross_entropy(m(images), labels);
  };
  rows.push_back({.name = "mlp forward" + s.text(),
                  .run = [=] { bench::keep(net(x)); },
                  .flops = 2 * double(s.batch) * s.weights(),
                  .goal = {.ratio = 1}});
  rows.push_back({.name = "mlp train step" + s.text(),
                  .run =
                      [=, model = tree::map([](const auto& p) { return p + 0; }, net),
                       opt = optim::Adam<Net>(net, {.lr = 1e-4})]() mutable {
                        const auto [value, gradient] = value_and_grad(loss)(model, x, y);
                        opt.step(model, gradient);
                        bench::keep(value);
                      },
                  .flops = s.gradient_flops(),
                  .goal = goals.step});
  add_curvature(rows, "mlp", s, net, loss, x, y, goals);
}

// A regression with tanh: sizes at which overhead shows.
void add_regression(std::vector<Row>& rows, const Sizes& s, const GoalsOfNet& goals) {
  const Net net = models::mlp(Key{1}, s.layers, Activation::tanh);
  const auto x = normal(Key{2}, {s.batch, s.layers.front()}), y = normal(Key{4}, {s.batch, s.layers.back()});
  const auto loss = [](const Net& m, const Tensor<float>& in, const Tensor<float>& out) { return mse(m(in), out); };
  add_curvature(rows, "tanh net", s, net, loss, x, y, goals);

  using Linear = models::LinearNet<float>;
  const Linear linear = models::linear_net(Key{1}, s.layers);
  rows.push_back({.name = "deep linear train step" + s.text(),
                  .run =
                      [=, model = tree::map([](const auto& p) { return p + 0; }, linear),
                       opt = optim::Sgd<Linear>(linear, {.lr = 1e-4})]() mutable {
                        const auto gradient = grad([&](const Linear& m) { return mse(m(x), y); })(model);
                        opt.step(model, gradient);
                      },
                  .flops = s.gradient_flops(),
                  .goal = goals.step});
}

void add_adam(std::vector<Row>& rows, std::int64_t n) {
  using Parameters = std::vector<Tensor<float>>;
  const Parameters gradient{normal(Key{2}, {n})};
  rows.push_back(
      {.name = "adam (" + std::to_string(n) + ",)",
       .run = [=, model = Parameters{normal(Key{1}, {n})},
               opt = optim::Adam<Parameters>(gradient, {.lr = 1e-4})]() mutable { opt.step(model, gradient); },
       .bytes = 16 * double(n),
       .traffic = Traffic::read,
       .goal = {.ratio = 1.35, .limit = 0.94}});
}

}  // namespace

int main(int argc, char** argv) {
  return bench::rows_main(argc, argv, [](int) {
    std::vector<Row> rows;
    add_classifier(rows, {128, {784, 256, 128, 10}}, {});
    const GoalsOfNet wide{.step = {.ratio = 1.35, .limit = 0.9},
                          .hvp = {.ratio = 1.9, .limit = 0.88},
                          .per_sample = {.ratio = 12, .limit = 0.9}};
    add_classifier(rows, {64, {784, 512, 512, 10}}, wide);
    add_classifier(rows, {128, {784, 512, 512, 10}}, wide);
    add_regression(
        rows, {16, {64, 64, 64, 64, 64, 64}},
        {.step = {.ratio = 13, .limit = 0.72}, .hvp = {.ratio = 11, .limit = 0.69}, .per_sample = {.ratio = 25}});
    for (const std::int64_t n : {100000, 10000000}) add_adam(rows, n);
    return rows;
  });
}
