#include "product.hpp"

#include <algorithm>
#include <string>
#include <vector>

#include "engine/diagnosis.hpp"
#include "engine/observer.hpp"
#include "runtime/state.hpp"

namespace simt {
namespace {

bool known(cudaDataType t) { return t == CUDA_R_64F || t == CUDA_R_32F || t == CUDA_R_16F || t == CUDA_R_16BF; }

// What is wrong with an operand when the product runs, or empty: all of it must lie in one live allocation.
std::string mistake(const Matrix& m, int batch, int device) {
  if (m.rows == 0 || m.cols == 0) return {};
  const std::int64_t outer = (m.row_major ? m.rows : m.cols) - 1, inner = (m.row_major ? m.cols : m.rows) - 1;
  const std::int64_t span = outer * m.ld + inner + 1;
  std::int64_t first = 0, end = span;
  for (const std::int64_t z : {std::int64_t{0}, std::int64_t{batch} - 1}) {
    first = std::min(first, z * m.batch_stride);
    end = std::max(end, z * m.batch_stride + span);
  }
  const auto size = static_cast<std::int64_t>(size_of(m.type));
  const DeviceMemory::Block* b = DeviceMemory::of(device).find(m.p);
  if (!b || b->freed) return "is in device memory that was freed before it in stream order";
  if (!b->exists) return "is memory of cudaMallocAsync that does not exist yet in stream order";
  const std::int64_t offset = m.p - b->begin;
  if (offset + first * size >= 0 && offset + end * size <= static_cast<std::int64_t>(b->bytes)) return {};
  return "(" + std::to_string(m.rows) + " x " + std::to_string(m.cols) + ", leading dimension " + std::to_string(m.ld) +
         ", batch " + std::to_string(batch) + ") takes " + std::to_string((end - first) * size) + " bytes, from byte " +
         std::to_string(offset + first * size) + " of an allocation of " + std::to_string(b->bytes);
}

// Calls f(beginning, bytes) for each row or column that lies in one piece.
template <class F>
void for_lines(const Matrix& m, int batch, F f) {
  const auto size = static_cast<std::int64_t>(size_of(m.type));
  const std::int64_t lines = m.row_major ? m.rows : m.cols, length = m.row_major ? m.cols : m.rows;
  for (std::int64_t z = 0; z < batch; ++z) {
    for (std::int64_t i = 0; i < lines; ++i) {
      f(m.p + (z * m.batch_stride + i * m.ld) * size, static_cast<std::size_t>(length * size));
    }
  }
}

// An operand and how the product uses it.
struct Operand {
  const char* name;
  const Matrix* m;
  bool read, written;
  int batch;
};

// With beta == 0, C is not read: it may hold NaN.
std::vector<Operand> operands(const Product& p, bool reads_c) {
  const auto has = [&](int bits) { return (p.epilogue & bits) != 0; };
  return {{"A", &p.a, true, false, p.batch},
          {"B", &p.b, true, false, p.batch},
          {"C", &p.c, reads_c, false, p.batch},
          {"D", &p.d, false, true, p.batch},
          {"bias", &p.bias, has(kBias), has(kBiasGradient | kSumA | kSumB), 1},
          {"auxiliary matrix", &p.aux, has(kGradient), has(kAux) && !has(kGradient), p.batch}};
}

cudaError_t check_operands(const char* name, const std::vector<Operand>& all, int device) {
  const auto wrong = [&](cudaError_t e, const Operand& o, const std::string& what) {
    return refuse(e, std::string(name) + ": operand " + o.name + " " + what);
  };
  for (const Operand& o : all) {
    if (!o.read && !o.written) continue;
    const std::string misplaced = mistake(*o.m, o.batch, device);
    if (!misplaced.empty()) return wrong(cudaErrorIllegalAddress, o, misplaced);
    if (!observer || !o.read) continue;
    std::string unwritten;
    for_lines(*o.m, o.batch, [&](const char* line, std::size_t bytes) {
      if (unwritten.empty()) unwritten = observer->unwritten(line, bytes);
    });
    if (!unwritten.empty()) return wrong(cudaErrorLaunchFailure, o, unwritten);
  }
  return cudaSuccess;
}

template <class A>
cudaError_t run_product(const char* name, int device, const Product& p, A alpha, A beta) {
  if (p.device_scalars) {
    alpha = *static_cast<const A*>(p.alpha);
    beta = *static_cast<const A*>(p.beta);
  }
  const std::vector<Operand> all = operands(p, beta != 0);
  if (const cudaError_t e = check_operands(name, all, device)) return e;
  std::vector<A> sums(static_cast<std::size_t>(std::max(p.d.rows, p.d.cols)));
  for (int z = 0; z < p.batch; ++z) multiply(p, z, alpha, beta, sums);
  if (p.epilogue & (kBiasGradient | kSumA | kSumB)) store_column(p.bias, sums);
  for (const Operand& o : all) {
    if (!observer || !o.written) continue;
    for_lines(*o.m, o.batch, [](const char* line, std::size_t bytes) { observer->written(line, bytes); });
  }
  return cudaSuccess;
}

}  // namespace

Matrix column_major(const void* p, cudaDataType type, std::int64_t rows, std::int64_t cols, std::int64_t ld,
                    std::int64_t batch_stride) {
  return {static_cast<char*>(const_cast<void*>(p)), type, rows, cols, ld, batch_stride, false};
}

bool on_device(const void* p, int device) {
  if (!p) return true;
  if (DeviceMemory::device_of_address(p) != device) return false;
  const DeviceMemory::Block* b = DeviceMemory::of(device).find(p);
  return b && !b->closing;
}

cublasStatus_t submit_product(const char* name, int device, cudaStream_t stream, const Product& p) {
  const bool wide = p.compute == CUBLAS_COMPUTE_64F || p.compute == CUBLAS_COMPUTE_64F_PEDANTIC;
  if (!known(p.a.type) || !known(p.b.type) || !known(p.c.type) || !known(p.d.type) || p.compute == CUBLAS_COMPUTE_16F ||
      p.a.type != p.b.type) {
    return CUBLAS_STATUS_NOT_SUPPORTED;
  }
  for (const Matrix* m : {&p.a, &p.b, &p.c, &p.d}) {
    if ((m->type == CUDA_R_64F) != wide) return CUBLAS_STATUS_NOT_SUPPORTED;
  }
  if (!p.alpha || !p.beta) return CUBLAS_STATUS_INVALID_VALUE;
  cublasStatus_t status = CUBLAS_STATUS_EXECUTION_FAILED;
  const cudaError_t e = call(name, [&](Runtime& r) {
    CUstream_st* s = r.stream(stream, name);
    if (!s) return cudaErrorInvalidResourceHandle;
    if (r.current_device() != device || s->device != device) {
      return refuse(cudaErrorInvalidResourceHandle, std::string(name) + ": the handle is of device " +
                                                        std::to_string(device) + ", the stream of device " +
                                                        std::to_string(s->device) + ", and device " +
                                                        std::to_string(r.current_device()) + " is current");
    }
    for (const Operand& o : operands(p, true)) {
      if (on_device(o.m->p, device)) continue;
      status = CUBLAS_STATUS_MAPPING_ERROR;
      return refuse(cudaErrorInvalidValue, std::string(name) + ": operand " + o.name +
                                               " is not live memory of device " + std::to_string(device));
    }
    Traffic traffic;
    traffic.library = true;
    Work work{"product", device, 1u << device, traffic, nullptr};
    if (wide) {
      const double alpha = p.device_scalars ? 0 : *static_cast<const double*>(p.alpha);
      const double beta = p.device_scalars ? 0 : *static_cast<const double*>(p.beta);
      work.run = [=] { return run_product<double>(name, device, p, alpha, beta); };
    } else {
      const float alpha = p.device_scalars ? 0 : *static_cast<const float*>(p.alpha);
      const float beta = p.device_scalars ? 0 : *static_cast<const float*>(p.beta);
      work.run = [=] { return run_product<float>(name, device, p, alpha, beta); };
    }
    return r.submit(*s, std::move(work));
  });
  return e == cudaSuccess ? CUBLAS_STATUS_SUCCESS : status;
}

}  // namespace simt
