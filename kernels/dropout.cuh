// Dropout: y[k, i] = m x[k, i] / (1 - p), m = 0 with probability p, one mask for each key k. The mask is made of the
// words of the key's counters (random.cuh) wherever it is needed, forward and backward, and never stored; it and y have
// the bits of the CPU (ops/dropout.hpp). x is read once, y written once, 16 bytes at a time where the address allows;
// 16-bit types are scaled in float.
#pragma once

#include "ergo/kernels/random.cuh"

namespace ergo::inline ERGO_BUILD::cuda {

// y = 0 where the word of an element, as a signed number, is below `threshold`, else scale x. x of key k begins at
// x + k x_stride.
template <class T>
__global__ void __launch_bounds__(kDrawBlock)
    dropout_kernel(const T* x, std::int64_t x_stride, Keys keys, T* y, KeyedGroups shape, std::int32_t threshold,
                   Compute<T> scale) {
  constexpr int kGroup = kPackOf<T> < 4 ? 4 : kPackOf<T>, V = kPackOf<T>;
#pragma unroll 1
  for (int k = 0; k < kDrawItems; ++k) {
    const std::int64_t index = (std::int64_t(blockIdx.x) * kDrawItems + k) * kDrawBlock + threadIdx.x;
    if (index >= shape.total) return;
    std::int64_t key, group;
    shape.locate(index, key, group);
    const std::int64_t first = group * kGroup, left = shape.each - first;
    const T* from = x + key * x_stride + first;
    T value[kGroup];
    if (left >= kGroup && reinterpret_cast<std::uintptr_t>(from) % 16 == 0) {
#pragma unroll
      for (int i = 0; i < kGroup; i += V) {
        const Pack<T, V> p = load_pack<V>(from + i);
#pragma unroll
        for (int j = 0; j < V; ++j) value[i + j] = p[j];
      }
    } else {
#pragma unroll
      for (int i = 0; i < kGroup; ++i) value[i] = i < left ? from[i] : narrow<T>(Compute<T>(0));
    }
#pragma unroll
    for (int c = 0; c < kGroup; c += 4) {
      const auto b = random_block(keys[key], std::uint64_t((first + c) / 4));
#pragma unroll
      for (int i = 0; i < 4; ++i)
        value[c + i] = narrow<T>(std::int32_t(b.word[i]) < threshold ? Compute<T>(0) : widen(value[c + i]) * scale);
    }
    store_group(y + key * shape.each + first, value, left);
  }
}

// y[k, i] = 0 with probability p, else x[k, i] / (1 - p), 0 < p < 1, the bits of ops/dropout.hpp. y is dense; rows of x
// are x_stride elements apart (0: one for all keys). y may be x.
template <class T>
void launch_dropout(Stream& stream, const T* x, std::int64_t x_stride, Keys keys, std::int64_t n_keys,
                    std::int64_t count, double p, T* y) {
  const auto threshold = std::int32_t(std::int64_t(p * 0x1p32) - (std::int64_t(1) << 31));
  const auto scale = Compute<T>(1 / (1 - p));
  detail::over_keys(n_keys, count, kPackOf<T> < 4 ? 4 : kPackOf<T>, [&](std::int64_t k, const KeyedGroups& shape) {
    launch(stream, "dropout", detail::draw_shape(shape), dropout_kernel<T>, x + k * x_stride, x_stride, keys + k,
           y + k * count, shape, threshold, scale);
  });
}

}  // namespace ergo::inline ERGO_BUILD::cuda
