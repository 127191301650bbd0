// Shuffles, votes, matches and reductions of a warp, tiles of lanes, tensor-core fragments.
#include <cooperative_groups.h>
#include <cooperative_groups/reduce.h>
#include <mma.h>

#include <cmath>
#include <random>

#include "simt/support.hpp"

namespace simt_warp_test {

using namespace simt_test;
namespace cg = cooperative_groups;

template <class T>
__global__ void shuffle_kernel(T* out, int width) {
  const int l = static_cast<int>(threadIdx.x);
  const T v = static_cast<T>(l + 1);
  out[l] = __shfl_sync(kFullMask, v, l * 3 + 1, width);
  out[32 + l] = __shfl_up_sync(kFullMask, v, 3, width);
  out[64 + l] = __shfl_down_sync(kFullMask, v, 5, width);
  out[96 + l] = __shfl_xor_sync(kFullMask, v, 6, width);
}

// The rules of the CUDA C++ Programming Guide, "Warp Shuffle Functions", lane by lane.
template <class T>
void check_shuffles() {
  for (const int width : {32, 16, 8, 4}) {
    Array<T> out(128);
    CHECK(launch({1, 32}, shuffle_kernel<T>, out.data(), width) == cudaSuccess);
    const auto host = out.host();
    for (int l = 0; l < 32; ++l) {
      const int first = l / width * width, end = first + width;
      const auto at = [&](int row) { return host[static_cast<std::size_t>(row * 32 + l)]; };
      CHECK(at(0) == static_cast<T>(first + (l * 3 + 1) % width + 1));
      CHECK(at(1) == static_cast<T>((l - 3 < first ? l : l - 3) + 1));
      CHECK(at(2) == static_cast<T>((l + 5 >= end ? l : l + 5) + 1));
      CHECK(at(3) == static_cast<T>(((l ^ 6) >= end ? l : l ^ 6) + 1));
    }
  }
}

TEST_CASE("shuffles of any type and width") {
  in_every_order([] {
    check_shuffles<int>();
    check_shuffles<float>();
    check_shuffles<double>();
    check_shuffles<unsigned char>();
  });
}

template <int = 0>
__global__ void vote_kernel(const int* p, unsigned* out) {
  const unsigned half = threadIdx.x < 16 ? 0xffffu : 0xffff0000u;
  const int v = p[threadIdx.x];
  unsigned* mine = out + threadIdx.x * 8;
  mine[0] = __ballot_sync(kFullMask, v);
  mine[1] = static_cast<unsigned>(__any_sync(half, v));
  mine[2] = static_cast<unsigned>(__all_sync(half, v));
  mine[3] = __match_any_sync(kFullMask, v);
  mine[4] = static_cast<unsigned>(__reduce_add_sync(half, v));
  mine[5] = static_cast<unsigned>(__reduce_max_sync(kFullMask, v));
  mine[6] = static_cast<unsigned>(__reduce_min_sync(kFullMask, v));
  int all = 0;
  mine[7] = __match_all_sync(half, v, &all);
  mine[7] += static_cast<unsigned>(all);
}

TEST_CASE("votes, matches and reductions, of a warp and of its halves") {
  in_every_order([] {
    std::vector<int> p(32);
    for (std::size_t l = 0; l < 32; ++l) p[l] = l < 16 ? static_cast<int>(l % 3) : 7;
    Array<int> dp(p);
    Array<unsigned> out(256);
    CHECK(launch({1, 32}, vote_kernel<>, dp.data(), out.data()) == cudaSuccess);
    const auto host = out.host();
    unsigned ballot = 0;
    for (unsigned l = 0; l < 32; ++l) ballot |= static_cast<unsigned>(p[l] != 0) << l;
    for (unsigned l = 0; l < 32; ++l) {
      unsigned same = 0;
      for (unsigned k = 0; k < 32; ++k) same |= static_cast<unsigned>(p[k] == p[l]) << k;
      const unsigned* mine = &host[l * 8];
      CHECK(mine[0] == ballot);
      CHECK(mine[1] == 1);
      CHECK(mine[2] == (l >= 16));
      CHECK(mine[3] == same);
      CHECK(mine[4] == (l < 16 ? 15u : 112u));
      CHECK(mine[5] == 7);
      CHECK(mine[6] == 0);
      CHECK(mine[7] == (l < 16 ? 0u : 0xffff0001u));
    }
  });
}

// A block sum of any block size by warp shuffles, as ergo's reductions are written.
template <int BLOCK>
__global__ void __launch_bounds__(BLOCK) sum_kernel(const float* x, float* y, int n) {
  __shared__ float part[BLOCK / 32];
  float v = 0;
  for (int i = static_cast<int>(threadIdx.x); i < n; i += BLOCK) v += x[i];
  for (int lanes = 16; lanes > 0; lanes /= 2) v += __shfl_xor_sync(kFullMask, v, lanes);
  __syncthreads();
  if (threadIdx.x % 32 == 0) part[threadIdx.x / 32] = v;
  __syncthreads();
  v = part[0];
  for (int w = 1; w < BLOCK / 32; ++w) v += part[w];
  if (threadIdx.x == 0) *y = v;
}

TEST_CASE("a block sum has the same bits in every order of threads") {
  std::mt19937 random(static_cast<unsigned>(test_seed()));
  std::vector<float> x(5000);
  for (auto& v : x) v = std::uniform_real_distribution<float>(-1, 1)(random);
  Array<float> dx(x), y(1);
  std::vector<float> first;
  in_every_order([&] {
    CHECK(launch({1, 256}, sum_kernel<256>, dx.data(), y.data(), 5000) == cudaSuccess);
    if (first.empty()) first = y.host();
    CHECK(y.host() == first);
  });
  double want = 0;
  for (const float v : x) want += v;
  CHECK(first[0] == doctest::Approx(want).epsilon(1e-4));
}

template <unsigned N>
__global__ void tile_kernel(int* out) {
  const auto block = cg::this_thread_block();
  const auto tile = cg::tiled_partition<N>(block);
  const int v = static_cast<int>(block.thread_rank());
  out[v] = cg::reduce(tile, v, cg::plus<int>()) * 1000 + static_cast<int>(tile.thread_rank()) +
           100 * (tile.shfl(v, 0) % 7) + (tile.ballot(v % 2) == 0 && N > 1 ? 1000000 : 0);
  block.sync();
}

template <unsigned N>
void check_tiles() {
  Array<int> out(64);
  CHECK(launch({1, 64}, tile_kernel<N>, out.data()) == cudaSuccess);
  const auto host = out.host();
  for (unsigned t = 0; t < 64; ++t) {
    const unsigned first = t / N * N;
    const unsigned sum = N * first + N * (N - 1) / 2;
    CHECK(host[t] == static_cast<int>(sum * 1000 + t % N + 100 * (first % 7)));
  }
}

TEST_CASE("tiles of a block") {
  in_every_order([] {
    check_tiles<32>();
    check_tiles<16>();
    check_tiles<4>();
    check_tiles<1>();
  });
}

// C (16, 8) = A (16, 16) B (16, 8) by ldmatrix and mma.sync, all row-major in shared memory.
template <int = 0>
__global__ void mma_kernel(const std::uint16_t* a, const std::uint16_t* b, float* c) {
  __shared__ __align__(16) std::uint16_t as[16 * 24], bs[16 * 8];  // rows of A padded by 16 bytes
  const unsigned l = threadIdx.x;
  for (unsigned i = l; i < 256; i += 32) as[i / 16 * 24 + i % 16] = a[i];
  for (unsigned i = l; i < 128; i += 32) bs[i] = b[i];
  __syncwarp();
  unsigned fa[4], fb[2];
  simt::ldmatrix<4, false>(fa, &as[l % 16 * 24 + l / 16 * 8]);
  simt::ldmatrix<2, true>(fb, &bs[l % 16 * 8]);
  float d[4] = {};
  simt::mma_m16n8k16<simt::bf16_to_float>(d, fa, fb);
  for (unsigned i = 0; i < 4; ++i) c[(l / 4 + i / 2 * 8) * 8 + l % 4 * 2 + i % 2] = d[i];
}

template <int = 0>
__global__ void wmma_kernel(const __nv_bfloat16* a, const __nv_bfloat16* b, float* c) {
  using namespace nvcuda;
  wmma::fragment<wmma::matrix_a, 16, 16, 16, __nv_bfloat16, wmma::row_major> fa;
  wmma::fragment<wmma::matrix_b, 16, 16, 16, __nv_bfloat16, wmma::col_major> fb;
  wmma::fragment<wmma::accumulator, 16, 16, 16, float> fc;
  wmma::fill_fragment(fc, 0.0f);
  wmma::load_matrix_sync(fa, a, 16);
  wmma::load_matrix_sync(fb, b, 16);
  wmma::mma_sync(fc, fa, fb, fc);
  wmma::store_matrix_sync(c, fc, 16, wmma::mem_row_major);
}

TEST_CASE("tensor-core products") {
  std::mt19937 random(static_cast<unsigned>(test_seed()));
  const auto values = [&](std::size_t n) {
    std::vector<std::uint16_t> v(n);
    for (auto& x : v) x = simt::float_to_bf16(std::uniform_real_distribution<float>(-2, 2)(random));
    return v;
  };
  const auto a = values(256), b = values(256);
  const auto value = [](std::uint16_t x) { return double{simt::bf16_to_float(x)}; };
  Array<std::uint16_t> da(a), db(b);
  in_every_order([&] {
    Array<float> c(128);
    CHECK(launch({1, 32}, mma_kernel<>, da.data(), db.data(), c.data()) == cudaSuccess);
    const auto host = c.host();
    for (std::size_t i = 0; i < 16; ++i) {
      for (std::size_t j = 0; j < 8; ++j) {
        double want = 0;
        for (std::size_t k = 0; k < 16; ++k) want += value(a[i * 16 + k]) * value(b[k * 8 + j]);
        CHECK(std::fabs(host[i * 8 + j] - want) < 1e-4);
      }
    }
    Array<float> w(256);
    CHECK(launch({1, 32}, wmma_kernel<>, reinterpret_cast<const __nv_bfloat16*>(da.data()),
                 reinterpret_cast<const __nv_bfloat16*>(db.data()), w.data()) == cudaSuccess);
    const auto square = w.host();
    for (std::size_t i = 0; i < 16; ++i) {
      for (std::size_t j = 0; j < 16; ++j) {
        double want = 0;
        for (std::size_t k = 0; k < 16; ++k) want += value(a[i * 16 + k]) * value(b[j * 16 + k]);
        CHECK(std::fabs(square[i * 16 + j] - want) < 1e-4);
      }
    }
  });
}

template <int = 0>
__global__ void inactive_kernel(float* out) {
  if (threadIdx.x < 16) out[threadIdx.x] = __shfl_down_sync(0xffffu, static_cast<float>(threadIdx.x), 1);
}

TEST_CASE("a shuffle from a lane that takes no part gives NaN") {
  Array<float> out(16, 0.0f);
  CHECK(launch({1, 32}, inactive_kernel<>, out.data()) == cudaSuccess);
  const auto host = out.host();
  for (std::size_t l = 0; l < 15; ++l) CHECK(host[l] == static_cast<float>(l + 1));
  CHECK(std::isnan(host[15]));
}

}  // namespace simt_warp_test
