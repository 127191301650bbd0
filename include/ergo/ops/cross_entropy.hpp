// cross_entropy of logits with labels or probabilities. A label outside [0, classes) is an Error that names it and its
// place; a row whose label is ignored adds nothing, to the gradient neither.
//
// Where a gradient will be wanted, the forward pass on labels computes it at once, which costs little more than the
// loss; the backward pass only scales it, and not even that for the usual cotangent of 1. Higher orders go through the
// formula.
#pragma once

#include "ergo/cpu/cross_entropy_rows.hpp"
#include "ergo/ops/loss.hpp"
#include "ergo/ops/safe_division.hpp"
#include "ergo/ops/softmax.hpp"
#if defined(__CUDACC__) || defined(ERGO_EMULATED)
#include "ergo/cuda/cross_entropy.hpp"
#endif

namespace ergo::inline ERGO_BUILD {

struct CrossEntropyOptions {
  Reduction reduction = Reduction::mean;  // mean: over the weights of the labels that count
  std::optional<std::int64_t> ignore_label = {};
  double label_smoothing = 0;  // e: (1 - e) of the target, and e / classes on every class
  AnyTensor weight = {};       // (classes), of the logits' dtype; a constant to every transform
};

namespace detail {

// The target on each class for labels: (1 - e) [k = label] + e / classes, 0 for ignored rows.
template <class T>
struct Targets {
  static constexpr auto name = "cross_entropy";
  static constexpr bool constant = true;
  std::int64_t classes;
  std::optional<std::int64_t> ignored;
  double smoothing;
  Tensor<T> value(const AnyTensor& labels) const {
    const Ref<Array> read = cpu::detail::read_labels(labels.array(), nullptr, classes, ignored ? &*ignored : nullptr);
    const Tensor<T> y = make_tensor<T>(labels.shape() + Shape{classes});
    T* p = data_of<T>(y.array());
    const T rest = T(smoothing / double(classes)), own = T(1 - smoothing) + rest;
    for (std::int64_t r = 0, n = read->numel(); r < n; ++r, p += classes) {
      const std::int64_t label = data_of<std::int64_t>(*read)[r];
      for (std::int64_t k = 0; k < classes; ++k) p[k] = label < 0 ? T(0) : k == label ? own : rest;
    }
    return y;
  }
#if defined(__CUDACC__) || defined(ERGO_EMULATED)
  Tensor<T> cuda(const AnyTensor& labels) const {
    const Tensor<std::int64_t> wide = labels.dtype() == DType::int64 ? Tensor<std::int64_t>(labels)
                                      : labels.dtype() == DType::int32
                                          ? cast<std::int64_t>(Tensor<std::int32_t>(labels))
                                          : cast<std::int64_t>(Tensor<std::uint8_t>(labels));
    const Tensor<std::int64_t> label = as_column(wide);
    const T rest = T(smoothing / double(classes)), own = T(1 - smoothing) + rest;
    const auto is_own = label == arange<std::int64_t>(0, classes, 1, labels.device());
    const Tensor<T> y = where(is_own, full<T>({}, own, labels.device()), rest);
    return ignored ? where(label == *ignored, zeros_like(y), y) : y;
  }
#endif
};

// What the formula is made of. -l, or 0 where a target q and a log-probability l both say impossible.
struct Surprise {
  static constexpr auto name = "cross_entropy";
  static constexpr Uses uses = Uses::nothing;
  using rare = void;
  template <class A>
  static constexpr A value(const A& l, const A& q) {
    return where(q == A(0), where(l == A(-__builtin_inf()), A(0), -l), -l);
  }
  template <int I, class A>
  static constexpr Constant<I == 0 ? -1 : 0> partial(const A&, const A&, const A&) {
    return {};
  }
};
// 1 where a row has a target, else 0.
struct Counts {
  static constexpr auto name = "cross_entropy";
  static constexpr Uses uses = Uses::nothing;
  using rare = void;
  template <class A>
  static constexpr A value(const A& target) {
    return where(target == A(0), A(0), A(1));
  }
  template <int, class A>
  static constexpr Constant<0> partial(const A&, const A&) {
    return {};
  }
};
// The logits of rows that have a target, 0 in place of others: whatever stands there reaches no derivative.
struct OfCounted {
  static constexpr auto name = "cross_entropy";
  static constexpr Uses uses = Uses::inputs;
  using rare = void;
  template <class A>
  static constexpr A value(const A& x, const A& target) {
    return where(target == A(0), A(0), x);
  }
  template <int I, class A>
  static constexpr auto partial(const A&, const A&, const A& target) {
    if constexpr (I == 0)
      return or_zero<Counts>(target);
    else
      return Constant<0>();
  }
};
// total / counted; over nothing it is NaN with derivative 0.
struct OverCounted {
  static constexpr auto name = "cross_entropy";
  static constexpr Uses uses = Uses::inputs;
  using rare = void;
  template <class A>
  static constexpr A value(const A& total, const A& counted) {
    return total / counted;
  }
  template <int I, class A>
  static constexpr auto partial(const A&, const A&, const A& counted) {
    if constexpr (I == 0)
      return or_zero<SafeReciprocal>(counted);
    else
      return Constant<0>();
  }
};
// - sum of q log softmax over the classes.
template <class T>
Tensor<T> cross_entropy_of(const Tensor<T>& logits, const Tensor<T>& target) {
  return sum(target * pointwise_op(Surprise{}, log_softmax(logits), target), -1);
}

template <class T>
struct CrossEntropyVjp;

// On logits (..., K), labels (...) and weight (K), or () where all weigh the same. The last `rank` axes of logits are
// one problem.
template <class T>
struct CrossEntropy {
  static constexpr auto name = "cross_entropy";
  static constexpr Uses uses = Uses::all;
  static constexpr bool has_vjp = true;
  int rank;
  bool weighted, with_gradient;
  Reduction reduction;
  std::optional<std::int64_t> ignored;
  double smoothing;

