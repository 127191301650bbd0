// Gathering by integer indices, as take, embedding, take_along_axis and one_hot need it:
//   gather            y (L, m, inner)[l, j, c] = x (L, n, inner)[l, i (L, m)[l, j], c]
//   take_along_axis   y (L, m, inner)[l, j, c] = x (L, n, inner)[l, i (L, m, inner)[l, j, c], c]
//   one_hot           y (m, n)[j, k]           = k == i (m)[j] ? one : 0
// Views of any strides; an axis broadcasts by stride 0. Elements are only moved, so kernels know their width, not their
// type: rows without gaps move in the widest units of up to 16 bytes by which all addresses are aligned. Each thread
// has four units in flight.
//
// Indices (int32, int64, uint8) lie in [0, n). For others nothing is read, 0 is written, and *fault (if not null),
// which the caller has set to something larger, becomes the least flat position of such an index among all: the same in
// every order. Positions are those in the indices' own shape, where an axis of stride 0 has extent 1.
#pragma once

#include <cstring>

#include "ergo/kernels/common/divisor.cuh"
#include "ergo/kernels/common/pack.cuh"

namespace ergo::inline ERGO_BUILD::cuda {

// What moves at once: an unsigned integer of 1 to 8 bytes, or 16 bytes.
template <int Bytes>
using Unit = std::conditional_t<
    Bytes == 16, Pack<std::uint32_t, 4>,
    std::conditional_t<
        Bytes == 8, std::uint64_t,
        std::conditional_t<Bytes == 4, std::uint32_t, std::conditional_t<Bytes == 2, std::uint16_t, std::uint8_t>>>>;

inline constexpr int kIndexBlock = 256, kIndexInFlight = 4;

template <class I>
__device__ __forceinline__ bool index_in(I index, std::int64_t n) {
  return std::uint64_t(std::int64_t(index)) < std::uint64_t(n);
}
__device__ __forceinline__ void report_index(std::int64_t* fault, std::int64_t position) {
  if (fault) atomicMin(reinterpret_cast<long long*>(fault), static_cast<long long>(position));
}
// The flat position of `at` where axes of stride 0 have extent 1.
template <class T, int Rank, class Index>
__device__ __forceinline__ std::int64_t own_position(const View<T, Rank>& v, const Index (&at)[Rank]) {
  std::int64_t position = 0;
  for (int d = 0; d < Rank; ++d)
    if (v.stride[d] != 0) position = position * v.shape[d] + std::int64_t(at[d]);
  return position;
}

template <class Index, class U, class I>
__global__ void __launch_bounds__(kIndexBlock)
    gather_kernel(View<const U, 3> x, View<const I, 2> indices, View<U, 3> y, Divisor<Index> inner, Divisor<Index> rows,
                  std::int64_t* fault) {
  const Index total = Index(y.numel()), first = Index(blockIdx.x) * (kIndexBlock * kIndexInFlight) + threadIdx.x;
  U unit[kIndexInFlight];
  U* to[kIndexInFlight];
#pragma unroll
  for (int k = 0; k < kIndexInFlight; ++k) {
    const Index i = first + Index(k) * kIndexBlock;
    to[k] = nullptr;
    if (i >= total) continue;
    const Index row = inner.divide(i), c = i - row * inner.divisor;
    const Index lead = rows.divide(row), j = row - lead * rows.divisor;
    const I index = indices(lead, j);
    to[k] = &y(lead, j, c);
    unit[k] = U{};
    if (index_in(index, x.shape[1]))
      unit[k] = x(lead, index, c);
    else if (c == 0)
      report_index(fault, own_position(indices, {lead, j}));
  }
#pragma unroll
  for (int k = 0; k < kIndexInFlight; ++k)
    if (to[k]) *to[k] = unit[k];
}

template <class Index, class U, class I>
__global__ void __launch_bounds__(kIndexBlock)
    take_along_kernel(View<const U, 3> x, View<const I, 3> indices, View<U, 3> y, Divisor<Index> inner,
                      Divisor<Index> rows, std::int64_t* fault) {
  const Index total = Index(y.numel()), first = Index(blockIdx.x) * (kIndexBlock * kIndexInFlight) + threadIdx.x;
  U unit[kIndexInFlight];
  U* to[kIndexInFlight];
#pragma unroll
  for (int k = 0; k < kIndexInFlight; ++k) {
    const Index i = first + Index(k) * kIndexBlock;
    to[k] = nullptr;
    if (i >= total) continue;
    const Index row = inner.divide(i), c = i - row * inner.divisor;
    const Index lead = rows.divide(row), j = row - lead * rows.divisor;
    const I index = indices(lead, j, c);
    to[k] = &y(lead, j, c);
    unit[k] = U{};
    if (index_in(index, x.shape[1]))
      unit[k] = x(lead, index, c);
    else
      report_index(fault, own_position(indices, {lead, j, c}));
  }
#pragma unroll
  for (int k = 0; k < kIndexInFlight; ++k)
    if (to[k]) *to[k] = unit[k];
}

// y is row-major; each thread writes V elements of the flat array, which may belong to several rows.
template <int V, class Index, class U, class I>
__global__ void __launch_bounds__(kIndexBlock)
    one_hot_kernel(View<const I, 1> ids, View<U, 2> y, U one, Divisor<Index> classes, std::int64_t* fault) {
  const Index total = Index(y.numel()), first = (Index(blockIdx.x) * kIndexBlock + threadIdx.x) * V;
  if (first >= total) return;
  const Index n = Index(y.shape[1]), end = first + V < total ? first + V : total;
  Pack<U, V> pack{};
  for (Index row = classes.divide(first), begin = row * n; begin < end; ++row, begin += n) {
    const I id = ids(row);
    if (index_in(id, y.shape[1])) {
      const Index hot = begin + Index(id) - first;  // wraps if before `first`
#pragma unroll
      for (int k = 0; k < V; ++k)
        if (hot == Index(k)) pack[k] = one;
    } else if (begin >= first) {
      report_index(fault, own_position(ids, {row}));
    }
  }
  if (first + V <= total) {
    store_pack<V>(y.data + first, pack);
  } else {
#pragma unroll
    for (int k = 0; k < V; ++k)
      if (first + Index(k) < total) y.data[first + Index(k)] = pack[k];
  }
}

// Indices of which nothing depends: only told if they are out of range.
template <int Block, class I>
__global__ void __launch_bounds__(Block)
    check_indices_kernel(View<const I, 3> indices, std::int64_t extent, std::int64_t* fault) {
  const std::int64_t i = std::int64_t(blockIdx.x) * Block + threadIdx.x;
  if (i >= indices.numel()) return;
  const std::int64_t row = i / indices.shape[2], c = i % indices.shape[2];
  const std::int64_t lead = row / indices.shape[1], j = row % indices.shape[1];
  if (!index_in(indices(lead, j, c), extent)) report_index(fault, own_position(indices, {lead, j, c}));
}

namespace detail {

// The bytes of the widest unit in which rows of both views can move; at least sizeof(T).
template <class T, class U>
int unit_bytes(const View<const T, 3>& x, const View<U, 3>& y) {
  if (y.shape[2] > 1 && (x.stride[2] != 1 || y.stride[2] != 1)) return int(sizeof(T));
  std::uint64_t bits = 16 | std::uint64_t(y.shape[2]) * sizeof(T) | reinterpret_cast<std::uintptr_t>(x.data) |
                       reinterpret_cast<std::uintptr_t>(y.data);
  for (int d = 0; d < 2; ++d) {
    if (x.shape[d] > 1) bits |= std::uint64_t(x.stride[d]) * sizeof(T);
    if (y.shape[d] > 1) bits |= std::uint64_t(y.stride[d]) * sizeof(T);
  }
  return int(bits & (~bits + 1));
}
// The same memory in units of another width; rows are without gaps if that is not T's own.
template <int Bytes, class T>
auto in_units(const View<T, 3>& v) {
  using U = std::conditional_t<std::is_const_v<T>, const Unit<Bytes>, Unit<Bytes>>;
  View<U, 3> r{reinterpret_cast<U*>(v.data), {}, {}};
  for (int d = 0; d < 2; ++d) {
    r.shape[d] = v.shape[d];
    r.stride[d] = v.stride[d] * std::int64_t(sizeof(T)) / Bytes;
  }
  r.shape[2] = v.shape[2] * std::int64_t(sizeof(T)) / Bytes;
  r.stride[2] = Bytes == sizeof(T) ? v.stride[2] : 1;
  return r;
}
template <int Bytes, class T>
auto in_units(const View<T, 2>& v) {
  using U = std::conditional_t<std::is_const_v<T>, const Unit<Bytes>, Unit<Bytes>>;
  static_assert(Bytes == sizeof(T));
  return View<U, 2>{reinterpret_cast<U*>(v.data), {v.shape[0], v.shape[1]}, {v.stride[0], v.stride[1]}};
}

inline LaunchShape index_shape(std::int64_t units, int each) {
  return {dim3(blocks_for(units, std::int64_t{kIndexBlock} * each)), dim3(kIndexBlock)};
}
template <class I>
void check_indices(Stream& stream, const char* name, const View<const I, 3>& indices, std::int64_t extent,
                   std::int64_t* fault) {
  if (!fault || indices.numel() == 0) return;
  launch(stream, name, {dim3(blocks_for(indices.numel(), 256)), dim3(256)}, check_indices_kernel<256, I>, indices,
         extent, fault);
}
template <class I>
View<const I, 3> with_inner_axis(const View<const I, 2>& v) {
  return {v.data, {v.shape[0], v.shape[1], 1}, {v.stride[0], v.stride[1], 0}};
}

template <int Bytes, class T, class I>
void gather_units(Stream& stream, const View<const T, 3>& x, const View<const I, 2>& indices, const View<T, 3>& y,
                  std::int64_t* fault) {
  using U = Unit<Bytes>;
  const auto from = in_units<Bytes>(x);
  const auto to = in_units<Bytes>(y);
  const LaunchShape shape = index_shape(to.numel(), kIndexInFlight);
  if (fits_32_bits(to.numel()))
    launch(stream, "gather", shape, gather_kernel<std::uint32_t, U, I>, from, indices, to, FastDivisor::of(to.shape[2]),
           FastDivisor::of(to.shape[1]), fault);
  else
    launch(stream, "gather", shape, gather_kernel<std::uint64_t, U, I>, from, indices, to, WideDivisor::of(to.shape[2]),
           WideDivisor::of(to.shape[1]), fault);
}

}  // namespace detail

// x (L, n, inner), indices (L, m), y (L, m, inner); leading axes of x and indices may broadcast.
template <class T, class I>
void launch_gather(Stream& stream, View<const T, 3> x, View<const I, 2> indices, View<T, 3> y, std::int64_t* fault) {
  if (y.numel() == 0)
    return detail::check_indices(stream, "gather", detail::with_inner_axis(indices), x.shape[1], fault);
  const int bytes = detail::unit_bytes(x, y);
  if (bytes == 16) return detail::gather_units<16>(stream, x, indices, y, fault);
  if constexpr (sizeof(T) <= 4)
    if (bytes == 8) return detail::gather_units<8>(stream, x, indices, y, fault);
  if constexpr (sizeof(T) <= 2)
    if (bytes == 4) return detail::gather_units<4>(stream, x, indices, y, fault);
  if constexpr (sizeof(T) == 1)
    if (bytes == 2) return detail::gather_units<2>(stream, x, indices, y, fault);
  detail::gather_units<int(sizeof(T))>(stream, x, indices, y, fault);
}

// x (L, n, inner), indices and y (L, m, inner); axes of x and indices other than the second may broadcast.
template <class T, class I>
void launch_take_along_axis(Stream& stream, View<const T, 3> x, View<const I, 3> indices, View<T, 3> y,
                            std::int64_t* fault) {
  using U = Unit<int(sizeof(T))>;
  if (y.numel() == 0) return detail::check_indices(stream, "take_along_axis", indices, x.shape[1], fault);
  const auto from = detail::in_units<int(sizeof(T))>(x);
  const auto to = detail::in_units<int(sizeof(T))>(y);
  const LaunchShape shape = detail::index_shape(to.numel(), kIndexInFlight);
  if (fits_32_bits(to.numel()))
    launch(stream, "take_along_axis", shape, take_along_kernel<std::uint32_t, U, I>, from, indices, to,
           FastDivisor::of(to.shape[2]), FastDivisor::of(to.shape[1]), fault);
  else
    launch(stream, "take_along_axis", shape, take_along_kernel<std::uint64_t, U, I>, from, indices, to,
           WideDivisor::of(to.shape[2]), WideDivisor::of(to.shape[1]), fault);
}

// ids (m), y (m, n) row-major without gaps: `one` at the id, zero bytes elsewhere.
template <class T, class I>
void launch_one_hot(Stream& stream, View<const I, 1> ids, View<T, 2> y, T one, std::int64_t* fault) {
  constexpr int V = kPackOf<T>;
  using U = Unit<int(sizeof(T))>;
  if (y.numel() == 0) {
    const View<const I, 3> all{ids.data, {1, ids.shape[0], 1}, {0, ids.stride[0], 0}};
    return detail::check_indices(stream, "one_hot", all, y.shape[1], fault);
  }
  const auto to = detail::in_units<int(sizeof(T))>(y);
  U bits;
  std::memcpy(&bits, &one, sizeof bits);
  const auto with = [&](auto kernel, auto classes, int each) {
    launch(stream, "one_hot", detail::index_shape(to.numel(), each), kernel, ids, to, bits, classes, fault);
  };
  const bool packs = aligned_for<V>(y.data);
  if (fits_32_bits(to.numel())) {
    const auto classes = FastDivisor::of(y.shape[1]);
    if (packs)
      with(one_hot_kernel<V, std::uint32_t, U, I>, classes, V);
    else
      with(one_hot_kernel<1, std::uint32_t, U, I>, classes, 1);
  } else {
    const auto classes = WideDivisor::of(y.shape[1]);
    if (packs)
      with(one_hot_kernel<V, std::uint64_t, U, I>, classes, V);
    else
      with(one_hot_kernel<1, std::uint64_t, U, I>, classes, 1);
  }
}

}  // namespace ergo::inline ERGO_BUILD::cuda
