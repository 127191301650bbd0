// Matrix products of other libraries, called in this process: what is installed of OpenBLAS, BLIS, MKL (all by cblas,
// each loaded apart from the others, since they export the same names), oneDNN and Eigen. All matrices are row-major
// and dense.
#pragma once

#include <dlfcn.h>

#include <cstdint>
#include <cstdlib>
#include <functional>
#include <string>
#include <vector>

#if defined(ERGO_BENCH_DNNL)
#include <oneapi/dnnl/dnnl.h>
#endif
#if defined(ERGO_BENCH_EIGEN) && defined(__x86_64__) && !defined(__clang__)
#define ERGO_BENCH_EIGEN_HERE
#pragma GCC push_options
#pragma GCC target("avx2,fma")  // Eigen chooses its instructions when it is compiled
#define EIGEN_DONT_PARALLELIZE
#include <Eigen/Core>
#pragma GCC pop_options
#endif

namespace bench {

// c (m x n) = op(a) op(b), where op transposes or not.
struct GemmCase {
  std::int64_t m, n, k;
  bool transpose_a, transpose_b;
};

struct GemmPeer {
  std::string name;
  std::function<void(int)> set_threads;
  std::function<void(const GemmCase&, const float*, const float*, float*)> run_float;  // empty: not offered
  std::function<void(const GemmCase&, const double*, const double*, double*)> run_double;
};

namespace detail {

template <class F>
F symbol(void* library, const std::string& name) {
  return reinterpret_cast<F>(dlsym(library, name.c_str()));
}

template <class T>
using Cblas = void (*)(int layout, int trans_a, int trans_b, int m, int n, int k, T alpha, const T* a, int lda,
                       const T* b, int ldb, T beta, T* c, int ldc);

template <class T>
std::function<void(const GemmCase&, const T*, const T*, T*)> cblas(void* library, const std::string& name) {
  const auto gemm = symbol<Cblas<T>>(library, name);
  if (!gemm) return {};
  return [gemm](const GemmCase& g, const T* a, const T* b, T* c) {
    const int m = int(g.m), n = int(g.n), k = int(g.k);
    gemm(101, g.transpose_a ? 112 : 111, g.transpose_b ? 112 : 111, m, n, k, T(1), a, g.transpose_a ? m : k, b,
         g.transpose_b ? k : n, T(0), c, n);
  };
}

inline void add_cblas(std::vector<GemmPeer>& peers, const std::string& name, const char* file,
                      const std::string& prefix, const std::string& set_threads) {
  if (!file) return;
  void* library = dlopen(file, RTLD_NOW | RTLD_LOCAL | RTLD_DEEPBIND);
  if (!library) return;
  GemmPeer peer{
      name, {}, cblas<float>(library, prefix + "cblas_sgemm"), cblas<double>(library, prefix + "cblas_dgemm")};
  if (const auto set = symbol<void (*)(int)>(library, set_threads)) peer.set_threads = set;
  if (const auto set = symbol<void (*)(long)>(library, "bli_thread_set_num_threads")) peer.set_threads = set;
  if (peer.run_float) peers.push_back(peer);
}

#if defined(ERGO_BENCH_EIGEN_HERE)
#pragma GCC push_options
#pragma GCC target("avx2,fma")
template <class T>
using EigenMatrix = Eigen::Matrix<T, Eigen::Dynamic, Eigen::Dynamic, Eigen::RowMajor>;
template <class T>
void run_eigen(const GemmCase& g, const T* a, const T* b, T* c) {
  using Const = Eigen::Map<const EigenMatrix<T>>;
  Const left(a, g.transpose_a ? g.k : g.m, g.transpose_a ? g.m : g.k);
  Const right(b, g.transpose_b ? g.n : g.k, g.transpose_b ? g.k : g.n);
  Eigen::Map<EigenMatrix<T>> result(c, g.m, g.n);
  if (g.transpose_a) {
    if (g.transpose_b) {
      result.noalias() = left.transpose() * right.transpose();
    } else {
      result.noalias() = left.transpose() * right;
    }
  } else if (g.transpose_b) {
    result.noalias() = left * right.transpose();
  } else {
    result.noalias() = left * right;
  }
}
#pragma GCC pop_options
#endif

}  // namespace detail

// The peers that can be loaded. ERGO_BENCH_MKL and ERGO_BENCH_OPENBLAS name further libraries by environment variables
// (libmkl_rt.so of PyPI's `mkl`; a newer OpenBLAS), in addition to those of the system.
inline std::vector<GemmPeer> gemm_peers() {
  std::vector<GemmPeer> peers;
#if defined(ERGO_BENCH_OPENBLAS)
  detail::add_cblas(peers, "OpenBLAS", ERGO_BENCH_OPENBLAS, "", "openblas_set_num_threads");
#endif
  detail::add_cblas(peers, "OpenBLAS+", std::getenv("ERGO_BENCH_OPENBLAS"), "scipy_", "scipy_openblas_set_num_threads");
#if defined(ERGO_BENCH_BLIS)
  detail::add_cblas(peers, "BLIS", ERGO_BENCH_BLIS, "", "");
#endif
  detail::add_cblas(peers, "MKL", std::getenv("ERGO_BENCH_MKL"), "", "MKL_Set_Num_Threads");
#if defined(ERGO_BENCH_DNNL)
  GemmPeer dnnl{"oneDNN", {}, {}, {}};
  if (const auto set = detail::symbol<void (*)(int)>(RTLD_DEFAULT, "omp_set_num_threads")) dnnl.set_threads = set;
  dnnl.run_float = [](const GemmCase& g, const float* a, const float* b, float* c) {
    dnnl_sgemm(g.transpose_a ? 'T' : 'N', g.transpose_b ? 'T' : 'N', g.m, g.n, g.k, 1.0f, a, g.transpose_a ? g.m : g.k,
               b, g.transpose_b ? g.k : g.n, 0.0f, c, g.n);
  };
  peers.push_back(dnnl);
#endif
#if defined(ERGO_BENCH_EIGEN_HERE)
  if (__builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma")) {  // one thread
    peers.push_back({"Eigen", {}, &detail::run_eigen<float>, &detail::run_eigen<double>});
  }
#endif
  return peers;
}

}  // namespace bench
