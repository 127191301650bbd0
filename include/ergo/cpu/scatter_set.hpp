// Rows put at places given by indices: set, where the last position that names a destination wins, and the largest or
// smallest of what is there and what comes. Nothing depends on an order of threads: who wins is settled in integers
// before a row moves, and extrema are those of a total order, -0 < +0, in which NaN wins.
#pragma once

#include "ergo/cpu/assign.hpp"
#include "ergo/cpu/gather.hpp"
#include "ergo/cpu/scratch.hpp"

namespace ergo::inline ERGO_BUILD::cpu {

namespace detail {

// Of each destination the last of index[0..n) that names it, else -1.
inline void last_writers(const std::int64_t* index, std::int64_t n, std::int64_t extent, std::int64_t* winner) {
  for (std::int64_t d = 0; d < extent; ++d) winner[d] = -1;
  for (std::int64_t j = 0; j < n; ++j) winner[index[j]] = j;
}

// The larger, or smaller, of two numbers: NaN wins, and of zeros +0 is the larger.
template <bool Largest, class A>
constexpr A extremum_of(const A& y, const A& r) {
  const A zeros = Largest ? y + r : -(-y - r);
  const A equal = where(y != y, y, where(r != r, r, where(y == A(0), zeros, y)));
  if constexpr (Largest)
    return where(y < r, r, where(r < y, y, equal));
  else
    return where(r < y, r, where(y < r, y, equal));
}
template <bool Largest, class T>
struct ExtremumBody {
  template <Isa I>
  static ERGO_INLINE void run(T* y, const T* row, std::int64_t n) {
    constexpr int W = kRegisterBytes<I> / int(sizeof(T));
    using P = Pack<T, W>;
    std::int64_t c = 0;
    for (; c + W <= n; c += W) extremum_of<Largest>(P::load(y + c), P::load(row + c)).store(y + c);
    if (const int rest = int(n - c); rest > 0)
      extremum_of<Largest>(P::load_part(y + c, rest), P::load_part(row + c, rest)).store_part(y + c, rest);
  }
};
template <bool Largest, class T>
void put_extremum(T* y, const T* row, std::int64_t n) {
  if constexpr (std::is_floating_point_v<T>) {
    if (n >= 4) return for_isa<ExtremumBody<Largest, T>>(y, row, n);
    using P = Pack<T, 1>;
    for (std::int64_t c = 0; c < n; ++c) extremum_of<Largest>(P(y[c]), P(row[c])).store(y + c);
  } else {
    for (std::int64_t c = 0; c < n; ++c)
      if (Largest ? y[c] < row[c] : row[c] < y[c]) y[c] = row[c];
  }
}
// One set of destinations: y (extent, inner) with rows (n, inner). Positions are brought together by destination, so
// that destinations are independent work; each meets its rows in order.
template <bool Largest, class T>
void extremum_set(T* y, const T* rows, const std::int64_t* index, std::int64_t n, std::int64_t extent,
                  std::int64_t inner) {
  if (n * inner <= 16384) {
    for (std::int64_t j = 0; j < n; ++j) put_extremum<Largest>(y + index[j] * inner, rows + j * inner, inner);
    return;
  }
  const Scratch<std::int64_t> starts(extent + 1), positions(n);
  std::int64_t *start = starts.data(), *order = positions.data();
  for (std::int64_t d = 0; d <= extent; ++d) start[d] = 0;
  for (std::int64_t j = 0; j < n; ++j) ++start[index[j] + 1];
  for (std::int64_t d = 0; d < extent; ++d) start[d + 1] += start[d];
  for (std::int64_t j = 0; j < n; ++j) order[start[index[j]]++] = j;  // start[d] is now where d ends
  parallel_for(extent, 1 + 16384 * extent / (n * inner), [=](std::int64_t begin, std::int64_t end) {
    for (std::int64_t d = begin; d < end; ++d)
      for (std::int64_t k = d ? start[d - 1] : 0; k < start[d]; ++k)
        put_extremum<Largest>(y + d * inner, rows + order[k] * inner, inner);
  });
}

// What all scatters share: y (lead..., extent, rest...) from x (lead..., extent, rest...), rows (lead..., places...,
// rest...) and indices (lead..., places...); leading axes broadcast, x or rows may be null.
struct ScatterShapes {
  Shape lead, rest;
  std::int64_t n, extent, inner;
  int rows_lead = 0, index_lead;

