// Rows put at places given by indices, where nothing is summed:
//   scatter           y[l, i[l, j], c] = rows[l, j, c] of the last j that names the place, else x
//   take_winners      rows[l, j, c] = g[l, i[l, j], c] if j is the last that names its place, else 0: the transpose
//   scatter_extremum  y[l, i[l, j], c] = the largest (smallest) of x and of all rows that go there
//
// with x, y, g (L, extent, inner), rows (L, m, inner), i (L, m).
// Views of any strides; an axis of x, rows, g or indices broadcasts by stride 0.
//
// Which row wins a destination is settled by a maximum of positions, an extremum by a maximum of keys: unsigned
// integers in the order of the elements, -0 < +0, NaN above all for either extremum. Both are integer atomics, so the
// result is that of every order of threads. Then rows move in the widest units. Bad indices as in index.cuh.
#pragma once

#include <cstring>

#include "ergo/kernels/common/flags.cuh"
#include "ergo/kernels/index.cuh"

namespace ergo::inline ERGO_BUILD::cuda {

// winner (L, extent): 1 + the last position that names each destination; it held zeros.
template <int Block, class I>
__global__ void __launch_bounds__(Block)
    scatter_winner_kernel(View<const I, 2> indices, std::uint32_t* winner, std::int64_t extent, std::int64_t* fault) {
  const std::int64_t i = std::int64_t(blockIdx.x) * Block + threadIdx.x, m = indices.shape[1];
  if (i >= indices.shape[0] * m) return;
  const std::int64_t set = i / m, j = i % m;
  const I index = indices(set, j);
  if (index_in(index, extent))
    atomicMax(winner + set * extent + std::int64_t(index), std::uint32_t(j + 1));
  else
    report_index(fault, own_position(indices, {set, j}));
}

// x.data or rows.data may be null, for zeros. winner_stride: 0 if all sets share one.
template <class Index, class U>
__global__ void __launch_bounds__(kIndexBlock)
    scatter_set_kernel(View<const U, 3> x, View<const U, 3> rows, const std::uint32_t* winner,
                       std::int64_t winner_stride, View<U, 3> y, Divisor<Index> inner, Divisor<Index> places) {
  const Index total = Index(y.numel()), first = Index(blockIdx.x) * (kIndexBlock * kIndexInFlight) + threadIdx.x;
  U unit[kIndexInFlight];
#pragma unroll
  for (int k = 0; k < kIndexInFlight; ++k) {
    const Index i = first + Index(k) * kIndexBlock;
    unit[k] = U{};
    if (i >= total) continue;
    const Index row = inner.divide(i), c = i - row * inner.divisor;
    const Index lead = places.divide(row), d = row - lead * places.divisor;
    const std::uint32_t from = winner[std::int64_t(lead) * winner_stride + std::int64_t(d)];
    if (from && rows.data) unit[k] = rows(lead, from - 1, c);
    if (!from && x.data) unit[k] = x(lead, d, c);
  }
#pragma unroll
  for (int k = 0; k < kIndexInFlight; ++k) {
    const Index i = first + Index(k) * kIndexBlock;
    if (i >= total) return;
    const Index row = inner.divide(i), lead = places.divide(row);
    y(lead, row - lead * places.divisor, i - row * inner.divisor) = unit[k];
  }
}

template <class Index, class U, class I>
__global__ void __launch_bounds__(kIndexBlock)
    take_winners_kernel(View<const U, 3> g, View<const I, 2> indices, const std::uint32_t* winner,
                        std::int64_t winner_stride, View<U, 3> y, Divisor<Index> inner, Divisor<Index> places) {
  const Index total = Index(y.numel()), i = Index(blockIdx.x) * kIndexBlock + threadIdx.x;
  if (i >= total) return;
  const Index row = inner.divide(i), c = i - row * inner.divisor;
  const Index lead = places.divide(row), j = row - lead * places.divisor;
  const I index = indices(lead, j);
  U unit{};
  if (index_in(index, g.shape[1]) && winner[std::int64_t(lead) * winner_stride + std::int64_t(index)] == j + 1)
    unit = g(lead, index, c);
  y(lead, j, c) = unit;
}

// Keys in which the extremum is the largest: of 32 bits, or 64 for elements of 8 bytes.
template <class T>
using ExtremumKey = std::conditional_t<sizeof(T) == 8, unsigned long long, unsigned>;
template <class T>
using ExtremumBits =
    std::conditional_t<sizeof(T) == 8, std::uint64_t, std::conditional_t<sizeof(T) == 4, std::uint32_t, std::uint16_t>>;

template <bool Largest, class T>
__device__ __forceinline__ ExtremumKey<T> extremum_key(T x) {
  using Key = ExtremumKey<T>;
  if constexpr (std::is_integral_v<T>) {
    const Key key = std::is_signed_v<T> ? Key(x) ^ (Key(1) << (8 * sizeof(Key) - 1)) : Key(x);
    return Largest ? key : Key(~key);
  } else {
    using Bits = ExtremumBits<T>;
    constexpr Bits kSign = Bits(Bits(1) << (8 * sizeof(T) - 1));
    const Compute<T> wide = widen(x);
    if (wide != wide) return ~Key(0);
    Bits bits;
    std::memcpy(&bits, &x, sizeof bits);
    const Bits key = bits & kSign ? Bits(~bits) : Bits(bits | kSign);
    return Key(Largest ? key : Bits(~key));
  }
}
// The element of a key.
template <bool Largest, class T>
__device__ __forceinline__ T of_extremum_key(ExtremumKey<T> key) {
  using Key = ExtremumKey<T>;
  if constexpr (std::is_integral_v<T>) {
    const Key k = Largest ? key : Key(~key);
    return T(std::is_signed_v<T> ? k ^ (Key(1) << (8 * sizeof(Key) - 1)) : k);
  } else {
    using Bits = ExtremumBits<T>;
    constexpr Bits kSign = Bits(Bits(1) << (8 * sizeof(T) - 1));
    if (key == ~Key(0)) return narrow<T>(Compute<T>(NAN));
    const Bits k = Largest ? Bits(key) : Bits(~Bits(key));
    const Bits bits = k & kSign ? Bits(k & Bits(~kSign)) : Bits(~k);
    T x;
    std::memcpy(static_cast<void*>(&x), &bits, sizeof bits);
    return x;
  }
}

// keys (L, extent, inner), row-major, of x.
template <bool Largest, int Block, class T>
__global__ void __launch_bounds__(Block) extremum_keys_kernel(View<const T, 3> x, ExtremumKey<T>* keys) {
  const std::int64_t i = std::int64_t(blockIdx.x) * Block + threadIdx.x;
  if (i >= x.numel()) return;
  const std::int64_t row = i / x.shape[2], lead = row / x.shape[1];
  keys[i] = extremum_key<Largest>(x(lead, row % x.shape[1], i % x.shape[2]));
}
template <bool Largest, int Block, class T, class I>
__global__ void __launch_bounds__(Block)
    extremum_rows_kernel(View<const T, 3> rows, View<const I, 2> indices, ExtremumKey<T>* keys, std::int64_t extent,
                         std::int64_t* fault) {
  const std::int64_t i = std::int64_t(blockIdx.x) * Block + threadIdx.x, inner = rows.shape[2], m = rows.shape[1];
  if (i >= rows.numel()) return;
  const std::int64_t row = i / inner, c = i % inner, lead = row / m, j = row % m;
  const I index = indices(lead, j);
  if (!index_in(index, extent)) {
    if (c == 0) report_index(fault, own_position(indices, {lead, j}));
    return;
  }
  ExtremumKey<T>* const to = keys + (lead * extent + std::int64_t(index)) * inner + c;
  atomicMax(to, extremum_key<Largest>(rows(lead, j, c)));
}
// In place where keys are as wide as elements: each thread reads its key before it writes.
template <bool Largest, int Block, class T>
__global__ void __launch_bounds__(Block) extremum_store_kernel(const ExtremumKey<T>* keys, T* y, std::int64_t n) {
  const std::int64_t i = std::int64_t(blockIdx.x) * Block + threadIdx.x;
  if (i < n) y[i] = of_extremum_key<Largest, T>(keys[i]);
}

namespace detail {

// A winner is 1 + its position, of 32 bits.
inline void check_positions(std::int64_t m) {
  if (m >= 0xffffffffLL) throw_error({"[scatter] on CUDA, rows are less than 2^32 - 1, not ", m});
}
template <class I>
void scatter_winners(Stream& stream, const char* name, const View<const I, 2>& indices, std::int64_t extent,
                     std::uint32_t* winner, std::int64_t* fault) {
  View<const I, 2> own = indices;
  if (own.stride[0] == 0) own.shape[0] = 1;
  const std::int64_t slots = own.shape[0] * extent, positions = own.shape[0] * own.shape[1];
  launch_clear_words(stream, name, winner, slots);
  if (positions > 0)
    launch(stream, name, {dim3(blocks_for(positions, 256)), dim3(256)}, scatter_winner_kernel<256, I>, own, winner,
           extent, fault);
}
template <int Bytes, class T>
View<const Unit<Bytes>, 3> units_or_none(const View<const T, 3>& v) {
  return v.data ? in_units<Bytes>(v) : View<const Unit<Bytes>, 3>{nullptr, {}, {}};
}
template <int Bytes, class T>
void scatter_set_units(Stream& stream, const View<const T, 3>& x, const View<const T, 3>& rows,
                       const std::uint32_t* winner, std::int64_t stride, const View<T, 3>& y) {
  using U = Unit<Bytes>;
  const auto to = in_units<Bytes>(y);
  const auto from = units_or_none<Bytes>(rows), old = units_or_none<Bytes>(x);
  const LaunchShape shape = index_shape(to.numel(), kIndexInFlight);
  if (fits_32_bits(to.numel()))
    launch(stream, "scatter", shape, scatter_set_kernel<std::uint32_t, U>, old, from, winner, stride, to,
           FastDivisor::of(to.shape[2]), FastDivisor::of(to.shape[1]));
  else
    launch(stream, "scatter", shape, scatter_set_kernel<std::uint64_t, U>, old, from, winner, stride, to,
           WideDivisor::of(to.shape[2]), WideDivisor::of(to.shape[1]));
}
template <int Bytes, class T, class I>
void take_winners_units(Stream& stream, const View<const T, 3>& g, const View<const I, 2>& indices,
                        const std::uint32_t* winner, std::int64_t stride, const View<T, 3>& y) {
  using U = Unit<Bytes>;
  const auto to = in_units<Bytes>(y);
  const auto from = in_units<Bytes>(g);
  const LaunchShape shape = index_shape(to.numel(), 1);
  if (fits_32_bits(to.numel()))
    launch(stream, "scatter", shape, take_winners_kernel<std::uint32_t, U, I>, from, indices, winner, stride, to,
           FastDivisor::of(to.shape[2]), FastDivisor::of(to.shape[1]));
  else
    launch(stream, "scatter", shape, take_winners_kernel<std::uint64_t, U, I>, from, indices, winner, stride, to,
           WideDivisor::of(to.shape[2]), WideDivisor::of(to.shape[1]));
}

}  // namespace detail

// Bytes for the winners of `lead` sets of destinations; indices of all sets are one if `shared`.
inline std::size_t scatter_winners_workspace(std::int64_t lead, std::int64_t extent, bool shared) {
  return static_cast<std::size_t>((shared ? 1 : lead) * extent) * sizeof(std::uint32_t);
}
// y (L, extent, inner) from x, rows (L, m, inner) and indices (L, m), shared by all sets if their stride[0] is 0; x or
// rows, not both, may have null data, which means zeros. T moves only: an unsigned type of its width. Throws an Error
// if m is 2^32 - 1 or more.
template <class T, class I>
void launch_scatter_set(Stream& stream, View<const T, 3> x, View<const T, 3> rows, View<const I, 2> indices,
                        View<T, 3> y, void* workspace, std::int64_t* fault) {
  const std::int64_t extent = y.shape[1];
  detail::check_positions(indices.shape[1]);
  if (y.numel() == 0) return detail::check_indices(stream, "scatter", detail::with_inner_axis(indices), extent, fault);
  auto* const winner = static_cast<std::uint32_t*>(workspace);
  detail::scatter_winners(stream, "scatter", indices, extent, winner, fault);
  const std::int64_t stride = indices.stride[0] == 0 ? 0 : extent;
  const int bytes_x = x.data ? detail::unit_bytes(x, y) : 16, bytes_rows = rows.data ? detail::unit_bytes(rows, y) : 16;
  if (bytes_x == 16 && bytes_rows == 16)
    detail::scatter_set_units<16>(stream, x, rows, winner, stride, y);
  else
    detail::scatter_set_units<int(sizeof(T))>(stream, x, rows, winner, stride, y);
}
// y (L, m, inner) from g (L, extent, inner). Throws an Error if m is 2^32 - 1 or more.
template <class T, class I>
void launch_take_winners(Stream& stream, View<const T, 3> g, View<const I, 2> indices, View<T, 3> y, void* workspace,
                         std::int64_t* fault) {
  const std::int64_t extent = g.shape[1];
  detail::check_positions(indices.shape[1]);
  if (y.numel() == 0) return detail::check_indices(stream, "scatter", detail::with_inner_axis(indices), extent, fault);
  auto* const winner = static_cast<std::uint32_t*>(workspace);
  detail::scatter_winners(stream, "scatter", indices, extent, winner, fault);
  const std::int64_t stride = indices.stride[0] == 0 ? 0 : extent;
  if (detail::unit_bytes(g, y) == 16)
    detail::take_winners_units<16>(stream, g, indices, winner, stride, y);
  else
    detail::take_winners_units<int(sizeof(T))>(stream, g, indices, winner, stride, y);
}

// Bytes for the keys of n elements; none where a key is as wide as an element.
template <class T>
std::size_t scatter_extremum_workspace(std::int64_t n) {
  return sizeof(ExtremumKey<T>) == sizeof(T) ? 0 : static_cast<std::size_t>(n) * sizeof(ExtremumKey<T>);
}
// y (L, extent, inner) row-major without gaps; x alike, rows (L, m, inner), indices (L, m).
template <bool Largest, class T, class I>
void launch_scatter_extremum(Stream& stream, const char* name, View<const T, 3> x, View<const T, 3> rows,
                             View<const I, 2> indices, T* y, void* workspace, std::int64_t* fault) {
  const std::int64_t n = x.numel(), extent = x.shape[1];
  if (n == 0) return detail::check_indices(stream, name, detail::with_inner_axis(indices), extent, fault);
  auto* const keys =
      scatter_extremum_workspace<T>(n) ? static_cast<ExtremumKey<T>*>(workspace) : reinterpret_cast<ExtremumKey<T>*>(y);
  const LaunchShape each{dim3(blocks_for(n, 256)), dim3(256)};
  launch(stream, name, each, extremum_keys_kernel<Largest, 256, T>, x, keys);
  if (rows.numel() > 0)
    launch(stream, name, {dim3(blocks_for(rows.numel(), 256)), dim3(256)}, extremum_rows_kernel<Largest, 256, T, I>,
           rows, indices, keys, extent, fault);
  launch(stream, name, each, extremum_store_kernel<Largest, 256, T>, static_cast<const ExtremumKey<T>*>(keys), y, n);
}

}  // namespace ergo::inline ERGO_BUILD::cuda
