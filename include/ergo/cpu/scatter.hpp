// Combining rows at places given by indices, their sum or extremum, with bits that depend on the data alone: what goes
// to one destination is taken in order of position, in runs of 128; each run is summed in order, the runs' sums by a
// binary tree (SEMANTICS section 6).
//
// Wide rows: a stable counting sort brings the positions of each destination together; then runs are independent, so
// they are the unit of parallel work, however unevenly the destinations are hit. Narrow rows are not worth the detour:
// they are taken as they come, each added to the sum of the run that its destination has reached.
#pragma once

#include "ergo/cpu/assign.hpp"
#include "ergo/cpu/gather.hpp"
#include "ergo/cpu/monoid.hpp"
#include "ergo/cpu/scratch.hpp"

namespace ergo::inline ERGO_BUILD::cpu {

namespace detail {

inline constexpr std::int64_t kScatterRun = 128;
inline constexpr std::int64_t kNarrowRow = 16;  // not less than the lanes of any register used below

// y[c] = rows[order[k]][c] for k < n combined, in order; with what y holds if `adds`. inner > kNarrowRow.
template <class M, class T>
struct CombineRowsBody {
  template <Isa I>
  static ERGO_INLINE void run(const T* rows, const std::int64_t* order, std::int64_t n, std::int64_t inner, T* y,
                              bool adds) {
    constexpr int W = kRegisterBytes<I> / int(sizeof(T));
    static_assert(W <= kNarrowRow);
    using P = Pack<T, W>;
    std::int64_t c = 0;
    for (; c + 4 * W <= inner; c += 4 * W) {
      P sum[4];
      for (int k = 0; k < 4; ++k) sum[k] = P::load(rows + order[0] * inner + c + k * W);
      for (std::int64_t r = 1; r < n; ++r)
        for (int k = 0; k < 4; ++k) sum[k] = M::combine(sum[k], P::load(rows + order[r] * inner + c + k * W));
      for (int k = 0; k < 4; ++k) (adds ? M::combine(P::load(y + c + k * W), sum[k]) : sum[k]).store(y + c + k * W);
    }
    for (; c < inner; c += W) {  // the last pack overlaps the one before and stores only what is new
      const std::int64_t at = c + W <= inner ? c : inner - W;
      P sum = P::load(rows + order[0] * inner + at);
      for (std::int64_t r = 1; r < n; ++r) sum = M::combine(sum, P::load(rows + order[r] * inner + at));
      if (adds) sum = M::combine(P::load(y + at), sum);
      if (at == c)
        sum.store(y + c);
      else
        for (std::int64_t k = c; k < inner; ++k) y[k] = sum[int(k - at)];
    }
  }
};
template <class M, class T>
void put_row(T* y, const T* row, std::int64_t inner, bool adds) {
  for (std::int64_t c = 0; c < inner; ++c) y[c] = adds ? M::combine(y[c], row[c]) : row[c];
}
// What `runs` runs combine to, by pairs, into the first.
template <class M, class T>
void fold_runs(T* sums, std::int64_t runs, std::int64_t inner) {
  for (std::int64_t h = 1; h < runs; h *= 2)
    for (std::int64_t i = 0; i + h < runs; i += 2 * h)
      put_row<M>(sums + i * inner, sums + (i + h) * inner, inner, true);
}
constexpr std::int64_t scatter_runs(std::int64_t count) { return (count + kScatterRun - 1) / kScatterRun; }

// One set of destinations: y (extent, inner), added to if `adds` (else it holds what nothing combines to); rows (n,
// inner) go to index[0..n).
template <class M, class T>
void scatter_wide(T* y, const T* rows, const std::int64_t* index, std::int64_t n, std::int64_t extent,
                  std::int64_t inner, bool adds) {
  const Scratch<std::int64_t> starts(extent + 1), positions(n);
  std::int64_t *start = starts.data(), *order = positions.data();
  for (std::int64_t d = 0; d <= extent; ++d) start[d] = 0;
  for (std::int64_t i = 0; i < n; ++i) ++start[index[i] + 1];
  std::int64_t runs = 0, parts = 0;
  for (std::int64_t d = 0; d < extent; ++d) {
    const std::int64_t own = scatter_runs(start[d + 1]);
    runs += own;
    if (own > 1) parts += own;
    start[d + 1] += start[d];
  }
  for (std::int64_t i = 0; i < n; ++i) order[start[index[i]]++] = i;  // start[d] is now where d ends

  struct Run {
    std::int64_t first, count, target;  // target: a destination, or ~ a row of `part`
  };
  const Scratch<Run> plan(runs);
  const Scratch<T> partial(parts * inner);
  Run* const run = plan.data();
  T* const part = partial.data();
  runs = parts = 0;
  for (std::int64_t d = 0, begin = 0; d < extent; begin = start[d++]) {
    const std::int64_t end = start[d];
    const bool whole = end - begin <= kScatterRun;
    for (std::int64_t i = begin; i < end; i += kScatterRun)
      run[runs++] = {i, end - i < kScatterRun ? end - i : kScatterRun, whole ? d : ~parts++};
  }
  parallel_for(runs, 1 + 16384 * runs / (n * inner), [&](std::int64_t begin, std::int64_t end) {
    for (const Run* r = run + begin; r < run + end; ++r)
      if (r->target >= 0)
        for_isa<CombineRowsBody<M, T>>(rows, order + r->first, r->count, inner, y + r->target * inner, adds);
      else
        for_isa<CombineRowsBody<M, T>>(rows, order + r->first, r->count, inner, part + ~r->target * inner, false);
  });
  for (std::int64_t d = 0, begin = 0, p = 0; p < parts; begin = start[d++]) {
    const std::int64_t own = scatter_runs(start[d] - begin);
    if (own < 2) continue;
    fold_runs<M>(part + p * inner, own, inner);
    put_row<M>(y + d * inner, part + p * inner, inner, adds);
    p += own;
  }
}
template <class M, class T>
void scatter_narrow(T* y, const T* rows, const std::int64_t* index, std::int64_t n, std::int64_t extent,
                    std::int64_t inner, bool adds) {
  const Scratch<std::int64_t> places(extent);
  std::int64_t* const reached = places.data();  // of each destination: its first run times 128, then what has arrived
  for (std::int64_t d = 0; d < extent; ++d) reached[d] = 0;
  for (std::int64_t i = 0; i < n; ++i) ++reached[index[i]];
  std::int64_t runs = 0;
  for (std::int64_t d = 0; d < extent; ++d) {
    const std::int64_t own = scatter_runs(reached[d]);
    reached[d] = runs * kScatterRun;
    runs += own;
  }
  const Scratch<T> partial(runs * inner);
  T* const part = partial.data();
  for (std::int64_t i = 0; i < n; ++i) {
    const std::int64_t at = reached[index[i]]++;
    put_row<M>(part + at / kScatterRun * inner, rows + i * inner, inner, at % kScatterRun != 0);
  }
  for (std::int64_t d = 0, p = 0; p < runs; ++d) {
    const std::int64_t own = scatter_runs(reached[d] - p * kScatterRun);
    if (own == 0) continue;
    fold_runs<M>(part + p * inner, own, inner);
    put_row<M>(y + d * inner, part + p * inner, inner, adds);
    p += own;
  }
}
template <class M, class T>
void scatter_rows(T* y, const T* rows, const std::int64_t* index, std::int64_t n, std::int64_t extent,
                  std::int64_t inner, bool adds) {
  if (n == 1) return put_row<M>(y + index[0] * inner, rows, inner, adds);
  if constexpr (std::is_floating_point_v<T>)  // sums of integers are the same in any order, and rare
    if (inner > kNarrowRow) return scatter_wide<M>(y, rows, index, n, extent, inner, adds);
  scatter_narrow<M>(y, rows, index, n, extent, inner, adds);
}

// y (places of `at`..., extent, inner), rows and indices (places..., n, inner) and (places..., n).
template <class M, class T>
void scatter_all(Array& y, const Array& rows, const Array& indices, const LeadingAxes<2>& at, std::int64_t n,
                 std::int64_t extent, std::int64_t inner, bool adds) {
  const std::int64_t sets = at.lead.numel();
  parallel_for(sets, 1 + 16384 / (extent * inner + n * inner), [&](std::int64_t begin, std::int64_t end) {
    for (std::int64_t s = begin; s < end; ++s)
      scatter_rows<M>(reinterpret_cast<T*>(y.data) + s * extent * inner,
                      reinterpret_cast<const T*>(rows.data + at.offset(0, s)),
                      reinterpret_cast<const std::int64_t*>(indices.data + at.offset(1, s)), n, extent, inner, adds);
  });
}

// An array of what M makes of nothing.
template <class M>
Ref<Array> of_nothing(DType d, const Shape& s) {
  if constexpr (std::is_same_v<M, SumOf>) return ergo::detail::zeroed(d, s, Device::cpu());
  const Ref<Array> y = Array::make(d, s);
  const auto fill = [&]<class T>(T) {
    const T none = M::template identity<T>();
    ergo::detail::fill_bytes(*y, &none);
  };
  switch (d) {
    case DType::float64:
      fill(double{});
      break;
    case DType::float32:
      fill(float{});
      break;
    case DType::int64:
      fill(std::int64_t{});
      break;
    case DType::int32:
      fill(std::int32_t{});
      break;
    default:
      fill(std::uint8_t{});
  }
  return y;
}

}  // namespace detail

// x (lead..., extent, rest...), what nothing combines to if null, with rows (lead..., places..., rest...) combined at
// indices (lead..., places...), by SumOf, MaxOf or MinOf. `axis` counts x's axes from the back, `places` the indices'
// own. Leading axes broadcast. Numbers of any dtype; `indices` come from checked_indices.
template <class M>
Ref<Array> scatter_by(const Array* x, const Array& rows, const Array& indices, int axis, int places,
                      std::int64_t extent) {
  if (is_storage_only(rows.dtype)) {
    const Ref<Array> wide = x ? widened(*x) : Ref<Array>();
    return narrowed(*scatter_by<M>(wide.get(), *widened(rows), indices, axis, places, extent), rows.dtype);
  }
  const Ref<Array> from = ergo::detail::dense(rows);
  const int r_lead = rows.shape.rank() - (places + axis - 1), i_lead = indices.shape.rank() - places;
  Shape lead = rows.shape.first(r_lead);
  ergo::detail::broadcast(lead, indices.shape.first(i_lead));
  if (x) ergo::detail::broadcast(lead, x->shape.first(x->shape.rank() - axis));
  const Shape rest = rows.shape.last(axis - 1), s = lead + Shape{extent} + rest;
  const Ref<Array> y = x ? Array::make(rows.dtype, s) : detail::of_nothing<M>(rows.dtype, s);
  if (x) ergo::detail::assign(*y, *x);
  const std::int64_t n = indices.shape.last(places).numel(), inner = rest.numel();
  if (y->numel() == 0 || n == 0) return y;
  LeadingAxes<2> at(lead);
  at.operand(0, *from, r_lead);
  at.operand(1, indices, i_lead);
  const bool adds = x != nullptr;
  const auto all = [&]<class T>(T) { detail::scatter_all<M, T>(*y, *from, indices, at, n, extent, inner, adds); };
  constexpr bool sums = std::is_same_v<M, SumOf>;  // which wrap
  switch (rows.dtype) {
    case DType::float64:
      all(double{});
      break;
    case DType::float32:
      all(float{});
      break;
    case DType::int64:
      all(std::conditional_t<sums, std::uint64_t, std::int64_t>{});
      break;
    case DType::int32:
      all(std::conditional_t<sums, std::uint32_t, std::int32_t>{});
      break;
    default:
      all(std::uint8_t{});
  }
  return y;
}
inline Ref<Array> scatter_add(const Array* x, const Array& rows, const Array& indices, int axis, int places,
                              std::int64_t extent) {
  return scatter_by<SumOf>(x, rows, indices, axis, places, extent);
}

}  // namespace ergo::inline ERGO_BUILD::cpu
