// The engine under every pointwise operation: broadcasting, allocation or reuse of the result, iteration over strided
// operands, and the partition among threads. Compiled once; the loops (cpu/pointwise_loop.hpp) are per operation and
// dtype.
#pragma once

#include "ergo/core/copy.hpp"
#include "ergo/core/op.hpp"
#include "ergo/cpu/pointwise_loop.hpp"
#include "ergo/cpu/storage.hpp"

namespace ergo::inline ERGO_BUILD::cpu {

using ergo::detail::Args;

inline constexpr std::int64_t kPointwiseGrain = 16384;  // elements a chunk; the partition depends on nothing else

namespace detail {

// Operands against the broadcast shape, as byte strides with mergeable axes merged.
struct Strided {
  int operands, rank = 0;
  std::int64_t extent[kMaxRank], stride[kMaxOperands][kMaxRank];
  const std::byte* base[kMaxOperands];
  DType dtype[kMaxOperands];
  std::int64_t width[kMaxOperands];

  Strided(const Shape& s, Args x, int n) : operands(n) {
    std::int64_t full[kMaxOperands][kMaxRank];
    for (int i = 0; i < n; ++i) {
      base[i] = x[i] ? x[i]->data : reinterpret_cast<const std::byte*>(ergo::detail::kPoison);
      dtype[i] = x[i] ? x[i]->dtype : DType::float64;
      width[i] = size_of(dtype[i]);
      const int offset = x[i] ? s.rank() - x[i]->shape.rank() : s.rank();
      for (int d = 0; d < s.rank(); ++d)
        full[i][d] = d < offset || x[i]->shape[d - offset] == 1 ? 0 : x[i]->stride[d - offset];
    }
    for (int d = 0; d < s.rank(); ++d) {
      if (s[d] == 1) continue;
      bool merge = rank > 0;
      for (int i = 0; i < n && merge; ++i) merge = stride[i][rank - 1] == full[i][d] * s[d];
      if (!merge) extent[rank++] = 1;
      extent[rank - 1] *= s[d];
      for (int i = 0; i < n; ++i) stride[i][rank - 1] = full[i][d];
    }
    if (rank == 0) {
      extent[0] = rank = 1;
      for (int i = 0; i < n; ++i) stride[i][0] = 0;
    }
  }
};

// A position in the row-major order of the merged axes.
struct Odometer {
  const Strided* strided;
  std::int64_t index[kMaxRank];
  const std::byte* at[kMaxOperands];

