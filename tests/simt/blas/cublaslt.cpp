// cublasLt: descriptors, layouts, and cublasLtMatmul with epilogues.
#include <cstring>
#include <string>

#include "engine/diagnosis.hpp"
#include "product.hpp"
#include "runtime/state.hpp"

using namespace simt;

struct cublasLtContext {
  int device = 0;
};
struct cublasLtMatmulDescOpaque {
  cublasComputeType_t compute;
  cudaDataType scale;
  cublasOperation_t transpose_a = CUBLAS_OP_N, transpose_b = CUBLAS_OP_N;
  cublasLtEpilogue_t epilogue = CUBLASLT_EPILOGUE_DEFAULT;
  cublasLtPointerMode_t pointers = CUBLASLT_POINTER_MODE_HOST;
  void *bias = nullptr, *aux = nullptr;
  std::int64_t aux_ld = 0;
  std::int32_t bias_type = -1;  // D's
};
struct cublasLtMatrixLayoutOpaque {
  cudaDataType type;
  std::uint64_t rows, cols;
  std::int64_t ld;
  cublasLtOrder_t order = CUBLASLT_ORDER_COL;
  std::int32_t batch = 1;
  std::int64_t batch_stride = 0;
};
struct cublasLtMatmulPreferenceOpaque {
  std::uint64_t workspace = 0;
};

namespace {

// Copies an attribute, whose size must be that of the field.
struct Setter {
  const void* value;
  std::size_t bytes;
  template <class T>
  cublasStatus_t operator()(T& field) const {
    if (bytes != sizeof(T)) return CUBLAS_STATUS_INVALID_VALUE;
    std::memcpy(&field, value, bytes);
    return CUBLAS_STATUS_SUCCESS;
  }
};

cublasStatus_t refuse_value(const std::string& what) {
  diagnose("cublasLtMatmul: " + what);
  return CUBLAS_STATUS_INVALID_VALUE;
}

Matrix matrix(const void* p, cublasLtMatrixLayout_t l) {
  return {static_cast<char*>(const_cast<void*>(p)),
          l->type,
          static_cast<std::int64_t>(l->rows),
          static_cast<std::int64_t>(l->cols),
          l->ld,
          l->batch_stride,
          l->order == CUBLASLT_ORDER_ROW};
}
std::string shape(const Matrix& m) { return "(" + std::to_string(m.rows) + " x " + std::to_string(m.cols) + ")"; }

bool supported(int epilogue) {
  switch (epilogue) {
    case CUBLASLT_EPILOGUE_DEFAULT:
    case CUBLASLT_EPILOGUE_RELU:
    case CUBLASLT_EPILOGUE_BIAS:
    case CUBLASLT_EPILOGUE_RELU_BIAS:
    case CUBLASLT_EPILOGUE_GELU:
    case CUBLASLT_EPILOGUE_GELU_BIAS:
    case CUBLASLT_EPILOGUE_GELU_AUX:
    case CUBLASLT_EPILOGUE_GELU_AUX_BIAS:
    case CUBLASLT_EPILOGUE_DGELU:
    case CUBLASLT_EPILOGUE_DGELU_BGRAD:
    case CUBLASLT_EPILOGUE_BGRADA:
    case CUBLASLT_EPILOGUE_BGRADB:
      return true;
    default:
      return false;
  }
}

}  // namespace

cublasStatus_t cublasLtCreate(cublasLtHandle_t* h) {
  *h = new cublasLtContext;
  cudaGetDevice(&(*h)->device);
  return CUBLAS_STATUS_SUCCESS;
}
cublasStatus_t cublasLtDestroy(cublasLtHandle_t h) {
  delete h;
  return CUBLAS_STATUS_SUCCESS;
}

