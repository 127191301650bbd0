// Convolution, channels last: forward, and each gradient alone. A name's sizes are (images, height, width, channels in,
// channels out, kernel, stride, groups). The flop of padded taps counts.
#include "bench/support/rows.hpp"
#include "ergo/autograd/transforms.hpp"
#include "ergo/ops/convolution.hpp"
#include "ergo/ops/pooling.hpp"
#include "ergo/ops/random.hpp"

namespace {

using namespace ergo;
using bench::Row;

struct Sizes {
  std::int64_t n, h, w, c_in, c_out, kernel, stride = 1, groups = 1;
};
struct GoalsOfSizes {
  bench::Goal forward = {.ratio = 1}, backward = {.ratio = 1};
};

void add(std::vector<Row>& rows, const Sizes& s, const GoalsOfSizes& goals = {}) {
  const auto x = normal(Key{1}, {s.n, s.h, s.w, s.c_in});
  const auto w = normal(Key{2}, {s.kernel, s.kernel, s.c_in / s.groups, s.c_out});
  const Conv2dOptions options{.stride = s.stride, .padding = s.kernel / 2, .groups = s.groups};
  const auto y = conv2d(x, w, options);
  const auto g = normal(Key{3}, y.shape());
  const double flops = 2 * double(y.numel()) * double(w.numel() / s.c_out);
  const std::string sizes = " " + to_string(Shape{s.n, s.h, s.w, s.c_in, s.c_out, s.kernel, s.stride, s.groups});
  const auto row = [&](const std::string& name, bench::Goal goal, auto f) {
    rows.push_back({.name = name + sizes, .run = [f] { bench::keep(f()); }, .flops = flops, .goal = goal});
  };
  const auto of_x = vjp([=](const Tensor<float>& a) { return conv2d(a, w, options); }, x).second;
  const auto of_w = vjp([=](const Tensor<float>& a) { return conv2d(x, a, options); }, w).second;
  row("conv2d", goals.forward, [=] { return conv2d(x, w, options); });
  row("conv2d, input gradient", goals.backward, [=] { return of_x(g); });
  row("conv2d, weight gradient", goals.backward, [=] { return of_w(g); });
}

void add_pool(std::vector<Row>& rows, const Shape& s) {
  const auto x = normal(Key{1}, s);
  const auto g = normal(Key{2}, max_pool2d(x, 2).shape());
  const auto row = [&](const std::string& name, double arrays, auto f) {
    rows.push_back({.name = name + " " + to_string(s),
                    .run = [f] { bench::keep(f()); },
                    .bytes = arrays * 4 * double(s.numel()),
                    .goal = {.ratio = 1}});
  };
  row("max_pool2d", 1.25, [=] { return max_pool2d(x, 2); });
  row("max_pool2d + backward", 2.75,
      [=] { return vjp([](const Tensor<float>& a) { return max_pool2d(a, 2); }, x).second(g); });
}

}  // namespace

int main(int argc, char** argv) {
  return bench::rows_main(argc, argv, [](int) {
    std::vector<Row> rows;
    const GoalsOfSizes square{{.ratio = 2.3}, {.ratio = 1.6}};
    add(rows, {16, 32, 32, 64, 64, 3}, square);
    add(rows, {16, 16, 16, 128, 128, 3}, square);
    add(rows, {16, 8, 8, 256, 256, 3}, square);
    add(rows, {16, 32, 32, 64, 128, 3, 2}, {{.ratio = 1.05}, {.ratio = 1}});
    add(rows, {16, 32, 32, 64, 256, 1}, {{.ratio = 1.25, .limit = 0.94}, {.ratio = 1.4}});
    add(rows, {16, 64, 64, 3, 64, 7, 2}, {{.ratio = 1.1, .limit = 0.92}, {.ratio = 1.9}});
    add(rows, {64, 28, 28, 1, 16, 5});
    add(rows, {64, 14, 14, 16, 32, 3});
    add(rows, {16, 32, 32, 64, 64, 3, 1, 64});
    add_pool(rows, {64, 28, 28, 16});
    return rows;
  });
}
