// Tensor-core instructions of a warp: mma.sync m16n8k16 on 16-bit inputs with float accumulation, and ldmatrix. The
// last lane to arrive sees the fragments of all 32 and computes for all. Layouts: PTX ISA, "Matrix Fragments for
// mma.m16n8k16". The sum over k is in order and in float; a tensor core's order and rounding are its own.
#pragma once

#include "float16.hpp"
#include "warp.hpp"

namespace simt {

// d (16 x 8) += a (16 x 16, rows) * b (16 x 8, columns); to_float widens one element (bf16_to_float, f16_to_float).
template <float (*to_float)(std::uint16_t)>
void mma_m16n8k16(float (&d)[4], const unsigned (&a)[4], const unsigned (&b)[2], SIMT_AT) {
  struct Fragments {
    float* d;
    const unsigned *a, *b;
    Place at;
  } mine{d, a, b, at};
  static const char kind = 0;
  collective(
      ~0u, &kind, &mine,
      [](void* const* lanes, unsigned present) {
        const auto of = [&](unsigned l) -> const Fragments& { return *static_cast<const Fragments*>(lanes[l]); };
        if (present != ~0u) fail("mma.sync needs all 32 lanes of a warp", {});
        const auto low = [](unsigned r) { return to_float(static_cast<std::uint16_t>(r)); };
        const auto high = [](unsigned r) { return to_float(static_cast<std::uint16_t>(r >> 16)); };
        float A[16][16], B[16][8];
        for (unsigned l = 0; l < 32; ++l) {
          const unsigned g = l / 4, t = l % 4 * 2;
          for (unsigned i = 0; i < 4; ++i) {
            float* at_row = A[g + 8 * (i & 1)] + t + 8 * (i >> 1);
            at_row[0] = low(of(l).a[i]);
            at_row[1] = high(of(l).a[i]);
          }
          for (unsigned i = 0; i < 2; ++i) {
            B[t + 8 * i][g] = low(of(l).b[i]);
            B[t + 8 * i + 1][g] = high(of(l).b[i]);
          }
        }
        for (unsigned l = 0; l < 32; ++l) {
          const unsigned g = l / 4, t = l % 4 * 2;
          for (unsigned i = 0; i < 4; ++i) {
            float sum = 0;
            for (unsigned k = 0; k < 16; ++k) sum += A[g + 8 * (i >> 1)][k] * B[k][t + (i & 1)];
            of(l).d[i] += sum;
          }
        }
      },
      at);
}

// N 8 x 8 matrices of 16-bit elements into fragments; lanes 8i to 8i + 7 hand in the addresses of matrix i's rows.
template <int N, bool TRANSPOSED>
void ldmatrix(unsigned (&r)[N], const void* row, SIMT_AT) {
  static_assert(N == 1 || N == 2 || N == 4);
  if (lane() < N * 8 && reinterpret_cast<std::uintptr_t>(row) % 16) {
    fail("ldmatrix from an address that is not a multiple of 16 bytes", at);
  }
  struct Row {
    unsigned* r;
    std::uint16_t elements[8];
  } mine{r, {}};
  if (lane() < N * 8) std::memcpy(mine.elements, row, 16);
  static const char kind = 0;
  collective(
      ~0u, &kind, &mine,
      [](void* const* lanes, unsigned present) {
        if (present != ~0u) fail("ldmatrix needs all 32 lanes of a warp", {});
        for (unsigned i = 0; i < N; ++i) {
          const std::uint16_t* m[8];
          for (unsigned k = 0; k < 8; ++k) m[k] = static_cast<const Row*>(lanes[i * 8 + k])->elements;
          for (unsigned l = 0; l < 32; ++l) {
            const unsigned g = l / 4, t = l % 4 * 2;
            const unsigned first = TRANSPOSED ? m[t][g] : m[g][t], second = TRANSPOSED ? m[t + 1][g] : m[g][t + 1];
            static_cast<const Row*>(lanes[l])->r[i] = first | second << 16;
          }
        }
      },
      at);
}

}  // namespace simt