cublasStatus_t cublasLtMatmulDescCreate(cublasLtMatmulDesc_t* d, cublasComputeType_t compute, cudaDataType scale) {
  *d = new cublasLtMatmulDescOpaque{compute, scale};
  return CUBLAS_STATUS_SUCCESS;
}
cublasStatus_t cublasLtMatmulDescDestroy(cublasLtMatmulDesc_t d) {
  delete d;
  return CUBLAS_STATUS_SUCCESS;
}
cublasStatus_t cublasLtMatmulDescSetAttribute(cublasLtMatmulDesc_t d, cublasLtMatmulDescAttributes_t attribute,
                                              const void* value, std::size_t bytes) {
  const Setter set{value, bytes};
  switch (attribute) {
    case CUBLASLT_MATMUL_DESC_COMPUTE_TYPE:
      return set(d->compute);
    case CUBLASLT_MATMUL_DESC_SCALE_TYPE:
      return set(d->scale);
    case CUBLASLT_MATMUL_DESC_POINTER_MODE:
      return set(d->pointers);
    case CUBLASLT_MATMUL_DESC_TRANSA:
      return set(d->transpose_a);
    case CUBLASLT_MATMUL_DESC_TRANSB:
      return set(d->transpose_b);
    case CUBLASLT_MATMUL_DESC_EPILOGUE:
      return set(d->epilogue);
    case CUBLASLT_MATMUL_DESC_BIAS_POINTER:
      return set(d->bias);
    case CUBLASLT_MATMUL_DESC_EPILOGUE_AUX_POINTER:
      return set(d->aux);
    case CUBLASLT_MATMUL_DESC_EPILOGUE_AUX_LD:
      return set(d->aux_ld);
    case CUBLASLT_MATMUL_DESC_BIAS_DATA_TYPE:
      return set(d->bias_type);
  }
  return CUBLAS_STATUS_NOT_SUPPORTED;
}

cublasStatus_t cublasLtMatrixLayoutCreate(cublasLtMatrixLayout_t* l, cudaDataType type, std::uint64_t rows,
                                          std::uint64_t cols, std::int64_t ld) {
  *l = new cublasLtMatrixLayoutOpaque{type, rows, cols, ld};
  return CUBLAS_STATUS_SUCCESS;
}
cublasStatus_t cublasLtMatrixLayoutDestroy(cublasLtMatrixLayout_t l) {
  delete l;
  return CUBLAS_STATUS_SUCCESS;
}
cublasStatus_t cublasLtMatrixLayoutSetAttribute(cublasLtMatrixLayout_t l, cublasLtMatrixLayoutAttribute_t attribute,
                                                const void* value, std::size_t bytes) {
  const Setter set{value, bytes};
  switch (attribute) {
    case CUBLASLT_MATRIX_LAYOUT_TYPE:
      return set(l->type);
    case CUBLASLT_MATRIX_LAYOUT_ORDER:
      return set(l->order);
    case CUBLASLT_MATRIX_LAYOUT_ROWS:
      return set(l->rows);
    case CUBLASLT_MATRIX_LAYOUT_COLS:
      return set(l->cols);
    case CUBLASLT_MATRIX_LAYOUT_LD:
      return set(l->ld);
    case CUBLASLT_MATRIX_LAYOUT_BATCH_COUNT:
      return set(l->batch);
    case CUBLASLT_MATRIX_LAYOUT_STRIDED_BATCH_OFFSET:
      return set(l->batch_stride);
  }
  return CUBLAS_STATUS_NOT_SUPPORTED;
}

cublasStatus_t cublasLtMatmulPreferenceCreate(cublasLtMatmulPreference_t* p) {
  *p = new cublasLtMatmulPreferenceOpaque;
  return CUBLAS_STATUS_SUCCESS;
}
cublasStatus_t cublasLtMatmulPreferenceDestroy(cublasLtMatmulPreference_t p) {
  delete p;
  return CUBLAS_STATUS_SUCCESS;
}
cublasStatus_t cublasLtMatmulPreferenceSetAttribute(cublasLtMatmulPreference_t p,
                                                    cublasLtMatmulPreferenceAttributes_t attribute, const void* value,
                                                    std::size_t bytes) {
  if (attribute != CUBLASLT_MATMUL_PREF_MAX_WORKSPACE_BYTES) return CUBLAS_STATUS_SUCCESS;
  return Setter{value, bytes}(p->workspace);
}

// Asks for all the workspace that it may have, so that a caller who passes none is found out. The algorithm carries it.
cublasStatus_t cublasLtMatmulAlgoGetHeuristic(cublasLtHandle_t, cublasLtMatmulDesc_t op, cublasLtMatrixLayout_t,
                                              cublasLtMatrixLayout_t, cublasLtMatrixLayout_t, cublasLtMatrixLayout_t,
                                              cublasLtMatmulPreference_t p, int requested,
                                              cublasLtMatmulHeuristicResult_t results[], int* found) {
  *found = requested > 0 && supported(op->epilogue);
  if (!*found) return CUBLAS_STATUS_NOT_SUPPORTED;
  results[0] = {};
  results[0].workspaceSize = p ? static_cast<std::size_t>(p->workspace) : 0;
  results[0].algo.data[0] = results[0].workspaceSize;
  return CUBLAS_STATUS_SUCCESS;
}

