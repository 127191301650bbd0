// The optimisers against recurrences written out in long double, their memory, their errors, and failing allocations.
#include <doctest/doctest.h>

#include <cmath>

#include "ergo/autograd/transforms.hpp"
#include "ergo/ops/arithmetic.hpp"
#include "ergo/optim/adam.hpp"
#include "ergo/optim/sgd.hpp"
#include "support/fresh.hpp"
#include "support/message.hpp"

namespace optim_optim_test {

using namespace ergo;

namespace {

template <class T>
struct Layer {
  Tensor<T> weight;
  std::optional<Tensor<T>> bias;
  ERGO_FIELDS(Layer, weight, bias)
};
template <class T>
struct Net {
  std::vector<Layer<T>> layers;
  Tensor<T> scale;
  Tensor<std::int32_t> permutation;
  int depth = 2;
  ERGO_FIELDS(Net, layers, scale, permutation, depth)
};

template <class T>
Net<T> random_net(Fresh& fresh) {
  return {{{fresh.tensor<T>({7, 5}), fresh.tensor<T>({5})}, {fresh.tensor<T>({5, 3}), {}}},
          fresh.tensor<T>({}),
          arange<std::int32_t>(3),
          2};
}
template <class A>
std::vector<double> elements(const A& a) {
  std::vector<double> v;
  tree::for_each(
      [&](const auto& x) {
        for (auto e : x.to_vector()) v.push_back(double(e));
      },
      a);
  return v;
}
double furthest(const std::vector<double>& a, const std::vector<long double>& b) {
  double worst = a.size() == b.size() ? 0 : 1e9;
  for (std::size_t i = 0; i < a.size() && i < b.size(); ++i)
    worst = std::max(worst, double(std::fabs((long double)a[i] - b[i]) / (1 + std::fabs(b[i]))));
  return worst;
}

struct Reference {  // of one element: parameter, two states
  std::vector<long double> p, m, v;
  explicit Reference(const std::vector<double>& x) : p(x.begin(), x.end()), m(x.size()), v(x.size()) {}
  void sgd(const std::vector<double>& g, long double lr, long double momentum, bool nesterov, long double decay) {
    for (std::size_t i = 0; i < p.size(); ++i) {
      const long double d = g[i] + decay * p[i];
      m[i] = momentum * m[i] + d;
      p[i] -= lr * (nesterov ? d + momentum * m[i] : m[i]);
    }
  }
  void adam(const std::vector<double>& g, int t, long double lr, long double b1, long double b2, long double eps,
            long double decay, bool decoupled) {
    for (std::size_t i = 0; i < p.size(); ++i) {
      long double d = g[i];
      if (decoupled)
        p[i] -= lr * decay * p[i];
      else
        d += decay * p[i];
      m[i] = b1 * m[i] + (1 - b1) * d;
      v[i] = b2 * v[i] + (1 - b2) * d * d;
      const long double mean = m[i] / (1 - std::pow(b1, (long double)t)),
                        square = v[i] / (1 - std::pow(b2, (long double)t));
      p[i] -= lr * mean / (std::sqrt(square) + eps);
    }
  }
};

// Ten steps of `opt` beside `advance(reference, gradient, t)`.
template <class T, class Opt, class Advance>
double ten_steps(Opt opt, Net<T> model, Fresh& fresh, Advance advance) {
  Reference reference(elements(model));
  for (int t = 1; t <= 10; ++t) {
    const Net<T> g = random_net<T>(fresh);
    opt.step(model, g);
    advance(reference, elements(g), t);
  }
  CHECK(opt.steps.item() == 10);
  CHECK(model.permutation.to_vector() == std::vector<std::int32_t>{0, 1, 2});
  return furthest(elements(model), reference.p);
}
template <class T>
void compare_all(double tolerance) {
  Fresh fresh(sizeof(T));
  const auto model = [&] { return random_net<T>(fresh); };
  {
    const auto m = model();
    CHECK(ten_steps<T>(optim::Sgd<Net<T>>{m, {.lr = 0.125}}, m, fresh,
                       [](Reference& r, const auto& g, int) { r.sgd(g, 0.125L, 0, false, 0); }) < tolerance);
    CHECK(ten_steps<T>(optim::Sgd<Net<T>>{m, {.lr = 0.125, .momentum = 0.75, .weight_decay = 0.25}}, m, fresh,
                       [](Reference& r, const auto& g, int) { r.sgd(g, 0.125L, 0.75L, false, 0.25L); }) < tolerance);
    CHECK(ten_steps<T>(optim::Sgd<Net<T>>{m, {.lr = 0.125, .momentum = 0.75, .nesterov = true}}, m, fresh,
                       [](Reference& r, const auto& g, int) { r.sgd(g, 0.125L, 0.75L, true, 0); }) < tolerance);
  }
  const auto m = model();
  CHECK(ten_steps<T>(
            optim::Adam<Net<T>>{m, {.lr = 0.0625, .beta1 = 0.75, .beta2 = 0.875, .eps = 0x1p-20, .weight_decay = 0.5}},
            m, fresh, [](Reference& r, const auto& g, int t) {
              r.adam(g, t, 0.0625L, 0.75L, 0.875L, 0x1p-20L, 0.5L, false);
            }) < tolerance);
  CHECK(ten_steps<T>(
            optim::AdamW<Net<T>>{m, {.lr = 0.0625, .beta1 = 0.75, .beta2 = 0.875, .eps = 0x1p-20, .weight_decay = 0.5}},
            m, fresh, [](Reference& r, const auto& g, int t) {
              r.adam(g, t, 0.0625L, 0.75L, 0.875L, 0x1p-20L, 0.5L, true);
            }) < tolerance);
}

}  // namespace

TEST_CASE("ten steps equal the recurrences") {
  compare_all<double>(1e-14);
  compare_all<float>(3e-6);
  compare_all<bfloat16>(0.08);  // state and parameters are rounded to 8 bits every step
}

TEST_CASE("the defaults are the usual ones") {
  const Tensor<double> p = tensor<double>({1, -2}), g = tensor<double>({0.5, 4});
  Tensor<double> q = p;
  optim::Adam opt{q};
  opt.step(q, g);  // the first step of Adam is lr times the sign, nearly
  CHECK(q.at({0}) == doctest::Approx(1 - 1e-3 * 0.5 / (0.5 + 1e-8)).epsilon(1e-13));
  CHECK(q.at({1}) == doctest::Approx(-2 - 1e-3 * 4 / (4 + 1e-8)).epsilon(1e-13));
  q = p;
  optim::AdamW decayed{q};
  decayed.step(q, g);
  CHECK(q.at({0}) == doctest::Approx(1 * (1 - 1e-5) - 1e-3 * 0.5 / (0.5 + 1e-8)).epsilon(1e-13));
  q = p;
  optim::Sgd plain{q, {.lr = 0.5f}};
  plain.step(q, g);
  CHECK(q.to_vector() == std::vector<double>{0.75, -4});
  plain.options.lr = 0.25;
  plain.step(q, g);
  CHECK(q.to_vector() == std::vector<double>{0.625, -5});
}

TEST_CASE("a step works in place exactly where the memory is the model's own") {
  Fresh fresh(3);
  Net<float> model = random_net<float>(fresh);
  const Net<float> g = random_net<float>(fresh);
  optim::Adam opt{model};
  opt.step(model, g);
  const auto* weight = model.layers[0].weight.array().data;
  const auto* mean = opt.first.layers[0].weight.array().data;
  opt.step(model, g);
  CHECK(model.layers[0].weight.array().data == weight);
  CHECK(opt.first.layers[0].weight.array().data == mean);

  const Net<float> copy = model;
  const auto before = elements(copy);
  opt.step(model, g);
  CHECK(elements(copy) == before);
  CHECK(elements(model) != before);
  CHECK(model.layers[0].weight.array().data != weight);
  CHECK(opt.first.layers[0].weight.array().data == mean);

  const auto saved = opt;  // a copied optimiser keeps its own past
  const auto means = elements(saved.first);
  opt.step(model, g);
  CHECK(elements(saved.first) == means);

  std::vector<float> memory(6, 1);  // borrowed memory is never written
  Tensor<float> lent = borrow<float>(memory, {2, 3});
  optim::Sgd sgd{lent, {.lr = 1}};
  sgd.step(lent, ones<float>({2, 3}));
  CHECK(memory == std::vector<float>(6, 1));
  CHECK(lent.to_vector() == std::vector<float>(6, 0));

  Tensor<float> whole = fresh.tensor<float>({4, 3});
  Tensor<float> row = whole[1];  // a view of somebody's memory
  const auto was = whole.to_vector();
  optim::Sgd on_row{row};
  on_row.step(row, ones<float>({3}));
  CHECK(whole.to_vector() == was);
}

TEST_CASE("gradients of any layout, leaves of any size, empty ones too") {
  Fresh fresh(4);
  const Tensor<double> base = fresh.tensor<double>({2, 40000});
  Tensor<double> p = fresh.tensor<double>({40000}), q = p;
  const Tensor<double> g = base[1];
  optim::Sgd a{p, {.lr = 0.5}}, b{q, {.lr = 0.5}};
  a.step(p, g);
  b.step(q, from_span<double>(g.to_vector(), {40000}));
  CHECK(array_equal(p, q));
  for (std::int64_t i : {0, 16383, 16384, 39999}) CHECK(p.at({i}) == doctest::Approx(q.at({i})));

  Tensor<double> nothing = zeros<double>({0, 3});
  optim::Adam opt{nothing};
  opt.step(nothing, zeros<double>({0, 3}));
  CHECK(nothing.shape() == Shape{0, 3});
}

TEST_CASE("the bits do not depend on the number of threads") {
  std::vector<std::vector<float>> results;
  for (int threads : {1, 2, 3, 8}) {
    set_num_threads(threads);
    Fresh fresh(5);
    using Tree = std::vector<Tensor<float>>;
    Tree model{fresh.tensor<float>({300, 701}), fresh.tensor<float>({17}), fresh.tensor<float>({100001})};
    const Tree g{fresh.tensor<float>({300, 701}), fresh.tensor<float>({17}), fresh.tensor<float>({100001})};
    optim::AdamW opt{model};
    for (int i = 0; i < 3; ++i) opt.step(model, g);
    results.push_back(tree::ravel(model).to_vector());
  }
  set_num_threads(2);
  for (const auto& r : results) CHECK(r == results[0]);
}

TEST_CASE("a step that throws changes nothing") {
  Fresh fresh(6);
  Net<float> model = random_net<float>(fresh);
  const Net<float> copy = model, g = random_net<float>(fresh);  // shared, so every leaf needs fresh memory
  optim::Adam opt{model};
  const auto before = elements(model);
  for (std::int64_t k = 1;; ++k) {
    const auto first = elements(opt.first), second = elements(opt.second);
    detail::local_cache.fail_in = k;
    bool failed = false;
    try {
      opt.step(model, g);
    } catch (const OutOfMemory&) { failed = true; }
    detail::local_cache.fail_in = 0;
    if (!failed) {
      CHECK(k > 4);
      break;
    }
    CHECK(elements(model) == before);
    CHECK(elements(opt.first) == first);
    CHECK(elements(opt.second) == second);
    CHECK(opt.steps.item() == 0);
  }
  CHECK(elements(model) != before);
  CHECK(elements(copy) == before);
}

TEST_CASE("errors") {
  Fresh fresh(7);
  Net<float> model = random_net<float>(fresh), g = random_net<float>(fresh);
  const auto before = elements(model);
  optim::Sgd opt{model, {.momentum = 0.5}};
  g.layers[1].weight = zeros<float>({3, 5});
  CHECK(message_of([&] { opt.step(model, g); }) == "[sgd] layers.1.weight: gradient (3, 5) for a parameter (5, 3)");
  g.layers.pop_back();
  CHECK(message_of([&] { opt.step(model, g); }) == "[tree] layers: lists of 2 and 1 and 2 elements");
  CHECK(elements(model) == before);
  CHECK(message_of([&] { optim::Sgd{model, {.lr = -1}}; }) == "[sgd] lr -1 is not a finite number >= 0");
  CHECK(message_of([&] { optim::Sgd{model, {.lr = std::nan("")}}; }) == "[sgd] lr nan is not a finite number >= 0");
  CHECK(message_of([&] { optim::Sgd{model, {.momentum = 1}}; }) == "[sgd] momentum 1 is not in [0, 1)");
  CHECK(message_of([&] {
          optim::Sgd{model, {.nesterov = true}};
        }) == "[sgd] momentum 0 with nesterov, which needs a momentum");
  CHECK(message_of([&] { optim::Adam{model, {.eps = 0}}; }) == "[adam] eps 0 is not above 0");
  CHECK(message_of([&] { optim::Adam{model, {.beta1 = 1}}; }) == "[adam] beta1 1 is not in [0, 1)");
  CHECK(message_of([&] { optim::AdamW{model, {.weight_decay = -1}}; }) == "[adamw] weight_decay -1 is below 0");
  opt.options.lr = -2;
  CHECK(message_of([&] { opt.step(model, random_net<float>(fresh)); }) == "[sgd] lr -2 is not a finite number >= 0");

  Tensor<double> p = ones<double>({2});
  optim::Sgd inside{p};
  CHECK(message_of([&] {
          grad([&](const Tensor<double>& x) {
            Tensor<double> moved = x;
            inside.step(moved, x);
            return tree::dot(moved, moved);
          })(p);
        }) == "[sgd] the model: a step cannot be taken inside a transform (tree::axpy can)");
}

TEST_CASE("an optimiser is a tree") {
  Fresh fresh(8);
  const Net<float> model = random_net<float>(fresh);
  const optim::Adam opt{model};
  CHECK(tree::numel(opt) == 2 * tree::numel(model));
  std::vector<std::string> names;
  tree::for_each_named([&](const std::string& name, const auto&) { names.push_back(name); }, opt);
  CHECK(names.front() == "first.layers.0.weight");
  CHECK(names.back() == "second.scale");
  CHECK(tree::numel(optim::Sgd{model}) == 0);
  CHECK(tree::numel(optim::Sgd{model, {.momentum = 0.5}}) == tree::numel(model));
}

TEST_CASE("an empty tensor in a gradient is named") {
  std::vector<Tensor<float>> model{ones<float>({2}), ones<float>({2})}, gradient = model;
  gradient[1] = {};
  optim::Sgd<std::vector<Tensor<float>>> sgd{model, {.lr = 1}};
  CHECK(message_of([&] { return sgd.step(model, gradient), 0; }) ==
        "[sgd] 1: an empty tensor where numbers are expected");
  CHECK(model[0].to_vector() == std::vector<float>{1, 1});
}

}  // namespace optim_optim_test
