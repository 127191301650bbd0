// What keeps only some elements, so that the data say how many: places of nonzero elements, and distinct elements.
#pragma once

#include "ergo/core/handle.hpp"
#include "ergo/cpu/select.hpp"

namespace ergo::inline ERGO_BUILD::cpu {

namespace detail {

// Places of x[0..n) that are not 0 into `to`, which has room for one more than there are. Without a branch: each place
// is written, and counts if it is wanted.
template <class T, class I>
void nonzero_run(const T* x, std::int64_t n, std::int64_t origin, I* to) {
  for (std::int64_t i = 0; i < n; ++i) {
    *to = I(origin + i);
    to += x[i] != T(0);
  }
}

}  // namespace detail

// The flat places of x's elements other than 0 in row-major order, as integers of 64 bits; NaN is one, -0 is not.
inline Ref<Array> nonzero_places(const Array& x) {
  constexpr std::int64_t kPiece = 32768;
  const Ref<Array> from = ergo::detail::dense(x);
  const std::int64_t n = x.numel(), pieces = (n + kPiece - 1) / kPiece;
  Ref<Array> y;
  detail::with_sorted_type(x.dtype, [&]<class T>(T) {
    const T* p = reinterpret_cast<const T*>(from->data);
    const Scratch<std::int64_t> starts(pieces + 1);
    std::int64_t* const start = starts.data();
    const auto here = [=](std::int64_t piece) { return n - piece * kPiece < kPiece ? n - piece * kPiece : kPiece; };
    parallel_for(pieces, 1, [=](std::int64_t begin, std::int64_t end) {
      for (std::int64_t k = begin; k < end; ++k) {
        const T* const own = p + k * kPiece;
        std::int64_t count = 0;
        for (std::int64_t i = 0, m = here(k); i < m; ++i) count += own[i] != T(0);
        start[k + 1] = count;
      }
    });
    start[0] = 0;
    for (std::int64_t k = 0; k < pieces; ++k) start[k + 1] += start[k];
    y = Array::make(DType::int64, Shape{start[pieces]});
    auto* const to = ergo::detail::data_of<std::int64_t>(*y);
    parallel_for(pieces, 1, [=](std::int64_t begin, std::int64_t end) {
      const Scratch<std::int64_t> room(kPiece + 1);
      for (std::int64_t k = begin; k < end; ++k) {
        detail::nonzero_run(p + k * kPiece, here(k), k * kPiece, room.data());
        std::memcpy(to + start[k], room.data(), std::size_t(start[k + 1] - start[k]) * 8);
      }
    });
  });
  return y;
}

// The distinct elements of x: where the first of each lies in row-major order, in sorted order; which of them each
// element of x is; and how often each occurs. Integers of 64 bits. All NaNs are one element, and so are -0 and +0.
struct Distinct {
  Ref<Array> first, inverse, counts;
};
namespace detail {
template <class Key>
Distinct distinct_keys(const Array& x) {
  const std::int64_t n = x.numel();
  const Scratch<Ranked<Key>> a(n), b(n);
  Distinct d;
  d.inverse = Array::make(DType::int64, x.shape);
  rank_elements(x.dtype, x.data, n, false, a.data());
  const Ranked<Key>* const sorted = n == 0          ? a.data()
                                    : n < kRadixRow ? merge_sort(a.data(), b.data(), n)
                                                    : radix_sort(a.data(), b.data(), n);
  std::int64_t m = 0;
  for (std::int64_t i = 0; i < n; ++i) m += i == 0 || sorted[i].key != sorted[i - 1].key;
  d.first = Array::make(DType::int64, Shape{m});
  d.counts = Array::make(DType::int64, Shape{m});
  auto* const first = ergo::detail::data_of<std::int64_t>(*d.first);
  auto* const counts = ergo::detail::data_of<std::int64_t>(*d.counts);
  auto* const inverse = ergo::detail::data_of<std::int64_t>(*d.inverse);
  for (std::int64_t i = 0, u = -1; i < n; ++i) {
    if (i == 0 || sorted[i].key != sorted[i - 1].key) {
      first[++u] = std::int64_t(sorted[i].place);
      counts[u] = 0;
    }
    ++counts[u];
    inverse[sorted[i].place] = u;
  }
  return d;
}
}  // namespace detail
inline Distinct distinct(const Array& x) {
  const Ref<Array> from = ergo::detail::dense(x);
  return size_of(x.dtype) == 8 || x.numel() > 0xffffffff ? detail::distinct_keys<std::uint64_t>(*from)
                                                         : detail::distinct_keys<std::uint32_t>(*from);
}

}  // namespace ergo::inline ERGO_BUILD::cpu
