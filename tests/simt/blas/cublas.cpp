// cuBLAS handles and their products.
#include <algorithm>
#include <cstdint>

#include "engine/diagnosis.hpp"
#include "product.hpp"
#include "runtime/state.hpp"

using namespace simt;

// Bound to the device that was current when it was made.
struct cublasContext {
  int device = 0;
  cudaStream_t stream = nullptr;
  cublasMath_t math = CUBLAS_DEFAULT_MATH;
  cublasPointerMode_t pointers = CUBLAS_POINTER_MODE_HOST;
};

namespace {

struct Name {
  cublasStatus_t status;
  const char *name, *text;
};
constexpr Name kNames[] = {
    {CUBLAS_STATUS_SUCCESS, "CUBLAS_STATUS_SUCCESS", "success"},
    {CUBLAS_STATUS_NOT_INITIALIZED, "CUBLAS_STATUS_NOT_INITIALIZED", "the library was not initialized"},
    {CUBLAS_STATUS_ALLOC_FAILED, "CUBLAS_STATUS_ALLOC_FAILED", "the resource allocation failed"},
    {CUBLAS_STATUS_INVALID_VALUE, "CUBLAS_STATUS_INVALID_VALUE", "an unsupported value or parameter was passed"},
    {CUBLAS_STATUS_ARCH_MISMATCH, "CUBLAS_STATUS_ARCH_MISMATCH", "the device lacks a feature that is required"},
    {CUBLAS_STATUS_MAPPING_ERROR, "CUBLAS_STATUS_MAPPING_ERROR", "an access to GPU memory space failed"},
    {CUBLAS_STATUS_EXECUTION_FAILED, "CUBLAS_STATUS_EXECUTION_FAILED", "the function failed to launch on the GPU"},
    {CUBLAS_STATUS_INTERNAL_ERROR, "CUBLAS_STATUS_INTERNAL_ERROR", "an internal operation failed"},
    {CUBLAS_STATUS_NOT_SUPPORTED, "CUBLAS_STATUS_NOT_SUPPORTED", "the functionality is not supported"},
};

cublasStatus_t refuse_value(const char* name, const std::string& what) {
  diagnose(std::string(name) + ": " + what);
  return CUBLAS_STATUS_INVALID_VALUE;
}

struct Operand {
  const void* p;
  cudaDataType type;
  int ld;
  long long stride;
};

cublasStatus_t gemm(const char* name, cublasHandle_t h, cublasOperation_t ta, cublasOperation_t tb, int m, int n, int k,
                    const void* alpha, Operand a, Operand b, const void* beta, Operand c, int batch,
                    cublasComputeType_t compute) {
  if (!h) return CUBLAS_STATUS_NOT_INITIALIZED;
  if (m < 0 || n < 0 || k < 0 || batch < 0) return refuse_value(name, "a size is negative");
  struct Leading {
    const char* name;
    int ld, least;
  };
  for (const Leading& l :
       {Leading{"lda", a.ld, ta ? k : m}, Leading{"ldb", b.ld, tb ? n : k}, Leading{"ldc", c.ld, m}}) {
    if (l.ld >= std::max(1, l.least)) continue;
    return refuse_value(name, std::string(l.name) + " is " + std::to_string(l.ld) + "; columns have " +
                                  std::to_string(l.least) + " elements (matrices are column-major)");
  }
  if (m == 0 || n == 0 || batch == 0) return CUBLAS_STATUS_SUCCESS;
  if (!c.p || (k > 0 && (!a.p || !b.p))) return refuse_value(name, "an operand is null");
  if (h->math == CUBLAS_TF32_TENSOR_OP_MATH && compute == CUBLAS_COMPUTE_32F) compute = CUBLAS_COMPUTE_32F_FAST_TF32;
  Product p;
  p.a = column_major(a.p, a.type, ta ? k : m, ta ? m : k, a.ld, a.stride);
  p.b = column_major(b.p, b.type, tb ? n : k, tb ? k : n, b.ld, b.stride);
  p.c = p.d = column_major(c.p, c.type, m, n, c.ld, c.stride);
  p.transpose_a = ta != CUBLAS_OP_N;
  p.transpose_b = tb != CUBLAS_OP_N;
  p.k = k;
  p.batch = batch;
  p.compute = compute;
  p.device_scalars = h->pointers == CUBLAS_POINTER_MODE_DEVICE;
  p.alpha = alpha;
  p.beta = beta;
  return submit_product(name, h->device, h->stream, p);
}

}  // namespace

const char* cublasGetStatusName(cublasStatus_t status) {
  const auto* n = std::find_if(std::begin(kNames), std::end(kNames), [=](const Name& x) { return x.status == status; });
  return n == std::end(kNames) ? "unknown" : n->name;
}
const char* cublasGetStatusString(cublasStatus_t status) {
  const auto* n = std::find_if(std::begin(kNames), std::end(kNames), [=](const Name& x) { return x.status == status; });
  return n == std::end(kNames) ? "unknown" : n->text;
}