  ScatterShapes(const Array* x, const Array* rows, const Array& indices, int axis, int places, std::int64_t to)
      : n(indices.shape.last(places).numel()), extent(to), index_lead(indices.shape.rank() - places) {
    lead = indices.shape.first(index_lead);
    if (x) ergo::detail::broadcast(lead, x->shape.first(x->shape.rank() - axis));
    if (rows) {
      rows_lead = rows->shape.rank() - (places + axis - 1);
      ergo::detail::broadcast(lead, rows->shape.first(rows_lead));
    }
    rest = (x ? x : rows)->shape.last(axis - 1);
    inner = rest.numel();
  }
  Shape result() const { return lead + Shape{extent} + rest; }
};

}  // namespace detail

// x (lead..., extent, rest...), zeros if null, with the rows (lead..., places..., rest...), zeros if null, in place of
// what was at indices (lead..., places...): of rows for one destination the last. `axis` counts x's axes from the back,
// `places` the indices' own. Any dtype; `indices` come from checked_indices.
inline Ref<Array> scatter_set(const Array* x, const Array* rows, const Array& indices, int axis, int places,
                              std::int64_t extent) {
  const detail::ScatterShapes s(x, rows, indices, axis, places, extent);
  const DType dtype = (x ? x : rows)->dtype;
  const Ref<Array> y = x ? Array::make(dtype, s.result()) : ergo::detail::zeroed(dtype, s.result(), Device::cpu());
  const Ref<Array> from = rows ? ergo::detail::dense(*rows) : Ref<Array>();
  LeadingAxes<2> at(s.lead);
  if (rows) at.operand(0, *from, s.rows_lead);
  at.operand(1, indices, s.index_lead);
  const std::int64_t sets = s.lead.numel(), width = size_of(dtype), bytes = s.inner * width;
  const Scratch<std::int64_t> winners(s.n > 0 && bytes > 0 ? sets * extent : 0);
  if (x) ergo::detail::assign(*y, *x);
  if (!winners.data()) return y;
  parallel_for(sets, 1 + 16384 / (extent + s.n), [&](std::int64_t begin, std::int64_t end) {
    for (std::int64_t l = begin; l < end; ++l)
      detail::last_writers(reinterpret_cast<const std::int64_t*>(indices.data + at.offset(1, l)), s.n, extent,
                           winners.data() + l * extent);
  });
  parallel_for(sets * extent, 1 + 65536 / bytes, [&](std::int64_t begin, std::int64_t end) {
    for (std::int64_t l = begin / extent, d = begin % extent, i = begin; i < end; ++l, d = 0) {
      const std::byte* const row = rows ? from->data + at.offset(0, l) : nullptr;
      for (; d < extent && i < end; ++d, ++i) {
        const std::int64_t j = winners.data()[i];
        if (j < 0) continue;
        if (row)
          std::memcpy(y->data + i * bytes, row + j * bytes, std::size_t(bytes));
        else
          std::memset(y->data + i * bytes, 0, std::size_t(bytes));
      }
    }
  });
  return y;
}

// The transpose of what scatter_set is to its rows: g (lead..., extent, rest...) at the indices, and zeros where a
// later position names the same destination.
inline Ref<Array> take_winners(const Array& g, const Array& indices, int axis, int places) {
  const std::int64_t extent = g.shape[-axis];
  const Ref<Array> y = gather(g, indices, axis, places);
  const detail::ScatterShapes s(&g, nullptr, indices, axis, places, extent);
  if (y->numel() == 0) return y;
  LeadingAxes<1> at(s.lead);
  at.operand(0, indices, s.index_lead);
  const std::int64_t bytes = s.inner * size_of(g.dtype);
  parallel_for(s.lead.numel(), 1 + 16384 / (extent + s.n), [&](std::int64_t begin, std::int64_t end) {
    const Scratch<std::int64_t> winners(extent);
    for (std::int64_t l = begin; l < end; ++l) {
      const auto* index = reinterpret_cast<const std::int64_t*>(indices.data + at.offset(0, l));
      detail::last_writers(index, s.n, extent, winners.data());
      for (std::int64_t j = 0; j < s.n; ++j)
        if (winners.data()[index[j]] != j) std::memset(y->data + (l * s.n + j) * bytes, 0, std::size_t(bytes));
    }
  });
  return y;
}

// x (lead..., extent, rest...) with each row (lead..., places..., rest...) put where it is larger, or smaller, than
// what is at its index. Numbers of any dtype.
template <bool Largest>
Ref<Array> scatter_extremum(const Array& x, const Array& rows, const Array& indices, int axis, int places) {
  if (is_storage_only(x.dtype))
    return narrowed(*scatter_extremum<Largest>(*widened(x), *widened(rows), indices, axis, places), x.dtype);
  const std::int64_t extent = x.shape[-axis];
  const detail::ScatterShapes s(&x, &rows, indices, axis, places, extent);
  const Ref<Array> from = ergo::detail::dense(rows), y = Array::make(x.dtype, s.result());
  LeadingAxes<2> at(s.lead);
  at.operand(0, *from, s.rows_lead);
  at.operand(1, indices, s.index_lead);
  ergo::detail::assign(*y, x);
  if (y->numel() == 0 || s.n == 0) return y;
  const auto run = [&]<class T>(T) {
    parallel_for(
        s.lead.numel(), 1 + 16384 / (extent * s.inner + s.n * s.inner), [&](std::int64_t begin, std::int64_t end) {
          for (std::int64_t l = begin; l < end; ++l)
            detail::extremum_set<Largest>(reinterpret_cast<T*>(y->data) + l * extent * s.inner,
                                          reinterpret_cast<const T*>(from->data + at.offset(0, l)),
                                          reinterpret_cast<const std::int64_t*>(indices.data + at.offset(1, l)), s.n,
                                          extent, s.inner);
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
