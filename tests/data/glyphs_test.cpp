// Synthetic glyphs: shapes, ranges, reproducibility, and that the digits can be told apart: by their nearest neighbours
// well, by their pixels' averages badly. label: threads
#include "ergo/data/glyphs.hpp"

#include <doctest/doctest.h>

#include <cmath>
#include <cstdio>
#include <vector>

#include "../support/seed.hpp"

namespace data_glyphs_test {

using namespace ergo;

TEST_CASE("images in [0, 1], all digits, the paper blank and the strokes dark") {
  const auto [images, labels] = data::synthetic::glyphs(Key{test_seed()}, 5000);
  CHECK(images.shape() == Shape{5000, 28, 28, 1});
  CHECK(labels.shape() == Shape{5000});
  std::vector<int> counts(10);
  for (const std::int32_t k : labels.to_vector()) ++counts[std::size_t(k)];
  for (int c : counts) CHECK(std::abs(c - 500) < 6 * 22);
  bool within = true, drawn = true;
  double edge = 0;
  const auto pixels = images.span();
  for (std::size_t i = 0; i < 5000; ++i) {
    float most = 0, ink = 0;
    for (std::size_t p = 0; p < 784; ++p) {
      const float v = pixels[i * 784 + p];
      within = within && v >= 0 && v <= 1;
      most = std::max(most, v);
      ink += v;
      if (p < 28) edge += double(v);
    }
    drawn = drawn && most > 0.4f && ink > 8 && ink < 350;
  }
  CHECK(within);
  CHECK(drawn);
  CHECK(edge / (5000 * 28) < 0.06);  // hardly anything but noise reaches the top row
}

TEST_CASE("glyph i depends on the key and i alone") {
  const Key key{test_seed()};
  const auto many = data::synthetic::glyphs(key, 300);
  for (int threads : {1, 2, 5}) {
    set_num_threads(threads);
    const auto few = data::synthetic::glyphs(key, 100);
    CHECK(std::equal(few.images.span().begin(), few.images.span().end(), many.images.span().begin()));
    CHECK(std::equal(few.labels.span().begin(), few.labels.span().end(), many.labels.span().begin()));
  }
  CHECK(!array_equal(data::synthetic::glyphs(fold_in(key, 1), 300).images, many.images));
  CHECK(data::synthetic::glyphs(key, 0).images.shape() == Shape{0, 28, 28, 1});
}

TEST_CASE("a data set: named, its halves different") {
  const Key key{test_seed()};
  const data::ImageDataset set = data::synthetic::glyphs_dataset(key, 50, 40);
  CHECK(set.name == "synthetic glyphs");
  CHECK(set.classes == 10);
  CHECK(set.train_images.shape() == Shape{50, 28, 28, 1});
  CHECK(set.test_labels.shape() == Shape{40});
  CHECK(!std::equal(set.test_images.span().begin(), set.test_images.span().end(), set.train_images.span().begin()));
}

TEST_CASE("neighbours tell the digits apart, class means do not") {
  const std::size_t train = 4000, test = 500;
  const data::ImageDataset set = data::synthetic::glyphs_dataset(Key{test_seed()}, train, test);
  const auto x = set.train_images.span(), t = set.test_images.span();
  const auto y = set.train_labels.to_vector(), expected = set.test_labels.to_vector();
  std::vector<float> mean(10 * 784);
  std::vector<int> count(10);
  for (std::size_t i = 0; i < train; ++i) {
    ++count[std::size_t(y[i])];
    for (std::size_t p = 0; p < 784; ++p) mean[std::size_t(y[i]) * 784 + p] += x[i * 784 + p];
  }
  for (std::size_t k = 0; k < 10; ++k)
    for (std::size_t p = 0; p < 784; ++p) mean[k * 784 + p] /= float(count[k]);
  const auto nearest = [](const float* a, const float* rows, std::size_t n) {
    std::size_t best = 0;
    float least = INFINITY;
    for (std::size_t i = 0; i < n; ++i) {
      float d = 0;
      for (std::size_t p = 0; p < 784; ++p) d += (a[p] - rows[i * 784 + p]) * (a[p] - rows[i * 784 + p]);
      if (d < least) {
        least = d;
        best = i;
      }
    }
    return best;
  };
  int by_neighbour = 0, by_mean = 0;
  for (std::size_t i = 0; i < test; ++i) {
    by_neighbour += y[nearest(&t[i * 784], x.data(), train)] == expected[i];
    by_mean += std::int32_t(nearest(&t[i * 784], mean.data(), 10)) == expected[i];
  }
  std::printf("glyphs: nearest of %d neighbours %.1f %%, nearest mean %.1f %%\n", int(train),
              100.0 * by_neighbour / test, 100.0 * by_mean / test);
  CHECK(by_neighbour > 0.75 * test);
  CHECK(by_mean < 0.75 * test);
}

TEST_CASE("errors") {
  CHECK_THROWS_WITH(data::synthetic::glyphs(Key{}, 3), "[glyphs] this key is empty: make one, Key{seed}");
  CHECK_THROWS_WITH(data::synthetic::glyphs(Key{1}, -3), "[glyphs] -3 images: the number must not be negative");
}

}  // namespace data_glyphs_test
