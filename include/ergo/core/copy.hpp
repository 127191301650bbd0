// Strided copies and fills: what `contiguous`, `to_vector` and the makers stand on.
#pragma once

#include "ergo/core/array.hpp"
#include "ergo/core/parallel.hpp"

namespace ergo::inline ERGO_BUILD::detail {

// Extents and byte strides of up to N operands with axes merged wherever every operand allows; outermost first, rank
// >= 1.
template <int N>
struct Walk {
  int rank = 0;
  std::int64_t extent[kMaxRank], stride[N][kMaxRank];

  void add(std::int64_t n, const std::int64_t (&step)[N]) {
    if (n == 1) return;
    bool merge = rank > 0;
    for (int i = 0; i < N && merge; ++i) merge = stride[i][rank - 1] == step[i] * n;
    if (!merge) extent[rank++] = 1;
    extent[rank - 1] *= n;
    for (int i = 0; i < N; ++i) stride[i][rank - 1] = step[i];
  }
  void finish() {
    if (rank) return;
    extent[0] = rank = 1;
    for (int i = 0; i < N; ++i) stride[i][0] = 0;
  }
  std::int64_t rows() const {  // runs along the innermost axis
    std::int64_t n = 1;
    for (int d = 0; d + 1 < rank; ++d) n *= extent[d];
    return n;
  }
  // Byte offset of operand i at the start of run `row`.
  std::int64_t offset(int i, std::int64_t row) const {
    std::int64_t at = 0;
    for (int d = rank - 2; d >= 0; --d) {
      at += row % extent[d] * stride[i][d];
      row /= extent[d];
    }
    return at;
  }
};

template <class T>
void copy_run(std::byte* y, const std::byte* x, std::int64_t sy, std::int64_t sx, std::int64_t n) {
  if (sy == std::int64_t(sizeof(T)) && sx == std::int64_t(sizeof(T))) {
    std::memcpy(y, x, std::size_t(n) * sizeof(T));
    return;
  }
  for (std::int64_t i = 0; i < n; ++i, y += sy, x += sx) std::memcpy(y, x, sizeof(T));
}
using CopyRun = void (*)(std::byte*, const std::byte*, std::int64_t, std::int64_t, std::int64_t);
inline CopyRun copy_run_of(std::int64_t bytes) {
  return bytes == 1   ? &copy_run<std::uint8_t>
         : bytes == 2 ? &copy_run<std::uint16_t>
         : bytes == 4 ? &copy_run<std::uint32_t>
                      : &copy_run<std::uint64_t>;
}

// Copies x into y, equal shapes, any strides. When the two disagree about the fastest axis, square tiles keep both
// sides' cache lines in use.
ERGO_ONCE void copy_strided(const Array& y, const Array& x) {
  const std::int64_t width = size_of(x.dtype), count = x.numel();
  if (count == 0) return;
  if (!y.device.is_cpu()) return backend(y.device).copy_strided(y, x);
  Walk<2> w;
  for (int d = 0; d < x.shape.rank(); ++d) {
    const std::int64_t step[2] = {y.stride[d], x.stride[d]};
    w.add(x.shape[d], step);
  }
  w.finish();
  const CopyRun run = copy_run_of(width);
  const int last = w.rank - 1;
  constexpr std::int64_t kGrain = 32768;
  if (w.rank >= 2 && w.stride[0][last] == width && w.stride[1][last] != width) {
    int fast = last;  // the axis along which x is dense
    for (int d = 0; d < last; ++d)
      if (w.stride[1][d] == width) fast = d;
    if (fast != last) {
      const std::int64_t tile = width < 8 ? 64 : 32;  // elements along each side; a tile fits the first cache
      const std::int64_t n = w.extent[last], m = w.extent[fast];
      const std::int64_t tiles_n = (n + tile - 1) / tile, tiles_m = (m + tile - 1) / tile, tiles = tiles_n * tiles_m;
      std::int64_t outer = 1;
      for (int d = 0; d < last; ++d)
        if (d != fast) outer *= w.extent[d];
      parallel_for(outer * tiles, kGrain / (tile * tile), [&](std::int64_t from, std::int64_t to) {
        for (std::int64_t t = from; t < to; ++t) {
          std::int64_t row = t / tiles, oy = 0, ox = 0;
          for (int d = last - 1; d >= 0; --d) {
            if (d == fast) continue;
            oy += row % w.extent[d] * w.stride[0][d];
            ox += row % w.extent[d] * w.stride[1][d];
            row /= w.extent[d];
          }
          const std::int64_t j0 = t % tiles / tiles_n * tile, i0 = t % tiles_n * tile;
          const std::int64_t j1 = j0 + tile < m ? j0 + tile : m, ni = i0 + tile < n ? tile : n - i0;
          // Through a dense tile: lines of x that are a power of two apart share a few sets of the cache, and would be
          // driven out before their next element is asked for.
          alignas(64) std::byte dense[64 * 64 * 4];
          const std::byte* from_x = x.data + ox + j0 * width + i0 * w.stride[1][last];
          for (std::int64_t i = 0; i < ni; ++i)
            std::memcpy(dense + i * tile * width, from_x + i * w.stride[1][last], std::size_t((j1 - j0) * width));
          for (std::int64_t j = j0; j < j1; ++j)
            run(y.data + oy + j * w.stride[0][fast] + i0 * width, dense + (j - j0) * width, width, tile * width, ni);
        }
      });
      return;
    }
  }
  const std::int64_t inner = w.extent[last], rows = w.rows();
  if (rows == 1) {
    parallel_for(inner, kGrain, [&](std::int64_t from, std::int64_t to) {
      run(y.data + from * w.stride[0][0], x.data + from * w.stride[1][0], w.stride[0][0], w.stride[1][0], to - from);
    });
    return;
  }
  parallel_for(rows, 1 + kGrain / inner, [&](std::int64_t from, std::int64_t to) {
    std::byte* at_y = y.data + w.offset(0, from);
    const std::byte* at_x = x.data + w.offset(1, from);
    const std::int64_t dy = w.stride[0][last - 1], dx = w.stride[1][last - 1], line = w.extent[last - 1];
    for (std::int64_t r = from; r < to;) {  // a line of runs at a time: short runs must not cost a division each
      const std::int64_t left = line - r % line, n = left < to - r ? left : to - r;
      for (std::int64_t i = 0; i < n; ++i)
        run(at_y + i * dy, at_x + i * dx, w.stride[0][last], w.stride[1][last], inner);
      r += n;
      at_y = y.data + w.offset(0, r);
      at_x = x.data + w.offset(1, r);
    }
  });
}

// The same elements row-major on their device: x itself if it is that already. x at depth 0.
inline Ref<Array> dense(const Array& x) {
  if (x.contiguous) return Ref<Array>::share(const_cast<Array*>(&x));
  Ref<Array> y = Array::make(x.dtype, x.shape, x.device);
  copy_strided(*y, x);
  return y;
}

// Sets all of a row-major y to the element at `value`.
ERGO_ONCE void fill_bytes(const Array& y, const void* value) {
  const std::int64_t width = size_of(y.dtype), n = y.numel();
  if (!y.device.is_cpu()) {
    std::uint64_t bits = 0;
    std::memcpy(&bits, value, std::size_t(width));
    if (n) backend(y.device).fill(y, bits);
    return;
  }
  bool zero = true;
  for (std::int64_t i = 0; i < width; ++i) zero = zero && static_cast<const char*>(value)[i] == 0;
  parallel_for(n, 262144, [&](std::int64_t from, std::int64_t to) {
    std::byte* p = y.data + from * width;
    if (zero || width == 1) {
      std::memset(p, zero ? 0 : *static_cast<const unsigned char*>(value), std::size_t((to - from) * width));
      return;
    }
    for (std::int64_t i = from; i < to; ++i, p += width) std::memcpy(p, value, std::size_t(width));
  });
}

inline Ref<Array> zeroed(DType t, const Shape& s, Device d) {
  Ref<Array> r = Array::make(t, s, d);
  const std::uint64_t bits = 0;
  fill_bytes(*r, &bits);
  return r;
}
// Copies x, which broadcasts, into y of any strides.
inline void assign(const Array& y, const Array& x) {
  const Ref<Array> wide = Array::view(x, y.shape);
  const int gained = y.shape.rank() - x.shape.rank();
  for (int d = 0; d < y.shape.rank(); ++d)
    wide->stride[d] = d < gained || x.shape[d - gained] == 1 ? 0 : x.stride[d - gained];
  copy_strided(y, *wide);
}

// Moves x (depth 0) to another device, row-major there.
ERGO_ONCE Ref<Array> to_device(const Array& x, Device d) {
  if (x.device == d) return Ref<Array>::share(const_cast<Array*>(&x));
  const Ref<Array> from = dense(x);
  Ref<Array> y = Array::make(x.dtype, x.shape, d);
  backend(d.is_cpu() ? x.device : d)
      .copy(y->data, *y->buffer, from->data, *from->buffer, std::size_t(x.numel() * size_of(x.dtype)));
  return y;
}
// Row-major bytes that this thread may read.
ERGO_ONCE Ref<Array> readable(const char* op, const Array& x) {
  const Array& c = concrete(op, x);
  if (c.device.is_cpu()) return dense(c);
  backend(c.device).before_read(op);
  return to_device(c, Device::cpu());
}

}  // namespace ergo::inline ERGO_BUILD::detail
