// Counted traffic of kernels at aligned sizes and inner strides of 1: bytes over the least, sectors over the ideal,
// passes of the tiled kernels through shared memory. Counts of the checked build, never a speed. ERGO_SHOW_TRAFFIC=1
// prints them.
// build: checked
#include <cstdio>
#include <cstdlib>
#include <string>

#include <doctest/doctest.h>

#include "ergo/kernels/conv.cuh"
#include "ergo/kernels/cross_entropy.cuh"
#include "ergo/kernels/movement.cuh"
#include "ergo/kernels/norm.cuh"
#include "ergo/kernels/pointwise.cuh"
#include "ergo/kernels/reduce.cuh"
#include "ergo/kernels/softmax.cuh"
#include "simt/control.hpp"
#include "support/device_array.hpp"
#include "support/fresh.hpp"

namespace simt_kernel_traffic_test {

using namespace ergo::cuda;
using ergo::bfloat16;
using test::DeviceArray;

struct Gate {
  static Gate from(const void*) { return {}; }
  template <class A>
  __device__ __forceinline__ A operator()(A x, A b) const {
    return x * b;
  }
};

namespace {

Stream& stream() { return current_stream(ergo::Device::cuda()); }

template <class T>
DeviceArray<T> fresh_array(std::int64_t n) {
  Fresh fresh{std::uint64_t(n)};
  std::vector<T> x;
  for (std::int64_t i = 0; i < n; ++i) x.push_back(ergo::convert<T>(fresh.uniform(-1, 1)));
  return DeviceArray<T>(x);
}

// What a row allows; 0: not asked.
struct Most {
  double bytes = 1.05, sectors = 1.1, passes = 0;
};

// `work` moves at most so many times the bytes of its operands, and each of its launches keeps to the rest.
template <class F>
void check(const std::string& row, std::int64_t operands, const Most& most, const F& work) {
  simt::count_traffic(true);
  work();
  REQUIRE(cudaDeviceSynchronize() == cudaSuccess);
  simt::count_traffic(false);
  double bytes = 0;
  const auto launches = simt::take_traffic();
  for (const simt::KernelTraffic& t : launches) {
    bytes += double(t.read + t.written);
    if (std::getenv("ERGO_SHOW_TRAFFIC")) {
      const std::string kernel = t.kernel.substr(0, t.kernel.find('<'));
      std::printf("%-42s %-28s %9llu %9llu %6.3f %6.3f %6.3f\n", row.c_str(),
                  kernel.substr(kernel.rfind(':') + 1).c_str(), static_cast<unsigned long long>(t.read),
                  static_cast<unsigned long long>(t.written), t.bytes_over_least(), t.sectors_over_ideal(),
                  t.passes_an_access());
    }
    CHECK_MESSAGE((most.sectors == 0 || t.sectors_over_ideal() <= most.sectors), row, ": ", t.kernel, " touches ",
                  t.sectors_over_ideal(), " times the ideal sectors");
    CHECK_MESSAGE((most.passes == 0 || t.passes_an_access() <= most.passes), row, ": ", t.kernel, " takes ",
                  t.passes_an_access(), " passes an access of shared memory");
  }
  const double over = bytes / double(operands);
  CHECK_MESSAGE((over >= 1 && (most.bytes == 0 || over <= most.bytes)), row, ": moves ", over,
                " times the bytes of its operands");
}

template <class T>
void pointwise(std::int64_t rows, std::int64_t columns, bool broadcast) {
  const auto x = fresh_array<T>(rows * columns), b = fresh_array<T>(columns * (broadcast ? 1 : rows));
  const DeviceArray<T> y(std::size_t(rows * columns));
  constexpr auto w = std::int64_t(sizeof(T));
  MapCall c{};
  c.y = reinterpret_cast<std::byte*>(y.data());
  c.rank = broadcast ? 2 : 1;
  c.extent[0] = broadcast ? rows : rows * columns;
  c.extent[1] = columns;
  const auto operand = [&](int k, const T* p, std::int64_t outer) {
    c.x[k].data = reinterpret_cast<const std::byte*>(p);
    c.x[k].stride[0] = broadcast ? outer : w;
    c.x[k].stride[1] = w;
  };
  operand(0, x.data(), columns * w);
  operand(1, b.data(), 0);
  const auto operands = std::int64_t(x.size() + b.size() + y.size()) * w;
  check(sizeof(T) == 2 ? "pointwise, bfloat16"
        : broadcast    ? "pointwise, a row broadcast"
                       : "pointwise",
        operands, {}, [&] { launch_map<Gate, T, T, T>(stream(), "map", c); });
}

template <class T>
void softmax(std::int64_t rows, std::int64_t n, double most) {
  const auto x = fresh_array<T>(rows * n), g = fresh_array<T>(rows * n);
  const DeviceArray<T> y(std::size_t(rows * n)), dx(std::size_t(rows * n));
  const DeviceArray<std::byte> workspace(softmax_workspace<T>(rows, n));
  const std::string length = "rows of " + std::to_string(n) + (sizeof(T) == 2 ? ", bfloat16" : "");
  const auto size = rows * n * std::int64_t(sizeof(T));
  check("softmax, " + length, 2 * size, {.bytes = most}, [&] {
    launch_softmax<T>(stream(), row_major<const T>(x.data(), {rows, n}), row_major(y.data(), {rows, n}), false,
                      workspace.data());
  });
  check("log_softmax, " + length, 2 * size, {.bytes = most}, [&] {
    launch_log_softmax<T>(stream(), row_major<const T>(x.data(), {rows, n}), row_major(y.data(), {rows, n}), false,
                          workspace.data());
  });
  check("softmax vjp, " + length, 3 * size, {.bytes = most}, [&] {
    launch_softmax_vjp<T>(stream(), row_major<const T>(g.data(), {rows, n}), row_major<const T>(y.data(), {rows, n}),
                          row_major(dx.data(), {rows, n}), workspace.data());
  });
}

template <class T>
void layer_norm(std::int64_t rows, std::int64_t n, double most) {
  const auto x = fresh_array<T>(rows * n), gamma = fresh_array<T>(n), beta = fresh_array<T>(n),
             dy = fresh_array<T>(rows * n);
  const DeviceArray<T> y(std::size_t(rows * n));
  const DeviceArray<float> stats(std::size_t(3 * rows));
  const std::string length = "rows of " + std::to_string(n) + (sizeof(T) == 2 ? ", bfloat16" : "");
  check("layer_norm, " + length, (2 * rows + 2) * n * std::int64_t(sizeof(T)) + 12 * rows, {.bytes = most}, [&] {
    launch_layer_norm<T>(stream(), row_major<const T>(x.data(), {rows, n}), row_major<const T>(gamma.data(), {1, n}),
                         row_major<const T>(beta.data(), {1, n}), 1e-5, row_major(y.data(), {rows, n}), stats.data());
  });
}

// Of (outer, n, inner), summed over n.
void sum(const char* row, std::int64_t outer, std::int64_t n, std::int64_t inner) {
  const auto x = fresh_array<float>(outer * n * inner);
  const DeviceArray<float> y(std::size_t(outer * inner));
  const auto view = row_major<const float>(x.data(), {outer, n, inner});
  const DeviceArray<std::byte> workspace(reduce_workspace<SumOf, float>(view) + 16);
  check(row, std::int64_t(x.size() + y.size()) * 4, {.bytes = 1.1},  // the parts of a split

        [&] { launch_reduce<SumOf, float>(stream(), "sum", view, y.data(), workspace.data()); });
}

void cross_entropy(std::int64_t rows, std::int64_t classes, double most) {
  const auto x = fresh_array<float>(rows * classes);
  const DeviceArray<std::int32_t> labels(std::vector<std::int32_t>(std::size_t(rows), 3));
  const DeviceArray<float> loss(1), dx(x.size());
  const DeviceArray<std::byte> workspace(cross_entropy_workspace<float>(1, rows, classes));
  CrossEntropyCall<float> call{row_major<const float>(x.data(), {rows, classes}), Labels{labels.data(), 1, 4},
                               row_major(loss.data(), {1})};
  call.gradient = row_major(dx.data(), {rows, classes});
  check("cross_entropy and gradient, " + std::to_string(classes) + " classes", 8 * rows * classes + 4 * rows,
        {.bytes = most}, [&] { launch_cross_entropy<float>(stream(), call, workspace.data()); });
}

// A copy of a (rows, columns) matrix, transposed or not.
template <int Width>
void copy(const char* row, std::int64_t rows, std::int64_t columns, bool transposed, const Most& most) {
  const auto x = fresh_array<float>(rows * columns * Width / 4);
  const DeviceArray<float> y(std::size_t(rows * columns * Width / 4));
  CopyCall c{reinterpret_cast<const std::byte*>(x.data()),
             reinterpret_cast<std::byte*>(y.data()),
             Width,
             2,
             {rows, columns},
             {},
             {}};
  c.from_stride[0] = (transposed ? 1 : columns) * Width;
  c.from_stride[1] = (transposed ? rows : 1) * Width;
  c.to_stride[0] = columns * Width;
  c.to_stride[1] = Width;
  check(row, 2 * rows * columns * Width, most, [&] { launch_copy(stream(), c); });
}

template <class T>
void convolution(const char* row, const Conv2dShape& s) {
  const auto x = fresh_array<T>(s.n * s.h * s.w * s.c_in), w = fresh_array<T>(s.kh * s.kw * s.c_in * s.c_out),
             dy = fresh_array<T>(s.n * s.out_h() * s.out_w() * s.c_out);
  const DeviceArray<T> y(dy.size()), dx(x.size()), dw(w.size());
  const DeviceArray<std::byte> workspace(conv2d_weight_gradient_workspace<T>(s) + 16);
  const Most tiled{.bytes = 0, .sectors = 1.1, .passes = 1.1};
  const std::string name = row;
  const auto size = [](const DeviceArray<T>& a) { return std::int64_t(a.size() * sizeof(T)); };
  check(name + ", forward", size(x) + size(w) + size(y), tiled,
        [&] { launch_conv2d<T>(stream(), s, x.data(), w.data(), y.data()); });
  check(name + ", input gradient", size(dy) + size(w) + size(dx), tiled,
        [&] { launch_conv2d_input_gradient<T>(stream(), s, dy.data(), w.data(), dx.data()); });
  check(name + ", weight gradient", size(x) + size(dy) + size(dw), tiled,
        [&] { launch_conv2d_weight_gradient<T>(stream(), s, x.data(), dy.data(), dw.data(), workspace.data()); });
}

}  // namespace

TEST_CASE("pointwise") {
  pointwise<float>(64, 512, false);
  pointwise<bfloat16>(64, 512, false);
  pointwise<float>(64, 4096, true);
}
TEST_CASE("softmax and its vjp") {
  for (const std::int64_t n : {64, 256, 1024, 2048, 8192}) softmax<float>(n > 1024 ? 4 : 32, n, 1.05);
  softmax<bfloat16>(4, 4096, 1.05);
  softmax<float>(2, 16384, 2.05);
  softmax<float>(1, 131072, 2.05);
}
TEST_CASE("layer_norm") {
  layer_norm<float>(512, 256, 1.05);
  layer_norm<float>(64, 1024, 1.05);
  layer_norm<float>(64, 4096, 1.05);
  layer_norm<bfloat16>(64, 8192, 1.05);
  layer_norm<float>(8, 16384, 2.05);
}
TEST_CASE("reductions and losses") {
  sum("sum of rows", 64, 1024, 1);
  sum("sum of rows, split", 2, 200000, 1);
  sum("sum of columns", 1, 256, 1024);
  cross_entropy(256, 64, 1.05);
  cross_entropy(64, 1024, 1.05);
  cross_entropy(16, 8192, 1.05);
  cross_entropy(8, 32768, 2.05);
}
TEST_CASE("copies") {
  copy<4>("copy", 128, 256, false, {});
  copy<4>("transpose of 4 bytes", 128, 256, true, {.passes = 1.1});
  copy<8>("transpose of 8 bytes", 128, 256, true, {.passes = 1.1});
  copy<16>("transpose of 16 bytes", 128, 64, true, {.passes = 1.1});
}
TEST_CASE("convolutions on tiles") {
  Conv2dShape s{};
  s.n = 2, s.h = s.w = 12, s.c_in = 32, s.c_out = 64, s.kh = s.kw = 3;
  convolution<float>("conv2d", s);
  convolution<bfloat16>("conv2d, bfloat16", s);
}

}  // namespace simt_kernel_traffic_test
