// A product of two column-major matrices with an epilogue, as cublasLt takes it.
#pragma once

#include "ergo/cuda/blas_handle.hpp"

namespace ergo::inline ERGO_BUILD::cuda::detail {

// A product of cublasLt with all that is looked up once: the bias' address is what changes between calls.
class LinearPlan {
 public:
  struct Matrix {
    std::int64_t rows, cols, ld;  // column-major, as stored
    std::uint32_t alignment;      // of its address
    bool transposed;
  };
  LinearPlan() = default;
  LinearPlan(const LinearPlan&) = delete;
  LinearPlan& operator=(const LinearPlan&) = delete;
  ~LinearPlan() {
    if (op_) (void)cublasLtMatmulDescDestroy(op_);
    for (cublasLtMatrixLayout_t l : layout_)
      if (l) (void)cublasLtMatrixLayoutDestroy(l);
  }

  void make(cublasLtHandle_t lt, const char* name, cudaDataType type, cublasComputeType_t compute,
            cublasLtEpilogue_t epilogue, const Matrix& a, const Matrix& b, const Matrix& d) {
    check_blas(cublasLtMatmulDescCreate(&op_, compute, type == CUDA_R_64F ? CUDA_R_64F : CUDA_R_32F), name);
    const cublasOperation_t ta = a.transposed ? CUBLAS_OP_T : CUBLAS_OP_N,
                            tb = b.transposed ? CUBLAS_OP_T : CUBLAS_OP_N;
    set(CUBLASLT_MATMUL_DESC_TRANSA, ta, name);
    set(CUBLASLT_MATMUL_DESC_TRANSB, tb, name);
    set(CUBLASLT_MATMUL_DESC_EPILOGUE, epilogue, name);
    const Matrix* matrices[] = {&a, &b, &d};
    for (int i = 0; i < 3; ++i) {
      const Matrix& m = *matrices[i];
      check_blas(cublasLtMatrixLayoutCreate(&layout_[i], type, std::uint64_t(m.rows), std::uint64_t(m.cols), m.ld),
                 name);
    }
    struct Preference {
      cublasLtMatmulPreference_t p = nullptr;
      ~Preference() {
        if (p) (void)cublasLtMatmulPreferenceDestroy(p);
      }
    } preference;
    check_blas(cublasLtMatmulPreferenceCreate(&preference.p), name);
    const auto prefer = [&](cublasLtMatmulPreferenceAttributes_t attribute, const auto& value) {
      check_blas(cublasLtMatmulPreferenceSetAttribute(preference.p, attribute, &value, sizeof value), name);
    };
    prefer(CUBLASLT_MATMUL_PREF_MAX_WORKSPACE_BYTES, std::uint64_t{kBlasWorkspace});
    prefer(CUBLASLT_MATMUL_PREF_REDUCTION_SCHEME_MASK, std::uint32_t{CUBLASLT_REDUCTION_SCHEME_COMPUTE_TYPE});
    prefer(CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_A_BYTES, a.alignment);  // 256 unless told
    prefer(CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_B_BYTES, b.alignment);
    prefer(CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_C_BYTES, d.alignment);
    prefer(CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_D_BYTES, d.alignment);
    cublasLtMatmulHeuristicResult_t best{};
    int found = 0;
    const cublasStatus_t status = cublasLtMatmulAlgoGetHeuristic(lt, op_, layout_[0], layout_[1], layout_[2],
                                                                 layout_[2], preference.p, 1, &best, &found);
    if (status != CUBLAS_STATUS_NOT_SUPPORTED) check_blas(status, name);
    exists_ = status == CUBLAS_STATUS_SUCCESS && found > 0;
    algorithm_ = best.algo;
    workspace_bytes_ = best.workspaceSize;
  }
  // Whether cublasLt has an algorithm.
  bool exists() const { return exists_; }

  template <class A>
  cublasStatus_t run(cublasLtHandle_t lt, const char* name, const void* a, const void* b, const void* bias, void* d,
                     void* workspace, cudaStream_t stream) {
    const A one = 1, zero = 0;
    if (bias) set(CUBLASLT_MATMUL_DESC_BIAS_POINTER, bias, name);
    return cublasLtMatmul(lt, op_, &one, a, layout_[0], b, layout_[1], &zero, d, layout_[2], d, layout_[2], &algorithm_,
                          workspace, workspace_bytes_, stream);
  }

 private:
  template <class V>
  void set(cublasLtMatmulDescAttributes_t attribute, const V& value, const char* name) {
    check_blas(cublasLtMatmulDescSetAttribute(op_, attribute, &value, sizeof value), name);
  }
  cublasLtMatmulDesc_t op_ = nullptr;
  cublasLtMatrixLayout_t layout_[3] = {};
  cublasLtMatmulAlgo_t algorithm_{};
  std::size_t workspace_bytes_ = 0;
  bool exists_ = false;
};

}  // namespace ergo::inline ERGO_BUILD::cuda::detail
