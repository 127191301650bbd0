// Rows of convolutions, a small network's training step, and a step of Adam.
#include "bench/kernels/measure.hpp"
#include "ergo/autograd/transforms.hpp"
#include "ergo/models/mlp.hpp"
#include "ergo/ops/convolution.hpp"
#include "ergo/ops/cross_entropy.hpp"
#include "ergo/ops/random_integer.hpp"
#include "ergo/optim/adam.hpp"
#include "ergo/optim/clip.hpp"

namespace bench {
namespace {

// 3 x 3, padding 1; each gradient alone.
template <class T>
void add_conv2d(Rows& rows, const Shape& s, std::int64_t channels) {
  const Shape w{3, 3, s[3], channels};
  Row row{.op = "conv2d", .shape = text(s) + " " + text(w), .dtype = dtype_name<T>()};
  const Shape out{s[0], s[1], s[2], channels};
  row.flops = 2 * double(out.numel()) * 9 * double(s[3]);
  row.bytes = double(s.numel() + out.numel() + w.numel()) * sizeof(T);
  row.input_bytes = double(s.numel()) * sizeof(T);
  rows.push_back(row);
  rows.back().make = [=](std::uint64_t seed) -> std::function<void()> {
    return [x = random<T>(seed, s), k = random<T>(seed + 1, w)] { (void)conv2d(x, k, {.padding = 1}); };
  };
  row.op = "conv2d input gradient";
  rows.push_back(row);
  rows.back().make = [=](std::uint64_t seed) -> std::function<void()> {
    auto pull =
        vjp([k = random<T>(seed + 1, w)](const auto& x) { return conv2d(x, k, {.padding = 1}); }, random<T>(seed, s))
            .second;
    return [pull, g = random<T>(seed + 2, out)] { (void)pull(g); };
  };
  row.op = "conv2d weight gradient";
  rows.push_back(row);
  rows.back().make = [=](std::uint64_t seed) -> std::function<void()> {
    auto pull =
        vjp([x = random<T>(seed, s)](const auto& k) { return conv2d(x, k, {.padding = 1}); }, random<T>(seed + 1, w))
            .second;
    return [pull, g = random<T>(seed + 2, out)] { (void)pull(g); };
  };
}

// Forward and backward; no step of an optimiser.
void add_mlp(Rows& rows, std::int64_t batch, const std::vector<std::int64_t>& sizes) {
  Shape shape{batch};
  double weights = 0;
  for (std::size_t i = 0; i < sizes.size(); ++i) {
    shape.push(sizes[i]);
    if (i > 0) weights += (i > 1 ? 3.0 : 2.0) * double(sizes[i] * sizes[i - 1]);
  }
  rows.push_back({.op = "mlp value and gradient", .shape = text(shape), .dtype = dtype_name<float>()});
  rows.back().flops = 2 * double(batch) * weights;
  rows.back().make = [=](std::uint64_t seed) -> std::function<void()> {
    const DeviceScope scope(kDevice);
    const auto loss = [](const models::Mlp<float>& m, const Tensor<float>& x, const Tensor<std::int32_t>& y) {
      return cross_entropy(m(x), y);
    };
    return [step = value_and_grad(loss), net = models::mlp(Key{seed}, sizes),
            x = random<float>(seed, {batch, sizes.front()}),
            y = randint(Key{seed}, {batch}, 0, int(sizes.back()))] { (void)step(net, x, y); };
  };
}

void add_adam(Rows& rows, std::int64_t tensors, const Shape& s) {
  using Parameters = std::vector<Tensor<float>>;
  const double bytes = double(tensors * s.numel()) * sizeof(float);
  rows.push_back({.op = "adam step",
                  .shape = std::to_string(tensors) + " of " + text(s),
                  .dtype = dtype_name<float>(),
                  .bytes = 7 * bytes});
  rows.back().make = [=](std::uint64_t seed) -> std::function<void()> {
    const DeviceScope scope(kDevice);
    Parameters model, gradient;
    for (std::int64_t i = 0; i < tensors; ++i) {
      model.push_back(random<float>(seed + 2 * std::uint64_t(i), s));
      gradient.push_back(random<float>(seed + 2 * std::uint64_t(i) + 1, s));
    }
    optim::Adam<Parameters> opt(model, {.lr = 1e-4});
    return [=]() mutable { opt.step(model, gradient); };
  };
}

// The sum of squares must be known before anything is written: two readings.
void add_clip(Rows& rows, std::int64_t tensors, const Shape& s) {
  const double bytes = double(tensors * s.numel()) * sizeof(float);
  rows.push_back({.op = "clip_by_global_norm",
                  .shape = std::to_string(tensors) + " of " + text(s),
                  .dtype = dtype_name<float>(),
                  .bytes = 3 * bytes,
                  .input_bytes = bytes});
  rows.back().make = [=](std::uint64_t seed) -> std::function<void()> {
    std::vector<Tensor<float>> gradient;
    for (std::int64_t i = 0; i < tensors; ++i) gradient.push_back(random<float>(seed + std::uint64_t(i), s));
    return [gradient] { (void)optim::clip_by_global_norm(gradient, 1); };
  };
}

}  // namespace

void add_networks(Rows& rows, bool tiny) {
  add_conv2d<float>(rows, tiny ? Shape{1, 6, 6, 4} : Shape{64, 56, 56, 64}, tiny ? 4 : 64);
  add_conv2d<bfloat16>(rows, tiny ? Shape{1, 6, 6, 4} : Shape{64, 56, 56, 64}, tiny ? 4 : 64);
  if (tiny)
    add_mlp(rows, 4, {12, 8, 8, 3});
  else
    add_mlp(rows, 128, {784, 512, 512, 10});
  add_adam(rows, tiny ? 3 : 100, tiny ? Shape{8, 8} : Shape{512, 512});
  add_clip(rows, tiny ? 3 : 100, tiny ? Shape{8, 8} : Shape{512, 512});
}

}  // namespace bench
