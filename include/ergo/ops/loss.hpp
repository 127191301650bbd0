// mse and accuracy, and what losses share. Shapes must be equal: losses never broadcast. ops/cross_entropy.hpp has the
// other.
#pragma once

#include <optional>

#include "ergo/cpu/reduce_run.hpp"
#include "ergo/cpu/rows.hpp"
#include "ergo/ops/extremum.hpp"
#include "ergo/ops/comparison.hpp"
#include "ergo/ops/logic.hpp"

namespace ergo::inline ERGO_BUILD {

#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wshadow"  // g++ compares with ergo::none, the bound of a slice
enum class Reduction { mean, sum, none };
#pragma GCC diagnostic pop

struct MseOptions {
  Reduction reduction = Reduction::mean;
};
struct AccuracyOptions {
  std::optional<std::int64_t> ignore_label = {};
};

namespace detail {

// Sums over the last n axes: what is left are those before them.
template <class T>
Tensor<T> sum_of_last(const Tensor<T>& x, int n) {
  return Tensor<T>(linear_op(Sum<false>{Over{n, AxisSet::all(n), false}}, static_cast<const AnyTensor&>(x)));
}
// g (lead...) as (lead..., 1, ..., 1) with n ones.
template <class T>
Tensor<T> with_ones(const Tensor<T>& g, int n) {
  Shape s = g.shape();
  for (; n > 0; --n) s.push(1);
  return Tensor<T>(reshape(g.ref(), s));
}

// The sum of squared differences over the last `rank` axes, or their mean.
struct SquaredError {
  static constexpr auto name = "mse";
  static constexpr Uses uses = Uses::inputs;
  static constexpr bool has_vjp = true;
  int rank;
  bool mean;
  int core_of(int) const { return rank; }
  template <class T>
  double divisor(const Tensor<T>& x) const {
    return mean ? double(x.shape().last(rank).numel()) : 1.0;
  }
  template <class T>
  Tensor<T> cpu(const Tensor<T>& x, const Tensor<T>& y) const {
    using C = Compute<T>;
    const ergo::cpu::detail::Aligned<2> both({&x.array(), &y.array()}, {rank, rank});
    const Ref<Array> a = ergo::cpu::detail::computable(*both.array[0]),
                     b = ergo::cpu::detail::computable(*both.array[1]);
    Ref<Array> r = Array::make(dtype_of<C>, both.lead);
    const std::int64_t n = x.shape().last(rank).numel();
    for (std::int64_t i = 0; i < r->numel(); ++i)
      data_of<C>(*r)[i] = ergo::cpu::squared_distance(static_cast<const C*>(data_of<C>(*a) + i * n),
                                                      static_cast<const C*>(data_of<C>(*b) + i * n), n) /
                          C(divisor(x));
    return Tensor<T>(ergo::cpu::detail::stored_as(std::move(r), dtype_of<T>));
  }
  template <class T>
  Tensor<T> definition(const Tensor<T>& x, const Tensor<T>& y) const {
    if constexpr (!std::is_same_v<T, Compute<T>>)
      return cast<T>(definition(cast<Compute<T>>(x), cast<Compute<T>>(y)));
    else
      return sum_of_last(squared(x - y), rank) * (1 / divisor(x));
  }
  template <class T>
  std::pair<Tensor<T>, Tensor<T>> vjp(const Tensor<T>& g, const Tensor<T>&, const Tensor<T>& x, const Tensor<T>& y,
                                      Wanted wanted) const {
    if constexpr (!std::is_same_v<T, Compute<T>>) {
      using C = Compute<T>;
      const auto [dx, dy] = vjp(cast<C>(g), Tensor<C>(), cast<C>(x), cast<C>(y), wanted);
      return {dx.defined() ? cast<T>(dx) : Tensor<T>(), dy.defined() ? cast<T>(dy) : Tensor<T>()};
    } else {
      const Tensor<T> dx = (x - y) * with_ones(g * (2 / divisor(x)), rank);
      return {dx, wanted[1] ? -dx : Tensor<T>()};
    }
  }
};

// The share of rows whose prediction is the label; `rank` axes of labels are one problem.
struct Accuracy {
  static constexpr auto name = "accuracy";
  static constexpr bool constant = true;
  int rank;
  std::optional<std::int64_t> ignored;
  int core_of(int) const { return rank; }
  Tensor<float> value(const Tensor<std::int64_t>& predicted, const Tensor<std::int64_t>& labels) const {
    const cpu::detail::Aligned<2> both({&predicted.array(), &labels.array()}, {rank, rank});
    const Tensor<float> share = make_tensor<float>(both.lead);
    const std::int64_t n = labels.shape().last(rank).numel();
    const auto *p = data_of<std::int64_t>(*both.array[0]), *y = data_of<std::int64_t>(*both.array[1]);
    for (std::int64_t i = 0; i < share.numel(); ++i, p += n, y += n) {
      std::int64_t right = 0, counted = 0;
      for (std::int64_t r = 0; r < n; ++r) {
        if (ignored && y[r] == *ignored) continue;
        ++counted;
        right += p[r] == y[r];
      }
      data_of<float>(share.array())[i] = float(double(right) / double(counted));
    }
    return share;
  }
#if defined(__CUDACC__) || defined(ERGO_EMULATED)
  Tensor<float> cuda(const Tensor<std::int64_t>& predicted, const Tensor<std::int64_t>& labels) const {
    const auto counts = [&](const Tensor<bool>& rows) {
      return sum_of_last(cast<double>(ignored ? logical_and(rows, labels != *ignored) : rows), rank);
    };
    return cast<float>(counts(predicted == labels) / counts(labels == labels));
  }
#endif
};

}  // namespace detail

// (x - y)^2, its mean, its sum, or itself. Equal shapes.
template <class T>
Tensor<T> mse(const Tensor<T>& x, const Tensor<T>& y, const MseOptions& options = {}) {
  static_assert(Floating<T>, "mse: floating elements are needed: cast<float>(x) first");
  if constexpr (Floating<T>) {
    detail::Array* in[] = {&x.array(), &y.array()};
    detail::same_device("mse", in, 2);
    if (x.shape() != y.shape())
      detail::fail("mse", in, 2, "shapes differ; losses do not broadcast: reshape one of them");
    if (options.reduction == Reduction::none) return detail::squared(x - y);
    return fused_op(detail::SquaredError{x.rank(), options.reduction == Reduction::mean}, x, y);
  } else {
    return x;
  }
}

// The share of rows of logits (..., K) whose largest entry is at their label (...); ignored rows do not count. Of none:
// NaN.
template <class T, class L>
Tensor<float> accuracy(const Tensor<T>& logits, const Tensor<L>& labels, const AccuracyOptions& options = {}) {
  static_assert(Index<L>, "accuracy: labels are integers: cast<int32_t>(labels) first");
  if constexpr (Index<L>) {
    detail::Array* in[] = {&logits.array(), &labels.array()};
    detail::same_device("accuracy", in, 2);
    if (logits.rank() == 0 || labels.shape() != logits.shape().first(logits.rank() - 1))
      detail::fail("accuracy", in, 2, "labels must have the shape of logits without the classes");
    return linear_op(detail::Accuracy{labels.rank(), options.ignore_label}, argmax<std::int64_t>(logits, -1),
                     cast<std::int64_t>(labels));
  } else {
    return {};
  }
}

}  // namespace ergo::inline ERGO_BUILD