cublasStatus_t cublasLtMatmul(cublasLtHandle_t h, cublasLtMatmulDesc_t op, const void* alpha, const void* a,
                              cublasLtMatrixLayout_t la, const void* b, cublasLtMatrixLayout_t lb, const void* beta,
                              const void* c, cublasLtMatrixLayout_t lc, void* d, cublasLtMatrixLayout_t ld,
                              const cublasLtMatmulAlgo_t* algorithm, void* workspace, std::size_t workspace_bytes,
                              cudaStream_t stream) {
  if (!h) return CUBLAS_STATUS_NOT_INITIALIZED;
  if (!supported(op->epilogue)) return CUBLAS_STATUS_NOT_SUPPORTED;
  Product p;
  p.a = matrix(a, la);
  p.b = matrix(b, lb);
  p.c = matrix(c, lc);
  p.d = matrix(d, ld);
  p.transpose_a = op->transpose_a != CUBLAS_OP_N;
  p.transpose_b = op->transpose_b != CUBLAS_OP_N;
  const std::int64_t m = p.transpose_a ? p.a.cols : p.a.rows, n = p.transpose_b ? p.b.rows : p.b.cols;
  p.k = p.transpose_a ? p.a.rows : p.a.cols;
  if ((p.transpose_b ? p.b.cols : p.b.rows) != p.k || p.d.rows != m || p.d.cols != n || p.c.rows != m ||
      p.c.cols != n) {
    return refuse_value("A " + shape(p.a) + (p.transpose_a ? "^T" : "") + ", B " + shape(p.b) +
                        (p.transpose_b ? "^T" : "") + ", C " + shape(p.c) + ", D " + shape(p.d) + " do not fit");
  }
  if (la->batch != ld->batch || lb->batch != ld->batch || lc->batch != ld->batch) {
    return refuse_value("the layouts have different numbers of batches");
  }
  for (const Matrix* x : {&p.a, &p.b, &p.c, &p.d}) {
    const std::int64_t least = x->row_major ? x->cols : x->rows;
    if (x->ld < least) {
      return refuse_value("a leading dimension is " + std::to_string(x->ld) + " of a matrix " + shape(*x) +
                          "; it must be at least " + std::to_string(least));
    }
  }
  const int e = op->epilogue;
  if (e & (kBias | kBiasGradient | kSumA | kSumB)) {
    if (!op->bias) return refuse_value("the epilogue needs a bias pointer");
    if (p.d.row_major) return refuse_value("a bias lies along the rows of a column-major D");
  }
  if ((e & kAux) && (!op->aux || op->aux_ld < m || ld->batch != 1)) {
    return refuse_value("the epilogue needs an auxiliary matrix of leading dimension " + std::to_string(m) +
                        " or more, and one batch");
  }
  if (algorithm && algorithm->data[0] > workspace_bytes) {
    return refuse_value("the algorithm was chosen for a workspace of " + std::to_string(algorithm->data[0]) +
                        " bytes, and has " + std::to_string(workspace_bytes));
  }
  bool room = true;
  call("cublasLtMatmul", [&](Runtime&) {
    room = workspace_bytes == 0 || (workspace && on_device(workspace, h->device));
    return cudaSuccess;
  });
  if (!room) return refuse_value("the workspace is not memory of the device");
  const std::int64_t along = e & kSumB ? n : m;
  p.bias = column_major(op->bias, op->bias_type < 0 ? ld->type : static_cast<cudaDataType>(op->bias_type), along, 1,
                        along, 0);
  p.aux = column_major(op->aux, ld->type, m, n, op->aux_ld, 0);
  p.batch = ld->batch;
  p.compute = op->compute;
  p.device_scalars = op->pointers == CUBLASLT_POINTER_MODE_DEVICE;
  p.alpha = alpha;
  p.beta = beta;
  p.epilogue = e;
  if (m == 0 || n == 0 || p.batch == 0) return CUBLAS_STATUS_SUCCESS;
  return submit_product("cublasLtMatmul", h->device, stream, p);
}
