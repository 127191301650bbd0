// nvcuda::wmma for 16 x 16 x 16 products of 16-bit matrices with float accumulation. CUDA says nothing of where a
// fragment's elements lie; here lane l holds elements 8l to 8l + 7 of the row-major tile.
#pragma once

#include <type_traits>

#include "cuda_bf16.h"
#include "cuda_fp16.h"

namespace nvcuda::wmma {

struct matrix_a;
struct matrix_b;
struct accumulator;
struct row_major;
struct col_major;
enum layout_t { mem_row_major, mem_col_major };

template <class Use, int M, int N, int K, class T, class Layout = void>
struct fragment {
  static_assert(M == 16 && N == 16 && K == 16, "only 16 x 16 x 16 is emulated");
  static constexpr int num_elements = 8;
  T x[num_elements];
};
using Accumulator = fragment<accumulator, 16, 16, 16, float>;

namespace detail {
// Where element e of this lane lies in memory.
inline unsigned place(unsigned e, unsigned stride, bool by_rows) {
  const unsigned i = simt::lane() * 8 + e, row = i / 16, column = i % 16;
  return by_rows ? row * stride + column : column * stride + row;
}
}  // namespace detail

template <class F, class T>
void fill_fragment(F& f, const T& value) {
  for (auto& x : f.x) x = value;
}

template <class Use, class T, class Layout>
void load_matrix_sync(fragment<Use, 16, 16, 16, T, Layout>& f, const T* p, unsigned stride, SIMT_AT) {
  __syncwarp(~0u, at);
  for (unsigned e = 0; e < 8; ++e) f.x[e] = p[detail::place(e, stride, std::is_same_v<Layout, row_major>)];
}
inline void load_matrix_sync(Accumulator& f, const float* p, unsigned stride, layout_t layout, SIMT_AT) {
  __syncwarp(~0u, at);
  for (unsigned e = 0; e < 8; ++e) f.x[e] = p[detail::place(e, stride, layout == mem_row_major)];
}
inline void store_matrix_sync(float* p, const Accumulator& f, unsigned stride, layout_t layout, SIMT_AT) {
  for (unsigned e = 0; e < 8; ++e) p[detail::place(e, stride, layout == mem_row_major)] = f.x[e];
  __syncwarp(~0u, at);
}

template <class T, class LayoutA, class LayoutB>
void mma_sync(Accumulator& d, const fragment<matrix_a, 16, 16, 16, T, LayoutA>& a,
              const fragment<matrix_b, 16, 16, 16, T, LayoutB>& b, const Accumulator& c, SIMT_AT) {
  struct Fragments {
    float* d;
    const T *a, *b;
    const float* c;
  } mine{d.x, a.x, b.x, c.x};
  static const char kind = 0;
  simt::collective(
      ~0u, &kind, &mine,
      [](void* const* lanes, unsigned present) {
        if (present != ~0u) simt::fail("mma_sync needs all 32 lanes of a warp", {});
        float A[16][16], B[16][16], C[16][16];
        for (unsigned i = 0; i < 256; ++i) {
          const auto& from = *static_cast<const Fragments*>(lanes[i / 8]);
          A[i / 16][i % 16] = float(from.a[i % 8]);
          B[i / 16][i % 16] = float(from.b[i % 8]);
          C[i / 16][i % 16] = from.c[i % 8];
        }
        for (unsigned i = 0; i < 256; ++i) {
          float sum = C[i / 16][i % 16];
          for (unsigned k = 0; k < 16; ++k) sum += A[i / 16][k] * B[k][i % 16];
          static_cast<const Fragments*>(lanes[i / 8])->d[i % 8] = sum;
        }
      },
      at);
}

}  // namespace nvcuda::wmma
