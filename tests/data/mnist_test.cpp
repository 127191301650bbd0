// Labelled image sets: both spellings of the file names, consistency, and the real sets where this machine has them.
#include "ergo/data/mnist.hpp"

#include <doctest/doctest.h>

#include <cstdio>
#include <vector>

#include "../support/skip.hpp"
#include "idx_support.hpp"

namespace data_mnist_test {

using namespace ergo;
using files::header;
using files::zipped;

namespace {

// A set of 4 training and 2 test images of 2 x 3 pixels; one file may be replaced.
struct Set {
  std::string train_images = header(8, 4, 2, 3) + std::string(24, '\x33'),
              train_labels = header(8, 4) + std::string{0, 9, 3, 1};
  std::string test_images = header(8, 2, 2, 3) + std::string(12, '\xff'),
              test_labels = header(8, 2) + std::string{7, 2};

  std::string error(const std::string& separator = "-") const {
    const files::Folder folder;
    write(folder, separator);
    try {
      data::mnist(folder.path());
    } catch (const Error& e) { return files::in_one_line(e.what(), folder.path(), "FOLDER"); }
    return "no error";
  }
  void write(const files::Folder& folder, const std::string& separator) const {
    folder.write("train-images" + separator + "idx3-ubyte", train_images);
    folder.write("train-labels" + separator + "idx1-ubyte.gz", zipped(train_labels));
    folder.write("t10k-images" + separator + "idx3-ubyte.gz", zipped(test_images));
    folder.write("t10k-labels" + separator + "idx1-ubyte", test_labels);
  }
};

std::vector<int> label_counts(const Tensor<std::int32_t>& labels) {
  std::vector<int> counts(10);
  for (const std::int32_t k : labels.to_vector()) ++counts[std::size_t(k)];
  return counts;
}

}  // namespace

TEST_CASE("both spellings of the names, plain and compressed, with or without a slash") {
  for (const char* separator : {"-", "."}) {
    const files::Folder folder;
    Set().write(folder, separator);
    for (const std::string& path : {folder.path(), folder.path() + "/"}) {
      const data::ImageDataset set = data::mnist(path);
      CHECK(set.name == folder.path().substr(folder.path().rfind('/') + 1));
      CHECK(set.classes == 10);
      CHECK(set.train_images.shape() == Shape{4, 2, 3, 1});
      CHECK(array_equal(set.train_images, full<float>({4, 2, 3, 1}, 0.2f)));
      CHECK(array_equal(set.test_images, ones<float>({2, 2, 3, 1})));
      CHECK(set.train_labels.to_vector() == std::vector<std::int32_t>{0, 9, 3, 1});
      CHECK(set.test_labels.to_vector() == std::vector<std::int32_t>{7, 2});
    }
  }
}

TEST_CASE("sets that do not fit together") {
  CHECK(Set().error() == "no error");
  Set s;
  s.train_labels = header(8, 3) + std::string{0, 1, 2};
  CHECK(s.error() == "[mnist] FOLDER/train-labels-idx1-ubyte.gz: 3 labels for 4 images");
  s = {};
  s.test_labels = header(8, 2) + std::string{7, 10};
  CHECK(s.error() == "[mnist] FOLDER/t10k-labels-idx1-ubyte, byte 9: label 10 is not in [0, 10)");
  s = {};
  s.train_images = header(8, 4, 6) + std::string(24, 'x');
  CHECK(s.error(".") == "[mnist] FOLDER/train-images.idx3-ubyte: images have 3 axes (N, H, W), not the shape (4, 6)");
  s = {};
  s.test_labels = header(8, 2, 1) + std::string{7, 1};
  CHECK(s.error() == "[mnist] FOLDER/t10k-labels-idx1-ubyte: labels have 1 axis, not the shape (2, 1)");
  s = {};
  s.test_images = header(8, 2, 3, 2) + std::string(12, 'x');
  CHECK(s.error() == "[mnist] FOLDER: training images (4, 2, 3, 1) and test images (2, 3, 2, 1) differ in size");
  s = {};
  s.train_images.pop_back();
  CHECK(s.error() ==
        "[load_idx] FOLDER/train-images-idx3-ubyte, byte 16: (4, 2, 3) = 24 elements follow the header, more than the "
        "file can hold");
  CHECK(s.error("_") == "[mnist] FOLDER has no file train-images-idx3-ubyte or train-images.idx3-ubyte, plain or .gz");
  CHECK_THROWS_WITH(data::mnist("/nowhere/at/all"), "[mnist] there is no folder /nowhere/at/all");
}

TEST_CASE("MNIST") {
  const std::string path = test_data_or_skip("mnist");
  if (path.empty()) return;
  const data::ImageDataset set = data::mnist(path);
  CHECK(set.name == "mnist");
  CHECK(set.train_images.shape() == Shape{60000, 28, 28, 1});
  CHECK(set.test_images.shape() == Shape{10000, 28, 28, 1});
  CHECK(label_counts(set.train_labels) == std::vector<int>{5923, 6742, 5958, 6131, 5842, 5421, 5918, 6265, 5851, 5949});
  CHECK(label_counts(set.test_labels) == std::vector<int>{980, 1135, 1032, 1010, 982, 892, 958, 1028, 974, 1009});
  double sum = 0;
  for (const float x : set.train_images.span()) sum += double(x);
  CHECK(sum / double(set.train_images.numel()) ==
        doctest::Approx(0.1306604).epsilon(1e-5));  // the known mean of the pixels
}

TEST_CASE("Fashion-MNIST") {
  const std::string path = test_data_or_skip("fashion-mnist");
  if (path.empty()) return;
  const data::ImageDataset set = data::mnist(path);
  CHECK(set.name == "fashion-mnist");
  CHECK(set.train_images.shape() == Shape{60000, 28, 28, 1});
  CHECK(label_counts(set.train_labels) == std::vector<int>(10, 6000));
  CHECK(label_counts(set.test_labels) == std::vector<int>(10, 1000));
  double sum = 0;
  for (const float x : set.train_images.span()) sum += double(x);
  CHECK(sum / double(set.train_images.numel()) == doctest::Approx(0.2860406).epsilon(1e-5));
}

}  // namespace data_mnist_test
