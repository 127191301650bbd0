// Trains a classifier of small images, then looks at the curvature of its loss: the leading eigenvalues of the Hessian by
// Lanczos, its trace by Hutchinson. The Hessian of 235,146 parameters is never written down; it is known by its products.
//
//   examples/run                                                  on synthetic digits
//   examples/run quickstart --data ../shared/data/fashion-mnist   on real images, in MNIST's four files
#include <ergo/ergo.hpp>

#include "support/program.hpp"

using namespace ergo;

// A model is a plain struct. ERGO_FIELDS makes it a tree, so that its gradient, the optimiser's moments and the vectors of
// the Hessian are Classifiers too.
template <class T>
struct Classifier {
  nn::Linear<T> first, second, out;
  ERGO_FIELDS(Classifier, first, second, out)

  // Logits (N, 10) of images (N, 28, 28, 1).
  Tensor<T> operator()(const Tensor<T>& images) const {
    const auto x = reshape(images, {images.shape()[0], -1});
    return out(tanh(second(tanh(first(x)))));
  }
};

// What is minimised, as a function of the model. grad, hvp and vmap are functions from functions to functions.
constexpr auto loss = [](const auto& model, const auto& images, const auto& labels) {
  return cross_entropy(model(images), labels);
};

// Trains `model` in place for some epochs.
void train(Classifier<float>& model, const data::ImageDataset& set, int epochs, Key key, examples::Program& program) {
  const data::Batches batches(key, set.train_images, set.train_labels, {.batch_size = 128});
  const auto steps = epochs * batches.batches_per_epoch();
  const auto rate = optim::schedule::warmup_cosine(2e-3, steps / 20, steps);
  optim::AdamW<Classifier<float>> optimiser{model, {.weight_decay = 0.01}};

  std::vector<double> step, smooth_loss;
  auto progress = program.progress("training", steps);
  for (int epoch = 0; epoch < epochs; ++epoch) {
    for (const auto& [images, labels] : batches.epoch(epoch)) {
      const auto [value, gradient] = value_and_grad(loss)(model, images, labels);
      optimiser.options.lr = rate(std::int64_t(step.size()));
      optimiser.step(model, gradient);

      const double last = step.empty() ? value.item() : smooth_loss.back();
      smooth_loss.push_back(0.98 * last + 0.02 * value.item());
      step.push_back(double(step.size() + 1));
      progress.advance("loss", smooth_loss.back());
      if (step.size() % 50 == 0) program.log({{"step", step.back()}, {"loss", smooth_loss.back()}});
    }
  }
  program.plot("loss", examples::Plot("Training on " + set.name, {.x = "step", .y = "cross entropy, running mean", .log_y = true})
                           .line("", step, smooth_loss));
}

int main(int argc, char** argv) {
  examples::Program program("quickstart", "trains a classifier of images and measures the curvature of its loss.");
  int epochs = 8;
  program.option("epochs", epochs, "passes over the training images");

  return program.run(argc, argv, [&] {
    const Key key{program.seed()};
    const auto set = program.data().empty()
                         ? data::synthetic::glyphs_dataset(fold_in(key, 0), program.smoke() ? 4000 : 20000, 4000)
                         : data::mnist(program.data());
    Classifier<float> model{nn::linear(fold_in(key, 1), 784, 256), nn::linear(fold_in(key, 2), 256, 128),
                            nn::linear(fold_in(key, 3), 128, set.classes)};
    program.fact("data", set.name + ", " + examples::count(set.train_images.shape()[0]) + " training and " +
                             examples::count(set.test_images.shape()[0]) + " test images");
    program.fact("parameters", examples::count(tree::numel(model)));

    train(model, set, program.smoke() ? 2 : epochs, fold_in(key, 4), program);
    const double correct = accuracy(model(set.test_images), set.test_labels).item();
    program.print("test accuracy " + examples::number(correct) + " after " + examples::duration(program.seconds()));

    // The Hessian on a thousand training images, as a linear operator: v and H v are Classifiers.
    const auto images = slice(set.train_images, 0, 0, 1000);
    const auto labels = slice(set.train_labels, 0, 0, 1000);
    const auto hessian_times = [&](const auto& v) { return hvp(loss)(model, v, images, labels); };
    const auto spectrum = linalg::lanczos(hessian_times, tree::normal_like(fold_in(key, 5), model), 40);
    const auto trace = linalg::hutchinson_trace(fold_in(key, 6), hessian_times, model, 20);
    const auto values = spectrum.values.to_vector(), weights = spectrum.weights.to_vector();

    std::string line = "leading Hessian eigenvalues";
    for (std::size_t i = 1; i <= 8; ++i) line += " " + examples::number(values[values.size() - i]);
    program.print(line);
    program.print("Hessian trace " + examples::number(trace.trace) + " +- " + examples::number(trace.standard_error));
    program.log({{"test_accuracy", correct}, {"trace", trace.trace}, {"ritz_values", values}, {"weights", weights}});
    program.plot("spectrum", examples::Plot("Hessian of the loss", {.x = "Ritz value", .y = "weight", .log_y = true})
                                 .points("", values, weights));

    program.check("test accuracy", correct, examples::at_least(0.88));
    program.check("residual of the leading eigenvalue", spectrum.residuals.at({-1}) / values.back(), examples::at_most(0.01));
    program.conclude("The network recognises " + set.name + ", and its Hessian, never written down, was measured.");
  });
}
