// label: simt
// Products of matrices and linear layers by cuBLAS against scalar loops in double: layouts, batches, types, devices.
#include "ergo/cuda/blas.hpp"

#include <pthread.h>

#include <cmath>
#include <random>
#include <vector>

#include <doctest/doctest.h>

#include "support/device_array.hpp"
#include "support/message.hpp"
#if defined(ERGO_EMULATED)
#include "simt/control.hpp"
#endif

namespace cuda_blas_test {

using namespace ergo::cuda;
using ergo::Device;
using test::DeviceArray;

namespace {

// How the matrices of an operand lie in memory.
struct Layout {
  bool columns = false;    // columns without gaps, else rows
  int gap = 0;             // between them
  bool broadcast = false;  // one matrix for the whole batch
  int apart = 0;           // between matrices
  int offset = 0;          // of the first element
};
const Layout kLayouts[] = {
    {}, {true}, {false, 3}, {true, 5, false, 7}, {false, 0, true}, {true, 1, true}, {false, 2, false, 4, 1}};

template <class T>
std::vector<T> random_values(std::size_t n, std::mt19937& random) {
  std::vector<T> v(n);
  for (T& x : v) x = T(std::uniform_real_distribution<float>(-1, 1)(random));
  return v;
}

// (batch, rows, cols) with random values, on the current device and on the host.
template <class T>
struct Matrices {
  View<T, 3> view;
  std::vector<T> values;
  DeviceArray<T> device;

