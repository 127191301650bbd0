// Plane rotations of the rows of a matrix, gathered and applied together. The iterations for eigenvalues and singular
// values do not look at the vectors, so their rotations are collected for many sweeps and then carried out on a few
// columns at a time, copied to where they stay in the cache; columns are independent, so threads share them.
#pragma once

#include "ergo/cpu/householder.hpp"

namespace ergo::inline ERGO_BUILD::cpu {

// Rotation k of a sweep turns rows p = first + k step and p + step: p' = c p + s q, q' = c q - s p.
struct Sweep {
  std::int64_t first, count, step;
};

class RowRotations {
 public:
  // For x (rows, columns), row-major; null where no vectors are wanted.
  RowRotations(double* x, std::int64_t rows, std::int64_t columns);

  // Room for the rotations of one more sweep; what came before may be applied by this call. Null without vectors.
  Rotation* add(Sweep sweep);
  void apply();

 private:
  double* x_;
  std::int64_t rows_, columns_, capacity_, used_ = 0, sweeps_used_ = 0;
  static constexpr std::int64_t kSweeps = 512;
  Scratch<Rotation> rotations_;
  Scratch<Sweep> sweeps_;
  Scratch<double> panels_;
};

namespace detail {

inline constexpr int kRotatedColumns = 16;

struct RotateRows {
  template <Isa I>
  static ERGO_INLINE void run(double* panel, const Sweep* sweeps, std::int64_t count, const Rotation* rotation) {
    constexpr int W = kRegisterBytes<I> / 8, N = kRotatedColumns / W;
    using P = Pack<double, W>;
    for (std::int64_t i = 0; i < count; ++i) {
      const std::int64_t step = sweeps[i].step * kRotatedColumns;
      double* row = panel + sweeps[i].first * kRotatedColumns;
      P x[N];
      for (int k = 0; k < N; ++k) x[k] = P::load(row + k * W);
      for (std::int64_t j = 0; j < sweeps[i].count; ++j, ++rotation, row += step) {
        const P c(rotation->c), s(rotation->s);
        for (int k = 0; k < N; ++k) {
          const P y = P::load(row + step + k * W);
          fma(c, x[k], s * y).store(row + k * W);
          x[k] = c * y - s * x[k];
        }
      }
      for (int k = 0; k < N; ++k) x[k].store(row + k * W);
    }
  }
};

}  // namespace detail

inline RowRotations::RowRotations(double* x, std::int64_t rows, std::int64_t columns)
    : x_(x),
      rows_(rows),
      columns_(columns),
      capacity_(rows * 48),
      rotations_(x ? capacity_ : 0),
      sweeps_(x ? kSweeps : 0),
      panels_(x ? rows * detail::kRotatedColumns * num_threads() : 0) {}

inline Rotation* RowRotations::add(Sweep sweep) {
  if (!x_) return nullptr;
  if (used_ + sweep.count > capacity_ || sweeps_used_ == kSweeps) apply();
  sweeps_.data()[sweeps_used_++] = sweep;
  Rotation* room = rotations_.data() + used_;
  used_ += sweep.count;
  return room;
}

inline void RowRotations::apply() {
  if (sweeps_used_ == 0) return;
  parallel_for(columns_, detail::kRotatedColumns, [&](std::int64_t begin, std::int64_t end, int slot) {
    double* panel = panels_.data() + slot * rows_ * detail::kRotatedColumns;
    const auto bytes = std::size_t(end - begin) * sizeof(double);
    clear(panel, rows_ * detail::kRotatedColumns);
    for (std::int64_t r = 0; r < rows_; ++r)
      __builtin_memcpy(panel + r * detail::kRotatedColumns, x_ + r * columns_ + begin, bytes);
    for_isa<detail::RotateRows>(panel, static_cast<const Sweep*>(sweeps_.data()), sweeps_used_,
                                static_cast<const Rotation*>(rotations_.data()));
    for (std::int64_t r = 0; r < rows_; ++r)
      __builtin_memcpy(x_ + r * columns_ + begin, panel + r * detail::kRotatedColumns, bytes);
  });
  used_ = sweeps_used_ = 0;
}

}  // namespace ergo::inline ERGO_BUILD::cpu
