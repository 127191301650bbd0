// What calls of cuBLAS share: the precision of products, errors, and per thread and device the handles, bound to a
// stream and its workspace.
#pragma once

// cuBLAS includes cuda_fp16.h, whose global `half` would make ergo::half ambiguous in programs.
#if defined(CUDA_NO_HALF)
#include <cublas_v2.h>
#include <cublasLt.h>
#else
#define CUDA_NO_HALF
#include <cublas_v2.h>
#include <cublasLt.h>
#undef CUDA_NO_HALF
#endif

#include <map>
#include <type_traits>

#include "ergo/core/dtype.hpp"
#include "ergo/cuda/allocator.hpp"

namespace ergo::inline ERGO_BUILD::cuda {

// What products of float matrices round their operands to: nothing, or TF32 (10 bits of fraction) on tensor cores.
enum class MatmulPrecision : std::uint8_t { fp32, tf32 };

namespace detail {
inline constinit std::uint8_t process_matmul_precision = 0;  // of MatmulPrecision
}  // namespace detail

// For all threads, from their next product on.
inline void set_matmul_precision(MatmulPrecision p) {
  __atomic_store_n(&detail::process_matmul_precision, std::uint8_t(p), __ATOMIC_RELAXED);
}
inline MatmulPrecision matmul_precision() {
  return MatmulPrecision(__atomic_load_n(&detail::process_matmul_precision, __ATOMIC_RELAXED));
}

namespace detail {

inline constexpr std::size_t kBlasWorkspace = std::size_t{32} << 20;

template <class T>
inline constexpr cudaDataType kBlasType = std::is_same_v<T, double>  ? CUDA_R_64F
                                          : std::is_same_v<T, float> ? CUDA_R_32F
                                          : std::is_same_v<T, half>  ? CUDA_R_16F
                                                                     : CUDA_R_16BF;
template <class T>
cublasComputeType_t blas_compute() {
  if constexpr (std::is_same_v<T, double>) return CUBLAS_COMPUTE_64F;
  const bool rounds = std::is_same_v<T, float> && matmul_precision() == MatmulPrecision::tf32;
  return rounds ? CUBLAS_COMPUTE_32F_FAST_TF32 : CUBLAS_COMPUTE_32F;
}

// `what` says operation and shapes.
[[noreturn, gnu::cold]] ERGO_ONCE void fail_blas(cublasStatus_t status, const std::string& what) {
  const cudaError_t e = cudaGetLastError();
  std::string text = what + ": cuBLAS: " + cublasGetStatusString(status) + " (" + cublasGetStatusName(status) + ")";
  if (e != cudaSuccess) text += std::string("\n  (the last error of the runtime: ") + cudaGetErrorName(e) + ")";
  throw Error(text);
}
inline void check_blas(cublasStatus_t status, const char* name) {
  if (status != CUBLAS_STATUS_SUCCESS) [[unlikely]]
    fail_blas(status, std::string("[") + name + "]");
}

// The workspace of a stream: of the process, since streams outlive threads; outside every pool, since captured graphs
// keep its address. The products of one stream are in order, so they can share it.
inline void* blas_workspace(int device, cudaStream_t stream, const char* name) {
  static auto* const mutex = new std::mutex;
  static auto* const all = new std::map<std::pair<int, cudaStream_t>, void*>;
  const std::lock_guard lock(*mutex);
  void*& p = (*all)[{device, stream}];
  if (p) return p;
  cudaError_t e = cudaMalloc(&p, kBlasWorkspace);
  if (e == cudaErrorMemoryAllocation) {
    (void)cudaGetLastError();
    Allocator::of(device).trim();
    e = cudaMalloc(&p, kBlasWorkspace);
  }
  if (e != cudaSuccess) p = nullptr;
  if (e == cudaErrorMemoryAllocation) {
    (void)cudaGetLastError();
    throw OutOfMemory({"[", name, "] no ", kBlasWorkspace, " bytes are free on ", Device::cuda(device),
                       ": the workspace of cuBLAS, one a stream"});
  }
  check(e, name);
  return p;
}

// The handles of a thread for a device, and the stream they work on. Never destroyed: a thread that ends hands them on,
// since destroying a handle waits for the device.
struct Blas {
  cublasHandle_t handle = nullptr;
  cublasLtHandle_t lt = nullptr;
  cudaStream_t stream = nullptr;
  void* workspace = nullptr;  // of that stream; null before the first

  // The stream's device is current. cublasSetStream drops the workspace, so the two go together.
  Blas& on(const Stream& s, const char* name) {
    if (!handle) {
      check_blas(cublasCreate(&handle), name);
      check_blas(cublasSetMathMode(handle, CUBLAS_MATH_DISALLOW_REDUCED_PRECISION_REDUCTION), name);
    }
    if (!lt) check_blas(cublasLtCreate(&lt), name);
    if (workspace && stream == s.handle) return *this;
    void* const p = blas_workspace(s.device, s.handle, name);
    workspace = nullptr;
    check_blas(cublasSetStream(handle, s.handle), name);
    check_blas(cublasSetWorkspace(handle, p, kBlasWorkspace), name);
    stream = s.handle;
    workspace = p;
    return *this;
  }
};
struct IdleBlas {
  std::mutex mutex;
  std::vector<Blas*> of[kMaxDevices];
  static IdleBlas& instance() {
    static auto* all = new IdleBlas;
    return *all;
  }
};
struct ThreadBlas {
  Blas* of[kMaxDevices] = {};
  ThreadBlas() { IdleBlas::instance(); }
  ~ThreadBlas() {
    IdleBlas& idle = IdleBlas::instance();
    const std::lock_guard lock(idle.mutex);
    for (int d = 0; d < kMaxDevices; ++d)
      if (of[d]) idle.of[d].push_back(of[d]);
  }
};
// This thread's handles, bound to a stream, whose device is current.
inline Blas& blas_on(const Stream& s, const char* name) {
  static thread_local ThreadBlas mine;
  Blas*& b = mine.of[s.device];
  if (!b) {
    IdleBlas& idle = IdleBlas::instance();
    const std::lock_guard lock(idle.mutex);
    auto& list = idle.of[s.device];
    if (!list.empty()) {
      b = list.back();
      list.pop_back();
    } else {
      list.reserve(list.capacity() + 1);  // so that giving it back cannot throw
      b = new Blas;
    }
  }
  return b->on(s, name);
}

}  // namespace detail
}  // namespace ergo::inline ERGO_BUILD::cuda
