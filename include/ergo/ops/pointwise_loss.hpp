// Losses that are a function of each pair of elements: mae, huber, binary_cross_entropy; and kl_divergence, of pairs of
// rows. Shapes must be equal: losses never broadcast. The mean of nothing is NaN.
#pragma once

#include "ergo/ops/activation.hpp"
#include "ergo/ops/loss.hpp"
#include "ergo/ops/reduction.hpp"
#include "ergo/ops/softmax.hpp"

namespace ergo::inline ERGO_BUILD {

struct MaeOptions {
  Reduction reduction = Reduction::mean;
};
struct HuberOptions {
  double delta = 1;  // from this difference on the loss is a straight line
  Reduction reduction = Reduction::mean;
};
struct BinaryCrossEntropyOptions {
  AnyTensor positive_weight = {};  // of the logits' dtype, broadcasts to them; multiplies what positive targets add
  Reduction reduction = Reduction::mean;
};
struct KlDivergenceOptions {
  Reduction reduction = Reduction::mean;  // mean: over the rows
};

namespace detail {

struct AbsoluteError {  // slope 0 at equal elements
  static constexpr auto name = "mae";
  static constexpr Uses uses = Uses::inputs;
  template <class A>
  static constexpr A value(const A& x, const A& y) {
    return math::abs(x - y);
  }
  template <int I, class A>
  static constexpr A partial(const A&, const A& x, const A& y) {
    const A d = I == 0 ? x - y : y - x;
    return where(d > A(0), A(1), where(d < A(0), A(-1), where(d == d, A(0), d)));
  }
};
// d^2 / 2 for |d| <= delta, delta (|d| - delta / 2) beyond.
struct HuberError {
  static constexpr auto name = "huber";
  static constexpr Uses uses = Uses::inputs;
  template <class A>
  static constexpr A value(const A& x, const A& y, const A& delta) {
    const A d = math::abs(x - y), near = Minimum::value(d, delta);
    return near * (d - A(0.5) * near);
  }
  template <int I, class A>
  static constexpr A partial(const A&, const A& x, const A& y, const A& delta) {
    const A d = x - y, size = where(d < A(0), -d, d);
    if constexpr (I == 2) return where(size > delta, size - delta, A(0));
    const A near = where(d > delta, delta, where(d < -delta, -delta, d));
    return I == 0 ? near : -near;
  }
};
// (1 - t) x + (1 + (w - 1) t) softplus(-x), which is -w t log sigmoid(x) - (1 - t) log sigmoid(-x).
struct LogisticLoss {
  static constexpr auto name = "binary_cross_entropy";
  static constexpr Uses uses = Uses::inputs;
  template <class A>
  static ERGO_INLINE constexpr A value(const A& x, const A& t, const A& w) {
    // max(x, 0) - x t without the difference of large numbers, nor 0 times infinity where the target is certain.
    const A tail = math::log1p(math::exp(-math::abs(x))), share = A(1) + (w - A(1)) * t;
    const A factor = where(x < A(0), -(w * t), A(1) - t);
    return where(factor == A(0), where(x == x, A(0), x), factor * x) + share * tail;
  }
  template <int I, class A>
  static ERGO_INLINE constexpr A partial(const A&, const A& x, const A& t, const A& w) {
    if constexpr (I == 0)
      return (A(1) - t) * Logistic::of(x) - w * t * Logistic::of(-x);
    else if constexpr (I == 1)
      return (w - A(1)) * softplus(-x) - x;
    else
      return t * softplus(-x);
  }
};
// p (l - m) with p = exp(l): what an element adds to the divergence of log-probabilities l from m; 0 where p is.
struct Divergence {
  static constexpr auto name = "kl_divergence";
  static constexpr Uses uses = Uses::inputs;
  template <class A>
  static ERGO_INLINE constexpr A value(const A& l, const A& m) {
    return where(l == A(-__builtin_inf()), A(0), math::exp(l) * (l - m));
  }
  template <int I, class A>
  static ERGO_INLINE constexpr A partial(const A&, const A& l, const A& m) {
    if constexpr (I == 0) {
      const auto none = l == A(-__builtin_inf());
      const A finite = where(none, A(0), l), other = where(none, A(0), m);
      return where(none, A(0), exp(finite) * (finite - other + A(1)));
    } else {
      return -exp(l);
    }
  }
};

template <class T>
Tensor<T> reduced(const Tensor<T>& loss, Reduction reduction) {
  if (reduction == Reduction::none) return loss;
  return reduction == Reduction::sum ? sum(loss) : mean(loss);
}
// Checks that two operands of a loss have one device and one shape.
template <class T>
void check_pair(const char* op, const Tensor<T>& x, const Tensor<T>& y) {
  Array* in[] = {&x.array(), &y.array()};
  same_device(op, in, 2);
  if (x.shape() != y.shape()) fail(op, in, 2, "shapes differ; losses do not broadcast: reshape one of them");
}

}  // namespace detail

// |x - y|, its mean, its sum, or itself. Equal shapes.
template <Floating T>
Tensor<T> mae(const Tensor<T>& x, const Tensor<T>& y, const MaeOptions& options = {}) {
  detail::check_pair("mae", x, y);
  return detail::reduced(pointwise_op(detail::AbsoluteError{}, x, y), options.reduction);
}

// Huber's loss: half the square of differences up to .delta, linear beyond. Equal shapes.
template <Floating T>
Tensor<T> huber(const Tensor<T>& x, const Tensor<T>& y, const HuberOptions& options = {}) {
  detail::check_pair("huber", x, y);
  if (!(options.delta > 0)) throw_error({"[huber] .delta = ", options.delta, ": it must be positive"});
  return detail::reduced(detail::pointwise_call<detail::HuberError, void>(x, y, options.delta), options.reduction);
}

// The cross entropy of targets, probabilities of the positive class, with logits of the same shape.
template <Floating T>
Tensor<T> binary_cross_entropy(const Tensor<T>& logits, const Tensor<T>& targets,
                               const BinaryCrossEntropyOptions& options = {}) {
  detail::check_pair("binary_cross_entropy", logits, targets);
  if (!options.positive_weight.defined())
    return detail::reduced(detail::pointwise_call<detail::LogisticLoss, void>(logits, targets, 1), options.reduction);
  const Tensor<T> weight(options.positive_weight);
  Shape all = logits.shape();
  if (!detail::broadcast(all, weight.shape()) || all != logits.shape())
    detail::fail("binary_cross_entropy", logits.array(),
                 {".positive_weight ", weight.shape(), " does not broadcast to it"});
  return detail::reduced(detail::pointwise_call<detail::LogisticLoss, void>(logits, targets, weight),
                         options.reduction);
}

// sum p (log p - log q) over the last axis, p and q the softmax of logits of equal shapes (..., K), then reduced over
// the rows. Where p is 0 nothing is added.
template <Floating T>
Tensor<T> kl_divergence(const Tensor<T>& logits_p, const Tensor<T>& logits_q, const KlDivergenceOptions& options = {}) {
  detail::check_pair("kl_divergence", logits_p, logits_q);
  if (logits_p.rank() == 0) detail::fail("kl_divergence", logits_p.array(), {"logits need an axis of classes"});
  const Tensor<T> rows = sum(pointwise_op(detail::Divergence{}, log_softmax(logits_p), log_softmax(logits_q)), -1);
  return detail::reduced(rows, options.reduction);
}

}  // namespace ergo::inline ERGO_BUILD
