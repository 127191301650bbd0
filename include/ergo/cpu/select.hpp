// The first k of the sorted order of rows, and single ranks of it, without sorting the rest. The order is that of
// sort.hpp: NaN last, -0 equal to +0, ties by place.
//
// The first k: a stream of the row against the k-th best so far, a block of keys at a time; blocks with nothing better
// are passed over, what is better gathers until a selection (Hoare's, std::nth_element) halves it. A long row is cut
// into pieces, each of which gives its own k. One rank: a histogram of the keys' first bits says which few elements
// can have it.
#pragma once

#include <algorithm>

#include "ergo/cpu/sort.hpp"

namespace ergo::inline ERGO_BUILD::cpu {

namespace detail {

inline constexpr std::int64_t kKeyBlock = 256;
inline constexpr std::int64_t kSelectPiece = 65536;   // longer rows are cut into pieces of so many
inline constexpr std::int64_t kHistogramRow = 16384;  // shorter rows are selected from as they are
inline constexpr int kHistogramBits = 13;

template <class Key>
constexpr bool ranks_before(const Ranked<Key>& a, const Ranked<Key>& b) {
  return a.key < b.key || (a.key == b.key && a.place < b.place);
}
template <class Key, class T>
struct KeysBody {  // the keys of n elements, complemented by `flip`, and the least of them
  template <Isa I>
  static ERGO_INLINE void run(const T* x, std::int64_t n, Key flip, Key* keys, Key* least) {
    Key m = ~Key(0);
    if (n == kKeyBlock) {
      for (std::int64_t i = 0; i < kKeyBlock; ++i) {
        const Key k = order_key<Key>(x[i]) ^ flip;
        keys[i] = k;
        m = k < m ? k : m;
      }
    } else {
      for (std::int64_t i = 0; i < n; ++i) {
        const Key k = order_key<Key>(x[i]) ^ flip;
        keys[i] = k;
        m = k < m ? k : m;
      }
    }
    *least = m;
  }
};

// The first k > 0 of x[0..n) in sorted order, in any order, into `best`, which has room for 2 k + kKeyBlock; places
// count from `origin`. Gives how many there are.
template <class Key, class T>
std::int64_t select_first(const T* x, std::int64_t n, bool descending, std::int64_t k, std::int64_t origin,
                          Ranked<Key>* best) {
  Key keys[kKeyBlock], least, limit = ~Key(0);
  const Key flip = descending ? ~Key(0) : Key(0);
  std::int64_t held = 0;
  bool full = false;  // `limit` is the k-th key: only smaller ones get in, as equal ones come later
  const auto halve = [&] {
    std::nth_element(best, best + k - 1, best + held, ranks_before<Key>);
    held = k;
    limit = best[k - 1].key;
    full = true;
  };
  for (std::int64_t i = 0; i < n; i += kKeyBlock) {
    const std::int64_t here = n - i < kKeyBlock ? n - i : kKeyBlock;
    for_isa<KeysBody<Key, T>>(x + i, here, flip, &keys[0], &least);
    if (full && least >= limit) continue;
    for (std::int64_t j = 0; j < here; ++j) {
      best[held] = {keys[j], Key(origin + i + j)};
      held += !full || keys[j] < limit;
    }
    if (held >= 2 * k) halve();
  }
  if (held > k) halve();
  return held;
}

// The rank-th of x[0..n) and, if `count` is 2, the next, into y; the first NaN as both if there is one.
template <class Key, class T>
void select_ranks(const T* x, std::int64_t n, std::int64_t rank, int count, Ranked<Key>* room, std::int64_t* counts,
                  std::int64_t* y) {
  Key keys[kKeyBlock], least;
  const auto blocks = [&](const auto& f) {
    for (std::int64_t i = 0; i < n; i += kKeyBlock) {
      const std::int64_t here = n - i < kKeyBlock ? n - i : kKeyBlock;
      for_isa<KeysBody<Key, T>>(x + i, here, Key(0), &keys[0], &least);
      f(i, here);
    }
  };
  constexpr int kShift = 8 * int(sizeof(Key)) - kHistogramBits;
  constexpr std::int64_t kBins = std::int64_t{1} << kHistogramBits;
  std::int64_t below = 0, held = 0;
  std::int64_t nan = n;
  Key first_bin = 0, last_bin = Key(kBins - 1);
  if (n >= kHistogramRow) {
    for (std::int64_t b = 0; b < kBins; ++b) counts[b] = 0;
    blocks([&](std::int64_t, std::int64_t here) {
      for (std::int64_t j = 0; j < here; ++j) ++counts[keys[j] >> kShift];
    });
    while (below + counts[first_bin] <= rank) below += counts[first_bin++];
    last_bin = first_bin;
    for (std::int64_t reached = below + counts[first_bin]; reached < rank + count;) reached += counts[++last_bin];
  }
  blocks([&](std::int64_t i, std::int64_t here) {
    for (std::int64_t j = 0; j < here; ++j) {
      const Key bin = keys[j] >> kShift;
      room[held] = {keys[j], Key(i + j)};
      held += bin >= first_bin && bin <= last_bin;
    }
    if constexpr (!std::is_integral_v<T>) {
      if (nan < n) return;
      for (std::int64_t j = 0; j < here && nan == n; ++j)
        if (x[i + j] != x[i + j]) nan = i + j;
    }
  });
  if (nan < n) {
    for (int c = 0; c < count; ++c) y[c] = nan;
    return;
  }
  Ranked<Key>* const at = room + (rank - below);
  std::nth_element(room, at, room + held, ranks_before<Key>);
  y[0] = std::int64_t(at->place);
  if (count == 2) y[1] = std::int64_t(std::min_element(at + 1, room + held, ranks_before<Key>)->place);
}

// f(T{}) for the dtype, as which bools are bytes.
template <class F>
void with_sorted_type(DType d, const F& f) {
  switch (d) {
    case DType::boolean:
    case DType::uint8:
      return f(std::uint8_t{});
    case DType::int32:
      return f(std::int32_t{});
    case DType::half:
      return f(half{});
    case DType::bfloat16:
      return f(bfloat16{});
    case DType::float32:
      return f(float{});
    case DType::int64:
      return f(std::int64_t{});
    case DType::float64:
      return f(double{});
  }
}
inline void store_place(DType index, std::byte* y, std::int64_t i, std::int64_t place) {
  if (index == DType::uint8)
    reinterpret_cast<std::uint8_t*>(y)[i] = std::uint8_t(place);
  else if (index == DType::int32)
    reinterpret_cast<std::int32_t*>(y)[i] = std::int32_t(place);
  else
    reinterpret_cast<std::int64_t*>(y)[i] = place;
}

template <class Key, class T>
void top_rows(const T* x, std::int64_t rows, std::int64_t n, bool descending, std::int64_t k, DType index,
              std::byte* y) {
  const std::int64_t width = size_of(index);
  const auto finish = [&](Ranked<Key>* best, std::int64_t held, std::int64_t row) {
    if (held > k) std::nth_element(best, best + k - 1, best + held, ranks_before<Key>);
    std::sort(best, best + k, ranks_before<Key>);
    for (std::int64_t i = 0; i < k; ++i) store_place(index, y + row * k * width, i, std::int64_t(best[i].place));
  };
  const std::int64_t pieces = k <= kSelectPiece / 16 ? (n + kSelectPiece - 1) / kSelectPiece : 1;
  if (pieces == 1) {
    parallel_for(rows, 1 + 16384 / n, [&](std::int64_t begin, std::int64_t end) {
      const Scratch<Ranked<Key>> best(2 * k + kKeyBlock);
      for (std::int64_t r = begin; r < end; ++r)
        finish(best.data(), select_first(x + r * n, n, descending, k, 0, best.data()), r);
    });
    return;
  }
  const std::int64_t each = 2 * k + kKeyBlock;
  const Scratch<Ranked<Key>> best(rows * pieces * each);
  const Scratch<std::int64_t> held(rows * pieces);
  parallel_for(rows * pieces, 1, [&](std::int64_t begin, std::int64_t end) {
    for (std::int64_t p = begin; p < end; ++p) {
      const std::int64_t first = p % pieces * kSelectPiece, here = n - first < kSelectPiece ? n - first : kSelectPiece;
      held.data()[p] = select_first(x + p / pieces * n + first, here, descending, k, first, best.data() + p * each);
    }
  });
  parallel_for(rows, 1 + 16384 / (pieces * k), [&](std::int64_t begin, std::int64_t end) {
    for (std::int64_t r = begin; r < end; ++r) {
      Ranked<Key>* const row = best.data() + r * pieces * each;
      std::int64_t all = held.data()[r * pieces];
      for (std::int64_t p = 1; p < pieces; ++p) {
        const std::int64_t own = held.data()[r * pieces + p];
        std::copy(row + p * each, row + p * each + own, row + all);  // to before where it was
        all += own;
      }
      finish(row, all, r);
    }
  });
}
template <class Key, class T>
void rank_rows(const T* x, std::int64_t rows, std::int64_t n, std::int64_t rank, int count, DType index, std::byte* y) {
  parallel_for(rows, 1 + 16384 / n, [&](std::int64_t begin, std::int64_t end) {
    const Scratch<Ranked<Key>> room(n + 1);
    const Scratch<std::int64_t> counts(n >= kHistogramRow ? std::int64_t{1} << kHistogramBits : 0);
    for (std::int64_t r = begin; r < end; ++r) {
      std::int64_t places[2];
      select_ranks(x + r * n, n, rank, count, room.data(), counts.data(), places);
      for (int c = 0; c < count; ++c) store_place(index, y, r * count + c, places[c]);
    }
  });
}

}  // namespace detail

// The places of the first k elements along x's last axis in sorted order, in that order: (..., k), k <= n, integers of
// type `index`.
inline Ref<Array> top_places(const Array& x, bool descending, std::int64_t k, DType index) {
  const std::int64_t n = x.shape[-1];
  const Ref<Array> from = ergo::detail::dense(x);
  const Ref<Array> y = Array::make(index, x.shape.first(x.shape.rank() - 1) + Shape{k});
  if (y->numel() == 0) return y;
  if (n < 64 || (k >= 64 && k > n / 4)) {  // sorting it all is no more work
    const Ref<Array> order = argsort_last(*from, descending, index);
    const Ref<Array> head = Array::view(*order, y->shape);
    head->set_row_major();
    for (int d = 0; d < x.shape.rank(); ++d) head->stride[d] = order->stride[d];
    head->settle();
    return ergo::detail::dense(*head);
  }
  detail::with_sorted_type(x.dtype, [&]<class T>(T) {
    const T* p = reinterpret_cast<const T*>(from->data);
    if (sizeof(T) == 8 || n > 0xffffffff)
      detail::top_rows<std::uint64_t>(p, x.numel() / n, n, descending, k, index, y->data);
    else
      detail::top_rows<std::conditional_t<sizeof(T) == 8, std::uint64_t, std::uint32_t>>(p, x.numel() / n, n,
                                                                                         descending, k, index, y->data);
  });
  return y;
}

// The places of the elements of x's last axis (n > 0) that have the ranks `rank` to `rank + count - 1`, count 1 or 2:
// (..., count). A row with NaN gives its first NaN.
inline Ref<Array> rank_places(const Array& x, std::int64_t rank, int count, DType index) {
  const std::int64_t n = x.shape[-1];
  const Ref<Array> from = ergo::detail::dense(x);
  const Ref<Array> y = Array::make(index, x.shape.first(x.shape.rank() - 1) + Shape{count});
  if (y->numel() == 0) return y;
  detail::with_sorted_type(x.dtype, [&]<class T>(T) {
    const T* p = reinterpret_cast<const T*>(from->data);
    if (sizeof(T) == 8 || n > 0xffffffff)
      detail::rank_rows<std::uint64_t>(p, x.numel() / n, n, rank, count, index, y->data);
    else
      detail::rank_rows<std::conditional_t<sizeof(T) == 8, std::uint64_t, std::uint32_t>>(p, x.numel() / n, n, rank,
                                                                                          count, index, y->data);
  });
  return y;
}

}  // namespace ergo::inline ERGO_BUILD::cpu