  int core_of(int i) const { return i == 0 ? rank : i == 1 ? rank - 1 : int(weighted); }
  int result_rank() const { return reduction == Reduction::none ? rank - 1 : 0; }
  auto computing() const { return CrossEntropy<Compute<T>>{rank, weighted, false, reduction, ignored, smoothing}; }

  // The loss, and its gradient if that is wanted.
  std::tuple<Tensor<T>, Tensor<T>> cpu(const Tensor<T>& logits, const AnyTensor& labels,
                                       const Tensor<T>& weight) const {
    using namespace ergo::cpu::detail;
    using C = Compute<T>;
    const Aligned<3> all({&logits.array(), &labels.array(), &weight.array()}, {rank, rank - 1, int(weighted)});
    const Ref<Array> x = computable(*all.array[0]), weights = weighted ? computable(*all.array[2]) : Ref<Array>();
    const std::int64_t classes = logits.shape()[-1], rows = labels.shape().last(rank - 1).numel();
    const Ref<Array> label = read_labels(*all.array[1], all.array[0].get(), classes, ignored ? &*ignored : nullptr);
    const bool none = reduction == Reduction::none, mean = reduction == Reduction::mean;
    const Ref<Array> loss = Array::make(dtype_of<C>, none ? all.array[1]->shape : all.lead);
    const Ref<Array> dx = with_gradient ? Array::make(dtype_of<C>, x->shape) : Ref<Array>();
    const ergo::cpu::Scratch<C> of_rows(none ? 0 : rows);
    for (std::int64_t i = 0; i < all.lead.numel(); ++i) {
      const CrossEntropyRows<C> problem{classes,
                                        data_of<std::int64_t>(*label) + i * rows,
                                        weights ? data_of<C>(*weights) + i * classes : nullptr,
                                        C(smoothing),
                                        C(1),
                                        C(0)};
      C* losses = none ? data_of<C>(*loss) + i * rows : of_rows.data();
      const std::int64_t at = i * rows * classes;
      const C counted =
          cross_entropy(problem, data_of<C>(*x) + at, dx ? data_of<C>(*dx) + at : nullptr, rows, mean, losses);
      if (none) continue;
      const C total = reduce_run<ergo::cpu::SumOf, C>(losses, rows);
      data_of<C>(*loss)[i] = mean ? total / counted : total;
    }
    return {Tensor<T>(stored_as(loss, dtype_of<T>)), dx ? Tensor<T>(stored_as(dx, dtype_of<T>)) : Tensor<T>()};
  }

#if defined(__CUDACC__) || defined(ERGO_EMULATED)
  std::tuple<Tensor<T>, Tensor<T>> cuda(const Tensor<T>& logits, const AnyTensor& labels,
                                        const Tensor<T>& weight) const {
    const auto to = reduction == Reduction::none   ? ergo::cuda::LossReduction::none
                    : reduction == Reduction::mean ? ergo::cuda::LossReduction::mean
                                                   : ergo::cuda::LossReduction::sum;
    return ergo::cuda::cross_entropy<T>({rank, weighted, with_gradient, to, ignored, smoothing}, logits, labels,
                                        weight);
  }
#endif

