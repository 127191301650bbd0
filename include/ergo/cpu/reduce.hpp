// Reductions over the trailing axes of an array of any strides, on a tree that shape and strides fix, never the number
// of threads. Two forms read the array where it lies: rows (the reduced elements are dense) and columns (the kept ones
// are). Several reduced axes that do not form one run are taken one after the other; what has neither form is copied
// first.
#pragma once

#include "ergo/cpu/reduce_run.hpp"
#include "ergo/cpu/storage.hpp"

namespace ergo::inline ERGO_BUILD::cpu {

namespace detail {

// Rows and columns of a strided array: the kept axes in the result's order, the reduced ones from the longest stride to
// the shortest, with axes merged where the strides allow.
struct ReducePlan {
  ergo::detail::Walk<1> kept, reduced;
  const std::byte* base;

  ReducePlan(const Array& x, int axes) : base(x.data) {
    const int rank = x.shape.rank();
    std::int64_t extent[kMaxRank], stride[kMaxRank];
    int n = 0;
    for (int d = rank - axes; d < rank; ++d) {
      std::int64_t step = x.stride[d];
      if (step < 0) {  // the order does not matter
        base += (x.shape[d] - 1) * step;
        step = -step;
      }
      int at = n++;
      for (; at > 0 && stride[at - 1] < step; --at) {
        extent[at] = extent[at - 1];
        stride[at] = stride[at - 1];
      }
      extent[at] = x.shape[d];
      stride[at] = step;
    }
    for (int d = 0; d < n; ++d) reduced.add(extent[d], {stride[d]});
    reduced.finish();
    for (int d = 0; d < rank - axes; ++d) kept.add(x.shape[d], {x.stride[d]});
    kept.finish();
  }
  static std::int64_t offset(const ergo::detail::Walk<1>& w, std::int64_t index, int axes) {
    std::int64_t at = 0;
    for (int d = axes - 1; d >= 0; --d) {
      at += index % w.extent[d] * w.stride[0][d];
      index /= w.extent[d];
    }
    return at;
  }
};

// Rows of n dense elements; y[i] for each kept element.
inline void reduce_rows(const Reducer& r, const ReducePlan& plan, std::int64_t outer, std::int64_t n, std::byte* y) {
  const auto& kept = plan.kept;
  if (n > kChunk) {  // few long runs: parallel inside each
    for (std::int64_t i = 0; i < outer; ++i)
      reduce_run(r, plan.base + plan.offset(kept, i, kept.rank), n, y + i * r.result_width);
    return;
  }
  const std::int64_t inner = kept.extent[kept.rank - 1];
  parallel_for(outer, 1 + (kChunk - 1) / n, [&](std::int64_t begin, std::int64_t end) {
    for (std::int64_t i = begin; i < end;) {
      const std::int64_t rows = inner - i % inner < end - i ? inner - i % inner : end - i;
      r.rows(plan.base + plan.offset(kept, i, kept.rank), kept.stride[0][kept.rank - 1], rows, n,
             y + i * r.result_width);
      i += rows;
    }
  });
}

// Groups of `rows` rows of n dense columns. Dense groups of few columns are read as rows of several.
inline void reduce_columns(const Reducer& r, const ReducePlan& plan, std::int64_t groups, std::int64_t rows,
                           std::int64_t n, std::byte* y) {
  const std::int64_t stride = plan.reduced.stride[0][0], size = r.result_width;
  const std::int64_t joined = n < 64 && stride == n * r.width && rows >= 128 ? (127 + n) / n : 1;
  const std::int64_t wide = n * joined, tall = rows / joined, rest = rows % joined * n;
  const std::int64_t parts = (tall + kColumnRows - 1) / kColumnRows, blocks = (wide + kColumnBlock - 1) / kColumnBlock;
  const bool direct = parts == 1 && joined == 1;
  const std::int64_t pitch = direct ? wide : (parts + 1) * wide;  // one part more for the rest
  const Scratch<std::byte> scratch(direct ? 0 : groups * pitch * size);
  std::byte* part = direct ? y : scratch.data();
  const auto group_at = [&](std::int64_t group) {
    return plan.base + plan.offset(plan.kept, group, plan.kept.rank - 1);
  };

  const std::int64_t work = (parts == 1 ? tall : kColumnRows) * (wide < kColumnBlock ? wide : kColumnBlock);
  parallel_for(groups * parts * blocks, 1 + (kChunk - 1) / work, [&](std::int64_t begin, std::int64_t end) {
    for (std::int64_t t = begin; t < end; ++t) {
      const std::int64_t group = t / (parts * blocks), p = t / blocks % parts, c = t % blocks * kColumnBlock;
      const std::int64_t first = p * kColumnRows, count = tall - first < kColumnRows ? tall - first : kColumnRows;
      const std::int64_t width = wide - c < kColumnBlock ? wide - c : kColumnBlock;
      r.columns(group_at(group) + first * joined * stride + c * r.width, joined * stride, count, width,
                part + (group * pitch + p * wide + c) * size);
    }
  });
  if (direct) return;
  parallel_for(groups, 1 + (kChunk - 1) / (parts * wide), [&](std::int64_t begin, std::int64_t end) {
    for (std::int64_t group = begin; group < end; ++group) {
      std::byte *p = part + group * pitch * size, *spare = p + parts * wide * size;
      fold_parts(r, p, parts, wide);
      if (rest) {
        r.columns(group_at(group) + tall * joined * stride, 0, 1, rest, spare);
        r.combine(p, spare, rest);
      }
      fold_parts(r, p, joined, n);
      std::memcpy(y + group * n * size, p, std::size_t(n * size));
    }
  });
}

inline Ref<Array> reordered(const Array& x, const int* order) {
  Ref<Array> v = Array::view(x, x.shape);
  for (int d = 0; d < x.shape.rank(); ++d) {
    v->shape[d] = x.shape[order[d]];
    v->stride[d] = x.stride[order[d]];
  }
  v->settle();
  return v;
}

ERGO_ONCE Ref<Array> reduce_last(const Reducer& r, const Array& x, int axes) {
  const int rank = x.shape.rank(), k = rank - axes;
  const Shape shape = x.shape.first(k);
  const std::int64_t outer = shape.numel(), inner = x.shape.last(axes).numel();
  const auto result = [&] { return Array::make(r.dtype, shape); };
  if (outer == 0 || inner == 0) {
    Ref<Array> y = result();
    if (outer) r.identity(y->data, outer);
    return y;
  }
  const ReducePlan plan(x, axes);
  const auto &kept = plan.kept, &reduced = plan.reduced;
  if (reduced.rank == 1 && (reduced.stride[0][0] == r.width || inner == 1)) {
    Ref<Array> y = result();
    reduce_rows(r, plan, outer, inner, y->data);
    return y;
  }
  const std::int64_t n = kept.extent[kept.rank - 1];
  if (reduced.rank == 1 && kept.stride[0][kept.rank - 1] == r.width && n > 1) {
    Ref<Array> y = result();
    reduce_columns(r, plan, outer / n, inner, n, y->data);
    return y;
  }
  if (!r.again || reduced.rank == 1) return reduce_last(r, *ergo::detail::dense(x), axes);
  // The axis of the shortest stride first; the others stay in front for the next round.
  int nearest = k;
  const auto size = [&](int a) { return x.stride[a] < 0 ? -x.stride[a] : x.stride[a]; };
  for (int d = k; d < rank; ++d)
    if (x.shape[d] > 1 && (x.shape[nearest] == 1 || size(d) < size(nearest))) nearest = d;
  int order[kMaxRank], m = 0;
  for (int d = k; d < rank; ++d)
    if (d != nearest) order[m++] = d;
  for (int d = 0; d < k; ++d) order[m++] = d;
  order[m] = nearest;
  const Ref<Array> once = reduce_last(r, *reordered(x, order), 1);
  for (int d = 0; d < m; ++d) order[d] = (d + axes - 1) % m;
  return reduce_last(r, *reordered(*once, order), axes - 1);
}

}  // namespace detail

// x reduced over its last `axes` axes; the result, row-major, has the accumulator's type, or T if that is bool or of 16
// bits (which are combined in float and rounded once). x at depth 0 on the CPU.
template <class M, class T>
Ref<Array> reduce_last(const Array& x, int axes) {
  if constexpr (std::is_same_v<T, half> || std::is_same_v<T, bfloat16>)
    return narrowed(*reduce_last<M, float>(*widened(x), axes), dtype_of<T>);
  else
    return detail::reduce_last(detail::reducer_of<M, T>, x, axes);
}

}  // namespace ergo::inline ERGO_BUILD::cpu