  Odometer(const Strided& s, std::int64_t linear) : strided(&s) {
    for (int i = 0; i < s.operands; ++i) at[i] = s.base[i];
    for (int d = s.rank; d-- > 0;) {
      index[d] = linear % s.extent[d];
      linear /= s.extent[d];
      for (int i = 0; i < s.operands; ++i) at[i] += index[d] * s.stride[i][d];
    }
  }
  std::int64_t left(int axis) const { return strided->extent[axis] - index[axis]; }
  void advance(int axis, std::int64_t n) {  // n <= left(axis)
    const Strided& s = *strided;
    index[axis] += n;
    for (int i = 0; i < s.operands; ++i) at[i] += n * s.stride[i][axis];
    for (int d = axis; d > 0 && index[d] == s.extent[d]; --d) {
      for (int i = 0; i < s.operands; ++i) at[i] += s.stride[i][d - 1] - s.extent[d] * s.stride[i][d];
      index[d] = 0;
      ++index[d - 1];
    }
  }
};

// Elements [begin, end) of the result. Rows that the loop can read as they lie are given to it directly when they are
// long enough; otherwise blocks are gathered (and 16-bit operands widened) first, so that the loop always sees full
// vectors.
inline void run_strided(const Strided& s, std::byte* y, DType out, const Loop& loop, const void* self,
                        std::int64_t begin, std::int64_t end) {
  constexpr std::int64_t kShortRow = 64, kBlock = 512;
  const std::int64_t out_width = size_of(out);
  const int last = s.rank - 1;
  std::int64_t step[kMaxOperands], across[kMaxOperands], width[kMaxOperands];
  for (int i = 0; i < s.operands; ++i) width[i] = size_of(compute_dtype(s.dtype[i]));
  const LoopRun run(loop, self, s.operands, width, size_of(compute_dtype(out)));
  bool direct = s.extent[last] >= kShortRow && !is_storage_only(out);
  for (int i = 0; i < s.operands; ++i) {
    step[i] = s.stride[i][last];
    across[i] = last ? s.stride[i][last - 1] : 0;
    direct = direct && (step[i] == 0 || step[i] == s.width[i]) && !is_storage_only(s.dtype[i]);
  }
  const auto smaller = [](std::int64_t a, std::int64_t b) { return a < b ? a : b; };
  Odometer o(s, begin);
  if (direct) {
    for (std::int64_t i = begin, n; i < end; i += n) {
      n = smaller(o.left(last), end - i);
      const std::int64_t rows = n == s.extent[last] && last ? smaller(o.left(last - 1), (end - i) / n) : 1;
      if (rows > 1) {
        run(y + i * out_width, o.at, step, n, across, rows);
        o.advance(last - 1, rows);
      } else {
        run(y + i * out_width, o.at, step, n);
        o.advance(last, n);
      }
      n *= rows;
    }
    return;
  }
  alignas(64) std::byte block[kMaxOperands][kBlock * 8], stored[kBlock * 2], result[kBlock * 4];
  const std::byte* p[kMaxOperands];
  bool uniform[kMaxOperands];
  for (int i = 0; i < s.operands; ++i) {
    uniform[i] = true;
    for (int d = 0; d < s.rank; ++d) uniform[i] = uniform[i] && s.stride[i][d] == 0;
    p[i] = block[i];
    step[i] = uniform[i] ? 0 : width[i];
    if (!uniform[i]) continue;
    if (is_storage_only(s.dtype[i]))
      widen_run(s.dtype[i], s.base[i], block[i], 1);
    else
      p[i] = s.base[i];
  }
  for (std::int64_t i = begin; i < end; i += kBlock) {
    const std::int64_t count = smaller(end - i, kBlock);
    const Odometer start = o;
    for (int k = 0; k < s.operands; ++k) {
      if (uniform[k]) continue;
      std::byte* to = is_storage_only(s.dtype[k]) ? stored : block[k];
      o = start;
      for (std::int64_t j = 0; j < count;) {
        const std::int64_t n = smaller(o.left(last), count - j);
        ergo::detail::copy_run_of(s.width[k])(to + j * s.width[k], o.at[k], s.width[k], s.stride[k][last], n);
        o.advance(last, n);
        j += n;
      }
      if (to == stored) widen_run(s.dtype[k], stored, block[k], count);
    }
    if (is_storage_only(out)) {
      run(result, p, step, count);
      narrow_run(out, result, y + i * out_width, count);
    } else {
      run(y + i * out_width, p, step, count);
    }
  }
}

// Whether a has all elements of the result, and its rows run across memory (a transposed matrix): read in the result's
// order its cache lines would be fetched again and again, so that laying it out first, by tiles, is cheaper.
inline bool lies_across(const Array& a, const Shape& result) {
  const int last = result.rank() - 1;
  return last > 0 && a.shape == result && result[last] > 1 && a.stride[last] != size_of(a.dtype) && a.stride[last] != 0;
}

// Calls f(begin, end) once for all consecutive chunks that a thread is given: an element depends on neither, and where
// the operands lie is found out once.
template <class F>
void for_shares(std::int64_t n, std::int64_t grain, const F& f) {
  const auto run = [](const ergo::detail::Loop& self, std::int64_t first, std::int64_t last, int) {
    if (first == last) return;
    const std::int64_t end = last < self.chunks ? last * self.grain : self.items;
    (*static_cast<const F*>(self.body))(first * self.grain, end);
  };
  ergo::detail::run_loop(n, grain, &f, run, 0);
}

ERGO_ONCE void pointwise_strided(const ergo::detail::Op& op, Args x, int n, DType out, const Loop& loop,
                                 const void* self, Ref<Array>* y) {
  Shape shape;
  for (int i = 0; i < n; ++i)
    if (x[i] && !ergo::detail::broadcast(shape, x[i]->shape))
      ergo::detail::fail(op.name, x, n, "shapes do not broadcast");
  Ref<Array> r = Array::make(out, shape);
  if (const std::int64_t count = r->numel()) {
    Ref<Array> laid[kMaxOperands];
    ergo::detail::Array* in[kMaxOperands];
    for (int i = 0; i < n; ++i) {
      in[i] = x[i];
      if (!x[i] || count < kPointwiseGrain || !lies_across(*x[i], shape)) continue;
      laid[i] = ergo::detail::dense(*x[i]);
      in[i] = laid[i].get();
    }
    const Strided s(shape, in, n);
    for_shares(count, kPointwiseGrain,
               [&](std::int64_t begin, std::int64_t end) { run_strided(s, r->data, out, loop, self, begin, end); });
  }
  y[0] = std::move(r);
}

}  // namespace detail

// Runs `loop` over the broadcast of the n inputs, into a dying one where that is possible.
inline void pointwise(const ergo::detail::Op& op, Args x, int n, DType out, const Loop& loop, const void* self,
                      Ref<Array>* y, std::uint64_t dying) {
  if (is_storage_only(out)) return detail::pointwise_strided(op, x, n, out, loop, self, y);
  const std::byte* p[kMaxOperands];
  std::int64_t step[kMaxOperands], width[kMaxOperands];
  bool scalars = true;
  for (int i = 0; i < n; ++i) scalars = scalars && x[i] && x[i]->shape.rank() == 0 && !is_storage_only(x[i]->dtype);
  if (scalars) {  // the case where overhead is all there is
    for (int i = 0; i < n; ++i) {
      p[i] = x[i]->data;
      width[i] = size_of(x[i]->dtype);
    }
    Ref<Array> r = ergo::detail::reusable(x, out, Shape{}, Device::cpu(), dying);
    if (!r) r = Array::make(out, Shape{});
    LoopRun(loop, self, n, width, size_of(out))(r->data, p);
    y[0] = std::move(r);
    return;
  }
  const Array* big = nullptr;
  std::int64_t count = 1;
  for (int i = 0; i < n; ++i) {
    if (!x[i] || (big && x[i]->shape.rank() < big->shape.rank())) continue;
    const std::int64_t own = x[i]->numel();
    if (big && (x[i]->shape.rank() == big->shape.rank() && count != 1)) continue;
    big = x[i];
    count = own;
  }
  for (int i = 0; i < n; ++i) {
    if (!x[i]) {
      p[i] = reinterpret_cast<const std::byte*>(ergo::detail::kPoison);
      step[i] = 0;
      width[i] = sizeof(ergo::detail::kPoison);
      continue;
    }
    p[i] = x[i]->data;
    width[i] = size_of(x[i]->dtype);
    if (is_storage_only(x[i]->dtype))
      return detail::pointwise_strided(op, x, n, out, loop, self, y);
    else if (x[i] == big ? big->contiguous : x[i]->contiguous && x[i]->shape == big->shape)
      step[i] = width[i];
    else if (x[i]->numel() == 1)
      step[i] = 0;
    else
      return detail::pointwise_strided(op, x, n, out, loop, self, y);
  }
  Ref<Array> r = ergo::detail::reusable(x, out, big->shape, Device::cpu(), dying);
  if (!r) r = Array::make(out, big->shape);
  const LoopRun run(loop, self, n, width, size_of(out));
  if (count == 1) {
    run(r->data, p);
  } else if (count <= 2 * kPointwiseGrain) {
    if (count) run(r->data, p, step, count);
  } else {
    std::byte* q = r->data;
    parallel_for(count, kPointwiseGrain, [&](std::int64_t begin, std::int64_t end) {
      const std::byte* at[kMaxOperands];
      for (int i = 0; i < n; ++i) at[i] = p[i] + begin * step[i];
      run(q + begin * size_of(out), at, step, end - begin);
    });
  }
  y[0] = std::move(r);
}

}  // namespace ergo::inline ERGO_BUILD::cpu
