// Products of row-major matrices by cuBLAS, on views: y = a b over a batch, and linear layers with bias and activation
// in one call of cublasLt.
//
// cuBLAS is column-major: it sees a row-major matrix as its transpose, so y^T = b^T a^T is asked for. Transposed views
// and views of parts of a matrix are passed as they are. double is computed in double; float in float, its operands
// rounded to TF32 only after set_matmul_precision(tf32); 16-bit types accumulate in float, across partial sums too.
// Handles, workspaces and algorithms depend on thread, device, stream and shape alone: a product repeats bit for bit,
// and can be captured once it has run.
#pragma once

#include <array>
#include <climits>

#include "ergo/core/shape.hpp"
#include "ergo/cuda/blas_plan.hpp"
#include "ergo/kernels/common/view.cuh"

namespace ergo::inline ERGO_BUILD::cuda {

// y (B, m, n) = a (B, m, k) b (B, k, n). A batch stride of 0, or a batch of 1, is one matrix for all. False, and
// nothing done, where cuBLAS cannot take a view as it is: neither of the last two strides of a or b is 1, the other
// is too short, or the rows of y have gaps between elements; the caller then copies that operand. With k = 0, y is 0.
// [name] Error: shapes that do not fit each other, or an extent over 2^31 - 1.
template <Floating T>
bool gemm(Stream& stream, const char* name, View<const std::type_identity_t<T>, 3> a,
          View<const std::type_identity_t<T>, 3> b, View<T, 3> y);

// What follows a linear layer; gelu_tanh is 0.5 z (1 + tanh(sqrt(2 / pi) (z + 0.044715 z^3))).
enum class Activation { none, relu, gelu_tanh };

// y (m, n) = activation(x (m, k) w (k, n) + bias (n,)), rounded once; bias is without gaps, or null. False, and nothing
// done, where gemm would say so, where k = 0, and where cublasLt has no algorithm for type and epilogue.
template <Floating T>
bool linear(Stream& stream, const char* name, View<const std::type_identity_t<T>, 2> x,
            View<const std::type_identity_t<T>, 2> w, const std::type_identity_t<T>* bias, View<T, 2> y,
            Activation activation = Activation::none);

namespace detail {

// How cuBLAS takes a row-major (rows, cols) matrix: the distance of its rows, or of its columns if these are what lies
// without gaps. Not at all (ld = 0) if neither has stride 1, or neighbours overlap.
struct Leading {
  std::int64_t ld = 0;
  bool columns = false;
  Leading(std::int64_t rows, std::int64_t cols, std::int64_t row_stride, std::int64_t col_stride) {
    const auto fits = [](std::int64_t d, std::int64_t run) { return d >= run && d >= 1 && d <= INT_MAX; };
    const std::int64_t by_row = rows <= 1 ? std::max<std::int64_t>(cols, 1) : row_stride;
    const std::int64_t by_column = cols <= 1 ? std::max<std::int64_t>(rows, 1) : col_stride;
    if ((cols <= 1 || col_stride == 1) && fits(by_row, cols)) {
      ld = by_row;
    } else if ((rows <= 1 || row_stride == 1) && fits(by_column, rows)) {
      ld = by_column;
      columns = true;
    }
  }
};

template <class T, int Rank>
Shape shape_of(const View<T, Rank>& v) {
  Shape s;
  for (int d = 0; d < Rank; ++d) s.push(v.shape[d]);
  return s;
}

template <class T, int Rank>
std::string product_text(const char* name, const View<const T, Rank>& a, const View<const T, Rank>& b) {
  return to_string(Message({"[", name, "] ", shape_of(a), ", ", shape_of(b)}));
}
template <class T, int Rank>
void check_product(const char* name, const View<const T, Rank>& a, const View<const T, Rank>& b,
                   const View<T, Rank>& y) {
  constexpr int row = Rank - 2, col = Rank - 1;
  bool fits = a.shape[col] == b.shape[row] && y.shape[row] == a.shape[row] && y.shape[col] == b.shape[col];
  if constexpr (Rank == 3) {
    for (const auto& operand : {a, b}) fits &= operand.shape[0] == y.shape[0] || operand.shape[0] == 1;
  }
  if (!fits) throw_error({product_text(name, a, b), ": not the shapes of a product ", shape_of(y)});
  for (const std::int64_t n : {y.shape[0], y.shape[row], y.shape[col], a.shape[col]})
    if (n > INT_MAX)
      throw_error({product_text(name, a, b), ": a product on a GPU has extents up to 2^31 - 1, not ", n});
}

// Zeros, also where rows lie apart: of a product over nothing.
template <class T>
void fill_zero(Stream& stream, const char* name, const View<T, 3>& y) {
  const std::int64_t batch = y.shape[0], m = y.shape[1], n = y.shape[2];
  const bool rows_dense = m == 1 || y.stride[1] == n, dense = rows_dense && (batch == 1 || y.stride[0] == m * n);
  const std::int64_t run = dense ? batch * m * n : rows_dense ? m * n : n;
  for (std::int64_t z = 0; z < (dense ? 1 : batch); ++z)
    for (std::int64_t i = 0; i < (rows_dense ? 1 : m); ++i)
      check(cudaMemsetAsync(y.data + z * y.stride[0] + i * y.stride[1], 0, std::size_t(run) * sizeof(T), stream.handle),
            name);
  stream.launches.add(name);
}

// One right matrix for all and rows of a and y at even distances: the views become those of one product of more rows.
template <class T>
void merge_batch(View<const T, 3>& a, const View<const T, 3>& b, View<T, 3>& y) {
  const std::int64_t batch = y.shape[0], m = y.shape[1];
  if (batch <= 1 || a.shape[0] == 1 || (b.shape[0] > 1 && b.stride[0] != 0) || batch * m > INT_MAX) return;
  const auto row_stride = [&](const auto& v) {
    return m == 1 ? v.stride[0] : v.stride[0] == m * v.stride[1] ? v.stride[1] : 0;
  };
  const std::int64_t rows = batch * m, of_a = row_stride(a), of_y = row_stride(y);
  const Leading la(rows, a.shape[2], of_a, a.stride[2]), ly(rows, y.shape[2], of_y, y.stride[2]);
  if (la.ld == 0 || la.columns || ly.ld == 0 || ly.columns) return;
  a.shape[0] = y.shape[0] = 1;
  a.shape[1] = y.shape[1] = rows;
  a.stride[1] = of_a;
  y.stride[1] = of_y;
}

// The largest power of two, up to 256, that divides an address.
inline std::uint32_t alignment_of(const void* p) {
  const auto bits = reinterpret_cast<std::uintptr_t>(p) | 256;
  return std::uint32_t(bits & (~bits + 1));
}
inline cublasLtEpilogue_t epilogue_of(bool bias, Activation activation) {
  switch (activation) {
    case Activation::relu:
      return bias ? CUBLASLT_EPILOGUE_RELU_BIAS : CUBLASLT_EPILOGUE_RELU;
    case Activation::gelu_tanh:
      return bias ? CUBLASLT_EPILOGUE_GELU_BIAS : CUBLASLT_EPILOGUE_GELU;
    default:
      return bias ? CUBLASLT_EPILOGUE_BIAS : CUBLASLT_EPILOGUE_DEFAULT;
  }
}

using LinearKey = std::array<std::int64_t, 12>;
inline constexpr std::size_t kMostLinearPlans = 1024;  // then all are forgotten
inline std::map<LinearKey, LinearPlan>& linear_plans() {
  static thread_local std::map<LinearKey, LinearPlan> plans;
  return plans;
}

}  // namespace detail

template <Floating T>
bool gemm(Stream& stream, const char* name, View<const std::type_identity_t<T>, 3> a,
          View<const std::type_identity_t<T>, 3> b, View<T, 3> y) {
  detail::check_product(name, a, b, y);
  if (y.numel() == 0) return true;
  detail::merge_batch(a, b, y);
  const std::int64_t batch = y.shape[0], m = y.shape[1], n = y.shape[2], k = a.shape[2];
  const detail::Leading la(m, k, a.stride[1], a.stride[2]), lb(k, n, b.stride[1], b.stride[2]),
      ly(m, n, y.stride[1], y.stride[2]);
  const long long step_a = a.shape[0] == 1 ? 0 : a.stride[0], step_b = b.shape[0] == 1 ? 0 : b.stride[0];
  if (ly.ld == 0 || ly.columns || (batch > 1 && (y.stride[0] <= 0 || step_a < 0 || step_b < 0))) return false;
  const OnDevice on(stream.device);
  if (k == 0) {
    detail::fill_zero(stream, name, y);
    return true;
  }
  if (la.ld == 0 || lb.ld == 0) return false;
  const cublasHandle_t handle = detail::blas_on(stream, name).handle;
  const Compute<T> one = 1, zero = 0;
  constexpr cudaDataType type = detail::kBlasType<T>;
  const cublasComputeType_t compute = detail::blas_compute<T>();
  const cublasOperation_t ta = la.columns ? CUBLAS_OP_T : CUBLAS_OP_N, tb = lb.columns ? CUBLAS_OP_T : CUBLAS_OP_N;
  const cublasStatus_t status =
      batch == 1 ? cublasGemmEx(handle, tb, ta, int(n), int(m), int(k), &one, b.data, type, int(lb.ld), a.data, type,
                                int(la.ld), &zero, y.data, type, int(ly.ld), compute, CUBLAS_GEMM_DEFAULT)
                 : cublasGemmStridedBatchedEx(handle, tb, ta, int(n), int(m), int(k), &one, b.data, type, int(lb.ld),
                                              step_b, a.data, type, int(la.ld), step_a, &zero, y.data, type, int(ly.ld),
                                              y.stride[0], int(batch), compute, CUBLAS_GEMM_DEFAULT);
  if (status != CUBLAS_STATUS_SUCCESS) detail::fail_blas(status, detail::product_text(name, a, b));
  stream.launches.add(name);
  return true;
}

template <Floating T>
bool linear(Stream& stream, const char* name, View<const std::type_identity_t<T>, 2> x,
            View<const std::type_identity_t<T>, 2> w, const std::type_identity_t<T>* bias, View<T, 2> y,
            Activation activation) {
  detail::check_product(name, x, w, y);
  const std::int64_t m = y.shape[0], n = y.shape[1], k = x.shape[1];
  if (m == 0 || n == 0) return true;
  const detail::Leading lx(m, k, x.stride[0], x.stride[1]), lw(k, n, w.stride[0], w.stride[1]),
      ly(m, n, y.stride[0], y.stride[1]);
  if (k == 0 || lx.ld == 0 || lw.ld == 0 || ly.ld == 0 || ly.columns) return false;
  const OnDevice on(stream.device);
  const detail::Blas& blas = detail::blas_on(stream, name);
  const cublasComputeType_t compute = detail::blas_compute<T>();
  const cublasLtEpilogue_t epilogue = detail::epilogue_of(bias != nullptr, activation);
  // An epilogue reads the bias with the accesses that the alignment of y allows.
  const std::uint32_t of_w = detail::alignment_of(w.data), of_x = detail::alignment_of(x.data),
                      of_y = std::min(detail::alignment_of(y.data), detail::alignment_of(bias));
  auto& plans = detail::linear_plans();
  const detail::LinearKey key = {stream.device,
                                 detail::kBlasType<T>,
                                 compute,
                                 epilogue,
                                 m,
                                 n,
                                 k,
                                 lx.ld,
                                 lw.ld,
                                 ly.ld,
                                 (lx.columns ? 2 : 0) + (lw.columns ? 1 : 0),
                                 (std::int64_t{of_w} * 512 + of_x) * 512 + of_y};
  auto plan = plans.find(key);
  if (plan == plans.end()) {
    if (plans.size() >= detail::kMostLinearPlans) plans.clear();
    plan = plans.try_emplace(key).first;
    try {
      plan->second.make(blas.lt, name, detail::kBlasType<T>, compute, epilogue,
                        {lw.columns ? k : n, lw.columns ? n : k, lw.ld, of_w, lw.columns},
                        {lx.columns ? m : k, lx.columns ? k : m, lx.ld, of_x, lx.columns}, {n, m, ly.ld, of_y, false});
    } catch (...) {
      plans.erase(plan);
      throw;
    }
  }
  if (!plan->second.exists()) return false;
  const cublasStatus_t status =
      plan->second.template run<Compute<T>>(blas.lt, name, w.data, x.data, bias, y.data, blas.workspace, stream.handle);
  if (status != CUBLAS_STATUS_SUCCESS) detail::fail_blas(status, detail::product_text(name, x, w));
  stream.launches.add(name);
  return true;
}

}  // namespace ergo::inline ERGO_BUILD::cuda
