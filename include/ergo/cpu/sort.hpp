// Stable order of the elements of rows: -inf < ... < inf < NaN, all NaNs equal, -0 equal to +0; descending reverses
// that order but keeps equal elements as they were. Each dtype becomes unsigned integers of the same order, so the
// sorting itself is compiled for two widths only: merges for short rows, a radix sort for long ones.
#pragma once

#include "ergo/cpu/scratch.hpp"
#include "ergo/cpu/storage.hpp"

namespace ergo::inline ERGO_BUILD::cpu {

namespace detail {

template <class Key>
struct Ranked {  // an element's key and place
  Key key, place;
};

template <class Key, class F>
Key float_key(F x) {
  constexpr Key sign = Key(1) << (sizeof(Key) * 8 - 1);
  if (x != x) return ~Key(0);
  const Key bits = std::bit_cast<Key>(F(x + F(0)));  // -0 + 0 is +0
  return bits & sign ? ~bits : bits | sign;
}
template <class Key, class T>
Key order_key(T x) {
  if constexpr (std::is_same_v<T, half> || std::is_same_v<T, bfloat16>)
    return Key(float_key<std::uint32_t>(float(x)));
  else if constexpr (std::is_same_v<T, float>)
    return Key(float_key<std::uint32_t>(x));
  else if constexpr (std::is_same_v<T, double>)
    return Key(float_key<std::uint64_t>(x));
  else if constexpr (std::is_same_v<T, std::int32_t>)
    return Key(std::uint32_t(x) ^ 0x80000000u);
  else if constexpr (std::is_same_v<T, std::int64_t>)
    return Key(std::uint64_t(x) ^ 0x8000000000000000u);
  else
    return Key(x);
}
template <class Key, class T>
void rank_run(const std::byte* x, std::int64_t n, bool descending, Ranked<Key>* y) {
  const T* p = reinterpret_cast<const T*>(x);
  for (std::int64_t i = 0; i < n; ++i) {
    const Key k = order_key<Key>(p[i]);
    y[i] = {descending ? Key(~k) : k, Key(i)};
  }
}
template <class Key>
void rank_elements(DType d, const std::byte* x, std::int64_t n, bool descending, Ranked<Key>* y) {
  switch (d) {
    case DType::boolean:
    case DType::uint8:
      return rank_run<Key, std::uint8_t>(x, n, descending, y);
    case DType::int32:
      return rank_run<Key, std::int32_t>(x, n, descending, y);
    case DType::half:
      return rank_run<Key, half>(x, n, descending, y);
    case DType::bfloat16:
      return rank_run<Key, bfloat16>(x, n, descending, y);
    case DType::float32:
      return rank_run<Key, float>(x, n, descending, y);
    case DType::int64:
      return rank_run<Key, std::int64_t>(x, n, descending, y);
    case DType::float64:
      return rank_run<Key, double>(x, n, descending, y);
  }
}

// Runs of 16 by insertion, then merges from one buffer to the other. Gives the one that holds the result.
template <class Key>
Ranked<Key>* merge_sort(Ranked<Key>* a, Ranked<Key>* b, std::int64_t n) {
  for (std::int64_t begin = 0; begin < n; begin += 16) {
    const std::int64_t end = n - begin < 16 ? n : begin + 16;
    for (std::int64_t i = begin + 1; i < end; ++i) {
      const Ranked<Key> x = a[i];
      std::int64_t j = i;
      for (; j > begin && x.key < a[j - 1].key; --j) a[j] = a[j - 1];
      a[j] = x;
    }
  }
  for (std::int64_t half_width = 16; half_width < n; half_width *= 2) {
    for (std::int64_t begin = 0; begin < n; begin += 2 * half_width) {
      const std::int64_t middle = n - begin < half_width ? n : begin + half_width;
      const std::int64_t end = n - middle < half_width ? n : middle + half_width;
      for (std::int64_t i = begin, j = middle, k = begin; k < end; ++k)
        b[k] = i < middle && (j >= end || !(a[j].key < a[i].key)) ? a[i++] : a[j++];
    }
    Ranked<Key>* const sorted = b;
    b = a;
    a = sorted;
  }
  return a;
}

// By bytes of the key, lowest first; a byte that all share is passed over.
template <class Key>
Ranked<Key>* radix_sort(Ranked<Key>* a, Ranked<Key>* b, std::int64_t n) {
  constexpr int kDigits = int(sizeof(Key));
  std::int64_t count[kDigits][256] = {};
  for (std::int64_t i = 0; i < n; ++i)
    for (int d = 0; d < kDigits; ++d) ++count[d][a[i].key >> (8 * d) & 255];
  for (int d = 0; d < kDigits; ++d) {
    if (count[d][a[0].key >> (8 * d) & 255] == n) continue;
    std::int64_t at = 0;
    for (std::int64_t& c : count[d]) {
      const std::int64_t own = c;
      c = at;
      at += own;
    }
    for (std::int64_t i = 0; i < n; ++i) b[count[d][a[i].key >> (8 * d) & 255]++] = a[i];
    Ranked<Key>* const sorted = b;
    b = a;
    a = sorted;
  }
  return a;
}

inline constexpr std::int64_t kRadixRow = 512;  // shorter rows are merged

template <class Key, class I>
void store_places(const Ranked<Key>* x, std::int64_t n, std::byte* y) {
  for (std::int64_t i = 0; i < n; ++i) reinterpret_cast<I*>(y)[i] = I(x[i].place);
}
template <class Key>
void argsort_rows(const Array& x, const Array& y, bool descending) {
  const std::int64_t n = x.shape[-1], rows = x.numel() / n, width = size_of(x.dtype), index_width = size_of(y.dtype);
  parallel_for(rows, 1 + 8192 / n, [&](std::int64_t begin, std::int64_t end) {
    const Scratch<Ranked<Key>> a(n), b(n);
    for (std::int64_t r = begin; r < end; ++r) {
      rank_elements(x.dtype, x.data + r * n * width, n, descending, a.data());
      const Ranked<Key>* sorted = n < kRadixRow ? merge_sort(a.data(), b.data(), n) : radix_sort(a.data(), b.data(), n);
      std::byte* to = y.data + r * n * index_width;
      if (y.dtype == DType::uint8)
        store_places<Key, std::uint8_t>(sorted, n, to);
      else if (y.dtype == DType::int32)
        store_places<Key, std::int32_t>(sorted, n, to);
      else
        store_places<Key, std::int64_t>(sorted, n, to);
    }
  });
}

}  // namespace detail

// The places of x's elements along its last axis in sorted order, as integers of type `index`, which holds the extent.
inline Ref<Array> argsort_last(const Array& x, bool descending, DType index) {
  const Ref<Array> from = ergo::detail::dense(x), y = Array::make(index, x.shape);
  if (x.numel() == 0) return y;
  if (size_of(x.dtype) == 8 || x.shape[-1] > 0xffffffff)
    detail::argsort_rows<std::uint64_t>(*from, *y, descending);
  else
    detail::argsort_rows<std::uint32_t>(*from, *y, descending);
  return y;
}

}  // namespace ergo::inline ERGO_BUILD::cpu
