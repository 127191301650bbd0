// Random integers: randint, and permutation. Both read their key's stream in words of 64 bits.
#pragma once

#include "ergo/ops/random_draw.hpp"

namespace ergo::inline ERGO_BUILD {
namespace detail {

// floor(range w / 2^64) for w = first, 64 uniform bits: up to a range of 2^32 every value has its share to within 2^-32
// of it. Beyond, `second` gives w a fraction of 64 bits more.
__extension__ typedef unsigned __int128 Wide;
inline std::uint64_t scaled(std::uint64_t range, std::uint64_t first) {
  return std::uint64_t(Wide(range) * first >> 64);
}
inline std::uint64_t scaled(std::uint64_t range, std::uint64_t first, std::uint64_t second) {
  return std::uint64_t((Wide(range) * first + (Wide(range) * second >> 64)) >> 64);
}

// n random 64-bit words of a key's stream, beginning with block `first`.
inline void draw_wide_words(std::uint64_t key, std::uint64_t first, std::uint64_t* words, std::int64_t n) {
  std::uint32_t half[1024];
  for (std::int64_t at = 0; at < n; at += 512, first += 256) {
    const std::int64_t count = n - at < 512 ? n - at : 512;
    cpu::draw_run(cpu::WordDraw{}, key, first, half, 2 * count);
    for (std::int64_t i = 0; i < count; ++i) words[at + i] = half[2 * i] | std::uint64_t(half[2 * i + 1]) << 32;
  }
}

template <class T>
struct RandomIntegers {
  static constexpr auto name = "randint";
  static constexpr bool constant = true;
  std::int64_t low;
  std::uint64_t range;
  Shape shape;
  Tensor<T> value(const Tensor<std::int64_t>& keys) const {
#if defined(__CUDACC__) || defined(ERGO_EMULATED)
    if (const Device d = default_device(); !d.is_cpu())
      return ergo::cuda::draw<T>(d, keys, shape, [&](const ergo::cuda::Work& w, auto... x) {
        ergo::cuda::launch_randint<T>(w.stream(), low, range, x...);
      });
#endif
    const Ref<Array> k = readable(name, keys.array());
    Ref<Array> r = Array::make(dtype_of<T>, keys.shape() + shape);
    const std::int64_t each = shape.numel(), lanes = k->numel();
    constexpr std::int64_t kChunk = 1024;
    const std::int64_t chunks = (each + kChunk - 1) / kChunk;
    parallel_for(lanes * chunks, 16, [&](std::int64_t begin, std::int64_t end) {
      std::uint64_t words[2 * kChunk];
      for (std::int64_t i = begin; i < end; ++i) {
        const std::int64_t lane = i / chunks, from = i % chunks * kChunk;
        const std::int64_t n = each - from < kChunk ? each - from : kChunk;
        const auto key = std::uint64_t(data_of<std::int64_t>(*k)[lane]), first = std::uint64_t(low);
        T* y = data_of<T>(*r) + lane * each + from;
        if (range >> 32) {
          draw_wide_words(key, std::uint64_t(from), words, 2 * n);
          for (std::int64_t j = 0; j < n; ++j) y[j] = T(first + scaled(range, words[2 * j], words[2 * j + 1]));
        } else {
          draw_wide_words(key, std::uint64_t(from / 2), words, n);
          for (std::int64_t j = 0; j < n; ++j) y[j] = T(first + scaled(range, words[j]));
        }
      }
    });
    return Tensor<T>(on_device(std::move(r), default_device()));
  }
};

// 0 ... n - 1 in random order, for each key: Fisher and Yates' exchanges from the back, number i with word i.
template <class T>
struct Permutation {
  static constexpr auto name = "permutation";
  static constexpr bool constant = true;
  std::int64_t n;
  Tensor<T> value(const Tensor<std::int64_t>& keys) const {
#if defined(__CUDACC__) || defined(ERGO_EMULATED)
    if (const Device d = default_device(); !d.is_cpu())
      return ergo::cuda::draw<T>(d, keys, Shape{n}, [&](const ergo::cuda::Work& w, auto... x) {
        const ergo::cuda::Workspace scratch(w, ergo::cuda::permutation_workspace(keys.numel(), n));
        ergo::cuda::launch_permutation<T>(w.stream(), x..., scratch.data());
      });
#endif
    const Ref<Array> k = readable(name, keys.array());
    Ref<Array> r = Array::make(dtype_of<T>, keys.shape() + Shape{n});
    parallel_for(k->numel(), 1 + 16384 / (n + 1), [&](std::int64_t begin, std::int64_t end) {
      for (std::int64_t lane = begin; lane < end; ++lane)
        shuffle(std::uint64_t(data_of<std::int64_t>(*k)[lane]), data_of<T>(*r) + lane * n);
    });
    return Tensor<T>(on_device(std::move(r), default_device()));
  }

 private:
  void shuffle(std::uint64_t key, T* y) const {
    for (std::int64_t i = 0; i < n; ++i) y[i] = T(i);
    constexpr std::int64_t kChunk = 512;
    std::uint64_t words[kChunk];
    for (std::int64_t from = (n - 1) / kChunk * kChunk; from >= 0; from -= kChunk) {
      const std::int64_t end = n - from < kChunk ? n : from + kChunk;
      draw_wide_words(key, std::uint64_t(from / 2), words, end - from);
      for (std::int64_t i = end; i-- > from;) {
        const auto j = std::int64_t(scaled(std::uint64_t(i) + 1, words[i - from]));
        const T other = y[j];
        y[j] = y[i];
        y[i] = other;
      }
    }
  }
};

}  // namespace detail

// Integers of [lo, hi), each with the same probability to within 2^-32 of it.
template <Index T = std::int32_t, Integer A, Integer B>
Tensor<T> randint(const Key& key, const Shape& shape, A lo, B hi) {
  detail::check_one_key("randint", key);
  shape.numel();
  if (!std::cmp_less(lo, hi))
    throw_error({"[randint] bounds ", lo, " and ", hi, ": the first must be below the second"});
  if (!std::in_range<T>(lo) || !std::in_range<T>(hi - 1))
    throw_error({"[randint] bounds ", lo, " and ", hi, " do not fit ", dtype_of<T>, ": randint<int64_t>(...)"});
  const detail::RandomIntegers<T> op{std::int64_t(lo), std::uint64_t(hi) - std::uint64_t(lo), shape};
  return linear_op(op, key.material);
}

// The numbers 0 ... n - 1 in random order, every order with the same probability.
template <Index T = std::int32_t>
Tensor<T> permutation(const Key& key, AnyInteger n) {
  detail::check_one_key("permutation", key);
  if (n < 0) throw_error({"[permutation] ", std::int64_t(n), " elements: the number must not be negative"});
  if (n > 0 && !std::in_range<T>(n - 1))
    throw_error(
        {"[permutation] ", std::int64_t(n), " elements do not fit ", dtype_of<T>, ": permutation<int64_t>(key, n)"});
  return linear_op(detail::Permutation<T>{n}, key.material);
}

}  // namespace ergo::inline ERGO_BUILD