  Tensor<T> definition(const Tensor<T>& logits, const AnyTensor& labels, const Tensor<T>& weight) const {
    using C = Compute<T>;
    if constexpr (!std::is_same_v<T, C>) {
      return cast<T>(computing().definition(cast<C>(logits), labels, cast<C>(weight)));
    } else {
      const auto [target, own] = targets(logits, labels, weight);
      const Tensor<T> rows = cross_entropy_of(pointwise_op(OfCounted{}, logits, sum(target, -1, true)), target);
      if (reduction == Reduction::none) return rows;
      const Tensor<T> total = sum_of_last(rows, rank - 1);
      return reduction == Reduction::mean ? pointwise_op(OverCounted{}, total, sum_of_last(own, rank - 1)) : total;
    }
  }
  // The gradient by the formula: g (sum(target) softmax - target), 0 for rows without target.
  Tensor<T> gradient(const Tensor<T>& g, const Tensor<T>& logits, const AnyTensor& labels,
                     const Tensor<T>& weight) const {
    using C = Compute<T>;
    if constexpr (!std::is_same_v<T, C>) {
      return cast<T>(computing().gradient(cast<C>(g), cast<C>(logits), labels, cast<C>(weight)));
    } else {
      const auto [target, own] = targets(logits, labels, weight);
      const Tensor<T> all = sum(target, -1, true), share = softmax(pointwise_op(OfCounted{}, logits, all));
      const Tensor<T> scale =
          reduction == Reduction::mean ? g * or_zero<SafeReciprocal>(sum_of_last(own, rank - 1)) : g;
      return with_ones(scale, rank - result_rank()) * (all * share - target);
    }
  }
  Tensor<T> vjp(const Tensor<T>& g, const std::tuple<Tensor<T>, Tensor<T>>& y, const Tensor<T>& logits,
                const AnyTensor& labels, const Tensor<T>& weight) const {
    const Tensor<T>& ready = std::get<1>(y);
    if (!ready.defined()) return gradient(g, logits, labels, weight);
    return fused_op(CrossEntropyVjp<T>{*this}, g, ready, logits, labels, weight);
  }

