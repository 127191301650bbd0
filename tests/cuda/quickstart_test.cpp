// The quickstart on a device beside the CPU: the same program, its draws, its output and its metrics.
// label: simt, examples
// device: emulated
// unit: own
#include <doctest/doctest.h>

#define main quickstart_main
#include "examples/quickstart.cpp"
#undef main

#include "ergo/core/compare.hpp"
#include "data/idx_support.hpp"
#include "support/example_runs.hpp"
#include "support/fresh.hpp"

namespace cuda_quickstart_test {

namespace {
const Key key{1};  // the program's
constexpr Device kDevice = Device::cuda();

template <class F>
auto on(Device d, const F& f) {
  const DeviceScope scope(d);
  return f();
}

// Images as MNIST's files have them, of the digit's own block in noise: a data set that a few steps learn.
void write_images(const files::Folder& folder, const std::string& part, int n) {
  Fresh fresh{std::uint64_t(n)};
  std::string images = files::header(8, n, 28, 28), labels = files::header(8, n);
  for (int i = 0; i < n; ++i) {
    labels += char(i % 10);
    for (int pixel = 0; pixel < 28 * 28; ++pixel) {
      const bool block = pixel / 28 / 7 * 4 + pixel % 28 / 7 == i % 10;
      images += char(fresh.integer(0, 40) + (block ? 200 : 0));
    }
  }
  folder.write(part + "-images-idx3-ubyte", images);
  folder.write(part + "-labels-idx1-ubyte", labels);
}
}  // namespace

TEST_CASE("what it draws is the same on both devices") {
  const auto words = [] { return randint<std::int32_t>(key, {1000}, 0, 1 << 30); };
  CHECK(array_equal(on(kDevice, words).cpu(), words()));
  const auto uniforms = [] { return uniform<float>(key, {1000}); };
  CHECK(array_equal(on(kDevice, uniforms).cpu(), uniforms()));
  // Integers and uniforms are the same bits; normal weights agree as logarithms and cosines do.
  const auto model = [] { return make_classifier(fold_in(key, 1), 10); };
  const auto here = model(), there = on(kDevice, model);
  CHECK(there.first.weight.device() == kDevice);
  CHECK(max(abs(there.first.weight.cpu() - here.first.weight)).item() < 1e-6f);
  CHECK(max(abs(there.out.weight.cpu() - here.out.weight)).item() < 1e-6f);
  // Batches: the same rows in the same order, and the same bits of them.
  const auto set = data::synthetic::glyphs_dataset(fold_in(key, 0), 300, 10);
  const auto moved = on(kDevice, [] { return data::synthetic::glyphs_dataset(fold_in(key, 0), 300, 10); });
  const data::Batches plain(fold_in(key, 2), set.train_images, set.train_labels, {.batch_size = 128});
  const data::Batches sent(fold_in(key, 2), moved.train_images, moved.train_labels,
                           {.batch_size = 128, .device = kDevice});
  std::int64_t n = 0;
  for (const auto& [images, labels] : sent.epoch(1)) {
    const auto [x, y] = plain.epoch(1)[n++];
    CHECK(images.device() == kDevice);
    CHECK(array_equal(images.cpu(), x));
    CHECK(array_equal(labels.cpu(), y));
  }
  CHECK(n == 3);
}

TEST_CASE("it runs and says the same, but for rounding") {
  const files::Folder data;
  write_images(data, "train", 80);
  write_images(data, "t10k", 40);
  const std::vector<std::string> options{"--data", data.path(), "--epochs", "12"};
  const ExampleRun here = run_example(&quickstart_main, "cpu", options);
  const ExampleRun there = run_example(&quickstart_main, "cuda", options);
  check_alike(here, there);
  CHECK(there.numbers("learning_rate") == here.numbers("learning_rate"));
  CHECK(there.numbers("step") == here.numbers("step"));
  check_close(here, there, "loss", 1e-6, 1e-3);
  check_close(here, there, "test_accuracy", 0.02, 0.02);
  check_close(here, there, "trace", 0.1, 0.1);
}

}  // namespace cuda_quickstart_test
