// Labelled images: MNIST and the sets that come in its four files (Fashion-MNIST, ...), as floats ready for training.
#pragma once

#include <sys/stat.h>

#include "ergo/data/idx.hpp"

namespace ergo::inline ERGO_BUILD::data {

// Images (N, H, W, C) in [0, 1] and their labels (N,) in [0, classes).
struct ImageDataset {
  std::string name;
  int classes = 0;
  Tensor<float> train_images;
  Tensor<std::int32_t> train_labels;
  Tensor<float> test_images;
  Tensor<std::int32_t> test_labels;
};

// The four files of an MNIST-like set in a folder, named train-images-idx3-ubyte or train-images.idx3-ubyte and so on,
// each plain or .gz. Numbers of images and labels, image sizes and the range of labels are checked. The set is named
// after the folder.
ImageDataset mnist(const std::string& folder);

#if !defined(ERGO_COMPILED)  // the archive has what follows
namespace detail {

inline bool is_file(const std::string& path) {
  struct stat info;
  return stat(path.c_str(), &info) == 0 && S_ISREG(info.st_mode);
}
// The path of, say, "train-images" of 3 axes in a folder.
inline std::string find_idx(const std::string& folder, const std::string& part, int axes) {
  const std::string kind = "idx" + std::to_string(axes) + "-ubyte";
  for (const char* separator : {"-", "."})
    for (const char* ending : {"", ".gz"})
      if (const std::string path = folder + "/" + part + separator + kind + ending; is_file(path)) return path;
  throw_error({"[mnist] ", folder, " has no file ", part, "-", kind, " or ", part, ".", kind, ", plain or .gz"});
}

inline Tensor<float> load_images(const std::string& path) {
  const Tensor<std::uint8_t> bytes = load_idx(path);
  if (bytes.rank() != 3)
    throw_error({"[mnist] ", path, ": images have 3 axes (N, H, W), not the shape ", bytes.shape()});
  auto x = ergo::detail::make_tensor<float>(bytes.shape() + Shape{1});
  const auto* from = ergo::detail::data_of<std::uint8_t>(bytes.array());
  auto* to = ergo::detail::data_of<float>(x.array());
  parallel_for(bytes.numel(), 1 << 17, [=](std::int64_t begin, std::int64_t end) {
    for (std::int64_t i = begin; i < end; ++i) to[i] = float(from[i]) / 255.0f;
  });
  return x.to(default_device());
}
inline Tensor<std::int32_t> load_labels(const std::string& path, std::int64_t images, int classes) {
  const Tensor<std::uint8_t> bytes = load_idx(path);
  if (bytes.rank() != 1) throw_error({"[mnist] ", path, ": labels have 1 axis, not the shape ", bytes.shape()});
  if (bytes.numel() != images) throw_error({"[mnist] ", path, ": ", bytes.numel(), " labels for ", images, " images"});
  auto labels = ergo::detail::make_tensor<std::int32_t>(bytes.shape());
  const auto* from = ergo::detail::data_of<std::uint8_t>(bytes.array());
  auto* to = ergo::detail::data_of<std::int32_t>(labels.array());
  for (std::int64_t i = 0; i < images; ++i) {
    if (from[i] >= classes)
      throw_error({"[mnist] ", path, ", byte ", 8 + i, ": label ", from[i], " is not in [0, ", classes, ")"});
    to[i] = from[i];
  }
  return labels.to(default_device());
}

}  // namespace detail

ERGO_ONCE ImageDataset mnist(const std::string& folder) {
  struct stat info;
  if (stat(folder.c_str(), &info) != 0 || !S_ISDIR(info.st_mode)) throw_error({"[mnist] there is no folder ", folder});
  std::string name = folder;
  while (name.size() > 1 && name.back() == '/') name.pop_back();
  name = name.substr(name.rfind('/') + 1);
  ImageDataset set{
      .name = name, .classes = 10, .train_images = {}, .train_labels = {}, .test_images = {}, .test_labels = {}};
  const std::string train = detail::find_idx(folder, "train-images", 3),
                    test = detail::find_idx(folder, "t10k-images", 3);
  const std::string train_labels = detail::find_idx(folder, "train-labels", 1);
  const std::string test_labels = detail::find_idx(folder, "t10k-labels", 1);
  set.train_images = detail::load_images(train);
  set.train_labels = detail::load_labels(train_labels, set.train_images.shape()[0], set.classes);
  set.test_images = detail::load_images(test);
  set.test_labels = detail::load_labels(test_labels, set.test_images.shape()[0], set.classes);
  if (set.train_images.shape().last(3) != set.test_images.shape().last(3))
    throw_error({"[mnist] ", folder, ": training images ", set.train_images.shape(), " and test images ",
                 set.test_images.shape(), " differ in size"});
  return set;
}
#endif

}  // namespace ergo::inline ERGO_BUILD::data
