// Trees as vectors and as structures, against loops over all elements.
#include "ergo/autograd/tree.hpp"

#include <array>
#include <cmath>
#include <cstdint>
#include <optional>
#include <string>
#include <tuple>
#include <utility>
#include <vector>

#include <doctest/doctest.h>

#include "ergo/autograd/curvature.hpp"
#include "ergo/ops/arithmetic.hpp"
#include "ergo/ops/key.hpp"
#include "ergo/ops/reduction.hpp"
#include "ergo/ops/tree_norm.hpp"
#include "support/fresh.hpp"
#include "support/message.hpp"

namespace autograd_tree_test {

namespace {

using namespace ergo;
using Vec = Tensor<double>;

template <class T>
struct Dense {
  Tensor<T> weight;
  std::optional<Tensor<T>> bias;
  ERGO_FIELDS(Dense, weight, bias)
};
template <class T>
struct Net {
  Dense<T> in;
  std::vector<Dense<T>> layers;
  State<Tensor<T>> running;
  Tensor<std::int32_t> ids;
  T slope = T(0);
  int depth = 0;
  std::string name;
  Key key;
  ERGO_FIELDS(Net, in, layers, running, ids, slope, depth, name, key)
};
Net<double> net(Fresh& fresh) {
  return {{fresh.tensor<double>({2, 3}), fresh.tensor<double>({3})},
          {{fresh.tensor<double>({3, 1}), std::nullopt}, {fresh.tensor<double>({0, 2}), fresh.tensor<double>({})}},
          {tensor<double>({5, 6})},
          tensor<std::int32_t>({1, 2}),
          0.25,
          3,
          "net",
          Key{7}};
}
std::vector<double> elements(const Net<double>& n) {
  std::vector<double> all;
  tree::for_each([&](const Vec& x) { for (double v : x.to_vector()) all.push_back(v); }, n);
  return all;
}
// A class with constructors may list fields, too.
class Guarded {
 public:
  Guarded() = default;
  explicit Guarded(double v) : x_(v) {}
  const Vec& x() const { return x_; }
  ERGO_FIELDS(Guarded, x_)
 private:
  Vec x_;
};
struct Wide {  // more members than a handful
  Vec a, b, c, d, e, f, g, h, i, j, k, l;
  ERGO_FIELDS(Wide, a, b, c, d, e, f, g, h, i, j, k, l)
};

}  // namespace

TEST_CASE("the walk visits learned leaves in order, by name") {
  Fresh fresh;
  const Net<double> n = net(fresh);
  std::vector<std::string> names;
  tree::for_each_named([&](const std::string& name, const Vec& x) { names.push_back(name + to_string(x.shape())); }, n);
  CHECK(names == std::vector<std::string>{"in.weight(2, 3)", "in.bias(3,)", "layers.0.weight(3, 1)", "layers.1.weight(0, 2)",
                                          "layers.1.bias()"});
  CHECK(tree::numel(n) == 6 + 3 + 3 + 0 + 1);
  const std::pair p{Vec(1.0), std::array{Vec(2.0), Vec(3.0)}};
  names.clear();
  tree::for_each_named([&](const std::string& name, const Vec&) { names.push_back(name); }, p);
  CHECK(names == std::vector<std::string>{"0", "1.0", "1.1"});
  names.clear();
  tree::for_each_named([&](const std::string& name, const Vec&) { names.push_back(name); }, Vec(1.0));
  CHECK(names == std::vector<std::string>{""});
}

TEST_CASE("map and for_each: results, assignment, several trees") {
  Fresh fresh(1);
  Net<double> n = net(fresh);
  const Net<double> m = net(fresh);
  const Net<double> sum = tree::map([](const auto& x, const auto& y) { return x + y; }, n, m);
  const auto a = elements(n), b = elements(m), c = elements(sum);
  for (std::size_t i = 0; i < c.size(); ++i) CHECK(c[i] == a[i] + b[i]);
  CHECK(sum.name == "net");
  CHECK(sum.running.value.to_vector() == n.running.value.to_vector());
  CHECK(sum.key.material.item() == n.key.material.item());
  tree::for_each([](auto& x, const auto& y) { x -= y; }, n, m);
  const auto d = elements(n);
  for (std::size_t i = 0; i < d.size(); ++i) CHECK(d[i] == a[i] - b[i]);
  const Net<double> restored = tree::map([](const auto&, const auto& p) { return p; }, n, m);
  CHECK(elements(restored) == b);
}

TEST_CASE("trees as vectors: dot, norm, axpy, scale, add, sub, zeros") {
  Fresh fresh(2);
  const Net<double> n = net(fresh), m = net(fresh);
  const auto a = elements(n), b = elements(m);
  double dot = 0, square = 0;
  for (std::size_t i = 0; i < a.size(); ++i) {
    dot += a[i] * b[i];
    square += a[i] * a[i];
  }
  CHECK(tree::dot(n, m).item() == doctest::Approx(dot).epsilon(1e-14));
  CHECK(tree::norm(n).item() == doctest::Approx(std::sqrt(square)).epsilon(1e-14));
  const auto close = [](const std::vector<double>& x, auto f) {
    for (std::size_t i = 0; i < x.size(); ++i) CHECK(x[i] == doctest::Approx(f(i)).epsilon(1e-14));
  };
  close(elements(tree::axpy(0.5, n, m)), [&](std::size_t i) { return 0.5 * a[i] + b[i]; });
  close(elements(tree::axpy(Vec(-2.0), n, m)), [&](std::size_t i) { return b[i] - 2 * a[i]; });
  close(elements(tree::scale(3, n)), [&](std::size_t i) { return 3 * a[i]; });
  close(elements(tree::scale(tensor<float>({2}), n)), [&](std::size_t i) { return 2 * a[i]; });
  close(elements(tree::add(n, m)), [&](std::size_t i) { return a[i] + b[i]; });
  close(elements(tree::sub(n, m)), [&](std::size_t i) { return a[i] - b[i]; });
  close(elements(tree::zeros_like(n)), [&](std::size_t) { return 0.0; });
  Net<double> other = m;
  other.name = "other";
  other.running.value = tensor<double>({8});
  CHECK(tree::axpy(1, n, other).name == "other");  // static members and State from y
  CHECK(tree::axpy(1, n, other).running.value.item() == 8);
  CHECK(tree::add(n, other).name == "net");
}

TEST_CASE("dot and norm give the widest leaf type, at least float, and are differentiable") {
  const std::pair mixed{tensor<float>({1, 2}), tensor<double>({3})};
  static_assert(std::is_same_v<decltype(tree::dot(mixed, mixed)), Tensor<double>>);
  CHECK(tree::dot(mixed, mixed).item() == 14);
  const auto narrow = tensor<bfloat16>({1, 2});
  static_assert(std::is_same_v<decltype(tree::norm(narrow)), Tensor<float>>);
  CHECK(tree::norm(narrow).item() == doctest::Approx(std::sqrt(5.0f)));
  const auto g = grad([](const auto& p) { return tree::dot(p, p); })(mixed);
  CHECK(g.first.to_vector() == std::vector<float>{2, 4});
  CHECK(g.second.item() == 6);
  const Vec zero = zeros<double>({3}), x = tensor<double>({3, 4});
  const auto norm = [](const Vec& p) { return tree::norm(p); };
  CHECK(allclose(grad(norm)(x), tensor<double>({0.6, 0.8}), {.rtol = 1e-15}));
  CHECK(grad(norm)(zero).to_vector() == std::vector<double>{0, 0, 0});  // at the origin 0, of every order
  CHECK(hvp(norm)(zero, ones<double>({3})).to_vector() == std::vector<double>{0, 0, 0});
  CHECK(tree::norm(std::pair{tensor<float>({3e30f}), tensor<float>({0, 4e30f})}).item() == doctest::Approx(5e30f));
  CHECK(grad([](const Vec& s) { return sum(tree::scale(s, tensor<double>({1, 2}))); })(Vec(5.0)).item() == 3);
  CHECK(grad([](const Vec& s) { return tree::norm(tree::axpy(s, Vec(3.0), Vec(1.0))); })(Vec(2.0)).item() == 3);
  struct None {};
  static_assert(std::is_same_v<decltype(tree::dot(None{}, None{})), Tensor<float>>);
  CHECK(tree::dot(None{}, None{}).item() == 0);
}

TEST_CASE("ravel and unravel are inverse, and differentiable") {
  Fresh fresh(3);
  const Net<double> n = net(fresh);
  const Vec flat = tree::ravel(n);
  CHECK(flat.to_vector() == elements(n));
  CHECK(elements(tree::unravel(n, flat * 2.0)) == (flat * 2.0).to_vector());
  CHECK(tree::unravel(n, flat).in.weight.shape() == Shape{2, 3});
  const std::pair mixed{tensor<float>({1, 2}), tensor<double>({3})};
  CHECK(tree::ravel(mixed).to_vector() == std::vector<double>{1, 2, 3});
  CHECK(tree::unravel(mixed, tensor<double>({4, 5, 6})).first.to_vector() == std::vector<float>{4, 5});
  const auto g = grad([](const Net<double>& p) { return sum(tree::ravel(p) * arange<double>(13)); })(n);
  CHECK(elements(g) == arange<double>(13).to_vector());
  const Vec back = grad([&](const Vec& f) { return tree::dot(tree::unravel(n, f), n); })(flat);
  CHECK(back.to_vector() == elements(n));
  CHECK(message_of([&] { return tree::unravel(n, zeros<double>({12})); }) == "[tree.unravel] (12,): the tree has 13 elements");
  CHECK(message_of([&] { return tree::unravel(n, zeros<double>({13, 1})); }) ==
        "[tree.unravel] (13, 1): the tree has 13 elements");
}

TEST_CASE("to moves, cast rebinds the scalar everywhere") {
  Fresh fresh(4);
  const Net<double> n = net(fresh);
  const Net<float> f = tree::cast<float>(n);
  CHECK(f.in.weight.to_vector() == cast<float>(n.in.weight).to_vector());
  CHECK_FALSE(f.layers[0].bias);
  CHECK(f.running.value.to_vector() == std::vector<float>{5, 6});
  CHECK(f.ids.to_vector() == std::vector<std::int32_t>{1, 2});
  CHECK(f.slope == 0.25f);
  CHECK(f.depth == 3);
  CHECK(f.name == "net");
  CHECK(f.key.material.item() == n.key.material.item());
  const auto h = tree::cast<bfloat16>(std::vector{n});
  static_assert(std::is_same_v<decltype(h), const std::vector<Net<bfloat16>>>);
  CHECK(h[0].in.bias->numel() == 3);
  const auto p = tree::cast<double>(std::pair{tensor<float>({1}), 3});
  static_assert(std::is_same_v<decltype(p), const std::pair<Tensor<double>, int>>);
  const Net<double> g = grad([](const Net<double>& x) { return tree::dot(tree::cast<float>(x), tree::cast<float>(x)); })(n);
  CHECK(g.in.weight.at({0, 0}) == doctest::Approx(2 * float(n.in.weight.at({0, 0}))).epsilon(1e-6));
  CHECK(elements(tree::to(n, Device::cpu())) == elements(n));
}

TEST_CASE("a class with constructors, twelve members, a struct within a function") {
  struct Local {
    Vec a;
    double scale = 2;
    std::vector<Local> parts;
    ERGO_FIELDS(Local, a, scale, parts)
  };
  const Local nested{Vec(1.0), 3, {{Vec(4.0), 5, {}}}};
  CHECK(tree::dot(nested, nested).item() == 17);
  CHECK(grad([](const Guarded& g) { return g.x() * g.x(); })(Guarded(3.0)).x().item() == 6);
  Wide w;
  tree::walk<tree::Leaves::all>(detail::Path{nullptr, nullptr, 0}, [](const detail::Path&, Vec& x) { x = Vec(1.0); }, w);
  CHECK(tree::numel(w) == 12);
  CHECK(tree::dot(w, w).item() == 12);
}

TEST_CASE("trees that do not match, and empty leaves, are Errors that name the path") {
  Fresh fresh(5);
  const Net<double> n = net(fresh);
  const auto add = [](const auto& x, const auto& y) { return x + y; };
  Net<double> m = n;
  m.layers.pop_back();
  CHECK(message_of([&] { tree::map(add, n, m); }) == "[tree] layers: lists of 2 and 1 elements");
  m = n;
  m.layers[0].bias = Vec(1.0);
  CHECK(message_of([&] { tree::map(add, n, m); }) == "[tree] layers.0.bias: present in one tree and absent in another");
  m = n;
  m.layers[1].weight = {};
  CHECK(message_of([&] { tree::map(add, n, m); }) == "[tree] layers.1.weight: a learned leaf is an empty tensor");
  CHECK(message_of([&] { tree::numel(m); }) == "[tree] layers.1.weight: a learned leaf is an empty tensor");
  CHECK(message_of([&] { tree::dot(n, tree::unravel(n, zeros<double>({13}))); }) == "no error");
  m = n;
  m.in.weight = zeros<double>({3, 2});
  CHECK(message_of([&] { tree::dot(n, m); }) == "[tree.dot] (2, 3) x (3, 2): leaves of the two trees differ in shape");
  CHECK(message_of([&] { tree::axpy(1, n, m); }) == "[tree.axpy] (2, 3) x (3, 2): leaves of the two trees differ in shape");
  CHECK(message_of([&] { tree::add(n, m); }) == "[tree.add] (2, 3) x (3, 2): leaves of the two trees differ in shape");
  CHECK(message_of([&] { tree::scale(zeros<double>({2}), n); }) ==
        "[tree.scale] (2,): the scalar of a tree operation must have one element");
  CHECK(elements(n).size() == 13);
}

}  // namespace autograd_tree_test
