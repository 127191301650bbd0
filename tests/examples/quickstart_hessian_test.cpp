// The leading Hessian eigenvalue of the quickstart's network, trained as the quickstart trains it, against a power
// iteration in double precision on finite differences of gradients: without hvp, without Lanczos, on the same images.
// unit: own
// label: long
#include <doctest/doctest.h>

// Its Classifier, loss and train; only the main function is this program's own.
#define main quickstart_main
#include "examples/quickstart.cpp"
#undef main

#include <cmath>
#include <cstddef>
#include <vector>

#include "support/seed.hpp"
#include "support/skip.hpp"

namespace examples_quickstart_hessian_test {

namespace {

// Until 40 further iterations raise the value by less than 1e-5 of it: a start almost orthogonal to the leading
// eigenvector rests at the second one for a while, where it still rises faster than that.
double by_differences(const Classifier<double>& model, const Tensor<double>& images,
                      const Tensor<std::int32_t>& labels) {
  const double step = 1e-4;
  auto v = tree::normal_like(Key{test_seed() + 1}, model);
  std::vector<double> values;
  for (std::size_t i = 0; i < 2000; ++i) {
    v = tree::scale(1 / tree::norm(v).item(), v);
    const auto ahead = grad(loss)(tree::axpy(step, v, model), images, labels);
    const auto behind = grad(loss)(tree::axpy(-step, v, model), images, labels);
    const auto product = tree::scale(0.5 / step, tree::sub(ahead, behind));
    values.push_back(tree::dot(v, product).item());
    if (i >= 40 && std::abs(values[i] - values[i - 40]) < 1e-5 * std::abs(values[i])) break;
    v = product;
  }
  MESSAGE(values.size() << " power iterations");
  return values.back();
}

// Trains on the first `rows` training images, then measures on 256 of them.
void compare(data::ImageDataset set, std::int64_t rows) {
  set.train_images = slice(set.train_images, 0, 0, rows);
  set.train_labels = slice(set.train_labels, 0, 0, rows);
  const Key key{test_seed()};
  auto model = make_classifier(fold_in(key, 0), set.classes);
  examples::Program program("quickstart", "");
  const auto losses = train(model, set, 2, fold_in(key, 1), program);
  CHECK(losses.back() < 0.7 * losses.front());

  const auto images = slice(set.train_images, 0, 0, 256);
  const auto labels = slice(set.train_labels, 0, 0, 256);
  const auto hessian_times = [&](const auto& v) { return hvp(loss)(model, v, images, labels); };
  const auto spectrum = linalg::lanczos(hessian_times, tree::normal_like(fold_in(key, 2), model), 30);
  const double leading = spectrum.values.at({-1});
  const double reference = by_differences(tree::cast<double>(model), cast<double>(images), labels);
  MESSAGE(set.name << ": Lanczos over hvp " << leading << ", power iteration on differences " << reference);
  CHECK(std::abs(leading / reference - 1) <= 0.01);
}

}  // namespace

TEST_CASE("the leading Hessian eigenvalue, synthetic glyphs") {
  compare(data::synthetic::glyphs_dataset(Key{test_seed()}, 4000, 1), 4000);
}

TEST_CASE("the leading Hessian eigenvalue, Fashion-MNIST") {
  const std::string folder = test_data_or_skip("fashion-mnist");
  if (!folder.empty()) compare(data::mnist(folder), 10000);
}

}  // namespace examples_quickstart_hessian_test
