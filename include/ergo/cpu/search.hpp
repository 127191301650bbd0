// Binary search of many numbers in sorted rows. Every search of a row takes the same steps, so eight go side by side
// without a branch and their waits for memory overlap.
#pragma once

#include "ergo/cpu/gather.hpp"

namespace ergo::inline ERGO_BUILD::cpu {

namespace detail {

// How many of row[0..n), n > 0, come before each of x[0..count): those for which `before(element, x)`, a prefix.
template <int Count, class T, class Before>
void count_before(const T* row, std::int64_t n, const T* x, std::int64_t* places, Before before) {
  std::int64_t at[Count] = {};
  for (std::int64_t left = n; left > 1;) {
    const std::int64_t half_width = left / 2;
    for (int k = 0; k < Count; ++k) at[k] += before(row[at[k] + half_width - 1], x[k]) ? half_width : 0;
    left -= half_width;
  }
  for (int k = 0; k < Count; ++k) places[k] = at[k] + (before(row[at[k]], x[k]) ? 1 : 0);
}
template <class T, class I, class Before>
void search_run(const T* row, std::int64_t n, const T* x, std::int64_t count, I* y, Before before) {
  std::int64_t i = 0, places[8];
  for (; i + 8 <= count; i += 8) {
    count_before<8>(row, n, x + i, places, before);
    for (int k = 0; k < 8; ++k) y[i + k] = I(places[k]);
  }
  for (; i < count; ++i) {
    count_before<1>(row, n, x + i, places, before);
    y[i] = I(places[0]);
  }
}
template <class T, class I>
void search_row(const T* row, std::int64_t n, bool right, const T* x, std::int64_t count, I* y) {
  if (n == 0) {
    for (std::int64_t i = 0; i < count; ++i) y[i] = 0;
    return;
  }
  if (right)
    search_run(row, n, x, count, y, [](T a, T b) { return a <= b; });
  else
    search_run(row, n, x, count, y, [](T a, T b) { return a < b; });
  if constexpr (std::is_floating_point_v<T>) {  // a NaN comes behind all numbers, and before or behind its equals
    for (std::int64_t i = 0; i < count; ++i) {
      if (x[i] == x[i]) continue;
      std::int64_t place = n;
      if (!right) count_before<1>(row, n, x + i, &place, [](T a, T) { return a == a; });
      y[i] = I(place);
    }
  }
}

}  // namespace detail

// sorted (lead..., n) and x (lead..., own...), whose last `own` axes all search one row; leading axes broadcast. Gives
// integers of type `index`, int32 or int64 or uint8, which holds n.
inline Ref<Array> search_sorted(const Array& sorted, const Array& x, int own, bool right, DType index) {
  if (is_storage_only(x.dtype)) return search_sorted(*widened(sorted), *widened(x), own, right, index);
  const Ref<Array> rows = ergo::detail::dense(sorted), from = ergo::detail::dense(x);
  const int s_lead = sorted.shape.rank() - 1, x_lead = x.shape.rank() - own;
  Shape lead = sorted.shape.first(s_lead);
  ergo::detail::broadcast(lead, x.shape.first(x_lead));
  const Ref<Array> y = Array::make(index, lead + x.shape.last(own));
  const std::int64_t n = sorted.shape[-1], count = x.shape.last(own).numel(), width = size_of(index);
  LeadingAxes<2> at(lead);
  at.operand(0, *rows, s_lead);
  at.operand(1, *from, x_lead);
  const auto run = [&]<class T>(T) {
    parallel_for(y->numel(), 1024, [&](std::int64_t begin, std::int64_t end) {
      for (std::int64_t i = begin; i < end;) {
        const std::int64_t l = i / count, first = i % count;
        const std::int64_t here = count - first < end - i ? count - first : end - i;
        const T* row = reinterpret_cast<const T*>(rows->data + at.offset(0, l));
        const T* p = reinterpret_cast<const T*>(from->data + at.offset(1, l)) + first;
        std::byte* to = y->data + i * width;
        if (index == DType::int64)
          detail::search_row(row, n, right, p, here, reinterpret_cast<std::int64_t*>(to));
        else if (index == DType::int32)
          detail::search_row(row, n, right, p, here, reinterpret_cast<std::int32_t*>(to));
        else
          detail::search_row(row, n, right, p, here, reinterpret_cast<std::uint8_t*>(to));
        i += here;
      }
    });
  };
  if (x.dtype == DType::float64)
    run(0.0);
  else if (x.dtype == DType::float32)
    run(0.0f);
  else if (x.dtype == DType::int64)
    run(std::int64_t{});
  else if (x.dtype == DType::int32)
    run(std::int32_t{});
  else
    run(std::uint8_t{});
  return y;
}

}  // namespace ergo::inline ERGO_BUILD::cpu
