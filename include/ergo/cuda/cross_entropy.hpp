// cross_entropy on tensors, by kernels/cross_entropy.cuh: the losses and their gradient in one launch, their total in
// another.
#pragma once

#include <optional>
#include <tuple>

#include "ergo/cpu/cross_entropy_rows.hpp"
#include "ergo/cuda/faults.hpp"
#include "ergo/cuda/rows.hpp"
#include "ergo/kernels/cross_entropy.cuh"

namespace ergo::inline ERGO_BUILD::cuda {

// What a call computes; the last `rank` axes of logits (lead..., rows..., classes) are one problem.
struct CrossEntropyTask {
  int rank;
  bool weighted, with_gradient;
  LossReduction reduction;
  std::optional<std::int64_t> ignored;
  double smoothing;
};

template <class T>
std::tuple<Tensor<T>, Tensor<T>> cross_entropy(const CrossEntropyTask& task, const Tensor<T>& logits,
                                               const AnyTensor& labels, const Tensor<T>& weight) {
  const Work w = work_on(logits, labels);
  const int rank = task.rank;
  Shape lead = logits.shape().first(logits.rank() - rank);
  ergo::detail::broadcast(lead, labels.shape().first(labels.rank() - (rank - 1)));
  ergo::detail::broadcast(lead, weight.shape().first(weight.rank() - int(task.weighted)));
  const Shape core = logits.shape().last(rank), of_rows = core.first(rank - 1);
  const auto wide = [&](const Array& a, const Shape& own) {
    if (a.shape == lead + own) return Ref<Array>::share(const_cast<Array*>(&a));
    const Ref<Array> r = Array::make(a.dtype, lead + own, a.device);
    ergo::detail::assign(*r, a);
    return r;
  };
  const Ref<Array> x = as_rows(*wide(logits.array(), core)),
                   label = ergo::detail::dense(*wide(labels.array(), of_rows));
  const bool none = task.reduction == LossReduction::none;
  Ref<Array> loss = w.make(dtype_of<T>, none ? lead + of_rows : lead);
  Ref<Array> dx = task.with_gradient ? w.make(dtype_of<T>, lead + core) : Ref<Array>();
  w.reads(*label);
  const std::int64_t problems = lead.numel(), rows = of_rows.numel();
  CrossEntropyCall<T> call{w.operand<T, 2>(*x), Labels{label->data, 1, int(size_of(label->dtype))},
                           row_major<T, 1>(ergo::detail::data_of<T>(*loss), {loss->numel()})};
  if (dx) call.gradient = w.result<T, 2>(*as_rows(*dx));
  const Ref<Array> weights = task.weighted ? as_rows(*wide(weight.array(), core.last(1))) : Ref<Array>();
  if (weights) call.weight = w.operand<T, 2>(*weights);
  call.problems = problems;
  call.reduction = task.reduction;
  call.ignores = task.ignored.has_value();
  call.ignore_label = task.ignored.value_or(0);
  call.smoothing = task.smoothing;
  const Ref<Array> husk = Array::husk(logits.dtype(), lead + core, logits.device());
  call.fault = FaultList::expect(w.stream(), *label, [husk, ignored = task.ignored](const Array& read) {
    cpu::detail::read_labels(read, husk.get(), husk->shape[-1], ignored ? &*ignored : nullptr);
  });
  const Workspace scratch(w, cross_entropy_workspace<T>(problems, rows, core[rank - 1]));
  launch_cross_entropy<T>(w.stream(), call, scratch.data());
  return {Tensor<T>(std::move(loss)), dx ? Tensor<T>(std::move(dx)) : Tensor<T>()};
}

}  // namespace ergo::inline ERGO_BUILD::cuda
