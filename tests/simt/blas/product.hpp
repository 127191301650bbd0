// One product of matrices for all of cuBLAS: D = epilogue(alpha op(A) op(B) + beta C) over a batch, in float or double
// whatever the storage types. The order of sums is k = 0, 1, ...: a GPU's is its own.
#pragma once

#include <cstdint>
#include <vector>

#include "cublasLt.h"

namespace simt {

// A matrix in device memory; element (r, c) of batch z lies at z * batch_stride + r + c * ld, or, row-major, + r * ld +
// c.
struct Matrix {
  char* p = nullptr;
  cudaDataType type = CUDA_R_32F;
  std::int64_t rows = 0, cols = 0, ld = 0, batch_stride = 0;
  bool row_major = false;
};

struct Product {
  Matrix a, b, c, d;
  bool transpose_a = false, transpose_b = false;
  std::int64_t k = 0;
  int batch = 1;
  cublasComputeType_t compute = CUBLAS_COMPUTE_32F;
  bool device_scalars = false;  // alpha and beta are read on the device, in stream order
  const void *alpha = nullptr, *beta = nullptr;
  int epilogue = CUBLASLT_EPILOGUE_DEFAULT;  // of cublasLtEpilogue_t, whose values are unions of bits
  Matrix bias, aux;                          // bias: a column; also the bias gradient
};

// The bits of cublasLtEpilogue_t.
enum Epilogue {
  kRelu = 2,
  kBias = 4,
  kBiasGradient = 16,
  kGelu = 32,
  kGradient = 64,
  kAux = 128,
  kSumA = 256,
  kSumB = 512
};

// Checks the operands and appends the product to a stream. `name` is the call's, `device` the handle's.
cublasStatus_t submit_product(const char* name, int device, cudaStream_t stream, const Product& product);

// Whether p is null or memory of the device that nobody has freed. Called with the lock of the runtime held.
bool on_device(const void* p, int device);

inline std::size_t size_of(cudaDataType t) { return t == CUDA_R_64F ? 8 : t == CUDA_R_32F ? 4 : 2; }

// Batch z of the product, in A = float or double; `sums` gathers the bias gradient.
template <class A>
void multiply(const Product& p, int z, A alpha, A beta, std::vector<A>& sums);
template <class A>
void store_column(const Matrix& column, const std::vector<A>& values);

Matrix column_major(const void* p, cudaDataType type, std::int64_t rows, std::int64_t cols, std::int64_t ld,
                    std::int64_t batch_stride);

}  // namespace simt
