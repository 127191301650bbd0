// cublasLt against a product of matrices in double with each epilogue, and its checks of arguments.
#include <cmath>
#include <random>

#include "simt/matrices.hpp"

namespace simt_cublaslt_test {

using namespace simt_test;

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

}  // namespace simt_cublaslt_test
