// Rows of pools, changes of size and reads of images, of convolutions other than networks.cpp's, and of copies that
// have an order of their own: padding, rolling, repeating.
#include "bench/kernels/operands.hpp"
#include "ergo/ops/average_pooling.hpp"
#include "ergo/ops/conv1d.hpp"
#include "ergo/ops/conv_transpose.hpp"
#include "ergo/ops/diagonal.hpp"
#include "ergo/ops/grid_sample.hpp"
#include "ergo/ops/joining.hpp"
#include "ergo/ops/padding.hpp"
#include "ergo/ops/pooling.hpp"
#include "ergo/ops/repetition.hpp"
#include "ergo/ops/slicing.hpp"
#include "ergo/ops/tensor_product.hpp"
#include "ergo/ops/upsampling.hpp"

namespace bench {
namespace {

// Images to images: what is read and written is the same both ways, besides `kept`, bytes that the way back reads more.
template <class T, class F>
void add_resize(Rows& rows, const std::string& op, const Shape& s, double out, const std::string& more, double kept,
                F f) {
  const double bytes = (elements(s) + out) * sizeof(T);
  add_function<T>(rows, {.op = op, .operands = {s}, .more = more, .bytes = bytes, .vjp_bytes = bytes + kept},
                  [f](const Operands<T>& p) { return f(p[0]); });
}

template <class T>
void add_images(Rows& rows, bool tiny) {
  const Shape s = tiny ? Shape{2, 8, 8, 4} : Shape{32, 128, 128, 32};
  const double quarter = elements(s) / 4;
  const PoolOptions overlap{.stride = 2, .padding = 1};
  add_resize<T>(rows, "max_pool2d", s, quarter, "(2, 2, 0)", 4 * quarter,
                [](const auto& x) { return max_pool2d(x, 2); });
  add_resize<T>(rows, "max_pool2d", s, quarter, "(3, 2, 1)", 4 * quarter,
                [=](const auto& x) { return max_pool2d(x, 3, overlap); });
  add_resize<T>(rows, "avg_pool2d", s, quarter, "(2, 2, 0)", 0, [](const auto& x) { return avg_pool2d(x, 2); });
  add_resize<T>(rows, "avg_pool2d", s, quarter, "(3, 2, 1)", 0,
                [](const auto& x) { return avg_pool2d(x, 3, {.stride = 2, .padding = 1}); });
  const std::int64_t to = tiny ? 3 : 7;
  const Shape deep = tiny ? Shape{2, 5, 5, 4} : Shape{16, 45, 45, 512};
  add_resize<T>(rows, "adaptive_avg_pool2d", deep, double(deep[0] * to * to * deep[3]), text({to, to}), 0,
                [to](const auto& x) {
                  return adaptive_avg_pool2d(x, {to, to});
                });
  add_resize<T>(rows, "global_avg_pool", deep, double(deep[0] * deep[3]), "", 0,
                [](const auto& x) { return global_avg_pool(x); });
  const Shape small = tiny ? Shape{2, 4, 4, 4} : Shape{32, 64, 64, 32};
  const double large = 4 * elements(small);
  add_resize<T>(rows, "upsample_nearest2d", small, large, "(2)", 0,
                [](const auto& x) { return upsample_nearest2d(x, 2); });
  add_resize<T>(rows, "upsample_bilinear2d", small, large, "(2)", 0,
                [](const auto& x) { return upsample_bilinear2d(x, 2); });
  add_resize<T>(rows, "upsample_bicubic2d", small, large, "(2)", 0,
                [](const auto& x) { return upsample_bicubic2d(x, 2); });
}

// At random places within the images: neighbours in the grid are none in the image.
void add_grid_sample(Rows& rows, const Shape& s) {
  const Shape grid{s[0], s[1], s[2], 2};
  const double image = 4 * elements(s), places = 4 * elements(grid);
  add_function<float>(rows,
                      {.op = "grid_sample",
                       .operands = {s, grid},
                       .bytes = 2 * image + places,
                       .vjp_bytes = 3 * image + 2 * places,
                       .lowest = -1,
                       .most = 1},
                      [](const Operands<float>& p) { return grid_sample(p[0], p[1]); });
}

// A product of two operands and both its gradients: `flops` is what the value takes.
template <class T, class F>
void add_convolution(Rows& rows, const std::string& op, const Shape& x, const Shape& w, double out, double flops,
                     const std::string& more, F f) {
  const double own = elements(x) + elements(w);
  add_function<T>(rows,
                  {.op = op,
                   .operands = {x, w},
                   .more = more,
                   .bytes = (own + out) * sizeof(T),
                   .vjp_bytes = (2 * own + out) * sizeof(T),
                   .flops = flops,
                   .vjp_flops = 2 * flops},
                  [f](const Operands<T>& p) { return f(p[0], p[1]); });
}

template <class T>
void add_convolutions(Rows& rows, bool tiny) {
  const Shape s = tiny ? Shape{1, 6, 6, 8} : Shape{32, 56, 56, 128};
  const std::int64_t c = s[3], groups = tiny ? 2 : 4;
  const double n = elements(s);
  add_convolution<T>(rows, "conv2d strided", s, {3, 3, c, c}, n / 4, 2 * n / 4 * 9 * double(c), "",
                     [](const auto& x, const auto& w) { return conv2d(x, w, {.stride = 2, .padding = 1}); });
  add_convolution<T>(rows, "conv2d grouped", s, {3, 3, c / groups, c}, n, 2 * n * 9 * double(c / groups),
                     text({groups}),
                     [groups](const auto& x, const auto& w) { return conv2d(x, w, {.padding = 1, .groups = groups}); });
  // Of so few products a channel that memory is what limits it: no flops, so its fraction is shown.
  add_convolution<T>(rows, "conv2d depthwise", s, {3, 3, 1, c}, n, 0, "",
                     [c](const auto& x, const auto& w) { return conv2d(x, w, {.padding = 1, .groups = c}); });
  const Shape sequences = tiny ? Shape{2, 10, 8} : Shape{32, 4096, 128};
  const double m = elements(sequences);
  add_convolution<T>(rows, "conv1d", sequences, {5, c, c}, m, 2 * m * 5 * double(c), "",
                     [](const auto& x, const auto& w) { return conv1d(x, w, {.padding = 2}); });
  const Shape small = tiny ? Shape{1, 3, 3, 8} : Shape{32, 28, 28, 128};
  add_convolution<T>(rows, "conv_transpose2d", small, {4, 4, c, c / 2}, 2 * elements(small),
                     2 * elements(small) * 16 * double(c / 2), "",
                     [](const auto& x, const auto& w) { return conv_transpose2d(x, w, {.stride = 2, .padding = 1}); });
}

void add_copies(Rows& rows, bool tiny) {
  using P = Operands<float>;
  const Shape image = tiny ? Shape{2, 5, 5, 4} : Shape{32, 64, 64, 128};
  const double in = 4 * elements(image),
               out = in / double(image[1] * image[2]) * double((image[1] + 2) * (image[2] + 2));
  const std::vector<PadWidth> frame{{0, 0}, {1, 1}, {1, 1}, {0, 0}};
  add_function<float>(rows, {.op = "pad", .operands = {image}, .more = "(1)", .bytes = in + out, .vjp_bytes = 2 * in},
                      [frame](const P& p) { return pad(p[0], frame); });
  add_function<float>(
      rows, {.op = "pad reflect", .operands = {image}, .more = "(1)", .bytes = in + out, .vjp_bytes = in + out},
      [frame](const P& p) { return pad(p[0], frame, {.mode = Pad::reflect}); });
  const Shape square = tiny ? Shape{12, 12} : Shape{4096, 4096}, half{square[0], square[1] / 2};
  const double bytes = 4 * elements(square);
  const auto add = [&](const std::string& op, const std::vector<Shape>& s, double moved, auto f) {
    add_function<float>(rows, {.op = op, .operands = s, .bytes = moved}, f);
  };
  add("roll", {square}, 2 * bytes, [](const P& p) { return roll(p[0], {5}, {1}); });
  add("flip", {square}, 2 * bytes, [](const P& p) { return flip(p[0], {1}).contiguous(); });
  add("tril", {square}, 1.5 * bytes, [](const P& p) { return tril(p[0]); });
  add("concatenate columns", {half, half}, 2 * bytes, [](const P& p) { return concatenate({p[0], p[1]}, 1); });
  add("repeat", {half}, 1.5 * bytes, [](const P& p) { return repeat(p[0], 2, 1); });
  add("tile", {half}, 1.5 * bytes, [](const P& p) { return tile(p[0], {1, 2}); });
  const std::int64_t side = tiny ? 3 : 64;
  add("kron", {{side, side}, {side, side}}, 4 * double(side * side * side * side),
      [](const P& p) { return kron(p[0], p[1]); });
}

}  // namespace

void add_spatial(Rows& rows, bool tiny) {
  add_images<float>(rows, tiny);
  add_images<bfloat16>(rows, tiny);
  add_grid_sample(rows, tiny ? Shape{2, 5, 5, 4} : Shape{16, 128, 128, 64});
  add_convolutions<float>(rows, tiny);
  add_convolutions<bfloat16>(rows, tiny);
  add_copies(rows, tiny);
}

}  // namespace bench