  static std::int64_t run(const Layout& l, std::int64_t rows, std::int64_t cols) {
    return (l.columns ? rows : cols) + l.gap;
  }
  static std::int64_t step(const Layout& l, std::int64_t rows, std::int64_t cols) {
    return l.broadcast ? 0 : run(l, rows, cols) * (l.columns ? cols : rows) + l.apart;
  }
  // To the last element.
  static std::size_t size(std::int64_t batch, std::int64_t rows, std::int64_t cols, const Layout& l) {
    if (batch * rows * cols == 0) return std::size_t(l.offset);
    return std::size_t(l.offset + step(l, rows, cols) * (batch - 1) +
                       run(l, rows, cols) * ((l.columns ? cols : rows) - 1) + (l.columns ? rows : cols));
  }
  Matrices(std::int64_t batch, std::int64_t rows, std::int64_t cols, const Layout& l, std::mt19937& random)
      : values(random_values<T>(size(batch, rows, cols, l), random)), device(values) {
    const std::int64_t ld = run(l, rows, cols);
    view = {
        device.data() + l.offset, {batch, rows, cols}, {step(l, rows, cols), l.columns ? 1 : ld, l.columns ? ld : 1}};
  }
  std::size_t place(std::int64_t z, std::int64_t i, std::int64_t j) const {
    return std::size_t(view.data - device.data() + z * view.stride[0] + i * view.stride[1] + j * view.stride[2]);
  }
  double at(std::int64_t z, std::int64_t i, std::int64_t j) const { return double(values[place(z, i, j)]); }
};

// What a product over k terms may be off by, of the sum of absolute products, and of its own size by its last rounding.
template <class T>
double allowed(std::int64_t k, double absolute, double value) {
  const double sums = std::is_same_v<T, double> ? 1e-15 : 4e-7;
  const double rounding = std::is_same_v<T, ergo::half> ? 0x1p-11 : std::is_same_v<T, ergo::bfloat16> ? 0x1p-8 : 0;
  return sums * std::sqrt(double(k)) * absolute + rounding * std::fabs(value) +
         (std::is_same_v<T, ergo::half> ? 0x1p-25 : 0);
}

template <class T>
void check_gemm(std::int64_t batch, std::int64_t m, std::int64_t n, std::int64_t k, const Layout& of_a,
                const Layout& of_b, const Layout& of_y, std::mt19937& random) {
  CAPTURE(batch);
  CAPTURE(m);
  CAPTURE(n);
  CAPTURE(k);
  const Matrices<T> a(batch, m, k, of_a, random), b(batch, k, n, of_b, random), y(batch, m, n, of_y, random);
  int device = 0;
  cudaGetDevice(&device);
  REQUIRE(gemm(current_stream(Device::cuda(device)), "matmul", a.view, b.view, y.view));
  const auto got = y.device.host();
  std::vector<char> written(got.size());
  int wrong = 0;
  for (std::int64_t z = 0; z < batch; ++z)
    for (std::int64_t i = 0; i < m; ++i)
      for (std::int64_t j = 0; j < n; ++j) {
        double sum = 0, absolute = 0;
        for (std::int64_t q = 0; q < k; ++q) {
          sum += a.at(z, i, q) * b.at(z, q, j);
          absolute += std::fabs(a.at(z, i, q) * b.at(z, q, j));
        }
        written[y.place(z, i, j)] = 1;
        wrong += !(std::fabs(double(got[y.place(z, i, j)]) - sum) <= allowed<T>(k, absolute, sum));
      }
  CHECK(wrong == 0);
  for (std::size_t i = 0; i < got.size(); ++i) wrong += !written[i] && !(got[i] == y.values[i]);
  CHECK_MESSAGE(wrong == 0, "gaps of y were written");
}

template <class F>
void on_a_thread(F f) {
  pthread_t thread;
  REQUIRE(pthread_create(
              &thread, nullptr,
              [](void* p) -> void* {
                (*static_cast<F*>(p))();
                return nullptr;
              },
              &f) == 0);
  pthread_join(thread, nullptr);
}

}  // namespace

TEST_CASE_TEMPLATE("products of all layouts", T, float, double, ergo::half, ergo::bfloat16) {
  const unsigned seed = std::random_device{}();
  CAPTURE(seed);
  std::mt19937 random(seed);
  for (const Layout& of_a : kLayouts)
    for (const Layout& of_b : kLayouts) {
      check_gemm<T>(1, 17, 9, 23, of_a, of_b, {}, random);
      check_gemm<T>(3, 5, 11, 8, of_a, of_b, {false, 2, false, 6, 1}, random);
      check_gemm<T>(3, 5, 11, 8, of_a, of_b, {}, random);
    }
  for (const Layout& of_a : {Layout{}, Layout{true}})
    for (const Layout& of_b : {Layout{}, Layout{true}}) {
      check_gemm<T>(1, 65, 130, 257, of_a, of_b, {}, random);
      for (std::int64_t m : {1, 2})
        for (std::int64_t n : {1, 3})
          for (std::int64_t k : {1, 4}) check_gemm<T>(2, m, n, k, of_a, of_b, {}, random);
    }
}

TEST_CASE_TEMPLATE("products of nothing, and over nothing", T, float, ergo::half) {
  std::mt19937 random(1);
  for (const Layout& of_y : {Layout{}, Layout{false, 3}, Layout{false, 0, false, 5}, Layout{false, 2, false, 1, 1}}) {
    check_gemm<T>(2, 3, 4, 0, {}, {}, of_y, random);  // zeros
    check_gemm<T>(1, 3, 4, 0, {}, {}, of_y, random);
    check_gemm<T>(2, 1, 4, 0, {}, {}, of_y, random);
    check_gemm<T>(0, 3, 4, 5, {}, {}, of_y, random);
    check_gemm<T>(2, 0, 4, 5, {}, {}, of_y, random);
    check_gemm<T>(2, 3, 0, 5, {}, {}, of_y, random);
  }
}

TEST_CASE("operands that cuBLAS cannot take are left to the caller") {
  Stream& s = current_stream(Device::cuda());
  const DeviceArray<float> x(std::vector<float>(512, 1.0f)), y(std::vector<float>(64, 7.0f));
  const View<const float, 3> a{x.data(), {2, 4, 6}, {24, 6, 1}}, b{x.data(), {2, 6, 3}, {18, 3, 1}};
  const View<float, 3> out = row_major<float, 3>(y.data(), {2, 4, 3});
  const auto with = [](View<const float, 3> v, std::int64_t s0, std::int64_t s1, std::int64_t s2) {
    v.stride[0] = s0, v.stride[1] = s1, v.stride[2] = s2;
    return v;
  };
  CHECK(!gemm(s, "matmul", with(a, 48, 12, 2), b, out));  // no stride is 1
  CHECK(!gemm(s, "matmul", a, with(b, 48, 6, 2), out));
  CHECK(!gemm(s, "matmul", with(a, 24, 5, 1), b, out));  // windows: rows overlap
  CHECK(!gemm(s, "matmul", with(a, 24, 0, 1), b, out));  // one row for all
  CHECK(!gemm(s, "matmul", with(a, 24, 6, -1), b, out));
  CHECK(!gemm(s, "matmul", with(a, -24, 6, 1), b, out));
  View<float, 3> columns = out;
  columns.stride[1] = 1, columns.stride[2] = 4;
  CHECK(!gemm(s, "matmul", a, b, columns));
  for (const float v : y.host()) CHECK(v == 7.0f);
  CHECK(gemm(s, "matmul", with(a, 24, 6, 1), b, out));
  CHECK(y.host()[0] == 6.0f);
  // Axes of one element may have any stride, as a vector has.
  const View<const float, 3> row{x.data(), {1, 1, 6}, {0, -3, 1}}, column{x.data(), {1, 6, 1}, {5, 1, 0}};
  const View<float, 3> one{y.data() + 30, {1, 1, 1}, {0, 0, 0}};
  CHECK(gemm(s, "matmul", row, column, one));
  CHECK(y.host()[30] == 6.0f);
}

TEST_CASE("a batch of one matrix for all is one product of more rows, or one for each") {
  std::mt19937 random(std::random_device{}());
  Stream& s = current_stream(Device::cuda());
  const Matrices<float> a(3, 4, 5, {}, random), b(1, 5, 6, {}, random), y(3, 4, 6, {}, random);
  CHECK(gemm(s, "matmul", a.view, b.view, y.view));  // a batch of 1 broadcasts
  View<float, 3> spread = b.view;
  spread.shape[0] = 3;
  spread.stride[0] = 0;
  const Matrices<float> again(3, 4, 6, {}, random), third(3, 4, 6, {}, random);
  CHECK(gemm(s, "matmul", a.view, spread, again.view));
  CHECK(y.device.host() == again.device.host());
  View<float, 3> first = a.view;
  first.shape[0] = 1;
  CHECK(gemm(s, "matmul", first, b.view, third.view));
  const auto same = third.device.host();
  for (std::size_t i = 0; i < 24; ++i) CHECK(same[i] == same[i + 24]);
}

TEST_CASE("float products are of floats unless TF32 is asked for") {
  Stream& s = current_stream(Device::cuda());
  const std::int64_t n = 64;
  const DeviceArray<float> x(std::vector<float>(n * n, 1 + 0x1p-12f)), one(std::vector<float>(n * n, 1.0f)), y(n * n);
  const auto product = [&] {
    CHECK(gemm(s, "matmul", row_major<const float, 3>(x.data(), {1, n, n}),
               row_major<const float, 3>(one.data(), {1, n, n}), row_major<float, 3>(y.data(), {1, n, n})));
    return y.host()[5];
  };
  CHECK(matmul_precision() == MatmulPrecision::fp32);
  CHECK(product() == 64 + 0x1p-6f);
  set_matmul_precision(MatmulPrecision::tf32);
  CHECK(product() == doctest::Approx(64).epsilon(1e-3));
#if defined(ERGO_EMULATED)
  CHECK(product() == 64);
#endif
  set_matmul_precision(MatmulPrecision::fp32);
  CHECK(product() == 64 + 0x1p-6f);
}

TEST_CASE("16-bit products accumulate in float") {
  Stream& s = current_stream(Device::cuda());
  const std::int64_t k = 4096;
  const DeviceArray<ergo::bfloat16> x(std::vector<ergo::bfloat16>(k, ergo::bfloat16(1))), y(1);
  CHECK(gemm(s, "matmul", row_major<const ergo::bfloat16, 3>(x.data(), {1, 1, k}),
             row_major<const ergo::bfloat16, 3>(x.data(), {1, k, 1}),
             row_major<ergo::bfloat16, 3>(y.data(), {1, 1, 1})));
  CHECK(float(y.host()[0]) == 4096);
}

namespace {

template <class T>
void check_linear(std::int64_t m, std::int64_t k, std::int64_t n, const Layout& of_x, const Layout& of_w, int offset,
                  bool with_bias, Activation activation, std::mt19937& random) {
  CAPTURE(m);
  CAPTURE(k);
  CAPTURE(n);
  CAPTURE(with_bias);
  CAPTURE(int(activation));
  const Matrices<T> x(1, m, k, of_x, random), w(1, k, n, of_w, random),
      y(1, m, n, {false, offset, false, 0, offset}, random);
  const auto bias = random_values<T>(std::size_t(n + offset), random);
  const DeviceArray<T> on_device(bias);
  const auto matrix = [](const View<T, 3>& v) {
    return View<T, 2>{v.data, {v.shape[1], v.shape[2]}, {v.stride[1], v.stride[2]}};
  };
  int device = 0;
  cudaGetDevice(&device);
  REQUIRE(linear(current_stream(Device::cuda(device)), "linear", matrix(x.view), matrix(w.view),
                 with_bias ? on_device.data() + offset : nullptr, matrix(y.view), activation));
  const auto got = y.device.host();
  int wrong = 0;
  for (std::int64_t i = 0; i < m; ++i)
    for (std::int64_t j = 0; j < n; ++j) {
      double z = with_bias ? double(bias[std::size_t(j + offset)]) : 0, absolute = std::fabs(z);
      for (std::int64_t q = 0; q < k; ++q) {
        z += x.at(0, i, q) * w.at(0, q, j);
        absolute += std::fabs(x.at(0, i, q) * w.at(0, q, j));
      }
      double value = z, error = 0;
      if (activation == Activation::relu) value = z > 0 ? z : 0;
      if (activation == Activation::gelu_tanh) {
        value = 0.5 * z * (1 + std::tanh(0.79788456080286535588 * (z + 0.044715 * z * z * z)));
        if (!std::is_same_v<T, double>) error = 2e-6 * (1 + std::fabs(z));
      }
      wrong += !(std::fabs(double(got[y.place(0, i, j)]) - value) <= 2 * allowed<T>(k + 1, absolute, value) + error);
    }
  CHECK(wrong == 0);
}

}  // namespace

TEST_CASE_TEMPLATE("linear layers with bias and activation", T, float, ergo::half, ergo::bfloat16) {
  const unsigned seed = std::random_device{}();
  CAPTURE(seed);
  std::mt19937 random(seed);
  for (const Activation activation : {Activation::none, Activation::relu, Activation::gelu_tanh})
    for (const bool with_bias : {true, false}) {
      check_linear<T>(16, 32, 24, {}, {}, 0, with_bias, activation, random);
      check_linear<T>(16, 32, 24, {}, {}, 0, with_bias, activation, random);  // by the plan that was kept
      check_linear<T>(16, 32, 24, {true}, {true}, 8, with_bias, activation, random);
      check_linear<T>(13, 40, 64, {false, 8}, {true, 8}, 0, with_bias, activation, random);
    }
}

// On a GPU cublasLt may refuse these; then the caller takes gemm.
#if defined(ERGO_EMULATED)
TEST_CASE_TEMPLATE("linear layers of any size and alignment", T, float, double, ergo::half) {
  const unsigned seed = std::random_device{}();
  CAPTURE(seed);
  std::mt19937 random(seed);
  for (const Layout& of_x : {Layout{}, Layout{true}, Layout{false, 3, false, 0, 1}})
    for (const Layout& of_w : {Layout{}, Layout{true, 2}})
      for (const Activation activation : {Activation::none, Activation::relu, Activation::gelu_tanh})
        check_linear<T>(13, 37, 5, of_x, of_w, 1, true, activation, random);
  check_linear<T>(1, 1, 1, {}, {}, 0, true, Activation::none, random);
}
#endif

TEST_CASE("linear layers that are left to the caller") {
  Stream& s = current_stream(Device::cuda());
  const DeviceArray<float> x(std::vector<float>(64, 1.0f)), y(std::vector<float>(16, 3.0f));
  const View<const float, 2> a = row_major<const float, 2>(x.data(), {4, 4});
  View<const float, 2> strided = a;
  strided.stride[0] = 8, strided.stride[1] = 2;
  const View<float, 2> out = row_major<float, 2>(y.data(), {4, 4});
  CHECK(!linear(s, "linear", strided, a, x.data(), out));
  CHECK(!linear(s, "linear", a, strided, x.data(), out));
  CHECK(!linear(s, "linear", row_major<const float, 2>(x.data(), {4, 0}), row_major<const float, 2>(x.data(), {0, 4}),
                x.data(), out));
  View<float, 2> columns = out;
  columns.stride[0] = 1, columns.stride[1] = 4;
  CHECK(!linear(s, "linear", a, a, x.data(), columns));
  for (const float v : y.host()) CHECK(v == 3.0f);
  CHECK(linear(s, "linear", row_major<const float, 2>(x.data(), {0, 4}), a, x.data(),
               row_major<float, 2>(y.data(), {0, 4})));
  CHECK(linear(s, "linear", a, row_major<const float, 2>(x.data(), {4, 0}), x.data(),
               row_major<float, 2>(y.data(), {4, 0})));
}

TEST_CASE("errors name operation and shapes") {
  Stream& s = current_stream(Device::cuda());
  const auto view = [](std::int64_t z, std::int64_t m, std::int64_t n) {
    return row_major<float, 3>(nullptr, {z, m, n});
  };
  CHECK(message_of([&] { gemm(s, "matmul", view(1, 2, 3), view(1, 4, 5), view(1, 2, 5)); }) ==
        "[matmul] (1, 2, 3), (1, 4, 5): not the shapes of a product (1, 2, 5)");
  CHECK(message_of([&] { gemm(s, "matmul", view(2, 2, 3), view(3, 3, 5), view(3, 2, 5)); }) ==
        "[matmul] (2, 2, 3), (3, 3, 5): not the shapes of a product (3, 2, 5)");
  const std::int64_t much = std::int64_t{1} << 31;
  CHECK(
      message_of([&] { gemm(s, "matmul", view(1, 2, much), view(1, much, 5), view(1, 2, 5)); }) ==
      "[matmul] (1, 2, 2147483648), (1, 2147483648, 5): a product on a GPU has extents up to 2^31 - 1, not 2147483648");
#if defined(ERGO_EMULATED)
  std::vector<float> host(16);
  simt::print_diagnoses(false);
  const auto of_host = row_major<const float, 3>(host.data(), {1, 4, 4});
  const DeviceArray<float> y(16);
  CHECK(message_of([&] {
          gemm(s, "matmul", of_host, of_host, row_major<float, 3>(y.data(), {1, 4, 4}));
        })
            .starts_with("[matmul] (1, 4, 4), (1, 4, 4): cuBLAS: an access to GPU memory space failed "
                         "(CUBLAS_STATUS_MAPPING_ERROR)"));
  simt::take_diagnoses();
  simt::recover();
  simt::print_diagnoses(true);
#endif
}

TEST_CASE("threads and devices have handles of their own") {
  int devices = 0;
  check(cudaGetDeviceCount(&devices), "test");
  for (int d = 0; d < std::min(devices, 2); ++d) {
    const OnDevice on(d);
    std::mt19937 random(std::random_device{}());
    check_gemm<float>(2, 9, 10, 11, {}, {true}, {}, random);
    check_linear<float>(16, 32, 24, {}, {}, 0, true, Activation::relu, random);
    const detail::Blas* mine = &detail::blas_on(current_stream(Device::cuda(d)), "test");
    const detail::Blas* others[2] = {};
    for (const detail::Blas*& other : others)
      on_a_thread([&] {
        const OnDevice there(d);
        check_gemm<float>(2, 9, 10, 11, {}, {true}, {}, random);
        other = &detail::blas_on(current_stream(Device::cuda(d)), "test");
      });
    CHECK(others[0] != mine);
    CHECK(others[0] == others[1]);  // handed on
  }
  // The current device is another.
  if (devices > 1) {
    Stream& there = current_stream(Device::cuda(1));
    const detail::Blas* first = &detail::blas_on(current_stream(Device::cuda(0)), "test");
    const OnDevice on(1);
    const DeviceArray<float> x(std::vector<float>(16, 2.0f)), y(16);
    {
      const OnDevice back(0);
      CHECK(gemm(there, "matmul", row_major<const float, 3>(x.data(), {1, 4, 4}),
                 row_major<const float, 3>(x.data(), {1, 4, 4}), row_major<float, 3>(y.data(), {1, 4, 4})));
    }
    CHECK(first != &detail::blas_on(there, "test"));
    CHECK(y.host() == std::vector<float>(16, 16.0f));
  }
}

TEST_CASE("products are captured once they have run, and replayed to the bit") {
  std::mt19937 random(std::random_device{}());
  Stream& s = current_stream(Device::cuda());
  const Matrices<float> a(2, 16, 32, {}, random), b(2, 32, 24, {}, random), y(2, 16, 24, {}, random),
      z(1, 16, 24, {}, random);
  const auto matrix = [](const View<float, 3>& v) {
    return View<float, 2>{v.data, {v.shape[1], v.shape[2]}, {v.stride[1], v.stride[2]}};
  };
  const auto both = [&] {
    CHECK(gemm(s, "matmul", a.view, b.view, y.view));
    CHECK(linear(s, "linear", matrix(a.view), matrix(b.view), b.device.data(), matrix(z.view), Activation::relu));
  };
  both();
  const auto eager_y = y.device.host(), eager_z = z.device.host();
  check(cudaMemset(y.device.data(), 0, y.values.size() * sizeof(float)), "test");
  check(cudaMemset(z.device.data(), 0, z.values.size() * sizeof(float)), "test");
  check(cudaDeviceSynchronize(), "test");
  check(cudaStreamBeginCapture(s.handle, cudaStreamCaptureModeThreadLocal), "test");
  both();
  cudaGraph_t graph = nullptr;
  cudaGraphExec_t ready = nullptr;
  check(cudaStreamEndCapture(s.handle, &graph), "test");
  check(cudaGraphInstantiate(&ready, graph, 0), "test");
  check(cudaGraphLaunch(ready, s.handle), "test");
  CHECK(y.device.host() == eager_y);
  CHECK(z.device.host() == eager_z);
  check(cudaGraphExecDestroy(ready), "test");
  check(cudaGraphDestroy(graph), "test");
}

TEST_CASE("two streams have two workspaces") {
  Stream second{0, nullptr, {}};
  check(cudaStreamCreateWithFlags(&second.handle, cudaStreamNonBlocking), "test");
  Stream& first = current_stream(Device::cuda());
  const DeviceArray<float> x(std::vector<float>(16, 2.0f)), y(16), z(16);
  const auto a = row_major<const float, 3>(x.data(), {1, 4, 4});
  void* used[4];
  for (int i = 0; i < 4; ++i) {
    Stream& s = i % 2 ? second : first;
    CHECK(gemm(s, "matmul", a, a, row_major<float, 3>(i % 2 ? y.data() : z.data(), {1, 4, 4})));
    used[i] = detail::blas_on(s, "test").workspace;
  }
  CHECK(used[0] != used[1]);
  CHECK(used[0] == used[2]);
  CHECK(used[1] == used[3]);
  second.synchronize();
  CHECK(y.host() == z.host());
#if defined(ERGO_EMULATED)
  Stream third{0, nullptr, {}};  // its workspace is found after what is cached went back
  check(cudaStreamCreateWithFlags(&third.handle, cudaStreamNonBlocking), "test");
  simt::fail_allocation(1);
  CHECK(gemm(third, "matmul", a, a, row_major<float, 3>(z.data(), {1, 4, 4})));
  third.synchronize();
  CHECK(y.host() == z.host());
#endif
}

}  // namespace cuda_blas_test
