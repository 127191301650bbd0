// Rows of layer_norm and of its first-order rule, and of rms_norm's, which is the same about 0 (Centred = false). The
// mean is subtracted before squares are taken, and what its rounding left is corrected, so that an offset costs no
// accuracy. A row keeps three numbers for the backward pass: the rounded mean, the rest of it over the deviation, and 1
// / deviation, with which the normalised element is (x - mean) scale + rest.
//
// Backward takes two passes over a row: one for the row's two sums, which also adds to the partial sums of gamma's and
// beta's gradients, and one for the result. There is a fixed number of partial sums, each over a fixed part of the
// rows.
#pragma once

#include "ergo/cpu/math.hpp"
#include "ergo/cpu/monoid.hpp"
#include "ergo/cpu/rows.hpp"

namespace ergo::inline ERGO_BUILD::cpu::detail {

inline constexpr int kRowStats = 3;

// y = (x - mean) / sqrt(variance + eps) * gamma + beta; gamma and beta advance by `step` (0 or n) a row. Not centred:
// x / sqrt(mean of x^2 + eps) * gamma, and no beta is read.
template <class T, bool Centred = true>
struct LayerNormBody {
  template <Isa I>
  static ERGO_INLINE void run(const T* x, T* y, T* stats, std::int64_t rows, std::int64_t n, const T* gamma,
                              const T* beta, std::int64_t step, T eps) {
    using P = Pack<T, kRegisterBytes<I> / int(sizeof(T))>;
    const RowPacks<P> packs(n);
    const T share = T(1) / T(n);
    for (std::int64_t r = 0; r < rows; ++r, x += n, y += n, gamma += step, stats += kRowStats) {
      T mean = 0, rest = 0, square;
      if constexpr (Centred) {
        mean =
            packs.template sum<4>([&](std::int64_t i) __attribute__((always_inline)) { return P::load(x + i); }).sum() *
            share;
        const P center(mean);
        const auto sums = packs.template sum<4>([&](std::int64_t i) __attribute__((always_inline)) {
          const P d = P::load(x + i) - center;
          return PackPair<P>{d, d * d};
        });
        rest = sums.a.sum() * share;
        square = sums.b.sum() * share - rest * rest;
      } else {
        square = packs
                     .template sum<4>([&](std::int64_t i)
                                          __attribute__((always_inline)) { return P::load(x + i) * P::load(x + i); })
                     .sum() *
                 share;
      }
      const T scale = T(1) / sqrt((square < 0 ? T(0) : square) + eps);
      stats[0] = mean;
      stats[1] = -rest * scale;
      stats[2] = scale;
      const P center(mean), factor(scale), shift(-rest * scale);
      packs.template each<2>([&](auto, std::int64_t i, const auto&) __attribute__((always_inline)) {
        if constexpr (Centred)
          fma(fma(P::load(x + i) - center, factor, shift), P::load(gamma + i), P::load(beta + i)).store(y + i);
        else
          (P::load(x + i) * factor * P::load(gamma + i)).store(y + i);
      });
      if constexpr (Centred) beta += step;
    }
  }
};

// dx, and to sums[0, n) and sums[pitch, pitch + n) the rows' g * normalised and g. gamma has room for a register.
template <class T, bool Centred = true>
struct LayerNormVjpBody {
  template <Isa I>
  static ERGO_INLINE void run(const T* g, const T* x, const T* stats, const T* gamma, T* dx, T* sums,
                              std::int64_t pitch, std::int64_t rows, std::int64_t n) {
    using P = Pack<T, kRegisterBytes<I> / int(sizeof(T))>;
    const RowPacks<P> packs(n);
    const T share = T(1) / T(n);
    for (std::int64_t r = 0; r < rows; ++r, g += n, x += n, dx += n, stats += kRowStats) {
      const P center(stats[0]), shift(stats[1]), scale(stats[2]);
      PackPair<P> row[2];
      packs.template each<2>([&](auto k, std::int64_t i, const auto& valid) __attribute__((always_inline)) {
        const P normal = fma(P::load(x + i) - center, scale, shift), cotangent = where(valid, P::load(g + i), P());
        const P product = where(valid, cotangent * normal, P()), weighted = P::load(gamma + i);
        row[k] = row[k] + PackPair<P>{where(valid, cotangent * weighted, P()), where(valid, product * weighted, P())};
        (P::load(sums + i) + product).store(sums + i);
        if constexpr (Centred) (P::load(sums + pitch + i) + cotangent).store(sums + pitch + i);
      });
      const auto both = row[0] + row[1];
      const P level(Centred ? both.a.sum() * share : T(0)), slope(both.b.sum() * share);
      packs.template each<2>([&](auto, std::int64_t i, const auto&) __attribute__((always_inline)) {
        const P normal = fma(P::load(x + i) - center, scale, shift);
        const P h = P::load(g + i) * P::load(gamma + i);
        ((h - level - normal * slope) * scale).store(dx + i);
      });
    }
  }
};

// A copy of n elements with a register of zeros behind them.
template <class T>
class Padded {
 public:
  Padded(const T* x, std::int64_t n) : room_(n + 64) {
    std::memcpy(room_.data(), x, std::size_t(n) * sizeof(T));
    std::memset(static_cast<void*>(room_.data() + n), 0, 64 * sizeof(T));
  }
  const T* data() const { return room_.data(); }

 private:
  Scratch<T> room_;
};

// All rows of one group: dx (count, n), and dgamma, dbeta (n) summed over the rows; no dbeta where not centred.
template <bool Centred = true, class T>
void layer_norm_rows_vjp(const T* g, const T* x, const T* stats, const T* gamma, std::int64_t count, std::int64_t n,
                         T* dx, T* dgamma, T* dbeta) {
  const std::int64_t most = (count + 31) / 32, part_rows = most < 16 ? 16 : most;  // at most 32 partial sums
  const std::int64_t parts = (count + part_rows - 1) / part_rows, pitch = n + 64;
  const Padded<T> weight(gamma, n);
  const Scratch<T> sums(parts * 2 * pitch + 1);
  parallel_for(parts, 1 + (kRowGrain - 1) / (part_rows * n + 1), [&](std::int64_t begin, std::int64_t end) {
    for (std::int64_t p = begin; p < end; ++p) {
      T* sum = sums.data() + p * 2 * pitch;
      std::memset(static_cast<void*>(sum), 0, std::size_t(2 * pitch) * sizeof(T));
      const std::int64_t first = p * part_rows, rows = count - first < part_rows ? count - first : part_rows;
      const T* const from[] = {g, x};
      T* const to[] = {dx};
      for_rows_here(from, to, first, first + rows, n,
                    [&](const T* const* in, T* const* out, std::int64_t r, std::int64_t some) {
                      for_isa<LayerNormVjpBody<T, Centred>>(in[0], in[1], stats + r * kRowStats, weight.data(), out[0],
                                                            sum, pitch, some, n);
                    });
    }
  });
  fold_tree<SumOf>(sums.data(), parts, 2 * pitch);
  for (std::int64_t c = 0; c < n; ++c) {
    dgamma[c] = parts ? sums.data()[c] : T(0);
    if constexpr (Centred) dbeta[c] = parts ? sums.data()[pitch + c] : T(0);
  }
}

}  // namespace ergo::inline ERGO_BUILD::cpu::detail
