// Trains a classifier of small images, then looks at the curvature of its loss: the leading eigenvalues of the Hessian
// by Lanczos, its trace by Hutchinson. That matrix, 235,146 x 235,146, is never formed; it is known by its products.
//
//   examples/run                                                  on synthetic digits
//   examples/run quickstart --data ../shared/data/fashion-mnist   on real images, in MNIST's four files
#include <ergo/ergo.hpp>

#include "support/program.hpp"

using namespace ergo;
using examples::count, examples::number;

// A model is a plain struct. ERGO_FIELDS makes it a tree, so that its gradient, the optimiser's moments and the vectors
// that its Hessian acts on are Classifiers too.
template <class T>
struct Classifier {
  nn::Linear<T> first, second, out;
  ERGO_FIELDS(Classifier, first, second, out)

  // Logits (N, classes) of images (N, 28, 28, 1).
  Tensor<T> operator()(const Tensor<T>& images) const {
    const auto x = reshape(images, {images.shape()[0], -1});
    return out(gelu_tanh(second(gelu_tanh(first(x)))));
  }
};

Classifier<float> make_classifier(const Key& key, int classes) {
  const Key keys = split(key, 3);
  return {nn::linear(keys[0], 784, 256), nn::linear(keys[1], 256, 128), nn::linear(keys[2], 128, classes)};
}

// What is minimised, a function of the model. `grad` and `hvp` make further functions of it.
constexpr auto loss = [](const auto& model, const auto& images, const auto& labels) {
  return cross_entropy(model(images), labels);
};

// Trains the model in place and returns the running mean of the loss after each step.
std::vector<double> train(Classifier<float>& model, const data::ImageDataset& set, int epochs, const Key& key,
                          examples::Program& program) {
  const data::Batches batches(key, set.train_images, set.train_labels, {.batch_size = 128});
  const auto steps = epochs * batches.batches_per_epoch();
  const auto rate = optim::schedule::warmup_cosine(2e-3, steps / 20, steps);
  optim::AdamW<Classifier<float>> optimiser{model, {.weight_decay = 0.01}};

  std::vector<double> losses;
  auto progress = program.progress("training", steps);
  for (int epoch = 0; epoch < epochs; ++epoch) {
    for (const auto& [images, labels] : batches.epoch(epoch)) {
      const auto [value, gradient] = value_and_grad(loss)(model, images, labels);
      optimiser.options.lr = rate(std::ssize(losses));
      optimiser.step(model, gradient);

      losses.push_back(losses.empty() ? value.item() : 0.98 * losses.back() + 0.02 * value.item());
      progress.advance("loss", losses.back());
      program.log({{"step", std::ssize(losses)}, {"loss", losses.back()}, {"learning_rate", optimiser.options.lr}});
    }
  }
  return losses;
}

int main(int argc, char** argv) {
  examples::Program program("quickstart", "trains a classifier of images and measures the curvature of its loss.");
  int epochs = 8;
  program.option("epochs", epochs, "passes over the training images");

  return program.run(argc, argv, [&] {
    const bool smoke = program.smoke();
    const Key key{program.seed()};
    const auto set = program.data().empty()
                         ? data::synthetic::glyphs_dataset(fold_in(key, 0), smoke ? 8000 : 20000, 4000)
                         : data::mnist(program.data());
    auto model = make_classifier(fold_in(key, 1), set.classes);
    program.fact("data", set.name + ", " + count(set.train_images.shape()[0]) + " training and " +
                             count(set.test_images.shape()[0]) + " test images");
    program.fact("parameters", count(tree::numel(model)));

    const auto losses = train(model, set, smoke ? 2 : epochs, fold_in(key, 2), program);
    const double correct = accuracy(model(set.test_images), set.test_labels).item();
    program.print("test accuracy " + number(correct) + " after " + examples::duration(program.seconds()));

    // The Hessian on some training images, as a linear operator: a Classifier v to the Classifier H v.
    const auto images = slice(set.train_images, 0, 0, smoke ? 200 : 1000);
    const auto labels = slice(set.train_labels, 0, 0, smoke ? 200 : 1000);
    const auto hessian_times = [&](const auto& v) { return hvp(loss)(model, v, images, labels); };
    const auto spectrum = linalg::lanczos(hessian_times, tree::normal_like(fold_in(key, 3), model), 40);
    const auto trace = linalg::hutchinson_trace(fold_in(key, 4), hessian_times, model, 20);
    const auto values = spectrum.values.to_vector(), weights = spectrum.weights.to_vector();
    const auto& leading = spectrum.vectors.back();
    const auto residual = tree::axpy(-values.back(), leading, hessian_times(leading));

    std::string line = "leading Hessian eigenvalues";
    for (std::size_t i = 1; i <= 8; ++i) line += " " + number(values[values.size() - i]);
    program.print(line);
    program.print("Hessian trace " + number(trace.trace) + " +- " + number(trace.standard_error));

    program.log({{"test_accuracy", correct}, {"trace", trace.trace}, {"ritz_values", values}, {"weights", weights}});
    program.plot("loss", examples::Plot("Training on " + set.name, {.x = "step", .y = "cross entropy", .log_y = true})
                             .line("running mean", arange<double>(losses.size()).to_vector(), losses));
    program.plot("spectrum", examples::Plot("Hessian of the loss", {.x = "eigenvalue", .y = "weight", .log_y = true})
                                 .points("Lanczos", values, weights));

    program.check("test accuracy", correct, examples::at_least(smoke ? 0.7 : 0.88));
    program.check("|Hv - value v| / value", tree::norm(residual).item() / values.back(), examples::at_most(1e-3));
    program.conclude("The network recognises " + set.name + "; its Hessian was measured without being formed.");
  });
}
