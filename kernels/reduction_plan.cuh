// How reduction.cuh divides its work: rows or columns, threads a result, splits; by shape, strides and alignment alone,
// so that trees do not depend on the GPU.
#pragma once

#include "ergo/kernels/common/pack.cuh"
#include "ergo/kernels/common/view.cuh"

namespace ergo::inline ERGO_BUILD::cuda::detail {

inline constexpr int kReduceBlock = 256;

constexpr std::int64_t ceil_divide(std::int64_t n, std::int64_t d) { return (n + d - 1) / d; }
// The least power of two from n on, but at most `largest`; 1 for n <= 1.
constexpr int power_of_two_from(std::int64_t n, int largest) {
  int p = 1;
  while (p < n && p < largest) p *= 2;
  return p;
}

// How a reduction is done, by shape, strides and alignment alone.
struct ReducePlan {
  static constexpr std::int64_t kLongest = 65536, kShortest = 4096;  // elements of a block
  static constexpr std::int64_t kFew = 256, kEnough = 512;           // blocks: fewer than kFew are made more
  static constexpr std::int64_t kWarpRow = 1024;

  bool rows;
  int pack, width;  // columns: V, and packs a block; rows: lanes a row
  std::int64_t tiles, splits, chunk;

  // Without splits.
  template <class T>
  static ReducePlan of_rows(const View<const T, 3>& x) {
    const std::int64_t n = x.shape[1];
    const int lanes = n > kWarpRow ? kReduceBlock : power_of_two_from(ceil_divide(n * std::int64_t(sizeof(T)), 64), 32);
    return {true, 1, lanes, ceil_divide(x.shape[0] * x.shape[2], kReduceBlock / lanes), 1, n};
  }
  template <class T>
  static ReducePlan of_columns(const View<const T, 3>& x, int pack) {
    const std::int64_t n = x.shape[1], packs = x.shape[2] / pack;
    const auto size = [](std::int64_t stride) { return stride < 0 ? -stride : stride; };
    const bool across = packs == 1 || size(x.stride[1]) < size(x.stride[2]);  // neighbours lie along the reduced axis
    const int height = across ? power_of_two_from(n / 4, kReduceBlock)
                              : power_of_two_from(n / 8, kReduceBlock / power_of_two_from(packs, 32));
    const int width = kReduceBlock / height;
    return {false, pack, width, ceil_divide(x.shape[0] * packs, width), 1, n};
  }
  void split() {
    const std::int64_t side = rows ? 1 : std::int64_t{width} * pack, n = chunk;
    if (n * side <= kShortest || (rows && n <= kWarpRow)) return;
    splits = ceil_divide(n * side, kLongest);
    if (tiles < kFew) {
      const std::int64_t most = n * side / kShortest, wanted = kEnough / tiles, filling = most < wanted ? most : wanted;
      if (filling > splits) splits = filling;
    }
    chunk = ceil_divide(ceil_divide(n, splits), 16) * 16;
    splits = ceil_divide(n, chunk);
  }
  LaunchShape shape() const { return {unsigned(tiles * splits), kReduceBlock}; }  // more have no room in memory
};

// One result a row of neighbours: the same as columns of one group.
template <class T>
View<const T, 3> merged(const View<const T, 3>& x) {
  if (x.shape[2] != 1) return x;
  return {x.data, {1, x.shape[1], x.shape[0]}, {0, x.stride[1], x.stride[0]}};
}

}  // namespace ergo::inline ERGO_BUILD::cuda::detail
