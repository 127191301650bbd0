// How many elements fall into each bin: of ids, and between ascending edges. Parts of fixed length, by the shape alone,
// are counted side by side and then added; integers, so in any order the same.
#pragma once

#include "ergo/cpu/gather.hpp"
#include "ergo/cpu/scratch.hpp"

namespace ergo::inline ERGO_BUILD::cpu {

namespace detail {

// y[b] = how many i < m have bin(i) == b, of n bins; -1 is none.
template <class Out, class Bin>
void count_run(std::int64_t m, std::int64_t n, Out* y, const Bin& bin) {
  constexpr std::int64_t kLeast = 32768;  // elements of a part, and no fewer than bins
  const std::int64_t least = n > kLeast ? n : kLeast, parts = m / least < 1 ? 1 : m / least > 8 ? 8 : m / least;
  const auto count = [&](std::int64_t part, Out* to) {
    for (std::int64_t b = 0; b < n; ++b) to[b] = 0;
    for (std::int64_t i = m * part / parts, end = m * (part + 1) / parts; i < end; ++i)
      if (const std::int64_t b = bin(i); b >= 0) ++to[b];
  };
  if (parts == 1) return count(0, y);
  const Scratch<Out> rest((parts - 1) * n);
  parallel_for(parts, 1, [&](std::int64_t begin, std::int64_t end) {
    for (std::int64_t p = begin; p < end; ++p) count(p, p == 0 ? y : rest.data() + (p - 1) * n);
  });
  for (std::int64_t p = 0; p + 1 < parts; ++p)
    for (std::int64_t b = 0; b < n; ++b) y[b] += rest.data()[p * n + b];
}

// The bin of v between edges[0..n], half-open but for the last; -1 outside and of NaN.
template <class T>
std::int64_t bin_of(T v, const T* edges, std::int64_t n) {
  if (!(edges[0] <= v && v <= edges[n])) return -1;
  std::int64_t low = 0, high = n;  // edges[low] <= v, and v < edges[high] or high == n
  while (high - low > 1) {
    const std::int64_t middle = low + (high - low) / 2;
    if (edges[middle] <= v)
      low = middle;
    else
      high = middle;
  }
  return low;
}

}  // namespace detail

// ids (lead..., places...) from checked_indices to (lead..., n).
template <class Out>
Ref<Array> bincount(const Array& ids, int places, std::int64_t n) {
  const Shape lead = ids.shape.first(ids.shape.rank() - places);
  Ref<Array> y = Array::make(dtype_of<Out>, lead + Shape{n});
  const std::int64_t sets = lead.numel(), m = ids.shape.last(places).numel();
  parallel_for(sets, m >= 32768 ? sets : 1 + 16384 / (m + n + 1), [&](std::int64_t begin, std::int64_t end) {
    for (std::int64_t s = begin; s < end; ++s) {
      const std::int64_t* id = reinterpret_cast<const std::int64_t*>(ids.data) + s * m;
      detail::count_run(m, n, reinterpret_cast<Out*>(y->data) + s * n, [=](std::int64_t i) { return id[i]; });
    }
  });
  return y;
}

// The edges (..., n + 1) ascend, or an Error that says where they do not.
template <class T>
void check_edges(const Array& edges) {
  const Ref<Array> from = ergo::detail::dense(edges);
  const T* p = reinterpret_cast<const T*>(from->data);
  const std::int64_t n = edges.shape[-1];
  for (std::int64_t i = 0; i + 1 < edges.numel(); ++i)
    if (i % n + 1 < n && !(convert<Compute<T>>(p[i]) <= convert<Compute<T>>(p[i + 1])))
      throw_error({"[histogram] edges ", edges.shape, ": they do not ascend from ", i % n, " to ", i % n + 1,
                   " (sort(edges) first)"});
}

// x (lead..., places...), edges (lead..., n + 1), whose leading axes broadcast, to (lead..., n).
template <class T, class Out>
Ref<Array> histogram(const Array& x, int places, const Array& edges) {
  check_edges<T>(edges);
  const Ref<Array> from = ergo::detail::dense(x), ends = ergo::detail::dense(edges);
  const int x_lead = x.shape.rank() - places, e_lead = edges.shape.rank() - 1;
  Shape lead = x.shape.first(x_lead);
  ergo::detail::broadcast(lead, edges.shape.first(e_lead));
  LeadingAxes<2> at(lead);
  at.operand(0, *from, x_lead);
  at.operand(1, *ends, e_lead);
  const std::int64_t n = edges.shape[-1] - 1, sets = lead.numel(), m = x.shape.last(places).numel();
  Ref<Array> y = Array::make(dtype_of<Out>, lead + Shape{n});
  parallel_for(sets, m >= 32768 ? sets : 1 + 16384 / (m + n), [&](std::int64_t begin, std::int64_t end) {
    for (std::int64_t s = begin; s < end; ++s) {
      const T* v = reinterpret_cast<const T*>(from->data + at.offset(0, s));
      const T* e = reinterpret_cast<const T*>(ends->data + at.offset(1, s));
      detail::count_run(m, n, reinterpret_cast<Out*>(y->data) + s * n,
                        [=](std::int64_t i) { return detail::bin_of(v[i], e, n); });
    }
  });
  return y;
}

}  // namespace ergo::inline ERGO_BUILD::cpu
