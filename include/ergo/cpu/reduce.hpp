// Reductions over the trailing axes of an array of any strides, on a tree that shape and strides fix, never the number of
// threads. Two forms read the array where it lies: rows (the reduced elements are dense) and columns (the kept ones are). Several
// reduced axes that do not form one run are taken one after the other; what has neither form is copied first.
#pragma once

#include "ergo/cpu/reduce_run.hpp"
#include "ergo/cpu/storage.hpp"

namespace ergo::inline ERGO_BUILD::cpu {

namespace detail {

// Rows and columns of a strided array: the kept axes in the result's order, the reduced ones from the longest stride to the
// shortest, with axes merged where the strides allow.
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
template <class M, class T>
void reduce_rows(const ReducePlan& plan, std::int64_t outer, std::int64_t n, AccumulatorOf<M, T>* y) {
  const auto& kept = plan.kept;
  if (n > kChunk) {  // few long runs: parallel inside each
    for (std::int64_t i = 0; i < outer; ++i)
      y[i] = reduce_run<M, T>(reinterpret_cast<const T*>(plan.base + plan.offset(kept, i, kept.rank)), n);
    return;
  }
  const std::int64_t inner = kept.extent[kept.rank - 1];
  parallel_for(outer, 1 + (kChunk - 1) / n, [&](std::int64_t begin, std::int64_t end) {
    for (std::int64_t i = begin; i < end;) {
      const std::int64_t rows = inner - i % inner < end - i ? inner - i % inner : end - i;
      for_isa<RowsBody<M, T>>(plan.base + plan.offset(kept, i, kept.rank), kept.stride[0][kept.rank - 1], rows, n, y + i);
      i += rows;
    }
  });
}

// Groups of `rows` rows of n dense columns, `stride` bytes apart. Dense groups of few columns are read as rows of several.
template <class M, class T>
void reduce_columns(const ReducePlan& plan, std::int64_t groups, std::int64_t rows, std::int64_t n, AccumulatorOf<M, T>* y) {
  using C = AccumulatorOf<M, T>;
  const std::int64_t stride = plan.reduced.stride[0][0];
  const std::int64_t joined = n < 64 && stride == n * std::int64_t(sizeof(T)) && rows >= 128 ? (127 + n) / n : 1;
  const std::int64_t wide = n * joined, tall = rows / joined, rest = rows % joined;
  const std::int64_t parts = (tall + kColumnRows - 1) / kColumnRows, blocks = (wide + kColumnBlock - 1) / kColumnBlock;
  const bool direct = parts == 1 && joined == 1;
  const Scratch<C> scratch(direct ? 0 : groups * (parts + 1) * wide);
  C* part = direct ? y : scratch.data();
  const std::int64_t pitch = direct ? wide : (parts + 1) * wide;
  const auto group_at = [&](std::int64_t group) { return plan.base + plan.offset(plan.kept, group, plan.kept.rank - 1); };

  const std::int64_t work = (parts == 1 ? tall : kColumnRows) * (wide < kColumnBlock ? wide : kColumnBlock);
  parallel_for(groups * parts * blocks, 1 + (kChunk - 1) / work, [&](std::int64_t begin, std::int64_t end) {
    for (std::int64_t t = begin; t < end; ++t) {
      const std::int64_t group = t / (parts * blocks), p = t / blocks % parts, c = t % blocks * kColumnBlock;
      const std::int64_t r = p * kColumnRows, count = tall - r < kColumnRows ? tall - r : kColumnRows;
      const std::int64_t width = wide - c < kColumnBlock ? wide - c : kColumnBlock;
      for_isa<ColumnsBody<M, T>>(group_at(group) + r * joined * stride + c * std::int64_t(sizeof(T)), joined * stride, count,
                                 width, part + group * pitch + p * wide + c);
    }
  });
  if (direct) return;
  parallel_for(groups, 1 + (kChunk - 1) / (parts * wide), [&](std::int64_t begin, std::int64_t end) {
    for (std::int64_t group = begin; group < end; ++group) {
      C* p = part + group * pitch;
      fold_tree<M>(p, parts, wide);
      const T* left = reinterpret_cast<const T*>(group_at(group) + tall * joined * stride);
      for (std::int64_t i = 0; i < rest * n; ++i) p[i] = M::combine(p[i], convert<C>(left[i]));
      fold_tree<M>(p, joined, n);
      for (std::int64_t c = 0; c < n; ++c) y[group * n + c] = p[c];
    }
  });
}

}  // namespace detail

// x reduced over its last `axes` axes; the result, row-major, has the accumulator's type, or T if that is a 16-bit type or
// bool. x at depth 0 on the CPU.
template <class M, class T>
  requires(!std::is_same_v<T, half> && !std::is_same_v<T, bfloat16>)
Ref<Array> reduce_last(const Array& x, int axes) {
  using C = detail::AccumulatorOf<M, T>;
  constexpr DType out = std::is_same_v<T, bool> && std::is_same_v<C, std::uint8_t> ? DType::boolean : dtype_of<C>;
  const Shape shape = x.shape.first(x.shape.rank() - axes);
  Ref<Array> y = Array::make(out, shape);
  C* result = reinterpret_cast<C*>(y->data);
  const std::int64_t outer = shape.numel(), inner = x.shape.last(axes).numel();
  if (inner == 0) {
    constexpr C nothing = M::template identity<C>();
    for (std::int64_t i = 0; i < outer; ++i) result[i] = std::is_same_v<T, bool> ? C(nothing != 0) : nothing;
  }
  if (outer == 0 || inner == 0) return y;

  const detail::ReducePlan plan(x, axes);
  const auto& kept = plan.kept;
  const auto& reduced = plan.reduced;
  constexpr auto width = std::int64_t(sizeof(T));
  if (reduced.rank == 1 && (reduced.stride[0][0] == width || inner == 1)) {
    detail::reduce_rows<M, T>(plan, outer, inner, result);
  } else if (reduced.rank == 1 && kept.stride[0][kept.rank - 1] == width && kept.extent[kept.rank - 1] > 1) {
    const std::int64_t n = kept.extent[kept.rank - 1];
    detail::reduce_columns<M, T>(plan, outer / n, inner, n, result);
  } else if (std::is_same_v<T, C> && reduced.rank > 1) {
    // The axis of the shortest stride first; the others stay in front for the next round.
    int nearest = x.shape.rank() - axes;
    for (int d = nearest; d < x.shape.rank(); ++d) {
      const auto size = [&](int a) { return x.stride[a] < 0 ? -x.stride[a] : x.stride[a]; };
      if (x.shape[d] > 1 && (x.shape[nearest] == 1 || size(d) < size(nearest))) nearest = d;
    }
    const int k = x.shape.rank() - axes;
    const auto reorder = [](const Array& a, const int* order) {
      Ref<Array> v = Array::view(a, a.shape);
      for (int d = 0; d < a.shape.rank(); ++d) {
        v->shape[d] = a.shape[order[d]];
        v->stride[d] = a.stride[order[d]];
      }
      v->settle();
      return v;
    };
    int order[kMaxRank], n = 0;
    for (int d = k; d < x.shape.rank(); ++d)
      if (d != nearest) order[n++] = d;
    for (int d = 0; d < k; ++d) order[n++] = d;
    order[n] = nearest;
    const Ref<Array> once = reduce_last<M, C>(*reorder(x, order), 1);
    for (int d = 0; d < n; ++d) order[d] = (d + axes - 1) % n;
    return reduce_last<M, C>(*reorder(*once, order), axes - 1);
  } else {
    return reduce_last<M, T>(*ergo::detail::dense(x), axes);
  }
  return y;
}

// 16-bit: combined in float, rounded once at the end.
template <class M, class T>
  requires(std::is_same_v<T, half> || std::is_same_v<T, bfloat16>)
Ref<Array> reduce_last(const Array& x, int axes) {
  return narrowed(*reduce_last<M, float>(*widened(x), axes), dtype_of<T>);
}

}  // namespace ergo::inline ERGO_BUILD::cpu