 private:
  // With the weights: the target (..., K), and of each row the weight of its label.
  std::pair<Tensor<T>, Tensor<T>> targets(const Tensor<T>& logits, const AnyTensor& labels,
                                          const Tensor<T>& weight) const {
    const std::int64_t classes = logits.shape()[-1];
    const Tensor<T> target = linear_op(Targets<T>{classes, ignored, smoothing}, labels);
    const Tensor<T> label = smoothing == 0 ? target : linear_op(Targets<T>{classes, ignored, 0}, labels);
    if (!weighted) return {target, sum(label, -1)};
    const Tensor<T> beside = beside_rows(weight);
    return {target * beside, sum(label * beside, -1)};
  }
  // weight (lead..., K) as (lead..., 1, ..., K), which broadcasts against the logits.
  Tensor<T> beside_rows(const Tensor<T>& weight) const {
    Shape s = weight.shape().first(weight.rank() - 1);
    for (int d = 1; d < rank; ++d) s.push(1);
    return Tensor<T>(reshape(weight.ref(), s + weight.shape().last(1)));
  }
};

// g times the gradient that forward left; by definition the gradient of the formula.
template <class T>
struct CrossEntropyVjp {
  static constexpr auto name = "cross_entropy";
  CrossEntropy<T> loss;
  int core_of(int i) const { return i == 0 ? loss.result_rank() : i == 1 ? loss.rank : loss.core_of(i - 2); }
  template <class... X>
  Tensor<T> cpu(const Tensor<T>& g, const Tensor<T>& ready, const X&...) const {
    if (g.rank() == 0 && *data_of<T>(g.array()) == convert<T>(1)) return ready;
    return with_ones(g, loss.rank - loss.result_rank()) * ready;
  }
#if defined(__CUDACC__) || defined(ERGO_EMULATED)
  template <class... X>
  Tensor<T> cuda(const Tensor<T>& g, const Tensor<T>& ready, const X&...) const {
    if (g.rank() == 0 && is_ones(g.array())) return ready;
    return with_ones(g, loss.rank - loss.result_rank()) * ready;
  }
#endif
  template <class... X>
  Tensor<T> definition(const Tensor<T>& g, const Tensor<T>&, const X&... x) const {
    return loss.gradient(g, x...);
  }
};

// Whether a reverse transform, open now, differentiates a.
inline bool in_reverse(const Array& a) {
  for (const Array* p = &a; p->depth; p = p->value.get())
    if (p->depth <= levels.depth && levels.at[p->depth].mode == Mode::reverse) return true;
  return false;
}

inline void check_cross_entropy(const AnyTensor& logits, const AnyTensor& labels, bool probabilities,
                                const CrossEntropyOptions& options) {
  Array* in[] = {&logits.array(), &labels.array()};
  const auto refuse = [&](const Message& why) { fail("cross_entropy", in, 2, why); };
  same_device("cross_entropy", in, 2);
  if (logits.rank() == 0) refuse("logits need an axis of classes");
  const Shape rows = logits.shape().first(logits.rank() - 1);
  if (probabilities && labels.shape() != logits.shape()) refuse("probabilities must have the shape of the logits");
  if (probabilities && options.ignore_label) refuse(".ignore_label needs integer labels");
  if (!probabilities && labels.shape() != rows)
    refuse({"labels must have the shape ", rows, " of logits without the classes"});
  if (!(options.label_smoothing >= 0 && options.label_smoothing <= 1))
    refuse({".label_smoothing = ", options.label_smoothing, " is not in [0, 1]"});
  const AnyTensor& w = options.weight;
  if (w.defined() && (w.shape() != logits.shape().last(1) || w.dtype() != logits.dtype()))
    refuse({".weight ", w.shape(), " of ", w.dtype(), " must be ", logits.shape().last(1), " of ", logits.dtype()});
}

}  // namespace detail

// The negative logarithm of softmax(logits) (..., K) at the labels (...), or weighed by probabilities (..., K),
// reduced.
template <class T, class L>
Tensor<T> cross_entropy(const Tensor<T>& logits, const Tensor<L>& labels, const CrossEntropyOptions& options = {}) {
  constexpr bool probabilities = std::is_same_v<T, L>;
  static_assert(Floating<T>, "cross_entropy: logits are floating: cast<float>(logits) first");
  static_assert(
      Index<L> || probabilities,
      "cross_entropy: labels are integers (cast<int32_t>(labels) first), or probabilities of the logits' dtype");
  if constexpr (Floating<T> && (Index<L> || probabilities)) {
    detail::check_cross_entropy(logits, labels, probabilities, options);
    const AnyTensor weight = options.weight.defined() ? linear_op(detail::StopGradient{}, options.weight) : AnyTensor();
    if constexpr (probabilities) {
      const double e = options.label_smoothing;
      Tensor<T> target = e == 0 ? labels : labels * (1 - e) + e / double(logits.shape()[-1]);
      if (weight.defined()) target = target * Tensor<T>(weight);
      const Tensor<T> loss = detail::cross_entropy_of(logits, target);
      return options.reduction == Reduction::none   ? loss
             : options.reduction == Reduction::mean ? mean(loss)
                                                    : sum(loss);
    } else {
      const detail::CrossEntropy<T> op{logits.rank(),     weight.defined(),     detail::in_reverse(logits.array()),
                                       options.reduction, options.ignore_label, options.label_smoothing};
      const AnyTensor& any = labels;
      return fused_op(op, logits, any, weight.defined() ? Tensor<T>(weight) : zeros<T>({}, Device::cpu()));
    }
  } else {
    return logits;
  }
}

}  // namespace ergo::inline ERGO_BUILD
