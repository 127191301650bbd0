// cuBLAS and cublasLt against a product of matrices in double, and their checks of arguments.
#include <cublasLt.h>
#include <cublas_v2.h>

#include <cmath>
#include <random>

#include "simt/support.hpp"

namespace simt_cublas_test {

using namespace simt_test;

template <class T>
constexpr cudaDataType kType = CUDA_R_32F;
template <>
constexpr cudaDataType kType<double> = CUDA_R_64F;
template <>
constexpr cudaDataType kType<__half> = CUDA_R_16F;
template <>
constexpr cudaDataType kType<__nv_bfloat16> = CUDA_R_16BF;
template <class T>
using Scalar = std::conditional_t<std::is_same_v<T, double>, double, float>;

// A column-major matrix on the device with its values as doubles, `count` of them `stride` apart, columns `ld` apart.
template <class T>
struct Matrices {
  int rows, cols, ld;
  long long stride;
  std::vector<T> values;
  Array<T> device;

  static std::vector<T> random(std::size_t n, std::mt19937& r) {
    std::vector<T> v(n);
    for (auto& x : v) x = static_cast<T>(std::uniform_real_distribution<float>(-1, 1)(r));
    return v;
  }
  Matrices(int rows_, int cols_, int count, std::mt19937& r, int pad = 3, bool broadcast = false)
      : rows(rows_),
        cols(cols_),
        ld(rows_ + pad),
        stride(broadcast ? 0 : static_cast<long long>(ld) * cols_ + 5),
        values(random(static_cast<std::size_t>(stride * (count - 1) + static_cast<long long>(ld) * cols_), r)),
        device(values) {}
  double at(int z, int i, int j) const {
    return static_cast<double>(values[static_cast<std::size_t>(z * stride + i + static_cast<long long>(j) * ld)]);
  }
};

double dot(const auto& a, const auto& b, bool ta, bool tb, int z, int i, int j, int k) {
  double sum = 0;
  for (int q = 0; q < k; ++q) sum += (ta ? a.at(z, q, i) : a.at(z, i, q)) * (tb ? b.at(z, j, q) : b.at(z, q, j));
  return sum;
}

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

double gelu(double x) { return 0.5 * x * (1 + std::tanh(0.7978845608028654 * (x + 0.044715 * x * x * x))); }

// One cublasLtMatmul: D (m, n) = A (m, k) B (k, n) with an epilogue, all column-major.
struct Lt {
  cublasLtHandle_t handle = nullptr;
  cublasLtMatmulDesc_t op = nullptr;
  cublasLtMatrixLayout_t a = nullptr, b = nullptr, d = nullptr;
  cublasLtMatmulPreference_t preference = nullptr;
  int m, n, k;

