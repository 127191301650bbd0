// Rows of cross_entropy on integer labels. Log-probabilities are never stored: forward takes a row's maximum and the
// sum of its exponentials, and where a gradient is wanted the exponentials become (c softmax - target) scale at once.
//
// The target of a row with label y has weight[k] ((1 - smoothing) [k = y] + smoothing / n) on class k; c is the sum of
// it.
#pragma once

#include "ergo/cpu/gather.hpp"
#include "ergo/cpu/reduce_run.hpp"
#include "ergo/cpu/softmax_rows.hpp"

namespace ergo::inline ERGO_BUILD::cpu::detail {

// What all rows share. A label of -1 is ignored: loss 0, gradient 0.
template <class T>
struct CrossEntropyRows {
  std::int64_t n;
  const std::int64_t* label;
  const T* weight;              // null: ones
  T smoothing, scale, weights;  // `weights` is the sum of weight
  T of_label(std::int64_t y) const { return (weight ? weight[y] : T(1)) * (T(1) - smoothing); }
  T of_all() const { return smoothing / T(n); }
};

// A row whose maximum is infinite: its loss, and its gradient unless dx is null.
template <class T>
[[gnu::noinline, gnu::cold]] T infinite_cross_entropy(const CrossEntropyRows<T>& rows, const T* x, T* dx,
                                                      std::int64_t y, T top) {
  T sum = 0;
  for (std::int64_t i = 0; i < rows.n; ++i) sum += x[i] != x[i] ? x[i] : x[i] == top && top > 0 ? T(1) : T(0);
  const T own = rows.of_label(y), all = rows.of_all(), total = own + all * rows.weights;
  T loss = 0;
  for (std::int64_t i = 0; i < rows.n; ++i) {
    const T share = (x[i] != x[i] ? x[i] : x[i] == top && top > 0 ? T(1) : T(0)) / sum;
    const T target = (i == y ? own : T(0)) + all * (rows.weight ? rows.weight[i] : T(1));
    if (target != 0) loss -= target * log(share);
    if (dx) dx[i] = (total * share - target) * rows.scale;
  }
  return loss;
}

// What smoothing by `all` adds to a row: the sum of weight (logarithm - (x - top)), returned, and less weight, taken
// from dx unless that is null.
template <class T>
struct SmoothBody {
  template <Isa I>
  static ERGO_INLINE void run(const CrossEntropyRows<T>* rows, const T* x, T top, T logarithm, T less, T* dx,
                              T* total) {
    using P = Pack<T, kRegisterBytes<I> / int(sizeof(T))>;
    const RowPacks<P> packs(rows->n);
    const P base(top), log_sum(logarithm), step(less), one(T(1));
    *total = packs
                 .template sum<2>([&](std::int64_t i) __attribute__((always_inline)) {
                   const P w = rows->weight ? P::load(rows->weight + i) : one;
                   return w * (log_sum - (P::load(x + i) - base));
                 })
                 .sum();
    if (!dx) return;
    packs.template each<1>([&](auto, std::int64_t i, const auto& valid) __attribute__((always_inline)) {
      const P v = P::load(dx + i), w = rows->weight ? P::load(rows->weight + i) : one;
      where(valid, v - step * w, v).store(dx + i);
    });
  }
};

// At most kRowBatch rows, none of them ignored: their losses, and unless dx is null their gradients.
template <class T>
void cross_entropy_batch(const CrossEntropyRows<T>& rows, const T* x, T* dx, const std::int64_t* label, T* loss,
                         std::int64_t count) {
  const std::int64_t n = rows.n;
  const T all = rows.of_all();
  T top[kRowBatch], sum[kRowBatch] = {}, total[kRowBatch];
  if (dx) {
    for (std::int64_t r = 0; r < count; ++r) total[r] = (rows.of_label(label[r]) + all * rows.weights) * rows.scale;
    for_isa<SoftmaxBody<T>>(x, dx, count, n, true, SoftmaxExtras<T>{total, top, sum});
  } else {
    for_isa<WeightBody<T>>(x, top, sum, count, n);
  }
  for_isa<LogWeightBody<T>>(static_cast<const T*>(sum), sum, count);
  for (std::int64_t r = 0; r < count; ++r, x += n) {
    const std::int64_t y = label[r];
    T* to = dx ? dx + r * n : nullptr;
    if (top[r] - top[r] != 0) [[unlikely]] {
      loss[r] = infinite_cross_entropy(rows, x, to, y, top[r]);
      continue;
    }
    const T own = rows.of_label(y);
    loss[r] = own * (sum[r] - (x[y] - top[r]));
    if (all != 0) {
      T rest;
      for_isa<SmoothBody<T>>(&rows, x, top[r], sum[r], all * rows.scale, to, &rest);
      loss[r] += all * rest;
    }
    if (to) to[y] -= own * rows.scale;
  }
}

// Rows [first, first + count) of a problem, in batches of those that are not ignored.
template <class T>
void cross_entropy_rows(const CrossEntropyRows<T>& rows, const T* x, T* dx, T* loss, std::int64_t first,
                        std::int64_t count) {
  const std::int64_t* label = rows.label + first;
  for (std::int64_t r = 0; r < count;) {
    T* to = dx ? dx + r * rows.n : nullptr;
    if (label[r] < 0) {
      loss[first + r++] = 0;
      for (std::int64_t i = 0; to && i < rows.n; ++i) to[i] = 0;
      continue;
    }
    std::int64_t end = r + 1;
    while (end < count && end - r < kRowBatch && label[end] >= 0) ++end;
    cross_entropy_batch(rows, x + r * rows.n, to, label + r, loss + first + r, end - r);
    r = end;
  }
}

// Labels of any integer type as int64, dense; one that equals *ignored (if there is such) as -1. Another outside [0,
// classes) is an Error.
inline Ref<Array> read_labels(const Array& labels, const Array* logits, std::int64_t classes,
                              const std::int64_t* ignored) {
  constexpr IndexNames names{"cross_entropy", "labels", "logits", "label"};
  const Ref<Array> from = ergo::detail::dense(labels), r = Array::make(DType::int64, labels.shape);
  auto* to = reinterpret_cast<std::int64_t*>(r->data);
  const auto read = [&]<class I>(I) {
    const I* p = reinterpret_cast<const I*>(from->data);
    for (std::int64_t i = 0, n = r->numel(); i < n; ++i) {
      const auto label = std::int64_t(p[i]);
      const bool skipped = ignored && label == *ignored;
      if (!skipped && std::uint64_t(label) >= std::uint64_t(classes)) [[unlikely]]
        fail_index(names, labels, logits, i, label, classes);
      to[i] = skipped ? -1 : label;
    }
  };
  if (labels.dtype == DType::int32)
    read(std::int32_t());
  else if (labels.dtype == DType::uint8)
    read(std::uint8_t());
  else
    read(std::int64_t());
  return r;
}

// All rows of one problem: their losses, and, unless dx is null, the gradient of the loss, which is their sum, their
// mean (over the weights of the counted labels) or themselves. Gives the number that the sum is to be divided by.
template <class T>
T cross_entropy(CrossEntropyRows<T> rows, const T* x, T* dx, std::int64_t count, bool mean, T* loss) {
  T counted = 0;
  if (mean) {
    const Scratch<T> own(count);
    for (std::int64_t r = 0; r < count; ++r)
      own.data()[r] = rows.label[r] < 0 ? T(0) : rows.weight ? rows.weight[rows.label[r]] : T(1);
    counted = reduce_run<SumOf, T>(own.data(), count);
    rows.scale = counted != 0 ? T(1) / counted : kNaN<T>;
  }
  rows.weights = rows.weight ? reduce_run<SumOf, T>(rows.weight, rows.n) : T(rows.n);
  const T* const in[] = {x};
  T* const out[] = {dx};
  for_rows(in, out, count, rows.n, [&](const T* const* p, T* const* q, std::int64_t first, std::int64_t some) {
    cross_entropy_rows(rows, p[0], q[0], loss, first, some);
  });
  return counted;
}

}  // namespace ergo::inline ERGO_BUILD::cpu::detail