cublasStatus_t cublasCreate(cublasHandle_t* h) {
  int device = 0;
  cudaGetDevice(&device);
  *h = new cublasContext{device};
  return CUBLAS_STATUS_SUCCESS;
}
cublasStatus_t cublasDestroy(cublasHandle_t h) {
  delete h;
  return CUBLAS_STATUS_SUCCESS;
}
// The workspace is only looked at: products here need none.
cublasStatus_t cublasSetStream(cublasHandle_t h, cudaStream_t stream) {
  h->stream = stream;
  return CUBLAS_STATUS_SUCCESS;
}
cublasStatus_t cublasGetStream(cublasHandle_t h, cudaStream_t* stream) {
  *stream = h->stream;
  return CUBLAS_STATUS_SUCCESS;
}
cublasStatus_t cublasSetWorkspace(cublasHandle_t h, void* p, std::size_t bytes) {
  bool fine = true;
  call("cublasSetWorkspace", [&](Runtime&) {
    fine = bytes == 0 || (p && on_device(p, h->device) && reinterpret_cast<std::uintptr_t>(p) % 256 == 0);
    return cudaSuccess;
  });
  if (!fine) return refuse_value("cublasSetWorkspace", "the workspace must be device memory, aligned to 256 bytes");
  return CUBLAS_STATUS_SUCCESS;
}
cublasStatus_t cublasSetMathMode(cublasHandle_t h, cublasMath_t math) {
  h->math = math;
  return CUBLAS_STATUS_SUCCESS;
}
cublasStatus_t cublasGetMathMode(cublasHandle_t h, cublasMath_t* math) {
  *math = h->math;
  return CUBLAS_STATUS_SUCCESS;
}
cublasStatus_t cublasSetPointerMode(cublasHandle_t h, cublasPointerMode_t mode) {
  h->pointers = mode;
  return CUBLAS_STATUS_SUCCESS;
}

cublasStatus_t cublasSgemm(cublasHandle_t h, cublasOperation_t ta, cublasOperation_t tb, int m, int n, int k,
                           const float* alpha, const float* a, int lda, const float* b, int ldb, const float* beta,
                           float* c, int ldc) {
  return gemm("cublasSgemm", h, ta, tb, m, n, k, alpha, {a, CUDA_R_32F, lda, 0}, {b, CUDA_R_32F, ldb, 0}, beta,
              {c, CUDA_R_32F, ldc, 0}, 1, CUBLAS_COMPUTE_32F);
}
cublasStatus_t cublasDgemm(cublasHandle_t h, cublasOperation_t ta, cublasOperation_t tb, int m, int n, int k,
                           const double* alpha, const double* a, int lda, const double* b, int ldb, const double* beta,
                           double* c, int ldc) {
  return gemm("cublasDgemm", h, ta, tb, m, n, k, alpha, {a, CUDA_R_64F, lda, 0}, {b, CUDA_R_64F, ldb, 0}, beta,
              {c, CUDA_R_64F, ldc, 0}, 1, CUBLAS_COMPUTE_64F);
}
cublasStatus_t cublasGemmEx(cublasHandle_t h, cublasOperation_t ta, cublasOperation_t tb, int m, int n, int k,
                            const void* alpha, const void* a, cudaDataType at, int lda, const void* b, cudaDataType bt,
                            int ldb, const void* beta, void* c, cudaDataType ct, int ldc, cublasComputeType_t compute,
                            cublasGemmAlgo_t) {
  return gemm("cublasGemmEx", h, ta, tb, m, n, k, alpha, {a, at, lda, 0}, {b, bt, ldb, 0}, beta, {c, ct, ldc, 0}, 1,
              compute);
}
cublasStatus_t cublasSgemmStridedBatched(cublasHandle_t h, cublasOperation_t ta, cublasOperation_t tb, int m, int n,
                                         int k, const float* alpha, const float* a, int lda, long long sa,
                                         const float* b, int ldb, long long sb, const float* beta, float* c, int ldc,
                                         long long sc, int batch) {
  return gemm("cublasSgemmStridedBatched", h, ta, tb, m, n, k, alpha, {a, CUDA_R_32F, lda, sa},
              {b, CUDA_R_32F, ldb, sb}, beta, {c, CUDA_R_32F, ldc, sc}, batch, CUBLAS_COMPUTE_32F);
}
cublasStatus_t cublasDgemmStridedBatched(cublasHandle_t h, cublasOperation_t ta, cublasOperation_t tb, int m, int n,
                                         int k, const double* alpha, const double* a, int lda, long long sa,
                                         const double* b, int ldb, long long sb, const double* beta, double* c, int ldc,
                                         long long sc, int batch) {
  return gemm("cublasDgemmStridedBatched", h, ta, tb, m, n, k, alpha, {a, CUDA_R_64F, lda, sa},
              {b, CUDA_R_64F, ldb, sb}, beta, {c, CUDA_R_64F, ldc, sc}, batch, CUBLAS_COMPUTE_64F);
}
cublasStatus_t cublasGemmStridedBatchedEx(cublasHandle_t h, cublasOperation_t ta, cublasOperation_t tb, int m, int n,
                                          int k, const void* alpha, const void* a, cudaDataType at, int lda,
                                          long long sa, const void* b, cudaDataType bt, int ldb, long long sb,
                                          const void* beta, void* c, cudaDataType ct, int ldc, long long sc, int batch,
                                          cublasComputeType_t compute, cublasGemmAlgo_t) {
  return gemm("cublasGemmStridedBatchedEx", h, ta, tb, m, n, k, alpha, {a, at, lda, sa}, {b, bt, ldb, sb}, beta,
              {c, ct, ldc, sc}, batch, compute);
}