  Lt(int m_, int n_, int k_, cublasLtEpilogue_t epilogue) : m(m_), n(n_), k(k_) {
    cublasLtCreate(&handle);
    cublasLtMatmulDescCreate(&op, CUBLAS_COMPUTE_32F, CUDA_R_32F);
    set(CUBLASLT_MATMUL_DESC_EPILOGUE, epilogue);
    const auto u = [](int x) { return static_cast<std::uint64_t>(x); };
    cublasLtMatrixLayoutCreate(&a, CUDA_R_32F, u(m), u(k), m);
    cublasLtMatrixLayoutCreate(&b, CUDA_R_32F, u(k), u(n), k);
    cublasLtMatrixLayoutCreate(&d, CUDA_R_32F, u(m), u(n), m);
    cublasLtMatmulPreferenceCreate(&preference);
  }
  ~Lt() {
    cublasLtMatmulPreferenceDestroy(preference);
    for (auto l : {a, b, d}) cublasLtMatrixLayoutDestroy(l);
    cublasLtMatmulDescDestroy(op);
    cublasLtDestroy(handle);
  }
  Lt(const Lt&) = delete;
  Lt& operator=(const Lt&) = delete;
  template <class T>
  void set(cublasLtMatmulDescAttributes_t attribute, const T& value) {
    CHECK(cublasLtMatmulDescSetAttribute(op, attribute, &value, sizeof value) == CUBLAS_STATUS_SUCCESS);
  }
  cublasStatus_t run(const float* pa, const float* pb, float* pd) {
    const float one = 1, zero = 0;
    cublasLtMatmulHeuristicResult_t best;
    int found = 0;
    const auto status = cublasLtMatmulAlgoGetHeuristic(handle, op, a, b, d, d, preference, 1, &best, &found);
    if (status != CUBLAS_STATUS_SUCCESS) return status;
    return cublasLtMatmul(handle, op, &one, pa, a, pb, b, &zero, pd, d, pd, d, &best.algo, nullptr, 0, nullptr);
  }
};

TEST_CASE("epilogues of cublasLt and their gradients") {
  std::mt19937 random(static_cast<unsigned>(test_seed()));
  const int m = 17, n = 13, k = 21;
  const Matrices<float> a(m, k, 1, random, 0), b(k, n, 1, random, 0), bias(m, 1, 1, random, 0),
      saved(m, n, 1, random, 0);
  struct Case {
    cublasLtEpilogue_t epilogue;
    double (*f)(double x, double aux);
    bool bias, writes_aux, reads_aux, bias_gradient;
  };
  const auto same = [](double x, double) { return x; };
  const auto relu = [](double x, double) { return x > 0 ? x : 0; };
  const auto smooth = [](double x, double) { return gelu(x); };
  const auto slope = [](double x, double aux) { return x * (gelu(aux + 1e-5) - gelu(aux - 1e-5)) / 2e-5; };
  const Case cases[] = {{CUBLASLT_EPILOGUE_DEFAULT, same, false, false, false, false},
                        {CUBLASLT_EPILOGUE_BIAS, same, true, false, false, false},
                        {CUBLASLT_EPILOGUE_RELU, relu, false, false, false, false},
                        {CUBLASLT_EPILOGUE_RELU_BIAS, relu, true, false, false, false},
                        {CUBLASLT_EPILOGUE_GELU, smooth, false, false, false, false},
                        {CUBLASLT_EPILOGUE_GELU_BIAS, smooth, true, false, false, false},
                        {CUBLASLT_EPILOGUE_GELU_AUX, smooth, false, true, false, false},
                        {CUBLASLT_EPILOGUE_GELU_AUX_BIAS, smooth, true, true, false, false},
                        {CUBLASLT_EPILOGUE_DGELU, slope, false, false, true, false},
                        {CUBLASLT_EPILOGUE_DGELU_BGRAD, slope, false, false, true, true}};
  for (const Case& c : cases) {
    CAPTURE(static_cast<int>(c.epilogue));
    Lt lt(m, n, k, c.epilogue);
    Array<float> d(m * n), aux(saved.values), column(bias.values);
    lt.set(CUBLASLT_MATMUL_DESC_BIAS_POINTER, static_cast<void*>(column.data()));
    lt.set(CUBLASLT_MATMUL_DESC_EPILOGUE_AUX_POINTER, static_cast<void*>(aux.data()));
    lt.set(CUBLASLT_MATMUL_DESC_EPILOGUE_AUX_LD, std::int64_t{m});
    CHECK(lt.run(a.device.data(), b.device.data(), d.data()) == CUBLAS_STATUS_SUCCESS);
    const auto got = d.host(), before = aux.host(), columns = column.host();
    double worst = 0;
    std::vector<double> sums(m);
    for (int j = 0; j < n; ++j) {
      for (int i = 0; i < m; ++i) {
        const double x = dot(a, b, false, false, 0, i, j, k) + (c.bias ? bias.at(0, i, 0) : 0);
        const double want = c.f(x, saved.at(0, i, j));
        const auto at = static_cast<std::size_t>(i + j * m);
        sums[static_cast<std::size_t>(i)] += want;
        worst = std::max(worst, std::fabs(want - double{got[at]}));
        worst = std::max(worst, std::fabs((c.writes_aux ? x : saved.at(0, i, j)) - double{before[at]}));
      }
    }
    for (int i = 0; i < m; ++i) {
      const double want = c.bias_gradient ? sums[static_cast<std::size_t>(i)] : bias.at(0, i, 0);
      worst = std::max(worst, std::fabs(want - double{columns[static_cast<std::size_t>(i)]}));
    }
    CHECK(worst < 2e-5);
  }
}

TEST_CASE("arguments of cublasLt are checked") {
  const Mistakes mistakes;
  Array<float> a(16, 1.0f), d(16);
  {
    Lt lt(4, 4, 4, CUBLASLT_EPILOGUE_BIAS);
    CHECK(lt.run(a.data(), a.data(), d.data()) == CUBLAS_STATUS_INVALID_VALUE);
    check_text(mistakes.text(), {"cublasLtMatmul: the epilogue needs a bias pointer"});
    const std::int32_t narrow = 1;
    CHECK(cublasLtMatmulDescSetAttribute(lt.op, CUBLASLT_MATMUL_DESC_BIAS_POINTER, &narrow, 4) ==
          CUBLAS_STATUS_INVALID_VALUE);
  }
  {
    Lt lt(4, 4, 4, CUBLASLT_EPILOGUE_DEFAULT);
    const std::uint64_t room = 1 << 20, rows = 3;
    CHECK(cublasLtMatmulPreferenceSetAttribute(lt.preference, CUBLASLT_MATMUL_PREF_MAX_WORKSPACE_BYTES, &room, 8) ==
          CUBLAS_STATUS_SUCCESS);
    CHECK(lt.run(a.data(), a.data(), d.data()) == CUBLAS_STATUS_INVALID_VALUE);
    check_text(mistakes.text(), {"chosen for a workspace of 1048576 bytes, and has 0"});
    CHECK(cublasLtMatrixLayoutSetAttribute(lt.b, CUBLASLT_MATRIX_LAYOUT_ROWS, &rows, 8) == CUBLAS_STATUS_SUCCESS);
    CHECK(lt.run(a.data(), a.data(), d.data()) == CUBLAS_STATUS_INVALID_VALUE);
    check_text(mistakes.text(), {"A (4 x 4), B (3 x 4), C (4 x 4), D (4 x 4) do not fit"});
  }
  {
    Lt lt(4, 4, 4, static_cast<cublasLtEpilogue_t>(8));
    CHECK(lt.run(a.data(), a.data(), d.data()) == CUBLAS_STATUS_NOT_SUPPORTED);
  }
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
