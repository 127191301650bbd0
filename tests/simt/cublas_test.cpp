// cuBLAS against a product of matrices in double, and its checks of arguments.
#include <cublas_v2.h>

#include <cmath>
#include <random>

#include "simt/matrices.hpp"

namespace simt_cublas_test {

using namespace simt_test;

template <class T, class Out>
void check_products(double tolerance) {
  std::mt19937 random(static_cast<unsigned>(test_seed()));
  cublasHandle_t h = nullptr;
  CHECK(cublasCreate(&h) == CUBLAS_STATUS_SUCCESS);
  for (int t = 0; t < 4; ++t) {
    const bool ta = t & 1, tb = t & 2;
    const int m = 19, n = 7 + t, k = 33, count = 3;
    const Matrices<T> a(ta ? k : m, ta ? m : k, count, random), b(tb ? n : k, tb ? k : n, count, random, 0, t == 3);
    Matrices<Out> c(m, n, count, random);
    const Scalar<T> alpha = 2, beta = t == 2 ? 0 : Scalar<T>(0.5);
    CHECK(cublasGemmStridedBatchedEx(h, ta ? CUBLAS_OP_T : CUBLAS_OP_N, tb ? CUBLAS_OP_T : CUBLAS_OP_N, m, n, k, &alpha,
                                     a.device.data(), kType<T>, a.ld, a.stride, b.device.data(), kType<T>, b.ld,
                                     b.stride, &beta, c.device.data(), kType<Out>, c.ld, c.stride, count,
                                     std::is_same_v<T, double> ? CUBLAS_COMPUTE_64F : CUBLAS_COMPUTE_32F,
                                     CUBLAS_GEMM_DEFAULT) == CUBLAS_STATUS_SUCCESS);
    const auto host = c.device.host();
    double worst = 0;
    for (int z = 0; z < count; ++z) {
      for (int j = 0; j < n; ++j) {
        for (int i = 0; i < c.ld; ++i) {
          const std::size_t at = static_cast<std::size_t>(z * c.stride + i + static_cast<long long>(j) * c.ld);
          const double old = static_cast<double>(c.values[at]);
          const double want = i < m ? 2 * dot(a, b, ta, tb, z, i, j, k) + static_cast<double>(beta) * old : old;
          worst = std::max(worst, std::fabs(static_cast<double>(host[at]) - want));
        }
      }
    }
    CHECK(worst < tolerance);
  }
  CHECK(cublasDestroy(h) == CUBLAS_STATUS_SUCCESS);
}

TEST_CASE("products of every type, transposition, stride and broadcast") {
  check_products<float, float>(2e-5);
  check_products<double, double>(1e-13);
  check_products<__half, float>(2e-5);
  check_products<__half, __half>(2e-2);
  check_products<__nv_bfloat16, __nv_bfloat16>(2e-1);
}

TEST_CASE("sgemm runs in its stream, after the work before it") {
  in_every_order([] {
    cublasHandle_t h = nullptr;
    cudaStream_t s = nullptr;
    CHECK(cublasCreate(&h) == CUBLAS_STATUS_SUCCESS);
    CHECK(cudaStreamCreateWithFlags(&s, cudaStreamNonBlocking) == cudaSuccess);
    CHECK(cublasSetStream(h, s) == CUBLAS_STATUS_SUCCESS);
    Array<float> a(std::vector<float>{1, 2, 3, 4}), b(std::vector<float>{5, 6, 7, 8}), c(4);
    Array<float> scalars(std::vector<float>{10, 0});
    const float one = 1, zero = 0;
    simt::reset_counters();
    CHECK(cudaMemcpyAsync(a.data(), b.data(), 4, cudaMemcpyDeviceToDevice, s) == cudaSuccess);  // a = [5 3; 2 4]
    CHECK(cublasSgemm(h, CUBLAS_OP_N, CUBLAS_OP_N, 2, 2, 2, &one, a.data(), 2, b.data(), 2, &zero, c.data(), 2) ==
          CUBLAS_STATUS_SUCCESS);
    CHECK(cudaStreamSynchronize(s) == cudaSuccess);
    CHECK(c.host() == std::vector<float>{43, 34, 59, 46});
    CHECK(simt::counters().library_calls == 1);
    CHECK(cublasSetPointerMode(h, CUBLAS_POINTER_MODE_DEVICE) == CUBLAS_STATUS_SUCCESS);
    CHECK(cublasSgemm(h, CUBLAS_OP_N, CUBLAS_OP_N, 2, 2, 2, scalars.data(), a.data(), 2, b.data(), 2,
                      scalars.data() + 1, c.data(), 2) == CUBLAS_STATUS_SUCCESS);
    CHECK(cudaStreamSynchronize(s) == cudaSuccess);
    CHECK(c.host() == std::vector<float>{430, 340, 590, 460});
    CHECK(cublasDestroy(h) == CUBLAS_STATUS_SUCCESS);
    CHECK(cudaStreamDestroy(s) == cudaSuccess);
  });
}

TEST_CASE("TF32 rounds the operands, only when asked for") {
  const float x = 1.0f + 0x1p-12f, one = 1, zero = 0;
  Array<float> a(1, x), b(1, 1.0f), c(1);
  cublasHandle_t h = nullptr;
  CHECK(cublasCreate(&h) == CUBLAS_STATUS_SUCCESS);
  const auto product = [&] {
    CHECK(cublasSgemm(h, CUBLAS_OP_N, CUBLAS_OP_N, 1, 1, 1, &one, a.data(), 1, b.data(), 1, &zero, c.data(), 1) ==
          CUBLAS_STATUS_SUCCESS);
    return c.host()[0];
  };
  CHECK(product() == x);
  CHECK(cublasSetMathMode(h, CUBLAS_TF32_TENSOR_OP_MATH) == CUBLAS_STATUS_SUCCESS);
  CHECK(product() == 1.0f);
  CHECK(cublasDestroy(h) == CUBLAS_STATUS_SUCCESS);
}

TEST_CASE("arguments of cuBLAS are checked") {
  const Mistakes mistakes;
  cublasHandle_t h = nullptr;
  CHECK(cublasCreate(&h) == CUBLAS_STATUS_SUCCESS);
  Array<float> a(16 * 16, 1.0f), c(16 * 16);
  const std::vector<float> host(256);
  const float one = 1, zero = 0;
  const auto gemm = [&](int k, const float* x, int lda, const float* y, int ldb, int ldc) {
    return cublasSgemm(h, CUBLAS_OP_N, CUBLAS_OP_N, 16, 16, k, &one, x, lda, y, ldb, &zero, c.data(), ldc);
  };
  CHECK(gemm(16, a.data(), 15, a.data(), 16, 16) == CUBLAS_STATUS_INVALID_VALUE);
  check_text(mistakes.text(), {"cublasSgemm: lda is 15; columns have 16 elements (matrices are column-major)"});
  CHECK(gemm(16, a.data(), 16, a.data(), 16, 8) == CUBLAS_STATUS_INVALID_VALUE);
  check_text(mistakes.text(), {"ldc is 8"});
  CHECK(gemm(16, host.data(), 16, a.data(), 16, 16) == CUBLAS_STATUS_MAPPING_ERROR);
  check_text(mistakes.text(), {"operand A is not live memory of device 0"});
  CHECK(gemm(-1, a.data(), 16, a.data(), 16, 16) == CUBLAS_STATUS_INVALID_VALUE);
  CHECK(gemm(0, nullptr, 16, nullptr, 16, 16) == CUBLAS_STATUS_SUCCESS);  // C = 0
  CHECK(c.host() == std::vector<float>(256, 0.0f));
  CHECK(gemm(17, a.data(), 16, a.data(), 17, 16) == CUBLAS_STATUS_SUCCESS);  // known when it runs
  CHECK(cudaDeviceSynchronize() == cudaErrorIllegalAddress);
  check_text(mistakes.text(), {"operand A (16 x 17, leading dimension 16, batch 1) takes 1088 bytes, from byte 0 of an "
                               "allocation of 1024"});
  simt::recover();
  cudaSetDevice(1);
  CHECK(gemm(16, a.data(), 16, a.data(), 16, 16) == CUBLAS_STATUS_EXECUTION_FAILED);
  check_text(mistakes.text(), {"the handle is of device 0, the stream of device 1, and device 1 is current"});
  cudaSetDevice(0);
  CHECK(cublasSetWorkspace(h, a.data() + 1, 64) == CUBLAS_STATUS_INVALID_VALUE);
  CHECK(cublasSetWorkspace(h, a.data(), 1024) == CUBLAS_STATUS_SUCCESS);
  CHECK(cublasDestroy(h) == CUBLAS_STATUS_SUCCESS);
  CHECK(std::string(cublasGetStatusName(CUBLAS_STATUS_MAPPING_ERROR)) == "CUBLAS_STATUS_MAPPING_ERROR");
}

// A product inside a graph runs with the values of its replay.
TEST_CASE("a captured product") {
  cublasHandle_t h = nullptr;
  cudaStream_t s = nullptr;
  CHECK(cublasCreate(&h) == CUBLAS_STATUS_SUCCESS);
  CHECK(cudaStreamCreateWithFlags(&s, cudaStreamNonBlocking) == cudaSuccess);
  CHECK(cublasSetStream(h, s) == CUBLAS_STATUS_SUCCESS);
  Array<float> a(1, 2.0f), c(1, 1.0f);
  const float one = 1;
  cudaGraph_t graph = nullptr;
  cudaGraphExec_t exec = nullptr;
  synchronize();
  CHECK(cudaStreamBeginCapture(s, cudaStreamCaptureModeThreadLocal) == cudaSuccess);
  CHECK(cublasSgemm(h, CUBLAS_OP_N, CUBLAS_OP_N, 1, 1, 1, &one, a.data(), 1, c.data(), 1, &one, c.data(), 1) ==
        CUBLAS_STATUS_SUCCESS);
  CHECK(cudaStreamEndCapture(s, &graph) == cudaSuccess);
  CHECK(cudaGraphInstantiate(&exec, graph, 0) == cudaSuccess);
  for (int i = 0; i < 3; ++i) CHECK(cudaGraphLaunch(exec, s) == cudaSuccess);
  CHECK(cudaStreamSynchronize(s) == cudaSuccess);
  CHECK(c.host()[0] == 27);
  cudaGraphExecDestroy(exec);
  cudaGraphDestroy(graph);
  cublasDestroy(h);
  cudaStreamDestroy(s);
}

}  // namespace simt_cublas_test
