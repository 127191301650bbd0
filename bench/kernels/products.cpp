// Rows of matrix products and dense layers, beside the same product asked of cuBLAS directly.
#include "bench/kernels/measure.hpp"
#include "ergo/ops/matmul.hpp"

namespace bench {
namespace {

// cuBLAS with a workspace as large as the library gives it.
cublasHandle_t bare_handle() {
  static const cublasHandle_t handle = [] {
    cublasHandle_t h = nullptr;
    cuda::detail::check_blas(cublasCreate(&h), "cublas");
    void* workspace = nullptr;
    cuda::check(cudaMalloc(&workspace, cuda::detail::kBlasWorkspace), "cublas");
    cuda::detail::check_blas(cublasSetStream(h, cuda::current_stream(kDevice).handle), "cublas");
    cuda::detail::check_blas(cublasSetWorkspace(h, workspace, cuda::detail::kBlasWorkspace), "cublas");
    return h;
  }();
  return handle;
}

template <class T>
Row row_of(const std::string& op, std::int64_t n) {
  const double bytes = double(n * n) * sizeof(T);
  return {.op = op,
          .shape = text({n, n}),
          .dtype = dtype_name<T>(),
          .bytes = 3 * bytes,
          .flops = 2 * double(n) * double(n) * double(n),
          .input_bytes = 2 * bytes};
}

template <class T>
void add_square(Rows& rows, std::int64_t n) {
  const Shape s{n, n};
  rows.push_back(row_of<T>("matmul", n));
  rows.back().make = [=](std::uint64_t seed) -> std::function<void()> {
    return [a = random<T>(seed, s), b = random<T>(seed + 1, s)] { (void)matmul(a, b); };
  };
  rows.push_back(row_of<T>("cublas", n));
  rows.back().make = [=](std::uint64_t seed) -> std::function<void()> {
    const auto run = [n, h = bare_handle(), a = random<T>(seed, s), b = random<T>(seed + 1, s),
                      y = random<T>(seed + 2, s)] {
      const float one = 1, zero = 0;
      constexpr auto type = cuda::detail::kBlasType<T>;
      cuda::detail::check_blas(cublasGemmEx(h, CUBLAS_OP_N, CUBLAS_OP_N, int(n), int(n), int(n), &one, b.array().data,
                                            type, int(n), a.array().data, type, int(n), &zero, y.array().data, type,
                                            int(n), CUBLAS_COMPUTE_32F, CUBLAS_GEMM_DEFAULT),
                               "cublas");
    };
    return run;
  };
  rows.push_back(row_of<T>("linear with bias", n));
  rows.back().make = [=](std::uint64_t seed) -> std::function<void()> {
    return
        [x = random<T>(seed, s), w = random<T>(seed + 1, s), b = random<T>(seed + 2, {n})] { (void)linear(x, w, b); };
  };
  rows.push_back(row_of<T>("linear with bias and relu", n));
  rows.back().make = [=](std::uint64_t seed) -> std::function<void()> {
    return [x = random<T>(seed, s), w = random<T>(seed + 1, s), b = random<T>(seed + 2, {n})] {
      (void)linear(x, w, b, {.activation = Activation::relu});
    };
  };
}

}  // namespace

void add_products(Rows& rows, bool tiny) {
  for (const std::int64_t n : tiny ? std::vector<std::int64_t>{16} : std::vector<std::int64_t>{1024, 4096}) {
    add_square<float>(rows, n);
    add_square<bfloat16>(rows, n);
  }
  if (!tiny) add_square<bfloat16>(rows, 8192);
}

}  // namespace bench
